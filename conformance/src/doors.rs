//! The doors of a `discoverd` that are not the RPC: HTTP with curl, and its page in a real Chromium.
//!
//! Without curl or Chromium (Debian's `curl` and `chromium`) the tests say that they are skipped, unless the environment has
//! `SWARM_LIVE=required`, as CI sets it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::client::PATIENCE;
use crate::daemon::{Daemon, Folder};
use crate::discovery::{place, start};
use crate::engine::{program, skip};
use crate::loopback::free_address;

/// Makes the tests of the doors, for the `discoverd` at that path.
#[macro_export]
macro_rules! doors_tests {
    ($binary:expr) => {
        $crate::suites!(doors, std::path::Path::new($binary); curl survives page);
    };
}

fn run(script: &str, args: &[&str]) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("discovery").join(script);
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).args(args);
    let output = command.stdin(Stdio::null()).output().expect("python3 can be run");
    assert!(
        output.status.success(),
        "{args:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn has_curl() -> bool {
    let has = program("curl").is_some();
    if !has {
        skip("there is no curl: install Debian's curl");
    }
    has
}

/// All that curl can ask, its streams, and what the RPC makes of it.
///
/// # Panics
///
/// It is answered otherwise.
pub fn curl(binary: &Path) {
    if !has_curl() {
        return;
    }
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    for scenario in ["life", "errors", "streams", "seventy"] {
        run("curl.py", &[scenario, &place(&daemon)]);
    }
    daemon.stop();
}

/// Services, metadata and named leaders are there after a SIGKILL.
///
/// # Panics
///
/// They are not.
pub fn survives(binary: &Path) {
    if !has_curl() {
        return;
    }
    let folder = Folder::new();
    let mut daemon = start(binary, &folder, &free_address().to_string());
    run("curl.py", &["before", &place(&daemon)]);
    daemon.signal(Signal::KILL);
    daemon.wait(PATIENCE);
    let daemon = start(binary, &folder, &place(&daemon));
    run("curl.py", &["after", &place(&daemon)]);
    daemon.stop();
}

/// The page; what it looks like is kept as `page.png` in the target folder.
///
/// # Panics
///
/// It does not show what is there.
pub fn page(binary: &Path) {
    let Some(chromium) = program("chromium") else {
        return skip("there is no browser: install Debian's chromium");
    };
    let mut command = Command::new(binary);
    command.args(["-bind", "127.0.0.1:0", "-store", "memory", "--ttl", "60s"]);
    command.env("EXTERNAL_IP", "127.0.0.1");
    let daemon = Daemon::start_command(&mut command, 1);
    let target = binary.ancestors().nth(2).expect("it was built by cargo");
    let text = |path: &Path| path.to_str().expect("it is UTF-8").to_owned();
    let (image, pid) = (text(&target.join("page.png")), daemon.pid().as_raw_nonzero().to_string());
    run("page.py", &[&text(&chromium), &place(&daemon), &pid, &image]);
    daemon.stop();
}
