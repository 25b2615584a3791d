//! What clients do with the whole engine, job by job, as `docker run` and its kin do it.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde_json::{Value, json};

use super::Simulator;
use crate::JobId;
use crate::docker::version::ApiVersion;
use crate::http1::{Limits, Server, ServerEvent};
use crate::job::{Cancel, Engine, Failure, FailureKind, Job, Status};
use crate::time::Instant;

/// An engine, and what time it is there.
struct Scene {
    engine: Engine,
    now: Instant,
}

/// What a job has said so far, and how it ended if it has.
#[derive(PartialEq, Debug)]
struct Said {
    out: String,
    status: Option<Result<(), String>>,
}

impl Scene {
    fn new(words: &str) -> Self {
        let mut engine = Engine::new(3);
        engine.set_epoch(Duration::from_secs(1_795_315_894));
        let words: Vec<String> = words.split_whitespace().map(ToString::to_string).collect();
        engine.push("simulator", Box::new(Simulator::from_words(&words).unwrap()));
        Self { engine, now: Instant::ZERO }
    }

    fn start(&mut self, method: &str, target: &str, body: &str) -> JobId {
        let id = self.open(method, target, body);
        if self.engine.wants_stdin(id) && !body.is_empty() {
            self.engine.stdin(self.now, id, body.as_bytes());
        }
        self.engine.stdin_end(self.now, id);
        id
    }

    /// Begins a job whose client has more to send.
    fn open(&mut self, method: &str, target: &str, body: &str) -> JobId {
        let length = body.len();
        let request = alloc::format!(
            "{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: \
             {length}\r\n\r\n"
        );
        let mut server = Server::new(Limits::default());
        let Ok((_, Some(ServerEvent::Request(head)))) = server.receive(request.as_bytes()) else {
            panic!("{request}")
        };
        let job = Job::from_request(head, ApiVersion::MIN..=ApiVersion::MAX);
        self.engine.start(self.now, job, 0)
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

    fn said(&mut self, id: JobId) -> Said {
        let mut out = Vec::new();
        while let Some(output) = self.engine.output(id) {
            let before = out.len();
            out.append(output.stdout);
            out.extend(output.whole.take().iter().flat_map(|body| body.iter().copied()));
            if out.len() == before {
                break;
            }
            self.engine.taken(self.now, id);
        }
        let status = self.engine.output(id).and_then(|output| match output.status? {
            Status::Ok => Some(Ok(())),
            Status::Failed(failure) => Some(Err(failure.message.to_string())),
            Status::NotHandled { .. } => Some(Err("not handled".into())),
        });
        Said { out: String::from_utf8_lossy(&out).into_owned(), status }
    }

    #[expect(clippy::needless_pass_by_value, reason = "scenes write documents where they ask")]
    fn ask(&mut self, method: &str, target: &str, body: Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let id = self.start(method, target, &body);
        let said = self.said(id);
        self.engine.remove(self.now, id);
        said.status.unwrap_or_else(|| panic!("{target} is not answered"))?;
        Ok(serde_json::from_str(&said.out).unwrap_or(Value::Null))
    }

    fn create(&mut self, name: &str, body: Value) -> String {
        let target = alloc::format!("/v1.41/containers/create?name={name}");
        let created = self.ask("POST", &target, body).unwrap();
        created["Id"].as_str().unwrap().to_string()
    }
}

fn frame(stream: u8, text: &str) -> String {
    let mut frame = Vec::from([stream, 0, 0, 0]);
    frame.extend((text.len() as u32).to_be_bytes());
    frame.extend(text.as_bytes());
    String::from_utf8(frame).unwrap()
}

#[test]
fn run_rm() {
    let mut scene = Scene::new("");
    let body =
        json!({"Image": "busybox", "Cmd": ["echo", "hi"], "HostConfig": {"AutoRemove": true}});
    let id = scene.create("c1", body);
    let attach = alloc::format!("/v1.41/containers/{id}/attach?stream=1&stdout=1&stderr=1");
    let attached = scene.start("POST", &attach, "");
    let waited =
        scene.start("POST", &alloc::format!("/v1.41/containers/{id}/wait?condition=removed"), "");
    assert!(scene.engine.output(waited).unwrap().begun.is_some(), "the head of wait comes at once");
    assert_eq!(scene.ask("POST", "/v1.41/containers/c1/start", Value::Null), Ok(Value::Null));
    assert_eq!(scene.said(attached), Said { out: frame(1, "hi\n"), status: Some(Ok(())) });
    assert_eq!(scene.said(waited).status, None, "an engine takes its time to remove one");
    let late = scene.start("POST", "/v1.41/containers/c1/wait", "");
    assert_eq!(scene.said(late).status, Some(Ok(())), "it can be waited for until it is gone");
    let refused = scene.ask("DELETE", "/v1.41/containers/c1?force=1", Value::Null);
    assert_eq!(refused, Err("removal of container c1 is already in progress".into()));
    scene.pass(50);
    let answer = "{\"Error\":null,\"StatusCode\":0}\n";
    assert_eq!(scene.said(waited), Said { out: answer.into(), status: Some(Ok(())) });
    let gone = scene.ask("GET", "/v1.41/containers/c1/json", Value::Null);
    assert_eq!(gone, Err("No such container: c1".into()));
}

#[test]
fn run_with_stdin() {
    let mut scene = Scene::new("");
    let body = json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true});
    scene.create("c1", body);
    let attach = "/v1.41/containers/c1/attach?stream=1&stdin=1&stdout=1&stderr=1";
    let attached = scene.start("POST", attach, "");
    scene.engine.stdin(scene.now, attached, b"one\n");
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    assert_eq!(scene.said(attached), Said { out: frame(1, "one\n"), status: None });
    scene.engine.stdin(scene.now, attached, b"two\n");
    scene.engine.stdin_end(scene.now, attached);
    assert_eq!(scene.said(attached), Said { out: frame(1, "two\n"), status: Some(Ok(())) });
    let log = scene.start("GET", "/v1.41/containers/c1/logs?stdout=1&tail=1", "");
    assert_eq!(scene.said(log), Said { out: frame(1, "two\n"), status: Some(Ok(())) });
}

#[test]
fn more_stdin_than_fits_arrives_whole() {
    let mut scene = Scene::new("");
    let body =
        json!({"Image": "busybox", "Cmd": ["wc", "-c"], "OpenStdin": true, "StdinOnce": true});
    scene.create("c1", body);
    let attached = scene.start("POST", "/v1.41/containers/c1/attach?stream=1&stdin=1&stdout=1", "");
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    for _ in 0..5 {
        for _ in 0..100 {
            scene.pass(1);
        }
        assert!(scene.engine.wants_stdin(attached), "all was read");
        scene.engine.stdin(scene.now, attached, &[b'x'; 100_000]);
    }
    scene.engine.stdin_end(scene.now, attached);
    scene.pass(1_000);
    assert_eq!(scene.said(attached), Said { out: frame(1, "500000\n"), status: Some(Ok(())) });
}

#[test]
fn who_goes_away_takes_stdin_with_them() {
    let mut scene = Scene::new("");
    let body = json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true});
    scene.create("c1", body);
    let attached = scene.start("POST", "/v1.41/containers/c1/attach?stream=1&stdin=1&stdout=1", "");
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    scene.engine.cancel(scene.now, attached, Cancel::Gone);
    let state =
        scene.ask("GET", "/v1.41/containers/c1/json", Value::Null).unwrap()["State"].clone();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(0)));
}

#[test]
fn stop_waits_and_then_kills() {
    let mut scene = Scene::new("web");
    let stopped = scene.start("POST", "/v1.41/containers/web/stop?t=2", "");
    scene.pass(1_999);
    assert_eq!(scene.said(stopped).status, None);
    scene.pass(1);
    assert_eq!(scene.said(stopped).status, Some(Ok(())));
    let web = scene.ask("GET", "/v1.41/containers/web/json", Value::Null).unwrap();
    assert_eq!(web["State"]["ExitCode"], json!(137));
    let again = scene.ask("POST", "/v1.41/containers/web/stop", Value::Null);
    assert_eq!(again, Err(String::new()), "304 says nothing");
}

#[test]
fn a_restart_policy_starts_again_and_pauses_longer_each_time() {
    let mut scene = Scene::new("");
    let policy = json!({"Name": "on-failure", "MaximumRetryCount": 3});
    let body =
        json!({"Image": "busybox", "Cmd": ["false"], "HostConfig": {"RestartPolicy": policy}});
    scene.create("c1", body);
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    let state = |scene: &mut Scene| {
        let c1 = scene.ask("GET", "/v1.41/containers/c1/json", Value::Null).unwrap();
        (c1["State"]["Status"].as_str().unwrap().to_string(), c1["RestartCount"].as_u64().unwrap())
    };
    assert_eq!(state(&mut scene), ("restarting".into(), 1));
    scene.pass(99);
    assert_eq!(state(&mut scene), ("restarting".into(), 1));
    scene.pass(1);
    assert_eq!(state(&mut scene), ("restarting".into(), 2));
    scene.pass(200);
    assert_eq!(state(&mut scene), ("restarting".into(), 3));
    scene.pass(400);
    assert_eq!(state(&mut scene), ("exited".into(), 3));
}

/// What the state of a container is, and its exit code.
fn state_of(scene: &mut Scene, name: &str) -> (String, i64) {
    let target = alloc::format!("/v1.41/containers/{name}/json");
    let state = scene.ask("GET", &target, Value::Null).unwrap()["State"].clone();
    (state["Status"].as_str().unwrap().into(), state["ExitCode"].as_i64().unwrap())
}

#[test]
fn who_is_paused_and_told_to_stop_goes_on_to_hear_it() {
    let script = "trap 'exit 3' TERM; trap 'exit 4' USR1; while :; do sleep 0.1; done";
    for (stop_signal, how, after) in [
        ("", "stop?t=5", ("exited", 3)),
        ("", "kill?signal=USR1", ("exited", 4)),
        ("SIGTERM", "kill?signal=TERM", ("exited", 3)),
        ("SIGTERM", "kill?signal=USR1", ("paused", 0)),
    ] {
        let mut scene = Scene::new("");
        let body =
            json!({"Image": "busybox", "Cmd": ["sh", "-c", script], "StopSignal": stop_signal});
        scene.create("c1", body);
        scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
        scene.pass(300);
        scene.ask("POST", "/v1.41/containers/c1/pause", Value::Null).unwrap();
        scene.start("POST", &alloc::format!("/v1.41/containers/c1/{how}"), "");
        scene.pass(300);
        assert_eq!(state_of(&mut scene, "c1"), (after.0.into(), after.1), "{stop_signal} {how}");
    }
}

#[test]
fn a_signal_rests_the_restart_policy_unless_another_one_is_to_stop_it() {
    let script = "trap 'exit 5' USR1; while :; do sleep 0.1; done";
    for (stop_signal, after) in [("", ("exited", 5)), ("SIGTERM", ("running", 0))] {
        let mut scene = Scene::new("");
        let host = json!({"RestartPolicy": {"Name": "always"}});
        let body = json!({"Image": "busybox", "Cmd": ["sh", "-c", script], "StopSignal": stop_signal,
                          "HostConfig": host});
        scene.create("c1", body);
        scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
        scene.pass(300);
        scene.ask("POST", "/v1.41/containers/c1/kill?signal=USR1", Value::Null).unwrap();
        scene.pass(1_000);
        assert_eq!(state_of(&mut scene, "c1"), (after.0.into(), after.1), "{stop_signal}");
    }
}

#[test]
fn who_waits_for_the_next_attempt_counts_as_running() {
    let mut scene = Scene::new("");
    let host = json!({"RestartPolicy": {"Name": "always"}});
    scene.create("c1", json!({"Image": "busybox", "Cmd": ["false"], "HostConfig": host}));
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    assert_eq!(state_of(&mut scene, "c1"), ("restarting".into(), 1));
    let started = scene.ask("POST", "/v1.41/containers/c1/start", Value::Null);
    assert_eq!(started, Err(String::new()), "304 says nothing");
    assert_eq!(scene.ask("POST", "/v1.41/containers/c1/restart", Value::Null), Ok(Value::Null));
    assert_eq!(state_of(&mut scene, "c1"), ("restarting".into(), 1));
    assert_eq!(scene.ask("POST", "/v1.41/containers/c1/kill", Value::Null), Ok(Value::Null));
    scene.pass(60_000);
    assert_eq!(state_of(&mut scene, "c1"), ("exited".into(), 1));
}

#[test]
fn who_waits_is_told_how_it_ended_even_if_it_was_started_again() {
    let mut scene = Scene::new("web");
    let waits: Vec<JobId> = ["not-running", "next-exit"]
        .map(|condition| alloc::format!("/v1.41/containers/web/wait?condition={condition}"))
        .iter()
        .map(|target| scene.start("POST", target, ""))
        .collect();
    scene.ask("POST", "/v1.41/containers/web/restart?t=0", Value::Null).unwrap();
    for waited in waits {
        assert_eq!(scene.said(waited).out, "{\"Error\":null,\"StatusCode\":137}\n");
    }
}

#[test]
fn a_restart_that_fails_says_so_and_so_does_wait() {
    let mut scene = Scene::new("");
    scene.create("c1", json!({"Image": "busybox", "Cmd": ["/bin/sleep", "100"]}));
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    let body = json!({"Cmd": ["rm", "/bin/sleep"]});
    let exec = scene.ask("POST", "/v1.41/containers/c1/exec", body).unwrap();
    let target = alloc::format!("/v1.41/exec/{}/start", exec["Id"].as_str().unwrap());
    scene.ask("POST", &target, json!({"Detach": true})).unwrap();
    let why = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container \
               process: exec: \"/bin/sleep\": stat /bin/sleep: no such file or directory: unknown";
    let words = alloc::format!("Cannot restart container c1: {why}");
    for _ in ["while it runs", "when it does not"] {
        let refused = scene.ask("POST", "/v1.41/containers/c1/restart?t=0", Value::Null);
        assert_eq!(refused, Err(words.clone()));
    }
    assert_eq!(state_of(&mut scene, "c1"), ("exited".into(), 127));
    let waited = scene.ask("POST", "/v1.41/containers/c1/wait", Value::Null).unwrap();
    assert_eq!(waited, json!({"Error": {"Message": why}, "StatusCode": 127}));
}

#[test]
fn nobody_checks_the_health_of_who_is_paused() {
    let mut scene = Scene::new("");
    let check = json!({"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Timeout": 1_000_000_000,
                       "Retries": 1});
    scene.create("c1", json!({"Image": "busybox", "Cmd": ["sleep", "900"], "Healthcheck": check}));
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    scene.pass(1_500);
    let health = |scene: &mut Scene| {
        let c1 = scene.ask("GET", "/v1.41/containers/c1/json", Value::Null).unwrap();
        let health = &c1["State"]["Health"];
        (health["Status"].as_str().unwrap().to_string(), health["Log"].as_array().unwrap().len())
    };
    assert_eq!(health(&mut scene), ("healthy".into(), 1));
    scene.ask("POST", "/v1.41/containers/c1/pause", Value::Null).unwrap();
    scene.pass(10_000);
    assert_eq!(health(&mut scene), ("healthy".into(), 1));
    scene.ask("POST", "/v1.41/containers/c1/unpause", Value::Null).unwrap();
    scene.pass(2_000);
    let (status, checks) = health(&mut scene);
    assert!(status == "healthy" && checks > 1, "{status} {checks}");
}

#[test]
fn a_user_who_is_not_there_is_the_engine_s_failure() {
    let mut scene = Scene::new("web");
    let words = "unable to find user ghost: no matching entries in passwd file";
    scene.create("c1", json!({"Image": "busybox", "User": "ghost"}));
    let refused = scene.start("POST", "/v1.41/containers/c1/start", "");
    let body = json!({"Cmd": ["true"], "User": "ghost"});
    let exec = scene.ask("POST", "/v1.41/containers/web/exec", body).unwrap();
    let target = alloc::format!("/v1.41/exec/{}/start", exec["Id"].as_str().unwrap());
    let not_run = scene.start("POST", &target, r#"{"Detach":true}"#);
    for id in [refused, not_run] {
        let failure = Failure::new(FailureKind::System, words);
        assert_eq!(scene.engine.output(id).unwrap().status, Some(&Status::Failed(failure)));
    }
    assert_eq!(state_of(&mut scene, "c1"), ("created".into(), 128));
}

#[test]
fn an_exec_runs_beside_the_main_process() {
    let mut scene = Scene::new("web");
    let body = json!({"Cmd": ["echo", "hi"], "AttachStdout": true});
    let exec = scene.ask("POST", "/v1.41/containers/web/exec", body).unwrap();
    let id = exec["Id"].as_str().unwrap().to_string();
    let started = scene.start("POST", &alloc::format!("/v1.41/exec/{id}/start"), "{}");
    assert_eq!(scene.said(started).out, "", "the head goes out alone");
    scene.pass(30);
    assert_eq!(scene.said(started), Said { out: frame(1, "hi\n"), status: Some(Ok(())) });
    let shown = scene.ask("GET", &alloc::format!("/v1.41/exec/{id}/json"), Value::Null).unwrap();
    assert_eq!((&shown["ExitCode"], &shown["Running"]), (&json!(0), &json!(false)));
    let again = scene.ask("POST", &alloc::format!("/v1.41/exec/{id}/start"), json!({}));
    assert_eq!(again, Err(alloc::format!("Error: Exec command {id} has already run")));
    let paused = scene.ask("POST", "/v1.41/containers/web/pause", Value::Null);
    assert_eq!(paused, Ok(Value::Null));
    let refused = scene.ask("POST", "/v1.41/containers/web/exec", json!({"Cmd": ["true"]}));
    assert_eq!(refused, Err("Container web is paused, unpause the container before exec".into()));
}

#[test]
fn events_come_in_the_engine_s_order() {
    let mut scene = Scene::new("");
    let body = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Binds": ["data:/d"]}});
    let listener = scene.start("GET", "/v1.41/events", "");
    scene.create("c1", body);
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    scene.ask("DELETE", "/v1.41/containers/c1", Value::Null).unwrap();
    let said = scene.said(listener);
    assert_eq!(said.status, None);
    let actions: Vec<String> = said
        .out
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            alloc::format!(
                "{} {}",
                event["Type"].as_str().unwrap(),
                event["Action"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        actions,
        [
            "volume create",
            "container create",
            "network connect",
            "volume mount",
            "container start",
            "container die",
            "network disconnect",
            "volume unmount",
            "container destroy",
        ]
    );
}

#[test]
fn a_name_and_a_number_are_refused_as_the_engine_does() {
    let mut scene = Scene::new("web");
    let refused = scene.ask("POST", "/v1.41/containers/web/rename?name=!", Value::Null);
    let words = "Error when allocating new name: Invalid container name (/!), only [a-zA-Z0-9][a-zA-Z0-9_.-] are \
                 allowed";
    assert_eq!(refused, Err(words.into()));
    for (version, kind) in
        [("v1.41", FailureKind::System), ("v1.44", FailureKind::InvalidParameter)]
    {
        for what in ["stop", "restart"] {
            let id =
                scene.start("POST", &alloc::format!("/{version}/containers/web/{what}?t=x"), "");
            let words = r#"strconv.Atoi: parsing "x": invalid syntax"#;
            let failure = Failure::new(kind, words);
            assert_eq!(scene.engine.output(id).unwrap().status, Some(&Status::Failed(failure)));
        }
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut scene = Scene::new("");
    scene.create("c1", json!({"Image": "busybox", "Cmd": ["/no/such/command"]}));
    let refused = scene.ask("POST", "/v1.41/containers/c1/start", Value::Null);
    let words = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container \
                 process: exec: \"/no/such/command\": stat /no/such/command: no such file or directory: unknown";
    assert_eq!(refused, Err(words.into()));
    let state =
        scene.ask("GET", "/v1.41/containers/c1/json", Value::Null).unwrap()["State"].clone();
    assert_eq!(
        (&state["Status"], &state["ExitCode"], &state["Error"]),
        (&json!("created"), &json!(127), &json!(words))
    );
}

#[test]
fn two_containers_cannot_have_one_port() {
    let mut scene = Scene::new("");
    let bindings = json!({"80/tcp": [{"HostPort": "8080"}]});
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "9"], "HostConfig": {"PortBindings": bindings}});
    scene.create("c1", body.clone());
    scene.create("c2", body);
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    let refused = scene.ask("POST", "/v1.41/containers/c2/start", Value::Null).unwrap_err();
    assert!(
        refused.ends_with("Bind for 0.0.0.0:8080 failed: port is already allocated"),
        "{refused}"
    );
    let removed = scene.start("DELETE", "/v1.41/containers/c1?force=1", "");
    assert_eq!(scene.said(removed).status, Some(Ok(())));
    scene.ask("POST", "/v1.41/containers/c2/start", Value::Null).unwrap();
    let c2 = scene.ask("GET", "/v1.41/containers/c2/json", Value::Null).unwrap();
    let published =
        json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]);
    assert_eq!(c2["NetworkSettings"]["Ports"]["80/tcp"], published);
}

#[test]
fn a_pull_tells_its_progress_and_ends_with_the_image() {
    let mut scene = Scene::new("");
    let pull = scene.start("POST", "/v1.41/images/create?fromImage=alpine&tag=3", "");
    scene.pass(10_000);
    let said = scene.said(pull);
    assert_eq!(said.status, Some(Ok(())));
    assert!(
        said.out.starts_with("{\"id\":\"3\",\"status\":\"Pulling from library/alpine\"}\r\n"),
        "{}",
        said.out
    );
    assert!(said.out.ends_with("{\"status\":\"Status: Downloaded newer image for alpine:3\"}\r\n"));
    let image = scene.ask("GET", "/v1.41/images/alpine:3/json", Value::Null).unwrap();
    assert_eq!(image["RepoTags"], json!(["alpine:3"]));
    let refused =
        scene.ask("POST", "/v1.41/images/create?fromImage=127.0.0.1:9/x&tag=1", Value::Null);
    let words = "Get \"http://127.0.0.1:9/v2/\": dial tcp 127.0.0.1:9: connect: connection refused";
    assert_eq!(refused, Err(words.into()));
}

#[test]
fn a_websocket_is_attached_in_frames() {
    use super::websocket::tests::frame;
    let mut scene = Scene::new("");
    let body = json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true});
    scene.create("c1", body);
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    let socket = scene.open("GET", "/v1.41/containers/c1/attach/ws?stream=1", "");
    scene.pass(30);
    let running = |scene: &mut Scene| {
        let c1 = scene.ask("GET", "/v1.41/containers/c1/json", Value::Null).unwrap();
        c1["State"]["Running"].as_bool().unwrap()
    };
    for (sent, answer) in [
        (frame(0x89, b"pi"), "\u{8a}\u{2}pi"),
        (frame(0x82, b"hello\n"), "\u{82}\u{6}hello\n"),
        (frame(0x88, &[3, 0xe8]), "\u{88}\u{2}\u{3}\u{e8}"),
    ] {
        assert!(scene.engine.wants_stdin(socket));
        scene.engine.stdin(scene.now, socket, &sent);
        let mut out = Vec::new();
        while let Some(output) = scene.engine.output(socket).filter(|out| !out.stdout.is_empty()) {
            out.append(output.stdout);
            scene.engine.taken(scene.now, socket);
        }
        let answer: Vec<u8> = answer.chars().map(|c| c as u8).collect();
        assert_eq!(out, answer);
    }
    assert_eq!(scene.said(socket).status, Some(Ok(())));
    assert!(running(&mut scene), "its stdin is kept open for the next");
    let last = scene.open("GET", "/v1.44/containers/c1/attach/ws?stream=1&stdout=1", "");
    scene.ask("POST", "/v1.44/containers/c1/kill", Value::Null).unwrap();
    scene.pass(30);
    let said = scene.said(last);
    assert_eq!(said.status, Some(Ok(())));
    assert!(said.out.starts_with('\u{fffd}') && said.out.contains('\u{3}'), "a last frame");
    let refused = scene.ask("GET", "/v1.41/containers/nosuch/attach/ws", Value::Null);
    assert_eq!(refused, Err("No such container: nosuch".into()));
}

#[test]
fn the_keys_that_detach_may_come_one_by_one() {
    let mut scene = Scene::new("");
    let body = json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "Tty": true});
    scene.create("c1", body);
    scene.ask("POST", "/v1.41/containers/c1/start", Value::Null).unwrap();
    let attached = scene.start("POST", "/v1.41/containers/c1/attach?stream=1&stdin=1&stdout=1", "");
    scene.pass(30);
    scene.engine.stdin(scene.now, attached, &[16]);
    assert!(scene.engine.wants_stdin(attached), "the next key is awaited");
    assert_eq!(scene.said(attached).status, None);
    scene.engine.stdin(scene.now, attached, &[17]);
    assert_eq!(scene.said(attached).status, Some(Ok(())));
}
