//! The one machine that a runtime drives.
//!
//! A [`Node`] answers Docker clients: it holds their connections, turns what they send into jobs of an
//! [`Engine`], and the jobs' output into what is to be written. It does no I/O itself. A
//! runtime tells it what happened ([`handle`](Node::handle)), asks what to do ([`poll`](Node::poll)) until the answer is
//! `None`, and does that.

mod action;
mod caller;
mod config;
mod conn;
mod discovery;
mod dns;
mod door;
mod duplex;
mod fetch;
mod forward;
mod link;
mod output;
mod relay;
mod resolver;
mod splice;
mod wire;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

pub use action::{Action, CloseReason, Input, Refusal};
use caller::Caller;
pub use config::Config;
use conn::Conn;
use dns::Dns;
use fetch::Fetch;
use link::Link;
use relay::Pool;
use resolver::Resolver;
use wire::Wire;

use crate::discovery::{Agent, StoreInput};
use crate::docker::Replies;
use crate::http1::Server;
use crate::id::{ConnId, Key, Slab};
use crate::job::{Engine, Log, Upstream};
use crate::time::Instant;
use crate::timers::Timers;

/// A Docker endpoint without sockets.
///
/// The rules of the loop:
///
/// - [`handle`](Node::handle) never fails: bad input becomes an action. It may be called any number of times before
///   [`poll`](Node::poll) is.
/// - Each [`Action::Read`] allows one read; no `Read`, no read. That is what bounds the node's memory.
/// - At most one of `Write`, `Shutdown` and a `Splice` to it is outstanding for a connection. The node asks for the next only
///   when [`Input::Done`] or [`Input::Spliced`] has told of the end of the one before, so two threads that hold actions never
///   reorder bytes. A `Close` may come at any time.
/// - [`poll_timeout`](Node::poll_timeout) may be asked at any time; when it is reached, [`Input::Timeout`] is due.
/// - `poll` is O(1): it looks at connections that have something to do, never at all of them.
///
/// ```
/// use libswarm::job::{Backend, Cx, Engine, Event};
/// use libswarm::node::{Action, Config, Input, Node};
/// use libswarm::{Instant, JobId};
///
/// struct Pong;
/// impl Backend for Pong {
///     fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
///         if let Event::Start(_) = event {
///             cx.reply(job, "OK");
///         }
///     }
/// }
///
/// let mut engine = Engine::new(7);
/// engine.register("ping", Pong);
/// let mut node = Node::new(Config::default(), engine);
/// let (now, mut out) = (Instant::ZERO, Vec::new());
///
/// let client = node.accept(now).unwrap();
/// assert_eq!(node.poll(&mut out), Some(Action::Read(client)));
/// node.handle(now, Input::Received(client, b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"));
/// assert!(matches!(node.poll(&mut out), Some(Action::Write { .. })));
/// assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n") && out.ends_with(b"\r\n\r\nOK"));
/// ```
pub struct Node {
    config: Config,
    engine: Engine,
    replies: Replies,
    conns: Slab<Slot>,
    clients: usize,
    /// Connections are being refused, which was said once.
    full: bool,
    pools: BTreeMap<Arc<Upstream>, Pool>,
    via: String,
    /// What is to be done for connections that are nobody's: those to servers that wait or are given up.
    actions: VecDeque<Action>,
    joins: Vec<(ConnId, bool)>,
    released: Vec<Release>,
    ready: VecDeque<ConnId>,
    /// What answers clients of discovery.
    agent: Option<Agent>,
    /// Those of them that may have more to be read.
    calling: VecDeque<ConnId>,
    /// What the store of discovery asks of other servers, by its number; and which of these may have something to do.
    fetches: BTreeMap<u64, Fetch>,
    fetching: VecDeque<u64>,
    /// The store's connections that are not HTTP, by its numbers; and which of these may have something to do.
    wires: BTreeMap<u64, Wire>,
    wiring: VecDeque<u64>,
    /// What answers DNS.
    dns: Option<Dns>,
    timers: Timers<(ConnId, Deadline)>,
    now: Instant,
    stopping: Option<Instant>,
    logs: VecDeque<String>,
}

/// Who a connection belongs to.
#[expect(clippy::large_enum_variant, reason = "nearly all are clients")]
enum Slot {
    /// It is a client's of the Docker API.
    Client(Conn),
    /// It is a client's of discovery.
    Caller(Box<Caller>),
    /// It leads to a server, and serves the client of this connection.
    Serving(ConnId),
    /// It leads to a server, and serves the store of discovery in what has this number.
    Fetching(u64),
    /// It leads to a server, and is the store's of discovery, which calls it by this number.
    Wired(u64),
    /// It is a client's of DNS.
    Resolver(Box<Resolver>),
    /// It leads to another DNS server, and is the exchange of this number.
    Forwarding(u64),
    /// It leads to a server, and waits for the next request.
    Idle(Box<Link>),
}

impl Slot {
    /// Whether the node has a client's connection in its queue.
    const fn queued(&mut self) -> Option<&mut bool> {
        match self {
            Self::Client(conn) => Some(&mut conn.queued),
            Self::Caller(caller) => Some(&mut caller.queued),
            Self::Resolver(resolver) => Some(&mut resolver.queued),
            Self::Serving(_)
            | Self::Fetching(_)
            | Self::Wired(_)
            | Self::Forwarding(_)
            | Self::Idle(_) => None,
        }
    }
}

/// What becomes of a connection to a server that a client's connection lets go of.
enum Release {
    Keep(Box<Link>),
    Close(ConnId, CloseReason),
}

/// What a connection's timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deadline {
    Head,
    Linger,
    Connect,
    /// A stream is to say that it is alive.
    Quiet,
}

/// A peer has this long to close, once this end has written all and shut its side down.
const LINGER: Duration = Duration::from_secs(5);

/// What connections share while one of them is at work.
struct Env<'a> {
    now: Instant,
    stopping: bool,
    config: &'a Config,
    engine: &'a mut Engine,
    replies: &'a Replies,
    timers: &'a mut Timers<(ConnId, Deadline)>,
    logs: &'a mut VecDeque<String>,
    via: &'a str,
    /// Connections whose jobs are left to another server, and whether that needs a fresh connection.
    joins: &'a mut Vec<(ConnId, bool)>,
    released: &'a mut Vec<Release>,
}

/// A connection's id as the owner of its jobs.
const fn owner(conn: ConnId) -> u64 {
    (conn.0.generation() as u64) << 32 | conn.slot() as u64
}

const fn owned_by(owner: u64) -> ConnId {
    ConnId(Key::new(owner as u32, (owner >> 32) as u32))
}

impl Node {
    /// A node without connections. The engine's backends decide which versions it offers.
    #[must_use]
    pub fn new(config: Config, mut engine: Engine) -> Self {
        engine.set_epoch(config.epoch);
        Self {
            replies: Replies::new(engine.profile()),
            via: relay::via(engine.random()),
            clients: 0,
            full: false,
            pools: BTreeMap::new(),
            actions: VecDeque::new(),
            joins: Vec::new(),
            released: Vec::new(),
            config,
            engine,
            conns: Slab::new(),
            ready: VecDeque::new(),
            agent: None,
            calling: VecDeque::new(),
            fetches: BTreeMap::new(),
            fetching: VecDeque::new(),
            wires: BTreeMap::new(),
            wiring: VecDeque::new(),
            dns: None,
            timers: Timers::new(),
            now: Instant::ZERO,
            stopping: None,
            logs: VecDeque::new(),
        }
    }

    /// Takes a connection that a client has opened, and names it.
    ///
    /// # Errors
    ///
    /// The runtime is to close it at once.
    pub fn accept(&mut self, now: Instant) -> Result<ConnId, Refusal> {
        self.admit(now)?;
        let limits = self.config.limits.clone();
        Ok(self.insert(|id| Slot::Client(Conn::new(id, Server::new(limits)))))
    }

    fn insert(&mut self, make: impl FnOnce(ConnId) -> Slot) -> ConnId {
        let id = ConnId(self.conns.insert_with(|key| make(ConnId(key))));
        self.clients += 1;
        self.enqueue(id);
        id
    }

    /// Whether one more client may come.
    fn admit(&mut self, now: Instant) -> Result<(), Refusal> {
        self.now = self.now.max(now);
        if self.stopping.is_some() {
            return Err(Refusal::Stopping);
        }
        if self.engine.is_down(self.now) {
            return Err(Refusal::Down);
        }
        if self.clients >= self.config.max_connections {
            if !core::mem::replace(&mut self.full, true) {
                let limit = self.config.max_connections;
                self.logs.push_back(format!("refuses connections: {limit} are open"));
            }
            return Err(Refusal::TooManyConnections);
        }
        Ok(())
    }

    /// Says what has happened. Inputs about a connection that is gone do nothing.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        if let Input::Datagram(socket, peer, bytes) = input {
            return self.datagram(socket, peer, bytes);
        }
        match input.conn().and_then(|id| self.conns.get(id.0).map(|slot| (id, slot))) {
            Some((id, Slot::Caller(_))) => {
                self.handle_caller(id, input);
                return self.pump();
            }
            Some((_, Slot::Fetching(fetch))) => {
                self.handle_fetch(*fetch, input);
                return self.pump();
            }
            Some((_, Slot::Wired(wire))) => {
                self.handle_wire(*wire, input);
                return self.pump();
            }
            Some((id, Slot::Resolver(_))) => return self.handle_resolver(id, input),
            Some((_, Slot::Forwarding(exchange))) => return self.handle_forward(*exchange, input),
            _ => {}
        }
        match input {
            Input::Received(id, bytes) => self.route(
                id,
                |conn, env| conn.received(env, bytes),
                |conn, env| conn.upstream_received(env, bytes),
            ),
            Input::PeerShutdown(id) => self.route(id, Conn::peer_shutdown, Conn::upstream_ended),
            Input::Done(id) => match self.conns.get_mut(id.0) {
                // Its answer has come before this: threads that read and write tell of that in any order.
                Some(Slot::Idle(link)) => link.done(),
                _ => self.route(id, Conn::done, Conn::upstream_done),
            },
            Input::Broken(id) => self.route(id, Conn::broken, |conn, env| {
                conn.upstream_broken(env, "the connection broke");
            }),
            Input::WriteFailed(id) => {
                self.route(id, Conn::broken, Conn::upstream_deaf);
            }
            Input::Spliced { from, bytes, eof } => self.route(
                from,
                |conn, env| conn.spliced_up(env, bytes, eof),
                |conn, env| conn.spliced_down(env, bytes, eof),
            ),
            Input::Failed(id, reason) => {
                self.route(id, Conn::broken, |conn, env| conn.upstream_broken(env, reason));
            }
            Input::Connected(id) => self.route(id, |_, _| {}, Conn::upstream_connected),
            Input::ConnectFailed(id, reason) => {
                self.route(id, |_, _| {}, |conn, env| conn.upstream_failed(env, reason));
            }
            // It was taken care of above.
            Input::Datagram(..) => {}
            Input::Persisted => self.tell_agent(StoreInput::Persisted),
            Input::PersistFailed(reason) => self.tell_agent(StoreInput::PersistFailed(reason)),
            Input::Timeout => self.timeout(),
            Input::Stop => self.stop(),
        }
        self.pump();
    }

    /// The next thing to do, or `None` when all is known. Bytes to write are appended to `out`, so that one buffer can
    /// serve all actions between two calls of [`handle`](Node::handle).
    pub fn poll(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        if let Some(log) = self.engine.poll_log() {
            return Some(Action::Log(log));
        }
        if let Some(line) = self.logs.pop_front() {
            return Some(Action::Log(Log::Warn(line)));
        }
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if let Some(action) = self.poll_fetches(out).or_else(|| self.poll_wires(out)) {
            return Some(action);
        }
        if let Some(action) = self.poll_dns(out) {
            return Some(action);
        }
        let pipelined = self.dns.as_ref().map_or(0, |dns| dns.server.config().pipelined);
        while let Some(id) = self.ready.front().copied() {
            let action = match self.conns.get_mut(id.0) {
                Some(Slot::Client(conn)) => conn.next_action(self.config.splice, out),
                Some(Slot::Caller(caller)) => caller.next_action(out),
                Some(Slot::Resolver(resolver)) => resolver.next_action(pipelined, out),
                _ => None,
            };
            if let Some(action) = action {
                if let Action::Close { .. } = action {
                    self.forget(id);
                    self.ready.pop_front();
                } else if let Action::Write { .. } = action {
                    // Each in turn: one whose job always has more to say must not keep the others waiting.
                    self.ready.pop_front();
                    self.ready.push_back(id);
                }
                return Some(action);
            }
            if let Some(queued) = self.conns.get_mut(id.0).and_then(Slot::queued) {
                *queued = false;
            }
            self.ready.pop_front();
        }
        None
    }

    /// When [`Input::Timeout`] is next due; `None` if nothing waits for time to pass.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let agent = self.agent.as_ref().and_then(Agent::poll_timeout);
        let dns = self.dns.as_ref().and_then(|dns| dns.server.poll_timeout());
        let ours = [self.timers.next(), self.engine.poll_timeout(), agent, dns, self.stopping];
        ours.into_iter().flatten().min()
    }

    /// Whether the node was told to stop and the last connection is closed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopping.is_some() && self.clients == 0
    }

    /// How many connections of clients are open.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.clients
    }

    /// How many connections to servers are open or being opened.
    #[must_use]
    pub fn upstream_connections(&self) -> usize {
        self.conns.len() - self.clients
    }

    /// The files that the backends want written, by name, when all is over.
    pub fn save(&mut self) -> Vec<(String, Vec<u8>)> {
        self.engine.save()
    }

    /// The engine, to look at its jobs.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Tells a client's connection of something that happened to it, or to the one that serves it.
    fn route(
        &mut self,
        id: ConnId,
        to_client: impl FnOnce(&mut Conn, &mut Env<'_>),
        of_server: impl FnOnce(&mut Conn, &mut Env<'_>),
    ) {
        match self.conns.get(id.0) {
            Some(Slot::Client(_)) => self.with(id, to_client),
            Some(Slot::Serving(client)) => self.with(*client, of_server),
            // It was to wait for the next request. Whatever it says, it can't be an answer.
            Some(Slot::Idle(_)) => self.close_idle(id),
            Some(
                Slot::Caller(_)
                | Slot::Fetching(_)
                | Slot::Wired(_)
                | Slot::Resolver(_)
                | Slot::Forwarding(_),
            )
            | None => {}
        }
    }

    /// A client's connection is closed.
    fn forget(&mut self, id: ConnId) {
        let timer = match self.conns.remove(id.0) {
            Some(Slot::Client(mut conn)) => conn.take_timer(),
            Some(Slot::Caller(mut caller)) => caller.take_timer(),
            Some(Slot::Resolver(mut resolver)) => {
                self.forget_stream();
                resolver.take_timer()
            }
            _ => return,
        };
        self.clients -= 1;
        self.full = false;
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
    }

    fn close_idle(&mut self, id: ConnId) {
        if let Some(Slot::Idle(link)) = self.conns.remove(id.0) {
            if let Some(pool) = self.pools.get_mut(&link.upstream) {
                pool.remove(id);
            }
            self.actions.push_back(Action::Close { conn: id, why: CloseReason::PeerClosed });
        }
    }

    fn with(&mut self, id: ConnId, act: impl FnOnce(&mut Conn, &mut Env<'_>)) {
        let Some(Slot::Client(conn)) = self.conns.get_mut(id.0) else { return };
        let unix = (self.engine.epoch() + self.now.since_epoch()).as_secs();
        self.replies.set_time(unix);
        let mut env = Env {
            now: self.now,
            stopping: self.stopping.is_some(),
            config: &self.config,
            engine: &mut self.engine,
            replies: &self.replies,
            timers: &mut self.timers,
            logs: &mut self.logs,
            via: &self.via,
            joins: &mut self.joins,
            released: &mut self.released,
        };
        act(conn, &mut env);
        self.enqueue(id);
    }

    fn enqueue(&mut self, id: ConnId) {
        if let Some(queued) = self.conns.get_mut(id.0).and_then(Slot::queued)
            && !core::mem::replace(queued, true)
        {
            self.ready.push_back(id);
        }
    }

    /// Lets connections take what their jobs have brought forth.
    fn pump(&mut self) {
        loop {
            while let Some((job, owner)) = self.engine.poll() {
                self.with(owned_by(owner), |conn, env| {
                    if conn.job() == Some(job) {
                        conn.progress(env);
                    }
                });
            }
            if self.engine.take_cut() {
                self.each(Conn::cut);
                continue;
            }
            if self.released.is_empty() && self.joins.is_empty() {
                return self.pump_callers();
            }
            while let Some(release) = self.released.pop() {
                self.release(release);
            }
            for (client, fresh) in core::mem::take(&mut self.joins) {
                self.join(client, fresh);
            }
        }
    }

    /// Finds a connection for a job that is left to another server.
    fn join(&mut self, client: ConnId, fresh: bool) {
        let Some(Slot::Client(conn)) = self.conns.get(client.0) else { return };
        let Some(output) = conn.job().and_then(|job| self.engine.output(job)) else { return };
        let Some(upstream) = output.joined.cloned() else { return };
        let (mut is_loop, mut may_reuse) = (false, false);
        self.with(client, |conn, env| {
            is_loop = conn.is_loop(env);
            may_reuse = conn.may_retry(env) && !fresh;
            if is_loop {
                conn.looped(env, &upstream.address);
            }
        });
        if is_loop {
            return;
        }
        let link = self.link_to(upstream, may_reuse, Slot::Serving(client));
        self.with(client, |conn, env| conn.attach(env, link));
    }

    /// A connection to a server, for whom `serving` says: one that was kept, if that may be and there is one, else one that is
    /// being opened.
    fn link_to(&mut self, upstream: Arc<Upstream>, may_reuse: bool, serving: Slot) -> Box<Link> {
        let kept = self.pools.get_mut(&upstream).filter(|_| may_reuse).and_then(Pool::take);
        let mut serving = serving;
        if let Some(slot @ Slot::Idle(_)) = kept.and_then(|id| self.conns.get_mut(id.0)) {
            core::mem::swap(slot, &mut serving);
        }
        let serving = match serving {
            Slot::Idle(link) => return link,
            serving => serving,
        };
        let limits = self.config.limits.clone();
        let id = ConnId(self.conns.insert(serving));
        let to = upstream.address.clone();
        let within = upstream.connect_timeout;
        self.actions.push_back(Action::Connect { conn: id, to, within });
        Box::new(Link::new(id, upstream, limits))
    }

    fn release(&mut self, release: Release) {
        match release {
            Release::Close(id, why) => {
                if self.conns.remove(id.0).is_some() {
                    self.actions.push_back(Action::Close { conn: id, why });
                }
            }
            Release::Keep(mut link) => {
                let id = link.id;
                let pool = self.pools.entry(Arc::clone(&link.upstream)).or_default();
                if self.stopping.is_some() || !pool.put(id) {
                    return self.release(Release::Close(id, CloseReason::Finished));
                }
                // Read on, to learn of its end.
                self.actions.extend(link.next_action(true, &mut Vec::new()));
                if let Some(slot) = self.conns.get_mut(id.0) {
                    *slot = Slot::Idle(link);
                }
            }
        }
    }

    fn timeout(&mut self) {
        while let Some((_, (id, deadline))) = self.timers.expired(self.now) {
            if let Some(Slot::Caller(_)) = self.conns.get(id.0) {
                self.with_caller(id, |caller, env| caller.timed_out(env, deadline));
            }
            self.with_resolver(id, |resolver, env| resolver.timed_out(env, deadline));
            self.with(id, |conn, env| conn.timed_out(env, deadline));
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.now);
        }
        self.tell_agent(StoreInput::Timeout);
        self.dns_timeout();
        if self.stopping.is_some_and(|at| at <= self.now) {
            self.each(Conn::abort);
            self.each_caller(Caller::abort);
            self.abort_dns();
            self.stopping = Some(Instant::MAX);
        }
    }

    fn stop(&mut self) {
        if self.stopping.is_none() {
            self.stopping = Some(self.now + self.config.shutdown_timeout);
            self.each(Conn::stop);
            self.each_caller(Caller::stop);
            self.stop_dns();
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Conn, &mut Env<'_>)) {
        let all: Vec<ConnId> = self.conns.iter().map(|(key, _)| ConnId(key)).collect();
        for id in all {
            self.with(id, &mut act);
        }
    }
}
