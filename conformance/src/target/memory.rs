//! A node in memory: no socket, and time passes when nothing else is left to do.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use libswarm::job::Engine;
use libswarm::node::{Action, Config, Input};
use libswarm::{ConnId, Instant, Node};

use super::{Said, Target};
use crate::replay::peer::{Item, Peer, Splitter};

/// A node, and the clients' ends of its connections.
pub struct Memory {
    node: Node,
    now: Instant,
    split: Splitter,
    conns: BTreeMap<u32, ConnId>,
    peers: BTreeMap<ConnId, (u32, Peer)>,
    said: VecDeque<Said>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Memory {
    /// A node with the default limits around `engine`. With a seed, what clients send is cut at random places and arrives in
    /// a random order of connections; the same seed does the same again.
    #[must_use]
    pub fn new(engine: Engine, config: Config, seed: Option<u64>) -> Self {
        Self {
            node: Node::new(config, engine),
            now: Instant::ZERO,
            split: Splitter::new(seed),
            conns: BTreeMap::new(),
            peers: BTreeMap::new(),
            said: VecDeque::new(),
        }
    }

    fn act(&mut self) {
        let mut out = Vec::new();
        loop {
            out.clear();
            let Some(action) = self.node.poll(&mut out) else { return };
            match action {
                Action::Read(id) => self.with(id, |_, peer| {
                    peer.granted = true;
                    None
                }),
                Action::Write { conn, .. } => {
                    let bytes = out.clone();
                    self.with(conn, |number, peer| {
                        peer.busy = true;
                        Some(Said::Data(number, bytes))
                    });
                }
                Action::Shutdown(id) => self.with(id, |number, peer| {
                    peer.busy = true;
                    Some(Said::End(number))
                }),
                Action::Close { conn, why } => {
                    self.with(conn, |number, peer| {
                        let open = peer.closed.is_none();
                        peer.close(why);
                        open.then_some(Said::End(number))
                    });
                    self.peers.remove(&conn);
                }
                // Nobody is there for a node that would be a client.
                Action::Connect { conn, .. } => {
                    self.node.handle(self.now, Input::ConnectFailed(conn, "nobody is there"));
                }
                _ => {}
            }
        }
    }

    fn with(&mut self, id: ConnId, act: impl FnOnce(u32, &mut Peer) -> Option<Said>) {
        if let Some((number, peer)) = self.peers.get_mut(&id)
            && let Some(said) = act(*number, peer)
            && self.conns.contains_key(number)
        {
            self.said.push_back(said);
        }
    }

    fn push(&mut self, conn: u32, items: impl IntoIterator<Item = Item>) {
        if let Some(id) = self.conns.get(&conn)
            && let Some((_, peer)) = self.peers.get_mut(id)
        {
            peer.outbox.extend(items);
        }
    }

    /// Delivers one of the things that are under way.
    fn deliver(&mut self) -> bool {
        let ready: Vec<ConnId> =
            self.peers.iter().filter(|(_, (_, peer))| peer.is_ready()).map(|(id, _)| *id).collect();
        let Some(id) = self.split.pick(&ready) else { return false };
        let Some((_, peer)) = self.peers.get_mut(&id) else { return false };
        match peer.next(&mut self.split) {
            Some(Item::Done) => self.node.handle(self.now, Input::Done(id)),
            Some(Item::Bytes(bytes)) => self.node.handle(self.now, Input::Received(id, &bytes)),
            Some(Item::End) => self.node.handle(self.now, Input::PeerShutdown(id)),
            Some(Item::Gone) => self.node.handle(self.now, Input::Broken(id)),
            None => {}
        }
        true
    }
}

impl Target for Memory {
    fn open(&mut self, conn: u32) -> Result<(), String> {
        let id = self.node.accept(self.now).map_err(|refusal| refusal.to_string())?;
        self.conns.insert(conn, id);
        self.peers.insert(id, (conn, Peer::default()));
        Ok(())
    }

    fn send(&mut self, conn: u32, bytes: &[u8]) {
        let items = self.split.items(bytes);
        self.push(conn, items);
    }

    fn end(&mut self, conn: u32) {
        self.push(conn, [Item::End]);
    }

    fn close(&mut self, conn: u32) {
        self.push(conn, [Item::End, Item::Gone]);
        self.conns.remove(&conn);
    }

    fn next(&mut self, limit: Duration) -> Option<Said> {
        let until = Instant::new(self.now.since_epoch() + limit);
        loop {
            self.act();
            if let Some(said) = self.said.pop_front() {
                return Some(said);
            }
            if self.deliver() {
                continue;
            }
            match self.node.poll_timeout().filter(|due| *due <= until) {
                Some(due) => {
                    self.now = self.now.max(due);
                    self.node.handle(self.now, Input::Timeout);
                }
                None => {
                    self.now = until;
                    return None;
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.now.since_epoch()
    }
}
