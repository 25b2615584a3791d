//! The client for programs that wait: a thread drives it. This is what `libswarm_std::discovery` has.

use std::fmt;
use std::future::poll_fn;
use std::net::TcpStream;
use std::ops::Deref;
use std::time::Duration;

use libswarm::discovery::client::{Balance, Check, Config, Error};
use libswarm::discovery::{Change, Member};

use super::thread::{self, reach, wait};
use super::{Checked, Handle, args, attributes};

/// What one attempt to dial an instance may take.
const DIAL: Duration = Duration::from_secs(5);

/// A connection to discovery, kept up by a thread. Dropping the last of it and of what came from it ends all registrations,
/// and waits for that a second at most.
#[derive(Clone, Debug)]
pub struct Client(Handle);

impl Client {
    /// Connects to the first of these servers (`HOST:PORT`) that is there; the others are for when it is lost. What such a list
    /// is in `DISCOVERD` is [`servers`](super::servers).
    ///
    /// # Errors
    ///
    /// None of them can be reached; or the system has no thread, no descriptors or no random numbers.
    pub fn connect<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let mut config = Config::default();
        config.servers = servers.into_iter().map(Into::into).collect();
        Self::with(config)
    }

    /// As [`connect`](Self::connect), with everything that can be set.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn with(config: Config) -> Result<Self, Error> {
        let handle = thread::start(config)?;
        wait(handle.connected())?;
        Ok(Self(handle))
    }

    /// Registers an instance of a service, and keeps it registered. The server completes an address that begins with a colon.
    ///
    /// # Errors
    ///
    /// The server refuses, or has not answered in [time](Config::patience).
    pub fn register<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Registration, Error> {
        let registration = self.0.register(args(service, address, attributes), true);
        wait(registration.ready())?;
        Ok(Registration(registration))
    }

    /// Registers an instance, and follows the others of its service.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_with_set<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(Registration, Service), Error> {
        let registration = self.register(service, address, attributes)?;
        let Service(others) = self.service(service)?;
        let own = registration.address();
        Ok((registration, Service(others.without(own))))
    }

    /// Registers an instance that waits until it leads.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_and_standby<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Standby, Error> {
        let registration = self.register(service, address, attributes)?;
        let Service(service) = self.service(service)?;
        Ok(Standby(super::Standby::new(registration.0, service)))
    }

    /// Registers an instance as long as its checks are good. An address that begins with a colon is checked on this machine.
    ///
    /// # Errors
    ///
    /// The system has no thread or no descriptors for the checks.
    pub fn register_checked<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
        check: Check,
    ) -> Result<Checked, Error> {
        let registration = self.0.register(args(service, address, attributes), false);
        let checked = Checked::new(registration, address, check);
        thread::spawn(checked.checking().clone(), "health check")?;
        Ok(checked)
    }

    /// Follows a service, once all its instances are known.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn service(&self, name: &str) -> Result<Service, Error> {
        self.filter(name, [])
    }

    /// Follows those instances of a service that have all these attributes.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn filter<'a>(
        &self,
        name: &str,
        wanted: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Service, Error> {
        let service = self.0.service(name, attributes(wanted));
        wait(service.ready())?;
        Ok(Service(service))
    }

    /// Dials instances of services.
    #[must_use]
    pub fn dialer(&self, balance: Balance) -> Dialer {
        Dialer(super::Dialer::new(self.0.clone(), balance))
    }

    /// Ends all registrations and the connection, also for those who still have something of it.
    pub fn close(self) {
        self.0.close();
        wait(self.0.closed());
    }
}

/// An instance that is registered as long as this lives.
#[derive(Debug)]
pub struct Registration(super::Registration);

impl Registration {
    /// Changes its attributes.
    pub fn set_attributes<'a>(&self, new: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let new = attributes(new);
        self.0.set_attributes((!new.is_empty()).then_some(new));
    }

    /// Ends it, and waits until the server knows. Without a connection nobody can be told: it expires.
    pub fn close(self) {
        self.0.end();
        wait(self.0.ended());
    }

    /// Its address, as the server has completed it.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.address()
    }
}

/// A service that is followed. What can be asked without waiting is in what it dereferences to.
#[derive(Debug)]
pub struct Service(super::Service);

impl Service {
    /// Follows what becomes of it: first the instances that are there, then [`Change::Current`], then every change.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(self.0.watch(true))
    }

    /// As [`watch`](Self::watch), without those that are there now.
    #[must_use]
    pub fn changes(&self) -> Watch {
        Watch(self.0.watch(false))
    }

    /// Follows who leads it, beginning with who does now.
    #[must_use]
    pub fn leaders(&self) -> Leaders {
        Leaders(self.0.leaders())
    }

    /// The instances that have these attributes and perhaps others, the oldest first.
    #[must_use]
    pub fn select<'a>(&self, wanted: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Member> {
        self.0.select(&attributes(wanted))
    }
}

impl Deref for Service {
    type Target = super::Service;

    fn deref(&self) -> &super::Service {
        &self.0
    }
}

/// What becomes of a service, without an end as long as the client is open.
#[derive(Debug)]
pub struct Watch(super::Watch);

impl Iterator for Watch {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        wait(poll_fn(|cx| self.0.poll_next(cx)))
    }
}

/// Who leads a service, one after the other, without an end as long as the client is open.
#[derive(Debug)]
pub struct Leaders(super::Leaders);

impl Iterator for Leaders {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        wait(poll_fn(|cx| self.0.poll_next(cx)))
    }
}

/// An instance that is registered and waits until it leads.
#[derive(Debug)]
pub struct Standby(super::Standby);

impl Standby {
    /// Waits until it leads.
    ///
    /// # Errors
    ///
    /// The client was closed.
    pub fn wait(self) -> Result<Registration, Error> {
        wait(self.0.leads())?;
        Ok(Registration(self.0.into_registration()))
    }

    /// Its address, as the server has completed it.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.registration().address()
    }
}

/// Dials instances of services: a service that was dialed once is followed from then on.
pub struct Dialer(super::Dialer);

impl Dialer {
    /// Connects to an instance. One that cannot be reached within 5 s is passed over for a while, and the next one is tried.
    ///
    /// # Errors
    ///
    /// The service has no instance, or none that can be reached; or discovery does not answer.
    pub fn dial(&self, service: &str) -> Result<TcpStream, Error> {
        let followed = self.0.service(service)?;
        wait(followed.known())?;
        let mut error = Error::Nobody { service: service.into() };
        let mut tried = Vec::new();
        while let Some(address) = self.0.pick(service, &tried) {
            match reach(&address, DIAL) {
                Ok(stream) => return Ok(stream),
                Err(reason) => {
                    error = self.0.failed(service, address.clone(), &reason.to_string());
                    tried.push(address);
                }
            }
        }
        Err(error)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
