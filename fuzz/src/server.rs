//! The server's side of HTTP/1.

use libswarm::http1::state::Half;
use libswarm::http1::{
    After, Client, Error, Framing, Limits, Request, RequestHead, Server, ServerEvent,
};

use crate::reference;
use crate::script::{self, Input};

/// However the bytes of a connection are cut, the server reads the same requests from them, each as long as a plain
/// reading finds it and, written again by the client, the same; whatever is done in between, it takes no more than it is
/// given, reads nothing after an error, and needs no more bytes kept for it than a head may have.
///
/// Operations: `r` answers with a length, `u` until close, `s` begins an answer in chunks, `w` writes of it, `e` ends it,
/// `h` hijacks, `c` gives leave to continue, `k` closes behind the answer, `x` is the client's end, `f` refuses.
pub fn http1_server(data: &[u8]) {
    let input = Input::new(data);
    let whole = converse(&[input.wire]);
    assert_eq!(whole, converse(&input.pieces()), "pieces make a difference");
    check_extents(input.wire, &whole);
    operate(&input);
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Request(RequestHead),
    Body(Vec<u8>),
    /// A request is complete, this many bytes from the start of the connection.
    Complete(usize),
    Raw(Vec<u8>),
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
    server: &mut Server,
    unread: &'a [u8],
) -> Result<(usize, Option<ServerEvent<'a>>), Error> {
    let before = server.halves();
    let (taken, event) = server.receive(unread)?;
    assert!(taken <= unread.len());
    match &event {
        Some(ServerEvent::Body(data) | ServerEvent::Raw(data)) => {
            assert!(!data.is_empty() && data.len() <= taken);
            let (data, unread) = (data.as_ptr_range(), unread.as_ptr_range());
            assert!(unread.start <= data.start && data.end <= unread.end);
        }
        Some(ServerEvent::Request(head)) => assert!(head.as_bytes().len() <= taken),
        Some(ServerEvent::End) => {}
        None => match before.request {
            Half::Idle => assert!(unread.len() - taken <= Limits::default().head),
            Half::Body | Half::Raw | Half::Closed => assert_eq!(taken, unread.len()),
            Half::Done => assert_eq!(taken, 0),
        },
    }
    Ok((taken, event))
}

/// Answers each request when it is complete, and hands over what asks for `/attach`.
fn converse(pieces: &[&[u8]]) -> Vec<Seen> {
    let mut server = Server::new(Limits::default());
    let (mut seen, mut unread, mut used) = (Vec::new(), Vec::new(), 0);
    let mut out = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let (taken, event) = match receive(&mut server, &unread) {
                Ok(step) => step,
                Err(error) => {
                    note(&mut seen, Seen::Error(error));
                    check_refused(&mut server, error);
                    return seen;
                }
            };
            let more = event.is_some();
            match event {
                Some(ServerEvent::Request(head)) => {
                    let hijack = head.target().contains("/attach");
                    note(&mut seen, Seen::Request(head));
                    assert!(!hijack || server.switch(b"HTTP/1.1 200 OK\r\n\r\n", &mut out));
                }
                Some(ServerEvent::Body(data)) => note(&mut seen, Seen::Body(data.to_vec())),
                Some(ServerEvent::Raw(data)) => note(&mut seen, Seen::Raw(data.to_vec())),
                Some(ServerEvent::End) | None => {}
            }
            unread.drain(..taken);
            used += taken;
            if server.halves().request == Half::Done {
                note(&mut seen, Seen::Complete(used));
                assert!(server.respond(200, Framing::Length(0), &[], &mut out));
                assert!(server.end(&mut out));
                if server.after() == After::Close {
                    return seen;
                }
            } else if !more {
                break;
            }
        }
    }
    seen
}

/// After an error nothing is read, one answer may go, and the connection ends.
fn check_refused(server: &mut Server, error: Error) {
    let another = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(server.receive(another), Ok((another.len(), None)));
    let mut out = Vec::new();
    if server.halves().response == Half::Idle {
        assert!(server.respond(error.status(), Framing::Length(0), &[], &mut out));
        assert!(server.end(&mut out));
    }
    assert_eq!(server.after(), After::Close);
    assert_eq!(server.receive(another), Ok((another.len(), None)));
}

/// Holds each complete request against the plain reading, and against itself written again.
fn check_extents(wire: &[u8], seen: &[Seen]) {
    let (mut start, mut head, mut body) = (0, None, &[][..]);
    for what in seen {
        match what {
            Seen::Request(found) => (head, body) = (Some(found), &[][..]),
            Seen::Body(data) => body = data,
            Seen::Complete(end) => {
                let extent =
                    reference::request(&wire[start..]).expect("a request that is complete");
                assert_eq!(start + extent.head + extent.body, *end, "two ends of one request");
                let head = head.take().expect("a head before its end");
                assert!(wire[..start + extent.head].ends_with(head.as_bytes()));
                check_again(head, body);
                start = *end;
            }
            Seen::Raw(_) | Seen::Error(_) => {}
        }
    }
}

/// The headers that say where a body ends, which the client writes itself.
fn delimits(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
}

/// Written by the client, the request is read as what it was.
fn check_again(head: &RequestHead, body: &[u8]) {
    let mut headers = Vec::new();
    for (name, value) in head.headers().filter(|(name, _)| !delimits(name)) {
        headers.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let lacks_host = head.header("host").is_none();
    let framing = if head.header("transfer-encoding").is_some() {
        Framing::Chunked
    } else if head.header("content-length").is_some() {
        Framing::Length(body.len() as u64)
    } else {
        Framing::Empty
    };
    let mut wire = Vec::new();
    let mut client = Client::new(Limits::default());
    let request = Request { method: head.method(), target: head.target(), framing, hijack: false };
    let host: &[u8] = if lacks_host { b"Host:\r\n" } else { b"" };
    assert!(client.request(&request, &[host, &headers], &mut wire));
    for piece in body.chunks(7) {
        client.write(piece, &mut wire);
    }
    assert!(client.end(&mut wire));
    let seen = converse(&[&wire]);
    let Some(Seen::Request(again)) = seen.first() else {
        // It may have grown beyond a limit: by the white space and the Host that it came without.
        let grown = [Error::HeadTooLarge, Error::TooManyHeaders].map(Seen::Error);
        assert!(grown.contains(&seen[0]), "{seen:?}");
        return;
    };
    assert_eq!((again.method(), again.target()), (head.method(), head.target()));
    let kept = head.headers().filter(|(name, _)| !delimits(name));
    let host = lacks_host.then_some(("Host", &b""[..]));
    assert!(host.into_iter().chain(kept).eq(again.headers().filter(|(name, _)| !delimits(name))));
    let complete = Seen::Complete(wire.len());
    let raw_target = head.target().contains("/attach");
    assert!(raw_target || seen.last() == Some(&complete), "{seen:?}");
    let read = seen.iter().find_map(|what| match what {
        Seen::Body(data) => Some(&data[..]),
        _ => None,
    });
    assert_eq!(read.unwrap_or_default(), body);
}

/// Does what the script says, in any order, sensible or not.
fn operate(input: &Input<'_>) {
    let mut server = Server::new(Limits::default());
    let (mut unread, mut rest, mut refused) = (Vec::new(), input.wire, false);
    let mut ended = false;
    for operation in input.script.iter().take(1000) {
        let mut out = Vec::new();
        let before = server.halves();
        match operation {
            b'r' | b'u' | b's' => {
                let framing = match operation {
                    b'r' => Framing::Length(3),
                    b'u' => Framing::UntilClose,
                    _ => Framing::Chunked,
                };
                let began = server.respond(200, framing, &[b"A: b\r\n"], &mut out);
                assert_eq!(began, !out.is_empty());
                assert!(!began || before.response == Half::Idle);
            }
            b'w' => server.write(b"abc", &mut out),
            b'e' => {
                let done = server.end(&mut out);
                assert!(!done || matches!(before.response, Half::Body | Half::Raw));
            }
            b'h' => {
                let switched = server.switch(b"HTTP/1.1 200 OK\r\n\r\n", &mut out);
                assert!(!switched || before.response == Half::Idle);
            }
            b'c' => server.send_continue(&mut out),
            b'k' => server.close_after(),
            b'f' => {
                server.refuse();
                refused = true;
            }
            b'x' => {
                let truncated = before.request == Half::Body;
                assert_eq!(server.eof().is_err(), truncated);
                ended = true;
            }
            b'a' => {
                let after = server.after();
                assert!(after != After::Reuse || !(refused || ended));
            }
            _ => {
                let (piece, after) = rest.split_at(script::piece(*operation).min(rest.len()));
                unread.extend_from_slice(piece);
                rest = after;
            }
        }
        assert!(out.len() < 200, "{}", out.escape_ascii());
        if ended {
            continue;
        }
        match receive(&mut server, &unread) {
            Ok((taken, event)) => {
                assert!(event.is_none() || before.request != Half::Closed);
                unread.drain(..taken);
            }
            Err(_) => {
                assert!(!refused, "an error of what is not read");
                assert_eq!(server.receive(&unread), Ok((unread.len(), None)));
                refused = true;
            }
        }
    }
}
