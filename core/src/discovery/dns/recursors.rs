//! Questions for names of other zones, and the servers that are asked in place of this one.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::message::{HEADER, Question, Reply, flag};
use super::server::room;
use super::{Asker, Config, DATAGRAM, Event, Progress, Query, Rcode, Transport};
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// Asks one after the other, each with an id and from a socket that nobody can guess (RFC 5452), until one has an answer.
#[derive(Debug)]
pub(super) struct Recursors {
    servers: Vec<Recursor>,
    patience: Duration,
    most: usize,
    secret: u64,
    /// By the numbers of their exchanges; each try is one.
    asked: BTreeMap<u64, Asked>,
    exchanges: u64,
    timers: Timers<u64>,
    events: VecDeque<Event>,
    /// The log says that none of them answers.
    is_said: bool,
    /// The log says that one of them leads back to this server.
    is_loop_said: bool,
}

#[derive(Debug)]
struct Recursor {
    address: SocketAddr,
    /// When it last said anything.
    heard: Option<Instant>,
    /// It is silent, and no question begins with it before this.
    avoided: Option<Instant>,
}

#[derive(Debug)]
struct Asked {
    asker: Asker,
    query: Query,
    /// How often it was led back to this server before.
    rounds: usize,
    id: u16,
    /// The servers that it was left to: this many, the last of which is that one, since then.
    tries: usize,
    server: usize,
    since: Instant,
    timer: TimerKey,
}

/// A server that is silent keeps each of its questions waiting, and what waits is bounded: so for this long the others are asked
/// first, and then one question tries it.
const AVOIDED: Duration = Duration::from_secs(10);

/// So often what has come may look like a question of this server's own without being one: with a thousand for one name under
/// way one in 65 has the id of another, but fewer than one in 100,000 that of one which has come so often already.
pub(super) const CHANCE: usize = 2;

/// Answers that say nothing of the name: a server could not, or would not.
const SERVFAIL: u16 = 2;
const REFUSED: u16 = 5;

impl Recursors {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            servers: config
                .recursors
                .iter()
                .map(|address| Recursor { address: *address, heard: None, avoided: None })
                .collect(),
            patience: config.patience,
            most: config.forwarded,
            secret: config.seed,
            asked: BTreeMap::new(),
            exchanges: 0,
            timers: Timers::new(),
            events: VecDeque::new(),
            is_said: false,
            is_loop_said: false,
        }
    }

    pub(super) const fn are_there(&self) -> bool {
        !self.servers.is_empty()
    }

    /// A number that follows from the secret, and the secret not from it.
    pub(super) fn derive(&self, of: u64) -> u64 {
        use sha2::Digest;
        let mut sum = sha2::Sha256::new();
        sum.update(self.secret.to_be_bytes());
        sum.update(of.to_be_bytes());
        let sum = sum.finalize();
        sum.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// How often this question was led back to this server, as far as can be told: it has asked a recursor the same, under that
    /// id. Among many that are under way for a popular name, somebody else's may have that by chance.
    fn rounds(&self, query: &Query) -> (usize, Option<SocketAddr>) {
        let is_it = |it: &&Asked| it.id == query.id && it.query.question.is(&query.question);
        let last = self.asked.values().filter(is_it).max_by_key(|it| it.rounds);
        last.map_or((0, None), |it| (it.rounds + 1, Some(self.servers[it.server].address)))
    }

    /// Begins to ask, unless that would go round until there is no room for another question, or there is none.
    pub(super) fn ask(&mut self, now: Instant, asker: Asker, query: &Query) -> Result<(), Rcode> {
        let (rounds, server) = self.rounds(query);
        if let Some(server) = server.filter(|_| rounds > CHANCE) {
            if !core::mem::replace(&mut self.is_loop_said, true) {
                self.events.push_back(Event::Warn(format!(
                    "the recursor {server} leads back to this server, which refuses its own questions: name another one"
                )));
            }
            return Err(Rcode::Refused);
        }
        if self.asked.len() >= self.most {
            return Err(Rcode::ServFail);
        }
        let first = self.first(now);
        self.ask_server(now, asker, query.clone(), rounds, (1, first));
        Ok(())
    }

    /// With whom a question begins: the first one that is not avoided. Where all are, none is worse than another.
    fn first(&mut self, now: Instant) -> usize {
        let may = |it: &Recursor| it.avoided.is_none_or(|until| until <= now);
        let Some(first) = self.servers.iter().position(may) else { return 0 };
        // The questions that follow do not wait for what comes of this one.
        if let Some(until) = &mut self.servers[first].avoided {
            *until = now + AVOIDED;
        }
        first
    }

    /// Asks that server, the question's first, second and so on.
    fn ask_server(
        &mut self,
        now: Instant,
        asker: Asker,
        query: Query,
        rounds: usize,
        (tries, server): (usize, usize),
    ) {
        let next = self.servers.get(server).filter(|_| tries <= self.servers.len());
        let Some(to) = next.map(|it| it.address) else {
            self.say_lost();
            let mut message = Vec::new();
            let size = room(&query, asker.transport());
            Reply::new(&query, flag::RECURSION_AVAILABLE, size, &mut message)
                .finish(Rcode::ServFail, DATAGRAM);
            return self.events.push_back(Event::Answer(asker, message));
        };
        self.exchanges += 1;
        let exchange = self.exchanges;
        let id = self.derive(exchange) as u16;
        let over = asker.transport();
        let mut message = Vec::new();
        // It may send as much as its asker takes.
        let size = room(&query, Transport::Udp) as u16;
        query.ask(id, size, &mut message);
        let timer = self.timers.set(now + self.patience, exchange);
        let since = now;
        let asked = Asked { asker, query, rounds, id, tries, server, since, timer };
        self.asked.insert(exchange, asked);
        self.events.push_back(Event::Ask { exchange, to, over, message });
    }

    pub(super) fn progress(&mut self, now: Instant, exchange: u64, progress: Progress<'_>) {
        let Some(asked) = self.asked.get(&exchange) else { return };
        let is_last = asked.tries >= self.servers.len();
        let (asker, server) = (asked.asker, asked.server);
        match progress {
            Progress::Message(message) => match asked.read(message, is_last) {
                Reading::Strange => {}
                Reading::Useless => {
                    self.heard(now, server);
                    self.next(now, exchange);
                }
                Reading::Answer(answer) => {
                    self.heard(now, server);
                    self.forget(exchange);
                    self.events.push_back(Event::Answer(asker, answer));
                }
            },
            Progress::Failed => self.failed(now, exchange),
        }
    }

    fn heard(&mut self, now: Instant, server: usize) {
        let server = &mut self.servers[server];
        server.heard = Some(now);
        server.avoided = None;
        if core::mem::take(&mut self.is_said) {
            let line = format!("the recursor {} answers again", server.address);
            self.events.push_back(Event::Warn(line));
        }
    }

    /// Says once that all are silent.
    fn say_lost(&mut self) {
        if self.servers.iter().all(|it| it.avoided.is_some())
            && !core::mem::replace(&mut self.is_said, true)
        {
            let all: Vec<String> = self.servers.iter().map(|it| it.address.to_string()).collect();
            self.events.push_back(Event::Warn(format!(
                "no recursor answers ({}): other names than discoverd's are SERVFAIL; asking on, and saying so when one answers",
                all.join(", ")
            )));
        }
    }

    /// A server has not answered. If it has answered others meanwhile, that is the question's fault and not its own.
    fn failed(&mut self, now: Instant, exchange: u64) {
        if let Some(asked) = self.asked.get(&exchange)
            && let server = &mut self.servers[asked.server]
            && server.heard.is_none_or(|heard| heard <= asked.since)
        {
            server.avoided = Some(now + AVOIDED);
        }
        self.next(now, exchange);
    }

    fn forget(&mut self, exchange: u64) -> Option<Asked> {
        let asked = self.asked.remove(&exchange)?;
        self.timers.cancel(asked.timer);
        self.events.push_back(Event::Abandon(exchange));
        Some(asked)
    }

    /// Leaves a server for the next one.
    fn next(&mut self, now: Instant, exchange: u64) {
        if let Some(Asked { asker, query, rounds, tries, server, .. }) = self.forget(exchange) {
            let following = (server + 1) % self.servers.len();
            self.ask_server(now, asker, query, rounds, (tries + 1, following));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, exchange)) = self.timers.expired(now) {
            self.failed(now, exchange);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

enum Reading {
    /// It is for somebody else, or somebody else's.
    Strange,
    /// The next server may know more.
    Useless,
    Answer(Vec<u8>),
}

impl Asked {
    /// Reads what has come, and makes an answer of it for whoever has asked.
    fn read(&self, message: &[u8], is_last: bool) -> Reading {
        let Some(&[id, id_low, flags, flags_low, count, count_low]) = message.first_chunk() else {
            return Reading::Strange;
        };
        let flags = u16::from_be_bytes([flags, flags_low]);
        if message.len() < HEADER
            || u16::from_be_bytes([id, id_low]) != self.id
            || flags & (flag::RESPONSE | flag::OPCODE) != flag::RESPONSE
        {
            return Reading::Strange;
        }
        let rcode = flags & flag::RCODE;
        if u16::from_be_bytes([count, count_low]) == 0 && rcode != 0 {
            // It does not understand the question, and does not repeat it.
            return Reading::Useless;
        }
        let question = match Question::read(message) {
            Some((question, end)) if question.is(&self.query.question) => (question, end),
            _ => return Reading::Strange,
        };
        if !is_last && matches!(rcode, SERVFAIL | REFUSED) {
            return Reading::Useless;
        }
        let mut answer = message.to_vec();
        answer[..2].copy_from_slice(&self.query.id.to_be_bytes());
        // In the spelling of whoever has asked.
        let spelled = self.query.question.name.wire();
        if question.1 == HEADER + spelled.len() + 4 {
            answer[HEADER..HEADER + spelled.len()].copy_from_slice(spelled);
        }
        if answer.len() > room(&self.query, self.asker.transport()) {
            let mut short = Vec::new();
            let mut reply = Reply::new(&self.query, flag::RECURSION_AVAILABLE, 0, &mut short);
            reply.truncate();
            reply.finish(Rcode::NoError, DATAGRAM);
            answer = short;
        }
        Reading::Answer(answer)
    }
}
