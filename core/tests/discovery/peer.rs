//! Clients at the ends of a node's connections, a disk, and a clock that is set by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::discovery::store::Persist;
use libswarm::discovery::{Agent, Etcd, Journal, Memory, TTL};
use libswarm::job::{Engine, Log};
use libswarm::node::{Action, CloseReason, Config, Input};
use libswarm::rpc::{Args, Attributes, Client, ClientEvent, Codec, Limits, Method};
use libswarm::{ConnId, Instant, Node};

use crate::etcd::Model;
use crate::etcd_store::config;
use crate::gateway::Gateway;

/// A node that answers clients of discovery, and what its clients have got.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) now: Instant,
    pub(crate) peers: BTreeMap<ConnId, Peer>,
    pub(crate) disk: Disk,
    pub(crate) etcd: Option<Gateway>,
    pub(crate) logs: Vec<Log>,
}

/// What a journal is in.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) file: Vec<u8>,
    next: Vec<u8>,
    /// What is to be done, while it is slow.
    pub(crate) doing: Option<Persist>,
    pub(crate) slow: bool,
}

/// One client's end.
pub(crate) struct Peer {
    pub(crate) rpc: Client,
    /// What it has read and not understood yet, and what it has not read.
    unread: Vec<u8>,
    /// All that it has read.
    pub(crate) raw: Vec<u8>,
    pub(crate) waiting: Vec<u8>,
    pub(crate) events: Vec<ClientEvent>,
    pub(crate) out: Vec<u8>,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) shutdown: bool,
    /// It does not read, so that writes to it are not done.
    pub(crate) stalled: bool,
    granted: bool,
    busy: bool,
}

impl Disk {
    pub(crate) fn persist(&mut self, what: &Persist) {
        match what {
            Persist::Append(bytes) => self.file.extend_from_slice(bytes),
            Persist::AppendNext { bytes, first } => {
                if *first {
                    self.next.clear();
                }
                self.next.extend_from_slice(bytes);
            }
            Persist::Replace => self.file = std::mem::take(&mut self.next),
        }
    }
}

pub(crate) fn args(name: &str, address: &str) -> Args {
    Args { name: name.into(), address: address.into(), attributes: None }
}

pub(crate) fn with(key: &str, value: &str, args: Args) -> Args {
    let attributes = Attributes::from([(key.to_owned(), value.to_owned())]);
    Args { attributes: Some(attributes), ..args }
}

impl World {
    pub(crate) fn in_memory() -> Self {
        let store = Memory::new(TTL);
        Self::of(Config::default(), Agent::new(Box::new(store), Some("127.0.0.1".into())))
    }

    /// A node on what is on the disk.
    pub(crate) fn on_disk(mut disk: Disk, now: Instant) -> Self {
        let (journal, whole) = Journal::load(now, TTL, &disk.file).unwrap();
        disk.file.truncate(whole as usize);
        disk.doing = None;
        let agent = Agent::new(Box::new(journal), Some("127.0.0.1".into()));
        let mut world = Self::of(Config::default(), agent);
        world.disk = disk;
        world.now = now;
        world
    }

    /// A node on an etcd that it may share with others.
    pub(crate) fn on_etcd(model: &Arc<Mutex<Model>>, user: usize, now: Instant) -> Self {
        let members = model.lock().unwrap().members.len();
        let store = Etcd::new(now, config(members, user as u64));
        let agent = Agent::new(Box::new(store), Some("127.0.0.1".into()));
        let mut world = Self::of(Config::default(), agent);
        world.etcd = Some(Gateway::new(model, user));
        world.now = now;
        world.run();
        world
    }

    pub(crate) fn of(config: Config, agent: Agent) -> Self {
        let mut node = Node::new(config, Engine::new(1));
        node.set_agent(agent);
        Self {
            node,
            now: Instant::ZERO,
            peers: BTreeMap::new(),
            disk: Disk::default(),
            etcd: None,
            logs: Vec::new(),
        }
    }

    /// A client that the server has greeted.
    pub(crate) fn connect(&mut self, codec: Codec) -> ConnId {
        let id = self.connect_raw(codec);
        let mut out = Vec::new();
        self.peers[&id].rpc.connect(&mut out);
        self.send(id, &out);
        assert_eq!(self.events(id), [ClientEvent::Connected]);
        id
    }

    pub(crate) fn connect_raw(&mut self, codec: Codec) -> ConnId {
        let id = self.node.accept_discovery(self.now).expect("room for a connection");
        let peer = Peer {
            rpc: Client::new(codec, Limits::default()),
            unread: Vec::new(),
            raw: Vec::new(),
            waiting: Vec::new(),
            events: Vec::new(),
            out: Vec::new(),
            closed: None,
            shutdown: false,
            stalled: false,
            granted: false,
            busy: false,
        };
        self.peers.insert(id, peer);
        self.run();
        id
    }

    /// Sends bytes, as far as the node grants reads; the rest goes with what comes next.
    pub(crate) fn send(&mut self, id: ConnId, bytes: &[u8]) {
        self.peers.get_mut(&id).unwrap().out.extend_from_slice(bytes);
        self.flush(id);
    }

    fn flush(&mut self, id: ConnId) {
        loop {
            let peer = self.peers.get_mut(&id).unwrap();
            if !peer.granted || peer.closed.is_some() || peer.out.is_empty() {
                return;
            }
            peer.granted = false;
            let rest = peer.out.split_off(peer.out.len().min(8 * 1024));
            let piece = std::mem::replace(&mut peer.out, rest);
            self.node.handle(self.now, Input::Received(id, &piece));
            self.run();
        }
    }

    pub(crate) fn call(&mut self, id: ConnId, method: Method, args: &Args) -> u64 {
        let mut out = Vec::new();
        let call = self.peers.get_mut(&id).unwrap().rpc.call(method, args, &mut out).unwrap();
        self.send(id, &out);
        call
    }

    pub(crate) fn close_stream(&mut self, id: ConnId, stream: u64) {
        let mut out = Vec::new();
        self.peers.get_mut(&id).unwrap().rpc.close(stream, &mut out);
        self.send(id, &out);
    }

    /// What a client has got since it was asked last.
    pub(crate) fn events(&mut self, id: ConnId) -> Vec<ClientEvent> {
        std::mem::take(&mut self.peers.get_mut(&id).unwrap().events)
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.run();
    }

    pub(crate) fn half_close(&mut self, id: ConnId) {
        self.input(Input::PeerShutdown(id));
    }

    /// How many subscriptions the node serves.
    pub(crate) fn subscriptions(&self) -> usize {
        self.node.agent().unwrap().subscriptions()
    }

    /// The peer reads on.
    pub(crate) fn resume(&mut self, id: ConnId) {
        let peer = self.peers.get_mut(&id).unwrap();
        peer.stalled = false;
        let waiting = std::mem::take(&mut peer.waiting);
        peer.read(&waiting);
        if std::mem::take(&mut peer.busy) {
            self.input(Input::Done(id));
        }
    }

    pub(crate) fn work_disk(&mut self) {
        if let Some(what) = self.disk.doing.take() {
            self.disk.persist(&what);
            self.input(Input::Persisted);
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            if let Some(etcd) = &self.etcd {
                etcd.model.lock().unwrap().advance(self.now);
            }
            self.input(Input::Timeout);
        }
        self.now = end;
        self.run();
    }

    fn due(&self) -> Option<Instant> {
        let etcd = self.etcd.as_ref().and_then(|etcd| etcd.model.lock().unwrap().due());
        [self.node.poll_timeout(), etcd].into_iter().flatten().min()
    }

    pub(crate) fn run(&mut self) {
        let mut out = Vec::new();
        if let Some(etcd) = &self.etcd {
            etcd.model.lock().unwrap().advance(self.now);
        }
        loop {
            out.clear();
            let Some(action) = self.node.poll(&mut out) else {
                if let Some(told) = self.etcd.as_mut().and_then(Gateway::next) {
                    self.node.handle(self.now, told.input());
                    continue;
                }
                let Some(what) = self.node.poll_persist() else { return };
                if self.disk.slow {
                    assert_eq!(self.disk.doing.replace(what), None, "one at a time");
                    return;
                }
                self.disk.persist(&what);
                self.node.handle(self.now, Input::Persisted);
                continue;
            };
            if let (Some(etcd), Some(id)) = (&mut self.etcd, concerns(&action)) {
                match &action {
                    Action::Connect { to, .. } => {
                        let input = if etcd.connect(id, to) {
                            Input::Connected(id)
                        } else {
                            Input::ConnectFailed(id, "Connection refused")
                        };
                        self.node.handle(self.now, input);
                        continue;
                    }
                    Action::Read(_) if etcd.has(id) => {
                        etcd.grant(id);
                        continue;
                    }
                    Action::Write { length, .. } if etcd.has(id) => {
                        assert_eq!(*length, out.len());
                        etcd.write(id, &out);
                        self.node.handle(self.now, Input::Done(id));
                        continue;
                    }
                    Action::Close { .. } if !self.peers.contains_key(&id) => {
                        etcd.close(id);
                        continue;
                    }
                    _ => {}
                }
            }
            match action {
                Action::Read(id) => {
                    // A client of another kind has no peer here.
                    let Some(peer) = self.peers.get_mut(&id) else { continue };
                    assert!(!peer.granted, "two reads are granted at once");
                    peer.granted = true;
                }
                Action::Write { conn, length } => {
                    assert!(length > 0 && length == out.len());
                    let peer = self.peers.get_mut(&conn).unwrap();
                    assert!(!peer.busy && !peer.shutdown && peer.closed.is_none());
                    if peer.stalled {
                        peer.waiting.extend_from_slice(&out);
                        peer.busy = true;
                    } else {
                        peer.read(&out);
                        self.node.handle(self.now, Input::Done(conn));
                    }
                }
                Action::Shutdown(id) => {
                    let peer = self.peers.get_mut(&id).unwrap();
                    assert!(!peer.busy && !peer.shutdown);
                    peer.shutdown = true;
                    self.node.handle(self.now, Input::Done(id));
                }
                Action::Close { conn, why } => {
                    let peer = self.peers.get_mut(&conn).unwrap();
                    assert_eq!(peer.closed.replace(why), None, "closed twice");
                }
                Action::Log(log) => self.logs.push(log),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The connection that an action is about.
const fn concerns(action: &Action) -> Option<ConnId> {
    match action {
        Action::Read(id)
        | Action::Write { conn: id, .. }
        | Action::Connect { conn: id, .. }
        | Action::Close { conn: id, .. } => Some(*id),
        _ => None,
    }
}

impl Peer {
    /// Bytes have come to the client.
    fn read(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.unread.extend_from_slice(bytes);
        while let Ok((taken, event)) = self.rpc.receive(&self.unread) {
            self.unread.drain(..taken);
            let Some(event) = event else { return };
            self.events.push(event);
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }
}
