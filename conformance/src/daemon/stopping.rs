//! SIGTERM and SIGINT.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Daemon, Folder};
use crate::client::{Client, PATIENCE};

/// It stops accepting, ends endless streams cleanly and at once, lets the rest finish, and exits with 0.
///
/// # Panics
///
/// It does not.
pub fn stops(binary: &Path) {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = Folder::new();
        let unix = format!("unix://{}", folder.file("a.sock"));
        let mut daemon = Daemon::start(binary, &["tcp://127.0.0.1:0", &unix], 2);
        for address in daemon.addresses.clone() {
            let mut events = Client::connect(&address);
            events.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
            events.until("\r\n\r\n");
            let mut idle = Client::connect(&address);
            idle.get("/_ping");
            // Half a request: it may still be sent, and is answered.
            let mut late = Client::connect(&address);
            late.send("GET /_ping HTTP/1.1\r\nHo");
            if address == unix {
                continue;
            }
            // Nothing answers half a request, so nothing says that it has come.
            std::thread::sleep(Duration::from_millis(300));
            let start = Instant::now();
            daemon.signal(signal);
            assert_eq!(events.until("0\r\n\r\n"), "0\r\n\r\n");
            assert_eq!(events.rest(), "");
            assert_eq!(idle.rest(), "");
            assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
            late.send("st: x\r\n\r\n");
            let (head, body) = late.answer();
            assert!(head.contains("Connection: close") && body == "OK", "{head}{body}");
            drop((events, idle, late));
            let status = daemon.wait(PATIENCE);
            assert!(status.success(), "{status}: {}", daemon.said());
            assert!(Client::try_connect(&address).is_err());
            assert!(!folder.path().join("a.sock").exists());
            break;
        }
    }
}

/// Hijacked streams get the shutdown timeout; a second signal ends that at once.
///
/// # Panics
///
/// They do not.
pub fn second_signal(binary: &Path) {
    let attach = "POST /containers/web/attach HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    // A body that never comes keeps the request open, as a hijacked stream would.
    let args = ["--backend", "debug", "--shutdown-timeout", "1500ms", "tcp://127.0.0.1:0"];
    let mut daemon = Daemon::start(binary, &args, 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    client.send(attach.replace("/containers/web/attach", "/containers/create"));
    // The daemon has the request once it answers another one.
    Client::connect(&daemon.addresses[0]).get("/_ping");
    let start = Instant::now();
    daemon.signal(Signal::TERM);
    assert!(daemon.wait(PATIENCE).success());
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1400) && took < Duration::from_secs(5), "{took:?}");

    let args = ["--backend", "debug", "--shutdown-timeout", "60", "tcp://127.0.0.1:0"];
    let mut daemon = Daemon::start(binary, &args, 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    client.send(attach.replace("/containers/web/attach", "/containers/create"));
    Client::connect(&daemon.addresses[0]).get("/_ping");
    daemon.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    daemon.signal(Signal::TERM);
    let status = daemon.wait(PATIENCE);
    assert_eq!(status.code(), Some(128 + 15), "{status}");
    assert!(start.elapsed() < Duration::from_secs(3));
}
