//! Why a message was refused.

use core::fmt;

/// Why bytes are not a message that this end accepts. Each has the status that a server answers with before it closes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The start line is no start line of HTTP/1.
    StartLine,
    /// A version other than 1.0 and 1.1.
    Version,
    /// The request target is longer than [`Limits::target`](super::Limits::target).
    TargetTooLong,
    /// The head is longer than [`Limits::head`](super::Limits::head).
    HeadTooLarge,
    /// There are more headers than [`Limits::headers`](super::Limits::headers).
    TooManyHeaders,
    /// A line ends in LF without CR (RFC 9112 section 2.2 lets a recipient accept it; proxies that differ here let
    /// requests be smuggled).
    BareLineFeed,
    /// A header line is none: a bad name, white space before the colon, a folded line, a control character, NUL, a CR
    /// inside a line.
    Header,
    /// HTTP/1.1 without a Host (RFC 9112 section 3.2). An empty one is accepted.
    MissingHost,
    /// More than one Host.
    RepeatedHost,
    /// A Host with bytes that no host and no port has (RFC 9112 section 3.2): readers differ on which host that is.
    Host,
    /// A Content-Length that is not a number of 1 to 19 digits.
    ContentLength,
    /// Two Content-Lengths that differ.
    UnequalContentLengths,
    /// Content-Length and Transfer-Encoding in one message.
    LengthAndCoding,
    /// A Transfer-Encoding that is not exactly `chunked`, or one in HTTP/1.0.
    TransferEncoding,
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
    /// A chunk's size, extension or end is malformed.
    Chunk,
    /// The chunks are mostly framing: extensions, leading zeros.
    ChunkOverhead,
    /// The trailers are malformed or too long.
    Trailer,
    /// A 101 to a request that asked for no other protocol (RFC 9110 section 7.8): its sender would not know what the bytes
    /// behind it are.
    UnaskedSwitch,
    /// The head took longer than the time allowed for it.
    HeadTimeout,
    /// The peer stopped sending in the middle of a message.
    Truncated,
}

impl Error {
    /// The status that a server answers with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTimeout => 408,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// What was wrong, for a person.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::StartLine => "malformed start line",
            Self::Version => "HTTP version is neither 1.0 nor 1.1",
            Self::TargetTooLong => "request target is too long",
            Self::HeadTooLarge => "head is too large",
            Self::TooManyHeaders => "too many headers",
            Self::BareLineFeed => "a line ends in LF without CR",
            Self::Header => "malformed header",
            Self::MissingHost => "missing Host header",
            Self::RepeatedHost => "more than one Host header",
            Self::Host => "malformed Host header",
            Self::ContentLength => "malformed Content-Length",
            Self::UnequalContentLengths => "Content-Length headers differ",
            Self::LengthAndCoding => "both Content-Length and Transfer-Encoding",
            Self::TransferEncoding => {
                "Transfer-Encoding is not exactly chunked, or not in HTTP/1.1"
            }
            Self::Expectation => "an expectation other than 100-continue",
            Self::Chunk => "malformed chunk",
            Self::ChunkOverhead => "chunked body is mostly framing",
            Self::Trailer => "malformed or too many trailers",
            Self::UnaskedSwitch => "101 to a request without Upgrade",
            Self::HeadTimeout => "the head took too long",
            Self::Truncated => "the message ended early",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for Error {}
