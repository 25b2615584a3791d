//! The simulator as a backend: its words, its jobs, its streams.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde_json::{Value, json};

use super::Simulator;
use crate::JobId;
use crate::docker::version::ApiVersion;
use crate::job::{Backend, Body, Cancel, Engine, FailureKind, Job, Status};
use crate::time::Instant;

fn simulator(line: &str) -> Result<Simulator, String> {
    let words: Vec<String> = line.split_whitespace().map(ToString::to_string).collect();
    Simulator::from_words(&words)
}

fn engine(line: &str) -> Engine {
    let mut engine = Engine::new(7);
    engine.set_epoch(Duration::from_secs(1_795_315_894));
    engine.push("simulator", Box::new(simulator(line).unwrap()));
    engine
}

fn at(millis: u64) -> Instant {
    Instant::new(Duration::from_millis(millis))
}

fn ask(engine: &mut Engine, now: Instant, job: Job) -> Result<Body, (FailureKind, String)> {
    let id = engine.start(now, job, 0);
    let output = engine.output(id).unwrap();
    let answer = match output.status {
        Some(Status::Ok) => Ok(output.whole.take().unwrap()),
        Some(Status::Failed(failure)) => Err((failure.kind, failure.message.to_string())),
        other => panic!("{other:?}"),
    };
    engine.remove(now, id);
    answer
}

fn json(engine: &mut Engine, job: &'static str) -> Value {
    serde_json::from_slice(&ask(engine, at(0), Job::new(job)).unwrap()).unwrap()
}

#[test]
fn words_are_names_and_a_version() {
    assert_eq!(simulator("web db").unwrap().names, ["db", "web"], "the oldest first");
    for line in ["--api-version 1.41 web", "web --api-version=1.41"] {
        let simulator = simulator(line).unwrap();
        assert_eq!((simulator.announced, simulator.names.len()), (ApiVersion::new(1, 41), 1));
    }
    let range = "is no API version that can be offered: use one from 1.24 to 1.55";
    let name = "is no name for a container: use a letter or a digit and then at least one of letters, digits, '_', \
                '.' and '-'";
    for (line, problem) in [
        ("web web", "there cannot be two containers of the name \"web\"".to_string()),
        ("w", format!("\"w\" {name}")),
        ("a/b", format!("\"a/b\" {name}")),
        (".web", format!("\".web\" {name}")),
        ("w\u{e9}b", format!("\"w\u{e9}b\" {name}")),
        ("--verbose", "there is no option \"--verbose\"".to_string()),
        ("--api-versions", "there is no option \"--api-versions\"".to_string()),
        ("--bridge", "--bridge needs the word none: no default network".to_string()),
        (
            "--bridge=br0",
            "\"br0\" is no bridge that can be simulated: leave --bridge out for the usual one, or say none"
                .to_string(),
        ),
        ("--offline=1", "there is no option \"--offline=1\"".to_string()),
        ("--api-version", "--api-version needs a version, such as 1.41".to_string()),
        ("--api-version 1.23", format!("\"1.23\" {range}")),
        ("--api-version=1.56", format!("\"1.56\" {range}")),
        ("--api-version=latest", format!("\"latest\" {range}")),
    ] {
        assert_eq!(simulator(line).err().as_ref(), Some(&problem), "{line}");
    }
    let many: Vec<String> = (0..=super::MAX_CONTAINERS).map(|n| format!("c{n}")).collect();
    let problem = Simulator::from_words(&many).err().unwrap();
    assert_eq!(problem, "65534 containers are more than the 65533 that can be simulated");
}

#[test]
fn profile_version_and_info_agree() {
    for (line, api, release) in
        [("web", "1.55", "29.5.0"), ("--api-version 1.41 web", "1.41", "20.10.24")]
    {
        let profile = simulator(line).unwrap().profile().unwrap();
        assert_eq!(profile.api_version.to_string(), api);
        assert_eq!(profile.min_api_version.to_string(), "1.24");
        assert_eq!(profile.server, format!("Docker/{release} (linux)"));
        let mut engine = engine(line);
        let (version, info) = (json(&mut engine, "version"), json(&mut engine, "info"));
        assert_eq!(version["ApiVersion"], json!(api));
        assert_eq!(version["MinAPIVersion"], json!("1.24"));
        assert_eq!(
            (&version["Version"], &info["ServerVersion"]),
            (&json!(release), &json!(release))
        );
        assert_eq!(version["KernelVersion"], info["KernelVersion"]);
        assert_eq!(version["Platform"]["Name"], info["OperatingSystem"]);
        let engine = &version["Components"][0];
        assert_eq!((&engine["Name"], &engine["Version"]), (&json!("Engine"), &json!(release)));
        for key in
            "ApiVersion Arch BuildTime Experimental GitCommit GoVersion MinAPIVersion Os".split(' ')
        {
            assert!(engine["Details"][key].is_string(), "{key}");
        }
        let compared = &version["Components"][1]["Details"]["GitCommit"];
        assert_eq!(*compared, info["ContainerdCommit"]["ID"]);
    }
}

#[test]
fn ping_is_ok_and_no_more() {
    let body = ask(&mut engine("web"), at(0), Job::new("ping")).unwrap();
    assert!(matches!(body, Body::Static(b"OK")));
}

#[test]
fn lists_are_shared_and_follow_the_clock() {
    let mut engine = engine("web db");
    let mut list = |millis| match ask(&mut engine, at(millis), Job::new("containers")) {
        Ok(Body::Shared(list)) => list,
        other => panic!("{other:?}"),
    };
    assert!(String::from_utf8_lossy(&list(5000)).contains("Up Less than a second"));
    let six = list(11_000);
    assert!(String::from_utf8_lossy(&six).contains("Up 6 seconds"));
    assert!(six.ends_with(b"]\n"));
    assert!(Arc::ptr_eq(&six, &list(11_999)));
    assert!(!Arc::ptr_eq(&six, &list(12_000)));
}

#[test]
fn the_same_seed_makes_the_same_containers() {
    let ids = |seed| {
        let mut engine = Engine::new(seed);
        engine.push("simulator", Box::new(simulator("web db").unwrap()));
        json(&mut engine, "containers").to_string()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}

#[test]
fn containers_are_inspected_by_any_of_their_names() {
    let mut engine = engine("web");
    let inspect = |wanted: &str| Job::new("container_inspect").with_arg(wanted);
    let by_name = ask(&mut engine, at(0), inspect("/web")).unwrap().to_vec();
    let web: Value = serde_json::from_slice(&by_name).unwrap();
    let id = web["Id"].as_str().unwrap();
    assert_eq!(ask(&mut engine, at(0), inspect(&id[..12])).unwrap().to_vec(), by_name);
    let refused = ask(&mut engine, at(0), inspect("nosuch"));
    assert_eq!(
        refused.err(),
        Some((FailureKind::NotFound, "No such container: nosuch".to_string()))
    );
}

#[test]
fn counts_add_up_over_all_answers() {
    let mut engine = engine("web db");
    let info = json(&mut engine, "info");
    assert_eq!((&info["Containers"], &info["ContainersRunning"]), (&json!(2), &json!(2)));
    assert_eq!((&info["ContainersStopped"], &info["Images"]), (&json!(0), &json!(1)));
    assert_eq!(json(&mut engine, "containers").as_array().map(Vec::len), Some(2));
    let usage = json(&mut engine, "system_df");
    assert_eq!(usage["ContainerUsage"]["TotalCount"], json!(2));
    assert_eq!(usage["ImageUsage"]["ActiveCount"], json!(1));
}

fn open(engine: &mut Engine, env: &[(&str, &str)]) -> JobId {
    let job = env.iter().fold(Job::new("events"), |job, (k, v)| job.with_env(*k, *v));
    let id = engine.start(at(0), job, 0);
    let output = engine.output(id).unwrap();
    assert!(output.begun.is_some(), "the head goes out at once");
    assert!(output.stdout.is_empty() && output.whole.is_none());
    id
}

#[test]
fn events_stay_open_until_they_are_told_to_end() {
    let mut engine = engine("web");
    let ended = |engine: &mut Engine, id| engine.output(id).unwrap().status.is_some();
    let past = open(&mut engine, &[("until", "1")]);
    let open_end = open(&mut engine, &[]);
    let timed = open(&mut engine, &[("until", "1795315896.5")]);
    assert!(ended(&mut engine, past) && !ended(&mut engine, open_end));
    assert_eq!(json(&mut engine, "info")["NEventsListener"], json!(2));
    assert_eq!(engine.poll_timeout(), Some(at(2500)));
    engine.handle_timeout(at(2499));
    assert!(!ended(&mut engine, timed));
    engine.handle_timeout(at(2500));
    assert!(ended(&mut engine, timed));
    assert_eq!(json(&mut engine, "info")["NEventsListener"], json!(1));
    engine.cancel(at(2500), open_end, Cancel::HalfClosed);
    assert!(ended(&mut engine, open_end));
    assert_eq!(json(&mut engine, "info")["NEventsListener"], json!(0));
    let gone = open(&mut engine, &[]);
    engine.cancel(at(2500), gone, Cancel::Gone);
    assert_eq!(json(&mut engine, "info")["NEventsListener"], json!(0));
}

#[test]
fn what_it_does_not_know_is_passed_on() {
    let mut engine = engine("web");
    let id = engine.start(at(0), Job::new("session"), 0);
    let status = Status::NotHandled { asked: "simulator".to_string() };
    assert_eq!(engine.output(id).unwrap().status, Some(&status));
}

#[test]
fn what_is_not_there_is_missed_as_in_the_engine() {
    let mut engine = engine("web");
    for (job, name, status) in [
        ("image_inspect", "nosuch", "No such image: nosuch:latest"),
        ("image_inspect", "no/such:tag", "No such image: no/such:tag"),
        ("network_inspect", "nosuch", "network nosuch not found"),
        ("volume_inspect", "nosuch", "get nosuch: no such volume"),
        ("plugin_inspect", "nosuch", "plugin \"nosuch\" not found"),
    ] {
        let failure = ask(&mut engine, at(0), Job::new(job).with_arg(name)).unwrap_err();
        assert_eq!(failure, (FailureKind::NotFound, String::from(status)), "{job}");
    }
    let swarm = ask(&mut engine, at(0), Job::new("services")).unwrap_err();
    assert_eq!(swarm.0, FailureKind::Unavailable);
}

#[test]
fn without_a_bridge_containers_have_no_network() {
    for (words, networks, address) in
        [("web", 3, "172.17.0.2"), ("--bridge none web", 2, ""), ("--bridge=none web", 2, "")]
    {
        let mut engine = engine(words);
        assert_eq!(json(&mut engine, "networks").as_array().unwrap().len(), networks);
        let list = json(&mut engine, "containers");
        let bridge = &list[0]["NetworkSettings"]["Networks"]["bridge"];
        assert_eq!((&list[0]["State"], &bridge["IPAddress"]), (&json!("running"), &json!(address)));
    }
}

#[test]
fn offline_there_are_no_registries() {
    let mut engine = engine("--offline");
    let job = Job::new("pull").with_env("fromImage", "alpine").with_env("tag", "latest");
    let words = "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 10.0.2.3:53: no \
                 such host";
    let refused = ask(&mut engine, at(0), job).unwrap_err();
    assert_eq!(refused, (FailureKind::System, words.to_string()));
    let search = ask(&mut engine, at(0), Job::new("search").with_env("term", "alpine"));
    assert!(search.unwrap_err().1.contains("lookup index.docker.io"));
}
