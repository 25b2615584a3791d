//! Times as the Docker engine writes them: durations for people, moments in RFC 3339.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::docker::civil;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration in the words of the engine (`HumanDuration` of the Go package units), and how long the thing that is
/// measured must have lasted for the words to change.
///
/// Hours and all above are rounded to half an hour, which makes two years less a few minutes `1 years`, as it does there.
pub(super) fn human(lasted: Duration) -> (String, Duration) {
    let seconds = lasted.as_secs();
    let (minutes, hours) = (seconds / MINUTE, (seconds / (HOUR / 2)).div_ceil(2));
    let (text, until) = match (seconds, minutes, hours) {
        (0, ..) => (String::from("Less than a second"), 1),
        (1, ..) => (String::from("1 second"), 2),
        (2..60, ..) => (format!("{seconds} seconds"), seconds + 1),
        (_, 1, _) => (String::from("About a minute"), 2 * MINUTE),
        (_, 2..60, _) => (format!("{minutes} minutes"), (minutes + 1) * MINUTE),
        (_, _, 1) => (String::from("About an hour"), HOUR + HOUR / 2),
        (_, _, 2..48) => (format!("{hours} hours"), hours * HOUR + HOUR / 2),
        (_, _, 48..336) => (format!("{} days", hours / 24), rounded(hours, 24, 336)),
        (_, _, 336..1440) => (format!("{} weeks", hours / 168), rounded(hours, 168, 1440)),
        (_, _, 1440..17520) => (format!("{} months", hours / 720), rounded(hours, 720, 17520)),
        _ => {
            let years = seconds / DAY / 365;
            (format!("{years} years"), (years + 1).saturating_mul(365 * DAY))
        }
    };
    (text, Duration::from_secs(until))
}

/// When rounded `hours` reach the next multiple of `unit`, or `end` if that comes first.
const fn rounded(hours: u64, unit: u64, end: u64) -> u64 {
    let next = (hours / unit + 1) * unit;
    let next = if next < end { next } else { end };
    next * HOUR - HOUR / 2
}

/// A moment, as time since the Unix epoch, written as Go writes `RFC3339Nano` in UTC: `2020-01-06T09:06:59.46187639Z`.
pub(super) struct Rfc3339(pub(super) Duration);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = civil(seconds / DAY);
        let (hour, minute, second) =
            (seconds % DAY / HOUR, seconds % HOUR / MINUTE, seconds % MINUTE);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let nanos = format!("{:09}", self.0.subsec_nanos());
        match nanos.trim_end_matches('0') {
            "" => f.write_str("Z"),
            digits => write!(f, ".{digits}Z"),
        }
    }
}

/// Reads a moment that RFC 3339 allows, from 1970 on, to the nanosecond.
pub(super) fn parse_rfc3339(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let (zone_at, sign) = match rest.find(['Z', 'z', '+', '-'])? {
        at if matches!(rest.as_bytes()[at], b'Z' | b'z') => (at, 0),
        at => (at, if rest.as_bytes()[at] == b'+' { -1 } else { 1 }),
    };
    let (time, zone) = (&rest[..zone_at], &rest[zone_at + 1..]);
    let fields = |text: &str, by: char, width: &[usize]| -> Option<[u32; 3]> {
        let mut numbers = [0; 3];
        let mut parts = text.split(by);
        for (number, width) in numbers.iter_mut().zip(width) {
            let part = parts.next().filter(|part| part.len() == *width)?;
            *number = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())??;
        }
        parts.next().is_none().then_some(numbers)
    };
    let [year, month, day] = fields(date, '-', &[4, 2, 2])?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = fields(clock, ':', &[2, 2, 2])?;
    let [zone_hours, zone_minutes, _] = match (sign, zone) {
        (0, "") => [0; 3],
        (0, _) => return None,
        (_, zone) => fields(zone, ':', &[2, 2])?,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let in_range = year >= 1970
        && (1..=days_of_month).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && zone_hours < 24
        && zone_minutes < 60
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit());
    if !in_range {
        return None;
    }
    // Months begin with March, so that the leap day is the last of the year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day;
    let days = u64::from(days).checked_sub(719_469)?;
    let seconds =
        days * DAY + u64::from(hour) * HOUR + u64::from(minute) * MINUTE + u64::from(second);
    let offset = i64::from(zone_hours * 3600 + zone_minutes * 60) * sign;
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(Duration::new(seconds.checked_add_signed(offset)?, nanos))
}

impl serde::Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, HOUR, MINUTE, Rfc3339, human, parse_rfc3339};
    use alloc::string::ToString;
    use core::time::Duration;
    use proptest::prelude::*;

    #[test]
    fn durations_read_as_the_engine_writes_them() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (2, "2 seconds"),
            (59, "59 seconds"),
            (MINUTE, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * MINUTE + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + HOUR / 2 - 1, "About an hour"),
            (HOUR + HOUR / 2, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY - HOUR / 2 - 1, "47 hours"),
            (2 * DAY - HOUR / 2, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (720 * DAY, "24 months"),
            (2 * 365 * DAY - 1, "1 years"),
            (2 * 365 * DAY, "2 years"),
            (3 * 365 * DAY, "3 years"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)).0, text, "{seconds} s");
        }
    }

    #[test]
    fn the_end_of_time_has_words_too() {
        assert_eq!(human(Duration::MAX).0, "584942417355 years");
    }

    #[test]
    fn moments_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_578_301_619_461_876_391, "2020-01-06T09:06:59.461876391Z"),
            (1_578_301_619_460_000_000, "2020-01-06T09:06:59.46Z"),
            (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Rfc3339(Duration::from_nanos(nanos)).to_string(), text);
        }
    }

    #[test]
    fn moments_are_read_as_rfc_3339_has_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00z", Some(951_782_400)),
            ("2020-01-06T10:36:59.5+01:30", Some(1_578_301_619)),
            ("2020-01-06t08:06:59-01:00", Some(1_578_301_619)),
            ("1970-01-01T00:00:00+01:00", None),
            ("2001-02-29T00:00:00Z", None),
            ("2020-13-01T00:00:00Z", None),
            ("2020-1-06T00:00:00Z", None),
            ("2020-01-06T00:00:00", None),
            ("2020-01-06T00:00:00.Z", None),
            ("2020-01-06T00:00:00Z0", None),
            ("2020-01-06 00:00:00Z", None),
            ("\u{e9}T\u{e9}Z", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text).map(|moment| moment.as_secs()), seconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(nanos: u64) {
            let moment = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_rfc3339(&Rfc3339(moment).to_string()), Some(moment));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9TZ:.+-]{0,40}") {
            let _ = parse_rfc3339(&text);
        }

        #[test]
        fn words_change_exactly_when_they_say(seconds in 0..5 * 365 * DAY) {
            let (text, until) = human(Duration::from_secs(seconds));
            prop_assert!(until > Duration::from_secs(seconds));
            prop_assert_eq!(human(until - Duration::from_nanos(1)).0, text.as_str());
            prop_assert_ne!(human(until).0, text);
        }
    }
}
