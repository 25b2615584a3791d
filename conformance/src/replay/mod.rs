//! A recording against a [`Node`] that forwards, in memory: its client side plays the clients, its engine side the engine.
//!
//! There is no socket and no clock: time is that of the recording. What the clients get and what the engine gets must be what
//! was recorded, but for what belongs to one connection only (RFC 9110 section 7.6.1) and the `Via` line of the node.
//!
//! ```
//! let session = "swarm-session 1\nname: ping\n\n0.001 1 open\n0.001 1 >\n  | GET /_ping HTTP/1.1\\r\\nHost: docker\\r\\n\\r\\n\n\
//!     0.002 1 <\n  | HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK\n0.003 1 > close\nend 4\n"
//!     .parse()
//!     .unwrap();
//! libswarm_conformance::replay::through_forward(&session, None).unwrap();
//! libswarm_conformance::replay::through_forward(&session, Some(42)).unwrap();
//! ```

mod compare;
pub(crate) mod peer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use libswarm::backend::Registry;
use libswarm::job::Engine;
use libswarm::node::{Action, Config, Input};
use libswarm::{ConnId, Instant, Node};

use crate::session::{Session, Side, What};
use crate::wire::{self, Exchange, Form, Message};
use peer::{Item, Peer, Splitter};

/// After the last event everything has this long to end.
const REST: Duration = Duration::from_secs(60);

/// Replays a session through a node that forwards. With a seed, every chunk is cut at random places, writes are done late,
/// and what could happen next happens in a random order; the same seed does the same again.
///
/// # Errors
///
/// What one of the sides got is not what was recorded: which connection, what was expected and what came.
pub fn through_forward(session: &Session, seed: Option<u64>) -> Result<(), String> {
    let mut replay = Replay::new(session, seed)?;
    for event in &session.events {
        replay.pass(Duration::from_millis(event.at))?;
        replay.play(event.conn, &event.what)?;
        replay.settle()?;
    }
    replay.pass(replay.now.since_epoch() + REST)?;
    compare::all(session, &replay)
}

/// One exchange of the recording, and what has become of it.
struct Planned {
    conn: u32,
    exchange: Exchange,
    /// Its answer's place in what the engine sent on that connection.
    answer: std::ops::Range<usize>,
    /// The client has sent its head.
    asked: bool,
    /// The connection that its request came on.
    server: Option<ConnId>,
    /// Its answer, as far as there was no connection to send it on.
    waiting: Vec<Item>,
    /// How much of its answer was handed out.
    told: usize,
    /// All that the engine got for it, framing included.
    got: Vec<u8>,
    /// The engine saw an end of the request's stream, or the end of the connection.
    ended: bool,
    /// The client ended its half, or closed, while this was under way.
    client_ended: bool,
}

impl Planned {
    /// Whether the connection is free for the next request.
    fn is_over(&self) -> bool {
        self.told == self.answer.len()
            && self.waiting.is_empty()
            && self.exchange.response.as_ref().is_some_and(|message| {
                message.complete && !matches!(message.form, Form::Raw | Form::Close)
            })
    }
}

struct Replay {
    node: Node,
    now: Instant,
    split: Splitter,
    planned: Vec<Planned>,
    /// By the numbers of the recording.
    clients: BTreeMap<u32, ConnId>,
    /// How much of each side's stream has been played.
    played: BTreeMap<(u32, Side), usize>,
    peers: BTreeMap<ConnId, Peer>,
    /// Which exchange a connection to the engine serves.
    serving: BTreeMap<ConnId, Option<usize>>,
}

impl Replay {
    fn new(session: &Session, seed: Option<u64>) -> Result<Self, String> {
        let (name, backend) = Registry::standard()
            .make("forward unix://engine.sock")
            .map_err(|error| error.to_string())?;
        let mut engine = Engine::new(1);
        engine.push(name, backend);
        let mut planned = Vec::new();
        for conn in session.connections() {
            let sides = [Side::Client, Side::Engine].map(|side| session.stream(conn, side));
            let mut answered = 0;
            for exchange in wire::exchanges(&sides[0], &sides[1]) {
                let end = exchange.response.as_ref().map_or(answered, |message| message.span.end);
                let answer = answered..end;
                answered = end;
                planned.push(Planned {
                    conn,
                    exchange,
                    answer,
                    asked: false,
                    server: None,
                    waiting: Vec::new(),
                    told: 0,
                    got: Vec::new(),
                    ended: false,
                    client_ended: false,
                });
            }
            if answered < sides[1].len() {
                return Err(format!(
                    "connection {conn}: what the engine sent is no HTTP from byte {answered} on"
                ));
            }
        }
        Ok(Self {
            node: Node::new(Config::default(), engine),
            now: Instant::ZERO,
            split: Splitter::new(seed),
            planned,
            clients: BTreeMap::new(),
            played: BTreeMap::new(),
            peers: BTreeMap::new(),
            serving: BTreeMap::new(),
        })
    }

    /// Lets time pass.
    fn pass(&mut self, until: Duration) -> Result<(), String> {
        let until = Instant::new(until);
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.node.handle(self.now, Input::Timeout);
            self.settle()?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    fn play(&mut self, conn: u32, what: &What) -> Result<(), String> {
        match what {
            What::Open => {
                let id = self.node.accept(self.now).map_err(|refusal| refusal.to_string())?;
                self.clients.insert(conn, id);
                self.peers.insert(id, Peer::default());
            }
            What::Data(side, bytes) => {
                let played = self.played.entry((conn, *side)).or_default();
                let from = *played;
                *played += bytes.len();
                let to = *played;
                match side {
                    Side::Client => self.client_says(conn, bytes, to)?,
                    Side::Engine => self.engine_says(conn, bytes, from, to),
                }
            }
            What::End(Side::Client) => self.client_ends(conn, &[Item::End])?,
            What::Close(Side::Client) => self.client_ends(conn, &[Item::End, Item::Gone])?,
            What::End(Side::Engine) => self.engine_ends(conn, &[Item::End]),
            What::Close(Side::Engine) => self.engine_ends(conn, &[Item::End, Item::Gone]),
        }
        Ok(())
    }

    fn client(&mut self, conn: u32) -> Result<&mut Peer, String> {
        let id = self.clients.get(&conn).copied();
        let peer = id.and_then(|id| self.peers.get_mut(&id));
        peer.ok_or_else(|| format!("connection {conn} is used before it is opened"))
    }

    fn client_says(&mut self, conn: u32, bytes: &[u8], played: usize) -> Result<(), String> {
        for planned in self.planned.iter_mut().filter(|planned| planned.conn == conn) {
            planned.asked |= planned.exchange.request.head_end <= played;
        }
        let items = self.split.items(bytes);
        self.client(conn)?.outbox.extend(items);
        Ok(())
    }

    fn client_ends(&mut self, conn: u32, how: &[Item]) -> Result<(), String> {
        let answered = self.played.get(&(conn, Side::Engine)).copied().unwrap_or_default();
        for planned in
            self.planned.iter_mut().filter(|planned| planned.conn == conn && planned.asked)
        {
            let raw =
                planned.exchange.response.as_ref().is_some_and(|message| message.form == Form::Raw);
            planned.client_ended |=
                raw || answered < planned.answer.end || planned.exchange.response.is_none();
        }
        self.client(conn)?.outbox.extend(how.iter().cloned());
        Ok(())
    }

    fn engine_says(&mut self, conn: u32, bytes: &[u8], from: usize, to: usize) {
        for planned in self.planned.iter_mut().filter(|planned| planned.conn == conn) {
            let (start, end) = (planned.answer.start.max(from), planned.answer.end.min(to));
            if start < end {
                planned.told += end - start;
                planned.waiting.extend(self.split.items(&bytes[start - from..end - from]));
            }
        }
    }

    fn engine_ends(&mut self, conn: u32, how: &[Item]) {
        // The end of a connection that waits for another request is no part of an answer.
        let under_way =
            self.planned.iter_mut().rfind(|planned| planned.conn == conn && planned.asked);
        if let Some(planned) = under_way
            && !planned.is_over()
        {
            planned.waiting.extend(how.iter().cloned());
        }
    }

    /// Does what there is to do until nothing is left.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            self.act()?;
            for planned in &mut self.planned {
                if let Some(id) = planned.server
                    && let Some(peer) = self.peers.get_mut(&id)
                {
                    peer.outbox.extend(planned.waiting.drain(..));
                }
            }
            let ready: Vec<ConnId> =
                self.peers.iter().filter(|(_, peer)| peer.is_ready()).map(|(id, _)| *id).collect();
            let Some(id) = self.split.pick(&ready) else { return Ok(()) };
            let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
            match peer.next(&mut self.split) {
                Some(Item::Done) => self.node.handle(self.now, Input::Done(id)),
                Some(Item::Bytes(bytes)) => self.node.handle(self.now, Input::Received(id, &bytes)),
                Some(Item::End) => self.node.handle(self.now, Input::PeerShutdown(id)),
                Some(Item::Gone) => self.node.handle(self.now, Input::Broken(id)),
                None => {}
            }
        }
    }

    fn act(&mut self) -> Result<(), String> {
        let mut out = Vec::new();
        loop {
            out.clear();
            let Some(action) = self.node.poll(&mut out) else { return Ok(()) };
            match action {
                Action::Connect { conn, .. } => {
                    self.peers.insert(conn, Peer::default());
                    self.serving.insert(conn, None);
                    self.node.handle(self.now, Input::Connected(conn));
                }
                Action::Read(id) => self.with(id, |peer| peer.granted = true),
                Action::Write { conn, .. } => {
                    if self.serving.contains_key(&conn) {
                        self.engine_gets(conn, &out)?;
                    }
                    self.with(conn, |peer| {
                        peer.got.extend_from_slice(&out);
                        peer.busy = true;
                    });
                }
                Action::Shutdown(id) => {
                    self.with(id, |peer| {
                        peer.got_end = true;
                        peer.busy = true;
                    });
                    self.ended(id);
                }
                Action::Close { conn, why } => {
                    self.with(conn, |peer| peer.close(why));
                    self.ended(conn);
                }
                _ => {}
            }
        }
    }

    fn with(&mut self, id: ConnId, act: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(&id) {
            act(peer);
        }
    }

    fn ended(&mut self, id: ConnId) {
        if let Some(Some(index)) = self.serving.get(&id) {
            self.planned[*index].ended = true;
        }
    }

    /// The engine finds out which of the recorded requests came.
    fn engine_gets(&mut self, id: ConnId, bytes: &[u8]) -> Result<(), String> {
        let current = self.serving.get(&id).copied().flatten();
        if let Some(index) = current
            && !self.planned[index].is_over()
        {
            self.planned[index].got.extend_from_slice(bytes);
            return Ok(());
        }
        if current.is_some() {
            // What came before belongs to the exchange that is over.
            self.serving.insert(id, None);
            self.with(id, |peer| peer.taken = peer.got.len());
        }
        let Some(peer) = self.peers.get(&id) else { return Ok(()) };
        let mut request = peer.got[peer.taken..].to_vec();
        request.extend_from_slice(bytes);
        let Some(came) = wire::exchanges(&request, b"").into_iter().next().map(|one| one.request)
        else {
            return Ok(());
        };
        let wanted = |planned: &Planned| {
            planned.asked
                && planned.server.is_none()
                && compare::request(&planned.exchange.request, &came).is_ok()
        };
        let Some(index) = self.planned.iter().position(wanted) else {
            return Err(self.unexpected(&came));
        };
        self.planned[index].server = Some(id);
        self.planned[index].got = request;
        self.serving.insert(id, Some(index));
        Ok(())
    }

    fn unexpected(&self, came: &Message) -> String {
        let near = self.planned.iter().find(|planned| {
            planned.server.is_none()
                && planned.asked
                && planned.exchange.request.method() == came.method()
        });
        let why = near.and_then(|planned| compare::request(&planned.exchange.request, came).err());
        let why = why.unwrap_or_else(|| "no client has asked that".to_owned());
        format!("the engine got {:?}, which was not recorded: {why}", came.start)
    }
}
