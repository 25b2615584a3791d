//! Engines that break off, or speak something else.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::bench::{Bench, Engine, Kind, each_kind, is_error, read_head};
use crate::client::Client;

/// How an engine goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Going {
    /// Its sockets close with its process.
    Killed,
    /// Its connections are reset.
    Reset,
}

/// What its client has to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    /// An error of the daemon's.
    Gateway,
    /// The beginning of the answer, and that it breaks off.
    Broken,
}

const GET: &str = "GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n";
const CREATE: &str = "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
const UPLOAD: &str =
    "POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin";
const ATTACH: &str = "POST /containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Where it goes, what it has said by then to which request.
fn rows() -> Vec<(&'static str, &'static str, String, Seen)> {
    let long = "x".repeat(300_000);
    vec![
        ("before the head", GET, String::new(), Seen::Gateway),
        ("before the head of a create", CREATE, String::new(), Seen::Gateway),
        ("in an upload", UPLOAD, String::new(), Seen::Gateway),
        ("before the head of a hijack", ATTACH, String::new(), Seen::Gateway),
        ("in the head", GET, "HTTP/1.1 200 OK\r\nContent-Ty".into(), Seen::Gateway),
        ("behind the head", GET, CHUNKED.into(), Seen::Broken),
        ("behind the head of a create", CREATE, CHUNKED.into(), Seen::Broken),
        ("in a chunk", GET, format!("{CHUNKED}5\r\nab"), Seen::Broken),
        ("between chunks", GET, format!("{CHUNKED}2\r\nab\r\n"), Seen::Broken),
        (
            "in a long body",
            GET,
            format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{long}"),
            Seen::Broken,
        ),
    ]
}

/// What has no end but its connection's: only a reset, or TLS, tells an end from a break.
fn endless_rows() -> Vec<(&'static str, &'static str, String, Seen)> {
    let hijack = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello";
    vec![
        ("in a body until the close", GET, "HTTP/1.1 200 OK\r\n\r\nhello".into(), Seen::Broken),
        ("in a hijack", ATTACH, hijack.into(), Seen::Broken),
    ]
}

/// An engine that is killed at each point of its answer.
///
/// # Panics
///
/// A client sees a well-formed answer, or something is left.
pub fn engine_killed(binary: &Path) {
    table(binary, Going::Killed);
}

/// As [`engine_killed`], with a reset.
///
/// # Panics
///
/// A client sees a well-formed answer, or something is left.
pub fn engine_resets(binary: &Path) {
    table(binary, Going::Reset);
}

fn table(binary: &Path, going: Going) {
    each_kind(|kind, keys| {
        let mut all = rows();
        let shows = match going {
            Going::Killed => kind == Kind::Tls,
            Going::Reset => kind != Kind::Unix,
        };
        if shows {
            all.extend(endless_rows());
        }
        let script = |said: String| {
            move |mut connection: Client| {
                if read_head(&mut connection) {
                    let _ = connection.write_all(said.as_bytes());
                    if going == Going::Reset {
                        // What was said has to get there first.
                        thread::sleep(Duration::from_millis(2));
                        connection.reset();
                    }
                }
            }
        };
        let mut keys = keys;
        for (row, request, said, seen) in all {
            let row = format!("{going:?} {row}, {kind:?}");
            let expected = said.split("\r\n\r\n").next().unwrap_or_default().to_owned();
            let engine = Engine::start(kind, keys.as_ref(), script(said));
            let bench = Bench::start(binary, kind, keys.take(), &engine.address);
            let mut asked = 0;
            bench.repeat(&row, || {
                asked += 1;
                let mut client = bench.connect();
                client.send(request);
                // What breaks off breaks off for those, too, who have nothing more to say. It may have done so already.
                if seen == Seen::Broken && asked % 2 == 0 {
                    let _ = client.try_half_close();
                }
                match seen {
                    Seen::Gateway => {
                        let message = is_error(&mut client, 502, &row);
                        assert!(message.contains(&engine.address[6..]), "{row}: {message}");
                    }
                    Seen::Broken => is_broken(&mut client, kind, &expected, &row),
                }
            });
            engine.is_left(&row);
            // Nothing that might have been done is done again.
            assert_eq!(engine.accepted(), asked, "{row}");
            keys = bench.into_keys();
        }
    });
}

/// The head is there (the last bytes of it may be lost to a reset), and no end.
fn is_broken(client: &mut Client, kind: Kind, head: &str, row: &str) {
    let (got, ended) = client.drain();
    let got = String::from_utf8_lossy(&got);
    let first = head.lines().next().unwrap_or_default();
    assert!(got.is_empty() || got.starts_with(first), "{row}: {got}");
    assert!(!got.ends_with("0\r\n\r\n") && got.len() < 1_000_000, "{row}: {got}");
    // A unix socket knows no reset; there, what lacks its end has to do.
    assert!(!ended || kind == Kind::Unix, "{row}: it ends well after {got:?}");
}

/// Engines that speak no HTTP.
///
/// # Panics
///
/// The client gets another answer than 502, or something is left.
pub fn garbage(binary: &Path) {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(200_000));
    for said in [
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "\0\u{1}\u{2}\u{3}\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: some\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        &endless,
    ] {
        each_kind(|kind, keys| {
            let row = format!("{:?}, {kind:?}", said.get(..20).unwrap_or(said));
            let said = said.to_owned();
            let engine = Engine::start(kind, keys.as_ref(), move |mut connection| {
                if read_head(&mut connection) {
                    let _ = connection.write_all(said.as_bytes());
                    // It leaves it at that.
                    let _ = connection.drain();
                }
            });
            let bench = Bench::start(binary, kind, keys, &engine.address);
            bench.repeat(&row, || {
                let mut client = bench.connect();
                client.send(GET);
                is_error(&mut client, 502, &row);
            });
            engine.is_left(&row);
        });
    }
}
