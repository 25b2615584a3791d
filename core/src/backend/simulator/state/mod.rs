//! State files: a world to begin with, and the world as it was at the end.
//!
//! `simulator --state engine.json` begins with what the file describes, `--save engine.json` writes the world there when the
//! daemon has stopped. Both have one form, a JSON object whose keys are all optional, as are the keys of what is in it:
//!
//! - `containers`, `images`, `networks`, `volumes`: lists of what the engine's API answers to `GET /containers/{id}/json`,
//!   `/images/{name}/json`, `/networks/{id}` and `/volumes/{name}`, so that `docker inspect` of a real engine makes an entry.
//!   Keys that nothing follows from are passed over, and so are nulls.
//! - `faults`: what is to go wrong; see [`Fault`].
//!
//! A file that begins to be useful:
//!
//! ```
//! use libswarm::backend::Simulator;
//! use libswarm::job::Backend;
//!
//! let words = ["--state".to_string(), "engine.json".to_string()];
//! let mut simulator = Simulator::from_words(&words).unwrap();
//! let file = br#"{
//!   "images": [{
//!     "RepoTags": ["redis:7"],
//!     "Behaviour": {
//!       "output": [{"after": 120, "text": "Ready to accept connections\n"}],
//!       "signals": {"TERM": 0}
//!     }
//!   }],
//!   "containers": [
//!     {"Name": "cache", "Config": {"Image": "redis:7"}},
//!     {"Name": "job", "Config": {"Image": "redis:7", "Cmd": ["sh"]}, "State": {"Status": "exited", "ExitCode": 137}}
//!   ],
//!   "volumes": [{"Name": "data", "Labels": {"tier": "back"}}]
//! }"#;
//! simulator.load("engine.json", file).unwrap();
//!
//! let wrong = br#"{"containers": [
//!   {"State": {"Status": "runing"}}
//! ]}"#;
//! assert_eq!(
//!     simulator.load("engine.json", wrong).unwrap_err(),
//!     "engine.json:2: containers[0].State.Status: \"runing\" is no state: use one of created, running, paused, restarting, \
//!      removing, exited, dead"
//! );
//! ```
//!
//! What is not said is as it would be if a client had just made the thing: ids are drawn, addresses given out, an image has
//! what a registry would have under its name. A container without `State` runs. Without `images` there is `busybox:latest`;
//! with it there is what it lists, and what containers are made of.
//!
//! # Programs
//!
//! A container that runs has its program started anew. An image (or a single container) may have a
//! [`Behaviour`](super::process::Behaviour): what it prints and when, how it answers stdin and signals, how it ends. It is
//! what containers of that image do that run the image's own command, or one that the simulator does not have; with a
//! command that it has (`sh`, `cat`…) they run that. What runs in a file and can be neither run nor has a behaviour does
//! nothing, and ends on TERM, INT and QUIT with 0.
//!
//! # What is not kept
//!
//! Logs, the contents of files, execs, the past's events, and how an image's layers came to be.

mod document;
mod load;
mod load_containers;
mod load_images;
mod place;
mod save;

use alloc::format;
use alloc::string::String;
use core::time::Duration;
use serde_json::Value;

use super::faults::Fault;
use super::world::World;
use crate::time::Instant;
use document::Document;
use place::{Place, Problem};

pub(super) use save::save;

/// A state file that has been read and found good.
#[derive(Default, Debug)]
pub(super) struct State {
    document: Document,
}

impl State {
    /// Reads a state file. `names` are the containers that are made behind those of the file, and `no_bridge` says that the
    /// engine has no default network, whatever the file says.
    pub(super) fn read(
        file: &str,
        text: &[u8],
        names: &[String],
        no_bridge: bool,
    ) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| format!("{file}:{}: it is no JSON: {error}", error.line()))?;
        let value = document::without_nulls(value);
        let read = || -> Result<Self, Problem> {
            let root = Place::default();
            if !value.is_object() {
                return Err(root.problem("a state file is one JSON object: write {} at least"));
            }
            let state = Self { document: place::read(&value, &root)? };
            for (nth, fault) in state.document.faults.iter().enumerate() {
                fault.check().map_err(|words| root.key("faults").nth(nth).problem(words))?;
            }
            // Whether it makes a world does not depend on the hour.
            let mut world = World::new(Duration::ZERO, Instant::ZERO, 0);
            if no_bridge {
                world.networks.remove_bridge();
            }
            world.furnish(&state.document)?;
            for name in names {
                if world.containers.named(name).is_some() {
                    let words = format!("the container {name:?} is among the backend's words, too");
                    return Err(root.key("containers").problem(words));
                }
            }
            Ok(state)
        };
        read().map_err(|problem| problem.report(file, text))
    }

    /// Makes in an empty world what the file describes.
    pub(super) fn furnish(&self, world: &mut World) {
        // It has been tried before.
        let _ = world.furnish(&self.document);
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.document.faults
    }
}

#[cfg(test)]
mod tests;
