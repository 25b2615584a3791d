//! A connection to a server of discovery, blocking.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use libswarm::rpc::{Args, Client, ClientEvent, Codec, Limits, Method};

use super::cli::DEFAULT_BIND;
use crate::listen::keep_alive;

/// How long a server may take to let a client in, or to answer a call.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection whose server has greeted.
pub(super) struct Connection {
    stream: TcpStream,
    rpc: Client,
    unread: Vec<u8>,
    out: Vec<u8>,
}

/// The server that commands ask.
pub(super) fn server() -> String {
    env::var("DISCOVERD").ok().filter(|it| !it.is_empty()).unwrap_or_else(|| DEFAULT_BIND.into())
}

impl Connection {
    pub(super) fn open(server: &str) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "it has no address");
        for address in server.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return Self::greet(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn greet(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        keep_alive(&stream)?;
        let rpc = Client::new(Codec::Gob, Limits::default());
        let mut connection = Self { stream, rpc, unread: Vec::new(), out: Vec::new() };
        connection.rpc.connect(&mut connection.out);
        connection.flush()?;
        match connection.event(Some(Instant::now() + PATIENCE))? {
            Some(ClientEvent::Connected) => Ok(connection),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Ends the connection; nothing can be done with it any more.
    pub(super) fn shut(&self) {
        // It fails for one that has ended already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written
    }

    /// Calls, and gives the call's number.
    pub(super) fn call(&mut self, method: Method, args: &Args) -> io::Result<u64> {
        let call = self.rpc.call(method, args, &mut self.out);
        self.flush()?;
        call.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Calls, and waits for the answer: the server's, or why there is none.
    pub(super) fn ask(
        &mut self,
        method: Method,
        args: &Args,
    ) -> io::Result<Result<String, String>> {
        let asked = self.call(method, args)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.event(Some(until))? {
                Some(ClientEvent::Answer(call, result)) if call == asked => return Ok(result),
                Some(_) => {}
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// What comes next; nothing if nothing has come until then.
    pub(super) fn event(&mut self, until: Option<Instant>) -> io::Result<Option<ClientEvent>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut buffer = [0; 16 * 1024];
        loop {
            let (taken, event) = self.rpc.receive(&self.unread).map_err(invalid)?;
            self.unread.drain(..taken);
            if event.is_some() {
                return Ok(event);
            }
            let wait = until.map(|until| until.saturating_duration_since(Instant::now()));
            if wait == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.stream.set_read_timeout(wait)?;
            match (&self.stream).read(&mut buffer) {
                Ok(0) => {
                    self.rpc.eof(self.unread.len()).map_err(invalid)?;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
