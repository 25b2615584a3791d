//! Discovery as DNS, held against a running `discoverd`: by messages made by hand, by `dig`, and by the resolver of node.
//!
//! Without `dig` (Debian's `bind9-dnsutils`) or `node` the tests with them say that they are skipped, unless the environment
//! has `SWARM_LIVE=required`, as CI sets it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libswarm::discovery::client::Config;
use libswarm::discovery::dns::{Name, Query, kind};
use libswarm_host::client::blocking::{Client, Registration};

use crate::client::PATIENCE;
use crate::daemon::Daemon;
use crate::engine::{program, skip, which};
use crate::loopback::free_address;

/// Makes the tests of DNS, for the `discoverd` at that path.
#[macro_export]
macro_rules! dns_tests {
    ($binary:expr) => {
        $crate::suites!(dns, std::path::Path::new($binary);
            messages streams flood settings recursors dig resolver);
    };
}

/// A server, its places for clients and for DNS.
struct Served {
    daemon: Daemon,
    client: Client,
    dns: SocketAddr,
}

impl Served {
    fn start(binary: &Path, dns: &str, options: &[&str]) -> Self {
        let mut command = Command::new(binary);
        command.args(["-bind", "127.0.0.1:0", "-store", "memory", "-dns", dns]).args(options);
        let daemon = Daemon::start_command(&mut command, 2);
        let place = |nth: usize, scheme| {
            let address: &String = &daemon.addresses[nth];
            address.strip_prefix(scheme).expect("it says what it serves").to_owned()
        };
        let mut config = Config::default();
        config.servers = vec![place(0, "discoverd://")];
        let client = Client::with(config).expect("a server is there");
        let dns = place(1, "dns://").parse().expect("an address");
        Self { daemon, client, dns }
    }

    fn register(&self, service: &str, address: &str, attributes: &[(&str, &str)]) -> Registration {
        self.client.register(service, address, attributes.iter().copied()).expect("it is taken")
    }

    fn web(&self) -> Vec<Registration> {
        vec![
            self.register("web", "10.0.0.1:80", &[("zone", "a")]),
            self.register("web", "[fd00::1]:81", &[]),
            self.register("Lang ü", "10.0.0.9:1", &[("long", &"x".repeat(600))]),
        ]
    }
}

fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let labels = name.split('.').map(str::as_bytes);
    message.extend_from_slice(Name::from_labels(labels).expect("a name").wire());
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

fn udp(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
    let socket = UdpSocket::bind(any).expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
    socket.connect(server).expect("an address");
    socket
}

fn ask(socket: &UdpSocket, message: &[u8]) -> Vec<u8> {
    let mut room = [0; 4096];
    socket.send(message).expect("it is sent");
    let length = socket.recv(&mut room).expect("an answer");
    room[..length].to_vec()
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).expect("a message");
    message
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// Id, code and how many records an answer has.
fn told(answer: &[u8]) -> (u16, u8, u8) {
    (u16::from_be_bytes([answer[0], answer[1]]), answer[3] & 15, answer[7])
}

/// Questions in datagrams, over IPv4 and IPv6, and what is none.
///
/// # Panics
///
/// One is not answered as it should be.
pub fn messages(binary: &Path) {
    for dns in ["127.0.0.1:0", "[::1]:0"] {
        if dns.starts_with('[') && UdpSocket::bind(dns).is_err() {
            skip("there is no IPv6 here");
            continue;
        }
        let served = Served::start(binary, dns, &[]);
        let web = served.web();
        let socket = udp(served.dns);
        assert_eq!(told(&ask(&socket, &question(1, "web.discoverd", kind::A))), (1, 0, 1));
        assert_eq!(told(&ask(&socket, &question(2, "WEB.discoverd", kind::SRV))), (2, 0, 2));
        assert_eq!(told(&ask(&socket, &question(3, "nosuch.discoverd", kind::A))), (3, 3, 0));
        assert_eq!(told(&ask(&socket, &question(4, "example.org", kind::A))), (4, 5, 0));
        // What is not to be answered is not: the next answer is to the next question.
        socket.send(b"rubbish").expect("it is sent");
        let mut answer = question(5, "web.discoverd", kind::A);
        answer[2] |= 0x80;
        socket.send(&answer).expect("it is sent");
        socket.send(&[]).expect("it is sent");
        let short = question(6, "web.discoverd", kind::A);
        assert_eq!(told(&ask(&socket, &short[..20])), (6, 1, 0));
        assert_eq!(told(&ask(&socket, &[&short[..], &[0; 9000]].concat())), (6, 1, 0));
        // What has changed is told at once.
        drop(web);
        let start = Instant::now();
        while told(&ask(&socket, &question(7, "web.discoverd", kind::A))).1 != 3 {
            assert!(start.elapsed() < PATIENCE, "it is still there");
            thread::sleep(Duration::from_millis(10));
        }
        let Served { daemon, client, .. } = served;
        client.close();
        daemon.stop();
    }
}

/// Questions over TCP, many at once, in pieces, by somebody who does not read, and what is none.
///
/// # Panics
///
/// One is not answered as it should be.
pub fn streams(binary: &Path) {
    let served = Served::start(binary, "127.0.0.1:0", &[]);
    let _web = served.web();
    let all: Vec<_> =
        (0..70).map(|nth| served.register("many", &format!("10.0.1.{nth}:80"), &[])).collect();
    let connect = || {
        let stream = TcpStream::connect(served.dns).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has one");
        stream.set_nodelay(true).expect("a socket has it");
        stream
    };
    let mut stream = connect();
    let questions: Vec<u8> =
        (0..500).flat_map(|id| framed(&question(id, "many.discoverd", kind::A))).collect();
    let mut writer = stream.try_clone().expect("another handle");
    let write = thread::spawn(move || writer.write_all(&questions));
    for id in 0..500 {
        let answer = receive(&mut stream);
        assert_eq!(told(&answer), (id, 0, 70), "all instances");
    }
    write.join().expect("it does not panic").expect("it is sent");
    for byte in framed(&question(9, "many.discoverd", kind::SRV)) {
        stream.write_all(&[byte]).expect("it is sent");
    }
    assert_eq!(told(&receive(&mut stream)), (9, 0, 70));
    // One who asks without end and reads nothing is not read from for long, and nobody else waits for him.
    let mut deaf = connect();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).expect("a socket has one");
    let many = framed(&question(1, "many.discoverd", kind::SRV)).repeat(1000);
    assert!((0..5000).any(|_| deaf.write_all(&many).is_err()), "it takes everything");
    stream.write_all(&framed(&question(10, "web.discoverd", kind::A))).expect("it is sent");
    assert_eq!(told(&receive(&mut stream)), (10, 0, 1));
    // What is no question ends its connection, behind the answers.
    let mut bad = connect();
    let good = framed(&question(11, "web.discoverd", kind::A));
    bad.write_all(&[&good[..], b"\0\x03abc"].concat()).expect("it is sent");
    assert_eq!(told(&receive(&mut bad)), (11, 0, 1));
    assert_eq!(bad.read(&mut [0]).expect("an end"), 0);
    drop(all);
}

/// A flood of questions loses some, and takes nothing down.
///
/// # Panics
///
/// Nobody is answered any more.
pub fn flood(binary: &Path) {
    let served = Served::start(binary, "127.0.0.1:0", &[]);
    let _web = served.web();
    let before = served.daemon.resident();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let socket = udp(served.dns);
                let message = question(1, "web.discoverd", kind::SRV);
                for _ in 0..20_000 {
                    // What there is no room for is lost.
                    let _ = socket.send(&message);
                }
            });
        }
    });
    let socket = udp(served.dns);
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket has one");
    let answered = (0..20).any(|_| {
        let mut room = [0; 512];
        socket.send(&question(7, "web.discoverd", kind::A)).is_ok()
            && socket.recv(&mut room).is_ok_and(|length| told(&room[..length]) == (7, 0, 1))
    });
    assert!(answered, "it is silent");
    let grown = served.daemon.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

/// What is wrong on the command line.
///
/// # Panics
///
/// It is not said.
pub fn settings(binary: &Path) {
    let taken = free_address().to_string();
    let in_use = format!("{taken} is in use already");
    let itself = format!("--recursors {taken} is this server itself");
    for (args, said) in [
        (&["-dns", "nonsense"][..], "--dns \"nonsense\" is no address: use HOST:PORT"),
        (
            &["-dns", "127.0.0.1:0", "-recursors", "x"],
            "--recursors \"x\" is no address of a server",
        ),
        (&["-recursors", "10.0.0.2"], "--recursors is of no use without --dns"),
        (&["-dns", &taken], &in_use),
        (&["-dns", &taken, "-recursors", &taken], &itself),
    ] {
        // The last one has the port to itself.
        let held = (said != itself).then(|| UdpSocket::bind(&taken));
        let mut command = Command::new(binary);
        command.args(["-bind", "127.0.0.1:0", "-store", "memory"]).args(args);
        let output = command.stdin(Stdio::null()).output().expect("it can be run");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(said), "{args:?}: {error}");
        drop(held);
    }
}

/// A server that says the same of every name: one address, for as long as this process is there. Of those for whom it does not answer in
/// datagrams, it says so.
fn recursor() -> SocketAddr {
    let (socket, listener) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        if let Ok(socket) = UdpSocket::bind(address) {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().expect("it is bound");
    let answer = |message: &[u8], is_short: bool| {
        let query = Query::read(message).expect("a question");
        let mut answer = message.to_vec();
        (answer[2], answer[3]) = (0x81 | u8::from(is_short) << 1, 0x80);
        if !is_short {
            answer[7] = 1;
            answer.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
        }
        (query.question.name.to_string(), answer)
    };
    thread::spawn(move || {
        let mut room = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut room) {
            let (name, _) = answer(&room[..length], false);
            let (_, said) = answer(&room[..length], name.starts_with("long."));
            // Somebody else's answer comes first, and one that is none.
            let mut wrong = said.clone();
            wrong[0] ^= 1;
            for said in [&wrong[..], b"", b"rubbish", &said] {
                let _ = socket.send_to(said, peer);
            }
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (_, said) = answer(&receive(&mut stream), false);
            let _ = stream.write_all(&framed(&said));
        }
    });
    address
}

/// Other names come from other servers, the next of which is asked when one is silent or not there.
///
/// # Panics
///
/// They do not.
pub fn recursors(binary: &Path) {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let silent_at = silent.local_addr().expect("it is bound").to_string();
    let gone_at = free_address().to_string();
    let good = recursor();
    let served =
        Served::start(binary, "127.0.0.1:0", &["-recursors", &format!("{gone_at},{good}")]);
    let _web = served.web();
    let socket = udp(served.dns);
    let start = Instant::now();
    for id in 0..50 {
        let answer = ask(&socket, &question(id, "Example.org", kind::A));
        assert_eq!(told(&answer), (id, 0, 1));
        assert!(answer.ends_with(&[192, 0, 2, 1]) && answer[3] & 0x80 != 0, "{answer:?}");
        assert!(answer[12..].starts_with(b"\x07Example\x03org\0"), "as it was spelled");
    }
    assert!(start.elapsed() < Duration::from_secs(50), "who is not there is not waited for");
    let short = ask(&socket, &question(60, "long.example.org", kind::A));
    assert_eq!((told(&short), short[2] & 2), ((60, 0, 0), 2), "a truncated answer passes");
    assert_eq!(told(&ask(&socket, &question(61, "web.discoverd", kind::A))), (61, 0, 1));
    let mut stream = TcpStream::connect(served.dns).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
    let both = ["long.example.org", "web.discoverd", "long.example.org"];
    for (id, name) in (0..).zip(both) {
        stream.write_all(&framed(&question(id, name, kind::A))).expect("it is sent");
    }
    let mut answers: Vec<_> = (0..3).map(|_| told(&receive(&mut stream))).collect();
    answers.sort_unstable();
    assert_eq!(answers, [(0, 0, 1), (1, 0, 1), (2, 0, 1)]);

    let served =
        Served::start(binary, "127.0.0.1:0", &["-recursors", &format!("{silent_at},{good}")]);
    let start = Instant::now();
    let socket = udp(served.dns);
    assert_eq!(told(&ask(&socket, &question(1, "example.org", kind::A))), (1, 0, 1));
    assert!(start.elapsed() > Duration::from_millis(1900), "{:?}", start.elapsed());

    let served = Served::start(binary, "127.0.0.1:0", &["-recursors", &gone_at]);
    let socket = udp(served.dns);
    assert_eq!(told(&ask(&socket, &question(1, "example.org", kind::A))), (1, 2, 0));
    // It ends while one is waited for.
    let served = Served::start(binary, "127.0.0.1:0", &["-recursors", &silent_at]);
    udp(served.dns).send(&question(1, "example.org", kind::A)).expect("it is sent");
    let mut room = [0; 512];
    silent.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
    // The first one is of the server before.
    for _ in 0..2 {
        silent.recv(&mut room).expect("it is asked");
    }
    let start = Instant::now();
    let Served { daemon, client, .. } = served;
    client.close();
    daemon.stop();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

/// What `dig` is told.
///
/// # Panics
///
/// It is told something else.
pub fn dig(binary: &Path) {
    let Some(dig) = program("dig") else {
        return skip("there is no dig: install Debian's bind9-dnsutils");
    };
    let served = Served::start(binary, "127.0.0.1:0", &[]);
    let _web = served.web();
    let many: Vec<_> =
        (0..70).map(|nth| served.register("many", &format!("10.0.1.{nth}:80"), &[])).collect();
    let says = |words: &[&str]| {
        let mut command = Command::new(&dig);
        let port = served.dns.port().to_string();
        command.args(["-r", "@127.0.0.1", "-p", &port, "+tries=1", "+norecurse"]).args(words);
        let output = command.stdin(Stdio::null()).output().expect("it can be run");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !said.contains("WARNING"), "{words:?}: {said}");
        said
    };
    let id = "e15086afcc9b0dda9e8d8cb223ff8556.web._i.discoverd.";
    for (words, expected) in [
        (&["web.discoverd", "A"][..], "10.0.0.1\n"),
        (&["web.discoverd", "AAAA"], "fd00::1\n"),
        (&["web.discoverd", "TXT"], "\"zone=a\"\n"),
        (&["_web._tcp.discoverd", "SRV"], &format!("1 1 80 {id}\n")),
        (&["leader.web.discoverd", "A"], "10.0.0.1\n"),
        (&[id, "A"], "10.0.0.1\n"),
        (&["discoverd", "NS"], "discoverd.\n"),
        (&["web.discoverd", "ANY", "+notcp"], "\"RFC8482\" \"\"\n"),
        (&["lang\\032\\195\\188.discoverd", "A"], "10.0.0.9\n"),
    ] {
        for transport in ["+notcp", "+tcp"] {
            let said = says(&[words, &["+short", transport]].concat());
            assert!(said.contains(expected), "{words:?}: {said}");
        }
    }
    assert_eq!(says(&["many.discoverd", "A", "+short"]).lines().count(), 3);
    assert_eq!(says(&["many.discoverd", "A", "+short", "+tcp"]).lines().count(), 70);
    // A text that no datagram of 512 bytes takes is asked for again over TCP.
    let said = says(&["lang\\032\\195\\188.discoverd", "TXT", "+noedns"]);
    assert!(said.contains("Truncated, retrying in TCP mode") && said.contains("(TCP)"), "{said}");
    for (words, expected) in [
        (
            &["nosuch.discoverd", "A"][..],
            &["NXDOMAIN", "qr aa;", "SOA\tdiscoverd. hostmaster.discoverd."][..],
        ),
        (&["web.discoverd", "MX"], &["NOERROR", "SOA\tdiscoverd. hostmaster.discoverd."]),
        (
            &["WeB.DISCOVERD", "A"],
            &["WeB.DISCOVERD.\t\t0\tIN\tA\t10.0.0.1", "; EDNS: version: 0, flags:; udp: 1232"],
        ),
        (&["web.discoverd", "A", "+noedns"], &["ADDITIONAL: 0"]),
        (&["web.discoverd", "A", "+edns=1", "+noednsnegotiation"], &["BADVERS"]),
        (&["web.discoverd", "A", "+opcode=NOTIFY", "+noedns"], &["NOTIMP"]),
        (&["example.org", "A"], &["REFUSED"]),
        (&["version.bind", "CH", "TXT"], &["REFUSED"]),
    ] {
        let said = says(words);
        for word in expected {
            assert!(said.contains(word), "{words:?}: {word} is not in {said}");
        }
    }
    drop(many);
}

/// What node asks, through c-ares.
const RESOLVER: &str = r"
const { Resolver } = require('node:dns').promises;
const resolver = new Resolver({ timeout: 5000, tries: 2 });
resolver.setServers([process.argv[1]]);
const settled = (asked) => asked.catch((error) => error.code);
(async () => {
    console.log(JSON.stringify({
        a: await resolver.resolve4('WEB.discoverd', { ttl: true }),
        aaaa: await resolver.resolve6('web.discoverd'),
        srv: (await resolver.resolveSrv('_web._tcp.discoverd')).map((it) => [it.port, it.name]).sort(),
        txt: await resolver.resolveTxt('web.discoverd'),
        long: (await resolver.resolveTxt('long.discoverd'))[0].map((it) => it.length),
        target: await resolver.resolve4((await resolver.resolveSrv('leader.web.discoverd'))[0].name),
        soa: (await resolver.resolveSoa('discoverd')).hostmaster,
        unknown: await settled(resolver.resolve4('nosuch.discoverd')),
        none: await settled(resolver.resolveMx('web.discoverd')),
        refused: await settled(resolver.resolve4('example.org')),
        many: (await Promise.all([...Array(200)].map(() => resolver.resolve4('web.discoverd')))).flat().length,
    }));
})();
";

/// What a program in another language is told by its own resolver.
///
/// # Panics
///
/// It is told something else.
pub fn resolver(binary: &Path) {
    let Some(node) = which("node") else {
        return skip("there is no node: install Debian's nodejs");
    };
    let served = Served::start(binary, "127.0.0.1:0", &[]);
    let _web = served.web();
    let _long = served.register("long", "10.0.0.9:1", &[("long", &"x".repeat(600))]);
    let mut command = Command::new(node);
    command.args(["-e", RESOLVER, &served.dns.to_string()]).stdin(Stdio::null());
    let output = command.output().expect("it can be run");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = serde_json::json!({
        "a": [{ "address": "10.0.0.1", "ttl": 0 }],
        "aaaa": ["fd00::1"],
        "srv": [
            [80, "e15086afcc9b0dda9e8d8cb223ff8556.web._i.discoverd"],
            [81, libswarm::discovery::instance_id("tcp", "[fd00::1]:81") + ".web._i.discoverd"],
        ],
        "txt": [["zone=a"]],
        "long": [255, 255, 95],
        "target": ["10.0.0.1"],
        "soa": "hostmaster.discoverd",
        "unknown": "ENOTFOUND",
        "none": "ENODATA",
        "refused": "EREFUSED",
        "many": 200,
    });
    assert_eq!(found, expected);
}
