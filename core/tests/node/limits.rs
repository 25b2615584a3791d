//! What a client may ask of a node's time and memory.

use std::time::Duration;

use libswarm::node::{Config, Refusal};

use super::harness::World;

#[test]
fn a_head_has_a_minute_and_an_idle_connection_all_the_time_there_is() {
    let mut world = World::new();
    let id = world.connect();
    world.pass(Duration::from_secs(86_400));
    for byte in b"GET /_ping HTTP/1.1\r\nHost: slow" {
        world.send(id, &[*byte]);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.peer(id).closed, None);
    world.pass(Duration::from_secs(30));
    let text = world.text(id);
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert!(world.peer(id).shutdown);

    // The same pace is fine where the head is over in time, and for a second request.
    let id = world.connect();
    for byte in b"GET /_ping HTTP/1.1\r\nHost: slow\r\n\r\n" {
        world.send(id, &[*byte]);
        world.pass(Duration::from_secs(1));
    }
    assert!(world.text(id).ends_with("OK"));
    world.pass(Duration::from_secs(86_400));
    assert_eq!((world.peer(id).closed, world.node.poll_timeout()), (None, None));
}

#[test]
fn heads_targets_and_headers_are_bounded() {
    let mut world = World::new();
    let long_target = format!("GET /{} HTTP/1.1\r\nHost:\r\n\r\n", "x".repeat(16 * 1024));
    assert!(world.ask(&long_target).starts_with("HTTP/1.1 414 "));
    let many = format!("GET / HTTP/1.1\r\nHost:\r\n{}\r\n", "A: b\r\n".repeat(128));
    assert!(world.ask(&many).starts_with("HTTP/1.1 431 "));
    let enough = format!("GET /_ping HTTP/1.1\r\nHost:\r\n{}\r\n", "A: b\r\n".repeat(127));
    assert!(world.ask(&enough).starts_with("HTTP/1.1 200 "));
    let large = format!("GET / HTTP/1.1\r\nHost:\r\nA: {}\r\n\r\n", "b".repeat(64 * 1024));
    assert!(world.ask(&large).starts_with("HTTP/1.1 431 "));
}

#[test]
fn a_body_that_has_to_fit_in_memory_is_bounded() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"POST /containers/create HTTP/1.1\r\nHost:\r\nContent-Length: 200000\r\n\r\n");
    world.send(id, &vec![b' '; 200_000]);
    let text = world.text(id);
    assert!(
        text.starts_with("HTTP/1.1 413 ") && text.contains("larger than 100000 bytes"),
        "{text}"
    );
    assert!(world.told().contains(&"cancelled: the client is gone".to_owned()));
}

#[test]
fn connections_are_counted() {
    let mut config = Config::default();
    config.max_connections = 2;
    let mut world = World::with(config);
    let first = world.connect();
    world.connect();
    assert_eq!(world.node.accept(world.now), Err(Refusal::TooManyConnections));
    world.vanish(first);
    world.connect();
}

#[test]
fn requests_pipelined_behind_an_answer_that_is_not_read_wait_within_a_bound() {
    let mut world = World::new();
    let id = world.connect();
    world.stall(id);
    world.send(id, b"GET /containers/json?limit=1000000 HTTP/1.1\r\nHost:\r\n\r\n");
    let ping = b"GET /_ping HTTP/1.1\r\nHost:\r\n\r\n";
    let taken = world.send(id, &ping.repeat(100_000));
    assert!(taken <= 96 * 1024, "{taken}");
    // Their heads are complete, so they are not late however long the answer takes.
    world.pass(Duration::from_secs(3600));
    while world.drain(id) {}
    let text = world.text(id);
    assert!(!text.contains("HTTP/1.1 408 "));
    assert_eq!(text.matches("\r\n\r\nOK").count(), taken / ping.len());
    assert!(world.peer(id).granted && world.peer(id).closed.is_none());
}

#[test]
fn each_head_has_its_own_minute() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /_ping HTTP/1.1\r\n");
    world.pass(Duration::from_secs(59));
    world.send(id, b"Host:\r\n\r\nGET /_ping HTTP/1.1\r\n");
    assert!(world.text(id).ends_with("OK"));
    world.pass(Duration::from_secs(59));
    world.send(id, b"Host:\r\n\r\n");
    let text = world.text(id);
    assert!(text.ends_with("OK"), "{text}");
}
