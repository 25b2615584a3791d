//! The door of discovery for curl and browsers, whatever a client sends, and whatever else happens to services meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::http::{Env, Next, Server};
use libswarm::discovery::{Agent, AgentEvent, Memory, StoreInput, TTL};
use libswarm::http1::Limits;
use serde_json::Value;

use crate::script::{Input, piece};

/// A client that is fuzzed, and one that follows all services.
const FUZZED: usize = 0;
const FOLLOWS: usize = 1;
/// A request is answered at once here, and whoever follows reads at once; the longest answer lists what a few requests made.
const MOST: usize = 512 * 1024;
/// What waits is less than a head and a body.
const UNREAD: usize = 160 * 1024;

struct Door {
    server: Server,
    unread: Vec<u8>,
    out: Vec<u8>,
    over: bool,
}

struct World {
    agent: Agent,
    now: Instant,
    doors: [Door; 2],
    /// Whoever follows does not read for now.
    slow: bool,
}

type View = BTreeMap<String, (BTreeMap<String, u64>, Option<String>)>;

fn env(agent: &mut Agent, now: Instant, owner: usize) -> Env<'_> {
    Env { now, agent, owner: owner as u64, epoch: Duration::from_secs(1), stopping: false }
}

impl World {
    fn new() -> Self {
        let door = || {
            let server = Server::new(Limits::default());
            Door { server, unread: Vec::new(), out: Vec::new(), over: false }
        };
        let agent = Agent::new(Box::new(Memory::new(TTL)), Some("h".into()));
        let mut world = Self { agent, now: Instant::ZERO, doors: [door(), door()], slow: false };
        world.follow("");
        world
    }

    fn follow(&mut self, headers: &str) {
        let accept = "Accept: text/event-stream";
        let request = format!("GET /services HTTP/1.1\r\nHost: h\r\n{accept}\r\n{headers}\r\n");
        self.receive(FOLLOWS, request.as_bytes());
    }

    /// Whoever follows goes, and comes back with what it knows.
    fn come_back(&mut self) {
        let door = &mut self.doors[FOLLOWS];
        let gone = door.server.subscription();
        gone.into_iter().for_each(|id| self.agent.close(id));
        let text = String::from_utf8_lossy(&door.out);
        let last = text.lines().rev().find_map(|line| line.strip_prefix("id: "));
        let header = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        door.out.extend_from_slice(b"data: {\"service\":\"\",\"kind\":\"back\"}\n");
        (door.server, door.unread, door.over) = (Server::new(Limits::default()), Vec::new(), false);
        self.follow(&header);
    }

    fn read_on(&mut self) {
        self.slow = false;
        let door = &mut self.doors[FOLLOWS];
        let mut env = env(&mut self.agent, self.now, FOLLOWS);
        while door.server.tell(&mut env, &mut door.out) {}
    }

    fn receive(&mut self, which: usize, bytes: &[u8]) {
        let door = &mut self.doors[which];
        if door.over {
            return;
        }
        door.unread.extend_from_slice(bytes);
        self.go_on(which);
        let door = &self.doors[which];
        let is_reading = door.server.subscription().is_none() && !door.over;
        assert!(!is_reading || door.unread.len() <= UNREAD, "{} bytes wait", door.unread.len());
    }

    /// Reads all that can be read, each request behind the answer to the one before.
    fn go_on(&mut self, which: usize) {
        loop {
            self.listen();
            let door = &mut self.doors[which];
            if door.over {
                return;
            }
            let mut env = env(&mut self.agent, self.now, which);
            let next = match door.server.receive(&mut env, &door.unread, &mut door.out) {
                Ok((taken, next)) => {
                    assert!(taken <= door.unread.len(), "it took more than there was");
                    door.unread.drain(..taken);
                    next
                }
                Err(_) => Next::Finished,
            };
            match next {
                Next::More => {}
                Next::Wait if door.server.is_waiting() => {}
                Next::Wait => return self.listen(),
                Next::Finished | Next::Rpc(_) => door.over = true,
            }
        }
    }

    /// Passes on what the agent has to say.
    fn listen(&mut self) {
        while let Some(event) = self.agent.poll() {
            match event {
                AgentEvent::Done { owner, call, result } => {
                    let which = owner as usize;
                    let door = &mut self.doors[which];
                    let mut env = env(&mut self.agent, self.now, which);
                    if door.server.done(&mut env, call, result, &mut door.out) == Next::Finished {
                        door.over = true;
                    }
                }
                AgentEvent::Ready { owner, subscription, .. } => {
                    let which = owner as usize;
                    let door = &mut self.doors[which];
                    door.server.ready(subscription);
                    if self.slow && which == FOLLOWS {
                        continue;
                    }
                    let mut env = env(&mut self.agent, self.now, which);
                    while door.server.tell(&mut env, &mut door.out) {}
                    assert!(door.out.len() < MOST * 64, "{} bytes", door.out.len());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Time passes: who is not heard of is gone.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.agent.handle(self.now, StoreInput::Timeout);
        self.listen();
        for door in &mut self.doors {
            door.server.keep_alive(self.now, Some(&mut door.out));
        }
    }

    /// What the follower makes of what it was told: instances, and who leads, by service.
    fn view(&self) -> View {
        let (mut view, mut told) = (View::new(), View::new());
        let mut is_back = false;
        let text = String::from_utf8_lossy(&self.doors[FOLLOWS].out);
        for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: Value = serde_json::from_str(line).expect("an event is JSON on one line");
            let name = event["service"].as_str().expect("a name");
            let instance = &event["instance"];
            let address = instance["addr"].as_str().unwrap_or_default();
            let kind = event["kind"].as_str().expect("a kind");
            match kind {
                "back" => {
                    is_back = true;
                    told.clear();
                }
                // All was told again: nothing else is there.
                "current" if event["resumed"] != true => view.clone_from(&told),
                _ => {}
            }
            for view in [&mut view, &mut told] {
                let service = view.entry(name.to_owned()).or_default();
                match kind {
                    "up" | "update" => {
                        let index = instance["index"].as_u64().expect("an index");
                        service.0.insert(address.to_owned(), index);
                    }
                    "down" => {
                        let known = service.0.remove(address);
                        assert!(known.is_some() || is_back, "it was never told: {line}");
                        service.1.take_if(|leader| leader == address);
                    }
                    "leader" => service.1 = Some(address.to_owned()),
                    "back" | "current" | "service_meta" | "service_created" | "service_deleted" => {
                    }
                    other => panic!("{other}"),
                }
            }
        }
        view.retain(|_, (instances, _)| !instances.is_empty());
        view
    }
}

/// Any bytes get the same answers, whatever pieces they come in; what waits is bounded; and who follows services ends with what
/// is registered, whatever this client has done to them, whoever has expired, and however it has read and come back meanwhile.
///
/// # Panics
///
/// That is not so.
pub fn discovery_http(data: &[u8]) {
    let input = Input::new(data);
    let mut whole = World::new();
    whole.receive(FUZZED, input.wire);
    let mut cut = World::new();
    for piece in input.pieces() {
        cut.receive(FUZZED, piece);
    }
    let [one, other] = [&whole, &cut].map(|world| &world.doors[FUZZED]);
    assert!(one.over == other.over && (one.over || one.unread == other.unread));
    assert_eq!(one.out, other.out);
    assert!(one.out.is_empty() || one.out.starts_with(b"HTTP/1."));

    let mut world = World::new();
    let mut rest = input.wire;
    let mut operations = input.script.iter().copied().cycle();
    while !rest.is_empty() {
        match operations.next().unwrap_or(b'9') {
            b't' => world.pass(Duration::from_secs(3)),
            b'T' => world.pass(TTL),
            b's' => world.slow = true,
            b'r' => world.read_on(),
            b'b' => world.come_back(),
            b'e' => {
                let door = &mut world.doors[FUZZED];
                let _ = door.server.eof(door.unread.len());
                door.over = true;
            }
            b'n' => {
                // The next one, on a connection of its own.
                let gone = world.doors[FUZZED].server.subscription();
                gone.into_iter().for_each(|id| world.agent.close(id));
                let server = Server::new(Limits::default());
                world.doors[FUZZED] =
                    Door { server, unread: Vec::new(), out: Vec::new(), over: false };
            }
            operation => {
                let (now, later) = rest.split_at(piece(operation).min(rest.len()));
                world.receive(FUZZED, now);
                rest = later;
                continue;
            }
        }
        // A script of nothing else would never come to an end.
        rest = &rest[1..];
    }
    world.read_on();
    let registry = world.agent.registry().expect("it is in memory");
    let mut there = BTreeMap::new();
    for name in registry.services() {
        let instances: BTreeMap<String, u64> =
            registry.instances(name).map(|it| (it.address.to_string(), it.created)).collect();
        let leader = registry.leader(name).map(|it| it.address.to_string());
        if !instances.is_empty() {
            there.insert(name.to_string(), (instances, leader));
        }
    }
    let mut view = world.view();
    for (name, (_, leader)) in &mut view {
        // That nobody leads any more though somebody is there is not told: only a service whose leader is named has that.
        if there.get(name).is_some_and(|(_, leader)| leader.is_none()) {
            *leader = None;
        }
    }
    assert_eq!(view, there);
}
