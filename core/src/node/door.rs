//! What a client of discovery speaks: HTTP, until a CONNECT makes it the RPC.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::discovery::http;
use crate::http1::{self, RequestHead};
use crate::id::CallId;
use crate::rpc::{Error, Limits, Server, Update};
use crate::time::Instant;

pub(super) enum Door {
    Http(Box<http::Server>),
    Rpc(Box<Server>),
}

impl Door {
    pub(super) fn new(limits: &Limits) -> Self {
        Self::Http(Box::new(http::Server::new(limits.http.clone())))
    }

    /// What it is behind that CONNECT, whose answer is written to `out`.
    pub(super) fn rpc(limits: Limits, head: &RequestHead, out: &mut Vec<u8>) -> Self {
        Self::Rpc(Box::new(Server::accept(limits, head, out)))
    }

    /// Whether an answer is waited for, or not yet written to its end.
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Self::Http(http) => http.is_waiting() || http.is_writing(),
            Self::Rpc(rpc) => rpc.waiting() > 0,
        }
    }

    /// Whether nothing more is read before an answer is given.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Http(http) => http.is_waiting(),
            Self::Rpc(rpc) => rpc.is_full(),
        }
    }

    /// Since when a stream is quiet that has to say that it is alive.
    pub(super) const fn spoke(&self) -> Option<Instant> {
        match self {
            Self::Http(http) => http.spoke(),
            Self::Rpc(_) => None,
        }
    }

    /// Whether something has begun to come that has to be complete in time: with `unread`, the bytes that were not taken.
    pub(super) const fn is_in_request(&self, unread: usize) -> bool {
        match self {
            Self::Http(http) => http.is_in_request(unread),
            Self::Rpc(rpc) => rpc.is_in_head(unread),
        }
    }

    /// Answers what did not come to its end. Nothing more is read.
    pub(super) fn refuse(&mut self, why: http1::Error, out: &mut Vec<u8>) -> Error {
        match self {
            Self::Http(http) => Error::Head(http.refuse(why, out)),
            Self::Rpc(rpc) => rpc.refuse_head(why, out),
        }
    }

    /// The client sends nothing more; `unread` bytes of what it sent were not taken.
    pub(super) fn eof(&mut self, unread: usize) -> Result<(), Error> {
        match self {
            Self::Http(http) => http.eof(unread).map_err(Error::Head),
            Self::Rpc(rpc) => rpc.eof(unread),
        }
    }
}

/// The original's clients wait for the marker before they look at a stream's error.
pub(super) fn mark(rpc: &mut Server, call: CallId, out: &mut Vec<u8>) {
    rpc.update(call, &Update::MARKER, out);
}
