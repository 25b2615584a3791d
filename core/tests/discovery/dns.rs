//! A node's clients of DNS: datagrams, connections, and what recursors are asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use libswarm::address::Remote;
use libswarm::discovery::dns::{Config as DnsConfig, Name, Server, SocketId};
use libswarm::discovery::{Agent, Etcd, Memory, Registration, Store};
use libswarm::job::Engine;
use libswarm::node::{Action, CloseReason, Config, Input, Refusal};
use libswarm::{ConnId, Instant, Node};
use proptest::prelude::*;

use crate::etcd_store::config;

const A: u8 = 1;
const TXT: u8 = 16;

struct World {
    node: Node,
    now: Instant,
    sent: Vec<(SocketId, SocketAddr, Vec<u8>)>,
    written: BTreeMap<ConnId, Vec<u8>>,
    asked: Vec<(ConnId, Remote)>,
    granted: Vec<ConnId>,
    closed: BTreeMap<ConnId, CloseReason>,
    /// Nobody reads what is written, so that writes are not done.
    stalled: bool,
    waiting: Vec<ConnId>,
    /// Whose half here has ended.
    ended: Vec<ConnId>,
}

fn store() -> Memory {
    let mut store = Memory::new(Duration::MAX);
    let attributes = [("long".to_owned(), "x".repeat(10_000))].into();
    for (service, address, attributes) in [
        ("web", "10.0.0.1:80", None),
        ("web", "10.0.0.2:80", None),
        ("big", "10.0.0.3:80", Some(attributes)),
    ] {
        let (service, address) = (service.into(), address.into());
        store.register(Instant::ZERO, 1, Registration { service, address, attributes });
    }
    store
}

fn recursors(count: u8) -> DnsConfig {
    let mut config = DnsConfig::new(7);
    config.recursors = (1..=count).map(|nth| ([10, 0, 0, nth], 53).into()).collect();
    config
}

impl World {
    fn new(config: DnsConfig) -> Self {
        Self::on(Box::new(store()), config)
    }

    fn on(store: Box<dyn Store>, config: DnsConfig) -> Self {
        let mut node = Node::new(Config::default(), Engine::new(1));
        node.set_agent(Agent::new(store, None));
        node.set_dns(Server::new(config));
        Self {
            node,
            now: Instant::ZERO,
            sent: Vec::new(),
            written: BTreeMap::new(),
            asked: Vec::new(),
            granted: Vec::new(),
            closed: BTreeMap::new(),
            stalled: false,
            waiting: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.run();
    }

    fn run(&mut self) {
        let mut out = Vec::new();
        loop {
            out.clear();
            let Some(action) = self.node.poll(&mut out) else { return };
            match action {
                Action::SendTo { socket, peer, length } => {
                    assert!(length > 0 && length == out.len());
                    self.sent.push((socket, peer, out.clone()));
                }
                Action::Write { conn, length } => {
                    assert!(length > 0 && length == out.len());
                    assert!(!self.waiting.contains(&conn) && !self.closed.contains_key(&conn));
                    assert!(!self.ended.contains(&conn), "written behind the end");
                    self.written.entry(conn).or_default().extend_from_slice(&out);
                    if self.stalled {
                        self.waiting.push(conn);
                    } else {
                        self.node.handle(self.now, Input::Done(conn));
                    }
                }
                Action::Shutdown(conn) => {
                    self.ended.push(conn);
                    self.node.handle(self.now, Input::Done(conn));
                }
                Action::Read(conn) => {
                    assert!(!self.granted.contains(&conn), "two reads are granted at once");
                    self.granted.push(conn);
                }
                Action::Connect { conn, to, .. } => self.asked.push((conn, to)),
                Action::Close { conn, why } => {
                    assert_eq!(self.closed.insert(conn, why), None, "closed twice");
                    self.granted.retain(|granted| *granted != conn);
                }
                Action::Log(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn connect(&mut self) -> ConnId {
        let id = self.node.accept_dns(self.now).expect("room for a connection");
        self.run();
        id
    }

    /// Bytes come, if they may.
    fn receive(&mut self, conn: ConnId, bytes: &[u8]) -> bool {
        let Some(at) = self.granted.iter().position(|granted| *granted == conn) else {
            return false;
        };
        self.granted.remove(at);
        self.input(Input::Received(conn, bytes));
        true
    }

    fn ask(&mut self, message: &[u8]) -> Vec<(SocketId, SocketAddr, Vec<u8>)> {
        self.input(Input::Datagram(SocketId(3), peer(), message));
        std::mem::take(&mut self.sent)
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    /// The answers that a connection was given.
    fn answers(&self, conn: ConnId) -> Vec<Vec<u8>> {
        let (mut rest, mut all) = (self.written.get(&conn).map_or(&[][..], Vec::as_slice), vec![]);
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (message, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
            all.push(message.to_vec());
            rest = behind;
        }
        all
    }
}

fn peer() -> SocketAddr {
    "192.0.2.7:4242".parse().unwrap()
}

fn question(id: u16, name: &str, kind: u8) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let name = Name::from_labels(name.split('.').map(str::as_bytes)).unwrap();
    message.extend_from_slice(name.wire());
    message.extend_from_slice(&[0, kind, 0, 1]);
    message
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// What a recursor says: the question, and one address.
fn answer(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
    answer.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
    answer
}

const fn rcode(message: &[u8]) -> u8 {
    message[3] & 15
}

fn id(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

#[test]
fn a_datagram_is_answered_from_where_it_came_to() {
    let mut world = World::new(DnsConfig::new(7));
    let sent = world.ask(&question(9, "web.discoverd", A));
    let [(socket, to, answer)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(
        (*socket, *to, id(answer), rcode(answer), answer[7]),
        (SocketId(3), peer(), 9, 0, 2)
    );
    assert_eq!(rcode(&world.ask(&question(9, "example.org", A))[0].2), 5);
    assert_eq!(world.ask(b"rubbish"), []);
    assert_eq!(world.ask(answer), [], "an answer is not answered");
    let nowhere = SocketAddr::new(peer().ip(), 0);
    world.input(Input::Datagram(SocketId(0), nowhere, &question(9, "web.discoverd", A)));
    assert_eq!(world.sent, []);
    let mut node = Node::new(Config::default(), Engine::new(1));
    node.handle(
        Instant::ZERO,
        Input::Datagram(SocketId(0), peer(), &question(9, "web.discoverd", A)),
    );
    assert_eq!(node.poll(&mut Vec::new()), None);
    assert_eq!(node.accept_dns(Instant::ZERO), Err(Refusal::NoDns));
}

#[test]
fn datagrams_that_nobody_sends_are_lost() {
    let mut world = World::new(DnsConfig::new(7));
    let question = question(9, "web.discoverd", A);
    for _ in 0..100_000 {
        world.node.handle(world.now, Input::Datagram(SocketId(0), peer(), &question));
    }
    world.run();
    let bytes: usize = world.sent.iter().map(|(.., answer)| answer.len()).sum();
    assert!((1 << 20..(1 << 20) + 512).contains(&bytes), "{bytes}");
    world.sent.clear();
    assert_eq!(world.ask(&question).len(), 1);
}

#[test]
fn a_store_that_does_not_know_is_no_answer() {
    let store = Etcd::new(Instant::ZERO, config(1, 7));
    let mut world = World::on(Box::new(store), DnsConfig::new(7));
    assert_eq!(rcode(&world.ask(&question(9, "web.discoverd", A))[0].2), 2);
}

#[test]
fn questions_of_a_connection_come_in_any_number() {
    let mut world = World::new(DnsConfig::new(7));
    let conn = world.connect();
    let all: Vec<u8> = (0..50).flat_map(|id| framed(&question(id, "web.discoverd", A))).collect();
    assert!(world.receive(conn, &all));
    let answers = world.answers(conn);
    assert_eq!(answers.iter().map(|it| id(it)).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert!(answers.iter().all(|it| rcode(it) == 0 && it[7] == 2));
    world.granted.retain(|granted| *granted != conn);
    world.input(Input::PeerShutdown(conn));
    assert_eq!(world.closed[&conn], CloseReason::PeerClosed);
    assert_eq!(world.node.connections(), 0);
}

#[test]
fn what_is_no_question_ends_a_connection_behind_the_answers() {
    for bad in [&b"\0\0"[..], b"\0\x03abc", &framed(&answer(&question(1, "web.discoverd", A)))] {
        let mut world = World::new(DnsConfig::new(7));
        let conn = world.connect();
        world.receive(conn, &[&framed(&question(9, "web.discoverd", A))[..], bad, bad].concat());
        assert_eq!(world.answers(conn).len(), 1);
        assert!(!world.closed.contains_key(&conn), "its end is waited for");
        world.input(Input::PeerShutdown(conn));
        assert_eq!(world.closed[&conn], CloseReason::NoQuery);
    }
}

#[test]
fn who_does_not_read_is_not_asked_for_more() {
    let mut world = World::new(DnsConfig::new(7));
    let conn = world.connect();
    world.stalled = true;
    let many = framed(&question(9, "big.discoverd", TXT)).repeat(1000);
    let mut reads = 0;
    while world.receive(conn, &many) {
        reads += 1;
        assert!(reads < 100, "it takes more and more");
    }
    // Of ten thousand bytes each.
    assert!(world.written[&conn].len() < 200_000, "{}", world.written[&conn].len());
    // All of it is answered once it is read.
    world.stalled = false;
    world.waiting.clear();
    world.input(Input::Done(conn));
    assert_eq!(world.answers(conn).len(), 1000 * reads);
}

#[test]
fn an_idle_connection_is_closed() {
    let mut world = World::new(DnsConfig::new(7));
    let (quiet, busy, deaf) = (world.connect(), world.connect(), world.connect());
    for _ in 0..5 {
        world.pass(Duration::from_secs(5));
        world.receive(busy, &framed(&question(9, "web.discoverd", A)));
    }
    assert_eq!(
        world.closed,
        BTreeMap::from([(quiet, CloseReason::Idle), (deaf, CloseReason::Idle)])
    );
    // One that asks and does not read is no better.
    world.stalled = true;
    let deaf = world.connect();
    world.receive(deaf, &framed(&question(9, "web.discoverd", A)));
    world.pass(Duration::from_secs(11));
    assert_eq!(world.closed[&deaf], CloseReason::Idle);
}

#[test]
fn connections_are_bounded() {
    let mut config = DnsConfig::new(7);
    config.connections = 2;
    let mut world = World::new(config);
    let first = world.connect();
    world.connect();
    assert_eq!(world.node.accept_dns(world.now), Err(Refusal::TooManyConnections));
    assert!(world.node.accept_discovery(world.now).is_ok(), "others have room");
    world.input(Input::Broken(first));
    world.connect();
}

#[test]
fn a_recursor_is_asked_in_a_datagram() {
    let mut world = World::new(recursors(2));
    assert_eq!(world.ask(&question(9, "example.org", A)), []);
    let (first, to) = world.asked.pop().unwrap();
    assert_eq!(to, Remote::Datagram("10.0.0.1:53".parse().unwrap()));
    // Nobody listens there.
    world.input(Input::Connected(first));
    assert!(world.granted.contains(&first));
    world.input(Input::Failed(first, "Connection refused"));
    assert!(world.closed.contains_key(&first));
    let (second, to) = world.asked.pop().unwrap();
    assert_eq!(to.to_string(), "udp://10.0.0.2:53");
    world.input(Input::Connected(second));
    let asked = world.written[&second].clone();
    assert_ne!((id(&asked), &world.written[&first][..2]), (9, &asked[..2]));
    // An answer to something else is no answer.
    assert!(world.receive(second, &answer(&question(id(&asked) ^ 1, "example.org", A))));
    assert!(world.sent.is_empty() && world.receive(second, &answer(&asked)));
    let sent = std::mem::take(&mut world.sent);
    assert_eq!((sent[0].0, sent[0].1), (SocketId(3), peer()));
    assert_eq!(sent[0].2, answer(&question(9, "example.org", A)));
    assert!(world.closed.contains_key(&second));
    assert_eq!(
        (world.node.upstream_connections(), world.node.poll_timeout()),
        (0, Some(Instant::MAX))
    );
}

#[test]
fn when_no_recursor_answers_the_client_is_told() {
    let mut world = World::new(recursors(3));
    world.ask(&question(9, "example.org", A));
    world.pass(Duration::from_millis(1999));
    assert_eq!(world.asked.len(), 1);
    world.pass(Duration::from_secs(3));
    assert_eq!((world.asked.len(), world.closed.len()), (3, 2));
    let (third, _) = world.asked[2].clone();
    world.input(Input::ConnectFailed(third, "Network is unreachable"));
    let [(.., answer)] = &world.sent[..] else { panic!("{:?}", world.sent) };
    assert_eq!((id(answer), rcode(answer)), (9, 2));
    assert_eq!(world.node.upstream_connections(), 0);
}

/// At 1,000 questions a second a silent server would have the places of all others that are under way.
#[test]
fn a_silent_recursor_does_not_keep_others_from_being_asked() {
    let mut world = World::new(recursors(2));
    let mut known = BTreeMap::from([("10.0.0.1:53", 0), ("10.0.0.2:53", 0)]);
    let (mut answered, mut refused) = (0, 0);
    for tick in 0..8000_u16 {
        world.pass(Duration::from_millis(1));
        // The first one is there again, after a while.
        let is_there = tick >= 4000;
        world.input(Input::Datagram(SocketId(0), peer(), &question(tick, "example.org", A)));
        while let Some((server, to)) = world.asked.pop() {
            world.input(Input::Connected(server));
            let Remote::Datagram(to) = to else { panic!("{to}") };
            *known.get_mut(&*to.to_string()).unwrap() += 1;
            if is_there || to == "10.0.0.2:53".parse().unwrap() {
                let said = answer(&world.written[&server]);
                assert!(world.receive(server, &said));
            }
        }
        for (.., said) in world.sent.drain(..) {
            // Before it is known to be silent there are more questions than places.
            *if rcode(&said) == 0 { &mut answered } else { &mut refused } += 1;
            assert!(rcode(&said) == 0 || tick <= 2001, "refused after {tick} ms");
        }
    }
    assert_eq!((answered + refused, known["10.0.0.1:53"]), (8000, 1024));
    // One question tries it again, and then all go there.
    world.pass(Duration::from_secs(10));
    for tick in 0..2 {
        world.ask(&question(tick, "example.org", A));
        let (server, to) = world.asked.pop().unwrap();
        assert_eq!(to.to_string(), "udp://10.0.0.1:53");
        world.input(Input::Connected(server));
        let said = answer(&world.written[&server]);
        assert!(world.receive(server, &said));
    }
}

#[test]
fn questions_of_a_connection_go_to_recursors_over_tcp() {
    let mut world = World::new(recursors(1));
    let conn = world.connect();
    let all: Vec<u8> = (0..40).flat_map(|id| framed(&question(id, "example.org", A))).collect();
    world.receive(conn, &all);
    assert_eq!(world.asked.len(), 32, "the others wait");
    world.receive(conn, &framed(&question(40, "web.discoverd", A)));
    assert_eq!(world.answers(conn).len(), 0);
    assert!(world.asked.iter().all(|(_, to)| to.to_string() == "tcp://10.0.0.1:53"));
    // Answers come in any order, in pieces.
    while let Some((server, _)) = world.asked.pop() {
        world.input(Input::Connected(server));
        let asked = world.written[&server].clone();
        for piece in framed(&answer(&asked[2..])).chunks(7) {
            assert!(world.receive(server, piece));
        }
        assert!(world.closed.contains_key(&server));
    }
    let mut ids: Vec<u16> = world.answers(conn).iter().map(|it| id(it)).collect();
    assert_eq!(ids[0], 31);
    ids.sort_unstable();
    assert_eq!(ids, (0..=40).collect::<Vec<_>>());
    // A client that waits is not idle; one that has gone is nobody to wait for.
    world.receive(conn, &framed(&question(50, "example.org", A)));
    world.input(Input::Broken(conn));
    world.pass(Duration::from_secs(5));
    assert_eq!(
        (world.node.upstream_connections(), world.node.poll_timeout()),
        (0, Some(Instant::MAX))
    );
}

#[test]
fn what_a_recursor_says_too_late_is_dropped() {
    let mut world = World::new(recursors(1));
    let conn = world.connect();
    world.receive(conn, &[&framed(&question(5, "example.org", A))[..], &[0, 0]].concat());
    assert_eq!(world.ended, [conn], "what is no question ends it");
    let (server, _) = world.asked.pop().unwrap();
    world.input(Input::Connected(server));
    let asked = world.written[&server].clone();
    assert!(world.receive(server, &framed(&answer(&asked[2..]))));
    assert!(world.answers(conn).is_empty() && world.closed.contains_key(&server));
    world.input(Input::PeerShutdown(conn));
    assert_eq!(world.closed[&conn], CloseReason::NoQuery);
}

#[test]
fn a_datagram_without_bytes_ends_nothing() {
    for empty in [Input::PeerShutdown as fn(_) -> _, |conn| Input::Received(conn, b"")] {
        let mut world = World::new(recursors(2));
        world.ask(&question(9, "example.org", A));
        let (server, _) = world.asked.pop().unwrap();
        world.input(Input::Connected(server));
        let asked = world.written[&server].clone();
        world.granted.retain(|granted| *granted != server);
        world.input(empty(server));
        assert!(world.sent.is_empty() && world.asked.is_empty());
        world.input(Input::Received(server, &answer(&asked)));
        assert_eq!(world.sent.len(), 1, "the answer still counts");
    }
}

#[test]
fn a_server_that_ends_early_has_not_answered() {
    let mut world = World::new(recursors(1));
    let conn = world.connect();
    world.receive(conn, &framed(&question(1, "example.org", A)));
    let (server, _) = world.asked.pop().unwrap();
    world.input(Input::Connected(server));
    world.receive(server, &[0, 40, 1, 2, 3]);
    world.input(Input::PeerShutdown(server));
    assert_eq!(world.answers(conn).iter().map(|it| rcode(it)).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_node_stops_with_questions_under_way() {
    let mut world = World::new(recursors(2));
    let (idle, waits, full) = (world.connect(), world.connect(), world.connect());
    world.receive(waits, &framed(&question(1, "example.org", A)));
    world.ask(&question(2, "example.org", A));
    world.stalled = true;
    world.receive(full, &framed(&question(1, "web.discoverd", A)));
    world.input(Input::Stop);
    assert_eq!(world.closed[&idle], CloseReason::Stopped);
    assert_eq!(world.closed[&waits], CloseReason::Stopped);
    assert!(world.asked.iter().all(|(conn, _)| world.closed.contains_key(conn)));
    assert!(!world.node.is_stopped(), "an answer is being written");
    world.input(Input::Done(full));
    world.input(Input::PeerShutdown(full));
    assert!(world.node.is_stopped());
    world.pass(Duration::from_secs(30));
    assert_eq!(world.asked.len(), 2, "nobody is asked any more");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Any cut of what a connection brings gives the same answers.
    #[test]
    fn any_cut_is_answered_alike(
        names in prop::collection::vec("(web|big|nosuch|leader\\.web)", 1..12),
        cuts in prop::collection::vec(1..60_usize, 0..30),
        stalls in prop::collection::vec(any::<bool>(), 30),
    ) {
        let all: Vec<u8> = (0..)
            .zip(&names)
            .flat_map(|(id, name)| framed(&question(id, &format!("{name}.discoverd"), A)))
            .collect();
        let mut world = World::new(DnsConfig::new(7));
        let conn = world.connect();
        let mut rest = &all[..];
        for (cut, stall) in cuts.into_iter().chain([usize::MAX]).zip(stalls.into_iter().chain([false])) {
            world.stalled = stall;
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            rest = behind;
            if !piece.is_empty() {
                prop_assert!(world.receive(conn, piece));
            }
            for waiting in std::mem::take(&mut world.waiting) {
                world.input(Input::Done(waiting));
            }
        }
        world.stalled = false;
        for waiting in std::mem::take(&mut world.waiting) {
            world.input(Input::Done(waiting));
        }
        if !rest.is_empty() {
            prop_assert!(world.receive(conn, rest));
        }
        let answers = world.answers(conn);
        prop_assert_eq!(answers.len(), names.len());
        for ((nth, name), answer) in (0..).zip(&names).zip(&answers) {
            prop_assert_eq!(id(answer), nth);
            prop_assert_eq!(rcode(answer), if name == "nosuch" { 3 } else { 0 });
        }
    }
}
