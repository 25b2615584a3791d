//! Clients that are slow, silent, many, or gone: what they may cost, and that they cost nobody else anything.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use libswarm::address::Tls;
use libswarm::backend::Registry;
use libswarm::node::Config;
use libswarm_host::{Server, ServerBuilder, stopper};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::{Client, PATIENCE};
use crate::daemon::Daemon;

/// A runtime's `run`.
pub type Run = fn(Server) -> std::io::Result<()>;

/// Makes the tests of a runtime: the suites of this module, for its `run` and the binary at that path.
#[macro_export]
macro_rules! serving_tests {
    ($run:expr, $binary:expr) => {
        $crate::suites!(serving, $run; as_a_library slow_heads);
        $crate::suites!(serving, std::path::Path::new($binary);
            silent_readers idle_connections pipelines hijacks many_files);
    };
}

fn served(run: Run, config: Config, test: impl FnOnce(&str)) {
    served_with(run, config, None, test);
}

pub(crate) fn served_with(run: Run, config: Config, tls: Option<Tls>, test: impl FnOnce(&str)) {
    let (stopper, stopped) = stopper().expect("a pair of sockets");
    let mut builder = ServerBuilder::new(Registry::standard())
        .listen("tcp://127.0.0.1:0".parse().expect("an address"))
        .backend("simulator web db")
        .config(config);
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    let server = builder.build(stopped).expect("a server");
    let address = server.listeners[0].address().to_string();
    let (send, ended) = channel();
    thread::spawn(move || send.send(run(server)));
    test(&address);
    stopper.stop();
    ended.recv_timeout(PATIENCE).expect("it stops").expect("it stops well");
}

/// A runtime is a library: it runs, and stops when it is told to.
///
/// # Panics
///
/// It does not.
pub fn as_a_library(run: Run) {
    served(run, Config::default(), |address| {
        let (head, body) = Client::connect(address).get("/v1.41/_ping");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body == "OK");
    });
}

/// A client that sends a byte now and then is cut off when its head has had its time; one that is idle between requests is
/// not.
///
/// # Panics
///
/// It is not so.
pub fn slow_heads(run: Run) {
    let mut config = Config::default();
    config.head_timeout = Duration::from_millis(800);
    served(run, config, |address| {
        let mut idle = Client::connect(address);
        idle.get("/_ping");
        let mut slow = Client::connect(address);
        let start = Instant::now();
        for byte in b"GET /_ping HTTP/1.1\r\nHost: slowslowslow" {
            if slow.write_all(&[*byte]).is_err() || start.elapsed() > Duration::from_secs(2) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let said = slow.until("\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(start.elapsed() >= Duration::from_millis(800));
        assert_eq!(idle.get("/_ping").1, "OK");
    });
}

/// Clients that ask and never read hold a bounded buffer each, and others are answered meanwhile.
///
/// # Panics
///
/// They hold more, or hold others up.
pub fn silent_readers(binary: &Path) {
    let names: Vec<String> = (0..100).map(|number| format!("container{number}")).collect();
    let backend = format!("simulator {}", names.join(" "));
    let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0"], 1);
    let request = "GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    // The first answers are made before the memory is measured.
    Client::connect(&daemon.addresses[0]).get("/_ping");
    let before = daemon.resident();
    let mut silent = Vec::new();
    for _ in 0..16 {
        let mut client = Client::connect(&daemon.addresses[0]);
        client.send(&request);
        silent.push(client);
    }
    let start = Instant::now();
    let mut reader = Client::connect(&daemon.addresses[0]);
    for _ in 0..100 {
        assert_eq!(reader.get("/_ping").1, "OK");
    }
    assert!(start.elapsed() < PATIENCE / 2, "{:?} for 100 answers", start.elapsed());
    // 16 clients asked for 16 × 200 × 80 KB, which is 256 MB; each may hold some hundred KiB.
    let held = daemon.resident().saturating_sub(before);
    assert!(held < 16 * 1024, "{held} KiB are held for 16 clients that do not read");
    // And they get all of it, once they do read.
    let mut late = silent.pop().expect("one of them");
    late.half_close();
    let all = late.rest();
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 200);
    daemon.stop();
}

/// A thousand idle connections, after a request each, in a small amount of memory. The full figure, for 10,000, is one of
/// those in the README.
///
/// # Panics
///
/// They need more.
pub fn idle_connections(binary: &Path) {
    let daemon = Daemon::start(binary, &["tcp://127.0.0.1:0"], 1);
    Client::connect(&daemon.addresses[0]).get("/_ping");
    let before = daemon.resident();
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be raised");
    let mut clients: Vec<Client> =
        (0..1000).map(|_| Client::connect(&daemon.addresses[0])).collect();
    for client in &mut clients {
        assert_eq!(client.get("/_ping").1, "OK");
    }
    // 10 KiB each is what 100 MiB for 10,000 allow. A thread has a stack besides.
    let each = if binary.ends_with("swarmd") { 10 } else { 64 };
    let held = daemon.resident().saturating_sub(before);
    assert!(held <= 1000 * each, "{held} KiB for 1,000 connections");
    drop(clients);
    daemon.stop();
}

/// Pipelined requests are answered in order, in however small pieces they come.
///
/// # Panics
///
/// They are not.
pub fn pipelines(binary: &Path) {
    let daemon = Daemon::start(binary, &["--backend", "simulator web", "tcp://127.0.0.1:0"], 1);
    let requests = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /v1.41/containers/web/json HTTP/1.1\r\nHost: x\r\n\r\n\
                    GET /containers/nosuch/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for step in [1, 7, requests.len()] {
        let mut client = Client::connect(&daemon.addresses[0]);
        for piece in requests.as_bytes().chunks(step) {
            client.send(piece);
        }
        let all = client.rest();
        let places: Vec<_> = ["\r\n\r\nOK", "\"Name\":\"/web\"", "No such container: nosuch"]
            .map(|part| all.find(part))
            .into();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{step}: {all}");
    }
    daemon.stop();
}

/// A hijack gets its head; an endless stream starts at once and ends with a half-close.
///
/// # Panics
///
/// It is not so.
pub fn hijacks(binary: &Path) {
    let args = ["--backend", "debug", "tcp://127.0.0.1:0"];
    let daemon = Daemon::start(binary, &args, 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    client.send("POST /v1.41/containers/web/attach HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    assert_eq!(client.rest(), head);
    daemon.stop();

    let daemon = Daemon::start(binary, &["tcp://127.0.0.1:0"], 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.until("\r\n\r\n").contains("Transfer-Encoding: chunked"));
    client.half_close();
    assert_eq!(client.rest(), "0\r\n\r\n");
    daemon.stop();
}

/// Connections that come and go leave no file and no memory behind.
///
/// # Panics
///
/// They do.
pub fn many_files(binary: &Path) {
    let daemon = Daemon::start(binary, &["tcp://127.0.0.1:0"], 1);
    let open = || {
        let path = format!("/proc/{}/fd", daemon.pid().as_raw_pid());
        std::fs::read_dir(path).expect("this is Linux").count()
    };
    let round = || {
        for number in 0..300 {
            let mut client = Client::connect(&daemon.addresses[0]);
            match number % 3 {
                0 => drop(client.get("/_ping")),
                1 => client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n"),
                _ => client.send("GET /_ping HT"),
            }
        }
    };
    let settle = |limit: usize| {
        let start = Instant::now();
        while open() > limit {
            assert!(start.elapsed() < PATIENCE, "{} files are open, {limit} were before", open());
            thread::sleep(Duration::from_millis(20));
        }
    };
    // What a runtime opens for itself, it opens when it starts to serve.
    Client::connect(&daemon.addresses[0]).get("/_ping");
    thread::sleep(Duration::from_millis(100));
    let files = open();
    round();
    settle(files);
    let memory = daemon.resident();
    for _ in 0..5 {
        round();
    }
    settle(files);
    let grown = daemon.resident().saturating_sub(memory);
    assert!(grown < 2048, "1,500 connections leave {grown} KiB");
    daemon.stop();
}
