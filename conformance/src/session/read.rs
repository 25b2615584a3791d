//! A session from text.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::generated::Excerpt;
use super::{Event, Session, Side, What, bytes};

/// Why a file is no session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ReadError {}

/// A line of ten bytes can stand for any number; all of a session is held in memory.
const LARGEST: usize = 256 * 1024 * 1024;

impl FromStr for Session {
    type Err = ReadError;

    fn from_str(text: &str) -> Result<Self, ReadError> {
        let mut reader = Reader::default();
        let (mut number, mut part) = (0, Part::First);
        for line in text.lines() {
            number += 1;
            part =
                reader.line(part, line).map_err(|message| ReadError { line: number, message })?;
        }
        let message = match part {
            Part::Done if text.ends_with('\n') => return Ok(reader.session),
            Part::First => "the file is empty".to_owned(),
            _ => "the file is truncated: it has to end with a line `end COUNT`".to_owned(),
        };
        Err(ReadError { line: number.max(1), message })
    }
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Headers,
    Events,
    Done,
}

#[derive(Default)]
struct Reader {
    session: Session,
    conns: BTreeMap<u32, Conn>,
    size: usize,
}

/// Which sides have ended, and which have closed.
#[derive(Default)]
struct Conn {
    ended: [bool; 2],
    closed: [bool; 2],
}

impl Reader {
    fn line(&mut self, part: Part, line: &str) -> Result<Part, String> {
        match part {
            Part::First => match line.strip_prefix("swarm-session ") {
                Some("1") => Ok(Part::Headers),
                Some(version) => {
                    Err(format!("version {version:?} of the format is unknown: this reads 1"))
                }
                None => {
                    Err("this is no session: the first line is not `swarm-session 1`".to_owned())
                }
            },
            Part::Headers if line.is_empty() => Ok(Part::Events),
            Part::Headers => {
                let (key, value) = line.split_once(": ").ok_or_else(|| {
                    format!("{line:?} is no header `key: value`; a blank line ends them")
                })?;
                let value = String::from_utf8(bytes::unescape(value)?)
                    .map_err(|_| "a header's value has to be UTF-8".to_owned())?;
                self.session.headers.push((key.to_owned(), value));
                Ok(Part::Headers)
            }
            Part::Events => match line.strip_prefix("  ") {
                Some(line) => self.data(line).map(|()| Part::Events),
                None => self.event(line),
            },
            Part::Done => Err(format!("{line:?} stands behind the end")),
        }
    }

    fn event(&mut self, line: &str) -> Result<Part, String> {
        self.check_data()?;
        let words: Vec<&str> = line.split(' ').collect();
        if let ["end", count] = words[..] {
            let events = self.session.events.len();
            return if count.parse() == Ok(events) {
                Ok(Part::Done)
            } else {
                Err(format!("the file has {events} events, and its end counts {count}"))
            };
        }
        let [at, conn, ref what @ ..] = words[..] else {
            return Err(format!("{line:?} is no event: SECONDS CONNECTION WHAT"));
        };
        let at = milliseconds(at).ok_or_else(|| format!("{at:?} is no time: write 1.234"))?;
        let last = self.session.events.last().map_or(0, |event| event.at);
        if at < last {
            return Err(format!(
                "it happens before what stands above it, at {}.{:03}",
                last / 1000,
                last % 1000
            ));
        }
        let conn: u32 = conn.parse().map_err(|_| format!("{conn:?} is no connection's number"))?;
        let what = match what {
            ["open"] => What::Open,
            [">"] => What::Data(Side::Client, Vec::new()),
            ["<"] => What::Data(Side::Engine, Vec::new()),
            [">", "end"] => What::End(Side::Client),
            ["<", "end"] => What::End(Side::Engine),
            [">", "close"] => What::Close(Side::Client),
            ["<", "close"] => What::Close(Side::Engine),
            _ => {
                let what = what.join(" ");
                return Err(format!(
                    "{what:?} is none of open, >, <, > end, < end, > close, < close"
                ));
            }
        };
        self.check(conn, &what)?;
        self.session.events.push(Event { at, conn, what });
        Ok(Part::Events)
    }

    /// What happens to a connection has to be possible.
    fn check(&mut self, number: u32, what: &What) -> Result<(), String> {
        let (side, conn) = match what {
            What::Open => {
                let twice = self.conns.insert(number, Conn::default()).is_some();
                return if twice {
                    Err(format!("connection {number} is opened twice"))
                } else {
                    Ok(())
                };
            }
            What::Data(side, _) | What::End(side) | What::Close(side) => {
                let conn = self.conns.get_mut(&number);
                (*side, conn.ok_or_else(|| format!("connection {number} is not open"))?)
            }
        };
        let index = side as usize;
        let late = match what {
            What::Close(_) => conn.closed[index],
            _ => conn.ended[index] || conn.closed[index],
        };
        if late {
            return Err(format!("that side of connection {number} has ended before"));
        }
        conn.ended[index] |= matches!(what, What::End(_));
        conn.closed[index] |= matches!(what, What::Close(_));
        Ok(())
    }

    fn data(&mut self, line: &str) -> Result<(), String> {
        let Some(Event { what: What::Data(_, data), .. }) = self.session.events.last_mut() else {
            return Err("bytes belong below a line that ends with > or <".to_owned());
        };
        let before = data.len();
        match line.split_at_checked(2) {
            Some(("| ", text)) => data.extend(bytes::unescape(text)?),
            Some(("= ", hex)) => data.extend(bytes::unhex(hex)?),
            Some(("* ", rest)) => {
                let (count, unit) =
                    rest.split_once(' ').ok_or("a repetition is written `* COUNT TEXT`")?;
                let unit = bytes::unescape(unit)?;
                let count: usize =
                    count.parse().map_err(|_| format!("{count:?} is no number of repetitions"))?;
                if count.checked_mul(unit.len()).is_none_or(|size| size > LARGEST - self.size) {
                    return Err(format!("a session holds {LARGEST} bytes at most"));
                }
                data.extend(unit.repeat(count));
            }
            Some(("? ", rest)) => {
                let excerpt =
                    excerpt(rest).ok_or("a stand-in is written `? SHA256 FROM LENGTH`")?;
                if excerpt.length > LARGEST - self.size {
                    return Err(format!("a session holds {LARGEST} bytes at most"));
                }
                data.extend(excerpt.bytes().ok_or("no content is that long")?);
            }
            _ => {
                let kinds = "`| text`, `= hex`, `* COUNT text`, `? SHA256 FROM LENGTH`";
                return Err(format!("{line:?} is none of {kinds}"));
            }
        }
        self.size += data.len() - before;
        if self.size > LARGEST {
            return Err(format!("a session holds {LARGEST} bytes at most"));
        }
        Ok(())
    }

    fn check_data(&self) -> Result<(), String> {
        match self.session.events.last() {
            Some(Event { what: What::Data(_, data), .. }) if data.is_empty() => {
                Err("the chunk above has no bytes".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn excerpt(text: &str) -> Option<Excerpt> {
    let [name, from, length] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let name = bytes::unhex(name).ok()?.try_into().ok()?;
    Some(Excerpt { name, from: from.parse().ok()?, length: length.parse().ok()? })
}

fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, rest) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if rest.len() != 3 || !digits(seconds) || !digits(rest) {
        return None;
    }
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(rest.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        text.parse::<Session>().expect_err("it is wrong").to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let head = "swarm-session 1\nname: x\n\n0.001 1 open\n";
        for (rest, line, word) in [
            ("", 4, "truncated"),
            ("end 2\n", 5, "has 1 events"),
            ("end 1", 5, "truncated"),
            ("end 1\nmore\n", 6, "behind the end"),
            ("0.000 1 >\n", 5, "before what stands above"),
            ("1 1 >\n", 5, "no time"),
            ("0.002 2 > end\n", 5, "connection 2 is not open"),
            ("0.002 1 open\n", 5, "opened twice"),
            ("0.002 1 > stop\n", 5, "none of open"),
            ("0.002 x > end\n", 5, "\"x\" is no connection"),
            ("0.002 1 >\nend 2\n", 6, "no bytes"),
            ("  | x\n", 5, "belong below"),
            ("0.002 1 >\n  x\n", 6, "none of `| text`"),
            ("0.002 1 >\n  | a\\q\n", 6, "\\q is no escape"),
            ("0.002 1 >\n  | a\\x1\n", 6, "two hexadecimal"),
            ("0.002 1 >\n  | ä\n", 6, "escaped"),
            ("0.002 1 >\n  = 123\n", 6, "pairs"),
            ("0.002 1 >\n  * many x\n", 6, "\"many\" is no number"),
            ("0.002 1 >\n  * 99999999999 x\n", 6, "at most"),
            ("0.002 1 >\n  ? 12 0 5\n", 6, "`? SHA256 FROM LENGTH`"),
            (&format!("0.002 1 >\n  ? {} 0\n", "00".repeat(32)), 6, "`? SHA256 FROM LENGTH`"),
            (&format!("0.002 1 >\n  ? {} 0 99999999999\n", "00".repeat(32)), 6, "at most"),
            (&format!("0.002 1 >\n  ? {} {} 1\n", "00".repeat(32), u64::MAX), 6, "that long"),
            ("0.002 1 >\n  * 99999999999999999999 x\n", 6, "is no number"),
            ("0.002 1 > end\n0.003 1 >\n", 6, "has ended before"),
            ("0.002 1 > end\n0.003 1 > close\n0.003 1 > close\n", 7, "has ended before"),
        ] {
            let error = error(&format!("{head}{rest}"));
            assert!(
                error.starts_with(&format!("line {line}: ")) && error.contains(word),
                "{rest}: {error}"
            );
        }
        assert!(error("").contains("line 1: the file is empty"));
        assert!(error("GET / HTTP/1.1\n").contains("no session"));
        assert!(error("swarm-session 2\n").contains("version \"2\""));
        assert!(error("swarm-session 1\nname\n").contains("line 2: \"name\" is no header"));
    }

    fn session() -> impl Strategy<Value = Session> {
        let data = prop_oneof![
            prop::collection::vec(any::<u8>(), 1..200),
            "[ -~\r\n\t\\\\,]{1,300}".prop_map(String::into_bytes),
            (prop::collection::vec(any::<u8>(), 1..70), 1..300_usize)
                .prop_map(|(unit, count)| unit.repeat(count)),
            (any::<[u8; 32]>(), 0..500_u64, 1..500_usize).prop_map(|(name, from, length)| {
                Excerpt { name, from, length }.bytes().expect("it is short")
            }),
        ];
        let side = prop_oneof![Just(Side::Client), Just(Side::Engine)];
        let events = prop::collection::vec((0..5000_u64, 1..4_u32, side, data), 0..20);
        (".*", events).prop_map(|(value, chunks)| {
            let mut session = Session::default();
            session.headers.push(("name".to_owned(), value));
            for conn in 1..4 {
                session.events.push(Event { at: 0, conn, what: What::Open });
            }
            let mut at = 0;
            for (later, conn, side, data) in chunks {
                at += later;
                session.events.push(Event { at, conn, what: What::Data(side, data) });
            }
            session.events.push(Event { at, conn: 1, what: What::End(Side::Client) });
            session.events.push(Event { at, conn: 1, what: What::Close(Side::Engine) });
            session.events.push(Event { at, conn: 1, what: What::Close(Side::Client) });
            session
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_again(session in session()) {
            let text = session.to_string();
            prop_assert_eq!(text.parse::<Session>(), Ok(session));
            prop_assert!(text.lines().all(|line| !line.ends_with(' ') || line == "name: "));
        }

        #[test]
        fn any_cut_is_noticed(session in session(), cut in any::<prop::sample::Index>()) {
            let text = session.to_string();
            let cut = cut.index(text.len());
            prop_assert!(text[..cut].parse::<Session>().is_err());
        }

        #[test]
        fn any_edit_is_read_or_refused(session in session(), cut in any::<prop::sample::Index>(), with in "[ -~\n]{0,5}") {
            let mut text = session.to_string();
            let cut = cut.index(text.len());
            text.insert_str(cut, &with);
            if let Ok(session) = text.parse::<Session>() {
                prop_assert_eq!(session.to_string().parse::<Session>(), Ok(session));
            }
        }
    }
}
