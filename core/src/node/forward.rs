//! A question that another DNS server is asked: its socket, from a connection to the answer.

use alloc::vec::Vec;

use super::action::Action;
use crate::discovery::dns::{Frames, Transport};
use crate::id::ConnId;

/// One question, on a socket of its own.
pub(super) struct Forward {
    pub(super) conn: ConnId,
    over: Transport,
    /// What is to be written.
    question: Vec<u8>,
    frames: Frames,
    connected: bool,
    busy: bool,
    reading: bool,
}

impl Forward {
    pub(super) fn new(conn: ConnId, over: Transport, message: &[u8]) -> Self {
        let mut question = Vec::new();
        match over {
            Transport::Udp => question.extend_from_slice(message),
            Transport::Tcp => Frames::write(&mut question, |out| out.extend_from_slice(message)),
        }
        let frames = Frames::new();
        Self { conn, over, question, frames, connected: false, busy: false, reading: false }
    }

    pub(super) const fn connected(&mut self) {
        self.connected = true;
    }

    /// Whether there is no such thing as an end of what comes.
    pub(super) fn is_endless(&self) -> bool {
        self.over == Transport::Udp
    }

    pub(super) const fn done(&mut self) {
        self.busy = false;
    }

    /// The messages in what came: a datagram is one.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.reading = false;
        let mut messages = Vec::new();
        match self.over {
            Transport::Udp => messages.push(bytes.to_vec()),
            Transport::Tcp => {
                self.frames.push(bytes);
                while let Some(message) = self.frames.next_message() {
                    messages.push(message.to_vec());
                }
            }
        }
        messages
    }

    pub(super) fn next_action(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        if !self.connected {
            return None;
        }
        let conn = self.conn;
        if !self.busy && !self.question.is_empty() {
            self.busy = true;
            let length = self.question.len();
            out.append(&mut self.question);
            return Some(Action::Write { conn, length });
        }
        (!core::mem::replace(&mut self.reading, true)).then_some(Action::Read(conn))
    }
}
