//! What a program knows of services.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::Error;
use super::watch::Watch;
use crate::discovery::{Change, ServiceSet};
use crate::rpc::Update;
use crate::timers::TimerKey;

pub use crate::id::SetId;

/// A service that is followed.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) service: Arc<str>,
    pub(super) view: ServiceSet,
    pub(super) stream: Option<u64>,
    pub(super) queued: bool,
    /// Until the stream's marker: how many it has named.
    pub(super) named: Option<usize>,
    /// The marker has come, and is doubted until then.
    pub(super) doubt: Option<TimerKey>,
    /// It was current once.
    pub(super) known: bool,
    pub(super) deadline: Option<TimerKey>,
    pub(super) again: Option<TimerKey>,
    pub(super) error: Option<Error>,
    pub(super) watches: BTreeMap<u64, Watch>,
    pub(super) next_watch: u64,
}

impl Set {
    pub(super) const fn new(service: Arc<str>, view: ServiceSet) -> Self {
        Self {
            service,
            view,
            stream: None,
            queued: false,
            named: None,
            doubt: None,
            known: false,
            deadline: None,
            again: None,
            error: None,
            watches: BTreeMap::new(),
            next_watch: 0,
        }
    }

    /// The stream is over, and what is known stays as it is.
    pub(super) fn restart(&mut self) {
        (self.stream, self.named, self.queued) = (None, None, false);
        self.view.restart();
    }

    /// Takes an update and tells those who follow.
    pub(super) fn apply(&mut self, update: &Update<'_>) {
        for change in self.view.apply(update) {
            for watch in self.watches.values_mut() {
                watch.add(&change);
            }
        }
        self.known |= self.view.is_current();
    }

    /// What is known now, as changes since nothing was.
    pub(super) fn all(&self) -> impl Iterator<Item = Change> + '_ {
        let current = self.view.is_current().then_some(Change::Current);
        self.view.members().cloned().map(Change::Came).chain(current)
    }
}
