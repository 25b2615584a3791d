//! What a store is made of: the instances that are there, until when, and who is told of changes.

mod follow;
mod leases;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::cell::OnceCell;
use core::ops::Bound;

use super::feed::{Change, Subscription, Told};
use super::instance::digest;
use super::names::Names;
use super::{Document, Event, Instance, Kept, SubscriptionId};
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
    /// How many instances speak each protocol.
    protocols: BTreeMap<Box<str>, usize>,
}

/// So much of what went is remembered.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
struct Service {
    members: BTreeMap<Arc<str>, Member>,
    /// By index and address: others may have created several at once, in a store that they share.
    by_age: BTreeMap<(u64, Arc<str>), Arc<Instance>>,
    /// Addresses by the instances' ids, once one was looked for by its own.
    ids: OnceCell<BTreeMap<[u8; 16], Arc<str>>>,
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

    /// The instance with that [id](Instance::id).
    pub(super) fn with_id(&self, service: &str, id: [u8; 16]) -> Option<&Arc<Instance>> {
        let service = self.services.get(service)?;
        let ids = service.ids.get_or_init(|| service.by_age.values().map(by_id).collect());
        service.members.get(ids.get(&id)?).map(|member| &member.instance)
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
        let told = if found.documents.contains_key(&which) { Told::Yes } else { Told::No };
        let change =
            Change::Document { service: Arc::clone(&name), which, kept: kept.clone(), told };
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

    /// Whether any instance's protocol is this one.
    pub(super) fn speaks(&self, protocol: &str) -> bool {
        self.protocols.contains_key(protocol)
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
                service.by_age.remove(&age(&member.instance));
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
        service.by_age.insert(age(&instance), Arc::clone(&instance));
        if let Some(ids) = service.ids.get_mut() {
            before.iter().for_each(|it| _ = ids.remove(&by_id(it).0));
            ids.extend([by_id(&instance)]);
        }
        if before.as_ref().map(|it| it.protocol()) != Some(instance.protocol()) {
            before.iter().for_each(|it| uncount(&mut self.protocols, it.protocol()));
            count(&mut self.protocols, instance.protocol());
        }
        let told = if before.is_some() { Told::Yes } else { Told::No };
        self.tell(&name, &Change::Instance { instance, online: true, told });
        self.settle_leader(&name);
        before
    }

    /// An instance is gone. Returns what it was, if it was there.
    pub fn remove(&mut self, service: &str, address: &str, index: u64) -> Option<Arc<Instance>> {
        let found = self.services.get_mut(service)?;
        let member = found.members.remove(address)?;
        found.by_age.remove(&age(&member.instance));
        if let Some(ids) = found.ids.get_mut() {
            ids.remove(&by_id(&member.instance).0);
        }
        if !found.exists() {
            self.names.remove(service);
        }
        if let Some(timer) = member.timer {
            self.leases.cancel(timer);
        }
        self.instances -= 1;
        uncount(&mut self.protocols, member.instance.protocol());
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
}

/// Where an instance stands among those of its service.
fn age(instance: &Instance) -> (u64, Arc<str>) {
    (instance.created, Arc::clone(&instance.address))
}

/// By what it is found, and where.
fn by_id(instance: &Arc<Instance>) -> ([u8; 16], Arc<str>) {
    (digest(instance.protocol(), &instance.address), Arc::clone(&instance.address))
}

fn count(protocols: &mut BTreeMap<Box<str>, usize>, protocol: &str) {
    match protocols.get_mut(protocol) {
        Some(count) => *count += 1,
        None => _ = protocols.insert(protocol.into(), 1),
    }
}

fn uncount(protocols: &mut BTreeMap<Box<str>, usize>, protocol: &str) {
    if let Some(count) = protocols.get_mut(protocol) {
        *count -= 1;
        if *count == 0 {
            protocols.remove(protocol);
        }
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
