//! The client's side of a connection.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Body, Response};
use super::{Args, Codec, END_OF_STREAM, Error, Limits, Method, PATH, Update};
use super::{gob, json};

/// A client's end of one connection: writes calls into buffers that it is lent, takes the bytes that come, and gives what
/// they mean.
///
/// ```
/// use libswarm::rpc::{Args, Client, ClientEvent, Codec, Limits, Method};
///
/// let (mut client, mut out) = (Client::new(Codec::Json, Limits::default()), Vec::new());
/// client.connect(&mut out);
/// let (_, event) = client.receive(b"HTTP/1.0 200 Connected to Go RPC\n\n").unwrap();
/// assert_eq!(event, Some(ClientEvent::Connected));
///
/// let args = Args { name: "web".into(), address: ":80".into(), attributes: None };
/// let call = client.call(Method::Register, &args, &mut out).unwrap();
/// let (_, event) =
///     client.receive(b"{\"id\":0,\"result\":\"127.0.0.1:80\",\"error\":null}\n").unwrap();
/// assert_eq!(event, Some(ClientEvent::Answer(call, Ok("127.0.0.1:80".into()))));
/// ```
#[derive(Debug)]
pub struct Client {
    limits: Limits,
    codec: Wire,
    greeted: bool,
    next: u64,
    calls: BTreeMap<u64, Method>,
}

#[derive(Debug)]
enum Wire {
    Gob(Box<gob::ClientCodec>),
    Json(json::ClientCodec),
}

/// What has come from a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// The server speaks the RPC: calls can be made.
    Connected,
    /// The answer to that call: for [`Method::Register`] the whole address, for [`Method::Unregister`] nothing; or the server's
    /// error.
    Answer(u64, Result<String, String>),
    /// Something on that stream.
    Update(u64, Update<'static>),
    /// That stream is over: closed, or broken off with the server's error.
    Ended(u64, Result<(), String>),
}

impl Client {
    /// The state of a connection that was just opened.
    #[must_use]
    pub fn new(codec: Codec, limits: Limits) -> Self {
        let codec = match codec {
            Codec::Gob => Wire::Gob(Box::default()),
            Codec::Json => Wire::Json(json::ClientCodec::default()),
        };
        Self { limits, codec, greeted: false, next: 0, calls: BTreeMap::new() }
    }

    /// Writes the request for the RPC. Calls have to wait for [`ClientEvent::Connected`]: the original server loses what
    /// comes before.
    pub fn connect(&self, out: &mut Vec<u8>) {
        let codec = match self.codec {
            Wire::Gob(_) => Codec::Gob,
            Wire::Json(_) => Codec::Json,
        };
        for part in ["CONNECT ", PATH, " HTTP/1.0\r\nAccept: ", codec.media_type(), "\r\n\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Writes a call, and gives its number. `None`, and nothing is written: the server has not greeted yet.
    pub fn call(&mut self, method: Method, args: &Args, out: &mut Vec<u8>) -> Option<u64> {
        if !self.greeted {
            return None;
        }
        let seq = self.next;
        self.next += 1;
        self.calls.insert(seq, method);
        match &mut self.codec {
            Wire::Gob(gob) => gob.call(method, seq, args, out),
            Wire::Json(_) => json::ClientCodec::call(method, seq, args, out),
        }
        Some(seq)
    }

    /// Writes that a stream is to end. What is under way may still come, up to [`ClientEvent::Ended`].
    pub fn close(&mut self, stream: u64, out: &mut Vec<u8>) {
        if self.calls.get(&stream) == Some(&Method::Subscribe) {
            match &mut self.codec {
                Wire::Gob(gob) => gob.close(stream, out),
                Wire::Json(_) => json::ClientCodec::close(stream, out),
            }
        }
    }

    /// Reads on: how many bytes of `input` were taken, and the next event if they hold one.
    ///
    /// # Errors
    ///
    /// The server does not greet, or what it sends is no answer. Nothing more can be read.
    pub fn receive(&mut self, input: &[u8]) -> Result<(usize, Option<ClientEvent>), Error> {
        if !self.greeted {
            let Some(length) = greeting(input, self.limits.http.head)? else {
                return Ok((0, None));
            };
            self.greeted = true;
            return Ok((length, Some(ClientEvent::Connected)));
        }
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let (more, response) = match &mut self.codec {
                Wire::Gob(gob) => gob.receive(rest, &self.limits)?,
                Wire::Json(json) => json.receive(rest, &self.limits)?,
            };
            taken += more;
            let Some(response) = response else { return Ok((taken, None)) };
            if let Some(event) = self.event(response) {
                return Ok((taken, Some(event)));
            }
        }
    }

    /// What a response means; nothing if it belongs to no call.
    fn event(&mut self, response: Response) -> Option<ClientEvent> {
        let Response { id, body } = response;
        let is_stream = *self.calls.get(&id)? == Method::Subscribe;
        Some(match body {
            Ok(Body::Update(update)) if is_stream => return Some(ClientEvent::Update(id, update)),
            _ if is_stream => {
                self.calls.remove(&id);
                ClientEvent::Ended(id, body.map(drop).or_else(ended))
            }
            body => {
                self.calls.remove(&id);
                ClientEvent::Answer(
                    id,
                    body.map(|body| match body {
                        Body::Text(text) => text,
                        Body::Empty | Body::Update(_) => String::new(),
                    }),
                )
            }
        })
    }

    /// The server sends nothing more; `unread` bytes of what it sent were not taken.
    ///
    /// # Errors
    ///
    /// It stopped in the middle of a message, or before it had greeted.
    pub fn eof(&self, unread: usize) -> Result<(), Error> {
        let between = match &self.codec {
            Wire::Gob(gob) => gob.is_between_messages(),
            Wire::Json(_) => true,
        };
        if !self.greeted {
            Err(Error::Greeting(0))
        } else if between && unread == 0 {
            Ok(())
        } else {
            Err(Error::Truncated)
        }
    }
}

fn ended(error: String) -> Result<(), String> {
    if error == END_OF_STREAM { Ok(()) } else { Err(error) }
}

/// The length of the greeting, with its blank line; its lines may end in LF alone.
fn greeting(input: &[u8], limit: usize) -> Result<Option<usize>, Error> {
    let start = &input[..input.len().min(5)];
    if !b"HTTP/".starts_with(start) {
        return Err(Error::Greeting(0));
    }
    let mut line = 0;
    for at in memchr::memchr_iter(b'\n', &input[..input.len().min(limit)]) {
        let content = input[line..at].strip_suffix(b"\r").unwrap_or(&input[line..at]);
        if content.is_empty() {
            let status = status(input);
            return if status == 200 { Ok(Some(at + 1)) } else { Err(Error::Greeting(status)) };
        }
        line = at + 1;
    }
    if input.len() > limit { Err(Error::Greeting(0)) } else { Ok(None) }
}

fn status(head: &[u8]) -> u16 {
    let digits = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let digits = digits.get(..3).and_then(|digits| core::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
