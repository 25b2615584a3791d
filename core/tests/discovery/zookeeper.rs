//! A model of ZooKeeper: a leader's log of transactions, servers that follow it, sessions, and what can befall them. It speaks
//! the protocol on connections that whoever carries them has opened.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use libswarm::Instant;

use crate::etcd::Member;

/// A connection: whose, and which.
pub(crate) type Handle = (usize, u64);

/// What comes of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wired {
    Connected,
    Received(Vec<u8>),
    Lost(&'static str),
}

const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const BAD_ARGUMENTS: i32 = -8;
const UNIMPLEMENTED: i32 = -6;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Node {
    data: Vec<u8>,
    created: i64,
    modified: i64,
    version: i32,
    /// The session that it goes with.
    owner: i64,
    container: bool,
    had_children: bool,
    /// Who may read and change it, where that is not everybody.
    user: Option<String>,
}

/// One change to the tree.
#[derive(Clone, Debug)]
enum Change {
    Create(String, Node),
    Set(String, Vec<u8>),
    Delete(String),
}

#[derive(Clone, Default)]
struct Tree(BTreeMap<String, Node>);

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

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Tree {
    fn children<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let behind = self.0.range(format!("{path}/")..format!("{path}0"));
        behind.filter_map(move |(child, _)| {
            let name = &child[path.len() + 1..];
            (!name.contains('/')).then_some(name)
        })
    }

    fn apply(&mut self, zxid: i64, change: &Change) {
        match change {
            Change::Create(path, node) => {
                if let Some(parent) = self.0.get_mut(parent(path)) {
                    parent.had_children = true;
                }
                self.0.insert(path.clone(), node.clone());
            }
            Change::Set(path, data) => {
                let node = self.0.get_mut(path).expect("it was checked");
                (node.data, node.modified, node.version) = (data.clone(), zxid, node.version + 1);
            }
            Change::Delete(path) => _ = self.0.remove(path).expect("it was checked"),
        }
    }

    fn stat(&self, path: &str) -> Vec<u8> {
        let node = &self.0[path];
        let mut out = Vec::new();
        for number in [node.created, node.modified, 0, 0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for number in [node.version, 0, 0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&node.owner.to_be_bytes());
        out.extend_from_slice(&(node.data.len() as i32).to_be_bytes());
        out.extend_from_slice(&(self.children(path).count() as i32).to_be_bytes());
        out.extend_from_slice(&node.modified.to_be_bytes());
        out
    }
}

/// Reads what a client has sent; what is not there fails the test.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at_checked(length).expect("a whole record");
        self.0 = rest;
        head
    }

    fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn flag(&mut self) -> bool {
        self.take(1)[0] != 0
    }

    fn buffer(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.int()).expect("a length");
        self.take(length)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.buffer().to_vec()).expect("a text")
    }
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

fn reply(xid: i32, zxid: i64, error: i32, body: &[u8]) -> Vec<u8> {
    let head = [&xid.to_be_bytes()[..], &zxid.to_be_bytes(), &error.to_be_bytes()].concat();
    buffer(&[&*head, if error == 0 { body } else { b"" }].concat())
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

    fn read(&mut self, handle: Handle) {
        while let Some(wire) = self.wires.get_mut(&handle) {
            let server = wire.server;
            let Some(length) = wire.unread.first_chunk::<4>() else { return };
            let length = u32::from_be_bytes(*length) as usize;
            if wire.unread.len() < 4 + length {
                return;
            }
            match self.servers[server].state {
                Member::Silent => return,
                _ if !self.serves(server) => return self.break_off(handle, "closed"),
                _ => {}
            }
            let Some(wire) = self.wires.get_mut(&handle) else { return };
            let frame: Vec<u8> = wire.unread.drain(..4 + length).skip(4).collect();
            if wire.session == 0 {
                self.greet(handle, &frame);
                continue;
            }
            let session = wire.session;
            let Some(known) = self.sessions.get_mut(&session) else {
                return self.break_off(handle, "closed");
            };
            known.until = self.now + known.timeout;
            let mut from = Reader(&frame);
            let (xid, code) = (from.int(), from.int());
            *self.asked.entry(code).or_default() += 1;
            let asked = Asked { xid, code, body: from.0.to_vec(), done: None };
            if let Some(wire) = self.wires.get_mut(&handle) {
                wire.waiting.push_back(asked);
            }
        }
    }

    fn greet(&mut self, handle: Handle, frame: &[u8]) {
        let mut from = Reader(frame);
        assert_eq!(from.int(), 0, "the protocol's version");
        let (seen, timeout, id, password) =
            (from.long(), from.int(), from.long(), from.buffer().to_vec());
        assert!(!from.flag(), "it wants a server with a quorum");
        let server = self.wires[&handle].server;
        let applied = self.servers[server].applied;
        if seen > self.log[..applied].last().map_or(0, |(zxid, _)| *zxid) {
            return self.break_off(handle, "closed");
        }
        let timeout = Duration::from_millis(timeout.unsigned_abs().into());
        let is_known = self.sessions.get(&id).is_some_and(|it| it.password == password);
        let (id, password) = if is_known {
            (id, password)
        } else if id != 0 {
            let none = [&[0; 16][..], &16_i32.to_be_bytes(), &[0; 16], &[0]].concat();
            self.say(handle, buffer(&none));
            return self.break_off(handle, "closed");
        } else {
            self.next_session += 1;
            self.commit(Vec::new());
            (self.next_session, vec![self.next_session as u8; 16])
        };
        let until = self.now + timeout;
        let session = Session { password: password.clone(), timeout, until, wire: Some(handle) };
        let old = self.sessions.insert(id, session).and_then(|it| it.wire);
        if let Some(old) = old.filter(|old| *old != handle) {
            self.break_off(old, "closed");
        }
        if let Some(wire) = self.wires.get_mut(&handle) {
            wire.session = id;
        }
        let millis = timeout.as_millis() as i32;
        let greeting = [
            &0_i32.to_be_bytes()[..],
            &millis.to_be_bytes(),
            &id.to_be_bytes(),
            &buffer(&password),
            &[0],
        ];
        self.say(handle, buffer(&greeting.concat()));
    }

    fn answer(&mut self, handle: Handle) {
        while let Some(wire) = self.wires.get_mut(&handle) {
            let (server, session, user) = (wire.server, wire.session, wire.user.clone());
            if !self.serves(server) {
                return;
            }
            let Some(wire) = self.wires.get_mut(&handle) else { return };
            let Some(mut asked) = wire.waiting.pop_front() else { return };
            if asked.done.is_none() {
                asked.done = Some(self.perform(handle, session, user.as_ref(), &asked));
            }
            let is_applied =
                |(length, ..): &(usize, i64, i32, Vec<u8>)| *length <= self.servers[server].applied;
            let Some(wire) = self.wires.get_mut(&handle) else { return };
            if !asked.done.as_ref().is_some_and(is_applied) {
                wire.waiting.push_front(asked);
                // It may be up to date, and only has to be told.
                if self.lags != Some(server) && self.servers[server].applied < self.log.len() {
                    self.follow(server);
                    continue;
                }
                return;
            }
            let Some((_, zxid, error, body)) = asked.done else { return };
            // A transaction that failed says so in its first answer.
            let is_made = error == 0 && !body.starts_with(&(-1_i32).to_be_bytes());
            let is_change = matches!(asked.code, 1 | 2 | 5 | 14 | 19) && is_made;
            if is_change && self.lost_answers > 0 {
                self.lost_answers -= 1;
                return self.break_off(handle, "the connection broke");
            }
            self.say(handle, reply(asked.xid, zxid, error, &body));
        }
    }

    /// Makes a request; gives how much of the log is to be applied before it is answered, and with what.
    fn perform(
        &mut self,
        handle: Handle,
        session: i64,
        user: Option<&String>,
        asked: &Asked,
    ) -> (usize, i64, i32, Vec<u8>) {
        let server = self.wires[&handle].server;
        let mut from = Reader(&asked.body);
        let applied = self.servers[server].applied;
        let zxid = self.log[..applied].last().map_or(0, |(zxid, _)| *zxid);
        let now = |error: i32, body: Vec<u8>| (applied, zxid, error, body);
        match asked.code {
            1 | 2 | 5 | 19 => {
                let result = self.attempt(session, user, &[(asked.code, from.0)]);
                let (error, body) = match result {
                    Ok(mut bodies) => (0, bodies.remove(0).1),
                    Err((_, error)) => (error, Vec::new()),
                };
                (self.log.len(), self.zxid, error, body)
            }
            14 => {
                let mut changes = Vec::new();
                loop {
                    let (code, is_end, _) = (from.int(), from.flag(), from.int());
                    if is_end {
                        break;
                    }
                    let rest = from.0;
                    from.text();
                    match code {
                        1 | 19 => {
                            from.buffer();
                            for _ in 0..from.int() {
                                from.int();
                                from.text();
                                from.text();
                            }
                            from.int();
                        }
                        5 => _ = (from.buffer(), from.int()),
                        _ => _ = from.int(),
                    }
                    changes.push((code, rest));
                }
                let count = changes.len();
                let mut body = Vec::new();
                let mut head = |kind: i32, end: bool, error: i32, rest: &[u8]| {
                    body.extend_from_slice(&kind.to_be_bytes());
                    body.push(end.into());
                    body.extend_from_slice(&error.to_be_bytes());
                    body.extend_from_slice(rest);
                };
                match self.attempt(session, user, &changes) {
                    Ok(bodies) => bodies.iter().for_each(|(kind, it)| head(*kind, false, 0, it)),
                    Err((at, error)) => {
                        for nth in 0..count {
                            let error = match nth.cmp(&at) {
                                Ordering::Less => 0,
                                Ordering::Equal => error,
                                Ordering::Greater => -2,
                            };
                            head(-1, false, error, &error.to_be_bytes());
                        }
                    }
                }
                head(-1, true, -1, &[]);
                (self.log.len(), self.zxid, 0, body)
            }
            4 | 12 => {
                let path = from.text();
                let tree = &self.servers[server].tree;
                let Some(node) = tree.0.get(&path) else { return now(NO_NODE, Vec::new()) };
                if node.user.is_some() && node.user.as_ref() != user {
                    return now(NO_AUTH, Vec::new());
                }
                let mut body = if asked.code == 4 {
                    buffer(&node.data)
                } else {
                    let names: Vec<Vec<u8>> =
                        tree.children(&path).map(|it| buffer(it.as_bytes())).collect();
                    [(names.len() as i32).to_be_bytes().to_vec(), names.concat()].concat()
                };
                body.extend(tree.stat(&path));
                now(0, body)
            }
            9 => {
                let path = from.text();
                (self.log.len(), self.zxid, 0, buffer(path.as_bytes()))
            }
            11 => now(0, Vec::new()),
            100 => {
                assert_eq!((from.int(), &*from.text()), (0, "digest"));
                let user = from.text();
                if let Some(wire) = self.wires.get_mut(&handle) {
                    wire.user = Some(user);
                }
                now(0, Vec::new())
            }
            106 if !self.is_old => {
                let path = from.text();
                assert_eq!(from.int(), 1, "persistent and recursive");
                if let Some(wire) = self.wires.get_mut(&handle) {
                    wire.watches.insert(path);
                }
                now(0, vec![0; 4])
            }
            _ => now(UNIMPLEMENTED, Vec::new()),
        }
    }

    /// One transaction of these changes, or which of them cannot be, and why.
    #[expect(
        clippy::type_complexity,
        reason = "for each change what kind of answer, and the answer"
    )]
    fn attempt(
        &mut self,
        session: i64,
        user: Option<&String>,
        changes: &[(i32, &[u8])],
    ) -> Result<Vec<(i32, Vec<u8>)>, (usize, i32)> {
        let (mut tree, mut made, mut answers) = (self.tree.clone(), Vec::new(), Vec::new());
        for (at, (code, body)) in changes.iter().enumerate() {
            let failed = |error: i32| (at, error);
            let mut from = Reader(body);
            let path = from.text();
            let may = |tree: &Tree, path: &str| {
                tree.0.get(path).is_none_or(|it| it.user.is_none() || it.user.as_ref() == user)
            };
            let found = tree.0.get(&path).cloned();
            let change = match code {
                1 | 19 => {
                    let data = from.buffer().to_vec();
                    assert_eq!((from.int(), from.int()), (1, 31));
                    let who = (from.text(), from.text());
                    let owner = match who.0.as_str() {
                        "world" => None,
                        "auth" => Some(user.cloned().ok_or_else(|| failed(-114))?),
                        other => panic!("{other}"),
                    };
                    let mode = from.int();
                    let name = path.rsplit('/').next().unwrap_or_default();
                    if name.is_empty()
                        || name == "."
                        || name == ".."
                        || name.contains(|it| it > '\u{fff0}')
                    {
                        return Err(failed(BAD_ARGUMENTS));
                    }
                    let above = parent(&path);
                    if !above.is_empty() && !tree.0.contains_key(above) {
                        return Err(failed(NO_NODE));
                    }
                    if !may(&tree, above) {
                        return Err(failed(NO_AUTH));
                    }
                    if tree.0.get(above).is_some_and(|it| it.owner != 0) {
                        return Err(failed(NO_CHILDREN_FOR_EPHEMERALS));
                    }
                    if found.is_some() {
                        return Err(failed(NODE_EXISTS));
                    }
                    let mut node = self.node(data, if mode == 1 { session } else { 0 }, owner);
                    node.container = mode == 4;
                    Change::Create(path.clone(), node)
                }
                2 | 5 | 13 => {
                    let data = if *code == 5 { from.buffer().to_vec() } else { Vec::new() };
                    let version = from.int();
                    let found = found.ok_or_else(|| failed(NO_NODE))?;
                    if !may(&tree, if *code == 2 { parent(&path) } else { &path }) {
                        return Err(failed(NO_AUTH));
                    }
                    if version != -1 && version != found.version {
                        return Err(failed(BAD_VERSION));
                    }
                    if *code == 2 && tree.children(&path).next().is_some() {
                        return Err(failed(NOT_EMPTY));
                    }
                    match code {
                        2 => Change::Delete(path.clone()),
                        5 => Change::Set(path.clone(), data),
                        _ => {
                            answers.push((13, Vec::new()));
                            continue;
                        }
                    }
                }
                other => panic!("no change has code {other}"),
            };
            tree.apply(self.zxid + 1, &change);
            answers.push(match &change {
                Change::Create(path, node) if node.container => {
                    (15, [buffer(path.as_bytes()), tree.stat(path)].concat())
                }
                Change::Create(path, _) => (1, buffer(path.as_bytes())),
                Change::Set(path, _) => (5, tree.stat(path)),
                Change::Delete(_) => (2, Vec::new()),
            });
            made.push(change);
        }
        self.commit(made);
        Ok(answers)
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
