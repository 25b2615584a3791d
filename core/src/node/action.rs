//! What a runtime tells a node, and what a node asks of a runtime.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::address::Remote;
use crate::discovery::dns::SocketId;
use crate::http1;
use crate::id::ConnId;
use crate::job::Log;
use crate::rpc;

/// What has happened outside.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// These bytes were read; answers one [`Action::Read`]. Never empty: the end of the stream is
    /// [`Input::PeerShutdown`].
    Received(ConnId, &'a [u8]),
    /// The peer has shut its sending side down: a read gave nothing. Answers an [`Action::Read`] too.
    PeerShutdown(ConnId),
    /// The outstanding [`Action::Write`] or [`Action::Shutdown`] is done, to the last byte.
    Done(ConnId),
    /// What became of an [`Action::Splice`]. It may end before its limit, and is asked for again then.
    Spliced {
        /// The connection that was read from.
        from: ConnId,
        /// How many bytes were read from it; all of them are written to the other one, unless that is gone. None, and no end
        /// either: this runtime does not splice these two, and is not asked to again.
        bytes: u64,
        /// Whether its peer has shut its sending side down. [`Input::PeerShutdown`] does not come then.
        eof: bool,
    },
    /// The connection broke: a read failed, or the peer is gone in both directions. [`Action::Close`] follows.
    Broken(ConnId),
    /// A write failed. What the peer has sent before may still be there to be read: a server that has said all it wanted to
    /// may have closed its end while its client still talked.
    WriteFailed(ConnId),
    /// As [`Input::Broken`], and it is known why: where that is a server's connection, its client is told.
    Failed(ConnId, &'a str),
    /// A connection that [`Action::Connect`] asked for is open.
    Connected(ConnId),
    /// A connection that [`Action::Connect`] asked for cannot be had, for this reason. Nothing more is to be reported of it.
    ConnectFailed(ConnId, &'a str),
    /// A datagram has come to that socket from there. It needs no grant: it is answered at once, or not at all.
    Datagram(SocketId, SocketAddr, &'a [u8]),
    /// What [`Node::poll_persist`](crate::Node::poll_persist) gave is done, and safe.
    Persisted,
    /// What [`Node::poll_persist`](crate::Node::poll_persist) gave failed, for this reason. How much of it was done is not known.
    PersistFailed(&'a str),
    /// [`Node::poll_timeout`](crate::Node::poll_timeout) is reached. Harmless at any other time.
    Timeout,
    /// Stop: accept nothing more, end what has no end, let the rest finish within
    /// [`Config::shutdown_timeout`](crate::node::Config::shutdown_timeout).
    Stop,
}

impl Input<'_> {
    /// The connection that it is about.
    pub(super) const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Received(id, _)
            | Self::PeerShutdown(id)
            | Self::Done(id)
            | Self::Broken(id)
            | Self::WriteFailed(id)
            | Self::Spliced { from: id, .. }
            | Self::Failed(id, _)
            | Self::Connected(id)
            | Self::ConnectFailed(id, _) => Some(*id),
            Self::Datagram(..)
            | Self::Persisted
            | Self::PersistFailed(_)
            | Self::Timeout
            | Self::Stop => None,
        }
    }
}

/// What a runtime is to do next, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Read once, whenever bytes come: at most one read for each of these.
    Read(ConnId),
    /// Write the `length` bytes that this call of [`poll`](crate::Node::poll) appended to its buffer, all of them, then
    /// report [`Input::Done`].
    Write {
        /// Where to.
        conn: ConnId,
        /// How many bytes; never 0.
        length: usize,
    },
    /// Send a datagram of the `length` bytes that this call of [`poll`](crate::Node::poll) appended to its buffer, if that goes
    /// without waiting. Nothing is to be reported.
    SendTo {
        /// From where.
        socket: SocketId,
        /// Where to.
        peer: SocketAddr,
        /// How many bytes; never 0.
        length: usize,
    },
    /// Open a connection, then report [`Input::Connected`] or [`Input::ConnectFailed`]. The node watches the time.
    Connect {
        /// What it is called.
        conn: ConnId,
        /// Where to.
        to: Remote,
        /// The node waits no longer than this, and nobody else needs to.
        within: Duration,
    },
    /// Pass on to `to` what comes from `from`, up to `limit` bytes or else until its half ends, without the node's seeing it;
    /// then report [`Input::Spliced`]. It stands for a `Read` of the one and a `Write` to the other, and comes only where
    /// [`Config::splice`](crate::node::Config::splice) allows it.
    ///
    /// A [`Close`](Action::Close) of `from` ends it without a report. A close of `to` ends it with one, at the latest
    /// when the next bytes come from `from`.
    Splice {
        /// Where from.
        from: ConnId,
        /// Where to.
        to: ConnId,
        /// How many bytes at most; never 0.
        limit: Option<u64>,
    },
    /// Shut the sending side down, then report [`Input::Done`].
    Shutdown(ConnId),
    /// Close; nothing is to be reported of this connection any more.
    Close {
        /// Which one.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
    /// Say this on standard output or in the log.
    Log(Log),
}

/// Why a connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// All that was to be said is said.
    Finished,
    /// The peer closed it between two requests.
    PeerClosed,
    /// The peer broke it, or the network did.
    Broken,
    /// A request was refused, and has been answered so.
    Refused(http1::Error),
    /// What a client of discovery sent cannot be read on.
    Unreadable(rpc::Error),
    /// The peer did not close within the time allowed for that after all was written.
    LingerTimeout,
    /// A job failed after it had begun to answer. The client has to see a broken connection, not a well-formed end.
    JobFailed,
    /// The server that a request was left to broke off its answer. The client has to see a broken connection too.
    UpstreamBroken,
    /// What a client of DNS sent is no question.
    NoQuery,
    /// A client of DNS has neither asked nor read for too long.
    Idle,
    /// The daemon stops.
    Stopped,
    /// The daemon stops, and the answer is not complete. The client has to see a broken connection here, too.
    CutOff,
    /// A backend has asked for it ([`Cx::cut_after`](crate::job::Cx::cut_after), [`Cx::go_down`](crate::job::Cx::go_down)).
    Cut,
}

impl CloseReason {
    /// Whether the peer has to see a reset (RST, as with a linger time of 0) and not an end.
    #[must_use]
    pub const fn is_reset(self) -> bool {
        matches!(self, Self::JobFailed | Self::UpstreamBroken | Self::CutOff)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::PeerClosed => f.write_str("closed by the peer"),
            Self::Broken => f.write_str("broken"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Unreadable(error) => write!(f, "unreadable: {error}"),
            Self::LingerTimeout => f.write_str("the peer did not close in time"),
            Self::JobFailed => f.write_str("its job failed in the middle of the answer"),
            Self::UpstreamBroken => f.write_str("the server broke off its answer"),
            Self::NoQuery => f.write_str("what came is no question"),
            Self::Idle => f.write_str("idle for too long"),
            Self::Stopped => f.write_str("the daemon stops"),
            Self::CutOff => f.write_str("the daemon stops, in the middle of an answer"),
            Self::Cut => f.write_str("cut by the backend"),
        }
    }
}

/// Why a connection is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// [`Config::max_connections`](crate::node::Config::max_connections) are open.
    TooManyConnections,
    /// The node has been told to stop.
    Stopping,
    /// The engine plays dead ([`Cx::go_down`](crate::job::Cx::go_down)).
    Down,
    /// Nobody is there to answer clients of discovery.
    NoAgent,
    /// Nobody is there to answer clients of DNS.
    NoDns,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManyConnections => "too many connections are open",
            Self::Stopping => "the daemon stops",
            Self::Down => "the engine plays dead",
            Self::NoAgent => "there is no discovery here",
            Self::NoDns => "there is no DNS here",
        })
    }
}

impl core::error::Error for Refusal {}
