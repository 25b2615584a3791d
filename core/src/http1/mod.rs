//! HTTP/1.1 as Docker uses it (RFC 9112), as state machines without sockets.

mod head;

pub use head::{Headers, HttpVersion, RequestHead, ResponseHead};

/// What a message may be at most.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a head, from the first of its start line to the end of its blank line. Beyond: 431. Default 64 KiB.
    pub head: usize,
    /// Bytes of a request target. Beyond: 414. Default 16 KiB.
    pub target: usize,
    /// Headers of a message. Beyond: 431. Default 128.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, target: 16 * 1024, headers: 128 }
    }
}
