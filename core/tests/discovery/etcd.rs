//! A model of etcd behind its JSON gateway: what it keeps, what its members do, and what can befall them. It answers exchanges;
//! the connections that these come on are [`gateway`](crate::gateway)'s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use libswarm::Instant;
use serde_json::{Value, json};

/// An exchange: whose, and which.
pub(crate) type Handle = (usize, u64);

/// What comes of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Status(u16),
    Body(Vec<u8>),
    End,
    /// The connection breaks.
    Broken,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Member {
    Up,
    /// Nobody listens there.
    Down,
    /// Its process stands still: what it is sent waits.
    Silent,
    /// The other members do not hear it.
    Alone,
}

#[derive(Clone, Debug)]
struct Kv {
    value: Vec<u8>,
    created: i64,
    modified: i64,
    version: i64,
    lease: i64,
}

struct Lease {
    ttl: Duration,
    until: Instant,
}

struct Watch {
    handle: Handle,
    member: usize,
    next: i64,
    range: (Vec<u8>, Vec<u8>),
}

struct Held {
    handle: Handle,
    target: String,
    headers: String,
    body: Vec<u8>,
}

pub(crate) struct Model {
    now: Instant,
    pub(crate) members: Vec<Member>,
    pub(crate) revision: i64,
    compacted: i64,
    kvs: BTreeMap<Vec<u8>, Kv>,
    leases: BTreeMap<i64, Lease>,
    /// All that ever happened: which key became what at which revision.
    history: Vec<(i64, Vec<u8>, Option<Kv>)>,
    watches: Vec<Watch>,
    /// What silent members have been sent.
    held: Vec<(usize, Held)>,
    wanted: BTreeSet<Handle>,
    out: VecDeque<(Handle, Piece)>,
    /// So many answers are lost, though what was asked for is done.
    pub(crate) lost_answers: u32,
    /// What somebody writes as soon as all instances have been read.
    pub(crate) behind_the_snapshot: Vec<(String, String)>,
    /// Watches hear of nothing for now.
    pub(crate) watches_lag: bool,
    user: Option<(String, String)>,
    tokens: BTreeSet<String>,
    issued: u32,
    /// Of a watch it says only that it is not permitted, as many versions do.
    pub(crate) is_vague: bool,
    /// How often each target was asked for.
    pub(crate) asked: BTreeMap<String, u32>,
}

impl Model {
    pub(crate) fn new(members: usize) -> Self {
        Self {
            now: Instant::ZERO,
            members: vec![Member::Up; members],
            revision: 1,
            compacted: 0,
            kvs: BTreeMap::new(),
            leases: BTreeMap::new(),
            history: Vec::new(),
            watches: Vec::new(),
            held: Vec::new(),
            wanted: BTreeSet::new(),
            out: VecDeque::new(),
            lost_answers: 0,
            behind_the_snapshot: Vec::new(),
            watches_lag: false,
            user: None,
            tokens: BTreeSet::new(),
            issued: 0,
            is_vague: false,
            asked: BTreeMap::new(),
        }
    }

    pub(crate) fn set_user(&mut self, name: &str, password: &str) {
        self.user = Some((name.into(), password.into()));
    }

    /// Tokens are forgotten, as they are by a member that restarts.
    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    fn has_quorum(&self) -> bool {
        self.members.iter().filter(|it| **it == Member::Up).count() * 2 > self.members.len()
    }

    /// Lets time pass: leases end.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.has_quorum() {
            let ended = |lease: &Lease| lease.until <= self.now;
            let gone: Vec<i64> =
                self.leases.iter().filter(|(_, it)| ended(it)).map(|(id, _)| *id).collect();
            gone.into_iter().for_each(|id| self.revoke(id));
        }
        self.tell();
    }

    /// When time matters next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = self.leases.values().map(|lease| lease.until).min();
        due.filter(|_| self.has_quorum())
    }

    pub(crate) fn set_member(&mut self, which: usize, state: Member) {
        let had = self.has_quorum();
        let was = std::mem::replace(&mut self.members[which], state);
        if state == Member::Down {
            let gone: Vec<Handle> =
                self.watches.iter().filter(|it| it.member == which).map(|it| it.handle).collect();
            self.watches.retain(|it| it.member != which);
            self.held.retain(|(member, _)| *member != which);
            gone.into_iter().for_each(|handle| self.out.push_back((handle, Piece::Broken)));
        }
        if !had && self.has_quorum() {
            // A new leader gives all leases their whole time.
            for lease in self.leases.values_mut() {
                lease.until = self.now + lease.ttl;
            }
        }
        self.end_without_leader();
        if was == Member::Silent && state != Member::Down {
            let (mine, rest) =
                std::mem::take(&mut self.held).into_iter().partition(|(m, _)| *m == which);
            self.held = rest;
            let mine: Vec<(usize, Held)> = mine;
            for (member, Held { handle, target, headers, body }) in mine {
                self.answer(handle, member, &target, &headers, &body);
            }
        }
        self.tell();
    }

    /// Whether a connection to that member can be had.
    pub(crate) fn listens(&self, member: usize) -> bool {
        self.members[member] != Member::Down
    }

    /// Everything is stopped, and started again.
    pub(crate) fn restart(&mut self) {
        for which in 0..self.members.len() {
            self.set_member(which, Member::Down);
        }
        self.forget_tokens();
        for which in 0..self.members.len() {
            self.set_member(which, Member::Up);
        }
    }

    /// All that it had is gone.
    pub(crate) fn wipe(&mut self) {
        for which in 0..self.members.len() {
            self.set_member(which, Member::Down);
        }
        let members = self.members.len();
        let (now, out) = (self.now, std::mem::take(&mut self.out));
        *self = Self { now, out, wanted: std::mem::take(&mut self.wanted), ..Self::new(members) };
    }

    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.tell();
    }

    /// Somebody else writes something, here or elsewhere.
    pub(crate) fn put_by_others(&mut self, key: &str, value: &str) {
        self.change(key.as_bytes().to_vec(), Some((value.as_bytes().to_vec(), 0)));
        self.tell();
    }

    /// A request comes to a member.
    pub(crate) fn begin(
        &mut self,
        handle: Handle,
        member: usize,
        target: &str,
        headers: &str,
        body: &[u8],
    ) {
        self.wanted.insert(handle);
        *self.asked.entry(target.to_owned()).or_default() += 1;
        match self.members[member] {
            Member::Down => self.say(handle, Piece::Broken),
            Member::Silent => {
                let held = Held {
                    handle,
                    target: target.into(),
                    headers: headers.into(),
                    body: body.to_vec(),
                };
                self.held.push((member, held));
            }
            Member::Up | Member::Alone => self.answer(handle, member, target, headers, body),
        }
        self.tell();
    }

    /// Nobody waits for it any more; what was sent may be done all the same.
    pub(crate) fn abandon(&mut self, handle: Handle) {
        self.wanted.remove(&handle);
        self.watches.retain(|it| it.handle != handle);
        self.out.retain(|(of, _)| *of != handle);
    }

    /// A user is gone, with all its connections.
    pub(crate) fn disconnect(&mut self, user: usize) {
        self.wanted.retain(|(of, _)| *of != user);
        self.watches.retain(|it| it.handle.0 != user);
        self.out.retain(|((of, _), _)| *of != user);
    }

    /// What there is to tell to one user.
    pub(crate) fn pop(&mut self, user: usize) -> Option<(u64, Piece)> {
        let at = self.out.iter().position(|((of, _), _)| *of == user)?;
        let ((_, id), piece) = self.out.remove(at)?;
        if matches!(piece, Piece::End | Piece::Broken) {
            self.wanted.remove(&(user, id));
        }
        Some((id, piece))
    }

    fn say(&mut self, handle: Handle, piece: Piece) {
        if self.wanted.contains(&handle) {
            self.out.push_back((handle, piece));
        }
    }

    fn whole(&mut self, handle: Handle, status: u16, body: &Value) {
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            return self.say(handle, Piece::Broken);
        }
        self.say(handle, Piece::Status(status));
        // As the gateway's streams have it.
        let end = if body.get("result").is_some() { "\n" } else { "" };
        self.say(handle, Piece::Body(format!("{body}{end}").into_bytes()));
        self.say(handle, Piece::End);
    }

    fn refuse(&mut self, handle: Handle, status: u16, code: u32, error: &str) {
        self.whole(handle, status, &json!({"error": error, "message": error, "code": code}));
    }

    fn header(&self) -> Value {
        json!({"cluster_id": "1", "member_id": "2", "revision": self.revision.to_string(), "raft_term": "3"})
    }

    fn answer(&mut self, handle: Handle, member: usize, target: &str, headers: &str, body: &[u8]) {
        let asked: Value = serde_json::from_slice(body).expect("a request is JSON");
        let is_watch = target == "/v3/watch";
        assert!(headers.contains("Grpc-Metadata-hasleader: true\r\n"), "{headers}");
        if self.members[member] == Member::Alone || !self.has_quorum() {
            let error = "etcdserver: no leader";
            if is_watch || target == "/v3/lease/keepalive" {
                let error = json!({"error": {"grpc_code": 14, "http_code": 503, "message": error}});
                return self.whole(handle, 503, &error);
            }
            return self.refuse(handle, 503, 14, error);
        }
        if target == "/v3/auth/authenticate" {
            return self.authenticate(handle, &asked);
        }
        if self.user.is_some() {
            let token = headers.lines().find_map(|line| line.strip_prefix("Authorization: "));
            if !token.is_some_and(|token| self.tokens.contains(token)) {
                let error = "etcdserver: invalid auth token";
                if !is_watch {
                    return self.refuse(handle, 401, 16, error);
                }
                let reason = if self.is_vague {
                    "rpc error: code = PermissionDenied desc = etcdserver: permission denied".into()
                } else {
                    format!("rpc error: code = Unauthenticated desc = {error}")
                };
                let update = json!({"result": {"header": self.header(), "watch_id": "-1", "created": true,
                    "canceled": true, "cancel_reason": reason}});
                self.say(handle, Piece::Status(200));
                return self.say(handle, Piece::Body(format!("{update}\n").into_bytes()));
            }
        }
        match target {
            "/v3/lease/grant" => {
                let (id, ttl) = (number(&asked["ID"]), number(&asked["TTL"]));
                if self.leases.contains_key(&id) {
                    return self.refuse(handle, 412, 9, "etcdserver: lease already exists");
                }
                let ttl = Duration::from_secs(ttl.unsigned_abs());
                self.leases.insert(id, Lease { ttl, until: self.now + ttl });
                let reply = json!({"header": self.header(), "ID": id.to_string(), "TTL": ttl.as_secs().to_string()});
                self.whole(handle, 200, &reply);
            }
            "/v3/lease/keepalive" => {
                let id = number(&asked["ID"]);
                let mut result = json!({"header": self.header(), "ID": id.to_string()});
                if let Some(lease) = self.leases.get_mut(&id) {
                    lease.until = self.now + lease.ttl;
                    result["TTL"] = json!(lease.ttl.as_secs().to_string());
                }
                self.whole(handle, 200, &json!({"result": result}));
            }
            "/v3/lease/revoke" => {
                let id = number(&asked["ID"]);
                if !self.leases.contains_key(&id) {
                    return self.refuse(handle, 404, 5, "etcdserver: requested lease not found");
                }
                self.revoke(id);
                self.whole(handle, 200, &json!({"header": self.header()}));
            }
            "/v3/kv/range" => self.range(handle, &asked),
            "/v3/kv/txn" => self.txn(handle, &asked),
            "/v3/watch" => self.watch(handle, member, &asked["create_request"]),
            other => panic!("{other} is not modelled"),
        }
    }

    fn authenticate(&mut self, handle: Handle, asked: &Value) {
        let Some((name, password)) = &self.user else {
            return self.refuse(handle, 400, 9, "etcdserver: authentication is not enabled");
        };
        if asked["name"] != name.as_str() || asked["password"] != password.as_str() {
            let error = "etcdserver: authentication failed, invalid user ID or password";
            return self.refuse(handle, 400, 3, error);
        }
        self.issued += 1;
        let token = format!("token.{}", self.issued);
        self.tokens.insert(token.clone());
        self.whole(handle, 200, &json!({"header": self.header(), "token": token}));
    }

    /// What there was at a revision.
    fn at(&self, revision: i64) -> BTreeMap<Vec<u8>, Kv> {
        let mut all = BTreeMap::new();
        for (_, key, kv) in self.history.iter().take_while(|(at, ..)| *at <= revision) {
            match kv {
                Some(kv) => _ = all.insert(key.clone(), kv.clone()),
                None => _ = all.remove(key),
            }
        }
        all
    }

    fn range(&mut self, handle: Handle, asked: &Value) {
        let (from, revision) = (decode(&asked["key"]), number(&asked["revision"]));
        if revision > self.revision || (revision > 0 && revision < self.compacted) {
            let error = "etcdserver: mvcc: required revision has been compacted";
            return self.refuse(handle, 400, 11, error);
        }
        let all = if revision == 0 { self.kvs.clone() } else { self.at(revision) };
        let end = match asked.get("range_end") {
            Some(end) => decode(end),
            None => [&*from, b"\0"].concat(),
        };
        // Smaller pages than anybody asks for, so that there are some.
        let limit = if asked.get("limit").is_some() { 3 } else { usize::MAX };
        let found: Vec<_> = all.range(from..end).collect();
        let kvs: Vec<Value> = found.iter().take(limit).map(|(key, kv)| shown(key, kv)).collect();
        let mut reply = json!({"header": self.header()});
        if !kvs.is_empty() {
            reply["count"] = json!(found.len().to_string());
            reply["kvs"] = json!(kvs);
        }
        let more = found.len() > limit;
        if more {
            reply["more"] = json!(true);
        }
        self.whole(handle, 200, &reply);
        if !more && limit < usize::MAX {
            for (key, value) in std::mem::take(&mut self.behind_the_snapshot) {
                self.change(key.into_bytes(), Some((value.into_bytes(), 0)));
            }
        }
    }

    fn txn(&mut self, handle: Handle, asked: &Value) {
        let compare = &asked["compare"][0];
        assert_eq!(compare["result"], "EQUAL");
        let kv = self.kvs.get(&decode(&compare["key"]));
        let holds = match compare["target"].as_str() {
            Some("MOD") => kv.map_or(0, |kv| kv.modified) == number(&compare["mod_revision"]),
            Some("CREATE") => kv.map_or(0, |kv| kv.created) == number(&compare["create_revision"]),
            other => panic!("{other:?} is not modelled"),
        };
        let delete = &asked["success"][0]["request_delete_range"]["key"];
        if holds && !delete.is_null() {
            self.change(decode(delete), None);
            let deleted = json!([{"response_delete_range": {"deleted": "1"}}]);
            let reply = json!({"header": self.header(), "succeeded": true, "responses": deleted});
            return self.whole(handle, 200, &reply);
        }
        if holds {
            let put = &asked["success"][0]["request_put"];
            let lease = number(&put["lease"]);
            if lease != 0 && !self.leases.contains_key(&lease) {
                return self.refuse(handle, 404, 5, "etcdserver: requested lease not found");
            }
            self.change(decode(&put["key"]), Some((decode(&put["value"]), lease)));
            let reply = json!({"header": self.header(), "succeeded": true, "responses": [{"response_put": {}}]});
            return self.whole(handle, 200, &reply);
        }
        let key = decode(&asked["failure"][0]["request_range"]["key"]);
        let kvs: Vec<Value> = self.kvs.get(&key).map(|kv| shown(&key, kv)).into_iter().collect();
        let range = if kvs.is_empty() { json!({}) } else { json!({"kvs": kvs, "count": "1"}) };
        let reply = json!({"header": self.header(), "responses": [{"response_range": range}]});
        self.whole(handle, 200, &reply);
    }

    fn watch(&mut self, handle: Handle, member: usize, asked: &Value) {
        self.say(handle, Piece::Status(200));
        let created = json!({"result": {"header": self.header(), "created": true}});
        self.say(handle, Piece::Body(format!("{created}\n").into_bytes()));
        let range = (decode(&asked["key"]), decode(&asked["range_end"]));
        let next = match number(&asked["start_revision"]) {
            0 => self.revision + 1,
            next => next,
        };
        self.watches.push(Watch { handle, member, next, range });
    }

    fn change(&mut self, key: Vec<u8>, to: Option<(Vec<u8>, i64)>) {
        self.revision += 1;
        let revision = self.revision;
        let kv = to.map(|(value, lease)| {
            let old = self.kvs.get(&key);
            let (created, version) =
                old.map_or((revision, 1), |old| (old.created, old.version + 1));
            Kv { value, created, modified: revision, version, lease }
        });
        match &kv {
            Some(kv) => _ = self.kvs.insert(key.clone(), kv.clone()),
            None => _ = self.kvs.remove(&key),
        }
        self.history.push((revision, key, kv));
    }

    fn revoke(&mut self, id: i64) {
        self.leases.remove(&id);
        let gone: Vec<Vec<u8>> =
            self.kvs.iter().filter(|(_, kv)| kv.lease == id).map(|(key, _)| key.clone()).collect();
        gone.into_iter().for_each(|key| self.change(key, None));
    }

    /// A member that is without the others says so.
    fn end_without_leader(&mut self) {
        let (quorum, members) = (self.has_quorum(), self.members.clone());
        let lost = |watch: &Watch| match members[watch.member] {
            Member::Silent => false,
            Member::Alone => true,
            _ => !quorum,
        };
        let gone: Vec<Handle> =
            self.watches.iter().filter(|it| lost(it)).map(|it| it.handle).collect();
        self.watches.retain(|it| !gone.contains(&it.handle));
        for handle in gone {
            let error = json!({"error": {"grpc_code": 14, "http_code": 503, "message": "etcdserver: no leader"}});
            self.say(handle, Piece::Body(format!("{error}\n").into_bytes()));
            self.say(handle, Piece::End);
        }
    }

    /// Tells watches of what has happened.
    fn tell(&mut self) {
        if self.watches_lag {
            return;
        }
        let mut watches = std::mem::take(&mut self.watches);
        watches.retain_mut(|watch| {
            if self.members[watch.member] == Member::Silent {
                return true;
            }
            if watch.next < self.compacted {
                let update = json!({"result": {"header": {"raft_term": "3"}, "canceled": true,
                    "compact_revision": self.compacted.to_string()}});
                self.say(watch.handle, Piece::Body(format!("{update}\n").into_bytes()));
                return false;
            }
            let range = watch.range.0.clone()..watch.range.1.clone();
            let start = self.history.partition_point(|(at, ..)| *at < watch.next);
            let events: Vec<Value> = self.history[start..]
                .iter()
                .filter(|(_, key, _)| range.contains(key))
                .map(|(at, key, kv)| match kv {
                    Some(kv) => json!({"kv": shown(key, kv)}),
                    None => json!({"type": "DELETE", "kv": {"key": encode(key), "mod_revision": at.to_string()}}),
                })
                .collect();
            watch.next = watch.next.max(self.revision + 1);
            if !events.is_empty() {
                let update = json!({"result": {"header": self.header(), "events": events}});
                self.say(watch.handle, Piece::Body(format!("{update}\n").into_bytes()));
            }
            true
        });
        self.watches = watches;
    }

    /// The instances that there are, as (name, created).
    pub(crate) fn instances(&self) -> BTreeMap<String, u64> {
        let name = |key: &[u8]| {
            let key = String::from_utf8_lossy(key).into_owned();
            key.strip_prefix("/discoverd/instances/").map(str::to_owned)
        };
        self.kvs
            .iter()
            .filter_map(|(key, kv)| Some((name(key)?, kv.created.unsigned_abs())))
            .collect()
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> usize {
        self.leases.len()
    }
}

fn shown(key: &[u8], kv: &Kv) -> Value {
    let mut shown = json!({"key": encode(key), "value": encode(&kv.value),
        "create_revision": kv.created.to_string(), "mod_revision": kv.modified.to_string(),
        "version": kv.version.to_string()});
    if kv.lease != 0 {
        shown["lease"] = json!(kv.lease.to_string());
    }
    shown
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Null => 0,
        Value::String(text) => text.parse().expect("a number"),
        other => other.as_i64().expect("a number"),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for nth in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * nth)) as usize & 63];
            text.push(if nth <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn decode(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("base64 is text");
    let mut out = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let data: Vec<u32> = four
            .iter()
            .filter_map(|byte| ALPHABET.iter().position(|it| it == byte).map(|at| at as u32))
            .collect();
        let bits = data.iter().fold(0, |bits, six| bits << 6 | six) << (6 * (4 - data.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..data.len()]);
    }
    out
}
