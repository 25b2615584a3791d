//! The rooms of the tests, and the two loops that drive a machine through a conversation.

mod accepted;
mod exchange;
mod malformed;
mod responses;
mod roundtrip;
mod split;

use alloc::vec::Vec;

use super::state::Half;
use super::{After, Client, ClientEvent, Error, Framing, Limits, Request, Server, ServerEvent};

/// What came out of a machine, data that came in pieces joined.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    /// A whole head.
    Head(Vec<u8>),
    Informational(Vec<u8>),
    Body(Vec<u8>),
    End,
    Raw(Vec<u8>),
    Answered(After),
    Error(Error),
    /// The end of the peer's half was taken as an end in order.
    Eof,
}

/// Adds what was seen; data to the data before it.
fn note(seen: &mut Vec<Seen>, what: Seen) {
    match (seen.last_mut(), what) {
        (Some(Seen::Body(before)), Seen::Body(data))
        | (Some(Seen::Raw(before)), Seen::Raw(data)) => {
            before.extend(data);
        }
        (_, what) => seen.push(what),
    }
}

/// Cuts of an input: the lengths of its pieces, over and over; the rest comes in one if there are none.
fn pieces<'a>(input: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts = cuts.iter().cycle();
    let mut rest = input;
    core::iter::from_fn(move || {
        let length = cuts.next().map_or(rest.len(), |cut| rest.len().min((*cut).max(1)));
        let (piece, after) = rest.split_at(length);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A server that hijacks what asks for `/attach` or `/exec`, and answers the rest with `OK` when it is complete.
fn serve(input: &[u8], cuts: &[usize]) -> Vec<Seen> {
    serve_with(Server::new(Limits::default()), input, cuts)
}

fn serve_with(mut server: Server, input: &[u8], cuts: &[usize]) -> Vec<Seen> {
    let (mut seen, mut unread, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces(input, cuts) {
        unread.extend_from_slice(piece);
        loop {
            let (taken, event) = match server.receive(&unread) {
                Ok(step) => step,
                Err(error) => {
                    note(&mut seen, Seen::Error(error));
                    check_refused(&mut server, error);
                    return seen;
                }
            };
            assert!(taken <= unread.len());
            let progress = event.is_some();
            match event {
                Some(ServerEvent::Request(head)) => {
                    note(&mut seen, Seen::Head(head.as_bytes().to_vec()));
                    if head.target().contains("/attach") || head.target().contains("/exec") {
                        assert!(server.switch(b"HTTP/1.1 200 OK\r\n\r\n", &mut out));
                    }
                }
                Some(ServerEvent::Body(data)) => note(&mut seen, Seen::Body(data.to_vec())),
                Some(ServerEvent::Raw(data)) => note(&mut seen, Seen::Raw(data.to_vec())),
                Some(ServerEvent::End) => note(&mut seen, Seen::End),
                None => {}
            }
            unread.drain(..taken);
            if server.halves().request == Half::Done {
                assert!(server.respond(200, Framing::Length(2), &[], &mut out));
                server.write(b"OK", &mut out);
                assert!(server.end(&mut out));
                let after = server.after();
                note(&mut seen, Seen::Answered(after));
                if after == After::Close {
                    return seen;
                }
            } else if !progress {
                break;
            }
        }
    }
    note(&mut seen, server.eof().map_or_else(Seen::Error, |()| Seen::Eof));
    seen
}

/// After an error nothing is read any more, one answer can be given, and the connection ends.
fn check_refused(server: &mut Server, error: Error) {
    let another = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(server.receive(another), Ok((another.len(), None)));
    }
    assert_ne!(server.halves().request, Half::Idle);
    let mut out = Vec::new();
    if server.halves().response == Half::Idle {
        assert!(server.respond(error.status(), Framing::Length(0), &[], &mut out));
        assert!(out.ends_with(b"Connection: close\r\nContent-Length: 0\r\n\r\n"));
        assert!(server.end(&mut out));
    }
    assert_eq!(server.after(), After::Close);
}

/// A client that has sent requests of these methods, `hijack` for a GET that may be given the connection, one after
/// the other as it may; `eof` ends the server's half.
fn call(methods: &[&str], input: &[u8], cuts: &[usize], eof: bool) -> Vec<Seen> {
    let mut client = Client::new(Limits::default());
    let (mut seen, mut unread, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut methods = methods.iter();
    let mut ask = |client: &mut Client| {
        let Some(method) = methods.next() else { return false };
        let hijack = *method == "hijack";
        let method = if hijack { "GET" } else { method };
        let request = Request { method, target: "/", framing: Framing::Empty, hijack };
        assert!(client.request(&request, &[b"Host: x\r\n"], &mut out));
        assert!(client.end(&mut out));
        true
    };
    assert!(ask(&mut client));
    for piece in pieces(input, cuts) {
        unread.extend_from_slice(piece);
        loop {
            let (taken, event) = match client.receive(&unread) {
                Ok(step) => step,
                Err(error) => {
                    note(&mut seen, Seen::Error(error));
                    assert_eq!(client.receive(b"HTTP/1.1 204\r\n\r\n"), Ok((16, None)));
                    assert!(!client.reuse());
                    assert_eq!(client.eof(), Ok(None));
                    return seen;
                }
            };
            assert!(taken <= unread.len());
            let progress = event.is_some();
            let ended = event == Some(ClientEvent::End);
            match event {
                Some(ClientEvent::Informational(head)) => {
                    note(&mut seen, Seen::Informational(head.as_bytes().to_vec()));
                }
                Some(ClientEvent::Response(head)) => {
                    note(&mut seen, Seen::Head(head.as_bytes().to_vec()));
                }
                Some(ClientEvent::Body(data)) => note(&mut seen, Seen::Body(data.to_vec())),
                Some(ClientEvent::Raw(data)) => note(&mut seen, Seen::Raw(data.to_vec())),
                Some(ClientEvent::End) => note(&mut seen, Seen::End),
                None => {}
            }
            unread.drain(..taken);
            if ended && (!client.reuse() || !ask(&mut client)) {
                return seen;
            }
            if !progress {
                break;
            }
        }
    }
    if eof {
        let end = match client.eof() {
            Ok(Some(_)) => Seen::End,
            Ok(None) => Seen::Eof,
            Err(error) => Seen::Error(error),
        };
        note(&mut seen, end);
    }
    seen
}
