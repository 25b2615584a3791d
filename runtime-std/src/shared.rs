//! What all threads share: the node behind its lock, the sockets, the timer.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use libswarm::discovery::Agent;
use libswarm::discovery::dns::{self, SocketId};
use libswarm::discovery::store::Persist;
use libswarm::job::Engine;
use libswarm::node::{Action, Config, Input, Refusal};
use libswarm::{ConnId, Instant, Node};
use libswarm_host::{
    Certificates, Clock, DatagramSocket, Inbox, JournalFiles, JournalWriter, Outbox, Serves,
    Stopped, Stopper, Wake, print_log,
};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::buffers::Buffers;
use crate::connection::{self, Connection};

pub(crate) struct Shared {
    node: Mutex<Node>,
    clock: Clock,
    pub(crate) certificates: Certificates,
    /// From when a client has connected until it has agreed on how to encrypt.
    pub(crate) handshake_timeout: Duration,
    /// By their whole id: the node may give a slot to a new connection before the thread that closes the old one has done so.
    connections: Mutex<HashMap<ConnId, Arc<Connection>>>,
    /// Connections that are being opened, so that one which the node gives up in the meantime is not kept.
    opening: Mutex<HashSet<ConnId>>,
    spares: Mutex<Vec<Scratch>>,
    pub(crate) buffers: Buffers,
    /// Waits for the disk in place of the other threads.
    journal: OnceLock<JournalWriter>,
    /// Sockets for datagrams.
    datagrams: OnceLock<Vec<DatagramSocket>>,
    /// Calls the thread that tends the timers.
    wake: Wake,
    /// When that thread wakes by itself, in nanoseconds since the clock's start.
    wakes_at: AtomicU64,
}

/// What a thread needs while it acts.
#[derive(Default)]
struct Scratch {
    actions: Vec<Action>,
    out: Vec<u8>,
    done: Vec<Input<'static>>,
    outbox: Outbox,
}

/// So many are kept for the next thread, as many as may act at once on a large machine; one that waits for its connection
/// holds none.
const SPARES: usize = 32;
/// And none larger than this: it takes a write of a node's, and what goes with it.
const SPARE: usize = 1024 * 1024;

/// So many rounds of actions, and of what comes of them, are a thread's if they are not about its own connection.
const TURNS: u32 = 64;

const NEVER: u64 = u64::MAX;

impl Shared {
    pub(crate) fn new(
        mut config: Config,
        engine: Engine,
        clock: Clock,
        certificates: Certificates,
    ) -> io::Result<Self> {
        config.splice = true;
        Ok(Self {
            // The agreement is the head of a connection.
            handshake_timeout: config.head_timeout,
            node: Mutex::new(Node::new(config, engine)),
            clock,
            certificates,
            connections: Mutex::new(HashMap::new()),
            opening: Mutex::new(HashSet::new()),
            spares: Mutex::new(Vec::new()),
            buffers: Buffers::default(),
            journal: OnceLock::new(),
            datagrams: OnceLock::new(),
            wake: Wake::new()?,
            wakes_at: AtomicU64::new(NEVER),
        })
    }

    /// What backends want kept.
    pub(crate) fn save(&self) -> Vec<(String, Vec<u8>)> {
        self.node().save()
    }

    /// Has `agent` answer clients of discovery.
    pub(crate) fn set_agent(
        self: &Arc<Self>,
        agent: Agent,
        files: Option<JournalFiles>,
    ) -> io::Result<()> {
        if let Some(files) = files {
            // Not on the journal's thread: while those are told whose changes are safe, the next ones are written.
            let (results, heard) = channel::<Result<(), String>>();
            let shared = Arc::downgrade(self);
            thread::Builder::new().name("acknowledge".to_owned()).spawn(move || {
                for result in heard {
                    let Some(shared) = shared.upgrade() else { return };
                    shared.tell(match &result {
                        Ok(()) => Input::Persisted,
                        Err(reason) => Input::PersistFailed(reason),
                    });
                }
            })?;
            let writer = JournalWriter::start(files, move |result| {
                // Nobody hears of it only if nobody is left.
                let _ = results.send(result.map_err(str::to_owned));
            })?;
            // Nothing was there before: this is called once.
            let _ = self.journal.set(writer);
        }
        self.node().set_agent(agent);
        self.act([], None);
        Ok(())
    }

    /// Has `server` answer DNS. What comes to `sockets` is to be told with [`receive`](Self::receive).
    pub(crate) fn set_dns(&self, server: dns::Server, sockets: Vec<DatagramSocket>) {
        // Nothing was there before: this is called once.
        let _ = self.datagrams.set(sockets);
        self.node().set_dns(server);
    }

    pub(crate) fn datagrams(&self) -> &[DatagramSocket] {
        self.datagrams.get().map_or(&[], Vec::as_slice)
    }

    /// Tells the node of datagrams that have come to the socket of that place, and does what it asks for.
    pub(crate) fn receive(self: &Arc<Self>, socket: usize, inbox: &Inbox) {
        let id = SocketId(socket as u32);
        self.act(inbox.iter().map(|(peer, bytes)| Input::Datagram(id, peer, bytes)), None);
    }

    pub(crate) fn accept(
        self: &Arc<Self>,
        serves: Serves,
        make: impl FnOnce(ConnId) -> Connection,
    ) -> Result<Arc<Connection>, Refusal> {
        let connection = {
            let mut node = self.node();
            let now = self.clock.now();
            let id = match serves {
                Serves::Docker => node.accept(now)?,
                Serves::Discovery => node.accept_discovery(now)?,
                Serves::Dns => node.accept_dns(now)?,
            };
            let connection = Arc::new(make(id));
            // Before the node is unlocked: from then on any thread may be told to do something with it.
            self.table().insert(id, Arc::clone(&connection));
            connection
        };
        self.act([], None);
        Ok(connection)
    }

    /// A connection that was asked for is open; returns false if nobody wants it any more.
    pub(crate) fn opened(self: &Arc<Self>, connection: &Arc<Connection>) -> bool {
        {
            let mut opening = self.opening();
            if !opening.remove(&connection.id) {
                return false;
            }
            self.table().insert(connection.id, Arc::clone(connection));
        }
        self.handle(Input::Connected(connection.id), connection);
        true
    }

    /// A connection that was asked for cannot be had.
    pub(crate) fn not_opened(self: &Arc<Self>, id: ConnId, reason: &str) {
        if self.opening().remove(&id) {
            self.tell(Input::ConnectFailed(id, reason));
        }
    }

    /// Tells the node, and does what it asks for.
    pub(crate) fn tell(self: &Arc<Self>, input: Input<'_>) {
        self.act(Some(input), None);
    }

    /// As [`tell`](Self::tell), by the thread of `own`.
    pub(crate) fn handle(self: &Arc<Self>, input: Input<'_>, own: &Arc<Connection>) {
        self.act(Some(input), Some(own));
    }

    fn act<'a>(
        self: &Arc<Self>,
        inputs: impl IntoIterator<Item = Input<'a>>,
        own: Option<&Arc<Connection>>,
    ) {
        let mut scratch = self.spares().pop().unwrap_or_default();
        self.act_with(&mut inputs.into_iter(), own, &mut scratch);
        let mut spares = self.spares();
        if spares.len() < SPARES && scratch.out.capacity() <= SPARE {
            spares.push(scratch);
        }
    }

    fn act_with<'a>(
        self: &Arc<Self>,
        inputs: &mut dyn Iterator<Item = Input<'a>>,
        own: Option<&Arc<Connection>>,
        scratch: &mut Scratch,
    ) {
        let Scratch { actions, out, done, outbox } = scratch;
        let _alarm = Alarm(&self.wake);
        for turn in 0_u32.. {
            if turn >= TURNS && own.is_none() {
                // A job that always has more to say must not keep a thread that has others to serve.
                return self.act_elsewhere(core::mem::take(done));
            }
            let (due, stopped, persist) = self.ask(inputs, done, actions, out);
            self.see_to(due, stopped);
            if let (Some(what), Some(journal)) = (persist, self.journal.get()) {
                journal.write(what);
            }
            let mut at = 0;
            for action in actions.drain(..) {
                match action {
                    Action::Log(log) => print_log(&log),
                    Action::Read(id) => {
                        if let Some(connection) = self.find(id, own) {
                            let is_own = own.is_some_and(|own| own.id == id);
                            connection.grant(is_own);
                        }
                    }
                    Action::Write { conn, length } => {
                        let bytes = &out[at..at + length];
                        at += length;
                        if let Some(connection) = self.find(conn, own) {
                            done.extend(connection.write(self, bytes));
                        }
                    }
                    Action::SendTo { socket, peer, length } => {
                        outbox.push(socket, peer, &out[at..at + length]);
                        at += length;
                    }
                    Action::Splice { from, to, limit } => {
                        let pair = (self.find(from, own), self.find(to, own));
                        if let (Some(source), Some(target)) = pair {
                            let is_own = own.is_some_and(|own| own.id == from);
                            done.extend(source.splice(target, limit, is_own));
                        }
                    }
                    Action::Connect { conn, to, within } => {
                        connection::connect(self, conn, to, within);
                    }
                    Action::Shutdown(id) => {
                        if let Some(connection) = self.find(id, own) {
                            done.extend(connection.shutdown(self));
                        }
                    }
                    Action::Close { conn, why } => {
                        self.opening().remove(&conn);
                        let connection = self.table().remove(&conn);
                        if let Some(connection) = connection {
                            connection.close(why);
                        }
                    }
                    _ => {}
                }
            }
            if !outbox.is_empty() {
                outbox.send(self.datagrams());
            }
            out.clear();
            if done.is_empty() {
                return;
            }
        }
    }

    /// Tells the node, and learns what it asks for; when it is next due, whether it is stopped, and what is to be kept.
    fn ask<'a>(
        &self,
        inputs: &mut dyn Iterator<Item = Input<'a>>,
        done: &mut Vec<Input<'static>>,
        actions: &mut Vec<Action>,
        out: &mut Vec<u8>,
    ) -> (Option<Instant>, bool, Option<Persist>) {
        let mut node = self.node();
        let now = self.clock.now();
        for input in inputs {
            node.handle(now, input);
        }
        for input in done.drain(..) {
            node.handle(now, input);
        }
        while let Some(action) = node.poll(out) {
            if let Action::Connect { conn, .. } = action {
                // Before the node is unlocked: from then on any thread may be told to give it up.
                self.opening().insert(conn);
            }
            actions.push(action);
        }
        (node.poll_timeout(), node.is_stopped(), node.poll_persist())
    }

    fn act_elsewhere(self: &Arc<Self>, done: Vec<Input<'static>>) {
        let shared = Arc::clone(self);
        let act = move || {
            for input in done {
                shared.tell(input);
            }
        };
        if let Err(error) = thread::Builder::new().spawn(act) {
            log::error!("no thread to go on with: {error}");
        }
    }

    fn find(&self, id: ConnId, own: Option<&Arc<Connection>>) -> Option<Arc<Connection>> {
        if let Some(own) = own
            && own.id == id
        {
            return Some(Arc::clone(own));
        }
        self.table().get(&id).cloned()
    }

    /// Calls the thread that tends the timers if it would wake too late.
    fn see_to(&self, due: Option<Instant>, stopped: bool) {
        let due = due.map_or(NEVER, nanoseconds);
        if stopped || due < self.wakes_at.load(Ordering::Acquire) {
            self.wake.call();
        }
    }

    /// Waits for timers and for the stop, until the last connection is closed. `closing` is used when no further connection
    /// is to be accepted.
    pub(crate) fn tend(self: &Arc<Self>, stopped: &Stopped, closing: &Stopper) -> io::Result<()> {
        let mut stopping = false;
        loop {
            let (due, is_stopped) = {
                let node = self.node.lock().map_err(|_| io::Error::other("a backend panicked"))?;
                (node.poll_timeout(), node.is_stopped())
            };
            if is_stopped {
                return Ok(());
            }
            let now = self.clock.now();
            if due.is_some_and(|due| due <= now) {
                self.tell(Input::Timeout);
                continue;
            }
            // Whoever sets an earlier timer from here on sees this and calls.
            self.wakes_at.store(due.map_or(NEVER, nanoseconds), Ordering::Release);
            if self.node().poll_timeout() != due {
                continue;
            }
            self.wait(due.map(|due| due - now), stopped, stopping)?;
            if !stopping && stopped.is_stopped() {
                stopping = true;
                closing.stop();
                self.tell(Input::Stop);
            }
        }
    }

    fn wait(&self, timeout: Option<Duration>, stopped: &Stopped, stopping: bool) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let (calls, stop) = (self.wake.as_fd(), stopped.as_fd());
        let mut sources = [PollFd::new(&calls, PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        let watched = if stopping { 1 } else { 2 };
        match rustix::event::poll(&mut sources[..watched], timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.wake.answer();
        Ok(())
    }

    /// A poisoned lock means that a backend has panicked: [`tend`](Self::tend) then ends the run, and until it has, nothing
    /// that is done with the node can do more harm.
    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(|poisoned| {
            self.wake.call();
            PoisonError::into_inner(poisoned)
        })
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opening(&self) -> MutexGuard<'_, HashSet<ConnId>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<ConnId, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls the thread that ends the run when this one panics; dropped after the lock, which is poisoned by then.
struct Alarm<'a>(&'a Wake);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.call();
        }
    }
}

fn nanoseconds(at: Instant) -> u64 {
    u64::try_from(at.since_epoch().as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use libswarm::backend::Registry;
    use libswarm_host::{Stream, Transport};

    use super::*;

    #[test]
    fn a_connection_that_another_thread_gives_up_before_it_is_asked_for_is_not_kept() {
        let mut engine = Engine::new(1);
        let (name, backend) = Registry::standard().make("forward unix://nobody.sock").unwrap();
        engine.push(name, backend);
        let clock = Clock::start();
        let shared = Shared::new(Config::default(), engine, clock, Certificates::default());
        let shared = Arc::new(shared.unwrap());
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let transport = Transport { stream: Stream::Unix(ours), tls: None };
        let client = shared.accept(Serves::Docker, |id| Connection::new(id, transport)).unwrap().id;

        // One thread has asked the node, and has not yet done what it was told to.
        let request = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n";
        let (mut done, mut actions, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let mut inputs = [Input::Received(client, request)].into_iter();
        shared.ask(&mut inputs, &mut done, &mut actions, &mut out);
        let server = actions.iter().find_map(|action| match action {
            Action::Connect { conn, .. } => Some(*conn),
            _ => None,
        });
        let server = server.unwrap();
        assert!(shared.opening().contains(&server));
        // Another one does all that follows from the client's going.
        shared.tell(Input::Broken(client));
        assert!(!shared.opening().contains(&server));
        // The first one goes on, and the connection comes about.
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let transport = Transport { stream: Stream::Unix(ours), tls: None };
        assert!(!shared.opened(&Arc::new(Connection::new(server, transport))));
        assert!(shared.table().is_empty());
    }
}
