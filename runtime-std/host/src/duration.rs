//! Durations on the command line.

use std::time::Duration;

/// Reads `10s`, `500ms`, `1m30s`; a bare number is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => Err("this is too long: write 10s, 500ms or 1m30s".to_owned()),
        };
    }
    humantime::parse_duration(text).map_err(|error| {
        format!("no duration ({error}): write 10s, 500ms or 1m30s (a bare number is seconds)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("2h", 7_200_000),
            ("10", 10_000),
            ("0", 0),
            ("007", 7000),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn bad_durations_say_so() {
        for text in [
            "",
            " ",
            "s",
            "-1s",
            "-1",
            "+1",
            "10x",
            "10 s x",
            "1.5",
            "ten",
            "99999999999999999999",
            "99999999999999999999s",
            "١٠s",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("write 10s, 500ms or 1m30s"), "{text}: {error}");
        }
    }
}
