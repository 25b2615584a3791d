//! A store that forgets everything with its process.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use super::{Interest, Store, StoreError, StoreEvent, StoreInput, check_expected};
use crate::discovery::{Document, Event, Expect, Registration, Registry, SubscriptionId};
use crate::time::Instant;

/// Keeps registrations in memory.
#[derive(Debug)]
pub struct Memory {
    registry: Registry,
    ttl: Duration,
    now: Instant,
    done: VecDeque<StoreEvent>,
    /// Leases may have ended.
    due: bool,
}

impl Memory {
    /// An empty one, whose instances stay for that long after their last heartbeat.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        let registry = Registry::new();
        Self { registry, ttl, now: Instant::ZERO, done: VecDeque::new(), due: false }
    }
}

impl Store for Memory {
    fn register(&mut self, now: Instant, request: u64, registration: Registration) {
        let Registration { service, address, attributes } = registration;
        let known = self.registry.get(&service, &address);
        if known.is_none_or(|known| known.attributes != attributes) {
            let index = self.registry.index() + 1;
            self.registry.put(&service, &address, attributes, index);
        }
        self.registry.keep(&service, &address, now + self.ttl);
        self.done.push_back(StoreEvent::Done(request, Ok(())));
    }

    fn unregister(&mut self, _now: Instant, request: u64, service: &str, address: &str) {
        let index = self.registry.index();
        let result = if self.registry.remove(service, address, index + 1).is_some() {
            Ok(())
        } else {
            Err(StoreError::NotFound { index })
        };
        self.done.push_back(StoreEvent::Done(request, result));
    }

    fn keep(
        &mut self,
        _now: Instant,
        request: u64,
        service: &str,
        which: Document,
        text: Option<String>,
        expect: Expect,
    ) {
        let found = self.registry.document(service, which).map(|kept| kept.index);
        let result = check_expected(found, expect).map(|()| {
            if text.is_none() && found.is_none() {
                return 0;
            }
            let index = self.registry.index() + 1;
            self.registry.set_document(service, which, text.map(Into::into), index);
            index
        });
        self.done.push_back(StoreEvent::Kept(request, result));
    }

    fn registry(&self) -> Result<&Registry, StoreError> {
        Ok(&self.registry)
    }

    fn subscribe(&mut self, _now: Instant, interest: Interest<'_>) -> SubscriptionId {
        self.registry.subscribe(interest)
    }

    fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.registry.unsubscribe(subscription);
    }

    fn next(&mut self, subscription: SubscriptionId) -> Option<Event> {
        self.registry.next(subscription)
    }

    fn told(&self, subscription: SubscriptionId) -> Option<u64> {
        self.registry.told(subscription)
    }

    fn handle(&mut self, now: Instant, input: StoreInput<'_>) {
        self.now = now;
        self.due |= input == StoreInput::Timeout;
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        loop {
            // Subscribers are told of one change before the next one happens.
            if let Some(id) = self.registry.poll_ready() {
                return Some(StoreEvent::Ready(id));
            }
            if let Some(done) = self.done.pop_front() {
                return Some(done);
            }
            if !self.due {
                return None;
            }
            match self.registry.expired(self.now, self.ttl) {
                Some(gone) => {
                    let index = self.registry.index() + 1;
                    self.registry.remove(&gone.service, &gone.address, index);
                }
                None => self.due = false,
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.registry.poll_timeout()
    }
}
