//! A model of ZooKeeper: a leader's log of transactions, servers that follow it, sessions, and what can befall them. It speaks
//! the protocol on connections that whoever carries them has opened.

mod requests;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use libswarm::Instant;

use crate::etcd::Member;
use requests::{buffer, reply};
use tree::{Change, Node, Tree};

/// A connection: whose, and which.
pub(crate) type Handle = (usize, u64);

/// What comes of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wired {
    Connected,
    Received(Vec<u8>),
    Lost(&'static str),
}

struct Server {
    state: Member,
    tree: Tree,
    /// How many transactions of the log it has applied.
    applied: usize,
}

struct Session {
    password: Vec<u8>,
    timeout: Duration,
    until: Instant,
    /// The connection that it goes on with.
    wire: Option<Handle>,
}

#[derive(Default)]
struct Wire {
    server: usize,
    session: i64,
    user: Option<String>,
    unread: Vec<u8>,
    waiting: VecDeque<Asked>,
    watches: BTreeSet<String>,
}

/// A request that is not answered yet.
struct Asked {
    xid: i32,
    code: i32,
    body: Vec<u8>,
    /// It was made, and is answered so once the server has applied that much of the log.
    done: Option<(usize, i64, i32, Vec<u8>)>,
}

pub(crate) struct Model {
    now: Instant,
    zxid: i64,
    /// As the leader has it.
    tree: Tree,
    log: Vec<(i64, Vec<Change>)>,
    servers: Vec<Server>,
    sessions: BTreeMap<i64, Session>,
    next_session: i64,
    wires: BTreeMap<Handle, Wire>,
    out: VecDeque<(Handle, Wired)>,
    random: fastrand::Rng,
    /// So many answers to changes are lost, though these are made.
    pub(crate) lost_answers: u32,
    /// This server hears of no transactions for now.
    pub(crate) lags: Option<usize>,
    /// It is one that does not know `addWatch`.
    pub(crate) is_old: bool,
    /// How often each operation was asked for.
    pub(crate) asked: BTreeMap<i32, u32>,
}

impl Model {
    pub(crate) fn new(servers: usize) -> Self {
        let server = |_| Server { state: Member::Up, tree: Tree::default(), applied: 0 };
        Self {
            now: Instant::ZERO,
            zxid: 0,
            tree: Tree::default(),
            log: Vec::new(),
            servers: (0..servers).map(server).collect(),
            sessions: BTreeMap::new(),
            next_session: 0x1000,
            wires: BTreeMap::new(),
            out: VecDeque::new(),
            random: fastrand::Rng::with_seed(7),
            lost_answers: 0,
            lags: None,
            is_old: false,
            asked: BTreeMap::new(),
        }
    }

    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    fn has_quorum(&self) -> bool {
        self.servers.iter().filter(|it| it.state == Member::Up).count() * 2 > self.servers.len()
    }

    /// Whether a server answers.
    fn serves(&self, server: usize) -> bool {
        self.servers[server].state == Member::Up && self.has_quorum()
    }

    /// Lets time pass: sessions end.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.has_quorum() {
            let over = |session: &Session| session.until <= self.now;
            let gone: Vec<i64> =
                self.sessions.iter().filter(|(_, it)| over(it)).map(|(id, _)| *id).collect();
            gone.into_iter().for_each(|id| self.end_session(id));
        }
        self.work();
    }

    fn end_session(&mut self, id: i64) {
        self.sessions.remove(&id);
        let owned = self.tree.0.iter().filter(|(_, node)| node.owner == id);
        let changes = owned.map(|(path, _)| Change::Delete(path.clone())).collect();
        self.commit(changes);
        let wires: Vec<Handle> =
            self.wires.iter().filter(|(_, it)| it.session == id).map(|(it, _)| *it).collect();
        for handle in wires {
            self.break_off(handle, "closed");
        }
    }

    /// When time matters next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.sessions.values().map(|it| it.until).min().filter(|_| self.has_quorum())
    }

    pub(crate) fn set_member(&mut self, which: usize, state: Member) {
        let had = self.has_quorum();
        self.servers[which].state = state;
        if !had && self.has_quorum() {
            // A new leader gives all sessions their whole time.
            for session in self.sessions.values_mut() {
                session.until = self.now + session.timeout;
            }
        }
        // Who has lost the others lets its clients go.
        let is_lost = |server: usize| match self.servers[server].state {
            Member::Up => !self.has_quorum(),
            Member::Down | Member::Alone => true,
            Member::Silent => false,
        };
        let gone: Vec<Handle> =
            self.wires.iter().filter(|(_, it)| is_lost(it.server)).map(|(it, _)| *it).collect();
        for handle in gone {
            self.break_off(handle, "closed");
        }
        self.work();
    }

    fn break_off(&mut self, handle: Handle, reason: &'static str) {
        if self.wires.remove(&handle).is_some() {
            self.out.push_back((handle, Wired::Lost(reason)));
        }
    }

    /// Everything is stopped, and started again.
    pub(crate) fn restart(&mut self) {
        for state in [Member::Down, Member::Up] {
            for which in 0..self.servers.len() {
                self.set_member(which, state);
            }
        }
    }

    /// All that it had is gone.
    pub(crate) fn wipe(&mut self) {
        for which in 0..self.servers.len() {
            self.set_member(which, Member::Down);
        }
        self.zxid = 0;
        self.tree = Tree::default();
        self.log.clear();
        self.sessions.clear();
        for server in &mut self.servers {
            (server.tree, server.applied) = (Tree::default(), 0);
        }
        for which in 0..self.servers.len() {
            self.set_member(which, Member::Up);
        }
    }

    /// Removes the containers that had children and have none, as a leader does every minute.
    pub(crate) fn collect(&mut self) {
        let is_empty = |path: &str| self.tree.children(path).next().is_none();
        let empty: Vec<Change> = self
            .tree
            .0
            .iter()
            .filter(|(path, node)| node.container && node.had_children && is_empty(path))
            .map(|(path, _)| Change::Delete(path.clone()))
            .collect();
        for change in empty {
            self.commit(vec![change]);
        }
        self.work();
    }

    /// Somebody else creates or changes something, with all that leads to it.
    pub(crate) fn put_by_others(&mut self, path: &str, data: &str) {
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let (node, is_last) = (path[..end].to_owned(), end == path.len());
            let data = if is_last { data.as_bytes().to_vec() } else { Vec::new() };
            if !self.tree.0.contains_key(&node) {
                let created = self.node(data, 0, None);
                self.commit(vec![Change::Create(node, created)]);
            } else if is_last {
                self.commit(vec![Change::Set(node, data)]);
            }
        }
        self.work();
    }

    fn node(&self, data: Vec<u8>, owner: i64, user: Option<String>) -> Node {
        let (created, modified) = (self.zxid + 1, self.zxid + 1);
        Node {
            data,
            created,
            modified,
            version: 0,
            owner,
            container: false,
            had_children: false,
            user,
        }
    }

    /// One transaction.
    fn commit(&mut self, changes: Vec<Change>) {
        self.zxid += 1;
        for change in &changes {
            self.tree.apply(self.zxid, change);
        }
        self.log.push((self.zxid, changes));
    }

    /// A connection is asked for.
    pub(crate) fn connect(&mut self, handle: Handle, server: usize) {
        if self.servers[server].state == Member::Down {
            self.out.push_back((handle, Wired::Lost("Connection refused")));
            return;
        }
        self.wires.insert(handle, Wire { server, ..Wire::default() });
        self.out.push_back((handle, Wired::Connected));
    }

    pub(crate) fn write(&mut self, handle: Handle, bytes: &[u8]) {
        if let Some(wire) = self.wires.get_mut(&handle) {
            wire.unread.extend_from_slice(bytes);
            self.work();
        }
    }

    /// The client has closed it.
    pub(crate) fn close(&mut self, handle: Handle) {
        self.wires.remove(&handle);
        self.out.retain(|(of, _)| *of != handle);
    }

    /// A user is gone, with all its connections.
    pub(crate) fn disconnect(&mut self, user: usize) {
        self.wires.retain(|(of, _), _| *of != user);
        self.out.retain(|((of, _), _)| *of != user);
    }

    pub(crate) fn pop(&mut self, user: usize) -> Option<(u64, Wired)> {
        self.work();
        let at = self.out.iter().position(|((of, _), _)| *of == user)?;
        let ((_, id), wired) = self.out.remove(at)?;
        if let Wired::Received(bytes) = &wired
            && bytes.len() > 1
            && self.random.u8(..4) == 0
        {
            // In pieces.
            let cut = self.random.usize(1..bytes.len());
            self.out.insert(at, ((user, id), Wired::Received(bytes[cut..].to_vec())));
            return Some((id, Wired::Received(bytes[..cut].to_vec())));
        }
        Some((id, wired))
    }

    fn say(&mut self, handle: Handle, bytes: Vec<u8>) {
        self.out.push_back((handle, Wired::Received(bytes)));
    }

    /// Servers follow the log, and answer what they can.
    fn work(&mut self) {
        for server in 0..self.servers.len() {
            self.follow(server);
        }
        let all: Vec<Handle> = self.wires.keys().copied().collect();
        for handle in all {
            self.read(handle);
            self.answer(handle);
        }
    }

    fn follow(&mut self, server: usize) {
        while self.serves(server)
            && self.lags != Some(server)
            && let Some((zxid, changes)) = self.log.get(self.servers[server].applied).cloned()
        {
            self.servers[server].applied += 1;
            for change in &changes {
                self.servers[server].tree.apply(zxid, change);
                let (kind, path) = match change {
                    Change::Create(path, _) => (1, path),
                    Change::Delete(path) => (2, path),
                    Change::Set(path, _) => (3, path),
                };
                let hears = |wire: &Wire| {
                    wire.server == server
                        && wire
                            .watches
                            .iter()
                            .any(|root| path == root || path.starts_with(&format!("{root}/")))
                };
                let all: Vec<Handle> =
                    self.wires.iter().filter(|(_, it)| hears(it)).map(|(it, _)| *it).collect();
                let body =
                    [&i32::to_be_bytes(kind)[..], &3_i32.to_be_bytes(), &buffer(path.as_bytes())];
                for handle in all {
                    self.say(handle, reply(-1, -1, 0, &body.concat()));
                }
            }
            // What waits for this is answered before the next transaction is heard of.
            let all: Vec<Handle> = self.wires.keys().copied().collect();
            for handle in all {
                self.answer(handle);
            }
        }
    }

    /// What there is, by name, with when it was created.
    pub(crate) fn instances(&self) -> BTreeMap<String, u64> {
        let root = "/discoverd/instances/";
        let all = self.tree.0.iter().filter_map(|(path, node)| {
            let name = path.strip_prefix(root)?;
            let is_one = name.matches('/').count() == 1;
            let is_held = self.tree.children(path).next().is_some();
            (is_one && is_held).then(|| (name.to_owned(), node.created.unsigned_abs()))
        });
        all.collect()
    }

    /// How many hold something.
    pub(crate) fn holders(&self) -> usize {
        self.tree.0.values().filter(|node| node.owner != 0).count()
    }

    /// All nodes, for those who look at the layout.
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.tree.0.keys().map(|path| &**path).collect()
    }
}
