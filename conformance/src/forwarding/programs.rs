//! Programs with docker's libraries, and docker-compose: run at the engine itself and through a daemon.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::normal::normal;
use crate::daemon::{Daemon, Folder};
use crate::engine::{Engine, skip, which};

/// A program with docker-py: the Python of `SWARM_PYTHON`, or `python3`, which needs the package `docker`.
///
/// # Panics
///
/// It sees something else through the daemon, or fails.
pub fn docker_py(binary: &Path) {
    let python = std::env::var("SWARM_PYTHON").unwrap_or_else(|_| String::from("python3"));
    let program = include_str!("../../clients/docker_py.py");
    let probe = ["-c", "import docker.api, websocket"];
    same(binary, "docker-py", &python, &probe, program, 25);
}

/// A program with dockerode, in a node that finds it (`NODE_PATH`).
///
/// # Panics
///
/// It sees something else through the daemon, or fails.
pub fn dockerode(binary: &Path) {
    let program = include_str!("../../clients/dockerode.js");
    same(binary, "dockerode", "node", &["-e", "require('dockerode')"], program, 20);
}

/// Runs a program of that text at the engine and through the daemon, over a unix socket and over TCP; it has to succeed and
/// to print the same, of `least` lines.
fn same(binary: &Path, name: &str, runs: &str, probe: &[&str], program: &str, least: usize) {
    let found = Command::new(runs).args(probe).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return skip(&format!("{runs} does not find {name}"));
    }
    let Some(engine) = Engine::start() else { return };
    let folder = Folder::new();
    // Neither a module's name nor a kind of module is decided by it.
    let file = folder.file("program");
    fs::write(&file, program).expect("a file can be written");
    let unix = format!("unix://{}", folder.file("swarm.sock"));
    let backend = format!("forward {}", engine.unix);
    let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0", &unix], 2);
    let output = |host: &str| {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "120", runs, &file]).env("DOCKER_HOST", host);
        checked(&mut command, &format!("{name} at {host}"))
    };
    for (direct, through) in [(&engine.tcp, &daemon.addresses[0]), (&engine.unix, &unix)] {
        let expected = output(direct);
        assert!(expected.lines().count() >= least, "{name} says little: {expected}");
        assert_eq!(output(through), expected, "{name} through {through}");
    }
    daemon.stop();
}

/// What it printed, ids and times made the same.
fn checked(command: &mut Command, what: &str) -> String {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().expect("timeout runs");
    let said = String::from_utf8_lossy(&stderr);
    let text = String::from_utf8_lossy(&stdout);
    assert!(status.success(), "{what}: {status}\n{text}{said}");
    normal(&text)
}

/// docker-compose with two services: up, their log, exec, the whole list, down.
///
/// # Panics
///
/// It prints something else through the daemon, or fails.
pub fn compose(binary: &Path) {
    if which("docker-compose").is_none() {
        return skip("there is no docker-compose: install Debian's");
    }
    let Some(engine) = Engine::start() else { return };
    let folder = Folder::new();
    let services = folder.file("docker-compose.yml");
    fs::write(&services, include_str!("../../clients/docker-compose.yml"))
        .expect("a file can be written");
    let backend = format!("forward {}", engine.unix);
    let unix = format!("unix://{}", folder.file("swarm.sock"));
    let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0", &unix], 2);
    let run = |host: &str| -> Vec<String> {
        let commands: [&[&str]; 8] = [
            &["config"],
            &["up", "-d"],
            &["exec", "-T", "web", "sh", "-c", "cat /greeting; echo from exec"],
            &["logs", "--no-color", "job"],
            &["run", "--rm", "-T", "job", "echo", "from run"],
            &["ps"],
            &["stop", "-t", "0"],
            &["down", "-v", "--rmi", "local"],
        ];
        commands
            .iter()
            .map(|args| {
                let mut command = Command::new("timeout");
                command
                    .args(["-k", "5", "120", "docker-compose", "-p", "swarm", "-f", &services])
                    .args(*args)
                    .env("DOCKER_HOST", host);
                checked(&mut command, &format!("docker-compose {args:?} at {host}"))
            })
            .collect()
    };
    let expected = run(&engine.unix);
    assert!(
        expected[2].contains("hello\nfrom exec") && expected[3].contains("done"),
        "{expected:?}"
    );
    for host in &daemon.addresses {
        assert_eq!(run(host), expected, "docker-compose through {host}");
    }
    daemon.stop();
}
