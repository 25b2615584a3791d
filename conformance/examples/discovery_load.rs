//! The load of `figures/discovery.py`: clients of discovery by the thousand, from one thread.
//!
//! - `register HOST:PORT CONNECTIONS IN_FLIGHT SECONDS`: registers new services, so many at once on each connection; prints
//!   how many were acknowledged a second, and the p50 and p99 of the microseconds that took.
//! - `heartbeat HOST:PORT CONNECTIONS IN_FLIGHT SECONDS`: the same with services that are registered already.
//! - `fill HOST:PORT CONNECTIONS IN_FLIGHT COUNT`: registers so many new ones; prints as `register`.
//! - `watch HOST:PORT SUBSCRIBERS UPDATES`: changes the attributes of a service that so many subscribers watch, now and
//!   then; prints the p50 and p99 of the microseconds from its sending to each subscriber, and the median over all changes of
//!   those to the last subscriber; then it waits for the end of its stdin.

use std::collections::VecDeque;
use std::env;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libswarm::rpc::{Args, Attributes, Client, ClientEvent, Codec, Limits, Method};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_tcp_quickack;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["register", server, connections, in_flight, seconds] => {
            load(server, connections, in_flight, Kind::New, &Until::Seconds(seconds))
        }
        ["heartbeat", server, connections, in_flight, seconds] => {
            load(server, connections, in_flight, Kind::Same, &Until::Seconds(seconds))
        }
        ["fill", server, connections, in_flight, count] => {
            load(server, connections, in_flight, Kind::New, &Until::Count(count))
        }
        ["watch", server, subscribers, updates] => watch(server, subscribers, updates),
        _ => {
            Err("usage: discovery_load register|heartbeat|fill|watch …; see its first lines".into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("discovery_load: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done<T> = Result<T, Box<dyn Error>>;

/// One connection to a server, which has greeted.
struct Peer {
    stream: TcpStream,
    rpc: Client,
    unread: Vec<u8>,
    out: Vec<u8>,
}

impl Peer {
    fn connect(server: &str) -> Done<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let rpc = Client::new(Codec::Gob, Limits::default());
        let mut peer = Self { stream, rpc, unread: Vec::new(), out: Vec::new() };
        peer.rpc.connect(&mut peer.out);
        peer.send()?;
        peer.wait(|event| matches!(event, ClientEvent::Connected))?;
        Ok(peer)
    }

    /// Requests are small: a socket whose server reads has room for them.
    fn send(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Reads, blocking, up to that event.
    fn wait(&mut self, is_it: impl Fn(&ClientEvent) -> bool) -> Done<()> {
        loop {
            while let Some(event) = self.event()? {
                if is_it(&event) {
                    return Ok(());
                }
            }
            self.read()?;
        }
    }

    /// Reads what is there; nothing if there is nothing.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.unread.extend_from_slice(&buffer[..length]);
                    if length < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn event(&mut self) -> Done<Option<ClientEvent>> {
        let (taken, event) = self.rpc.receive(&self.unread)?;
        self.unread.drain(..taken);
        Ok(event)
    }

    fn call(&mut self, method: Method, args: &Args) {
        self.rpc.call(method, args, &mut self.out);
    }
}

/// Several connections, and which of them have something to read.
struct Peers {
    epoll: OwnedFd,
    all: Vec<Peer>,
}

impl Peers {
    fn new(all: Vec<Peer>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // Without edges the epoll that thousands share would look at those again that were read, and keep who sends to them
        // waiting meanwhile: a quarter of the time that all their sends take.
        let flags = EventFlags::IN | EventFlags::ET;
        for (nth, peer) in all.iter().enumerate() {
            peer.stream.set_nonblocking(true)?;
            epoll::add(&epoll, &peer.stream, EventData::new_u64(nth as u64), flags)?;
        }
        Ok(Self { epoll, all })
    }

    /// Those that have something to read, some of them.
    fn ready(&self) -> io::Result<Vec<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; 1024];
        let (events, _) = epoll::wait(&self.epoll, &mut room[..], None)?;
        Ok(events.iter().map(|event| event.data.u64() as usize).collect())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    New,
    Same,
}

enum Until<'a> {
    Seconds(&'a str),
    Count(&'a str),
}

fn load(
    server: &str,
    connections: &str,
    in_flight: &str,
    kind: Kind,
    until: &Until<'_>,
) -> Done<()> {
    let (connections, in_flight): (usize, usize) = (connections.parse()?, in_flight.parse()?);
    let mut left = match until {
        Until::Count(count) => count.parse()?,
        Until::Seconds(_) => usize::MAX,
    };
    let mut peers = (0..connections).map(|_| Peer::connect(server)).collect::<Done<Vec<_>>>()?;
    // A process that comes later registers others.
    let salt = std::process::id();
    let mut next = 0_usize;
    let mut name = |peer: usize, place: usize| {
        next += 1;
        let nth = if kind == Kind::New { next } else { peer * in_flight + place };
        Args {
            name: format!("load-{}", nth % 1000),
            address: format!("10.0.0.1:{salt}-{nth}"),
            attributes: None,
        }
    };
    if kind == Kind::Same {
        for (nth, peer) in peers.iter_mut().enumerate() {
            for place in 0..in_flight {
                peer.call(Method::Register, &name(nth, place));
                peer.send()?;
                peer.wait(|event| matches!(event, ClientEvent::Answer(..)))?;
            }
        }
    }
    let begin = Instant::now();
    let end = match until {
        Until::Seconds(seconds) => Some(begin + Duration::from_secs_f64(seconds.parse()?)),
        Until::Count(_) => None,
    };
    let mut sent: Vec<VecDeque<Instant>> = vec![VecDeque::new(); connections];
    let (mut times, mut waiting) = (Vec::new(), 0_usize);
    let mut peers = Peers::new(peers)?;
    for (nth, peer) in peers.all.iter_mut().enumerate() {
        for place in 0..in_flight.min(left) {
            peer.call(Method::Register, &name(nth, place));
            sent[nth].push_back(Instant::now());
            left -= 1;
            waiting += 1;
        }
        peer.send()?;
    }
    while waiting > 0 {
        for nth in peers.ready()? {
            let peer = &mut peers.all[nth];
            peer.read()?;
            let now = Instant::now();
            while let Some(event) = peer.event()? {
                let ClientEvent::Answer(call, result) = event else { continue };
                result?;
                waiting -= 1;
                times.extend(sent[nth].pop_front().map(|at| now - at));
                if left > 0 && end.is_none_or(|end| now < end) {
                    let place = usize::try_from(call)? % in_flight;
                    peer.call(Method::Register, &name(nth, place));
                    sent[nth].push_back(now);
                    left -= 1;
                    waiting += 1;
                }
            }
            peer.send()?;
        }
    }
    let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
    times.sort_unstable();
    println!("{rate:.0} {} {}", at(&times, 50), at(&times, 99));
    Ok(())
}

/// A percentile of sorted times, in microseconds.
fn at(times: &[Duration], percent: usize) -> u128 {
    times
        .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
        .map_or(0, Duration::as_micros)
}

fn watch(server: &str, subscribers: &str, updates: &str) -> Done<()> {
    let (subscribers, updates): (usize, usize) = (subscribers.parse()?, updates.parse()?);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let attributes = |nth: usize| -> Attributes { [("nth".to_owned(), nth.to_string())].into() };
    let args = |nth| Args {
        name: "watched".into(),
        address: "10.0.0.1:80".into(),
        attributes: Some(attributes(nth)),
    };
    let mut changer = Peer::connect(server)?;
    changer.call(Method::Register, &args(0));
    changer.send()?;
    changer.wait(|event| matches!(event, ClientEvent::Answer(..)))?;
    let all = (0..subscribers).map(|_| {
        let mut peer = Peer::connect(server)?;
        peer.call(Method::Subscribe, &Args { name: "watched".into(), ..Args::default() });
        peer.send()?;
        peer.wait(|event| matches!(event, ClientEvent::Update(_, update) if update.is_marker()))?;
        peer.unread.shrink_to_fit();
        // As for one that has listened for a while: the first 16 packets are acknowledged each on its own.
        set_tcp_quickack(&peer.stream, false)?;
        Ok(peer)
    });
    let mut peers = Peers::new(all.collect::<Done<Vec<_>>>()?)?;
    let (mut times, mut lasts) = (Vec::new(), Vec::new());
    for nth in 1..=updates {
        std::thread::sleep(Duration::from_millis(200));
        changer.call(Method::Register, &args(nth));
        let begin = Instant::now();
        changer.send()?;
        let mut left = subscribers;
        while left > 0 {
            // Subscribers elsewhere do not cost the server a wake-up each, as one that sleeps on the same machine would.
            std::thread::sleep(Duration::from_micros(500));
            for ready in peers.ready()? {
                let peer = &mut peers.all[ready];
                peer.read()?;
                while let Some(event) = peer.event()? {
                    let ClientEvent::Update(_, update) = event else {
                        return Err(format!("a subscriber is told {event:?}").into());
                    };
                    if update.attributes.as_deref() == Some(&attributes(nth)) {
                        times.push(begin.elapsed());
                        left -= 1;
                    }
                }
            }
        }
        lasts.push(begin.elapsed());
        changer.wait(|event| matches!(event, ClientEvent::Answer(..)))?;
    }
    times.sort_unstable();
    lasts.sort_unstable();
    println!("{} {} {}", at(&times, 50), at(&times, 99), at(&lasts, 50));
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
