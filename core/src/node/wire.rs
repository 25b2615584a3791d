//! Connections of the store of discovery that are not HTTP: what it writes goes out, and what comes is its.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::action::{Action, CloseReason, Input};
use super::output::Pending;
use super::{Node, Slot};
use crate::discovery::StoreInput;
use crate::id::ConnId;
use crate::job::Upstream;

/// One of them.
pub(super) struct Wire {
    conn: ConnId,
    connected: bool,
    reading: bool,
    busy: bool,
    output: Pending,
    /// What has not found room in the output yet.
    waiting: VecDeque<Vec<u8>>,
}

impl Node {
    /// Opens the connection that has this number with the store.
    pub(super) fn open_wire(&mut self, number: u64, upstream: &Arc<Upstream>) {
        let conn = ConnId(self.conns.insert(Slot::Wired(number)));
        let (to, within) = (upstream.address.clone(), upstream.connect_timeout);
        self.actions.push_back(Action::Connect { conn, to, within });
        let wire = Wire {
            conn,
            connected: false,
            reading: false,
            busy: false,
            output: Pending::default(),
            waiting: VecDeque::new(),
        };
        self.wires.insert(number, wire);
    }

    pub(super) fn write_wire(&mut self, number: u64, bytes: Vec<u8>) {
        if let Some(wire) = self.wires.get_mut(&number) {
            wire.waiting.push_back(bytes);
            self.wiring.push_back(number);
        }
    }

    pub(super) fn close_wire(&mut self, number: u64) {
        self.drop_wire(number, CloseReason::Finished);
    }

    fn drop_wire(&mut self, number: u64, why: CloseReason) {
        if let Some(Wire { conn, .. }) = self.wires.remove(&number) {
            self.conns.remove(conn.0);
            self.actions.push_back(Action::Close { conn, why });
        }
    }

    pub(super) fn handle_wire(&mut self, number: u64, input: Input<'_>) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        let lost: Result<(), String> = match input {
            Input::Connected(_) => {
                wire.connected = true;
                self.tell_agent(StoreInput::Connected(number));
                Ok(())
            }
            Input::Received(_, bytes) => {
                wire.reading = false;
                self.tell_agent(StoreInput::Received(number, bytes));
                Ok(())
            }
            Input::Done(_) => {
                wire.busy = false;
                wire.output.written();
                wire.output.shrink();
                Ok(())
            }
            Input::PeerShutdown(_) => Err("it closed the connection".into()),
            Input::ConnectFailed(_, reason) => Err(format!("cannot connect: {reason}")),
            Input::Failed(_, reason) => Err(reason.into()),
            Input::Broken(_) | Input::WriteFailed(_) => Err("the connection broke".into()),
            _ => Ok(()),
        };
        match lost {
            Ok(()) => self.wiring.push_back(number),
            Err(reason) => {
                self.drop_wire(number, CloseReason::Broken);
                self.tell_agent(StoreInput::Lost(number, &reason));
            }
        }
    }

    /// The next thing to do for one of them.
    pub(super) fn poll_wires(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        while let Some(number) = self.wiring.front() {
            let wire = self.wires.get_mut(number);
            if let Some(action) = wire.and_then(|wire| wire.next_action(out)) {
                return Some(action);
            }
            self.wiring.pop_front();
        }
        None
    }
}

impl Wire {
    fn next_action(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        if !self.connected {
            return None;
        }
        if !self.busy {
            while self.output.has_room()
                && let Some(bytes) = self.waiting.pop_front()
            {
                self.output.bytes.extend_from_slice(&bytes);
            }
            if !self.output.is_empty() {
                self.busy = true;
                let length = self.output.take(out);
                return Some(Action::Write { conn: self.conn, length });
            }
        }
        if !self.reading {
            self.reading = true;
            return Some(Action::Read(self.conn));
        }
        None
    }
}
