//! Bytes that a rule makes and that tell by themselves which they are: the stand-ins of large contents.
//!
//! A stream of them is named by 32 bytes, the SHA-256 of what it stands for, and has no end. Each block of 64 bytes is
//!
//! ```text
//! 4 bytes   f7 67 65 6e
//! 4 bytes   the block's number, from 0, big-endian
//! 32 bytes  the stream's name
//! 24 bytes  noise, made of the name and the number
//! ```
//!
//! so that any part of a stream, wherever it was cut, is known again.

/// Which stream.
pub(super) type Name = [u8; 32];

/// Bytes of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Excerpt {
    pub(super) name: Name,
    /// How many bytes of the stream stand before them.
    pub(super) from: u64,
    pub(super) length: usize,
}

const BLOCK: usize = 64;
const MAGIC: [u8; 4] = *b"\xf7gen";
/// Of blocks, so that their number fits: 256 GiB.
const BLOCKS: u64 = 1 << 32;

impl Excerpt {
    /// Its bytes. `None`: no stream is that long.
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        let end = self.from.checked_add(self.length as u64)?;
        if end > BLOCKS * BLOCK as u64 {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.length);
        let mut at = self.from;
        while at < end {
            let within = (at % BLOCK as u64) as usize;
            let block = block(&self.name, u32::try_from(at / BLOCK as u64).ok()?);
            let taken = (BLOCK - within).min(self.length - bytes.len());
            bytes.extend_from_slice(&block[within..within + taken]);
            at += taken as u64;
        }
        Some(bytes)
    }

    /// The longest part of a stream around the block that begins at `at`, but not before `start`; and where it begins.
    pub(super) fn around(bytes: &[u8], start: usize, at: usize) -> Option<(usize, Self)> {
        let here = bytes.get(at..at + BLOCK).filter(|here| here.starts_with(&MAGIC))?;
        let number = u32::from_be_bytes(here[4..8].try_into().ok()?);
        let name: Name = here[8..40].try_into().ok()?;
        if here != block(&name, number) {
            return None;
        }
        let before = number.checked_sub(1).map_or(0, |number| {
            let block = block(&name, number);
            let pairs = bytes[start..at].iter().rev().zip(block.iter().rev());
            pairs.take_while(|(ours, theirs)| ours == theirs).count()
        });
        let mut length = BLOCK;
        let mut next = number.checked_add(1);
        while let Some(number) = next {
            let block = block(&name, number);
            let rest = bytes[at + length..].iter().zip(block);
            let same = rest.take_while(|(ours, theirs)| **ours == *theirs).count();
            length += same;
            next = if same == BLOCK { number.checked_add(1) } else { None };
        }
        let from = u64::from(number) * BLOCK as u64 - before as u64;
        Some((at - before, Self { name, from, length: before + length }))
    }
}

fn block(name: &Name, number: u32) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..4].copy_from_slice(&MAGIC);
    block[4..8].copy_from_slice(&number.to_be_bytes());
    block[8..40].copy_from_slice(name);
    let mut state = u64::from(number);
    for word in name.chunks_exact(8) {
        state = mix(state ^ u64::from_be_bytes(word.try_into().expect("eight bytes")));
    }
    for noise in block[40..].chunks_exact_mut(8) {
        state = mix(state);
        noise.copy_from_slice(&state.to_be_bytes());
    }
    block
}

/// A step of splitmix64.
const fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_known_again_wherever_it_was_cut() {
        let name = [7; 32];
        let whole = Excerpt { name, from: 0, length: 1000 }.bytes().unwrap();
        for (from, length) in [(0, 1000), (0, 64), (1, 200), (63, 129), (100, 300), (640, 360)] {
            let part = Excerpt { name, from, length };
            let bytes = part.bytes().unwrap();
            assert_eq!(bytes, whole[from as usize..from as usize + length]);
            let mut around = b"before".to_vec();
            around.extend_from_slice(&bytes);
            around.extend_from_slice(b"\r\n8000\r\nbehind");
            let at = (0..around.len()).find_map(|at| Excerpt::around(&around, 0, at));
            assert_eq!(at, Some((6, part)));
        }
        assert_eq!(Excerpt::around(&whole[..63], 0, 0), None);
        let mut other = whole.clone();
        other[50] ^= 1;
        assert_eq!(Excerpt::around(&other, 0, 0), None);
    }

    #[test]
    fn no_stream_is_endless() {
        let last = Excerpt { name: [0; 32], from: BLOCKS * 64 - 1, length: 1 };
        assert_eq!(last.bytes().map(|bytes| bytes.len()), Some(1));
        assert_eq!(Excerpt { length: 2, ..last }.bytes(), None);
        assert_eq!(Excerpt { from: u64::MAX, ..last }.bytes(), None);
        let end = Excerpt { from: BLOCKS * 64 - 64, length: 64, ..last };
        assert_eq!(Excerpt::around(&end.bytes().unwrap(), 0, 0), Some((0, end)));
    }
}
