//! Ports and socket files.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use rustix::process::Signal;

use super::{Daemon, Folder, run};
use crate::client::{Client, PATIENCE};

/// Port 0 picks one; IPv6 and names are addresses too.
///
/// # Panics
///
/// It does not.
pub fn ports(binary: &Path) {
    let daemon = Daemon::start(binary, &["tcp://127.0.0.1:0", "tcp://localhost:0"], 2);
    for address in &daemon.addresses {
        assert!(!address.ends_with(":0"), "{address}");
        assert!(Client::connect(address).get("/_ping").1 == "OK");
    }
    daemon.stop();
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let daemon = Daemon::start(binary, &["tcp://[::1]:0"], 1);
    assert!(daemon.addresses[0].starts_with("tcp://[::1]:"), "{:?}", daemon.addresses);
    assert!(Client::connect(&daemon.addresses[0]).get("/_ping").1 == "OK");
    daemon.stop();
}

/// A unix socket has mode 0660, is removed at the end if it is still ours, and never taken from a living owner.
///
/// # Panics
///
/// It is not so.
pub fn unix(binary: &Path) {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let address = format!("unix://{path}");
    let daemon = Daemon::start(binary, &[&address], 1);
    assert_eq!(daemon.addresses, std::slice::from_ref(&address));
    let metadata = fs::metadata(&path).expect("the socket is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);

    let (code, _, err) = run(binary, &[&address]);
    assert!(code == 1 && err.contains(&path), "{err}");
    assert_eq!(Client::connect(&address).get("/_ping").1, "OK");
    daemon.stop();
    assert!(!Path::new(&path).exists(), "it removes its socket");

    let daemon = Daemon::start(binary, &[&address], 1);
    fs::remove_file(&path).expect("somebody removes it");
    fs::write(&path, "not yours").expect("and puts something else there");
    daemon.stop();
    assert_eq!(fs::read_to_string(&path).expect("that stays"), "not yours");
}

/// What a killed daemon left is taken over.
///
/// # Panics
///
/// It is not.
pub fn taken_over(binary: &Path) {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let address = format!("unix://{path}");
    let mut daemon = Daemon::start(binary, &[&address], 1);
    daemon.signal(Signal::KILL);
    daemon.wait(PATIENCE);
    assert!(Path::new(&path).exists(), "a killed daemon leaves its socket");
    let daemon = Daemon::start(binary, &[&address], 1);
    assert_eq!(Client::connect(&address).get("/_ping").1, "OK");
    daemon.stop();
}
