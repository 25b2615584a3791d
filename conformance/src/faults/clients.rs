//! Clients that go.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::bench::{Bench, Engine, Kind, each_kind, read_head};
use crate::client::{Client, PATIENCE};
use crate::keys::Keys;

const GET: &str = "GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n";
const UPLOAD: &str =
    "POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin";
const ATTACH: &str = "POST /containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What the engine does until its connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Engines {
    /// It never answers.
    Silent,
    /// It says this, and listens.
    Listens(&'static str),
    /// It says this, and goes on speaking.
    Speaks(&'static str),
    /// It says this, and waits for a client that will say nothing more.
    Waits(&'static str),
}

/// Where the client goes, what it has sent by then, what it has waited for, and what the engine does meanwhile.
const ROWS: [(&str, &str, &str, Engines); 7] = [
    ("in its head", "GET /containers/json HT", "", Engines::Silent),
    ("before the answer", GET, "", Engines::Silent),
    ("in its upload", UPLOAD, "", Engines::Silent),
    ("before the answer to an attach", ATTACH, "", Engines::Silent),
    ("in an answer", GET, "\r\n\r\n", Engines::Speaks(CHUNKED)),
    ("in a hijack that listens", ATTACH, "\r\n\r\n", Engines::Listens(UPGRADED)),
    ("in a hijack that speaks", ATTACH, "\r\n\r\n", Engines::Speaks(UPGRADED)),
];

/// A client that is killed at each point of its request and of its answer.
///
/// # Panics
///
/// The engine is not left alone, or something else is left.
pub fn client_killed(binary: &Path) {
    table(binary, false);
}

/// As [`client_killed`], with a reset.
///
/// # Panics
///
/// The engine is not left alone, or something else is left.
pub fn client_resets(binary: &Path) {
    table(binary, true);
}

/// A client that goes after a half-close: over a unix socket that shows at once, else by the next write.
///
/// # Panics
///
/// The engine is not left alone, or something else is left.
pub fn half_closed_client_killed(binary: &Path) {
    for (row, request, engines) in [
        ("in an answer", GET, Engines::Speaks(CHUNKED)),
        ("in a hijack that speaks", ATTACH, Engines::Speaks(UPGRADED)),
        ("in a hijack that waits", ATTACH, Engines::Waits(UPGRADED)),
    ] {
        each_kind(|kind, keys| {
            if matches!(engines, Engines::Waits(_)) && kind != Kind::Unix {
                return;
            }
            let row = format!("{row}, half-closed, {kind:?}");
            let (engine, bench) = between(binary, kind, keys, engines);
            bench.repeat(&row, || {
                let mut client = bench.connect();
                client.send(request);
                client.until("\r\n\r\n");
                client.half_close();
                // Sometimes, but not always, that has reached the engine before the client goes.
                if let Engines::Speaks(_) = engines {
                    client.until("ab");
                }
            });
            engine.is_left(&row);
        });
    }
}

fn table(binary: &Path, resets: bool) {
    for (row, request, until, engines) in ROWS {
        each_kind(|kind, keys| {
            let row = format!("{row}, {kind:?}, {engines:?}, reset: {resets}");
            let (engine, bench) = between(binary, kind, keys, engines);
            bench.repeat(&row, || {
                let mut client = bench.connect();
                client.send(request);
                if !until.is_empty() {
                    client.until(until);
                } else if request.ends_with("\r\n\r\n") {
                    // Often, but not always, the engine has got it.
                    thread::sleep(Duration::from_millis(1));
                }
                if resets {
                    client.reset();
                }
            });
            engine.is_left(&row);
        });
    }
}

/// An engine that does that, and a daemon before it.
fn between(binary: &Path, kind: Kind, keys: Option<Keys>, engines: Engines) -> (Engine, Bench) {
    let engine = Engine::start(kind, keys.as_ref(), move |connection| {
        serve(connection, engines, kind);
    });
    let bench = Bench::start(binary, kind, keys, &engine.address);
    (engine, bench)
}

/// As an engine does, it takes the end of its client's half for the end, but goes on with what it is saying.
fn serve(mut connection: Client, engines: Engines, kind: Kind) {
    if !read_head(&mut connection) {
        return;
    }
    match engines {
        Engines::Silent => {}
        Engines::Listens(said) => {
            let _ = connection.write_all(said.as_bytes());
        }
        Engines::Speaks(said) => {
            let piece = if said == CHUNKED { "2\r\nab\r\n" } else { "ab" };
            let mut said = connection.write_all(said.as_bytes());
            while said.is_ok() {
                thread::sleep(Duration::from_millis(1));
                said = connection.write_all(piece.as_bytes());
            }
            return;
        }
        Engines::Waits(said) => {
            let _ = connection.write_all(said.as_bytes());
            let (_, ended) = connection.drain();
            assert!(ended);
            return hangs_up(&connection);
        }
    }
    let (_, ended) = connection.drain();
    // It never gets a half of something for a whole.
    assert!(ended || kind != Kind::Unix);
}

/// Waits until nobody is at the other end of a unix socket.
fn hangs_up(connection: &Client) {
    let Client::Unix(stream) = connection else { return };
    let patience = Timespec::try_from(PATIENCE).expect("it is short");
    let polled =
        rustix::event::poll(&mut [PollFd::new(stream, PollFlags::empty())], Some(&patience));
    assert_eq!(polled, Ok(1), "the engine keeps a connection whose client has gone");
}
