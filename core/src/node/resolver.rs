//! One connection of a client that speaks DNS over TCP (RFC 7766): questions in any number at once, answers as they come.

use alloc::vec::Vec;
use core::time::Duration;

use super::action::{Action, CloseReason};
use super::conn::Ending;
use super::duplex::Duplex;
use super::{Deadline, LINGER};
use crate::discovery::Registry;
use crate::discovery::dns::{Asker, Frames, Server, Verdict};
use crate::id::ConnId;
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// A connection of a client of DNS.
pub(super) struct Resolver {
    socket: Duplex,
    frames: Frames,
    /// Questions that recursors are asked.
    forwarded: usize,
    /// When it last asked, or took an answer.
    last: Instant,
    /// Whether the node has it in its queue.
    pub(super) queued: bool,
}

/// What these connections share while one of them is at work.
pub(super) struct ResolverEnv<'a> {
    pub(super) now: Instant,
    pub(super) server: &'a mut Server,
    /// `None` while it is not known who is there.
    pub(super) registry: Option<&'a Registry>,
    pub(super) timers: &'a mut Timers<(ConnId, Deadline)>,
}

/// While nothing can be done with it, unread input is bounded by this and one read more.
const UNREAD: usize = 64 * 1024;

impl Resolver {
    pub(super) const fn new(id: ConnId, now: Instant) -> Self {
        Self {
            socket: Duplex::new(id),
            frames: Frames::new(),
            forwarded: 0,
            last: now,
            queued: false,
        }
    }

    pub(super) fn begin(&mut self, env: &mut ResolverEnv<'_>, idle: Duration) {
        self.set_deadline(env, Deadline::Head, idle);
    }

    pub(super) fn received(&mut self, env: &mut ResolverEnv<'_>, bytes: &[u8]) {
        if self.socket.received() {
            self.frames.push(bytes);
            self.advance(env);
        }
    }

    pub(super) fn peer_shutdown(&mut self, env: &mut ResolverEnv<'_>) {
        self.socket.peer_shutdown();
        self.advance(env);
    }

    /// The outstanding write or shutdown is done.
    pub(super) fn done(&mut self, env: &mut ResolverEnv<'_>) {
        self.socket.done();
        self.last = env.now;
        self.socket.output.shrink();
        self.advance(env);
    }

    /// A recursor's answer has come.
    pub(super) fn answer(&mut self, env: &mut ResolverEnv<'_>, message: &[u8]) {
        self.forwarded = self.forwarded.saturating_sub(1);
        // Behind the end of this half, which may be written already, nothing can follow.
        if self.socket.is_open() {
            Frames::write(&mut self.socket.output.bytes, |out| out.extend_from_slice(message));
            self.advance(env);
        }
    }

    pub(super) fn broken(&mut self, env: &mut ResolverEnv<'_>) {
        self.end(env, Ending::Now(CloseReason::Broken));
    }

    pub(super) fn stop(&mut self, env: &mut ResolverEnv<'_>) {
        if self.socket.is_quiet() {
            self.end(env, Ending::Now(CloseReason::Stopped));
        }
        self.end(env, Ending::Flush(CloseReason::Stopped));
    }

    pub(super) fn abort(&mut self, env: &mut ResolverEnv<'_>) {
        self.end(env, Ending::Now(CloseReason::Stopped));
    }

    pub(super) fn timed_out(&mut self, env: &mut ResolverEnv<'_>, deadline: Deadline) {
        if !self.socket.timed_out(deadline) {
            return;
        }
        if deadline == Deadline::Linger {
            return self.end(env, Ending::Now(CloseReason::LingerTimeout));
        }
        let idle = env.server.config().idle;
        let left = (self.last + idle).saturating_since(env.now);
        if self.forwarded > 0 {
            self.set_deadline(env, deadline, idle);
        } else if !left.is_zero() {
            self.set_deadline(env, deadline, left);
        } else {
            self.end(env, Ending::Now(CloseReason::Idle));
        }
    }

    /// Answers what was asked, as far as there is room for answers.
    fn advance(&mut self, env: &mut ResolverEnv<'_>) {
        let asker = Asker::Stream(self.socket.id());
        while self.socket.is_open() && !self.is_blocked(env) {
            let Some(message) = self.frames.next_message() else {
                if self.socket.eof && self.forwarded == 0 {
                    self.end(env, Ending::Flush(CloseReason::PeerClosed));
                }
                return;
            };
            self.last = env.now;
            let mut verdict = Verdict::Ignored;
            Frames::write(&mut self.socket.output.bytes, |out| {
                verdict = env.server.query(env.now, asker, message, env.registry, out);
            });
            match verdict {
                Verdict::Answered => {}
                Verdict::Forwarded => self.forwarded += 1,
                Verdict::Ignored => self.end(env, Ending::Flush(CloseReason::NoQuery)),
            }
        }
    }

    fn is_blocked(&self, env: &ResolverEnv<'_>) -> bool {
        !self.socket.output.has_room() || self.forwarded >= env.server.config().pipelined
    }

    fn end(&mut self, env: &mut ResolverEnv<'_>, ending: Ending) {
        if self.socket.end(ending) {
            self.frames = Frames::new();
            // Who does not read to the end must not keep it.
            if !matches!(ending, Ending::Now(_)) {
                self.set_deadline(env, Deadline::Linger, LINGER);
            }
        }
    }

    fn set_deadline(&mut self, env: &mut ResolverEnv<'_>, deadline: Deadline, after: Duration) {
        self.socket.set_deadline(env.timers, Some((deadline, env.now + after)));
    }

    /// The timer that is set for this connection, to be cancelled.
    pub(super) fn take_timer(&mut self) -> Option<TimerKey> {
        self.socket.take_timer()
    }

    /// The next thing to do for this connection. Bytes to write are appended to `out`.
    pub(super) fn next_action(&mut self, pipelined: usize, out: &mut Vec<u8>) -> Option<Action> {
        let has_room = self.socket.output.has_room() && self.forwarded < pipelined
            || self.frames.waiting() < UNREAD;
        self.socket.next_action(has_room, out)
    }
}
