//! What a real engine answered to `inspect`, recorded with the sessions, is a state file's entry: the simulator takes it and
//! answers the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use libswarm::Instant;
use libswarm::backend::Simulator;
use libswarm::job::{Backend, Engine, Job, Status};
use libswarm_conformance::session::{Session, Side};
use libswarm_conformance::wire::exchanges;
use serde_json::{Value, json};

/// Answers of a real engine, each with the key that it has in a state file and the job that it answered.
fn recorded() -> Vec<(String, &'static str, &'static str, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sessions");
    let mut found = Vec::new();
    for client in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if !client.is_dir() {
            continue;
        }
        for file in fs::read_dir(&client).unwrap().map(|entry| entry.unwrap().path()) {
            let session: Session = fs::read_to_string(&file).unwrap().parse().unwrap();
            for connection in session.connections() {
                let (asked, said) = (
                    session.stream(connection, Side::Client),
                    session.stream(connection, Side::Engine),
                );
                for exchange in exchanges(&asked, &said) {
                    let Some(answer) = &exchange.response else { continue };
                    let target = exchange.request.start.split(' ').nth(1).unwrap_or_default();
                    let path = target.split('?').next().unwrap_or_default();
                    let path: Vec<&str> = path
                        .split('/')
                        .skip(1)
                        .skip_while(|part| part.starts_with("v1."))
                        .collect();
                    let (key, job) = match path[..] {
                        ["containers", _, "json"] => ("containers", "container_inspect"),
                        ["images", .., "json"] if path.len() > 2 => ("images", "image_inspect"),
                        ["networks", id] if id != "create" => ("networks", "network_inspect"),
                        ["volumes", name] if name != "create" => ("volumes", "volume_inspect"),
                        _ => continue,
                    };
                    if exchange.request.method() == "GET"
                        && answer.status() == 200
                        && let Ok(value) = serde_json::from_slice(&answer.body)
                    {
                        found.push((file.display().to_string(), key, job, value));
                    }
                }
            }
        }
    }
    found
}

/// The parts of an answer that are the same when the thing was made by a state file.
fn lasting(key: &str, mut answer: Value) -> Value {
    let fields: &[&str] = match key {
        "containers" => {
            // A program that ended in the recording may run here, and has another number.
            let (running, code) =
                (answer["State"]["Running"].clone(), answer["State"]["ExitCode"].clone());
            answer["State"] = json!([running, code]);
            &[
                "Id",
                "Created",
                "Name",
                "State",
                "Image",
                "RestartCount",
                "HostConfig",
                "Mounts",
                "Config",
            ]
        }
        "images" => &[
            "Id",
            "RepoTags",
            "Comment",
            "Created",
            "Author",
            "Config",
            "Size",
            "RootFS",
            "Container",
        ],
        "networks" => &[
            "Name",
            "Id",
            "Created",
            "Driver",
            "IPAM",
            "Internal",
            "Attachable",
            "Options",
            "Labels",
        ],
        _ => &["Name", "CreatedAt", "Driver", "Labels", "Mountpoint", "Options", "Scope"],
    };
    fields.iter().map(|field| ((*field).to_owned(), answer[field].clone())).collect()
}

#[test]
fn what_a_real_engine_shows_makes_a_world() {
    let recorded = recorded();
    for (key, at_least) in [("containers", 50), ("images", 10), ("networks", 5), ("volumes", 1)] {
        let count = recorded.iter().filter(|(_, found, ..)| *found == key).count();
        assert!(count >= at_least, "{count} of {key} are recorded");
    }
    let mut differences = Vec::new();
    for (file, key, job, answer) in &recorded {
        let mut simulator = Simulator::from_words(&["--api-version=1.41".to_owned()]).unwrap();
        let state = serde_json::to_vec_pretty(&json!({*key: [answer]})).unwrap();
        simulator
            .load("state", &state)
            .unwrap_or_else(|error| panic!("{file}: {error}\n{}", String::from_utf8_lossy(&state)));
        let mut engine = Engine::new(5);
        engine.set_epoch(Duration::from_secs(1_795_315_894));
        engine.push("simulator", Box::new(simulator));
        let name = answer["Id"].as_str().or(answer["Name"].as_str()).unwrap();
        let id = engine.start(Instant::ZERO, Job::new(*job).with_arg(name), 0);
        let output = engine.output(id).unwrap();
        assert_eq!(output.status, Some(&Status::Ok), "{file}: {name}");
        let shown: Value = serde_json::from_slice(output.whole.as_deref().unwrap()).unwrap();
        let (shown, answer) = (lasting(key, shown), lasting(key, answer.clone()));
        let (mut here, mut there) = (Vec::new(), Vec::new());
        leaves(&shown, "", &mut here);
        leaves(&answer, "", &mut there);
        for leaf in &there {
            if !here.contains(leaf) {
                differences.push(format!("{file}: recorded and not shown: {leaf}"));
            }
        }
        for leaf in &here {
            if !there.contains(leaf) {
                differences.push(format!("{file}: shown and not recorded: {leaf}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}\n{}", differences.len(), differences.join("\n"));
}

/// All that is said, each with its place.
fn leaves(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                leaves(value, &format!("{place}.{key}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (nth, value) in items.iter().enumerate() {
                leaves(value, &format!("{place}[{nth}]"), found);
            }
        }
        other => found.push(format!("{place}: {other}")),
    }
}
