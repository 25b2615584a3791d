//! Every command of the README, run as it is written: `cargo run` of what cargo has built for this test, and the docker
//! command, where there is one, from this machine.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libswarm::words::split;
use libswarm_conformance::daemon::{Daemon, Folder};
use libswarm_conformance::engine::{program, skip};
use libswarm_conformance::live::dockers;

const README: &str = include_str!("../../README.md");

/// The contents of the blocks of that language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// Builds a program as this test was built, and says where it is.
fn build(words: &[&str]) -> PathBuf {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile])
        .args(words)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "{words:?}");
    let folder = Path::new(env!("CARGO_BIN_EXE_swarmd")).parent().expect("target/PROFILE");
    match words {
        ["--example", name] => folder.join("examples").join(name),
        [_, name] => folder.join(name),
        other => panic!("{other:?} is no program"),
    }
}

/// The README's ports that are taken, each with a free one: who reads it may have its daemons running.
fn ports() -> Vec<(u16, u16)> {
    let taken =
        (4242..4251).chain([1111]).filter(|port| TcpStream::connect(("localhost", *port)).is_ok());
    let free: Vec<_> = taken
        .map(|port| (port, TcpListener::bind("127.0.0.1:0").expect("there are free ports")))
        .collect();
    free.iter()
        .map(|(port, held)| (*port, held.local_addr().expect("it is bound").port()))
        .collect()
}

#[test]
fn every_command_works() {
    let dockers = dockers();
    let folder = Folder::new();
    std::env::set_current_dir(folder.path()).expect("a folder for relative sockets");
    let mut running: Vec<Daemon> = Vec::new();
    let (mut programs, mut commands) = (0, 0);
    let ports = ports();
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let line = &ports.iter().fold(line.to_owned(), |line, (written, free)| {
            let line = line.replace(&format!(":{written}"), &format!(":{free}"));
            line.replace(&format!("-p {written} "), &format!("-p {free} "))
        });
        let words = split(line).expect("a line of shell words");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["cargo", "test", "--workspace"] => {}
            ["cargo", "run", "--release", kind, name @ "swarm-conformance", "--", args @ ..] => {
                programs += 1;
                let program = build(&[kind, name]);
                if dockers.is_empty() {
                    continue;
                }
                let output = Command::new(program)
                    .args(args)
                    .env("DOCKER_CONFIG", folder.path())
                    .env_remove("DOCKER_HOST")
                    .output()
                    .expect("it runs");
                let error = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {error}");
            }
            ["cargo", "run", "--release", kind, name, "--", args @ ..] => {
                programs += 1;
                let program = build(&[kind, name]);
                if args.contains(&"--routes") {
                    let output = Command::new(program).args(args).output().expect("it runs");
                    assert!(output.status.success() && output.stdout.len() > 5000, "{line}");
                    continue;
                }
                let frontends = args
                    .iter()
                    .filter(|arg| {
                        ["tcp://", "unix://", "discoverd://"].iter().any(|it| arg.starts_with(it))
                    })
                    .count();
                running.push(if *name == "poll_loop" {
                    poll_loop(&program, args)
                } else {
                    Daemon::start(&program, args, frontends)
                });
            }
            ["docker", args @ ..] => {
                for docker in &dockers {
                    commands += 1;
                    let output = Command::new(docker)
                        .args(args)
                        .env("DOCKER_CONFIG", folder.path())
                        .env_remove("DOCKER_HOST")
                        .output()
                        .expect("docker runs");
                    let error = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success() && error.is_empty(), "{line}: {error}");
                    let lines = output.stdout.split(|byte| *byte == b'\n').count();
                    let shown = output.stdout.len() > 2 && (!line.ends_with("ps") || lines > 2);
                    assert!(shown, "{line} shows nothing: {}", output.stdout.escape_ascii());
                }
            }
            [tool @ ("curl" | "dig"), args @ ..] => {
                let Some(program) = program(tool) else {
                    skip(&format!("there is no {tool}: install Debian's curl and bind9-dnsutils"));
                    continue;
                };
                let output = Command::new(program)
                    .args(args)
                    .args((*tool == "curl").then_some("--fail-with-body"))
                    .output()
                    .expect("it runs");
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{line}: {said}");
                assert!(
                    args.contains(&"PUT") || said.trim().len() > 5,
                    "{line} shows nothing: {said}"
                );
            }
            _ => panic!("the test does not know how to run {line:?}"),
        }
    }
    assert!(programs >= 11 && commands >= 12 * dockers.len(), "{programs} {commands}");
}

/// This one says where it listens on its standard output.
fn poll_loop(program: &Path, args: &[&str]) -> Daemon {
    let daemon = Daemon::start_with(program, args, 0, Stdio::null());
    let address = args[0];
    for _ in 0..1000 {
        if TcpStream::connect(address).is_ok() {
            return daemon;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nobody listens at {address}");
}

#[test]
fn the_backend_it_shows_is_the_example() {
    let example = include_str!("../examples/mybackend.rs");
    let (_, program) =
        example.split_once("\n\n").expect("a line of documentation, then the program");
    assert!(blocks("rust").iter().any(|block| block.trim() == program.trim()), "{program}");
}

#[test]
fn help_lists_a_backend_of_one_s_own() {
    let output =
        Command::new(build(&["--example", "mybackend"])).arg("--help").output().expect("it runs");
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(
        help.contains("mybackend [NAME...]") && help.contains("lists its words as containers"),
        "{help}"
    );
}

#[test]
fn its_loop_is_as_short_as_it_says() {
    let lines = include_str!("../../core/examples/poll_loop.rs").lines().count();
    assert!(lines < 150 && README.contains(&format!("poll(2) in {lines} lines")), "{lines}");
}

#[test]
fn its_rust_is_that_of_examples() {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let examples = [
        lines(include_str!("../examples/mybackend.rs")),
        lines(include_str!("../../runtime-std/examples/clients.rs")),
    ];
    for block in blocks("rust") {
        let wanted = lines(&block);
        // An example has a frame around it.
        let has = |example: &Vec<String>| {
            let mut rest = example.iter();
            wanted.iter().all(|line| rest.any(|other| other == line))
        };
        assert!(examples.iter().any(has), "no example is\n{block}");
    }
}
