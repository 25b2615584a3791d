//! What comes from a server, and what follows from it.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Client, Task, Timer, renounce};
use crate::discovery::client::{DOUBT, Error, Notice, RegistrationId, SetId};
use crate::rpc::{Args, ClientEvent, Method, Update};

impl Client {
    pub(super) fn lose(&mut self, reason: &str, is_there: bool) {
        let server = Arc::clone(self.link.server());
        let was_greeted = self.link.lose(self.now, reason, is_there);
        let reason = reason.to_string();
        self.notice(if was_greeted {
            Notice::Lost { server, reason }
        } else {
            Notice::Failed { server, reason }
        });
        self.was_lost |= was_greeted;
        self.changes += 1;
        self.queue.clear();
        self.streams.clear();
        self.calls.clear();
        let mut timers = Vec::from_iter(self.patient.take());
        for set in self.sets.iter_mut() {
            set.restart();
            timers.extend(set.doubt.take());
            timers.extend(set.again.take());
        }
        for timer in timers {
            self.timers.cancel(timer);
        }
        for registration in self.registrations.iter_mut() {
            (registration.call, registration.queued, registration.settled) = (None, false, false);
        }
        self.part();
    }

    pub(super) fn greeted(&mut self) {
        self.link.greeted();
        self.changes += 1;
        if core::mem::take(&mut self.was_lost) {
            let server = Arc::clone(self.link.server());
            self.notice(Notice::Found { server });
        }
        for id in self.registrations.iter().map(|(key, _)| RegistrationId(key)).collect::<Vec<_>>()
        {
            self.say(id);
        }
        for id in self.sets.iter().map(|(key, _)| SetId(key)).collect::<Vec<_>>() {
            self.ask(id);
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.heard = self.now;
        let mut events = Vec::new();
        let Some(open) = self.link.opened() else { return };
        let result = open.receive(bytes, &mut events);
        for event in events {
            self.event(event);
        }
        if let Err(error) = result {
            self.lose(&error.to_string(), true);
        }
    }

    fn event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connected => self.greeted(),
            ClientEvent::Answer(call, result) => {
                if let Some(id) = self.calls.remove(&call) {
                    self.answered(id, result);
                }
            }
            ClientEvent::Update(stream, update) => {
                // What still comes on one that was given up is of nobody's.
                if let Some(id) = self.streams.get(&stream).copied()
                    && self.sets.get(id.0).is_some_and(|set| set.stream == Some(stream))
                {
                    self.updated(id, &update);
                }
            }
            ClientEvent::Ended(stream, result) => {
                if let Some(id) = self.streams.remove(&stream) {
                    self.ended(id, result);
                }
            }
        }
    }

    fn answered(&mut self, id: RegistrationId, result: Result<String, String>) {
        let Some(registration) = self.registrations.get_mut(id.0) else { return };
        let Some(method) = registration.call.take() else { return };
        let mut taken_again = false;
        let refused = match (method, result) {
            (Method::Unregister, Ok(_)) => {
                registration.held = None;
                None
            }
            (Method::Unregister, Err(error)) => {
                // One that is not there is as it should be: it has expired, or the answer to the first time was lost.
                if error.starts_with("100: ") || !registration.taken {
                    registration.held = None;
                    None
                } else {
                    // It is tried again with another connection, or expires.
                    Some(("end", error))
                }
            }
            (_, Ok(address)) => {
                registration.address = Some(address);
                registration.taken = true;
                taken_again = core::mem::take(&mut registration.refused);
                if let Some(timer) = registration.deadline.take() {
                    self.timers.cancel(timer);
                }
                None
            }
            (_, Err(error)) if registration.taken => {
                let is_said = core::mem::replace(&mut registration.refused, true);
                (!is_said).then_some(("heartbeat", error))
            }
            (_, Err(error)) => {
                renounce(&mut self.wanted, registration);
                registration.held = None;
                registration.error = Some(Error::Refused(error));
                if let Some(timer) = registration.deadline.take() {
                    self.timers.cancel(timer);
                }
                None
            }
        };
        self.changes += 1;
        let Args { name, address, .. } = &registration.args;
        let what = |kind| alloc::format!("{kind} of {name} at {address}");
        let notice = if taken_again {
            Some(Notice::Taken { what: what("heartbeat") })
        } else {
            refused.map(|(kind, error)| Notice::Refused { what: what(kind), error })
        };
        if !registration.wanted {
            self.retime(id);
        }
        notice.into_iter().for_each(|notice| self.notice(notice));
        self.say(id);
        self.sweep(id);
    }

    fn updated(&mut self, id: SetId, update: &Update<'_>) {
        let Some(set) = self.sets.get_mut(id.0) else { return };
        if update.is_marker() && set.named == Some(0) {
            if set.doubt.is_none() {
                set.doubt = Some(self.timers.set(self.now + DOUBT, Timer::Believe(id)));
            }
            return;
        }
        if set.doubt.is_some() {
            self.believe(id);
        }
        let Some(set) = self.sets.get_mut(id.0) else { return };
        if update.is_marker() {
            set.named = None;
        } else if let Some(named) = &mut set.named {
            *named += 1;
        }
        set.apply(update);
        self.changes += 1;
        if set.view.bytes() > self.config.set {
            let service = Arc::clone(&set.service);
            set.error = Some(Error::TooLarge { service, limit: self.config.set });
            if let Some(stream) = set.stream.take() {
                self.queue.push_back(Task::End(stream));
            }
            set.view.clear();
        }
        self.current(id);
    }

    /// A marker stands.
    pub(super) fn believe(&mut self, id: SetId) {
        let Some(set) = self.sets.get_mut(id.0) else { return };
        if let Some(timer) = set.doubt.take() {
            self.timers.cancel(timer);
            set.named = None;
            set.apply(&Update::MARKER);
            self.changes += 1;
            self.current(id);
        }
    }

    fn current(&mut self, id: SetId) {
        if let Some(set) = self.sets.get_mut(id.0)
            && (set.known || set.error.is_some())
            && let Some(timer) = set.deadline.take()
        {
            self.timers.cancel(timer);
        }
    }

    fn ended(&mut self, id: SetId, result: Result<(), String>) {
        let Some(set) = self.sets.get_mut(id.0) else { return };
        if set.error.is_some() {
            return;
        }
        self.changes += 1;
        if let Some(timer) = set.doubt.take() {
            self.timers.cancel(timer);
        }
        let error = result.err().unwrap_or_else(|| "it has ended the subscription".into());
        if set.known {
            let what = alloc::format!("subscription to {}", set.service);
            set.restart();
            set.again = Some(self.timers.set(self.now + self.config.redial, Timer::Again(id)));
            self.notice(Notice::Refused { what, error });
        } else {
            (set.stream, set.named, set.error) = (None, None, Some(Error::Refused(error)));
            self.current(id);
        }
    }
}
