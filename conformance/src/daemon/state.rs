//! State files and the control, seen from outside.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Daemon, Folder, run};
use crate::client::Client;

/// A document, whole: HTTP/1.0 has no chunks.
fn get(address: &str, target: &str) -> Value {
    let mut client = Client::connect(address);
    client.send(format!("GET {target} HTTP/1.0\r\nHost: x\r\n\r\n"));
    let (said, _) = client.drain();
    let said = String::from_utf8_lossy(&said);
    let (head, body) = said.split_once("\r\n\r\n").expect("an answer has a head");
    assert!(head.contains(" 200 "), "{target}: {said}");
    serde_json::from_str(body).expect("an answer is JSON")
}

/// What a client made is there again in the next daemon.
///
/// # Panics
///
/// It is not.
pub fn kept(binary: &Path) {
    let folder = Folder::new();
    let (first, second) = (folder.file("first.json"), folder.file("second.json"));
    let state = r#"{"containers": [{"Name": "db", "Config": {"Image": "postgres:16"}}]}"#;
    fs::write(&first, state).expect("a file can be written");
    let backend = format!("simulator --state {first} --save {second} web");
    let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0"], 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    let list = get(&daemon.addresses[0], "/containers/json");
    assert_eq!((&list[0]["Names"], &list[1]["Names"]), (&json!(["/web"]), &json!(["/db"])));
    client.send(
        "POST /volumes/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n\
         {\"Name\":\"mine\"}",
    );
    assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    drop(client);
    daemon.stop();

    let backend = format!("simulator --state {second} --save {second}");
    let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0"], 1);
    for target in ["/containers/web/json", "/containers/db/json", "/volumes/mine"] {
        get(&daemon.addresses[0], target);
    }
    let again = get(&daemon.addresses[0], "/containers/json");
    assert_eq!(again[0]["Id"], list[0]["Id"], "the same containers");
    daemon.stop();
}

/// A state file that is wrong, missing or cannot be written ends the daemon, and the reason is said.
///
/// # Panics
///
/// It does not, or the reason is not said.
pub fn unusable(binary: &Path) {
    let folder = Folder::new();
    let file = folder.file("engine.json");
    let start = |words: &str| {
        let backend = format!("simulator {words}");
        run(binary, &["--backend", &backend, "tcp://127.0.0.1:0"])
    };
    let (code, _, said) = start(&format!("--state {file}"));
    assert!(code == 1 && said.contains(&format!("cannot read {file}: No such file")), "{said}");
    fs::write(&file, "{\n \"containers\": [{\"Name\": 5}]\n}").expect("a file can be written");
    let (code, _, said) = start(&format!("--state {file}"));
    let place =
        format!("{file}:2: containers[0].Name: invalid type: integer `5`, expected a string");
    assert!(code == 1 && said.contains(&place), "{said}");
    let (code, _, said) = start("--state");
    assert!(code != 0 && said.contains("--state needs a file, such as engine.json"), "{said}");
}

/// An engine that dies cuts its clients' connections and takes none, and then it is back.
///
/// # Panics
///
/// It is not so.
pub fn dying(binary: &Path) {
    let args = ["--backend", "simulator --control web", "tcp://127.0.0.1:0"];
    let daemon = Daemon::start(binary, &args, 1);
    let post = |place: &str, body: &str| {
        let mut client = Client::connect(&daemon.addresses[0]);
        client.send(format!(
            "POST /_simulator/{place} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client
    };
    let mut events = Client::connect(&daemon.addresses[0]);
    events.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(events.until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
    let (said, _) = post("faults", r#"{"down": 300}"#).drain();
    assert_eq!(said, b"", "it died with the request");
    let (said, _) = events.drain();
    assert!(!said.ends_with(b"0\r\n\r\n"), "{}", said.escape_ascii());
    let mut tries = 0;
    loop {
        let mut client = Client::connect(&daemon.addresses[0]);
        let request =
            std::io::Write::write_all(&mut client, b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n");
        if request.is_ok() && client.drain().0.starts_with(b"HTTP/1.") {
            break;
        }
        tries += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(tries > 2, "it was back after {tries} attempts");
    let (head, body) = post("reset", "").answer();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}{body}");
    daemon.stop();
}
