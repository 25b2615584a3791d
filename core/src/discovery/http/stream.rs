//! Events as they go to those who follow services (the HTML standard, section 9.2, "Server-sent events").

use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::answer::{Meta, Shown, json};
use super::error::Error;
use crate::discovery::{Document, Event};

/// What a stream tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// All services, and which there are.
    All,
    /// One of them.
    Service,
    Instances,
    Leader,
}

/// The headers of a stream. Nobody in between is to keep it, or to wait for more of it.
pub(super) const HEADERS: &[u8] = b"Content-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\n\
    X-Accel-Buffering: no\r\n\
    X-Content-Type-Options: nosniff\r\n";

/// Browsers come back after so many milliseconds.
pub(super) const START: &[u8] = b"retry: 1000\n\n";
/// What is said when there has been nothing to say for [`QUIET`].
pub(super) const COMMENT: &[u8] = b": keep-alive\n\n";
/// A stream says something at least so often.
pub(super) const QUIET: Duration = Duration::from_secs(15);

#[derive(Serialize)]
struct Told<'a> {
    service: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_meta: Option<Option<Meta<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<bool>,
}

impl<'a> Told<'a> {
    const fn new(service: &'a str, kind: &'a str) -> Self {
        Self { service, kind, instance: None, service_meta: None, leader_type: None, resumed: None }
    }

    /// An event as a stream of that shape tells it, if it does. `service` is the one that it is about.
    fn of(event: &'a Event, shape: Shape, service: &'a str) -> Option<Self> {
        let (kind, instance) = match event {
            Event::Online(it) => ("up", it),
            Event::Updated(it) => ("update", it),
            Event::Offline(it) => ("down", it),
            Event::Leader(it) => ("leader", it),
            Event::Leaderless(name) => {
                return (shape != Shape::Instances).then(|| Self::new(name, "leader"));
            }
            Event::Document(name, Document::Meta, kept) => {
                let service_meta = Some(kept.as_ref().map(Meta::from));
                let told = Self { service_meta, ..Self::new(name, "service_meta") };
                return matches!(shape, Shape::All | Shape::Service).then_some(told);
            }
            Event::Document(name, Document::Service, kept) => {
                let kind = if kept.is_some() { "service_created" } else { "service_deleted" };
                let leader_type = kept.as_ref().map(|kept| &*kept.text);
                let told = Self { leader_type, ..Self::new(name, kind) };
                return (shape == Shape::All).then_some(told);
            }
            Event::Document(_, Document::Leader, _) => return None,
            Event::Current | Event::Resumed => {
                let resumed = (*event == Event::Resumed).then_some(true);
                let told = Self { resumed, ..Self::new(service, "current") };
                return (shape != Shape::Leader).then_some(told);
            }
        };
        let is_leader = kind == "leader";
        let is_told = match shape {
            Shape::All | Shape::Service => true,
            Shape::Instances => !is_leader,
            Shape::Leader => is_leader,
        };
        let told = Self::new(&instance.service, kind);
        is_told.then(|| Self { instance: Some(Shown::from(&**instance)), ..told })
    }
}

/// An event as it goes out: nothing, if a stream of that shape does not tell it.
pub(super) fn event(event: &Event, shape: Shape, service: &str, id: Option<&str>) -> Vec<u8> {
    let Some(told) = Told::of(event, shape, service) else { return Vec::new() };
    let mut out = Vec::with_capacity(256);
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    data(&json(&told), &mut out);
    out
}

/// Why a stream ends.
pub(super) fn error(error: &Error) -> Vec<u8> {
    let mut out = b"event: error\n".to_vec();
    data(&json(error), &mut out);
    out
}

/// In JSON a line break can only stand where a space could.
fn data(json: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend(json.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend_from_slice(b"\n\n");
}
