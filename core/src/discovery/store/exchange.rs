//! What a store asks of another server, carried by whoever has the connections.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::job::Upstream;

/// A POST over HTTP/1.1 that a store wants made. It is carried on a connection that was used before where one is kept, and
/// made again on a fresh one if that turns out to be closed: so it has to be one that may be made twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The store's number for it, which it uses only once.
    pub id: u64,
    /// To whom.
    pub upstream: Arc<Upstream>,
    /// The request's target.
    pub target: &'static str,
    /// Its header lines, each with its end, `Host` included; those that say how long the body is are added.
    pub headers: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// What has come of an [`Exchange`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress<'a> {
    /// The answer has begun, with this status.
    Status(u16),
    /// A piece of its body, cut anywhere, never empty.
    Body(&'a [u8]),
    /// That was all of it.
    End,
    /// There is no answer, or no whole one, for this reason; nothing follows.
    Failed(&'a str),
}
