//! The simulator in a daemon, held against what was recorded from a real engine.

use std::collections::BTreeSet;
use std::path::Path;

use crate::client::Client;
use crate::daemon::{Daemon, Folder};
use crate::suite::{Options, Outcome, chosen, run};

/// Those that need not pass, with reasons.
const EXPECTED: &str = include_str!("../expected/simulator.txt");

/// All shipped sessions pass against a simulator behind that binary's sockets, but for those that are listed; fewer than three in
/// a hundred may be. They take minutes, since clients pause as they did: only with `SWARM_LIVE=required` in the environment.
///
/// # Panics
///
/// Some do not.
pub fn sessions(binary: &Path) {
    if !crate::engine::says("required") {
        println!("skipped: all sessions are played with SWARM_LIVE=required in the environment");
        return;
    }
    let folder = Folder::new();
    let unix = format!("unix://{}", folder.file("swarm.sock"));
    let line = "simulator --api-version 1.41 --bridge none --offline";
    let daemon = Daemon::start(binary, &["--backend", line, &unix], 1);
    // The sessions bring an image of their own.
    let mut client = Client::connect(&unix);
    client.send("DELETE /images/busybox HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = client.answer();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}{body}");

    let options = Options { again: 1, ..Options::default() };
    let all = chosen(&options).expect("sessions are shipped");
    let listed: BTreeSet<&str> = EXPECTED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": ").map(|(name, _)| name))
        .collect();
    assert!(listed.len() * 100 < 3 * all.len(), "{} of {} are listed", listed.len(), all.len());
    let address = unix.parse().expect("it is an address");
    let lines = run(&address, &all, &options, |_| {}).expect("somebody is there");
    let wrong: Vec<String> = lines
        .iter()
        .filter(|line| line.outcome != Outcome::Passed)
        .map(|line| (format!("{}/{}", line.client, line.name), &line.outcome))
        .filter(|(name, _)| !listed.contains(name.as_str()))
        .map(|(name, outcome)| format!("{name}: {outcome:?}"))
        .collect();
    daemon.stop();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Makes the test of all sessions, for the binary at that path.
#[macro_export]
macro_rules! imitation_tests {
    ($binary:expr) => {
        $crate::suites!(imitation, std::path::Path::new($binary); sessions);
    };
}
