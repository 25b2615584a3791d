//! Who answers which job.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::jobs::{Alarm, Entry, Owner, Shared, Want, Work};
use super::{
    Backend, Body, Cancel, ChildEvent, Cx, Event, FailureKind, Job, Status, Stdio, Upstream,
};
use crate::docker::Profile;
use crate::id::{JobId, Slab};
use crate::time::Instant;
use crate::timers::Timers;

/// Runs jobs: finds the backend for each, carries its streams, and tells its owner what came of it.
///
/// The owner (a [`Node`](crate::Node), or a program of its own) starts jobs, brings stdin when a job asks for it, and asks
/// [`poll`](Engine::poll) which jobs have something new; [`output`](Engine::output) shows it. An ended job stays until its
/// owner [`remove`](Engine::remove)s it.
pub struct Engine {
    backends: Vec<Box<dyn Backend>>,
    shared: Shared,
}

/// What a backend says to the people who run it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Log {
    /// The backend's own output, for the daemon's stdout.
    Print(String),
    /// A line for the daemon's log: something failed that should not.
    Warn(String),
    /// A line for the daemon's log, for those who look for a cause.
    Debug(String),
}

/// What a job has brought forth and its owner has not taken yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Output<'a> {
    /// Set once the job has begun to answer; from then on its success status is settled.
    pub begun: Option<Stdio>,
    /// Bytes of its stdout; whoever takes them drains this and then calls [`Engine::taken`].
    pub stdout: &'a mut Vec<u8>,
    /// The rest of its stdout in one piece, behind `stdout`.
    pub whole: &'a mut Option<Body>,
    /// What the path that the answer is about is, as JSON, if the backend [said](Cx::set_path_stat) so.
    pub path_stat: Option<&'a str>,
    /// The server that answers in its place, set by [`Cx::join`]. The owner relays between the job's client and that server,
    /// and removes the job when it is done.
    pub joined: Option<&'a Arc<Upstream>>,
    /// So many more bytes of its answer are to reach its client, whose connection breaks then ([`Cx::cut_after`]): with 0
    /// bytes left it gets not even a head. Who passes bytes on counts them down.
    pub cut_after: &'a mut Option<u64>,
    /// How it ended.
    pub status: Option<&'a Status>,
    /// Whether it waits for [`Engine::stdin`].
    pub wants_stdin: bool,
}

impl Engine {
    /// An engine without backends. The seed decides every id that its backends draw.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            backends: Vec::new(),
            shared: Shared {
                handlers: BTreeMap::new(),
                chain: Vec::new(),
                jobs: Slab::new(),
                timers: Timers::new(),
                ready: VecDeque::new(),
                work: VecDeque::new(),
                logs: VecDeque::new(),
                now: Instant::ZERO,
                epoch: Duration::ZERO,
                random: fastrand::Rng::with_seed(seed),
                down_until: None,
                cut_all: false,
            },
        }
    }

    /// Sets what time of day it is at [`Instant::ZERO`], as time since the Unix epoch.
    pub fn set_epoch(&mut self, since_unix_epoch: Duration) {
        self.shared.epoch = since_unix_epoch;
    }

    /// What time of day it is at [`Instant::ZERO`], as time since the Unix epoch.
    #[must_use]
    pub const fn epoch(&self) -> Duration {
        self.shared.epoch
    }

    /// A number from the seed.
    pub(crate) fn random(&mut self) -> u64 {
        self.shared.random.u64(..)
    }

    /// Gives all jobs of that name to `backend` before the chain is asked. A second registration replaces the first.
    pub fn register(&mut self, job: impl Into<String>, backend: impl Backend + 'static) {
        self.backends.push(Box::new(backend));
        self.shared.handlers.insert(job.into(), self.backends.len() - 1);
    }

    /// Adds a backend to the end of the chain. `name` is what messages call it.
    pub fn push(&mut self, name: impl Into<String>, backend: Box<dyn Backend>) {
        self.backends.push(backend);
        self.shared.chain.push((name.into(), self.backends.len() - 1));
    }

    /// Which engine the backends claim to be: the first in the chain that says so.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared
            .chain
            .iter()
            .find_map(|(_, backend)| self.backends[*backend].profile())
            .unwrap_or_default()
    }

    /// The files that the backends want written, by name, when all is over: each is asked once ([`Backend::save`]).
    pub fn save(&mut self) -> Vec<(String, Vec<u8>)> {
        let backends = self.backends.iter_mut().enumerate();
        let shared = &mut self.shared;
        backends.flat_map(|(nth, backend)| backend.save(&mut Cx::new(shared, nth))).collect()
    }

    /// Whether the engine is to look dead to whoever connects now ([`Cx::go_down`]).
    #[must_use]
    pub fn is_down(&self, now: Instant) -> bool {
        self.shared.down_until.is_some_and(|until| now < until)
    }

    /// Whether the owner is to cut all connections, because the engine has just [died](Cx::go_down). Says so once.
    pub fn take_cut(&mut self) -> bool {
        core::mem::take(&mut self.shared.cut_all)
    }

    /// Starts a job. `owner` comes back from [`poll`](Engine::poll) with it.
    pub fn start(&mut self, now: Instant, job: Job, owner: u64) -> JobId {
        self.set_now(now);
        let id = self.shared.insert(job, Owner::Outside(owner), 0);
        self.begin(id);
        self.run();
        id
    }

    /// Whether the job waits for [`stdin`](Engine::stdin).
    #[must_use]
    pub fn wants_stdin(&self, job: JobId) -> bool {
        self.shared.jobs.get(job.0).is_some_and(Entry::wants_stdin)
    }

    /// Brings a piece of a job's stdin. Only for a job that waits for it; a piece that nobody waits for is dropped.
    pub fn stdin(&mut self, now: Instant, job: JobId, bytes: &[u8]) {
        self.set_now(now);
        let Some(entry) = self.shared.jobs.get_mut(job.0) else { return };
        if !entry.wants_stdin() {
            return;
        }
        match &mut entry.stdin.want {
            Want::Nothing => {}
            Want::Piece => {
                entry.stdin.want = Want::Nothing;
                self.dispatch(job, Event::Stdin(bytes));
            }
            Want::Whole { limit, so_far } => {
                if so_far.len() + bytes.len() > *limit {
                    self.too_large(job);
                } else {
                    so_far.extend_from_slice(bytes);
                }
            }
        }
        self.run();
    }

    /// Says that a job's stdin has ended. It is told when it next asks.
    ///
    /// A job that [hijacks](Job::hijacks) its connection has two stdins, one behind the other: the request's body, and
    /// when it has begun to answer the raw stream, whose end is said by another call.
    pub fn stdin_end(&mut self, now: Instant, job: JobId) {
        self.set_now(now);
        if let Some(entry) = self.shared.jobs.get_mut(job.0) {
            entry.stdin.ended = true;
            self.deliver_stdin(job);
            self.run();
        }
    }

    /// What backends have read of a job's stdin and left to the next: taken out.
    pub(crate) fn take_read_again(&mut self, job: JobId) -> Vec<u8> {
        let entry = self.shared.jobs.get_mut(job.0);
        entry.map(|entry| core::mem::take(&mut entry.stdin.again)).unwrap_or_default()
    }

    /// Tells a job that it is not wanted any more. After [`Cancel::Gone`] it is forgotten; otherwise it has ended when
    /// this returns, with the status it chose or with [`Status::Ok`].
    pub fn cancel(&mut self, now: Instant, job: JobId, why: Cancel) {
        self.set_now(now);
        if why == Cancel::Gone {
            self.shared.work.push_back(Work::Cancel(job));
        } else if self.shared.jobs.get(job.0).is_some_and(|entry| entry.status.is_none()) {
            self.dispatch(job, Event::Cancelled(why));
            self.shared.exit(job, Status::Ok);
        }
        self.run();
    }

    /// A job that has something new for its owner, and that owner. `None` when all is known; O(1).
    pub fn poll(&mut self) -> Option<(JobId, u64)> {
        while let Some(job) = self.shared.ready.pop_front() {
            if let Some(entry) = self.shared.jobs.get_mut(job.0) {
                entry.queued = false;
                if let Owner::Outside(owner) = entry.owner {
                    return Some((job, owner));
                }
            }
        }
        None
    }

    /// The next thing a backend said to the people who run it.
    pub fn poll_log(&mut self) -> Option<Log> {
        self.shared.logs.pop_front()
    }

    /// What a job has brought forth. `None` once it is removed.
    pub fn output(&mut self, job: JobId) -> Option<Output<'_>> {
        self.parts(job).map(|(_, output)| output)
    }

    /// Whether the job has ended badly.
    pub(crate) fn has_failed(&self, job: JobId) -> bool {
        let status = self.shared.jobs.get(job.0).and_then(|entry| entry.status.as_ref());
        status.is_some_and(|status| *status != Status::Ok)
    }

    /// The job and what it has brought forth.
    pub(crate) fn parts(&mut self, job: JobId) -> Option<(&Job, Output<'_>)> {
        let entry = self.shared.jobs.get_mut(job.0)?;
        let wants_stdin = entry.wants_stdin();
        let output = Output {
            wants_stdin,
            begun: entry.begun,
            stdout: &mut entry.out,
            whole: &mut entry.whole,
            path_stat: entry.path_stat.as_deref(),
            joined: entry.joined.as_ref(),
            cut_after: &mut entry.cut_after,
            status: entry.status.as_ref(),
        };
        Some((entry.job.as_ref()?, output))
    }

    /// Says that the owner has drained a job's stdout, so that one which waits for room goes on.
    pub fn taken(&mut self, now: Instant, job: JobId) {
        self.set_now(now);
        if let Some(entry) = self.shared.jobs.get_mut(job.0)
            && entry.short
            && entry.out.is_empty()
        {
            entry.short = false;
            if entry.status.is_none() {
                self.dispatch(job, Event::Writable);
                self.run();
            }
        }
    }

    /// Forgets a job and ends its children. One that has not ended yet is told [`Cancel::Gone`] first.
    pub fn remove(&mut self, now: Instant, job: JobId) {
        self.cancel(now, job, Cancel::Gone);
    }

    /// The job itself. `None` once it is removed, and while its backend is being told that it starts.
    #[must_use]
    pub fn job(&self, job: JobId) -> Option<&Job> {
        self.shared.jobs.get(job.0)?.job.as_ref()
    }

    /// How many jobs are under way or not yet removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.jobs.len()
    }

    /// Whether no job is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When [`handle_timeout`](Engine::handle_timeout) is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.shared.timers.next()
    }

    /// Tells jobs and backends of the timers that have run out.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.set_now(now);
        // One that a backend sets anew for a moment that is already over waits for the next call, so that it cannot keep
        // this one from returning.
        let mut due = Vec::new();
        while let Some(expired) = self.shared.timers.expired(self.shared.now) {
            due.push(expired);
        }
        for (key, alarm) in due {
            match alarm {
                Alarm::Backend(backend, token) => {
                    let mut cx = Cx::new(&mut self.shared, backend);
                    self.backends[backend].wake(&mut cx, token);
                }
                Alarm::Job(job, token) => {
                    if let Some(entry) = self.shared.jobs.get_mut(job.0) {
                        // Cancelled by an event of this same round if it is not there.
                        let before = entry.timers.len();
                        entry.timers.retain(|timer| *timer != key);
                        if entry.timers.len() < before && entry.status.is_none() {
                            self.dispatch(job, Event::Timer(token));
                        }
                    }
                }
            }
            self.run();
        }
    }

    fn set_now(&mut self, now: Instant) {
        self.shared.now = self.shared.now.max(now);
    }

    /// Finds the first backend for a new job, or the next one for a job that was passed on, and starts it there.
    fn begin(&mut self, id: JobId) {
        loop {
            let Some(entry) = self.shared.jobs.get(id.0) else { return };
            let Some(job) = &entry.job else { return };
            let (position, backend) = self.shared.route(job.name(), entry.position);
            let Some(backend) = backend else {
                let asked: Vec<&str> =
                    self.shared.chain.iter().map(|(name, _)| name.as_str()).collect();
                let status = Status::NotHandled { asked: asked.join(", ") };
                self.shared.exit(id, status);
                return;
            };
            let entry = self.shared.jobs.get_mut(id.0).expect("found above");
            entry.backend = backend;
            entry.position = position + 1;
            entry.passed = false;
            let job = entry.job.take().expect("found above");
            let mut cx = Cx::new(&mut self.shared, backend);
            self.backends[backend].handle(&mut cx, id, Event::Start(&job));
            let Some(entry) = self.shared.jobs.get_mut(id.0) else { return };
            entry.job = Some(job);
            if !entry.passed {
                return;
            }
        }
    }

    fn dispatch(&mut self, id: JobId, event: Event<'_>) {
        let Some(entry) = self.shared.jobs.get(id.0) else { return };
        if entry.status.is_some() {
            return;
        }
        let backend = entry.backend;
        self.backends[backend].handle(&mut Cx::new(&mut self.shared, backend), id, event);
        // A backend may look at the whole body before it passes the job on.
        if self.shared.jobs.get(id.0).is_some_and(|entry| entry.passed) {
            self.begin(id);
        }
    }

    /// Does what events have asked for, until nothing is left.
    fn run(&mut self) {
        while let Some(work) = self.shared.work.pop_front() {
            match work {
                Work::Start(job) => {
                    if self.shared.jobs.get(job.0).is_some_and(|entry| !entry.is_abandoned()) {
                        self.begin(job);
                    }
                }
                Work::Stdin(job) => self.deliver_stdin(job),
                Work::Child(job) => self.deliver_to_parent(job),
                Work::Cancel(job) => self.forget(job),
            }
        }
    }

    /// Gives a job what is already here of its stdin: what was read before it, or the end.
    fn deliver_stdin(&mut self, id: JobId) {
        let Some(entry) = self.shared.jobs.get_mut(id.0) else { return };
        if entry.status.is_some() {
            return;
        }
        let stdin = &mut entry.stdin;
        match &mut stdin.want {
            Want::Piece if !stdin.again.is_empty() => {
                let again = core::mem::take(&mut stdin.again);
                stdin.want = Want::Nothing;
                self.dispatch(id, Event::Stdin(&again));
            }
            Want::Piece if stdin.ended => {
                stdin.want = Want::Nothing;
                self.dispatch(id, Event::StdinEnd);
            }
            Want::Whole { limit, so_far } => {
                if so_far.len() + stdin.again.len() > *limit {
                    self.too_large(id);
                    return;
                }
                so_far.append(&mut stdin.again);
                if stdin.ended {
                    let whole = core::mem::take(so_far);
                    let position = entry.position;
                    entry.stdin.want = Want::Nothing;
                    self.dispatch(id, Event::Body(&whole));
                    if let Some(entry) = self.shared.jobs.get_mut(id.0)
                        && entry.position != position
                    {
                        entry.stdin.again = whole;
                        self.shared.work.push_back(Work::Stdin(id));
                    }
                }
            }
            Want::Nothing | Want::Piece => {}
        }
    }

    /// Ends a job whose stdin does not fit; its backend is told as if the client had gone, to drop what it holds for it.
    fn too_large(&mut self, job: JobId) {
        let Some(entry) = self.shared.jobs.get_mut(job.0) else { return };
        let Want::Whole { limit, .. } = core::mem::take(&mut entry.stdin.want) else { return };
        self.dispatch(job, Event::Cancelled(Cancel::Gone));
        let message = format!("the request body is larger than {limit} bytes");
        self.shared.exit(job, Status::failed(FailureKind::TooLarge, message));
    }

    fn deliver_to_parent(&mut self, child: JobId) {
        let Some(entry) = self.shared.jobs.get_mut(child.0) else { return };
        let Owner::Parent(parent) = entry.owner else { return };
        let has_output = !entry.out.is_empty() || entry.whole.is_some();
        if has_output && !core::mem::take(&mut entry.parent_reads) {
            return;
        }
        if has_output {
            let out = core::mem::take(&mut entry.out);
            let freed = core::mem::take(&mut entry.short) && entry.status.is_none();
            if out.is_empty() {
                let whole = entry.whole.take();
                self.dispatch(
                    parent,
                    Event::Child(child, ChildEvent::Stdout(whole.as_deref().unwrap_or_default())),
                );
            } else {
                self.dispatch(parent, Event::Child(child, ChildEvent::Stdout(&out)));
            }
            if freed {
                self.dispatch(child, Event::Writable);
            }
            self.shared.work.push_back(Work::Child(child));
        } else if entry.status.is_some() {
            let status = entry.status.replace(Status::Ok);
            let status = status.expect("checked above");
            self.dispatch(parent, Event::Child(child, ChildEvent::Exited(&status)));
            if let Some(parent) = self.shared.jobs.get_mut(parent.0) {
                parent.children.retain(|known| *known != child);
            }
            self.forget(child);
        }
    }

    fn forget(&mut self, job: JobId) {
        let Some(entry) = self.shared.jobs.get_mut(job.0) else { return };
        // One that was cancelled before it began is known to no backend.
        if entry.status.is_none() && entry.position > 0 {
            entry.status = Some(Status::Ok);
            let backend = entry.backend;
            let mut cx = Cx::new(&mut self.shared, backend);
            self.backends[backend].handle(&mut cx, job, Event::Cancelled(Cancel::Gone));
        }
        self.shared.release(job);
        self.shared.jobs.remove(job.0);
    }
}
