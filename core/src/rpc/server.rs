//! The server's side of a connection.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::message::{Id, Request};
use super::{
    Args, CLOSE_STREAM, Codec, END_OF_STREAM, Error, GREETING, Limits, Method, PATH, Reply, Update,
};
use super::{gob, json};
use crate::http1::{self, After, Framing, RequestHead};
use crate::id::{CallId, Key, Slab};

/// A server's end of one connection, from its first byte on: takes the bytes that come, gives calls, and writes their
/// answers into buffers that it is lent.
///
/// What needs nobody is answered by the machine itself: the handshake, calls of methods that are not there, arguments that
/// cannot be read, the end of a stream that its client closes.
///
/// ```
/// use libswarm::rpc::{Limits, Method, Reply, Server, ServerEvent};
///
/// let mut server = Server::new(Limits::default());
/// let mut out = Vec::new();
/// let input = b"CONNECT /_goRPC_ HTTP/1.0\r\nAccept: application/vnd.flynn.rpc-hijack+json\r\n\r\n\
///     {\"method\":\"Agent.Register\",\"params\":[{\"Name\":\"web\",\"Addr\":\":80\"}],\"id\":1}";
/// let (taken, event) = server.receive(input, &mut out).unwrap();
/// assert_eq!(taken, input.len());
/// let Some(ServerEvent::Call { call, method: Method::Register, args }) = event else { panic!() };
/// assert_eq!((&*args.name, &*args.address), ("web", ":80"));
///
/// server.reply(call, Reply::Text("127.0.0.1:80"), &mut out);
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.0 200 Connected to Go RPC\n\n{\"id\":1,\"result\":\"127.0.0.1:80\",\"error\":null}\n"
/// );
/// ```
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    phase: Phase,
    /// Calls without an answer, and open streams.
    calls: Slab<Call>,
    /// Those of them that are streams, by the names that their client gave them.
    streams: BTreeSet<(Id, CallId)>,
}

/// The longest id of a call in JSON, in bytes.
const LONGEST_ID: usize = 1024;

#[derive(Debug)]
enum Phase {
    Http(Box<http1::Server>),
    Gob(Box<gob::ServerCodec>),
    Json(json::ServerCodec),
    Refused,
}

impl Phase {
    fn of(codec: Codec) -> Self {
        match codec {
            Codec::Gob => Self::Gob(Box::default()),
            Codec::Json => Self::Json(json::ServerCodec::default()),
        }
    }
}

#[derive(Debug)]
struct Call {
    id: Id,
    method: Method,
}

/// What has come from a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerEvent {
    /// A call, to be answered with [`Server::reply`] or [`Server::fail`]; one of [`Method::Subscribe`] with any number of
    /// [updates](Server::update) before that.
    Call {
        /// Its name from now on.
        call: CallId,
        /// What is called.
        method: Method,
        /// With what.
        args: Args,
    },
    /// The client has ended this stream, which is answered. Nothing more can be said on it.
    StreamClosed(CallId),
    /// The connection was used for HTTP, and is over: shut the sending side down once all is written.
    Finished,
}

impl Server {
    /// The state of a connection that was just accepted.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let http = Box::new(http1::Server::new(limits.http.clone()));
        Self { limits, phase: Phase::Http(http), calls: Slab::new(), streams: BTreeSet::new() }
    }

    /// The state of a connection on which somebody else has read HTTP up to this head, a CONNECT to [`PATH`]; its answer is
    /// written to `out`.
    #[must_use]
    pub fn accept(limits: Limits, head: &RequestHead, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(GREETING);
        let phase = Phase::of(Codec::from_accept(head.header("Accept")));
        Self { limits, phase, calls: Slab::new(), streams: BTreeSet::new() }
    }

    /// The codec, once the client has said which.
    #[must_use]
    pub const fn codec(&self) -> Option<Codec> {
        match self.phase {
            Phase::Gob(_) => Some(Codec::Gob),
            Phase::Json(_) => Some(Codec::Json),
            Phase::Http(_) | Phase::Refused => None,
        }
    }

    /// Whether the head of a request has begun to come and is not complete: with `unread`, the bytes that no event took.
    #[must_use]
    pub const fn is_in_head(&self, unread: usize) -> bool {
        match &self.phase {
            Phase::Http(http) => http.is_in_head(unread),
            _ => false,
        }
    }

    /// Answers a head that did not come to its end, such as with [`HeadTimeout`](http1::Error::HeadTimeout). Nothing more is
    /// read.
    pub fn refuse_head(&mut self, error: http1::Error, out: &mut Vec<u8>) -> Error {
        if let Phase::Http(http) = &mut self.phase {
            http.refuse();
            refuse(http, error, out);
        }
        self.phase = Phase::Refused;
        Error::Head(error)
    }

    /// Whether [`Limits::calls`] calls wait, so that no further one is read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting() >= self.limits.calls
    }

    /// Calls that wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.calls.len() - self.streams.len()
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Reads on: how many bytes of `input` were taken, and the next event if they hold one. Without an event more must come, or,
    /// while [`Limits::calls`] calls wait, an answer be given.
    ///
    /// # Errors
    ///
    /// Nothing more can be read from this client. What there is to say to it is written to `out`: close behind that.
    pub fn receive(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<ServerEvent>), Error> {
        let result = self.read(input, out);
        if result.is_err() {
            self.phase = Phase::Refused;
        }
        result
    }

    fn read(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<ServerEvent>), Error> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let request = match &mut self.phase {
                Phase::Refused => return Ok((input.len(), None)),
                Phase::Http(http) => {
                    let (more, next) = head(http, rest, out)?;
                    taken += more;
                    match next {
                        Next::Codec(codec) => self.phase = Phase::of(codec),
                        Next::Request if more > 0 => {}
                        Next::Request => return Ok((taken, None)),
                        Next::Nothing => return Ok((taken, Some(ServerEvent::Finished))),
                    }
                    continue;
                }
                _ if self.calls.len() - self.streams.len() >= self.limits.calls => {
                    return Ok((taken, None));
                }
                Phase::Gob(gob) => gob.receive(rest, &self.limits)?,
                Phase::Json(json) => json.receive(rest, &self.limits)?,
            };
            let (more, request) = request;
            taken += more;
            let Some(request) = request else { return Ok((taken, None)) };
            if let Some(event) = self.request(request, out) {
                return Ok((taken, Some(event)));
            }
        }
    }

    fn request(&mut self, request: Request, out: &mut Vec<u8>) -> Option<ServerEvent> {
        let Request { id, method: name, call } = request;
        if let Id::Text(text) = &id
            && text.len() > LONGEST_ID
        {
            // It would be kept as long as a stream is open.
            let error =
                alloc::format!("discoverd: id has {} bytes: use at most {LONGEST_ID}", text.len());
            self.put_error(&id, &name, &error, out);
            return None;
        }
        if &*name == CLOSE_STREAM {
            return self.close(&id, out).map(ServerEvent::StreamClosed);
        }
        let (method, args) = match call {
            Ok((Method::Subscribe, _)) if self.streams.len() >= self.limits.streams => {
                let limit = self.limits.streams;
                let error = alloc::format!(
                    "discoverd: {limit} subscriptions are open on this connection: close some, or \
                     use another connection"
                );
                self.put_error(&id, &name, &error, out);
                return None;
            }
            Ok(call) => call,
            Err(error) => {
                self.put_error(&id, &name, &error, out);
                return None;
            }
        };
        let call = CallId(self.calls.insert(Call { id: id.clone(), method }));
        if method == Method::Subscribe {
            self.streams.insert((id, call));
        }
        Some(ServerEvent::Call { call, method, args })
    }

    /// Ends a stream of that name, if there is one.
    fn close(&mut self, id: &Id, out: &mut Vec<u8>) -> Option<CallId> {
        let (found, call) = self.streams.range((id.clone(), CallId(Key::new(0, 0)))..).next()?;
        if found != id {
            return None;
        }
        let call = *call;
        self.fail(call, END_OF_STREAM, out);
        Some(call)
    }

    /// Answers a call. Nothing is written if it has been answered before.
    pub fn reply(&mut self, call: CallId, reply: Reply<'_>, out: &mut Vec<u8>) {
        let Some(Call { id, method }) = self.remove(call) else { return };
        match (&mut self.phase, id) {
            (Phase::Gob(gob), Id::Number(seq)) => gob.reply(method.name(), seq, reply, out),
            (Phase::Json(_), Id::Text(id)) => json::ServerCodec::reply(&id, reply, out),
            _ => {}
        }
    }

    /// Answers a call with an error, or breaks a stream off with it.
    pub fn fail(&mut self, call: CallId, error: &str, out: &mut Vec<u8>) {
        if let Some(Call { id, method }) = self.remove(call) {
            self.put_error(&id, method.name(), error, out);
        }
    }

    /// Says something on a stream. Nothing is written if it has ended.
    pub fn update(&mut self, call: CallId, update: &Update<'_>, out: &mut Vec<u8>) {
        let Some(Call { id, method }) = self.calls.get(call.0) else { return };
        match (&mut self.phase, id) {
            (Phase::Gob(gob), Id::Number(seq)) => gob.update(method.name(), *seq, update, out),
            (Phase::Json(_), Id::Text(id)) => json::ServerCodec::update(id, update, out),
            _ => {}
        }
    }

    fn remove(&mut self, call: CallId) -> Option<Call> {
        let removed = self.calls.remove(call.0)?;
        if removed.method == Method::Subscribe {
            self.streams.remove(&(removed.id.clone(), call));
        }
        Some(removed)
    }

    fn put_error(&mut self, id: &Id, method: &str, error: &str, out: &mut Vec<u8>) {
        match (&mut self.phase, id) {
            (Phase::Gob(gob), Id::Number(seq)) => gob.fail(method, *seq, error, out),
            (Phase::Json(_), Id::Text(id)) => json::ServerCodec::fail(id, error, out),
            _ => {}
        }
    }

    /// The client sends nothing more; `unread` bytes of what it sent were not taken. Calls can still be answered.
    ///
    /// # Errors
    ///
    /// It stopped in the middle of a message.
    pub fn eof(&mut self, unread: usize) -> Result<(), Error> {
        let whole = match &mut self.phase {
            Phase::Http(http) => unread == 0 && http.eof().is_ok(),
            Phase::Gob(gob) => unread == 0 && gob.is_between_messages(),
            Phase::Json(_) => unread == 0,
            Phase::Refused => true,
        };
        if whole { Ok(()) } else { Err(Error::Truncated) }
    }
}

/// What comes behind a piece of HTTP.
enum Next {
    /// The RPC.
    Codec(Codec),
    /// More HTTP.
    Request,
    /// The end.
    Nothing,
}

/// Reads HTTP until a CONNECT; answers everything else.
fn head(http: &mut http1::Server, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, Next), Error> {
    let (taken, event) = match http.receive(input) {
        Ok(received) => received,
        Err(error) => {
            refuse(http, error, out);
            return Err(Error::Head(error));
        }
    };
    if let Some(http1::ServerEvent::Request(head)) = &event {
        match (head.method(), path(head)) {
            ("CONNECT", PATH) => {
                http.switch(GREETING, out);
                return Ok((taken, Next::Codec(Codec::from_accept(head.header("Accept")))));
            }
            (_, PATH) => answer(http, 405, "405 must CONNECT\n", out),
            _ => answer(http, 404, "404 page not found\n", out),
        }
    } else if !matches!(event, Some(http1::ServerEvent::End)) {
        return Ok((taken, Next::Request));
    }
    Ok((taken, if http.after() == After::Close { Next::Nothing } else { Next::Request }))
}

fn path(head: &RequestHead) -> &str {
    head.target().split('?').next().unwrap_or_default()
}

fn refuse(http: &mut http1::Server, error: http1::Error, out: &mut Vec<u8>) {
    let text = alloc::format!("{} {error}\n", error.status());
    answer(http, error.status(), &text, out);
}

fn answer(http: &mut http1::Server, status: u16, text: &str, out: &mut Vec<u8>) {
    let headers: [&[u8]; 1] = [b"Content-Type: text/plain; charset=utf-8\r\n"];
    if http.respond(status, Framing::Length(text.len() as u64), &headers, out) {
        http.write(text.as_bytes(), out);
        http.end(out);
    }
}
