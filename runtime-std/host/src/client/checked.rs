//! A registration that a health check takes out and puts in again.

use std::sync::Arc;

use libswarm::Instant;
use libswarm::discovery::client::{Action, Check, Input, Machine, Monitor};

use super::{Registration, Shared};

/// A health check, as a machine that tells a registration what it finds.
#[derive(Debug)]
pub struct Checking {
    monitor: Monitor,
    registration: Arc<Registration>,
}

/// An instance that is registered as long as this lives and its checks are good.
#[derive(Debug)]
pub struct Checked {
    checking: Arc<Shared<Checking>>,
    registration: Arc<Registration>,
}

impl Checked {
    /// Of a registration that is not online, at that address. What [`checking`](Self::checking) gives is to be driven.
    #[must_use]
    pub fn new(registration: Registration, address: &str, check: Check) -> Self {
        let registration = Arc::new(registration);
        let checking = Shared::new(|now| Checking {
            monitor: Monitor::new(address, check, now),
            registration: Arc::clone(&registration),
        });
        Self { checking: Arc::new(checking), registration }
    }

    /// What checks.
    #[must_use]
    pub const fn checking(&self) -> &Arc<Shared<Checking>> {
        &self.checking
    }

    /// Whether the address can be used.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.checking.get(|checking| checking.monitor.is_healthy())
    }

    /// What was wrong with the last check.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.checking.get(|checking| checking.monitor.last().clone().err())
    }

    /// The registration; its address is empty while the checks fail.
    #[must_use]
    pub fn registration(&self) -> &Registration {
        &self.registration
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.checking.with(|checking, _| checking.monitor.stop());
        // Whoever drives the checks may hold it a little longer.
        self.registration.end();
    }
}

impl Machine for Checking {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        let before = self.monitor.is_healthy();
        self.monitor.handle(now, input);
        let is_healthy = self.monitor.is_healthy();
        if is_healthy != before {
            self.registration.set_online(is_healthy);
        }
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        self.monitor.poll(out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.monitor.poll_timeout()
    }

    fn is_over(&self) -> bool {
        self.monitor.is_over()
    }

    fn changes(&self) -> u64 {
        self.monitor.changes()
    }
}
