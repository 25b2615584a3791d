//! Bytes as lines of a session file.

use super::generated::Excerpt;

/// Longer lines of text are broken.
const TEXT: usize = 110;
/// A broken line is not much shorter than this if there is no comma.
const SHORT: usize = 40;
const HEX: usize = 32;
/// Units of a repetition are tried up to this length.
const UNIT: usize = 64;
/// A repetition has to save something.
const WORTH: usize = 128;

/// Calls `line` with each line that stands for `bytes`.
pub(super) fn write(bytes: &[u8], line: &mut impl FnMut(String)) {
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        if let Some((from, excerpt)) = Excerpt::around(bytes, start, at) {
            literal(&bytes[start..from], line);
            line(format!("? {} {} {}", hex(&excerpt.name), excerpt.from, excerpt.length));
            at = from + excerpt.length;
            start = at;
            continue;
        }
        let Some((unit, count)) = repetition(&bytes[at..]) else {
            at += 1;
            continue;
        };
        literal(&bytes[start..at], line);
        line(format!("* {count} {}", escape(&bytes[at..at + unit])));
        at += unit * count;
        start = at;
    }
    literal(&bytes[start..], line);
}

/// The length of a unit that `bytes` begin with several times, and how often.
fn repetition(bytes: &[u8]) -> Option<(usize, usize)> {
    (1..=UNIT.min(bytes.len() / 4)).find_map(|unit| {
        let same = bytes[unit..].iter().zip(bytes).take_while(|(next, this)| next == this).count();
        let count = 1 + same / unit;
        (count >= 4 && count * unit >= WORTH).then_some((unit, count))
    })
}

fn literal(bytes: &[u8], line: &mut impl FnMut(String)) {
    for bytes in bytes.split_inclusive(|byte| *byte == b'\n') {
        if is_text(bytes) {
            text(bytes, line);
        } else {
            for bytes in bytes.chunks(HEX) {
                line(format!("= {}", hex(bytes)));
            }
        }
    }
}

/// Whether escaping is shorter than hexadecimal, or there is little to read anyway.
fn is_text(bytes: &[u8]) -> bool {
    let strange = bytes.iter().filter(|byte| !matches!(byte, b' '..=b'~' | b'\t'..=b'\r')).count();
    bytes.len() <= 24 || strange * 3 < bytes.len()
}

fn text(mut bytes: &[u8], line: &mut impl FnMut(String)) {
    while !bytes.is_empty() {
        let cut = if bytes.len() <= TEXT {
            bytes.len()
        } else {
            bytes[SHORT..TEXT]
                .iter()
                .rposition(|byte| *byte == b',')
                .map_or(TEXT, |at| SHORT + at + 1)
        };
        line(format!("| {}", escape(&bytes[..cut])));
        bytes = &bytes[cut..];
    }
}

/// Without a space at the end, which editors remove.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' ' if at + 1 == bytes.len() => text.push_str("\\x20"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`escape`] has made of bytes, back.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'\\') => b'\\',
                Some(b'x') => digits(rest.next(), rest.next())
                    .ok_or("\\x needs two hexadecimal digits behind it")?,
                Some(other) => {
                    return Err(format!(
                        "\\{} is no escape: \\r \\n \\t \\\\ \\xNN are",
                        other.escape_ascii()
                    ));
                }
                None => return Err("a lone \\ at the end of the line".to_owned()),
            },
            b' '..=b'~' => byte,
            other => {
                return Err(format!("the byte \\x{other:02x} has to be escaped"));
            }
        });
    }
    Ok(bytes)
}

pub(super) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{text:?} is not made of pairs of hexadecimal digits");
    text.as_bytes()
        .chunks(2)
        .map(|pair| digits(pair.first().copied(), pair.get(1).copied()).ok_or_else(wrong))
        .collect()
}

fn digits(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}
