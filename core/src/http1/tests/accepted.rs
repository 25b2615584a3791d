//! Requests that look odd and must be accepted: clients send them, or the standard wants it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Seen, serve};

/// Name, whole request, its body.
const ROWS: &[(&str, &[u8], &[u8])] = &[
    ("docker's ping", b"HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.2.2 (linux)\r\n\r\n", b""),
    ("an empty Host, as CLI 20 sends", b"POST /v1.41/x HTTP/1.1\r\nHost:\r\n\r\n", b""),
    ("an empty Host with a space", b"GET / HTTP/1.1\r\nHost: \r\n\r\n", b""),
    ("a socket's path for a Host, escaped", b"GET / HTTP/1.1\r\nHost: %2Frun%2Fdocker.sock\r\n\r\n", b""),
    ("a Host with all that a name may have", b"GET / HTTP/1.1\r\nHost: aZ0-._~!$&'()*+,;=%41:80\r\n\r\n", b""),
    ("net/rpc without a Host", b"CONNECT /_goRPC_ HTTP/1.1\r\n\r\n", b""),
    ("net/rpc in 1.0", b"CONNECT /_goRPC_ HTTP/1.0\r\n\r\n", b""),
    ("1.0 without a Host", b"GET / HTTP/1.0\r\n\r\n", b""),
    ("lower-case names", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na", b"a"),
    ("upper-case names", b"POST / HTTP/1.1\r\nHOST: x\r\nCONTENT-LENGTH: 1\r\n\r\na", b"a"),
    ("no space behind the colon", b"POST / HTTP/1.1\r\nHost:x\r\nContent-Length:1\r\n\r\na", b"a"),
    ("white space around values", b"POST / HTTP/1.1\r\nHost: \t x \t\r\nContent-Length: \t1\t \r\n\r\na", b"a"),
    ("obs-text in a value", b"GET / HTTP/1.1\r\nHost: x\r\nA: \xFF\x80\xC3\xA4\r\n\r\n", b""),
    ("an empty value", b"GET / HTTP/1.1\r\nHost: x\r\nA:\r\n\r\n", b""),
    ("tab in a value", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\tc\r\n\r\n", b""),
    ("colons in a value", b"GET / HTTP/1.1\r\nHost: [::1]:2375\r\n\r\n", b""),
    ("every token byte in a name", b"GET / HTTP/1.1\r\nHost: x\r\n!#$%&'*+-.^_`|~0aZ: b\r\n\r\n", b""),
    ("absolute-form", b"GET http://x:2375/_ping?a HTTP/1.1\r\nHost: y\r\n\r\n", b""),
    ("asterisk-form", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ("authority-form", b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ("a target in UTF-8", b"GET /\xC3\xA4 HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ("an unknown method", b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ("a lower-case method", b"get / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ("a blank line before", b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ("three blank lines before", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ("upper-case CHUNKED", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n", b"a"),
    ("white space around chunked", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \tchunked \r\n\r\n1\r\na\r\n0\r\n\r\n", b"a"),
    ("a legal extension", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b;c=\"d e\"\r\na\r\n0;z\r\n\r\n", b"a"),
    ("white space before an extension", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 \t;a\r\na\r\n0\r\n\r\n", b"a"),
    ("a size of 16 digits", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000B\r\n0123456789a\r\n0000000000000000\r\n\r\n", b"0123456789a"),
    ("sizes in both cases", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
    ("trailers", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nGrpc-Trailer-Content-Type: application/grpc\r\nB:\r\n\r\n", b"a"),
    ("trailers that would delimit", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", b""),
    ("equal lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", b"a"),
    ("19 digits of length", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0000000000000000001\r\n\r\na", b"a"),
    ("a length of 0", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b""),
    ("a GET with a body", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", b"a"),
    ("a body in 1.0", b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na", b"a"),
    ("an expectation in other case", b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\na", b"a"),
];

/// The rows, and those that are long.
fn rows() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<_> = ROWS
        .iter()
        .map(|(name, bytes, body)| ((*name).into(), bytes.to_vec(), body.to_vec()))
        .collect();
    let headers = |count: usize| format!("Host: x\r\n{}", "A: b\r\n".repeat(count - 1));
    let target = "a".repeat(16 * 1024 - 1);
    let start = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
    let value = "a".repeat(64 * 1024 - start.len() - 4);
    for (name, head) in [
        ("128 headers", format!("GET / HTTP/1.1\r\n{}\r\n", headers(128))),
        ("a target of 16 KiB", format!("GET /{target} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a head of 64 KiB", format!("{start}{value}\r\n\r\n")),
    ] {
        rows.push((name.into(), head.into_bytes(), Vec::new()));
    }
    rows
}

#[test]
fn odd_requests_are_accepted_however_they_come() {
    let next = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    for (name, bytes, body) in rows() {
        let whole = serve(&bytes, &[]);
        assert!(matches!(&whole[0], Seen::Head(_)), "{name}: {whole:?}");
        assert!(whole.iter().any(|seen| matches!(seen, Seen::Answered(_))), "{name}: {whole:?}");
        let got = whole.iter().find_map(|seen| match seen {
            Seen::Body(data) => Some(&data[..]),
            _ => None,
        });
        assert_eq!(got.unwrap_or_default(), body, "{name}");
        for cuts in [&[1][..], &[2], &[5, 1, 3]] {
            assert_eq!(serve(&bytes, cuts), whole, "{name} in pieces of {cuts:?}");
        }
        if !bytes.windows(8).any(|bytes| bytes == b"HTTP/1.0") {
            let two = serve(&[&bytes, &next[..]].concat(), &[]);
            assert!(two.contains(&Seen::Head(next.to_vec())), "{name}: {two:?}");
        }
    }
}
