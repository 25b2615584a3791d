//! Requests that must be refused, each with its status: whole, byte by byte, behind a good one and before another.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Seen, serve};

/// What a smuggler wants to be read as a request.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Whole heads, in which the line ends or the start are wrong.
const HEADS: &[(&str, &[u8], u16)] = &[
    ("LF line ends", b"GET / HTTP/1.1\nHost: x\n\n", 400),
    ("LF after the request line", b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400),
    ("LF after a header", b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
    ("LF after the first of two headers", b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
    ("LF LF ends the head", b"GET / HTTP/1.1\r\nHost: x\n\n", 400),
    ("CRLF LF ends the head", b"GET / HTTP/1.1\r\nHost: x\r\n\n", 400),
    ("LF CR LF ends the head", b"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n", 400),
    ("LF before the request line", b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("CRLF LF before the request line", b"\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("CR before the request line", b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("CR CR LF before the request line", b"\r\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("CR line ends", b"GET / HTTP/1.1\rHost: x\r\r\n\r\n", 400),
    ("CR CR LF after the request line", b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", 400),
    ("CR CR LF after a header", b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400),
    ("space before the request line", b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("tab before the request line", b"\tGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("NUL before the request line", b"\0GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("byte order mark", b"\xEF\xBB\xBFGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("space before the first header", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    ("tab before the first header", b"GET / HTTP/1.1\r\n\tHost: x\r\n\r\n", 400),
    ("space alone on the first line", b"GET / HTTP/1.1\r\n \r\nHost: x\r\n\r\n", 400),
    ("no Host", b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 400),
    ("no headers at all", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("a Host of two words", b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
    ("a Host with a path", b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
    ("a Host with a user", b"GET / HTTP/1.1\r\nHost: x@y\r\n\r\n", 400),
    ("a Host with a query", b"GET / HTTP/1.1\r\nHost: x?y\r\n\r\n", 400),
    ("a Host in Latin 1", b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", 400),
    ("CONNECT elsewhere without a Host", b"CONNECT /_goRPC HTTP/1.1\r\n\r\n", 400),
    ("another method to net/rpc's path without a Host", b"GET /_goRPC_ HTTP/1.1\r\n\r\n", 400),
    ("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", 400),
    ("a response", b"HTTP/1.1 200 OK\r\nHost: x\r\n\r\n", 400),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
];

/// Request lines, without their line end; a Host follows.
const REQUEST_LINES: &[(&str, &[u8], u16)] = &[
    ("HTTP/0.9", b"GET /", 400),
    ("HTTP/0.9 with a space", b"GET / ", 400),
    ("a method alone", b"GET", 400),
    ("no method", b"/ HTTP/1.1", 400),
    ("no target", b"GET HTTP/1.1", 400),
    ("an empty target", b"GET  HTTP/1.1", 400),
    ("two spaces behind the method", b"GET  / HTTP/1.1", 400),
    ("two spaces before the version", b"GET /  HTTP/1.1", 400),
    ("tab behind the method", b"GET\t/ HTTP/1.1", 400),
    ("tab before the version", b"GET /\tHTTP/1.1", 400),
    ("space behind the version", b"GET / HTTP/1.1 ", 400),
    ("space in the target", b"GET /a b HTTP/1.1", 400),
    ("vertical tab in the request line", b"GET /\x0BHTTP/1.1", 400),
    ("NUL in the target", b"GET /\0 HTTP/1.1", 400),
    ("DEL in the target", b"GET /\x7F HTTP/1.1", 400),
    ("control byte in the target", b"GET /\x01 HTTP/1.1", 400),
    ("CR in the target", b"GET /\rX HTTP/1.1", 400),
    ("target that is no UTF-8", b"GET /\xFF HTTP/1.1", 400),
    ("NUL in the method", b"G\0T / HTTP/1.1", 400),
    ("colon in the method", b"GET: / HTTP/1.1", 400),
    ("method in brackets", b"[GET] / HTTP/1.1", 400),
    ("method with a quote", b"\"GET\" / HTTP/1.1", 400),
    ("method that is no ASCII", b"G\xC3\x8BT / HTTP/1.1", 400),
    ("lower-case http", b"GET / http/1.1", 400),
    ("mixed-case Http", b"GET / Http/1.1", 400),
    ("HTTP/1.10", b"GET / HTTP/1.10", 400),
    ("HTTP/1.01", b"GET / HTTP/1.01", 400),
    ("HTTP/01.1", b"GET / HTTP/01.1", 400),
    ("HTTP/1", b"GET / HTTP/1", 400),
    ("HTTP/1.", b"GET / HTTP/1.", 400),
    ("HTTP/ 1.1", b"GET / HTTP/ 1.1", 400),
    ("HTTP-1.1", b"GET / HTTP-1.1", 400),
    ("HTTP/1,1", b"GET / HTTP/1,1", 400),
    ("HTTP/1.x", b"GET / HTTP/1.x", 400),
    ("HTTPS/1.1", b"GET / HTTPS/1.1", 400),
    ("ICY", b"GET / ICY/1.1", 400),
    ("HTTP/2.0", b"GET / HTTP/2.0", 505),
    ("HTTP/1.2", b"GET / HTTP/1.2", 505),
    ("HTTP/0.9 spelt out", b"GET / HTTP/0.9", 505),
    ("HTTP/3.0", b"GET / HTTP/3.0", 505),
    ("two versions", b"GET / HTTP/1.1 HTTP/1.1", 400),
];

/// Header lines without their last line end, behind a request line and a Host.
const HEADERS: &[(&str, &[u8], u16)] = &[
    ("CL.TE", b"Content-Length: 6\r\nTransfer-Encoding: chunked", 400),
    ("TE.CL", b"Transfer-Encoding: chunked\r\nContent-Length: 4", 400),
    ("TE.CL with 0", b"Transfer-Encoding: chunked\r\nContent-Length: 0", 400),
    ("TE.TE: chunked twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
    ("TE.TE: a second, unknown", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow", 400),
    ("TE.TE: a first, unknown", b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", 400),
    ("TE.TE: identity before", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 400),
    ("TE.TE: case differs", b"Transfer-Encoding: chunked\r\nTransfer-encoding: x", 400),
    ("TE: space before the colon", b"Transfer-Encoding : chunked", 400),
    ("TE: tab before the colon", b"Transfer-Encoding\t: chunked", 400),
    ("TE: vertical tab before the colon", b"Transfer-Encoding\x0B: chunked", 400),
    ("TE: NUL before the colon", b"Transfer-Encoding\0: chunked", 400),
    ("TE: space before the name", b" Transfer-Encoding: chunked", 400),
    ("TE: line end before the colon", b"Transfer-Encoding\r\n : chunked", 400),
    ("TE: name split by LF", b"X: y\nTransfer-Encoding: chunked", 400),
    ("TE: name split by CR", b"X: y\rTransfer-Encoding: chunked", 400),
    ("TE: xchunked", b"Transfer-Encoding: xchunked", 400),
    ("TE: chunkedx", b"Transfer-Encoding: chunkedx", 400),
    ("TE: chunk", b"Transfer-Encoding: chunk", 400),
    ("TE: chunked, identity", b"Transfer-Encoding: chunked, identity", 400),
    ("TE: identity, chunked", b"Transfer-Encoding: identity, chunked", 400),
    ("TE: gzip, chunked", b"Transfer-Encoding: gzip, chunked", 400),
    ("TE: chunked, chunked", b"Transfer-Encoding: chunked, chunked", 400),
    ("TE: ,chunked", b"Transfer-Encoding: ,chunked", 400),
    ("TE: chunked,", b"Transfer-Encoding: chunked,", 400),
    ("TE: chunked;q=1", b"Transfer-Encoding: chunked;q=1", 400),
    ("TE: identity", b"Transfer-Encoding: identity", 400),
    ("TE: empty", b"Transfer-Encoding:", 400),
    ("TE: vertical tab behind", b"Transfer-Encoding: chunked\x0B", 400),
    ("TE: vertical tab before", b"Transfer-Encoding: \x0Bchunked", 400),
    ("TE: form feed before", b"Transfer-Encoding: \x0Cchunked", 400),
    ("TE: NUL behind", b"Transfer-Encoding: chunked\0", 400),
    ("TE: backspace", b"Transfer-Encoding: chu\x08nked", 400),
    ("TE: no-break space", b"Transfer-Encoding:\xA0chunked", 400),
    ("TE: next line of Unicode", b"Transfer-Encoding: chunked\xC2\x85", 400),
    ("TE: quoted", b"Transfer-Encoding: \"chunked\"", 400),
    ("TE: quoted once", b"Transfer-Encoding: 'chunked'", 400),
    ("TE: folded", b"Transfer-Encoding:\r\n chunked", 400),
    ("TE: folded by tab", b"Transfer-Encoding:\r\n\tchunked", 400),
    ("TE: chunked folded on", b"Transfer-Encoding: chunked\r\n , identity", 400),
    ("TE: CR in the value", b"Transfer-Encoding: chun\rked", 400),
    ("TE: CR before the value", b"Transfer-Encoding: \rchunked", 400),
    ("obs-fold", b"A: b\r\n c", 400),
    ("obs-fold of white space", b"A: b\r\n ", 400),
    ("LF in a value", b"A: b\nc", 400),
    ("CR in a value", b"A: b\rc", 400),
    ("CR LF LF", b"A: b\r\n\nC: d", 400),
    ("NUL in a value", b"A: b\0c", 400),
    ("control byte in a value", b"A: b\x1Fc", 400),
    ("escape in a value", b"A: \x1B[0m", 400),
    ("DEL in a value", b"A: b\x7F", 400),
    ("NUL in a name", b"A\0B: c", 400),
    ("space in a name", b"A B: c", 400),
    ("name that is no ASCII", b"\xC3\x84: c", 400),
    ("bracket in a name", b"A(B): c", 400),
    ("slash in a name", b"A/B: c", 400),
    ("empty name", b": c", 400),
    ("no colon", b"Abc", 400),
    ("second Host", b"Host: x", 400),
    ("second Host, different", b"host: y", 400),
    ("second Host, empty", b"Host:", 400),
    ("Host with a space before the colon", b"Host : y", 400),
    ("CL: sign +", b"Content-Length: +5", 400),
    ("CL: sign -", b"Content-Length: -5", 400),
    ("CL: minus zero", b"Content-Length: -0", 400),
    ("CL: hexadecimal", b"Content-Length: 0x5", 400),
    ("CL: hexadecimal digit", b"Content-Length: a", 400),
    ("CL: space inside", b"Content-Length: 5 5", 400),
    ("CL: tab inside", b"Content-Length: 5\t5", 400),
    ("CL: comma", b"Content-Length: 5,", 400),
    ("CL: list of equals", b"Content-Length: 5, 5", 400),
    ("CL: list of unequals", b"Content-Length: 5, 6", 400),
    ("CL: empty", b"Content-Length:", 400),
    ("CL: white space", b"Content-Length:  \t", 400),
    ("CL: fraction", b"Content-Length: 5.0", 400),
    ("CL: exponent", b"Content-Length: 1e1", 400),
    ("CL: underscore", b"Content-Length: 1_0", 400),
    ("CL: quoted", b"Content-Length: \"5\"", 400),
    ("CL: semicolon", b"Content-Length: 5;", 400),
    ("CL: letter behind", b"Content-Length: 5a", 400),
    ("CL: Arabic digit", b"Content-Length: \xD9\xA5", 400),
    ("CL: 20 digits", b"Content-Length: 10000000000000000000", 400),
    ("CL: beyond 64 bits", b"Content-Length: 18446744073709551617", 400),
    ("CL: zeros beyond 19 digits", b"Content-Length: 00000000000000000005", 400),
    ("CL: NUL behind", b"Content-Length: 5\0", 400),
    ("CL: folded", b"Content-Length: 5\r\n 5", 400),
    ("CL: space before the colon", b"Content-Length : 5", 400),
    ("CL: two, unequal", b"Content-Length: 5\r\nContent-Length: 6", 400),
    ("CL: two, unequal, 0 first", b"Content-Length: 0\r\nContent-Length: 44", 400),
    (
        "CL: three, the last unequal",
        b"Content-Length: 5\r\ncontent-length: 5\r\nContent-Length: 4",
        400,
    ),
    ("CL: two, the second malformed", b"Content-Length: 5\r\nContent-Length: x", 400),
    ("unknown expectation", b"Expect: 200-ok", 417),
    ("empty expectation", b"Expect:", 417),
    ("two expectations", b"Expect: 100-continue, x", 417),
    ("quoted expectation", b"Expect: \"100-continue\"", 417),
];

/// Bodies behind a head that says chunked.
const CHUNKED: &[(&str, &[u8])] = &[
    ("empty size", b"\r\n\r\n"),
    ("empty size behind a chunk", b"1\r\na\r\n\r\n\r\n"),
    ("extension without a size", b";a\r\n"),
    ("size: minus", b"-1\r\na\r\n0\r\n\r\n"),
    ("size: plus", b"+1\r\na\r\n0\r\n\r\n"),
    ("size: 0x", b"0x1\r\na\r\n0\r\n\r\n"),
    ("size: no hexadecimal digit", b"g\r\n"),
    ("size: space before", b" 1\r\na\r\n0\r\n\r\n"),
    ("size: space behind", b"1 \r\na\r\n0\r\n\r\n"),
    ("size: tab behind", b"1\t\r\na\r\n0\r\n\r\n"),
    ("size: space inside", b"1 0\r\n"),
    ("size: underscore", b"1_0\r\n"),
    ("size: comma", b"1,0\r\n"),
    ("size: point", b"1.0\r\n"),
    ("size: quoted", b"\"1\"\r\n"),
    ("size: NUL", b"1\0\r\n"),
    ("size: 17 digits", b"00000000000000001\r\na"),
    ("size: beyond 64 bits", b"10000000000000000\r\n"),
    ("size: beyond 64 bits to a small one", b"10000000000000001\r\na\r\n0\r\n\r\n"),
    ("size: LF", b"1\na\r\n0\r\n\r\n"),
    ("size: CR", b"1\ra\r\n0\r\n\r\n"),
    ("size: CR CR LF", b"1\r\r\na\r\n"),
    ("extension: LF", b"1;a\nb\r\n0\r\n\r\n"),
    ("extension: LF at once", b"1;\nb\r\n0\r\n\r\n"),
    ("extension: CR", b"1;a\rb\r\n0\r\n\r\n"),
    ("extension: CR CR LF", b"1;a\r\r\nb\r\n"),
    ("extension: NUL", b"1;a\0\r\nb\r\n"),
    ("extension: LF in quotes", b"1;a=\"\n\"\r\nb\r\n"),
    ("extension of the last chunk: LF", b"0;\n\r\n"),
    ("no CRLF behind data", b"1\r\nab\r\n0\r\n\r\n"),
    ("LF behind data", b"1\r\na\n0\r\n\r\n"),
    ("CR behind data", b"1\r\na\r0\r\n\r\n"),
    ("CR CR behind data", b"1\r\na\r\r\n0\r\n\r\n"),
    ("data longer than its size", b"1\r\nabc\r\n0\r\n\r\n"),
    ("data shorter than its size", b"3\r\na\r\n0\r\n\r\n"),
    ("last chunk: LF LF", b"0\n\n"),
    ("last chunk: CRLF LF", b"0\r\n\n"),
    ("last chunk: CR CR", b"0\r\r"),
    ("trailer: no colon", b"0\r\nabc\r\n\r\n"),
    ("trailer: empty name", b"0\r\n: b\r\n\r\n"),
    ("trailer: space before the colon", b"0\r\na : b\r\n\r\n"),
    ("trailer: folded", b"0\r\na: b\r\n c\r\n\r\n"),
    ("trailer: LF", b"0\r\na: b\n\r\n"),
    ("trailer: CR", b"0\r\na: b\rc: d\r\n\r\n"),
    ("trailer: NUL", b"0\r\na: \0\r\n\r\n"),
    ("trailer: space first", b"0\r\n a: b\r\n\r\n"),
    ("trailer: CRLF CR X", b"0\r\na: b\r\n\rX"),
];

fn request(line: &[u8], headers: &[&[u8]], body: &[u8]) -> Vec<u8> {
    let mut bytes = line.to_vec();
    for header in headers {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(header);
    }
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Limits and what else is too long to be written out.
fn long() -> Vec<(String, Vec<u8>, u16)> {
    let target = [&b"/"[..], &[b'a'; 16 * 1024]].concat();
    let line = [&b"GET "[..], &target, b" HTTP/1.1"].concat();
    let many = |count: usize| -> Vec<u8> {
        let lines: Vec<&[u8]> = core::iter::repeat_n(&b"A: b"[..], count - 1).collect();
        request(b"GET / HTTP/1.1", &[&[&b"Host: x"[..]], &lines[..]].concat(), b"")
    };
    let value = [&b"A: "[..], &[b'a'; 64 * 1024]].concat();
    let chunked = |body: &[u8]| {
        request(b"POST / HTTP/1.1", &[b"Host: x", b"Transfer-Encoding: chunked"], body)
    };
    let filler = [b'a'; 17 * 1024];
    [
        ("a target of 16 KiB and one", request(&line, &[b"Host: x"], b""), 414),
        ("a target without an end", [&b"GET /"[..], &[b'a'; 17 * 1024]].concat(), 414),
        ("a method without an end", [b'A'; 17 * 1024].to_vec(), 414),
        ("129 headers", many(129), 431),
        ("1000 headers", many(1000), 431),
        ("a value beyond the head", request(b"GET / HTTP/1.1", &[b"Host: x", &value], b""), 431),
        ("a name without an end", [&b"GET / HTTP/1.1\r\nA"[..], &value[3..]].concat(), 431),
        ("an extension without an end", chunked(&[&b"1;"[..], &filler].concat()), 400),
        ("a trailer without an end", chunked(&[&b"0\r\nA:"[..], &filler].concat()), 400),
        ("many trailers", chunked(&[&b"0\r\n"[..], &b"A: b\r\n".repeat(3000)].concat()), 400),
        (
            "chunks that are mostly extension",
            chunked(&b"1;aaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(9000)),
            400,
        ),
    ]
    .map(|(name, bytes, status)| (name.into(), bytes, status))
    .into()
}

/// All rows as (name, bytes, status).
fn rows() -> Vec<(String, Vec<u8>, u16)> {
    let heads = HEADS
        .iter()
        .map(|(name, bytes, status)| (format!("head: {name}"), bytes.to_vec(), *status));
    let lines = REQUEST_LINES.iter().map(|(name, line, status)| {
        (format!("line: {name}"), request(line, &[b"Host: x"], b""), *status)
    });
    let headers = HEADERS.iter().map(|(name, lines, status)| {
        (format!("header: {name}"), request(b"POST / HTTP/1.1", &[b"Host: x", lines], b""), *status)
    });
    let old = [&b"Transfer-Encoding: chunked"[..], b"Transfer-Encoding: identity"].map(|line| {
        (
            format!("HTTP/1.0 with {}", line.escape_ascii()),
            request(b"POST / HTTP/1.0", &[line], b""),
            400,
        )
    });
    let chunked = CHUNKED.iter().map(|(name, body)| {
        let head: &[&[u8]] = &[b"Host: x", b"Transfer-Encoding: chunked"];
        (format!("chunked: {name}"), request(b"POST / HTTP/1.1", head, body), 400)
    });
    heads.chain(lines).chain(headers).chain(old).chain(chunked).chain(long()).collect()
}

#[test]
fn malformed_requests_are_refused_however_they_come() {
    let good = b"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    let rows = rows();
    assert!(rows.len() >= 200, "{}", rows.len());
    for (name, bytes, status) in &rows {
        let alone = serve(bytes, &[]);
        let Some(Seen::Error(error)) = alone.last() else { panic!("{name}: accepted: {alone:?}") };
        assert_eq!(error.status(), *status, "{name}: {error}");
        let heads = alone.iter().filter(|seen| matches!(seen, Seen::Head(_))).count();
        assert!(heads <= 1 && !alone.contains(&Seen::End), "{name}: {alone:?}");
        let in_body =
            name.starts_with("chunked") || name.contains("extension") || name.contains("trailer");
        assert_eq!(heads, usize::from(in_body), "{name}");

        for cuts in [&[1][..], &[2, 1], &[3, 7, 1, 64]] {
            assert_eq!(serve(bytes, cuts), alone, "{name} in pieces of {cuts:?}");
        }
        let before_another = [bytes, SMUGGLED].concat();
        assert_eq!(serve(&before_another, &[]), alone, "{name}, before another");
        assert_eq!(serve(&before_another, &[1]), alone, "{name}, before another, in pieces");
        let behind = serve(&[good, &bytes[..]].concat(), &[]);
        assert_eq!(behind[4..], alone, "{name}, behind a good one");
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = rows().into_iter().map(|(name, ..)| name).collect();
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}

/// The families in their published form, with a request in the body: whatever a proxy before us made of the head, what
/// we read of it is one request or none.
#[test]
fn published_smuggling_gets_no_second_request_out() {
    let table: &[(&str, &[u8])] = &[
        (
            "CL.TE",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 39\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE.CL",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        ),
        (
            "TE.TE",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n",
        ),
        ("CL.0", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\n"),
        ("0.CL", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\n"),
        ("TERM.EXT", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n22\r\n"),
        ("EXT.TERM", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n22;\r\n"),
        ("TERM.SPILL", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nAAAAA0\r\n\r\n"),
    ];
    for (name, bytes) in table {
        for cuts in [&[][..], &[1]] {
            let seen = serve(&[bytes, SMUGGLED].concat(), cuts);
            let heads: Vec<_> = seen.iter().filter(|seen| matches!(seen, Seen::Head(_))).collect();
            assert!(heads.len() <= 1, "{name}: {seen:?}");
            assert!(!heads.contains(&&Seen::Head(SMUGGLED.to_vec())), "{name}: {seen:?}");
        }
    }
}
