//! A daemon with a backend of its own.

use std::process::ExitCode;

use libswarm::JobId;
use libswarm::backend::Registry;
use libswarm::job::{Backend, Cx, Event};
use serde_json::json;

/// Lists its words as containers.
struct MyBackend {
    names: Vec<String>,
}

impl Backend for MyBackend {
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
        match event {
            Event::Start(asked) if asked.name() == "containers" => {
                let list = self
                    .names
                    .iter()
                    .map(|name| json!({"Id": name, "Names": [format!("/{name}")]}));
                cx.reply_json(job, &list.collect::<Vec<_>>());
            }
            Event::Start(_) => cx.pass(job),
            _ => {}
        }
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::standard();
    registry.add("mybackend", "[NAME...]", "lists its words as containers", |words| {
        Ok(Box::new(MyBackend { names: words.to_vec() }))
    });
    libswarm_smol::main(registry)
}
