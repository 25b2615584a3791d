//! Messages in a TCP stream, each behind its length in two bytes (RFC 1035 section 4.2.2).

use alloc::vec::Vec;

/// Takes messages out of a stream, however it is cut.
///
/// It holds what came and was not taken, so its memory is bounded by whoever stops reading.
#[derive(Debug, Default)]
pub struct Frames {
    unread: Vec<u8>,
    used: usize,
}

/// An idle stream keeps no larger buffer than this.
const KEEP: usize = 1024;

impl Frames {
    /// One that nothing has come for.
    #[must_use]
    pub const fn new() -> Self {
        Self { unread: Vec::new(), used: 0 }
    }

    /// Bytes came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unread.drain(..self.used);
        self.used = 0;
        self.unread.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.unread.len() - self.used
    }

    /// The next message, if it is whole.
    pub fn next_message(&mut self) -> Option<&[u8]> {
        let begin = self.used + 2;
        let head = self.unread.get(self.used..begin);
        let length = head.map(|head| usize::from(u16::from_be_bytes([head[0], head[1]])));
        match length {
            Some(length) if self.unread.len() - begin >= length => {
                self.used = begin + length;
                Some(&self.unread[begin..self.used])
            }
            _ => {
                if self.used == self.unread.len() && self.unread.capacity() > KEEP {
                    self.unread = Vec::new();
                    self.used = 0;
                }
                None
            }
        }
    }

    /// Writes a message behind its length; `write` appends it. One that is too long for that is left out.
    pub fn write(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let before = out.len();
        out.extend_from_slice(&[0, 0]);
        write(out);
        match u16::try_from(out.len() - before - 2) {
            Ok(length) if length > 0 => {
                out[before..before + 2].copy_from_slice(&length.to_be_bytes());
            }
            _ => out.truncate(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_not_there_before_its_last_byte() {
        let mut frames = Frames::new();
        for byte in [0, 3, b'a', b'b'] {
            frames.push(&[byte]);
            assert_eq!(frames.next_message(), None);
        }
        frames.push(b"c\0\0\0");
        assert_eq!(frames.next_message(), Some(&b"abc"[..]));
        assert_eq!(frames.next_message(), Some(&b""[..]));
        assert_eq!(frames.next_message(), None);
        assert_eq!(frames.waiting(), 1);
    }

    #[test]
    fn nothing_and_too_much_is_not_written() {
        let mut out = vec![7];
        Frames::write(&mut out, |_| {});
        Frames::write(&mut out, |out| out.resize(out.len() + 65_536, 0));
        assert_eq!(out, [7]);
        Frames::write(&mut out, |out| out.push(9));
        assert_eq!(out, [7, 0, 1, 9]);
    }

    proptest! {
        #[test]
        fn any_cut_of_a_stream_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            cuts in prop::collection::vec(1..400_usize, 0..40),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                Frames::write(&mut stream, |out| out.extend_from_slice(message));
            }
            let (mut frames, mut read, mut at) = (Frames::new(), Vec::new(), 0_usize);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let end = stream.len().min(at.saturating_add(cut));
                frames.push(&stream[at..end]);
                at = end;
                while let Some(message) = frames.next_message() {
                    read.push(message.to_vec());
                }
            }
            prop_assert_eq!(read, messages);
            prop_assert_eq!(frames.waiting(), 0);
        }
    }
}
