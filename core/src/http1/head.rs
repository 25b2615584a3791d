//! The head of a request or a response, kept as the bytes that came.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use memchr::memchr;

/// The minor version of HTTP/1: 0 or 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HttpVersion {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of a request (RFC 9112 section 3), untouched: the target's bytes, the order of the headers, the case of
/// their names and their repeats are those that the client sent, so that a proxy can send what came.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The whole head, from the method to the blank line; checked when it was parsed.
    bytes: Vec<u8>,
    method: u32,
    target_end: u32,
    fields: u32,
    version: HttpVersion,
}

/// The head of a response (RFC 9112 section 4), untouched.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseHead {
    bytes: Vec<u8>,
    status: u16,
    reason: (u32, u32),
    fields: u32,
    version: HttpVersion,
}

impl RequestHead {
    /// `bytes` is a whole head that the decoder has checked; the spans are where it found the parts.
    pub(super) fn new(
        bytes: &[u8],
        method: usize,
        target_end: usize,
        fields: usize,
        version: HttpVersion,
    ) -> Self {
        Self {
            bytes: bytes.to_vec(),
            method: method as u32,
            target_end: target_end as u32,
            fields: fields as u32,
            version,
        }
    }

    /// The method, as it was sent: methods are compared with regard to case.
    #[must_use]
    pub fn method(&self) -> &str {
        text(&self.bytes[..self.method as usize])
    }

    /// The request target, as it was sent: nothing decoded, nothing normalised.
    #[must_use]
    pub fn target(&self) -> &str {
        text(&self.bytes[self.method as usize + 1..self.target_end as usize])
    }

    /// The version that the client speaks.
    #[must_use]
    pub const fn version(&self) -> HttpVersion {
        self.version
    }

    /// The headers in the order they came.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers { rest: &self.bytes[self.fields as usize..] }
    }

    /// The first header of that name, without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The whole head as it came, its blank line included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl ResponseHead {
    /// As [`RequestHead::new`].
    pub(super) fn new(
        bytes: &[u8],
        status: u16,
        reason: Range<usize>,
        fields: usize,
        version: HttpVersion,
    ) -> Self {
        Self {
            bytes: bytes.to_vec(),
            status,
            reason: (reason.start as u32, reason.end as u32),
            fields: fields as u32,
            version,
        }
    }

    /// The status code, 100 to 999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, possibly empty; it may hold bytes that are no UTF-8.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        &self.bytes[self.reason.0 as usize..self.reason.1 as usize]
    }

    /// The version that the server speaks.
    #[must_use]
    pub const fn version(&self) -> HttpVersion {
        self.version
    }

    /// The headers in the order they came.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers { rest: &self.bytes[self.fields as usize..] }
    }

    /// The first header of that name, without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The whole head as it came, its blank line included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The headers of a head: (name, value) pairs in the order they came, the values without the white space around them.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    /// Header lines and the blank line behind them, already checked.
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Those that are meant for the other end, not for the next hop (RFC 9110 section 7.6.1): without Connection, what it
    /// names, and the fields that speak of the connection or of the framing of this hop. Content-Length and Host stay even
    /// if Connection names them: a client must not be able to take them from a request. A length that is said twice, which
    /// the parser takes if both are equal, is passed on once (RFC 9110 section 8.6).
    pub(super) fn end_to_end(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let all = self.clone();
        let mut has_length = false;
        self.filter(move |(name, _)| {
            let is_length = name.len() == 14 && name.eq_ignore_ascii_case("content-length");
            let again = is_length && core::mem::replace(&mut has_length, true);
            !again && !is_hop_by_hop(name) && !all.clone().connection_names(name)
        })
    }

    pub(super) fn connection_names(self, wanted: &str) -> bool {
        let stays = ["content-length", "host"].iter().any(|name| wanted.eq_ignore_ascii_case(name));
        !stays
            && self
                .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
                .flat_map(|(_, value)| value.split(|byte| *byte == b','))
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    match name.len() {
        2 => name.eq_ignore_ascii_case("te"),
        7 => name.eq_ignore_ascii_case("upgrade") || name.eq_ignore_ascii_case("trailer"),
        10 => name.eq_ignore_ascii_case("connection") || name.eq_ignore_ascii_case("keep-alive"),
        16 => name.eq_ignore_ascii_case("proxy-connection"),
        17 => name.eq_ignore_ascii_case("transfer-encoding"),
        _ => false,
    }
}

/// Writes one header line.
pub(super) fn header_line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr(b'\n', self.rest)?;
        let line = self.rest[..end].trim_ascii_end();
        self.rest = &self.rest[end + 1..];
        let colon = memchr(b':', line)?;
        Some((text(&line[..colon]), line[colon + 1..].trim_ascii_start()))
    }
}

/// The parser has let only tokens and UTF-8 targets through; what is no UTF-8 cannot get here.
fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestHead({:?})", self.bytes.escape_ascii())
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseHead({:?})", self.bytes.escape_ascii())
    }
}
