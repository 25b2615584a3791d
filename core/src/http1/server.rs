//! The server's side of a connection.

use alloc::vec::Vec;

use super::body::{BodyDecoder, Framing, Piece, Run};
use super::encode::{self, BodyEncoder, reason_phrase};
use super::head::header_line;
use super::parse::{self, Scanner};
use super::state::{Half, Halves, Step};
use super::{Error, HttpVersion, Limits, RequestHead, ResponseHead};

/// A server's end of one connection: takes the bytes that come, gives events, and writes responses into buffers that it
/// is lent.
///
/// It holds no input. Bytes that an event did not take are given to it again, with those that came since, at the next call
/// of [`receive`](Server::receive).
///
/// ```
/// use libswarm::http1::{Framing, Limits, Server, ServerEvent};
///
/// let mut server = Server::new(Limits::default());
/// let input = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
/// let (taken, event) = server.receive(input).unwrap();
/// assert_eq!(taken, input.len());
/// assert!(matches!(event, Some(ServerEvent::Request(head)) if head.target() == "/_ping"));
///
/// let mut out = Vec::new();
/// server.respond(200, Framing::Length(2), &[b"Server: mine\r\n"], &mut out);
/// server.write(b"OK", &mut out);
/// server.end(&mut out);
/// assert_eq!(out, b"HTTP/1.1 200 OK\r\nServer: mine\r\nContent-Length: 2\r\n\r\nOK");
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    limits: Limits,
    halves: Halves,
    scanner: Scanner,
    framing: Framing,
    body: BodyDecoder,
    sending: BodyEncoder,
    version: HttpVersion,
    head_only: bool,
    keep_alive: bool,
    /// No request is taken behind the one that is under way or comes next.
    last: bool,
    upgrade: bool,
    /// The client waits for 100 before it sends its body, and has not got it.
    continue_due: bool,
}

/// What has come from a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerEvent<'a> {
    /// The head of a request. If it has no body the request is complete: nothing more comes of it.
    Request(RequestHead),
    /// A piece of its body, never empty.
    Body(&'a [u8]),
    /// Its body is complete; comes after every body, not after a head without one.
    End,
    /// Bytes of a hijacked or upgraded connection, never empty.
    Raw(&'a [u8]),
}

/// What to do with a connection when a response is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// The next request may come.
    Reuse,
    /// The rest of the request's body has to be read and thrown away first; ask again at its end.
    Drain,
    /// It is over: shut the sending side down once all is written, and read what still comes for a while, so that the
    /// last response is not lost to a reset.
    Close,
}

impl Server {
    /// The state of a connection that was just accepted.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            halves: Halves::FRESH,
            scanner: Scanner::START,
            framing: Framing::Empty,
            body: BodyDecoder::new(Framing::Empty),
            sending: BodyEncoder::new(Framing::Empty),
            version: HttpVersion::Http11,
            head_only: false,
            keep_alive: true,
            last: false,
            upgrade: false,
            continue_due: false,
        }
    }

    /// Where both halves stand.
    #[must_use]
    pub const fn halves(&self) -> Halves {
        self.halves
    }

    /// Whether the request that is under way has a body.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// How the body of the request that is under way is delimited.
    #[must_use]
    pub const fn request_framing(&self) -> Framing {
        self.framing
    }

    /// Reads on: how many bytes of `input` were taken, and the next event if they hold one. Without an event, more must
    /// come (or, after a request's end, its response first).
    ///
    /// # Errors
    ///
    /// The request is refused. Nothing more is read from this client; answer with [`Error::status`] if no response has
    /// begun, and close.
    pub fn receive<'a>(
        &mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<ServerEvent<'a>>), Error> {
        let result = match self.halves.request {
            Half::Idle => self.head(input),
            Half::Body => self.body(input),
            Half::Done => Ok((0, None)),
            Half::Raw if input.is_empty() => Ok((0, None)),
            Half::Raw => Ok((input.len(), Some(ServerEvent::Raw(input)))),
            Half::Closed => Ok((input.len(), None)),
        };
        if result.is_err() {
            self.refuse();
        }
        result
    }

    fn head<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Option<ServerEvent<'a>>), Error> {
        let (blank, begins) = parse::blank_lines(input)?;
        if !begins {
            return Ok((blank, None));
        }
        let rest = &input[blank..];
        let Some((length, head, meaning)) = parse::request(rest, &mut self.scanner, &self.limits)?
        else {
            return Ok((blank, None));
        };
        self.scanner = Scanner::START;
        self.halves.step(Step::RequestHead);
        if matches!(meaning.framing, Framing::Empty | Framing::Length(0)) {
            self.halves.step(Step::RequestEnd);
        }
        self.framing = meaning.framing;
        self.body = BodyDecoder::new(meaning.framing);
        self.version = head.version();
        self.head_only = head.method() == "HEAD";
        self.keep_alive = meaning.keep_alive && !self.last;
        self.upgrade = meaning.upgrade;
        self.continue_due = meaning.expects_continue && matches!(self.halves.request, Half::Body);
        Ok((blank + length, Some(ServerEvent::Request(head))))
    }

    fn body<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Option<ServerEvent<'a>>), Error> {
        let (taken, piece) = self.body.next(input)?;
        if taken > 0 {
            // Whoever sends a body does not wait for leave to send it.
            self.continue_due = false;
        }
        Ok(match piece {
            Piece::NeedsMore => (taken, None),
            Piece::Data(data) => (taken, Some(ServerEvent::Body(data))),
            Piece::End => {
                self.halves.step(Step::RequestEnd);
                (taken, Some(ServerEvent::End))
            }
        })
    }

    /// Whether a request has begun to come and its head is not complete: with `unread`, the bytes that no event took.
    #[must_use]
    pub const fn is_in_head(&self, unread: usize) -> bool {
        matches!(self.halves.request, Half::Idle) && unread > 0
    }

    /// The client has shut its sending side down. A request that is complete can still be answered; a raw stream still
    /// be written to.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`]: it did so in the middle of a request's body.
    pub const fn eof(&mut self) -> Result<(), Error> {
        let truncated = matches!(self.halves.request, Half::Body);
        self.halves.step(Step::RequestEof);
        self.keep_alive = false;
        if truncated { Err(Error::Truncated) } else { Ok(()) }
    }

    /// Reads no further request from this client: it took too long, or what it sent is refused.
    pub const fn refuse(&mut self) {
        self.halves.step(Step::RequestRefused);
        self.keep_alive = false;
    }

    /// Says in the next response that the connection will be closed behind it.
    pub const fn close_after(&mut self) {
        self.last = true;
        self.keep_alive = false;
    }

    /// Whether the client asked for an upgrade (RFC 9110 section 7.8): without it, a hijack is answered by a bare 200.
    #[must_use]
    pub const fn wants_upgrade(&self) -> bool {
        self.upgrade
    }

    /// Whether the response's body will not be sent, since the method was HEAD.
    #[must_use]
    pub const fn is_head(&self) -> bool {
        self.head_only
    }

    /// Writes `100 Continue` if the client waits for it. To be called when somebody wants the body.
    pub fn send_continue(&mut self, out: &mut Vec<u8>) {
        if core::mem::take(&mut self.continue_due) && self.halves.response == Half::Idle {
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Writes the head of the response. `headers` are whole header lines with their line ends, without those that
    /// delimit the body or speak of the connection: these are added. Chunks become bytes until close for HTTP/1.0;
    /// [`Framing::Empty`] is a length of 0 where a body could be.
    ///
    /// `status` is a final one other than 101: for the others see [`send_continue`](Server::send_continue) and
    /// [`switch`](Server::switch).
    ///
    /// Returns whether a response could begin here: false, and nothing written, if one has begun before.
    pub fn respond(
        &mut self,
        status: u16,
        framing: Framing,
        headers: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.halves.step(Step::ResponseHead) {
            return false;
        }
        let framing = match framing {
            Framing::Chunked if self.version == HttpVersion::Http10 => Framing::UntilClose,
            framing => framing,
        };
        let bodiless = status == 204 || status == 304 || self.head_only;
        // A client that still waits for 100 may or may not send its body: the place of the next request is unknown.
        if self.continue_due || (framing == Framing::UntilClose && !bodiless) {
            self.keep_alive = false;
        }
        self.status_line(status, reason_phrase(status).as_bytes(), out);
        for lines in headers {
            out.extend_from_slice(lines);
        }
        if !self.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        match framing {
            Framing::Length(_) if status != 204 && status != 304 => {
                encode::framing_header(framing, out);
            }
            Framing::Chunked if !bodiless => encode::framing_header(framing, out),
            // Without a length it would be a body until close, for which the client waits.
            Framing::Empty if !bodiless => encode::framing_header(Framing::Length(0), out),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
        self.sending = if bodiless { BodyEncoder::Nothing } else { BodyEncoder::new(framing) };
        true
    }

    /// Passes on the head of another server's response: its status, its reason and its headers in their order, less those
    /// of the other connection. `framing` is that of its body there; here it is the same, but chunks become bytes until
    /// close for HTTP/1.0.
    ///
    /// Returns false, and writes nothing, if a response has begun before.
    pub fn relay(&mut self, head: &ResponseHead, framing: Framing, out: &mut Vec<u8>) -> bool {
        if !self.halves.step(Step::ResponseHead) {
            return false;
        }
        let framing = match framing {
            Framing::Chunked if self.version == HttpVersion::Http10 => Framing::UntilClose,
            framing => framing,
        };
        if self.continue_due || framing == Framing::UntilClose {
            self.keep_alive = false;
        }
        self.status_line(head.status(), head.reason(), out);
        for (name, value) in head.headers().end_to_end() {
            header_line(name, value, out);
        }
        if !self.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        // A length is among the headers, also where there is no body: in answers to HEAD and in 304.
        if framing == Framing::Chunked {
            encode::framing_header(framing, out);
        }
        out.extend_from_slice(b"\r\n");
        self.sending = BodyEncoder::new(framing);
        true
    }

    /// Passes on a head that is not final, such as 100 Continue. HTTP/1.0 has none (RFC 9110 section 15.2).
    pub fn relay_informational(&mut self, head: &ResponseHead, out: &mut Vec<u8>) {
        if self.version == HttpVersion::Http10 || self.halves.response != Half::Idle {
            return;
        }
        if head.status() == 100 {
            self.continue_due = false;
        }
        self.status_line(head.status(), head.reason(), out);
        for (name, value) in head.headers().end_to_end() {
            header_line(name, value, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn status_line(&self, status: u16, reason: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(match self.version {
            HttpVersion::Http10 => b"HTTP/1.0 ",
            HttpVersion::Http11 => b"HTTP/1.1 ",
        });
        encode::decimal(u64::from(status), out);
        out.push(b' ');
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes `head`, a whole response head, and leaves HTTP: what follows in either direction is bytes.
    ///
    /// Returns false, and writes nothing, if a response has begun before.
    pub fn switch(&mut self, head: &[u8], out: &mut Vec<u8>) -> bool {
        if !self.halves.step(Step::Switch) {
            return false;
        }
        self.continue_due = false;
        self.keep_alive = false;
        self.sending = BodyEncoder::Plain;
        out.extend_from_slice(head);
        true
    }

    /// Whether what is written now goes to the client: a body has begun that may have bytes, or a raw stream.
    #[must_use]
    pub const fn takes_body(&self) -> bool {
        match self.halves.response {
            Half::Body => !matches!(self.sending, BodyEncoder::Nothing),
            Half::Raw => true,
            Half::Idle | Half::Done | Half::Closed => false,
        }
    }

    /// Writes what stands before `length` bytes of the response's body, and returns what has to stand behind them. `None`:
    /// they must not be sent, since the response has no body or a shorter one.
    pub fn frame(&mut self, length: usize, out: &mut Vec<u8>) -> Option<&'static [u8]> {
        match self.halves.response {
            Half::Body | Half::Raw => self.sending.frame(length, out),
            _ => None,
        }
    }

    /// Writes a piece of the response's body, or of the raw stream. What must not be sent is dropped.
    pub fn write(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if let Some(behind) = self.frame(data.len(), out) {
            out.extend_from_slice(data);
            out.extend_from_slice(behind);
        }
    }

    /// Ends the response, or the raw stream. Returns false if its body is shorter than its head said: then the client
    /// must see the connection break, not end.
    pub fn end(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(end) = self.sending.end() else { return false };
        if !self.halves.step(Step::ResponseEnd) {
            return false;
        }
        out.extend_from_slice(end);
        true
    }

    /// What comes next without framing between: the rest of a body with a length, or all until the end.
    #[must_use]
    pub const fn incoming(&self) -> Option<Run> {
        match self.halves.request {
            Half::Body => self.body.run(),
            Half::Raw => Some(Run::UntilEnd),
            Half::Idle | Half::Done | Half::Closed => None,
        }
    }

    /// What may be sent next without framing between.
    #[must_use]
    pub const fn outgoing(&self) -> Option<Run> {
        match self.halves.response {
            Half::Body => self.sending.run(),
            Half::Raw => Some(Run::UntilEnd),
            Half::Idle | Half::Done | Half::Closed => None,
        }
    }

    /// Takes note of bytes of [`incoming`](Self::incoming) that have passed elsewhere instead of through
    /// [`receive`](Self::receive).
    pub const fn note_received(&mut self, bytes: u64) {
        if let Half::Body = self.halves.request {
            self.body.pass(bytes);
            self.continue_due &= bytes == 0;
        }
    }

    /// Takes note of bytes of [`outgoing`](Self::outgoing) that have been sent without [`write`](Self::write).
    pub const fn note_sent(&mut self, bytes: u64) {
        if let Half::Body = self.halves.response {
            self.sending.pass(bytes);
        }
    }

    /// What to do now that the response is complete.
    pub const fn after(&mut self) -> After {
        match self.halves {
            Halves { response: Half::Done, request: Half::Body } if self.keep_alive => After::Drain,
            Halves { response: Half::Done, request: Half::Done } if self.keep_alive => {
                self.halves.step(Step::Next);
                // A refusal of what comes next is no answer to HEAD.
                self.head_only = false;
                self.upgrade = false;
                After::Reuse
            }
            _ => After::Close,
        }
    }
}
