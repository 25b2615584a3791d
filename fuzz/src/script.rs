//! The first part of an input: what is done with the second.
//!
//! An input is a script, a line of two dashes, and the bytes of the connection; without that line all of it is bytes.
//! A script is read over and over. Each of its bytes is an operation: a letter that the target knows, or a piece of
//! that many bytes, `1` to `9` for themselves.

/// The line between a script and the bytes.
const DASHES: &[u8] = b"\n--\n";

/// An input, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// One operation a byte.
    pub script: &'a [u8],
    /// What comes over the connection.
    pub wire: &'a [u8],
}

impl<'a> Input<'a> {
    /// Takes `data` apart.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        let dashes = data.windows(DASHES.len()).position(|window| window == DASHES);
        dashes.map_or(Self { script: b"", wire: data }, |at| Self {
            script: &data[..at],
            wire: &data[at + DASHES.len()..],
        })
    }

    /// The pieces that the script cuts the bytes into.
    #[must_use]
    pub fn pieces(&self) -> Vec<&'a [u8]> {
        let (mut pieces, mut rest) = (Vec::new(), self.wire);
        let mut operations = self.script.iter().cycle();
        while !rest.is_empty() {
            let length = operations.next().map_or(1, |operation| piece(*operation));
            let (piece, after) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// The length of the piece that an operation stands for, at least 1.
#[must_use]
pub fn piece(operation: u8) -> usize {
    match operation {
        b'0'..=b'9' => usize::from(operation - b'0').max(1),
        _ => usize::from(operation).max(1),
    }
}
