//! A store on a real etcd or a real ZooKeeper, for [`store::suite_late`](libswarm::discovery::store::suite_late): it carries what
//! the store asks of others over blocking sockets, a thread for each, and lets real time pass as the suite lets its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant as RealInstant};

use libswarm::Instant;
use libswarm::discovery::store::{Exchange, Progress};
use libswarm::discovery::{
    Document, Event, Expect, Interest, Registration, Registry, Store, StoreError, StoreEvent,
    StoreInput, SubscriptionId,
};
use libswarm::http1::{Client, ClientEvent, Framing, Limits, Request};
use libswarm::job::Upstream;

/// So often the store's timers are looked at, in the suite's time.
const TICK: Duration = Duration::from_millis(20);
/// What is not answered by then never will be.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store, and its connections.
pub struct RealStore {
    store: Box<dyn Store>,
    /// When the suite's time began: it runs behind the real one, never ahead, so that what a busy machine takes for its answers
    /// is not added to what the suite lets pass.
    origin: RealInstant,
    sender: Sender<Heard>,
    receiver: Receiver<Heard>,
    wires: BTreeMap<u64, TcpStream>,
    abandoned: BTreeSet<u64>,
    /// Requests without an answer, and subscriptions that were told nothing yet.
    requests: usize,
    silent: BTreeSet<SubscriptionId>,
}

enum Heard {
    Connected(u64, TcpStream),
    Received(u64, Vec<u8>),
    Lost(u64, String),
    Status(u64, u16),
    Body(u64, Vec<u8>),
    End(u64),
    Failed(u64, String),
}

impl RealStore {
    /// Carries what that store asks for.
    #[must_use]
    pub fn new(store: Box<dyn Store>) -> Self {
        let (sender, receiver) = channel();
        let mut real = Self {
            store,
            origin: RealInstant::now(),
            sender,
            receiver,
            wires: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            requests: 0,
            silent: BTreeSet::new(),
        };
        while let Some(event) = real.store.poll() {
            real.carry(event);
        }
        real
    }

    /// Does what the store asks of others; gives back what is for its user.
    fn carry(&mut self, event: StoreEvent) -> Option<StoreEvent> {
        match event {
            StoreEvent::Connect { id, upstream } => {
                let sender = self.sender.clone();
                thread::spawn(move || wire(id, &upstream, &sender));
            }
            StoreEvent::Write(id, bytes) => {
                let written = self.wires.get(&id).map(|mut wire| wire.write_all(&bytes));
                if let Some(Err(error)) = written {
                    self.sender.send(Heard::Lost(id, error.to_string())).ok();
                }
            }
            StoreEvent::Close(id) => {
                if let Some(wire) = self.wires.remove(&id) {
                    wire.shutdown(Shutdown::Both).ok();
                }
                self.abandoned.insert(id);
            }
            StoreEvent::Exchange(exchange) => {
                let sender = self.sender.clone();
                thread::spawn(move || {
                    if let Err(reason) = make(&exchange, &sender) {
                        sender.send(Heard::Failed(exchange.id, reason)).ok();
                    }
                });
            }
            // Its thread goes on until the other side ends it, unheard.
            StoreEvent::Abandon(id) => _ = self.abandoned.insert(id),
            StoreEvent::Done(..) | StoreEvent::Kept(..) => {
                self.requests -= 1;
                return Some(event);
            }
            StoreEvent::Ready(id) => {
                self.silent.remove(&id);
                return Some(event);
            }
            other => return Some(other),
        }
        None
    }

    fn tell(&mut self, heard: &Heard) {
        let (Heard::Connected(id, _)
        | Heard::Received(id, _)
        | Heard::Lost(id, _)
        | Heard::Status(id, _)
        | Heard::Body(id, _)
        | Heard::End(id)
        | Heard::Failed(id, _)) = *heard;
        if self.abandoned.contains(&id) {
            return;
        }
        let input = match heard {
            Heard::Connected(_, stream) => {
                self.wires.insert(id, stream.try_clone().expect("a handle"));
                StoreInput::Connected(id)
            }
            Heard::Received(_, bytes) => StoreInput::Received(id, bytes),
            Heard::Lost(_, reason) => {
                self.abandoned.insert(id);
                StoreInput::Lost(id, reason)
            }
            Heard::Status(_, status) => StoreInput::Exchange(id, Progress::Status(*status)),
            Heard::Body(_, bytes) => StoreInput::Exchange(id, Progress::Body(bytes)),
            Heard::End(_) => StoreInput::Exchange(id, Progress::End),
            Heard::Failed(_, reason) => StoreInput::Exchange(id, Progress::Failed(reason)),
        };
        let now = self.now();
        self.store.handle(now, input);
    }

    /// The store's time, which is the real one.
    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// Waits until the suite's time has come; gives back the store's.
    fn pass(&mut self, now: Instant) -> Instant {
        while let Ok(heard) = {
            let left = now - self.now();
            self.receiver.recv_timeout(left)
        } {
            self.tell(&heard);
        }
        self.now()
    }
}

/// One connection of a store, until it ends.
fn wire(id: u64, upstream: &Upstream, sender: &Sender<Heard>) {
    let reason = match connect(upstream) {
        Err(reason) => reason,
        Ok(mut stream) => {
            let handle = stream.try_clone().expect("a handle");
            sender.send(Heard::Connected(id, handle)).ok();
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break "it closed the connection".to_owned(),
                    Ok(length) => {
                        sender.send(Heard::Received(id, buffer[..length].to_vec())).ok();
                    }
                    Err(error) => break error.to_string(),
                }
            }
        }
    };
    sender.send(Heard::Lost(id, reason)).ok();
}

fn connect(upstream: &Upstream) -> Result<TcpStream, String> {
    let address = upstream.address.to_string();
    let address = address.strip_prefix("tcp://").ok_or("only tcp:// is spoken here")?;
    let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// One exchange of a store, on a connection of its own.
fn make(exchange: &Exchange, sender: &Sender<Heard>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let Exchange { id, upstream, target, headers, body } = exchange;
    let mut stream = connect(upstream)?;
    let (mut http, mut out) = (Client::new(Limits::default()), Vec::new());
    let framing = Framing::Length(body.len() as u64);
    http.request(
        &Request { method: "POST", target, framing, hijack: false },
        &[headers.as_bytes()],
        &mut out,
    );
    http.write(body, &mut out);
    http.end(&mut out);
    stream.write_all(&out).map_err(|error| text(&error))?;
    let (mut unread, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        loop {
            let (taken, event) = http.receive(&unread).map_err(|error| text(&error))?;
            let heard = match event {
                Some(ClientEvent::Response(head)) => Heard::Status(*id, head.status()),
                Some(ClientEvent::Body(piece) | ClientEvent::Raw(piece)) => {
                    Heard::Body(*id, piece.to_vec())
                }
                Some(ClientEvent::End) => {
                    sender.send(Heard::End(*id)).ok();
                    return Ok(());
                }
                Some(ClientEvent::Informational(_)) => {
                    unread.drain(..taken);
                    continue;
                }
                None => {
                    unread.drain(..taken);
                    break;
                }
            };
            unread.drain(..taken);
            if sender.send(heard).is_err() {
                return Ok(());
            }
        }
        match stream.read(&mut buffer).map_err(|error| text(&error))? {
            0 => return Err("it closed the connection".to_owned()),
            length => unread.extend_from_slice(&buffer[..length]),
        }
    }
}

impl Store for RealStore {
    fn register(&mut self, now: Instant, request: u64, registration: Registration) {
        let now = self.pass(now);
        self.requests += 1;
        self.store.register(now, request, registration);
    }

    fn unregister(&mut self, now: Instant, request: u64, service: &str, address: &str) {
        let now = self.pass(now);
        self.requests += 1;
        self.store.unregister(now, request, service, address);
    }

    fn keep(
        &mut self,
        now: Instant,
        request: u64,
        service: &str,
        which: Document,
        text: Option<String>,
        expect: Expect,
    ) {
        let now = self.pass(now);
        self.requests += 1;
        self.store.keep(now, request, service, which, text, expect);
    }

    fn registry(&self) -> Result<&Registry, StoreError> {
        self.store.registry()
    }

    fn told(&self, subscription: SubscriptionId) -> Option<u64> {
        self.store.told(subscription)
    }

    fn subscribe(&mut self, now: Instant, interest: Interest<'_>) -> SubscriptionId {
        let now = self.pass(now);
        let id = self.store.subscribe(now, interest);
        self.silent.insert(id);
        id
    }

    fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.silent.remove(&subscription);
        self.store.unsubscribe(subscription);
    }

    fn next(&mut self, subscription: SubscriptionId) -> Option<Event> {
        self.store.next(subscription)
    }

    fn handle(&mut self, now: Instant, input: StoreInput<'_>) {
        let now = self.pass(now);
        self.store.handle(now, input);
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        let until = RealInstant::now() + PATIENCE;
        let now = self.now();
        if self.store.poll_timeout().is_some_and(|due| due <= now) {
            self.store.handle(now, StoreInput::Timeout);
        }
        loop {
            while let Some(event) = self.store.poll() {
                if let Some(event) = self.carry(event) {
                    return Some(event);
                }
            }
            let is_due = self.requests > 0 || !self.silent.is_empty();
            assert!(!is_due || RealInstant::now() < until, "it is not answered");
            // What is not due may have come all the same.
            let wait = if is_due { Duration::from_millis(100) } else { Duration::ZERO };
            match self.receiver.recv_timeout(wait) {
                Ok(heard) => self.tell(&heard),
                // A pause of the store's.
                Err(_) if is_due => {
                    let now = self.now();
                    self.store.handle(now, StoreInput::Timeout);
                }
                Err(_) => return None,
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let soon = self.now() + TICK;
        Some(self.store.poll_timeout().map_or(soon, |due| due.min(soon)))
    }
}

/// Opens stores on the same server, each as if it were alone there.
pub type Open<'a> = &'a mut dyn FnMut() -> Box<dyn Store>;

/// What a busy machine may take from a server's answer to the suite's look at it.
const SLACK: Duration = Duration::from_millis(500);

/// Holds stores on a real server, which keeps its instances for `ttl` and may end them as much as `late` after that, to the suite.
///
/// # Panics
///
/// They do not pass.
pub fn suite(ttl: Duration, late: Duration, open: Open<'_>) {
    let mut open = || -> Box<dyn Store> { Box::new(RealStore::new(open())) };
    // Who looks before the end of the TTL sees what there is a little later.
    libswarm::discovery::store::suite_late(ttl - SLACK, late + SLACK, &mut open, &mut |_| Ok(()));
}

/// The servers of a store, by their addresses.
#[must_use]
pub fn upstream(address: &str) -> Arc<Upstream> {
    let address = address.parse().expect("an address");
    Arc::new(Upstream { address, connect_timeout: Duration::from_secs(2) })
}
