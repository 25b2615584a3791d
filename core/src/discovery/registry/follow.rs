//! Who is told of changes, and of what there was before.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::{Registry, entry};
use crate::discovery::feed::{Change, Place, Subscription, Told, Topic};
use crate::discovery::{Event, Interest, SubscriptionId};

impl Registry {
    /// Tells of the next change.
    pub(super) fn tell(&mut self, name: &Arc<str>, change: &Change) {
        self.number += 1;
        self.whole = None;
        let Some(service) = self.services.get_mut(name) else { return };
        (service.snapshot, service.whole) = (None, None);
        service.changed = self.number;
        for id in service.subscriptions.iter().chain(&self.everywhere) {
            if let Some(subscription) = self.subscriptions.get_mut(id.0)
                && subscription.add(change, self.number)
                && !core::mem::replace(&mut subscription.unread, true)
                && !core::mem::replace(&mut subscription.queued, true)
            {
                self.ready.push_back(*id);
            }
        }
    }

    /// Begins to tell of what is asked for. That it is ready to be read is said at once.
    pub fn subscribe(&mut self, interest: Interest<'_>) -> SubscriptionId {
        let id = self.subscribe_later(interest);
        self.begin(id);
        id
    }

    /// As [`subscribe`](Self::subscribe), of a registry that does not know yet what there is: nothing is told before it
    /// [begins](Self::begin).
    pub fn subscribe_later(&mut self, interest: Interest<'_>) -> SubscriptionId {
        let named = |service: &str| {
            let known = self.services.get_key_value(service);
            known.map_or_else(|| Arc::from(service), |(name, _)| Arc::clone(name))
        };
        let topic = match interest {
            Interest::Instances(service) => Topic::Instances(named(service)),
            Interest::Service(service, since) => Topic::Service(named(service), since),
            Interest::All(since) => Topic::All(since),
        };
        SubscriptionId(self.subscriptions.insert(Subscription::waiting(topic)))
    }

    /// Begins to tell a subscription that waits for it.
    pub fn begin(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(id.0) else { return };
        let topic = subscription.topic.clone();
        let is_new = match topic.service() {
            Some(name) => entry(&mut self.services, name).1.subscriptions.insert(id),
            None => self.everywhere.insert(id),
        };
        if !is_new {
            return;
        }
        self.ready.push_back(id);
        if let Topic::Service(_, Some(since)) | Topic::All(Some(since)) = &topic
            && (self.forgotten..=self.number).contains(since)
        {
            return self.resume(id, topic.service(), *since);
        }
        let snapshot = match &topic {
            Topic::Instances(name) => entry(&mut self.services, name).1.snapshot(),
            Topic::Service(name, _) => entry(&mut self.services, name).1.whole(name),
            Topic::All(_) => self.whole(),
        };
        if let Some(subscription) = self.subscriptions.get_mut(id.0) {
            subscription.begin(snapshot, self.number);
        }
    }

    fn whole(&mut self) -> Arc<[Event]> {
        if self.whole.is_none() {
            let each = self.services.iter_mut().map(|(name, service)| service.whole(name));
            let all: Vec<Arc<[Event]>> = each.collect();
            self.whole = Some(all.iter().flat_map(|all| all.iter().cloned()).collect());
        }
        self.whole.clone().unwrap_or_default()
    }

    /// Begins with what has changed since.
    fn resume(&mut self, id: SubscriptionId, only: Option<&Arc<str>>, since: u64) {
        self.number += 1;
        let Some(subscription) = self.subscriptions.get_mut(id.0) else { return };
        subscription.resume(since, self.number);
        let is_about = |name: &Arc<str>| only.is_none_or(|only| only == name);
        // What came and went since may be known as well: of a change in between, only a later one may have been told.
        let mut gone_since: BTreeSet<Place> = BTreeSet::new();
        let first = self.gone.partition_point(|gone| gone.number <= since);
        for gone in self.gone.range(first..) {
            let service = match &gone.change {
                Change::Instance { instance, .. } => &instance.service,
                Change::Document { service, .. } | Change::Leader(service, _) => service,
                Change::Resumed => continue,
            };
            if is_about(service) {
                subscription.add(&gone.change, gone.number);
                gone_since.extend(gone.change.place());
            }
        }
        let of_interest = match only {
            Some(name) => (Bound::Included(&**name), Bound::Included(&**name)),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        for (name, service) in self.services.range::<str, _>(of_interest) {
            for member in service.members.values().filter(|member| member.changed > since) {
                let instance = Arc::clone(&member.instance);
                let is_known = member.came <= since || gone_since.contains(&Place::of(&instance));
                let told = if is_known { Told::Yes } else { Told::Perhaps };
                let change = Change::Instance { instance, online: true, told };
                subscription.add(&change, member.changed);
            }
            for (which, (kept, number)) in &service.documents {
                if *number > since {
                    let (service, kept) = (Arc::clone(name), Some(kept.clone()));
                    let change =
                        Change::Document { service, which: *which, kept, told: Told::Perhaps };
                    subscription.add(&change, *number);
                }
            }
            if service.led > since {
                // Some other one, for all that is known.
                subscription.leaders.insert(Arc::clone(name), Arc::from(""));
                let change = Change::Leader(Arc::clone(name), service.leader.clone());
                subscription.add(&change, service.led);
            } else if let Some(leader) = &service.leader {
                subscription.leaders.insert(Arc::clone(name), Arc::clone(&leader.address));
            }
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(Subscription { topic, .. }) = self.subscriptions.remove(id.0) else { return };
        let Some(name) = topic.service() else {
            self.everywhere.remove(&id);
            return;
        };
        if let Some(service) = self.services.get_mut(name) {
            service.subscriptions.remove(&id);
        }
        self.tidy(name);
    }

    /// Up to which change a subscription has been told all, to [go on](Interest::Service) from there another time; `None` while
    /// it is told what was there when it began.
    #[must_use]
    pub fn told(&self, id: SubscriptionId) -> Option<u64> {
        self.subscriptions.get(id.0)?.told
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// A subscription that has something to read. It is named again only after it was read to its end.
    pub fn poll_ready(&mut self) -> Option<SubscriptionId> {
        while let Some(id) = self.ready.pop_front() {
            let Some(subscription) = self.subscriptions.get_mut(id.0) else { continue };
            subscription.queued = false;
            if subscription.unread {
                return Some(id);
            }
        }
        None
    }

    /// What a subscription is told next; `None` if that was all for now.
    pub fn next(&mut self, id: SubscriptionId) -> Option<Event> {
        self.subscriptions.get_mut(id.0)?.next()
    }
}
