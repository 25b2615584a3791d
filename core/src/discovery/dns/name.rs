//! Names as they stand in messages: labels of up to 63 bytes, 255 bytes in all (RFC 1035 sections 2.3.4 and 3.1).

use core::fmt::{self, Write as _};

/// The longest name, with the length of each label and the empty one at its end.
const LONGEST: usize = 255;
/// The longest label.
pub(super) const LABEL: usize = 63;
/// A name has no more labels than this, so no need of more pointers either.
const POINTERS: usize = 127;
/// No name stands within a message's header, so no pointer leads there.
const HEADER: usize = 12;

/// A name without its compression, in the spelling that it came in.
#[derive(Clone)]
pub struct Name {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Name {
    /// The name of all names, which has no label.
    pub const ROOT: Self = Self { bytes: [0; LONGEST], length: 1 };

    /// Reads the name that begins at that place of a message, and says where it ends there. `None`: it is none, or its pointers
    /// lead anywhere but backwards.
    #[must_use]
    pub fn read(message: &[u8], mut at: usize) -> Option<(Self, usize)> {
        let mut name = Self::ROOT;
        let (mut length, mut end, mut first, mut pointers) = (0, None, at, 0);
        loop {
            let head = *message.get(at)?;
            match head >> 6 {
                0 => {
                    let label = message.get(at..=at + usize::from(head))?;
                    name.bytes.get_mut(length..length + label.len())?.copy_from_slice(label);
                    length += label.len();
                    at += label.len();
                    if head == 0 {
                        name.length = u8::try_from(length).ok()?;
                        return Some((name, end.unwrap_or(at)));
                    }
                }
                3 => {
                    let target = usize::from(head & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                    pointers += 1;
                    // Only ever further back: so there is an end.
                    if target >= first || target < HEADER || pointers > POINTERS {
                        return None;
                    }
                    end.get_or_insert(at + 2);
                    (at, first) = (target, target);
                }
                _ => return None,
            }
        }
    }

    /// The name with these labels. `None`: one of them is empty or longer than 63 bytes, or all are longer than a name can be.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut name = Self::ROOT;
        let mut length = 0;
        for label in labels {
            if label.is_empty() || label.len() > LABEL {
                return None;
            }
            *name.bytes.get_mut(length)? = label.len() as u8;
            length += 1;
            name.bytes.get_mut(length..length + label.len())?.copy_from_slice(label);
            length += label.len();
        }
        // The empty label at the end, of which the room is a part.
        name.length = u8::try_from(length + 1).ok()?;
        Some(name)
    }

    /// The bytes of a message, not compressed.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Its labels, from the left, without the empty one.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = self.wire();
        core::iter::from_fn(move || {
            let (length, behind) = rest.split_first()?;
            if *length == 0 {
                return None;
            }
            let (label, behind) = behind.split_at(usize::from(*length));
            rest = behind;
            Some(label)
        })
    }

    /// Whether the two are the same name: the case of ASCII letters makes no difference (RFC 4343).
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        // The lengths of labels are below the letters, so they are compared as they are.
        self.wire().eq_ignore_ascii_case(other.wire())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.wire() == other.wire()
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    /// As a zone file has it (RFC 1035 section 5.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 1 {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    b'!'..=b'~' => f.write_char(char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn behind_a_header(bytes: &[u8]) -> Vec<u8> {
        [&[0; HEADER][..], bytes].concat()
    }

    #[test]
    fn a_pointer_leads_backwards() {
        let message = behind_a_header(b"\x03web\x09discoverd\0\x06leader\xc0\x0c\xc0\x1b");
        let (first, at) = Name::read(&message, 12).unwrap();
        assert_eq!((first.to_string(), at), ("web.discoverd.".into(), 27));
        let (second, at) = Name::read(&message, 27).unwrap();
        assert_eq!((second.to_string(), at), ("leader.web.discoverd.".into(), 36));
        // A pointer to a pointer.
        let (third, at) = Name::read(&message, 36).unwrap();
        assert_eq!((third, at), (second, 38));
    }

    #[test]
    fn what_is_no_name_is_none() {
        for bytes in [
            &b""[..],
            b"\x03we",
            b"\x03web",
            b"\xc0",
            // To itself, forwards, to each other, into the header.
            b"\xc0\x0c",
            b"\xc0\x0e\0",
            b"\x01a\xc0\x0c",
            b"\xc0\x00",
            // The reserved kinds of labels.
            b"\x41a\0",
            b"\x80a\0",
        ] {
            assert_eq!(Name::read(&behind_a_header(bytes), 12), None, "{bytes:?}");
        }
        assert_eq!(Name::read(&[], usize::MAX / 2), None);
    }

    #[test]
    fn the_longest_name_has_255_bytes() {
        let label = [b'x'; 63];
        let fits = [&label[..], &label, &label, &label[..61]];
        let name = Name::from_labels(fits).unwrap();
        assert_eq!(name.wire().len(), 255);
        let (read, at) = Name::read(&behind_a_header(name.wire()), 12).unwrap();
        assert_eq!((read, at), (name, 12 + 255));
        assert_eq!(Name::from_labels([&label[..], &label, &label, &label[..62]]), None);
        assert_eq!(Name::from_labels([&[b'x'; 64][..]]), None);
        assert_eq!(Name::from_labels([&b""[..]]), None);
        let mut long = behind_a_header(&[]);
        for _ in 0..4 {
            long.push(63);
            long.extend_from_slice(&label);
        }
        long.push(0);
        assert_eq!(Name::read(&long, 12), None);
    }

    #[test]
    fn a_long_chain_of_pointers_is_refused() {
        let mut message = behind_a_header(b"\0");
        let mut last = 12_u16;
        for _ in 0..200 {
            let at = message.len() as u16;
            message.extend_from_slice(&(0xc000 | last).to_be_bytes());
            last = at;
        }
        assert!(Name::read(&message, 13 + 2 * 126).is_some());
        assert_eq!(Name::read(&message, 13 + 2 * 127), None);
    }

    #[test]
    fn names_are_shown_as_zone_files_have_them() {
        let name = Name::from_labels([&b"a.b"[..], b"c d\\", b"\xff"]).unwrap();
        assert_eq!(name.to_string(), "a\\.b.c\\032d\\\\.\\255.");
        assert_eq!(Name::ROOT.to_string(), ".");
        assert!(
            Name::from_labels([&b"WeB"[..]])
                .unwrap()
                .is(&Name::from_labels([&b"wEb"[..]]).unwrap())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600), at in 0..700_usize) {
            if let Some((name, end)) = Name::read(&bytes, at) {
                prop_assert!(end > at && end <= bytes.len());
                let wire = behind_a_header(name.wire());
                prop_assert_eq!(Name::read(&wire, 12), Some((name.clone(), wire.len())));
                prop_assert_eq!(Name::from_labels(name.labels()), Some(name));
            }
        }

        #[test]
        fn pointers_anywhere_come_to_an_end(
            pieces in prop::collection::vec((0..3_u8, 0..80_u16), 1..60),
        ) {
            let mut message = vec![0; HEADER];
            for (kind, value) in pieces {
                match kind {
                    0 => message.push(0),
                    1 => message.extend_from_slice(b"\x01x"),
                    _ => message.extend_from_slice(&(0xc000 | value).to_be_bytes()),
                }
            }
            for at in 0..message.len() {
                if let Some((name, _)) = Name::read(&message, at) {
                    prop_assert!(name.labels().count() <= 127);
                }
            }
        }
    }
}
