//! Requests that are left to another server.

use std::time::Duration;

use libswarm::ConnId;
use libswarm::node::CloseReason;

use super::harness::World;

/// The client sends `request`; returns it and the server's end.
fn asked(world: &mut World, request: &str) -> (ConnId, ConnId) {
    let client = world.connect();
    world.send(client, request.as_bytes());
    let server = world.upstream();
    (client, server)
}

/// What came without the line that names the node, which is checked.
fn without_via(text: &str) -> String {
    let via = text.find("Via: 1.1 swarmd-").expect("a Via line");
    let end = via + text[via..].find("\r\n").unwrap() + 2;
    text[..via].to_owned() + &text[end..]
}

const PING: &str = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

#[test]
fn heads_pass_as_they_are_but_for_the_hop() {
    let mut world = World::forwarding();
    let (client, server) = asked(
        &mut world,
        "GET /v1.41/libpod/x%2fy?a=%zz&b HTTP/1.1\r\nx-ONE: 1\r\nHost:\r\nX-One:  2 \r\nConnection: x-hop, keep-alive\r\n\
         X-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nx-one: 3\r\n\r\n",
    );
    assert_eq!(
        without_via(&world.text(server)),
        "GET /v1.41/libpod/x%2fy?a=%zz&b HTTP/1.1\r\nx-ONE: 1\r\nHost: \r\nX-One: 2\r\nx-one: 3\r\n\r\n"
    );
    world.send(
        server,
        b"HTTP/1.1 299 Quite So\r\nb: 1\r\nA: 2\r\nConnection: close\r\ncontent-length: 3\r\nb: 3\r\n\r\nabc",
    );
    let answer = "HTTP/1.1 299 Quite So\r\nb: 1\r\nA: 2\r\ncontent-length: 3\r\nb: 3\r\n\r\nabc";
    assert_eq!(world.text(client), answer);
    assert_eq!(world.peer(client).closed, None);
    assert!(world.peer(server).closed.is_some(), "the server does not keep it");
}

#[test]
fn a_length_that_is_said_twice_is_passed_on_once() {
    let mut world = World::forwarding();
    let twice = "Content-Length: 2\r\nA: b\r\ncontent-length: 2\r\n\r\n";
    let once = "Content-Length: 2\r\nA: b\r\n";
    let (client, server) = asked(&mut world, &format!("PUT /x HTTP/1.1\r\nHost: x\r\n{twice}{{}}"));
    let text = without_via(&world.text(server));
    assert_eq!(text, format!("PUT /x HTTP/1.1\r\nHost: x\r\n{once}\r\n{{}}"));
    world.send(server, format!("HTTP/1.1 200 OK\r\n{twice}OK").as_bytes());
    assert_eq!(world.text(client), format!("HTTP/1.1 200 OK\r\n{once}\r\nOK"));
}

#[test]
fn bodies_pass_as_they_come_both_ways() {
    let mut world = World::forwarding();
    let (client, server) = asked(
        &mut world,
        "POST /build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    let text = world.text(server);
    assert!(
        text.contains("\r\nTransfer-Encoding: chunked\r\n")
            && text.ends_with("\r\n\r\n3\r\nabc\r\n"),
        "{text}"
    );
    world.send(client, b"2\r\nde\r\n0\r\n\r\n");
    assert_eq!(world.text(server), "2\r\nde\r\n0\r\n\r\n");
    world.send(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    assert!(world.text(client).ends_with("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"));
    world.send(server, b"0\r\n\r\n");
    assert_eq!(world.text(client), "0\r\n\r\n");

    let (client, server) =
        asked(&mut world, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    let text = world.text(server);
    assert!(text.contains("\r\nContent-Length: 5\r\n") && text.ends_with("\r\n\r\nab"), "{text}");
    world.send(client, b"cde");
    assert_eq!(world.text(server), "cde");
    world.send(server, OK);
    assert!(world.text(client).ends_with("OK"));
}

#[test]
fn a_hijack_s_bytes_wait_for_its_answer() {
    let mut world = World::forwarding();
    let (client, server) = asked(
        &mut world,
        "POST /containers/x/attach HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly",
    );
    let text = world.text(server);
    assert!(text.ends_with("Upgrade: tcp\r\nConnection: Upgrade\r\n\r\n"), "{text}");
    let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    world.send(server, head.as_bytes());
    world.send(server, b"out");
    assert_eq!(world.text(client), format!("{head}out"));
    assert_eq!(world.text(server), "early");
    world.half_close(client);
    assert!(world.peer(server).shutdown && world.peer(server).closed.is_none());
    world.send(server, b"last");
    assert_eq!(world.text(client), "last");
    world.half_close(server);
    assert!(world.peer(client).closed.is_some() && world.peer(server).closed.is_some());
    assert!(world.node.engine().is_empty());
}

#[test]
fn output_may_end_before_input() {
    let mut world = World::forwarding();
    // dockerode's attach: a body, and no upgrade.
    let (client, server) =
        asked(&mut world, "POST /exec/x/start HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    world.send(
        server,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nhi",
    );
    assert!(world.text(client).ends_with("\r\n\r\nhi"));
    world.text(server);
    world.half_close(server);
    assert!(world.peer(client).shutdown && world.peer(client).closed.is_none());
    world.send(client, b"more");
    assert_eq!(world.text(server), "more");
    world.half_close(client);
    assert!(world.peer(server).closed.is_some() && world.peer(client).closed.is_some());
}

#[test]
fn an_answer_may_come_before_its_request_is_known_to_be_written() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, PING);
    world.send(server, OK);
    world.text(server);
    // Another thread is told of the answer before the one that wrote has said so.
    world.stall(server);
    world.send(client, PING.as_bytes());
    world.send(server, OK);
    assert!(world.text(client).ends_with("OKHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"));
    world.text(server);
    assert!(world.drain(server));
    assert_eq!(world.peer(server).closed, None);
    world.send(client, PING.as_bytes());
    assert!(world.connects.is_empty() && world.text(server).starts_with("GET /_ping "));
}

#[test]
fn connections_are_used_again_for_what_may_be_sent_twice() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, PING);
    world.send(server, OK);
    assert!(world.text(client).ends_with("OK"));
    // Another client's request goes out on the same connection.
    let other = world.connect();
    world.text(server);
    world.send(other, PING.as_bytes());
    assert!(world.connects.is_empty() && world.text(server).starts_with("GET /_ping "));
    world.send(server, OK);
    assert!(world.text(other).ends_with("OK"));
    // A POST gets one of its own.
    world.send(other, b"POST /containers/x/start HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((world.connects.len(), world.text(server).as_str()), (1, ""));
    // One that the server closes while it waits is forgotten.
    world.half_close(server);
    assert!(world.peer(server).closed.is_some());
    world.send(client, PING.as_bytes());
    assert_eq!(world.connects.len(), 2);
}

#[test]
fn a_kept_connection_that_turns_out_to_be_dead_is_replaced_once() {
    for ends in [World::half_close, World::vanish] {
        let mut world = World::forwarding();
        let (client, server) = asked(&mut world, PING);
        world.send(server, OK);
        world.text(client);
        world.send(client, PING.as_bytes());
        ends(&mut world, server);
        assert_eq!(world.text(client), "");
        let fresh = world.upstream();
        assert!(world.text(fresh).starts_with("GET /_ping "));
        ends(&mut world, fresh);
        let text = world.text(client);
        assert!(
            text.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && text.contains("unix://engine.sock"),
            "{text}"
        );
        assert!(world.connects.is_empty());
    }
}

#[test]
fn what_may_not_be_sent_twice_is_not() {
    let mut world = World::forwarding();
    let (client, server) =
        asked(&mut world, "POST /containers/x/start HTTP/1.1\r\nHost: x\r\n\r\n");
    world.vanish(server);
    assert!(world.text(client).starts_with("HTTP/1.1 502 "));
    assert!(world.connects.is_empty());
}

#[test]
fn a_server_that_cannot_be_reached() {
    let mut world = World::forwarding();
    let client = world.connect();
    world.send(client, PING.as_bytes());
    world.no_upstream("No such file or directory");
    let text = world.text(client);
    assert!(text.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{text}");
    assert!(
        text.contains("cannot connect to unix://engine.sock: No such file or directory"),
        "{text}"
    );
    // The client's connection is as good as before; so is a server that comes back.
    world.send(client, PING.as_bytes());
    let server = world.upstream();
    world.send(server, OK);
    assert!(world.text(client).ends_with("OK"));

    let client = world.connect();
    world.send(client, b"POST /x HTTP/1.1\r\nHost: x\r\n\r\n");
    world.pass(Duration::from_secs(3));
    let text = world.text(client);
    assert!(
        text.starts_with("HTTP/1.1 504 Gateway Timeout\r\n") && text.contains("within 3s"),
        "{text}"
    );
    // It is there too late, and nobody wants it.
    let (late, _) = world.connects.remove(0);
    world.node.handle(world.now, libswarm::node::Input::Connected(late));
    assert_eq!(world.node.poll(&mut Vec::new()), None);
    assert_eq!(world.node.upstream_connections(), 1);
}

#[test]
fn an_answer_that_breaks_off_never_looks_complete() {
    for (answer, complete) in [
        (&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"[..], false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false),
        // Its end is its end.
        (b"HTTP/1.1 200 OK\r\n\r\nhello", true),
    ] {
        for vanishes in [false, true] {
            let mut world = World::forwarding();
            let (client, server) = asked(&mut world, PING);
            world.send(server, answer);
            if world.peer(server).closed.is_none() {
                if vanishes { world.vanish(server) } else { world.half_close(server) }
            }
            let text = world.text(client);
            assert!(!text.ends_with("0\r\n\r\n"), "{text}");
            let broken = world.peer(client).closed == Some(CloseReason::UpstreamBroken);
            assert_eq!(broken, !complete || vanishes, "{} {vanishes}", answer.escape_ascii());
            assert!(CloseReason::UpstreamBroken.is_reset());
            assert!(world.peer(server).closed.is_some() && world.node.engine().is_empty());
        }
    }
}

#[test]
fn an_answer_that_is_no_http_is_not_passed_on() {
    for answer in
        [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"HTTP/1.1 200 OK\nx: y\n\n", b"HTTP/1.1 OK\r\n\r\n"]
    {
        let mut world = World::forwarding();
        let (client, server) = asked(&mut world, "POST /x HTTP/1.1\r\nHost: x\r\n\r\n");
        world.send(server, answer);
        let text = world.text(client);
        assert!(
            text.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && text.contains("no HTTP"),
            "{text}"
        );
    }
}

#[test]
fn a_client_that_goes_takes_the_server_s_connection_with_it() {
    let mut world = World::forwarding();
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    ] {
        let (client, server) = asked(&mut world, "POST /x HTTP/1.1\r\nHost: x\r\n\r\n");
        world.send(server, answer);
        world.vanish(client);
        assert!(world.peer(server).closed.is_some());
    }
    // Before the connection is there.
    let client = world.connect();
    world.send(client, PING.as_bytes());
    world.vanish(client);
    assert_eq!((world.node.upstream_connections(), world.node.connections()), (0, 0));
    assert!(world.node.engine().is_empty() && world.node.poll_timeout().is_none());
}

#[test]
fn a_half_close_is_passed_on_and_the_connection_is_not_used_again() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    world.send(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(!world.peer(server).shutdown, "the end of a request is no half-close");
    world.half_close(client);
    assert!(world.peer(server).shutdown && world.peer(client).closed.is_none());
    world.send(server, b"0\r\n\r\n");
    assert!(world.text(client).ends_with("0\r\n\r\n"));
    assert!(world.peer(client).closed.is_some() && world.peer(server).closed.is_some());
}

#[test]
fn a_slow_side_slows_the_other() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, "GET /images/x/get HTTP/1.1\r\nHost: x\r\n\r\n");
    world.stall(client);
    world.send(server, b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
    let taken = world.send(server, &vec![b'z'; 10_000_000]);
    assert!(taken < 256 * 1024, "{taken}");
    let mut sent = taken;
    while world.drain(client) {
        sent += world.send(server, &vec![b'z'; 10_000_000 - sent]);
    }
    assert_eq!(world.text(client).matches('z').count(), 10_000_000);

    let (client, server) = asked(
        &mut world,
        "POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n",
    );
    world.stall(server);
    let mut sent = world.send(client, &vec![b'z'; 10_000_000]);
    assert!(sent < 256 * 1024, "{sent}");
    while world.drain(server) {
        sent += world.send(client, &vec![b'z'; 10_000_000 - sent]);
    }
    assert_eq!(world.text(server).matches('z').count(), 10_000_000);
}

#[test]
fn leave_to_send_a_body_is_the_server_s_to_give() {
    let mut world = World::forwarding();
    let head = "POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let (client, server) = asked(&mut world, head);
    assert!(world.text(server).contains("\r\nExpect: 100-continue\r\n"));
    assert_eq!(world.text(client), "");
    world.send(server, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(world.text(client), "HTTP/1.1 100 Continue\r\n\r\n");
    world.send(client, b"{}");
    assert_eq!(world.text(server), "{}");
    world.send(server, OK);
    assert!(world.text(client).ends_with("OK"));

    let (client, server) = asked(&mut world, head);
    world.send(server, b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    let text = world.text(client);
    assert!(text.starts_with("HTTP/1.1 417 ") && text.contains("Connection: close\r\n"), "{text}");
}

#[test]
fn an_old_client_gets_no_chunks_and_needs_no_host() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, "GET /events HTTP/1.0\r\n\r\n");
    assert!(world.text(server).contains("HTTP/1.1\r\nHost: docker\r\n"));
    world.send(
        server,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(world.text(client), "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello");
    assert!(world.peer(client).shutdown);
}

#[test]
fn lengths_without_bodies_pass() {
    let mut world = World::forwarding();
    for (request, answer) in [
        (
            "HEAD /containers/x/archive HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 61\r\n\r\n",
        ),
        (
            "GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        ("GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        let client = world.connect();
        world.send(client, request.as_bytes());
        let server = world.upstream();
        world.send(server, answer.as_bytes());
        assert_eq!(world.text(client), answer);
        world.vanish(server);
    }
}

#[test]
fn a_request_that_comes_back_is_a_loop() {
    let mut world = World::forwarding();
    let (_, server) = asked(&mut world, PING);
    let sent = world.text(server);
    let back = world.connect();
    world.send(back, sent.as_bytes());
    let said = world.text(back);
    assert!(said.starts_with("HTTP/1.1 508 Loop Detected\r\n"), "{said}");
    assert!(said.contains("unix://engine.sock leads back"), "{said}");
    assert!(world.connects.is_empty());
}

#[test]
fn pipelined_requests_are_relayed_one_after_the_other() {
    let mut world = World::forwarding();
    let client = world.connect();
    world.send(client, format!("{PING}{PING}{PING}").as_bytes());
    let server = world.upstream();
    for _ in 0..3 {
        assert_eq!(world.text(server).matches("GET /_ping").count(), 1);
        world.send(server, OK);
    }
    assert_eq!(world.text(client).matches("\r\n\r\nOK").count(), 3);
    assert!(world.connects.is_empty());
}

#[test]
fn a_stop_ends_relayed_streams_that_have_no_end() {
    let mut world = World::forwarding();
    let (events, server) = asked(&mut world, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    world.send(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    let (attach, raw) = asked(
        &mut world,
        "POST /containers/x/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    world.send(raw, b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    world.stop();
    assert!(
        world.text(events).ends_with("1\r\nx\r\n0\r\n\r\n") && world.peer(server).closed.is_some()
    );
    world.send(raw, b"still");
    assert!(world.text(attach).ends_with("still"));
    world.pass(Duration::from_secs(20));
    assert!(world.node.is_stopped() && world.peer(raw).closed.is_some());
}

#[test]
fn an_answer_that_ends_in_its_head_or_in_a_chunk_s_size_is_broken() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, PING);
    world.send(server, b"HTTP/1.1 200 OK\r\nContent-Ty");
    world.half_close(server);
    assert!(world.text(client).starts_with("HTTP/1.1 502 "));

    let (client, server) = asked(&mut world, PING);
    world.send(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1");
    world.half_close(server);
    assert_eq!(world.peer(client).closed, Some(CloseReason::UpstreamBroken));
}

#[test]
fn an_answer_s_head_has_its_limit() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, PING);
    world.send(server, b"HTTP/1.1 200 OK\r\n");
    for _ in 0..100 {
        world.send(server, format!("X: {}\r\n", "x".repeat(1000)).as_bytes());
    }
    let said = world.text(client);
    assert!(said.starts_with("HTTP/1.1 502 ") && said.contains("its answer is no HTTP"), "{said}");
}

#[test]
fn what_is_no_http_is_shown() {
    let long = "Welcome to the machine. ".repeat(10);
    for (said, shown) in [
        ("SSH-2.0-OpenSSH_9.2p1\r\n", r#"begins with \"SSH-2.0-OpenSSH_9.2p1\""#),
        ("\u{1b}[1mHi\nHTTP/1.1 200 OK\r\n", r#"begins with \"\\x1b[1mHi\""#),
        (&*long, r#"the machine. Welcome …\""#),
    ] {
        let mut world = World::forwarding();
        let (client, server) = asked(&mut world, PING);
        world.send(server, said.as_bytes());
        let answer = world.text(client);
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains(shown), "{answer}");
    }
}

#[test]
fn why_a_connection_failed_is_told() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, PING);
    world.fail(server, "Permission denied (publickey).");
    let said = world.text(client);
    assert!(said.starts_with("HTTP/1.1 502 ") && said.contains("(publickey)."), "{said}");
}
