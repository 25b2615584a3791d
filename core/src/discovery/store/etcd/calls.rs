//! Calls of etcd: to which member, with which token, and for how long.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::api::{self, Reply};
use crate::discovery::store::{Exchange, Progress, StoreEvent};
use crate::id::Key;
use crate::job::Upstream;
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// A member that says nothing for so long is left for the next one.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The same for a page of instances, which may be long.
const PAGE_PATIENCE: Duration = Duration::from_secs(5);
/// Who was told that a name or a password is wrong asks again after this.
const REFUSED: Duration = Duration::from_secs(1);
/// So many calls are made at once; etcd itself puts together what comes together.
const AT_ONCE: usize = 64;
/// The longest answer: a page of instances with the longest attributes, most of whose characters are escaped.
const LONGEST: usize = 64 * 1024 * 1024;

/// What a call is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// A request of the store's user.
    Request(Key),
    /// A page of the instances that are there.
    Page,
    /// What happens to them.
    Watch,
    /// A token for the others.
    Token,
}

/// What has come of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    Reply(Reply),
    /// A piece of a stream.
    Piece(Vec<u8>),
    /// Etcd says no, with a status and a reason.
    Refused(u16, String),
    /// It may be tried again: nothing, or nothing of use was answered.
    Failed(String),
}

/// An outcome, and whose it is.
pub(super) type Heard = (u64, Purpose, Outcome);

#[derive(Debug)]
struct Call {
    id: u64,
    purpose: Purpose,
    target: &'static str,
    body: String,
}

#[derive(Debug)]
struct Running {
    purpose: Purpose,
    endpoint: usize,
    /// How many tokens had been asked for when it was made.
    tokens: u64,
    status: Option<u16>,
    body: Vec<u8>,
    patience: Option<TimerKey>,
}

#[derive(Debug)]
enum Token {
    /// There is no user, or nobody has asked yet.
    None,
    Asked,
    Has(String),
    Refused {
        reason: String,
        until: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Calls {
    endpoints: Vec<(Arc<Upstream>, String)>,
    /// The member that is asked, until it fails.
    current: usize,
    user: Option<(String, String)>,
    token: Token,
    /// How many were asked for.
    tokens: u64,
    next: u64,
    running: BTreeMap<u64, Running>,
    /// Those that wait for a token, or for others to end: requests behind what all of them need, each in its order.
    waiting: BTreeMap<(bool, u64), Call>,
    patience: Timers<u64>,
    heard: VecDeque<Heard>,
    out: VecDeque<StoreEvent>,
}

impl Calls {
    pub(super) fn new(endpoints: &[Arc<Upstream>], user: Option<(String, String)>) -> Self {
        let named = |endpoint: &Arc<Upstream>| {
            let shown = endpoint.address.to_string();
            let host = shown.split_once("://").map_or(&*shown, |(_, host)| host).to_owned();
            (Arc::clone(endpoint), host)
        };
        Self {
            endpoints: endpoints.iter().map(named).collect(),
            current: 0,
            user,
            token: Token::None,
            tokens: 0,
            next: 0,
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            patience: Timers::new(),
            heard: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    pub(super) const fn current(&self) -> usize {
        self.current
    }

    pub(super) const fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// All members, for people.
    pub(super) fn shown(&self) -> String {
        let all: Vec<&str> = self.endpoints.iter().map(|(_, host)| &**host).collect();
        all.join(", ")
    }

    /// Makes a call, and names it.
    pub(super) fn call(
        &mut self,
        now: Instant,
        purpose: Purpose,
        target: &'static str,
        body: String,
    ) -> u64 {
        self.next += 1;
        let id = self.next;
        let is_request = matches!(purpose, Purpose::Request(_));
        self.waiting.insert((is_request, id), Call { id, purpose, target, body });
        self.go_on(now);
        id
    }

    /// Makes the calls that wait, as far as there is a token and room.
    fn go_on(&mut self, now: Instant) {
        if !self.is_admitted(now) {
            return;
        }
        while let Some(next) = self.waiting.first_entry() {
            let (is_request, _) = next.key();
            if *is_request && self.running.len() >= AT_ONCE {
                return;
            }
            let call = next.remove();
            self.send(now, call);
        }
    }

    /// Whether calls may be made: with a token, where there is a user.
    fn is_admitted(&mut self, now: Instant) -> bool {
        let Some((name, password)) = &self.user else { return true };
        match &self.token {
            Token::Has(_) => return true,
            Token::Asked => return false,
            Token::Refused { until, reason } if *until > now => {
                while let Some((_, call)) = self.waiting.pop_first() {
                    let outcome = Outcome::Refused(401, reason.clone());
                    self.heard.push_back((call.id, call.purpose, outcome));
                }
                return false;
            }
            Token::None | Token::Refused { .. } => {}
        }
        if self.waiting.is_empty() {
            return false;
        }
        let body = api::authenticate(name, password);
        self.token = Token::Asked;
        self.tokens += 1;
        self.next += 1;
        let id = self.next;
        self.send(now, Call { id, purpose: Purpose::Token, target: api::AUTHENTICATE, body });
        false
    }

    fn send(&mut self, now: Instant, call: Call) {
        let Call { id, purpose, target, body } = call;
        let Some((upstream, host)) = self.endpoints.get(self.current) else { return };
        // Without this a member that has lost the others keeps who asks waiting, and a watch for ever.
        let mut headers = format!(
            "Host: {host}\r\nContent-Type: application/json\r\nGrpc-Metadata-hasleader: true\r\n"
        );
        if let Token::Has(token) = &self.token {
            headers.push_str(&format!("Authorization: {token}\r\n"));
        }
        let patience = if purpose == Purpose::Page { PAGE_PATIENCE } else { PATIENCE };
        let running = Running {
            purpose,
            endpoint: self.current,
            tokens: self.tokens,
            status: None,
            body: Vec::new(),
            patience: Some(self.patience.set(now + patience, id)),
        };
        self.running.insert(id, running);
        let upstream = Arc::clone(upstream);
        let body = body.into_bytes();
        self.out.push_back(StoreEvent::Exchange(Exchange { id, upstream, target, headers, body }));
    }

    /// Nobody wants to know any more what comes of that call.
    pub(super) fn abandon(&mut self, now: Instant, id: u64) {
        if let Some(running) = self.running.remove(&id) {
            self.forget(&running);
            self.out.push_back(StoreEvent::Abandon(id));
            self.go_on(now);
        } else {
            self.waiting.remove(&(true, id));
            self.waiting.remove(&(false, id));
        }
    }

    fn forget(&mut self, running: &Running) {
        if let Some(timer) = running.patience {
            self.patience.cancel(timer);
        }
    }

    /// A stream has begun as it should: it may be silent from now on.
    pub(super) fn is_open(&mut self, id: u64) {
        if let Some(timer) = self.running.get_mut(&id).and_then(|it| it.patience.take()) {
            self.patience.cancel(timer);
        }
    }

    pub(super) fn progress(&mut self, now: Instant, id: u64, progress: Progress<'_>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        match progress {
            Progress::Status(status) => running.status = Some(status),
            Progress::Body(piece)
                if running.purpose == Purpose::Watch && running.status == Some(200) =>
            {
                self.heard.push_back((id, Purpose::Watch, Outcome::Piece(piece.to_vec())));
            }
            Progress::Body(piece) if running.body.len() + piece.len() <= LONGEST => {
                running.body.extend_from_slice(piece);
            }
            Progress::Body(_) => {
                self.out.push_back(StoreEvent::Abandon(id));
                self.fail(now, id, "its answer is too long", true);
            }
            Progress::End => self.ended(now, id),
            Progress::Failed(reason) => self.fail(now, id, reason, true),
        }
    }

    fn ended(&mut self, now: Instant, id: u64) {
        let Some(running) = self.running.get(&id) else { return };
        let (status, body) = (running.status.unwrap_or(0), &running.body);
        if running.purpose == Purpose::Watch && status == 200 {
            return self.fail(now, id, "it has ended the watch", true);
        }
        if status == 200 {
            return match api::parse::<Reply>(body) {
                Some(reply) => self.conclude(now, id, Outcome::Reply(reply)),
                None => self.fail(now, id, "its answer is not etcd's", true),
            };
        }
        let text = api::trouble(status, body);
        if is_about_the_token(status, &text) && running.purpose != Purpose::Token {
            self.drop_token(running.tokens);
            return self.fail(now, id, &text, false);
        }
        match status {
            408 | 429 | 500.. => self.fail(now, id, &text, true),
            _ => self.conclude(now, id, Outcome::Refused(status, text)),
        }
    }

    /// It may be tried again, of the next member if this one is to blame.
    fn fail(&mut self, now: Instant, id: u64, reason: &str, blame: bool) {
        let Some(running) = self.running.get(&id) else { return };
        let endpoint = running.endpoint;
        if blame && endpoint == self.current {
            self.current = (self.current + 1) % self.endpoints.len().max(1);
        }
        let host = self.endpoints.get(endpoint).map_or("", |(_, host)| &**host);
        let reason = format!("{host}: {reason}");
        self.conclude(now, id, Outcome::Failed(reason));
    }

    fn conclude(&mut self, now: Instant, id: u64, outcome: Outcome) {
        let Some(running) = self.running.remove(&id) else { return };
        let purpose = running.purpose;
        self.forget(&running);
        if purpose == Purpose::Token {
            self.token_heard(now, outcome);
        } else {
            self.heard.push_back((id, purpose, outcome));
        }
        self.go_on(now);
    }

    fn token_heard(&mut self, now: Instant, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Reply(reply) if is_token(&reply.token) => {
                self.token = Token::Has(reply.token);
                return;
            }
            Outcome::Failed(reason) => {
                self.token = Token::None;
                while let Some((_, call)) = self.waiting.pop_first() {
                    let outcome = Outcome::Failed(reason.clone());
                    self.heard.push_back((call.id, call.purpose, outcome));
                }
                return;
            }
            Outcome::Refused(_, reason) => reason,
            Outcome::Reply(_) | Outcome::Piece(_) => "it gives no token".to_owned(),
        };
        self.token = Token::Refused { reason, until: now + REFUSED };
    }

    /// A token is not accepted any more. Many calls may have been made with it, and find that out one after the other: one
    /// asks for another.
    fn drop_token(&mut self, of: u64) {
        if of == self.tokens {
            self.token = Token::None;
        }
    }

    /// A watch is refused, which is said in its stream. Of a token that has ended etcd may say only that it is not permitted.
    pub(super) fn is_refused(&mut self, id: u64, reason: &str) {
        if (is_about_the_token(0, reason) || reason.contains("permission denied"))
            && let Some(tokens) = self.running.get(&id).map(|running| running.tokens)
        {
            self.drop_token(tokens);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.patience.expired(now) {
            let Some(running) = self.running.get_mut(&id) else { continue };
            running.patience = None;
            self.out.push_back(StoreEvent::Abandon(id));
            self.fail(now, id, "no answer in time", true);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.patience.next()
    }

    pub(super) fn poll_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    pub(super) fn poll(&mut self) -> Option<StoreEvent> {
        self.out.pop_front()
    }
}

fn is_about_the_token(status: u16, text: &str) -> bool {
    status == 401
        || text.contains("invalid auth token")
        || text.contains("revision of auth store is old")
}

/// Whether it can stand in a header.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
