//! How Go writes what dockerd puts into an image's history: strings, durations, lists.

use alloc::format;
use alloc::string::String;

/// A string between double quotes (`%q`).
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            c => escape(c, &mut out),
        }
    }
    out.push('"');
    out
}

/// A number as Go writes it where it expects a character (`%q`): between single quotes.
pub(super) fn quoted_number(number: i64) -> String {
    let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let mut out = String::from("'");
    match c {
        '\'' => out.push_str("\\'"),
        c => escape(c, &mut out),
    }
    out.push('\'');
    out
}

fn escape(c: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            out.push_str(&format!("\\x{:02x}", c as u32));
        }
        c => out.push(c),
    }
}

/// Several strings between double quotes in one pair of brackets (`%q`).
pub(super) fn quoted_list(list: &[String]) -> String {
    let mut out = String::from("[");
    for (nth, text) in list.iter().enumerate() {
        if nth > 0 {
            out.push(' ');
        }
        out.push_str(&quoted(text));
    }
    out.push(']');
    out
}

/// A duration of nanoseconds (`1m30s`, `1.5s`, `500ms`, `0s`).
pub(super) fn duration(nanos: i64) -> String {
    let whole = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if whole < 1_000_000_000 {
        let (unit, name) = match whole {
            0 => return "0s".into(),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(whole, unit));
    }
    let (hours, minutes) = (whole / 3_600_000_000_000, whole / 60_000_000_000 % 60);
    let seconds = decimal(whole % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `number / unit`, with as many digits as it needs.
fn decimal(number: u64, unit: u64) -> String {
    let (whole, mut rest) = (number / unit, number % unit);
    if rest == 0 {
        return format!("{whole}");
    }
    let mut digits = unit.ilog10() as usize;
    while rest.is_multiple_of(10) {
        rest /= 10;
        digits -= 1;
    }
    format!("{whole}.{rest:0digits$}")
}

/// Reads a duration as Go's `time.ParseDuration`, in nanoseconds.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    let refused = || format!("time: invalid duration {}", quoted(text));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(refused());
    }
    let mut sum = 0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| refused())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "" => return Err(format!("time: missing unit in duration {}", quoted(text))),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            unit => {
                let (unit, text) = (quoted(unit), quoted(text));
                return Err(format!("time: unknown unit {unit} in duration {text}"));
            }
        };
        rest = &rest[end..];
        sum += number * unit;
    }
    if sum >= i64::MAX as f64 {
        return Err(refused());
    }
    let nanos = sum as i64;
    Ok(if negative { -nanos } else { nanos })
}

#[cfg(test)]
mod tests {
    use super::{duration, parse_duration, quoted, quoted_number};

    #[test]
    fn durations_are_read_and_written() {
        for (nanos, text) in [
            (0, "0s"),
            (5_000_000_000, "5s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_500_000, "1.5ms"),
            (-20, "-20ns"),
        ] {
            assert_eq!((duration(nanos).as_str(), parse_duration(text)), (text, Ok(nanos)));
        }
        for (text, words) in [
            ("1", "time: missing unit in duration \"1\""),
            ("1x", "time: unknown unit \"x\" in duration \"1x\""),
            ("x", "time: invalid duration \"x\""),
            ("99999999999h", "time: invalid duration \"99999999999h\""),
        ] {
            assert_eq!(parse_duration(text), Err(words.into()));
        }
    }

    #[test]
    fn quotes_are_those_of_go() {
        assert_eq!(quoted("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\x01é\"");
        assert_eq!((quoted_number(0), quoted_number(3)), ("'\\x00'".into(), "'\\x03'".into()));
    }
}
