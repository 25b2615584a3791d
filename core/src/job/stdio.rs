//! What a job writes: streams in bounded pieces, or one body handed over whole.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;

/// How a job's stdout and stderr share the one stream that its client reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stdio {
    /// The bytes as they are; stderr is mixed in, as on a terminal.
    Raw,
    /// Each write in a frame that says which stream it belongs to: `[1 or 2, 0, 0, 0, length]` with the length as
    /// four bytes, big-endian (the Docker API's `multiplexed-stream`).
    Multiplexed,
}

impl Stdio {
    /// Bytes that the framing of one write takes.
    pub(super) const fn overhead(self) -> usize {
        match self {
            Self::Raw => 0,
            Self::Multiplexed => 8,
        }
    }

    /// Appends one write to `out`. `data` is shorter than 4 GiB: it has been cut to the room there is.
    pub(super) fn frame(self, stream: Stream, data: &[u8], out: &mut Vec<u8>) {
        if self == Self::Multiplexed {
            out.extend_from_slice(&[stream as u8, 0, 0, 0]);
            out.extend_from_slice(&(data.len() as u32).to_be_bytes());
        }
        out.extend_from_slice(data);
    }
}

/// Which of its two streams a job writes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// A whole answer, handed over without a copy. A shared one can be given to any number of jobs at once.
#[derive(Clone, Debug)]
pub enum Body {
    /// Bytes that live in the program.
    Static(&'static [u8]),
    /// Bytes made for this answer.
    Owned(Vec<u8>),
    /// Bytes that several answers share, such as a list that has not changed.
    Shared(Arc<[u8]>),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Static(text.as_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Owned(text.into_bytes())
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Shared(bytes)
    }
}
