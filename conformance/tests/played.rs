//! All recorded sessions, played against engines in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libswarm_conformance::play::{Limits, play};
use libswarm_conformance::session::Session;
use libswarm_conformance::target::Mirror;

/// By client and scenario.
fn sessions() -> BTreeMap<String, Session> {
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
                all.insert(name, fs::read_to_string(file).unwrap().parse().unwrap());
            }
        }
    }
    all
}

#[test]
fn a_recording_passes_against_itself() {
    let failures: Vec<String> = sessions()
        .iter()
        .filter_map(|(name, session)| {
            let difference = play(session, &mut Mirror::new(session), Limits::default()).err()?;
            Some(format!("{name}: {difference}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}
