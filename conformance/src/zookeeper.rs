//! A `discoverd` on a real `ZooKeeper`, held to what it promises by a client written apart, in Python.
//!
//! Without a `ZooKeeper` (Debian's `zookeeper`) the tests say that they are skipped, unless the environment has
//! `SWARM_LIVE=required`, as CI sets it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine::{program, skip};

/// Makes the tests with a `ZooKeeper`, for the `discoverd` at that path.
#[macro_export]
macro_rules! zookeeper_tests {
    ($binary:expr) => {
        $crate::suites!(zookeeper, std::path::Path::new($binary); scenarios alone sessions secured cluster);
    };
}

/// What runs a `ZooKeeper`: `java`, and the archive that has it where Debian puts it.
#[must_use]
pub fn installed() -> Option<(PathBuf, &'static str)> {
    let jar = "/usr/share/java/zookeeper.jar";
    program("java").filter(|_| Path::new(jar).is_file()).map(|java| (java, jar))
}

/// Why a test is skipped.
pub const MISSING: &str = "there is no ZooKeeper: install Debian's zookeeper";

fn run(test: &str, binary: &Path) {
    let Some((java, jar)) = installed() else { return skip(MISSING) };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("discovery/zookeeper.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(test).arg(java).arg(jar).arg(binary);
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
    run("scenarios", binary);
}

/// A server that is there before its `ZooKeeper`, and after it.
///
/// # Panics
///
/// It does not find it, or does not say so.
pub fn alone(binary: &Path) {
    run("alone", binary);
}

/// Sessions that are lost, and instances that move from one server to the other.
///
/// # Panics
///
/// Something that lives is told to be gone, or the servers differ.
pub fn sessions(binary: &Path) {
    run("sessions", binary);
}

/// A name and a password, and a place of one's own.
///
/// # Panics
///
/// Somebody gets in who should not, or does not who should.
pub fn secured(binary: &Path) {
    run("secured", binary);
}

/// Two servers on three of `ZooKeeper`'s: a hundred services and a hundred subscribers, while a leader, a quorum and a server are
/// lost.
///
/// # Panics
///
/// Something that lives is told to be gone, is told twice, or is not told.
pub fn cluster(binary: &Path) {
    run("cluster", binary);
}
