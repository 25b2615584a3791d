//! Many small worlds: a node, scripted clients and engines, a network that splits, delays, cuts and half-closes, and a clock
//! that only this moves. A seed decides everything, and gives the same world again.
//!
//! Half of the worlds forward to scripted engines that answer well, badly or not at all; half ask the simulator. After each
//! step must hold what is listed at [`Failure`].

mod client;
mod engine;
mod network;
mod pattern;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use libswarm::ConnId;

use crate::random::Random;
use client::Client;
use engine::Server;
use network::{Happens, Network};

/// How often each kind of thing happened.
pub type Counts = BTreeMap<&'static str, u64>;

/// All kinds of things that happen in worlds. In enough of them, each does.
pub const KINDS: &[&str] = &[
    "client: asks for a body with a length",
    "client: asks for chunks",
    "client: asks for a body that the end ends",
    "client: asks for a stream",
    "client: asks for nothing more than a head",
    "client: sends a body with a length",
    "client: sends chunks",
    "client: waits for 100 Continue",
    "client: sends more requests at once",
    "client: breaks a rule",
    "client: never ends its head",
    "client: speaks HTTP/1.0",
    "client: ends its half",
    "client: goes away",
    "client: is slow to read",
    "engine: answers in full",
    "engine: says 100 Continue",
    "engine: answers before the body is there",
    "engine: does not answer",
    "engine: closes instead of an answer",
    "engine: breaks off in the head",
    "engine: breaks off in the body",
    "engine: sends garbage",
    "engine: ends its half of a stream first",
    "engine: closes a connection that waits",
    "engine: is not there",
    "network: splits",
    "network: delays",
    "network: cuts",
    "network: writes that fail",
    "network: splices",
    "network: declines a splice",
    "node: gives 400",
    "node: gives 408",
    "node: gives 502",
    "node: gives 504",
    "node: resets",
    "node: uses a connection again",
    "simulator: answers",
    "simulator: an error",
    "simulator: a stream is left",
];

/// What must not happen: a request that is answered with another's answer; bytes that are lost, doubled or out of order; a
/// request that reaches an engine twice though it may not; a broken answer that looks whole; a request that is neither
/// answered nor its connection closed; a job without a client; a timer in the past; memory beyond its bound; something left
/// when all have gone; a panic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Plays the same world again.
    pub seed: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// Plays the world of a seed; with `tell`, says what happens in it.
///
/// # Errors
///
/// Something happened that must not.
pub fn play(seed: u64, counts: &mut Counts, tell: bool) -> Result<(), Failure> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, tell);
        let result = world.run();
        (result, world.net.counts)
    }));
    let failed = |what| Failure { seed, what };
    match played {
        Ok((result, more)) => {
            for (kind, number) in more {
                *counts.entry(kind).or_default() += number;
            }
            result.map_err(failed)
        }
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Err(failed(format!("a panic: {}", said.unwrap_or_default())))
        }
    }
}

/// Plays worlds from `first` on, and returns how often what happened.
///
/// # Errors
///
/// The first failure.
pub fn run(first: u64, seeds: u64) -> Result<Counts, Failure> {
    let mut counts = KINDS.iter().map(|kind| (*kind, 0)).collect();
    // A panic is told of with its seed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = (first..first + seeds).try_for_each(|seed| play(seed, &mut counts, false));
    std::panic::set_hook(hook);
    result.map(|()| counts)
}

struct World {
    net: Network,
    clients: Vec<Client>,
    /// By the node's connection to it.
    servers: BTreeMap<ConnId, Server>,
    forwards: bool,
}

/// A world ends after so long, whatever its clients wait for; longer than all time limits of the node.
const LIFE: Duration = Duration::from_secs(200);
/// What a node may hold of a connection and of the one that serves it.
const HELD: usize = 512 * 1024;

impl World {
    fn new(seed: u64, tell: bool) -> Self {
        let mut random = Random::new(seed);
        let forwards = seed.is_multiple_of(2);
        let clients = 1 + random.below(4);
        let mut net = Network::new(random, forwards, tell);
        let clients = (0..clients).map(|nth| Client::new(nth, forwards, &mut net)).collect();
        Self { net, clients, servers: BTreeMap::new(), forwards }
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(what) = self.net.next(LIFE) {
            self.step(what)?;
            self.check()?;
        }
        for client in &self.clients {
            client.check(self.forwards)?;
            for status in client.statuses() {
                self.net.count(match status {
                    400 if self.forwards => "node: gives 400",
                    408 => "node: gives 408",
                    502 => "node: gives 502",
                    504 => "node: gives 504",
                    200..=399 => "simulator: answers",
                    _ => "simulator: an error",
                });
            }
        }
        engine::check(&self.clients, &self.servers, &self.net)?;
        self.leave()
    }

    fn step(&mut self, what: Happens) -> Result<(), String> {
        match what {
            Happens::Act(client) => self.clients[client].act(&mut self.net),
            Happens::Connect(conn) => {
                if let Some(server) = Server::accept(conn, &mut self.net) {
                    self.servers.insert(conn, server);
                }
            }
            Happens::Got(conn, bytes) => match self.servers.get_mut(&conn) {
                Some(server) => server.got(&bytes, &mut self.net)?,
                None => {
                    self.client(conn).map_or(Ok(()), |client| client.0.got(&bytes, client.1))?;
                }
            },
            Happens::End(conn) => match self.servers.get_mut(&conn) {
                Some(server) => server.ended(&mut self.net),
                None => {
                    if let Some((client, _)) = self.client(conn) {
                        client.ended = true;
                    }
                }
            },
            Happens::Closed(conn, why) => {
                if let Some(server) = self.servers.get_mut(&conn) {
                    server.closed = true;
                } else if let Some((client, net)) = self.client(conn) {
                    client.closed = Some(why);
                    if why.is_reset() {
                        net.count("node: resets");
                    }
                }
            }
            Happens::Say(conn) => {
                if let Some(server) = self.servers.get_mut(&conn) {
                    server.say(&mut self.net);
                }
            }
        }
        Ok(())
    }

    fn client(&mut self, conn: ConnId) -> Option<(&mut Client, &mut Network)> {
        let client = self.clients.iter_mut().find(|client| client.conn == conn)?;
        Some((client, &mut self.net))
    }

    /// What holds after each step.
    fn check(&self) -> Result<(), String> {
        let node = &self.net.node;
        let open = self.clients.iter().filter(|client| client.closed.is_none()).count();
        if node.connections() > open {
            return Err(format!("{} connections for {open} clients", node.connections()));
        }
        if node.engine().len() > open {
            return Err(format!("{} jobs for {open} clients", node.engine().len()));
        }
        if let Some(due) = node.poll_timeout().filter(|due| *due <= self.net.now) {
            return Err(format!("a timer of {due:?} in the past of {:?}", self.net.now));
        }
        if self.forwards && self.net.held() > HELD * self.clients.len() {
            return Err(format!("the node holds {} bytes", self.net.held()));
        }
        Ok(())
    }

    /// All go, and nothing is left.
    fn leave(&mut self) -> Result<(), String> {
        for client in &self.clients {
            self.net.cut(client.conn);
        }
        for conn in self.servers.keys() {
            self.net.cut(*conn);
        }
        while let Some(what) = self.net.next(LIFE * 2) {
            if let Happens::Connect(conn) = what {
                self.net.refuse(conn);
            }
        }
        let node = &self.net.node;
        let left = [node.connections(), node.upstream_connections(), node.engine().len()];
        if left != [0; 3] {
            let [clients, servers, jobs] = left;
            return Err(format!(
                "when all have gone, {clients} connections of clients, {servers} of engines and {jobs} jobs are left"
            ));
        }
        match node.poll_timeout() {
            Some(due) if self.forwards => {
                Err(format!("when all have gone, a timer of {due:?} is left"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_hold_and_everything_happens() {
        let counts = run(0, 1_500).unwrap_or_else(|failure| panic!("{failure}"));
        let never: Vec<&str> =
            counts.iter().filter(|(_, number)| **number == 0).map(|(kind, _)| *kind).collect();
        assert!(never.is_empty(), "{never:?} never happened");
        assert_eq!(counts.len(), KINDS.len(), "{counts:?}");
    }

    #[test]
    fn a_seed_gives_the_same_world_again() {
        for seed in 0..40 {
            let (mut one, mut other) = (Counts::new(), Counts::new());
            assert_eq!(play(seed, &mut one, false), play(seed, &mut other, false));
            assert_eq!(one, other, "seed {seed}");
        }
    }
}
