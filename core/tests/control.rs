//! `simulator --control`: what tests ask of it, and what goes wrong when they want it to, through a whole node.

use std::time::Duration;

use libswarm::backend::Simulator;
use libswarm::backend::simulator::Fault;
use libswarm::job::Engine;
use libswarm::node::{Action, CloseReason, Config, Input, Refusal};
use libswarm::{ConnId, Instant, Node};
use serde_json::{Value, json};

/// A node with a simulator, and the time there.
struct Bench {
    node: Node,
    now: Instant,
}

/// What a client has got.
#[derive(Default, Debug)]
struct Got {
    bytes: Vec<u8>,
    closed: Option<CloseReason>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn status(&self) -> u16 {
        self.text().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn json(&self) -> Value {
        let text = self.text();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        // One chunk at most, in these tests.
        let body = body.split_once("\r\n").map_or(body, |(_, rest)| rest);
        let body = body.split_once("\r\n").map_or(body, |(chunk, _)| chunk);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Bench {
    fn new(words: &str) -> Self {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Self::with(Simulator::from_words(&words).unwrap())
    }

    fn with(simulator: Simulator) -> Self {
        let mut engine = Engine::new(4);
        engine.push("simulator", Box::new(simulator));
        let mut config = Config::default();
        config.epoch = Duration::from_secs(1_795_315_894);
        Self { node: Node::new(config, engine), now: Instant::ZERO }
    }

    fn act(&mut self, wanted: ConnId, got: &mut Got) {
        let mut out = Vec::new();
        while let Some(action) = self.node.poll(&mut out) {
            match action {
                Action::Write { conn, .. } => {
                    if conn == wanted {
                        got.bytes.extend_from_slice(&out);
                    }
                    self.node.handle(self.now, Input::Done(conn));
                }
                Action::Shutdown(conn) => self.node.handle(self.now, Input::Done(conn)),
                Action::Close { conn, why } if conn == wanted => got.closed = Some(why),
                _ => {}
            }
            out.clear();
        }
    }

    /// Sends a request on a connection of its own, and gives what comes at once.
    fn begin(&mut self, method: &str, target: &str, body: &str) -> (ConnId, Got) {
        let conn = self.node.accept(self.now).unwrap();
        let mut got = Got::default();
        self.act(conn, &mut got);
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.node.handle(self.now, Input::Received(conn, request.as_bytes()));
        self.act(conn, &mut got);
        (conn, got)
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> Got {
        self.begin(method, target, body).1
    }

    fn pass(&mut self, millis: u64, conn: ConnId, got: &mut Got) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(next) = self.node.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.node.handle(self.now, Input::Timeout);
            self.act(conn, got);
        }
        self.now = end;
    }

    fn create(&mut self) -> Got {
        self.ask("POST", "/containers/create", r#"{"Image":"busybox"}"#)
    }
}

#[test]
fn nobody_reaches_it_without_the_word() {
    let mut bench = Bench::new("web");
    for (method, place) in [("GET", "requests"), ("POST", "faults"), ("POST", "reset")] {
        let got = bench.ask(method, &format!("/_simulator/{place}"), "{}");
        assert_eq!(got.status(), 404, "{place}");
        assert!(got.text().contains("page not found"), "as dockerd says it: {}", got.text());
    }
}

#[test]
fn it_tells_what_was_asked() {
    let mut bench = Bench::new("--control web");
    bench.ask("GET", "/_ping", "");
    bench.create();
    bench.ask("GET", "/v1.41/containers/nosuch/json", "");
    bench.ask("GET", "/nowhere", "");
    let (waiting, mut got) = bench.begin("GET", "/events", "");
    let _ = bench.begin("POST", "/containers/web/wait", "");
    let _ = bench.begin("POST", "/containers/web/attach?stream=1", "");
    let told = bench.ask("GET", "/_simulator/requests", "").json();
    assert_eq!((&told["total"], &told["dropped"]), (&json!(7), &json!(0)));
    let rows: Vec<String> = told["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            format!("{} {} {} {} {}", r["method"], r["target"], r["job"], r["args"], r["status"])
        })
        .collect();
    assert_eq!(
        rows,
        [
            r#""GET" "/_ping" "ping" [] 200"#,
            r#""POST" "/containers/create" "create" [] 201"#,
            r#""GET" "/v1.41/containers/nosuch/json" "container_inspect" ["nosuch"] 404"#,
            r#""GET" "/nowhere" "http" ["GET","/nowhere"] 404"#,
            r#""GET" "/events" "events" [] 200"#,
            r#""POST" "/containers/web/wait" "wait" ["web"] 200"#,
            r#""POST" "/containers/web/attach?stream=1" "attach" ["web"] 200"#,
        ]
    );
    assert_eq!(told["requests"][1]["body"], json!({"Image": "busybox"}));
    let created = bench.ask("GET", "/_simulator/requests?job=create", "").json();
    assert_eq!(created["requests"].as_array().map(Vec::len), Some(1));
    for _ in 0..1_100 {
        bench.ask("GET", "/_ping", "");
    }
    let told = bench.ask("GET", "/_simulator/requests", "");
    assert!(told.text().contains("\"total\":1107") && told.text().contains("\"dropped\":107"));
    bench.ask("DELETE", "/_simulator/requests", "");
    let told = bench.ask("GET", "/_simulator/requests", "").json();
    assert_eq!(told["total"], json!(0));
    bench.pass(1, waiting, &mut got);
}

#[test]
fn calls_fail_late_and_by_their_number() {
    let mut bench = Bench::new("--control web");
    for fault in [
        r#"{"job": "create", "nth": 2, "error": {"status": 503, "message": "later"}}"#,
        r#"{"job": "container_inspect", "argument": "web", "latency": 700}"#,
    ] {
        assert_eq!(bench.ask("POST", "/_simulator/faults", fault).status(), 200);
    }
    assert_eq!(bench.create().status(), 201);
    let second = bench.create();
    assert_eq!(second.status(), 503);
    assert!(second.text().ends_with("{\"message\":\"later\"}\n"));
    assert_eq!(bench.create().status(), 201);
    let (conn, mut got) = bench.begin("GET", "/containers/web/json", "");
    bench.pass(699, conn, &mut got);
    assert!(got.bytes.is_empty());
    bench.pass(1, conn, &mut got);
    assert_eq!(got.status(), 200);
    let faults = bench.ask("GET", "/_simulator/faults", "").json();
    assert_eq!(
        faults,
        json!([{"id": 2, "job": "container_inspect", "argument": "web", "latency": 700, "calls": 1, "hits": 1}])
    );
    assert_eq!(bench.ask("DELETE", "/_simulator/faults/2", "").status(), 200);
    assert_eq!(bench.ask("DELETE", "/_simulator/faults/2", "").status(), 404);
    assert_eq!(bench.ask("GET", "/containers/web/json", "").status(), 200);
    for (fault, words) in [
        ("{", "the body is wrong: EOF"),
        ("{\"nth\": -1}", "the body is wrong: invalid value"),
        ("{}", "it does nothing: give it latency"),
    ] {
        let refused = bench.ask("POST", "/_simulator/faults", fault);
        assert_eq!(refused.status(), 400);
        assert!(refused.text().contains(words), "{}", refused.text());
    }
    assert_eq!(bench.ask("PUT", "/_simulator/faults", "").status(), 400);
    assert_eq!(bench.ask("GET", "/_simulator/nothing", "").status(), 404);
}

#[test]
fn streams_break_where_they_are_told_to() {
    for (bytes, closed_with) in [(0, ""), (9, "[{\"Id\":\"")] {
        let fault = Fault::on("containers").break_after(bytes);
        let mut bench = Bench::with(
            Simulator::from_words(&["web".to_owned()]).unwrap().with_fault(fault).unwrap(),
        );
        let got = bench.ask("GET", "/containers/json", "");
        assert!(got.closed.is_some() || !got.bytes.is_empty());
        match bytes {
            0 => assert!(got.bytes.is_empty() && got.closed == Some(CloseReason::Cut)),
            _ => {
                let text = got.text();
                let body = text.split_once("\r\n\r\n").unwrap().1;
                assert!(body.contains(closed_with) && body.len() < 30, "{text}");
                assert_eq!(bench.node.connections(), 1, "it waits for the client to see the end");
            }
        }
    }
    let fault = Fault::on("logs").break_after(5);
    let simulator = Simulator::from_words(&[]).unwrap().with_fault(fault).unwrap();
    let mut bench = Bench::with(simulator);
    let body = r#"{"Image":"busybox","Tty":true,"Cmd":["sh","-c","while true; do echo 1; sleep 1; done"]}"#;
    assert_eq!(bench.ask("POST", "/containers/create?name=talks", body).status(), 201);
    assert_eq!(bench.ask("POST", "/containers/talks/start", "").status(), 204);
    let (conn, mut got) = bench.begin("GET", "/containers/talks/logs?stdout=1&follow=1", "");
    assert!(!got.text().contains("0\r\n\r\n"));
    bench.pass(10_000, conn, &mut got);
    let text = got.text();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    assert!(body.matches(['1', '\r']).filter(|c| *c == "1").count() >= 2, "{body:?}");
    assert!(!body.ends_with("0\r\n\r\n"), "no well-formed end: {body:?}");
    assert!(body.len() < 40, "{body:?}");
}

#[test]
fn the_engine_dies_and_comes_back() {
    let mut bench = Bench::new("--control web");
    let (events, mut got) = bench.begin("GET", "/events", "");
    let dying = bench.ask("POST", "/_simulator/faults", r#"{"down": 2000}"#);
    assert_eq!((dying.bytes.len(), dying.closed), (0, Some(CloseReason::Cut)));
    bench.act(events, &mut got);
    assert_eq!(bench.node.connections(), 0);
    assert_eq!(bench.node.accept(bench.now), Err(Refusal::Down));
    bench.pass(1_999, events, &mut got);
    assert_eq!(bench.node.accept(bench.now), Err(Refusal::Down));
    bench.pass(1, events, &mut got);
    assert_eq!(bench.ask("GET", "/containers/web/json", "").status(), 200, "what ran runs on");
    assert_eq!(bench.ask("GET", "/_simulator/faults", "").json(), json!([]));
}

#[test]
fn a_disk_is_full_until_it_is_not() {
    let mut bench = Bench::new("--control web");
    let exec = |bench: &mut Bench, script: &str| {
        let body = json!({"Cmd": ["sh", "-c", script], "AttachStdout": true, "AttachStderr": true, "Tty": true});
        let made = bench.ask("POST", "/containers/web/exec", &body.to_string()).text();
        let id = made.split("\"Id\":\"").nth(1).unwrap()[..64].to_owned();
        let (conn, mut got) = bench.begin("POST", &format!("/exec/{id}/start"), r#"{"Tty":true}"#);
        bench.pass(100, conn, &mut got);
        got.text()
    };
    assert!(!exec(&mut bench, "echo kept > /kept").contains("space"));
    bench.ask("POST", "/_simulator/faults", r#"{"full_disk": true}"#);
    assert!(exec(&mut bench, "echo 1 > /new").contains("No space left on device"));
    assert!(exec(&mut bench, "cat /kept; rm /kept").contains("kept"));
    let refused = bench.create();
    assert_eq!(refused.status(), 500);
    assert!(refused.text().contains("no space left on device"));
    bench.ask("DELETE", "/_simulator/faults", "");
    assert!(!exec(&mut bench, "echo 1 > /new").contains("space"));
    assert_eq!(bench.create().status(), 201);
}

#[test]
fn pulls_are_slow_if_wanted() {
    let fault = Fault::any().pull_pause(Duration::from_secs(60));
    let mut bench = Bench::with(Simulator::from_words(&[]).unwrap().with_fault(fault).unwrap());
    let (conn, mut got) = bench.begin("POST", "/images/create?fromImage=alpine&tag=3", "");
    bench.pass(59_999, conn, &mut got);
    assert_eq!(got.text().matches("status").count(), 1);
    bench.pass(1, conn, &mut got);
    assert_eq!(got.text().matches("status").count(), 2);
    bench.pass(3_600_000, conn, &mut got);
    assert!(got.text().contains("Downloaded newer image for alpine:3"));
}

#[test]
fn clocks_jump() {
    let mut bench = Bench::new("--control");
    let body = r#"{"Image":"busybox","Cmd":["sleep","3600"]}"#;
    bench.ask("POST", "/containers/create?name=nap", body);
    bench.ask("POST", "/containers/nap/start", "");
    let status = |bench: &mut Bench| {
        let text = bench.ask("GET", "/containers/nap/json", "").text();
        text.split("\"Status\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let now = |bench: &mut Bench| bench.ask("GET", "/_simulator/clock", "").json()["now"].clone();
    assert_eq!(now(&mut bench), json!("2026-11-22T02:51:34Z"));
    bench.ask("POST", "/_simulator/clock", r#"{"set": "2030-01-01T00:00:00Z"}"#);
    assert_eq!((now(&mut bench), &*status(&mut bench)), (json!("2030-01-01T00:00:00Z"), "running"));
    bench.ask("POST", "/_simulator/clock", r#"{"jump": -60000}"#);
    assert_eq!((now(&mut bench), &*status(&mut bench)), (json!("2029-12-31T23:59:00Z"), "running"));
    bench.ask("POST", "/_simulator/clock", r#"{"advance": 3599000}"#);
    assert_eq!(status(&mut bench), "running");
    bench.ask("POST", "/_simulator/clock", r#"{"advance": 1000}"#);
    assert_eq!((now(&mut bench), &*status(&mut bench)), (json!("2030-01-01T00:59:00Z"), "exited"));
    for wrong in ["{}", r#"{"jump": 1, "advance": 1}"#, r#"{"set": "now"}"#] {
        assert_eq!(bench.ask("POST", "/_simulator/clock", wrong).status(), 400, "{wrong}");
    }
    // What happens after a jump happens in its time.
    bench.ask("POST", "/containers/nap/start", "");
    let (conn, mut got) = bench.begin("POST", "/containers/nap/wait", "");
    bench.pass(3_599_999, conn, &mut got);
    assert!(!got.text().contains("StatusCode"));
    bench.pass(1, conn, &mut got);
    assert!(got.text().contains("StatusCode"));
}

#[test]
fn a_reset_is_the_beginning() {
    let mut bench = Bench::new("--control web");
    bench.create();
    bench.ask("POST", "/_simulator/faults", r#"{"job": "info", "latency": 5}"#);
    bench.ask("POST", "/_simulator/clock", r#"{"advance": 5000}"#);
    let (conn, mut got) = bench.begin("GET", "/events", "");
    let (_, late) = bench.begin("GET", "/info", "");
    assert!(late.bytes.is_empty());
    assert_eq!(bench.ask("POST", "/_simulator/reset", "").status(), 200);
    bench.act(conn, &mut got);
    let list = bench.ask("GET", "/containers/json?all=1", "").json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(list[0]["Names"], json!(["/web"]));
    assert_eq!(bench.ask("GET", "/_simulator/faults", "").json(), json!([]));
    assert_eq!(
        bench.ask("GET", "/_simulator/clock", "").json()["now"],
        json!("2026-11-22T02:51:34Z")
    );
}
