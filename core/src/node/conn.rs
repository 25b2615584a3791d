//! One client's connection: from its bytes to a job, and from the job's output to bytes.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::action::{Action, CloseReason};
use super::link::Link;
use super::output::{Pending, SMALL};
use super::{Deadline, Env, LINGER};
use crate::http1::state::Half;
use crate::http1::{After, Error, RequestHead, Server, ServerEvent};
use crate::id::{ConnId, JobId};
use crate::job::{Cancel, Job, Status};
use crate::timers::TimerKey;

/// A connection of a Docker client.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) http: Server,
    /// Bytes that came and could not be used yet.
    unread: Vec<u8>,
    /// How many at the start of `unread` have been used since.
    used: usize,
    pub(super) output: Pending,
    pub(super) job: Option<JobId>,
    /// The job is left to another server: over this connection, once there is one.
    joined: bool,
    pub(super) link: Option<Box<Link>>,
    /// This side is to be shut down once all is written, although the peer may go on sending.
    pub(super) shutdown_due: bool,
    shut_down: bool,
    /// Whether the head of the answer to `job` is written.
    answered: bool,
    /// An [`Action::Read`] is outstanding.
    reading: bool,
    /// An [`Action::Write`] or an [`Action::Shutdown`] is outstanding.
    busy: bool,
    /// What the server sends passes to it without the node.
    spliced_to: bool,
    peer_shutdown: Eof,
    pub(super) ending: Ending,
    /// How many bytes may still be read and thrown away.
    discard: usize,
    deadline: Option<(TimerKey, Deadline)>,
    /// Whether the node has it in its queue.
    pub(super) queued: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Eof {
    Open,
    /// It has come; bytes before it may still be unread.
    Seen,
    /// And the HTTP machine knows.
    Told,
}

/// How far the end of a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// Write what is pending, then end.
    Flush(CloseReason),
    /// Our side is shut down; wait for the peer's, so that what was written last is not lost to a reset.
    Linger(CloseReason),
    /// Close without another word.
    Now(CloseReason),
}

/// Unread input is bounded by this and one read more.
const UNREAD: usize = 64 * 1024;
/// As much of an unread body is read and thrown away to keep a connection (as Go's net/http does), or before it is closed.
const DISCARD: usize = 256 * 1024;
/// The same of a raw stream, whose client sends until it reads the end: a reset before that would take the last output from it.
const DISCARD_RAW: usize = 64 * 1024 * 1024;

impl Conn {
    pub(super) fn new(id: ConnId, http: Server) -> Self {
        Self {
            id,
            http,
            unread: Vec::new(),
            used: 0,
            output: Pending::default(),
            job: None,
            joined: false,
            link: None,
            shutdown_due: false,
            shut_down: false,
            answered: false,
            reading: false,
            busy: false,
            spliced_to: false,
            peer_shutdown: Eof::Open,
            ending: Ending::No,
            discard: DISCARD,
            deadline: None,
            queued: false,
        }
    }

    pub(super) const fn job(&self) -> Option<JobId> {
        self.job
    }

    /// Bytes came.
    pub(super) fn received(&mut self, env: &mut Env<'_>, bytes: &[u8]) {
        self.reading = false;
        if self.unread.is_empty() {
            let used = self.advance(env, bytes);
            self.unread.extend_from_slice(&bytes[used..]);
        } else {
            self.unread.extend_from_slice(bytes);
            self.advance_unread(env);
        }
        self.update_deadline(env);
    }

    /// Bytes came, and have gone elsewhere.
    pub(super) fn read_elsewhere(&mut self, env: &mut Env<'_>, eof: bool) {
        self.reading = false;
        if eof {
            self.peer_shutdown(env);
        } else {
            self.progress(env);
        }
    }

    /// Bytes came that nobody wants.
    pub(super) fn discarded(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.discard = self.discard.saturating_sub(bytes);
        if self.discard == 0 && self.job.is_none() {
            self.end(CloseReason::Finished);
        }
    }

    pub(super) fn may_read(&self) -> bool {
        !self.reading && self.peer_shutdown == Eof::Open
    }

    /// Whether nothing that has come waits to be used.
    pub(super) const fn has_read_all(&self) -> bool {
        self.unread.is_empty()
    }

    pub(super) const fn set_reading(&mut self) {
        self.reading = true;
    }

    /// Whether all is written that was to be.
    const fn is_quiet(&self) -> bool {
        !self.busy && !self.spliced_to && self.output.is_empty()
    }

    /// Returns what it was before.
    pub(super) fn set_spliced_to(&mut self, spliced: bool) -> bool {
        core::mem::replace(&mut self.spliced_to, spliced)
    }

    /// The peer sends nothing more.
    pub(super) fn peer_shutdown(&mut self, env: &mut Env<'_>) {
        self.reading = false;
        if self.peer_shutdown == Eof::Open {
            self.peer_shutdown = Eof::Seen;
            self.end_the_endless(env, Cancel::HalfClosed);
            self.progress(env);
        }
    }

    /// The outstanding write or shutdown is done.
    pub(super) fn done(&mut self, env: &mut Env<'_>) {
        self.busy = false;
        self.output.written();
        self.progress(env);
        if self.job.is_none() {
            self.output.shrink();
        }
    }

    /// Does all that can be done without new bytes.
    pub(super) fn progress(&mut self, env: &mut Env<'_>) {
        self.relay_unread(env);
        self.advance_unread(env);
        self.finish_raw(env);
        self.update_deadline(env);
    }

    fn advance_unread(&mut self, env: &mut Env<'_>) {
        let unread = core::mem::take(&mut self.unread);
        self.used += self.advance(env, &unread[self.used..]);
        if self.used == unread.len() {
            // An idle connection holds no buffer.
            self.used = 0;
            return;
        }
        self.unread = unread;
        // Not for each small piece that a job takes: each time moves all that is left.
        if self.used > self.unread.len() / 2 {
            self.unread.drain(..self.used);
            self.used = 0;
        }
    }

    /// The connection broke.
    pub(super) fn broken(&mut self, env: &mut Env<'_>) {
        self.end_now(env, CloseReason::Broken);
    }

    /// A deadline of this connection has passed.
    pub(super) fn timed_out(&mut self, env: &mut Env<'_>, deadline: Deadline) {
        if !self.deadline.is_some_and(|(_, current)| current == deadline) {
            return;
        }
        self.deadline = None;
        match deadline {
            Deadline::Head => {
                self.http.refuse();
                self.refuse(env, Error::HeadTimeout);
            }
            Deadline::Linger => self.end_now(env, CloseReason::LingerTimeout),
            Deadline::Connect => self.upstream_timed_out(env),
            // Only clients of discovery have one.
            Deadline::Quiet => {}
        }
        self.update_deadline(env);
    }

    /// The daemon stops: what is endless ends, what is idle goes, the rest may finish.
    pub(super) fn stop(&mut self, env: &mut Env<'_>) {
        self.http.close_after();
        match self.job {
            Some(_) if self.joined => self.stop_relay(env),
            Some(_) => self.end_the_endless(env, Cancel::Shutdown),
            None if self.http.halves().request == Half::Idle && self.unread.is_empty() => {
                self.end(CloseReason::Stopped);
            }
            _ => {}
        }
        self.progress(env);
    }

    /// The engine plays dead.
    pub(super) fn cut(&mut self, env: &mut Env<'_>) {
        self.end_now(env, CloseReason::Cut);
    }

    /// The time that a stop allows is over.
    pub(super) fn abort(&mut self, env: &mut Env<'_>) {
        let is_whole = !matches!(self.http.halves().response, Half::Body | Half::Raw);
        let why =
            if is_whole && self.is_quiet() { CloseReason::Stopped } else { CloseReason::CutOff };
        self.end_now(env, why);
    }

    /// Feeds the HTTP machine from `input` as far as jobs take it, and the output from the job as far as there is room.
    /// Returns how much of `input` was used.
    fn advance(&mut self, env: &mut Env<'_>, input: &[u8]) -> usize {
        if let Some(link) = self.link.as_mut().filter(|link| link.has_room()) {
            link.output.expect(input.len());
        }
        let mut used = 0;
        loop {
            self.flush(env);
            match self.ending {
                Ending::No => {}
                Ending::Now(_) => return input.len(),
                Ending::Flush(_) | Ending::Linger(_) => {
                    self.discard = self.discard.saturating_sub(input.len() - used);
                    self.note_eof(env);
                    return input.len();
                }
            }
            if !self.takes_input(env) {
                if used == input.len() {
                    self.note_eof(env);
                }
                return used;
            }
            match self.http.receive(&input[used..]) {
                Ok((taken, event)) => {
                    used += taken;
                    match event {
                        Some(ServerEvent::Request(head)) => self.start(env, head),
                        Some(ServerEvent::Body(data) | ServerEvent::Raw(data)) => {
                            self.stdin(env, data);
                        }
                        // A job's stdin goes on in the raw stream; a server is owed the end of the body before that.
                        Some(ServerEvent::End)
                            if self.http.halves().request == Half::Raw && !self.joined => {}
                        Some(ServerEvent::End) => self.stdin_end(env),
                        None => {
                            if self.peer_shutdown == Eof::Seen {
                                self.note_eof(env);
                                continue;
                            }
                            return used;
                        }
                    }
                }
                Err(error) => self.refuse(env, error),
            }
        }
    }

    /// Whether the HTTP machine may read on: a head when nothing is under way, a body or a raw stream when somebody wants it.
    fn takes_input(&mut self, env: &mut Env<'_>) -> bool {
        match (self.http.halves().request, self.job) {
            (Half::Idle, None) => self.output.has_room(),
            (Half::Body | Half::Raw, Some(_)) if self.joined => {
                self.link.as_ref().is_some_and(|link| link.has_room())
            }
            (Half::Body | Half::Raw, Some(job)) if env.engine.wants_stdin(job) => {
                self.http.send_continue(&mut self.output.bytes);
                true
            }
            (Half::Body, None) => true,
            _ => false,
        }
    }

    fn start(&mut self, env: &mut Env<'_>, head: RequestHead) {
        let job = Job::from_request(head, env.replies.profile().versions());
        self.answered = false;
        self.joined = false;
        self.discard = if job.hijacks() { DISCARD_RAW } else { DISCARD };
        // The time for the next head does not begin with this one's.
        self.clear_deadline(env);
        let job = env.engine.start(env.now, job, super::owner(self.id));
        self.job = Some(job);
        // A job that hijacks at once has the raw stream for its stdin, which begins where a request without a body ends.
        self.flush(env);
        if self.http.halves().request == Half::Done {
            self.stdin_end(env);
        }
        if env.stopping {
            self.end_the_endless(env, Cancel::Shutdown);
        } else if self.peer_shutdown != Eof::Open {
            self.end_the_endless(env, Cancel::HalfClosed);
        }
    }

    fn stdin(&mut self, env: &mut Env<'_>, data: &[u8]) {
        match self.job {
            Some(_) if self.joined => {
                if let Some(link) = &mut self.link {
                    link.write(data);
                }
            }
            Some(job) => env.engine.stdin(env.now, job, data),
            None => self.discarded(data.len() as u64),
        }
    }

    fn stdin_end(&mut self, env: &mut Env<'_>) {
        match self.job {
            Some(_) if self.joined => {
                if let Some(link) = &mut self.link {
                    link.end();
                }
            }
            Some(job) => env.engine.stdin_end(env.now, job),
            None => self.after_response(),
        }
    }

    /// Tells of the end of the peer's half, once all before it has been used.
    fn note_eof(&mut self, env: &mut Env<'_>) {
        if self.peer_shutdown != Eof::Seen {
            return;
        }
        self.peer_shutdown = Eof::Told;
        let was_raw = self.http.halves().request == Half::Raw;
        let whole = self.http.eof().is_ok();
        match self.job {
            Some(_) if !whole => self.end_now(env, CloseReason::Refused(Error::Truncated)),
            // To a server the end of a client's half may mean to cancel, or the end of stdin: it is told.
            Some(_) if self.joined => {
                if let Some(link) = &mut self.link {
                    link.shut_down();
                }
            }
            Some(job) if was_raw => env.engine.stdin_end(env.now, job),
            None if self.ending == Ending::No => self.end(CloseReason::PeerClosed),
            _ => {}
        }
        self.flush(env);
    }

    /// To a job without an end of its own, a stop is the end, and that of its client's half, as it is for dockerd. (In the
    /// middle of a body the latter is a request that ends early.)
    fn end_the_endless(&mut self, env: &mut Env<'_>, why: Cancel) {
        if let Some(job) = self.job
            && !self.joined
            && (why != Cancel::HalfClosed || self.http.halves().request != Half::Body)
            && env.engine.job(job).is_some_and(Job::is_endless)
        {
            env.engine.cancel(env.now, job, why);
        }
    }

    /// Moves the job's output to the connection's, as far as there is room.
    fn flush(&mut self, env: &mut Env<'_>) {
        while let Some(job) = self.job
            && matches!(self.ending, Ending::No)
        {
            if !self.output.has_room() {
                // What waits to be written is not worth waiting for when it will not be completed.
                if self.answered && env.engine.has_failed(job) {
                    self.flush_some(env, job);
                }
                return;
            }
            if !self.flush_some(env, job) {
                return;
            }
        }
    }

    /// Returns whether there may be more to do at once.
    fn flush_some(&mut self, env: &mut Env<'_>, id: JobId) -> bool {
        let Some((job, output)) = env.engine.parts(id) else {
            self.job = None;
            return false;
        };
        if output.joined.is_some() && output.status.is_none() {
            if !self.joined {
                self.joined = true;
                env.joins.push((self.id, false));
            }
            return false;
        }
        let dies = output.begun.is_some() || output.status == Some(&Status::Ok);
        if dies && *output.cut_after == Some(0) {
            self.end_now(env, CloseReason::Cut);
            return false;
        }
        let out = &mut self.output.bytes;
        match output.status {
            Some(Status::Ok) => {}
            None if output.begun.is_some() => {}
            None => return false,
            Some(status) if !self.answered => {
                env.replies.fail(&mut self.http, job, status, out);
                self.finish(env, id);
                return true;
            }
            Some(status) => {
                let line = format!("{job} fails in the middle of its answer: {status}");
                env.logs.push_back(line);
                self.end_now(env, CloseReason::JobFailed);
                return false;
            }
        }
        let ended = output.status.is_some();
        let rest = output.whole.as_ref().map_or(0, |whole| whole.len());
        if !self.answered {
            self.answered = true;
            let length = ended.then_some(output.stdout.len() + rest);
            if !env.replies.begin(&mut self.http, job, output.begun, length, output.path_stat, out)
            {
                self.finish(env, id);
                return true;
            }
            if !ended && !self.http.takes_body() {
                // The answer is its head, as for HEAD: whatever else the job would say, nobody hears.
                self.http.end(out);
                self.finish(env, id);
                return true;
            }
            if self.http.halves().request == Half::Closed {
                // The raw stream of a hijack ended before it began.
                env.engine.stdin_end(env.now, id);
                return true;
            }
        }
        if let Some(left) = output.cut_after {
            let (here, rest) = (output.stdout.len() as u64, rest as u64);
            if here + rest >= *left {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                let stdout = wanted.min(output.stdout.len());
                self.http.write(&output.stdout[..stdout], out);
                if let Some(whole) = output.whole.as_ref().filter(|_| wanted > stdout) {
                    self.http.write(&whole[..wanted - stdout], out);
                }
                // What has been said so far is to arrive, so the connection ends in order where the answer does not.
                env.engine.remove(env.now, id);
                self.job = None;
                self.end(CloseReason::Cut);
                return false;
            }
            *left -= here;
        }
        if !output.stdout.is_empty() {
            self.http.write(output.stdout, out);
            output.stdout.clear();
            if !ended {
                env.engine.taken(env.now, id);
                return true;
            }
        }
        if !ended {
            return false;
        }
        match output.whole.take() {
            None => _ = self.http.end(out),
            Some(whole) if whole.len() <= SMALL => {
                self.http.write(&whole, out);
                self.http.end(out);
            }
            Some(whole) => {
                if let Some(behind) = self.http.frame(whole.len(), out) {
                    let mut behind = behind.to_vec();
                    self.http.end(&mut behind);
                    self.output.set_tail(whole, behind);
                } else {
                    self.http.end(out);
                }
            }
        }
        self.finish(env, id);
        true
    }

    /// The job's answer is complete.
    pub(super) fn finish(&mut self, env: &mut Env<'_>, job: JobId) {
        env.engine.remove(env.now, job);
        self.job = None;
        self.joined = false;
        self.after_response();
    }

    fn after_response(&mut self) {
        match self.http.after() {
            After::Reuse | After::Drain => {}
            After::Close => self.end(CloseReason::Finished),
        }
    }

    /// Answers a request that cannot be read, and ends.
    fn refuse(&mut self, env: &mut Env<'_>, error: Error) {
        let silent = self.http.halves().response != Half::Idle;
        self.drop_link(env, CloseReason::Refused(error));
        if let Some(job) = self.job.take() {
            env.engine.remove(env.now, job);
        }
        if silent {
            // The answer to this very request has begun; what it says can't be told from what it should have said.
            self.end_now(env, CloseReason::Refused(error));
        } else {
            env.replies.refuse(&mut self.http, error, &mut self.output.bytes);
            self.end(CloseReason::Refused(error));
        }
    }

    /// Ends after what is pending is written.
    fn end(&mut self, why: CloseReason) {
        if self.ending == Ending::No {
            self.ending = Ending::Flush(why);
        }
    }

    pub(super) fn end_now(&mut self, env: &mut Env<'_>, why: CloseReason) {
        self.drop_link(env, why);
        if let Some(job) = self.job.take() {
            env.engine.remove(env.now, job);
        }
        if !matches!(self.ending, Ending::Now(_)) {
            self.ending = Ending::Now(why);
        }
        self.clear_deadline(env);
    }

    /// Whether a head has begun to come and is not complete. What waits behind an answer that is not read has not been
    /// looked at, and may be many heads.
    const fn is_in_head(&self) -> bool {
        self.output.has_room() && self.http.is_in_head(self.unread.len())
    }

    fn update_deadline(&mut self, env: &mut Env<'_>) {
        let wanted = match self.ending {
            Ending::No if self.is_in_head() => Some(Deadline::Head),
            Ending::No if self.link.as_ref().is_some_and(|link| !link.connected) => {
                Some(Deadline::Connect)
            }
            // The last answer may be read as slowly as any other.
            Ending::No | Ending::Now(_) | Ending::Flush(_) => None,
            Ending::Linger(_) => Some(Deadline::Linger),
        };
        if self.deadline.map(|(_, deadline)| deadline) == wanted {
            return;
        }
        self.clear_deadline(env);
        if let Some(deadline) = wanted {
            let after = match deadline {
                Deadline::Head => env.config.head_timeout,
                Deadline::Linger | Deadline::Quiet => LINGER,
                Deadline::Connect => {
                    self.link.as_ref().map_or(LINGER, |link| link.upstream.connect_timeout)
                }
            };
            let key = env.timers.set(env.now + after, (self.id, deadline));
            self.deadline = Some((key, deadline));
        }
    }

    fn clear_deadline(&mut self, env: &mut Env<'_>) {
        if let Some(key) = self.take_timer() {
            env.timers.cancel(key);
        }
    }

    /// The timer that is set for this connection, to be cancelled.
    pub(super) fn take_timer(&mut self) -> Option<TimerKey> {
        self.deadline.take().map(|(key, _)| key)
    }

    /// Whether more may come.
    fn has_room(&self) -> bool {
        let unread = self.unread.len() - self.used;
        let goes_on = matches!(self.http.halves().request, Half::Body | Half::Raw);
        if goes_on && let Some(link) = self.link.as_ref().filter(|link| !link.has_room()) {
            // One read waits while what came before is written: that is enough for the two to overlap.
            return unread == 0 && link.output.has_room_ahead(0);
        }
        // A head that grows beyond its limit is refused, so reading on is bounded there too.
        unread < UNREAD || self.is_in_head()
    }

    /// The next thing to do for this connection. Bytes to write are appended to `out`.
    ///
    /// `splice` says whether bytes may pass between it and a server without the node.
    pub(super) fn next_action(&mut self, splice: bool, out: &mut Vec<u8>) -> Option<Action> {
        let conn = self.id;
        if let Ending::Now(why) = self.ending {
            return Some(Action::Close { conn, why });
        }
        let idle = !(self.busy || self.spliced_to);
        if idle {
            if !self.output.is_empty() {
                self.busy = true;
                let length = self.output.take(out);
                return Some(Action::Write { conn, length });
            }
            match self.ending {
                Ending::Flush(why) | Ending::Linger(why)
                    if self.peer_shutdown != Eof::Open || self.discard == 0 =>
                {
                    return Some(Action::Close { conn, why });
                }
                Ending::Flush(why) => {
                    self.ending = Ending::Linger(why);
                    self.shutdown_due = true;
                }
                _ => {}
            }
        }
        if idle && self.shutdown_due && !self.shut_down {
            self.shut_down = true;
            self.busy = true;
            return Some(Action::Shutdown(conn));
        }
        // A read that is to be a splice waits until all is written that came before.
        let down = if splice { self.splices_down() } else { None };
        if let Some(limit) = down
            && self.is_quiet()
        {
            return self.splice_down(limit);
        }
        let unread = self.link.as_ref().map_or(0, |link| link.unread.len());
        let reads = down.is_none() && self.output.has_room_ahead(unread);
        if let Some(link) = &mut self.link
            && let Some(action) = link.next_action(reads, out)
        {
            return Some(action);
        }
        if splice && let Some(limit) = self.splices_up() {
            let is_quiet = self.link.as_ref().is_some_and(|link| link.is_quiet());
            return if is_quiet { self.splice_up(limit) } else { None };
        }
        if self.has_room() && self.may_read() {
            self.reading = true;
            return Some(Action::Read(conn));
        }
        None
    }
}
