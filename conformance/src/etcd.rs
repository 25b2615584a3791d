//! A `discoverd` on a real etcd, held to what it promises by a client written apart, in Python.
//!
//! Without an etcd (Debian's `etcd-server`) the tests say that they are skipped, unless the environment has
//! `SWARM_LIVE=required`, as CI sets it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine::{program, skip};
use crate::keys::Keys;

/// Makes the tests with an etcd, for the `discoverd` at that path.
#[macro_export]
macro_rules! etcd_tests {
    ($binary:expr) => {
        $crate::suites!(etcd, std::path::Path::new($binary); scenarios documents alone cluster secured);
    };
}

fn run(test: &str, binary: &Path, keys: Option<&str>) {
    let Some(etcd) = program("etcd") else {
        return skip("there is no etcd: install Debian's etcd-server");
    };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("discovery/etcd.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(test).arg(etcd).arg(binary).args(keys);
    let output = command.stdin(Stdio::null()).output().expect("python3 can be run");
    assert!(
        output.status.success(),
        "{test}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What must hold on any store.
///
/// # Panics
///
/// It does not.
pub fn scenarios(binary: &Path) {
    run("scenarios", binary, None);
}

/// What HTTP keeps beside instances, at two servers.
///
/// # Panics
///
/// They do not agree, or something is lost.
pub fn documents(binary: &Path) {
    if program("curl").is_none() {
        return skip("there is no curl: install Debian's curl");
    }
    run("documents", binary, None);
}

/// A server that is there before its etcd, and after it.
///
/// # Panics
///
/// It does not find it, or does not say so.
pub fn alone(binary: &Path) {
    run("alone", binary, None);
}

/// Two servers on three members: a hundred services and a hundred subscribers, while a leader, a quorum and a server are lost.
///
/// # Panics
///
/// Something that lives is told to be gone, is told twice, or is not told.
pub fn cluster(binary: &Path) {
    run("cluster", binary, None);
}

/// TLS with certificates on both sides, users and passwords.
///
/// # Panics
///
/// Somebody gets in who should not, or does not who should.
pub fn secured(binary: &Path) {
    if let Some(keys) = Keys::new() {
        // Its gateway is a client of its own with the server's certificate.
        let extensions =
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth";
        keys.sign("etcd", "etcd", extensions);
        // And where there are users, it refuses clients' certificates that have a name.
        keys.sign("nameless", "", "extendedKeyUsage=clientAuth");
        let ca = keys.file("ca.pem");
        run("secured", binary, ca.strip_suffix("/ca.pem"));
    }
}
