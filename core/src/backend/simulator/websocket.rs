//! The frames of a WebSocket (RFC 6455, section 5), as a server reads and writes them.

use alloc::vec::Vec;

/// The kinds of frames.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Bytes of data in one frame that is written.
const MOST: usize = 32 * 1024;
/// Bytes of the longest control frame's data (section 5.5).
const MAX_CONTROL: usize = 125;
/// The codes that a connection ends with (section 7.4).
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

/// One side of a connection.
#[derive(Debug)]
pub(super) struct WebSocket {
    /// The header of the frame that comes, as far as it is here.
    header: Vec<u8>,
    frame: Option<Frame>,
    /// Of a control frame.
    control: Vec<u8>,
    /// A message has begun that goes on in the next frame.
    open: bool,
    /// Data is written as text: clients of API 1.27 and older.
    text: bool,
    closed: bool,
    /// So much is unread by the client that nothing is read from it.
    pub(super) waits: bool,
}

/// A frame whose data is being read.
#[derive(Debug)]
struct Frame {
    kind: u8,
    mask: [u8; 4],
    /// Bytes that are read, and that are there in all.
    at: u64,
    length: u64,
}

impl WebSocket {
    pub(super) const fn new(text: bool) -> Self {
        Self {
            header: Vec::new(),
            frame: None,
            control: Vec::new(),
            open: false,
            text,
            closed: false,
            waits: false,
        }
    }

    /// Reads what has come: puts the data of messages into `data`, and what is to be answered into `out`. Frames need not be
    /// whole. False when the client has ended the connection or has broken the protocol: nothing is read any more.
    pub(super) fn read(&mut self, mut bytes: &[u8], data: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        while !self.closed {
            if self.frame.is_none() {
                // Its second byte says how long it is.
                while let wanted @ 1.. = wanted_header(&self.header) - self.header.len() {
                    if bytes.is_empty() {
                        return true;
                    }
                    let (head, rest) = bytes.split_at(wanted.min(bytes.len()));
                    self.header.extend_from_slice(head);
                    bytes = rest;
                }
                if !self.begin() {
                    self.close(PROTOCOL_ERROR, out);
                    break;
                }
            }
            let Some(frame) = &mut self.frame else { break };
            let left = frame.length - frame.at;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at(most);
            bytes = rest;
            let to = if frame.kind < CLOSE { &mut *data } else { &mut self.control };
            for byte in piece {
                to.push(byte ^ frame.mask[(frame.at % 4) as usize]);
                frame.at += 1;
            }
            if frame.at < frame.length {
                return true;
            }
            let kind = frame.kind;
            self.frame = None;
            match kind {
                PING => write(PONG, &self.control, out),
                CLOSE => self.close(NORMAL, out),
                _ => {}
            }
            self.control.clear();
        }
        false
    }

    /// Looks at a frame's header; false if it breaks the protocol.
    fn begin(&mut self) -> bool {
        let header = core::mem::take(&mut self.header);
        let (first, second) = (header[0], header[1]);
        let (last, kind) = (first & 0x80 != 0, first & 0x0f);
        let length = match second & 0x7f {
            126 => header[2..4].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            127 => header[2..10].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            short => u64::from(short),
        };
        let ordered = match kind {
            CONTINUATION => self.open,
            TEXT | BINARY => !self.open,
            CLOSE | PING | PONG => last && length <= MAX_CONTROL as u64,
            _ => false,
        };
        let masked = second & 0x80 != 0;
        if !ordered || !masked || first & 0x70 != 0 || length >> 63 != 0 {
            return false;
        }
        if kind < CLOSE {
            self.open = !last;
        }
        let mask = header.last_chunk().copied().unwrap_or_default();
        self.frame = Some(Frame { kind, mask, at: 0, length });
        true
    }

    /// Data as frames.
    pub(super) fn write(&self, data: &[u8]) -> Vec<u8> {
        let kind = if self.text { TEXT } else { BINARY };
        let mut out = Vec::with_capacity(data.len() + 4);
        if !self.closed {
            data.chunks(MOST).for_each(|piece| write(kind, piece, &mut out));
        }
        out
    }

    /// The last frame, if it was not written yet.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.close(NORMAL, &mut out);
        out
    }

    fn close(&mut self, code: u16, out: &mut Vec<u8>) {
        if !self.closed {
            write(CLOSE, &code.to_be_bytes(), out);
            self.closed = true;
        }
    }
}

/// Bytes of the header that begins so.
fn wanted_header(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 == 0 { 0 } else { 4 }
}

/// One frame of at most [`MOST`] bytes; servers do not mask.
fn write(kind: u8, data: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | kind);
    match data.len() {
        short @ ..126 => out.push(short as u8),
        length => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(data);
}

#[cfg(test)]
pub(super) mod tests {
    use super::WebSocket;
    use alloc::vec;
    use alloc::vec::Vec;

    /// A frame as clients send it.
    pub(in crate::backend::simulator) fn frame(first: u8, data: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 0xff];
        let mut out = Vec::from([first]);
        match data.len() {
            short @ ..126 => out.push(0x80 | short as u8),
            length @ ..0x1_0000 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&mask);
        out.extend(data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    /// What is read of pieces of that size, what is answered, and whether it goes on.
    fn read(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, bool) {
        let (mut socket, mut data, mut out) = (WebSocket::new(false), Vec::new(), Vec::new());
        let goes_on = bytes.chunks(size).all(|piece| socket.read(piece, &mut data, &mut out));
        (data, out, goes_on)
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let long = vec![b'x'; 70_000];
        let bytes = [
            frame(0x82, b"hello"),
            frame(0x01, b" fra"),
            frame(0x89, b"pi"),
            frame(0x80, b"gment"),
            frame(0x82, &long),
            frame(0x81, b""),
            frame(0x8a, b"nobody asked"),
        ]
        .concat();
        let expected = [&b"hello fragment"[..], &long].concat();
        for size in [1, 2, 7, 1000, bytes.len()] {
            assert!(
                read(&bytes, size) == (expected.clone(), b"\x8a\x02pi".to_vec(), true),
                "{size}"
            );
        }
    }

    #[test]
    fn a_close_is_answered_and_nothing_is_read_behind_it() {
        let bytes = [frame(0x88, &[3, 0xe8]), frame(0x82, b"late")].concat();
        assert_eq!(read(&bytes, 3), (Vec::new(), b"\x88\x02\x03\xe8".to_vec(), false));
        let mut socket = WebSocket::new(true);
        assert_eq!(
            (socket.write(b"text"), socket.end()),
            (b"\x81\x04text".to_vec(), b"\x88\x02\x03\xe8".to_vec())
        );
        assert_eq!((socket.write(b"late"), socket.end()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_breaks_the_protocol_ends_the_connection() {
        let mut huge = Vec::from([0x82, 0xff]);
        huge.extend_from_slice(&[0xff; 12]);
        for bytes in [
            b"\x82\x01x".to_vec(),
            frame(0xc2, b"reserved"),
            frame(0x83, b"unknown"),
            frame(0x80, b"goes on from nothing"),
            [frame(0x02, b"a"), frame(0x82, b"b")].concat(),
            frame(0x09, b"a ping in pieces"),
            frame(0x89, &[0; 126]),
            huge,
        ] {
            let (_, out, goes_on) = read(&bytes, bytes.len());
            assert_eq!((&*out, goes_on), (&b"\x88\x02\x03\xea"[..], false), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_has_bounded_frames() {
        let out = WebSocket::new(false).write(&vec![0; 40_000]);
        assert_eq!(out[..4], [0x82, 126, 0x80, 0]);
        assert_eq!(out[4 + 32_768..][..4], [0x82, 126, 0x1c, 0x40]);
    }
}
