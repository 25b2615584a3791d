//! A small mutator: the same seed gives the same mutations.

use fastrand::Rng;

/// Beyond this a mutation is cut off, so that a run stays short.
const LONGEST: usize = 4096;

pub(crate) struct Mutator<'a> {
    rng: Rng,
    seeds: &'a [Vec<u8>],
    tokens: &'a [&'a [u8]],
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(seed: u64, seeds: &'a [Vec<u8>], tokens: &'a [&'a [u8]]) -> Self {
        Self { rng: Rng::with_seed(seed), seeds, tokens }
    }

    /// One of the seeds, changed in one to four places.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut data = self.seed().to_vec();
        for _ in 0..self.rng.usize(1..=4) {
            self.change(&mut data);
        }
        data.truncate(LONGEST);
        data
    }

    fn seed(&mut self) -> &'a [u8] {
        &self.seeds[self.rng.usize(..self.seeds.len())]
    }

    fn change(&mut self, data: &mut Vec<u8>) {
        let at = self.rng.usize(..=data.len());
        let end = (at + self.rng.usize(1..=16)).min(data.len());
        match self.rng.u8(..9) {
            0 if at < data.len() => data[at] ^= 1 << self.rng.u8(..8),
            1 if at < data.len() => data[at] = self.rng.u8(..),
            2 => data.insert(at, self.rng.u8(..)),
            3 => _ = data.drain(at..end),
            4 => {
                let copy = data[at..end].to_vec();
                let to = self.rng.usize(..=data.len());
                data.splice(to..to, copy);
            }
            5 => {
                let other = self.seed();
                let from = self.rng.usize(..=other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            6 => data.truncate(at),
            7 => {
                let token = self.tokens[self.rng.usize(..self.tokens.len())];
                data.splice(at..end, token.iter().copied());
            }
            _ => {
                let token = self.tokens[self.rng.usize(..self.tokens.len())];
                data.splice(at..at, token.iter().copied());
            }
        }
    }
}
