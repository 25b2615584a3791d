//! State files: what they say is there, what is saved is the same, what is wrong is found.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde_json::{Value, json};

use super::State;
use crate::backend::Simulator;
use crate::docker::version::ApiVersion;
use crate::http1::{Limits, Server, ServerEvent};
use crate::job::{Backend, Engine, Job, Status};
use crate::time::Instant;

/// The documented example.
const EXAMPLE: &str = include_str!("../../../../examples/engine.json");

struct Scene {
    engine: Engine,
    now: Instant,
}

impl Scene {
    fn new(state: &str, epoch: u64) -> Self {
        let words = ["--state=engine.json", "--save", "saved.json"].map(String::from);
        let mut simulator = Simulator::from_words(&words).unwrap();
        assert_eq!(simulator.files(), ["engine.json"]);
        simulator.load("engine.json", state.as_bytes()).unwrap();
        let mut engine = Engine::new(epoch);
        engine.set_epoch(Duration::from_secs(epoch));
        engine.push("simulator", Box::new(simulator));
        Self { engine, now: Instant::ZERO }
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> Result<Value, String> {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut server = Server::new(Limits::default());
        let Ok((_, Some(ServerEvent::Request(head)))) = server.receive(request.as_bytes()) else {
            panic!("{request}")
        };
        let job = Job::from_request(head, ApiVersion::MIN..=ApiVersion::MAX);
        let id = self.engine.start(self.now, job, 0);
        if self.engine.wants_stdin(id) && !body.is_empty() {
            self.engine.stdin(self.now, id, body.as_bytes());
        }
        self.engine.stdin_end(self.now, id);
        let output = self.engine.output(id).unwrap();
        let answer = match output.status {
            Some(Status::Ok) => {
                let body = output.whole.take().map(|body| body.to_vec()).unwrap_or_default();
                Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
            }
            Some(status) => Err(status.to_string()),
            None => Err(String::from_utf8_lossy(output.stdout).into_owned()),
        };
        self.engine.remove(self.now, id);
        answer
    }

    fn get(&mut self, target: &str) -> Value {
        self.ask("GET", target, "").unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.engine.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn save(&mut self) -> String {
        let mut saved = self.engine.save();
        assert_eq!(saved.len(), 1);
        let (file, text) = saved.remove(0);
        assert_eq!(file, "saved.json");
        String::from_utf8(text).unwrap()
    }

    /// All that can be asked of what is there, but for what begins anew with each daemon.
    fn everything(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        for version in ["v1.41", "v1.55"] {
            for container in self.list(&format!("/{version}/containers/json?all=1"), "Id") {
                let mut shown = self.get(&format!("/{version}/containers/{container}/json"));
                shown["ExecIDs"] = Value::Null;
                all.push(shown);
            }
            for image in self.list(&format!("/{version}/images/json?all=1"), "Id") {
                all.push(self.get(&format!("/{version}/images/{image}/json")));
            }
            for network in self.list(&format!("/{version}/networks"), "Id") {
                all.push(self.get(&format!("/{version}/networks/{network}")));
            }
            all.push(self.get(&format!("/{version}/volumes")));
            all.push(self.get(&format!("/{version}/containers/json?all=1&size=0")));
        }
        // How long something is up depends on the hour.
        for list in &mut all {
            for entry in list.as_array_mut().into_iter().flatten() {
                entry["Status"] = Value::Null;
            }
        }
        all
    }

    fn list(&mut self, target: &str, key: &str) -> Vec<String> {
        let list = self.get(target);
        let ids =
            list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_string());
        ids.collect()
    }
}

#[test]
fn the_example_is_what_it_says() {
    let mut scene = Scene::new(EXAMPLE, 1_795_315_894);
    let web = scene.get("/containers/web/json");
    assert_eq!(web["State"]["Status"], json!("running"));
    assert_eq!(web["NetworkSettings"]["Networks"]["front"]["IPAddress"], json!("10.20.0.10"));
    assert_eq!(
        web["NetworkSettings"]["Ports"]["80/tcp"][0],
        json!({"HostIp": "0.0.0.0", "HostPort": "8080"})
    );
    let job = scene.get("/containers/nightly/json");
    assert_eq!((&job["State"]["Status"], &job["State"]["ExitCode"]), (&json!("exited"), &json!(3)));
    assert_eq!(scene.get("/volumes/data")["Labels"], json!({"tier": "back"}));
    assert_eq!(scene.list("/networks", "Name"), ["bridge", "host", "none", "front"]);
    scene.pass(5_000);
    let refused = scene.ask("GET", "/containers/cache/logs?stdout=1", "").unwrap();
    assert_eq!(refused, Value::Null, "it is a stream");
    let refused = scene.ask("POST", "/containers/create?name=broken", r#"{"Image":"shop:1"}"#);
    assert_eq!(refused.unwrap_err(), "no space left on device");
    scene.ask("POST", "/containers/create?name=fine", r#"{"Image":"shop:1"}"#).unwrap();
}

#[test]
fn a_behaviour_is_played_where_the_image_runs_by_itself() {
    let state = r#"{"images": [{"RepoTags": ["shop:1"], "Config": {"Cmd": ["shop"]}, "Behaviour": {
        "output": [{"after": 1000, "text": "open\n"}], "signals": {"TERM": 7}}}]}"#;
    let mut scene = Scene::new(state, 1_795_315_894);
    for (name, cmd) in
        [("own", "null"), ("other", r#"["shop", "--late"]"#), ("sh", r#"["sh", "-c", "exit 5"]"#)]
    {
        let body = format!(r#"{{"Image":"shop:1","Cmd":{cmd}}}"#);
        scene.ask("POST", &format!("/containers/create?name={name}"), &body).unwrap();
        scene.ask("POST", &format!("/containers/{name}/start"), "").unwrap();
    }
    scene.pass(2000);
    for name in ["own", "other"] {
        let logs = scene.engine.start(
            scene.now,
            Job::new("logs").with_arg(name).with_env("stdout", "1"),
            0,
        );
        let output = scene.engine.output(logs).unwrap();
        assert!(output.stdout.ends_with(b"open\n"), "{name}");
        scene.ask("POST", &format!("/containers/{name}/kill?signal=TERM"), "").unwrap();
        assert_eq!(scene.get(&format!("/containers/{name}/json"))["State"]["ExitCode"], json!(7));
    }
    assert_eq!(scene.get("/containers/sh/json")["State"]["ExitCode"], json!(5));
}

#[test]
fn what_was_saved_loads_again_as_the_same_world() {
    let mut scene = Scene::new(EXAMPLE, 1_795_315_894);
    let spent = scene.ask("POST", "/containers/create", r#"{"Image":"busybox"}"#);
    assert!(spent.is_err(), "the fault of the example");
    for (method, target, body) in [
        (
            "POST",
            "/networks/create",
            r#"{"Name":"back","Labels":{"a":"b"},"IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]}}"#,
        ),
        ("POST", "/volumes/create", r#"{"Name":"v1","DriverOpts":{"type":"tmpfs"}}"#),
        (
            "POST",
            "/containers/create?name=c1",
            r#"{"Image":"busybox","Cmd":["sh","-c","sleep 5; exit 4"],"Env":["A=1"],"Hostname":"h","Volumes":{"/a":{}},
                "ExposedPorts":{"81/tcp":{}},"StopSignal":"SIGINT",
                "HostConfig":{"Binds":["v1:/v:ro","/host:/h"],"NetworkMode":"back","PublishAllPorts":true,
                "RestartPolicy":{"Name":"on-failure","MaximumRetryCount":2},"Memory":8000000},
                "NetworkingConfig":{"EndpointsConfig":{"back":{"Aliases":["alias"],"IPAMConfig":{"IPv4Address":"10.9.0.77"}}}}}"#,
        ),
        ("POST", "/containers/c1/start", ""),
        ("POST", "/networks/bridge/connect", r#"{"Container":"c1"}"#),
        ("POST", "/containers/c1/exec", r#"{"Cmd":["true"]}"#),
        (
            "POST",
            "/containers/create?name=c2",
            r#"{"Image":"busybox","Entrypoint":[""],"Cmd":["true"],"HostConfig":{"Privileged":true,"NetworkMode":"host"}}"#,
        ),
        ("POST", "/containers/c2/start", ""),
        (
            "POST",
            "/containers/create?name=c3",
            r#"{"Image":"busybox","HostConfig":{"NetworkMode":"none","Tmpfs":{"/t":""}}}"#,
        ),
        (
            "POST",
            "/containers/create?name=c4",
            r#"{"Image":"busybox","Cmd":["sleep","99"],"Healthcheck":{"Test":["CMD","true"],"Interval":1000000000}}"#,
        ),
        ("POST", "/containers/c4/start", ""),
        ("POST", "/containers/create?name=c5", r#"{"Image":"busybox","Cmd":["sleep","99"]}"#),
        ("POST", "/containers/c5/start", ""),
        ("POST", "/containers/c5/pause", ""),
        ("POST", "/commit?container=c2&repo=made&tag=2&comment=hi&author=me", "{}"),
        ("POST", "/images/busybox/tag?repo=other&tag=x", ""),
        ("DELETE", "/images/busybox:latest", ""),
    ] {
        scene.ask(method, target, body).unwrap_or_else(|error| panic!("{target}: {error}"));
        scene.pass(1300);
    }
    scene.pass(7_000);
    let (before, saved) = (scene.everything(), scene.save());
    let mut again = Scene::new(&saved, 1_800_000_000);
    let after = again.everything();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            serde_json::to_string_pretty(before).unwrap(),
            serde_json::to_string_pretty(after).unwrap()
        );
    }
    assert_eq!(before.len(), after.len());
    let (first, second): (Value, Value) =
        (serde_json::from_str(&saved).unwrap(), serde_json::from_str(&again.save()).unwrap());
    assert_eq!(first, second);
}

#[test]
fn what_is_wrong_is_found_with_its_line() {
    let digits = "a".repeat(64);
    for (text, problem) in [
        (
            "{\n  \"images\": [,]}",
            "engine.json:2: it is no JSON: expected value at line 2 column 14",
        ),
        ("[]", "engine.json:1: a state file is one JSON object: write {} at least"),
        (
            "{\n\"container\": []}",
            "engine.json:2: container: unknown field `container`, expected one of `containers`, \
             `images`, `networks`, `volumes`, `faults`",
        ),
        (
            "{\"containers\": [\n{},\n{\"State\": {\n\"ExitCode\": \"3\"}}]}",
            "engine.json:4: containers[1].State.ExitCode: \
             invalid type: string \"3\", expected i32",
        ),
        (
            "{\"containers\": [{\n\"Created\": \"yesterday\"}]}",
            "engine.json:2: containers[0].Created: \"yesterday\" is no \
             time: write it as 2026-11-22T09:30:00.5Z, not before 1970",
        ),
        (
            "{\"containers\": [{\"Name\": \"/a1\"},\n {\"Name\": \"a1\"}]}",
            "engine.json:2: containers[1].Name: Conflict. The \
             container name \"/a1\" is already in use by container",
        ),
        (
            "{\"containers\": [{\n \"Name\": \"a b\"}]}",
            "engine.json:2: containers[0].Name: invalid container name (a b)",
        ),
        (
            "{\"containers\": [{\n \"Id\": \"ab\"}]}",
            "engine.json:2: containers[0].Id: it is no id: use 64 of the digits",
        ),
        (
            "{\"containers\": [\n{\"HostConfig\": {\"Memory\": 5}}]}",
            "engine.json:2: containers[0].HostConfig: Minimum memory",
        ),
        (
            "{\"containers\": [{\"Mounts\": [\n{\"Type\": \"npipe\",\n\"Destination\": \"/x\"}]}]}",
            "engine.json:2: \
             containers[0].Mounts[0].Type: \"npipe\" is no type of a mount: use bind, volume or tmpfs",
        ),
        (
            "{\"networks\": [{\"Name\": \"a\"},\n{\"Name\":\n\"a\"}]}",
            "engine.json:3: networks[1].Name: there are two \
             networks of the name \"a\"",
        ),
        ("{\"volumes\": [\n{}]}", "engine.json:2: volumes[0].Name: a volume needs a name"),
        (
            "{\"images\": [\n{\"RepoTags\": [\"A\"]}]}",
            "engine.json:2: images[0].RepoTags[0]: \"A\" is no name of an image: \
             write it as redis:7",
        ),
        (
            "{\"images\": [{\"RepoTags\": [\"a1\"], \"Behaviour\": {\n\"signals\": {\"TERN\": 0}}}]}",
            "engine.json:2: \
             images[0].Behaviour.signals.TERN: \"TERN\" is no signal: use a name such as TERM, or a number",
        ),
        (
            "{\"images\": [{\"RepoTags\": [\"a1\"], \"Behaviour\": {\n\"exit\": {\"after\": -1}}}]}",
            "engine.json:2: \
             images[0].Behaviour.exit.after: invalid value: integer `-1`, expected u64",
        ),
        (
            "{\"faults\": [\n{\"job\": \"creat\", \"latency\": 3}]}",
            "engine.json:2: faults[0]: there is no job \"creat\": \
             swarmd --routes lists all",
        ),
        (
            &*format!(
                "{{\"images\": [{{\"Id\": \"sha256:{digits}\"}},\n{{\"Id\": \"sha256:{digits}\"}}]}}"
            ),
            "engine.json:2: images[1].Id: this id is there twice",
        ),
        (
            "{\"containers\": [{\"Name\": \"web\"}]}",
            "engine.json:1: containers: the container \"web\" is among",
        ),
        (
            "{\"containers\": [{\"NetworkSettings\": {\"Ports\": {\"80/tcp\": [\n{\"HostPort\": \"x\"}]}}}]}",
            "engine.json:2: \
             containers[0].NetworkSettings.Ports.80/tcp[0].HostPort: \"x\" is no port of the host",
        ),
        (
            "{\"containers\": [{\"NetworkSettings\": {\"Networks\": {\"bridge\": {\"EndpointID\": \"e\",\n \"IPAddress\": \
             \"1.2.3.4\"}}}}]}",
            "engine.json:2: containers[0].NetworkSettings.Networks.bridge.IPAddress: Invalid address",
        ),
    ] {
        let refused =
            State::read("engine.json", text.as_bytes(), &["web".to_string()], false).unwrap_err();
        assert!(refused.starts_with(problem), "{refused}\nis not\n{problem}");
    }
}

#[test]
fn what_cannot_be_simulated_does_nothing_and_ends_well() {
    let state = r#"{"containers": [{"Name": "db", "Config": {"Image": "postgres:16"}},
        {"Name": "old", "State": null, "Path": "/opt/server", "Args": ["-x"], "Image": null, "Unknown": [null]}]}"#;
    let mut scene = Scene::new(state, 1_795_315_894);
    for name in ["db", "old"] {
        let target = format!("/containers/{name}/json");
        assert_eq!(scene.get(&target)["State"]["Status"], json!("running"));
        scene.ask("POST", &format!("/containers/{name}/kill?signal=TERM"), "").unwrap();
        let shown = scene.get(&target);
        assert_eq!(
            (&shown["State"]["Status"], &shown["State"]["ExitCode"]),
            (&json!("exited"), &json!(0))
        );
    }
    assert_eq!(scene.get("/containers/old/json")["Config"]["Cmd"], json!(["/opt/server", "-x"]));
    assert_eq!(scene.get("/images/postgres:16/json")["RepoTags"], json!(["postgres:16"]));
}

#[test]
fn an_engine_without_a_default_network_has_none_whatever_is_in_the_file() {
    let mut scene = Scene::new(EXAMPLE, 1_795_315_894);
    let saved = scene.save();
    let words = ["--bridge", "none"].map(String::from);
    let mut simulator = Simulator::from_words(&words).unwrap();
    simulator.load("saved.json", saved.as_bytes()).unwrap();
    let mut engine = Engine::new(1);
    engine.push("simulator", Box::new(simulator));
    let mut scene = Scene { engine, now: Instant::ZERO };
    assert_eq!(scene.list("/networks", "Name"), ["host", "none", "front"]);
    assert_eq!(scene.get("/containers/cache/json")["State"]["Status"], json!("running"));
}

#[test]
fn what_is_just_going_is_not_saved() {
    let mut scene = Scene::new("{}", 1_795_315_894);
    let made = r#"{"Image":"busybox","Cmd":["true"],"HostConfig":{"AutoRemove":true}}"#;
    scene.ask("POST", "/containers/create?name=c1", made).unwrap();
    scene.ask("POST", "/containers/c1/start", "").unwrap();
    scene.pass(20);
    assert_eq!(scene.get("/containers/c1/json")["State"]["Status"], json!("removing"));
    let mut again = Scene::new(&scene.save(), 1_795_315_894);
    assert_eq!(again.get("/containers/json?all=1"), json!([]));
}

#[test]
fn nothing_is_saved_that_nobody_asked_for() {
    let mut engine = Engine::new(1);
    engine.push("simulator", Box::new(Simulator::from_words(&["web".to_string()]).unwrap()));
    assert!(engine.save().is_empty());
}

#[test]
fn a_network_that_was_removed_does_not_come_back_with_who_was_to_join_it() {
    let mut scene = Scene::new("{}", 1_795_315_894);
    scene.ask("POST", "/networks/create", r#"{"Name":"gone"}"#).unwrap();
    let made = r#"{"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"gone"}}"#;
    scene.ask("POST", "/containers/create?name=c1", made).unwrap();
    scene.ask("DELETE", "/networks/gone", "").unwrap();
    let mut again = Scene::new(&scene.save(), 1_795_315_894);
    for scene in [&mut scene, &mut again] {
        assert_eq!(scene.list("/networks", "Name"), ["bridge", "host", "none"]);
        let refused = scene.ask("POST", "/containers/c1/start", "");
        assert_eq!(refused, Err("network gone not found".into()));
    }
}
