//! A daemon between clients and a scripted engine.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libswarm::backend::Registry;
use libswarm_host::{ServerBuilder, stopper};

use crate::client::{Client, PATIENCE};
use crate::daemon::{Daemon, Folder};
use crate::keys::Keys;
use crate::secured::Secured;

/// What connections are made of, on both sides of the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Unix,
    Tcp,
    Tls,
}

/// How often each row is done before anything is measured, and then.
const BEFORE: usize = 10;
const TIMES: usize = 100;

/// The daemon's memory may grow by this, in KiB, the last time at least.
const GROWTH: u64 = 1024;
const ROUNDS: usize = 4;

/// The bench itself.
pub(super) struct Bench {
    pub(super) daemon: Daemon,
    keys: Option<Keys>,
    _folder: Folder,
}

impl Bench {
    /// Starts a daemon that forwards to that address, which is of the same kind as its frontend.
    pub(super) fn start(binary: &Path, kind: Kind, keys: Option<Keys>, engine: &str) -> Self {
        let folder = Folder::new();
        let options = |side: &str| keys.as_ref().map(|keys| keys.options(side)).unwrap_or_default();
        let (client, server) = match kind {
            Kind::Tls => (options("client"), options("server")),
            Kind::Unix | Kind::Tcp => (Vec::new(), Vec::new()),
        };
        let backend = format!("forward --connect-timeout 500ms {} {engine}", client.join(" "));
        let frontend = match kind {
            Kind::Unix => format!("unix://{}", folder.file("swarm.sock")),
            Kind::Tcp | Kind::Tls => String::from("tcp://127.0.0.1:0"),
        };
        let mut args: Vec<&str> = server.iter().map(String::as_str).collect();
        args.extend(["--log-level", "error", "--backend", &backend, &frontend]);
        let daemon = Daemon::start(binary, &args, 1);
        Self { daemon, keys, _folder: folder }
    }

    /// Ends it, and gives the keys back.
    pub(super) fn into_keys(self) -> Option<Keys> {
        self.daemon.stop();
        self.keys
    }

    pub(super) fn connect(&self) -> Client {
        self.connector()()
    }

    /// What connects, for other threads.
    pub(super) fn connector(&self) -> impl Fn() -> Client + Sync + use<> {
        let address = self.daemon.addresses[0].clone();
        let tls = self.keys.as_ref().map(|keys| keys.tls("client"));
        move || match &tls {
            Some(tls) => Client::connect_tls(&address, tls.clone()),
            None => Client::connect(&address),
        }
    }

    /// Does something a hundred times; afterwards the daemon holds what it held before.
    pub(super) fn repeat(&self, row: &str, act: impl FnMut()) {
        leaves_nothing(&self.daemon, row, act);
    }
}

/// Does something a hundred times; afterwards the daemon holds no more connections, processes and memory than before.
pub(super) fn leaves_nothing(daemon: &Daemon, row: &str, mut act: impl FnMut()) {
    (0..BEFORE).for_each(|_| act());
    // What is just being closed would be counted, or not, as chance has it.
    thread::sleep(Duration::from_millis(50));
    let held = daemon.holds();
    // What an allocator keeps for the next time it keeps once; what is lost is lost every time.
    let grows = (0..ROUNDS).all(|_| {
        let memory = daemon.resident();
        (0..TIMES).for_each(|_| act());
        daemon.settles(held, row);
        daemon.resident().saturating_sub(memory) > GROWTH
    });
    assert!(!grows, "{row}: each {TIMES} of them leave more than {GROWTH} KiB");
}

/// An engine that does with each connection what a script says.
pub(super) struct Engine {
    pub(super) address: String,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    _folder: Folder,
}

impl Engine {
    pub(super) fn start(
        kind: Kind,
        keys: Option<&Keys>,
        script: impl Fn(Client) + Send + Sync + 'static,
    ) -> Self {
        let folder = Folder::new();
        let (open, accepted) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (address, mut accept) = listen(kind, keys, &folder);
        let script = Arc::new(script);
        let counts = (Arc::clone(&open), Arc::clone(&accepted));
        thread::spawn(move || {
            while let Some(connection) = accept() {
                let (script, (open, accepted)) = (Arc::clone(&script), counts.clone());
                open.fetch_add(1, Ordering::SeqCst);
                accepted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    script(connection);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, open, accepted, _folder: folder }
    }

    /// How many connections it has got so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until all its connections have ended.
    pub(super) fn is_left(&self, row: &str) {
        let start = Instant::now();
        while self.open.load(Ordering::SeqCst) > 0 {
            assert!(
                start.elapsed() < PATIENCE,
                "{row}: the engine keeps {} connections",
                self.open.load(Ordering::SeqCst)
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where an engine with TLS listens that does with each connection what a script says, for as long as the tests run.
pub(crate) fn tls_engine(keys: &Keys, script: impl Fn(Client) + Send + Sync + 'static) -> String {
    Engine::start(Kind::Tls, Some(keys), script).address
}

type Accept = Box<dyn FnMut() -> Option<Client> + Send>;

fn listen(kind: Kind, keys: Option<&Keys>, folder: &Folder) -> (String, Accept) {
    match kind {
        Kind::Unix => {
            let path = folder.file("engine.sock");
            let listener = UnixListener::bind(&path).expect("a socket can be made");
            let accept = move || {
                let (stream, _) = listener.accept().ok()?;
                stream.set_read_timeout(Some(PATIENCE)).ok()?;
                Some(Client::Unix(stream))
            };
            (format!("unix://{path}"), Box::new(accept))
        }
        Kind::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let address = listener.local_addr().expect("it has an address");
            let accept = move || {
                let (stream, _) = listener.accept().ok()?;
                stream.set_nodelay(true).ok()?;
                stream.set_read_timeout(Some(PATIENCE)).ok()?;
                Some(Client::Tcp(stream))
            };
            (format!("tcp://{address}"), Box::new(accept))
        }
        Kind::Tls => {
            let (_, stopped) = stopper().expect("a pair of sockets");
            let server = ServerBuilder::new(Registry::empty())
                .tls(keys.expect("there are keys").tls("server"))
                .listen("tcp://127.0.0.1:0".parse().expect("an address"))
                .build(stopped)
                .expect("it can listen");
            let address = server.listeners[0].address().to_string();
            let accept = move || {
                let transport = server.listeners[0].accept().ok()?;
                Secured::of(transport, PATIENCE).ok().map(Client::Tls)
            };
            (address, Box::new(accept))
        }
    }
}

/// Does a row over each kind of connections.
pub(super) fn each_kind(mut act: impl FnMut(Kind, Option<Keys>)) {
    for kind in [Kind::Unix, Kind::Tcp, Kind::Tls] {
        let keys = if kind == Kind::Tls { Keys::new() } else { None };
        if kind != Kind::Tls || keys.is_some() {
            act(kind, keys);
        }
    }
}

/// Reads the head of a request, and nothing behind it.
pub(super) fn read_head(connection: &mut Client) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read(&mut byte) {
            Ok(1..) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Expects an error that the daemon gives in the engine's place.
pub(super) fn is_error(connection: &mut Client, status: u16, row: &str) -> String {
    let (head, body) = connection.answer();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{row}: {head}{body}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("errors are JSON");
    body["message"].as_str().expect("errors have a message").to_owned()
}
