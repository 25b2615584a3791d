//! A client at the end of a node's connection, a clock that is set by hand, and a backend that does as the path says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::backend::Registry;
use libswarm::job::{Backend, Cancel, Cx, Engine, Event, FailureKind, Log, Status, Stdio, Stream};
use libswarm::node::{Action, CloseReason, Config, Input};
use libswarm::{ConnId, Instant, JobId, Node};

/// What the test backend was told, in order.
pub(crate) type Journal = Arc<Mutex<Vec<String>>>;

/// A node, and what its clients have got.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) now: Instant,
    pub(crate) journal: Journal,
    pub(crate) logs: Vec<Log>,
    /// Connections to servers that the node has asked for, in order, and where to.
    pub(crate) connects: Vec<(ConnId, String)>,
    peers: BTreeMap<ConnId, Peer>,
}

/// One client's end.
#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) got: Vec<u8>,
    pub(crate) shutdown: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) granted: bool,
    pub(crate) writes: usize,
    /// Writes are not done until [`World::drain`].
    pub(crate) stalled: bool,
    /// What comes from it goes there, up to that limit, and not to the node.
    pub(crate) spliced: Option<(ConnId, Option<u64>)>,
    busy: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let journal = Journal::default();
        let test = Test { journal: Arc::clone(&journal), left: BTreeMap::new() };
        Self::of(config, journal, "test", Box::new(test))
    }

    /// A node that forwards.
    pub(crate) fn forwarding() -> Self {
        Self::forwarding_with(Config::default())
    }

    pub(crate) fn forwarding_with(config: Config) -> Self {
        let line = "forward --connect-timeout 3 unix://engine.sock";
        let (name, backend) = Registry::standard().make(line).unwrap();
        Self::of(config, Journal::default(), &name, backend)
    }

    fn of(config: Config, journal: Journal, name: &str, backend: Box<dyn Backend>) -> Self {
        let mut engine = Engine::new(1);
        engine.push(name, backend);
        Self {
            node: Node::new(config, engine),
            now: Instant::ZERO,
            journal,
            logs: Vec::new(),
            connects: Vec::new(),
            peers: BTreeMap::new(),
        }
    }

    pub(crate) fn connect(&mut self) -> ConnId {
        let id = self.node.accept(self.now).expect("room for a connection");
        self.peers.insert(id, Peer::default());
        self.run();
        id
    }

    /// Opens the connection to a server that the node asks for, and names it.
    pub(crate) fn upstream(&mut self) -> ConnId {
        let (id, to) = self.connects.remove(0);
        assert_eq!(to, "unix://engine.sock");
        self.peers.insert(id, Peer::default());
        self.node.handle(self.now, Input::Connected(id));
        self.run();
        id
    }

    /// Refuses it.
    pub(crate) fn no_upstream(&mut self, reason: &str) {
        let (id, _) = self.connects.remove(0);
        self.node.handle(self.now, Input::ConnectFailed(id, reason));
        self.run();
    }

    pub(crate) fn peer(&self, id: ConnId) -> &Peer {
        &self.peers[&id]
    }

    /// Sends `bytes`, as far as the node grants reads; returns how many were taken.
    pub(crate) fn send(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let mut sent = 0;
        for piece in bytes.chunks(16 * 1024) {
            if !self.peers[&id].granted || self.peers[&id].closed.is_some() {
                break;
            }
            self.peers.get_mut(&id).unwrap().granted = false;
            self.node.handle(self.now, Input::Received(id, piece));
            sent += piece.len();
            self.run();
        }
        sent
    }

    /// Sends `bytes` as one read brings them.
    pub(crate) fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        assert!(
            std::mem::take(&mut self.peers.get_mut(&id).unwrap().granted),
            "no read is granted"
        );
        self.node.handle(self.now, Input::Received(id, bytes));
        self.run();
    }

    pub(crate) fn half_close(&mut self, id: ConnId) {
        self.peers.get_mut(&id).unwrap().granted = false;
        self.node.handle(self.now, Input::PeerShutdown(id));
        self.run();
    }

    pub(crate) fn vanish(&mut self, id: ConnId) {
        self.node.handle(self.now, Input::Broken(id));
        self.run();
    }

    /// Says what became of the splice from that connection.
    pub(crate) fn spliced(&mut self, from: ConnId, bytes: u64, eof: bool) {
        let spliced = self.peers.get_mut(&from).unwrap().spliced.take();
        assert!(spliced.is_some(), "nothing is spliced from {from}");
        self.node.handle(self.now, Input::Spliced { from, bytes, eof });
        self.run();
    }

    pub(crate) fn write_fails(&mut self, id: ConnId) {
        self.peers.get_mut(&id).unwrap().busy = false;
        self.node.handle(self.now, Input::WriteFailed(id));
        self.run();
    }

    pub(crate) fn fail(&mut self, id: ConnId, reason: &str) {
        self.node.handle(self.now, Input::Failed(id, reason));
        self.run();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.node.handle(self.now, Input::Timeout);
            self.run();
        }
        self.now = end;
    }

    pub(crate) fn stop(&mut self) {
        self.node.handle(self.now, Input::Stop);
        self.run();
    }

    pub(crate) fn stall(&mut self, id: ConnId) {
        self.peers.get_mut(&id).unwrap().stalled = true;
    }

    /// Lets one stalled write be done.
    pub(crate) fn drain(&mut self, id: ConnId) -> bool {
        let peer = self.peers.get_mut(&id).unwrap();
        if !std::mem::take(&mut peer.busy) {
            return false;
        }
        self.node.handle(self.now, Input::Done(id));
        self.run();
        true
    }

    /// All that the client has got, as text; taken out.
    pub(crate) fn text(&mut self, id: ConnId) -> String {
        let got = std::mem::take(&mut self.peers.get_mut(&id).unwrap().got);
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Connects, sends one request, returns all that came back.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        let id = self.connect();
        self.send(id, request.as_bytes());
        self.text(id)
    }

    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.journal.lock().unwrap())
    }

    fn run(&mut self) {
        let mut out = Vec::new();
        loop {
            out.clear();
            let Some(action) = self.node.poll(&mut out) else { return };
            match action {
                Action::Read(id) => {
                    let peer = self.peers.get_mut(&id).unwrap();
                    assert!(!peer.granted, "two reads are granted at once");
                    assert_eq!(peer.spliced, None, "a read beside a splice");
                    peer.granted = true;
                }
                Action::Write { conn, length } => {
                    assert!(length > 0 && length == out.len());
                    let peer = self.peers.get_mut(&conn).unwrap();
                    assert!(!peer.busy && !peer.shutdown && peer.closed.is_none());
                    peer.got.extend_from_slice(&out);
                    peer.writes += 1;
                    if peer.stalled {
                        peer.busy = true;
                    } else {
                        self.node.handle(self.now, Input::Done(conn));
                    }
                }
                Action::Shutdown(id) => {
                    let peer = self.peers.get_mut(&id).unwrap();
                    assert!(!peer.busy && !peer.shutdown);
                    peer.shutdown = true;
                    self.node.handle(self.now, Input::Done(id));
                }
                Action::Close { conn, why } => {
                    // One that was never opened has no peer.
                    if let Some(peer) = self.peers.get_mut(&conn) {
                        assert_eq!(peer.closed.replace(why), None, "closed twice");
                        peer.spliced = None;
                    }
                }
                Action::Splice { from, to, limit } => {
                    let target = &self.peers[&to];
                    assert!(!target.busy && !target.shutdown && target.closed.is_none());
                    let fed = self.peers.values().filter_map(|peer| peer.spliced);
                    assert!(fed.clone().all(|(other, _)| other != to), "{to} is fed twice");
                    let source = self.peers.get_mut(&from).unwrap();
                    assert!(!source.granted, "a splice beside a read");
                    assert_eq!(source.spliced.replace((to, limit)), None);
                }
                Action::Connect { conn, to, .. } => self.connects.push((conn, to.to_string())),
                Action::Log(log) => self.logs.push(log),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Answers by the name of the job, and writes down what it is told.
struct Test {
    journal: Journal,
    left: BTreeMap<JobId, usize>,
}

impl Test {
    fn note(&self, line: String) {
        self.journal.lock().unwrap().push(line);
    }

    /// Writes as much as there is room for, again and again.
    fn drown(&mut self, cx: &mut Cx<'_>, job: JobId) {
        self.left.insert(job, usize::MAX);
        self.fill(cx, job);
    }

    fn fill(&mut self, cx: &mut Cx<'_>, job: JobId) {
        let Some(left) = self.left.get_mut(&job) else { return };
        while *left > 0 {
            let piece = [b'x'; 10_000];
            let taken = cx.write(job, &piece[..piece.len().min(*left)]);
            *left -= taken;
            if taken < piece.len() && *left > 0 {
                return;
            }
        }
        cx.exit(job, Status::Ok);
    }
}

impl Backend for Test {
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
        match event {
            Event::Start(asked) => {
                self.note(format!("start {asked}"));
                match asked.name() {
                    "ping" => cx.reply(job, "OK"),
                    "info" => cx.reply_json(job, &serde_json::json!({"Name": "test"})),
                    // As many bytes as are asked for, whole.
                    "containers" => {
                        let length = asked.env("limit").and_then(|n| n.parse().ok()).unwrap_or(2);
                        cx.reply(job, vec![b'y'; length]);
                    }
                    // As many bytes as are asked for, written in pieces.
                    "image_export" => {
                        let length = asked.arg(0).and_then(|n| n.parse().ok()).unwrap();
                        self.left.insert(job, length);
                        self.fill(cx, job);
                    }
                    "events" => {
                        cx.begin(job, Stdio::Raw);
                        cx.write(job, b"{}\n");
                        cx.timer(job, cx.now() + Duration::from_secs(1), 7);
                    }
                    "wait" => cx.begin(job, Stdio::Raw),
                    "create" | "load" => cx.read_to_end(job, 100_000),
                    "build" | "image_push" => cx.read(job),
                    "attach" => {
                        if asked.arg(0).as_deref() == Some("nosuch") {
                            let message = "No such container: nosuch";
                            return cx.fail(job, FailureKind::NotFound, message);
                        }
                        if asked.arg(0).as_deref() == Some("later") {
                            cx.timer(job, cx.now() + Duration::from_secs(1), 3);
                            return;
                        }
                        cx.begin(job, Stdio::Multiplexed);
                        cx.write_to(job, Stream::Stdout, b"hello\n");
                        cx.read(job);
                    }
                    "session" => {
                        cx.begin(job, Stdio::Raw);
                        cx.read(job);
                    }
                    "exec_start" => cx.read_to_end(job, 1000),
                    "start" => cx.fail(job, FailureKind::NotModified, ""),
                    "stop" => cx.exit(job, Status::Ok),
                    "restart" => _ = cx.timer(job, cx.now() + Duration::from_secs(1), 0),
                    "container_inspect" => {
                        let name = asked.arg(0).unwrap_or_default();
                        let message = format!("No such container: {name}");
                        cx.fail(job, FailureKind::NotFound, message);
                    }
                    // Fails when half of it is written.
                    "export" => {
                        cx.write(job, b"half");
                        cx.timer(job, cx.now() + Duration::from_secs(1), 1);
                    }
                    "http" if asked.arg(1).as_deref() == Some("/endless") => self.drown(cx, job),
                    "http" if asked.arg(1).as_deref() == Some("/failing") => {
                        self.drown(cx, job);
                        cx.timer(job, cx.now() + Duration::from_secs(1), 1);
                    }
                    _ => cx.pass(job),
                }
            }
            Event::Stdin(bytes) => {
                self.note(format!("stdin {}", bytes.len()));
                let raw = cx.job(job).is_some_and(|asked| asked.name() == "attach");
                if raw {
                    cx.write_to(job, Stream::Stderr, bytes);
                }
                cx.read(job);
            }
            Event::StdinEnd => {
                self.note("stdin end".into());
                if cx.job(job).is_some_and(|asked| asked.name() == "attach") {
                    cx.write(job, b"bye\n");
                    cx.timer(job, cx.now() + Duration::from_secs(1), 2);
                } else {
                    cx.reply(job, "{}\n");
                }
            }
            Event::Body(body) => {
                self.note(format!("body {}", body.len()));
                if cx.job(job).is_some_and(|asked| asked.name() == "exec_start") {
                    cx.begin(job, Stdio::Raw);
                    if cx.job(job).and_then(|asked| asked.arg(0)).as_deref() == Some("stdin") {
                        return cx.read(job);
                    }
                    cx.write(job, body);
                    return cx.exit(job, Status::Ok);
                }
                cx.reply(job, body.to_vec());
            }
            Event::Writable => {
                self.note("writable".into());
                self.fill(cx, job);
            }
            Event::Timer(1) => cx.fail(job, FailureKind::System, "the disk is gone"),
            Event::Timer(3) => {
                cx.begin(job, Stdio::Raw);
                cx.read(job);
            }
            Event::Timer(7) => {
                cx.write(job, b"{\"tick\":1}\n");
                cx.timer(job, cx.now() + Duration::from_secs(1), 7);
            }
            Event::Timer(_) => cx.exit(job, Status::Ok),
            Event::Cancelled(why) => {
                self.note(format!("cancelled: {why}"));
                self.left.remove(&job);
                if why != Cancel::Gone && cx.job(job).is_some_and(|asked| asked.name() == "wait") {
                    cx.reply(job, "{\"StatusCode\":-1}\n");
                }
            }
            _ => {}
        }
    }
}

/// A client sends `request`, which a server has read: both ends.
pub(crate) fn asked(world: &mut World, request: &str) -> (ConnId, ConnId) {
    let client = world.connect();
    world.send(client, request.as_bytes());
    let server = world.upstream();
    world.text(server);
    (client, server)
}
