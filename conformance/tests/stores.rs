//! The suite of stores on real servers: an etcd and a ZooKeeper.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant as RealInstant};

use libswarm::Instant;
use libswarm::discovery::store::{etcd, zookeeper};
use libswarm::discovery::{Etcd, Store, Zookeeper};
use libswarm_conformance::engine::{program, skip};
use libswarm_conformance::loopback::free_address;
use libswarm_conformance::real_store::{suite, upstream};
use libswarm_conformance::zookeeper::{MISSING, installed};

const TTL: Duration = Duration::from_secs(5);

/// A server that ends with its test, in a folder that goes with it.
struct Running(Child, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
        fs::remove_dir_all(&self.1).ok();
    }
}

fn folder(name: &str) -> PathBuf {
    // Where a disk takes its time, tests would.
    let place = PathBuf::from("/dev/shm");
    let place = if place.is_dir() { place } else { std::env::temp_dir() };
    let folder = place.join(format!("swarm-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn run(mut command: Command, folder: PathBuf, port: u16) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().expect("it can be run"), folder);
    let until = RealInstant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(RealInstant::now() < until, "it does not listen");
        thread::sleep(Duration::from_millis(100));
    }
    running
}

#[test]
fn the_suite_passes_on_zookeeper() {
    let Some((java, jar)) = installed() else { return skip(MISSING) };
    let (port, folder) = (free_address().port(), folder("zookeeper"));
    let config = folder.join("zoo.cfg");
    let text = format!(
        "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        folder.display()
    );
    fs::write(&config, text).expect("it can be written");
    let mut command = Command::new(java);
    command.args(["-Xmx128m", "-cp", jar, "org.apache.zookeeper.server.quorum.QuorumPeerMain"]);
    command.arg(&config);
    let _server = run(command, folder, port);
    let mut places = 0;
    suite(TTL, Duration::from_millis(500), &mut || -> Box<dyn Store> {
        places += 1;
        let config = zookeeper::Config {
            endpoints: vec![upstream(&format!("tcp://127.0.0.1:{port}"))],
            chroot: format!("/suite/{places}"),
            auth: None,
            ttl: TTL,
            seed: places,
        };
        Box::new(Zookeeper::new(Instant::ZERO, config))
    });
}

#[test]
fn the_suite_passes_on_etcd() {
    let Some(program) = program("etcd") else {
        return skip("there is no etcd: install Debian's etcd-server");
    };
    let (port, peers, folder) = (free_address().port(), free_address().port(), folder("etcd"));
    let (clients, peers) =
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(folder.join("data"));
    for (option, url) in [
        ("--listen-client-urls", &clients),
        ("--advertise-client-urls", &clients),
        ("--listen-peer-urls", &peers),
        ("--initial-advertise-peer-urls", &peers),
    ] {
        command.args([option, url]);
    }
    command.args(["--initial-cluster", &format!("default={peers}")]);
    let _server = run(command, folder, port);
    let mut seed = 0;
    // Etcd looks at its leases twice a second.
    suite(TTL, Duration::from_millis(1500), &mut || -> Box<dyn Store> {
        wipe(port);
        seed += 1;
        let endpoints = vec![upstream(&clients)];
        let config = etcd::Config { endpoints, user: None, ttl: TTL, seed };
        Box::new(Etcd::new(Instant::ZERO, config))
    });
}

/// Deletes everything in an etcd, as soon as it does that.
fn wipe(port: u16) {
    // From the first key to the last.
    let body = r#"{"key":"AA==","range_end":"AA=="}"#;
    let until = RealInstant::now() + Duration::from_secs(20);
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let length = body.len();
        write!(
            stream,
            "POST /v3/kv/deleterange HTTP/1.0\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok();
        if answer.contains(" 200 ") {
            return;
        }
        assert!(RealInstant::now() < until, "{answer}");
        thread::sleep(Duration::from_millis(200));
    }
}
