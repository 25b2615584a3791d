//! Queries of request targets and the escapes in them, read as dockerd reads them.
//!
//! dockerd leaves this to Go's `net/url`, so what that package drops is dropped here too.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use memchr::{memchr, memchr2};

/// The pairs of a query, decoded, in their order.
///
/// A `+` is a space; a key without `=` has the value `""`. As in Go's `url.ParseQuery`, a pair
/// with a `;` in it is dropped, and so is one whose escapes do not decode (see
/// [`percent_decode`]). A key may come more than once; dockerd takes the first.
///
/// Only what is encoded is allocated, and only when the iterator gets there.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')).filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((percent_decode(key, true)?, percent_decode(value, true)?))
    })
}

/// Decodes the escapes (`%2F`) of a part of a request target; borrowed if there are none.
///
/// In a query a `+` stands for a space, in a path for itself: hence `plus_is_space`.
///
/// `None` if a `%` is not followed by two hexadecimal digits, or if the bytes are not UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<Cow<'_, str>> {
    let bytes = text.as_bytes();
    let first = if plus_is_space { memchr2(b'%', b'+', bytes) } else { memchr(b'%', bytes) };
    let Some(first) = first else {
        return Some(Cow::Borrowed(text));
    };
    let (plain, mut rest) = bytes.split_at(first);
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(plain);
    while let [byte, after @ ..] = rest {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let [high, low, after @ ..] = rest else { return None };
                rest = after;
                hex(*high)? << 4 | hex(*low)?
            }
            b'+' if plus_is_space => b' ',
            _ => *byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// A boolean as dockerd reads it: `""`, `0`, `no`, `false` and `none` are false, in any case and
/// with spaces around them; everything else is true.
pub fn boolean(value: &str) -> bool {
    let value = value.trim();
    !["", "0", "no", "false", "none"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{boolean, pairs, percent_decode};
    use alloc::borrow::Cow;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn reads_a_query_as_go_does() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("all=1", &[("all", "1")]),
            ("all=1&limit=2", &[("all", "1"), ("limit", "2")]),
            ("all", &[("all", "")]),
            ("all=", &[("all", "")]),
            ("=1", &[("", "1")]),
            ("=", &[("", "")]),
            ("&&a=1&", &[("a", "1")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=1&a=2", &[("a", "1"), ("a", "2")]),
            ("a+b=c+d", &[("a b", "c d")]),
            ("a%2Bb=%3D%26%3b", &[("a+b", "=&;")]),
            ("a;b=1&c=2", &[("c", "2")]),
            ("a=1;b=2&c=3", &[("c", "3")]),
            ("a=%&b=%4&c=%zz&%=d&e=%41", &[("e", "A")]),
            ("a=%ff&b=%C3%A9", &[("b", "é")]),
            ("filters=%7B%22a%22%3A%7B%22b%22%3Atrue%7D%7D", &[("filters", r#"{"a":{"b":true}}"#)]),
            ("a=1?b=2", &[("a", "1?b=2")]),
        ];
        for (query, expected) in cases {
            let read: Vec<_> = pairs(query).collect();
            let expected: Vec<_> =
                expected.iter().map(|(key, value)| (Cow::from(*key), Cow::from(*value))).collect();
            assert_eq!(read, expected, "{query:?}");
        }
    }

    #[test]
    fn decodes_escapes() {
        for (text, query, path) in [
            ("", Some(""), Some("")),
            ("plain", Some("plain"), Some("plain")),
            ("a+b", Some("a b"), Some("a+b")),
            ("a%2fb%2Fc", Some("a/b/c"), Some("a/b/c")),
            ("+%2B+", Some(" + "), Some("+++")),
            ("%00", Some("\0"), Some("\0")),
            ("%E2%82%AC", Some("€"), Some("€")),
            ("€%20", Some("€ "), Some("€ ")),
            ("%2541", Some("%41"), Some("%41")),
            ("%", None, None),
            ("a%2", None, None),
            ("%+1", None, None),
            ("%g0", None, None),
            ("%0g", None, None),
            ("%é", None, None),
            ("%80", None, None),
            ("%E2%82", None, None),
        ] {
            assert_eq!(percent_decode(text, true).as_deref(), query, "{text:?} in a query");
            assert_eq!(percent_decode(text, false).as_deref(), path, "{text:?} in a path");
        }
    }

    #[test]
    fn what_is_not_encoded_is_borrowed() {
        assert!(matches!(percent_decode("a/b:c", true), Some(Cow::Borrowed("a/b:c"))));
        assert!(matches!(percent_decode("a+b", false), Some(Cow::Borrowed("a+b"))));
    }

    #[test]
    fn reads_booleans_as_dockerd_does() {
        for value in ["", "0", "no", "NO", "false", "False", "none", "None", " ", " false "] {
            assert!(!boolean(value), "{value:?}");
        }
        for value in ["1", "true", "True", "yes", "00", "n", "f", "off", "nothing", "-1"] {
            assert!(boolean(value), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text: String, plus: bool) {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let decoded = percent_decode(&escaped, plus);
            prop_assert_eq!(decoded.as_deref(), Some(&*text));
        }

        #[test]
        fn any_query_is_read(query in prop_oneof![any::<String>(), "[a+%;&=4]{0,16}"]) {
            prop_assert!(pairs(&query).count() <= query.split('&').count());
        }
    }
}
