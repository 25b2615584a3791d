//! A recorded session against any engine: the clients say again what they said, when the engine has done what it did before,
//! and what it answers is held against what was recorded.
//!
//! Nothing is compared byte by byte. What an engine chooses (ids, digests, addresses, times) is bound where it first appears
//! and put into what is sent later; what else is free stands in [`free`], with a reason each.
//!
//! ```
//! use libswarm_conformance::play::{Limits, play};
//! use libswarm_conformance::session::Session;
//! use libswarm_conformance::target::Mirror;
//!
//! let text = "swarm-session 1\nname: ping\n\n0.001 1 open\n0.001 1 >\n  | GET /_ping HTTP/1.1\\r\\nHost: docker\\r\\n\\r\\n\n\
//!     0.002 1 <\n  | HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK\n0.003 1 > close\nend 4\n";
//! let session: Session = text.parse().unwrap();
//! play(&session, &mut Mirror::new(&session), Limits::default()).unwrap();
//!
//! let other: Session = text.replace("200 OK", "500 No").parse().unwrap();
//! let difference = play(&session, &mut Mirror::new(&other), Limits::default()).unwrap_err();
//! assert!(difference.contains("200 OK") && difference.contains("500 No"));
//! ```

mod answer;
mod bind;
pub mod free;
mod json;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::session::{Session, Side, What};
use crate::target::{Said, Target};
use crate::wire::{self, Exchange, Message};
use answer::{Kind, kind, reach};
use render::{Known, Script};

pub use answer::route;
pub use json::{LABEL, documents, leaves};
pub use render::path;

/// Whether a target may answer `came` where `recorded` was recorded, at that place of an answer to `route`, as far as one
/// value alone can tell.
#[must_use]
pub fn is_free(route: &str, path: &str, recorded: &Value, came: &Value) -> bool {
    let inside = |at: usize| free::at(route, &path[..at]) == Some(free::How::Whole);
    path.char_indices().any(|(at, char)| char == '.' && inside(at))
        || json::same(&mut bind::Names::default(), route, path, recorded, came).is_ok()
}

/// Whether two texts of a process are the same but for what a target may choose.
#[must_use]
pub fn is_same_text(recorded: &str, came: &str) -> bool {
    bind::Names::default().same_text(recorded, came)
}

/// How a session is played.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So long the target has for what comes next.
    pub step: Duration,
    /// So long are the clients' own pauses at most.
    pub pause: Duration,
    /// What is made gets a label, so that it is known as ours.
    pub label: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { step: Duration::from_secs(10), pause: Duration::from_millis(1500), label: false }
    }
}

/// How far the answers on a connection are.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Progress {
    /// So many are whole.
    whole: usize,
    /// Of the next one: its heads, and its body as a client counts it.
    heads: usize,
    reach: [usize; 3],
    ended: bool,
}

impl Progress {
    fn of(exchanges: &[Exchange], kinds: &[Kind], ended: bool) -> Self {
        let is_whole = |exchange: &Exchange| {
            exchange.response.as_ref().is_some_and(|message| {
                message.complete
                    && (ended || !matches!(message.form, wire::Form::Raw | wire::Form::Close))
            })
        };
        let whole = exchanges.iter().take_while(|exchange| is_whole(exchange)).count();
        let mut progress = Self { whole, ended, ..Self::default() };
        if let Some(exchange) = exchanges.get(whole) {
            progress.heads = exchange.informational.len();
            if let Some(message) = &exchange.response {
                progress.heads += 1;
                let kind = kinds.get(whole).copied().unwrap_or(Kind::Bytes);
                progress.reach = reach(kind, &message.body);
            }
        }
        progress
    }

    /// Whether this is as far as that.
    fn has(&self, wanted: &Self) -> bool {
        let enough = self.heads >= wanted.heads
            && self.reach.iter().zip(wanted.reach).all(|(here, wanted)| *here >= wanted);
        (self.ended || !wanted.ended)
            && (self.whole > wanted.whole || self.whole == wanted.whole && enough)
    }
}

/// One connection: what was recorded, and what has come.
struct Conn {
    script: Script,
    recorded: [Vec<u8>; 2],
    exchanges: Vec<Exchange>,
    kinds: Vec<Kind>,
    /// How much of each side's recorded stream has been played.
    played: [usize; 2],
    sent: Vec<u8>,
    got: Vec<u8>,
    ended: bool,
    broken: Option<String>,
    closed: bool,
    /// The recorded engine ended it while the client had not closed it.
    engine_ended: bool,
    /// What has been compared.
    compared: usize,
}

impl Conn {
    fn new(session: &Session, number: u32, label: bool) -> Self {
        let recorded = [Side::Client, Side::Engine].map(|side| session.stream(number, side));
        let exchanges = wire::exchanges(&recorded[0], &recorded[1]);
        let kinds = exchanges
            .iter()
            .map(|exchange| exchange.response.as_ref().map_or(Kind::Bytes, kind))
            .collect();
        Self {
            script: Script::new(recorded[0].clone(), &exchanges, label),
            recorded,
            exchanges,
            kinds,
            played: [0; 2],
            sent: Vec::new(),
            got: Vec::new(),
            ended: false,
            broken: None,
            closed: false,
            engine_ended: false,
            compared: 0,
        }
    }

    /// What the recorded engine had done by now.
    fn wanted(&self) -> Progress {
        let [client, engine] = &self.recorded;
        let so_far = wire::exchanges(&client[..self.played[0]], &engine[..self.played[1]]);
        Progress::of(&so_far, &self.kinds, self.engine_ended)
    }

    fn came(&self) -> Vec<Exchange> {
        wire::exchanges(&self.sent, &self.got)
    }

    /// Compares the answers that are whole and have not been compared; with `last`, all that there is.
    fn compare(&mut self, known: &mut Known, last: bool) -> Result<(), String> {
        let came = self.came();
        let whole = Progress::of(&came, &self.kinds, self.ended).whole;
        let until = if last { self.exchanges.len() } else { whole.min(self.exchanges.len()) };
        for nth in self.compared..until {
            let recorded = &self.exchanges[nth];
            let nobody = Exchange { response: None, informational: Vec::new(), ..recorded.clone() };
            let theirs = came.get(nth).unwrap_or(&nobody);
            answer::same(&mut known.names, recorded, theirs)
                .map_err(|why| format!("{}: {why}", recorded.request.start))?;
            self.compared = nth + 1;
            if let (Some(ours), Some(theirs)) = (&recorded.response, &theirs.response) {
                learn(known, ours, theirs);
            }
        }
        Ok(())
    }
}

/// Plays a session against a target and compares its answers with the recorded ones.
///
/// # Errors
///
/// Says the first difference: which connection and request, what was recorded and what came.
pub fn play(session: &Session, target: &mut dyn Target, limits: Limits) -> Result<(), String> {
    play_and_tell(session, target, limits).0
}

/// As [`play`]; returns also the ids that the target's answers named.
pub(crate) fn play_and_tell(
    session: &Session,
    target: &mut dyn Target,
    limits: Limits,
) -> (Result<(), String>, BTreeSet<String>) {
    let mut player = Player {
        target,
        limits,
        known: Known::default(),
        conns: session
            .connections()
            .map(|number| (number, Conn::new(session, number, limits.label)))
            .collect(),
    };
    let result = player.all(session);
    let told = player.conns.values().map(|conn| String::from_utf8_lossy(&conn.got));
    let ids =
        told.flat_map(|text| bind::ids(&text).map(str::to_owned).collect::<Vec<_>>()).collect();
    (result, ids)
}

struct Player<'a> {
    target: &'a mut dyn Target,
    limits: Limits,
    known: Known,
    conns: BTreeMap<u32, Conn>,
}

/// Shorter pauses are no decision of a client's.
const NOTICEABLE: Duration = Duration::from_millis(50);
/// So long is waited for what should not come.
const AFTER: Duration = Duration::from_millis(20);

impl Player<'_> {
    fn all(&mut self, session: &Session) -> Result<(), String> {
        // How long the recorded engine took since the client's last act, which any other may take, too.
        let (mut before, mut took) = (0, Duration::ZERO);
        for event in &session.events {
            let gap = Duration::from_millis(event.at.saturating_sub(before));
            let client = !matches!(
                event.what,
                What::Data(Side::Engine, _) | What::End(Side::Engine) | What::Close(Side::Engine)
            );
            if client {
                self.catch_up(took)?;
                self.pause(gap);
                took = Duration::ZERO;
            } else {
                took += gap;
            }
            self.event(event.conn, &event.what)?;
            before = event.at;
        }
        self.catch_up(took)?;
        self.finish()
    }

    /// Does what the client did; takes note of what the engine did.
    fn event(&mut self, number: u32, what: &What) -> Result<(), String> {
        let Some(conn) = self.conns.get_mut(&number) else {
            return Err(format!("connection {number} is used before it is opened"));
        };
        match what {
            What::Open => self.target.open(number)?,
            What::Data(Side::Client, bytes) => {
                let from = conn.played[0];
                conn.played[0] += bytes.len();
                let sent = conn.script.render(from..conn.played[0], &self.known);
                conn.sent.extend_from_slice(&sent);
                self.target.send(number, &sent);
            }
            What::End(Side::Client) => self.target.end(number),
            What::Close(Side::Client) => {
                conn.closed = true;
                self.target.close(number);
            }
            What::Data(Side::Engine, bytes) if !conn.closed => conn.played[1] += bytes.len(),
            What::End(Side::Engine) | What::Close(Side::Engine) => {
                conn.engine_ended |= !conn.closed;
            }
            What::Data(Side::Engine, _) => {}
        }
        Ok(())
    }

    /// The client did nothing for a while.
    fn pause(&mut self, recorded: Duration) {
        if recorded < NOTICEABLE {
            return;
        }
        let until = self.target.now() + recorded.min(self.limits.pause);
        while let Some(left) = until.checked_sub(self.target.now()).filter(|left| !left.is_zero()) {
            if let Some(said) = self.target.next(left) {
                self.hear(said);
            }
        }
    }

    fn hear(&mut self, said: Said) {
        let Some(conn) = self.conns.get_mut(&said.conn()) else { return };
        match said {
            Said::Data(_, bytes) => conn.got.extend_from_slice(&bytes),
            Said::End(_) => conn.ended = true,
            Said::Broken(_, why) => {
                conn.ended = true;
                conn.broken = Some(why);
            }
        }
    }

    /// Waits until the target has done what the recorded engine had done by now.
    fn catch_up(&mut self, took: Duration) -> Result<(), String> {
        let numbers: Vec<u32> = self.conns.keys().copied().collect();
        for number in numbers {
            self.catch_up_on(number, took).map_err(|why| format!("connection {number}, {why}"))?;
        }
        Ok(())
    }

    fn catch_up_on(&mut self, number: u32, took: Duration) -> Result<(), String> {
        let Some(conn) = self.conns.get(&number).filter(|conn| !conn.closed) else { return Ok(()) };
        let wanted = conn.wanted();
        if wanted == Progress::default() {
            return Ok(());
        }
        let limit = self.limits.step + took;
        let until = self.target.now() + limit;
        loop {
            let Some(conn) = self.conns.get_mut(&number) else { return Ok(()) };
            let progress = Progress::of(&conn.came(), &conn.kinds, conn.ended);
            if progress.has(&wanted) {
                break;
            }
            let left = until.saturating_sub(self.target.now());
            if left.is_zero() || conn.ended {
                // What is wrong with what came says more than that nothing more came.
                conn.compare(&mut self.known, false)?;
                return Err(missing(conn, &wanted, &progress, limit));
            }
            if let Some(said) = self.target.next(left) {
                self.hear(said);
            }
        }
        self.conns.get_mut(&number).map_or(Ok(()), |conn| conn.compare(&mut self.known, false))
    }

    fn finish(&mut self) -> Result<(), String> {
        let until = self.target.now() + AFTER;
        while let Some(left) = until.checked_sub(self.target.now()).filter(|left| !left.is_zero()) {
            if let Some(said) = self.target.next(left) {
                self.hear(said);
            }
        }
        for (number, conn) in &mut self.conns {
            conn.compare(&mut self.known, true)
                .map_err(|why| format!("connection {number}, {why}"))?;
            if conn.ended && !conn.engine_ended && !conn.closed {
                return Err(format!(
                    "connection {number}: it was closed, which it was not in the recording"
                ));
            }
            let (came, recorded) = (conn.came().len(), conn.exchanges.len());
            if came > recorded {
                return Err(format!(
                    "connection {number}: {came} answers came and {recorded} were recorded"
                ));
            }
            let more = behind(&conn.came(), &conn.got);
            if more > 0 && behind(&conn.exchanges, &conn.recorded[1]) == 0 {
                return Err(format!(
                    "connection {number}: {more} bytes came behind the last answer, where none were recorded"
                ));
            }
        }
        Ok(())
    }
}

/// How much stands behind the last answer, if it is whole: its client would take that for the beginning of the next one.
fn behind(exchanges: &[Exchange], engine: &[u8]) -> usize {
    let last = exchanges.last().and_then(|exchange| exchange.response.as_ref());
    last.filter(|message| message.complete).map_or(0, |message| engine.len() - message.span.end)
}

/// Larger answers may be sent back.
const LARGE: usize = 1024;

fn learn(known: &mut Known, ours: &Message, theirs: &Message) {
    if ours.body.len() >= LARGE && ours.complete && ours.form != wire::Form::Raw {
        known.bodies.push((ours.body.clone(), theirs.body.clone()));
    }
    let date = |message: &Message| message.header("date").and_then(seconds);
    if let (Some(ours), Some(theirs)) = (date(ours), date(theirs)) {
        let now = theirs - ours;
        known.later = Some((known.later.map_or(now, |(first, _)| first), now));
    }
}

/// Of an HTTP date (RFC 9110 section 5.6.7), the seconds since the Unix epoch.
fn seconds(date: &str) -> Option<i64> {
    let mut words = date.split([' ', ':']).skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i64::try_from(months.iter().position(|name| *name == month)?).ok()?;
    let year: i64 = words.next()?.parse().ok()?;
    // Years that begin in March have their leap day at the end.
    let (years, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (month * 306 + 5) / 10 + day
        - 719_469;
    let clock =
        words.take(3).try_fold(0, |sum, part| Some(sum * 60 + part.parse::<i64>().ok()?))?;
    Some(days * 86_400 + clock)
}

/// What did not come.
fn missing(conn: &Conn, wanted: &Progress, got: &Progress, step: Duration) -> String {
    let exchange = conn.exchanges.get(got.whole.min(wanted.whole));
    let line = exchange.map_or("the end", |exchange| exchange.request.start.as_str());
    let broken = conn.broken.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let seconds = step.as_secs();
    let what = if conn.ended {
        format!("it closed the connection{broken} before")
    } else {
        format!("{seconds} s are not enough for")
    };
    let wish = if got.whole < wanted.whole || got.heads < wanted.heads {
        "the recorded answer".to_owned()
    } else if got.reach != wanted.reach {
        format!(
            "as much of the recorded stream: {:?} were recorded, {:?} came",
            wanted.reach, got.reach
        )
    } else {
        "the end that was recorded".to_owned()
    };
    format!("{line}: {what} {wish}")
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn dates() {
        for (date, at) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Sun, 22 Nov 2026 04:43:57 GMT", 1_795_322_637),
        ] {
            assert_eq!(seconds(date), Some(at), "{date}");
        }
        assert_eq!(seconds("yesterday"), None);
    }
}
