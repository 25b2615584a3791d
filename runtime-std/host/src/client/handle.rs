//! What programs hold: a client, a registration, a service, those who follow it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use libswarm::discovery::client;
use libswarm::discovery::client::{Client, Config, Error, Machine, RegistrationId, SetId, WatchId};
use libswarm::discovery::{Attributes, Change, Member, ServiceSet};
use libswarm::rpc::Args;

use super::shared::{Seat, Shared};
use crate::server::random_seed;

/// A client that somebody drives. When it and all that came from it are dropped, it is closed.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Closing>);

/// Closes a client, and waits for its end if there is a way to.
struct Closing {
    shared: Arc<Shared<Client>>,
    wait: Option<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.shared.with(Client::close);
        if let Some(wait) = &self.wait {
            wait();
        }
    }
}

impl Handle {
    /// A client that is to be driven with the second of these. `wait` is called when it was closed.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn new(
        config: Config,
        wait: impl FnOnce(&Arc<Shared<Client>>) -> Result<Option<Box<dyn Fn() + Send + Sync>>, Error>,
    ) -> Result<Self, Error> {
        let seed = random_seed().map_err(|error| Error::System(error.to_string()))?;
        let shared = Arc::new(Shared::new(|now| Client::new(config, now, seed)));
        let wait = wait(&shared)?;
        Ok(Self(Arc::new(Closing { shared, wait })))
    }

    /// The machine.
    #[must_use]
    pub fn shared(&self) -> &Shared<Client> {
        &self.0.shared
    }

    /// Ready when a server has greeted, or none of them can be reached.
    pub fn connected(&self) -> impl Future<Output = Result<(), Error>> + '_ {
        self.shared().wait_for(|client| match (client.server(), client.unreachable()) {
            (Some(_), _) => Some(Ok(())),
            (None, Some(error)) => Some(Err(error)),
            (None, None) => client.is_over().then_some(Err(Error::Closed)),
        })
    }

    /// Begins to close the client, whoever else has something of it.
    pub fn close(&self) {
        self.shared().with(Client::close);
    }

    /// Ready when the client is closed.
    pub fn closed(&self) -> impl Future<Output = ()> + '_ {
        self.shared().wait_for(|client| client.is_over().then_some(()))
    }

    /// Begins a registration; one that is not `online` waits for [`Registration::set_online`].
    #[must_use]
    pub fn register(&self, args: Args, online: bool) -> Registration {
        let id = self.shared().with(|client, now| {
            let id = client.prepare(args);
            client.set_online(now, id, online);
            id
        });
        Registration { handle: self.clone(), id }
    }

    /// Begins to follow a service: those of its instances that have all these attributes.
    #[must_use]
    pub fn service(&self, name: &str, filter: Attributes) -> Service {
        let id = self.shared().with(|client, now| client.subscribe(now, name, filter));
        let set = Arc::new(Following { handle: self.clone(), id });
        Service { set, own: None }
    }
}

/// An instance that is registered as long as this lives.
#[derive(Debug)]
pub struct Registration {
    handle: Handle,
    id: RegistrationId,
}

impl Registration {
    /// Ready when a server has taken it, or it is given up.
    pub fn ready(&self) -> impl Future<Output = Result<(), Error>> + '_ {
        self.handle.shared().wait_for(|client| {
            let registration = client.registration(self.id);
            match registration.map(|it| (it.address().is_some(), it.error())) {
                Some((_, Some(error))) => Some(Err(error.clone())),
                Some((true, None)) => Some(Ok(())),
                None => Some(Err(Error::Closed)),
                Some(_) => client.is_over().then_some(Err(Error::Closed)),
            }
        })
    }

    /// Its address as the server has completed it; empty if it is not registered.
    #[must_use]
    pub fn address(&self) -> String {
        let of = |client: &Client| client.registration(self.id)?.address().map(str::to_owned);
        self.handle.shared().get(of).unwrap_or_default()
    }

    /// Changes its attributes.
    pub fn set_attributes(&self, attributes: Option<Attributes>) {
        self.handle.shared().with(|client, now| client.set_attributes(now, self.id, attributes));
    }

    /// Takes it out, or puts it in again.
    pub fn set_online(&self, online: bool) {
        self.handle.shared().with(|client, now| client.set_online(now, self.id, online));
    }

    /// Begins to end it.
    pub fn end(&self) {
        self.handle.shared().with(|client, now| client.unregister(now, self.id));
    }

    /// Ready when no server has it any more, after [`end`](Self::end); without a connection that takes no time to live's length.
    pub fn ended(&self) -> impl Future<Output = ()> + '_ {
        self.handle.shared().wait_for(|client| {
            let is_gone = client.registration(self.id).is_none() || client.is_over();
            (is_gone || client.server().is_none()).then_some(())
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
    }
}

/// A service that is followed as long as this, or what came from it, lives.
#[derive(Debug)]
pub struct Service {
    set: Arc<Following>,
    /// Who is not among the instances.
    own: Option<String>,
}

#[derive(Debug)]
struct Following {
    handle: Handle,
    id: SetId,
}

impl Following {
    fn get<T>(&self, look: impl FnOnce(&ServiceSet) -> T) -> Option<T> {
        self.handle.shared().get(|client| client.set(self.id).map(look))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.handle.shared().with(|client, now| client.unsubscribe(now, self.id));
    }
}

impl Service {
    /// Leaves an instance out of [`instances`](Self::instances): the program's own.
    #[must_use]
    pub fn without(mut self, address: String) -> Self {
        self.own = Some(address);
        self
    }

    /// Ready when all instances are known, or it is given up.
    pub fn ready(&self) -> impl Future<Output = Result<(), Error>> + '_ {
        let id = self.set.id;
        self.set.handle.shared().wait_for(move |client| match client.set_error(id) {
            Some(error) => Some(Err(error.clone())),
            None if client.set(id).is_some_and(ServiceSet::is_current) => Some(Ok(())),
            None => client.is_over().then_some(Err(Error::Closed)),
        })
    }

    /// Ready when all instances are known, or were before the connection was lost; or it is given up.
    pub async fn known(&self) -> Result<(), Error> {
        let id = self.set.id;
        if self.set.handle.shared().get(|client| client.is_known(id)) {
            return Ok(());
        }
        self.ready().await
    }

    /// Why it is given up.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        self.set.handle.shared().get(|client| client.set_error(self.set.id).cloned())
    }

    /// The instances, the oldest first; not the program's own one, if it was registered with this service.
    #[must_use]
    pub fn instances(&self) -> Vec<Member> {
        self.select(&Attributes::new())
    }

    /// Those of the instances that have these attributes and perhaps others.
    #[must_use]
    pub fn select(&self, wanted: &Attributes) -> Vec<Member> {
        let is_other = |member: &&Member| self.own.as_ref() != Some(&member.address);
        let all = self.set.get(|set| set.select(wanted).filter(is_other).cloned().collect());
        all.unwrap_or_default()
    }

    /// The oldest instance, the program's own one included.
    #[must_use]
    pub fn leader(&self) -> Option<Member> {
        self.set.get(|set| set.leader().cloned()).flatten()
    }

    /// Looks at all that is known.
    pub fn look<T>(&self, look: impl FnOnce(&ServiceSet) -> T) -> Option<T> {
        self.set.get(look)
    }

    /// Follows the changes, the program's own included: from all that are there now, or only what comes.
    #[must_use]
    pub fn watch(&self, with_current: bool) -> Watch {
        let id = self.set.handle.shared().with(|client, _| client.watch(self.set.id, with_current));
        Watch { set: Arc::clone(&self.set), id, seat: Seat::default() }
    }

    /// Follows the leaders, beginning with the one that there is.
    #[must_use]
    pub fn leaders(&self) -> Leaders {
        let (leaders, seat) = (client::Leaders::default(), Seat::default());
        Leaders { set: Arc::clone(&self.set), leaders, seat }
    }
}

/// Tells what becomes of a service.
#[derive(Debug)]
pub struct Watch {
    set: Arc<Following>,
    id: Option<WatchId>,
    seat: Seat,
}

impl Watch {
    /// The next change; `None` once the service is given up or the client closed.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let Self { set, id: Some(id), seat } = self else { return Poll::Ready(None) };
        set.handle.shared().poll_for(seat, cx, |client| match client.next(*id) {
            Some(change) => Some(Some(change)),
            None => (client.is_over() || client.set_error(set.id).is_some()).then_some(None),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let shared = self.set.handle.shared();
        shared.leave(&mut self.seat);
        if let Some(id) = self.id {
            shared.with(|client, _| client.unwatch(id));
        }
    }
}

/// Tells who leads a service.
#[derive(Debug)]
pub struct Leaders {
    set: Arc<Following>,
    leaders: client::Leaders,
    seat: Seat,
}

impl Leaders {
    /// The next leader; `None` once the service is given up or the client closed.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Member>> {
        let Self { set, leaders, seat } = self;
        set.handle.shared().poll_for(seat, cx, |client| {
            match client.set(set.id).and_then(|set| leaders.next(set)) {
                Some(leader) => Some(Some(leader)),
                None => (client.is_over() || client.set_error(set.id).is_some()).then_some(None),
            }
        })
    }
}

impl Drop for Leaders {
    fn drop(&mut self) {
        self.set.handle.shared().leave(&mut self.seat);
    }
}

/// Waits until a registration leads its service.
#[derive(Debug)]
pub struct Standby {
    registration: Registration,
    service: Service,
}

impl Standby {
    /// Of a registration and the service that it is of.
    #[must_use]
    pub const fn new(registration: Registration, service: Service) -> Self {
        Self { registration, service }
    }

    /// Ready when the registration leads; or it never will.
    pub async fn leads(&self) -> Result<(), Error> {
        self.registration.ready().await?;
        let Service { set, .. } = &self.service;
        let leads = set.handle.shared().wait_for(|client| {
            if let Some(error) = client.set_error(set.id) {
                return Some(Err(error.clone()));
            }
            let own = client.registration(self.registration.id).and_then(|it| it.address());
            let known = client.set(set.id).filter(|set| set.is_current());
            let leader = known.and_then(ServiceSet::leader).map(|leader| &*leader.address);
            if own.is_some() && own == leader {
                return Some(Ok(()));
            }
            client.is_over().then_some(Err(Error::Closed))
        });
        leads.await
    }

    /// The registration.
    #[must_use]
    pub const fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Gives the registration back.
    #[must_use]
    pub fn into_registration(self) -> Registration {
        self.registration
    }
}
