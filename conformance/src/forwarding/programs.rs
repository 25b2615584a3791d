//! Programs with docker's libraries, and docker-compose: run at the engine itself and through a daemon.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::commands::SIMULATOR;
use super::normal::{normal, of_machine};
use crate::daemon::{Daemon, Folder};
use crate::engine::{Engine, skip, which};
use crate::live::dockers;

/// A program with docker-py: the Python of `SWARM_PYTHON`, or `python3`, which needs the package `docker`.
///
/// # Panics
///
/// It sees something else through the daemon, or fails.
pub fn docker_py(binary: &Path) {
    run_docker_py(binary, None);
}

/// The same at a simulated engine.
///
/// # Panics
///
/// As [`docker_py`].
pub fn docker_py_simulated(binary: &Path) {
    run_docker_py(binary, Some(SIMULATOR));
}

fn run_docker_py(binary: &Path, simulator: Option<&str>) {
    let python = std::env::var("SWARM_PYTHON").unwrap_or_else(|_| String::from("python3"));
    let program = include_str!("../../clients/docker_py.py");
    let probe = ["-c", "import docker.api, websocket"];
    same((binary, simulator), "docker-py", &python, &probe, program, 25);
}

/// A program with dockerode, in a node that finds it (`NODE_PATH`).
///
/// # Panics
///
/// It sees something else through the daemon, or fails.
pub fn dockerode(binary: &Path) {
    run_dockerode(binary, None);
}

/// The same at a simulated engine.
///
/// # Panics
///
/// As [`dockerode`].
pub fn dockerode_simulated(binary: &Path) {
    run_dockerode(binary, Some(SIMULATOR));
}

fn run_dockerode(binary: &Path, simulator: Option<&str>) {
    let program = include_str!("../../clients/dockerode.js");
    let probe = ["-e", "require('dockerode')"];
    same((binary, simulator), "dockerode", "node", &probe, program, 20);
}

/// A daemon in front of the engine, or a simulated engine with the same image, at TCP and at a unix socket.
fn start((binary, simulator): (&Path, Option<&str>), engine: &Engine, unix: &str) -> Daemon {
    let forward = format!("forward {}", engine.unix);
    let backend = simulator.unwrap_or(&forward);
    let daemon = Daemon::start(binary, &["--backend", backend, "tcp://127.0.0.1:0", unix], 2);
    if simulator.is_some()
        && let Some(docker) = dockers().first()
    {
        engine.import_into(unix, docker);
    }
    daemon
}

/// Runs a program of that text at the engine and through the daemon, over a unix socket and over TCP; it has to succeed and
/// to print the same, of `least` lines.
fn same(
    daemon: (&Path, Option<&str>),
    name: &str,
    runs: &str,
    probe: &[&str],
    program: &str,
    least: usize,
) {
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
    let simulated = daemon.1.is_some();
    let daemon = start(daemon, &engine, &unix);
    let output = |host: &str| {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "120", runs, &file]).env("DOCKER_HOST", host);
        let said = checked(&mut command, &format!("{name} at {host}"));
        if simulated { of_machine(&said) } else { said }
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
    run_compose(binary, None);
}

/// The same at a simulated engine.
///
/// # Panics
///
/// As [`compose`].
pub fn compose_simulated(binary: &Path) {
    run_compose(binary, Some(SIMULATOR));
}

fn run_compose(binary: &Path, simulator: Option<&str>) {
    if which("docker-compose").is_none() {
        return skip("there is no docker-compose: install Debian's");
    }
    let Some(engine) = Engine::start() else { return };
    let folder = Folder::new();
    let services = folder.file("docker-compose.yml");
    fs::write(&services, include_str!("../../clients/docker-compose.yml"))
        .expect("a file can be written");
    let unix = format!("unix://{}", folder.file("swarm.sock"));
    let daemon = start((binary, simulator), &engine, &unix);
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
