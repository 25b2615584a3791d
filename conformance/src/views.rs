//! One view through every door of a `discoverd`: the RPC in both codecs, HTTP, server-sent events, DNS; on each store.
//!
//! Stores that are servers of their own are skipped where these are missing, unless the environment has
//! `SWARM_LIVE=required`, as CI sets it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine::{program, skip};
use crate::zookeeper;

/// Makes the tests with all doors, for the `discoverd` at that path.
#[macro_export]
macro_rules! views_tests {
    ($binary:expr) => {
        $crate::suites!(views, std::path::Path::new($binary); memory journal etcd zookeeper);
    };
}

fn run(store: &str, binary: &Path, arguments: &[&OsStr]) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("discovery/views.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(store).arg(binary).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("python3 can be run");
    assert!(
        output.status.success(),
        "{store}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// One server that keeps nothing on disk.
///
/// # Panics
///
/// A door shows something else than the others.
pub fn memory(binary: &Path) {
    run("memory", binary, &[]);
}

/// One server with a journal.
///
/// # Panics
///
/// As [`memory`].
pub fn journal(binary: &Path) {
    run("journal", binary, &[]);
}

/// Two servers on one etcd.
///
/// # Panics
///
/// As [`memory`].
pub fn etcd(binary: &Path) {
    match program("etcd") {
        Some(etcd) => run("etcd", binary, &[etcd.as_os_str()]),
        None => skip("there is no etcd: install Debian's etcd-server"),
    }
}

/// Two servers on one `ZooKeeper`.
///
/// # Panics
///
/// As [`memory`].
pub fn zookeeper(binary: &Path) {
    match zookeeper::installed() {
        Some((java, jar)) => run("zookeeper", binary, &[java.as_os_str(), jar.as_ref()]),
        None => skip(zookeeper::MISSING),
    }
}
