//! Why a connection has to end.

use core::fmt;

use crate::http1;

/// Why what a peer sends cannot be read on. What concerns one call is answered with an error on that call instead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The head before the greeting is refused. A server has answered so.
    Head(http1::Error),
    /// The greeting is none, or refuses: the status, or 0.
    Greeting(u16),
    /// A message is longer than [`Limits::message`](super::Limits::message).
    MessageTooLong,
    /// The peer defines more types than [`Limits::definitions`](super::Limits::definitions) allows.
    TooManyDefinitions,
    /// This is no gob, or not that of a request or a response.
    Gob,
    /// This is no JSON, or not that of a request or a response.
    Json,
    /// The peer has stopped sending in the middle of a message.
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => write!(f, "no RPC: {error}"),
            Self::Greeting(0) => f.write_str("no RPC: the server did not greet"),
            Self::Greeting(status) => write!(f, "no RPC: the server answered with status {status}"),
            Self::MessageTooLong => f.write_str("a message is too long"),
            Self::TooManyDefinitions => f.write_str("too many gob types are defined"),
            Self::Gob => f.write_str("malformed gob"),
            Self::Json => f.write_str("malformed JSON"),
            Self::Truncated => f.write_str("the connection ended inside a message"),
        }
    }
}

impl core::error::Error for Error {}
