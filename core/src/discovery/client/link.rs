//! One connection, to one of several servers.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Config, Error, Input};
use crate::rpc;
use crate::time::Instant;

/// Which server is dialed when, and what stands of the connection.
#[derive(Debug)]
pub(super) struct Link {
    servers: Vec<Server>,
    at: usize,
    conn: u64,
    pub(super) state: State,
    /// A connection to be closed.
    pub(super) closing: Option<u64>,
}

#[derive(Debug)]
struct Server {
    name: Arc<str>,
    /// It is not dialed before this.
    rests: Instant,
    /// Why it could not be reached, since a connection came about last.
    failed: Option<String>,
}

#[derive(Debug)]
pub(super) enum State {
    /// A server is to be dialed at that time.
    Rests(Instant),
    /// A server is to be dialed now.
    Dial,
    Connecting,
    Open(Box<Open>),
    /// Nothing is wanted any more.
    Over,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) rpc: rpc::Client,
    unread: Vec<u8>,
    pub(super) writing: bool,
    pub(super) greeted: bool,
    /// The request for the RPC is written.
    pub(super) asked: bool,
}

impl Link {
    pub(super) fn new(config: &Config) -> Self {
        let server = |name: &str| Server { name: name.into(), rests: Instant::ZERO, failed: None };
        let mut servers: Vec<_> = config.servers.iter().map(|name| server(name)).collect();
        if servers.is_empty() {
            servers.push(server(super::SERVER));
        }
        Self { servers, at: 0, conn: 0, state: State::Dial, closing: None }
    }

    /// The server that is connected to, or was last, or will be next.
    pub(super) fn server(&self) -> &Arc<str> {
        &self.servers[self.at].name
    }

    /// The number of the connection that there is, or was last.
    pub(super) const fn conn(&self) -> u64 {
        self.conn
    }

    /// A server that has rested is dialed.
    pub(super) fn wake(&mut self, now: Instant) {
        if let State::Rests(due) = self.state
            && due <= now
        {
            self.state = State::Dial;
        }
    }

    /// Begins a connection, and gives its number.
    pub(super) fn dial(&mut self, now: Instant, config: &Config) -> u64 {
        self.conn += 1;
        self.servers[self.at].rests = now + config.redial;
        self.state = State::Connecting;
        self.conn
    }

    /// Whether an input is of the connection that there is.
    pub(super) fn is_of(&self, input: &Input<'_>) -> bool {
        let (Input::Connected(conn)
        | Input::Received(conn, _)
        | Input::Sent(conn)
        | Input::Ended(conn)
        | Input::Closed(conn, _)) = input
        else {
            return true;
        };
        *conn == self.conn && matches!(self.state, State::Connecting | State::Open(_))
    }

    pub(super) fn open(&mut self, config: &Config) {
        let rpc = rpc::Client::new(config.codec, config.limits.clone());
        let open = Open { rpc, unread: Vec::new(), writing: false, greeted: false, asked: false };
        self.state = State::Open(Box::new(open));
    }

    pub(super) fn greeted(&mut self) {
        if let State::Open(open) = &mut self.state {
            open.greeted = true;
        }
        for server in &mut self.servers {
            server.failed = None;
        }
    }

    pub(super) const fn is_greeted(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.greeted)
    }

    /// The connection is over. The next server is dialed as soon as it may; `is_there` if the connection still has to be
    /// closed. Returns whether the server had greeted.
    pub(super) fn lose(&mut self, now: Instant, reason: &str, is_there: bool) -> bool {
        let was_greeted = self.is_greeted();
        if is_there {
            self.closing = Some(self.conn);
        }
        if !was_greeted {
            self.servers[self.at].failed = Some(reason.to_string());
        }
        let count = self.servers.len();
        // With equal rights the next one of the list.
        let next = (1..=count).map(|step| (self.at + step) % count);
        let next = next.min_by_key(|at| self.servers[*at].rests.max(now));
        self.at = next.unwrap_or(0);
        let due = self.servers[self.at].rests;
        self.state = if due <= now { State::Dial } else { State::Rests(due) };
        was_greeted
    }

    /// The end for good.
    pub(super) fn end(&mut self) {
        if matches!(self.state, State::Connecting | State::Open(_)) {
            self.closing = Some(self.conn);
        }
        self.state = State::Over;
    }

    /// That no server can be reached, if each was tried since a connection came about last.
    pub(super) fn unreachable(&self) -> Option<Error> {
        let failed = self.servers.iter();
        let failed = failed.map(|it| Some((Arc::clone(&it.name), it.failed.clone()?)));
        failed.collect::<Option<_>>().map(Error::Unreachable)
    }

    pub(super) fn opened(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }
}

impl Open {
    /// Takes what has come, and gives the events that it completes.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<rpc::ClientEvent>,
    ) -> Result<(), rpc::Error> {
        let mut joined = core::mem::take(&mut self.unread);
        let input = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let mut at = 0;
        loop {
            let (taken, event) = self.rpc.receive(&input[at..])?;
            at += taken;
            let Some(event) = event else { break };
            events.push(event);
        }
        let rest = input.len() - at;
        if joined.is_empty() {
            self.unread = bytes[at..].to_vec();
        } else {
            joined.copy_within(at.., 0);
            joined.truncate(rest);
            self.unread = joined;
        }
        Ok(())
    }

    /// Why the connection is over, when the server sends nothing more.
    pub(super) fn eof(&self) -> String {
        match self.rpc.eof(self.unread.len()) {
            Ok(()) => "it has ended the connection".into(),
            Err(error) => error.to_string(),
        }
    }
}
