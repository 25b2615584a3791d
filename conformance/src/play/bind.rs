//! What the target chose for itself: ids, digests, addresses, times. Each is bound where it first appears and must be the
//! same wherever the recording has the same.

use std::collections::BTreeMap;

/// What the target has in place of what was recorded.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    there: BTreeMap<String, String>,
    back: BTreeMap<String, String>,
}

/// A piece of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Piece<'a> {
    /// Must be the same.
    Text(&'a str),
    /// An id or a digest, whole or short: at least twelve hex digits.
    Hex(&'a str),
    /// An IPv4 address, a MAC address.
    Address(&'a str),
    /// A time of day; Go's zero time is another thing.
    Time(bool),
}

/// As short as docker ever cuts an id.
const SHORT: usize = 12;

impl Names {
    /// Whether the two texts are the same but for what the target may choose. What is new is bound.
    pub(super) fn same_text(&mut self, recorded: &str, came: &str) -> bool {
        if recorded == came && pieces(recorded).iter().all(|piece| matches!(piece, Piece::Text(_)))
        {
            return true;
        }
        let (ours, theirs) = (pieces(recorded), pieces(came));
        ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(ours, theirs)| match (ours, theirs) {
                (Piece::Hex(ours), Piece::Hex(theirs)) => self.same_id(ours, theirs),
                (Piece::Address(ours), Piece::Address(theirs)) => self.bind(ours, theirs),
                (ours, theirs) => ours == theirs,
            })
    }

    fn same_id(&mut self, recorded: &str, came: &str) -> bool {
        recorded.len() == came.len()
            && self.bind(&recorded[..SHORT], &came[..SHORT])
            && (recorded.len() == SHORT || self.bind(recorded, came))
    }

    /// Binds one to the other. False if either is bound to something else.
    pub(super) fn bind(&mut self, recorded: &str, came: &str) -> bool {
        match (self.there.get(recorded), self.back.get(came)) {
            (None, None) => {
                self.there.insert(recorded.to_owned(), came.to_owned());
                self.back.insert(came.to_owned(), recorded.to_owned());
                true
            }
            (Some(there), _) => there == came,
            (None, Some(_)) => false,
        }
    }

    /// The text with the target's names in place of the recorded ones.
    #[must_use]
    pub(super) fn translate(&self, recorded: &str) -> String {
        let mut text = String::with_capacity(recorded.len());
        for (word, rest) in words(recorded) {
            match self.there.get(word).or_else(|| self.short(word)) {
                // Of a prefix that only the client has cut.
                Some(there) if there.len() > word.len() && is_hex(word) => {
                    text.push_str(&there[..word.len()]);
                }
                Some(there) => text.push_str(there),
                None => text.push_str(word),
            }
            text.push_str(rest);
        }
        text
    }

    /// A longer id that begins with this.
    fn short(&self, word: &str) -> Option<&String> {
        if word.len() < 4 || !is_hex(word) || word.len() == 64 {
            return None;
        }
        let (full, there) = self.there.range(word.to_owned()..).next()?;
        (full.starts_with(word) && is_hex(full)).then_some(there)
    }
}

/// The ids in a text, as short as docker cuts them.
pub(super) fn ids(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Hex(id) => Some(&id[..SHORT]),
        _ => None,
    })
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Words, each with what stands between it and the next.
fn words(text: &str) -> Vec<(&str, &str)> {
    let (bytes, mut all, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let word = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        let mut rest = bytes[at + word..].iter().take_while(|byte| !is_word(**byte)).count();
        if word == 0 && rest == 0 {
            rest = 1;
        }
        // What is not ASCII is no word, so that both ends are ends of characters.
        all.push((&text[at..at + word], &text[at + word..at + word + rest]));
        at += word + rest;
    }
    all
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (bytes, mut all, mut at, mut plain) = (text.as_bytes(), Vec::new(), 0, 0);
    while at < bytes.len() {
        if at > 0 && is_word(bytes[at - 1]) {
            at += 1;
            continue;
        }
        let rest = &text.as_bytes()[at..];
        let (length, piece) = if let Some((length, zero)) = time(rest) {
            (length, Piece::Time(zero))
        } else if let Some(length) = address(rest) {
            (length, Piece::Address(&text[at..at + length]))
        } else {
            let word = rest.iter().take_while(|byte| is_word(**byte)).count();
            if word < SHORT || !is_hex(&text[at..at + word]) {
                at += word.max(1);
                continue;
            }
            (word, Piece::Hex(&text[at..at + word]))
        };
        if plain < at {
            all.push(Piece::Text(&text[plain..at]));
        }
        all.push(piece);
        at += length;
        plain = at;
    }
    if plain < bytes.len() {
        all.push(Piece::Text(&text[plain..]));
    }
    all
}

/// `2026-11-22T04:47:27.123Z` and the like; whether it is Go's zero time.
fn time(bytes: &[u8]) -> Option<(usize, bool)> {
    let form = b"0000-00-00T00:00:00";
    let head = bytes.get(..form.len())?;
    let fits = head
        .iter()
        .zip(form)
        .all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form });
    if !fits {
        return None;
    }
    let mut length = form.len();
    if bytes.get(length) == Some(&b'.') {
        length += 1 + bytes[length + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }
    match bytes.get(length) {
        Some(b'Z') => length += 1,
        Some(b'+' | b'-') if bytes.len() >= length + 6 => length += 6,
        _ => return None,
    }
    Some((length, head.starts_with(b"0001-01-01")))
}

fn address(bytes: &[u8]) -> Option<usize> {
    let mac = bytes.get(..17).is_some_and(|mac| {
        mac.iter()
            .enumerate()
            .all(|(nth, byte)| if nth % 3 == 2 { *byte == b':' } else { byte.is_ascii_hexdigit() })
    });
    if mac {
        return Some(17);
    }
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let text = std::str::from_utf8(&bytes[..length]).ok()?.trim_end_matches('.');
    text.parse::<std::net::Ipv4Addr>().ok()?;
    // These are nobody's choice.
    (!matches!(text, "0.0.0.0" | "127.0.0.1")).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "6c72e2fe7e3c5f2f0a3e8e5b7d1a9c4b2f6e8d0c1b3a5f7e9d2c4b6a8f0e1d3c";
    const B: &str = "0f72e2fe7e3c5f2f0a3e8e5b7d1a9c4b2f6e8d0c1b3a5f7e9d2c4b6a8f0e1d3c";

    #[test]
    fn an_id_is_bound_where_it_first_appears() {
        let mut names = Names::default();
        assert!(names.same_text(&format!("/c/{A}/json"), &format!("/c/{B}/json")));
        assert!(names.same_text(&A[..12], &B[..12]));
        assert!(!names.same_text(&A[..12], &A[..12]), "it is another one now");
        assert!(!names.same_text(A, &B.replace("d3c", "d3d")));
        assert!(!names.same_text(&format!("/c/{A}/json"), &format!("/d/{B}/json")));
        assert_eq!(
            names.translate(&format!("POST /containers/{A}/start?x={}", &A[..12])),
            format!("POST /containers/{B}/start?x={}", &B[..12])
        );
        assert_eq!(
            names.translate("GET /containers/6c72e2/json é"),
            "GET /containers/0f72e2/json é"
        );
        let mut short_first = Names::default();
        assert!(short_first.same_text(&A[..12], &B[..12]) && !short_first.same_text(A, A));
    }

    #[test]
    fn times_and_addresses_are_the_targets_own() {
        let mut names = Names::default();
        for (one, other, same) in [
            ("at 2026-11-22T04:47:27.123456789Z", "at 2025-01-02T03:04:05Z", true),
            ("at 2026-11-22T04:47:27Z", "at 0001-01-01T00:00:00Z", false),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", true),
            ("172.17.0.2/16", "10.88.0.5/16", true),
            ("172.17.0.2", "10.88.0.6", false),
            ("02:42:ac:11:00:02", "1e:f1:00:00:00:09", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("1.2.3", "1.2.4", false),
            ("5 apples", "6 apples", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(names.same_text(one, other), same, "{one} {other}");
        }
    }
}
