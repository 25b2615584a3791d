//! Between the node and everybody else: what is said takes its time, comes in pieces, or not at all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use libswarm::backend::Registry;
use libswarm::job::Engine;
use libswarm::node::{Action, CloseReason, Config, Input};
use libswarm::{ConnId, Instant, Node};

use super::Counts;
use crate::random::Random;

/// What happens next to somebody.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Happens {
    /// That client does its next thing.
    Act(usize),
    /// The node wants a connection to an engine.
    Connect(ConnId),
    /// The node's bytes have come.
    Got(ConnId, Vec<u8>),
    /// The node's half has ended.
    End(ConnId),
    /// The node has closed it.
    Closed(ConnId, Why),
    /// An engine goes on with its answer.
    Say(ConnId),
}

/// An order, so that a heap can hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Why(pub(super) CloseReason);

impl Why {
    pub(super) const fn is_reset(self) -> bool {
        self.0.is_reset()
    }
}

impl PartialOrd for Why {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Why {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_string().cmp(&other.0.to_string())
    }
}

/// What the node is told.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Tell {
    Somebody(Happens),
    /// The next piece of that peer's, if the node reads.
    Next(ConnId),
    Done(ConnId),
    WriteFailed(ConnId),
    Broken(ConnId),
}

/// What comes from a peer passes to another one, not to the node.
struct Splice {
    to: ConnId,
    left: Option<u64>,
    passed: u64,
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// A peer's end of a connection.
#[derive(Default)]
struct End {
    out: VecDeque<(Duration, Piece)>,
    granted: bool,
    splice: Option<Splice>,
    /// Pieces have been asked for and are under way.
    waking: bool,
    /// The last byte written for it arrives then: nothing overtakes it.
    arrives: Duration,
    /// How long it takes to read what it gets.
    slow: Duration,
    gone: bool,
    /// It reads nothing more, but what it has said still comes.
    deaf: bool,
    ended: bool,
}

pub(super) struct Network {
    pub(super) node: Node,
    pub(super) now: Instant,
    pub(super) random: Random,
    pub(super) counts: Counts,
    ends: BTreeMap<ConnId, End>,
    due: BinaryHeap<Reverse<(Duration, u64, Tell)>>,
    order: u64,
    tell: bool,
    /// Bytes that the node was given, and bytes that it gave.
    taken: usize,
    given: usize,
    /// By connection, how much the node has got.
    heard: BTreeMap<ConnId, usize>,
}

/// A network's usual delays, in milliseconds: none, or some.
const DELAYS: [u64; 8] = [0, 0, 0, 0, 1, 3, 20, 150];

impl Network {
    pub(super) fn new(mut random: Random, forwards: bool, tell: bool) -> Self {
        let line = if forwards {
            "forward --connect-timeout 3 unix://engine.sock"
        } else {
            "simulator web db"
        };
        let (name, backend) = Registry::standard().make(line).expect("the line is right");
        let mut engine = Engine::new(random.bits());
        engine.push(name, backend);
        let mut config = Config::default();
        config.splice = random.one_in(2);
        Self {
            node: Node::new(config, engine),
            now: Instant::ZERO,
            random,
            counts: Counts::new(),
            ends: BTreeMap::new(),
            due: BinaryHeap::new(),
            order: 0,
            tell,
            taken: 0,
            given: 0,
            heard: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
        self.say(|| kind.to_owned());
    }

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.tell {
            println!("{:>10.3} s  {}", self.now.since_epoch().as_secs_f64(), what());
        }
    }

    pub(super) fn held(&self) -> usize {
        self.taken.saturating_sub(self.given)
    }

    /// How much the node has got on that connection.
    pub(super) fn heard(&self, conn: ConnId) -> usize {
        self.heard.get(&conn).copied().unwrap_or_default()
    }

    fn push(&mut self, after: Duration, what: Tell) {
        self.order += 1;
        self.due.push(Reverse((self.now.since_epoch() + after, self.order, what)));
    }

    pub(super) fn delay(&mut self) -> Duration {
        let delay = self.random.pick(&DELAYS);
        if delay > 0 {
            self.count("network: delays");
        }
        Duration::from_millis(delay)
    }

    /// Lets that happen after some time.
    pub(super) fn later(&mut self, after: Duration, what: Happens) {
        self.push(after, Tell::Somebody(what));
    }

    /// A client's connection.
    pub(super) fn connect(&mut self) -> ConnId {
        let id = self.node.accept(self.now).expect("there is room");
        self.ends.insert(id, End::default());
        self.act();
        id
    }

    /// The engine takes the connection that the node wants.
    pub(super) fn accept(&mut self, conn: ConnId) {
        self.ends.insert(conn, End::default());
        self.handle(Input::Connected(conn));
    }

    pub(super) fn refuse(&mut self, conn: ConnId) {
        self.handle(Input::ConnectFailed(conn, "nobody is there"));
    }

    /// Sends in pieces; each takes its time, and none overtakes another.
    pub(super) fn send(&mut self, conn: ConnId, mut bytes: &[u8]) {
        let whole = self.random.one_in(2);
        let mut at = self.now.since_epoch();
        while !bytes.is_empty() {
            let most = if whole { 64 * 1024 } else { self.random.pick(&[1, 7, 100, 5000]) };
            let length = if whole { most } else { 1 + self.random.below(most) }.min(bytes.len());
            if length < bytes.len() {
                self.count("network: splits");
            }
            at += self.delay();
            let Some(end) = self.ends.get_mut(&conn) else { return };
            at = at.max(end.out.back().map_or(Duration::ZERO, |(at, _)| *at));
            end.out.push_back((at, Piece::Bytes(bytes[..length].to_vec())));
            bytes = &bytes[length..];
        }
        self.wake(conn);
    }

    pub(super) fn end(&mut self, conn: ConnId) {
        let now = self.now.since_epoch();
        if let Some(end) = self.ends.get_mut(&conn) {
            let at = end.out.back().map_or(now, |(at, _)| *at).max(now);
            end.out.push_back((at, Piece::End));
        }
        self.wake(conn);
    }

    /// The peer is gone, and what it was about to say with it.
    pub(super) fn cut(&mut self, conn: ConnId) {
        if let Some(end) = self.ends.get_mut(&conn).filter(|end| !end.gone) {
            end.gone = true;
            end.out.clear();
            self.push(Duration::ZERO, Tell::Broken(conn));
        }
    }

    /// Closes after what was sent before.
    pub(super) fn close(&mut self, conn: ConnId) {
        self.end(conn);
        if self.random.one_in(2)
            && let Some(end) = self.ends.get_mut(&conn)
        {
            end.deaf = true;
        }
        let last = self.ends.get(&conn).and_then(|end| end.out.back()).map(|(at, _)| *at);
        let after = last.map_or(Duration::ZERO, |at| at.saturating_sub(self.now.since_epoch()));
        self.push(after + Duration::from_millis(500), Tell::Broken(conn));
    }

    /// From now on that peer takes so long to read what it gets.
    pub(super) fn slow(&mut self, conn: ConnId, by: Duration) {
        if let Some(end) = self.ends.get_mut(&conn) {
            end.slow = by;
        }
    }

    fn wake(&mut self, conn: ConnId) {
        let now = self.now.since_epoch();
        let Some(end) = self.ends.get_mut(&conn) else { return };
        let Some((at, _)) = end.out.front() else { return };
        if end.granted && !end.waking && !end.gone {
            end.waking = true;
            let after = at.saturating_sub(now);
            self.push(after, Tell::Next(conn));
        }
    }

    /// What happens next to somebody who is not the node, if it is before the world's end.
    pub(super) fn next(&mut self, life: Duration) -> Option<Happens> {
        loop {
            let due = self.due.peek().map(|Reverse((at, ..))| *at);
            let timer = self.node.poll_timeout().map(Instant::since_epoch);
            let next = due.into_iter().chain(timer).min().filter(|at| *at <= life)?;
            self.now = self.now.max(Instant::new(next));
            if timer.is_some_and(|timer| due.is_none_or(|due| timer <= due)) {
                self.handle(Input::Timeout);
                continue;
            }
            let Reverse((_, _, what)) = self.due.pop()?;
            match what {
                Tell::Somebody(what) => return Some(what),
                Tell::Done(conn) => {
                    self.say(|| format!("{conn} done"));
                    self.handle(Input::Done(conn));
                }
                Tell::WriteFailed(conn) => self.handle(Input::WriteFailed(conn)),
                Tell::Broken(conn) => {
                    if let Some(end) = self.ends.get_mut(&conn) {
                        end.gone = true;
                    }
                    self.handle(Input::Broken(conn));
                }
                Tell::Next(conn) => self.deliver(conn),
            }
        }
    }

    fn deliver(&mut self, conn: ConnId) {
        let Some(end) = self.ends.get_mut(&conn) else { return };
        end.waking = false;
        if !end.granted || end.gone {
            return;
        }
        if end.splice.is_some() {
            self.pass(conn);
            return self.wake(conn);
        }
        match end.out.pop_front() {
            Some((_, Piece::Bytes(bytes))) => {
                end.granted = false;
                self.taken += bytes.len();
                *self.heard.entry(conn).or_default() += bytes.len();
                self.say(|| {
                    format!(
                        "{conn} > {:?}",
                        String::from_utf8_lossy(&bytes[..bytes.len().min(100)])
                    )
                });
                self.handle(Input::Received(conn, &bytes));
            }
            Some((_, Piece::End)) => {
                end.granted = false;
                self.say(|| format!("{conn} > ends"));
                self.handle(Input::PeerShutdown(conn));
            }
            None => {}
        }
        self.wake(conn);
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.act();
    }

    fn act(&mut self) {
        let mut out = Vec::new();
        loop {
            out.clear();
            let Some(action) = self.node.poll(&mut out) else { return };
            match action {
                Action::Read(conn) => {
                    if let Some(end) = self.ends.get_mut(&conn) {
                        assert!(!end.granted, "{conn} is granted two reads at once");
                        end.granted = true;
                    }
                    self.wake(conn);
                }
                Action::Write { conn, length } => {
                    assert!(length > 0 && length == out.len(), "{conn} is written nothing");
                    self.given += length;
                    self.say(|| {
                        format!(
                            "{conn} < {:?}",
                            String::from_utf8_lossy(&out[..out.len().min(100)])
                        )
                    });
                    let bytes = std::mem::take(&mut out);
                    self.arrives(conn, Happens::Got(conn, bytes), true);
                }
                Action::Shutdown(conn) => {
                    self.say(|| format!("{conn} < ends"));
                    self.arrives(conn, Happens::End(conn), true);
                    if let Some(end) = self.ends.get_mut(&conn) {
                        assert!(!std::mem::replace(&mut end.ended, true), "{conn} is ended twice");
                    }
                }
                Action::Close { conn, why } => {
                    self.say(|| format!("{conn} < closed: {why}"));
                    self.arrives(conn, Happens::Closed(conn, Why(why)), false);
                    self.ends.remove(&conn);
                    let fed = |end: &End| end.splice.as_ref().is_some_and(|s| s.to == conn);
                    if let Some((&from, _)) = self.ends.iter_mut().find(|(_, end)| fed(end)) {
                        self.end_splice(from, false);
                    }
                }
                Action::Splice { from, to, limit } => {
                    assert!(self.ends.contains_key(&to), "{from} feeds nobody");
                    assert!(limit != Some(0), "{from} feeds nothing");
                    let declines = self.random.one_in(6);
                    if let Some(end) = self.ends.get_mut(&from) {
                        assert!(!end.granted, "{from} is granted two reads at once");
                        end.granted = true;
                        end.splice = Some(Splice { to, left: limit, passed: 0 });
                    }
                    if declines {
                        self.count("network: declines a splice");
                        self.end_splice(from, false);
                    }
                    self.wake(from);
                }
                Action::Connect { conn, .. } => {
                    let after = self.delay();
                    self.later(after, Happens::Connect(conn));
                }
                _ => {}
            }
        }
    }

    /// What has come from one peer goes to another.
    fn pass(&mut self, from: ConnId) {
        let Some(end) = self.ends.get_mut(&from) else { return };
        let Some(splice) = &mut end.splice else { return };
        let to = splice.to;
        match end.out.pop_front() {
            Some((at, Piece::Bytes(mut bytes))) => {
                let most = splice.left.and_then(|left| usize::try_from(left).ok());
                if let Some(most) = most.filter(|most| *most < bytes.len()) {
                    end.out.push_front((at, Piece::Bytes(bytes.split_off(most))));
                }
                splice.passed += bytes.len() as u64;
                splice.left = splice.left.map(|left| left - bytes.len() as u64);
                let is_last = splice.left == Some(0);
                *self.heard.entry(from).or_default() += bytes.len();
                self.count("network: splices");
                self.say(|| format!("{from} > {} bytes > {to}", bytes.len()));
                if self.ends.get(&to).is_some_and(|end| end.gone || end.deaf) {
                    self.count("network: writes that fail");
                    self.push(Duration::ZERO, Tell::WriteFailed(to));
                    return self.spliced(from, false);
                }
                self.arrives(to, Happens::Got(to, bytes), false);
                if is_last || self.random.one_in(10) {
                    self.spliced(from, false);
                }
            }
            Some((_, Piece::End)) => {
                self.say(|| format!("{from} > ends"));
                self.spliced(from, true);
            }
            None => {}
        }
    }

    fn spliced(&mut self, from: ConnId, eof: bool) {
        self.end_splice(from, eof);
        self.act();
    }

    fn end_splice(&mut self, from: ConnId, eof: bool) {
        let Some(end) = self.ends.get_mut(&from) else { return };
        let Some(splice) = end.splice.take() else { return };
        end.granted = false;
        let spliced = Input::Spliced { from, bytes: splice.passed, eof };
        self.node.handle(self.now, spliced);
    }

    /// Something of the node's is on its way to a peer, behind all that went before.
    fn arrives(&mut self, conn: ConnId, what: Happens, done: bool) {
        let delay = self.delay();
        let now = self.now.since_epoch();
        let Some(end) = self.ends.get_mut(&conn) else {
            return self.later(Duration::ZERO, what);
        };
        assert!(!done || !end.ended, "{conn} is written to behind its end");
        if done && end.deaf {
            self.count("network: writes that fail");
            return self.push(Duration::ZERO, Tell::WriteFailed(conn));
        }
        let at = (now + delay).max(end.arrives);
        end.arrives = at;
        let (after, slow) = (at - now, end.slow);
        self.later(after, what);
        if done {
            self.push(after + slow, Tell::Done(conn));
        }
    }
}
