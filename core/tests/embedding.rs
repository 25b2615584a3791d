//! The event loop of `examples/poll_loop.rs`, with what docker sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example's path: cargo builds examples before it runs all tests, into a folder beside theirs, but not before it runs
/// this one alone.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package=libswarm",
            "--example=poll_loop",
            "--profile",
            profile,
        ])
        .status()
        .expect("cargo runs");
    assert!(built.success());
    folder.join("examples/poll_loop")
}

fn start(words: &str) -> (Running, String) {
    let child = Command::new(example())
        .args(["127.0.0.1:0", words])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example is built");
    let mut running = Running(child);
    let stdout = running.0.stdout.take().expect("it is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
    let address = line.trim().strip_prefix("listening on tcp://").expect("an address").to_owned();
    (running, address)
}

/// Sends `request`, and reads until the program closes.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn docker_ps() {
    let (_running, address) = start("simulator web db");
    // As docker 28 sends it, on one connection.
    let answer = ask(
        &address,
        "HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.2.2 (linux)\r\n\r\n\
         GET /v1.50/containers/json HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.2.2 (linux)\r\n\r\n",
    );
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answer}");
    assert!(
        answer.contains("Api-Version: 1.55")
            && answer.contains("\"/web\"")
            && answer.contains("\"/db\"")
    );

    // A stream without an end, which the half-close ends, beside a client that says nothing.
    let silent = TcpStream::connect(&address).unwrap();
    let answer = ask(&address, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\n0\r\n\r\n"), "{answer}");
    drop(silent);
    assert!(ask(&address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
}
