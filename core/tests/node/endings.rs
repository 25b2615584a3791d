//! How connections, requests and streams end.

use std::time::Duration;

use libswarm::node::{CloseReason, Refusal};

use super::harness::World;

#[test]
fn a_request_that_is_complete_is_answered_after_the_half_close() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"POST /containers/x/restart HTTP/1.1\r\nHost:\r\n\r\nGET /_ping HTTP/1.1\r\nHost:\r\n\r\n",
    );
    world.half_close(id);
    assert_eq!(world.text(id), "");
    world.pass(Duration::from_secs(1));
    let text = world.text(id);
    assert!(text.starts_with("HTTP/1.1 204 ") && text.ends_with("OK"), "{text}");
    assert_eq!(world.peer(id).closed, Some(CloseReason::PeerClosed));
}

#[test]
fn an_endless_stream_ends_cleanly_at_the_half_close() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /events HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(world.text(id).ends_with("3\r\n{}\n\r\n"));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.text(id).matches("tick").count(), 2);
    world.half_close(id);
    assert_eq!(world.text(id), "0\r\n\r\n");
    assert_eq!(world.peer(id).closed, Some(CloseReason::PeerClosed));

    let id = world.connect();
    world.send(id, b"POST /containers/x/wait HTTP/1.1\r\nHost:\r\n\r\n");
    let text = world.text(id);
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"),
        "its head comes first"
    );
    world.half_close(id);
    assert_eq!(world.text(id), "12\r\n{\"StatusCode\":-1}\n\r\n0\r\n\r\n");
}

#[test]
fn a_client_that_is_gone_takes_its_job_with_it() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /events HTTP/1.1\r\nHost:\r\n\r\n");
    world.vanish(id);
    assert_eq!(world.peer(id).closed, Some(CloseReason::Broken));
    assert_eq!(world.told()[1..], ["cancelled: the client is gone"]);
    assert!(world.node.engine().is_empty());
    assert_eq!(world.node.poll_timeout(), None);
}

#[test]
fn a_body_that_ends_early_cancels_its_job() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"POST /build HTTP/1.1\r\nHost:\r\nContent-Length: 10\r\n\r\nabc");
    world.half_close(id);
    assert_eq!(world.text(id), "");
    assert!(world.peer(id).closed.is_some());
    assert_eq!(world.told()[1..], ["stdin 3", "cancelled: the client is gone"]);
}

#[test]
fn a_job_that_fails_in_its_answer_breaks_the_connection() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /containers/x/export HTTP/1.1\r\nHost:\r\n\r\n");
    world.pass(Duration::from_secs(1));
    let text = world.text(id);
    assert!(text.ends_with("4\r\nhalf\r\n"), "no last chunk: {text}");
    assert_eq!(world.peer(id).closed, Some(CloseReason::JobFailed));
    assert!(CloseReason::JobFailed.is_reset());
    assert!(format!("{:?}", world.logs).contains("the disk is gone"));
}

#[test]
fn what_is_refused_is_answered_and_nothing_behind_it_is_read() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"POST /containers/create HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
          0\r\n\r\nGET /info HTTP/1.1\r\nHost:\r\n\r\n",
    );
    let text = world.text(id);
    assert!(
        text.starts_with("HTTP/1.1 400 Bad Request\r\n") && text.contains("Connection: close\r\n")
    );
    assert!(world.peer(id).shutdown && world.told().is_empty());
    world.send(id, b"GET /info HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(world.told().is_empty());
    world.half_close(id);
    assert!(matches!(world.peer(id).closed, Some(CloseReason::Refused(_))));
}

#[test]
fn a_malformed_body_ends_the_request_it_belongs_to() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"POST /build HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
    );
    assert!(world.text(id).starts_with("HTTP/1.1 400 "));
    assert_eq!(world.told()[1..], ["stdin 2", "cancelled: the client is gone"]);
}

#[test]
fn a_client_that_does_not_close_is_closed() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /_ping HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n");
    assert!(world.peer(id).shutdown && world.peer(id).closed.is_none());
    world.pass(Duration::from_secs(10));
    assert_eq!(world.peer(id).closed, Some(CloseReason::LingerTimeout));
    assert_eq!(world.node.connections(), 0);
}

#[test]
fn a_stop_ends_the_endless_and_lets_the_rest_finish() {
    let mut world = World::new();
    let (idle, events, restart, attach, forever) =
        (world.connect(), world.connect(), world.connect(), world.connect(), world.connect());
    world.send(events, b"GET /events HTTP/1.1\r\nHost:\r\n\r\n");
    world.send(restart, b"POST /containers/x/restart HTTP/1.1\r\nHost:\r\n\r\n");
    world.send(attach, b"POST /containers/x/attach HTTP/1.1\r\nHost:\r\n\r\n");
    world.send(forever, b"POST /build HTTP/1.1\r\nHost:\r\nContent-Length: 10\r\n\r\n");
    world.stop();
    assert_eq!(world.node.accept(world.now), Err(Refusal::Stopping));
    assert!(world.peer(idle).shutdown);
    assert!(world.text(events).ends_with("0\r\n\r\n") && world.peer(events).shutdown);
    for id in [idle, events] {
        world.half_close(id);
        assert!(world.peer(id).closed.is_some());
    }
    world.pass(Duration::from_secs(1));
    let text = world.text(restart);
    assert!(text.starts_with("HTTP/1.1 204 ") && text.contains("Connection: close"), "{text}");
    world.half_close(restart);
    world.half_close(attach);
    world.pass(Duration::from_secs(1));
    assert!(world.peer(attach).closed.is_some() && !world.node.is_stopped());
    world.pass(Duration::from_secs(10));
    assert_eq!(world.peer(forever).closed, Some(CloseReason::Stopped));
    assert!(world.node.is_stopped());
}

#[test]
fn inputs_for_a_connection_that_is_gone_do_nothing() {
    let mut world = World::new();
    let old = world.connect();
    world.vanish(old);
    let new = world.connect();
    assert_eq!((old.slot(), new.slot()), (0, 0));
    world.node.handle(
        world.now,
        libswarm::node::Input::Received(old, b"GET /info HTTP/1.1\r\nHost:\r\n\r\n"),
    );
    world.node.handle(world.now, libswarm::node::Input::Broken(old));
    world.node.handle(world.now, libswarm::node::Input::Done(old));
    assert!(world.told().is_empty());
    assert_eq!(world.peer(new).closed, None);
}

#[test]
fn a_last_answer_may_be_read_slowly() {
    let mut world = World::new();
    let id = world.connect();
    world.stall(id);
    world.send(
        id,
        b"GET /containers/json?limit=1000000 HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
    );
    world.pass(Duration::from_secs(20));
    while world.drain(id) {
        world.pass(Duration::from_secs(20));
    }
    assert!(world.text(id).ends_with("\r\n0\r\n\r\n"));
    assert!(world.peer(id).shutdown);
    assert_eq!(world.peer(id).closed, Some(CloseReason::LingerTimeout));
}

#[test]
fn a_connection_that_is_closed_leaves_no_timer() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /_ping HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n");
    world.half_close(id);
    assert_eq!(world.peer(id).closed, Some(CloseReason::Finished));
    assert_eq!(world.node.poll_timeout(), None);
}

#[test]
fn an_endless_request_that_comes_during_the_stop_ends_at_once() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /events HTTP/1.1\r\n");
    world.stop();
    world.send(id, b"Host:\r\n\r\n");
    let text = world.text(id);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("0\r\n\r\n"), "{text}");
    assert!(world.peer(id).shutdown);
}
