//! What a started process shares with the outside: its stdin, its output and, if it has one, its terminal.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Exit, INPUT, OUTPUT, Signal};

/// Where output was written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output, and all output of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The outside of a started process.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What can be read, in pieces; on a terminal these are lines, and an empty one is an end of file.
    input: VecDeque<Vec<u8>>,
    held: usize,
    closed: bool,
    output: VecDeque<(Stream, Vec<u8>)>,
    waiting: usize,
    pub(super) tty: Option<Box<Tty>>,
    pub(super) exit: Option<Exit>,
}

/// A terminal's line discipline.
#[derive(Debug)]
pub(super) struct Tty {
    line: Vec<u8>,
    pub(super) size: (u16, u16),
    pub(super) echo: bool,
    pub(super) canonical: bool,
    pub(super) signals: bool,
}

impl Session {
    pub(super) fn new(tty: Option<(u16, u16)>, open_stdin: bool) -> Self {
        let tty = tty.map(|size| {
            Box::new(Tty { line: Vec::new(), size, echo: true, canonical: true, signals: true })
        });
        let closed = !open_stdin && tty.is_none();
        Self { tty, closed, ..Self::default() }
    }

    /// Takes input from outside: how much was taken, and the signals that its keys mean.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Vec<Signal>) {
        let mut signals = Vec::new();
        if self.closed {
            return (bytes.len(), signals);
        }
        let taken = bytes.len().min(INPUT.saturating_sub(self.held));
        let bytes = &bytes[..taken];
        let Some(mut tty) = self.tty.take() else {
            if taken > 0 {
                self.push(bytes.to_vec());
            }
            return (taken, signals);
        };
        for byte in bytes {
            self.key(&mut tty, *byte, &mut signals);
        }
        self.tty = Some(tty);
        (taken, signals)
    }

    fn key(&mut self, tty: &mut Tty, byte: u8, signals: &mut Vec<Signal>) {
        let byte = if byte == b'\r' { b'\n' } else { byte };
        if tty.signals {
            let signal = match byte {
                3 => Some(Signal::INT),
                28 => Some(Signal::QUIT),
                _ => None,
            };
            if let Some(signal) = signal {
                tty.line.clear();
                if tty.echo {
                    self.show(if byte == 3 { b"^C" } else { b"^\\" });
                }
                signals.push(signal);
                return;
            }
        }
        if !tty.canonical {
            if tty.echo {
                self.show(if byte == b'\n' { b"\r\n" } else { core::slice::from_ref(&byte) });
            }
            self.push(Vec::from([byte]));
            return;
        }
        match byte {
            b'\n' => {
                if tty.echo {
                    self.show(b"\r\n");
                }
                tty.line.push(byte);
                self.push(core::mem::take(&mut tty.line));
            }
            4 => self.push(core::mem::take(&mut tty.line)),
            8 | 127 => {
                let empty = tty.line.is_empty();
                while tty.line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                if tty.echo && !empty {
                    self.show(b"\x08 \x08");
                }
            }
            21 => {
                for _ in core::mem::take(&mut tty.line) {
                    if tty.echo {
                        self.show(b"\x08 \x08");
                    }
                }
            }
            _ => {
                if tty.line.len() < 4095 {
                    tty.line.push(byte);
                    if tty.echo {
                        match byte {
                            b'\t' | 32.. => self.show(&[byte]),
                            _ => self.show(&[b'^', byte + 64]),
                        }
                    }
                }
            }
        }
    }

    fn push(&mut self, piece: Vec<u8>) {
        self.held += piece.len();
        self.input.push_back(piece);
    }

    /// What a terminal shows of its keys; with nobody reading, it is lost.
    fn show(&mut self, bytes: &[u8]) {
        if self.waiting < OUTPUT {
            self.add(Stream::Stdout, bytes);
        }
    }

    pub(super) fn close(&mut self) {
        if let Some(tty) = &mut self.tty {
            let line = core::mem::take(&mut tty.line);
            if !line.is_empty() {
                self.push(line);
            }
        }
        self.closed = true;
    }

    /// Reads at most `most` bytes: `None` if there will be some later, nothing at the end.
    pub(super) fn read(&mut self, most: usize) -> Option<Vec<u8>> {
        let Some(piece) = self.input.front_mut() else {
            return self.closed.then(Vec::new);
        };
        if piece.len() <= most {
            let piece = self.input.pop_front().unwrap_or_default();
            self.held -= piece.len();
            return Some(piece);
        }
        let rest = piece.split_off(most);
        let piece = core::mem::replace(piece, rest);
        self.held -= piece.len();
        Some(piece)
    }

    /// Gives back what was read too far.
    pub(super) fn unread(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.held += bytes.len();
            self.input.push_front(bytes);
        }
    }

    /// Takes output from inside: how much of it.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(OUTPUT.saturating_sub(self.waiting));
        if taken == 0 {
            return 0;
        }
        if self.tty.is_some() {
            let mut cooked = Vec::with_capacity(taken + 8);
            for byte in &bytes[..taken] {
                if *byte == b'\n' {
                    cooked.push(b'\r');
                }
                cooked.push(*byte);
            }
            self.add(Stream::Stdout, &cooked);
        } else {
            self.add(stream, &bytes[..taken]);
        }
        taken
    }

    fn add(&mut self, stream: Stream, bytes: &[u8]) {
        self.waiting += bytes.len();
        match self.output.back_mut() {
            Some((last, piece)) if *last == stream => piece.extend_from_slice(bytes),
            _ => self.output.push_back((stream, bytes.to_vec())),
        }
    }

    /// Hands the next piece of output to the outside.
    pub(super) fn drain(&mut self) -> Option<(Stream, Vec<u8>)> {
        let piece = self.output.pop_front()?;
        self.waiting -= piece.1.len();
        Some(piece)
    }
}
