//! Whether an address can be used: checked again and again, and believed after the second time.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Action, Input, Machine};
use crate::http1::{self, Client, ClientEvent, Framing, Request};
use crate::time::Instant;

/// What an address is asked, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Check {
    /// What is good.
    pub kind: CheckKind,
    /// From the beginning of one check to that of the next. Default 2 s.
    pub interval: Duration,
    /// What one may take. Default 2 s.
    pub timeout: Duration,
    /// So many with the same outcome, one after the other, count. Default 2.
    pub threshold: u32,
}

/// When a check is good.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CheckKind {
    /// A connection can be made.
    Tcp,
    /// `GET` of this path is answered with a status of 200 to 299.
    Http(String),
}

impl Check {
    /// One that connects.
    #[must_use]
    pub const fn tcp() -> Self {
        let two_seconds = Duration::from_secs(2);
        let kind = CheckKind::Tcp;
        Self { kind, interval: two_seconds, timeout: two_seconds, threshold: 2 }
    }

    /// One that asks for `path`, such as `/ping`.
    #[must_use]
    pub fn http(path: impl Into<String>) -> Self {
        Self { kind: CheckKind::Http(path.into()), ..Self::tcp() }
    }
}

/// Checks an address, one connection at a time. Nobody is healthy before that was seen [often enough](Check::threshold).
///
/// ```
/// use libswarm::Instant;
/// use libswarm::discovery::client::{Action, Check, Input, Machine, Monitor};
///
/// let mut monitor = Monitor::new("10.0.0.1:80", Check::tcp(), Instant::ZERO);
/// for nth in 1..=2 {
///     let now = monitor.poll_timeout().unwrap();
///     monitor.handle(now, Input::Timeout);
///     assert!(matches!(monitor.poll(&mut Vec::new()), Some(Action::Connect { conn, .. }) if conn == nth));
///     monitor.handle(now, Input::Connected(nth));
///     assert_eq!(monitor.poll(&mut Vec::new()), Some(Action::Close(nth)));
/// }
/// assert!(monitor.is_healthy());
/// ```
#[derive(Debug)]
pub struct Monitor {
    address: Arc<str>,
    check: Check,
    conn: u64,
    state: State,
    /// When the check that is under way has to be done, or the next one begins.
    due: Instant,
    started: Instant,
    /// How often the last outcome was seen, one after the other.
    streak: u32,
    last: Result<(), String>,
    healthy: bool,
    stopped: bool,
    closing: Option<u64>,
    changes: u64,
}

#[derive(Debug)]
enum State {
    Waits,
    Dial,
    Connecting,
    Asks(Box<Asking>),
}

#[derive(Debug)]
struct Asking {
    http: Client,
    unread: Vec<u8>,
    asked: bool,
}

impl Monitor {
    /// One whose first check begins at once. An address that begins with a colon is one of this machine's own.
    #[must_use]
    pub fn new(address: &str, check: Check, now: Instant) -> Self {
        let address = if address.starts_with(':') {
            alloc::format!("127.0.0.1{address}").into()
        } else {
            address.into()
        };
        Self {
            address,
            check,
            conn: 0,
            state: State::Waits,
            due: now,
            started: now,
            streak: 0,
            last: Err("it was not checked yet".into()),
            healthy: false,
            stopped: false,
            closing: None,
            changes: 0,
        }
    }

    /// Whether the address can be used, as far as is known.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// The outcome of the last check: what was wrong.
    ///
    /// # Errors
    ///
    /// The last check has failed; two of those in a row, with the usual [threshold](Check::threshold), count.
    pub const fn last(&self) -> &Result<(), String> {
        &self.last
    }

    /// No more checks.
    pub fn stop(&mut self) {
        self.stopped = true;
        if matches!(self.state, State::Connecting | State::Asks(_)) {
            self.closing = Some(self.conn);
        }
        self.state = State::Waits;
    }

    fn done(&mut self, now: Instant, outcome: Result<(), String>, is_there: bool) {
        if is_there {
            self.closing = Some(self.conn);
        }
        self.state = State::Waits;
        self.due = now.max(self.started + self.check.interval);
        let same = self.last.is_ok() == outcome.is_ok();
        self.streak = if same { self.streak.saturating_add(1) } else { 1 };
        if self.streak >= self.check.threshold.max(1) && self.healthy != outcome.is_ok() {
            self.healthy = outcome.is_ok();
        }
        self.last = outcome;
        self.changes += 1;
    }

    fn connected(&mut self, now: Instant) {
        match &self.check.kind {
            CheckKind::Tcp => self.done(now, Ok(()), true),
            CheckKind::Http(_) => {
                let http = Client::new(http1::Limits::default());
                let asking = Asking { http, unread: Vec::new(), asked: false };
                self.state = State::Asks(Box::new(asking));
            }
        }
    }

    fn ended(&mut self, now: Instant) {
        let error = "it has ended the connection without an answer".into();
        self.done(now, Err(error), true);
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let State::Asks(asking) = &mut self.state else { return };
        if let Some(outcome) = asking.receive(bytes) {
            self.done(now, outcome, true);
        }
    }
}

impl Asking {
    /// The outcome, once there is one.
    fn receive(&mut self, bytes: &[u8]) -> Option<Result<(), String>> {
        self.unread.extend_from_slice(bytes);
        loop {
            let (taken, event) = match self.http.receive(&self.unread) {
                Ok(received) => received,
                Err(error) => return Some(Err(error.to_string())),
            };
            let status = match event? {
                ClientEvent::Response(head) => head.status(),
                _ => 0,
            };
            self.unread.drain(..taken);
            match status {
                0 => {}
                200..=299 => return Some(Ok(())),
                _ => return Some(Err(alloc::format!("it answers with status {status}"))),
            }
        }
    }
}

impl Machine for Monitor {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        let is_open = matches!(self.state, State::Connecting | State::Asks(_));
        match input {
            Input::Connected(conn) if conn == self.conn && is_open => self.connected(now),
            Input::Received(conn, bytes) if conn == self.conn => self.receive(now, bytes),
            Input::Ended(conn) if conn == self.conn && is_open => self.ended(now),
            Input::Closed(conn, reason) if conn == self.conn && is_open => {
                self.done(now, Err(reason.into()), false);
            }
            _ => {}
        }
        if self.stopped || self.due > now {
            return;
        }
        match self.state {
            State::Waits => {
                (self.state, self.started) = (State::Dial, now);
                self.due = now + self.check.timeout;
            }
            State::Dial | State::Connecting | State::Asks(_) => {
                let timeout = self.check.timeout;
                let is_there = !matches!(self.state, State::Dial);
                let error = alloc::format!("it has not answered within {timeout:?}");
                self.done(now, Err(error), is_there);
            }
        }
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        if let Some(conn) = self.closing.take() {
            return Some(Action::Close(conn));
        }
        match &mut self.state {
            State::Dial => {
                self.conn += 1;
                self.state = State::Connecting;
                let (server, within) = (Arc::clone(&self.address), self.check.timeout);
                Some(Action::Connect { conn: self.conn, server, within })
            }
            State::Asks(asking) if !asking.asked => {
                asking.asked = true;
                let CheckKind::Http(path) = &self.check.kind else { return None };
                let request =
                    Request { method: "GET", target: path, framing: Framing::Empty, hijack: false };
                let host = alloc::format!("Host: {}\r\nConnection: close\r\n", self.address);
                if !asking.http.request(&request, &[host.as_bytes()], out) {
                    let error = alloc::format!("{path:?} is no path that can be asked for");
                    self.done(self.started, Err(error), true);
                    return self.poll(out);
                }
                asking.http.end(out);
                Some(Action::Write(self.conn))
            }
            _ => None,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (!self.stopped).then_some(self.due)
    }

    fn is_over(&self) -> bool {
        self.stopped && self.closing.is_none()
    }

    fn changes(&self) -> u64 {
        self.changes
    }
}
