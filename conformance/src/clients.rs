//! The library's own blocking client, held against a running `discoverd`. `libswarm_std::discovery` is this client, and each
//! runtime's tests run it against their daemon; the one for smol has tests of its own, which the threaded runtime runs, too.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libswarm::discovery::client::{Balance, Check, Config, Error};
use libswarm::discovery::{Change, Member};
use libswarm::rpc::Codec;
use libswarm_host::client::blocking::Client;
use rustix::process::Signal;

use crate::client::PATIENCE;
use crate::daemon::Folder;
use crate::discovery::{place, start};
use crate::loopback::free_address;

/// Makes the tests of a client: all suites of this module, for the `discoverd` at that path.
#[macro_export]
macro_rules! client_tests {
    ($binary:expr) => {
        $crate::suites!(clients, std::path::Path::new($binary);
            finds_services leads_in_turn stays_registered fails_over dials checks_health says_what_is_wrong);
    };
}

const CODECS: [Codec; 2] = [Codec::Gob, Codec::Json];

fn connect(server: &str, codec: Codec) -> Client {
    Client::with(config(&[server], codec)).expect("a server is there")
}

fn config(servers: &[&str], codec: Codec) -> Config {
    let mut config = Config::default();
    config.servers = servers.iter().map(|&server| server.to_owned()).collect();
    config.codec = codec;
    // The daemon's TTL is 2 s.
    config.heartbeat = Duration::from_millis(800);
    config
}

fn addresses(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| &*member.address).collect()
}

fn word(change: Option<Change>) -> String {
    match change {
        Some(Change::Came(member)) => format!("+{}", member.address),
        Some(Change::Changed(member)) => format!("~{}", member.address),
        Some(Change::Gone(member)) => format!("-{}", member.address),
        Some(Change::Current) => "=".to_owned(),
        None => "end".to_owned(),
    }
}

/// Waits until that is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Registering, following, selecting, filtering, and ending it all.
pub fn finds_services(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    for codec in CODECS {
        let client = connect(&place(&daemon), codec);
        let web = client.service("web").expect("it can be followed");
        assert!(web.instances().is_empty() && web.leader().is_none());
        let (mut watch, mut changes) = (web.watch(), web.changes());
        assert_eq!(word(watch.next()), "=");
        let first =
            client.register("web", ":80", [("zone", "a"), ("x", "y")]).expect("it is taken");
        assert_eq!(first.address(), "127.0.0.1:80");
        assert_eq!(
            (word(watch.next()), word(changes.next())),
            ("+127.0.0.1:80".into(), "+127.0.0.1:80".into())
        );
        // In a set of its own the instance itself is no other one, but may lead.
        let (second, others) =
            client.register_with_set("web", "b:80", [("zone", "a")]).expect("it is taken");
        assert_eq!(addresses(&others.instances()), ["127.0.0.1:80"]);
        assert_eq!(word(watch.next()), "+b:80");
        assert_eq!(addresses(&web.instances()), ["127.0.0.1:80", "b:80"]);
        assert_eq!(addresses(&web.select([("zone", "a")])), ["127.0.0.1:80", "b:80"]);
        assert_eq!(addresses(&web.select([("x", "y")])), ["127.0.0.1:80"]);
        let zone = client.filter("web", [("x", "y")]).expect("it can be followed");
        assert_eq!(addresses(&zone.instances()), ["127.0.0.1:80"]);
        let mut zoned = zone.changes();
        first.set_attributes([("zone", "b")]);
        assert_eq!(
            (word(zoned.next()), word(watch.next())),
            ("-127.0.0.1:80".into(), "~127.0.0.1:80".into())
        );
        assert_eq!(others.leader().expect("somebody leads").address, "127.0.0.1:80");
        first.close();
        assert_eq!(word(watch.next()), "-127.0.0.1:80");
        until("its own instance leads", || others.leader().is_some_and(|it| it.address == "b:80"));
        assert!(others.instances().is_empty());
        drop(second);
        assert_eq!(word(watch.next()), "-b:80");
        // With the client everything ends that came from it.
        let kept = client.register("web", "c:80", []).expect("it is taken");
        client.close();
        let words: Vec<_> = watch.map(|change| word(Some(change))).collect();
        assert!(words == ["+c:80", "-c:80"] || words.is_empty() || words == ["+c:80"], "{words:?}");
        assert_eq!(kept.address(), "");
        let other = connect(&place(&daemon), codec);
        assert!(other.service("web").expect("it can be followed").instances().is_empty());
    }
    daemon.stop();
}

/// Leaders one after the other, and one who waits for its turn.
pub fn leads_in_turn(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    for codec in CODECS {
        let client = connect(&place(&daemon), codec);
        let first = client.register_and_standby("web", "a:80", []).expect("it is taken");
        let first = first.wait().expect("it leads");
        let other = connect(&place(&daemon), codec);
        let mut leaders = other.service("web").expect("it can be followed").leaders();
        assert_eq!(leaders.next().expect("somebody leads").address, "a:80");
        let second = other.register_and_standby("web", "b:80", []).expect("it is taken");
        let waits = thread::spawn(move || second.wait().expect("it leads"));
        thread::sleep(Duration::from_millis(100));
        assert!(!waits.is_finished());
        first.close();
        assert_eq!(leaders.next().expect("somebody leads").address, "b:80");
        assert_eq!(waits.join().expect("it ends").address(), "b:80");
    }
    daemon.stop();
}

/// A server that is killed and comes back: nobody is gone, and what was registered stays beyond two TTLs.
pub fn stays_registered(binary: &Path) {
    for codec in CODECS {
        let folder = Folder::new();
        let mut daemon = start(binary, &folder, &free_address().to_string());
        let client = connect(&place(&daemon), codec);
        let _registration = client.register("web", "a:80", []).expect("it is taken");
        let web = client.service("web").expect("it can be followed");
        let mut watch = web.changes();
        daemon.signal(Signal::KILL);
        daemon.wait(PATIENCE);
        until("it has noticed", || {
            !web.look(libswarm::discovery::ServiceSet::is_current).unwrap_or(true)
        });
        assert_eq!(addresses(&web.instances()), ["a:80"]);
        let daemon = start(binary, &folder, &place(&daemon));
        assert_eq!(word(watch.next()), "=");
        thread::sleep(Duration::from_millis(4_500));
        let other = connect(&place(&daemon), codec);
        let there = other.service("web").expect("it can be followed").instances();
        assert_eq!(addresses(&there), ["a:80"]);
        daemon.stop();
    }
}

/// A second server takes over, and gets what was registered.
pub fn fails_over(binary: &Path) {
    for codec in CODECS {
        let (one, two) = (Folder::new(), Folder::new());
        let first = start(binary, &one, "127.0.0.1:0");
        let second = start(binary, &two, "127.0.0.1:0");
        let servers = [place(&first), place(&second)];
        let names: Vec<&str> = servers.iter().map(|it| &**it).collect();
        let client = Client::with(config(&names, codec)).expect("a server is there");
        let _registration = client.register("web", "a:80", []).expect("it is taken");
        let other = connect(&servers[1], codec);
        let mut watch = other.service("web").expect("it can be followed").watch();
        assert_eq!(word(watch.next()), "=");
        first.stop();
        assert_eq!(word(watch.next()), "+a:80");
        second.stop();
    }
}

/// Accepts, and says on each connection which one it is.
fn serve(name: u8) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let accepts = listener.try_clone().expect("there is a descriptor");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = accepts.accept() {
            let _ = stream.write_all(&[name]);
        }
    });
    (listener, address)
}

fn greeting(mut stream: &TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("it says its name");
    byte[0]
}

/// Each instance in turn, those that cannot be reached left out.
pub fn dials(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    let client = connect(&place(&daemon), Codec::Gob);
    let dialer = client.dialer(Balance::RoundRobin);
    let error = dialer.dial("web").expect_err("nobody is there").to_string();
    assert_eq!(error, "no instance of \"web\" is registered");
    let servers = [serve(b'a'), serve(b'b')];
    let dead = free_address().to_string();
    let mut kept = vec![client.register("web", &dead, []).expect("it is taken")];
    let web = client.service("web").expect("it can be followed");
    until("the dialer knows", || {
        let error = dialer.dial("web").expect_err("it is dead").to_string();
        error.starts_with(&format!("no instance of \"web\" can be reached; the last one, {dead}: "))
    });
    kept.extend(servers.iter().map(|it| client.register("web", &it.1, []).expect("it is taken")));
    until("all are known", || web.instances().len() == 3);
    for balance in [Balance::RoundRobin, Balance::Random] {
        let dialer = client.dialer(balance);
        let names: Vec<_> =
            (0..20).map(|_| greeting(&dialer.dial("web").expect("it can be dialed"))).collect();
        let count = |name| names.iter().filter(|it| **it == name).count();
        if balance == Balance::RoundRobin {
            assert_eq!((count(b'a'), count(b'b')), (10, 10));
        } else {
            assert!(count(b'a') > 0 && count(b'b') > 0, "{names:?}");
        }
    }
    drop(kept);
    daemon.stop();
}

/// Registered while it is healthy.
pub fn checks_health(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    let client = connect(&place(&daemon), Codec::Json);
    let fast = |mut check: Check| {
        check.interval = Duration::from_millis(50);
        check
    };
    let web = client.service("web").expect("it can be followed");
    let mut watch = web.changes();
    let address = free_address().to_string();
    let listener = TcpListener::bind(&address).expect("it is free");
    let good = Arc::new(AtomicBool::new(true));
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::clone(&good));
    let stopped = Arc::clone(&stop);
    let server = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let status = if answers.load(Ordering::Relaxed) { "204 No Content" } else { "503 No" };
            // One that only connects does not read.
            let _ = stream
                .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 512]);
        }
    });
    let http =
        client.register_checked("web", &address, [("by", "http")], fast(Check::http("/ping")));
    let http = http.expect("there are threads");
    assert_eq!(word(watch.next()), format!("+{address}"));
    assert!(http.is_healthy() && http.registration().address() == address);
    good.store(false, Ordering::Relaxed);
    assert_eq!(word(watch.next()), format!("-{address}"));
    assert_eq!(http.problem().as_deref(), Some("it answers with status 503"));
    good.store(true, Ordering::Relaxed);
    assert_eq!(word(watch.next()), format!("+{address}"));
    drop(http);
    assert_eq!(word(watch.next()), format!("-{address}"));
    let tcp = client.register_checked("web", &address, [], fast(Check::tcp()));
    let tcp = tcp.expect("there are threads");
    assert_eq!(word(watch.next()), format!("+{address}"));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(word(watch.next()), format!("-{address}"));
    assert!(!tcp.is_healthy() && tcp.problem().is_some());
    server.join().expect("it ends");
    daemon.stop();
}

/// Errors as people read them, and soon.
pub fn says_what_is_wrong(binary: &Path) {
    let nobody = Client::connect(["127.0.0.1:1", "127.0.0.1:2"]).expect_err("nobody is there");
    let said = nobody.to_string();
    assert!(
        said.starts_with("no discoverd at 127.0.0.1:1: ")
            && said.contains(", nor at 127.0.0.1:2: "),
        "{said}"
    );
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    for codec in CODECS {
        let client = connect(&place(&daemon), codec);
        for (name, address, error) in [
            ("a/b", "a:80", "discoverd: Name \"a/b\" holds"),
            ("web", "", "discoverd: Addr must be set"),
        ] {
            let found = client.register(name, address, []).expect_err("it is refused");
            assert!(matches!(&found, Error::Refused(said) if said.starts_with(error)), "{found}");
        }
        let found = client.service("a/b").expect_err("it is refused");
        assert!(matches!(&found, Error::Refused(said) if said.contains("a/b")), "{found}");
        let closed = client.clone();
        client.close();
        assert_eq!(closed.register("web", "a:80", []).expect_err("it is closed"), Error::Closed);
    }
    daemon.stop();
}
