//! The block that stands before each file.

use alloc::string::String;
use alloc::vec::Vec;

use super::BLOCK;

/// Where fields stand: offset and length.
pub(super) const NAME: (usize, usize) = (0, 100);
pub(super) const MODE: (usize, usize) = (100, 8);
pub(super) const UID: (usize, usize) = (108, 8);
pub(super) const GID: (usize, usize) = (116, 8);
pub(super) const SIZE: (usize, usize) = (124, 12);
pub(super) const MTIME: (usize, usize) = (136, 12);
pub(super) const CHECKSUM: (usize, usize) = (148, 8);
pub(super) const KIND: usize = 156;
pub(super) const LINK: (usize, usize) = (157, 100);
pub(super) const MAGIC: (usize, usize) = (257, 6);
pub(super) const USER: (usize, usize) = (265, 32);
pub(super) const GROUP: (usize, usize) = (297, 32);
pub(super) const MAJOR: (usize, usize) = (329, 8);
pub(super) const MINOR: (usize, usize) = (337, 8);
pub(super) const PREFIX: (usize, usize) = (345, 155);

pub(super) fn field(block: &[u8; BLOCK], (offset, length): (usize, usize)) -> &[u8] {
    &block[offset..offset + length]
}

/// A text field, which ends at its first zero.
pub(super) fn text(block: &[u8; BLOCK], place: (usize, usize)) -> Vec<u8> {
    field(block, place).split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// A number: octal digits, or big-endian behind a first bit that is set (GNU). `None` if it is neither.
pub(super) fn number(bytes: &[u8]) -> Option<i64> {
    if let Some((first @ 0x80.., rest)) = bytes.split_first() {
        let negative = *first == 0xff;
        let mut value: i64 = if negative { -1 } else { i64::from(first & 0x7f) };
        for byte in rest {
            if value.unsigned_abs() >> 55 != 0 && !negative {
                return None;
            }
            value = value << 8 | i64::from(*byte);
        }
        return Some(value);
    }
    let text = String::from_utf8_lossy(bytes);
    let digits = text.trim_matches(|c| c == ' ' || c == '\0');
    if digits.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(digits, 8).ok().filter(|value| *value >= 0)
}

/// The sum of all bytes, with spaces in the sum's own place.
pub(super) fn checksum(block: &[u8; BLOCK]) -> i64 {
    let own = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
    let byte = |(at, byte): (usize, &u8)| if own.contains(&at) { 32 } else { i64::from(*byte) };
    block.iter().enumerate().map(byte).sum()
}
