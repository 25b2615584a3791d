//! `swarm-conformance run` where there is nothing to run against, or nothing to run.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Exit code, and what was said on stderr.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_swarm-conformance")).args(args).output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "{args:?} takes {:?}", start.elapsed());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A server that reads what comes and says that, if it says anything.
fn server(says: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            match says {
                Some(says) => drop(stream.write_all(says)),
                None => held.push(stream),
            }
        }
    });
    address
}

#[test]
fn a_target_that_is_not_there() {
    let (code, said) = run(&["run", "--target", "unix:///no/such.sock"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("cannot connect to unix:///no/such.sock"), "{said}");
    let (code, said) = run(&["matrix", "--target", "nobody=unix:///no/such.sock"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("cannot connect to"), "{said}");
}

#[test]
fn a_target_that_never_answers() {
    let address = server(None);
    let (code, said) = run(&["run", "--target", &address, "--timeout", "1"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("no answer within 1 s"), "{said}");
}

#[test]
fn a_target_whose_answer_never_ends() {
    for (says, again) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n"[..]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(says);
            // Not for ever, so that this test fails rather than hangs.
            for _ in 0..250 {
                thread::sleep(Duration::from_millis(100));
                let _ = stream.write_all(again);
            }
        });
        let (code, said) = run(&["run", "--target", &address, "--timeout", "1"]);
        assert_eq!(code, Some(2));
        assert!(said.contains("no answer within 1 s"), "{said}");
    }
}

#[test]
fn a_target_that_is_no_engine() {
    for (says, word) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "no HTTP answer came, but \"SSH-2.0"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "is no Docker engine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", "is no JSON"),
    ] {
        let address = server(Some(says));
        let (code, said) = run(&["run", "--target", &address, "--timeout", "2"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_session_that_cannot_be_read() {
    let file = std::env::temp_dir().join(format!("swarm-{}.session", std::process::id()));
    let name = file.to_string_lossy().into_owned();
    std::fs::write(&file, "swarm-session 1\nname: x\n\n0.001 1 open\nend 2\n").unwrap();
    let address = server(None);
    let (code, said) = run(&["run", "--target", &address, &name]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(code, Some(2));
    assert!(said.contains(&name) && said.contains("line"), "{said}");
}

#[test]
fn what_nobody_has_recorded() {
    let (code, said) = run(&["run", "--target", "unix://x.sock", "--scenario", "nosuch*"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("no session fits") && said.contains("nosuch*"), "{said}");
    let (code, said) = run(&["matrix", "--target", "unix://x.sock"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("NAME=ADDRESS"), "{said}");
}
