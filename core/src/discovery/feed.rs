//! What a subscription is told: what was there when it began, then what has changed since.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::{Event, Instance};

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) service: Arc<str>,
    /// What was there when it began, and how much of that is told.
    pub(super) snapshot: Option<(Arc<[Arc<Instance>]>, usize)>,
    /// What has changed since, in order.
    pub(super) changes: BTreeMap<u64, Change>,
    /// Where an instance's change is among them.
    pub(super) places: BTreeMap<Arc<str>, u64>,
    /// It was not read to its end since it became ready.
    pub(super) unread: bool,
    /// It is in the queue of those that are ready.
    pub(super) queued: bool,
}

#[derive(Debug)]
pub(super) struct Change {
    pub(super) instance: Arc<Instance>,
    pub(super) online: bool,
    /// An instance of that address was told to be there before.
    pub(super) told: bool,
}

impl Subscription {
    /// One that is ready to be read: there is the marker at least.
    pub(super) const fn new(service: Arc<str>, snapshot: Arc<[Arc<Instance>]>) -> Self {
        Self {
            service,
            snapshot: Some((snapshot, 0)),
            changes: BTreeMap::new(),
            places: BTreeMap::new(),
            unread: true,
            queued: true,
        }
    }

    /// One that is told nothing.
    pub(super) const fn waiting(service: Arc<str>) -> Self {
        Self {
            service,
            snapshot: None,
            changes: BTreeMap::new(),
            places: BTreeMap::new(),
            unread: false,
            queued: false,
        }
    }

    /// Adds a change, in the place of one that was not told yet. Returns whether there is something to tell.
    pub(super) fn add(&mut self, change: &Change, index: u64) -> bool {
        let mut told = change.told;
        if let Some(place) = self.places.remove(&change.instance.address)
            && let Some(before) = self.changes.remove(&place)
        {
            told = before.told;
        }
        if change.online || told {
            let instance = Arc::clone(&change.instance);
            self.places.insert(Arc::clone(&instance.address), index);
            self.changes.insert(index, Change { instance, online: change.online, told });
        }
        self.has_more()
    }

    fn has_more(&self) -> bool {
        self.snapshot.is_some() || !self.changes.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Event> {
        if let Some((all, told)) = &mut self.snapshot {
            let Some(instance) = all.get(*told) else {
                self.snapshot = None;
                return Some(Event::Current);
            };
            *told += 1;
            return Some(Event::Online(Arc::clone(instance)));
        }
        let Some((_, change)) = self.changes.pop_first() else {
            self.unread = false;
            return None;
        };
        self.places.remove(&change.instance.address);
        let Change { instance, online, .. } = change;
        Some(if online { Event::Online(instance) } else { Event::Offline(instance) })
    }
}
