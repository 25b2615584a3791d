//! One connection, from its bytes to what they do, and from what comes of it to bytes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::act::{self, Asked, Outcome, Waiting};
use super::answer::json;
use super::error::Error;
use super::listing::Listing;
use super::route::{self, Astray};
use super::stream::{self, Shape};
use super::{guard, page, request};
use crate::discovery::{Agent, Event, StoreError, SubscriptionId};
use crate::http1::state::Half;
use crate::http1::{self, After, Framing, RequestHead, ServerEvent};
use crate::id::{CallId, Key};
use crate::rpc;
use crate::time::Instant;

/// A server's end of one connection: takes the bytes that come, asks an [`Agent`], and writes answers into buffers that it is
/// lent.
///
/// It holds no input: bytes that were not taken are given to it again, with those that came since. What it asked of the agent is
/// answered through [`done`](Self::done); a stream's [`ready`](Self::ready) is passed on to it.
///
/// ```
/// use libswarm::Instant;
/// use libswarm::discovery::http::{Env, Next, Server};
/// use libswarm::discovery::{Agent, AgentEvent, Memory, TTL};
///
/// let mut agent = Agent::new(Box::new(Memory::new(TTL)), None);
/// let (mut server, mut out) = (Server::new(Default::default()), Vec::new());
/// let mut env =
///     Env { now: Instant::ZERO, agent: &mut agent, owner: 0, epoch: Default::default(), stopping: false };
/// let input = b"PUT /services/web HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// let (taken, _) = server.receive(&mut env, input, &mut out).unwrap();
/// assert_eq!(taken, input.len());
/// let Some(AgentEvent::Done { call, result, .. }) = env.agent.poll() else { panic!() };
/// server.done(&mut env, call, result, &mut out);
/// assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
/// ```
#[derive(Debug)]
pub struct Server {
    http: http1::Server,
    state: State,
    /// Requests that were read.
    calls: u32,
}

#[derive(Debug)]
enum State {
    /// The head of a request comes next.
    Ready,
    /// Its body.
    Body(Asked, Vec<u8>),
    /// What is left of the body of a request that is answered.
    Discard,
    /// The store is asked.
    Waiting(Waiting),
    Streaming(Stream),
    /// A long answer is written.
    Listing(Listing),
    /// Nothing more is read.
    Over,
}

#[derive(Debug)]
struct Stream {
    shape: Shape,
    service: String,
    subscription: SubscriptionId,
    /// When something was written last.
    spoke: Instant,
    is_ready: bool,
    /// Of a stream of leaders: somebody went who may be the one that it has named.
    is_bereft: bool,
    /// It has said last that nobody leads.
    is_leaderless: bool,
    /// Up to where a client that comes back can be told to know all.
    told: Option<u64>,
}

/// What a connection needs while it is at work.
pub struct Env<'a> {
    /// What time it is.
    pub now: Instant,
    /// Who answers.
    pub agent: &'a mut Agent,
    /// Whose connection it is, as the agent is told.
    pub owner: u64,
    /// When this process began, as time since the Unix epoch: events that another one told of are not gone on from.
    pub epoch: Duration,
    /// No further requests are answered on this connection.
    pub stopping: bool,
}

/// How it goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// There may be more in what is left of the input, or to be written: ask again, when there is room for that.
    More,
    /// More must come, or the agent answer first.
    Wait,
    /// This CONNECT begins the [RPC](crate::rpc): what is left of the input is [its](crate::rpc::Server::accept).
    Rpc(RequestHead),
    /// It is over: shut the sending side down once all is written.
    Finished,
}

/// The headers of every answer in JSON.
const JSON: &[u8] = b"Content-Type: application/json\r\n\
    Cache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\n";
const TEXT: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";

impl Server {
    /// The state of a connection that was just accepted.
    #[must_use]
    pub const fn new(limits: http1::Limits) -> Self {
        Self { http: http1::Server::new(limits), state: State::Ready, calls: 0 }
    }

    /// Whether a request has begun to come and is not complete: with `unread`, the bytes that were not taken.
    #[must_use]
    pub const fn is_in_request(&self, unread: usize) -> bool {
        match self.state {
            State::Ready => self.http.is_in_head(unread),
            State::Body(..) | State::Discard => true,
            State::Waiting(_) | State::Streaming(_) | State::Listing(_) | State::Over => false,
        }
    }

    /// Whether an answer of the agent's is waited for.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Whether an answer is written as far as there is room for it: [`receive`](Self::receive) goes on with it.
    #[must_use]
    pub const fn is_writing(&self) -> bool {
        matches!(self.state, State::Listing(_))
    }

    /// When the stream said something last, if there is one.
    #[must_use]
    pub const fn spoke(&self) -> Option<Instant> {
        match &self.state {
            State::Streaming(stream) => Some(stream.spoke),
            _ => None,
        }
    }

    /// Reads on: how many bytes of `input` were taken, and how it goes on.
    ///
    /// # Errors
    ///
    /// Nothing more can be read from this client. What there is to say to it is written to `out`: close behind that.
    pub fn receive(
        &mut self,
        env: &mut Env<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Next), http1::Error> {
        match self.state {
            State::Waiting(_) | State::Streaming(_) => return Ok((0, Next::Wait)),
            State::Listing(_) => return Ok((0, self.list(env, out))),
            State::Over => return Ok((input.len(), Next::Wait)),
            State::Ready | State::Body(..) | State::Discard => {}
        }
        let (taken, event) = match self.http.receive(input) {
            Ok(received) => received,
            Err(error) => return Err(self.refuse(error, out)),
        };
        let next = match event {
            // It never leaves HTTP, so there is nothing raw.
            None | Some(ServerEvent::Raw(_)) => Next::Wait,
            Some(ServerEvent::Request(head)) => self.begin(env, head, out),
            Some(ServerEvent::Body(piece)) => self.body(piece, out),
            Some(ServerEvent::End) => match core::mem::replace(&mut self.state, State::Discard) {
                State::Body(asked, body) => self.act(env, asked, &body, out),
                _ => self.after(),
            },
        };
        Ok((taken, next))
    }

    fn begin(&mut self, env: &mut Env<'_>, head: RequestHead, out: &mut Vec<u8>) -> Next {
        self.calls = self.calls.wrapping_add(1);
        if env.stopping {
            self.http.close_after();
        }
        if route::path(head.target()) == rpc::PATH {
            if head.method() == "CONNECT" {
                self.state = State::Over;
                return Next::Rpc(head);
            }
            return self.answer(405, &[TEXT, b"Allow: CONNECT\r\n"], b"405 must CONNECT\n", out);
        }
        if let Err(error) = guard::check(&head, env.agent.external_name()) {
            return self.fail(&error, out);
        }
        let (verb, place) = match route::find(head.method(), head.target()) {
            Ok(found) => found,
            Err(Astray::Refused(error)) => return self.fail(&error, out),
            Err(Astray::Method(allowed, error)) => {
                let allow = format!("Allow: {allowed}\r\n");
                return self.answer(error.status, &[JSON, allow.as_bytes()], &json(&error), out);
            }
        };
        let media = |name| head.header(name).and_then(|value| core::str::from_utf8(value).ok());
        let asked = Asked {
            verb,
            place,
            wants_stream: media("Accept").is_some_and(|all| {
                all.split(',').any(|range| is_media_type(range, "text/event-stream"))
            }),
            is_json: media("Content-Type").is_some_and(|it| is_media_type(it, "application/json")),
            since: media("Last-Event-ID").and_then(|id| since(id, env.epoch)),
            is_head: head.method() == "HEAD",
        };
        if !self.http.has_body() {
            return self.act(env, asked, &[], out);
        }
        if let Framing::Length(length) = self.http.request_framing()
            && length > request::LONGEST as u64
        {
            return self.too_long(out);
        }
        self.http.send_continue(out);
        self.state = State::Body(asked, Vec::new());
        Next::More
    }

    fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Next {
        if let State::Body(_, body) = &mut self.state {
            if body.len() + piece.len() > request::LONGEST {
                return self.too_long(out);
            }
            body.extend_from_slice(piece);
        }
        Next::More
    }

    fn too_long(&mut self, out: &mut Vec<u8>) -> Next {
        let longest = request::LONGEST;
        let text = format!("the body is too long: use at most {longest} bytes");
        self.fail(&Error::invalid_with(413, &text), out)
    }

    fn act(&mut self, env: &mut Env<'_>, asked: Asked, body: &[u8], out: &mut Vec<u8>) -> Next {
        let call = CallId(Key::new(0, self.calls));
        match act::act(env, call, asked, body) {
            Err(error) => self.fail(&error, out),
            Ok(Outcome::Page) => self.answer(200, &[page::HEADERS], page::PAGE.as_bytes(), out),
            Ok(Outcome::Json(body)) => self.answer(200, &[JSON], &body, out),
            Ok(Outcome::List(length, listing)) => {
                if self.http.respond(200, Framing::Length(length), &[JSON], out) {
                    self.state = State::Listing(listing);
                    return Next::More;
                }
                self.after()
            }
            Ok(Outcome::Nothing) => self.answer(200, &[JSON], b"", out),
            Ok(Outcome::Wait(waiting)) => {
                self.state = State::Waiting(waiting);
                Next::Wait
            }
            Ok(Outcome::NoStream) => {
                self.http.respond(200, Framing::Chunked, &[stream::HEADERS], out);
                self.http.end(out);
                self.after()
            }
            Ok(Outcome::Stream(shape, service, subscription)) => {
                self.http.respond(200, Framing::Chunked, &[stream::HEADERS], out);
                self.http.write(stream::START, out);
                self.state = State::Streaming(Stream {
                    shape,
                    service,
                    subscription,
                    spoke: env.now,
                    is_ready: false,
                    is_bereft: false,
                    is_leaderless: false,
                    told: None,
                });
                Next::More
            }
        }
    }

    /// Goes on with a long answer.
    fn list(&mut self, env: &Env<'_>, out: &mut Vec<u8>) -> Next {
        let State::Listing(listing) = &mut self.state else { return Next::Wait };
        if let Some(piece) = listing.next() {
            self.http.write(&piece, out);
            return Next::More;
        }
        if env.stopping {
            self.http.close_after();
        }
        self.http.end(out);
        self.after()
    }

    /// Answers, and goes on behind that.
    fn answer(&mut self, status: u16, headers: &[&[u8]], body: &[u8], out: &mut Vec<u8>) -> Next {
        let is_long = match self.http.request_framing() {
            Framing::Empty => false,
            Framing::Length(length) => length > request::LONGEST as u64,
            Framing::Chunked | Framing::UntilClose => true,
        };
        if is_long && self.http.halves().request == Half::Body {
            // How much of it would have to be read for nothing is not known, or too much.
            self.http.close_after();
        }
        if self.http.respond(status, Framing::Length(body.len() as u64), headers, out) {
            self.http.write(body, out);
            self.http.end(out);
        }
        self.after()
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) -> Next {
        self.answer(error.status, &[JSON], &json(error), out)
    }

    fn after(&mut self) -> Next {
        let (state, next) = match self.http.after() {
            After::Reuse => (State::Ready, Next::More),
            After::Drain => (State::Discard, Next::More),
            After::Close => (State::Over, Next::Finished),
        };
        self.state = state;
        next
    }

    /// The agent has answered something that this connection asked.
    pub fn done(
        &mut self,
        env: &mut Env<'_>,
        call: CallId,
        result: Result<u64, StoreError>,
        out: &mut Vec<u8>,
    ) -> Next {
        let is_last = match &mut self.state {
            State::Waiting(waiting) if call.generation() == self.calls => waiting.note(result),
            _ => false,
        };
        if !is_last {
            return Next::Wait;
        }
        let State::Waiting(waiting) = core::mem::replace(&mut self.state, State::Over) else {
            return Next::Wait;
        };
        if env.stopping {
            self.http.close_after();
        }
        match waiting.finish(env.agent.registry().ok()) {
            Ok(body) => self.answer(200, &[JSON], &body, out),
            Err(error) => self.fail(&error, out),
        }
    }

    /// The stream has something to tell: call [`tell`](Self::tell).
    pub fn ready(&mut self, subscription: SubscriptionId) {
        if let State::Streaming(stream) = &mut self.state {
            stream.is_ready |= stream.subscription == subscription;
        }
    }

    /// Tells one thing. Returns whether there may be more.
    pub fn tell(&mut self, env: &mut Env<'_>, out: &mut Vec<u8>) -> bool {
        let State::Streaming(stream) = &mut self.state else { return false };
        if !stream.is_ready {
            return false;
        }
        let event = match env.agent.next(stream.subscription) {
            Some(event) => event,
            None => {
                stream.is_ready = false;
                let registry = env.agent.registry().ok().filter(|_| stream.is_bereft);
                if registry.is_none_or(|it| it.leader(&stream.service).is_some()) {
                    return false;
                }
                Event::Leaderless(stream.service.as_str().into())
            }
        };
        if stream.shape == Shape::Leader {
            // Others are told of who goes, and know by that.
            match &event {
                Event::Offline(_) => stream.is_bereft = !stream.is_leaderless,
                Event::Leader(_) => (stream.is_bereft, stream.is_leaderless) = (false, false),
                Event::Leaderless(_) => (stream.is_bereft, stream.is_leaderless) = (false, true),
                _ => {}
            }
        }
        let told = env.agent.told(stream.subscription);
        let id = told.filter(|_| told != stream.told).map(|told| id(env.epoch, told));
        let text = stream::event(&event, stream.shape, &stream.service, id.as_deref());
        if !text.is_empty() {
            stream.told = told;
            stream.spoke = env.now;
            self.http.write(&text, out);
        }
        true
    }

    /// Says that the stream is alive, if it has said nothing for [`QUIET`](Self::QUIET), and if that can be said now.
    pub fn keep_alive(&mut self, now: Instant, out: Option<&mut Vec<u8>>) {
        if let State::Streaming(stream) = &mut self.state
            && now - stream.spoke >= Self::QUIET
        {
            stream.spoke = now;
            if let Some(out) = out {
                self.http.write(stream::COMMENT, out);
            }
        }
    }

    /// After this time without an event a stream says that it is [alive](Self::keep_alive).
    pub const QUIET: Duration = stream::QUIET;

    /// The stream cannot be gone on with.
    pub fn ended(
        &mut self,
        subscription: SubscriptionId,
        error: &StoreError,
        out: &mut Vec<u8>,
    ) -> Next {
        if self.subscription() != Some(subscription) {
            return Next::Wait;
        }
        let text = stream::error(&Error::of_store(error, "the service"));
        self.http.write(&text, out);
        self.http.end(out);
        self.after()
    }

    /// What is followed, to be [closed](Agent::close) with the connection.
    #[must_use]
    pub const fn subscription(&self) -> Option<SubscriptionId> {
        match &self.state {
            State::Streaming(stream) => Some(stream.subscription),
            _ => None,
        }
    }

    /// Ends the stream, if there is one, as streams end.
    pub fn end_stream(&mut self, out: &mut Vec<u8>) {
        if let State::Streaming(_) = self.state {
            self.http.end(out);
            self.state = State::Over;
        }
    }

    /// Answers a request that did not come to its end, such as with [`HeadTimeout`](http1::Error::HeadTimeout). Nothing more is
    /// read.
    pub fn refuse(&mut self, error: http1::Error, out: &mut Vec<u8>) -> http1::Error {
        self.http.refuse();
        let why = Error::invalid_with(error.status(), error.reason());
        self.fail(&why, out);
        self.state = State::Over;
        error
    }

    /// The client sends nothing more; `unread` bytes of what it sent were not taken. What it asked for can still be answered.
    ///
    /// # Errors
    ///
    /// It stopped in the middle of a request.
    pub fn eof(&mut self, unread: usize) -> Result<(), http1::Error> {
        let is_whole = match self.state {
            State::Ready => unread == 0,
            State::Body(..) => false,
            State::Discard
            | State::Waiting(_)
            | State::Streaming(_)
            | State::Listing(_)
            | State::Over => true,
        };
        let whole = self.http.eof();
        if is_whole && whole.is_ok() { Ok(()) } else { Err(http1::Error::Truncated) }
    }
}

fn is_media_type(text: &str, wanted: &str) -> bool {
    text.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case(wanted))
}

/// An event's id: which process told it, and where a client that knows it goes on.
fn id(epoch: Duration, told: u64) -> String {
    format!("{:x}-{told}", epoch.as_nanos())
}

fn since(id: &str, epoch: Duration) -> Option<u64> {
    let (process, told) = id.split_once('-')?;
    (process == format!("{:x}", epoch.as_nanos())).then(|| told.parse().ok())?
}
