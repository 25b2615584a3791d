//! Servers and clients that keep to the letter of the rules, or not even to that.

use std::time::Duration;

use libswarm::ConnId;
use libswarm::node::CloseReason;

use super::harness::{World, asked};

const GET: &str = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_stream_may_begin_before_the_body_of_its_request_is_complete() {
    // dockerd answers an attach without a look at its body.
    for (framing, body, rest) in [
        ("Content-Length: 2", "{}", "{}"),
        ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n"),
    ] {
        let mut world = World::forwarding();
        let (client, server) = asked(
            &mut world,
            &format!("POST /containers/x/attach HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"),
        );
        world.send(server, b"HTTP/1.1 200 OK\r\n\r\n");
        world.send(client, body.as_bytes());
        world.send(client, b"stdin");
        assert_eq!(world.text(server), format!("{rest}stdin"), "{framing}");
        world.half_close(client);
        assert!(world.peer(server).shutdown);
        world.send(server, b"out");
        world.half_close(server);
        assert!(world.text(client).ends_with("\r\n\r\nout"));
        assert_eq!(world.peer(client).closed, Some(CloseReason::Finished));
    }
}

#[test]
fn bytes_behind_an_answer_cost_its_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOKHTTP/1.1 200 ",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut world = World::forwarding();
        let (client, server) = asked(&mut world, GET);
        world.send(server, answer.as_bytes());
        assert!(world.text(client).starts_with(&answer[..12]));
        assert!(world.peer(server).closed.is_some(), "{answer}");
        assert_eq!(world.peer(client).closed, None);
    }
}

#[test]
fn a_switch_that_nobody_asked_for_is_no_answer() {
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, GET);
    world.send(server, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    let said = world.text(client);
    assert!(said.starts_with("HTTP/1.1 502 ") && said.contains("101"), "{said}");
    assert!(world.peer(server).closed.is_some());
}

#[test]
fn an_answer_that_is_complete_survives_its_connection() {
    let chunk = format!("7fff\r\n{}\r\n", "z".repeat(0x7fff));
    for ends in [World::vanish, |world: &mut World, id: ConnId| {
        world.half_close(id);
        world.vanish(id);
    }] {
        for complete in [true, false] {
            let mut world = World::forwarding();
            let (client, server) = asked(&mut world, GET);
            world.stall(client);
            let mut answer = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            answer.push_str(&chunk.repeat(4));
            answer.push_str(if complete { "0\r\n\r\n" } else { "0\r\n" });
            world.receive(server, answer.as_bytes());
            ends(&mut world, server);
            while world.drain(client) {}
            let closed = world.peer(client).closed;
            if complete {
                assert_eq!(closed, None);
                let text = world.text(client);
                assert_eq!(text.matches('z').count(), 4 * 0x7fff);
                assert!(text.ends_with("\r\n0\r\n\r\n"));
            } else {
                assert_eq!(closed, Some(CloseReason::UpstreamBroken));
            }
            assert!(world.peer(server).closed.is_some());
        }
    }
}

#[test]
fn what_comes_for_a_server_that_takes_nothing_more_is_read_all_the_same() {
    let mut world = World::forwarding();
    let upload = "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    let (client, server) = asked(&mut world, upload);
    world.stall(server);
    let sent = world.send(client, &vec![b'z'; 1_000_000]);
    assert!(sent < 1_000_000);
    world.write_fails(server);
    // Its client learns of that from the answer, which may come when the body is complete.
    assert_eq!(world.send(client, &vec![b'z'; 1_000_000 - sent]), 1_000_000 - sent);
    world.send(server, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert!(world.text(client).ends_with("\r\n\r\nno"));
    assert_eq!(world.peer(client).closed, None);
}

#[test]
fn an_answer_that_a_stop_cuts_off_does_not_end_well() {
    for (request, answer, cut) in [
        (GET, "HTTP/1.1 200 OK\r\n\r\nhalf", true),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", true),
        ("POST /exec/x/start HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhalf", true),
        (GET, "", false),
    ] {
        let mut world = World::forwarding();
        let (client, server) = asked(&mut world, request);
        world.send(server, answer.as_bytes());
        world.stop();
        assert_eq!(world.peer(client).closed, None);
        world.pass(Duration::from_secs(11));
        let why = world.peer(client).closed.expect("the time is over");
        assert_eq!(why.is_reset(), cut, "{why}: {answer}");
        assert!(world.peer(server).closed.is_some() && world.node.is_stopped());
    }
    // All of it has come, but has not been written.
    let mut world = World::forwarding();
    let (client, server) = asked(&mut world, GET);
    world.stall(client);
    world.send(server, b"HTTP/1.0 200 OK\r\n\r\nhalf");
    world.half_close(server);
    world.stop();
    world.pass(Duration::from_secs(11));
    assert!(world.peer(client).closed.is_some_and(CloseReason::is_reset));
}

#[test]
fn a_stream_that_is_not_read_holds_no_more_than_it_may() {
    // As much as the runtimes read at once, threads and a loop; of the former one is written while the next one is read.
    for (read, most) in [(64 * 1024, 128 * 1024), (112 * 1024, 184 * 1024)] {
        let held = held_by_a_stream_that_is_not_read(read);
        for (what, held) in held {
            assert!(held <= most, "{held} bytes are held, {what}, in reads of {read}");
            assert!(
                held > 64 * 1024,
                "only {held} bytes are read ahead, {what}, in reads of {read}"
            );
        }
    }
}

fn held_by_a_stream_that_is_not_read(read: usize) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    let piece = |unit: &str| unit.repeat(read / unit.len());
    let chunk = format!("8000\r\n{}\r\n", "z".repeat(0x8000));
    for (head, unit) in [
        ("Content-Length: 100000000", "z"),
        ("Transfer-Encoding: chunked", "1\r\nz\r\n"),
        ("Transfer-Encoding: chunked", &*chunk),
    ] {
        for up in [false, true] {
            let mut world = World::forwarding();
            let (from, to) = if up {
                let upload = format!("PUT /x HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n");
                asked(&mut world, &upload)
            } else {
                let (client, server) = asked(&mut world, GET);
                world.send(server, format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes());
                (server, client)
            };
            world.stall(to);
            let mut held = 0;
            while world.peer(from).granted {
                world.receive(from, piece(unit).as_bytes());
                held += piece(unit).len();
            }
            all.push((format!("{head}, up: {up}"), held));
        }
    }
    all
}
