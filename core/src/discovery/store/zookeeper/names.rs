//! Names of services and addresses as names of nodes, and back.
//!
//! ZooKeeper refuses `.` and `..`, U+0000 to U+001F, U+007F to U+009F, U+D800 to U+F8FF (so everything outside of the basic
//! plane, for it counts in UTF-16), and U+FFF0 to U+FFFF. What it would refuse is written as its bytes in UTF-8 with percent signs,
//! and so is the percent sign.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

fn is_refused(character: char) -> bool {
    matches!(character, '%' | '/' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

pub(super) fn escape(name: &str) -> Cow<'_, str> {
    let dots = matches!(name, "." | "..");
    if !dots && !name.contains(is_refused) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for character in name.chars() {
        if dots || is_refused(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// The name behind a node's; `None`: it is not one that is written here.
pub(super) fn unescape(node: &str) -> Option<Cow<'_, str>> {
    if !node.contains('%') {
        return (!node.is_empty()).then_some(Cow::Borrowed(node));
    }
    let mut bytes = Vec::with_capacity(node.len());
    let mut rest = node.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            _ => byte,
        });
    }
    let name = String::from_utf8(bytes).ok()?;
    // Only one spelling counts: two nodes are never one instance.
    (escape(&name) == node).then_some(Cow::Owned(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_refused_is_escaped() {
        for (name, node) in [
            ("web", "web"),
            ("[::1]:80", "[::1]:80"),
            ("h\u{e4}\u{df} 1", "h\u{e4}\u{df} 1"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("...", "..."),
            ("50%", "50%25"),
            ("\u{1f600}", "%F0%9F%98%80"),
            ("\u{e000}", "%EE%80%80"),
            ("\u{fffd}", "%EF%BF%BD"),
        ] {
            assert_eq!(escape(name), node);
            assert_eq!(unescape(node).as_deref(), Some(name));
        }
        for odd in ["", "%", "%4", "%zz", "%41", "%2e", "a%2E", "%FF", "%25%"] {
            assert_eq!(unescape(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "\\PC{1,40}") {
            let node = escape(&name);
            let back = unescape(&node);
            prop_assert_eq!(back.as_deref(), Some(&*name));
        }
    }
}
