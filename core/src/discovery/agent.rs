//! What the calls of the RPC mean.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::instance::{InvalidError, check, check_attributes};
use super::store::{Exchange, Persist};
use super::{
    Document, Event, Expect, Interest, Registration, Registry, Store, StoreError, StoreEvent,
    StoreInput, SubscriptionId,
};
use crate::id::{CallId, Key, Slab};
use crate::job::Upstream;
use crate::rpc::{Args, Method};
use crate::time::Instant;

/// Answers calls from a [`Store`].
///
/// It does not know connections: whoever calls says with a number of his own, the `owner`, whose call it is, and gets that
/// number back with the answer.
pub struct Agent {
    store: Box<dyn Store>,
    external_address: Option<String>,
    requests: Slab<Request>,
    subscriptions: BTreeMap<SubscriptionId, (u64, CallId)>,
}

struct Request {
    owner: u64,
    call: CallId,
    kind: Kind,
}

enum Kind {
    /// Answered with the whole address.
    Register(String),
    /// What is said if there is no such registration.
    Unregister(String),
    /// Answered as the store answers.
    Direct,
}

/// What an agent tells.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AgentEvent {
    /// The answer to a call: for [`Method::Register`] a text, for [`Method::Unregister`] nothing; or what is wrong.
    Answer {
        /// Whose call.
        owner: u64,
        /// Which call.
        call: CallId,
        /// The answer.
        result: Result<Option<String>, String>,
    },
    /// The answer to a request that came over [HTTP](super::http): for one about a document, its index.
    Done {
        /// Whose request.
        owner: u64,
        /// Which request.
        call: CallId,
        /// The answer.
        result: Result<u64, StoreError>,
    },
    /// A subscription has something to read; see [`Agent::next`].
    Ready {
        /// Whose subscription.
        owner: u64,
        /// The call that began it.
        call: CallId,
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// A subscription cannot be gone on with.
    Ended {
        /// Whose subscription.
        owner: u64,
        /// The call that began it.
        call: CallId,
        /// The subscription.
        subscription: SubscriptionId,
        /// Why.
        error: StoreError,
    },
    /// For the log.
    Warn(String),
    /// As [`StoreEvent::Exchange`].
    Exchange(Exchange),
    /// As [`StoreEvent::Abandon`].
    Abandon(u64),
    /// As [`StoreEvent::Connect`].
    Connect {
        /// The store's number for it.
        id: u64,
        /// To whom.
        upstream: Arc<Upstream>,
    },
    /// As [`StoreEvent::Write`].
    Write(u64, Vec<u8>),
    /// As [`StoreEvent::Close`].
    Close(u64),
}

impl Agent {
    /// One with that store. `external_address` is what stands before an address that begins with a colon: an IP address or a
    /// name.
    #[must_use]
    pub fn new(store: Box<dyn Store>, external_address: Option<String>) -> Self {
        let external_address = external_address.filter(|it| !it.is_empty()).map(|it| {
            // Without brackets it could not be told where the port begins.
            if it.contains(':') && !it.starts_with('[') { format!("[{it}]") } else { it }
        });
        Self { store, external_address, requests: Slab::new(), subscriptions: BTreeMap::new() }
    }

    /// Takes a call. For [`Method::Subscribe`] it gives the subscription, which is to be [closed](Self::close) when nobody
    /// listens any more; for the others an [`AgentEvent::Answer`] follows.
    ///
    /// # Errors
    ///
    /// What is wrong with the call; this is its answer.
    pub fn call(
        &mut self,
        now: Instant,
        (owner, call): (u64, CallId),
        method: Method,
        args: Args,
    ) -> Result<Option<SubscriptionId>, String> {
        let Args { name, address, attributes } = args;
        check("Name", &name).map_err(text)?;
        match method {
            Method::Subscribe => {
                return Ok(Some(self.subscribe(now, (owner, call), Interest::Instances(&name))));
            }
            Method::Register => {
                let address = self.expand(address)?;
                if let Some(attributes) = &attributes {
                    check_attributes(attributes).map_err(text)?;
                }
                let kind = Kind::Register(address.clone());
                let request = self.request(owner, call, kind);
                let registration = Registration { service: name, address, attributes };
                self.store.register(now, request, registration);
            }
            Method::Unregister => {
                let address = self.expand(address)?;
                let kind = Kind::Unregister(format!("/discover/services/{name}/{address}"));
                let request = self.request(owner, call, kind);
                self.store.unregister(now, request, &name, &address);
            }
        }
        Ok(None)
    }

    fn request(&mut self, owner: u64, call: CallId, kind: Kind) -> u64 {
        number(self.requests.insert(Request { owner, call, kind }))
    }

    /// What is known of services.
    ///
    /// # Errors
    ///
    /// It is not known what there is.
    pub fn registry(&self) -> Result<&Registry, StoreError> {
        self.store.registry()
    }

    /// What stands before an address that begins with a colon, without brackets, and without the dot that ends a name.
    pub(super) fn external_name(&self) -> Option<&str> {
        let external = self.external_address.as_deref()?;
        let bare = external.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name = bare.unwrap_or(external);
        Some(name.strip_suffix('.').unwrap_or(name))
    }

    /// Registers an instance whose parts were checked; an [`AgentEvent::Done`] follows.
    pub(super) fn register(
        &mut self,
        now: Instant,
        (owner, call): (u64, CallId),
        registration: Registration,
    ) {
        let request = self.request(owner, call, Kind::Direct);
        self.store.register(now, request, registration);
    }

    /// Ends a registration; an [`AgentEvent::Done`] follows.
    pub(super) fn unregister(
        &mut self,
        now: Instant,
        (owner, call): (u64, CallId),
        service: &str,
        address: &str,
    ) {
        let request = self.request(owner, call, Kind::Direct);
        self.store.unregister(now, request, service, address);
    }

    /// As [`Store::keep`]; an [`AgentEvent::Done`] follows.
    pub(super) fn keep(
        &mut self,
        now: Instant,
        (owner, call): (u64, CallId),
        (service, which): (&str, Document),
        text: Option<String>,
        expect: Expect,
    ) {
        let request = self.request(owner, call, Kind::Direct);
        self.store.keep(now, request, service, which, text, expect);
    }

    /// As [`Store::subscribe`]; to be [closed](Self::close) when nobody listens any more.
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        (owner, call): (u64, CallId),
        interest: Interest<'_>,
    ) -> SubscriptionId {
        let id = self.store.subscribe(now, interest);
        self.subscriptions.insert(id, (owner, call));
        id
    }

    /// As [`Store::told`].
    pub(super) fn told(&self, subscription: SubscriptionId) -> Option<u64> {
        self.store.told(subscription)
    }

    /// A whole address, checked.
    pub(super) fn expand(&self, address: String) -> Result<String, String> {
        let address = match &self.external_address {
            Some(external) if address.starts_with(':') => format!("{external}{address}"),
            _ => address,
        };
        if address.starts_with(':') {
            return Err("discoverd: Addr must have address or EXTERNAL_IP must be set".into());
        }
        check("Addr", &address).map_err(text)?;
        Ok(address)
    }

    /// What [`expand`](Self::expand) makes that whole address of, if there is anything shorter.
    pub(super) fn shorten<'a>(&self, address: &'a str) -> Option<&'a str> {
        let short = address.strip_prefix(self.external_address.as_deref()?)?;
        short.starts_with(':').then_some(short)
    }

    /// Ends a subscription.
    pub fn close(&mut self, subscription: SubscriptionId) {
        self.subscriptions.remove(&subscription);
        self.store.unsubscribe(subscription);
    }

    /// What a subscription is told next; `None` if that was all for now, and [`AgentEvent::Ready`] says when there is more.
    pub fn next(&mut self, subscription: SubscriptionId) -> Option<Event> {
        self.store.next(subscription)
    }

    /// How many subscriptions are open.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Tells the store.
    pub fn handle(&mut self, now: Instant, input: StoreInput<'_>) {
        self.store.handle(now, input);
    }

    /// What there is to tell next.
    pub fn poll(&mut self) -> Option<AgentEvent> {
        while let Some(event) = self.store.poll() {
            return Some(match event {
                StoreEvent::Done(number, result) => {
                    let Some(request) = self.requests.remove(key(number)) else { continue };
                    request.answer(result.map(|()| 0))
                }
                StoreEvent::Kept(number, result) => {
                    let Some(request) = self.requests.remove(key(number)) else { continue };
                    request.answer(result)
                }
                StoreEvent::Ready(subscription) => {
                    let Some((owner, call)) = self.subscriptions.get(&subscription) else {
                        continue;
                    };
                    AgentEvent::Ready { owner: *owner, call: *call, subscription }
                }
                StoreEvent::Ended(subscription, error) => {
                    let Some((owner, call)) = self.subscriptions.remove(&subscription) else {
                        continue;
                    };
                    AgentEvent::Ended { owner, call, subscription, error }
                }
                StoreEvent::Warn(line) => AgentEvent::Warn(line),
                StoreEvent::Exchange(exchange) => AgentEvent::Exchange(exchange),
                StoreEvent::Abandon(id) => AgentEvent::Abandon(id),
                StoreEvent::Connect { id, upstream } => AgentEvent::Connect { id, upstream },
                StoreEvent::Write(id, bytes) => AgentEvent::Write(id, bytes),
                StoreEvent::Close(id) => AgentEvent::Close(id),
            });
        }
        None
    }

    /// As [`Store::poll_persist`].
    pub fn poll_persist(&mut self) -> Option<Persist> {
        self.store.poll_persist()
    }

    /// When [`StoreInput::Timeout`] is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.store.poll_timeout()
    }
}

/// A request's number in the store, which does not know where it comes from.
fn number(key: Key) -> u64 {
    u64::from(key.generation()) << 32 | u64::from(key.slot())
}

const fn key(number: u64) -> Key {
    Key::new(number as u32, (number >> 32) as u32)
}

impl Request {
    fn answer(self, result: Result<u64, StoreError>) -> AgentEvent {
        let Self { owner, call, kind } = self;
        let result = match (result, kind) {
            (result, Kind::Direct) => return AgentEvent::Done { owner, call, result },
            (Ok(_), Kind::Register(address)) => Ok(Some(address)),
            (Ok(_), Kind::Unregister(_)) => Ok(None),
            // As etcd said it, and the original passed it on.
            (
                Err(StoreError::NotFound { index }),
                Kind::Register(path) | Kind::Unregister(path),
            ) => Err(format!("100: Key not found ({path}) [{index}]")),
            (Err(error), _) => Err(format!("discoverd: {error}")),
        };
        AgentEvent::Answer { owner, call, result }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: InvalidError) -> String {
    error.to_string()
}
