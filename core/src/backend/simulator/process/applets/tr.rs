//! `tr`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Feed, Filter, Options, Output};
use crate::backend::simulator::process::pattern::named_class;

pub(super) fn make(own: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    // What begins with a dash behind the options is a set.
    let options = Options::parse(argv, "cCds", "", done)?;
    let [first, second @ ..] = options.operands.as_slice() else {
        done.complain("tr: missing operand");
        return None;
    };
    let complement = options.has('c') || options.has('C');
    let mut from = set(first);
    if complement {
        from = (0..=255).filter(|byte| !from.contains(byte)).collect();
    }
    let to = second.first().map(|text| set(text)).unwrap_or_default();
    let mut map: Box<[Option<u8>; 256]> = Box::new(core::array::from_fn(|byte| Some(byte as u8)));
    let delete = options.has('d');
    for (index, byte) in from.iter().enumerate() {
        map[usize::from(*byte)] = match to.get(index).or(to.last()) {
            _ if delete => None,
            Some(other) => Some(*other),
            None => Some(*byte),
        };
    }
    let mut squeeze = Box::new([false; 256]);
    if options.has('s') {
        for byte in if to.is_empty() { &from } else { &to } {
            squeeze[usize::from(*byte)] = true;
        }
    }
    Some(Feed::new(own, Vec::new(), Tr { map, squeeze, last: None }))
}

fn set(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut set, mut at) = (Vec::new(), 0);
    let one = |at: &mut usize| {
        let byte = bytes[*at];
        *at += 1;
        if byte != b'\\' {
            return byte;
        }
        let Some(next) = bytes.get(*at).copied() else { return b'\\' };
        *at += 1;
        match next {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'0'..=b'7' => {
                let mut value = u32::from(next - b'0');
                for _ in 0..2 {
                    if let Some(digit @ b'0'..=b'7') = bytes.get(*at) {
                        value = value * 8 + u32::from(digit - b'0');
                        *at += 1;
                    }
                }
                (value & 255) as u8
            }
            next => next,
        }
    };
    while at < bytes.len() {
        if bytes[at..].starts_with(b"[:")
            && let Some(length) = text[at + 2..].find(":]")
            && let Some(ranges) = named_class(&text[at + 2..at + 2 + length])
        {
            for (from, to) in ranges {
                set.extend(*from as u8..=*to as u8);
            }
            at += length + 4;
            continue;
        }
        let from = one(&mut at);
        if bytes.get(at) == Some(&b'-') && at + 1 < bytes.len() {
            at += 1;
            let to = one(&mut at);
            set.extend(from..=to);
        } else {
            set.push(from);
        }
    }
    set
}

struct Tr {
    map: Box<[Option<u8>; 256]>,
    squeeze: Box<[bool; 256]>,
    last: Option<u8>,
}

impl Filter for Tr {
    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize {
        for byte in bytes {
            let Some(byte) = self.map[usize::from(*byte)] else { continue };
            if self.squeeze[usize::from(byte)] && self.last == Some(byte) {
                continue;
            }
            self.last = Some(byte);
            output.out.push(byte);
        }
        bytes.len()
    }
}
