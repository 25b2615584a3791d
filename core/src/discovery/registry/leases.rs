//! Until when instances stay.

use alloc::sync::Arc;
use core::time::Duration;

use super::Registry;
use crate::discovery::Instance;
use crate::time::Instant;

/// What part of a lease a timer is late that was not just kept waiting.
const LATE: u32 = 20;

impl Registry {
    /// Keeps an instance until then, or longer if that was promised before. One that was never kept stays for ever.
    ///
    /// Returns whether it is there. This is a look-up and no more, so a heartbeat is cheap.
    pub fn keep(&mut self, service: &str, address: &str, until: Instant) -> bool {
        let found = self.services.get_mut(service);
        let Some(member) = found.and_then(|it| it.members.get_mut(address)) else { return false };
        match member.timer {
            Some(_) => member.until = member.until.max(until),
            None => {
                member.until = until;
                let Instance { service, address, .. } = &*member.instance;
                let key = (Arc::clone(service), Arc::clone(address));
                member.timer = Some(self.leases.set(until.max(self.spared), key));
            }
        }
        true
    }

    /// Lets nobody's lease end before then.
    pub fn spare(&mut self, until: Instant) {
        self.spared = self.spared.max(until);
    }

    /// When the next lease may end.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leases.next()
    }

    /// An instance whose lease has ended, to be removed by the store; it is named once.
    ///
    /// If this is asked for later than the lease has ended, by more than a twentieth of `grace`, then this program was stopped
    /// meanwhile (its process, its machine), and heartbeats may wait to be read: everybody is given another `grace`.
    pub fn expired(&mut self, now: Instant, grace: Duration) -> Option<Arc<Instance>> {
        while let Some((key, (service, address))) = self.leases.expired(now) {
            let member =
                self.services.get_mut(&service).and_then(|it| it.members.get_mut(&address));
            let Some(member) = member else { continue };
            if now - key.at() > grace / LATE {
                self.spared = self.spared.max(now + grace);
            }
            let until = member.until.max(self.spared);
            if until <= now {
                member.timer = None;
                return Some(Arc::clone(&member.instance));
            }
            member.timer = Some(self.leases.set(until, (service, address)));
        }
        None
    }
}
