//! One connection of a client of discovery: from its bytes to calls, and from answers and updates to bytes.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::action::{Action, CloseReason};
use super::conn::Ending;
use super::door::{self, Door};
use super::duplex::Duplex;
use super::{Deadline, LINGER, owner};
use crate::discovery::http::{self, Next};
use crate::discovery::{Agent, Event, StoreError, SubscriptionId};
use crate::http1;
use crate::id::{CallId, ConnId};
use crate::rpc::{Args, Error, Limits, Method, Reply, ServerEvent};
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// A connection of a client of discovery.
pub(super) struct Caller {
    socket: Duplex,
    door: Door,
    limits: Limits,
    /// Bytes that came and could not be used yet.
    unread: Vec<u8>,
    used: usize,
    streams: BTreeMap<CallId, Stream>,
    /// Streams that have more to tell than there was room for.
    ready: VecDeque<(CallId, SubscriptionId)>,
    /// Whether the node has it in its queue.
    pub(super) queued: bool,
}

struct Stream {
    subscription: SubscriptionId,
    /// Its marker was sent.
    current: bool,
}

/// What callers share while one of them is at work.
pub(super) struct CallerEnv<'a> {
    pub(super) now: Instant,
    pub(super) stopping: bool,
    pub(super) head_timeout: Duration,
    pub(super) epoch: Duration,
    pub(super) agent: &'a mut Agent,
    pub(super) timers: &'a mut Timers<(ConnId, Deadline)>,
}

/// While nothing can be done with it, unread input is bounded by this and one read more.
const UNREAD: usize = 64 * 1024;
/// An idle connection keeps no larger buffer for input than this.
const KEEP: usize = 1024;

impl CallerEnv<'_> {
    fn http(&mut self, conn: ConnId) -> http::Env<'_> {
        let Self { now, stopping, epoch, .. } = *self;
        http::Env { now, agent: self.agent, owner: owner(conn), epoch, stopping }
    }
}

impl Caller {
    pub(super) fn new(id: ConnId, limits: Limits) -> Self {
        Self {
            socket: Duplex::new(id),
            door: Door::new(&limits),
            limits,
            unread: Vec::new(),
            used: 0,
            streams: BTreeMap::new(),
            ready: VecDeque::new(),
            queued: false,
        }
    }

    /// Bytes came. They are read by [`advance`](Self::advance).
    pub(super) fn received(&mut self, bytes: &[u8]) {
        if self.socket.received() {
            self.unread.extend_from_slice(bytes);
        }
    }

    /// The peer sends nothing more.
    pub(super) const fn peer_shutdown(&mut self) {
        self.socket.peer_shutdown();
    }

    /// The outstanding write or shutdown is done.
    pub(super) fn done(&mut self, env: &mut CallerEnv<'_>) {
        self.socket.done();
        self.deliver(env);
        self.socket.output.shrink();
    }

    pub(super) fn broken(&mut self, env: &mut CallerEnv<'_>) {
        self.end(env, Ending::Now(CloseReason::Broken));
    }

    /// The daemon stops: streams end with the connection, calls that wait are answered.
    pub(super) fn stop(&mut self, env: &mut CallerEnv<'_>) {
        if let Door::Http(http) = &mut self.door
            && let Some(subscription) = http.subscription()
        {
            http.end_stream(&mut self.socket.output.bytes);
            env.agent.close(subscription);
        }
        if self.socket.is_quiet() && !self.door.is_waiting() {
            // All was said, and written; a client that listens need not be waited for.
            self.end(env, Ending::Now(CloseReason::Stopped));
        }
        self.end_if_quiet(env, CloseReason::Stopped);
    }

    pub(super) fn abort(&mut self, env: &mut CallerEnv<'_>) {
        self.end(env, Ending::Now(CloseReason::Stopped));
    }

    pub(super) fn timed_out(&mut self, env: &mut CallerEnv<'_>, deadline: Deadline) {
        if !self.socket.timed_out(deadline) {
            return;
        }
        match deadline {
            Deadline::Head => {
                let error =
                    self.door.refuse(http1::Error::HeadTimeout, &mut self.socket.output.bytes);
                self.end(env, Ending::Flush(CloseReason::Unreadable(error)));
            }
            Deadline::Quiet => {
                if let Door::Http(http) = &mut self.door {
                    // Who has not read what was said last need not be told more.
                    let out =
                        self.socket.output.is_empty().then_some(&mut self.socket.output.bytes);
                    http.keep_alive(env.now, out);
                }
                self.update_deadline(env);
            }
            _ => self.end(env, Ending::Now(CloseReason::LingerTimeout)),
        }
    }

    /// Reads one call and passes it on. Returns whether there may be another.
    pub(super) fn advance(&mut self, env: &mut CallerEnv<'_>) -> bool {
        let more = self.socket.is_open() && self.socket.output.has_room() && self.read(env);
        if !self.socket.is_open() {
            self.unread = Vec::new();
            self.used = 0;
        } else if !more {
            self.tidy();
            if self.socket.eof && !self.is_blocked() {
                self.note_eof(env);
            }
        }
        self.update_deadline(env);
        more
    }

    fn read(&mut self, env: &mut CallerEnv<'_>) -> bool {
        let id = self.socket.id();
        let (unread, out) = (&self.unread[self.used..], &mut self.socket.output.bytes);
        let rpc = match &mut self.door {
            Door::Http(http) => {
                return match http.receive(&mut env.http(id), unread, out) {
                    Ok((taken, next)) => {
                        self.used += taken;
                        if taken > 0 && !http.is_in_request(0) {
                            // The next request, which may have begun to come, has its own time.
                            self.socket.set_deadline(env.timers, None);
                        }
                        self.go_on(env, next)
                    }
                    Err(error) => {
                        self.end(env, Ending::Flush(CloseReason::Unreadable(Error::Head(error))));
                        false
                    }
                };
            }
            Door::Rpc(rpc) => rpc,
        };
        match rpc.receive(unread, out) {
            Ok((taken, event)) => {
                self.used += taken;
                match event {
                    None => return false,
                    Some(ServerEvent::Call { call, method, args }) => {
                        self.call(env, call, method, args);
                    }
                    Some(ServerEvent::StreamClosed(call)) => {
                        if let Some(stream) = self.streams.remove(&call) {
                            env.agent.close(stream.subscription);
                        }
                    }
                    Some(ServerEvent::Finished) => {
                        self.end(env, Ending::Flush(CloseReason::Finished));
                    }
                }
                true
            }
            Err(error) => {
                self.end(env, Ending::Flush(CloseReason::Unreadable(error)));
                false
            }
        }
    }

    /// Goes on as HTTP says. Returns whether there may be more to be read.
    fn go_on(&mut self, env: &mut CallerEnv<'_>, next: Next) -> bool {
        match next {
            Next::More => true,
            Next::Wait => false,
            Next::Rpc(head) => {
                self.door = Door::rpc(self.limits.clone(), &head, &mut self.socket.output.bytes);
                true
            }
            Next::Finished => {
                self.end(env, Ending::Flush(CloseReason::Finished));
                false
            }
        }
    }

    fn call(&mut self, env: &mut CallerEnv<'_>, call: CallId, method: Method, args: Args) {
        match env.agent.call(env.now, (owner(self.socket.id()), call), method, args) {
            Ok(None) => {}
            Ok(Some(subscription)) => {
                self.streams.insert(call, Stream { subscription, current: false });
            }
            Err(error) => {
                let Door::Rpc(rpc) = &mut self.door else { return };
                if method == Method::Subscribe {
                    door::mark(rpc, call, &mut self.socket.output.bytes);
                }
                rpc.fail(call, &error, &mut self.socket.output.bytes);
            }
        }
    }

    /// A call is answered. Returns whether others may have waited for that.
    pub(super) fn answer(
        &mut self,
        env: &mut CallerEnv<'_>,
        call: CallId,
        result: &Result<Option<String>, String>,
    ) -> bool {
        let (Door::Rpc(rpc), out) = (&mut self.door, &mut self.socket.output.bytes) else {
            return false;
        };
        match result {
            Ok(Some(text)) => rpc.reply(call, Reply::Text(text), out),
            Ok(None) => rpc.reply(call, Reply::Empty, out),
            Err(error) => rpc.fail(call, error, out),
        }
        if env.stopping {
            self.end_if_quiet(env, CloseReason::Stopped);
        }
        self.socket.eof || self.used < self.unread.len()
    }

    /// The store has answered what HTTP has asked of it. Returns whether there may be more to be read.
    pub(super) fn done_by_store(
        &mut self,
        env: &mut CallerEnv<'_>,
        call: CallId,
        result: Result<u64, StoreError>,
    ) -> bool {
        let Door::Http(http) = &mut self.door else { return false };
        if !self.socket.is_open() {
            return false;
        }
        let next =
            http.done(&mut env.http(self.socket.id()), call, result, &mut self.socket.output.bytes);
        let more = self.go_on(env, next);
        if env.stopping {
            self.end_if_quiet(env, CloseReason::Stopped);
        }
        more
    }

    /// A stream has something to tell.
    pub(super) fn ready(
        &mut self,
        env: &mut CallerEnv<'_>,
        call: CallId,
        subscription: SubscriptionId,
    ) {
        match &mut self.door {
            Door::Http(http) => http.ready(subscription),
            Door::Rpc(_) => {
                let stream = self.streams.get(&call);
                if stream.is_none_or(|stream| stream.subscription != subscription) {
                    return;
                }
                self.ready.push_back((call, subscription));
            }
        }
        self.deliver(env);
    }

    /// A stream cannot be gone on with. Returns whether there may be more to be read.
    pub(super) fn ended(
        &mut self,
        env: &mut CallerEnv<'_>,
        call: CallId,
        subscription: SubscriptionId,
        error: &StoreError,
    ) -> bool {
        let out = &mut self.socket.output.bytes;
        match &mut self.door {
            Door::Http(http) => {
                let next = http.ended(subscription, error, out);
                self.go_on(env, next)
            }
            Door::Rpc(rpc) => {
                if self.streams.remove(&call).is_some_and(|stream| !stream.current) {
                    door::mark(rpc, call, out);
                }
                rpc.fail(call, &format!("discoverd: {error}"), out);
                false
            }
        }
    }

    /// Tells what there is room for, each stream in turn.
    fn deliver(&mut self, env: &mut CallerEnv<'_>) {
        while self.socket.is_open() && self.socket.output.has_room() {
            let rpc = match &mut self.door {
                Door::Http(http) => {
                    if !http.tell(&mut env.http(self.socket.id()), &mut self.socket.output.bytes) {
                        return;
                    }
                    continue;
                }
                Door::Rpc(rpc) => rpc,
            };
            let Some((call, subscription)) = self.ready.pop_front() else { return };
            let stream = self.streams.get_mut(&call);
            let Some(stream) = stream.filter(|stream| stream.subscription == subscription) else {
                continue;
            };
            if let Some(event) = env.agent.next(subscription) {
                stream.current |= event == Event::Current;
                if let Some(update) = event.update() {
                    rpc.update(call, &update, &mut self.socket.output.bytes);
                }
                self.ready.push_back((call, subscription));
            }
        }
    }

    /// Whether what came cannot be read on for now.
    fn is_blocked(&self) -> bool {
        !self.socket.output.has_room() || self.door.is_full()
    }

    /// The end has come, and all before it is read.
    fn note_eof(&mut self, env: &mut CallerEnv<'_>) {
        if let Err(error) = self.door.eof(self.unread.len() - self.used) {
            return self.end(env, Ending::Flush(CloseReason::Unreadable(error)));
        }
        // Nobody who listens shuts his side down: the original's clients are gone then.
        self.close_streams(env);
        self.end_if_quiet(env, CloseReason::PeerClosed);
    }

    fn end_if_quiet(&mut self, env: &mut CallerEnv<'_>, why: CloseReason) {
        if !self.door.is_waiting() {
            self.end(env, Ending::Flush(why));
        }
    }

    fn end(&mut self, env: &mut CallerEnv<'_>, ending: Ending) {
        self.socket.end(ending);
        self.close_streams(env);
        self.update_deadline(env);
    }

    fn close_streams(&mut self, env: &mut CallerEnv<'_>) {
        self.ready.clear();
        if let Door::Http(http) = &self.door
            && let Some(subscription) = http.subscription()
        {
            env.agent.close(subscription);
        }
        while let Some((_, stream)) = self.streams.pop_first() {
            env.agent.close(stream.subscription);
        }
    }

    fn tidy(&mut self) {
        if self.used == self.unread.len() {
            self.unread.clear();
            self.used = 0;
            if self.unread.capacity() > KEEP {
                self.unread = Vec::new();
            }
        } else if self.used > 0 {
            self.unread.drain(..self.used);
            self.used = 0;
        }
    }

    fn update_deadline(&mut self, env: &mut CallerEnv<'_>) {
        let wanted = match self.socket.ending {
            Ending::No if self.door.is_in_request(self.unread.len() - self.used) => {
                Some((Deadline::Head, env.now + env.head_timeout))
            }
            Ending::No if let Some(spoke) = self.door.spoke() => {
                Some((Deadline::Quiet, (spoke + http::Server::QUIET).max(env.now)))
            }
            Ending::Linger(_) => Some((Deadline::Linger, env.now + LINGER)),
            // The last answer may be read as slowly as any other.
            Ending::No | Ending::Now(_) | Ending::Flush(_) => None,
        };
        if self.socket.deadline() != wanted.map(|(deadline, _)| deadline) {
            self.socket.set_deadline(env.timers, wanted);
        }
    }

    /// The timer that is set for this connection, to be cancelled.
    pub(super) fn take_timer(&mut self) -> Option<TimerKey> {
        self.socket.take_timer()
    }

    /// The next thing to do for this connection. Bytes to write are appended to `out`.
    pub(super) fn next_action(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        // While a stream goes on, a further request has to wait for its end.
        let is_blocked = self.is_blocked() || self.door.spoke().is_some();
        let has_room = !is_blocked || self.unread.len() - self.used < UNREAD;
        self.socket.next_action(has_room, out)
    }
}
