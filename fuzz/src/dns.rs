//! DNS, whatever bytes a client or a recursor sends and however they are cut.

use std::net::SocketAddr;
use std::time::Duration;

use libswarm::discovery::dns::{
    Asker, Config, Event, Frames, Progress, Query, Server, SocketId, Verdict,
};
use libswarm::discovery::{Agent, Attributes, Memory, Registration, Registry, Store};
use libswarm::job::Engine;
use libswarm::node::{Action, Input as NodeInput};
use libswarm::{Instant, Node};

use crate::script::Input;

/// Services with names of every sort.
const INSTANCES: [(&str, &str); 8] = [
    ("web", "10.0.0.1:80"),
    ("web", "[::1]:81"),
    ("Web", "10.0.0.2:80"),
    ("web.example", "db.internal:5432"),
    ("leader.web", "10.0.0.3"),
    ("_x", "10.0.0.4:1"),
    ("h\u{e4}\u{df} 1", "10.0.0.5:1"),
    ("a..b", "nonsense"),
];

/// More of them than a datagram takes.
const MANY: u32 = 40;

fn attributes() -> Option<Attributes> {
    Some([("proto".to_owned(), "udp".to_owned()), ("long".to_owned(), "x".repeat(600))].into())
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    for ((service, address), index) in INSTANCES.into_iter().zip(1..) {
        registry.put(service, address, (index % 3 == 0).then(attributes).flatten(), index);
    }
    for nth in 0..MANY {
        registry.put("many", &format!("10.0.1.{nth}:80"), attributes(), 100 + u64::from(nth));
    }
    registry
}

fn datagram(peer: SocketAddr) -> Asker {
    Asker::Datagram(SocketId(0), peer)
}

/// What is held of every answer to a message.
fn check(message: &[u8], answer: &[u8], limit: usize) {
    assert!(answer.len() >= 12 && answer.len() <= limit, "{} bytes", answer.len());
    assert_eq!(answer[..2], message[..2], "its id");
    assert_eq!(answer[2] & 0xf8, 0x80 | message[2] & 0x78, "it is an answer");
    assert_eq!(Query::read(answer).ok(), None, "no answer is a question");
    let mut server = Server::new(Config::new(7));
    let peer = SocketAddr::from(([127, 0, 0, 1], 53));
    let again = server.query(Instant::ZERO, datagram(peer), answer, None, &mut Vec::new());
    assert_eq!(again, Verdict::Ignored, "two servers do not answer each other");
}

/// Any message gets at most one answer, which has its id, keeps to the size that was asked for and is itself not answered; a
/// recursor's answer, whatever it is, stays in bounds too; and a connection's questions have the same answers however they are cut.
///
/// # Panics
///
/// That is not so.
pub fn dns(data: &[u8]) {
    let input = Input::new(data);
    let registry = registry();
    let peer = SocketAddr::from(([127, 0, 0, 1], 4242));
    let mut out = Vec::new();
    let mut config = Config::new(7);
    if data.len() % 2 == 1 {
        config.recursors = vec![peer, peer];
    }
    let mut server = Server::new(config);
    let limit = match Query::read(input.wire) {
        Ok(Query { edns: Some(edns), .. }) => usize::from(edns.size.clamp(512, 1232)),
        _ => 512,
    };
    for known in [Some(&registry), None] {
        out.clear();
        match server.query(Instant::ZERO, datagram(peer), input.wire, known, &mut out) {
            Verdict::Answered => check(input.wire, &out, limit),
            Verdict::Ignored => assert!(out.is_empty()),
            Verdict::Forwarded => {
                assert!(out.is_empty());
                recurse(&mut server, input, limit);
            }
        }
    }
    stream(input);
}

/// A recursor says anything, first as it is and then with the right id.
fn recurse(server: &mut Server, input: Input<'_>, limit: usize) {
    let mut now = Instant::ZERO;
    let mut answered = 0;
    for _ in 0..50 {
        match server.poll() {
            None => {
                now = now + Duration::from_secs(2);
                server.handle_timeout(now);
            }
            Some(Event::Ask { exchange, message, .. }) => {
                Query::read(&message).expect("what is asked is a question");
                server.progress(now, exchange, Progress::Message(input.wire));
                let mut answer = message;
                answer[2] |= 0x80;
                for (at, byte) in input.script.iter().enumerate() {
                    let length = answer.len();
                    match at % 3 {
                        0 => answer[2 + usize::from(*byte) % (length - 2)] ^= byte,
                        1 => answer.push(*byte),
                        _ => answer.extend_from_slice(input.wire),
                    }
                }
                answer.truncate(4096);
                server.progress(now, exchange, Progress::Message(&answer));
            }
            Some(Event::Abandon(_) | Event::Warn(_)) => {}
            Some(Event::Answer(_, answer)) => {
                answered += 1;
                check(input.wire, &answer, limit);
            }
        }
    }
    assert_eq!(answered, 1, "each question has one answer");
}

/// What a connection is given.
fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut store = Memory::new(Duration::MAX);
    for (service, address) in INSTANCES {
        let (service, address) = (service.into(), address.into());
        store.register(Instant::ZERO, 1, Registration { service, address, attributes: None });
    }
    let mut node = Node::new(libswarm::node::Config::default(), Engine::new(1));
    node.set_agent(Agent::new(Box::new(store), None));
    node.set_dns(Server::new(Config::new(7)));
    let conn = node.accept_dns(Instant::ZERO).expect("room for one");
    let (mut all, mut out, mut granted, mut open) = (Vec::new(), Vec::new(), false, true);
    let mut act = |node: &mut Node, granted: &mut bool, open: &mut bool| {
        while let Some(action) = {
            out.clear();
            node.poll(&mut out)
        } {
            match action {
                Action::Read(_) => *granted = true,
                Action::Write { .. } => {
                    all.extend_from_slice(&out);
                    node.handle(Instant::ZERO, NodeInput::Done(conn));
                }
                Action::Shutdown(_) => {
                    *open = false;
                    node.handle(Instant::ZERO, NodeInput::Done(conn));
                }
                Action::Close { .. } => *open = false,
                other => panic!("{other:?}"),
            }
        }
    };
    act(&mut node, &mut granted, &mut open);
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        if !open {
            break;
        }
        assert!(core::mem::take(&mut granted), "a connection that is answered may go on");
        node.handle(Instant::ZERO, NodeInput::Received(conn, piece));
        act(&mut node, &mut granted, &mut open);
    }
    all
}

fn stream(input: Input<'_>) {
    // As it is, and as one message.
    let mut framed = Vec::new();
    Frames::write(&mut framed, |out| out.extend_from_slice(input.wire));
    for bytes in [input.wire, &framed] {
        let pieces = Input { wire: bytes, ..input }.pieces();
        let whole = serve([bytes].into_iter());
        assert_eq!(whole, serve(pieces.into_iter()), "a cut makes a difference");
    }
}
