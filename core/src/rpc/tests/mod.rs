//! Both ends of the RPC, held against what the original's programs said to each other.

mod faults;
mod gob;
mod golden;

use alloc::string::String;
use alloc::vec::Vec;

use super::{Args, Codec, Error, Limits, Method, Server, ServerEvent};
use crate::id::CallId;

/// A server and what it has been told, and what it has said.
pub(super) struct Peer {
    pub(super) server: Server,
    unread: Vec<u8>,
    pub(super) events: Vec<ServerEvent>,
    pub(super) out: Vec<u8>,
    pub(super) error: Option<Error>,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        Self {
            server: Server::new(limits),
            unread: Vec::new(),
            events: Vec::new(),
            out: Vec::new(),
            error: None,
        }
    }

    /// One that has greeted.
    pub(super) fn greeted(codec: Codec) -> Self {
        let mut peer = Self::new();
        peer.send(connect(codec).as_bytes());
        assert_eq!(peer.said(), "HTTP/1.0 200 Connected to Go RPC\n\n");
        peer
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while self.error.is_none() {
            match self.server.receive(&self.unread, &mut self.out) {
                Ok((taken, event)) => {
                    self.unread.drain(..taken);
                    let Some(event) = event else { return };
                    self.events.push(event);
                }
                Err(error) => self.error = Some(error),
            }
        }
    }

    pub(super) fn eof(&mut self) -> Result<(), Error> {
        self.server.eof(self.unread.len())
    }

    /// The call that came, which is the only event.
    pub(super) fn call(&mut self) -> (CallId, Method, Args) {
        match self.events.drain(..).next() {
            Some(ServerEvent::Call { call, method, args }) => (call, method, args),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn said(&mut self) -> String {
        String::from_utf8(core::mem::take(&mut self.out)).unwrap()
    }
}

pub(super) fn connect(codec: Codec) -> String {
    alloc::format!("CONNECT /_goRPC_ HTTP/1.0\r\nAccept: {}\r\n\r\n", codec.media_type())
}
