//! HTTP/1.1 as Docker uses it (RFC 9112), as state machines without sockets.
//!
//! [`Server`] and [`Client`] are the two ends of a connection. Both stand on one [table](state) of transitions that does
//! not know which end it serves, on one decoder and one encoder of bodies. Bytes go in borrowed, bodies come out borrowed
//! from them, heads come out owned; what is written goes into a buffer that the caller lends.
//!
//! What is refused, and with which status, is listed by [`Error`]; what a message may be at most, by [`Limits`].

mod body;
mod client;
mod encode;
mod error;
mod head;
mod parse;
mod server;
pub mod state;
#[cfg(test)]
mod tests;

pub use body::{Framing, Run};
pub use client::{Client, ClientEvent, Request};
pub use encode::reason_phrase;
pub use error::Error;
pub use head::{Headers, HttpVersion, RequestHead, ResponseHead};
pub use server::{After, Server, ServerEvent};

/// What a message may be at most.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a head, from the first of its start line to the end of its blank line. Beyond: 431. Default 64 KiB.
    pub head: usize,
    /// Bytes of a request target. Beyond: 414. Default 16 KiB.
    pub target: usize,
    /// Headers of a message. Beyond: 431. Default 128, which is also the most that can be set.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, target: 16 * 1024, headers: parse::MAX_HEADERS }
    }
}
