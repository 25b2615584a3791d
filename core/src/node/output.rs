//! What a connection has still to write, within a bound.

use alloc::vec::Vec;

use crate::job::Body;

/// Bytes that wait to be written: some of the connection's own, and behind them a body that it may share with others.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    tail: Option<Tail>,
    /// How much is being written, which is held until that is done.
    writing: usize,
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
/// A stream is read on while no more than this is being written and waits. Threads read less at once: one read comes while the
/// one before it is written. A loop reads more, and then does the one after the other.
const AHEAD: usize = 72 * 1024;
/// What may stand around the pieces of what comes at once.
const FRAMES: usize = 256;
/// One write is at most this long: large enough that the calls do not show, small enough for the caches.
const WRITE: usize = 256 * 1024;
/// A buffer that is lent to a stream is no larger than it needs.
const LENT: usize = 2 * LIMIT;
/// A connection keeps no larger buffer than this when its bytes are written.
const KEEP: usize = 4 * 1024;
/// A body up to this length is copied behind its head; a longer one is kept apart.
pub(super) const SMALL: usize = 16 * 1024;

impl Pending {
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), tail: None, writing: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.tail.is_none()
    }

    /// Whether more may be added.
    pub(super) const fn has_room(&self) -> bool {
        self.tail.is_none() && self.bytes.len() < LIMIT
    }

    /// Whether a stream that goes through it, of which so much waits elsewhere, is to be read on.
    pub(super) const fn has_room_ahead(&self, unread: usize) -> bool {
        self.has_room() && self.bytes.len() + self.writing + unread <= AHEAD
    }

    /// So much comes at once that most of it goes in here: a buffer that grows with each piece would leave smaller ones behind.
    pub(super) fn expect(&mut self, coming: usize) {
        if coming > KEEP && self.has_room() {
            self.bytes.reserve(coming + FRAMES);
        }
    }

    /// What was taken is written.
    pub(super) const fn written(&mut self) {
        self.writing = 0;
    }

    /// Puts `body` behind the bytes, and `behind` after it. Nothing can be added until it is written.
    pub(super) fn set_tail(&mut self, body: Body, behind: Vec<u8>) {
        self.tail = Some(Tail { body, written: 0, behind });
    }

    /// Moves what one write may hold to the end of `out`; returns how much that is.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let room = WRITE.saturating_sub(self.bytes.len());
        if out.is_empty() && self.bytes.len() > KEEP {
            // A stream goes out without a copy: the buffer that was lent is filled while this one is written.
            core::mem::swap(out, &mut self.bytes);
            if self.bytes.capacity() > LENT {
                // It has served a larger write than a stream's.
                self.bytes = Vec::new();
            }
        }
        let rest = self.tail.as_ref().map_or(0, |tail| tail.body.len() - tail.written);
        let behind = self.tail.as_ref().map_or(0, |tail| tail.behind.len());
        out.reserve(self.bytes.len() + rest.min(room) + behind);
        out.append(&mut self.bytes);
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
        self.writing = out.len() - before;
        self.writing
    }

    /// Lets go of a large buffer that nothing waits in: the buffers that are lent are few, connections are many.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_taken_is_what_was_put_in() {
        let body: Vec<u8> = (0..2 * WRITE + 5).map(|at| at as u8).collect();
        let mut pending = Pending::default();
        pending.bytes.extend_from_slice(b"head");
        pending.set_tail(body.clone().into(), b"end".to_vec());
        let (mut out, mut writes) = (b"before".to_vec(), Vec::new());
        while !pending.is_empty() {
            writes.push(pending.take(&mut out));
        }
        assert_eq!(writes, [WRITE, WRITE, 4 + 5 + 3]);
        assert_eq!(out, [&b"before"[..], b"head", &body, b"end"].concat());
    }

    #[test]
    fn a_stream_goes_out_without_a_copy() {
        let mut pending = Pending::default();
        let mut out = Vec::with_capacity(LENT);
        let lent = out.as_ptr();
        pending.bytes.extend_from_slice(&vec![b'x'; LIMIT]);
        let filled = pending.bytes.as_ptr();
        assert_eq!(pending.take(&mut out), LIMIT);
        assert_eq!((out.as_ptr(), pending.bytes.as_ptr()), (filled, lent));

        let mut out = Vec::with_capacity(WRITE);
        pending.bytes.extend_from_slice(&vec![b'x'; LIMIT]);
        pending.take(&mut out);
        assert!(pending.bytes.capacity() <= LENT, "a stream was lent {}", pending.bytes.capacity());
    }

    #[test]
    fn an_idle_connection_holds_no_large_buffer() {
        let mut pending = Pending::default();
        let mut out = Vec::with_capacity(WRITE);
        for length in [1, LIMIT, KEEP, 2 * LIMIT, 1] {
            pending.bytes.extend_from_slice(&vec![b'x'; length]);
            out.clear();
            assert_eq!(pending.take(&mut out), length);
            pending.shrink();
            assert!(pending.bytes.capacity() <= KEEP, "{}", pending.bytes.capacity());
        }
    }
}
