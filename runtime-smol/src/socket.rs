//! A connection's socket and what is known of its readiness.

use std::io::{self, Read, Write};

use libswarm::ConnId;
use libswarm_host::Stream;

/// A socket and the edges that epoll has told of.
pub(crate) struct Socket {
    pub(crate) id: ConnId,
    pub(crate) stream: Stream,
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
    /// What a write left over.
    unwritten: Vec<u8>,
}

/// What came of a write.
pub(crate) enum Written {
    All,
    /// The rest is kept and goes out when there is room.
    Partly,
}

impl Socket {
    pub(crate) fn new(id: ConnId, stream: Stream) -> Self {
        Self {
            id,
            stream,
            readable: false,
            ended: false,
            hung_up: false,
            granted: false,
            eof: false,
            queued: false,
            watches_room: false,
            unwritten: Vec::new(),
        }
    }

    /// Reads once. `None`: there is nothing now.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match (&self.stream).read(buffer) {
                Ok(length) => {
                    // An edge-triggered socket tells of what comes next, so a short read needs no second one to be sure.
                    self.readable = length == buffer.len() || (self.ended && length > 0);
                    return Ok(Some(length));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes as much as goes, and keeps the rest.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Written> {
        let written = write_some(&self.stream, bytes)?;
        if written == bytes.len() {
            return Ok(Written::All);
        }
        self.unwritten.extend_from_slice(&bytes[written..]);
        Ok(Written::Partly)
    }

    /// Goes on with what a write left over; `None` if there is nothing of that kind.
    pub(crate) fn write_on(&mut self) -> io::Result<Option<Written>> {
        if self.unwritten.is_empty() {
            return Ok(None);
        }
        let written = write_some(&self.stream, &self.unwritten)?;
        if written < self.unwritten.len() {
            self.unwritten.drain(..written);
            return Ok(Some(Written::Partly));
        }
        self.unwritten = Vec::new();
        Ok(Some(Written::All))
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
