//! Which instance of a service is dialed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use libswarm::discovery::Attributes;
use libswarm::discovery::client::{Balance, Balancer, Error};

use super::{Handle, Service};
use crate::server::random_seed;

/// So many services are followed for later calls.
const SERVICES: usize = 256;

/// Chooses whom to dial. A service that was dialed once is followed, so that the next time nobody has to be asked.
#[derive(Debug)]
pub struct Dialer {
    handle: Handle,
    balance: Balance,
    known: Mutex<BTreeMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    service: Arc<Service>,
    balancer: Balancer,
}

impl Dialer {
    /// One that follows services with that client.
    #[must_use]
    pub const fn new(handle: Handle, balance: Balance) -> Self {
        Self { handle, balance, known: Mutex::new(BTreeMap::new()) }
    }

    /// The service, which has to be [ready](Service::ready) first.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn service(&self, name: &str) -> Result<Arc<Service>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name).filter(|found| found.service.error().is_none()) {
            return Ok(Arc::clone(&found.service));
        }
        let seed = random_seed().map_err(|error| Error::System(error.to_string()))?;
        let service = Arc::new(self.handle.service(name, Attributes::new()));
        let balancer = Balancer::new(self.balance, seed);
        if known.len() >= SERVICES {
            known.pop_first();
        }
        known.insert(name.to_owned(), Known { service: Arc::clone(&service), balancer });
        Ok(service)
    }

    /// The address that is to be dialed next, of those that were not tried yet.
    pub fn pick(&self, name: &str, tried: &[String]) -> Option<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { service, balancer } = known.get_mut(name)?;
        let now = self.handle.shared().now();
        service.look(|set| balancer.pick(now, set, tried).map(|member| member.address.clone()))?
    }

    /// An address could not be reached: it is passed over for a while. Gives what to say if it was the last one.
    pub fn failed(&self, name: &str, address: String, reason: &str) -> Error {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Known { balancer, .. }) = known.get_mut(name) {
            balancer.failed(self.handle.shared().now(), &address);
        }
        Error::NotReached { service: name.into(), address, reason: reason.to_owned() }
    }
}
