//! Engines that are not there, or not to be trusted.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};

use super::bench::{Bench, Engine, Kind, each_kind, is_error};
use crate::client::{Client, PATIENCE};
use crate::daemon::{Daemon, Folder};
use crate::keys::Keys;
use crate::loopback::free_address;

const GET: &str = "GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n";

/// An engine that has gone: 502.
///
/// # Panics
///
/// It is something else, or something is left.
pub fn refused(binary: &Path) {
    each_kind(|kind, keys| {
        let folder = Folder::new();
        let address = match kind {
            Kind::Unix => format!("unix://{}", folder.file("nosuch.sock")),
            Kind::Tcp | Kind::Tls => format!("tcp://{}", free_address()),
        };
        let bench = Bench::start(binary, kind, keys, &address);
        bench.repeat("refused", || {
            let mut client = bench.connect();
            client.send(GET);
            let message = is_error(&mut client, 502, "refused");
            assert!(message.starts_with("cannot connect to "), "{message}");
        });
    });
}

/// An engine to which no connection comes about: 504, after the time that is set for that.
///
/// # Panics
///
/// It is something else, or something is left.
pub fn unreachable(binary: &Path) {
    each_kind(|kind, keys| {
        let folder = Folder::new();
        // Held until the end of the row.
        let mut held: Vec<Box<dyn Send + Sync>> = Vec::new();
        let address = match kind {
            Kind::Unix => {
                let path = folder.file("full.sock");
                held.push(Box::new(full_unix(&path)));
                format!("unix://{path}")
            }
            Kind::Tcp => {
                let (address, full) = full_tcp();
                held.push(Box::new(full));
                format!("tcp://{address}")
            }
            Kind::Tls => {
                // Connected is what it gets to be, but never agreed.
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
                let address = listener.local_addr().expect("it has an address");
                held.push(Box::new(listener));
                format!("tcp://{address}")
            }
        };
        let bench = Bench::start(binary, kind, keys, &address);
        let connect = bench.connector();
        let ask = || {
            let mut client = connect();
            let start = Instant::now();
            client.send(GET);
            is_error(&mut client, 504, "unreachable");
            assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
        };
        let all = |times: usize| {
            let left = AtomicUsize::new(times);
            thread::scope(|scope| {
                for _ in 0..25 {
                    scope.spawn(|| {
                        let take = |left: usize| left.checked_sub(1);
                        while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                            ask();
                        }
                    });
                }
            });
        };
        all(25);
        thread::sleep(Duration::from_millis(700));
        let held_before = bench.daemon.holds();
        all(100);
        bench.daemon.settles(held_before, "unreachable");
    });
}

/// A listener whose backlog is full.
fn full_unix(path: &str) -> (UnixListener, Vec<UnixStream>) {
    let listener = UnixListener::bind(path).expect("a socket can be made");
    rustix::net::listen(&listener, 0).expect("a backlog can be changed");
    let one = UnixStream::connect(path).expect("one fits");
    (listener, vec![one])
}

fn full_tcp() -> (SocketAddr, (std::os::fd::OwnedFd, Vec<TcpStream>)) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)
        .expect("a socket can be made");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    rustix::net::bind(&socket, &any).expect("a port is free");
    rustix::net::listen(&socket, 0).expect("it can listen");
    let address = rustix::net::getsockname(&socket).expect("it has an address");
    let address: SocketAddr = address.try_into().expect("it is of the internet");
    let mut full = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        full.push(stream);
    }
    (address, (socket, full))
}

/// An engine whose certificate somebody else has signed, or that does not take the daemon's: 502, and why.
///
/// # Panics
///
/// It is something else, or something is left.
pub fn untrusted(binary: &Path) {
    let (Some(ours), Some(theirs)) = (Keys::new(), Keys::new()) else { return };
    let engine = Engine::start(Kind::Tls, Some(&theirs), |mut connection| {
        let _ = connection.drain();
    });
    let options = |keys: &Keys, ca: &Keys| {
        format!(
            "--tlsverify --tlscacert {} --tlscert {} --tlskey {}",
            ca.file("ca.pem"),
            keys.file("client.pem"),
            keys.file("client-key.pem")
        )
    };
    for (words, why) in
        [(options(&ours, &ours), "UnknownIssuer"), (options(&ours, &theirs), "alert")]
    {
        let backend = format!("forward {words} {}", engine.address);
        let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0"], 1);
        let ask = || {
            let mut client = Client::connect(&daemon.addresses[0]);
            client.send(GET);
            let message = is_error(&mut client, 502, why);
            assert!(message.contains(why), "{message}");
        };
        (0..10).for_each(|_| ask());
        let held = daemon.holds();
        (0..100).for_each(|_| ask());
        daemon.settles(held, why);
        engine.is_left(why);
        daemon.stop();
    }
}

/// Clients that connect and never agree on TLS are cut off in time, and hold nobody up. (The time is that of a head, which
/// this test cannot wait for; that it is kept is tested with the libraries, in `serving`.) Clients that go in the handshake
/// leave nothing.
///
/// # Panics
///
/// They do.
pub fn silent_handshakes(binary: &Path) {
    let Some(keys) = Keys::new() else { return };
    let engine = Engine::start(Kind::Tls, Some(&keys), |mut connection| {
        let _ = connection.drain();
    });
    let bench = Bench::start(binary, Kind::Tls, Some(keys), &engine.address);
    let address = bench.daemon.addresses[0].trim_start_matches("tcp://").to_owned();
    let silent: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(&address).expect("it listens")).collect();
    bench.repeat("handshakes that end", || {
        let mut client = Client::connect(&bench.daemon.addresses[0]);
        // The head of a record with a ClientHello, and its first bytes.
        client.send([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
        drop(client);
        let mut other = Client::connect(&bench.daemon.addresses[0]);
        other.send("GET / HTTP/1.1\r\n\r\n");
        let (got, _) = other.drain();
        assert!(got.starts_with(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP"));
    });
    let start = Instant::now();
    let _ = bench.connect();
    assert!(start.elapsed() < PATIENCE / 4, "{:?}", start.elapsed());
    for mut stream in silent {
        stream.set_nonblocking(true).expect("it is a socket");
        let read = stream.read(&mut [0]);
        assert!(read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
}
