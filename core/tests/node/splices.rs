//! What passes between a client and a server without the node.

use libswarm::node::{CloseReason, Config};

use super::harness::{World, asked};

fn world() -> World {
    let mut config = Config::default();
    config.splice = true;
    World::forwarding_with(config)
}

const ATTACH: &str =
    "POST /containers/x/attach HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const GET: &str = "GET /images/x/get HTTP/1.1\r\nHost: x\r\n\r\n";
const LONG: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";

#[test]
fn a_hijack_is_spliced_both_ways_once_all_before_is_passed_on() {
    let mut world = world();
    let (client, server) = asked(&mut world, ATTACH);
    world.stall(client);
    world.send(server, &[SWITCH, b"first"].concat());
    assert!(world.peer(client).got.ends_with(b"first"));
    assert_eq!(world.peer(server).spliced, None, "the head is being written");
    assert!(!world.peer(server).granted, "what comes next is to be spliced");
    world.drain(client);
    assert_eq!(world.peer(server).spliced, Some((client, None)));
    // The read that was granted before the hijack brings the first of its bytes.
    assert!(world.peer(client).granted && world.peer(client).spliced.is_none());
    world.send(client, b"in");
    assert_eq!(world.text(server), "in");
    assert_eq!(world.peer(client).spliced, Some((server, None)));

    world.spliced(client, 1000, true);
    assert!(world.peer(server).shutdown, "a half-close passes on");
    assert_eq!(world.peer(server).spliced, Some((client, None)), "output goes on");
    world.spliced(server, 5000, true);
    assert_eq!(world.peer(client).closed, Some(CloseReason::Finished));
    assert!(world.peer(server).closed.is_some() && world.node.engine().is_empty());
}

#[test]
fn a_long_body_is_spliced_to_its_end_and_the_connection_is_used_again() {
    let mut world = world();
    let (client, server) = asked(&mut world, GET);
    world.send(server, &[LONG, b"12345"].concat());
    assert_eq!(world.peer(server).spliced, Some((client, Some(199_995))));
    world.spliced(server, 99_995, false);
    assert_eq!(world.peer(server).spliced, Some((client, Some(100_000))), "a part was enough");
    world.spliced(server, 100_000, false);
    assert_eq!(world.peer(client).closed, None);
    assert!(world.connects.is_empty() && world.peer(server).granted, "it is kept");
    world.text(client);
    world.send(client, b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(world.text(server).starts_with("GET /_ping"), "and used again");
}

#[test]
fn a_short_rest_and_chunks_pass_through_the_node() {
    let mut world = world();
    let (_, server) = asked(&mut world, GET);
    world.send(server, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n12345");
    assert!(world.peer(server).spliced.is_none() && world.peer(server).granted);
    let (_, server) = asked(&mut world, GET);
    world.send(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n12345");
    assert!(world.peer(server).spliced.is_none() && world.peer(server).granted);
}

#[test]
fn a_long_body_that_breaks_off_ends_in_a_reset() {
    for ends in [true, false] {
        let mut world = world();
        let (client, server) = asked(&mut world, GET);
        world.send(server, LONG);
        if ends {
            world.spliced(server, 150_000, true);
        } else {
            world.fail(server, "connection reset by peer");
        }
        assert_eq!(world.peer(client).closed, Some(CloseReason::UpstreamBroken));
        assert!(world.peer(server).closed.is_some());
    }
}

#[test]
fn a_body_until_the_end_is_spliced_to_it() {
    let mut world = world();
    let (client, server) = asked(&mut world, GET);
    world.send(server, b"HTTP/1.0 200 OK\r\n\r\nabc");
    assert_eq!(world.peer(server).spliced, Some((client, None)));
    world.spliced(server, 70_000, true);
    assert!(world.peer(client).shutdown, "that is the end of the body");
}

#[test]
fn an_upload_is_spliced_and_its_answer_is_read() {
    let mut world = world();
    let request = "PUT /containers/x/archive?path=/ HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n12345";
    let (client, server) = asked(&mut world, request);
    assert!(world.peer(client).granted, "that read was granted before there was a server");
    world.send(client, b"67890");
    assert_eq!(world.peer(client).spliced, Some((server, Some(299_990))));
    world.spliced(client, 299_990, false);
    assert!(world.peer(client).granted, "to learn of a client that goes");
    world.send(server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(world.text(client).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(world.peer(client).closed, None);
}

#[test]
fn an_early_answer_leaves_the_place_in_the_upload_known() {
    let mut world = world();
    let upload = "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n1";
    let (client, server) = asked(&mut world, upload);
    world.send(client, b"2");
    assert_eq!(world.peer(client).spliced, Some((server, Some(199_998))));
    world.send(server, b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    assert!(world.text(client).ends_with("\r\n\r\nno"));
    assert!(world.peer(server).closed.is_some(), "it owes nobody a body");
    // What came until the runtime noticed has gone nowhere, and counts.
    world.spliced(client, 100_000, false);
    assert!(world.peer(client).granted);
    world.send(client, &vec![b'x'; 99_998]);
    world.send(client, b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    let server = world.upstream();
    assert!(world.text(server).starts_with("GET /_ping"));
}

#[test]
fn a_runtime_may_decline() {
    let mut world = world();
    let (client, server) = asked(&mut world, ATTACH);
    world.send(server, SWITCH);
    world.spliced(server, 0, false);
    assert!(world.peer(server).granted, "then it is read");
    world.send(server, b"out");
    assert!(world.text(client).ends_with("out"));
    world.send(client, b"in");
    assert_eq!(world.text(server), "in");
    assert!(world.peer(client).granted && world.peer(client).spliced.is_none());
    assert!(world.peer(server).granted && world.peer(server).spliced.is_none());
}

#[test]
fn a_client_that_goes_takes_the_server_s_connection_with_it() {
    let mut world = world();
    let (client, server) = asked(&mut world, ATTACH);
    world.send(server, SWITCH);
    world.write_fails(client);
    assert!(world.peer(client).closed.is_some() && world.peer(server).closed.is_some());
    assert!(world.node.engine().is_empty());
}

#[test]
fn a_server_that_takes_nothing_more_is_heard_to_its_end() {
    // `yes | docker exec -i x head -1`: the engine closes while its client still talks, and has said all.
    let mut world = world();
    let (client, server) = asked(&mut world, ATTACH);
    world.send(server, SWITCH);
    world.send(client, b"y\n");
    assert_eq!(world.peer(client).spliced, Some((server, None)));
    world.write_fails(server);
    world.spliced(client, 4096, false);
    assert_eq!(world.peer(client).closed, None);
    world.send(client, b"more for nobody");
    assert!(world.text(server).ends_with("y\n"));
    world.spliced(server, 20, true);
    assert!(world.peer(client).shutdown, "a good end");
    world.half_close(client);
    assert_eq!(world.peer(client).closed, Some(CloseReason::Finished));
}

#[test]
fn without_splices_too_a_server_that_takes_nothing_more_is_heard_to_its_end() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, ATTACH);
    world.send(server, SWITCH);
    world.stall(server);
    world.send(client, b"y\n");
    world.write_fails(server);
    world.send(client, b"y\n");
    world.send(server, b"y\n");
    world.half_close(server);
    assert!(world.text(client).ends_with("\r\n\r\ny\n"));
    assert!(world.peer(client).shutdown, "a good end");
    world.half_close(client);
    assert_eq!(world.peer(client).closed, Some(CloseReason::Finished));
}

#[test]
fn a_kept_connection_that_cannot_be_written_to_is_replaced() {
    let mut world = world();
    let (client, first) = asked(&mut world, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    world.send(first, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
    world.text(client);
    world.stall(first);
    world.send(client, b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n");
    world.write_fails(first);
    world.half_close(first);
    let second = world.upstream();
    assert!(world.text(second).starts_with("GET /info"));
    assert!(world.peer(first).closed.is_some());
}
