//! All recorded sessions, replayed in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libswarm_conformance::replay::through_forward;
use libswarm_conformance::session::{Session, Side, What};
use libswarm_conformance::wire::{Form, Message, exchanges};

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

/// Whether a client or the engine ended one half of a connection, or it left HTTP.
fn is_hijacked(session: &Session) -> bool {
    session.events.iter().any(|event| matches!(event.what, What::End(_)))
        || answers(session).iter().any(|message| message.form == Form::Raw)
}

fn answers(session: &Session) -> Vec<Message> {
    let conns = session.connections().flat_map(|conn| {
        let sides = [Side::Client, Side::Engine].map(|side| session.stream(conn, side));
        exchanges(&sides[0], &sides[1])
    });
    conns.filter_map(|exchange| exchange.response).collect()
}

#[test]
fn the_sessions_are_many_and_of_many_clients() {
    let sessions: Vec<(String, Session)> =
        sessions().into_iter().map(|(name, text)| (name, text.parse().unwrap())).collect();
    let mut clients = BTreeMap::<&str, usize>::new();
    for (name, session) in &sessions {
        let (client, scenario) = name.split_once('/').unwrap();
        assert_eq!(session.header("client"), Some(client));
        assert_eq!(session.header("name"), Some(scenario));
        *clients.entry(client).or_default() += 1;
    }
    let hijacked = sessions.iter().filter(|(_, session)| is_hijacked(session)).count();
    let errors = sessions
        .iter()
        .filter(|(_, session)| answers(session).iter().any(|message| message.status() >= 400))
        .count();
    println!("{} sessions, {hijacked} hijacked, {errors} with errors, {clients:?}", sessions.len());
    assert!(sessions.len() > 250 && hijacked >= 60 && errors >= 100, "{hijacked} {errors}");
    assert!(clients.len() >= 5 && clients.values().all(|count| *count >= 20), "{clients:?}");
}

#[test]
fn a_recording_has_no_credentials_and_no_paths_of_its_machine() {
    for (name, text) in sessions() {
        for word in ["/tmp/", "/home/", "/root/", "X-Registry-Auth: ey", "password\":\"s"] {
            let found =
                text.lines().find(|line| !line.starts_with("command: ") && line.contains(word));
            // What happens inside of a container is its own business.
            let found =
                found.filter(|line| !line.contains("/tmp/f") && !line.contains("path=%2Ftmp"));
            assert_eq!(found, None, "{name}: {word}");
        }
        let mut session: Session = text.parse().unwrap();
        session.redact();
        assert_eq!(session.to_string(), text, "{name} is not redacted");
    }
}
