//! Finding services and being found, for tasks on smol: each call is a future.
//!
//! A task on smol's global executor keeps the connection to a `discoverd`, says heartbeats, and looks for a server again that
//! was lost. What was registered and followed comes back by itself.
//!
//! ```
//! use libswarm_smol::discovery::{Balance, Change, Client};
//! use smol::stream::StreamExt;
//!
//! # use libswarm::{address::StoreKind, backend::Registry};
//! # use libswarm_host::{Discovery, ServerBuilder, stopper};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
//! # let (stopper, stopped) = stopper()?;
//! # let mut discovery = Discovery::default();
//! # discovery.settings.store = StoreKind::Memory;
//! # let server = ServerBuilder::new(Registry::empty())
//! #     .listen_discovery("tcp://127.0.0.1:0".parse()?).discovery(discovery).build(stopped)?;
//! # let place = server.listeners[0].address().to_string().replace("tcp://", "");
//! # let daemon = std::thread::spawn(|| libswarm_smol::serve(server));
//! // In a program: Client::connect(libswarm_smol::discovery::servers()).await?
//! let client = Client::connect([place]).await?;
//!
//! // Registered as long as this is there.
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?.to_string();
//! let registration = client.register("web", &address, [("zone", "a")]).await?;
//!
//! let web = client.service("web").await?;
//! assert_eq!(web.leader().unwrap().address, address);
//! let mut watch = web.watch();
//! assert!(matches!(watch.next().await, Some(Change::Came(instance)) if instance.address == address));
//! assert_eq!(watch.next().await, Some(Change::Current));
//!
//! // To one of the instances that can be reached.
//! let stream = client.dialer(Balance::RoundRobin).dial("web").await?;
//! assert_eq!(stream.get_ref().peer_addr()?.to_string(), address);
//!
//! drop(registration);
//! assert!(matches!(watch.next().await, Some(Change::Gone(_))));
//! # drop((watch, web)); client.close().await;
//! # stopper.stop();
//! # daemon.join().unwrap()?;
//! # Ok(()) }) }
//! ```

mod driver;

use std::fmt;
use std::net::TcpStream;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::Async;
use libswarm_host::client::{self, Handle, args, attributes};
use smol::stream::Stream;

pub use libswarm::discovery::client::{Balance, Check, CheckKind, Config, Error};
pub use libswarm::discovery::{Attributes, Change, Member};
pub use libswarm_host::client::{Checked, servers};

/// What one attempt to dial an instance may take.
const DIAL: Duration = Duration::from_secs(5);

/// A connection to discovery, kept up by a task. Dropping the last of it and of what came from it has that task end all
/// registrations; [`close`](Self::close) waits for that.
#[derive(Clone, Debug)]
pub struct Client(Handle);

impl Client {
    /// Connects to the first of these servers (`HOST:PORT`) that is there; the others are for when it is lost. What such a list
    /// is in `DISCOVERD` is [`servers`].
    ///
    /// # Errors
    ///
    /// None of them can be reached; or the system has no random numbers.
    pub async fn connect<S: Into<String>>(
        servers: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        let mut config = Config::default();
        config.servers = servers.into_iter().map(Into::into).collect();
        Self::with(config).await
    }

    /// As [`connect`](Self::connect), with everything that can be set.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn with(config: Config) -> Result<Self, Error> {
        let handle = Handle::new(config, |shared| {
            smol::spawn(driver::drive(Arc::clone(shared))).detach();
            Ok(None)
        })?;
        handle.connected().await?;
        Ok(Self(handle))
    }

    /// Registers an instance of a service, and keeps it registered. The server completes an address that begins with a colon.
    ///
    /// # Errors
    ///
    /// The server refuses, or has not answered in [time](Config::patience).
    pub async fn register<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Registration, Error> {
        let registration = self.0.register(args(service, address, attributes), true);
        registration.ready().await?;
        Ok(Registration(registration))
    }

    /// Registers an instance, and follows the others of its service.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub async fn register_with_set<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(Registration, Service), Error> {
        let registration = self.register(service, address, attributes).await?;
        let Service(others) = self.service(service).await?;
        let own = registration.address();
        Ok((registration, Service(others.without(own))))
    }

    /// Registers an instance that waits until it leads.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub async fn register_and_standby<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Standby, Error> {
        let registration = self.register(service, address, attributes).await?;
        let Service(service) = self.service(service).await?;
        Ok(Standby(client::Standby::new(registration.0, service)))
    }

    /// Registers an instance as long as its checks are good, which another task makes. An address that begins with a colon is
    /// checked on this machine.
    #[must_use]
    pub fn register_checked<'a>(
        &self,
        service: &str,
        address: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
        check: Check,
    ) -> Checked {
        let registration = self.0.register(args(service, address, attributes), false);
        let checked = Checked::new(registration, address, check);
        smol::spawn(driver::drive(Arc::clone(checked.checking()))).detach();
        checked
    }

    /// Follows a service, once all its instances are known.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub async fn service(&self, name: &str) -> Result<Service, Error> {
        self.filter(name, []).await
    }

    /// Follows those instances of a service that have all these attributes.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub async fn filter<'a>(
        &self,
        name: &str,
        wanted: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Service, Error> {
        let service = self.0.service(name, attributes(wanted));
        service.ready().await?;
        Ok(Service(service))
    }

    /// Dials instances of services.
    #[must_use]
    pub fn dialer(&self, balance: Balance) -> Dialer {
        Dialer(client::Dialer::new(self.0.clone(), balance))
    }

    /// Ends all registrations and the connection, also for those who still have something of it.
    pub async fn close(self) {
        self.0.close();
        self.0.closed().await;
    }
}

/// An instance that is registered as long as this lives.
#[derive(Debug)]
pub struct Registration(client::Registration);

impl Registration {
    /// Changes its attributes.
    pub fn set_attributes<'a>(&self, new: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let new = attributes(new);
        self.0.set_attributes((!new.is_empty()).then_some(new));
    }

    /// Ends it, and waits until the server knows. Without a connection nobody can be told: it expires.
    pub async fn close(self) {
        self.0.end();
        self.0.ended().await;
    }

    /// Its address, as the server has completed it.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.address()
    }
}

/// A service that is followed. What can be asked without waiting is in what it dereferences to.
#[derive(Debug)]
pub struct Service(client::Service);

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
    type Target = client::Service;

    fn deref(&self) -> &client::Service {
        &self.0
    }
}

/// What becomes of a service, without an end as long as the client is open.
#[derive(Debug)]
pub struct Watch(client::Watch);

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.0.poll_next(cx)
    }
}

/// Who leads a service, one after the other, without an end as long as the client is open.
#[derive(Debug)]
pub struct Leaders(client::Leaders);

impl Stream for Leaders {
    type Item = Member;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Member>> {
        self.0.poll_next(cx)
    }
}

/// An instance that is registered and waits until it leads.
#[derive(Debug)]
pub struct Standby(client::Standby);

impl Standby {
    /// Waits until it leads.
    ///
    /// # Errors
    ///
    /// The client was closed.
    pub async fn wait(self) -> Result<Registration, Error> {
        self.0.leads().await?;
        Ok(Registration(self.0.into_registration()))
    }

    /// Its address, as the server has completed it.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.registration().address()
    }
}

/// Dials instances of services: a service that was dialed once is followed from then on.
pub struct Dialer(client::Dialer);

impl Dialer {
    /// Connects to an instance. One that cannot be reached within 5 s is passed over for a while, and the next one is tried.
    ///
    /// # Errors
    ///
    /// The service has no instance, or none that can be reached; or discovery does not answer.
    pub async fn dial(&self, service: &str) -> Result<Async<TcpStream>, Error> {
        let followed = self.0.service(service)?;
        followed.known().await?;
        let mut error = Error::Nobody { service: service.into() };
        let mut tried = Vec::new();
        while let Some(address) = self.0.pick(service, &tried) {
            match driver::reach(&address, DIAL).await {
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
