//! What a subscription is told: what was there when it began, then what has changed since.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::{Document, Event, Instance, Kept};

/// What a subscription is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Topic {
    Instances(Arc<str>),
    /// A service whole, since that change.
    Service(Arc<str>, Option<u64>),
    /// All services whole.
    All(Option<u64>),
}

impl Topic {
    /// The service, if it is one.
    pub(super) const fn service(&self) -> Option<&Arc<str>> {
        match self {
            Self::Instances(name) | Self::Service(name, _) => Some(name),
            Self::All(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) topic: Topic,
    /// What was there when it began, and how much of that is told.
    pub(super) snapshot: Option<(Arc<[Event]>, usize)>,
    /// What has changed since, in order.
    pub(super) changes: BTreeMap<u64, Change>,
    /// Where a thing's change is among them.
    pub(super) places: BTreeMap<Place, u64>,
    /// All changes up to this one were told, or are to be told with a larger number.
    pub(super) told: Option<u64>,
    begun: u64,
    /// Whom it knows, or is about to be told, to lead each service, until it is told that that one is gone.
    pub(super) leaders: BTreeMap<Arc<str>, Arc<str>>,
    /// It was not read to its end since it became ready.
    pub(super) unread: bool,
    /// It is in the queue of those that are ready.
    pub(super) queued: bool,
}

/// A change, to be told.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Instance {
        instance: Arc<Instance>,
        online: bool,
        /// An instance of that address was told to be there before.
        told: Told,
    },
    /// Who leads now, if anybody does.
    Leader(Arc<str>, Option<Arc<Instance>>),
    Document {
        service: Arc<str>,
        which: Document,
        kept: Option<Kept>,
        /// Whether it was told to be there before.
        told: Told,
    },
    /// All since the change that the subscriber knew is told.
    Resumed,
}

/// Whether a subscriber knows an instance of that address, or such a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    No,
    /// It came back, and may know it: of what changed while it did not read, only the last was told.
    Perhaps,
    Yes,
}

/// What a change is of; the latest one is told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Place {
    Instance(Arc<str>, Arc<str>),
    Leader(Arc<str>),
    Document(Arc<str>, Document),
}

impl Place {
    pub(super) fn of(instance: &Instance) -> Self {
        Self::Instance(Arc::clone(&instance.service), Arc::clone(&instance.address))
    }
}

impl Change {
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Instance { instance, .. } => Some(Place::of(instance)),
            Self::Leader(service, _) => Some(Place::Leader(Arc::clone(service))),
            Self::Document { service, which, .. } => {
                Some(Place::Document(Arc::clone(service), *which))
            }
            Self::Resumed => None,
        }
    }
}

impl Subscription {
    /// One that is told nothing.
    pub(super) const fn waiting(topic: Topic) -> Self {
        Self {
            topic,
            snapshot: None,
            changes: BTreeMap::new(),
            places: BTreeMap::new(),
            told: None,
            begun: 0,
            leaders: BTreeMap::new(),
            unread: false,
            queued: false,
        }
    }

    /// It is ready to be read: there is the marker at least.
    pub(super) fn begin(&mut self, snapshot: Arc<[Event]>, number: u64) {
        if !matches!(self.topic, Topic::Instances(_)) {
            for event in &*snapshot {
                if let Event::Leader(leader) = event {
                    self.note_leader(leader);
                }
            }
        }
        self.snapshot = Some((snapshot, 0));
        self.begun = number;
        (self.unread, self.queued) = (true, true);
    }

    /// It is ready to be read, without what was told before.
    pub(super) fn resume(&mut self, since: u64, number: u64) {
        self.changes.insert(number, Change::Resumed);
        self.told = Some(since);
        (self.unread, self.queued) = (true, true);
    }

    /// Whether it is told of this kind of change.
    const fn wants(&self, change: &Change) -> bool {
        matches!(change, Change::Instance { .. }) || !matches!(self.topic, Topic::Instances(_))
    }

    /// Adds a change, in the place of one that was not told yet. Returns whether there is something to tell.
    pub(super) fn add(&mut self, change: &Change, number: u64) -> bool {
        if !self.wants(change) {
            return false;
        }
        let Some(place) = change.place() else { return false };
        let mut change = change.clone();
        let before = self.places.remove(&place).and_then(|at| self.changes.remove(&at));
        if let (
            Change::Instance { told, .. } | Change::Document { told, .. },
            Some(Change::Instance { told: was_told, .. } | Change::Document { told: was_told, .. }),
        ) = (&mut change, before)
        {
            *told = was_told;
        }
        let is_seen = match &change {
            Change::Instance { online, told, .. } => *online || *told != Told::No,
            Change::Document { kept, told, .. } => kept.is_some() || *told != Told::No,
            Change::Leader(service, leader) => {
                leader.is_some() || self.leaders.contains_key(service)
            }
            Change::Resumed => true,
        };
        if is_seen {
            self.places.insert(place, number);
            self.changes.insert(number, change);
        }
        self.has_more()
    }

    fn has_more(&self) -> bool {
        self.snapshot.is_some() || !self.changes.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Event> {
        if let Some((all, told)) = &mut self.snapshot {
            let Some(event) = all.get(*told) else {
                self.snapshot = None;
                self.told = Some(self.begun);
                return Some(Event::Current);
            };
            *told += 1;
            return Some(event.clone());
        }
        loop {
            let Some((number, change)) = self.changes.pop_first() else {
                self.unread = false;
                return None;
            };
            if let Some(place) = change.place() {
                self.places.remove(&place);
            }
            self.told = Some(number);
            let is_whole = !matches!(self.topic, Topic::Instances(_));
            return Some(match change {
                Change::Instance { instance, online: false, .. } => {
                    if self.leaders.get(&instance.service) == Some(&instance.address) {
                        self.leaders.remove(&instance.service);
                    }
                    Event::Offline(instance)
                }
                Change::Instance { instance, told: Told::Yes, .. } if is_whole => {
                    Event::Updated(instance)
                }
                Change::Instance { instance, .. } => Event::Online(instance),
                Change::Leader(_, Some(leader)) => {
                    self.note_leader(&leader);
                    Event::Leader(leader)
                }
                Change::Leader(service, None) => {
                    // Who was told that the leader is gone knows that nobody leads.
                    if self.leaders.remove(&service).is_none() {
                        continue;
                    }
                    Event::Leaderless(service)
                }
                Change::Document { service, which, kept, .. } => {
                    Event::Document(service, which, kept)
                }
                Change::Resumed => Event::Resumed,
            });
        }
    }

    fn note_leader(&mut self, leader: &Instance) {
        self.leaders.insert(Arc::clone(&leader.service), Arc::clone(&leader.address));
    }
}
