//! The client itself.

mod heard;
mod write;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::link::{Link, State};
use super::registration::Registration;
use super::sets::Set;
use super::watch::{Watch, WatchId};
use super::{Action, Config, Error, Input, Machine, Notice, RegistrationId, SetId};
use crate::discovery::{Attributes, Change, ServiceSet};
use crate::id::Slab;
use crate::rpc::Args;
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// How long registrations may take to end before the client is [closed](Client::close) without that.
const FAREWELL: Duration = Duration::from_secs(1);

/// Notices that nobody takes; older ones are forgotten.
const NOTICES: usize = 64;

/// A program's end of discovery; see the [module](super).
#[derive(Debug)]
pub struct Client {
    config: Config,
    random: fastrand::Rng,
    now: Instant,
    link: Link,
    /// When something was heard last, or began to be waited for.
    heard: Instant,
    patient: Option<TimerKey>,
    was_lost: bool,
    registrations: Slab<Registration>,
    sets: Slab<Set>,
    /// How many registrations want an instance, by service and address: two of a program's may be of the same one.
    wanted: BTreeMap<(String, String), usize>,
    calls: BTreeMap<u64, RegistrationId>,
    streams: BTreeMap<u64, SetId>,
    queue: VecDeque<Task>,
    timers: Timers<Timer>,
    notices: VecDeque<Notice>,
    ending: bool,
    changes: u64,
}

/// What is to be said to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    Say(RegistrationId),
    Subscribe(SetId),
    End(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    /// A connection has had its time to come about, or a server to answer.
    Patience,
    /// A registration is to be said again.
    Heartbeat(RegistrationId),
    /// The server holds a registration no longer.
    Forgotten(RegistrationId),
    /// The first answer is overdue.
    Registration(RegistrationId),
    Set(SetId),
    /// A stream that the server has ended is to be begun again.
    Again(SetId),
    /// A marker may be believed.
    Believe(SetId),
    Farewell,
}

impl Client {
    /// One that looks for its servers at once. `seed` is for the jitter of heartbeats: clients have different ones.
    #[must_use]
    pub fn new(config: Config, now: Instant, seed: u64) -> Self {
        let link = Link::new(&config);
        Self {
            config,
            random: fastrand::Rng::with_seed(seed),
            now,
            link,
            heard: now,
            patient: None,
            was_lost: false,
            registrations: Slab::new(),
            sets: Slab::new(),
            wanted: BTreeMap::new(),
            calls: BTreeMap::new(),
            streams: BTreeMap::new(),
            queue: VecDeque::new(),
            timers: Timers::new(),
            notices: VecDeque::new(),
            ending: false,
            changes: 0,
        }
    }

    /// The server that has greeted.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.link.is_greeted().then(|| &**self.link.server())
    }

    /// That no server can be reached: each was tried since a connection came about last. They are looked for on and on.
    #[must_use]
    pub fn unreachable(&self) -> Option<Error> {
        self.link.unreachable()
    }

    /// Adds a registration that is not wanted yet; see [`set_online`](Self::set_online).
    pub fn prepare(&mut self, args: Args) -> RegistrationId {
        RegistrationId(self.registrations.insert(Registration::new(args)))
    }

    /// Registers an instance and keeps it registered until it is [unregistered](Self::unregister).
    pub fn register(&mut self, now: Instant, args: Args) -> RegistrationId {
        let id = self.prepare(args);
        self.set_online(now, id, true);
        id
    }

    /// How far a registration is; `None` once it was [unregistered](Self::unregister) and no server holds it.
    #[must_use]
    pub fn registration(&self, id: RegistrationId) -> Option<&Registration> {
        self.registrations.get(id.0)
    }

    /// Whether an instance is to be registered now: a health check may take it out and put it in again.
    pub fn set_online(&mut self, now: Instant, id: RegistrationId, online: bool) {
        self.pass(now);
        let Some(registration) = self.registrations.get_mut(id.0) else { return };
        if registration.wanted == online || registration.released || self.ending {
            return;
        }
        registration.settled = false;
        if online {
            registration.error = None;
            registration.wanted = true;
            *self.wanted.entry(key(&registration.args)).or_default() += 1;
        } else {
            renounce(&mut self.wanted, registration);
        }
        if online && !registration.taken && registration.deadline.is_none() {
            let timer = Timer::Registration(id);
            registration.deadline = Some(self.timers.set(self.now + self.config.patience, timer));
        }
        self.retime(id);
        self.say(id);
    }

    /// Changes an instance's attributes.
    pub fn set_attributes(
        &mut self,
        now: Instant,
        id: RegistrationId,
        attributes: Option<Attributes>,
    ) {
        self.pass(now);
        let Some(registration) = self.registrations.get_mut(id.0) else { return };
        registration.args.attributes = attributes;
        registration.settled &= !registration.wanted;
        self.say(id);
    }

    /// Ends a registration: as soon as a server can be told so, or when its time to live is over.
    pub fn unregister(&mut self, now: Instant, id: RegistrationId) {
        self.set_online(now, id, false);
        if let Some(registration) = self.registrations.get_mut(id.0) {
            registration.released = true;
        }
        self.sweep(id);
    }

    /// Follows a service: those of its instances that have all the attributes of `filter`.
    pub fn subscribe(&mut self, now: Instant, service: &str, filter: Attributes) -> SetId {
        self.pass(now);
        let mut set = Set::new(service.into(), ServiceSet::filtered(filter));
        if self.ending {
            set.error = Some(Error::Closed);
        }
        let id = SetId(self.sets.insert(set));
        let deadline = self.timers.set(self.now + self.config.patience, Timer::Set(id));
        if let Some(set) = self.sets.get_mut(id.0) {
            set.deadline = Some(deadline);
        }
        self.ask(id);
        id
    }

    /// Follows a service no longer.
    pub fn unsubscribe(&mut self, now: Instant, id: SetId) {
        self.pass(now);
        let Some(set) = self.sets.remove(id.0) else { return };
        for timer in [set.deadline, set.again, set.doubt].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        // What still comes on it is of nobody's; its end is waited for.
        if let Some(stream) = set.stream {
            self.queue.push_back(Task::End(stream));
        }
    }

    /// What is known of a service. It is [current](ServiceSet::is_current) unless a connection was lost or has just begun; what
    /// was known before stays until then.
    #[must_use]
    pub fn set(&self, id: SetId) -> Option<&ServiceSet> {
        self.sets.get(id.0).map(|set| &set.view)
    }

    /// Whether a set has been current, so that what it says was true once.
    #[must_use]
    pub fn is_known(&self, id: SetId) -> bool {
        self.sets.get(id.0).is_some_and(|set| set.known)
    }

    /// Why a set was given up.
    #[must_use]
    pub fn set_error(&self, id: SetId) -> Option<&Error> {
        self.sets.get(id.0)?.error.as_ref()
    }

    /// Begins to keep a set's changes for a follower: with all that are known now, the oldest first, or only what comes after.
    pub fn watch(&mut self, id: SetId, with_current: bool) -> Option<WatchId> {
        let set = self.sets.get_mut(id.0)?;
        let mut watch = Watch::default();
        if with_current {
            set.all().for_each(|change| watch.add(&change));
        }
        let nth = set.next_watch;
        set.next_watch += 1;
        set.watches.insert(nth, watch);
        Some(WatchId { set: id, nth })
    }

    /// What a follower is told next; nothing if that is all for now.
    pub fn next(&mut self, id: WatchId) -> Option<Change> {
        self.sets.get_mut(id.set.0)?.watches.get_mut(&id.nth)?.next()
    }

    /// Nobody follows any more.
    pub fn unwatch(&mut self, id: WatchId) {
        if let Some(set) = self.sets.get_mut(id.set.0) {
            set.watches.remove(&id.nth);
        }
    }

    /// Ends all registrations and then the connection, a second later at the latest. Nothing can be begun any more.
    pub fn close(&mut self, now: Instant) {
        self.pass(now);
        if self.ending {
            return;
        }
        for id in self.registrations.iter().map(|(key, _)| RegistrationId(key)).collect::<Vec<_>>()
        {
            self.unregister(now, id);
        }
        self.ending = true;
        self.changes += 1;
        self.timers.set(self.now + FAREWELL, Timer::Farewell);
        self.part();
    }

    /// Ends for good when nothing is left to be said.
    fn part(&mut self) {
        if self.ending && (self.registrations.len() == 0 || !self.link.is_greeted()) {
            self.link.end();
            self.changes += 1;
        }
    }

    fn pass(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn notice(&mut self, notice: Notice) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    /// Has a registration's state told to the server, if there is something to tell.
    fn say(&mut self, id: RegistrationId) {
        if let Some(registration) = self.registrations.get_mut(id.0)
            && self.link.is_greeted()
            && !registration.queued
            && registration.due().is_some()
        {
            registration.queued = true;
            self.queue.push_back(Task::Say(id));
        }
    }

    /// Forgets a registration that nobody wants and nobody has.
    fn sweep(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get(id.0) else { return };
        if !registration.released || !registration.is_offline() {
            return;
        }
        if let Some(gone) = self.registrations.remove(id.0) {
            for timer in [gone.timer, gone.deadline].into_iter().flatten() {
                self.timers.cancel(timer);
            }
        }
        self.changes += 1;
        self.part();
    }

    /// Sets the timer of a registration: of its next heartbeat, or of when no server holds it any more.
    fn retime(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.0) else { return };
        if let Some(timer) = registration.timer.take() {
            self.timers.cancel(timer);
        }
        let (at, timer) = match (registration.wanted, registration.held) {
            (true, Some(_)) => {
                let longest = self.config.heartbeat.max(Duration::from_millis(1));
                let jitter = longest.mul_f64(0.4 * self.random.f64());
                (registration.said + (longest - jitter), Timer::Heartbeat(id))
            }
            (false, Some(until)) => (until, Timer::Forgotten(id)),
            (_, None) => return,
        };
        registration.timer = Some(self.timers.set(at, timer));
    }

    fn ask(&mut self, id: SetId) {
        if let Some(set) = self.sets.get_mut(id.0)
            && self.link.is_greeted()
            && !set.queued
            && set.stream.is_none()
            && set.error.is_none()
            && set.again.is_none()
        {
            set.queued = true;
            self.queue.push_back(Task::Subscribe(id));
        }
    }

    /// From now on something is waited for, if nothing was before.
    fn be_patient(&mut self, within: Duration) {
        if self.patient.is_none() {
            self.heard = self.now;
            self.patient = Some(self.timers.set(self.now + within, Timer::Patience));
        }
    }

    fn is_waiting(&self) -> bool {
        !self.link.is_greeted()
            || !self.calls.is_empty()
            || self.streams.values().any(|id| {
                self.sets.get(id.0).is_some_and(|set| set.named.is_some() && set.doubt.is_none())
            })
    }

    /// Why the first answer is not there.
    fn overdue(&self) -> Error {
        let server = Arc::clone(self.link.server());
        let patience = self.config.patience;
        self.link.unreachable().unwrap_or(Error::Silent { server, patience })
    }

    fn timeout(&mut self, key: TimerKey, timer: Timer) {
        match timer {
            Timer::Patience => {
                self.patient = None;
                let late = self.now - self.heard;
                if !self.link.is_greeted() {
                    self.lose("it takes too long", true);
                } else if self.is_waiting() && late >= self.config.patience {
                    let reason = alloc::format!("it has not answered for {late:?}");
                    self.lose(&reason, true);
                } else if self.is_waiting() {
                    let due = self.heard + self.config.patience;
                    self.patient = Some(self.timers.set(due, Timer::Patience));
                }
            }
            Timer::Heartbeat(id) => {
                if let Some(registration) = self.registrations.get_mut(id.0) {
                    (registration.timer, registration.settled) = (None, false);
                    self.say(id);
                }
            }
            Timer::Forgotten(id) => {
                if let Some(registration) = self.registrations.get_mut(id.0) {
                    (registration.timer, registration.held) = (None, None);
                    self.sweep(id);
                }
            }
            Timer::Registration(id) => {
                let error = self.overdue();
                if let Some(registration) = self.registrations.get_mut(id.0) {
                    renounce(&mut self.wanted, registration);
                    registration.deadline = None;
                    (registration.settled, registration.error) = (false, Some(error));
                    self.changes += 1;
                    self.retime(id);
                    self.say(id);
                }
            }
            Timer::Set(id) => {
                let error = self.overdue();
                if let Some(set) = self.sets.get_mut(id.0) {
                    (set.deadline, set.error) = (None, Some(error));
                    self.changes += 1;
                }
            }
            Timer::Again(id) => {
                if let Some(set) = self.sets.get_mut(id.0) {
                    set.again = None;
                    self.ask(id);
                }
            }
            Timer::Believe(id) => {
                if self.sets.get(id.0).is_some_and(|set| set.doubt == Some(key)) {
                    self.believe(id);
                }
            }
            Timer::Farewell => {
                self.link.end();
                self.changes += 1;
            }
        }
    }
}

fn key(args: &Args) -> (String, String) {
    (args.name.clone(), args.address.clone())
}

/// A registration is wanted no longer.
fn renounce(wanted: &mut BTreeMap<(String, String), usize>, registration: &mut Registration) {
    if core::mem::take(&mut registration.wanted) {
        let key = key(&registration.args);
        if let Some(count) = wanted.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                wanted.remove(&key);
            }
        }
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.pass(now);
        if self.is_over() {
            return;
        }
        if self.link.is_of(&input) {
            match input {
                Input::Connected(_) => self.link.open(&self.config),
                Input::Received(_, bytes) => self.receive(bytes),
                Input::Sent(_) => {
                    if let Some(open) = self.link.opened() {
                        open.writing = false;
                    }
                }
                Input::Ended(_) => {
                    let reason = self.link.opened().map(|open| open.eof()).unwrap_or_default();
                    self.lose(&reason, true);
                }
                Input::Closed(_, reason) => self.lose(reason, false),
                Input::Timeout => {}
            }
        }
        // What has come is read first: a process that was stopped finds its answers before it misses them.
        while let Some((key, timer)) = self.timers.expired(self.now) {
            self.timeout(key, timer);
        }
        self.link.wake(self.now);
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        if let Some(conn) = self.link.closing.take() {
            return Some(Action::Close(conn));
        }
        if let Some(notice) = self.notices.pop_front() {
            return Some(Action::Notice(notice));
        }
        if let State::Dial = self.link.state {
            let conn = self.link.dial(self.now, &self.config);
            self.be_patient(self.config.connect);
            let (server, within) = (Arc::clone(self.link.server()), self.config.connect);
            return Some(Action::Connect { conn, server, within });
        }
        self.write(out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.link.state {
            State::Over => None,
            State::Rests(due) => Some(self.timers.next().map_or(due, |next| next.min(due))),
            _ => self.timers.next(),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.link.state, State::Over) && self.link.closing.is_none()
    }

    fn changes(&self) -> u64 {
        self.changes
    }
}
