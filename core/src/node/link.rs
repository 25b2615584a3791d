//! A connection to another server: one that a client's request is relayed to, or one that waits for the next.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::action::Action;
use super::output::Pending;
use crate::http1::state::Half;
use crate::http1::{Client, Framing, Limits, RequestHead};
use crate::id::ConnId;
use crate::job::Upstream;

/// One connection to an [`Upstream`]. While it serves a request it belongs to the connection of the client that sent it.
pub(super) struct Link {
    pub(super) id: ConnId,
    pub(super) upstream: Arc<Upstream>,
    pub(super) http: Client,
    /// Bytes that came and that the client's connection had no room for.
    pub(super) unread: Vec<u8>,
    pub(super) output: Pending,
    pub(super) connected: bool,
    /// It has served a request before, so it may have been closed in the meantime.
    pub(super) used: bool,
    /// Something of the answer has come.
    pub(super) heard: bool,
    pub(super) eof: Eof,
    /// What the client sends passes to it without the node.
    pub(super) spliced_to: bool,
    pub(super) cannot_splice: bool,
    /// Nothing can be written to it any more; what it has said before may still come.
    deaf: bool,
    reading: bool,
    busy: bool,
    shutdown: Shutdown,
}

/// What is known of the end of the server's half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Eof {
    Open,
    /// It has come; bytes before it may still be unread.
    Seen,
    /// And the HTTP machine knows.
    Told,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    No,
    /// As soon as all is written.
    Due,
    Done,
}

/// Unread input is bounded by this and one read more.
const UNREAD: usize = 64 * 1024;

impl Link {
    pub(super) fn new(id: ConnId, upstream: Arc<Upstream>, limits: Limits) -> Self {
        Self {
            id,
            upstream,
            http: Client::new(limits),
            unread: Vec::new(),
            output: Pending::default(),
            connected: false,
            used: false,
            heard: false,
            eof: Eof::Open,
            spliced_to: false,
            cannot_splice: false,
            deaf: false,
            reading: false,
            busy: false,
            shutdown: Shutdown::No,
        }
    }

    /// Sends the head of a request on; its body, as far as a backend has read it, follows.
    pub(super) fn start(&mut self, head: &RequestHead, framing: Framing, via: &str, read: &[u8]) {
        // Whatever answers a POST by a bare 200 hands the connection over, or closes it behind a body: either way what
        // follows is bytes until the end.
        let hijack = head.method() == "POST";
        let out = &mut self.output.bytes;
        self.http.relay(head, framing, hijack, via.as_bytes(), out);
        self.http.write(read, out);
        self.heard = false;
    }

    pub(super) fn write(&mut self, data: &[u8]) {
        self.http.write(data, &mut self.output.bytes);
        self.forget_what_nobody_takes();
    }

    /// Whether it takes more of what its client sends. What is read meanwhile waits at the client's end, and is held, too.
    pub(super) const fn has_room(&self) -> bool {
        !self.busy && self.output.has_room()
    }

    pub(super) fn end(&mut self) {
        self.http.end(&mut self.output.bytes);
    }

    pub(super) fn received(&mut self) {
        self.reading = false;
        self.heard = true;
    }

    pub(super) fn ended(&mut self) {
        self.reading = false;
        if self.eof == Eof::Open {
            self.eof = Eof::Seen;
        }
    }

    pub(super) const fn done(&mut self) {
        self.busy = false;
        self.output.written();
    }

    /// A write to it has failed.
    pub(super) fn deafen(&mut self) {
        self.busy = false;
        self.deaf = true;
        self.forget_what_nobody_takes();
    }

    /// Its client need not wait for room.
    fn forget_what_nobody_takes(&mut self) {
        if self.deaf {
            self.output = Pending::default();
        }
    }

    pub(super) fn may_read(&self) -> bool {
        self.connected && !self.reading && self.eof == Eof::Open
    }

    pub(super) const fn set_reading(&mut self) {
        self.reading = true;
    }

    pub(super) const fn not_reading(&mut self) {
        self.reading = false;
    }

    /// Whether all is written that was to be.
    pub(super) const fn is_quiet(&self) -> bool {
        !self.busy && !self.spliced_to && self.output.is_empty()
    }

    /// Whether anything more may be written to it.
    pub(super) fn takes_more(&self) -> bool {
        !self.deaf && self.shutdown == Shutdown::No
    }

    /// Shuts the sending side down once all is written.
    pub(super) fn shut_down(&mut self) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Due;
            self.http.shutdown();
        }
    }

    /// Whether everything that was to be sent has been, the end included.
    pub(super) fn has_shut_down(&self) -> bool {
        !self.busy && (self.shutdown == Shutdown::Done || self.deaf)
    }

    /// Makes it ready for another request, if both ends keep it.
    pub(super) fn reuse(&mut self) -> bool {
        self.used = true;
        self.output.shrink();
        self.eof == Eof::Open
            && self.unread.is_empty()
            && self.output.is_empty()
            && self.shutdown == Shutdown::No
            && !self.deaf
            && !self.spliced_to
            && self.http.reuse()
    }

    /// The next thing to do for it. `reads` says whether what it reads could be passed on.
    pub(super) fn next_action(&mut self, reads: bool, out: &mut Vec<u8>) -> Option<Action> {
        if !self.connected {
            return None;
        }
        if self.deaf {
            // The end of a body is nothing that anybody takes either.
            self.output = Pending::default();
            if self.shutdown == Shutdown::Due {
                self.shutdown = Shutdown::Done;
            }
        }
        if !self.busy && !self.spliced_to {
            if !self.output.is_empty() {
                self.busy = true;
                let length = self.output.take(out);
                return Some(Action::Write { conn: self.id, length });
            }
            if self.shutdown == Shutdown::Due {
                self.busy = true;
                self.shutdown = Shutdown::Done;
                return Some(Action::Shutdown(self.id));
            }
        }
        // A head that grows beyond its limit is refused, so reading on is bounded there too.
        let takes_more = self.unread.len() < UNREAD || self.http.halves().response == Half::Idle;
        if reads && self.may_read() && takes_more {
            self.reading = true;
            return Some(Action::Read(self.id));
        }
        None
    }

    /// Whether the answer has left HTTP.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self.http.halves().response, Half::Raw)
    }
}

/// Why a request could not be relayed, for its client.
pub(super) struct Trouble {
    pub(super) status: u16,
    pub(super) message: String,
}
