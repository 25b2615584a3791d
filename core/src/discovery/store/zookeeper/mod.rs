//! A store in ZooKeeper (3.6 or later), which many servers of discovery may share.
//!
//! # What is kept
//!
//! ```text
//! /discoverd/instances/SERVICE/ADDRESS             a container: {"attributes":{"k":"v"}}    czxid is when it was created
//! /discoverd/instances/SERVICE/ADDRESS/0x100ab…    ephemeral: the session of a server that holds it
//! /discoverd/services/SERVICE/{service,meta,leader}  documents: {"text":"…"}                mzxid is a document's index
//! ```
//!
//! (`zkCli.sh ls -R /discoverd` shows them.) An instance's node cannot itself be ephemeral: it would go with the server at which it
//! was registered, though its client has gone on at another by then, and who takes it over could only create another node, with
//! another `czxid`. So the node stays, and each server that gets heartbeats for it holds it by an ephemeral child that has the name
//! of its session. An instance is there for as long as it has a child; the last one to let go of it deletes both in one
//! transaction, which fails if another has come meanwhile. So:
//!
//! - a heartbeat at the server that holds the instance changes nothing: it moves a time there, and asks ZooKeeper for a `sync`, one
//!   for all heartbeats that have come together, so that it is not answered for an instance that another server has just ended;
//! - a client that goes on at another server costs one transaction: that one holds it, too, and the first lets go after a TTL;
//! - a server that dies leaves what it holds for the session's timeout, the TTL, for its clients to go on elsewhere, and it does
//!   not close its session when it is stopped;
//! - a server that stands still for longer has lost its session, and with it what it held: when it goes on it reads everything anew,
//!   and its clients' next heartbeats create instances anew, whose `Created` is another, for all others have seen them go;
//! - what nobody holds any more is replaced in one transaction, by a younger one, and otherwise removed by ZooKeeper itself,
//!   which looks for containers without children every minute.
//!
//! A document is changed in one transaction with the node of its service, whose version was read before: the document's own version
//! begins anew when it is deleted and created again, and a comparison would hold for another document. Services' nodes under
//! `services` stay for that reason.
//!
//! Names are escaped where ZooKeeper would refuse them: see `names.rs`.
//!
//! # What is known
//!
//! One persistent recursive watch (`addWatch`, ZooKeeper 3.6) on `/discoverd` names every node to which something happens. One-shot
//! watches would be one for each service and each instance, each set anew after each change, with all of them to be sent again after
//! a reconnect. An event does not say how the node is now, so the node is read: answers come in the order of the requests, behind
//! the events that they know of, so what is read is told in the order in which it was named, and what happens to a node that is being
//! read is in the answer. Everything is read once, behind the watch, and after every reconnect: what has changed meanwhile is told.
//!
//! # The session
//!
//! It goes on with any server, in the order in which they are named, for as long as ZooKeeper has not ended it. A server that leaves a
//! request or a ping unanswered for 2 s is left for the next one. Requests are refused within [`DEADLINE`] while none answers;
//! subscriptions are told nothing for as long as the TTL, then they end with an error. While ZooKeeper is not reached, and for a
//! TTL after it is again, nobody's time ends. A ZooKeeper that has lost all it had refuses those who have seen more (by closing their
//! connection); after a TTL of that, the store asks as one who has seen nothing.
//!
//! # The protocol, as it was captured
//!
//! From ZooKeeper 3.8.0 and its command line client; `captured.txt` has whole conversations. Everything is a frame, an i32 with
//! the length and that many bytes; integers are big-endian; a text and a buffer are an i32 with the length (−1: none) and the bytes;
//! a list an i32 with the count.
//!
//! ```text
//! > 00000000 0000000000000000 00001770 0000000000000000 00000010 00…00 00     version, last zxid seen, timeout in ms, session (0: new),
//!                                                                             password, whether read-only will do
//! < 00000000 00001770 0100031b16620000 00000010 0000106c…f5 00                version, timeout as granted, session, password, read-only
//!     timeout 0, session 0: it has expired (or the password is wrong), and the server closes. Last zxid unknown to the server,
//!     or the server without a quorum: it closes without a word. The same session on another connection: the older one is closed.
//!
//! > 00000001 00000001 00000002 2f64 ffffffff 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000
//!   xid, create, path "/d", no data, 1 ACL: all five permissions, "world", "anyone" (or "auth", ""); flags: 0, 1 ephemeral, 4 container
//! < 00000001 0000000000000002 00000000 00000002 2f64                          xid, zxid, error, and what create gives: the path
//!     an error ends the reply: < 00000010 0000000000000006 ffffff99           −103, bad version
//! createContainer (19) is as create, and gives path and stat. delete (2), check (13): path, version (−1: any); they give nothing.
//! setData (5): path, data, version; gives stat. getData (4): path, whether to watch; gives data, stat. exists (3): gives stat.
//! getChildren2 (12): path, whether to watch; gives names, stat. sync (9): path; gives path.
//!     stat: czxid, mzxid, ctime, mtime (i64), version, cversion, aversion (i32), ephemeralOwner (i64), data length, children (i32),
//!     pzxid (i64).
//! multi (14): for each (opcode, 00, ffffffff) and its request; then (ffffffff, 01, ffffffff). Gives for each the same head and its
//!     answer: create 1 and the path, createContainer 15 (as create2), path and stat, setData 5 and stat, delete 2, check 13. Failed, with
//!     error 0 in the reply: for each (ffffffff, 00, error) and the error again: 0 before the one that failed, −2 behind it.
//! addWatch (106): path, mode (1: persistent, recursive); gives an i32. setWatches (101, xid −8) sets one-shot watches again.
//!
//! > fffffffc 00000064 00000000 00000006 646967657374 00000009 6d653a736563726574     auth: xid −4, 100, type 0, "digest", "me:secret"
//! < fffffffc 0000000000000000 00000000                                               −115: refused, and the server closes
//! > fffffffe 0000000b          < fffffffe 000000000000003e 00000000                  ping: xid −2, 11
//! < ffffffff ffffffffffffffff 00000000 00000001 00000003 00000006 2f642f632f31       event: xid −1; type 1 created, 2 deleted, 3 data,
//!                                                                                    4 children (one-shot only); state 3; path
//! > 00000016 fffffff5                                                                closeSession (−11)
//! ```
//!
//! Answers come in the order of the requests, an event before the answer to what caused it, and before any answer that knows of it.
//! Errors: −101 no node, −102 not permitted, −103 bad version, −108 an ephemeral has no children, −110 node exists, −111 not empty,
//! −112 session expired, −114 no such ACL, −115 authentication failed, −118 session moved, −6 unknown operation, −8 bad path.
//! Timeouts are granted between 2 and 20 ticks of the server's; one that hears nothing for so long ends the session when its next
//! tick comes. Failed changes use up a zxid, too.

#[cfg(test)]
mod captured;
mod config;
mod jute;
mod names;
mod requests;
mod session;
mod view;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::mirror::{Mirror, Queues, unavailable};
use super::{Interest, Store, StoreError, StoreEvent, StoreInput, check_expected, value};
use crate::discovery::{Document, Event, Expect, Registration, Registry, SubscriptionId};
use crate::id::{Key, Slab};
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};
pub use config::Config;
use requests::{Hold, Kind, Request};
use session::{Heard, Purpose, Session};
use view::{Found, View, What, document_name, document_of};

/// A request is answered within this time, whatever ZooKeeper does.
pub const DEADLINE: Duration = Duration::from_secs(6);

/// What part of a TTL a timer is late that was not just kept waiting.
const LATE: u32 = 20;

/// Keeps registrations in ZooKeeper.
///
/// What it asks of its user are [connections](StoreEvent::Connect), on which it speaks ZooKeeper's protocol.
#[derive(Debug)]
pub struct Zookeeper {
    mirror: Mirror,
    session: Session,
    view: View,
    /// The node with everything.
    base: String,
    has_auth: bool,
    /// When each instance was created and last changed, by its name: service, slash, address. And each document, whose name begins
    /// with a slash.
    known: BTreeMap<String, (i64, i64)>,
    /// What this server holds, or may hold.
    holds: BTreeMap<String, Hold>,
    requests: Slab<Request>,
    queues: Queues,
    /// Heartbeats that wait to be asked for, and those that were.
    beats: Vec<Key>,
    beating: Vec<Key>,
    /// Requests that are done, but what they did was not heard before the connection was lost.
    unheard: Vec<Key>,
    timers: Timers<Due>,
    steps: VecDeque<Step>,
    out: VecDeque<StoreEvent>,
    /// Nobody's time ends before this.
    spared: Instant,
    random: fastrand::Rng,
    ttl: Duration,
    now: Instant,
}

/// What is to be told next, in ZooKeeper's order.
#[derive(Debug)]
enum Step {
    /// What was read under that number, as soon as it is.
    Read(u64),
    /// An instance is so, as of a transaction.
    Put(String, i64, Found),
    Remove(String, i64),
    /// All that there is.
    All(BTreeMap<String, Found>),
    /// All that happened before a heartbeat is known.
    Beaten(Key),
    Done(Key),
    /// From here on what is known is up to date.
    Live,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Due {
    /// To read everything anew.
    Load,
    Deadline(Key),
    Retry(Key),
    /// An instance's time may be over.
    Lease(String),
}

impl Zookeeper {
    /// One that begins to read what is there.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let Config { endpoints, chroot, auth, ttl, seed } = config;
        let has_auth = auth.is_some();
        Self {
            mirror: Mirror::new("ZooKeeper", ttl),
            session: Session::new(now, &endpoints, auth, ttl),
            view: View::default(),
            base: format!("{chroot}/discoverd"),
            has_auth,
            known: BTreeMap::new(),
            holds: BTreeMap::new(),
            requests: Slab::new(),
            queues: Queues::default(),
            beats: Vec::new(),
            beating: Vec::new(),
            unheard: Vec::new(),
            timers: Timers::new(),
            steps: VecDeque::new(),
            out: VecDeque::new(),
            spared: now,
            random: fastrand::Rng::with_seed(seed),
            ttl,
            now,
        }
    }

    fn set_timer(&mut self, after: Duration, due: Due) -> TimerKey {
        self.timers.set(self.now + after, due)
    }

    /// Takes note of what the session has brought.
    fn listen(&mut self) {
        while let Some(heard) = self.session.poll_heard() {
            match heard {
                Heard::Opened { fresh } => {
                    if fresh {
                        self.let_all_go();
                    }
                    self.load();
                }
                Heard::Event(path) => self.happened(&path),
                Heard::Answer { purpose: Purpose::Request(key), zxid, result } => {
                    self.request_heard(key, zxid, result);
                }
                Heard::Answer { purpose: Purpose::Beat, zxid, result } => {
                    self.heard_of(zxid);
                    self.beaten(&result);
                }
                Heard::Answer { purpose, zxid, result } => self.view_heard(purpose, zxid, result),
                Heard::Lost(reason) => self.lost(reason),
            }
        }
    }

    fn timeout(&mut self) {
        self.session.handle_timeout(self.now);
        self.listen();
        while let Some((timer, due)) = self.timers.expired(self.now) {
            match due {
                Due::Load => self.load_due(),
                Due::Deadline(key) => self.late(key),
                Due::Retry(key) => self.retry(key),
                Due::Lease(name) => self.lease_due(name, timer),
            }
            self.listen();
        }
        self.mirror.handle_timeout(self.now, &mut self.out);
    }

    /// Whether the next step can be taken.
    fn is_ready(&self) -> bool {
        match self.steps.front() {
            None => false,
            Some(Step::Read(id)) => self.view.found.contains_key(id),
            Some(_) => true,
        }
    }

    /// Tells the registry of one change.
    fn apply(&mut self, step: Step) -> Option<StoreEvent> {
        match step {
            Step::Read(id) => match self.view.found.remove(&id)? {
                (name, zxid, Some(found)) => self.put(name, zxid, found),
                (name, zxid, None) => self.remove(&name, zxid),
            },
            Step::Put(name, zxid, found) => self.put(name, zxid, found),
            Step::Remove(name, zxid) => self.remove(&name, zxid),
            Step::All(all) => self.compare(all),
            Step::Beaten(key) => self.check_beat(key),
            Step::Done(key) => return self.done(key),
            Step::Live => self.mirror.begin(),
        }
        None
    }

    fn put(&mut self, name: String, zxid: i64, found: Found) {
        let before = self.known.get(&name).copied();
        if before.is_some_and(|(created, _)| created != found.created) {
            // It was gone in between, and is another one now.
            self.remove(&name, 0);
            self.steps.push_front(Step::Put(name, zxid, found));
            return;
        }
        let Found { what, created, modified } = found;
        match what {
            What::Instance(attributes) => {
                if let Some(hold) = self.holds.get_mut(&name) {
                    hold.sure &= hold.created == created || zxid < hold.since;
                }
                self.mirror.put(&name, attributes, created);
            }
            What::Document(text) => {
                let Some((service, which)) = document_of(&name) else { return };
                if before.is_none_or(|(_, before)| before != modified) {
                    self.mirror.set_document(service, which, Some(text), modified);
                }
            }
        }
        self.known.insert(name, (created, modified));
    }

    fn remove(&mut self, name: &str, zxid: i64) {
        if self.holds.get(name).is_some_and(|hold| hold.since <= zxid) {
            self.let_go(name);
        }
        if self.known.remove(name).is_none() {
            return;
        }
        if let Some((service, which)) = document_of(name) {
            self.mirror.set_document(service, which, None, zxid);
        } else {
            self.mirror.remove(name);
        }
    }
}

impl Store for Zookeeper {
    fn register(&mut self, now: Instant, request: u64, registration: Registration) {
        self.now = self.now.max(now);
        let Registration { service, address, attributes } = registration;
        self.ask(request, format!("{service}/{address}"), Kind::Register(attributes));
    }

    fn unregister(&mut self, now: Instant, request: u64, service: &str, address: &str) {
        self.now = self.now.max(now);
        let kind = Kind::Unregister { unsure: false };
        self.ask(request, format!("{service}/{address}"), kind);
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
        let writer = self.random.u64(1..);
        let kind = Kind::Keep { text, expect, writer, unsure: false };
        self.ask(request, document_name(service, which), kind);
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
            StoreInput::Connected(id) => self.session.connected(self.now, id),
            StoreInput::Received(id, bytes) => self.session.received(self.now, id, bytes),
            StoreInput::Lost(id, reason) => self.session.gone(self.now, id, reason),
            StoreInput::Persisted | StoreInput::PersistFailed(_) | StoreInput::Exchange(..) => {}
        }
        self.listen();
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        loop {
            // Subscribers are told of one change before the next one happens.
            if let Some(id) = self.mirror.registry_mut().poll_ready() {
                return Some(StoreEvent::Ready(id));
            }
            if let Some(event) = self.out.pop_front() {
                return Some(event);
            }
            self.listen();
            let step = if self.is_ready() { self.steps.pop_front() } else { None };
            match step {
                Some(step) => {
                    if let Some(event) = self.apply(step) {
                        return Some(event);
                    }
                }
                // What was brought about so far goes out in one piece.
                None => return self.out.pop_front().or_else(|| self.session.poll()),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.timers.next(), self.session.poll_timeout(), self.mirror.poll_timeout()];
        timers.into_iter().flatten().min()
    }
}

/// What an error says, and what to do about it.
fn refusal(error: i32) -> String {
    let what = match error {
        jute::code::NO_AUTH => {
            ": name a user with --zookeeper-auth who may read and write in /discoverd"
        }
        jute::code::INVALID_ACL => ": look at --zookeeper-auth",
        _ => "",
    };
    format!("{} ({error}){what}", jute::name(error))
}
