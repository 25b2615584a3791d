//! The shipped sessions against the engine that they were recorded from.

use std::process::Command;

use libswarm_conformance::engine::Engine;
use libswarm_conformance::live::dockers;
use libswarm_conformance::suite::{Options, Outcome, chosen, matrix, run};

#[test]
fn a_real_engine_passes_what_was_recorded_from_one() {
    let Some(engine) = Engine::start() else { return };
    // The sessions bring an image of their own.
    let docker = dockers().remove(0);
    let removed = Command::new(docker).args(["-H", &engine.unix, "rmi", "busybox"]).status();
    assert!(removed.unwrap().success());
    let options = Options { again: 1, ..Options::default() };
    let sessions = chosen(&options).unwrap();
    let lines = run(&engine.unix.parse().unwrap(), &sessions, &options, |_| {}).unwrap();
    let wrong: Vec<String> = lines
        .iter()
        .filter(|line| line.outcome != Outcome::Passed)
        .map(|line| format!("{}/{}: {:?}", line.client, line.name, line.outcome))
        .collect();
    println!("{}", matrix(&[("dockerd".to_owned(), lines)]));
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
