//! The journal's bytes: a first line, then records, each with its length and a checksum.
//!
//! ```text
//! record = length of the payload (4 bytes, lowest first), CRC-32C of these 4 bytes and the payload (4), payload
//! put    = 1, index (8), created (8), service, address, attributes
//! remove = 2, index (8), service, address
//! index  = 3, index (8)
//! keep   = 4, index (8), which document (1), service, 0 if it is removed, or: 1, length (4), UTF-8
//! text   = length (2), UTF-8
//! attributes = 0, or: 1, their number (2), key, value, …
//! ```

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::discovery::Document;
use crate::rpc::Attributes;

/// The first line of a journal.
pub(super) const MAGIC: &[u8] = b"libswarm discovery journal 1\n";

/// No record is longer; the longest that can be written has a document of 64 KiB.
const LONGEST: usize = 128 * 1024;

/// What has become true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    Put {
        index: u64,
        created: u64,
        service: String,
        address: String,
        attributes: Option<Attributes>,
    },
    Remove {
        index: u64,
        service: String,
        address: String,
    },
    /// The index has come that far.
    Index(u64),
    Keep {
        index: u64,
        service: String,
        which: Document,
        text: Option<String>,
    },
}

impl Record {
    pub(super) fn keep(
        index: u64,
        (service, which): (&str, Document),
        text: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        write(out, |out| {
            out.push(4);
            out.extend_from_slice(&index.to_le_bytes());
            out.push(which as u8);
            put_text(service, out);
            out.push(text.is_some().into());
            if let Some(text) = text {
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        });
    }

    /// How many bytes [`keep`](Self::keep) takes for a document that is there.
    pub(super) const fn keep_size(service: &str, text: &str) -> u64 {
        8 + 1 + 8 + 1 + 2 + service.len() as u64 + 1 + 4 + text.len() as u64
    }

    pub(super) fn put(
        (index, created): (u64, u64),
        (service, address): (&str, &str),
        attributes: Option<&Attributes>,
        out: &mut Vec<u8>,
    ) {
        write(out, |out| {
            out.push(1);
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&created.to_le_bytes());
            put_text(service, out);
            put_text(address, out);
            out.push(attributes.is_some().into());
            if let Some(attributes) = attributes {
                out.extend_from_slice(&(attributes.len() as u16).to_le_bytes());
                for (key, value) in attributes {
                    put_text(key, out);
                    put_text(value, out);
                }
            }
        });
    }

    /// How many bytes [`put`](Self::put) takes.
    pub(super) fn put_size(
        (service, address): (&str, &str),
        attributes: Option<&Attributes>,
    ) -> u64 {
        let text = |text: &str| 2 + text.len() as u64;
        let pairs = attributes.map_or(0, |all| {
            2 + all.iter().map(|(key, value)| text(key) + text(value)).sum::<u64>()
        });
        8 + 1 + 8 + 8 + text(service) + text(address) + 1 + pairs
    }

    pub(super) fn remove(index: u64, service: &str, address: &str, out: &mut Vec<u8>) {
        write(out, |out| {
            out.push(2);
            out.extend_from_slice(&index.to_le_bytes());
            put_text(service, out);
            put_text(address, out);
        });
    }

    pub(super) fn index(index: u64, out: &mut Vec<u8>) {
        write(out, |out| {
            out.push(3);
            out.extend_from_slice(&index.to_le_bytes());
        });
    }
}

fn write(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    fill(out);
    let length = ((out.len() - start - 8) as u32).to_le_bytes();
    let sum = checksum(&[&length, &out[start + 8..]]).to_le_bytes();
    out[start..start + 4].copy_from_slice(&length);
    out[start + 4..start + 8].copy_from_slice(&sum);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The record at the start of `bytes`, and what is behind it; `None` if there is no whole one.
pub(super) fn read(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*length) as usize;
    if size > LONGEST {
        return None;
    }
    let (mut payload, rest) = rest.split_at_checked(size)?;
    if checksum(&[length, payload]) != u32::from_le_bytes(*sum) {
        return None;
    }
    let payload = &mut payload;
    let kind = take::<1>(payload)?[0];
    let index = u64::from_le_bytes(take(payload)?);
    let record = match kind {
        1 => Record::Put {
            index,
            created: u64::from_le_bytes(take(payload)?),
            service: text(payload)?,
            address: text(payload)?,
            attributes: attributes(payload)?,
        },
        2 => Record::Remove { index, service: text(payload)?, address: text(payload)? },
        3 => Record::Index(index),
        4 => {
            let which = usize::from(take::<1>(payload)?[0]);
            let which = *Document::ALL.get(which)?;
            let service = text(payload)?;
            let text = match take::<1>(payload)?[0] {
                0 => None,
                _ => {
                    let length = u32::from_le_bytes(take(payload)?);
                    Some(utf8(payload, length as usize)?)
                }
            };
            Record::Keep { index, service, which, text }
        }
        _ => return None,
    };
    payload.is_empty().then_some((record, rest))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = u16::from_le_bytes(take(bytes)?);
    utf8(bytes, length.into())
}

fn utf8(bytes: &mut &[u8], length: usize) -> Option<String> {
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(core::str::from_utf8(text).ok()?.to_string())
}

fn attributes(bytes: &mut &[u8]) -> Option<Option<Attributes>> {
    if take::<1>(bytes)?[0] == 0 {
        return Some(None);
    }
    let count = u16::from_le_bytes(take(bytes)?);
    let pairs = (0..count).map(|_| Some((text(bytes)?, text(bytes)?)));
    pairs.collect::<Option<Attributes>>().map(Some)
}

/// CRC-32C (RFC 3720 appendix B.4).
fn checksum(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(!0, |sum, byte| TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(checksum(&[b"1234", b"56789"]), 0xe306_9283);
        assert_eq!(checksum(&[&[0; 32]]), 0x8a91_36aa);
    }

    #[test]
    fn the_longest_document_comes_back() {
        let (service, text) = ("x".repeat(255), "x".repeat(crate::discovery::LONGEST_DOCUMENT));
        let mut bytes = Vec::new();
        Record::keep(1, (&service, Document::Meta), Some(&text), &mut bytes);
        assert!(read(&bytes).is_some());
    }

    proptest! {
        #[test]
        fn records_come_back_and_nothing_else_does(
            index: u64, created: u64, service in "\\PC{1,40}", address in "\\PC{1,40}",
            attributes in prop::option::of(prop::collection::btree_map("\\PC{0,9}", "\\PC{0,30}", 0..5)),
            which in any::<prop::sample::Index>(), bit in 0_u8..8, document in "\\PC{0,60}",
        ) {
            let mut bytes = Vec::new();
            Record::put((index, created), (&service, &address), attributes.as_ref(), &mut bytes);
            let whole = bytes.clone();
            let (put, rest) = read(&whole).unwrap();
            prop_assert!(rest.is_empty());
            // Any bit that has turned, and any byte that is missing, is seen.
            for cut in 0..whole.len() {
                prop_assert_eq!(read(&whole[..cut]), None);
            }
            let at = which.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(read(&bytes), None);
            prop_assert_eq!(put, Record::Put {
                index, created, service: service.clone(), address: address.clone(), attributes
            });
            let mut bytes = Vec::new();
            Record::remove(index, &service, &address, &mut bytes);
            Record::index(index, &mut bytes);
            let (remove, rest) = read(&bytes).unwrap();
            prop_assert_eq!(remove, Record::Remove { index, service: service.clone(), address });
            prop_assert_eq!(read(rest), Some((Record::Index(index), &[][..])));
            for which in Document::ALL {
                for text in [None, Some(document.clone())] {
                    let mut bytes = Vec::new();
                    Record::keep(index, (&service, which), text.as_deref(), &mut bytes);
                    if let Some(text) = &text {
                        prop_assert_eq!(Record::keep_size(&service, text), bytes.len() as u64);
                    }
                    for cut in 0..bytes.len() {
                        prop_assert_eq!(read(&bytes[..cut]), None);
                    }
                    let keep = Record::Keep { index, service: service.clone(), which, text };
                    prop_assert_eq!(read(&bytes), Some((keep, &[][..])));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
