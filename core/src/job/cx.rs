//! A backend's only door to the world.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;

use super::engine::Log;
use super::jobs::{Alarm, Entry, Shared, Want, Work};
use super::{Body, FailureKind, Job, Status, Stdio, Stream, Upstream};
use crate::docker::reply;
use crate::id::JobId;
use crate::time::Instant;
use crate::timers::TimerKey;

/// What a backend may do while it is told of an event: answer its jobs, ask for their stdin, set timers, start jobs
/// of its own, tell the time, draw random numbers.
///
/// A call about a job that has ended, or that is another backend's, does nothing.
pub struct Cx<'a> {
    shared: &'a mut Shared,
    backend: usize,
}

/// A timer that was set, to cancel it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer(TimerKey);

/// A job's unread stdout is bounded: [`Cx::write`] takes no more than fits in this many bytes.
pub(super) const STDOUT_LIMIT: usize = 64 * 1024;

impl<'a> Cx<'a> {
    pub(super) const fn new(shared: &'a mut Shared, backend: usize) -> Self {
        Self { shared, backend }
    }

    fn entry(&mut self, job: JobId) -> Option<&mut Entry> {
        let backend = self.backend;
        self.shared.jobs.get_mut(job.0).filter(|entry| entry.is_with(backend))
    }

    /// Now, by the runtime's clock.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.shared.now
    }

    /// The time of day, as time since the Unix epoch.
    #[must_use]
    pub const fn unix_time(&self) -> Duration {
        self.shared.epoch.saturating_add(self.shared.now.since_epoch())
    }

    /// A random number from the node's seed. For ids, not for secrets: who knows the seed knows them all.
    pub fn random(&mut self) -> u64 {
        self.shared.random.u64(..)
    }

    /// A job of this backend's, until its last event. `None` while its [`Event::Start`](super::Event::Start) lends it anyway.
    #[must_use]
    pub fn job(&self, job: JobId) -> Option<&Job> {
        let entry = self.shared.jobs.get(job.0)?;
        entry.job.as_ref().filter(|_| entry.is_of(self.backend))
    }

    /// Ends the job well, with `body` as all of its stdout (behind what [`write`](Cx::write) took before).
    pub fn reply(&mut self, job: JobId, body: impl Into<Body>) {
        if let Some(entry) = self.entry(job) {
            entry.whole = Some(body.into()).filter(|body| !body.is_empty());
            entry.begin(Stdio::Raw);
            self.shared.exit(job, Status::Ok);
        }
    }

    /// Ends the job well, with a JSON document and a newline as its stdout, as the Docker engine writes them.
    pub fn reply_json(&mut self, job: JobId, document: &(impl Serialize + ?Sized)) {
        match serde_json::to_vec(document) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                self.reply(job, bytes);
            }
            Err(error) => self.fail(
                job,
                FailureKind::System,
                format!("the answer cannot be written as JSON: {error}"),
            ),
        }
    }

    /// Ends the job. Of several endings the first counts.
    pub fn exit(&mut self, job: JobId, status: impl Into<Status>) {
        if self.entry(job).is_some() {
            self.shared.exit(job, status.into());
        }
    }

    /// Ends the job with a failure.
    pub fn fail(&mut self, job: JobId, kind: FailureKind, message: impl Into<Cow<'static, str>>) {
        self.exit(job, Status::failed(kind, message));
    }

    /// Leaves the job to the next backend of the chain; with none left it ends with [`Status::NotHandled`]. What was
    /// read with [`read_to_end`](Cx::read_to_end) is read again by the next one; timers of the job are cancelled, and so are
    /// jobs started for it. Passing on a job after any of its answer was written or a piece of its stdin was taken is a
    /// failure of the job.
    pub fn pass(&mut self, job: JobId) {
        let Some(entry) = self.entry(job) else { return };
        if entry.begun.is_some() || entry.stdin.taken {
            self.fail(job, FailureKind::System, "a backend passed on a job that it had begun");
        } else {
            self.shared.pass(job);
        }
    }

    /// Leaves the job to another server: its request goes there as it came, and the answer to the client as it comes, bodies and
    /// hijacked streams included. Nothing more is heard of the job but [`Event::Cancelled`](super::Event::Cancelled) at
    /// its end. Only for jobs that came as a request and of which nothing is answered yet.
    pub fn join(&mut self, job: JobId, upstream: &Arc<Upstream>) {
        let Some(entry) = self.entry(job) else { return };
        let is_request = entry.job.as_ref().is_none_or(|job| job.request().is_some());
        if entry.begun.is_some() || entry.stdin.taken || !is_request || entry.is_child() {
            let message = "only a request that is not answered yet can be left to another server";
            return self.fail(job, FailureKind::System, message);
        }
        entry.joined = Some(Arc::clone(upstream));
        self.shared.mark(job);
    }

    /// Breaks the connection of the job's client when so many more bytes of its answer have gone there (those of the body, as
    /// the job writes them): what is a whole answer to the job is half of one to the client. With 0 the client gets not even
    /// a head. The job is told [`Cancel::Gone`](super::Cancel::Gone) then if it has not ended. A job that fails before it
    /// answers is not cut.
    pub fn cut_after(&mut self, job: JobId, bytes: u64) {
        if let Some(entry) = self.entry(job) {
            entry.cut_after = Some(bytes);
            self.shared.mark(job);
        }
    }

    /// Lets the engine look dead: all connections are cut, this job's included, and none is taken before `until`.
    pub fn go_down(&mut self, until: Instant) {
        self.shared.down_until = Some(until);
        self.shared.cut_all = true;
    }

    /// Whether the job, which is or was one of this backend's, has not been removed yet.
    #[must_use]
    pub fn knows(&self, job: JobId) -> bool {
        self.shared.jobs.get(job.0).is_some()
    }

    /// The HTTP status that the client of this job (`asked`) gets, once that is settled: when the answer has begun, or the
    /// job has ended. `None` also for a job that has been passed on to another backend.
    #[must_use]
    pub fn http_status(&self, job: JobId, asked: &Job) -> Option<u16> {
        let entry = self.shared.jobs.get(job.0).filter(|entry| entry.is_of(self.backend))?;
        let nobody = Status::NotHandled { asked: String::new() };
        let status = match &entry.status {
            None if entry.passed && !self.shared.has_next(job) => &nobody,
            None if entry.begun.is_some() && !entry.passed => &Status::Ok,
            None => return None,
            Some(_) if entry.begun.is_some() => &Status::Ok,
            Some(status) => status,
        };
        Some(reply::status_of(asked, status, entry.begun.is_some()))
    }

    /// Whether the chain goes on behind this backend.
    #[must_use]
    pub fn has_next(&self, job: JobId) -> bool {
        self.shared.has_next(job)
    }

    /// Begins to answer: the client learns of success now, before there is output (`docker run` starts its container
    /// only when the head of `wait` has come). The first [`write`](Cx::write) begins with [`Stdio::Raw`] by itself. From
    /// then on the stdin of a job that hijacks its connection (`attach`, `exec_start`) is the raw stream behind the body.
    pub fn begin(&mut self, job: JobId, stdio: Stdio) {
        if let Some(entry) = self.entry(job)
            && entry.begun.is_none()
        {
            entry.begin(stdio);
            self.shared.mark(job);
        }
    }

    /// Says what the path that the answer is about is, as a JSON document: `docker cp` reads it from the header
    /// `X-Docker-Container-Path-Stat`, even where there is no body. Before the answer begins.
    pub fn set_path_stat(&mut self, job: JobId, stat: impl Into<String>) {
        if let Some(entry) = self.entry(job) {
            entry.path_stat = Some(stat.into());
        }
    }

    /// Writes to the job's stdout; returns how much was taken. When that is less than all,
    /// [`Event::Writable`](super::Event::Writable) follows once the client has read what is there.
    pub fn write(&mut self, job: JobId, bytes: &[u8]) -> usize {
        self.write_to(job, Stream::Stdout, bytes)
    }

    /// As [`write`](Cx::write), to either stream.
    pub fn write_to(&mut self, job: JobId, stream: Stream, bytes: &[u8]) -> usize {
        let Some(entry) = self.entry(job) else { return 0 };
        if bytes.is_empty() {
            return 0;
        }
        let stdio = entry.begin(Stdio::Raw);
        let room = STDOUT_LIMIT.saturating_sub(entry.out.len() + stdio.overhead());
        let taken = room.min(bytes.len());
        if taken > 0 {
            stdio.frame(stream, &bytes[..taken], &mut entry.out);
        }
        entry.short |= taken < bytes.len();
        self.shared.mark(job);
        taken
    }

    /// How many bytes of stdout [`write`](Cx::write) would take now.
    #[must_use]
    pub fn room(&self, job: JobId) -> usize {
        self.shared.jobs.get(job.0).map_or(0, |entry| {
            let overhead = entry.begun.unwrap_or(Stdio::Raw).overhead();
            STDOUT_LIMIT.saturating_sub(entry.out.len() + overhead)
        })
    }

    /// Asks for the next piece of the job's stdin: one [`Event::Stdin`](super::Event::Stdin) or
    /// [`Event::StdinEnd`](super::Event::StdinEnd) follows.
    pub fn read(&mut self, job: JobId) {
        if let Some(entry) = self.entry(job) {
            entry.stdin.taken = true;
            self.want(job, Want::Piece);
        }
    }

    /// Asks for the whole of the job's stdin: one [`Event::Body`](super::Event::Body) follows, unless it is longer than
    /// `limit` bytes, which ends the job with [`FailureKind::TooLarge`].
    pub fn read_to_end(&mut self, job: JobId, limit: usize) {
        self.want(job, Want::Whole { limit, so_far: Vec::new() });
    }

    fn want(&mut self, job: JobId, want: Want) {
        if let Some(entry) = self.entry(job) {
            entry.stdin.want(want);
            self.shared.work(Work::Stdin(job));
            self.shared.mark(job);
        }
    }

    /// Sends the job an [`Event::Timer`](super::Event::Timer) with `token` at `at`, unless it ends before. `None` if it has
    /// ended, or is another backend's.
    pub fn timer(&mut self, job: JobId, at: Instant, token: u64) -> Option<Timer> {
        self.entry(job)?;
        let key = self.shared.timers.set(at, Alarm::Job(job, token));
        if let Some(entry) = self.entry(job) {
            entry.timers.push(key);
        }
        Some(Timer(key))
    }

    /// Calls [`Backend::wake`](super::Backend::wake) with `token` at `at`.
    pub fn wake_at(&mut self, at: Instant, token: u64) -> Timer {
        Timer(self.shared.timers.set(at, Alarm::Backend(self.backend, token)))
    }

    /// Cancels a timer. One that has run out is forgotten already.
    pub fn cancel_timer(&mut self, timer: Timer) {
        if let Some(Alarm::Job(job, _)) = self.shared.timers.cancel(timer.0)
            && let Some(entry) = self.shared.jobs.get_mut(job.0)
        {
            entry.timers.retain(|key| *key != timer.0);
        }
    }

    /// Starts a job on behalf of `parent`, from the beginning of the chain, with `stdin` as its stdin. What becomes of it
    /// comes to `parent` as [`Event::Child`](super::Event::Child); it is cancelled when `parent` ends.
    pub fn start(&mut self, parent: JobId, job: Job, stdin: &[u8]) -> Option<JobId> {
        self.entry(parent)?;
        Some(self.shared.start_child(parent, job, stdin))
    }

    /// Asks for output of a child job: one [`ChildEvent::Stdout`](super::ChildEvent::Stdout) follows when there is some.
    /// [`ChildEvent::Exited`](super::ChildEvent::Exited) comes only when all output has been read, so a parent that wants
    /// the status reads on until then.
    pub fn read_child(&mut self, child: JobId) {
        self.shared.read_child(child, self.backend);
    }

    /// Ends a child job; no more is heard of it.
    pub fn cancel_child(&mut self, child: JobId) {
        self.shared.cancel_child(child, self.backend);
    }

    /// Says something on the daemon's stdout.
    pub fn print(&mut self, text: impl Into<String>) {
        self.shared.logs.push_back(Log::Print(text.into()));
    }

    /// Says something in the daemon's log.
    pub fn log(&mut self, log: Log) {
        self.shared.logs.push_back(log);
    }
}
