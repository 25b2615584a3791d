//! What a connection asks for: from its bytes to changes of the tree, and to answers.

use std::cmp::Ordering;
use std::time::Duration;

use super::tree::{Change, Tree, parent};
use super::{Asked, Handle, Member, Model, Session};

const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const BAD_ARGUMENTS: i32 = -8;
const UNIMPLEMENTED: i32 = -6;

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

pub(super) fn buffer(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

pub(super) fn reply(xid: i32, zxid: i64, error: i32, body: &[u8]) -> Vec<u8> {
    let head = [&xid.to_be_bytes()[..], &zxid.to_be_bytes(), &error.to_be_bytes()].concat();
    buffer(&[&*head, if error == 0 { body } else { b"" }].concat())
}

impl Model {
    pub(super) fn read(&mut self, handle: Handle) {
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

    pub(super) fn answer(&mut self, handle: Handle) {
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
}
