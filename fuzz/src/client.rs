//! The client's side of HTTP/1.

use libswarm::http1::state::Half;
use libswarm::http1::{Client, ClientEvent, Error, Framing, Limits, Request, ResponseHead, Server};

use crate::reference;
use crate::script::{self, Input};

/// However the bytes of a connection are cut, the client reads the same responses from them, and those that it reads
/// whole, written again by the server, the same; a connection that ends early never looks like a response that ended;
/// whatever is done in between, it takes no more than it is given and reads nothing after an error.
///
/// Operations, which also choose the requests: `G` GET, `H` HEAD, `P` POST with a body in chunks, `J` a GET that may be
/// given the connection; `w` writes of a body, `e` ends it, `x` is the server's end, `q` one's own, `n` the next exchange.
pub fn http1_client(data: &[u8]) {
    let input = Input::new(data);
    let whole = converse(input.script, &[input.wire]);
    assert_eq!(whole, converse(input.script, &input.pieces()), "pieces make a difference");
    for exchange in whole.split_inclusive(|seen| matches!(seen, Seen::End | Seen::Cut(_))) {
        check_again(exchange);
    }
    operate(&input);
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Informational(ResponseHead),
    Response(ResponseHead),
    Body(Vec<u8>),
    Raw(Vec<u8>),
    End,
    /// What the end of the connection means after all.
    Cut(Result<bool, Error>),
    Error(Error),
}

fn note(seen: &mut Vec<Seen>, what: Seen) {
    crate::join(seen, what, |last, what| match (last, what) {
        (Seen::Body(before), Seen::Body(data)) | (Seen::Raw(before), Seen::Raw(data)) => {
            before.extend(data);
            None
        }
        (_, what) => Some(what),
    });
}

/// One call, with what holds for every call.
fn receive<'a>(
    client: &mut Client,
    unread: &'a [u8],
) -> Result<(usize, Option<ClientEvent<'a>>), Error> {
    let before = client.halves();
    let (taken, event) = client.receive(unread)?;
    assert!(taken <= unread.len());
    match &event {
        Some(ClientEvent::Body(data) | ClientEvent::Raw(data)) => {
            assert!(!data.is_empty() && data.len() <= taken);
            let (data, unread) = (data.as_ptr_range(), unread.as_ptr_range());
            assert!(unread.start <= data.start && data.end <= unread.end);
        }
        Some(ClientEvent::Response(head) | ClientEvent::Informational(head)) => {
            assert_eq!(head.as_bytes(), &unread[..taken]);
            assert!((100..1000).contains(&head.status()));
        }
        Some(ClientEvent::End) => {}
        None => match before.response {
            Half::Idle => assert!(unread.len() - taken <= Limits::default().head),
            _ => assert_eq!(taken, unread.len()),
        },
    }
    Ok((taken, event))
}

fn ask(client: &mut Client, operation: u8) -> bool {
    let (method, framing) = match operation {
        b'H' => ("HEAD", Framing::Empty),
        b'P' => ("POST", Framing::Chunked),
        _ => ("GET", Framing::Empty),
    };
    let request = Request { method, target: "/", framing, hijack: operation == b'J' };
    let mut out = Vec::new();
    let asked = client.request(&request, &[b"Host: x\r\n"], &mut out);
    assert_eq!(asked, !out.is_empty());
    asked
}

/// Asks what the script asks, or GET, as long as there is an answer.
fn converse(script: &[u8], pieces: &[&[u8]]) -> Vec<Seen> {
    let asks: Vec<u8> = script.iter().copied().filter(|byte| b"GHPJ".contains(byte)).collect();
    let mut asks = asks.iter().copied().chain(std::iter::repeat(b'G'));
    let mut next = |client: &mut Client| {
        assert!(ask(client, asks.next().unwrap_or(b'G')));
        assert!(client.end(&mut Vec::new()));
    };
    let mut client = Client::new(Limits::default());
    next(&mut client);
    let (mut seen, mut unread) = (Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let (taken, event) = match receive(&mut client, &unread) {
                Ok(step) => step,
                Err(error) => {
                    note(&mut seen, Seen::Error(error));
                    assert_eq!(client.receive(b"HTTP/1.1 204 \r\n\r\n"), Ok((17, None)));
                    assert!(!client.reuse());
                    return seen;
                }
            };
            match event {
                Some(ClientEvent::Informational(head)) => {
                    note(&mut seen, Seen::Informational(head));
                }
                Some(ClientEvent::Response(head)) => note(&mut seen, Seen::Response(head)),
                Some(ClientEvent::Body(data)) => note(&mut seen, Seen::Body(data.to_vec())),
                Some(ClientEvent::Raw(data)) => note(&mut seen, Seen::Raw(data.to_vec())),
                Some(ClientEvent::End) => {
                    note(&mut seen, Seen::End);
                    if !client.reuse() {
                        return seen;
                    }
                    next(&mut client);
                }
                None => {
                    unread.drain(..taken);
                    break;
                }
            }
            unread.drain(..taken);
        }
    }
    let before = client.halves().response;
    let end = client.eof().map(|event| event.is_some());
    assert_ne!(end, Ok(false), "a response is owed");
    assert!(end != Ok(true) || matches!(before, Half::Body | Half::Raw));
    note(&mut seen, Seen::Cut(end));
    seen
}

/// A response that is complete is the same when the server has written it again; one that the connection's end
/// completed had no length.
fn check_again(exchange: &[Seen]) {
    let mut exchange = exchange.iter().skip_while(|seen| matches!(seen, Seen::Informational(_)));
    let Some(Seen::Response(head)) = exchange.next() else { return };
    let (body, end) = match (exchange.next(), exchange.next()) {
        (Some(Seen::Body(body)), Some(end)) => (&body[..], end),
        (Some(end @ (Seen::End | Seen::Cut(_))), None) => (&[][..], end),
        _ => return,
    };
    let has = |name| reference::field(head.as_bytes(), name).is_some();
    let framing = if has("transfer-encoding") {
        Framing::Chunked
    } else if has("content-length") {
        Framing::Length(body.len() as u64)
    } else {
        Framing::UntilClose
    };
    match end {
        Seen::Cut(Ok(true)) if head.status() == 101 => return,
        Seen::Cut(Ok(true)) => assert_eq!(framing, Framing::UntilClose),
        Seen::End => {}
        _ => return,
    }
    if body.is_empty() {
        return;
    }
    let mut server = Server::new(Limits::default());
    assert!(server.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_ok());
    let mut wire = Vec::new();
    assert!(server.respond(head.status(), framing, &[], &mut wire));
    for piece in body.chunks(7) {
        server.write(piece, &mut wire);
    }
    assert!(server.end(&mut wire));
    let seen = converse(b"", &[&wire]);
    let Some(Seen::Response(again)) = seen.first() else { panic!("{seen:?}") };
    assert_eq!(again.status(), head.status());
    assert_eq!(seen.get(1), Some(&Seen::Body(body.to_vec())));
    assert!(matches!(seen.get(2), Some(Seen::End | Seen::Cut(Ok(true)))), "{seen:?}");
}

/// Does what the script says, in any order, sensible or not.
fn operate(input: &Input<'_>) {
    let mut client = Client::new(Limits::default());
    let (mut unread, mut rest, mut failed) = (Vec::new(), input.wire, false);
    let mut ended = false;
    for operation in input.script.iter().take(1000) {
        let mut out = Vec::new();
        match operation {
            b'G' | b'H' | b'P' | b'J' => {
                let asked = ask(&mut client, *operation);
                assert!(!asked || !(failed || ended));
            }
            b'w' => client.write(b"abc", &mut out),
            b'e' => _ = client.end(&mut out),
            b'q' => client.shutdown(),
            b'n' => {
                let reusable = client.reuse();
                assert!(!reusable || !(failed || ended));
            }
            b'x' => {
                ended = true;
                failed |= client.eof().is_err();
            }
            _ => {
                let (piece, after) = rest.split_at(script::piece(*operation).min(rest.len()));
                unread.extend_from_slice(piece);
                rest = after;
            }
        }
        assert!(out.len() < 200);
        if ended {
            continue;
        }
        match receive(&mut client, &unread) {
            Ok((taken, event)) => {
                assert!(event.is_none() || !failed);
                unread.drain(..taken);
            }
            Err(_) => {
                assert!(!failed, "an error of what is not read");
                failed = true;
            }
        }
    }
}
