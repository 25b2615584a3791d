//! Some servers of discovery on one server that they share, as a model, and time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::store::Progress;
use libswarm::discovery::{
    Attributes, Document, Event, Expect, Interest, Registration, Registry, Store, StoreError,
    StoreEvent, StoreInput, SubscriptionId,
};

use crate::etcd::{Member, Piece};
use crate::zookeeper::Wired;

/// A server that stores share, as a model.
pub(crate) trait Model: Sized + Send + 'static {
    /// One with that many members.
    fn new(members: usize) -> Self;

    /// A store on it, for the user of that number.
    fn open(
        &self,
        now: Instant,
        user: usize,
        credentials: Option<(String, String)>,
    ) -> Box<dyn Store>;

    /// Lets time pass.
    fn advance(&mut self, now: Instant);

    /// When time matters next.
    fn due(&self) -> Option<Instant>;

    /// Does what a store asks of others; gives back what is for the store's user.
    fn carry(&mut self, user: usize, event: StoreEvent) -> Option<StoreEvent>;

    /// What has come for a store.
    fn told(&mut self, user: usize) -> Option<Told>;

    /// A user is gone, with all its connections.
    fn disconnect(&mut self, user: usize);

    fn set_member(&mut self, which: usize, state: Member);

    /// What there is, by name, with when it was created.
    fn instances(&self) -> BTreeMap<String, u64>;

    /// Something befalls it that befalls no other.
    fn trouble(&mut self, random: &mut fastrand::Rng);

    /// All is well again.
    fn calm(&mut self);

    /// Nothing is left over of what is not there any more.
    fn check(&self);
}

/// What a store is told of what it has asked of others.
pub(crate) enum Told {
    Exchange(u64, Piece),
    Wire(u64, Wired),
}

impl Told {
    pub(crate) fn input(&self) -> StoreInput<'_> {
        match self {
            Self::Exchange(id, piece) => {
                let progress = match piece {
                    Piece::Status(status) => Progress::Status(*status),
                    Piece::Body(body) => Progress::Body(body),
                    Piece::End => Progress::End,
                    Piece::Broken => Progress::Failed("the connection broke"),
                };
                StoreInput::Exchange(*id, progress)
            }
            Self::Wire(id, Wired::Connected) => StoreInput::Connected(*id),
            Self::Wire(id, Wired::Received(bytes)) => StoreInput::Received(*id, bytes),
            Self::Wire(id, Wired::Lost(reason)) => StoreInput::Lost(*id, reason),
        }
    }
}

/// A store that the model answers.
pub(crate) struct OnModel<M> {
    pub(crate) store: Box<dyn Store>,
    model: Arc<Mutex<M>>,
    user: usize,
    now: Instant,
    pub(crate) warnings: Vec<String>,
}

impl<M: Model> OnModel<M> {
    pub(crate) fn new(
        model: &Arc<Mutex<M>>,
        user: usize,
        now: Instant,
        credentials: Option<(String, String)>,
    ) -> Self {
        let store = model.lock().expect("nobody panicked").open(now, user, credentials);
        let model = Arc::clone(model);
        let mut it = Self { store, model, user, now, warnings: Vec::new() };
        it.work();
        it
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, M> {
        self.model.lock().expect("nobody panicked")
    }

    /// Carries what it asks of others until there is something else to tell.
    fn work(&mut self) -> Option<StoreEvent> {
        self.model().advance(self.now);
        loop {
            while let Some(event) = self.store.poll() {
                let event = self.model().carry(self.user, event);
                match event {
                    None => {}
                    Some(StoreEvent::Warn(line)) => self.warnings.push(line),
                    other => return other,
                }
            }
            let told = self.model().told(self.user)?;
            self.store.handle(self.now, told.input());
        }
    }

    fn due(&self) -> Option<Instant> {
        [self.store.poll_timeout(), self.model().due()].into_iter().flatten().min()
    }
}

impl<M: Model> Store for OnModel<M> {
    fn register(&mut self, now: Instant, request: u64, registration: Registration) {
        self.now = now;
        self.store.register(now, request, registration);
    }

    fn unregister(&mut self, now: Instant, request: u64, service: &str, address: &str) {
        self.now = now;
        self.store.unregister(now, request, service, address);
    }

    fn keep(
        &mut self,
        now: Instant,
        request: u64,
        service: &str,
        which: Document,
        text: Option<String>,
        expect: Expect,
    ) {
        self.now = now;
        self.store.keep(now, request, service, which, text, expect);
    }

    fn registry(&self) -> Result<&Registry, StoreError> {
        self.store.registry()
    }

    fn subscribe(&mut self, now: Instant, interest: Interest<'_>) -> SubscriptionId {
        self.now = now;
        self.store.subscribe(now, interest)
    }

    fn told(&self, subscription: SubscriptionId) -> Option<u64> {
        self.store.told(subscription)
    }

    fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.store.unsubscribe(subscription);
    }

    fn next(&mut self, subscription: SubscriptionId) -> Option<Event> {
        self.store.next(subscription)
    }

    fn handle(&mut self, now: Instant, input: StoreInput<'_>) {
        self.now = now;
        self.model().advance(now);
        self.store.handle(now, input);
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        self.work()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due()
    }
}

/// Some servers of discovery on one model, and time.
pub(crate) struct Bench<M> {
    model: Arc<Mutex<M>>,
    pub(crate) stores: Vec<OnModel<M>>,
    /// The process of this one stands still.
    pub(crate) frozen: Option<usize>,
    /// How many stores there were.
    users: usize,
    pub(crate) now: Instant,
    pub(crate) next: u64,
    pub(crate) done: BTreeMap<u64, Result<(), StoreError>>,
    pub(crate) kept: BTreeMap<u64, Result<u64, StoreError>>,
    pub(crate) ended: Vec<(usize, SubscriptionId, String)>,
    pub(crate) user: Option<(String, String)>,
    /// Whether subscriptions are read as soon as there is something, and what they were told then.
    pub(crate) reads: bool,
    pub(crate) told: Vec<(usize, SubscriptionId, Event)>,
}

impl<M: Model> Bench<M> {
    pub(crate) fn new(stores: usize, members: usize) -> Self {
        let mut bench = Self::without_stores(members);
        for _ in 0..stores {
            bench.open();
        }
        bench
    }

    pub(crate) fn without_stores(members: usize) -> Self {
        Self {
            model: Arc::new(Mutex::new(M::new(members))),
            stores: Vec::new(),
            frozen: None,
            users: 0,
            now: Instant::ZERO,
            next: 0,
            done: BTreeMap::new(),
            kept: BTreeMap::new(),
            ended: Vec::new(),
            user: None,
            reads: false,
            told: Vec::new(),
        }
    }

    pub(crate) fn open(&mut self) -> usize {
        let store = self.fresh();
        self.stores.push(store);
        self.settle();
        self.stores.len() - 1
    }

    pub(crate) fn fresh(&mut self) -> OnModel<M> {
        self.users += 1;
        OnModel::new(&self.model, self.users, self.now, self.user.clone())
    }

    /// The process of one dies, and another one takes its place.
    pub(crate) fn replace(&mut self, which: usize) {
        let user = self.stores[which].user;
        self.model().disconnect(user);
        self.stores[which] = self.fresh();
        self.settle();
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, M> {
        self.model.lock().expect("nobody panicked")
    }

    pub(crate) fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for (which, store) in self.stores.iter_mut().enumerate() {
                if self.frozen == Some(which) {
                    continue;
                }
                store.now = self.now;
                while let Some(event) = store.work() {
                    quiet = false;
                    match event {
                        StoreEvent::Done(request, result) => {
                            assert!(self.done.insert(request, result).is_none(), "answered twice");
                        }
                        StoreEvent::Kept(request, result) => {
                            assert!(self.kept.insert(request, result).is_none(), "answered twice");
                        }
                        StoreEvent::Ended(id, error) => {
                            self.ended.push((which, id, error.to_string()));
                        }
                        StoreEvent::Ready(id) if self.reads => {
                            let all = std::iter::from_fn(|| store.store.next(id));
                            self.told.extend(all.map(|event| (which, id, event)));
                        }
                        _ => {}
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn awake(&self) -> Vec<usize> {
        (0..self.stores.len()).filter(|which| self.frozen != Some(*which)).collect()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        loop {
            let awake = self.awake();
            let due = awake.iter().filter_map(|which| self.stores[*which].due()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            for which in awake {
                self.stores[which].handle(self.now, StoreInput::Timeout);
            }
            self.settle();
        }
        self.now = end;
    }

    pub(crate) fn start(
        &mut self,
        at: usize,
        address: &str,
        attributes: Option<Attributes>,
    ) -> u64 {
        let registration =
            Registration { service: "web".into(), address: address.into(), attributes };
        self.next += 1;
        self.stores[at].register(self.now, self.next, registration);
        self.settle();
        self.next
    }

    pub(crate) fn keep(&mut self, at: usize, text: Option<&str>, expect: Expect) -> u64 {
        self.next += 1;
        let text = text.map(String::from);
        self.stores[at].keep(self.now, self.next, "web", Document::Meta, text, expect);
        self.settle();
        self.next
    }

    pub(crate) fn document(&self, at: usize) -> Option<(String, u64)> {
        let registry = self.stores[at].store.registry().expect("it is known");
        let kept = registry.document("web", Document::Meta);
        kept.map(|kept| (kept.text.to_string(), kept.index))
    }

    pub(crate) fn register(&mut self, at: usize, address: &str) {
        let request = self.start(at, address, None);
        assert_eq!(self.done.remove(&request), Some(Ok(())), "{address} at {at}");
    }

    pub(crate) fn start_unregister(&mut self, at: usize, address: &str) -> u64 {
        self.next += 1;
        self.stores[at].unregister(self.now, self.next, "web", address);
        self.settle();
        self.next
    }

    pub(crate) fn unregister(
        &mut self,
        at: usize,
        address: &str,
    ) -> Option<Result<(), StoreError>> {
        let request = self.start_unregister(at, address);
        self.done.remove(&request)
    }

    pub(crate) fn subscribe(&mut self, at: usize) -> (usize, SubscriptionId) {
        let id = self.stores[at].subscribe(self.now, Interest::Instances("web"));
        self.settle();
        (at, id)
    }

    /// All that there is to read.
    pub(crate) fn read(&mut self, (at, id): (usize, SubscriptionId)) -> String {
        self.settle();
        let mut text = Vec::new();
        while let Some(event) = self.stores[at].next(id) {
            text.push(shown(&event));
        }
        text.join(" ")
    }

    pub(crate) fn set(&mut self, which: usize, state: Member) {
        self.model().set_member(which, state);
        self.settle();
    }
}

/// What a subscription is told, as text.
pub(crate) fn shown(event: &Event) -> String {
    match event {
        Event::Online(it) => match it.attributes.as_ref().map(Attributes::len) {
            None => format!("+{}@{}", it.address, it.created),
            Some(count) => format!("+{}@{}({count})", it.address, it.created),
        },
        Event::Offline(it) => format!("-{}", it.address),
        Event::Current => "=".to_string(),
        other => panic!("{other:?}"),
    }
}
