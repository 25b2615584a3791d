//! The client's side of a connection.

use alloc::vec::Vec;

use super::body::{BodyDecoder, Framing, Piece, Run};
use super::encode::{self, BodyEncoder};
use super::head::header_line;
use super::parse::{self, Scanner};
use super::state::{Half, Halves, Step};
use super::{Error, HttpVersion, Limits, RequestHead, ResponseHead};

/// A client's end of one connection; the mirror of [`Server`](super::Server).
///
/// It holds no input: bytes that an event did not take are given to it again, with those that came since, at the next
/// call of [`receive`](Client::receive).
///
/// ```
/// use libswarm::http1::{Client, ClientEvent, Framing, Limits, Request};
///
/// let mut client = Client::new(Limits::default());
/// let mut out = Vec::new();
/// let request = Request { method: "GET", target: "/_ping", framing: Framing::Empty, hijack: false };
/// client.request(&request, &[b"Host: docker\r\n"], &mut out);
/// client.end(&mut out);
/// assert_eq!(out, b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n");
///
/// let input = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
/// let (taken, event) = client.receive(input).unwrap();
/// assert!(matches!(event, Some(ClientEvent::Response(head)) if head.status() == 200));
/// let (_, event) = client.receive(&input[taken..]).unwrap();
/// assert_eq!(event, Some(ClientEvent::Body(b"OK")));
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    limits: Limits,
    halves: Halves,
    scanner: Scanner,
    framing: Framing,
    body: BodyDecoder,
    sending: BodyEncoder,
    head_only: bool,
    hijack: bool,
    /// The request asked for another protocol.
    upgrade: bool,
    keep_alive: bool,
}

/// A request to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The request target, as it is to stand in the request line.
    pub target: &'a str,
    /// How the body is delimited; [`Framing::UntilClose`] is read as no body.
    pub framing: Framing,
    /// Whether a 200 that announces no length hands the connection over, as `attach` and `exec` do: then what
    /// follows is a raw stream in both directions, not a body until close.
    pub hijack: bool,
}

/// What has come from a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientEvent<'a> {
    /// A head that is not the final one: 1xx other than 101.
    Informational(ResponseHead),
    /// The head of the response.
    Response(ResponseHead),
    /// A piece of its body, never empty.
    Body(&'a [u8]),
    /// The response is complete; comes after every [`ClientEvent::Response`] that does not leave HTTP.
    End,
    /// Bytes of a hijacked or upgraded connection, never empty.
    Raw(&'a [u8]),
}

impl Client {
    /// The state of a connection that was just opened.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            halves: Halves::FRESH,
            scanner: Scanner::START,
            framing: Framing::Empty,
            body: BodyDecoder::new(Framing::Empty),
            sending: BodyEncoder::new(Framing::Empty),
            head_only: false,
            hijack: false,
            upgrade: false,
            keep_alive: true,
        }
    }

    /// Where both halves stand.
    #[must_use]
    pub const fn halves(&self) -> Halves {
        self.halves
    }

    /// Writes the head of a request. `headers` are whole header lines with their line ends, without those that delimit
    /// the body: these are added.
    ///
    /// Returns false, and writes nothing, if the connection is not between two exchanges (see [`reuse`](Client::reuse)), if the
    /// server has ended it, or if the method or the target hold white space or control characters, which would make another
    /// request of this one.
    pub fn request(&mut self, request: &Request<'_>, headers: &[&[u8]], out: &mut Vec<u8>) -> bool {
        let splits =
            |text: &str| text.is_empty() || text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        if splits(request.method)
            || splits(request.target)
            || !self.keep_alive
            || !self.halves.step(Step::RequestHead)
        {
            return false;
        }
        out.extend_from_slice(request.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(request.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        for lines in headers {
            out.extend_from_slice(lines);
        }
        encode::framing_header(request.framing, out);
        out.extend_from_slice(b"\r\n");
        self.sending = match request.framing {
            Framing::UntilClose => BodyEncoder::Nothing,
            framing => BodyEncoder::new(framing),
        };
        self.head_only = request.method == "HEAD";
        self.hijack = request.hijack;
        // Whether the headers ask for one is the caller's to know.
        self.upgrade = true;
        true
    }

    /// Passes on another client's request: its method, its target and its headers in their order, less those of the other
    /// connection; an upgrade is asked for as it was there. `framing` is that of its body there, and here. `added` is header
    /// lines of the hop's own. HTTP/1.1 wants a Host: a request without one gets `docker`.
    ///
    /// `hijack` is [`Request::hijack`]. Returns as [`request`](Client::request) does.
    pub fn relay(
        &mut self,
        head: &RequestHead,
        framing: Framing,
        hijack: bool,
        added: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.keep_alive || !self.halves.step(Step::RequestHead) {
            return false;
        }
        out.extend_from_slice(head.method().as_bytes());
        out.push(b' ');
        out.extend_from_slice(head.target().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let mut has_host = false;
        for (name, value) in head.headers().end_to_end() {
            has_host |= name.eq_ignore_ascii_case("host");
            header_line(name, value, out);
        }
        if !has_host {
            header_line("Host", b"docker", out);
        }
        out.extend_from_slice(added);
        let upgrades = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        self.upgrade = false;
        if head.version() == HttpVersion::Http11 && head.headers().connection_names("upgrade") {
            for (name, value) in upgrades {
                header_line(name, value, out);
                self.upgrade = true;
            }
            header_line("Connection", b"Upgrade", out);
        }
        // A length is among the headers.
        if framing == Framing::Chunked {
            encode::framing_header(framing, out);
        }
        out.extend_from_slice(b"\r\n");
        self.sending = BodyEncoder::new(framing);
        self.head_only = head.method() == "HEAD";
        self.hijack = hijack;
        true
    }

    /// How the body of the response that is under way is delimited.
    #[must_use]
    pub const fn response_framing(&self) -> Framing {
        self.framing
    }

    /// Writes what stands before `length` bytes of the request's body, and returns what has to stand behind them. `None`:
    /// they must not be sent.
    pub fn frame(&mut self, length: usize, out: &mut Vec<u8>) -> Option<&'static [u8]> {
        match self.halves.request {
            Half::Body => self.sending.frame(length, out),
            Half::Raw => Some(b""),
            _ => None,
        }
    }

    /// Writes a piece of the request's body, or of the raw stream.
    pub fn write(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if let Some(behind) = self.frame(data.len(), out) {
            out.extend_from_slice(data);
            out.extend_from_slice(behind);
        }
    }

    /// Ends the request's body. Returns false if it is shorter than its head said.
    pub fn end(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(end) = self.sending.end() else { return false };
        if !self.halves.step(Step::RequestEnd) {
            return false;
        }
        out.extend_from_slice(end);
        true
    }

    /// Notes that this end has shut its sending side down.
    pub const fn shutdown(&mut self) {
        self.halves.step(Step::RequestEof);
        self.keep_alive = false;
    }

    /// Reads on: how many bytes of `input` were taken, and the next event if they hold one.
    ///
    /// # Errors
    ///
    /// The response is malformed, or comes without a request: close, and trust nothing of it. Nothing more is read from
    /// this server.
    pub fn receive<'a>(
        &mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<ClientEvent<'a>>), Error> {
        let result = match self.halves.response {
            Half::Idle | Half::Raw if input.is_empty() => Ok((0, None)),
            Half::Idle => self.head(input),
            Half::Body => self.body(input),
            Half::Raw => Ok((input.len(), Some(ClientEvent::Raw(input)))),
            Half::Done => {
                // They would be taken for the answer to the next request (RFC 9112 section 6.3).
                self.keep_alive &= input.is_empty();
                Ok((input.len(), None))
            }
            Half::Closed => Ok((input.len(), None)),
        };
        if result.is_err() {
            self.refuse();
        }
        result
    }

    const fn refuse(&mut self) {
        self.halves.step(Step::ResponseRefused);
        self.keep_alive = false;
    }

    fn head<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Option<ClientEvent<'a>>), Error> {
        if self.halves.after(Step::ResponseHead).is_none() {
            // Nobody asked.
            return Err(Error::StartLine);
        }
        let Some((length, head, meaning)) =
            parse::response(input, &mut self.scanner, &self.limits)?
        else {
            return Ok((0, None));
        };
        self.scanner = Scanner::START;
        let status = head.status();
        if (100..200).contains(&status) && status != 101 {
            return Ok((length, Some(ClientEvent::Informational(head))));
        }
        if status == 101 && !self.upgrade {
            return Err(Error::UnaskedSwitch);
        }
        // One that says that it closes delimits its body so; a hijack's head says nothing of the connection.
        let bare = status == 200 && meaning.framing == Framing::UntilClose && meaning.keep_alive;
        if status == 101 || (self.hijack && bare) {
            self.halves.step(Step::Switch);
            self.keep_alive = false;
        } else {
            self.halves.step(Step::ResponseHead);
            let framing = match status {
                204 | 304 => Framing::Empty,
                _ if self.head_only => Framing::Empty,
                _ => meaning.framing,
            };
            self.framing = framing;
            self.body = BodyDecoder::new(framing);
            self.keep_alive &= meaning.keep_alive;
        }
        Ok((length, Some(ClientEvent::Response(head))))
    }

    fn body<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Option<ClientEvent<'a>>), Error> {
        let (taken, piece) = self.body.next(input)?;
        Ok(match piece {
            Piece::NeedsMore => (taken, None),
            Piece::Data(data) => (taken, Some(ClientEvent::Body(data))),
            Piece::End => {
                self.halves.step(Step::ResponseEnd);
                (taken, Some(ClientEvent::End))
            }
        })
    }

    /// The server has shut its sending side down.
    ///
    /// Returns [`ClientEvent::End`] where that is the end of a response or of a raw stream, `None` if nothing was under way.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`]: a response was owed, or its body was not complete. It must not be passed on as if it were.
    pub fn eof(&mut self) -> Result<Option<ClientEvent<'static>>, Error> {
        self.keep_alive = false;
        match self.halves {
            Halves { response: Half::Raw, .. } => {
                self.halves.step(Step::ResponseEnd);
                Ok(Some(ClientEvent::End))
            }
            Halves { response: Half::Body, .. } if self.body.ends_with_input() => {
                self.halves.step(Step::ResponseEnd);
                Ok(Some(ClientEvent::End))
            }
            Halves { response: Half::Idle, request: Half::Idle }
            | Halves { response: Half::Done | Half::Closed, .. } => Ok(None),
            Halves { response: Half::Idle | Half::Body, .. } => {
                self.refuse();
                Err(Error::Truncated)
            }
        }
    }

    /// What comes next without framing between: the rest of a body with a length, or all until the end.
    #[must_use]
    pub const fn incoming(&self) -> Option<Run> {
        match self.halves.response {
            Half::Body => self.body.run(),
            Half::Raw => Some(Run::UntilEnd),
            Half::Idle | Half::Done | Half::Closed => None,
        }
    }

    /// What may be sent next without framing between.
    #[must_use]
    pub const fn outgoing(&self) -> Option<Run> {
        match self.halves.request {
            Half::Body => self.sending.run(),
            Half::Raw => Some(Run::UntilEnd),
            Half::Idle | Half::Done | Half::Closed => None,
        }
    }

    /// Takes note of bytes of [`incoming`](Self::incoming) that have passed elsewhere instead of through
    /// [`receive`](Self::receive).
    pub const fn note_received(&mut self, bytes: u64) {
        if let Half::Body = self.halves.response {
            self.body.pass(bytes);
        }
    }

    /// Takes note of bytes of [`outgoing`](Self::outgoing) that have been sent without [`write`](Self::write).
    pub const fn note_sent(&mut self, bytes: u64) {
        if let Half::Body = self.halves.request {
            self.sending.pass(bytes);
        }
    }

    /// Makes the connection ready for another exchange, if both messages are complete and both ends keep it; returns
    /// whether it is. Give all that has come to [`receive`](Client::receive) before: bytes behind a response make its
    /// connection unfit.
    pub const fn reuse(&mut self) -> bool {
        let reusable = self.keep_alive
            && matches!(self.halves, Halves { request: Half::Done, response: Half::Done });
        reusable && self.halves.step(Step::Next)
    }
}
