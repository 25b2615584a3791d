//! What a store is made of: the instances that are there, until when, and who is told of changes.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::ops::Bound;
use core::time::Duration;

use super::feed::{Change, Subscription};
use super::names::Names;
use super::{Event, Instance, SubscriptionId};
use crate::id::Slab;
use crate::rpc::Attributes;
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// Instances by service and address, with leases, and subscriptions to them. It decides nothing: a store tells it what has
/// become true.
///
/// ```
/// use libswarm::discovery::{Event, Registry};
///
/// let mut registry = Registry::new();
/// let subscription = registry.subscribe("web");
/// registry.put("web", "10.0.0.1:80", None, 7);
/// registry.put("web", "10.0.0.2:80", None, 8);
/// assert_eq!(registry.leader("web").unwrap().created, 7);
///
/// assert_eq!(registry.poll_ready(), Some(subscription));
/// assert_eq!(registry.next(subscription), Some(Event::Current));
/// let Some(Event::Online(first)) = registry.next(subscription) else { panic!() };
/// assert_eq!((&*first.address, first.created), ("10.0.0.1:80", 7));
/// ```
#[derive(Debug, Default)]
pub struct Registry {
    services: BTreeMap<Arc<str>, Service>,
    subscriptions: Slab<Subscription>,
    ready: VecDeque<SubscriptionId>,
    leases: Timers<(Arc<str>, Arc<str>)>,
    /// Nobody's lease ends before this.
    spared: Instant,
    instances: usize,
    index: u64,
    /// Of services that have members.
    names: Names,
    /// How many changes there were.
    changes: u64,
}

/// What part of a lease a timer is late that was not just kept waiting.
const LATE: u32 = 20;

#[derive(Debug, Default)]
struct Service {
    members: BTreeMap<Arc<str>, Member>,
    by_age: BTreeMap<u64, Arc<Instance>>,
    subscriptions: BTreeSet<SubscriptionId>,
    /// All members, the newest first, as long as nothing changes: those who come in a crowd share it.
    snapshot: Option<Arc<[Arc<Instance>]>>,
    /// The number of its last change.
    changed: u64,
}

#[derive(Debug)]
struct Member {
    instance: Arc<Instance>,
    /// A heartbeat only moves this; the timer is set anew when it runs out too early.
    until: Instant,
    timer: Option<TimerKey>,
}

impl Service {
    fn snapshot(&mut self) -> Arc<[Arc<Instance>]> {
        let all =
            self.snapshot.get_or_insert_with(|| self.by_age.values().rev().cloned().collect());
        Arc::clone(all)
    }
}

impl Registry {
    /// One without instances, at index 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The index of the last change.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many instances there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.instances
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.instances == 0
    }

    /// The instance of that address.
    #[must_use]
    pub fn get(&self, service: &str, address: &str) -> Option<&Arc<Instance>> {
        Some(&self.services.get(service)?.members.get(address)?.instance)
    }

    /// A service's instances, the oldest first.
    pub fn instances(&self, service: &str) -> impl Iterator<Item = &Arc<Instance>> {
        self.services.get(service).into_iter().flat_map(|service| service.by_age.values())
    }

    /// The oldest instance of a service.
    #[must_use]
    pub fn leader(&self, service: &str) -> Option<&Arc<Instance>> {
        self.instances(service).next()
    }

    /// The instance behind that one, in the order of services and addresses, or the first of all.
    pub(super) fn behind(&self, last: Option<(&str, &str)>) -> Option<&Arc<Instance>> {
        let first = match last {
            None => Bound::Unbounded,
            Some((service, address)) => {
                let behind = (Bound::Excluded(address), Bound::Unbounded);
                let members = self.services.get(service).map(|service| &service.members);
                if let Some((_, member)) =
                    members.and_then(|all| all.range::<str, _>(behind).next())
                {
                    return Some(&member.instance);
                }
                Bound::Excluded(service)
            }
        };
        let mut rest = self.services.range::<str, _>((first, Bound::Unbounded));
        rest.find_map(|(_, service)| service.members.first_key_value())
            .map(|(_, member)| &member.instance)
    }

    /// The services with instances whose names differ from `folded`, which is in lower case, in nothing but the case of ASCII
    /// letters; and for each a number that grows when it changes.
    pub(super) fn alike<'a>(&'a self, folded: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        let all = core::iter::once(folded).chain(self.names.capitals(folded).map(|name| &**name));
        all.filter_map(|name| {
            let service = self.services.get(name).filter(|it| !it.members.is_empty())?;
            Some((name, service.changed))
        })
    }

    /// Whether there is a service whose name has further labels in front of `folded`, which is in lower case.
    pub(super) fn has_below(&self, folded: &str) -> bool {
        self.names.has_below(folded)
    }

    /// No fewer than the services with instances.
    pub(super) fn services_at_most(&self) -> usize {
        self.services.len()
    }

    /// Takes note of an index that a store has used, so that the next one is larger.
    pub fn advance(&mut self, index: u64) {
        self.index = self.index.max(index);
    }

    /// An instance has come, or has other attributes than before. `index` is larger than that of any change before; for one
    /// that has come it is when it was created.
    pub fn put(
        &mut self,
        service: &str,
        address: &str,
        attributes: Option<Attributes>,
        index: u64,
    ) {
        let created = self.get(service, address).map_or(index, |old| old.created);
        self.put_created(service, address, attributes, created, index);
    }

    /// As [`put`](Self::put), of an instance that was created before this registry knew of it. Returns what it was before.
    pub fn put_created(
        &mut self,
        service: &str,
        address: &str,
        attributes: Option<Attributes>,
        created: u64,
        index: u64,
    ) -> Option<Arc<Instance>> {
        self.advance(index.max(created));
        let (name, service) = entry(&mut self.services, service);
        let (instance, before) = match service.members.get_mut(address) {
            Some(member) => {
                let address = Arc::clone(&member.instance.address);
                let instance = Arc::new(Instance { service: name, address, attributes, created });
                service.by_age.remove(&member.instance.created);
                let before = core::mem::replace(&mut member.instance, Arc::clone(&instance));
                (instance, Some(before))
            }
            None => {
                let address = Arc::from(address);
                let instance = Arc::new(Instance { service: name, address, attributes, created });
                let member =
                    Member { instance: Arc::clone(&instance), until: Instant::MAX, timer: None };
                if service.members.is_empty() {
                    self.names.add(&instance.service);
                }
                service.members.insert(Arc::clone(&instance.address), member);
                self.instances += 1;
                (instance, None)
            }
        };
        service.by_age.insert(created, Arc::clone(&instance));
        self.tell(&Change { instance, online: true, told: before.is_some() }, index);
        before
    }

    /// An instance is gone. Returns what it was, if it was there.
    pub fn remove(&mut self, service: &str, address: &str, index: u64) -> Option<Arc<Instance>> {
        let found = self.services.get_mut(service)?;
        let member = found.members.remove(address)?;
        found.by_age.remove(&member.instance.created);
        if found.members.is_empty() {
            self.names.remove(service);
        }
        if let Some(timer) = member.timer {
            self.leases.cancel(timer);
        }
        self.instances -= 1;
        self.advance(index);
        let gone = Arc::clone(&member.instance);
        self.tell(&Change { instance: member.instance, online: false, told: true }, index);
        self.tidy(service);
        Some(gone)
    }

    /// Forgets a service that has nothing.
    fn tidy(&mut self, name: &str) {
        let service = self.services.get(name);
        if service.is_some_and(|it| it.members.is_empty() && it.subscriptions.is_empty()) {
            self.services.remove(name);
        }
    }

    fn tell(&mut self, change: &Change, index: u64) {
        let Some(service) = self.services.get_mut(&change.instance.service) else { return };
        service.snapshot = None;
        self.changes += 1;
        service.changed = self.changes;
        for id in &service.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(id.0)
                && subscription.add(change, index)
                && !core::mem::replace(&mut subscription.unread, true)
                && !core::mem::replace(&mut subscription.queued, true)
            {
                self.ready.push_back(*id);
            }
        }
    }

    /// Begins to tell of a service's instances. That it is ready to be read is said at once.
    pub fn subscribe(&mut self, service: &str) -> SubscriptionId {
        let id = self.subscribe_later(service);
        self.begin(id);
        id
    }

    /// As [`subscribe`](Self::subscribe), of a registry that does not know yet what there is: nothing is told before it
    /// [begins](Self::begin).
    pub fn subscribe_later(&mut self, service: &str) -> SubscriptionId {
        let (name, _) = entry(&mut self.services, service);
        let id = SubscriptionId(self.subscriptions.insert(Subscription::waiting(name)));
        self.tidy(service);
        id
    }

    /// Begins to tell a subscription that waits for it.
    pub fn begin(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(id.0) else { return };
        let name = Arc::clone(&subscription.service);
        let (name, service) = entry(&mut self.services, &name);
        if !service.subscriptions.insert(id) {
            return;
        }
        *subscription = Subscription::new(name, service.snapshot());
        self.ready.push_back(id);
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(Subscription { service, .. }) = self.subscriptions.remove(id.0) else { return };
        if let Some(service) = self.services.get_mut(&service) {
            service.subscriptions.remove(&id);
        }
        self.tidy(&service);
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

    /// Keeps an instance until then, or longer if that was promised before. One that was never kept stays for ever.
    ///
    /// Returns whether it is there. This is a look-up and no more, so a heartbeat is cheap.
    pub fn keep(&mut self, service: &str, address: &str, until: Instant) -> bool {
        let found = self.services.get_mut(service);
        let Some(member) = found.and_then(|it| it.members.get_mut(address)) else { return false };
        match member.timer {
            Some(_) => member.until = member.until.max(until),
            None => {
                member.until = until;
                let Instance { service, address, .. } = &*member.instance;
                let key = (Arc::clone(service), Arc::clone(address));
                member.timer = Some(self.leases.set(until.max(self.spared), key));
            }
        }
        true
    }

    /// Lets nobody's lease end before then.
    pub fn spare(&mut self, until: Instant) {
        self.spared = self.spared.max(until);
    }

    /// When the next lease may end.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leases.next()
    }

    /// An instance whose lease has ended, to be removed by the store; it is named once.
    ///
    /// If this is asked for later than the lease has ended, by more than a twentieth of `grace`, then this program was stopped
    /// meanwhile (its process, its machine), and heartbeats may wait to be read: everybody is given another `grace`.
    pub fn expired(&mut self, now: Instant, grace: Duration) -> Option<Arc<Instance>> {
        while let Some((key, (service, address))) = self.leases.expired(now) {
            let member =
                self.services.get_mut(&service).and_then(|it| it.members.get_mut(&address));
            let Some(member) = member else { continue };
            if now - key.at() > grace / LATE {
                self.spared = self.spared.max(now + grace);
            }
            let until = member.until.max(self.spared);
            if until <= now {
                member.timer = None;
                return Some(Arc::clone(&member.instance));
            }
            member.timer = Some(self.leases.set(until, (service, address)));
        }
        None
    }
}

/// The service of that name, which is made if need be.
fn entry<'a>(
    services: &'a mut BTreeMap<Arc<str>, Service>,
    name: &str,
) -> (Arc<str>, &'a mut Service) {
    let name = match services.get_key_value(name) {
        Some((name, _)) => Arc::clone(name),
        None => Arc::from(name),
    };
    (Arc::clone(&name), services.entry(name).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn seconds(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    const GRACE: Duration = Duration::from_secs(10);

    fn shown(event: &Event) -> String {
        match event {
            Event::Online(it) => format!("+{}@{}", it.address, it.created),
            Event::Offline(it) => format!("-{}", it.address),
            Event::Current => "=".to_string(),
        }
    }

    fn read(registry: &mut Registry, id: SubscriptionId) -> String {
        let mut all = Vec::new();
        while let Some(event) = registry.next(id) {
            all.push(shown(&event));
        }
        all.join(" ")
    }

    #[test]
    fn a_subscription_is_a_snapshot_and_what_comes_behind_it() {
        let mut registry = Registry::new();
        for (address, index) in [("a", 1), ("b", 2), ("c", 3)] {
            registry.put("web", address, None, index);
        }
        registry.put("other", "x", None, 4);
        registry.put("web", "a", Some(Attributes::new()), 5);
        let id = registry.subscribe("web");
        // What changes while it is read comes behind the marker, once.
        assert_eq!(registry.next(id).as_ref().map(shown).as_deref(), Some("+c@3"));
        registry.remove("web", "c", 6);
        registry.remove("web", "b", 7);
        registry.put("web", "d", None, 8);
        registry.put("web", "b", None, 9);
        assert_eq!(read(&mut registry, id), "+b@2 +a@1 = -c +d@8 +b@9");
        assert_eq!(registry.next(id), None);
        registry.remove("web", "d", 10);
        assert_eq!(registry.poll_ready(), Some(id));
        assert_eq!(registry.poll_ready(), None);
        assert_eq!(read(&mut registry, id), "-d");
        let leader = registry.leader("web").unwrap();
        assert_eq!((&*leader.address, registry.index(), registry.len()), ("a", 10, 3));
    }

    #[test]
    fn what_came_and_went_unseen_is_not_told() {
        let mut registry = Registry::new();
        let id = registry.subscribe("web");
        assert_eq!(read(&mut registry, id), "=");
        for round in 0..100_000 {
            let address = format!("{round}");
            registry.put("web", &address, None, 2 * round + 1);
            registry.remove("web", &address, 2 * round + 2);
        }
        let subscription = registry.subscriptions.get(id.0).unwrap();
        assert_eq!((subscription.changes.len(), subscription.places.len()), (0, 0));
        assert_eq!(read(&mut registry, id), "");
    }

    #[test]
    fn nothing_is_left_of_what_is_gone() {
        let mut registry = Registry::new();
        let id = registry.subscribe("web");
        registry.put("web", "a", None, 1);
        registry.keep("web", "a", seconds(1));
        registry.unsubscribe(id);
        assert_eq!((registry.next(id), registry.poll_ready()), (None, None));
        assert!(registry.remove("web", "a", 2).is_some());
        assert!(registry.remove("web", "a", 3).is_none() && !registry.keep("web", "a", seconds(2)));
        assert!(registry.services.is_empty() && registry.is_empty());
        assert_eq!((registry.poll_timeout(), registry.subscriptions()), (None, 0));
    }

    #[test]
    fn a_crowd_shares_one_snapshot() {
        let mut registry = Registry::new();
        registry.put("web", "a", None, 1);
        let ids: Vec<_> = (0..10).map(|_| registry.subscribe("web")).collect();
        let snapshots: Vec<_> = ids
            .iter()
            .map(|id| {
                registry.subscriptions.get(id.0).unwrap().snapshot.as_ref().unwrap().0.as_ptr()
            })
            .collect();
        assert!(snapshots.iter().all(|snapshot| *snapshot == snapshots[0]));
    }

    #[test]
    fn leases_end_to_the_tick() {
        let mut registry = Registry::new();
        for (nth, address) in ["a", "b", "c"].into_iter().enumerate() {
            registry.put("web", address, None, nth as u64 + 1);
            assert!(registry.keep("web", address, seconds(10)));
        }
        registry.keep("web", "b", seconds(15));
        // An earlier end takes nothing away.
        registry.keep("web", "b", seconds(12));
        assert_eq!(registry.poll_timeout(), Some(seconds(10)));
        assert_eq!(registry.expired(seconds(9), GRACE), None);
        for address in ["a", "c"] {
            assert_eq!(&*registry.expired(seconds(10), GRACE).unwrap().address, address);
        }
        assert_eq!(registry.expired(seconds(10), GRACE), None);
        assert_eq!(registry.poll_timeout(), Some(seconds(15)));
        assert_eq!(&*registry.expired(seconds(15), GRACE).unwrap().address, "b");
        // Named once, and there until it is removed; a heartbeat begins a new lease.
        assert_eq!((registry.poll_timeout(), registry.len()), (None, 3));
        registry.keep("web", "b", seconds(30));
        assert_eq!(registry.poll_timeout(), Some(seconds(30)));
    }

    #[test]
    fn who_slept_spares_those_who_could_not_be_heard() {
        let mut registry = Registry::new();
        registry.put("web", "a", None, 1);
        registry.put("web", "b", None, 2);
        registry.keep("web", "a", seconds(10));
        registry.keep("web", "b", seconds(11));
        assert_eq!(registry.expired(seconds(100), GRACE), None);
        registry.keep("web", "a", seconds(110));
        assert_eq!(registry.expired(seconds(109), GRACE), None);
        for address in ["a", "b"] {
            assert_eq!(&*registry.expired(seconds(110), GRACE).unwrap().address, address);
        }
    }

    #[test]
    fn a_hundred_thousand_idle_instances_cost_no_time() {
        let mut registry = Registry::new();
        for nth in 0..100_000_u64 {
            registry.put("web", &format!("{nth}"), None, nth + 1);
            registry.keep("web", &format!("{nth}"), seconds(10) + Duration::from_nanos(nth));
        }
        assert_eq!(registry.expired(seconds(9), GRACE), None);
        // Only those whose time has come are looked at.
        let at = seconds(10) + Duration::from_nanos(2);
        for _ in 0..3 {
            assert!(registry.expired(at, GRACE).is_some());
        }
        assert_eq!(registry.expired(at, GRACE), None);
    }

    /// What a subscriber that keeps a map makes of what it is told.
    #[derive(Default)]
    struct View(BTreeMap<String, u64>, bool);

    impl View {
        fn read(&mut self, event: &Event) {
            match event {
                Event::Online(it) => _ = self.0.insert(it.address.to_string(), it.created),
                Event::Offline(it) => {
                    assert!(self.0.remove(&*it.address).is_some(), "{it:?} was never told");
                }
                Event::Current => assert!(!core::mem::replace(&mut self.1, true), "twice"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_view_is_the_registry_s_in_the_end(
            operations in prop::collection::vec((0_u8..6, 0_usize..4, 0_usize..4), 0..200)
        ) {
            let mut registry = Registry::new();
            let mut views: Vec<(SubscriptionId, View)> = Vec::new();
            let mut index = 0;
            for (operation, which, count) in operations {
                let address = ["a", "b", "c", "d"][which];
                index += 1;
                match operation {
                    0 | 1 => registry.put("web", address, None, index),
                    2 => _ = registry.remove("web", address, index),
                    3 => views.push((registry.subscribe("web"), View::default())),
                    _ => {
                        // Read some, of one.
                        let all = views.len().max(1);
                        if let Some((id, view)) = views.get_mut(which % all) {
                            for event in (0..count).map_while(|_| registry.next(*id)) {
                                view.read(&event);
                            }
                        }
                    }
                }
            }
            let all: BTreeMap<String, u64> =
                registry.instances("web").map(|it| (it.address.to_string(), it.created)).collect();
            for (id, mut view) in views {
                prop_assert!(registry.subscriptions.get(id.0).unwrap().changes.len() <= 8);
                while let Some(event) = registry.next(id) {
                    view.read(&event);
                }
                prop_assert_eq!(&view.0, &all);
                prop_assert!(view.1);
            }
        }
    }
}
