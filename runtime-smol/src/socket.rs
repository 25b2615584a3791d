//! A connection's socket, what is known of its readiness, and the TLS that may lie over it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::ops::Range;

use libswarm::ConnId;
use libswarm_host::{Input, Session, Stream, Transport};

/// A socket and the edges that epoll has told of.
pub(crate) struct Socket {
    pub(crate) id: ConnId,
    pub(crate) stream: Stream,
    pub(crate) tls: Option<Box<Session>>,
    /// A read may give something: an edge has come since the last one came up short.
    pub(crate) readable: bool,
    /// The peer's end, or a break, has been announced: reads go on until they show it, since no edge will come for it again.
    pub(crate) ended: bool,
    /// Neither direction works any more.
    pub(crate) hung_up: bool,
    /// The node has granted a read.
    pub(crate) granted: bool,
    /// The end of the peer's half has been reported.
    pub(crate) eof: bool,
    /// Waits in the driver's queue to be read.
    pub(crate) queued: bool,
    /// epoll tells of room to write.
    pub(crate) watches_room: bool,
    /// What comes goes to another connection instead of to the node.
    pub(crate) splice: Option<Splice>,
    /// Whose bytes come here instead of the node's.
    pub(crate) fed_by: Option<ConnId>,
    /// The node waits to hear that something is written, or that this side is shut down.
    owed: bool,
    rest: Rest,
}

/// What a write left over.
#[derive(Default)]
struct Rest {
    buffer: Vec<u8>,
    /// Where it stands in the buffer.
    at: Range<usize>,
}

/// What comes from a connection passes to another one.
pub(crate) struct Splice {
    pub(crate) to: ConnId,
    /// How much still is to; all until the end without a limit.
    pub(crate) left: Option<u64>,
    pub(crate) passed: u64,
}

/// What came of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    All,
    /// The rest is kept and goes out when there is room.
    Partly,
}

/// What all reads of a driver share: an idle connection holds none of it.
pub(crate) struct Room {
    /// As it comes from a socket.
    raw: Vec<u8>,
    /// More of the same, for when what was read is kept where it is.
    spares: Vec<Vec<u8>>,
    /// As it comes out of TLS.
    plain: Vec<u8>,
}

/// What passes elsewhere is read in pieces of this, which are held once at most.
const PIECE: usize = 128 * 1024;
/// What the node gets is less: large enough that an answer of usual length is one read, small enough for what a stream may hold
/// (256 KiB), of which the node may have some already.
const READ: usize = 112 * 1024;
/// With TLS there is some more on each side.
const ENCRYPTED: usize = 64 * 1024;
/// What is left of a piece is copied if it is no more than this.
const COPIED: usize = 16 * 1024;
/// So many pieces are kept for those who need one next.
const SPARES: usize = 8;

impl Room {
    pub(crate) fn new() -> Self {
        Self { raw: vec![0; PIECE], spares: Vec::new(), plain: Vec::new() }
    }

    /// The last piece that was read, to be kept where it is.
    fn give(&mut self) -> Vec<u8> {
        let next = self.spares.pop().unwrap_or_else(|| vec![0; PIECE]);
        core::mem::replace(&mut self.raw, next)
    }

    fn take_back(&mut self, buffer: Vec<u8>) {
        if buffer.len() == PIECE && self.spares.len() < SPARES {
            self.spares.push(buffer);
        }
    }
}

impl Socket {
    pub(crate) fn new(id: ConnId, transport: Transport) -> Self {
        Self {
            id,
            stream: transport.stream,
            tls: transport.tls,
            readable: false,
            ended: false,
            hung_up: false,
            granted: false,
            eof: false,
            queued: false,
            watches_room: false,
            splice: None,
            fed_by: None,
            owed: false,
            rest: Rest::default(),
        }
    }

    /// Reads once. `None`: there is nothing now. Nothing at all: the peer's half has ended.
    pub(crate) fn read<'a>(&mut self, room: &'a mut Room) -> io::Result<Option<&'a [u8]>> {
        let Room { raw, plain, .. } = room;
        let Some(tls) = &mut self.tls else {
            let most = match &self.splice {
                None => READ,
                Some(Splice { left: None, .. }) => PIECE,
                Some(Splice { left: Some(left), .. }) => {
                    usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE))
                }
            };
            let raw = &mut raw[..most];
            let length = read_some(&self.stream, raw)?;
            // An edge-triggered socket tells of what comes next, so a short read needs no second one to be sure.
            self.readable = length.is_some_and(|length| {
                length == raw.len() || self.stream.is_datagrams() || (self.ended && length > 0)
            });
            return Ok(length.map(|length| &raw[..length]));
        };
        plain.clear();
        if *tls.input() == Input::Open {
            let raw = &mut raw[..ENCRYPTED];
            let length = read_some(&self.stream, raw)?;
            match length {
                None => {}
                Some(0) => tls.receive_end(),
                Some(length) => tls.receive(&raw[..length], plain),
            }
            self.readable =
                length.is_some_and(|length| length == raw.len() || (self.ended && length > 0));
            // Agreement has its own words to say; what has no room waits for it.
            let flushed = tls.flush(&mut &self.stream);
            if *tls.input() != Input::Open {
                // The end of it stands here, and is read behind the bytes.
                self.readable = true;
            } else if tls.is_handshaking() {
                flushed?;
            }
            // Else what the peer said before it went may still be read; who has something to write learns of it there.
        }
        match tls.input() {
            _ if !plain.is_empty() => Ok(Some(plain)),
            Input::Open => Ok(None),
            Input::Ended => {
                self.readable = false;
                Ok(Some(&[]))
            }
            Input::Broken(reason) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {reason}")))
            }
        }
    }

    /// Whether the node, or another connection, takes what comes.
    pub(crate) fn is_wanted(&self) -> bool {
        self.granted || self.splice.is_some()
    }

    /// Whether something waits to be written.
    pub(crate) const fn is_full(&self) -> bool {
        self.owed
    }

    /// Whether the two sides have not agreed yet on how to speak.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether something waits for room.
    pub(crate) fn wants_room(&mut self) -> bool {
        self.owed || self.tls.as_mut().is_some_and(|tls| tls.has_unsent())
    }

    /// Writes as much as goes, and keeps the rest.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Written> {
        // What another connection has brought, which is closed since, goes first.
        let written = if self.rest.at.is_empty() { self.write_some(bytes)? } else { 0 };
        self.rest.append(&bytes[written..]);
        Ok(self.settle())
    }

    /// The same for what another connection has just brought: a large rest stays where it was read.
    pub(crate) fn pass_on(&mut self, room: &mut Room, length: usize) -> io::Result<Written> {
        let written = write_some(&self.stream, &room.raw[..length])?;
        if length - written > COPIED {
            self.rest = Rest { buffer: room.give(), at: written..length };
        } else {
            self.rest.append(&room.raw[written..length]);
        }
        Ok(self.settle())
    }

    /// Goes on with what a write left over; `None` if nobody waits to hear of that.
    pub(crate) fn write_on(&mut self, room: &mut Room) -> io::Result<Option<Written>> {
        let was_owed = self.owed;
        let Rest { buffer, mut at } = core::mem::take(&mut self.rest);
        at.start += self.write_some(&buffer[at.clone()])?;
        if at.is_empty() {
            room.take_back(buffer);
        } else {
            self.rest = Rest { buffer, at };
        }
        let settled = self.settle();
        Ok(was_owed.then_some(settled))
    }

    fn settle(&mut self) -> Written {
        let unsent = self.tls.as_ref().is_some_and(|tls| tls.has_unsent());
        self.owed = unsent || !self.rest.at.is_empty();
        if self.owed { Written::Partly } else { Written::All }
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => write_some(&self.stream, bytes),
            Some(tls) => tls.write(bytes, &mut &self.stream),
        }
    }

    /// Ends this side's half.
    pub(crate) fn shut_down(&mut self) -> io::Result<Written> {
        match &mut self.tls {
            None => {
                // It fails only if the peer is gone, which a read will tell.
                let _ = self.stream.shutdown(Shutdown::Write);
                Ok(Written::All)
            }
            Some(tls) => {
                tls.end();
                self.write(&[])
            }
        }
    }

    /// Before it is closed: what was said was all, unless some of it is still here.
    pub(crate) fn say_goodbye(&mut self) {
        if self.tls.is_some() && !self.owed {
            // A peer that has no room for it, or is gone, has to do without.
            let _ = self.shut_down();
        }
    }
}

impl Rest {
    fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.buffer.truncate(self.at.end);
            self.buffer.extend_from_slice(bytes);
            self.at.end = self.buffer.len();
        }
    }
}

fn read_some(mut stream: &Stream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.read(buffer) {
            Ok(length) => return Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

fn write_some(mut stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use libswarm::job::Engine;
    use libswarm::node::Config;
    use libswarm::{Instant, Node};

    use super::*;

    #[test]
    fn what_is_left_of_a_piece_is_written_before_what_comes_behind_it() {
        let mut node = Node::new(Config::default(), Engine::new(1));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let transport = Transport { stream: Stream::Unix(ours), tls: None };
        let mut socket = Socket::new(node.accept(Instant::ZERO).unwrap(), transport);
        let mut room = Room::new();
        let mut sent = Vec::new();
        // Short rests and long ones.
        for (nth, length) in
            [PIECE, 3, PIECE - 1, 5, PIECE / 2, READ].into_iter().cycle().take(60).enumerate()
        {
            let piece: Vec<u8> = (0..length).map(|at| (at + nth) as u8).collect();
            room.raw[..length].copy_from_slice(&piece);
            let mut written = socket.pass_on(&mut room, length).unwrap();
            sent.extend_from_slice(&piece);
            if written == Written::Partly && nth % 2 == 0 {
                // One that is closed has left something to be written, and now it is the node's turn.
                socket.write(b"behind it").unwrap();
                sent.extend_from_slice(b"behind it");
            }
            while written == Written::Partly {
                let mut got = vec![0; 50_000];
                let length = theirs.read(&mut got).unwrap();
                assert_eq!(got[..length], sent[..length]);
                sent.drain(..length);
                written = socket.write_on(&mut room).unwrap().unwrap();
            }
            assert!(!socket.is_full() && room.spares.len() <= 1);
        }
        drop(socket);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).unwrap();
        assert!(rest == sent);
        assert_eq!(room.spares.len(), 1, "some pieces were kept where they were read");
    }
}
