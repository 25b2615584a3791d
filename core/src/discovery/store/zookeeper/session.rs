//! A session: over one connection after the other, to whichever server answers, with the requests that are under way on it.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::jute::{self, Change, Failed, Greeting, Reader, Stat, Writer, code, op};
use crate::discovery::store::StoreEvent;
use crate::id::Key;
use crate::job::Upstream;
use crate::time::Instant;

/// A server that says nothing for so long, though it was asked something, is left for the next one.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before all servers are tried again, at first and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many requests are under way at once.
const AT_ONCE: usize = 200;
/// The longest answer: the names of a service's instances.
const LONGEST: usize = 64 * 1024 * 1024;

const EVENT: i32 = -1;
const PING: i32 = -2;
const AUTH: i32 = -4;
const EXPIRED: i32 = -112;
const MOVED: i32 = -118;

/// What a call is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// That a folder of ours is there.
    Folder,
    /// To hear of all that happens.
    Watch,
    /// Which services there are in that folder.
    Services(String),
    /// Which instances or documents a service has, in that folder.
    Service(String),
    /// How an instance or a document is, of all that are read.
    Load(String),
    /// The same, because something happened to it.
    Read(u64, String),
    /// A request of the store's user.
    Request(Key),
    /// That all that happened before is heard.
    Beat,
}

/// What the answer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    /// Nothing that is looked at.
    Done,
    Data,
    Children,
    Multi,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    Done,
    Data(Vec<u8>, Stat),
    Children(Vec<String>, Stat),
    Multi(Result<(), Failed>),
}

/// What a session tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// Calls may be made. `fresh`: it is a new session, nothing of the one before is there any more.
    Opened { fresh: bool },
    /// Something has happened to the node of that path. What, is to be read.
    Event(String),
    /// The answer to a call, in the order of the calls: up to which transaction it knows, and a reply or the code of an error.
    Answer { purpose: Purpose, zxid: i64, result: Result<Reply, i32> },
    /// The connection is gone, for that reason, and with it all calls: what came of them is not known.
    Lost(String),
}

#[derive(Debug)]
struct Call {
    purpose: Purpose,
    expect: Expect,
    code: i32,
    body: Writer,
}

#[derive(Debug)]
struct Flying {
    xid: i32,
    purpose: Purpose,
    expect: Expect,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Connecting,
    Greeting,
    Open,
}

#[derive(Debug)]
struct Wire {
    id: u64,
    state: State,
    unread: Vec<u8>,
    out: Vec<u8>,
    /// When something was last sent.
    sent: Instant,
    /// Since when an answer is due.
    asked: Option<Instant>,
    pinged: bool,
}

/// A session with one of some servers.
#[derive(Debug)]
pub(super) struct Session {
    endpoints: Vec<(Arc<Upstream>, String)>,
    current: usize,
    /// A name and a password.
    auth: Option<String>,
    wanted: Duration,
    /// As the server has granted it.
    timeout: Duration,
    id: i64,
    password: Vec<u8>,
    /// The last transaction that is known of. A server that does not know it yet is of no use.
    seen: i64,
    /// Since when no server has taken it on.
    lost: Instant,
    wire: Option<Wire>,
    wires: u64,
    xid: i32,
    waiting: VecDeque<Call>,
    flying: VecDeque<Flying>,
    again: Option<Instant>,
    failures: u32,
    heard: VecDeque<Heard>,
    out: VecDeque<StoreEvent>,
}

impl Session {
    pub(super) fn new(
        now: Instant,
        endpoints: &[Arc<Upstream>],
        auth: Option<String>,
        timeout: Duration,
    ) -> Self {
        let named = |endpoint: &Arc<Upstream>| {
            let shown = endpoint.address.to_string();
            let host = shown.split_once("://").map_or(&*shown, |(_, host)| host).to_owned();
            (Arc::clone(endpoint), host)
        };
        let mut session = Self {
            endpoints: endpoints.iter().map(named).collect(),
            current: 0,
            auth,
            wanted: timeout,
            timeout,
            id: 0,
            password: [0; 16].to_vec(),
            seen: 0,
            lost: now,
            wire: None,
            wires: 0,
            xid: 0,
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            again: None,
            failures: 0,
            heard: VecDeque::new(),
            out: VecDeque::new(),
        };
        session.connect(now);
        session
    }

    /// All servers, for people.
    pub(super) fn shown(&self) -> String {
        let all: Vec<&str> = self.endpoints.iter().map(|(_, host)| &**host).collect();
        all.join(", ")
    }

    pub(super) const fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// As ZooKeeper writes it.
    pub(super) fn name(&self) -> String {
        format!("{:#x}", self.id)
    }

    /// All is as it should be: if it is lost, the next server is tried at once.
    pub(super) const fn settled(&mut self) {
        self.failures = 0;
    }

    fn connect(&mut self, now: Instant) {
        self.again = None;
        let Some((upstream, _)) = self.endpoints.get(self.current) else { return };
        let upstream = Arc::clone(upstream);
        self.wires += 1;
        let id = self.wires;
        self.wire = Some(Wire {
            id,
            state: State::Connecting,
            unread: Vec::new(),
            out: Vec::new(),
            sent: now,
            asked: Some(now),
            pinged: false,
        });
        self.out.push_back(StoreEvent::Connect { id, upstream });
    }

    pub(super) fn connected(&mut self, now: Instant, id: u64) {
        // Servers that have lost what they had would refuse for ever who has seen it.
        let seen = if now - self.lost > self.timeout.max(self.wanted) { 0 } else { self.seen };
        let timeout = i32::try_from(self.wanted.as_millis()).unwrap_or(i32::MAX);
        let Some(wire) = self.wire_of(id).filter(|wire| wire.state == State::Connecting) else {
            return;
        };
        wire.state = State::Greeting;
        (wire.sent, wire.asked) = (now, Some(now));
        let greeting = jute::greet(seen, timeout, self.id, &self.password);
        if let Some(wire) = &mut self.wire {
            wire.out.extend_from_slice(&greeting);
        }
    }

    fn wire_of(&mut self, id: u64) -> Option<&mut Wire> {
        self.wire.as_mut().filter(|wire| wire.id == id)
    }

    pub(super) fn received(&mut self, now: Instant, id: u64, bytes: &[u8]) {
        let Some(wire) = self.wire_of(id) else { return };
        wire.asked = wire.asked.map(|_| now);
        wire.unread.extend_from_slice(bytes);
        let unread = core::mem::take(&mut wire.unread);
        let mut rest = &*unread;
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > LONGEST {
                return self.lose(now, "what it says is not ZooKeeper's");
            }
            let Some((frame, behind)) = behind.split_at_checked(length) else { break };
            rest = behind;
            if let Err(reason) = self.heard(now, frame) {
                return self.lose(now, reason);
            }
            if self.wire_of(id).is_none() {
                return;
            }
        }
        let rest = rest.to_vec();
        if let Some(wire) = self.wire_of(id) {
            wire.unread = rest;
        }
        self.go_on(now);
    }

    fn heard(&mut self, now: Instant, frame: &[u8]) -> Result<(), &'static str> {
        const ODD: &str = "what it says is not ZooKeeper's";
        if self.wire.as_ref().is_some_and(|wire| wire.state == State::Greeting) {
            let greeting = Greeting::read(frame).ok_or(ODD)?;
            self.greeted(now, greeting);
            return Ok(());
        }
        let mut from = Reader(frame);
        let (Some(xid), Some(zxid), Some(error)) = (from.int(), from.long(), from.int()) else {
            return Err(ODD);
        };
        match xid {
            EVENT => {
                let (Some(_kind), Some(_state), Some(path)) = (from.int(), from.int(), from.text())
                else {
                    return Err(ODD);
                };
                self.heard.push_back(Heard::Event(path.to_owned()));
                return Ok(());
            }
            PING => {
                if let Some(wire) = &mut self.wire {
                    wire.pinged = false;
                }
            }
            AUTH if error == 0 => {}
            AUTH => return Err("authentication failed: look at --zookeeper-auth"),
            _ => {
                let Some(call) = self.flying.pop_front().filter(|call| call.xid == xid) else {
                    return Err("it answers what was not asked");
                };
                match error {
                    EXPIRED => {
                        self.forget();
                        return Err("the session has expired");
                    }
                    MOVED => return Err("the session has moved to another server"),
                    _ => {}
                }
                let result = match error {
                    0 => Ok(read(call.expect, from).ok_or(ODD)?),
                    error => Err(error),
                };
                let zxid = zxid.max(0);
                self.seen = self.seen.max(zxid);
                self.heard.push_back(Heard::Answer { purpose: call.purpose, zxid, result });
            }
        }
        if let Some(wire) = &mut self.wire
            && self.flying.is_empty()
            && !wire.pinged
        {
            wire.asked = None;
        }
        Ok(())
    }

    fn greeted(&mut self, now: Instant, greeting: Greeting<'_>) {
        let Some(wire) = &mut self.wire else { return };
        if greeting.timeout <= 0 {
            if self.id == 0 {
                return self.lose(now, "it grants no session");
            }
            // The session is gone; this server is not to blame.
            let id = wire.id;
            self.wire = None;
            self.out.push_back(StoreEvent::Close(id));
            self.forget();
            return self.connect(now);
        }
        let fresh = greeting.session != self.id;
        if now - self.lost > self.timeout.max(self.wanted) {
            self.seen = 0;
        }
        self.lost = now;
        (wire.state, wire.asked) = (State::Open, None);
        self.id = greeting.session;
        self.password = greeting.password.to_vec();
        self.timeout = Duration::from_millis(u64::from(greeting.timeout.unsigned_abs()));
        if let Some(auth) = &self.auth {
            let mut body = Writer::default();
            body.int(AUTH).int(op::AUTH).int(0).text("digest").buffer(auth.as_bytes());
            wire.out.extend_from_slice(&body.frame());
        }
        self.heard.push_back(Heard::Opened { fresh });
    }

    fn forget(&mut self) {
        self.id = 0;
        self.password = [0; 16].to_vec();
    }

    /// The connection is gone.
    pub(super) fn gone(&mut self, now: Instant, id: u64, reason: &str) {
        if self.wire.as_ref().is_some_and(|wire| wire.id == id) {
            let state = self.wire.take().map(|wire| wire.state);
            let greeted = state == Some(State::Greeting);
            // Who does not serve, or knows less than this session has seen, closes without a word.
            let reason = if greeted { "it refuses to serve for now" } else { reason };
            self.fail(now, state == Some(State::Open), reason);
        }
    }

    /// The connection is of no use any more.
    pub(super) fn lose(&mut self, now: Instant, reason: &str) {
        if let Some(wire) = self.wire.take() {
            self.out.push_back(StoreEvent::Close(wire.id));
            self.fail(now, wire.state == State::Open, reason);
        }
    }

    fn fail(&mut self, now: Instant, was_open: bool, reason: &str) {
        if was_open {
            self.lost = now;
        }
        let host = self.endpoints.get(self.current).map_or("", |(_, host)| &**host);
        self.heard.push_back(Heard::Lost(format!("{host}: {reason}")));
        self.waiting.clear();
        self.flying.clear();
        self.current = (self.current + 1) % self.endpoints.len().max(1);
        self.failures += 1;
        let servers = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX).max(1);
        if self.failures.is_multiple_of(servers) {
            let rounds = (self.failures / servers).min(5);
            self.again = Some(now + (PAUSE * 2_u32.pow(rounds - 1)).min(LONGEST_PAUSE));
        } else {
            self.connect(now);
        }
    }

    /// Makes a call. Where there is no connection that is the same as losing it.
    fn call(&mut self, now: Instant, call: Call) {
        if self.wire.as_ref().is_some_and(|wire| wire.state == State::Open) {
            self.waiting.push_back(call);
            self.go_on(now);
        }
    }

    fn go_on(&mut self, now: Instant) {
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.state == State::Open) else {
            return;
        };
        while self.flying.len() < AT_ONCE
            && let Some(Call { purpose, expect, code, body }) = self.waiting.pop_front()
        {
            self.xid = self.xid.checked_add(1).unwrap_or(1);
            let mut frame = Writer::default();
            frame.int(self.xid).int(code).append(&body);
            wire.out.extend_from_slice(&frame.frame());
            wire.sent = now;
            wire.asked.get_or_insert(now);
            self.flying.push_back(Flying { xid: self.xid, purpose, expect });
        }
    }

    pub(super) fn change(&mut self, now: Instant, purpose: Purpose, change: &Change<'_>) {
        let mut body = Writer::default();
        change.write(&mut body);
        self.call(now, Call { purpose, expect: Expect::Done, code: change.code(), body });
    }

    pub(super) fn multi(&mut self, now: Instant, purpose: Purpose, changes: &[Change<'_>]) {
        let mut body = Writer::default();
        jute::multi(changes, &mut body);
        self.call(now, Call { purpose, expect: Expect::Multi, code: op::MULTI, body });
    }

    pub(super) fn get(&mut self, now: Instant, purpose: Purpose, path: &str) {
        let mut body = Writer::default();
        body.text(path).flag(false);
        self.call(now, Call { purpose, expect: Expect::Data, code: op::GET_DATA, body });
    }

    pub(super) fn children(&mut self, now: Instant, purpose: Purpose, path: &str) {
        let mut body = Writer::default();
        body.text(path).flag(false);
        self.call(now, Call { purpose, expect: Expect::Children, code: op::GET_CHILDREN, body });
    }

    /// Answered when this server knows all that its leader knew when it was asked.
    pub(super) fn sync(&mut self, now: Instant, purpose: Purpose, path: &str) {
        let mut body = Writer::default();
        body.text(path);
        self.call(now, Call { purpose, expect: Expect::Done, code: op::SYNC, body });
    }

    /// From now on all that happens to that node and to what is in it is heard.
    pub(super) fn watch(&mut self, now: Instant, purpose: Purpose, path: &str) {
        let mut body = Writer::default();
        // PERSISTENT_RECURSIVE
        body.text(path).int(1);
        self.call(now, Call { purpose, expect: Expect::Done, code: op::ADD_WATCH, body });
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(self.timeout / 3)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.again.is_some_and(|at| at <= now) {
            self.connect(now);
        }
        let (patience, interval) = (self.patience(), self.timeout / 3);
        let Some(wire) = &mut self.wire else { return };
        let patience = if wire.state == State::Open { patience } else { PATIENCE };
        if wire.asked.is_some_and(|asked| asked + patience <= now) {
            let reason = match wire.state {
                State::Connecting => "cannot connect: no answer in time",
                _ => "no answer in time",
            };
            return self.lose(now, reason);
        }
        if wire.state == State::Open && !wire.pinged && wire.sent + interval <= now {
            let mut body = Writer::default();
            body.int(PING).int(op::PING);
            wire.out.extend_from_slice(&body.frame());
            (wire.sent, wire.pinged) = (now, true);
            wire.asked.get_or_insert(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let Some(wire) = &self.wire else { return self.again };
        let patience = if wire.state == State::Open { self.patience() } else { PATIENCE };
        let ping =
            (wire.state == State::Open && !wire.pinged).then(|| wire.sent + self.timeout / 3);
        [wire.asked.map(|asked| asked + patience), ping].into_iter().flatten().min()
    }

    pub(super) fn poll_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    pub(super) fn poll(&mut self) -> Option<StoreEvent> {
        if let Some(event) = self.out.pop_front() {
            return Some(event);
        }
        // What has come together goes out together.
        let wire = self.wire.as_mut().filter(|wire| !wire.out.is_empty())?;
        Some(StoreEvent::Write(wire.id, core::mem::take(&mut wire.out)))
    }
}

fn read(expect: Expect, mut from: Reader<'_>) -> Option<Reply> {
    Some(match expect {
        Expect::Done => Reply::Done,
        Expect::Data => {
            let data = from.buffer()?.to_vec();
            Reply::Data(data, from.stat()?)
        }
        Expect::Children => {
            let names = from.texts()?;
            Reply::Children(names, from.stat()?)
        }
        Expect::Multi => Reply::Multi(from.multi()?),
    })
}

/// Whether it is of no use to ask again as things are.
pub(super) const fn is_refusal(code: i32) -> bool {
    matches!(
        code,
        code::NO_AUTH | code::INVALID_ACL | code::AUTH_FAILED | code::UNIMPLEMENTED | -8 | -125
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    /// What a server says: it grants the session 7, or answers a call, as of the transaction 5.
    fn say(session: &mut Session, now: Instant, fill: impl FnOnce(&mut Writer)) {
        let mut frame = Writer::default();
        fill(&mut frame);
        session.received(now, session.wires, &frame.frame());
    }

    /// Connects and is greeted; up to which transaction it says that it knows.
    fn open(session: &mut Session, now: Instant) -> i64 {
        while session.poll().is_some() {}
        session.connected(now, session.wires);
        let Some(StoreEvent::Write(_, greeting)) = session.poll() else { panic!("it greets") };
        say(session, now, |out| {
            _ = out.int(0).int(10_000).long(7).buffer(&[1; 16]).flag(false);
        });
        Reader(&greeting[8..]).long().expect("a number")
    }

    /// One that is taken on and lost again and again has not seen less for that: a server that is behind would show it what is over.
    #[test]
    fn what_was_seen_counts_as_long_as_servers_take_it() {
        let address = "tcp://zookeeper:2181".parse().expect("an address");
        let endpoint = Arc::new(Upstream { address, connect_timeout: PATIENCE });
        let mut now = Instant::ZERO;
        let mut session = Session::new(now, &[endpoint], None, TTL);
        assert_eq!(open(&mut session, now), 0);
        session.settled();
        session.sync(now, Purpose::Beat, "/");
        say(&mut session, now, |out| _ = out.int(1).long(5).int(0).text("/"));
        let lose = |session: &mut Session, now: &mut Instant| {
            session.gone(*now, session.wires, "cut");
            *now = *now + Duration::from_secs(1);
            session.handle_timeout(*now);
        };
        for _ in 0..15 {
            lose(&mut session, &mut now);
            assert_eq!(open(&mut session, now), 5, "{now}");
        }
        // One that none has taken on for as long is begun anew.
        for _ in 0..12 {
            lose(&mut session, &mut now);
        }
        assert_eq!(open(&mut session, now), 0);
    }
}
