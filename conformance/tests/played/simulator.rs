//! The simulator against the recordings: what it does not pass stands in `expected/simulator.txt`, with the reason.

use std::collections::BTreeMap;

use libswarm::backend::Registry;
use libswarm::job::Engine;
use libswarm::node::Config;
use libswarm_conformance::play::{Limits, play};
use libswarm_conformance::session::Session;
use libswarm_conformance::target::Memory;

use crate::sessions;

const EXPECTED: &str = include_str!("../../expected/simulator.txt");

fn expected() -> BTreeMap<&'static str, &'static str> {
    EXPECTED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?} has no reason")))
        .collect()
}

/// A node as `swarmd --backend 'simulator --api-version 1.41 --recorded'` has one.
fn simulator(seed: Option<u64>) -> Memory {
    let (name, backend) = Registry::standard().make("simulator --api-version 1.41").unwrap();
    let mut engine = Engine::new(seed.unwrap_or(1));
    engine.push(name, backend);
    Memory::new(engine, Config::default(), seed)
}

fn played(session: &Session, seed: Option<u64>) -> Result<(), String> {
    play(session, &mut simulator(seed), Limits::default())
}

#[test]
fn the_simulator_passes_what_is_not_listed() {
    let expected = expected();
    let (mut wrong, mut passed) = (Vec::new(), 0);
    let sessions = sessions();
    for (name, session) in &sessions {
        match (played(session, None), expected.get(name.as_str())) {
            (Ok(()), Some(_)) => wrong.push(format!("{name}: passes, and is listed")),
            (Err(why), None) => wrong.push(format!("{name}: {why}")),
            (Err(_), Some(_)) => {}
            (Ok(()), None) => match (0..2).find_map(|seed| played(session, Some(seed)).err()) {
                None => passed += 1,
                Some(why) => wrong.push(format!("{name}, cut: {why}")),
            },
        }
    }
    for name in expected.keys().filter(|name| !sessions.contains_key(**name)) {
        wrong.push(format!("{name}: is listed, and there is no such session"));
    }
    println!("{passed} of {} pass", sessions.len());
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
