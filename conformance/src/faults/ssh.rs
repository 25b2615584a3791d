//! An ssh command that fails.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::bench::{is_error, leaves_nothing};
use crate::client::{Client, PATIENCE};
use crate::daemon::{Daemon, Folder};
use crate::engine::{skip, which};

const GET: &str = "GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n";

/// A daemon for which `ssh` is that script.
fn start(binary: &Path, folder: &Folder, script: &str) -> Daemon {
    let mut command = with_ssh(folder, script, Command::new(binary));
    command
        .args(["--log-level", "error", "--backend", "forward ssh://me@nowhere.invalid:2222"])
        .arg("tcp://127.0.0.1:0");
    Daemon::start_command(&mut command, 1)
}

fn with_ssh(folder: &Folder, script: &str, mut command: Command) -> Command {
    let ssh = folder.path().join("ssh");
    fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).expect("a file can be written");
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).expect("it is ours");
    let path = std::env::join_paths(
        std::iter::once(folder.path().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    command.env("PATH", path.expect("folders without colons"));
    command
}

fn repeat(daemon: &Daemon, row: &str, ask: impl Fn(Client)) {
    leaves_nothing(daemon, row, || ask(Client::connect(&daemon.addresses[0])));
}

/// It ends without a connection: 502, with what it said on stderr.
///
/// # Panics
///
/// It is something else, or something is left.
pub fn broken_ssh(binary: &Path) {
    for (script, words) in [
        (
            "echo \"$*: Permission denied (publickey).\" >&2; exit 255",
            &["-l me -p 2222", "-- nowhere.invalid docker system dial-stdio", "(publickey)", "255"]
                [..],
        ),
        ("head -c 10 >/dev/null; echo lost >&2; exit 1", &["lost", "status: 1"]),
        ("exec >&-; echo late >&2; sleep 0.02; exit 3", &["late", "status: 3"]),
        ("exit 7", &["status: 7", "said nothing"]),
    ] {
        let folder = Folder::new();
        let daemon = start(binary, &folder, script);
        repeat(&daemon, script, |mut client| {
            client.send(GET);
            let message = is_error(&mut client, 502, script);
            for word in words {
                assert!(message.contains(word), "{script}: {message}");
            }
        });
        daemon.stop();
    }
    // Where there is no such command at all.
    let mut command = Command::new(binary);
    command.args(["--backend", "forward ssh://nowhere.invalid", "tcp://127.0.0.1:0"]);
    let daemon = Daemon::start_command(command.env("PATH", "/nonexistent"), 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    client.send(GET);
    let message = is_error(&mut client, 502, "no ssh");
    assert!(message.contains("cannot run ssh"), "{message}");
    daemon.stop();
}

/// It does not connect in the time that is set for that: 504.
///
/// # Panics
///
/// It is something else, or it takes longer.
pub fn late_ssh(binary: &Path) {
    let ask = |command: &mut Command, limit: &str, address: &str| {
        let backend = format!("forward --connect-timeout {limit} {address}");
        command.args(["--log-level", "error", "--backend", &backend, "tcp://127.0.0.1:0"]);
        let daemon = Daemon::start_command(command, 1);
        let mut client = Client::connect(&daemon.addresses[0]);
        client.send(GET);
        let message = is_error(&mut client, 504, address);
        daemon.stop();
        message
    };
    let folder = Folder::new();
    let script = "echo \"$*: Connection timed out\" >&2; exit 255";
    for (limit, seconds) in [("100ms", 1), ("2s", 2), ("1m1ms", 61)] {
        let mut command = with_ssh(&folder, script, Command::new(binary));
        let message = ask(&mut command, limit, "ssh://nowhere.invalid");
        assert!(message.contains(&format!("-o ConnectTimeout={seconds} -T")), "{message}");
    }
    if which("ssh").is_none() {
        return skip("there is no ssh command");
    }
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = silent.local_addr().expect("it has an address").port();
    let start = Instant::now();
    let message = ask(&mut Command::new(binary), "1s", &format!("ssh://127.0.0.1:{port}"));
    assert!(message.contains("timed out") && start.elapsed() < PATIENCE, "{message}");
}

/// It ends in the middle of an answer, or its client goes while it waits.
///
/// # Panics
///
/// The answer looks whole, or the command is left.
pub fn ssh_breaks_off(binary: &Path) {
    let folder = Folder::new();
    let head = "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\nab\\r\\n";
    let script = format!("head -c 50 >/dev/null; printf '{head}'; echo lost >&2; exit 255");
    let daemon = start(binary, &folder, &script);
    repeat(&daemon, "in an answer", |mut client| {
        client.send(GET);
        let (got, ended) = client.drain();
        assert!(!ended && !got.ends_with(b"0\r\n\r\n"), "{}", got.escape_ascii());
    });
    daemon.stop();

    let daemon = start(binary, &folder, "exec cat >/dev/null");
    repeat(&daemon, "a client that goes", |mut client| {
        client.send(GET);
        client.reset();
    });
    daemon.stop();
}
