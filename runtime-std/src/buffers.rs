//! Buffers for what is read: a small one for each thread, and large ones that are lent while bytes flow.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::connection::lock;

/// Large buffers that nobody uses now.
#[derive(Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

/// A large buffer, for as long as this is held.
pub(crate) struct Lent<'a> {
    buffer: Vec<u8>,
    owner: &'a Buffers,
}

/// Large enough that the calls do not show in a long body, small enough for what a stream may hold (256 KiB), with what
/// the node holds.
pub(crate) const LARGE: usize = 128 * 1024;
/// What a thread reads into by itself, until something comes that fills it: many wait for long.
const SMALL: usize = 16 * 1024;
/// So many are kept for the next thread.
const SPARES: usize = 32;

impl Buffers {
    pub(crate) fn lend(&self) -> Lent<'_> {
        let buffer = lock(&self.0).pop().unwrap_or_else(|| vec![0; LARGE]);
        Lent { buffer, owner: self }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut spares = lock(&self.owner.0);
        if spares.len() < SPARES {
            spares.push(core::mem::take(&mut self.buffer));
        }
    }
}

impl Deref for Lent<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

/// Where one thread reads into.
pub(crate) struct Room<'a> {
    small: Vec<u8>,
    large: Option<Lent<'a>>,
    buffers: &'a Buffers,
}

impl<'a> Room<'a> {
    pub(crate) fn new(buffers: &'a Buffers) -> Self {
        Self { small: vec![0; SMALL], large: None, buffers }
    }

    /// Room for so much at most.
    pub(crate) fn up_to(&mut self, most: usize) -> &mut [u8] {
        let buffer = self.large.as_deref_mut().unwrap_or(&mut self.small);
        let most = most.min(buffer.len());
        &mut buffer[..most]
    }

    /// So much of it was filled at once: makes room for as much as may come next.
    pub(crate) fn fit(&mut self, filled: usize) {
        if filled < SMALL {
            self.shrink();
        } else if self.large.is_none() {
            self.large = Some(self.buffers.lend());
        }
    }

    /// Nothing is read for a while.
    pub(crate) fn shrink(&mut self) {
        self.large = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_flows_has_a_large_buffer() {
        let buffers = Buffers::default();
        let mut room = Room::new(&buffers);
        assert_eq!(room.up_to(LARGE).len(), SMALL);
        room.fit(SMALL);
        assert_eq!((room.up_to(LARGE).len(), room.up_to(7).len()), (LARGE, 7));
        room.fit(SMALL - 1);
        assert_eq!(room.up_to(LARGE).len(), SMALL);
        assert_eq!(lock(&buffers.0).len(), 1);
        room.fit(SMALL);
        assert_eq!(lock(&buffers.0).len(), 0);
        room.shrink();
        assert_eq!(room.up_to(LARGE).len(), SMALL);
    }

    #[test]
    fn no_more_are_kept_than_are_worth_it() {
        let buffers = Buffers::default();
        let lent: Vec<Lent<'_>> = (0..2 * SPARES).map(|_| buffers.lend()).collect();
        drop(lent);
        assert_eq!(lock(&buffers.0).len(), SPARES);
    }
}
