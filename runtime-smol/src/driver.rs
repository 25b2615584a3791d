//! The loop: what happened goes into the node, what it asks for is done.

use std::collections::{HashSet, VecDeque};
use std::hint;
use std::io;
use std::mem::{self, MaybeUninit};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use libswarm::address::Remote;
use libswarm::discovery::dns::SocketId;
use libswarm::node::{Action, Input};
use libswarm::{ConnId, Instant, Node};
use libswarm_host::{
    Certificates, Clock, DatagramSocket, Inbox, JournalWriter, Listener, Obituary, Outbox, Server,
    Serves, Stopped, Transport, Wake, concerns_one_connection, connect_now, print_log,
};
use log::Level;
use rustix::event::epoll::EventFlags;

use crate::crowd;
use crate::epoll::{BATCH, Epoll, Events, LOOKS, PAUSE, yield_now};
use crate::socket::{Room, Socket, Written};

/// What a thread that waited in the driver's place has to say.
enum Told {
    /// A connection that was asked for, or why it cannot be had.
    Opened(ConnId, io::Result<Transport>),
    /// Why a connection has ended.
    Failed(ConnId, String),
    /// What came of a write to the journal.
    Persisted(Result<(), String>),
}

pub(crate) struct Driver {
    pub(crate) node: Node,
    clock: Clock,
    epoll: Epoll,
    listeners: Vec<Listener>,
    datagrams: Vec<DatagramSocket>,
    /// What has come to one of these, if there are any; and what is to go out.
    inbox: Option<Inbox>,
    outbox: Outbox,
    /// Accepting failed for want of files; the listeners are not watched until then.
    accepts_again: Option<Instant>,
    stopped: Stopped,
    /// Connections that are being opened on threads of their own, and where these say how that went.
    opening: HashSet<ConnId>,
    told: (Sender<Told>, Receiver<Told>),
    wake: Arc<Wake>,
    /// By the slot of their connection's id.
    pub(crate) sockets: Vec<Option<Socket>>,
    /// Connections that may be read at once.
    pub(crate) runnable: VecDeque<ConnId>,
    pub(crate) room: Room,
    certificates: Certificates,
    journal: Option<JournalWriter>,
    /// The journal's thread is at work, which may need this thread's core.
    saving: bool,
    /// Clients that have connected lately, and until when they may take to agree on TLS; the earliest first.
    handshakes: VecDeque<(Instant, ConnId)>,
    handshake_timeout: Duration,
    out: Vec<u8>,
    /// Who is to be written to from `out`, and where in it that ends.
    writes: Vec<(ConnId, usize)>,
    /// How many threads may write at once.
    writers: usize,
    /// The node has more to do than one turn allows.
    unfinished: bool,
    pub(crate) now: Instant,
    waits: Waits,
}

/// Where the loop waits while there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// In smol's reactor, so that the executor's other tasks run. That takes it five system calls each time.
    Reactor,
    /// In its own epoll: the thread has nothing else to do.
    Thread,
}

/// So many connections are accepted before those that are open get their turn.
const ACCEPTS: usize = 64;
/// A busy loop lets other tasks run after so many rounds: each time costs the reactor's system calls.
const ROUNDS: u32 = 64;
/// So much is done for the node before what has happened meanwhile gets its turn: a job that always has more to say must not
/// keep the loop.
const ACTIONS: u32 = 256;
/// What is to be written is collected up to this: one change for a few thousand subscribers.
const COLLECT: usize = 256 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const WATCH: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
const WATCH_ROOM: EventFlags = WATCH.union(EventFlags::OUT);
/// Tokens of sources that are no connection; a connection's token is its id, whose generation never comes that far.
const STOP: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const LISTENER: u64 = u64::MAX - 0xffff;
const DATAGRAMS: u64 = LISTENER - 0x1_0000;

const fn token(id: ConnId) -> u64 {
    (id.generation() as u64) << 32 | id.slot() as u64
}

impl Driver {
    pub(crate) fn new(mut server: Server, waits: Waits) -> io::Result<Self> {
        server.config.splice = true;
        // The agreement is the head of a connection.
        let handshake_timeout = server.config.head_timeout;
        let mut node = Node::new(server.config, server.engine);
        if let Some(agent) = server.agent {
            node.set_agent(agent);
        }
        if let Some(dns) = server.dns {
            node.set_dns(dns);
        }
        let (told, wake) = (channel(), Arc::new(Wake::new()?));
        let journal = match server.journal {
            None => None,
            Some(files) => {
                let (told, wake) = (told.0.clone(), Arc::clone(&wake));
                Some(JournalWriter::start(files, move |result| {
                    // The driver is gone only if nobody wants to know any more.
                    let _ = told.send(Told::Persisted(result.map_err(str::to_owned)));
                    wake.call();
                })?)
            }
        };
        let mut driver = Self {
            node,
            clock: server.clock,
            epoll: Epoll::new()?,
            listeners: server.listeners,
            inbox: (!server.datagrams.is_empty()).then(Inbox::default),
            datagrams: server.datagrams,
            outbox: Outbox::default(),
            accepts_again: None,
            stopped: server.stopped,
            opening: HashSet::new(),
            told,
            wake,
            sockets: Vec::new(),
            runnable: VecDeque::new(),
            room: Room::new(),
            certificates: server.certificates,
            journal,
            saving: false,
            handshakes: VecDeque::new(),
            handshake_timeout,
            out: Vec::new(),
            writes: Vec::new(),
            writers: crowd::writers(),
            unfinished: false,
            now: server.clock.now(),
            waits,
        };
        driver.epoll.add(&driver.stopped, STOP, EventFlags::IN | EventFlags::ET)?;
        driver.epoll.add(&*driver.wake, WAKE, EventFlags::IN)?;
        for (token, listener) in (LISTENER..).zip(&driver.listeners) {
            listener.set_nonblocking(true)?;
            driver.epoll.add(listener, token, EventFlags::IN)?;
        }
        for (token, socket) in (DATAGRAMS..).zip(&driver.datagrams) {
            driver.epoll.add(socket, token, EventFlags::IN)?;
        }
        driver.act();
        Ok(driver)
    }

    pub(crate) async fn run(mut self) -> io::Result<()> {
        let mut room: Events = [const { MaybeUninit::uninit() }; BATCH];
        let mut rounds = 0;
        let mut looks = 0;
        let mut unsaved = false;
        while !self.node.is_stopped() {
            let nothing_to_do = self.runnable.is_empty() && !self.unfinished && !unsaved;
            let timeout = match self.waits {
                Waits::Thread if nothing_to_do && looks == 0 => self.due(),
                _ => Some(Duration::ZERO),
            };
            let mut idle = true;
            let events = self.epoll.take(&mut room, timeout)?;
            if events.len() > 1 && self.waits == Waits::Thread && !self.saving {
                looks = LOOKS;
            }
            for event in events.iter() {
                if idle {
                    idle = false;
                    self.now = self.clock.now();
                }
                self.event(event.data.u64(), event.flags);
            }
            for _ in 0..self.runnable.len() {
                let Some(id) = self.runnable.pop_front() else { break };
                idle = false;
                self.read(id);
            }
            if self.unfinished {
                idle = false;
                self.act();
            }
            // What comes together is written together: once nothing more is there.
            unsaved = !idle && self.journal.is_some();
            if idle {
                self.persist();
            }
            if idle && looks > 0 {
                looks -= 1;
                (0..PAUSE).for_each(|_| hint::spin_loop());
                continue;
            }
            rounds += 1;
            if !idle && rounds < ROUNDS {
                continue;
            }
            rounds = 0;
            match self.waits {
                Waits::Thread => {}
                Waits::Reactor if idle => self.epoll.wait(self.due()).await?,
                Waits::Reactor => yield_now().await,
            }
            self.now = self.clock.now();
            self.timeouts();
            self.persist();
        }
        libswarm_host::save(self.node.save()).map_err(io::Error::other)
    }

    /// Has written to the journal what has come.
    fn persist(&mut self) {
        if let Some(journal) = &self.journal
            && let Some(what) = self.node.poll_persist()
        {
            journal.write(what);
            self.saving = true;
        }
    }

    /// How long until something is due without an event.
    fn due(&self) -> Option<Duration> {
        let handshake = self.handshakes.front().map(|(at, _)| *at);
        let all = [self.node.poll_timeout(), self.accepts_again, handshake];
        let at = all.into_iter().flatten().min()?;
        Some(at.saturating_since(self.clock.now()))
    }

    fn timeouts(&mut self) {
        if self.node.poll_timeout().is_some_and(|at| at <= self.now) {
            self.handle(Input::Timeout);
        }
        if self.accepts_again.is_some_and(|at| at <= self.now) {
            self.accepts_again = None;
            self.watch_listeners(EventFlags::IN);
        }
        while let Some(&(at, id)) = self.handshakes.front() {
            let is_late = find(&mut self.sockets, id).is_some_and(|s| s.is_handshaking());
            if is_late && at > self.now {
                break;
            }
            self.handshakes.pop_front();
            if is_late {
                log::info!("{id}: the TLS handshake takes too long");
                self.handle(Input::Broken(id));
            }
        }
    }

    fn event(&mut self, source: u64, flags: EventFlags) {
        match source {
            STOP => {
                // Closed here, so that nobody else connects; a unix socket's file goes with its listener.
                self.listeners.clear();
                self.datagrams.clear();
                self.handle(Input::Stop);
            }
            WAKE => {
                self.wake.answer();
                while let Ok(told) = self.told.1.try_recv() {
                    self.saving &= !matches!(told, Told::Persisted(_));
                    match told {
                        Told::Opened(id, opened) => self.connected(id, opened),
                        Told::Failed(id, reason) => self.handle(Input::Failed(id, &reason)),
                        Told::Persisted(Ok(())) => self.handle(Input::Persisted),
                        Told::Persisted(Err(reason)) => {
                            self.handle(Input::PersistFailed(&reason));
                        }
                    }
                }
            }
            LISTENER.. => self.accept((source - LISTENER) as usize),
            DATAGRAMS.. => self.receive((source - DATAGRAMS) as usize),
            source => self.socket_event(source, flags),
        }
    }

    fn socket_event(&mut self, source: u64, flags: EventFlags) {
        let slot = (source & u64::from(u32::MAX)) as usize;
        let Some(socket) = self.sockets.get_mut(slot).and_then(Option::as_mut) else { return };
        if token(socket.id) != source {
            return;
        }
        let id = socket.id;
        socket.hung_up |= flags.intersects(EventFlags::HUP | EventFlags::ERR);
        socket.ended |= flags.contains(EventFlags::RDHUP) || socket.hung_up;
        socket.readable |= flags.contains(EventFlags::IN) || socket.ended;
        let reads = socket.readable && socket.is_wanted() && !socket.queued;
        if socket.eof && socket.hung_up {
            self.handle(Input::Broken(id));
            return;
        }
        if flags.contains(EventFlags::OUT) {
            match socket.write_on(&mut self.room) {
                Ok(Some(Written::All)) => match socket.fed_by {
                    None => self.handle(Input::Done(id)),
                    Some(from) => self.feed_on(from),
                },
                Ok(_) => {}
                Err(error) => {
                    self.write_failed(id, &error);
                    self.act();
                }
            }
        }
        if reads {
            self.read(id);
        }
    }

    /// Takes the datagrams that wait in a socket; what is left of them is told of again.
    fn receive(&mut self, nth: usize) {
        let (Some(socket), Some(inbox)) = (self.datagrams.get(nth), &mut self.inbox) else {
            return;
        };
        inbox.receive(socket);
        let id = SocketId(nth as u32);
        for (peer, bytes) in inbox.iter() {
            self.node.handle(self.now, Input::Datagram(id, peer, bytes));
        }
        self.act();
    }

    /// Reads once from a connection that is granted a read.
    fn read(&mut self, id: ConnId) {
        let Some(socket) = find(&mut self.sockets, id) else { return };
        socket.queued = false;
        if socket.splice.is_some() {
            return self.pass(id);
        }
        if !(socket.readable && socket.granted) {
            return;
        }
        match socket.read(&mut self.room) {
            Ok(None) => {
                if socket.readable {
                    // All that came was the encryption's own.
                    socket.queued = true;
                    self.runnable.push_back(id);
                }
                self.watch_room(id);
            }
            // A datagram without bytes is no end.
            Ok(Some([])) if !socket.stream.is_datagrams() => {
                if let Some(obituary) = socket.stream.obituary() {
                    return self.read_obituary(id, obituary);
                }
                socket.granted = false;
                socket.eof = true;
                let gone = socket.hung_up;
                self.handle(Input::PeerShutdown(id));
                if gone {
                    self.handle(Input::Broken(id));
                }
            }
            Ok(Some(bytes)) => {
                socket.granted = false;
                let is_encrypted = socket.tls.is_some();
                self.node.handle(self.now, Input::Received(id, bytes));
                self.act();
                if is_encrypted {
                    self.watch_room(id);
                }
            }
            Err(error) => self.failed(id, &error),
        }
    }

    /// Learns why a connection has ended, on a thread, because that takes a moment.
    pub(crate) fn read_obituary(&mut self, id: ConnId, obituary: Obituary) {
        if let Some(socket) = find(&mut self.sockets, id) {
            socket.granted = false;
        }
        let (told, wake) = (self.told.0.clone(), Arc::clone(&self.wake));
        let reading = move || {
            // The driver is gone only if nobody wants to know any more.
            let _ = told.send(Told::Failed(id, obituary.read()));
            wake.call();
        };
        if thread::Builder::new().spawn(reading).is_err() {
            self.handle(Input::Broken(id));
        }
    }

    /// Has epoll tell of room for what a connection could not send.
    pub(crate) fn watch_room(&mut self, id: ConnId) {
        if let Some(socket) = find(&mut self.sockets, id)
            && !socket.watches_room
            && socket.wants_room()
        {
            socket.watches_room = true;
            if let Err(error) = self.epoll.modify(&socket.stream, token(id), WATCH_ROOM) {
                self.failed(id, &error);
            }
        }
    }

    pub(crate) fn failed(&mut self, id: ConnId, error: &io::Error) {
        let Some(socket) = find(&mut self.sockets, id) else { return };
        if let Some(obituary) = socket.stream.obituary() {
            return self.read_obituary(id, obituary);
        }
        if socket.tls.is_some() {
            let level = if socket.is_handshaking() { Level::Info } else { Level::Debug };
            log::log!(level, "{}: {error}", socket.stream.peer());
        }
        self.handle(Input::Failed(id, &error.to_string()));
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.act();
    }

    /// Does what the node asks for.
    fn act(&mut self) {
        self.do_actions();
        if !self.outbox.is_empty() {
            self.outbox.send(&self.datagrams);
        }
    }

    fn do_actions(&mut self) {
        self.unfinished = false;
        let mut actions = 0;
        while actions < ACTIONS {
            let start = self.out.len();
            let action = self.node.poll(&mut self.out);
            if let Some(Action::SendTo { socket, peer, .. }) = action {
                self.outbox.push(socket, peer, &self.out[start..]);
                self.out.truncate(start);
                actions += 1;
                continue;
            }
            if let Some(Action::Write { conn, .. }) = action {
                self.writes.push((conn, self.out.len()));
                if self.out.len() < COLLECT {
                    continue;
                }
            }
            actions += 1;
            if action.is_none() && self.writes.is_empty() {
                return;
            }
            // What is written may be answered with more to do.
            self.write_all();
            match action {
                None | Some(Action::Write { .. }) => {}
                Some(action) => self.perform(action),
            }
        }
        self.write_all();
        self.unfinished = true;
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Read(id) => {
                if let Some(socket) = find(&mut self.sockets, id) {
                    socket.granted = true;
                    if socket.readable && !socket.queued {
                        socket.queued = true;
                        self.runnable.push_back(id);
                    }
                }
            }
            Action::Connect { conn, to, within } => self.connect(conn, to, within),
            Action::Shutdown(id) => {
                let Some(socket) = find(&mut self.sockets, id) else { return };
                let written = socket.shut_down();
                self.written(id, written);
            }
            Action::Close { conn, why } => {
                self.opening.remove(&conn);
                if let Some(socket) = find(&mut self.sockets, conn) {
                    log::debug!("{conn} closes: {why}");
                    if why.is_reset() {
                        socket.stream.reset_on_close();
                    } else {
                        socket.say_goodbye();
                    }
                    let (feeds, fed_by) = (socket.splice.take(), socket.fed_by);
                    self.sockets[conn.slot()] = None;
                    self.end_splices(feeds, fed_by);
                }
            }
            Action::Splice { from, to, limit } => self.splice(from, to, limit),
            Action::Log(log) => print_log(&log),
            _ => {}
        }
    }

    /// Writes what was collected.
    fn write_all(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        // A write that fails may have more done, which collects anew.
        let (mut writes, mut out) = (mem::take(&mut self.writes), mem::take(&mut self.out));
        if writes.len() >= crowd::FEWEST && self.writers > 1 {
            for (id, written) in crowd::write(&mut self.sockets, &writes, &out, self.writers) {
                self.written(id, written);
            }
        } else {
            let mut start = 0;
            for (id, end) in &writes {
                if let Some(socket) = find(&mut self.sockets, *id) {
                    let written = socket.write(&out[start..*end]);
                    self.written(*id, written);
                }
                start = *end;
            }
        }
        writes.clear();
        out.clear();
        if self.writes.is_empty() {
            (self.writes, self.out) = (writes, out);
        }
    }

    fn written(&mut self, id: ConnId, written: io::Result<Written>) {
        let input = match written {
            Ok(Written::All) => Input::Done(id),
            Ok(Written::Partly) => {
                let Some(socket) = find(&mut self.sockets, id) else { return };
                if socket.watches_room {
                    return;
                }
                socket.watches_room = true;
                match self.epoll.modify(&socket.stream, token(id), WATCH_ROOM) {
                    Ok(()) => return,
                    Err(_) => Input::Broken(id),
                }
            }
            Err(error) => return self.write_failed(id, &error),
        };
        self.node.handle(self.now, input);
    }

    /// What the peer sent before it went may still be read, and says why, if anything does.
    pub(crate) fn write_failed(&mut self, id: ConnId, error: &io::Error) {
        let Some(socket) = find(&mut self.sockets, id) else { return };
        log::debug!("{}: {error}", socket.stream.peer());
        if let Some(obituary) = socket.stream.obituary() {
            return self.read_obituary(id, obituary);
        }
        self.node.handle(self.now, Input::WriteFailed(id));
    }

    fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(listener) else { return };
            match listener.accept() {
                Ok(transport) => {
                    let serves = listener.serves();
                    self.add(serves, transport);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    // The process or the system is out of files or memory. Connections wait in the backlog meanwhile.
                    log::warn!("cannot accept on {}: {error}; trying again", listener.address());
                    self.accepts_again = Some(self.now + ACCEPT_PAUSE);
                    self.watch_listeners(EventFlags::empty());
                    return;
                }
            }
        }
    }

    fn watch_listeners(&self, flags: EventFlags) {
        for (token, listener) in (LISTENER..).zip(&self.listeners) {
            if let Err(error) = self.epoll.modify(listener, token, flags) {
                log::warn!("cannot watch {}: {error}", listener.address());
            }
        }
    }

    /// Opens a connection to another server: at once where that is possible, else on a thread.
    fn connect(&mut self, id: ConnId, to: Remote, within: Duration) {
        self.opening.insert(id);
        if let Some(opened) = connect_now(&to) {
            return self.connected(id, opened);
        }
        let (told, wake) = (self.told.0.clone(), Arc::clone(&self.wake));
        let certificates = self.certificates.clone();
        let thread = thread::Builder::new().name(format!("connect {to}"));
        let connecting = move || {
            // The driver is gone only if nobody wants the connection any more.
            let _ = told.send(Told::Opened(id, libswarm_host::connect(&to, &certificates, within)));
            wake.call();
        };
        if let Err(error) = thread.spawn(connecting) {
            self.connected(id, Err(error));
        }
    }

    fn connected(&mut self, id: ConnId, opened: io::Result<Transport>) {
        if !self.opening.remove(&id) {
            return;
        }
        match opened.and_then(|transport| self.watch(id, transport)) {
            Ok(()) => self.handle(Input::Connected(id)),
            Err(error) => self.handle(Input::ConnectFailed(id, &error.to_string())),
        }
    }

    fn watch(&mut self, id: ConnId, transport: Transport) -> io::Result<()> {
        transport.stream.set_nonblocking(true)?;
        self.epoll.add(&transport.stream, token(id), WATCH)?;
        if self.sockets.len() <= id.slot() {
            self.sockets.resize_with(id.slot() + 1, || None);
        }
        self.sockets[id.slot()] = Some(Socket::new(id, transport));
        Ok(())
    }

    fn add(&mut self, serves: Serves, transport: Transport) {
        let accepted = match serves {
            Serves::Docker => self.node.accept(self.now),
            Serves::Discovery => self.node.accept_discovery(self.now),
            Serves::Dns => self.node.accept_dns(self.now),
        };
        let id = match accepted {
            Ok(id) => id,
            // The node says once why, and not for each of thousands.
            Err(refusal) => return log::debug!("refuses {}: {refusal}", transport.stream.peer()),
        };
        if transport.tls.is_some() {
            self.handshakes.push_back((self.now + self.handshake_timeout, id));
        }
        match self.watch(id, transport) {
            Ok(()) => self.act(),
            Err(error) => {
                log::warn!("cannot watch a connection: {error}");
                self.handle(Input::Broken(id));
            }
        }
    }
}

pub(crate) fn find(sockets: &mut [Option<Socket>], id: ConnId) -> Option<&mut Socket> {
    sockets.get_mut(id.slot())?.as_mut().filter(|socket| socket.id == id)
}
