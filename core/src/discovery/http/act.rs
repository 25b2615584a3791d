//! What requests do.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::{Meta, Shown, json};
use super::error::Error;
use super::listing::{Items, Listing};
use super::request::{self, Named, Registered};
use super::route::{Place, Verb};
use super::server::Env;
use super::stream::Shape;
use crate::discovery::instance::{PROTOCOL, attributes_of, check_attributes, digest, unhex};
use crate::discovery::{
    Document, Expect, Instance, Interest, Registration, Registry, StoreError, SubscriptionId,
    instance_id,
};
use crate::id::CallId;

/// A request whose body is complete.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    pub(super) place: Place,
    /// `Accept` has `text/event-stream`.
    pub(super) wants_stream: bool,
    /// `Content-Type` is `application/json`.
    pub(super) is_json: bool,
    /// From where a stream is to go on.
    pub(super) since: Option<u64>,
    pub(super) is_head: bool,
}

/// What comes of it.
pub(super) enum Outcome {
    Page,
    Json(Vec<u8>),
    /// That, of so many bytes.
    List(u64, Listing),
    Nothing,
    /// The answers of the store are to be waited for.
    Wait(Waiting),
    /// The head of a stream is all that was asked for.
    NoStream,
    Stream(Shape, String, SubscriptionId),
}

/// What is answered when the store has answered.
#[derive(Debug)]
pub(super) struct Waiting {
    /// So many answers of the store's.
    left: usize,
    reply: Reply,
    failure: Option<Error>,
    /// What it is about, for who reads errors.
    what: String,
}

#[derive(Debug)]
enum Reply {
    Nothing,
    /// What was to be gone may be gone already.
    Gone,
    Instance(Instance),
    Meta(String, u64),
}

impl Waiting {
    fn new(left: usize, reply: Reply, what: String) -> Self {
        Self { left, reply, failure: None, what }
    }

    /// One answer has come. Returns whether that was the last.
    pub(super) fn note(&mut self, result: Result<u64, StoreError>) -> bool {
        match (result, &mut self.reply) {
            (Ok(index), Reply::Meta(_, place)) => *place = index,
            (Ok(_), _) | (Err(StoreError::NotFound { .. }), Reply::Gone) => {}
            (Err(error), _) => self.failure = Some(Error::of_store(&error, &self.what)),
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    /// What is answered.
    pub(super) fn finish(self, registry: Option<&Registry>) -> Result<Vec<u8>, Error> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        Ok(match self.reply {
            Reply::Nothing | Reply::Gone => Vec::new(),
            Reply::Instance(instance) => {
                let known = registry.and_then(|it| it.get(&instance.service, &instance.address));
                json(&Shown::from(known.map_or(&instance, |known| &**known)))
            }
            Reply::Meta(text, index) => json(&Meta::new(&text, index)),
        })
    }
}

pub(super) fn act(
    env: &mut Env<'_>,
    call: CallId,
    asked: Asked,
    body: &[u8],
) -> Result<Outcome, Error> {
    let Asked { verb, place, wants_stream, is_json, since, is_head } = asked;
    let follow = |env: &mut Env<'_>, shape, name: String| {
        if is_head {
            return Ok(Outcome::NoStream);
        }
        let interest = match shape {
            Shape::All => Interest::All(since),
            _ => Interest::Service(&name, since),
        };
        let id = env.agent.subscribe(env.now, (env.owner, call), interest);
        Ok(Outcome::Stream(shape, name, id))
    };
    if !is_json && !body.is_empty() && !matches!(place, Place::Instance(..)) {
        return Err(Error::invalid(
            "the body has to be JSON, and Content-Type to say so: send Content-Type: application/json",
        ));
    }
    let mut cx = Cx { call, env };
    match (verb, place) {
        (Verb::Get, Place::Page) => Ok(Outcome::Page),
        (Verb::Get, Place::Services) if wants_stream => follow(cx.env, Shape::All, String::new()),
        (Verb::Get, Place::Services) => {
            Ok(list(Items::Names(cx.registry()?.services().cloned().collect())))
        }
        (Verb::Get, Place::Service(name)) => follow(cx.env, Shape::Service, name),
        (Verb::Put, Place::Service(name)) => cx.create(&name, body),
        (_, Place::Service(name)) => cx.delete(&name),
        (Verb::Get, Place::Meta(name)) => {
            let kept = cx.service(&name)?.document(&name, Document::Meta);
            let kept = kept.ok_or_else(|| Error::not_found(&meta_of(&name)))?;
            Ok(Outcome::Json(json(&Meta::from(kept))))
        }
        (_, Place::Meta(name)) => cx.set_meta(&name, body),
        (Verb::Get, Place::Instances(name)) if wants_stream => {
            follow(cx.env, Shape::Instances, name)
        }
        (_, Place::Instances(name)) => {
            Ok(list(Items::Instances(cx.service(&name)?.instances(&name).cloned().collect())))
        }
        (Verb::Put, Place::Instance(name, id)) => cx.register(&name, &id, body),
        (_, Place::Instance(name, id)) => {
            let address = cx.find(&name, &id)?;
            cx.env.agent.unregister(cx.env.now, (cx.env.owner, call), &name, &address);
            Ok(Outcome::Wait(Waiting::new(1, Reply::Nothing, instance_of(&name, &id))))
        }
        (Verb::Get, Place::Leader(name)) if wants_stream => follow(cx.env, Shape::Leader, name),
        (Verb::Get, Place::Leader(name)) => {
            let leader = cx.service(&name)?.leader(&name);
            let leader =
                leader.ok_or_else(|| Error::not_found(&format!("a leader of {name:?}")))?;
            Ok(Outcome::Json(json(&Shown::from(&**leader))))
        }
        (_, Place::Leader(name)) => cx.set_leader(&name, body),
        // There is no other verb for the rest.
        (_, Place::Ping | Place::Page | Place::Services) => Ok(Outcome::Nothing),
    }
}

/// A list, whole or, if it is long, in pieces: many who read nothing would hold many copies of it.
fn list(items: Items) -> Outcome {
    let whole = json(&items);
    if whole.len() <= SHORT {
        return Outcome::Json(whole);
    }
    Outcome::List(whole.len() as u64, items.into())
}

/// A list of up to so many bytes is answered whole.
const SHORT: usize = 16 * 1024;

fn meta_of(name: &str) -> String {
    format!("metadata of service {name:?}")
}

fn instance_of(name: &str, id: &str) -> String {
    format!("instance {id:?} of service {name:?}")
}

/// One request at work.
struct Cx<'a, 'b> {
    call: CallId,
    env: &'a mut Env<'b>,
}

impl Cx<'_, '_> {
    fn registry(&self) -> Result<&Registry, Error> {
        self.env.agent.registry().map_err(|error| Error::of_store(&error, ""))
    }

    /// The registry, if that service is there.
    fn service(&self, name: &str) -> Result<&Registry, Error> {
        let registry = self.registry()?;
        if registry.exists(name) { Ok(registry) } else { Err(Error::no_service(name)) }
    }

    /// The address of the instance with that id, or with that of the address that the server completed to it.
    fn find(&self, name: &str, id: &str) -> Result<String, Error> {
        let registry = self.service(name)?;
        let wanted = unhex(id.as_bytes()).filter(|_| !id.bytes().any(|it| it.is_ascii_uppercase()));
        let is_short = |it: &Instance| {
            let short = self.env.agent.shorten(&it.address);
            short.is_some_and(|short| Some(digest(it.protocol(), short)) == wanted)
        };
        let whole = wanted.and_then(|wanted| registry.with_id(name, wanted));
        match whole.or_else(|| registry.instances(name).find(|it| is_short(it))) {
            Some(found) => Ok(found.address.to_string()),
            None => Err(Error::not_found(&instance_of(name, id))),
        }
    }

    fn keep(&mut self, name: &str, which: Document, text: Option<String>, expect: Expect) {
        let of = (self.env.owner, self.call);
        self.env.agent.keep(self.env.now, of, (name, which), text, expect);
    }

    fn create(&mut self, name: &str, body: &[u8]) -> Result<Outcome, Error> {
        request::check_new(name)?;
        let leader_type = request::leader_type(body)?;
        let what = format!("service {name:?}");
        if self.registry()?.exists(name) {
            return Err(Error::exists(&format!("{what} already exists")));
        }
        self.keep(name, Document::Service, Some(leader_type), Expect::Absent);
        Ok(Outcome::Wait(Waiting::new(1, Reply::Nothing, what)))
    }

    fn delete(&mut self, name: &str) -> Result<Outcome, Error> {
        let registry = self.service(name)?;
        let documents: Vec<Document> =
            Document::ALL.into_iter().filter(|it| registry.document(name, *it).is_some()).collect();
        // Who leads goes last, and only then what names him: nobody else is told to lead, just to go at once.
        let leader = registry.leader(name).map(|it| &it.address);
        let (mut addresses, last): (Vec<_>, Vec<_>) =
            registry.instances(name).map(|it| &it.address).partition(|it| Some(*it) != leader);
        addresses.reverse();
        let addresses: Vec<_> = addresses.into_iter().chain(last).cloned().collect();
        let left = documents.len() + addresses.len();
        for address in addresses {
            self.env.agent.unregister(self.env.now, (self.env.owner, self.call), name, &address);
        }
        for which in documents {
            self.keep(name, which, None, Expect::Any);
        }
        Ok(Outcome::Wait(Waiting::new(left, Reply::Gone, format!("service {name:?}"))))
    }

    fn set_meta(&mut self, name: &str, body: &[u8]) -> Result<Outcome, Error> {
        let (text, index) = request::meta(body)?;
        self.service(name)?;
        let expect = if index == 0 { Expect::Absent } else { Expect::Is(index) };
        self.keep(name, Document::Meta, Some(text.clone()), expect);
        Ok(Outcome::Wait(Waiting::new(1, Reply::Meta(text, 0), meta_of(name))))
    }

    fn set_leader(&mut self, name: &str, body: &[u8]) -> Result<Outcome, Error> {
        let Named { id } = request::read(body)?;
        let address = self.find(name, &id)?;
        self.keep(name, Document::Leader, Some(address), Expect::Any);
        Ok(Outcome::Wait(Waiting::new(1, Reply::Nothing, format!("the leader of {name:?}"))))
    }

    fn register(&mut self, name: &str, id: &str, body: &[u8]) -> Result<Outcome, Error> {
        let asked: Registered = request::read(body)?;
        let protocol = asked.protocol()?;
        if let Some(value) = asked.meta.as_ref().and_then(|meta| meta.get(PROTOCOL)) {
            return Err(Error::invalid(&format!(
                "meta has the key {PROTOCOL:?}, of value {value:?}, but the protocol is kept there: \
                name that in the field {PROTOCOL} beside meta, or use another key"
            )));
        }
        let address = self.env.agent.expand(asked.addr.clone()).map_err(|text| {
            // That text is for clients of the RPC too.
            Error::invalid(text.strip_prefix("discoverd: ").unwrap_or(&text))
        })?;
        let expected = instance_id(protocol, &address);
        // Who lets the server complete the address may not know how.
        let is_id = |id: &str| id == expected || id == instance_id(protocol, &asked.addr);
        if let Some(wrong) =
            [Some(id), asked.id.as_deref()].into_iter().flatten().find(|it| !is_id(it))
        {
            return Err(Error::invalid(&format!(
                "id {wrong:?} does not fit {protocol} and {address:?}: use {expected:?}, the MD5 of \"{protocol}-{address}\""
            )));
        }
        let known = self.service(name)?.get(name, &address);
        if let Some(known) = known.filter(|known| known.protocol() != protocol) {
            return Err(Error::exists(&format!(
                "{address:?} is registered with proto {:?}: delete instance {} first",
                known.protocol(),
                known.id()
            )));
        }
        let attributes = attributes_of(protocol, asked.meta.clone());
        if let Some(attributes) = &attributes {
            check_attributes(attributes).map_err(|error| Error::of_invalid(&error))?;
        }
        let instance = Instance {
            service: name.into(),
            address: (*address).into(),
            attributes: attributes.clone(),
            created: 0,
        };
        let registration = Registration { service: name.into(), address, attributes };
        self.env.agent.register(self.env.now, (self.env.owner, self.call), registration);
        Ok(Outcome::Wait(Waiting::new(1, Reply::Instance(instance), instance_of(name, id))))
    }
}
