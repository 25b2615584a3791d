//! What is said to a server.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Client, Task, key};
use crate::discovery::TTL;
use crate::discovery::client::{Action, RegistrationId, SetId};
use crate::rpc::{Args, Method};

/// As much is written at once, and a little more.
const WRITE: usize = 16 * 1024;

impl Client {
    /// Writes what there is to be said, as far as that is not too much.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        let conn = self.link.conn();
        let open = self.link.opened()?;
        if open.writing {
            return None;
        }
        if !open.asked {
            (open.asked, open.writing) = (true, true);
            open.rpc.connect(out);
            return Some(Action::Write(conn));
        }
        if !open.greeted {
            return None;
        }
        let start = out.len();
        while out.len() - start < WRITE && self.calls.len() < self.config.calls {
            let Some(task) = self.queue.pop_front() else { break };
            match task {
                Task::Say(id) => self.write_call(id, out),
                Task::Subscribe(id) => self.write_subscribe(id, out),
                Task::End(stream) => {
                    if let Some(open) = self.link.opened() {
                        open.rpc.close(stream, out);
                    }
                }
            }
        }
        if out.len() == start {
            return None;
        }
        if self.is_waiting() {
            self.be_patient(self.config.patience);
        }
        self.link.opened()?.writing = true;
        Some(Action::Write(conn))
    }

    fn write_call(&mut self, id: RegistrationId, out: &mut Vec<u8>) {
        let Some(registration) = self.registrations.get_mut(id.0) else { return };
        registration.queued = false;
        let (Some(method), Some(open)) = (registration.due(), self.link.opened()) else { return };
        if method == Method::Unregister && self.wanted.contains_key(&key(&registration.args)) {
            // It has been registered anew in the meantime, and would end.
            registration.held = None;
            self.retime(id);
            return self.sweep(id);
        }
        let Some(call) = open.rpc.call(method, &registration.args, out) else { return };
        self.calls.insert(call, id);
        (registration.call, registration.settled) = (Some(method), true);
        if method == Method::Register {
            registration.said = self.now;
            registration.held = Some(self.now + TTL.max(self.config.heartbeat.saturating_mul(2)));
            self.retime(id);
        }
    }

    fn write_subscribe(&mut self, id: SetId, out: &mut Vec<u8>) {
        let Some(set) = self.sets.get_mut(id.0) else { return };
        set.queued = false;
        let args = Args { name: set.service.to_string(), ..Args::default() };
        let Some(open) = self.link.opened() else { return };
        let Some(stream) = open.rpc.call(Method::Subscribe, &args, out) else { return };
        (set.stream, set.named) = (Some(stream), Some(0));
        self.streams.insert(stream, id);
    }
}
