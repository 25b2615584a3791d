//! Clients of the library and a real node, in small seeded worlds: bytes that come in pieces and late, networks that are cut
//! without a word, servers that die, programs that are stopped for a while.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use libswarm::discovery::client::{
    Action, Client, Config, Input as Told, Leaders, Machine, RegistrationId, SetId, WatchId,
};
use libswarm::discovery::{Agent, Attributes, Change, Journal, Member, TTL};
use libswarm::job::Engine;
use libswarm::node::{Action as Does, Config as NodeConfig, Input};
use libswarm::rpc::{Args, Codec};
use libswarm::{ConnId, Instant, Node};

use crate::peer::Disk;

/// Worlds; `DISCOVERY_WORLDS` in the environment is another number.
const WORLDS: u64 = 60;
const STEPS: u32 = 60;
const SERVICES: [&str; 2] = ["web", "db"];

/// A program, its client, and the network between it and the server.
struct Program {
    client: Client,
    link: Option<Link>,
    /// The network is cut: nothing comes through, and nobody notices.
    cut: bool,
    stopped: bool,
    registrations: Vec<(RegistrationId, usize, String)>,
    follows: Vec<Follows>,
}

struct Follows {
    service: usize,
    set: SetId,
    watch: WatchId,
    view: BTreeMap<String, Member>,
    leaders: Leaders,
    leader: Option<Member>,
}

struct Link {
    conn: u64,
    /// The server's end, if it still has one.
    id: Option<ConnId>,
    granted: bool,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
}

struct World {
    node: Option<Node>,
    disk: Disk,
    now: Instant,
    random: fastrand::Rng,
    programs: Vec<Program>,
    /// Ends of the server's whose clients have gone behind a cut.
    zombies: Vec<(usize, ConnId)>,
    /// Nothing happens but that programs come and go.
    calm: bool,
    count: usize,
    ended: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let programs = (0..4).map(|_| Program::new(random.u64(..), random.bool())).collect();
        let mut world = Self {
            node: None,
            disk: Disk::default(),
            now: Instant::ZERO,
            random,
            programs,
            zombies: Vec::new(),
            calm: seed.is_multiple_of(4),
            count: 0,
            ended: Vec::new(),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let (journal, _) = Journal::load(self.now, TTL, &self.disk.file).unwrap();
        let mut node = Node::new(NodeConfig::default(), Engine::new(1));
        node.set_agent(Agent::new(Box::new(journal), Some("127.0.0.1".into())));
        self.node = Some(node);
    }

    fn crash(&mut self) {
        self.node = None;
        self.zombies.clear();
        for program in &mut self.programs {
            if let Some(link) = &mut program.link {
                link.id = None;
            }
        }
    }

    fn heal(&mut self, nth: usize) {
        self.programs[nth].cut = false;
        let (gone, rest) =
            std::mem::take(&mut self.zombies).into_iter().partition(|it| it.0 == nth);
        self.zombies = rest;
        let gone: Vec<(usize, ConnId)> = gone;
        for (_, id) in gone {
            self.tell_node(Input::Broken(id));
        }
    }

    fn tell_node(&mut self, input: Input<'_>) {
        let Some(node) = &mut self.node else { return };
        node.handle(self.now, input);
        let mut out = Vec::new();
        loop {
            out.clear();
            let Some(does) = node.poll(&mut out) else {
                let Some(what) = node.poll_persist() else { return };
                self.disk.persist(&what);
                node.handle(self.now, Input::Persisted);
                continue;
            };
            let link = |programs: &'_ mut Vec<Program>, id| -> Option<usize> {
                programs.iter().position(|it| it.link.as_ref().is_some_and(|it| it.id == Some(id)))
            };
            match does {
                Does::Read(id) => {
                    if let Some(nth) = link(&mut self.programs, id) {
                        self.programs[nth].link.as_mut().unwrap().granted = true;
                    }
                }
                Does::Write { conn, .. } => {
                    if let Some(nth) = link(&mut self.programs, conn) {
                        self.programs[nth].link.as_mut().unwrap().down.extend(&out);
                    }
                    node.handle(self.now, Input::Done(conn));
                }
                Does::Shutdown(conn) => node.handle(self.now, Input::Done(conn)),
                Does::Close { conn, .. } => {
                    if let Some(nth) = link(&mut self.programs, conn) {
                        self.programs[nth].link.as_mut().unwrap().id = None;
                    }
                }
                _ => {}
            }
        }
    }

    /// Does what a program's client wants done.
    fn run(&mut self, nth: usize) {
        let mut out = Vec::new();
        loop {
            out.clear();
            let program = &mut self.programs[nth];
            let Some(action) = program.client.poll(&mut out) else { return };
            match action {
                Action::Connect { conn, .. } => {
                    assert!(program.link.is_none());
                    let link = Link {
                        conn,
                        id: None,
                        granted: false,
                        up: VecDeque::new(),
                        down: VecDeque::new(),
                    };
                    if program.cut {
                        program.link = Some(link);
                        continue;
                    }
                    let Some(node) = &mut self.node else {
                        program.client.handle(self.now, Told::Closed(conn, "refused"));
                        continue;
                    };
                    let id = node.accept_discovery(self.now).unwrap();
                    program.link = Some(Link { id: Some(id), ..link });
                    program.client.handle(self.now, Told::Connected(conn));
                    self.tell_node(Input::Timeout);
                }
                Action::Write(conn) => {
                    program.link.as_mut().unwrap().up.extend(&out);
                    program.client.handle(self.now, Told::Sent(conn));
                }
                Action::Close(_) => {
                    let link = program.link.take().unwrap();
                    match link.id {
                        Some(id) if program.cut => self.zombies.push((nth, id)),
                        Some(id) => self.tell_node(Input::Broken(id)),
                        None => {}
                    }
                }
                _ => {}
            }
        }
    }

    /// Some of what is under way comes to its end; false if there was nothing.
    fn deliver(&mut self, nth: usize) -> bool {
        let program = &mut self.programs[nth];
        let Some(link) = program.link.as_mut().filter(|_| !program.cut) else { return false };
        let mut any = false;
        if let Some(id) = link.id
            && link.granted
            && !link.up.is_empty()
        {
            let length = self.random.usize(1..=link.up.len().min(8 * 1024));
            let piece: Vec<_> = link.up.drain(..length).collect();
            (link.granted, any) = (false, true);
            self.tell_node(Input::Received(id, &piece));
        }
        let program = &mut self.programs[nth];
        let Some(link) = program.link.as_mut().filter(|_| !program.stopped) else { return any };
        if !link.down.is_empty() {
            let length = self.random.usize(1..=link.down.len());
            let piece: Vec<_> = link.down.drain(..length).collect();
            program.client.handle(self.now, Told::Received(link.conn, &piece));
            any = true;
        } else if link.id.is_none() {
            let conn = link.conn;
            program.link = None;
            program.client.handle(self.now, Told::Closed(conn, "reset by peer"));
            any = true;
        }
        self.run(nth);
        any
    }

    fn deliver_all(&mut self) {
        while (0..self.programs.len()).any(|nth| self.deliver(nth)) {}
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            for nth in 0..self.programs.len() {
                if !self.programs[nth].stopped {
                    self.run(nth);
                }
                if self.random.u8(..) < 200 {
                    self.deliver(nth);
                }
            }
            let timeouts = self.programs.iter().filter(|it| !it.stopped);
            let timeouts = timeouts.filter_map(|it| it.client.poll_timeout());
            let due = timeouts.chain(self.node.as_ref().and_then(Node::poll_timeout)).min();
            let step = self.now + Duration::from_millis(self.random.u64(1..200));
            if self.now >= end {
                break;
            }
            self.now = due.unwrap_or(end).clamp(self.now, step.min(end));
            self.tell_node(Input::Timeout);
            for program in self.programs.iter_mut().filter(|it| !it.stopped) {
                program.client.handle(self.now, Told::Timeout);
            }
        }
        self.look();
    }

    /// Who follows reads what there is.
    fn look(&mut self) {
        for program in &mut self.programs {
            for follows in &mut program.follows {
                while let Some(change) = program.client.next(follows.watch) {
                    match change {
                        Change::Came(member) => {
                            let before = follows.view.insert(member.address.clone(), member);
                            assert_eq!(before, None, "it came twice");
                        }
                        Change::Changed(member) => {
                            let address = member.address.clone();
                            let before = follows.view.insert(address, member.clone());
                            assert!(before.is_some_and(|it| it.created <= member.created));
                        }
                        Change::Gone(member) => {
                            assert!(follows.view.remove(&member.address).is_some());
                            let ended = self.ended.contains(&member.address);
                            assert!(!self.calm || ended, "{} lives", member.address);
                        }
                        Change::Current => {}
                    }
                }
                let set = program.client.set(follows.set).expect("it is followed");
                if let Some(leader) = follows.leaders.next(set) {
                    follows.leader = Some(leader);
                }
            }
        }
    }

    fn step(&mut self) {
        let nth = self.random.usize(..self.programs.len());
        let service = self.random.usize(..SERVICES.len());
        let what = self.random.u8(..100);
        let program = &mut self.programs[nth];
        match what {
            0..25 => {
                self.count += 1;
                let address = format!("{}:80", self.count);
                let args = Args {
                    name: SERVICES[service].into(),
                    address: address.clone(),
                    attributes: None,
                };
                let id = program.client.register(self.now, args);
                program.registrations.push((id, service, address));
            }
            25..32 if !program.registrations.is_empty() => {
                let which = self.random.usize(..program.registrations.len());
                let (id, _, address) = program.registrations.swap_remove(which);
                program.client.unregister(self.now, id);
                self.ended.push(address);
            }
            32..42 if !program.registrations.is_empty() => {
                let which = self.random.usize(..program.registrations.len());
                let value = self.random.u8(..3).to_string();
                let attributes = Attributes::from([("v".to_owned(), value)]);
                let (id, ..) = program.registrations[which];
                program.client.set_attributes(self.now, id, Some(attributes));
            }
            42..55 if program.follows.len() < 4 => {
                let set = program.client.subscribe(self.now, SERVICES[service], Attributes::new());
                let watch = program.client.watch(set, true).unwrap();
                let (view, leaders) = (BTreeMap::new(), Leaders::default());
                program.follows.push(Follows { service, set, watch, view, leaders, leader: None });
            }
            55..58 if !program.follows.is_empty() => {
                let which = self.random.usize(..program.follows.len());
                let follows = program.follows.swap_remove(which);
                program.client.unsubscribe(self.now, follows.set);
            }
            58..66 if !self.calm => program.cut = true,
            66..72 => self.heal(nth),
            72..75 if !self.calm => self.crash(),
            75..80 if self.node.is_none() => self.start(),
            80..84 if !self.calm => program.stopped = true,
            84..88 => program.stopped = false,
            88..90 if !self.calm => {
                if let Some(link) = program.link.as_mut().filter(|it| it.id.is_some()) {
                    // Reset by somebody in between.
                    let id = link.id.take().unwrap();
                    link.up.clear();
                    self.tell_node(Input::Broken(id));
                }
            }
            _ => {
                let time = Duration::from_millis(self.random.u64(..8_000));
                self.pass(time);
            }
        }
        self.forget_failures();
    }

    /// What was given up because no server was there in time is begun anew.
    fn forget_failures(&mut self) {
        for program in &mut self.programs {
            let client = &mut program.client;
            for (id, ..) in &program.registrations {
                if client.registration(*id).unwrap().error().is_some() {
                    client.set_online(self.now, *id, true);
                }
            }
            for follows in &mut program.follows {
                if client.set_error(follows.set).is_some() {
                    client.unsubscribe(self.now, follows.set);
                    let service = SERVICES[follows.service];
                    follows.set = client.subscribe(self.now, service, Attributes::new());
                    follows.watch = client.watch(follows.set, true).unwrap();
                    follows.view.clear();
                    (follows.leaders, follows.leader) = (Leaders::default(), None);
                }
            }
        }
    }

    /// All is well for a while: everybody knows the same, which is what is wanted.
    fn settle(&mut self) {
        if self.node.is_none() {
            self.start();
        }
        for nth in 0..self.programs.len() {
            self.heal(nth);
            self.programs[nth].stopped = false;
        }
        for _ in 0..8 {
            self.pass(TTL / 2);
            self.forget_failures();
        }
        self.deliver_all();
        self.pass(Duration::ZERO);
        for (service, name) in SERVICES.into_iter().enumerate() {
            let mut wanted: Vec<_> = self
                .programs
                .iter()
                .flat_map(|program| &program.registrations)
                .filter(|(_, of, _)| *of == service)
                .map(|(_, _, address)| address.clone())
                .collect();
            wanted.sort();
            let mut first: Option<Vec<Member>> = None;
            for program in &self.programs {
                for follows in program.follows.iter().filter(|it| it.service == service) {
                    let set = program.client.set(follows.set).unwrap();
                    assert!(set.is_current(), "{name} is not current");
                    let members: Vec<_> = set.members().cloned().collect();
                    let mut there: Vec<_> = members.iter().map(|it| it.address.clone()).collect();
                    there.sort();
                    assert_eq!(there, wanted, "{name}");
                    let mut view: Vec<_> = follows.view.values().cloned().collect();
                    view.sort_by_key(|member| member.created);
                    assert_eq!(view, members, "a follower of {name} was not told of all");
                    if !members.is_empty() {
                        let who =
                            |it: Option<&Member>| it.map(|it| (it.address.clone(), it.created));
                        assert_eq!(who(follows.leader.as_ref()), who(set.leader()));
                    }
                    assert_eq!(*first.get_or_insert_with(|| members.clone()), members);
                }
            }
        }
        for program in &self.programs {
            for (id, _, address) in &program.registrations {
                let registration = program.client.registration(*id).unwrap();
                assert_eq!(registration.address(), Some(&**address));
            }
        }
    }
}

impl Program {
    fn new(seed: u64, json: bool) -> Self {
        let mut config = Config::default();
        config.codec = if json { Codec::Json } else { Codec::Gob };
        Self {
            client: Client::new(config, Instant::ZERO, seed),
            link: None,
            cut: false,
            stopped: false,
            registrations: Vec::new(),
            follows: Vec::new(),
        }
    }
}

#[test]
fn everybody_knows_the_same_in_the_end() {
    let worlds = std::env::var("DISCOVERY_WORLDS").ok().and_then(|it| it.parse().ok());
    for seed in 0..worlds.unwrap_or(WORLDS) {
        let mut world = World::new(seed);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
        }));
        if let Err(panic) = played {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
