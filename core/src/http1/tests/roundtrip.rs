//! What our client writes our server reads as it was meant, and the other way round.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{
    After, Client, ClientEvent, Framing, Limits, Request, RequestHead, ResponseHead, Server,
    ServerEvent,
};

type Fields = Vec<(String, String)>;

/// Headers that say nothing about the framing; values without white space around them.
fn fields() -> impl Strategy<Value = Fields> {
    let value = "([!-~\u{a1}-\u{ff}]([ -~\t]{0,20}[!-~])?)?";
    prop::collection::vec(("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", value), 0..6)
}

fn lines(fields: &Fields) -> Vec<u8> {
    fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect::<String>()
        .into_bytes()
}

fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6)
}

fn framing(kind: u8, body: &[Vec<u8>]) -> Framing {
    match kind {
        0 => Framing::Length(body.iter().map(|piece| piece.len() as u64).sum()),
        1 => Framing::Chunked,
        2 => Framing::UntilClose,
        _ => Framing::Empty,
    }
}

/// Reads a request: its head and body. All of `bytes` must belong to it.
fn read_request(server: &mut Server, bytes: &[u8]) -> (RequestHead, Vec<u8>) {
    let (mut head, mut body, mut used) = (None, Vec::new(), 0);
    while let (taken, Some(event)) = server.receive(&bytes[used..]).unwrap() {
        used += taken;
        match event {
            ServerEvent::Request(found) => assert!(head.replace(found).is_none()),
            ServerEvent::Body(data) => body.extend_from_slice(data),
            ServerEvent::End => {}
            ServerEvent::Raw(_) => panic!("raw bytes"),
        }
    }
    assert_eq!(used, bytes.len());
    (head.expect("a head"), body)
}

/// As [`read_request`]; also whether the response ended.
fn read_response(client: &mut Client, bytes: &[u8]) -> (ResponseHead, Vec<u8>, bool) {
    let (mut head, mut body, mut used, mut ended) = (None, Vec::new(), 0, false);
    while let (taken, Some(event)) = client.receive(&bytes[used..]).unwrap() {
        used += taken;
        match event {
            ClientEvent::Response(found) => assert!(head.replace(found).is_none()),
            ClientEvent::Body(data) => body.extend_from_slice(data),
            ClientEvent::End => ended = true,
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(used, bytes.len());
    (head.expect("a head"), body, ended)
}

fn same_fields<'a>(got: impl Iterator<Item = (&'a str, &'a [u8])>, sent: &'a Fields) -> bool {
    let got = got.filter(|(name, _)| name.starts_with("X-"));
    got.eq(sent.iter().map(|(name, value)| (&name[..], value.as_bytes())))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Two exchanges over one connection.
    #[test]
    fn what_one_end_writes_the_other_reads_as_meant(
        exchanges in prop::collection::vec((
            ("[A-Z!#$%&'*+.^_`|~-]{1,10}|HEAD|GET|POST", "/[!-~\u{a1}-\u{ff}]{0,40}", fields(), body(), select(alloc::vec![0_u8, 1, 3])),
            (select(alloc::vec![200_u16, 201, 204, 304, 400, 404, 500, 599]), fields(), body(), 0..4_u8),
        ), 1..4),
    ) {
        let mut client = Client::new(Limits::default());
        let mut server = Server::new(Limits::default());
        for ((method, target, fields, body, kind), (status, reply_fields, reply, reply_kind)) in &exchanges {
            let mut wire = Vec::new();
            let framed = framing(*kind, body);
            let request = Request { method, target, framing: framed, hijack: false };
            prop_assert!(client.request(&request, &[b"Host: x\r\n", &lines(fields)], &mut wire));
            for piece in body {
                client.write(piece, &mut wire);
            }
            prop_assert!(client.end(&mut wire));
            let (head, got) = read_request(&mut server, &wire);
            prop_assert_eq!((head.method(), head.target()), (&method[..], &target[..]));
            prop_assert!(same_fields(head.headers(), fields), "{head:?}");
            prop_assert_eq!(got, if framed == Framing::Empty { Vec::new() } else { body.concat() });

            wire.clear();
            let framed = framing(*reply_kind, reply);
            prop_assert!(server.respond(*status, framed, &[&lines(reply_fields)], &mut wire));
            for piece in reply {
                server.write(piece, &mut wire);
            }
            prop_assert!(server.end(&mut wire));
            let bodiless = method == "HEAD" || [204, 304].contains(status);
            let (head, got, mut ended) = read_response(&mut client, &wire);
            prop_assert_eq!(head.status(), *status);
            prop_assert!(same_fields(head.headers(), reply_fields), "{head:?}");
            prop_assert_eq!(got, if bodiless || framed == Framing::Empty { Vec::new() } else { reply.concat() });

            let kept = server.after() == After::Reuse;
            prop_assert_eq!(kept, bodiless || framed != Framing::UntilClose);
            prop_assert_eq!(client.reuse(), kept, "both ends agree whether the connection is kept");
            if !kept {
                ended = client.eof() == Ok(Some(ClientEvent::End)) && !ended;
            }
            prop_assert!(ended);
            if !kept {
                break;
            }
        }
    }

    /// A head that came is one that can be sent: it reads as itself.
    #[test]
    fn a_head_reads_as_itself(fields in fields(), target in "/[!-~]{0,30}") {
        let bytes = [format!("GET {target} HTTP/1.1\r\nhOsT: \t\r\n").as_bytes(), &lines(&fields), b"\r\n"].concat();
        let (head, _) = read_request(&mut Server::new(Limits::default()), &bytes);
        prop_assert_eq!(head.as_bytes(), &bytes[..]);
        prop_assert_eq!(read_request(&mut Server::new(Limits::default()), head.as_bytes()).0, head);
    }
}
