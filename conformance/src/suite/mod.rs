//! The shipped sessions, and a run of them against an engine that somebody may need afterwards.

mod engine;
mod needs;
mod report;
mod rootfs;

use std::time::Duration;

use libswarm::address::Remote;

use crate::play::free::fits;
use crate::play::{Limits, play_and_tell};
use crate::session::Session;
use crate::target::Sockets;
use engine::Engine;
use needs::Needs;

pub use report::{Format, matrix, report};

/// A session that comes with this crate.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// The client that was recorded.
    pub client: &'static str,
    /// What it did.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// All that come with this crate, in the order of clients and names.
pub const SHIPPED: &[Shipped] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// What is to be run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which clients; `*` stands for anything.
    pub client: String,
    /// Which scenarios.
    pub scenario: String,
    /// Also what prunes, or lists everything, on an engine that is not empty.
    pub destructive: bool,
    /// The tar of a busybox, if it is not to be made here.
    pub rootfs: Option<String>,
    /// So long the engine has for each step.
    pub step: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client: "*".to_owned(),
            scenario: "*".to_owned(),
            destructive: false,
            rootfs: None,
            step: Limits::default().step,
        }
    }
}

/// How a scenario went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The engine answered as the recorded one did.
    Passed,
    /// The first difference.
    Failed(String),
    /// Why it was not run.
    Skipped(String),
}

/// A scenario and how it went.
#[derive(Clone, Debug)]
pub struct Line {
    /// The client that was recorded.
    pub client: String,
    /// What it did.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// A session by the name of its client and its own.
pub type Named = (String, String, Session);

/// Those of the shipped sessions that are asked for.
///
/// # Errors
///
/// There are none.
pub fn chosen(options: &Options) -> Result<Vec<Named>, String> {
    let all: Vec<Named> = SHIPPED
        .iter()
        .filter(|shipped| {
            fits(&options.client, shipped.client) && fits(&options.scenario, shipped.name)
        })
        .map(|shipped| {
            let session = shipped
                .text
                .parse()
                .map_err(|error| format!("{}/{}, {error}", shipped.client, shipped.name))?;
            Ok((shipped.client.to_owned(), shipped.name.to_owned(), session))
        })
        .collect::<Result<_, String>>()?;
    if all.is_empty() {
        return Err(format!(
            "no session fits client {:?} and scenario {:?}; `swarm-conformance list` names them all",
            options.client, options.scenario
        ));
    }
    Ok(all)
}

/// Plays sessions against the engine at `remote`, and tells of each as it ends. What is made there is removed again;
/// what was there before is left alone, and a scenario that cannot is skipped.
///
/// # Errors
///
/// Nobody is there, it is no Docker engine, or the image that the sessions need cannot be made.
pub fn run(
    remote: &Remote,
    sessions: &[Named],
    options: &Options,
    mut tell: impl FnMut(&Line),
) -> Result<Vec<Line>, String> {
    let engine = Engine::new(remote.clone(), options.step);
    engine.ping()?;
    let imported = engine.import_images(options.rootfs.as_deref())?;
    let lines = sessions
        .iter()
        .map(|(client, name, session)| {
            let start = std::time::Instant::now();
            let outcome = one(&engine, session, &imported, options);
            let (client, name) = (client.clone(), name.clone());
            let outcome = match outcome {
                Outcome::Failed(why) => Outcome::Failed(format!("{client} would notice: {why}")),
                other => other,
            };
            let line = Line { client, name, outcome, took: start.elapsed() };
            tell(&line);
            line
        })
        .collect();
    for image in imported {
        engine.remove_image(&image);
    }
    Ok(lines)
}

fn one(engine: &Engine, session: &Session, imported: &[String], options: &Options) -> Outcome {
    let needs = Needs::of(session);
    let before = match engine.inventory() {
        Ok(before) => before,
        Err(why) => {
            return Outcome::Failed(format!("what the engine holds cannot be listed: {why}"));
        }
    };
    if let Some(image) = needs
        .images_used
        .iter()
        .find(|image| before.images.values().flatten().all(|tag| tag != *image))
    {
        return Outcome::Skipped(format!("the engine has no image {image}"));
    }
    if !options.destructive {
        if let Some(taken) = before.taken(&needs, imported) {
            return Outcome::Skipped(format!("{taken} is there and not ours"));
        }
        if needs.everything && !before.is_empty(imported) {
            let why =
                "it prunes or lists everything, and the engine is not empty; --destructive runs it";
            return Outcome::Skipped(why.to_owned());
        }
    }
    let mut target = Sockets::new(engine.remote.clone(), options.step);
    let limits = Limits { step: options.step, label: true, ..Limits::default() };
    let (result, ids) = play_and_tell(session, &mut target, limits);
    drop(target);
    engine.clean(&before, &needs, &ids);
    // A scenario may have removed what the next ones need.
    if imported.iter().any(|image| needs.images.contains(image))
        && let Err(why) = engine.import_images(options.rootfs.as_deref())
    {
        return Outcome::Failed(why);
    }
    match result {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}
