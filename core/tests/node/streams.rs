//! Bodies, hijacks, and the pace of slow clients.

use std::time::Duration;

use super::harness::World;

const ATTACH: &[u8] = b"POST /v1.41/containers/web/attach?stream=1&stdin=1 HTTP/1.1\r\nHost:\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

#[test]
fn a_hijack_streams_both_ways_and_outlives_stdin() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, ATTACH);
    assert_eq!(world.text(id), format!("{UPGRADED}\x01\0\0\0\0\0\0\x06hello\n"));
    world.send(id, b"abc");
    assert_eq!(world.text(id), "\x02\0\0\0\0\0\0\x03abc");
    world.half_close(id);
    assert_eq!(world.text(id), "\x01\0\0\0\0\0\0\x04bye\n");
    assert!(!world.peer(id).shutdown);
    world.pass(Duration::from_secs(1));
    assert!(world.peer(id).closed.is_some());
    assert_eq!(world.told()[1..], ["stdin 3", "stdin end"]);
}

#[test]
fn stdin_that_comes_with_the_head_is_not_lost() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, &[ATTACH, b"early"].concat());
    assert!(world.text(id).ends_with("\x02\0\0\0\0\0\0\x05early"));
}

#[test]
fn without_an_upgrade_a_hijack_is_a_bare_200() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"POST /v1.41/containers/web/attach HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\n\r\n{}raw",
    );
    let text = world.text(id);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
    assert!(text.starts_with(head), "{text}");
    // The body of the request is over before the raw stream begins; both are the job's stdin.
    assert_eq!(world.told()[1..], ["stdin 2", "stdin 3"]);
}

#[test]
fn a_newer_client_is_told_that_the_stream_is_multiplexed() {
    let mut world = World::new();
    let request = String::from_utf8_lossy(ATTACH).replace("v1.41", "v1.42");
    let text = world.ask(&request);
    assert!(text.contains("Content-Type: application/vnd.docker.multiplexed-stream\r\n"), "{text}");
}

#[test]
fn exec_reads_its_body_before_the_stream_begins() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"POST /exec/e/start HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
    );
    // dockerd sends its own headers with this head, and with no other that upgrades.
    let text = world.text(id);
    assert!(text.starts_with(UPGRADED.trim_end()) && text.contains("\r\nApi-Version: "), "{text}");
    assert!(text.ends_with("\r\n\r\n{}"), "{text}");
    assert!(world.peer(id).shutdown);
}

#[test]
fn an_attach_that_fails_is_answered_on_the_hijacked_connection() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"POST /containers/nosuch/attach HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    assert_eq!(
        world.text(id),
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n\
         No such container: nosuch\r\n"
    );
    assert!(world.peer(id).shutdown);
}

#[test]
fn a_chunked_body_reaches_the_job_without_its_framing() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"POST /build HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    world.send(id, b"3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\nGET /_ping HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!(world.told(), ["start build()", "stdin 5", "stdin 3", "stdin end", "start ping()"]);
    assert!(world.text(id).ends_with("OK"));
}

#[test]
fn a_client_that_does_not_read_slows_its_job_and_nobody_else() {
    let mut world = World::new();
    let id = world.connect();
    world.stall(id);
    world.send(id, b"GET /images/10000000/get HTTP/1.1\r\nHost:\r\n\r\n");
    // What was written, what waits in the connection, and what waits in the job.
    let mut total = world.peer(id).got.len();
    assert!(total < 300_000, "{total}");
    assert!(world.told().len() <= 3);
    assert!(world.ask("GET /_ping HTTP/1.1\r\nHost:\r\n\r\n").ends_with("OK"));
    assert_eq!(world.peer(id).got.len(), total);
    let mut most = 0;
    while world.drain(id) {
        let now = world.peer(id).got.len();
        most = most.max(now - total);
        total = now;
    }
    assert!(most < 300_000, "{most} bytes in one write");
    let text = world.text(id);
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.matches('x').count(), 10_000_000);
    assert!(text.ends_with("\r\n0\r\n\r\n"));
    assert!(world.told().iter().filter(|line| *line == "writable").count() > 100);
}

#[test]
fn an_answer_without_a_body_ends_a_job_that_would_never_stop_writing() {
    let mut world = World::new();
    let answer = world.ask("HEAD /endless HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(world.node.engine().is_empty());
}

#[test]
fn a_job_that_fails_breaks_a_connection_that_is_not_read() {
    let mut world = World::new();
    let id = world.connect();
    world.stall(id);
    world.send(id, b"GET /failing HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!(world.peer(id).closed, None);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.peer(id).closed, Some(libswarm::node::CloseReason::JobFailed));
}

#[test]
fn streams_take_turns() {
    let mut world = World::new();
    let (one, two) = (world.connect(), world.connect());
    for id in [one, two] {
        world.stall(id);
        world.send(id, b"GET /images/10000000/get HTTP/1.1\r\nHost:\r\n\r\n");
    }
    let mut out = Vec::new();
    let mut turns = Vec::new();
    for id in [one, two] {
        world.node.handle(world.now, libswarm::node::Input::Done(id));
    }
    while turns.len() < 6 {
        if let Some(libswarm::node::Action::Write { conn, .. }) = world.node.poll(&mut out) {
            turns.push(conn);
            world.node.handle(world.now, libswarm::node::Input::Done(conn));
        }
    }
    assert_eq!(turns, [one, two, one, two, one, two]);
}

#[test]
fn a_shared_body_is_written_in_pieces() {
    let mut world = World::new();
    let id = world.connect();
    world.stall(id);
    world.send(id, b"GET /containers/json?limit=1000000 HTTP/1.1\r\nHost:\r\n\r\nGET /_ping HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(world.peer(id).got.len() <= 256 * 1024);
    while world.drain(id) {}
    assert!(world.peer(id).writes >= 4);
    let text = world.text(id);
    assert!(text.contains(&format!("\r\n\r\nf4240\r\n{}\r\n0\r\n\r\n", "y".repeat(1_000_000))));
    assert!(text.ends_with("\r\n\r\nOK"));
}

#[test]
fn input_that_no_job_wants_is_not_read_without_bound() {
    let mut world = World::new();
    let id = world.connect();
    // This job never reads, and takes a second.
    world.send(
        id,
        b"POST /containers/x/restart HTTP/1.1\r\nHost:\r\nContent-Length: 100000000\r\n\r\n",
    );
    let taken = world.send(id, &vec![b'z'; 1_000_000]);
    assert!(taken <= 96 * 1024, "{taken}");
    world.pass(Duration::from_secs(1));
    assert!(world.text(id).starts_with("HTTP/1.1 204 "));
    // Its body is longer than what is thrown away to keep a connection.
    for _ in 0..40 {
        world.send(id, &vec![b'z'; 16 * 1024]);
    }
    assert!(world.peer(id).shutdown || world.peer(id).closed.is_some());
}

#[test]
fn a_short_unread_body_is_thrown_away_and_the_connection_kept() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"POST /containers/x/stop HTTP/1.1\r\nHost:\r\nContent-Length: 5\r\n\r\nab");
    assert!(world.text(id).starts_with("HTTP/1.1 204 "));
    world.send(id, b"cdeGET /_ping HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(world.text(id).ends_with("OK"));
}

#[test]
fn an_upgrade_that_names_no_protocol_ends_its_job() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"POST /session HTTP/1.1\r\nHost:\r\n\r\n");
    let text = world.text(id);
    assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("no upgrade proto in request"));
    assert!(world.told().contains(&"cancelled: the client is gone".to_owned()));
    world.send(id, b"GET /_ping HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(world.text(id).ends_with("OK"));
}

#[test]
fn a_raw_stream_behind_a_body_is_the_job_s_stdin() {
    let head =
        b"POST /exec/stdin/start HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
        Content-Length: 2\r\n\r\n{}";
    let told = ["body 2", "stdin 3", "stdin end"];
    // With the request, behind its answer, and the end with the request.
    for pieces in [&[&head[..], b"abc"][..], &[&[&head[..], b"abc"].concat()]] {
        let mut world = World::new();
        let id = world.connect();
        for piece in pieces {
            world.send(id, piece);
        }
        assert!(world.text(id).starts_with(UPGRADED.trim_end()));
        assert_eq!(world.peer(id).closed, None);
        world.half_close(id);
        assert_eq!(world.told()[1..], told);
    }
    let mut world = World::new();
    let id = world.connect();
    world.send(id, &head[..head.len() - 1]);
    world.send(id, b"}");
    world.half_close(id);
    assert_eq!(world.told()[1..], ["body 2", "stdin end"]);
}

#[test]
fn a_stream_that_begins_after_the_half_close_has_an_empty_stdin() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"POST /containers/later/attach HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    world.half_close(id);
    world.pass(Duration::from_secs(1));
    assert!(world.text(id).starts_with(UPGRADED));
    assert_eq!(world.told()[1..], ["stdin end"]);
}
