//! The debug backend, seen from outside.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

use super::Daemon;
use crate::client::{Client, PATIENCE};

const CREATE: &str = "POST /v1.41/containers/create?name=web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
    X-Registry-Auth: c2VjcmV0\r\nContent-Length: 19\r\n\r\n{\"Image\":\"busybox\"}";

fn printed(mut daemon: Daemon) -> String {
    let mut stdout = daemon.stdout();
    daemon.signal(Signal::TERM);
    assert!(daemon.wait(PATIENCE).success());
    let mut text = String::new();
    stdout.read_to_string(&mut text).expect("stdout is text");
    text
}

/// Every job is printed with its arguments; credentials are not; the answer is the route's success.
///
/// # Panics
///
/// It is not so.
pub fn debug(binary: &Path) {
    for secrets in [false, true] {
        let mut args = vec!["--backend", "debug", "tcp://127.0.0.1:0"];
        args.extend(secrets.then_some("--show-secrets"));
        let daemon = Daemon::start_with(binary, &args, 1, Stdio::piped());
        let mut client = Client::connect(&daemon.addresses[0]);
        client.send(CREATE);
        let (head, body) = client.answer();
        assert!(head.starts_with("HTTP/1.1 201 Created\r\n") && body.is_empty(), "{head}{body}");
        client.send("HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = client.until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nApi-Version: 1.55\r\n"));
        client.send(
            "POST /containers/a%1b%5b2J/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        );
        assert!(client.rest().starts_with("HTTP/1.1 101 UPGRADED\r\n"));
        drop(client);
        let text = printed(daemon);
        for word in ["create", "name", "web", "busybox", "ping", "attach"] {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert_eq!(text.contains("c2VjcmV0"), secrets, "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}

/// In front of another backend debug shows and passes on, body and all.
///
/// # Panics
///
/// It does not.
pub fn chain(binary: &Path) {
    let args = ["--backend", "debug", "--backend", "simulator web", "tcp://127.0.0.1:0"];
    let daemon = Daemon::start_with(binary, &args, 1, Stdio::piped());
    let mut client = Client::connect(&daemon.addresses[0]);
    let (_, body) = client.get("/containers/json");
    assert!(body.contains("\"/web\""), "{body}");
    client.send(CREATE);
    let (head, body) = client.answer();
    assert!(head.starts_with("HTTP/1.1 409 ") && body.contains("already in use"), "{head}{body}");
    let (head, body) = client.get("/containers/web/checkpoints");
    assert!(head.starts_with("HTTP/1.1 501 ") && body.contains("debug, simulator"), "{head}{body}");
    assert!(client.get("/nowhere").0.starts_with("HTTP/1.1 404 "));
    drop(client);
    let text = printed(daemon);
    assert!(
        text.contains("containers") && text.contains("busybox") && text.contains("/nowhere"),
        "{text}"
    );
}

/// `swarmd --backend debug | head -1` goes on serving.
///
/// # Panics
///
/// It ends.
pub fn closed_stdout(binary: &Path) {
    let args = ["--backend", "debug", "tcp://127.0.0.1:0"];
    let mut daemon = Daemon::start_with(binary, &args, 1, Stdio::piped());
    drop(daemon.stdout());
    let mut client = Client::connect(&daemon.addresses[0]);
    for _ in 0..3 {
        assert!(client.get("/_ping").0.starts_with("HTTP/1.1 200 "));
    }
    daemon.stop();
}
