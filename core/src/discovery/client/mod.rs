//! The client's side of discovery, as machines without sockets.
//!
//! ```text
//!  program ── register, subscribe ──► Client ── Connect, Write, Close ──► socket
//!  program ◄── ServiceSet, Change ───── │ ◄── Connected, Received, Sent ────┘
//!                                       └─ rpc::Client: one connection, to one of several servers
//! ```
//!
//! A [`Client`] holds one connection to a `discoverd` and everything that a program wants of it. A connection that breaks
//! is made again, to the next server of the list, and what was registered and subscribed comes back by itself. A
//! [`Monitor`] checks whether an address can be used, and a [`Balancer`] chooses one of a service's. They decide; whoever
//! drives them only connects, reads and writes:
//!
//! ```
//! use std::time::Duration;
//!
//! use libswarm::Instant;
//! use libswarm::discovery::client::{Action, Client, Config, Input, Machine};
//! use libswarm::rpc::Codec;
//!
//! let mut config = Config::default();
//! config.servers = vec!["10.0.0.1:1111".into(), "10.0.0.2:1111".into()];
//! config.codec = Codec::Json;
//! let mut client = Client::new(config, Instant::ZERO, 42);
//! let web = client.subscribe(Instant::ZERO, "web", Default::default());
//!
//! let mut out = Vec::new();
//! let Some(Action::Connect { conn, server, .. }) = client.poll(&mut out) else { panic!() };
//! assert_eq!(&*server, "10.0.0.1:1111");
//! client.handle(Instant::ZERO, Input::Connected(conn));
//! assert_eq!(client.poll(&mut out), Some(Action::Write(conn)));
//! assert!(out.starts_with(b"CONNECT /_goRPC_ HTTP/1.0\r\n"));
//! client.handle(Instant::ZERO, Input::Sent(conn));
//! client.handle(Instant::ZERO, Input::Received(conn, b"HTTP/1.0 200 Connected to Go RPC\n\n"));
//!
//! out.clear();
//! assert_eq!(client.poll(&mut out), Some(Action::Write(conn)));
//! assert!(out.starts_with(b"{\"method\":\"Agent.Subscribe\",\"params\":[{\"Name\":\"web\""));
//! let update = b"{\"id\":0,\"result\":{\"Name\":\"web\",\"Addr\":\"a:80\",\"Online\":true,\"Created\":7},\"error\":null}\n";
//! client.handle(Instant::ZERO, Input::Received(conn, update));
//! assert_eq!(client.set(web).unwrap().leader().unwrap().address, "a:80");
//! ```
//!
//! What is promised:
//!
//! - A registration is said again every [`Config::heartbeat`] less a jitter of up to two fifths of it, and at once after a
//!   reconnection.
//! - A call whose answer is lost with its connection is made again where that means the same: registering and subscribing do,
//!   and unregistering does as long as the server can still hold the registration.
//! - After a reconnection a set stays as it was known until the new subscription's marker, which ends those it did not name.
//! - A subscription that fails says its marker before its error: a marker before which nobody was named is believed only
//!   when no error has come for [`DOUBT`]. Otherwise a server that has lost its store would end everybody.
//! - Whoever reads a [watch](Client::watch) slowly holds up nobody, and is told the latest state of each instance.

mod balance;
mod health;
mod link;
mod machine;
mod registration;
mod sets;
#[cfg(test)]
mod tests;
mod watch;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use balance::{Balance, Balancer};
pub use health::{Check, CheckKind, Monitor};
pub use machine::Client;
pub use registration::Registration;
pub use sets::SetId;
pub use watch::{Leaders, WatchId};

use super::TTL;
use crate::rpc;
use crate::time::Instant;

pub use crate::id::RegistrationId;

/// Where clients look for a server that nobody has named.
pub const SERVER: &str = "127.0.0.1:1111";

/// How long the marker of a subscription that has named nobody is doubted: the error of one that fails comes behind it.
pub const DOUBT: Duration = Duration::from_millis(50);

/// How a [`Client`] behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The servers, each as `HOST:PORT`; the first is tried first. Default [`SERVER`] alone, also if it is empty.
    pub servers: Vec<String>,
    /// How messages are written. Default gob, as the original's client does.
    pub codec: rpc::Codec,
    /// How often a registration is said again, at most; up to two fifths less, by chance. Default 5 s, half of [`TTL`].
    pub heartbeat: Duration,
    /// A server is not dialed again sooner than this. Default 1 s.
    pub redial: Duration,
    /// How long a connection may take to come about. Default 5 s.
    pub connect: Duration,
    /// How long a server may be silent that owes an answer, and how long the first answer to what a program asks for may take
    /// over all servers. Default 10 s.
    pub patience: Duration,
    /// Calls that wait for their answers; further ones wait here. Default 64.
    pub calls: usize,
    /// Bytes of the instances of one set. A set that would be larger fails. Default 64 MiB.
    pub set: usize,
    /// Of the connection.
    pub limits: rpc::Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: [SERVER.into()].into(),
            codec: rpc::Codec::Gob,
            heartbeat: TTL / 2,
            redial: Duration::from_secs(1),
            connect: Duration::from_secs(5),
            patience: Duration::from_secs(10),
            calls: 64,
            set: 64 * 1024 * 1024,
            limits: rpc::Limits::default(),
        }
    }
}

/// What is told to a [`Client`] or a [`Monitor`]. Connections are numbered by it; what comes late for one that is over is
/// ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input<'a> {
    /// That connection is there.
    Connected(u64),
    /// Bytes have come on it.
    Received(u64, &'a [u8]),
    /// What was to be written is written, whole.
    Sent(u64),
    /// The other side sends nothing more.
    Ended(u64),
    /// It is gone or could not be made, and why.
    Closed(u64, &'a str),
    /// The time of [`Machine::poll_timeout`] has come.
    Timeout,
}

/// What is to be done for a [`Client`] or a [`Monitor`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Open a TCP connection, then say [`Input::Connected`], or [`Input::Closed`] when it cannot be made or takes longer.
    /// There is at most one connection at a time.
    Connect {
        /// The connection's number.
        conn: u64,
        /// To `HOST:PORT`.
        server: Arc<str>,
        /// What it may take.
        within: Duration,
    },
    /// Write the lent buffer, whole, then say [`Input::Sent`]. Until then there is no other write.
    Write(u64),
    /// Close the connection, or give up making it; also while something is being written. Nothing is said of it.
    Close(u64),
    /// Something to log.
    Notice(Notice),
}

/// What happens to a connection, for a log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The connection to a server is lost; another is looked for.
    Lost {
        /// The server.
        server: Arc<str>,
        /// Why.
        reason: String,
    },
    /// A server is found, after one was lost.
    Found {
        /// The server.
        server: Arc<str>,
    },
    /// A server cannot be reached.
    Failed {
        /// The server.
        server: Arc<str>,
        /// Why.
        reason: String,
    },
    /// A server refuses what it took before; it is asked again. Of a heartbeat this is said once, until one is
    /// [taken](Self::Taken).
    Refused {
        /// `heartbeat of web at 10.0.0.1:80`, `subscription to web`.
        what: String,
        /// The server's words.
        error: String,
    },
    /// A heartbeat is taken, after others were refused.
    Taken {
        /// `heartbeat of web at 10.0.0.1:80`.
        what: String,
    },
}

impl Notice {
    /// Whether something is amiss; what is not is for those who look for a cause.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Refused { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { server, reason } => write!(f, "lost discoverd at {server}: {reason}"),
            Self::Found { server } => write!(f, "found discoverd at {server}"),
            Self::Failed { server, reason } => write!(f, "no discoverd at {server}: {reason}"),
            Self::Refused { what, error } => write!(f, "discoverd refuses the {what}: {error}"),
            Self::Taken { what } => write!(f, "discoverd takes the {what} again"),
        }
    }
}

/// Why something that a program asked for did not come about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// No server could be reached: each, and why.
    Unreachable(Vec<(Arc<str>, String)>),
    /// A server is there and does not answer.
    Silent {
        /// The server.
        server: Arc<str>,
        /// For how long.
        patience: Duration,
    },
    /// The server refuses, in its words.
    Refused(String),
    /// A service has more instances than fit in [`Config::set`].
    TooLarge {
        /// The service.
        service: Arc<str>,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A service has no instance that could be dialed.
    Nobody {
        /// The service.
        service: Arc<str>,
    },
    /// None of a service's instances could be reached.
    NotReached {
        /// The service.
        service: Arc<str>,
        /// The last one that was tried.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The client is closed.
    Closed,
    /// There is no thread or no descriptor to go on with.
    System(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(servers) => {
                f.write_str("no discoverd")?;
                for (nth, (server, reason)) in servers.iter().enumerate() {
                    let word = if nth == 0 { "at" } else { "nor at" };
                    write!(f, "{} {word} {server}: {reason}", if nth == 0 { "" } else { "," })?;
                }
                f.write_str("; start one, or say where it is with DISCOVERD=HOST:PORT")
            }
            Self::Silent { server, patience } => {
                // Who subscribes waits until the store is known, as clients of the original count on.
                write!(
                    f,
                    "discoverd at {server} has not answered for {patience:?}: if that is its store's fault, http://{server}/services \
                     says so"
                )
            }
            Self::Refused(error) => f.write_str(error),
            Self::TooLarge { service, limit } => {
                write!(
                    f,
                    "the instances of {service:?} need more than {limit} bytes: raise the limit of a set"
                )
            }
            Self::Nobody { service } => write!(f, "no instance of {service:?} is registered"),
            Self::NotReached { service, address, reason } => {
                write!(
                    f,
                    "no instance of {service:?} can be reached; the last one, {address}: {reason}"
                )
            }
            Self::System(error) => write!(f, "discovery cannot be started: {error}"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for Error {}

/// What drives a connection: the part of a [`Client`] and a [`Monitor`] that has to do with sockets.
pub trait Machine {
    /// Tells it what has happened, and when.
    fn handle(&mut self, now: Instant, input: Input<'_>);

    /// What is to be done next, until that is nothing. What is to be written is appended to `out`.
    fn poll(&mut self, out: &mut Vec<u8>) -> Option<Action>;

    /// When [`Input::Timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Whether it is over: nothing will be done any more.
    fn is_over(&self) -> bool;

    /// Grows whenever something has changed that a program could wait for.
    fn changes(&self) -> u64;
}
