//! Heads and bodies, from meaning to bytes.

use alloc::vec::Vec;

use super::body::{Framing, Run};

/// Writes one body in its framing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyEncoder {
    /// Nothing may follow the head.
    Nothing,
    /// So many bytes are still owed.
    Length(u64),
    Chunked,
    /// Bytes as they are, until the connection is closed.
    Plain,
}

impl BodyEncoder {
    pub(super) const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Nothing,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked,
            Framing::UntilClose => Self::Plain,
        }
    }

    /// Writes what has to stand before `length` bytes of data; returns what has to stand behind them. More data than
    /// was announced is a mistake of the caller's and is not let out.
    pub(super) fn frame(&mut self, length: usize, out: &mut Vec<u8>) -> Option<&'static [u8]> {
        match self {
            _ if length == 0 => None,
            Self::Nothing => None,
            Self::Length(left) => {
                *left = left.checked_sub(length as u64)?;
                Some(b"")
            }
            Self::Plain => Some(b""),
            Self::Chunked => {
                hexadecimal(length as u64, out);
                out.extend_from_slice(b"\r\n");
                Some(b"\r\n")
            }
        }
    }

    /// What may be written next without anything before or behind it.
    pub(super) const fn run(self) -> Option<Run> {
        match self {
            Self::Length(left) if left > 0 => Some(Run::Bytes(left)),
            Self::Plain => Some(Run::UntilEnd),
            _ => None,
        }
    }

    /// Takes note of data of a [`run`](BodyEncoder::run) that has been written elsewhere.
    pub(super) const fn pass(&mut self, bytes: u64) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(bytes);
        }
    }

    /// What ends the body; `None` if less was written than the head announced.
    pub(super) const fn end(self) -> Option<&'static [u8]> {
        match self {
            Self::Nothing | Self::Length(0) | Self::Plain => Some(b""),
            Self::Length(_) => None,
            Self::Chunked => Some(b"0\r\n\r\n"),
        }
    }
}

/// The header that announces a framing; a body that is not there is announced by nothing.
pub(super) fn framing_header(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Empty | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

pub(super) fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

fn hexadecimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// The reason phrase that goes with a status (RFC 9110 section 15); empty where there is none.
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        414 => "Request URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let mut out = Vec::new();
        for number in [0, 9, 10, 2048, u64::MAX] {
            decimal(number, &mut out);
            out.push(b' ');
            hexadecimal(number, &mut out);
            out.push(b',');
        }
        assert_eq!(out, b"0 0,9 9,10 a,2048 800,18446744073709551615 ffffffffffffffff,");
    }

    #[test]
    fn a_body_never_outgrows_its_length() {
        let mut out = Vec::new();
        let mut body = BodyEncoder::new(Framing::Length(3));
        assert_eq!(body.frame(2, &mut out), Some(&b""[..]));
        assert_eq!(body.end(), None);
        assert_eq!(body.frame(2, &mut out), None);
        assert_eq!(body.frame(1, &mut out), Some(&b""[..]));
        assert_eq!(body.end(), Some(&b""[..]));
        assert_eq!(BodyEncoder::new(Framing::Empty).frame(1, &mut out), None);
    }
}
