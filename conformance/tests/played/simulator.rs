//! The simulator against the recordings: what it does not pass stands in `expected/simulator.txt`, with the reason.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use libswarm::backend::Registry;
use libswarm::job::Engine;
use libswarm::node::Config;
use libswarm_conformance::play::{Limits, play};
use libswarm_conformance::session::Session;
use libswarm_conformance::target::{Memory, Said, Target};

use crate::sessions;

const EXPECTED: &str = include_str!("../../expected/simulator.txt");

fn expected() -> BTreeMap<&'static str, &'static str> {
    EXPECTED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?} has no reason")))
        .collect()
}

/// A node as `swarmd --backend 'simulator --api-version 1.41'` has one, with the images that were there when the sessions
/// were recorded.
fn simulator(seed: Option<u64>) -> Memory {
    let (name, backend) =
        Registry::standard().make("simulator --api-version 1.41 --bridge none --offline").unwrap();
    let mut engine = Engine::new(seed.unwrap_or(1));
    engine.push(name, backend);
    let mut config = Config::default();
    // Some time of which times before are long ago.
    config.epoch = Duration::from_secs(1_790_000_000);
    let mut target = Memory::new(engine, config, seed);
    ask(&mut target, u32::MAX, "DELETE /images/busybox", &[]);
    for (conn, (image, tar)) in (u32::MAX - 9..).zip(images()) {
        ask(&mut target, conn, &format!("POST /images/create?fromSrc=-&repo={image}"), tar);
    }
    target
}

/// The query behind a name, and a tar.
fn images() -> &'static [(&'static str, Vec<u8>)] {
    static IMAGES: OnceLock<[(&str, Vec<u8>); 2]> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let links: Vec<(String, &[u8])> =
            APPLETS.iter().map(|name| (format!("bin/{name}"), &b"\x7fELF"[..])).collect();
        let files: Vec<(&str, &[u8])> =
            links.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        [
            (
                "busybox&tag=latest&changes=CMD%20%5B%22sh%22%5D",
                tar(&["bin", "tmp", "etc"], &files),
            ),
            (
                "tiny&tag=latest&changes=CMD%20%5B%22%2Fhello%22%5D",
                tar(&["data"], &[("hello", b"hello\n")]),
            ),
        ]
    })
}

/// What the sessions' containers run: a file that is a program, by its name.
const APPLETS: [&str; 33] = [
    "busybox", "sh", "cat", "echo", "sleep", "true", "false", "head", "tail", "wc", "yes", "touch",
    "tty", "hostname", "pwd", "id", "ls", "env", "date", "kill", "ps", "top", "stty", "mkdir",
    "rm", "cp", "mv", "grep", "sed", "seq", "rmdir", "ln", "dd",
];

fn tar(folders: &[&str], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    };
    folders.iter().for_each(|name| add(name, tar::EntryType::Directory, b""));
    files.iter().for_each(|(name, content)| add(name, tar::EntryType::Regular, content));
    tar.into_inner().unwrap()
}

/// One request, on a connection that no session has.
fn ask(target: &mut Memory, conn: u32, line: &str, body: &[u8]) {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    target.open(conn).unwrap();
    target.send(conn, head.as_bytes());
    target.send(conn, body);
    let mut got = Vec::new();
    while let Some(Said::Data(_, bytes)) = target.next(Duration::from_secs(5)) {
        got.extend_from_slice(&bytes);
    }
    assert!(got.starts_with(b"HTTP/1.1 200 "), "{line}: {}", got.escape_ascii());
    target.close(conn);
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
