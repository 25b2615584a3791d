//! Writes JSON as Go's encoder does: safe to be put into HTML.

use alloc::vec::Vec;

use super::read::is_space;

pub(super) fn put_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        let code;
        let escaped: &[u8] = match character {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                code = escape(character as u32);
                &code
            }
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(escaped);
        plain = at + character.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

fn escape(code: u32) -> [u8; 6] {
    let digit = |shift: u32| b"0123456789abcdef"[(code >> shift & 15) as usize];
    [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]
}

pub(super) fn put_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A value's text as Go writes it again: without white space, and safe in HTML.
pub(super) fn compact(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = value;
    while let Some((byte, behind)) = rest.split_first() {
        match *byte {
            b'<' | b'>' | b'&' => out.extend_from_slice(&escape(u32::from(*byte))),
            0xe2 if matches!(behind, [0x80, 0xa8 | 0xa9, ..]) => {
                out.extend_from_slice(&escape(0x2000 + u32::from(behind[1]) - 0x80));
                rest = &behind[2..];
                continue;
            }
            byte if !in_string && is_space(byte) => {}
            byte => out.push(byte),
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        rest = behind;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    #[test]
    fn strings_are_escaped_as_go_s() {
        for (text, json) in [
            ("", "\"\""),
            ("<&>\u{2028}é\u{2029}", "\"\\u003c\\u0026\\u003e\\u2028é\\u2029\""),
            (
                "\"\\\n\r\t\u{8}\u{c}\u{1f}\u{7f}",
                "\"\\\"\\\\\\n\\r\\t\\u0008\\u000c\\u001f\u{7f}\"",
            ),
        ] {
            let mut out = Vec::new();
            put_string(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), json);
        }
    }

    #[test]
    fn ids_are_compacted_as_go_s() {
        for (id, echoed) in [
            ("{ \"x\" : [ 1,\n 2 ] }", "{\"x\":[1,2]}"),
            (
                "\" a \\\" b < \u{2028} \u{2029}\u{202a}\"",
                "\" a \\\" b \\u003c \\u2028 \\u2029\u{202a}\"",
            ),
        ] {
            assert_eq!(String::from_utf8(compact(id.as_bytes())).unwrap(), echoed);
        }
    }

    proptest! {
        #[test]
        fn strings_and_numbers_are_read_back(text in "[\\PC\0-\x1f<>&\u{2028}]{0,20}", number: u64) {
            let mut out = Vec::new();
            put_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            prop_assert_eq!(&compact(&out), &out);
            out.clear();
            put_number(number, &mut out);
            prop_assert_eq!(serde_json::from_slice::<u64>(&out).unwrap(), number);
        }
    }
}
