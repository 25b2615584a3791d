//! What a connection has still to write, within a bound.

use alloc::vec::Vec;

use crate::job::Body;

/// Bytes that wait to be written: some of the connection's own, and behind them a body that it may share with others.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    tail: Option<Tail>,
}

#[derive(Debug)]
struct Tail {
    body: Body,
    written: usize,
    /// What ends the body: the end of its chunk, the last chunk.
    behind: Vec<u8>,
}

/// Further output is not taken once this much waits.
const LIMIT: usize = 64 * 1024;
/// One write is at most this long: large enough that the calls do not show, small enough for the caches.
const WRITE: usize = 256 * 1024;
/// A body up to this length is copied behind its head; a longer one is kept apart.
pub(super) const SMALL: usize = 16 * 1024;

impl Pending {
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.tail.is_none()
    }

    /// Whether more may be added.
    pub(super) const fn has_room(&self) -> bool {
        self.tail.is_none() && self.bytes.len() < LIMIT
    }

    /// Puts `body` behind the bytes, and `behind` after it. Nothing can be added until it is written.
    pub(super) fn set_tail(&mut self, body: Body, behind: Vec<u8>) {
        self.tail = Some(Tail { body, written: 0, behind });
    }

    /// Moves what one write may hold to the end of `out`; returns how much that is.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        if out.is_empty() && self.bytes.capacity() <= LIMIT {
            core::mem::swap(out, &mut self.bytes);
        } else {
            out.append(&mut self.bytes);
        }
        let room = WRITE.saturating_sub(out.len() - before);
        if let Some(tail) = &mut self.tail {
            let rest = &tail.body[tail.written..];
            let piece = &rest[..rest.len().min(room)];
            out.extend_from_slice(piece);
            tail.written += piece.len();
            if tail.written == tail.body.len() {
                out.append(&mut tail.behind);
                self.tail = None;
            }
        }
        out.len() - before
    }
}
