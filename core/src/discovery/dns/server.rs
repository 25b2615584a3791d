//! What becomes of a question: an answer from the zone, another server's, or a refusal.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::message::{ANY_CLASS, flag, refuse};
use super::recursors::Recursors;
use super::zone::{Zone, is_ours};
use super::{
    Config, DATAGRAM, IN, Query, QueryError, Rcode, SMALL_DATAGRAM, Transport, kind, message,
};
use crate::discovery::Registry;
use crate::id::ConnId;
use crate::time::Instant;

/// One of a runtime's sockets for datagrams, as the runtime numbers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(pub u32);

/// Who has asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// Who sent a datagram to that socket, from there.
    Datagram(SocketId, SocketAddr),
    /// Who is at the other end of that connection.
    Stream(ConnId),
}

impl Asker {
    /// How its question came.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Datagram(..) => Transport::Udp,
            Self::Stream(_) => Transport::Tcp,
        }
    }
}

/// What has become of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Its answer is written.
    Answered,
    /// A recursor is asked: [`Event::Answer`] follows.
    Forwarded,
    /// It is not to be answered.
    Ignored,
}

/// What there is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Send this to a recursor, from a fresh socket that takes nothing from anybody else, and report with
    /// [`Server::progress`] what comes back.
    Ask {
        /// What it is called.
        exchange: u64,
        /// Where to.
        to: SocketAddr,
        /// How: in a stream its length goes in front.
        over: Transport,
        /// The message.
        message: Vec<u8>,
    },
    /// Nobody waits any more for what comes of that exchange.
    Abandon(u64),
    /// The answer to a question that was forwarded.
    Answer(Asker, Vec<u8>),
    /// For the log.
    Warn(String),
}

/// What has come of an exchange with a recursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress<'a> {
    /// A message. If it does not answer the question, the exchange goes on.
    Message(&'a [u8]),
    /// It cannot be reached.
    Failed,
}

/// Answers questions for the zone from a [`Registry`], and others from recursors.
///
/// ```
/// use libswarm::discovery::Registry;
/// use libswarm::discovery::dns::{Asker, Config, Server, SocketId, Verdict};
/// use libswarm::Instant;
///
/// let mut registry = Registry::new();
/// registry.put("web", "10.0.0.1:80", None, 7);
/// let mut server = Server::new(Config::new(42));
///
/// let asker = Asker::Datagram(SocketId(0), "127.0.0.1:4242".parse().unwrap());
/// let query = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x03Web\x09discoverd\0\0\x01\0\x01";
/// let mut answer = Vec::new();
/// let verdict = server.query(Instant::ZERO, asker, query, Some(&registry), &mut answer);
/// assert_eq!(verdict, Verdict::Answered);
/// assert!(answer.starts_with(b"\xab\xcd") && answer.ends_with(&[0, 4, 10, 0, 0, 1]));
/// ```
#[derive(Debug)]
pub struct Server {
    zone: Zone,
    recursors: Recursors,
    config: Config,
}

impl Server {
    /// One that nobody has asked.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let recursors = Recursors::new(&config);
        // Which records are picked can be seen by everybody, so it says nothing of the ids.
        let random = fastrand::Rng::with_seed(recursors.derive(u64::MAX));
        Self { zone: Zone::new(random), recursors, config }
    }

    /// How many services' records are at hand.
    #[cfg(test)]
    pub(super) fn services(&self) -> usize {
        self.zone.services()
    }

    /// How it behaves.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Takes a message; its answer is appended to `out`. `registry` is `None` while it is not known who is there.
    pub fn query(
        &mut self,
        now: Instant,
        asker: Asker,
        message: &[u8],
        registry: Option<&Registry>,
        out: &mut Vec<u8>,
    ) -> Verdict {
        let query = match Query::read(message) {
            Ok(query) => query,
            Err(QueryError::Unanswerable) => return Verdict::Ignored,
            Err(QueryError::Answered(id, flags, rcode)) => {
                refuse(id, flags, rcode, out);
                return Verdict::Answered;
            }
        };
        let transport = asker.transport();
        let question = &query.question;
        let mut flags = 0;
        if self.recursors.are_there() {
            flags |= flag::RECURSION_AVAILABLE;
        }
        let size = room(&query, transport);
        let rcode = if query.edns.is_some_and(|edns| edns.version != 0) {
            Rcode::BadVers
        } else if question.class != IN && question.class != ANY_CLASS
            || matches!(question.kind, kind::AXFR | kind::IXFR | kind::OPT)
        {
            Rcode::Refused
        } else if is_ours(&question.name) {
            match registry {
                None => Rcode::ServFail,
                Some(registry) => {
                    let flags = flags | flag::AUTHORITATIVE;
                    let mut reply = message::Reply::new(&query, flags, size, out);
                    let rcode = self.zone.answer(&query, transport, registry, &mut reply);
                    reply.finish(rcode, DATAGRAM);
                    return Verdict::Answered;
                }
            }
        } else if !self.recursors.are_there() {
            Rcode::Refused
        } else {
            match self.recursors.ask(now, asker, &query) {
                Ok(()) => return Verdict::Forwarded,
                Err(rcode) => rcode,
            }
        };
        message::Reply::new(&query, flags, size, out).finish(rcode, DATAGRAM);
        Verdict::Answered
    }

    /// Takes what has come of an [`Event::Ask`].
    pub fn progress(&mut self, now: Instant, exchange: u64, progress: Progress<'_>) {
        self.recursors.progress(now, exchange, progress);
    }

    /// Has recursors that were waited for long enough followed by the next ones.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.recursors.handle_timeout(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.recursors.poll_timeout()
    }

    /// What there is to be done next.
    pub fn poll(&mut self) -> Option<Event> {
        self.recursors.poll()
    }
}

/// How long an answer may be.
pub(super) fn room(query: &Query, transport: Transport) -> usize {
    usize::from(match (transport, query.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => SMALL_DATAGRAM,
        (Transport::Udp, Some(edns)) => edns.size.clamp(SMALL_DATAGRAM, DATAGRAM),
    })
}
