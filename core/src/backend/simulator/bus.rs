//! What has happened: the engine's events, those of the last time and those that nobody has been told of yet.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;

use super::container::Container;
use super::versions::Dialect;
use super::world::World;

/// How many events of the past can be asked for: as many as dockerd keeps.
const KEPT: usize = 256;

/// Events in their order.
#[derive(Default)]
pub(super) struct Bus {
    pub(super) past: VecDeque<Arc<Message>>,
    pub(super) fresh: Vec<Arc<Message>>,
}

/// One event.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: &'static str,
    pub(super) action: Cow<'static, str>,
    /// What it happened to; empty for what happened to all.
    pub(super) id: Arc<str>,
    pub(super) attributes: BTreeMap<Cow<'static, str>, String>,
    pub(super) time: Duration,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: Actor<'a>,
    scope: &'static str,
    time: u64,
    #[serde(rename = "timeNano")]
    time_nano: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Actor<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    attributes: &'a BTreeMap<Cow<'static, str>, String>,
}

impl Message {
    /// As a client reads it, with the newline behind it.
    pub(super) fn line(&self, dialect: Dialect) -> Vec<u8> {
        // What containers and images had before there were types; until 1.51.
        let old = matches!(self.kind, "container" | "image") && dialect.before(52);
        let image = self.attributes.get("image").map(String::as_str);
        let written = Written {
            status: old.then_some(&*self.action),
            id: (old && !self.id.is_empty()).then_some(&*self.id),
            from: image.filter(|_| old && self.kind == "container"),
            kind: self.kind,
            action: &self.action,
            actor: Actor { id: &self.id, attributes: &self.attributes },
            scope: "local",
            time: self.time.as_secs(),
            time_nano: u64::try_from(self.time.as_nanos()).unwrap_or(u64::MAX),
        };
        let mut line = serde_json::to_vec(&written).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Pairs of an event's attributes.
pub(super) type Pairs<'a> = &'a [(&'static str, &'a str)];

impl Bus {
    pub(super) fn emit(&mut self, message: Message) {
        let message = Arc::new(message);
        if self.past.len() == KEPT {
            self.past.pop_front();
        }
        self.past.push_back(Arc::clone(&message));
        self.fresh.push(message);
    }
}

impl World {
    /// Says that something happened to a thing that is no container.
    pub(super) fn emit(
        &mut self,
        kind: &'static str,
        action: impl Into<Cow<'static, str>>,
        id: &str,
        attributes: Pairs<'_>,
    ) {
        let attributes =
            attributes.iter().map(|(key, value)| (Cow::Borrowed(*key), (*value).to_string()));
        self.bus.emit(Message {
            kind,
            action: action.into(),
            id: id.into(),
            attributes: attributes.collect(),
            time: self.now,
        });
    }

    /// Says that something happened to a container: its labels, its image and its name go with it.
    pub(super) fn emit_container(
        &mut self,
        action: impl Into<Cow<'static, str>>,
        container: &Container,
        attributes: Pairs<'_>,
    ) {
        let message = of_container(action.into(), container, attributes, self.now);
        self.bus.emit(message);
    }

    /// As [`emit_container`](World::emit_container), by its serial.
    pub(super) fn emit_of(
        &mut self,
        action: impl Into<Cow<'static, str>>,
        serial: super::container::Serial,
        attributes: Pairs<'_>,
    ) {
        if let Some(container) = self.containers.get(serial) {
            let message = of_container(action.into(), container, attributes, self.now);
            self.bus.emit(message);
        }
    }
}

fn of_container(
    action: Cow<'static, str>,
    container: &Container,
    attributes: Pairs<'_>,
    now: Duration,
) -> Message {
    let labels = container.config.labels.iter().flatten();
    let mut all: BTreeMap<Cow<'static, str>, String> =
        labels.map(|(key, value)| (Cow::Owned(key.clone()), value.clone())).collect();
    all.insert("image".into(), container.config.image.clone());
    all.insert("name".into(), container.name.to_string());
    for (key, value) in attributes {
        all.insert(Cow::Borrowed(*key), (*value).to_string());
    }
    Message { kind: "container", action, id: Arc::clone(&container.id), attributes: all, time: now }
}
