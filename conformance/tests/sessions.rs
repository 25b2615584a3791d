//! All recorded sessions, replayed in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libswarm_conformance::replay::through_forward;
use libswarm_conformance::session::Session;

/// By client and scenario.
fn sessions() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sessions");
    let mut all = BTreeMap::new();
    for client in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if !client.is_dir() {
            continue;
        }
        for file in fs::read_dir(&client).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "session") {
                let name = format!(
                    "{}/{}",
                    client.file_name().unwrap().to_string_lossy(),
                    file.file_stem().unwrap().to_string_lossy()
                );
                all.insert(name, fs::read_to_string(file).unwrap());
            }
        }
    }
    all
}

#[test]
fn forward_passes_on_what_was_recorded() {
    let sessions = sessions();
    let mut failures = Vec::new();
    for (name, text) in &sessions {
        let session: Session = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(session.to_string(), *text, "{name} is not written as the recorder writes it");
        // Each session has seeds of its own.
        let seeds = (0..3).map(|seed| Some(seed * 1000 + text.len() as u64));
        for seed in std::iter::once(None).chain(seeds) {
            if let Err(difference) = through_forward(&session, seed) {
                failures.push(format!("{name}, seed {seed:?}: {difference}"));
                break;
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        sessions.len(),
        failures.join("\n")
    );
}
