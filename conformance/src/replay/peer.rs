//! The other end of one of the node's connections.

use std::collections::VecDeque;

use libswarm::node::CloseReason;

/// What a peer does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// It has taken what was written, or has seen the end.
    Done,
    Bytes(Vec<u8>),
    End,
    Gone,
}

#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) outbox: VecDeque<Item>,
    pub(crate) got: Vec<u8>,
    /// How much of `got` belongs to requests that are over.
    pub(crate) taken: usize,
    pub(crate) got_end: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) granted: bool,
    pub(crate) busy: bool,
    ended: bool,
}

impl Peer {
    pub(crate) fn is_ready(&self) -> bool {
        self.closed.is_none() && (self.busy || self.may_send())
    }

    fn may_send(&self) -> bool {
        match self.outbox.front() {
            // A runtime need not read to learn of that.
            Some(Item::Gone) => true,
            Some(Item::End) if self.ended => true,
            Some(_) => self.granted,
            None => false,
        }
    }

    pub(crate) fn next(&mut self, split: &mut Splitter) -> Option<Item> {
        if self.busy && (!self.may_send() || split.flip()) {
            self.busy = false;
            return Some(Item::Done);
        }
        let item = self.outbox.pop_front();
        if item == Some(Item::End) && std::mem::replace(&mut self.ended, true) {
            // It had ended its half before it closed.
            return self.outbox.pop_front();
        }
        if item != Some(Item::Gone) {
            self.granted = false;
        }
        item
    }

    pub(crate) fn close(&mut self, why: CloseReason) {
        self.closed = Some(why);
        self.outbox.clear();
    }
}

/// Decides what a network might decide; without a seed nothing is cut and everything is done in order.
pub(crate) struct Splitter(Option<u64>);

/// As much as a runtime reads at once.
const READ: usize = 64 * 1024;
/// Large chunks are not cut into more pieces than about this.
const PIECES: usize = 32;

impl Splitter {
    pub(crate) const fn new(seed: Option<u64>) -> Self {
        Self(seed)
    }

    /// A number below `bound`, by SplitMix64; the highest without a seed.
    fn below(&mut self, bound: usize) -> usize {
        let Some(state) = &mut self.0 else { return bound - 1 };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound.max(1) as u64).unwrap_or(0)
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        let index = if self.0.is_some() { self.below(from.len()) } else { 0 };
        Some(from[index])
    }

    /// The pieces that `bytes` come in.
    pub(crate) fn items(&mut self, mut bytes: &[u8]) -> Vec<Item> {
        let largest = if self.0.is_some() { (bytes.len() / PIECES * 2).max(40) } else { READ };
        let mut items = Vec::new();
        while !bytes.is_empty() {
            let length = (1 + self.below(largest)).min(bytes.len());
            items.push(Item::Bytes(bytes[..length].to_vec()));
            bytes = &bytes[length..];
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_cuts_and_nothing_is_lost() {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for seed in [None, Some(1), Some(2)] {
            let items = Splitter::new(seed).items(&bytes);
            assert_eq!(items, Splitter::new(seed).items(&bytes));
            assert!(items.len() > if seed.is_some() { 10 } else { 1 } && items.len() < 100);
            let joined: Vec<u8> = items
                .into_iter()
                .flat_map(|item| match item {
                    Item::Bytes(bytes) => bytes,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(joined, bytes);
        }
    }
}
