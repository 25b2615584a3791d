//! Streams whose readers have stopped.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::bench::{Bench, Engine, each_kind, read_head};
use crate::client::{Client, PATIENCE};

/// What a stream may hold at most, in KiB; a hijack has one each way. The stacks of a debug build are deeper: there an idle
/// stream over TLS has 149 KiB on threads.
const HELD: u64 = if cfg!(debug_assertions) { 256 + 128 } else { 256 };
/// So many are begun before it is measured, and then.
const BEFORE: usize = 48;
const STREAMS: usize = 64;
/// A daemon whose memory has not changed for so long holds all it will.
const STILL: Duration = Duration::from_millis(300);

const LENGTH: &str = "Content-Length: 1000000000000\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// A stream: the request line, what frames the request's body and the answer's, and who goes on speaking.
struct Row {
    request: &'static str,
    framing: &'static str,
    status: &'static str,
    answer: &'static str,
    speaks: &'static [Side],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Client,
    Engine,
}

const DOWN: Row = Row {
    request: "GET /images/get?names=x",
    framing: "",
    status: "200 OK",
    answer: LENGTH,
    speaks: &[Side::Engine],
};
const UP: Row = Row {
    request: "POST /images/load",
    framing: LENGTH,
    status: "",
    answer: "",
    speaks: &[Side::Client],
};
const HIJACK: Row = Row {
    request: "POST /containers/x/attach?stream=1",
    framing: UPGRADE,
    status: "101 UPGRADED",
    answer: UPGRADE,
    speaks: &[Side::Engine],
};

const ROWS: [Row; 7] = [
    DOWN,
    Row { answer: CHUNKED, ..DOWN },
    UP,
    Row { framing: CHUNKED, ..UP },
    HIJACK,
    Row { speaks: &[Side::Client], ..HIJACK },
    Row { speaks: &[Side::Client, Side::Engine], ..HIJACK },
];

/// What a stream holds that nobody reads has a bound.
///
/// # Panics
///
/// It is more.
pub fn stalled_streams(binary: &Path) {
    let mut too_much = Vec::new();
    for row in &ROWS {
        each_kind(|kind, keys| {
            let engine = Engine::start(kind, keys.as_ref(), move |connection| {
                serve(connection, row);
            });
            let bench = Bench::start(binary, kind, keys, &engine.address);
            let mut streams = Vec::new();
            stall(&bench, row, BEFORE, &mut streams);
            let before = settled(&bench, &engine, BEFORE);
            stall(&bench, row, STREAMS, &mut streams);
            let after = settled(&bench, &engine, BEFORE + STREAMS);
            let each = (after - before) / STREAMS as u64;
            let name = format!(
                "{kind:?}, {} with {:?}, {:?} speaks",
                row.request,
                [row.framing.trim_end(), row.answer.trim_end()],
                row.speaks
            );
            println!("{each} KiB: {name}");
            if each > HELD * row.speaks.len() as u64 {
                too_much.push(format!("{each} KiB: {name}"));
            }
        });
    }
    assert!(too_much.is_empty(), "a stream holds more than {HELD} KiB: {too_much:#?}");
}

fn stall(bench: &Bench, row: &'static Row, count: usize, streams: &mut Vec<Client>) {
    for _ in 0..count {
        let connect = bench.connector();
        let begin = move || {
            let mut client = connect();
            let Row { request, framing, .. } = row;
            client.send(format!("{request} HTTP/1.1\r\nHost: x\r\n{framing}\r\n"));
            if !row.status.is_empty() {
                client.until("\r\n\r\n");
            }
            client
        };
        if row.speaks.contains(&Side::Client) {
            thread::spawn(move || speak(&mut begin(), row.framing));
        } else {
            streams.push(begin());
        }
    }
}

/// What the daemon holds when so many streams have begun and that does not change any more, in KiB.
fn settled(bench: &Bench, engine: &Engine, streams: usize) -> u64 {
    let (start, mut since, mut held) = (Instant::now(), Instant::now(), 0);
    while engine.accepted() < streams || since.elapsed() < STILL {
        assert!(start.elapsed() < PATIENCE, "the daemon goes on taking memory");
        thread::sleep(Duration::from_millis(20));
        let now = bench.daemon.anonymous();
        if now != held {
            (held, since) = (now, Instant::now());
        }
    }
    held
}

fn serve(mut connection: Client, row: &Row) {
    if !read_head(&mut connection) {
        return;
    }
    if !row.status.is_empty() {
        let head = format!("HTTP/1.1 {}\r\n{}\r\n", row.status, row.answer);
        connection.send(head);
    }
    if row.speaks.contains(&Side::Engine) {
        speak(&mut connection, row.answer);
    } else {
        // It is the client's connection that ends.
        thread::sleep(PATIENCE);
    }
}

/// Goes on speaking until nobody listens any more.
fn speak(to: &mut Client, framing: &str) {
    let body = [b'x'; 32 * 1024];
    let mut piece = Vec::new();
    if framing == CHUNKED {
        piece.extend_from_slice(b"8000\r\n");
        piece.extend_from_slice(&body);
        piece.extend_from_slice(b"\r\n");
    } else {
        piece.extend_from_slice(&body);
    }
    while to.write_all(&piece).is_ok() {}
}
