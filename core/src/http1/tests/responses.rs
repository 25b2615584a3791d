//! Responses as the client reads them: all framings, malformed ones, and ends in the wrong place.

use alloc::vec::Vec;

use super::super::Error;
use super::{Seen, call};

/// A method (`hijack` for a GET that may be given the connection), a whole response and its body.
const COMPLETE: &[(&str, &[u8], &[u8])] = &[
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", b"OK"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ("GET", b"HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nOK", b"OK"),
    ("GET", b"HTTP/1.1 200 \xE4\xF6 \xFC\r\nContent-Length: 2\r\n\r\nOK", b"OK"),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK", b"OK"),
    ("GET", b"HTTP/1.1 999 \r\nContent-Length: 2\r\n\r\nOK", b"OK"),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nO\r\n1;x\r\nK\r\n0\r\n\r\n", b"OK"),
    (
        "POST",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nGrpc-Trailer-Content-Type: application/grpc\r\n\r\n",
        b"{}",
    ),
    ("POST", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ("POST", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    ("HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 61\r\n\r\n", b""),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    ("POST", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nOK", b"OK"),
    (
        "GET",
        b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 102 P\r\nA: b\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"OK",
    ),
    ("hijack", b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nOK", b"OK"),
    ("hijack", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
];

/// Name, response, error.
const MALFORMED: &[(&str, &[u8], Error)] = &[
    ("blank line first", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Error::StartLine),
    ("LF first", b"\nHTTP/1.1 200 OK\r\n\r\n", Error::StartLine),
    ("another protocol", b"SSH-2.0-OpenSSH_9\r\n", Error::StartLine),
    ("a request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Error::StartLine),
    ("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x16", Error::StartLine),
    ("HTTP/2", b"HTTP/2 200 OK\r\n\r\n", Error::Version),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n", Error::Version),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n", Error::Version),
    ("two spaces before the status", b"HTTP/1.1  200 OK\r\n\r\n", Error::StartLine),
    ("no status", b"HTTP/1.1 OK\r\n\r\n", Error::StartLine),
    ("status of two digits", b"HTTP/1.1 99 OK\r\n\r\n", Error::StartLine),
    ("status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", Error::StartLine),
    ("status 099", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", Error::StartLine),
    ("status 000", b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", Error::StartLine),
    ("signed status", b"HTTP/1.1 +20 OK\r\n\r\n", Error::StartLine),
    ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n", Error::StartLine),
    ("CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n", Error::StartLine),
    (
        "LF behind the status line",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        Error::BareLineFeed,
    ),
    ("LF behind a header", b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", Error::BareLineFeed),
    ("LF ends the head", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", Error::BareLineFeed),
    ("obs-fold", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Error::Header),
    ("space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", Error::Header),
    ("no colon", b"HTTP/1.1 200 OK\r\nA\r\n\r\n", Error::Header),
    ("NUL in a value", b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Error::Header),
    ("CR in a value", b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", Error::Header),
    ("malformed length", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n", Error::ContentLength),
    ("list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", Error::ContentLength),
    (
        "unequal lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        Error::UnequalContentLengths,
    ),
    (
        "length and coding",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        Error::LengthAndCoding,
    ),
    (
        "gzip, chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        Error::TransferEncoding,
    ),
    (
        "identity",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        Error::TransferEncoding,
    ),
    (
        "chunks in 1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        Error::TransferEncoding,
    ),
    (
        "a malformed 100 before a good one",
        b"HTTP/1.1 100 Continue\r\nA\r\n\r\nHTTP/1.1 204 \r\n\r\n",
        Error::Header,
    ),
    ("chunk size x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Error::Chunk),
    (
        "empty chunk size",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        Error::Chunk,
    ),
    ("chunk with LF", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na", Error::Chunk),
    (
        "data without a line end",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
        Error::Chunk,
    ),
    (
        "malformed trailer",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n",
        Error::Trailer,
    ),
];

fn body(seen: &[Seen]) -> Vec<u8> {
    let body = seen.iter().find_map(|seen| match seen {
        Seen::Body(data) => Some(data.clone()),
        _ => None,
    });
    body.unwrap_or_default()
}

#[test]
fn complete_responses_end_where_they_say() {
    for (method, bytes, expected) in COMPLETE {
        let whole = call(&[method], bytes, &[], false);
        assert_eq!(whole.last(), Some(&Seen::End), "{}: {whole:?}", bytes.escape_ascii());
        assert_eq!(body(&whole), *expected, "{}", bytes.escape_ascii());
        for step in 1..bytes.len() {
            assert_eq!(call(&[method], bytes, &[step], false), whole, "{}", bytes.escape_ascii());
        }
    }
}

/// Cut anywhere, a response never looks complete: what was passed on of it is followed by an error.
#[test]
fn truncated_at_any_byte_is_truncated() {
    for (method, bytes, _) in COMPLETE {
        for cut in 0..bytes.len() {
            let seen = call(&[method], &bytes[..cut], &[], true);
            assert_eq!(
                seen.last(),
                Some(&Seen::Error(Error::Truncated)),
                "{}",
                bytes[..cut].escape_ascii()
            );
            assert!(!seen.contains(&Seen::End));
            assert_eq!(call(&[method], &bytes[..cut], &[1], true), seen);
        }
    }
}

#[test]
fn malformed_responses_are_refused_however_they_come() {
    assert!(MALFORMED.len() >= 30);
    for (name, bytes, error) in MALFORMED {
        let whole = call(&["GET"], bytes, &[], false);
        assert_eq!(whole.last(), Some(&Seen::Error(*error)), "{name}: {whole:?}");
        assert!(!whole.contains(&Seen::End), "{name}");
        for step in 1..bytes.len() {
            assert_eq!(call(&["GET"], bytes, &[step], false), whole, "{name} in pieces of {step}");
        }
        let more = [bytes, &b"HTTP/1.1 204 No Content\r\n\r\n"[..]].concat();
        assert_eq!(call(&["GET"], &more, &[], true), whole, "{name}, before another");
    }
}

#[test]
fn too_much_of_a_head_is_refused() {
    let long = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[b'a'; 64 * 1024], b"\r\n\r\n"].concat();
    let many = [&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(129), b"\r\n"].concat();
    for (bytes, error) in [(long, Error::HeadTooLarge), (many, Error::TooManyHeaders)] {
        for cuts in [&[][..], &[1], &[1000]] {
            assert_eq!(call(&["GET"], &bytes, cuts, false), [Seen::Error(error)]);
        }
    }
}

#[test]
fn the_end_of_the_connection_ends_what_has_no_length() {
    for head in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n"] {
        let seen = call(&["GET"], &[head, b"to the end"].concat(), &[3], true);
        assert_eq!(
            seen,
            [Seen::Head(head.to_vec()), Seen::Body(b"to the end".to_vec()), Seen::End]
        );
    }
}

#[test]
fn a_hijack_is_raw_from_its_head_on() {
    for (method, head) in [
        (
            "hijack",
            &b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"[..],
        ),
        ("hijack", b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"),
        (
            "POST",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ),
    ] {
        let stream = b"\x01\0\0\0\0\0\0\x02hiHTTP/1.1 200 OK\r\n\r\n";
        let bytes = [head, stream].concat();
        let expected = [Seen::Head(head.to_vec()), Seen::Raw(stream.to_vec()), Seen::End];
        for step in 1..bytes.len() {
            assert_eq!(call(&[method], &bytes, &[step], true), expected);
        }
    }
}

#[test]
fn what_says_that_it_closes_is_a_body_even_where_a_hijack_could_be() {
    for head in [
        &b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..],
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n",
    ] {
        let seen = call(&["hijack"], &[head, b"to the end"].concat(), &[3], true);
        assert_eq!(
            seen,
            [Seen::Head(head.to_vec()), Seen::Body(b"to the end".to_vec()), Seen::End]
        );
    }
}

#[test]
fn responses_to_one_request_after_the_other() {
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
    let seen = call(
        &["GET", "HEAD"],
        &[&ok[..], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"].concat(),
        &[1],
        true,
    );
    assert_eq!(seen.iter().filter(|seen| **seen == Seen::End).count(), 2, "{seen:?}");
    // Not kept: what follows is never read.
    for head in [
        &b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let seen = call(&["GET", "GET"], &[head, ok].concat(), &[1], true);
        assert_eq!(seen, [Seen::Head(head.to_vec()), Seen::End]);
    }
    let kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(call(&["GET", "GET"], &[&kept[..], ok].concat(), &[1], true).len(), 5);
}
