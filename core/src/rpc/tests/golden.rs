//! What the original's programs wrote is what these machines write, and understand, however it is split.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::id::CallId;
use crate::rpc::{
    Args, Client, ClientEvent, Codec, Limits, Method, Reply, Server, ServerEvent, Update,
};

const GOB_SESSION: &str = include_str!("../vectors/gob_session.txt");
const GOB_STREAM: &str = include_str!("../vectors/gob_stream.txt");
const GOB_ERRORS: &str = include_str!("../vectors/gob_errors.txt");
const JSON_SESSION: &str = include_str!("../vectors/json_session.txt");
const JSON_ODDITIES: &str = include_str!("../vectors/json_oddities.txt");

/// A connection: who says what, in order.
struct Session {
    codec: Codec,
    said: Vec<(Side, Vec<u8>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Client,
    Server,
}

fn session(text: &str) -> Session {
    let hex = text.contains("In hex.");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let said = lines.map(|line| {
        let side = if line.starts_with("> ") { Side::Client } else { Side::Server };
        let bytes = if hex { unhex(&line[2..]) } else { unescape(&line[2..]) };
        (side, bytes)
    });
    Session { codec: if hex { Codec::Gob } else { Codec::Json }, said: said.collect() }
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").into_bytes()
}

impl Session {
    fn all(&self, side: Side) -> Vec<u8> {
        let said = self.said.iter().filter(|(by, _)| *by == side);
        said.flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }
}

/// Cuts bytes into pieces of these lengths, over and over.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().cycle().map_while(move |length| {
        let (piece, rest) = bytes.split_at((*length).clamp(1, bytes.len().max(1)).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// All that a server reads of `bytes`, in pieces; each call is answered by `answer`.
fn serve(
    bytes: &[u8],
    lengths: &[usize],
    mut answer: impl FnMut(&mut Server, ServerEvent, &mut Vec<u8>),
) -> (Vec<u8>, bool) {
    let (mut server, mut out) = (Server::new(Limits::default()), Vec::new());
    let mut unread = Vec::new();
    for piece in pieces(bytes, lengths) {
        unread.extend_from_slice(piece);
        loop {
            match server.receive(&unread, &mut out) {
                Ok((taken, event)) => {
                    unread.drain(..taken);
                    let Some(event) = event else { break };
                    answer(&mut server, event, &mut out);
                }
                Err(_) => return (out, true),
            }
        }
    }
    (out, false)
}

/// All that a client reads of `bytes`, in pieces.
fn receive(client: &mut Client, bytes: &[u8], lengths: &[usize]) -> Vec<ClientEvent> {
    let (mut unread, mut events) = (Vec::new(), Vec::new());
    for piece in pieces(bytes, lengths) {
        unread.extend_from_slice(piece);
        loop {
            let (taken, event) = client.receive(&unread).unwrap();
            unread.drain(..taken);
            let Some(event) = event else { break };
            events.push(event);
        }
    }
    assert_eq!(client.eof(unread.len()), Ok(()));
    events
}

/// Plays both ends of a session: from what each has read, the other's bytes have to come again.
fn play(text: &str, lengths: &[usize]) {
    let session = session(text);
    let mut calls: Vec<(Method, Args)> = Vec::new();
    // What the server reads.
    serve(&session.all(Side::Client), lengths, |_, event, _| {
        if let ServerEvent::Call { method, args, .. } = event {
            calls.push((method, args));
        }
    });

    // The client makes these calls, and reads what the original's server answered.
    let (mut client, mut sent) = (Client::new(session.codec, Limits::default()), Vec::new());
    let (mut events, mut calls) = (VecDeque::new(), calls.into_iter());
    client.connect(&mut sent);
    sent.clear();
    let head = session.said.iter().position(|(by, _)| *by == Side::Server).unwrap();
    for (side, bytes) in &session.said[head..] {
        if *side == Side::Server {
            events.extend(receive(&mut client, bytes, lengths));
            continue;
        }
        if contains(bytes, b"CloseStream") {
            client.close(if text == GOB_STREAM { 0 } else { 2 }, &mut sent);
        } else if contains(bytes, b"Agent.Nope") {
            // Nothing that this client would call; but it counts.
            client.call(Method::Register, &Args::default(), &mut sent).unwrap();
            sent.clear();
            continue;
        } else {
            let (method, args) = calls.next().unwrap();
            client.call(method, &args, &mut sent).unwrap();
        }
        assert_eq!(text_of(&sent), text_of(bytes));
        sent.clear();
    }
    assert_eq!(calls.next(), None);

    // And the server says that again.
    let mut open: BTreeMap<u64, (CallId, Method)> = BTreeMap::new();
    let mut count = 0;
    let mut expected = events.into_iter().peekable();
    assert_eq!(expected.next(), Some(ClientEvent::Connected));
    let (mut server, mut out, mut unread) =
        (Server::new(Limits::default()), Vec::new(), Vec::new());
    for (side, bytes) in &session.said {
        if *side == Side::Client {
            unread.extend_from_slice(bytes);
            count += u64::from(contains(bytes, b"Agent.Nope"));
            loop {
                let (taken, event) = server.receive(&unread, &mut out).unwrap();
                unread.drain(..taken);
                match event {
                    Some(ServerEvent::Call { call, method, .. }) => {
                        open.insert(count, (call, method));
                        count += 1;
                    }
                    Some(ServerEvent::StreamClosed(call)) => {
                        open.retain(|_, (found, _)| *found != call);
                    }
                    Some(ServerEvent::Finished) => panic!("it is over"),
                    None => break,
                }
            }
            continue;
        }
        // As much as the original said here.
        let end = session.said.iter().take_while(|(_, said)| !core::ptr::eq(said, bytes));
        let said: usize =
            end.filter(|(by, _)| *by == Side::Server).map(|(_, said)| said.len()).sum::<usize>()
                + bytes.len();
        while out.len() < said {
            match expected.next().expect("the server has said all") {
                ClientEvent::Answer(seq, result) => {
                    let Some((call, method)) = open.remove(&seq) else { continue };
                    match (result, method) {
                        (Err(error), _) => server.fail(call, &error, &mut out),
                        (Ok(text), Method::Register) => {
                            server.reply(call, Reply::Text(&text), &mut out);
                        }
                        (Ok(_), _) => server.reply(call, Reply::Empty, &mut out),
                    }
                }
                ClientEvent::Update(seq, update) => server.update(open[&seq].0, &update, &mut out),
                // It ended when the client said so.
                ClientEvent::Ended(_, result) => assert_eq!(result, Ok(())),
                ClientEvent::Connected => panic!("twice"),
            }
        }
    }
    assert_eq!(text_of(&out), text_of(&session.all(Side::Server)));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn text_of(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Answers as the original did in the sessions whose calls fail.
fn stub(server: &mut Server, event: ServerEvent, out: &mut Vec<u8>) {
    let ServerEvent::Call { call, method, args } = event else { panic!("{event:?}") };
    match (method, &*args.address) {
        (Method::Register, "") => server.fail(call, "discoverd: Addr must be set", out),
        (Method::Register, address) => server.reply(call, Reply::Text(address), out),
        (Method::Unregister, _) if args.name == "nosuch" => {
            server.fail(call, "100: Key not found (/discover) [3]", out);
        }
        _ => server.reply(call, Reply::Empty, out),
    }
}

const WHOLE: &[usize] = &[usize::MAX];

fn play_stub(text: &str, lengths: &[usize], closes: bool) {
    let session = session(text);
    let (out, closed) = serve(&session.all(Side::Client), lengths, stub);
    assert_eq!(text_of(&out), text_of(&session.all(Side::Server)));
    assert_eq!(closed, closes);
}

#[test]
fn sessions_in_gob() {
    play(GOB_SESSION, WHOLE);
    play(GOB_STREAM, WHOLE);
    play_stub(GOB_ERRORS, WHOLE, false);
}

#[test]
fn sessions_in_json() {
    play(JSON_SESSION, WHOLE);
    play_stub(JSON_ODDITIES, WHOLE, true);
}

#[test]
fn a_byte_at_a_time() {
    for text in [GOB_SESSION, GOB_STREAM, JSON_SESSION] {
        play(text, &[1]);
    }
    play_stub(GOB_ERRORS, &[1], false);
    play_stub(JSON_ODDITIES, &[1], true);
}

/// What the session gives a client that has made its calls.
fn heard(text: &str, lengths: &[usize]) -> Vec<ClientEvent> {
    let session = session(text);
    let mut client = Client::new(session.codec, Limits::default());
    let said = session.all(Side::Server);
    let mut events = receive(&mut client, &said[..34], lengths);
    for nth in 0..64 {
        let subscribes = nth == if text == GOB_STREAM { 0 } else { 2 };
        let method = if subscribes { Method::Subscribe } else { Method::Register };
        client.call(method, &Args::default(), &mut Vec::new()).unwrap();
    }
    events.extend(receive(&mut client, &said[34..], lengths));
    events
}

proptest! {
    #[test]
    fn any_split_means_the_same(lengths in prop::collection::vec(1_usize..40, 1..8)) {
        play_stub(GOB_ERRORS, &lengths, false);
        play_stub(JSON_ODDITIES, &lengths, true);
        for text in [GOB_SESSION, GOB_STREAM, JSON_SESSION] {
            prop_assert_eq!(heard(text, &lengths), heard(text, WHOLE));
        }
    }
}

#[test]
fn the_stream_of_a_session_is_what_happened() {
    let updates: Vec<Update<'_>> = heard(GOB_SESSION, WHOLE)
        .into_iter()
        .filter_map(|event| match event {
            ClientEvent::Update(2, update) => Some(update),
            _ => None,
        })
        .collect();
    let shown: Vec<String> = updates
        .iter()
        .map(|update| {
            let attributes = update.attributes.as_ref().map(|all| all["foo"].clone());
            let online = if update.online { '+' } else { '-' };
            alloc::format!("{online}{} {} {attributes:?}", update.address, update.created)
        })
        .collect();
    assert_eq!(
        shown,
        vec![
            "+10.0.0.2:80 36 Some(\"bar\")",
            "+127.0.0.1:7001 35 None",
            "- 0 None",
            "+10.0.0.3:80 37 None",
            "+10.0.0.2:80 36 Some(\"baz\")",
            "-127.0.0.1:7001 0 None",
            "-10.0.0.3:80 0 None",
        ]
    );
    assert!(updates[2].is_marker());
}
