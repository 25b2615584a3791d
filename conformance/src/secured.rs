//! TLS as a client of a test speaks it: over a socket that waits.

use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libswarm::address::{Remote, Tls};
use libswarm_host::{Certificates, Input, Session, Stream, Transport};

/// One side of a connection with TLS.
#[derive(Debug)]
pub struct Secured {
    pub(crate) stream: Stream,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    session: Box<Session>,
    plain: Vec<u8>,
    at: usize,
}

impl Secured {
    /// Connects to `tcp://host:port`.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or one of the two does not trust the other.
    pub fn connect(address: &str, tls: Tls, patience: Duration) -> io::Result<Self> {
        let address: Remote = address.parse().map_err(io::Error::other)?;
        let address = address.with_tls(tls).map_err(io::Error::other)?;
        let transport = libswarm_host::connect(&address, &Certificates::default(), patience)?;
        Self::of(transport, patience)
    }

    /// Takes a connection whose other side is a client's.
    ///
    /// # Errors
    ///
    /// It has no TLS.
    pub fn of(transport: Transport, patience: Duration) -> io::Result<Self> {
        let Transport { stream, tls } = transport;
        let session = tls.ok_or_else(|| io::Error::other("there is no TLS"))?;
        if let Stream::Tcp(tcp) = &stream {
            tcp.set_read_timeout(Some(patience))?;
            tcp.set_write_timeout(Some(patience))?;
        }
        let state = Mutex::new(State { session, plain: Vec::new(), at: 0 });
        Ok(Self { stream, state })
    }

    /// Ends this side's half.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn end(&self) -> io::Result<()> {
        let mut state = self.state();
        state.session.end();
        state.session.flush(&mut &self.stream).map(|_| ())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for &Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let State { session, plain, at } = &mut *state;
        let mut cipher = vec![0; 16 * 1024];
        while *at == plain.len() {
            match session.input() {
                Input::Open => {}
                Input::Ended => return Ok(0),
                Input::Broken(reason) => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, reason.clone()));
                }
            }
            plain.clear();
            *at = 0;
            match (&self.stream).read(&mut cipher)? {
                0 => session.receive_end(),
                length => session.receive(&cipher[..length], plain),
            }
            // One that is gone shows by the next read.
            let _ = session.flush(&mut &self.stream);
        }
        let length = buffer.len().min(plain.len() - *at);
        buffer[..length].copy_from_slice(&plain[*at..*at + length]);
        *at += length;
        Ok(length)
    }
}

impl Write for &Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let written = state.session.write(bytes, &mut &self.stream)?;
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
