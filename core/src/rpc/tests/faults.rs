//! The handshake, what the original does wrong there and in its streams, and what is bounded.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::golden::unhex;
use super::{Codec, Peer, connect};
use crate::rpc::{Args, Client, ClientEvent, Error, Limits, Method, Reply, ServerEvent, Update};

const GREETING: &str = "HTTP/1.0 200 Connected to Go RPC\n\n";
const CODECS: [Codec; 2] = [Codec::Gob, Codec::Json];

#[test]
fn the_greeting_is_all_there_is_before_the_first_request() {
    for (head, codec) in [
        ("CONNECT /_goRPC_ HTTP/1.0\r\n\r\n", Codec::Gob),
        ("CONNECT /_goRPC_ HTTP/1.1\r\nHost: x\r\n\r\n", Codec::Gob),
        ("CONNECT /_goRPC_?x HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n", Codec::Gob),
        (
            "CONNECT /_goRPC_ HTTP/1.1\r\nAccept: application/vnd.flynn.rpc-hijack+json\r\n\r\n",
            Codec::Json,
        ),
    ] {
        let mut peer = Peer::new();
        peer.send(head.as_bytes());
        assert_eq!(peer.said(), GREETING);
        assert_eq!(peer.server.codec(), Some(codec), "{head}");
    }
}

#[test]
fn http_is_answered_as_http() {
    let mut peer = Peer::new();
    peer.send(b"GET /_goRPC_ HTTP/1.1\r\nHost: x\r\n\r\n");
    let said = peer.said();
    assert!(said.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\n405 must CONNECT\n"), "{said}");
    // The connection stays: a body is passed over.
    peer.send(b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert!(peer.said().ends_with("\r\n\r\n404 page not found\n"));
    assert_eq!(peer.events, []);
    peer.send(b"CONNECT / HTTP/1.0\r\n\r\n");
    assert!(peer.said().starts_with("HTTP/1.0 404 Not Found\r\n"));
    assert_eq!(peer.events, [ServerEvent::Finished]);

    let mut peer = Peer::new();
    peer.send(b"\x16\x03\x01");
    assert!(matches!(peer.error, Some(Error::Head(_))));
    assert!(peer.said().starts_with("HTTP/1.1 400 Bad Request\r\n"));
}

/// A call of each method, as a client writes it.
fn called(codec: Codec, method: Method, name: &str) -> Vec<u8> {
    let mut client = greeted(codec);
    let mut out = Vec::new();
    let args = Args { name: name.into(), address: ":80".into(), attributes: None };
    client.call(method, &args, &mut out).unwrap();
    out
}

fn greeted(codec: Codec) -> Client {
    let mut client = Client::new(codec, Limits::default());
    assert_eq!(client.call(Method::Register, &Args::default(), &mut Vec::new()), None);
    let (taken, event) = client.receive(GREETING.as_bytes()).unwrap();
    assert_eq!((taken, event), (GREETING.len(), Some(ClientEvent::Connected)));
    client
}

/// The original loses them.
#[test]
fn what_comes_with_the_connect_is_not_lost() {
    for codec in CODECS {
        let mut peer = Peer::new();
        let mut bytes = connect(codec).into_bytes();
        bytes.extend(called(codec, Method::Register, "web"));
        peer.send(&bytes);
        let (call, method, args) = peer.call();
        assert_eq!((method, &*args.name, &*args.address), (Method::Register, "web", ":80"));
        peer.server.reply(call, Reply::Text("1.2.3.4:80"), &mut peer.out);
        let mut client = greeted(codec);
        client.call(method, &args, &mut Vec::new()).unwrap();
        let out = peer.out.strip_prefix(GREETING.as_bytes()).unwrap();
        let (taken, event) = client.receive(out).unwrap();
        assert_eq!(event, Some(ClientEvent::Answer(0, Ok("1.2.3.4:80".into()))));
        assert_eq!(client.receive(&out[taken..]), Ok((out.len() - taken, None)));
    }
}

/// The original ends a stream with the next event of its name, and in JSON never.
#[test]
fn a_closed_stream_ends_at_once() {
    for codec in CODECS {
        let (mut peer, mut client) = (Peer::greeted(codec), greeted(codec));
        let mut out = Vec::new();
        let args = Args { name: "web".into(), ..Args::default() };
        // Two of them, and a call between.
        for method in [Method::Subscribe, Method::Unregister, Method::Subscribe] {
            client.call(method, &args, &mut out).unwrap();
        }
        client.close(2, &mut out);
        client.close(1, &mut out);
        client.close(7, &mut out);
        peer.send(&out);
        let calls: Vec<_> = peer
            .events
            .iter()
            .filter_map(|event| match event {
                ServerEvent::Call { call, .. } => Some(*call),
                _ => None,
            })
            .collect();
        assert_eq!(peer.events[3..], [ServerEvent::StreamClosed(calls[2])]);
        assert_eq!((peer.server.streams(), peer.server.waiting()), (1, 1));
        let update = Update { name: "web".into(), address: "a".into(), ..Update::MARKER };
        // Nothing can be said on it any more; on the other it can.
        peer.server.update(calls[2], &update, &mut peer.out);
        peer.server.fail(calls[2], "late", &mut peer.out);
        peer.server.update(calls[0], &update, &mut peer.out);
        peer.server.reply(calls[1], Reply::Empty, &mut peer.out);
        peer.server.fail(calls[0], "broken off", &mut peer.out);
        let (mut events, mut taken) = (Vec::new(), 0);
        while let (more, Some(event)) = client.receive(&peer.out[taken..]).unwrap() {
            taken += more;
            events.push(event);
        }
        assert_eq!(
            events,
            [
                ClientEvent::Ended(2, Ok(())),
                ClientEvent::Update(0, update),
                ClientEvent::Answer(1, Ok(String::new())),
                ClientEvent::Ended(0, Err("broken off".into())),
            ]
        );
    }
}

#[test]
fn a_stream_of_many_names_is_closed_by_its_own() {
    let mut peer = Peer::greeted(Codec::Json);
    for id in ["1", "\"1\"", "[1]", "null"] {
        peer.send(
            format!("{{\"method\":\"Agent.Subscribe\",\"params\":[],\"id\":{id}}}").as_bytes(),
        );
    }
    peer.events.clear();
    peer.send(
        b"{\"method\":\"CloseStream\",\"params\":[{}],\"id\":\"1\"}{\"method\":\"CloseStream\"}",
    );
    assert_eq!(
        peer.said(),
        "{\"id\":\"1\",\"result\":{},\"error\":\"EOS\"}\n{\"id\":null,\"result\":{},\"error\":\"EOS\"}\n"
    );
    assert_eq!((peer.events.len(), peer.server.streams()), (2, 2));
}

#[test]
fn calls_and_streams_are_bounded() {
    for codec in CODECS {
        let mut limits = Limits::default();
        (limits.calls, limits.streams) = (2, 1);
        let mut peer = Peer::with(limits);
        peer.send(connect(codec).as_bytes());
        let (mut client, mut out) = (greeted(codec), Vec::new());
        for method in [
            Method::Subscribe,
            Method::Subscribe,
            Method::Register,
            Method::Register,
            Method::Register,
        ] {
            client.call(method, &Args::default(), &mut out);
        }
        peer.out.clear();
        peer.send(&out);
        assert!(String::from_utf8_lossy(&peer.out).contains("1 subscriptions are open"));
        // The last one is not read before one is answered.
        assert_eq!((peer.events.len(), peer.server.waiting()), (3, 2));
        let Some(ServerEvent::Call { call, .. }) = peer.events.pop() else { panic!() };
        peer.server.reply(call, Reply::Empty, &mut peer.out);
        peer.send(b"");
        assert_eq!((peer.events.len(), peer.server.waiting()), (3, 2));
    }
}

#[test]
fn what_is_repeated_is_bounded() {
    let mut peer = Peer::greeted(Codec::Json);
    let id = "9".repeat(2000);
    peer.send(format!("{{\"method\":\"Agent.Subscribe\",\"params\":[],\"id\":{id}}}").as_bytes());
    assert_eq!(
        peer.said(),
        format!(
            "{{\"id\":{id},\"result\":{{}},\"error\":\"discoverd: id has 2000 bytes: use at most 1024\"}}\n"
        )
    );
    assert_eq!((peer.events.len(), peer.server.streams()), (0, 0));
    peer.send(format!("{{\"method\":\"{}\",\"id\":1}}", "x".repeat(100_000)).as_bytes());
    assert!(peer.said().len() < 400);
}

#[test]
fn a_message_that_breaks_off_is_known() {
    for codec in CODECS {
        let bytes = called(codec, Method::Register, "web");
        for cut in 0..bytes.len() {
            let mut peer = Peer::greeted(codec);
            peer.send(&bytes[..cut]);
            assert_eq!(
                peer.events.len(),
                usize::from(codec == Codec::Json && cut + 1 == bytes.len())
            );
            let between = codec == Codec::Gob && cut == 48;
            // Definitions alone are whole messages, but no request.
            let whole = cut == 0 || between || !peer.events.is_empty();
            assert_eq!(peer.eof().is_ok(), whole, "{codec:?} {cut}");
        }
    }
    let mut peer = Peer::new();
    peer.send(b"CONNECT /_goRPC_ HTTP/1.0\r\n");
    assert_eq!(peer.eof(), Err(Error::Truncated));
}

#[test]
fn long_json_is_refused_whatever_it_is() {
    for bytes in ["{".repeat(300_000), format!("{{\"x\":\"{}", "y".repeat(300_000))] {
        let mut peer = Peer::greeted(Codec::Json);
        peer.send(bytes.as_bytes());
        assert_eq!(peer.error, Some(Error::MessageTooLong));
    }
    for bytes in ["[]", "5", "\"x\"", "{]", "{\"a\":}", "{\"method\":5}", "}"] {
        let mut peer = Peer::greeted(Codec::Json);
        peer.send(bytes.as_bytes());
        assert_eq!(peer.error, Some(Error::Json), "{bytes}");
        assert_eq!(peer.said(), "");
    }
}

#[test]
fn a_server_that_does_not_greet_is_refused() {
    for (bytes, error) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", Error::Greeting(404)),
        ("HTTP/1.1\r\n\r\n", Error::Greeting(0)),
        ("SSH-2.0", Error::Greeting(0)),
    ] {
        let mut client = Client::new(Codec::Gob, Limits::default());
        assert_eq!(client.receive(bytes.as_bytes()), Err(error));
    }
    let endless = format!("HTTP/1.0 200 OK\r\n{}", "x".repeat(100_000));
    let mut client = Client::new(Codec::Gob, Limits::default());
    assert_eq!(client.receive(endless.as_bytes()), Err(Error::Greeting(0)));
    let client = Client::new(Codec::Gob, Limits::default());
    assert_eq!(client.eof(0), Err(Error::Greeting(0)));
    let mut client = greeted(Codec::Gob);
    assert_eq!(client.receive(&unhex("00")), Err(Error::Gob));
}
