//! The socket of a conversation in which both sides speak as they like: that of a client of discovery, or of DNS.

use alloc::vec::Vec;

use super::Deadline;
use super::action::Action;
use super::conn::Ending;
use super::output::Pending;
use crate::id::ConnId;
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// What is to be written to it, what is outstanding, and how far its end is.
pub(super) struct Duplex {
    id: ConnId,
    pub(super) output: Pending,
    /// An [`Action::Read`] is outstanding.
    reading: bool,
    /// An [`Action::Write`] or an [`Action::Shutdown`] is outstanding.
    busy: bool,
    /// The peer sends nothing more.
    pub(super) eof: bool,
    pub(super) ending: Ending,
    deadline: Option<(TimerKey, Deadline)>,
}

impl Duplex {
    pub(super) const fn new(id: ConnId) -> Self {
        Self {
            id,
            output: Pending::new(),
            reading: false,
            busy: false,
            eof: false,
            ending: Ending::No,
            deadline: None,
        }
    }

    pub(super) const fn id(&self) -> ConnId {
        self.id
    }

    pub(super) fn is_open(&self) -> bool {
        self.ending == Ending::No
    }

    /// Whether all is written that was to be.
    pub(super) const fn is_quiet(&self) -> bool {
        self.output.is_empty() && !self.busy
    }

    /// The outstanding read has brought something. Returns whether that is still of use.
    pub(super) fn received(&mut self) -> bool {
        self.reading = false;
        self.is_open()
    }

    pub(super) const fn peer_shutdown(&mut self) {
        self.reading = false;
        self.eof = true;
    }

    /// The outstanding write or shutdown is done.
    pub(super) const fn done(&mut self) {
        self.busy = false;
        self.output.written();
    }

    /// Ends it; what ends already can only end at once. Returns whether that is new.
    pub(super) fn end(&mut self, ending: Ending) -> bool {
        let is_new = self.is_open() || matches!(ending, Ending::Now(_));
        if is_new {
            self.ending = ending;
        }
        is_new
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.deadline.map(|(_, deadline)| deadline)
    }

    /// Puts a deadline, or none, in the place of the one that is set.
    pub(super) fn set_deadline(
        &mut self,
        timers: &mut Timers<(ConnId, Deadline)>,
        wanted: Option<(Deadline, Instant)>,
    ) {
        if let Some(key) = self.take_timer() {
            timers.cancel(key);
        }
        self.deadline =
            wanted.map(|(deadline, at)| (timers.set(at, (self.id, deadline)), deadline));
    }

    /// The timer of that deadline has gone off. Returns whether it was still the one that is set.
    pub(super) fn timed_out(&mut self, deadline: Deadline) -> bool {
        let is_set = self.deadline() == Some(deadline);
        if is_set {
            self.deadline = None;
        }
        is_set
    }

    /// The timer that is set for this connection, to be cancelled.
    pub(super) fn take_timer(&mut self) -> Option<TimerKey> {
        self.deadline.take().map(|(key, _)| key)
    }

    /// The next thing to do for this connection, which reads only while there is room for what comes. Bytes to write are
    /// appended to `out`.
    pub(super) fn next_action(&mut self, has_room: bool, out: &mut Vec<u8>) -> Option<Action> {
        let conn = self.id;
        if let Ending::Now(why) = self.ending {
            return Some(Action::Close { conn, why });
        }
        if !self.busy {
            if !self.output.is_empty() {
                self.busy = true;
                return Some(Action::Write { conn, length: self.output.take(out) });
            }
            match self.ending {
                Ending::Flush(why) | Ending::Linger(why) if self.eof => {
                    return Some(Action::Close { conn, why });
                }
                Ending::Flush(why) => {
                    self.ending = Ending::Linger(why);
                    self.busy = true;
                    return Some(Action::Shutdown(conn));
                }
                _ => {}
            }
        }
        if !self.reading && !self.eof && has_room {
            self.reading = true;
            return Some(Action::Read(conn));
        }
        None
    }
}
