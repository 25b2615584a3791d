//! What a store is made of: the instances that are there, until when, and who is told of changes.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use super::feed::{Change, Place, Subscription, Told, Topic};
use super::names::Names;
use super::{Document, Event, Instance, Interest, Kept, SubscriptionId};
use crate::id::Slab;
use crate::rpc::Attributes;
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// The text of [`Document::Service`] of a service that only who was named may lead.
pub(super) const MANUAL: &str = "manual";

/// Instances by service and address, with leases; documents; and subscriptions to them. It decides nothing: a store tells it what has
/// become true.
///
/// ```
/// use libswarm::discovery::{Event, Interest, Registry};
///
/// let mut registry = Registry::new();
/// let subscription = registry.subscribe(Interest::Instances("web"));
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
    /// Those of them that are about all services.
    everywhere: BTreeSet<SubscriptionId>,
    ready: VecDeque<SubscriptionId>,
    leases: Timers<(Arc<str>, Arc<str>)>,
    /// Nobody's lease ends before this.
    spared: Instant,
    instances: usize,
    index: u64,
    /// How many changes were told.
    number: u64,
    /// All that there is, as long as nothing changes.
    whole: Option<Arc<[Event]>>,
    /// What went last, for those who come back and know only what was there.
    gone: VecDeque<Gone>,
    /// Who has not heard what happened up to this change has to be told all.
    forgotten: u64,
    /// Of services that exist.
    names: Names,
}

/// What part of a lease a timer is late that was not just kept waiting.
const LATE: u32 = 20;
/// So much of what went is remembered.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
struct Service {
    members: BTreeMap<Arc<str>, Member>,
    by_age: BTreeMap<u64, Arc<Instance>>,
    /// Each with the number of its last change.
    documents: BTreeMap<Document, (Kept, u64)>,
    leader: Option<Arc<Instance>>,
    /// The number of the change that made it so.
    led: u64,
    /// The number of the last change of anything of it.
    changed: u64,
    subscriptions: BTreeSet<SubscriptionId>,
    /// All members, the newest first, as long as nothing changes: those who come in a crowd share it.
    snapshot: Option<Arc<[Event]>>,
    /// The same of all that there is: members, the oldest first; the leader; documents.
    whole: Option<Arc<[Event]>>,
}

#[derive(Debug)]
struct Member {
    instance: Arc<Instance>,
    /// The numbers of the changes with which it came, and with which it came to be as it is.
    came: u64,
    changed: u64,
    /// A heartbeat only moves this; the timer is set anew when it runs out too early.
    until: Instant,
    timer: Option<TimerKey>,
}

/// Something that went, with which change.
#[derive(Debug)]
struct Gone {
    number: u64,
    change: Change,
}

impl Service {
    fn snapshot(&mut self) -> Arc<[Event]> {
        let all = self.snapshot.get_or_insert_with(|| {
            self.by_age.values().rev().cloned().map(Event::Online).collect()
        });
        Arc::clone(all)
    }

    fn whole(&mut self, name: &Arc<str>) -> Arc<[Event]> {
        if let Some(all) = &self.whole {
            return Arc::clone(all);
        }
        let instances = self.by_age.values().cloned().map(Event::Online);
        let leader = self.leader.iter().cloned().map(Event::Leader);
        let documents = self.documents.iter().map(|(which, (kept, _))| {
            Event::Document(Arc::clone(name), *which, Some(kept.clone()))
        });
        let all: Arc<[Event]> = instances.chain(leader).chain(documents).collect();
        self.whole = Some(Arc::clone(&all));
        all
    }

    /// Who leads: the instance that the document names; else the oldest, unless nobody else may.
    fn find_leader(&self) -> Option<&Arc<Instance>> {
        let text = |which| self.documents.get(&which).map(|(kept, _)| &*kept.text);
        let named = text(Document::Leader).and_then(|address| self.members.get(address));
        let is_manual = text(Document::Service) == Some(MANUAL);
        let oldest = || self.by_age.values().next().filter(|_| !is_manual);
        named.map(|member| &member.instance).or_else(oldest)
    }

    fn exists(&self) -> bool {
        !self.members.is_empty() || !self.documents.is_empty()
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

    /// The instance that leads a service: the one that its [`Leader`](Document::Leader) document names if that is there, else
    /// the oldest, unless its [`Service`](Document::Service) document is `manual`.
    #[must_use]
    pub fn leader(&self, service: &str) -> Option<&Arc<Instance>> {
        self.services.get(service)?.leader.as_ref()
    }

    /// The names of all services that have instances or documents, in order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<str>> {
        self.services.iter().filter(|(_, service)| service.exists()).map(|(name, _)| name)
    }

    /// Whether a service has instances or documents.
    #[must_use]
    pub fn exists(&self, service: &str) -> bool {
        self.services.get(service).is_some_and(Service::exists)
    }

    /// A document of a service's, if it is there.
    #[must_use]
    pub fn document(&self, service: &str, which: Document) -> Option<&Kept> {
        self.services.get(service)?.documents.get(&which).map(|(kept, _)| kept)
    }

    /// All documents, in the order of services, or those of the services and documents behind that one.
    pub fn documents(
        &self,
        behind: Option<(&str, Document)>,
    ) -> impl Iterator<Item = (&Arc<str>, Document, &Kept)> {
        let first = behind.map_or(Bound::Unbounded, |(service, _)| Bound::Included(service));
        let all = self.services.range::<str, _>((first, Bound::Unbounded));
        let each = all.flat_map(|(name, service)| {
            service.documents.iter().map(move |(which, (kept, _))| (name, *which, kept))
        });
        each.filter(move |(name, which, _)| {
            behind.is_none_or(|(service, last)| (&***name, *which) > (service, last))
        })
    }

    /// A document has come, is another, or (`None`) is gone, at that index.
    pub fn set_document(
        &mut self,
        service: &str,
        which: Document,
        text: Option<Arc<str>>,
        index: u64,
    ) {
        self.advance(index);
        if text.is_none() && self.document(service, which).is_none() {
            return;
        }
        let (name, found) = entry(&mut self.services, service);
        let kept = text.map(|text| Kept { text, index });
        let number = self.number + 1;
        let change = Change::Document(Arc::clone(&name), which, kept.clone());
        if !found.exists() {
            self.names.add(&name);
        }
        match kept {
            Some(kept) => _ = found.documents.insert(which, (kept, number)),
            None => {
                found.documents.remove(&which);
                if !found.exists() {
                    self.names.remove(service);
                }
                self.remember(Gone { number, change: change.clone() });
            }
        }
        self.tell(&name, &change);
        self.settle_leader(&name);
        self.tidy(service);
    }

    fn remember(&mut self, gone: Gone) {
        self.gone.push_back(gone);
        if self.gone.len() > REMEMBERED
            && let Some(oldest) = self.gone.pop_front()
        {
            self.forgotten = oldest.number;
        }
    }

    /// Finds out who leads a service, and tells of it if that is another.
    fn settle_leader(&mut self, name: &Arc<str>) {
        let Some(service) = self.services.get_mut(name) else { return };
        let leader = service.find_leader().cloned();
        let who = |it: &Option<Arc<Instance>>| {
            it.as_ref().map(|it| (Arc::clone(&it.address), it.created))
        };
        let is_same = who(&service.leader) == who(&leader);
        service.leader.clone_from(&leader);
        if !is_same {
            service.led = self.number + 1;
            self.tell(name, &Change::Leader(Arc::clone(name), leader));
        }
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

    /// The services whose names differ from `folded`, which is in lower case, in nothing but the case of ASCII letters; and for
    /// each a number that grows when it changes.
    pub(super) fn alike<'a>(&'a self, folded: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        let all = core::iter::once(folded).chain(self.names.capitals(folded).map(|name| &**name));
        all.filter_map(|name| {
            let service = self.services.get(name).filter(|it| it.exists())?;
            Some((name, service.changed))
        })
    }

    /// Whether there is a service whose name has further labels in front of `folded`, which is in lower case.
    pub(super) fn has_below(&self, folded: &str) -> bool {
        self.names.has_below(folded)
    }

    /// No fewer than the services that exist.
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
        let number = self.number + 1;
        let (name, service) = entry(&mut self.services, service);
        let (instance, before) = match service.members.get_mut(address) {
            Some(member) => {
                let address = Arc::clone(&member.instance.address);
                let service_name = Arc::clone(&name);
                let instance =
                    Arc::new(Instance { service: service_name, address, attributes, created });
                member.changed = number;
                service.by_age.remove(&member.instance.created);
                let before = core::mem::replace(&mut member.instance, Arc::clone(&instance));
                (instance, Some(before))
            }
            None => {
                let (service_name, address) = (Arc::clone(&name), Arc::from(address));
                let instance =
                    Arc::new(Instance { service: service_name, address, attributes, created });
                let member = Member {
                    instance: Arc::clone(&instance),
                    came: number,
                    changed: number,
                    until: Instant::MAX,
                    timer: None,
                };
                if !service.exists() {
                    self.names.add(&name);
                }
                service.members.insert(Arc::clone(&instance.address), member);
                self.instances += 1;
                (instance, None)
            }
        };
        service.by_age.insert(created, Arc::clone(&instance));
        let told = if before.is_some() { Told::Yes } else { Told::No };
        self.tell(&name, &Change::Instance { instance, online: true, told });
        self.settle_leader(&name);
        before
    }

    /// An instance is gone. Returns what it was, if it was there.
    pub fn remove(&mut self, service: &str, address: &str, index: u64) -> Option<Arc<Instance>> {
        let found = self.services.get_mut(service)?;
        let member = found.members.remove(address)?;
        found.by_age.remove(&member.instance.created);
        if !found.exists() {
            self.names.remove(service);
        }
        if let Some(timer) = member.timer {
            self.leases.cancel(timer);
        }
        self.instances -= 1;
        self.advance(index);
        let gone = Arc::clone(&member.instance);
        let name = Arc::clone(&gone.service);
        let change = Change::Instance { instance: member.instance, online: false, told: Told::Yes };
        self.remember(Gone { number: self.number + 1, change: change.clone() });
        self.tell(&name, &change);
        self.settle_leader(&name);
        self.tidy(service);
        Some(gone)
    }

    /// Forgets a service that has nothing.
    fn tidy(&mut self, name: &str) {
        let service = self.services.get(name);
        if service.is_some_and(|it| !it.exists() && it.subscriptions.is_empty()) {
            self.services.remove(name);
        }
    }

    /// Tells of the next change.
    fn tell(&mut self, name: &Arc<str>, change: &Change) {
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
                Change::Document(service, ..) | Change::Leader(service, _) => service,
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
                    let change = Change::Document(Arc::clone(name), *which, Some(kept.clone()));
                    subscription.add(&change, *number);
                }
            }
            if service.led > since {
                let change = Change::Leader(Arc::clone(name), service.leader.clone());
                subscription.add(&change, service.led);
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
    use proptest::prelude::*;

    fn seconds(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    const GRACE: Duration = Duration::from_secs(10);

    fn shown(event: &Event) -> String {
        match event {
            Event::Online(it) => format!("+{}@{}", it.address, it.created),
            Event::Offline(it) => format!("-{}", it.address),
            Event::Updated(it) => format!("~{}@{}", it.address, it.created),
            Event::Leader(it) => format!("!{}@{}", it.address, it.created),
            Event::Document(_, which, kept) => {
                let kept = kept.as_ref().map(|kept| format!("{}@{}", kept.text, kept.index));
                format!("{}:{}", which.name(), kept.unwrap_or_default())
            }
            Event::Current => "=".to_string(),
            Event::Resumed => "r".to_string(),
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
        let id = registry.subscribe(Interest::Instances("web"));
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
        let id = registry.subscribe(Interest::Instances("web"));
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
        let id = registry.subscribe(Interest::Instances("web"));
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
    fn who_comes_back_is_told_what_has_changed() {
        let mut registry = Registry::new();
        for (address, index) in [("a", 1), ("b", 2), ("c", 3)] {
            registry.put("web", address, None, index);
        }
        let id = registry.subscribe(Interest::Service("web", None));
        // Who has not been told all cannot go on from there.
        assert_eq!((registry.next(id).is_some(), registry.told(id)), (true, None));
        assert_eq!(read(&mut registry, id), "+b@2 +c@3 !a@1 =");
        let told = registry.told(id);
        registry.put("web", "d", None, 4);
        registry.remove("web", "d", 5);
        registry.remove("web", "b", 6);
        registry.put("web", "b", None, 7);
        registry.remove("web", "b", 8);
        registry.remove("web", "c", 9);
        registry.put("web", "c", None, 10);
        registry.put("other", "x", None, 11);
        registry.set_document("web", Document::Meta, Some("m".into()), 12);
        registry.set_document("web", Document::Meta, None, 13);
        // That d is gone may have to be known.
        let all = "-d -b ~c@10 meta: r";
        let again = registry.subscribe(Interest::Service("web", told));
        assert_eq!(read(&mut registry, again), all);
        // Cut anywhere, and gone on with from there.
        for count in 0..=all.split(' ').count() {
            let first = registry.subscribe(Interest::Service("web", told));
            let before: Vec<String> =
                (0..count).filter_map(|_| registry.next(first).as_ref().map(shown)).collect();
            let second = registry.subscribe(Interest::Service("web", registry.told(first)));
            let behind = read(&mut registry, second);
            let both = [before.join(" ").trim_end_matches(['r', ' ']), &*behind].join(" ");
            assert_eq!(both.trim(), all, "{count}");
        }
        let changes = "-d -b ~c@10 +x@11 !x@11 meta: r";
        let everywhere = registry.subscribe(Interest::All(told));
        assert_eq!(read(&mut registry, everywhere), changes);
        // What is too long ago, and what has not been yet, is told from the start.
        for round in 0..2 * REMEMBERED as u64 {
            registry.put("web", "e", None, 20 + 2 * round);
            registry.remove("web", "e", 21 + 2 * round);
        }
        assert!(registry.gone.len() <= REMEMBERED);
        for since in [told, Some(u64::MAX)] {
            let again = registry.subscribe(Interest::Service("web", since));
            assert_eq!(read(&mut registry, again), "+a@1 +c@10 !a@1 =");
        }
    }

    #[test]
    fn documents_in_order() {
        let mut registry = Registry::new();
        for name in ["b", "a", "c"] {
            for which in Document::ALL {
                registry.set_document(name, which, Some("x".into()), 1);
            }
        }
        let mut last: Option<(Arc<str>, Document)> = None;
        let mut seen = String::new();
        loop {
            let behind = last.as_ref().map(|(name, which)| (&**name, *which));
            let Some((name, which, _)) = registry.documents(behind).next() else { break };
            seen.push_str(&format!("{name}{} ", &which.name()[..1]));
            last = Some((Arc::clone(name), which));
        }
        assert_eq!(seen, "as am al bs bm bl cs cm cl ");
        assert_eq!(registry.services().map(ToString::to_string).collect::<String>(), "abc");
        for name in ["b", "a", "c"] {
            for which in Document::ALL {
                registry.set_document(name, which, None, 2);
            }
        }
        assert!(registry.services.is_empty());
    }

    #[test]
    fn a_crowd_shares_one_snapshot() {
        let mut registry = Registry::new();
        registry.put("web", "a", None, 1);
        let ids: Vec<_> = (0..10).map(|_| registry.subscribe(Interest::Instances("web"))).collect();
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
    struct View(BTreeMap<String, u64>, bool, Option<String>, bool);

    impl View {
        fn read(&mut self, event: &Event) {
            match event {
                Event::Online(it) => _ = self.0.insert(it.address.to_string(), it.created),
                Event::Updated(it) => {
                    let before = self.0.insert(it.address.to_string(), it.created);
                    assert!(before.is_some() || self.3, "{it:?} was never told");
                }
                Event::Leader(it) => self.2 = Some(it.address.to_string()),
                Event::Document(..) => {}
                Event::Offline(it) => {
                    let before = self.0.remove(&*it.address);
                    assert!(before.is_some() || self.3, "{it:?} was never told");
                }
                Event::Current | Event::Resumed => {
                    assert!(!core::mem::replace(&mut self.1, true), "twice");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_view_is_the_registry_s_in_the_end(
            operations in prop::collection::vec((0_u8..9, 0_usize..4, 0_usize..4), 0..200)
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
                    3 => views.push((registry.subscribe(Interest::Instances("web")), View::default())),
                    4 => views.push((registry.subscribe(Interest::All(None)), View::default())),
                    5 => {
                        let text = (count > 0).then(|| address.into());
                        registry.set_document("web", Document::Leader, text, index);
                    }
                    6 => {
                        // One goes, and comes back.
                        let all = views.len().max(1);
                        if let Some((id, view)) = views.get_mut(which % all)
                            && let Some(since) = registry.told(*id)
                            && !matches!(registry.subscriptions.get(id.0).unwrap().topic, Topic::Instances(_))
                        {
                            registry.unsubscribe(*id);
                            *id = registry.subscribe(Interest::All(Some(since)));
                            (view.1, view.3) = (false, true);
                        }
                    }
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
                let subscription = registry.subscriptions.get(id.0).unwrap();
                prop_assert!(subscription.changes.len() <= 10);
                let is_whole = !matches!(subscription.topic, Topic::Instances(_));
                while let Some(event) = registry.next(id) {
                    view.read(&event);
                }
                prop_assert_eq!(&view.0, &all);
                if is_whole && !all.is_empty() {
                    let leader = registry.leader("web").map(|it| it.address.to_string());
                    prop_assert_eq!(&view.2, &leader);
                }
                prop_assert!(view.1);
            }
        }
    }
}
