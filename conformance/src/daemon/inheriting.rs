//! Sockets that others have made, and groups.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::geteuid;

use super::{Daemon, Folder, run};
use crate::client::Client;
use crate::engine::{skip, which};

/// Puts two files where systemd puts them, whatever their numbers were.
const SCRIPT: &str = "exec 200<&$0 201<&$1; exec 3<&200 4<&201 200<&- 201<&-; shift
                      LISTEN_PID=$$ exec \"$@\"";

/// `fd://`: sockets as systemd passes them, all of them or by name or number; their files stay.
///
/// # Panics
///
/// It is otherwise.
pub fn inherited(binary: &Path) {
    if which("bash").is_none() {
        return skip("there is no bash");
    }
    let folder = Folder::new();
    let path = folder.file("passed.sock");
    let unix = UnixListener::bind(&path).expect("a socket can be made");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("tcp://{}", tcp.local_addr().expect("it has an address"));
    for (addresses, expected) in [
        (&["fd://"][..], &[format!("unix://{path}"), address.clone()][..]),
        (&["fd://net"], std::slice::from_ref(&address)),
        (&["fd://4", "fd://api"], &[address.clone(), format!("unix://{path}")]),
    ] {
        // A shell says which process it is, and becomes the daemon.
        let mut command = Command::new("bash");
        command
            .args(["-c", SCRIPT])
            .args([number(&unix), number(&tcp)])
            .arg(binary)
            .args(addresses)
            .env("LISTEN_FDS", "2")
            .env("LISTEN_FDNAMES", "api:net");
        let daemon = Daemon::start_command(&mut command, expected.len());
        assert_eq!(daemon.addresses, expected, "{addresses:?}");
        for address in expected {
            assert_eq!(Client::connect(address).get("/_ping").1, "OK");
        }
        daemon.stop();
        assert!(fs::symlink_metadata(&path).is_ok(), "it was not the daemon's to remove");
    }
    let (code, _, said) = run(binary, &["fd://"]);
    assert!(code == 1 && said.contains("LISTEN_FDS"), "{said}");
    // As a unit with Accept=yes passes it.
    let connection = TcpStream::connect(tcp.local_addr().expect("it has an address"));
    let connection = connection.expect("it listens");
    let output = Command::new("bash")
        .args(["-c", SCRIPT])
        .args([number(&unix), number(&connection)])
        .arg(binary)
        .arg("fd://4")
        .env("LISTEN_FDS", "2")
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("Accept=no"), "{said}");
}

/// The number of a file that whoever is started may use, too.
fn number(socket: &(impl AsFd + AsRawFd)) -> String {
    fcntl_setfd(socket, FdFlags::empty()).expect("it is open");
    socket.as_raw_fd().to_string()
}

/// `--group`: unix sockets are that group's, and its alone.
///
/// # Panics
///
/// They are not.
pub fn groups(binary: &Path) {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let unix = format!("unix://{path}");
    let (code, _, said) = run(binary, &["--group", "no-such-group", &unix]);
    assert!(code == 1 && said.contains("--group no-such-group: /etc/group"), "{said}");
    if !geteuid().is_root() {
        return skip("only root may give a socket to any group");
    }
    for (group, id) in [("daemon", 1), ("4242", 4242)] {
        let daemon = Daemon::start(binary, &["-G", group, &unix], 1);
        let metadata = fs::symlink_metadata(&path).expect("the socket is there");
        assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (id, 0o660), "{group}");
        daemon.stop();
    }
}

/// `--log-format json`: every line on stderr is an object.
///
/// # Panics
///
/// It is not.
pub fn json(binary: &Path) {
    let args = ["--log-format", "json", "--tlscert", "x", "--tls", "tcp://127.0.0.1:0"];
    let (code, _, wrong) = run(binary, &args);
    let unused = ["--log-format=json", "--show-secrets", "tcp://nosuch.invalid:0"];
    let (_, _, unknown) = run(binary, &unused);
    for (text, level, word) in
        [(&wrong, "error", "--tlscert"), (&unknown, "error", "nosuch.invalid")]
    {
        let last = text.lines().last().expect("it says why it ends");
        let line: serde_json::Value = serde_json::from_str(last).expect("it is an object");
        assert_eq!((code, line["level"].as_str()), (1, Some(level)), "{text}");
        assert!(line["msg"].as_str().is_some_and(|text| text.contains(word)), "{text}");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{text}");
    }
}
