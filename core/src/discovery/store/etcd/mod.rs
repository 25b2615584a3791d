//! A store in etcd (v3, through its JSON gateway over HTTP/1.1), which many servers of discovery may share.
//!
//! An instance is a key, `/discoverd/instances/SERVICE/ADDRESS` (`etcdctl get --prefix /discoverd` shows them), whose value is
//! its attributes in JSON, and which hangs on a lease of its own: a heartbeat keeps the lease alive, and when it ends, etcd
//! deletes the key. The key's `create_revision` is when the instance was created, so that all who share an etcd agree on that
//! and on the leader. A client may go on with its registration at another server, which finds the lease in the key.
//!
//! A [document](super::super::Document) is a key, `/discoverd/services/SERVICE/NAME`, whose value is its text in JSON. It hangs on
//! no lease. The key's `mod_revision` is the document's index.
//!
//! All of these are read once, at a revision, and watched from the next one on, with one watch for all services: etcd's work
//! does not grow with the number of subscribers, and who subscribes is told what is known here, at once. A watch that is quiet
//! is replaced by another that begins where it ended, before it is let go of: a member that has fallen silent is found out so.
//!
//! A member that does not answer is left for the next one. While none does, requests are refused within [`DEADLINE`], and
//! subscriptions are told nothing, for as long as the TTL; then they end with an error. One that begins meanwhile waits until it
//! is known what there is: its client has no marker, so it knows that it does not know.

mod api;
mod calls;
mod config;
mod requests;
mod view;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::mirror::{Mirror, Queues, unavailable};
use super::{Interest, Store, StoreError, StoreEvent, StoreInput};
use crate::discovery::{Document, Event, Expect, Registration, Registry, SubscriptionId};
use crate::id::{Key, Slab};
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};
use calls::{Calls, Outcome, Purpose};
pub use config::Config;
use requests::{Kind, Request};
use view::{All, Found, View};

/// A request is answered within this time, whatever etcd does.
pub const DEADLINE: Duration = Duration::from_secs(6);

/// Keeps registrations in etcd.
///
/// What it asks of etcd are [exchanges](super::Exchange), which its user makes.
#[derive(Debug)]
pub struct Etcd {
    mirror: Mirror,
    calls: Calls,
    view: View,
    /// What is known of each instance's key, by its name: service, slash, address.
    held: BTreeMap<String, Held>,
    requests: Slab<Request>,
    queues: Queues,
    /// Requests that are done once what happened up to that revision is known here.
    unseen: BTreeSet<(i64, Key)>,
    timers: Timers<Due>,
    steps: VecDeque<Step>,
    out: VecDeque<StoreEvent>,
    random: fastrand::Rng,
    ttl: Duration,
    now: Instant,
}

/// What is known of an instance's key.
#[derive(Clone, Copy, Debug)]
struct Held {
    lease: i64,
    modified: i64,
    /// A request of this store's has left it so, or found it so: what it hangs on is known, not just heard of.
    known: bool,
}

/// What is to be told next, in etcd's order.
#[derive(Debug)]
enum Step {
    Put(String, Found),
    Remove(String),
    /// A document's text, and the revision of its change.
    Document((String, Document), Option<String>, i64),
    /// All that there is.
    All(All),
    Done(Key),
    /// From here on what is known is up to date.
    Live,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    /// To go on with the view: try again, or see whether the watch is alive.
    View,
    Deadline(Key),
    Retry(Key),
}

impl Etcd {
    /// One that begins to read what is there.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let Config { endpoints, user, ttl, seed } = config;
        let mut store = Self {
            mirror: Mirror::new("etcd", ttl),
            calls: Calls::new(&endpoints, user),
            view: View::default(),
            held: BTreeMap::new(),
            requests: Slab::new(),
            queues: Queues::default(),
            unseen: BTreeSet::new(),
            timers: Timers::new(),
            steps: VecDeque::new(),
            out: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
            ttl,
            now,
        };
        store.seek();
        store
    }

    /// The TTL in etcd's seconds.
    fn seconds(&self) -> u64 {
        self.ttl.as_secs() + u64::from(self.ttl.subsec_nanos() > 0)
    }

    fn set_timer(&mut self, after: Duration, due: Due) -> TimerKey {
        self.timers.set(self.now + after, due)
    }

    /// Takes note of what the calls have brought.
    fn listen(&mut self) {
        while let Some((call, purpose, outcome)) = self.calls.poll_heard() {
            match purpose {
                Purpose::Request(key) => self.request_heard(key, call, outcome),
                Purpose::Page => self.page_heard(call, outcome),
                Purpose::Watch => self.watch_heard(call, outcome),
                Purpose::Token => {}
            }
        }
        self.follow();
    }

    fn timeout(&mut self) {
        self.calls.handle_timeout(self.now);
        self.listen();
        while let Some((timer, due)) = self.timers.expired(self.now) {
            match due {
                Due::View => self.view_due(timer),
                Due::Deadline(key) => self.late(key),
                Due::Retry(key) => self.retry(key),
            }
            self.listen();
        }
        self.mirror.handle_timeout(self.now, &mut self.out);
    }

    /// Tells the registry of one change.
    fn apply(&mut self, step: Step) -> Option<StoreEvent> {
        match step {
            Step::Put(name, found) => self.put(&name, found),
            Step::Remove(name) => {
                if self.held.remove(&name).is_some() {
                    self.mirror.remove(&name);
                }
            }
            Step::Document((service, which), text, modified) => {
                self.mirror.set_document(&service, which, text, modified);
            }
            Step::All(all) => self.compare(all),
            Step::Done(key) => return self.done(key),
            Step::Live => self.mirror.begin(),
        }
        None
    }

    fn put(&mut self, name: &str, found: Found) {
        let Found { attributes, created, modified, lease } = found;
        self.mirror.put(name, attributes, created);
        match self.held.get_mut(name) {
            Some(held) if held.modified == modified => {}
            Some(held) => *held = Held { lease, modified, known: false },
            None => _ = self.held.insert(name.into(), Held { lease, modified, known: false }),
        }
    }
}

impl Store for Etcd {
    fn register(&mut self, now: Instant, request: u64, registration: Registration) {
        self.now = self.now.max(now);
        let Registration { service, address, attributes } = registration;
        self.ask(request, format!("{service}/{address}"), Kind::Register(attributes));
    }

    fn unregister(&mut self, now: Instant, request: u64, service: &str, address: &str) {
        self.now = self.now.max(now);
        self.ask(request, format!("{service}/{address}"), Kind::Unregister { unsure: false });
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
        self.now = self.now.max(now);
        let name = api::document_name(service, which);
        let writer = self.random.u64(1..);
        self.ask(request, name, Kind::Keep { text, expect, writer, unsure: false });
    }

    fn registry(&self) -> Result<&Registry, StoreError> {
        self.mirror.known(self.now)
    }

    fn subscribe(&mut self, now: Instant, interest: Interest<'_>) -> SubscriptionId {
        self.now = self.now.max(now);
        let is_settled = self.steps.is_empty();
        if self.mirror.is_live() && !is_settled {
            self.steps.push_back(Step::Live);
        }
        self.mirror.subscribe(self.now, interest, is_settled)
    }

    fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.mirror.unsubscribe(subscription);
    }

    fn next(&mut self, subscription: SubscriptionId) -> Option<Event> {
        self.mirror.registry_mut().next(subscription)
    }

    fn told(&self, subscription: SubscriptionId) -> Option<u64> {
        self.mirror.registry().told(subscription)
    }

    fn handle(&mut self, now: Instant, input: StoreInput<'_>) {
        self.now = self.now.max(now);
        match input {
            StoreInput::Timeout => self.timeout(),
            StoreInput::Exchange(id, progress) => {
                self.calls.progress(self.now, id, progress);
                self.listen();
            }
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        loop {
            // Subscribers are told of one change before the next one happens.
            if let Some(id) = self.mirror.registry_mut().poll_ready() {
                return Some(StoreEvent::Ready(id));
            }
            if let Some(event) = self.out.pop_front().or_else(|| self.calls.poll()) {
                return Some(event);
            }
            self.listen();
            let Some(step) = self.steps.pop_front() else {
                return self.out.pop_front().or_else(|| self.calls.poll());
            };
            if let Some(event) = self.apply(step) {
                return Some(event);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.timers.next(), self.calls.poll_timeout(), self.mirror.poll_timeout()];
        timers.into_iter().flatten().min()
    }
}

/// What a call that has come to nothing says.
fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(reason) => reason,
        Outcome::Refused(_, reason) => hint(reason),
        Outcome::Reply(_) | Outcome::Piece(_) => String::new(),
    }
}

/// What to do about it, where that can be known.
fn hint(reason: String) -> String {
    let what = if reason.contains("user name is empty") {
        ": name a user with --etcd-user NAME:PASSWORD"
    } else if reason.contains("CommonName of client") {
        ": the certificate of --etcd-cert may have no CN in its subject where etcd has users"
    } else if reason.contains("authentication failed") {
        ": look at --etcd-user"
    } else if reason.contains("permission denied") {
        ": name a user with --etcd-user who may read and write /discoverd/"
    } else if reason.contains("authentication is not enabled") {
        ": leave --etcd-user out"
    } else {
        ""
    };
    reason + what
}
