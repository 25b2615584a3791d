//! The registry as DNS: datagrams, and what the machine has other servers asked.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::action::{Action, CloseReason, Input, Refusal};
use super::forward::Forward;
use super::resolver::{Resolver, ResolverEnv};
use super::{Node, Slot};
use crate::address::{Address, Remote};
use crate::discovery::Agent;
use crate::discovery::dns::{Asker, Event, Progress, Server, SocketId, Transport};
use crate::id::ConnId;
use crate::time::Instant;

/// What a node has for DNS.
pub(super) struct Dns {
    pub(super) server: Server,
    answers: Answers,
    /// Connections of clients.
    streams: usize,
    /// Connections to recursors, by the numbers of their exchanges; and which of these may have something to do.
    forwards: BTreeMap<u64, Forward>,
    forwarding: VecDeque<u64>,
}

/// Datagrams that are to be sent.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    taken: usize,
    heads: VecDeque<(SocketId, SocketAddr, usize)>,
}

/// While so many bytes wait to be sent, what comes is lost, as datagrams may be.
const WAITING: usize = 1024 * 1024;
/// A buffer that nothing waits in is kept up to this size.
const KEEP: usize = 128 * 1024;

impl Answers {
    fn next(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        let (socket, peer, length) = self.heads.pop_front()?;
        out.extend_from_slice(&self.bytes[self.taken..self.taken + length]);
        self.taken += length;
        if self.heads.is_empty() {
            self.taken = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEEP);
        }
        Some(Action::SendTo { socket, peer, length })
    }
}

impl Node {
    /// Has `server` answer DNS from the registry of the [agent](Self::set_agent).
    pub fn set_dns(&mut self, server: Server) {
        self.dns = Some(Dns {
            server,
            answers: Answers::default(),
            streams: 0,
            forwards: BTreeMap::new(),
            forwarding: VecDeque::new(),
        });
    }

    /// As [`accept`](Node::accept), where it is known that the client speaks DNS.
    ///
    /// # Errors
    ///
    /// The runtime is to close it at once; also if there is [no such server](Node::set_dns), or it has too many connections.
    pub fn accept_dns(&mut self, now: Instant) -> Result<ConnId, Refusal> {
        self.admit(now)?;
        let now = self.now;
        let Some(dns) = &mut self.dns else { return Err(Refusal::NoDns) };
        if dns.streams >= dns.server.config().connections {
            return Err(Refusal::TooManyConnections);
        }
        dns.streams += 1;
        let idle = dns.server.config().idle;
        let id = self.insert(|id| Slot::Resolver(alloc::boxed::Box::new(Resolver::new(id, now))));
        self.with_resolver(id, |resolver, env| resolver.begin(env, idle));
        Ok(id)
    }

    pub(super) fn forget_stream(&mut self) {
        if let Some(dns) = &mut self.dns {
            dns.streams -= 1;
        }
    }

    /// Answers a datagram.
    pub(super) fn datagram(&mut self, socket: SocketId, peer: SocketAddr, bytes: &[u8]) {
        let Some(Dns { server, answers, .. }) = &mut self.dns else { return };
        // Nobody is at port 0.
        if answers.bytes.len() >= WAITING || peer.port() == 0 {
            return;
        }
        let registry = self.agent.as_ref().and_then(|agent| agent.registry().ok());
        let before = answers.bytes.len();
        let asker = Asker::Datagram(socket, peer);
        server.query(self.now, asker, bytes, registry, &mut answers.bytes);
        let length = answers.bytes.len() - before;
        if length > 0 {
            answers.heads.push_back((socket, peer, length));
        }
        self.pump_dns();
    }

    pub(super) fn handle_resolver(&mut self, id: ConnId, input: Input<'_>) {
        self.with_resolver(id, |resolver, env| match input {
            Input::Received(_, bytes) => resolver.received(env, bytes),
            Input::PeerShutdown(_) => resolver.peer_shutdown(env),
            Input::Done(_) => resolver.done(env),
            Input::Broken(_) | Input::WriteFailed(_) | Input::Failed(..) => resolver.broken(env),
            _ => {}
        });
        self.pump_dns();
    }

    pub(super) fn with_resolver(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Resolver, &mut ResolverEnv<'_>),
    ) {
        let Some(Slot::Resolver(resolver)) = self.conns.get_mut(id.0) else { return };
        let Some(dns) = &mut self.dns else { return };
        let mut env = ResolverEnv {
            now: self.now,
            server: &mut dns.server,
            registry: self.agent.as_ref().and_then(|agent: &Agent| agent.registry().ok()),
            timers: &mut self.timers,
        };
        act(resolver, &mut env);
        self.enqueue(id);
    }

    /// The daemon stops: what has been answered is written, what waits for a recursor is not waited for.
    pub(super) fn stop_dns(&mut self) {
        let all: Vec<ConnId> = self.conns.iter().map(|(key, _)| ConnId(key)).collect();
        for id in all {
            self.with_resolver(id, Resolver::stop);
        }
        let Some(dns) = &mut self.dns else { return };
        for forward in core::mem::take(&mut dns.forwards).into_values() {
            self.close_forward(&forward);
        }
    }

    pub(super) fn abort_dns(&mut self) {
        let all: Vec<ConnId> = self.conns.iter().map(|(key, _)| ConnId(key)).collect();
        for id in all {
            self.with_resolver(id, Resolver::abort);
        }
    }

    pub(super) fn dns_timeout(&mut self) {
        let now = self.now;
        if let Some(dns) = &mut self.dns
            && dns.server.poll_timeout().is_some_and(|at| at <= now)
        {
            dns.server.handle_timeout(now);
            self.pump_dns();
        }
    }

    /// Does what the machine says.
    fn pump_dns(&mut self) {
        while let Some(dns) = &mut self.dns
            && let Some(event) = dns.server.poll()
        {
            match event {
                Event::Ask { exchange, to, over, message } => {
                    if self.stopping.is_some() {
                        continue;
                    }
                    let conn = ConnId(self.conns.insert(Slot::Forwarding(exchange)));
                    dns.forwards.insert(exchange, Forward::new(conn, over, &message));
                    let to = match over {
                        Transport::Udp => Remote::Datagram(to),
                        Transport::Tcp => {
                            let (host, port) = (to.ip().to_string(), to.port());
                            Remote::Socket(Address::Tcp { host, port })
                        }
                    };
                    let within = dns.server.config().patience;
                    self.actions.push_back(Action::Connect { conn, to, within });
                }
                Event::Abandon(exchange) => {
                    if let Some(forward) = dns.forwards.remove(&exchange) {
                        self.close_forward(&forward);
                    }
                }
                Event::Answer(Asker::Datagram(socket, peer), message) => {
                    if dns.answers.bytes.len() < WAITING {
                        dns.answers.bytes.extend_from_slice(&message);
                        dns.answers.heads.push_back((socket, peer, message.len()));
                    }
                }
                Event::Warn(line) => self.logs.push_back(line),
                Event::Answer(Asker::Stream(id), message) => {
                    self.with_resolver(id, |resolver, env| resolver.answer(env, &message));
                }
            }
        }
    }

    fn close_forward(&mut self, forward: &Forward) {
        if self.conns.remove(forward.conn.0).is_some() {
            let close = Action::Close { conn: forward.conn, why: CloseReason::Finished };
            self.actions.push_back(close);
        }
    }

    pub(super) fn handle_forward(&mut self, exchange: u64, input: Input<'_>) {
        let Some(dns) = &mut self.dns else { return };
        let Some(forward) = dns.forwards.get_mut(&exchange) else { return };
        let is_lost = match input {
            Input::Received(_, bytes) => {
                for message in forward.received(bytes) {
                    dns.server.progress(self.now, exchange, Progress::Message(&message));
                }
                false
            }
            Input::Connected(_) => {
                forward.connected();
                false
            }
            Input::Done(_) => {
                forward.done();
                false
            }
            // Nobody can end a socket for datagrams; one without bytes, which anybody can send in the server's name, looks so.
            Input::PeerShutdown(_) => !forward.is_endless(),
            Input::ConnectFailed(..)
            | Input::Failed(..)
            | Input::Broken(_)
            | Input::WriteFailed(_) => true,
            _ => false,
        };
        if is_lost {
            dns.server.progress(self.now, exchange, Progress::Failed);
        } else {
            dns.forwarding.push_back(exchange);
        }
        self.pump_dns();
    }

    /// The next thing to do for DNS.
    pub(super) fn poll_dns(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        let Dns { answers, forwards, forwarding, .. } = self.dns.as_mut()?;
        if let Some(action) = answers.next(out) {
            return Some(action);
        }
        while let Some(exchange) = forwarding.front() {
            let forward = forwards.get_mut(exchange);
            if let Some(action) = forward.and_then(|forward| forward.next_action(out)) {
                return Some(action);
            }
            forwarding.pop_front();
        }
        None
    }
}
