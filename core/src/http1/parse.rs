//! Heads, from bytes to spans: httparse's tokens, and on top of them the strictness that keeps two readers of one
//! request from disagreeing.

use core::mem::MaybeUninit;
use httparse::Status;
use memchr::memchr;

use super::body::{Framing, is_token};
use super::{Error, HttpVersion, Limits, RequestHead, ResponseHead};

/// The most headers that any [`Limits`] can allow.
pub(super) const MAX_HEADERS: usize = 128;

/// Looks for the end of a head in bytes that come little by little, without looking twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner {
    /// Up to here there is no blank line; where the last line begins.
    line: usize,
    scanned: usize,
}

/// The two kinds of heads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
}

impl Scanner {
    pub(super) const START: Self = Self { line: 0, scanned: 0 };

    /// Whether a whole head is in `input`, which begins with the bytes of all calls before.
    ///
    /// Refuses what can't become one, line by line: where a head is refused, and as what, depends on its bytes only and
    /// not on the pieces they come in.
    fn is_complete(&mut self, input: &[u8], limits: &Limits, kind: Kind) -> Result<bool, Error> {
        while let Some(found) = memchr(b'\n', &input[self.scanned..]) {
            let end = self.scanned + found;
            self.check_limits(end, limits, kind)?;
            if end == 0 || input[end - 1] != b'\r' {
                return Err(Error::BareLineFeed);
            }
            let line = &input[self.line..=end];
            let is_start = self.line == 0;
            self.scanned = end + 1;
            self.line = end + 1;
            if line == b"\r\n" {
                return Ok(true);
            }
            check_line(line, limits, kind, is_start)?;
        }
        self.scanned = input.len();
        self.check_limits(input.len().saturating_sub(1), limits, kind)?;
        Ok(false)
    }

    /// Whether a line that reaches to `at` is within the limits; the one that is passed first counts.
    const fn check_limits(&self, at: usize, limits: &Limits, kind: Kind) -> Result<(), Error> {
        let start_line = longest_request_line(limits);
        if self.line == 0
            && matches!(kind, Kind::Request)
            && at > start_line
            && start_line < limits.head
        {
            return Err(Error::TargetTooLong);
        }
        if at >= limits.head {
            return Err(Error::HeadTooLarge);
        }
        Ok(())
    }
}

/// The most bytes of a request line, without its LF. It may be longer than the target by a method, a version, two spaces
/// and the CR.
const fn longest_request_line(limits: &Limits) -> usize {
    limits.target.saturating_add(64)
}

/// Whether a head can have this line, which is complete.
fn check_line(line: &[u8], limits: &Limits, kind: Kind, is_start: bool) -> Result<(), Error> {
    let refused = |error| from_httparse(error, kind, line);
    match kind {
        _ if !is_start => {
            httparse::parse_headers(line, &mut [httparse::EMPTY_HEADER]).map_err(refused)?;
        }
        Kind::Request => {
            let mut request = httparse::Request::new(&mut []);
            request.parse(line).map_err(refused)?;
            if request.path.is_some_and(|target| target.len() > limits.target) {
                return Err(Error::TargetTooLong);
            }
        }
        Kind::Response => {
            httparse::Response::new(&mut []).parse(line).map_err(refused)?;
        }
    }
    Ok(())
}

/// What a request's headers say about the connection and the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RequestMeaning {
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// An Upgrade that Connection names.
    pub(super) upgrade: bool,
    pub(super) expects_continue: bool,
}

/// What a response's headers say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ResponseMeaning {
    /// As the headers have it; whether there is a body at all depends on the request and the status too.
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
}

/// The head of a request at the start of `input`, which is not empty: its length, itself, and what it means. `None` if
/// more must come.
pub(super) fn request(
    input: &[u8],
    scanner: &mut Scanner,
    limits: &Limits,
) -> Result<Option<(usize, RequestHead, RequestMeaning)>, Error> {
    // Known at once, and all that may ever come of a peer that speaks TLS.
    if input.first().is_none_or(|byte| !is_token(*byte)) {
        return Err(Error::StartLine);
    }
    // A head that comes whole, as nearly all do, is read once. What comes in pieces, or has an error, is read line by line.
    if scanner.scanned == 0
        && let Ok(Some(found)) = whole_request(input, limits)
    {
        return Ok(Some(found));
    }
    if !scanner.is_complete(input, limits, Kind::Request)? {
        return Ok(None);
    }
    whole_request(&input[..scanner.line], limits)?.map_or(Err(Error::StartLine), |it| Ok(Some(it)))
}

fn whole_request(
    input: &[u8],
    limits: &Limits,
) -> Result<Option<(usize, RequestHead, RequestMeaning)>, Error> {
    let mut storage = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let status =
        parsed.parse_with_uninit_headers(input, &mut storage[..limits.headers.min(MAX_HEADERS)]);
    let length = match status {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(from_httparse(error, Kind::Request, input)),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Error::StartLine);
    };
    let target_end = method.len() + 1 + target.len();
    let start_line = target_end + " HTTP/1.1\r".len();
    if target.len() > limits.target || start_line > longest_request_line(limits) {
        return Err(Error::TargetTooLong);
    }
    let fields = check_lines(input, length, parsed.headers, limits)?;
    let version = if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 };
    let meaning = request_meaning(parsed.headers, version, || exempt_from_host(method, target))?;
    let head = RequestHead::new(&input[..length], method.len(), target_end, fields, version);
    Ok(Some((length, head, meaning)))
}

/// The head of a response at the start of `input`; as [`request`].
pub(super) fn response(
    input: &[u8],
    scanner: &mut Scanner,
    limits: &Limits,
) -> Result<Option<(usize, ResponseHead, ResponseMeaning)>, Error> {
    // Only before requests are blank lines passed over.
    if input.first() != Some(&b'H') {
        return Err(Error::StartLine);
    }
    if scanner.scanned == 0
        && let Ok(Some(found)) = whole_response(input, limits)
    {
        return Ok(Some(found));
    }
    if !scanner.is_complete(input, limits, Kind::Response)? {
        return Ok(None);
    }
    whole_response(&input[..scanner.line], limits)?.map_or(Err(Error::StartLine), |it| Ok(Some(it)))
}

fn whole_response(
    input: &[u8],
    limits: &Limits,
) -> Result<Option<(usize, ResponseHead, ResponseMeaning)>, Error> {
    let mut storage = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        input,
        &mut storage[..limits.headers.min(MAX_HEADERS)],
    );
    let length = match status {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(from_httparse(error, Kind::Response, input)),
    };
    let (Some(code @ 100..), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Error::StartLine);
    };
    let line_end = memchr(b'\r', input).ok_or(Error::StartLine)?;
    let fields = check_lines(input, length, parsed.headers, limits)?;
    let version = if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 };
    let meaning = response_meaning(parsed.headers, version)?;
    // "HTTP/1.1 200 reason\r\n": httparse leaves a reason with bytes above ASCII out, the line still has it.
    let reason = line_end.min("HTTP/1.1 200 ".len())..line_end;
    let head = ResponseHead::new(&input[..length], code, reason, fields, version);
    Ok(Some((length, head, meaning)))
}

/// httparse takes LF alone for the end of a line; this end does not. Returns where the first header line begins.
fn check_lines(
    input: &[u8],
    length: usize,
    headers: &[httparse::Header<'_>],
    limits: &Limits,
) -> Result<usize, Error> {
    if length > limits.head {
        return Err(Error::HeadTooLarge);
    }
    let mut first = length - 2;
    for header in headers.iter().rev() {
        first = header.name.as_ptr() as usize - input.as_ptr() as usize;
        if !ends_a_line(input, first) {
            return Err(Error::BareLineFeed);
        }
    }
    if ends_a_line(input, length) && ends_a_line(input, length - 2) {
        Ok(first)
    } else {
        Err(Error::BareLineFeed)
    }
}

fn ends_a_line(input: &[u8], at: usize) -> bool {
    at >= 2 && input.get(at - 2..at) == Some(b"\r\n")
}

fn from_httparse(error: httparse::Error, kind: Kind, input: &[u8]) -> Error {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Error::Header,
        httparse::Error::TooManyHeaders => Error::TooManyHeaders,
        httparse::Error::Version if kind == Kind::Response || names_a_version(input) => {
            Error::Version
        }
        _ => Error::StartLine,
    }
}

/// Whether a request line ends in a version, if one that is not served, as RFC 9112 section 2.3 writes it.
fn names_a_version(request_line: &[u8]) -> bool {
    let version = request_line.split(|byte| *byte == b' ').nth(2).unwrap_or_default();
    matches!(
        version.strip_prefix(b"HTTP/"),
        Some([b'0'..=b'9', b'.', b'0'..=b'9', b'\r', b'\n', ..])
    )
}

/// net/rpc clients send `CONNECT /_goRPC_` without a Host.
fn exempt_from_host(method: &str, target: &str) -> bool {
    method == "CONNECT" && target == "/_goRPC_"
}

/// Whether a host with its port may have it: an IPv6 address in its brackets, or a name with its escapes (RFC 3986 section
/// 3.2.2). Go's server, and so dockerd, takes the same ones.
const fn is_host_byte(byte: u8) -> bool {
    is_token(byte) && !matches!(byte, b'#' | b'^' | b'`' | b'|')
        || matches!(byte, b'(' | b')' | b',' | b':' | b';' | b'=' | b'[' | b']')
}

/// The headers that delimit a body, alike in requests and responses.
#[derive(Default)]
struct Lengths {
    length: Option<u64>,
    chunked: bool,
}

impl Lengths {
    fn content_length(&mut self, value: &[u8]) -> Result<(), Error> {
        let length = decimal(value).ok_or(Error::ContentLength)?;
        match self.length {
            Some(before) if before != length => Err(Error::UnequalContentLengths),
            _ => {
                self.length = Some(length);
                Ok(())
            }
        }
    }

    fn transfer_encoding(&mut self, value: &[u8], version: HttpVersion) -> Result<(), Error> {
        if self.chunked || version == HttpVersion::Http10 || !value.eq_ignore_ascii_case(b"chunked")
        {
            return Err(Error::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn framing(&self) -> Result<Option<Framing>, Error> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Error::LengthAndCoding),
            (true, None) => Ok(Some(Framing::Chunked)),
            (false, Some(length)) => Ok(Some(Framing::Length(length))),
            (false, None) => Ok(None),
        }
    }
}

fn request_meaning(
    headers: &[httparse::Header<'_>],
    version: HttpVersion,
    needs_no_host: impl FnOnce() -> bool,
) -> Result<RequestMeaning, Error> {
    let mut lengths = Lengths::default();
    let mut connection = Connection::default();
    let (mut hosts, mut upgrade, mut expects_continue) = (0, false, false);
    for header in headers {
        let name = header.name;
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                hosts += 1;
                if !header.value.iter().copied().all(is_host_byte) {
                    return Err(Error::Host);
                }
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                if !header.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Error::Expectation);
                }
                expects_continue = version == HttpVersion::Http11;
            }
            7 if name.eq_ignore_ascii_case("upgrade") => upgrade = true,
            10 if name.eq_ignore_ascii_case("connection") => connection.read(header.value),
            14 if name.eq_ignore_ascii_case("content-length") => {
                lengths.content_length(header.value)?;
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                lengths.transfer_encoding(header.value, version)?;
            }
            _ => {}
        }
    }
    if hosts > 1 {
        return Err(Error::RepeatedHost);
    }
    if hosts == 0 && version == HttpVersion::Http11 && !needs_no_host() {
        return Err(Error::MissingHost);
    }
    Ok(RequestMeaning {
        framing: lengths.framing()?.unwrap_or(Framing::Empty),
        keep_alive: version == HttpVersion::Http11 && !connection.close,
        upgrade: upgrade && connection.upgrade && version == HttpVersion::Http11,
        expects_continue,
    })
}

fn response_meaning(
    headers: &[httparse::Header<'_>],
    version: HttpVersion,
) -> Result<ResponseMeaning, Error> {
    let mut lengths = Lengths::default();
    let mut connection = Connection::default();
    for header in headers {
        let name = header.name;
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => connection.read(header.value),
            14 if name.eq_ignore_ascii_case("content-length") => {
                lengths.content_length(header.value)?;
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                lengths.transfer_encoding(header.value, version)?;
            }
            _ => {}
        }
    }
    Ok(ResponseMeaning {
        framing: lengths.framing()?.unwrap_or(Framing::UntilClose),
        keep_alive: match version {
            HttpVersion::Http11 => !connection.close,
            HttpVersion::Http10 => connection.keep_alive && !connection.close,
        },
    })
}

#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Connection {
    fn read(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }
}

/// A length as RFC 9110 section 8.6 writes it: digits and nothing else; at most 19 of them, which fit in 64 bits.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + u64::from(byte - b'0')),
        _ => None,
    })
}

/// How long the blank lines before a request line are, which are passed over (RFC 9112 section 2.2), and whether a head
/// begins behind them.
pub(super) fn blank_lines(input: &[u8]) -> Result<(usize, bool), Error> {
    let mut at = 0;
    loop {
        match input[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Ok((at, false)),
            [b'\r', ..] => return Err(Error::StartLine),
            [b'\n', ..] => return Err(Error::BareLineFeed),
            _ => return Ok((at, true)),
        }
    }
}
