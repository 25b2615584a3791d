//! What containers have written: line by line, with the time, and never more than fits.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::clock::Rfc3339;
use super::failures::invalid;
use super::filters::integer;
use super::versions::Dialect;
use crate::job::{Failure, Job, Stream};

/// Bytes that are kept of one container's output, with what keeping them costs.
const LIMIT: usize = 4 << 20;
/// A line is cut when it gets this long, as the engine's copier does.
const LINE: usize = 16 * 1024;

/// One container's output. The oldest of it goes when there is too much.
#[derive(Default)]
pub(super) struct Log {
    lines: VecDeque<Line>,
    /// How many lines have gone.
    gone: u64,
    held: usize,
    /// What has been written of a line that has no end yet.
    begun: [Vec<u8>; 2],
}

/// One line of output, with its end if it has one.
pub(super) struct Line {
    pub(super) time: Duration,
    pub(super) stream: Stream,
    pub(super) bytes: Box<[u8]>,
}

impl Log {
    /// Adds what was written at that time.
    pub(super) fn write(&mut self, time: Duration, stream: Stream, mut bytes: &[u8]) {
        let nth = usize::from(stream == Stream::Stderr);
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            self.begun[nth].extend_from_slice(line);
            self.cut(nth, time, stream);
            bytes = rest;
        }
        self.begun[nth].extend_from_slice(bytes);
        if self.begun[nth].len() >= LINE {
            self.cut(nth, time, stream);
        }
    }

    /// Says that no more will be written for now: a line that was begun stands as it is.
    pub(super) fn end(&mut self, time: Duration) {
        for (nth, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            if !self.begun[nth].is_empty() {
                self.cut(nth, time, stream);
            }
        }
    }

    fn cut(&mut self, nth: usize, time: Duration, stream: Stream) {
        let line = core::mem::take(&mut self.begun[nth]);
        let pieces = line.len().div_ceil(LINE);
        for (at, piece) in line.chunks(LINE).enumerate() {
            // The rest of a long line that has not ended waits for its end.
            if at + 1 == pieces && pieces > 1 && !piece.ends_with(b"\n") {
                self.begun[nth].extend_from_slice(piece);
                break;
            }
            self.push(Line { time, stream, bytes: piece.into() });
        }
    }

    fn push(&mut self, line: Line) {
        self.held += cost(&line);
        self.lines.push_back(line);
        while self.held > LIMIT {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.held -= cost(&oldest);
            self.gone += 1;
        }
    }

    /// The number of the next line that will be written.
    pub(super) fn end_number(&self) -> u64 {
        self.gone + self.lines.len() as u64
    }

    /// The first line from number `from` on that is still there, and its number.
    pub(super) fn next(&self, from: u64) -> Option<(u64, &Line)> {
        let number = from.max(self.gone);
        let place = usize::try_from(number - self.gone).ok()?;
        self.lines.get(place).map(|line| (number, line))
    }

    /// The number of the first of the last `count` lines that `admit` says yes to.
    pub(super) fn tail(&self, count: u64, admit: impl Fn(&Line) -> bool) -> u64 {
        let mut left = count;
        let mut number = self.end_number();
        for line in self.lines.iter().rev() {
            if left == 0 {
                break;
            }
            number -= 1;
            left -= u64::from(admit(line));
        }
        number
    }
}

const fn cost(line: &Line) -> usize {
    line.bytes.len() + size_of::<Line>()
}

/// What `GET /containers/{id}/logs` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) follow: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) timestamps: bool,
    /// Only the last so many lines.
    pub(super) tail: Option<u64>,
    pub(super) since: Option<Duration>,
    pub(super) until: Option<Duration>,
}

impl Wanted {
    /// Everything that was written, for `attach` with `logs`.
    pub(super) const fn all(stdout: bool, stderr: bool) -> Self {
        Self {
            follow: false,
            stdout,
            stderr,
            timestamps: false,
            tail: None,
            since: None,
            until: None,
        }
    }

    pub(super) fn of(job: &Job, dialect: Dialect) -> Result<Self, Failure> {
        let (stdout, stderr) = (job.flag("stdout"), job.flag("stderr"));
        if !stdout && !stderr {
            return Err(invalid("Bad parameters: you must choose at least one stream"));
        }
        let moment = |key: &str| {
            let text = job.env(key).unwrap_or(Cow::Borrowed(""));
            let nanos = super::events::timestamp(&text).map_err(|words| dialect.invalid(words))?;
            let nanos =
                nanos.filter(|nanos| *nanos > 0).and_then(|nanos| u64::try_from(nanos).ok());
            Ok::<_, Failure>(nanos.map(Duration::from_nanos))
        };
        let tail = match job.env("tail").as_deref() {
            None | Some("" | "all") => None,
            // What is no number means all: the engine asks its log driver for them so.
            Some(text) => integer(text, "Atoi").ok().and_then(|tail| u64::try_from(tail).ok()),
        };
        Ok(Self {
            follow: job.flag("follow"),
            stdout,
            stderr,
            timestamps: job.flag("timestamps"),
            tail,
            since: moment("since")?,
            until: moment("until")?,
        })
    }

    /// Whether a line is among those.
    pub(super) fn admits(&self, line: &Line) -> bool {
        let stream = match line.stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        stream
            && self.since.is_none_or(|since| line.time >= since)
            && self.until.is_none_or(|until| line.time <= until)
    }

    /// The line as it is sent.
    pub(super) fn write(&self, line: &Line) -> Vec<u8> {
        let mut out = Vec::with_capacity(line.bytes.len() + 40);
        if self.timestamps {
            out.extend_from_slice(format!("{} ", Fixed(line.time)).as_bytes());
        }
        out.extend_from_slice(&line.bytes);
        out
    }
}

/// A moment with all nine digits, as log lines have it.
struct Fixed(Duration);

impl core::fmt::Display for Fixed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let seconds = format!("{}", Rfc3339(Duration::from_secs(self.0.as_secs())));
        write!(f, "{}.{:09}Z", seconds.trim_end_matches('Z'), self.0.subsec_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE, Log, Wanted};
    use crate::job::{Job, Stream};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::time::Duration;

    fn lines(log: &Log) -> Vec<String> {
        let mut number = 0;
        let mut lines = Vec::new();
        while let Some((at, line)) = log.next(number) {
            lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
            number = at + 1;
        }
        lines
    }

    #[test]
    fn output_is_kept_by_the_line() {
        let mut log = Log::default();
        log.write(Duration::ZERO, Stream::Stdout, b"one\ntw");
        log.write(Duration::ZERO, Stream::Stderr, b"err\n");
        assert_eq!(lines(&log), ["one\n", "err\n"]);
        log.write(Duration::ZERO, Stream::Stdout, b"o\nthree");
        log.end(Duration::ZERO);
        assert_eq!(lines(&log), ["one\n", "err\n", "two\n", "three"]);
        assert_eq!(log.tail(2, |_| true), 2);
        assert_eq!(log.tail(1, |line| line.stream == Stream::Stderr), 1);
        assert_eq!(log.tail(9, |_| true), 0);
    }

    #[test]
    fn long_lines_are_cut_and_old_ones_go() {
        let mut log = Log::default();
        log.write(Duration::ZERO, Stream::Stdout, &vec![b'x'; LINE + 5]);
        assert_eq!(lines(&log).len(), 1);
        log.end(Duration::ZERO);
        assert_eq!(lines(&log).iter().map(String::len).collect::<Vec<_>>(), [LINE, 5]);
        for _ in 0..1_000 {
            log.write(Duration::ZERO, Stream::Stdout, &vec![b'x'; LINE]);
        }
        assert!(log.held <= super::LIMIT && log.gone > 0);
        assert!(log.next(0).is_some_and(|(number, _)| number == log.gone));
    }

    #[test]
    fn what_is_asked_for_is_read_as_the_engine_reads_it() {
        let job = |env: &[(&str, &str)]| {
            env.iter().fold(Job::new("logs"), |job, (key, value)| job.with_env(*key, *value))
        };
        let dialect = super::super::world::tests::LEGACY;
        let refused = Wanted::of(&job(&[]), dialect).unwrap_err();
        assert_eq!(refused.message, "Bad parameters: you must choose at least one stream");
        let tail =
            |tail| Wanted::of(&job(&[("stdout", "1"), ("tail", tail)]), dialect).unwrap().tail;
        assert_eq!((tail("all"), tail("x"), tail("3"), tail("-1")), (None, None, Some(3), None));
        let mut log = Log::default();
        log.write(Duration::new(1_578_301_619, 5), Stream::Stdout, b"hi\n");
        let stamped = Wanted { timestamps: true, ..Wanted::all(true, true) };
        let written = stamped.write(log.next(0).unwrap().1);
        assert_eq!(written, b"2020-01-06T09:06:59.000000005Z hi\n");
    }
}
