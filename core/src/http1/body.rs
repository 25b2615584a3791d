//! Where a message's body ends (RFC 9112 section 6), found without collecting it.

use super::Error;

/// How a body is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is none: a request without Content-Length and Transfer-Encoding, an answer to HEAD, 204, 304.
    Empty,
    /// By its Content-Length.
    Length(u64),
    /// By the chunked transfer coding.
    Chunked,
    /// By the end of the connection; responses only.
    UntilClose,
}

/// Bytes that come next and hold no framing: they may pass from one connection to another without being looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// So many of them.
    Bytes(u64),
    /// All that come until the end of their half.
    UntilEnd,
}

/// Finds the pieces of one body in the bytes that come.
#[derive(Clone, Debug)]
pub(super) struct BodyDecoder {
    state: State,
    /// Framing bytes of chunks that no data has made up for, as Go's reader counts them.
    overhead: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    UntilClose,
    Size {
        digits: u8,
        size: u64,
    },
    /// White space between the size and its extension.
    BeforeExtension {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// A piece of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece<'a> {
    /// All was read; more must come.
    NeedsMore,
    /// Data, never empty.
    Data(&'a [u8]),
    /// The body is complete.
    End,
}

/// Framing may exceed data by this much (chunk extensions, many zeros) before it is taken for an attack; and trailers
/// may be this long.
const MAX_OVERHEAD: u32 = 16 * 1024;
/// Sixteen hexadecimal digits are all that a 64-bit size can have.
const MAX_SIZE_DIGITS: u8 = 16;

impl BodyDecoder {
    pub(super) const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { digits: 0, size: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, overhead: 0 }
    }

    /// Whether the end of the input is the end of the body.
    pub(super) const fn ends_with_input(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// What comes next, as far as it is data of a body that is one piece.
    pub(super) const fn run(&self) -> Option<Run> {
        match self.state {
            State::Length(left) => Some(Run::Bytes(left)),
            State::UntilClose => Some(Run::UntilEnd),
            _ => None,
        }
    }

    /// Takes note of data of a [`run`](BodyDecoder::run) that has passed elsewhere.
    pub(super) const fn pass(&mut self, bytes: u64) {
        if let State::Length(left) = self.state {
            let left = left.saturating_sub(bytes);
            self.state = if left == 0 { State::Done } else { State::Length(left) };
        }
    }

    /// The next piece, and how many bytes of the input it and the framing before it took.
    pub(super) fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Piece<'a>), Error> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return Ok((at, Piece::End)),
                State::Length(left) | State::Data(left) => {
                    let data = &input[at..];
                    if data.is_empty() {
                        return Ok((at, Piece::NeedsMore));
                    }
                    let taken =
                        usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
                    let left = left - taken as u64;
                    self.state = match self.state {
                        State::Length(_) if left == 0 => State::Done,
                        State::Length(_) => State::Length(left),
                        _ if left == 0 => State::DataCr,
                        _ => State::Data(left),
                    };
                    self.overhead =
                        self.overhead.saturating_sub(2 * taken.min(MAX_OVERHEAD as usize) as u32);
                    return Ok((at + taken, Piece::Data(&data[..taken])));
                }
                State::UntilClose => {
                    let data = &input[at..];
                    return Ok(match data {
                        [] => (at, Piece::NeedsMore),
                        _ => (input.len(), Piece::Data(data)),
                    });
                }
                _ => {
                    let Some(byte) = input.get(at) else { return Ok((at, Piece::NeedsMore)) };
                    self.state = self.framing_byte(*byte)?;
                    at += 1;
                }
            }
        }
    }

    /// One byte of chunk framing. Strict to the letter: what one reader forgives and another does not is how requests
    /// are smuggled.
    #[allow(clippy::match_same_arms, reason = "a table: a row for each transition")]
    fn framing_byte(&mut self, byte: u8) -> Result<State, Error> {
        self.overhead += 1;
        if self.overhead > MAX_OVERHEAD {
            return Err(match self.state {
                State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::EndLf => Error::Trailer,
                _ => Error::ChunkOverhead,
            });
        }
        Ok(match (self.state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => State::SizeLf { size },
            (State::Size { digits: 1.., size }, b';') => State::Extension { size },
            (State::Size { digits: 1.., size }, b' ' | b'\t') => State::BeforeExtension { size },
            (State::Size { digits, size }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Error::Chunk)?;
                if digits == MAX_SIZE_DIGITS {
                    return Err(Error::Chunk);
                }
                State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (State::BeforeExtension { size }, b' ' | b'\t') => State::BeforeExtension { size },
            (State::BeforeExtension { size }, b';') => State::Extension { size },
            (State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => State::Extension { size },
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => {
                // A small allowance for each chunk, so that honest one-byte chunks are no attack.
                self.overhead = self.overhead.saturating_sub(16);
                State::Data(size)
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0, size: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::TrailerName, byte) if is_token(byte) => {
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => State::TrailerValue,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Done,
            (
                State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::EndLf,
                _,
            ) => return Err(Error::Trailer),
            _ => return Err(Error::Chunk),
        })
    }
}

/// RFC 9110 section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// All data of a body that comes in pieces of `step` bytes, and what is left behind it.
    fn decode(
        framing: Framing,
        input: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, Option<usize>), Error> {
        let mut decoder = BodyDecoder::new(framing);
        let (mut data, mut from, mut to) = (Vec::new(), 0, 0);
        loop {
            match decoder.next(&input[from..to])? {
                (taken, Piece::End) => return Ok((data, Some(from + taken))),
                (taken, Piece::Data(piece)) => {
                    data.extend_from_slice(piece);
                    from += taken;
                }
                (taken, Piece::NeedsMore) => {
                    from += taken;
                    if to == input.len() {
                        return Ok((data, None));
                    }
                    to = (to + step).min(input.len());
                }
            }
        }
    }

    #[test]
    fn whole_or_byte_by_byte_a_body_is_the_same() {
        let table: &[(Framing, &[u8], &[u8], usize)] = &[
            (Framing::Empty, b"x", b"", 0),
            (Framing::Length(3), b"abcd", b"abc", 3),
            (Framing::Chunked, b"0\r\n\r\nx", b"", 5),
            (Framing::Chunked, b"3\r\nabc\r\n0\r\n\r\n", b"abc", 13),
            (Framing::Chunked, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n00\r\n\r\nGET", b"abc", 24),
            (
                Framing::Chunked,
                b"0a;x=\"y\"\r\n0123456789\r\n0 ;z\r\nT: v\r\nU:\r\n\r\n",
                b"0123456789",
                40,
            ),
        ];
        for (framing, input, data, end) in table {
            for step in 1..=input.len() {
                let expected = Ok((data.to_vec(), Some(*end)));
                assert_eq!(decode(*framing, input, step), expected, "{:?}", input.escape_ascii());
            }
        }
        assert_eq!(decode(Framing::UntilClose, b"abc", 1), Ok((b"abc".to_vec(), None)));
        assert_eq!(decode(Framing::Length(9), b"abc", 1), Ok((b"abc".to_vec(), None)));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for input in [
            &b"\r\n\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b" 1\r\na",
            b"1 \r\na",
            b"1\na\n0\n\n",
            b"1\r\rax",
            b"1\r\nab\r\n",
            b"1\r\na\n0",
            b"1\r\na\r\r",
            b"1;a\nb\r\n",
            b"1;\0\r\na",
            b"00000000000000001\r\na",
            b"fffffffffffffffff\r\n",
            b"0\r\n\n",
            b"0\r\n : v\r\n\r\n",
            b"0\r\nT : v\r\n\r\n",
            b"0\r\nT: v\n\r\n",
            b"0\r\nT: \x01\r\n\r\n",
            b"0\r\n\r\r",
        ] {
            for step in [1, input.len()] {
                let result = decode(Framing::Chunked, input, step);
                assert!(
                    matches!(result, Err(Error::Chunk | Error::Trailer)),
                    "{}: {result:?}",
                    input.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn framing_without_data_is_bounded() {
        let mut extensions = Vec::new();
        let mut honest = Vec::new();
        for _ in 0..20_000 {
            extensions.extend_from_slice(b"1;aaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n");
            honest.extend_from_slice(b"1\r\nx\r\n");
        }
        assert_eq!(decode(Framing::Chunked, &extensions, 4096), Err(Error::ChunkOverhead));
        assert_eq!(decode(Framing::Chunked, &honest, 4096).unwrap().0.len(), 20_000);
        let zeros = [b"1;".to_vec(), alloc::vec![b'a'; 20_000]].concat();
        assert_eq!(decode(Framing::Chunked, &zeros, 100), Err(Error::ChunkOverhead));
        let trailers = [b"0\r\nT:".to_vec(), alloc::vec![b'a'; 20_000]].concat();
        assert_eq!(decode(Framing::Chunked, &trailers, 100), Err(Error::Trailer));
    }
}
