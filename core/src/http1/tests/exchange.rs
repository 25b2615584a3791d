//! What a server writes, and what it does with a connection then.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::state::Half;
use super::super::{
    After, Client, ClientEvent, Error, Framing, Limits, Request, Server, ServerEvent,
};

/// A server that was sent these bytes, and the events that came.
fn server(input: &[u8]) -> (Server, usize) {
    let mut server = Server::new(Limits::default());
    let mut used = 0;
    while let Ok((taken, Some(_))) = server.receive(&input[used..]) {
        used += taken;
    }
    (server, used)
}

/// Answers with `body` in this framing.
fn answer(server: &mut Server, status: u16, framing: Framing, body: &[u8]) -> String {
    let mut out = Vec::new();
    assert!(server.respond(status, framing, &[], &mut out));
    server.write(body, &mut out);
    assert!(server.end(&mut out));
    String::from_utf8(out).unwrap()
}

#[test]
fn what_follows_a_response() {
    let length = Framing::Length(2);
    for (input, framing, after) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], length, After::Reuse),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Framing::Chunked, After::Reuse),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Framing::UntilClose, After::Close),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", length, After::Close),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: a, CLOSE ,b\r\n\r\n", length, After::Close),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: close\r\n\r\n",
            length,
            After::Close,
        ),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", length, After::Reuse),
        (b"GET / HTTP/1.0\r\n\r\n", length, After::Close),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", length, After::Close),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", length, After::Reuse),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", length, After::Drain),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", length, After::Drain),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
            length,
            After::Drain,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
            length,
            After::Close,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
            length,
            After::Close,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\na",
            length,
            After::Drain,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
            length,
            After::Reuse,
        ),
    ] {
        let (mut server, _) = server(input);
        let out = answer(&mut server, 200, framing, b"OK");
        assert_eq!(server.after(), after, "{}", input.escape_ascii());
        assert_eq!(out.contains("Connection: close"), after == After::Close, "{out}");
        let closed = if after == After::Close { "Connection: close\r\n" } else { "" };
        assert!(out.contains(&alloc::format!("OK\r\n{closed}")), "{out}");
    }
}

#[test]
fn drained_to_its_end_a_connection_is_used_again() {
    let (mut server, _) = server(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
    answer(&mut server, 200, Framing::Length(0), b"");
    assert_eq!(server.after(), After::Drain);
    assert_eq!(server.receive(b"abcGET"), Ok((3, Some(ServerEvent::Body(b"abc")))));
    assert_eq!(server.after(), After::Drain);
    assert_eq!(server.receive(b"GET"), Ok((0, Some(ServerEvent::End))));
    assert_eq!(server.after(), After::Reuse);
    assert_eq!(server.receive(b"GET"), Ok((0, None)));
    assert!(server.is_in_head(3) && !server.is_in_head(0));
}

#[test]
fn an_end_of_input_closes_behind_the_response() {
    let (mut server, _) = server(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(server.eof(), Ok(()));
    assert!(answer(&mut server, 200, Framing::Length(2), b"OK").contains("Connection: close"));
    assert_eq!(server.after(), After::Close);

    let (mut server, _) =
        self::server(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab");
    assert_eq!(server.eof(), Err(Error::Truncated));
    answer(&mut server, 400, Framing::Length(0), b"");
    assert_eq!(server.after(), After::Close);

    let (mut server, _) = self::server(b"");
    assert_eq!(server.eof(), Ok(()));
    assert!(!server.respond(200, Framing::Length(0), &[], &mut Vec::new()), "nobody asked");
}

#[test]
fn close_after_and_refuse_are_announced() {
    let (mut server, _) = server(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    server.close_after();
    assert!(answer(&mut server, 200, Framing::Length(0), b"").contains("Connection: close"));
    assert_eq!(server.after(), After::Close);

    let (mut server, _) = self::server(b"GET / HTT");
    server.refuse();
    assert_eq!(
        answer(&mut server, 408, Framing::Length(0), b""),
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(server.receive(b"P/1.1\r\nHost: x\r\n\r\n"), Ok((18, None)));
}

#[test]
fn leave_to_continue_is_given_once_and_only_if_waited_for() {
    let go = b"HTTP/1.1 100 Continue\r\n\r\n";
    for (input, expected) in [
        (&b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"[..], &go[..]),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", go),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n1", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", b""),
        (b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", b""),
    ] {
        let (mut server, _) = server(input);
        let mut out = Vec::new();
        server.send_continue(&mut out);
        server.send_continue(&mut out);
        assert_eq!(out, expected, "{}", input.escape_ascii());
    }
    let (mut server, _) =
        server(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let mut out = Vec::new();
    server.respond(200, Framing::Length(0), &[], &mut out);
    let length = out.len();
    server.send_continue(&mut out);
    assert_eq!(out.len(), length, "the final response has begun");
}

#[test]
fn bodies_as_the_version_the_method_and_the_status_have_them() {
    let get = &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..];
    let head = &b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"[..];
    let old = &b"GET / HTTP/1.0\r\n\r\n"[..];
    let old_head = &b"HEAD / HTTP/1.0\r\n\r\n"[..];
    for (input, status, framing, expected) in [
        (get, 200, Framing::Length(2), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"),
        (
            get,
            200,
            Framing::Chunked,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
        ),
        (get, 200, Framing::UntilClose, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nOK"),
        (get, 200, Framing::Empty, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (get, 204, Framing::Empty, "HTTP/1.1 204 No Content\r\n\r\n"),
        (get, 204, Framing::Length(2), "HTTP/1.1 204 No Content\r\n\r\n"),
        (get, 304, Framing::Chunked, "HTTP/1.1 304 Not Modified\r\n\r\n"),
        (get, 299, Framing::Length(2), "HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nOK"),
        (head, 200, Framing::Length(2), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        (head, 404, Framing::Length(61), "HTTP/1.1 404 Not Found\r\nContent-Length: 61\r\n\r\n"),
        (head, 200, Framing::Chunked, "HTTP/1.1 200 OK\r\n\r\n"),
        (head, 200, Framing::UntilClose, "HTTP/1.1 200 OK\r\n\r\n"),
        (
            old,
            200,
            Framing::Length(2),
            "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK",
        ),
        (old, 200, Framing::Chunked, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nOK"),
        (old_head, 200, Framing::Chunked, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n"),
    ] {
        let (mut server, _) = server(input);
        assert_eq!(answer(&mut server, status, framing, b"OK"), expected);
    }
}

#[test]
fn a_refusal_behind_head_has_its_body() {
    let (mut server, _) = server(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    answer(&mut server, 200, Framing::Length(2), b"OK");
    assert_eq!(server.after(), After::Reuse);
    let error = server.receive(b"\0").unwrap_err();
    assert!(answer(&mut server, error.status(), Framing::Length(2), b"no").ends_with("\r\n\r\nno"));
}

#[test]
fn a_body_longer_than_its_length_is_not_let_out() {
    let (mut server, _) = server(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut out = Vec::new();
    assert!(server.respond(200, Framing::Length(3), &[], &mut out));
    assert!(!server.respond(200, Framing::Length(3), &[], &mut out), "one response to a request");
    out.clear();
    server.write(b"ab", &mut out);
    assert!(!server.end(&mut out), "one byte is owed");
    server.write(b"cd", &mut out);
    assert_eq!(server.frame(2, &mut out), None);
    assert_eq!(out, b"ab");
    server.write(b"c", &mut out);
    assert!(server.end(&mut out));
    assert!(!server.end(&mut out));
    server.write(b"d", &mut out);
    assert_eq!(out, b"abc");

    let mut client = Client::new(Limits::default());
    let request =
        Request { method: "POST", target: "/", framing: Framing::Length(3), hijack: false };
    assert!(client.request(&request, &[], &mut out));
    assert!(!client.request(&request, &[], &mut out), "one request at a time");
    out.clear();
    client.write(b"ab", &mut out);
    client.write(b"cd", &mut out);
    assert!(!client.end(&mut out));
    client.write(b"c", &mut out);
    assert!(client.end(&mut out));
    client.write(b"d", &mut out);
    assert_eq!(out, b"abc");
}

#[test]
fn a_hijack_with_a_body_is_raw_behind_it() {
    let head = b"POST /exec/1/start HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n";
    let (mut server, used) = server(head);
    assert_eq!(used, head.len());
    assert!(server.wants_upgrade());
    let mut out = Vec::new();
    assert!(server.switch(b"HTTP/1.1 101 UPGRADED\r\n\r\n", &mut out));
    assert!(!server.switch(b"HTTP/1.1 101 UPGRADED\r\n\r\n", &mut out));
    assert_eq!(server.receive(b"{}raw"), Ok((2, Some(ServerEvent::Body(b"{}")))));
    assert_eq!(server.receive(b"raw"), Ok((0, Some(ServerEvent::End))));
    assert_eq!(server.receive(b"raw"), Ok((3, Some(ServerEvent::Raw(b"raw")))));
    assert_eq!(server.eof(), Ok(()));
    server.write(b"still", &mut out);
    assert!(out.ends_with(b"\r\n\r\nstill"));
    assert!(server.end(&mut out));
    assert_eq!((server.halves().request, server.halves().response), (Half::Closed, Half::Closed));
    assert_eq!(server.after(), After::Close);
}

#[test]
fn an_upgrade_needs_both_headers_and_1_1() {
    for (headers, wants) in [
        ("Connection: Upgrade\r\nUpgrade: tcp\r\n", true),
        ("Upgrade: h2c\r\nConnection: keep-alive, upgrade\r\n", true),
        ("Upgrade: tcp\r\n", false),
        ("Connection: Upgrade\r\n", false),
        ("", false),
    ] {
        let (of_11, _) =
            server(alloc::format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes());
        assert_eq!(of_11.wants_upgrade(), wants, "{headers}");
        let (of_10, _) = server(alloc::format!("GET / HTTP/1.0\r\n{headers}\r\n").as_bytes());
        assert!(!of_10.wants_upgrade());
    }
}

#[test]
fn bytes_behind_a_response_are_no_answer_to_the_next_request() {
    let request = Request { method: "GET", target: "/", framing: Framing::Empty, hijack: false };
    let mut client = Client::new(Limits::default());
    let mut out = Vec::new();
    client.request(&request, &[], &mut out);
    client.end(&mut out);
    let poison = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (taken, _) = client.receive(poison).unwrap();
    let (none, event) = client.receive(&poison[taken..]).unwrap();
    assert_eq!((none, event), (0, Some(ClientEvent::End)));
    assert_eq!(client.receive(&poison[taken..]), Ok((poison.len() - taken, None)));
    assert!(!client.reuse());

    let mut idle = Client::new(Limits::default());
    assert_eq!(idle.receive(poison), Err(Error::StartLine), "nobody asked");
    assert!(!idle.request(&request, &[], &mut out));
    let mut ended = Client::new(Limits::default());
    assert_eq!(ended.eof(), Ok(None));
    assert!(!ended.request(&request, &[], &mut out));
}

#[test]
fn an_early_response_leaves_the_request_to_be_finished() {
    let request = Request { method: "POST", target: "/", framing: Framing::Chunked, hijack: false };
    let mut client = Client::new(Limits::default());
    let mut out = Vec::new();
    client.request(&request, &[], &mut out);
    let response = b"HTTP/1.1 413 \r\nContent-Length: 0\r\n\r\n";
    let (taken, _) = client.receive(response).unwrap();
    assert_eq!(client.receive(&response[taken..]), Ok((0, Some(ClientEvent::End))));
    assert!(!client.reuse());
    assert!(client.end(&mut out));
    assert!(client.reuse());
}
