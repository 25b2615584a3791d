//! What is known here of a store that others share, and who is told of it: the same whatever keeps it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::{Interest, StoreError, StoreEvent};
use crate::discovery::{Document, Instance, Registry, SubscriptionId};
use crate::id::Key;
use crate::rpc::Attributes;
use crate::time::Instant;

/// The registry as far as it was heard of, and its subscriptions.
#[derive(Debug)]
pub(super) struct Mirror {
    /// What the store is called.
    kind: &'static str,
    ttl: Duration,
    registry: Registry,
    /// How many changes were told to the registry.
    order: u64,
    subscriptions: BTreeSet<SubscriptionId>,
    /// Those that are told nothing until it is known what there is.
    waiting: BTreeSet<SubscriptionId>,
    /// What is known is up to date, and stays so.
    live: bool,
    /// What was read first of all is in the registry.
    known: bool,
    /// Since when it is not up to date any more.
    lost: Option<Instant>,
    /// Why, last.
    trouble: String,
    /// When subscriptions will have been told nothing for too long.
    silence: Option<Instant>,
    /// It was said that the store is lost.
    is_said: bool,
    /// Something that is no instance was found, and that was said.
    is_odd: bool,
}

impl Mirror {
    pub(super) fn new(kind: &'static str, ttl: Duration) -> Self {
        Self {
            kind,
            ttl,
            registry: Registry::new(),
            order: 0,
            subscriptions: BTreeSet::new(),
            waiting: BTreeSet::new(),
            live: false,
            known: false,
            lost: None,
            trouble: String::from("it has not answered yet"),
            silence: None,
            is_said: false,
            is_odd: false,
        }
    }

    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) const fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// The registry, unless nobody can say whether it is so.
    pub(super) fn known(&self, now: Instant) -> Result<&Registry, StoreError> {
        let is_lost = self.lost.is_some_and(|lost| now - lost >= self.ttl);
        if self.known && !is_lost { Ok(&self.registry) } else { Err(self.unwatched()) }
    }

    fn unwatched(&self) -> StoreError {
        unavailable(&format!("{} cannot be watched: {}", self.kind, self.trouble))
    }

    /// An instance of that name: service, slash, address.
    pub(super) fn instance(&self, name: &str) -> Option<&Instance> {
        let (service, address) = name.split_once('/')?;
        self.registry.get(service, address).map(|instance| &**instance)
    }

    pub(super) fn put(&mut self, name: &str, attributes: Option<Attributes>, created: i64) {
        let created = created.unsigned_abs();
        let known = self.instance(name);
        if known.is_some_and(|it| it.created == created && it.attributes == attributes) {
            return;
        }
        if let Some((service, address)) = name.split_once('/') {
            self.order += 1;
            self.registry.put_created(service, address, attributes, created, self.order);
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some((service, address)) = name.split_once('/') {
            self.order += 1;
            self.registry.remove(service, address, self.order);
        }
    }

    pub(super) fn set_document(
        &mut self,
        service: &str,
        which: Document,
        text: Option<String>,
        index: i64,
    ) {
        self.registry.set_document(service, which, text.map(Into::into), index.unsigned_abs());
    }

    /// `settled`: all that was heard is in the registry. A subscription that waits begins with [`begin`](Self::begin).
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        interest: Interest<'_>,
        settled: bool,
    ) -> SubscriptionId {
        let id = self.registry.subscribe_later(interest);
        self.subscriptions.insert(id);
        if self.live && settled {
            self.registry.begin(id);
        } else {
            self.waiting.insert(id);
            self.watch_silence(now);
        }
        id
    }

    pub(super) fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.subscriptions.remove(&subscription);
        self.waiting.remove(&subscription);
        self.registry.unsubscribe(subscription);
    }

    /// All that there is is in the registry: those that wait are told.
    pub(super) fn begin(&mut self) {
        self.known = true;
        for id in core::mem::take(&mut self.waiting) {
            self.registry.begin(id);
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        self.live
    }

    /// From here on all that happens is heard.
    pub(super) fn found(&mut self, out: &mut VecDeque<StoreEvent>) {
        self.live = true;
        self.lost = None;
        self.silence = None;
        if core::mem::take(&mut self.is_said) {
            out.push_back(StoreEvent::Warn(format!("{} is found again", self.kind)));
        }
    }

    /// From here on nothing is heard.
    pub(super) fn lost(&mut self, now: Instant) {
        if core::mem::take(&mut self.live) {
            self.lost.get_or_insert(now);
        }
        self.watch_silence(now);
    }

    /// Why it is not up to date.
    pub(super) fn trouble(&self) -> &str {
        &self.trouble
    }

    pub(super) fn set_trouble(&mut self, trouble: String) {
        self.trouble = trouble;
    }

    /// Says once that it is lost. `servers`: what was tried.
    pub(super) fn say_lost(&mut self, servers: &str, out: &mut VecDeque<StoreEvent>) {
        if !core::mem::replace(&mut self.is_said, true) {
            let Self { kind, trouble, .. } = self;
            out.push_back(StoreEvent::Warn(format!(
                "{kind} is lost ({servers}): {trouble}; trying again, and saying so when it is found"
            )));
        }
    }

    /// Says once that something is there which is not discovery's.
    pub(super) fn say_odd(&mut self, what: &str, out: &mut VecDeque<StoreEvent>) {
        if !core::mem::replace(&mut self.is_odd, true) {
            out.push_back(StoreEvent::Warn(format!(
                "in {} {what} is nothing that discoverd has written: it is left alone, and so are others like it",
                self.kind
            )));
        }
    }

    /// Has subscriptions end if they are not up to date for too long.
    fn watch_silence(&mut self, now: Instant) {
        if self.silence.is_none() && !self.live && !self.subscriptions.is_empty() {
            self.silence = Some(now + self.ttl);
        }
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.silence
    }

    /// Subscriptions that have been told nothing for too long are told so.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut VecDeque<StoreEvent>) {
        if self.silence.take_if(|silence| *silence <= now).is_none() {
            return;
        }
        let error = self.unwatched();
        // Those that wait have not been told anything yet, and are not: clients would take an end for there being nobody.
        for id in core::mem::replace(&mut self.subscriptions, self.waiting.clone()) {
            if !self.waiting.contains(&id) {
                self.registry.unsubscribe(id);
                out.push_back(StoreEvent::Ended(id, error.clone()));
            }
        }
    }

    /// Why one more request is refused.
    pub(super) fn too_many(&self) -> StoreError {
        unavailable(&format!("too many requests wait for {}: try again later", self.kind))
    }

    pub(super) fn refuses(&self, reason: &str) -> StoreError {
        unavailable(&format!("{} refuses it: {reason}", self.kind))
    }

    /// Why a request is not answered in time; `trouble`: what went wrong with it last, if anything did.
    pub(super) fn late(&self, trouble: &str) -> StoreError {
        let trouble = match (trouble, &*self.trouble) {
            ("", "") => "no answer in time",
            ("", trouble) | (trouble, _) => trouble,
        };
        unavailable(&format!("{} does not do it: {trouble}", self.kind))
    }
}

/// Requests for one instance or document are made one after the other.
#[derive(Default, Debug)]
pub(super) struct Queues(BTreeMap<String, VecDeque<Key>>);

impl Queues {
    /// Returns whether nothing comes before it.
    pub(super) fn push(&mut self, name: String, key: Key) -> bool {
        let queue = self.0.entry(name).or_default();
        queue.push_back(key);
        queue.len() == 1
    }

    /// Takes one away, wherever it stands; gives back the one whose turn it is now.
    pub(super) fn remove(&mut self, name: &str, key: Key) -> Option<Key> {
        let queue = self.0.get_mut(name)?;
        let was_first = queue.front() == Some(&key);
        queue.retain(|other| *other != key);
        let next = queue.front().copied();
        if next.is_none() {
            self.0.remove(name);
        }
        next.filter(|_| was_first)
    }

    /// Those whose turn it is.
    pub(super) fn first(&self) -> impl Iterator<Item = Key> {
        self.0.values().filter_map(|queue| queue.front().copied())
    }
}

pub(super) fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable(reason.into())
}
