//! Any split of the input gives the same events.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Seen, call, serve};

/// A body in chunks, with extensions and trailers.
fn chunked() -> impl Strategy<Value = Vec<u8>> {
    let extension = select(alloc::vec!["", ";a", " ;a=b", ";a=\"b c\";d"]);
    let trailers = select(alloc::vec![
        "",
        "Grpc-Trailer-Content-Type: application/grpc\r\n",
        "A:\r\nB: c\r\n"
    ]);
    let chunk = (prop::collection::vec(any::<u8>(), 1..40), extension);
    (prop::collection::vec(chunk, 0..5), trailers).prop_map(|(chunks, trailers)| {
        let mut body = Vec::new();
        for (data, extension) in chunks {
            body.extend(format!("{:x}{extension}\r\n", data.len()).into_bytes());
            body.extend(data);
            body.extend(b"\r\n");
        }
        body.extend(format!("0\r\n{trailers}\r\n").into_bytes());
        body
    })
}

fn with_length() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

/// What a docker client sends, of all kinds.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let plain = select(alloc::vec![
        "HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.2.2 (linux)\r\n\r\n",
        "GET /v1.41/containers/json?all=1&filters=%7B%7D HTTP/1.1\r\nHost: docker\r\nUser-Agent: x\r\n\r\n",
        "POST /v1.41/containers/abc/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\r\n",
        "DELETE /v1.41/images/127.0.0.1:9/x:latest?force=1 HTTP/1.1\r\nHost: docker\r\n\r\n",
        "\r\nGET /version HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n",
    ]);
    prop_oneof![
        4 => plain.prop_map(|text| text.as_bytes().to_vec()),
        2 => with_length().prop_map(|body| {
            let head = format!(
                "POST /v1.41/containers/create?name=a HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), &body].concat()
        }),
        2 => chunked().prop_map(|body| {
            let head = b"POST /v1.41/build?t=x HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\nX-Registry-Config: e30=\r\n\r\n";
            [&head[..], &body].concat()
        }),
    ]
}

/// The last message of a connection: none, a hijack and its bytes, or one that is broken.
fn last() -> impl Strategy<Value = Vec<u8>> {
    let hijack = (any::<bool>(), with_length(), with_length()).prop_map(|(upgrade, body, raw)| {
        let upgrade = if upgrade { "Connection: Upgrade\r\nUpgrade: tcp\r\n" } else { "" };
        let head = format!(
            "POST /v1.41/exec/a/start HTTP/1.1\r\nHost:\r\nContent-Length: {}\r\n{upgrade}\r\n",
            body.len()
        );
        [head.as_bytes(), &body, &raw].concat()
    });
    let attach = with_length().prop_map(|raw| {
        let head = b"POST /v1.41/containers/a/attach?stream=1 HTTP/1.1\r\nHost:\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n";
        [&head[..], &raw].concat()
    });
    // A good request with one byte changed, or cut off.
    let broken = (request(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |(mut bytes, at, byte, cut)| {
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
            bytes
        },
    );
    prop_oneof![Just(Vec::new()), hijack, attach, broken]
}

/// A response and the method that it answers.
fn response() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let informational =
        select(alloc::vec!["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 \r\nA: b\r\n\r\n"]);
    let fixed = select(alloc::vec![
        ("HEAD", "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\n"),
        ("POST", "HTTP/1.1 204 No Content\r\nServer: Docker/20.10.24\r\n\r\n"),
        ("POST", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("POST", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let all = prop_oneof![
        fixed.prop_map(|(method, text)| (method, text.as_bytes().to_vec())),
        with_length().prop_map(|body| {
            let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n", body.len());
            ("GET", [head.as_bytes(), &body].concat())
        }),
        chunked().prop_map(|body| {
            ("GET", [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &body].concat())
        }),
    ];
    (informational, all)
        .prop_map(|(before, (method, bytes))| (method, [before.as_bytes(), &bytes].concat()))
}

/// The last response of a connection.
fn last_response() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let head = select(alloc::vec![
        ("hijack", "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"),
        ("POST", "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ("GET", "garbage"),
    ]);
    (head, with_length())
        .prop_map(|((method, head), rest)| (method, [head.as_bytes(), &rest].concat()))
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..4_usize, 1..100_usize], 1..20)
}

fn heads(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| matches!(seen, Seen::Head(_))).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn of_requests(
        requests in prop::collection::vec(request(), 0..4),
        last in last(),
        cuts in cuts(),
    ) {
        let bytes = [requests.concat(), last].concat();
        let whole = serve(&bytes, &[]);
        prop_assert!(heads(&whole) >= requests.len(), "{whole:?}");
        prop_assert_eq!(&serve(&bytes, &[1]), &whole);
        prop_assert_eq!(&serve(&bytes, &cuts), &whole);
    }

    #[test]
    fn of_responses(
        responses in prop::collection::vec(response(), 0..4),
        last in last_response(),
        cuts in cuts(),
    ) {
        let methods: Vec<_> = responses.iter().map(|(method, _)| *method).chain([last.0]).collect();
        let bytes: Vec<u8> =
            responses.iter().map(|(_, bytes)| &bytes[..]).chain([&last.1[..]]).collect::<Vec<_>>().concat();
        let whole = call(&methods, &bytes, &[], true);
        prop_assert!(heads(&whole) >= responses.len(), "{whole:?}");
        prop_assert_eq!(&call(&methods, &bytes, &[1], true), &whole);
        prop_assert_eq!(&call(&methods, &bytes, &cuts, true), &whole);
    }

    #[test]
    fn of_garbage(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in cuts()) {
        prop_assert_eq!(serve(&bytes, &cuts), serve(&bytes, &[]));
        prop_assert_eq!(call(&["GET"], &bytes, &cuts, true), call(&["GET"], &bytes, &[], true));
    }

    /// Made of what matters to a parser, so that it gets far before it fails.
    #[test]
    fn of_tokens(
        tokens in prop::collection::vec(select(alloc::vec![
            "GET", " ", "/", " HTTP/1.1", "\r\n", "\r\n", "\r", "\n", "Host: x\r\n", "\r\n\r\n", ":", "\t", "\0", "0\r\n", "1;",
            "GET / HTTP/1.1\r\nHost: x\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "HTTP/1.0\r\n", "HTTP/2.0\r\n",
            "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 \r\n\r\n",
        ]), 0..12),
        cuts in cuts(),
    ) {
        let text: String = tokens.concat();
        prop_assert_eq!(serve(text.as_bytes(), &cuts), serve(text.as_bytes(), &[]));
        prop_assert_eq!(serve(text.as_bytes(), &[1]), serve(text.as_bytes(), &[]));
        let client = |cuts| call(&["GET", "HEAD", "hijack"], text.as_bytes(), cuts, true);
        prop_assert_eq!(client(&cuts[..]), client(&[]));
    }
}
