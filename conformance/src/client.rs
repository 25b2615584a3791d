//! A client that says exactly what it is told to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libswarm::address::Tls;
use libswarm_host::Stream;

use crate::secured::Secured;

/// Nothing that is tested takes longer; a test that waits for more has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a daemon, over TCP or a unix socket.
#[derive(Debug)]
pub enum Client {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// With TLS over TCP.
    Tls(Secured),
}

impl Client {
    /// Connects to `tcp://host:port` or `unix://path`.
    ///
    /// # Panics
    ///
    /// Nobody listens there.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        let client = Self::try_connect(address);
        client.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// As [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn try_connect(address: &str) -> io::Result<Self> {
        if let Some(path) = address.strip_prefix("unix://") {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            return Ok(Self::Unix(stream));
        }
        let stream = TcpStream::connect(address.trim_start_matches("tcp://"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Tcp(stream))
    }

    /// Connects to `tcp://host:port` with TLS.
    ///
    /// # Panics
    ///
    /// Nobody listens there, or one side does not trust the other.
    #[must_use]
    pub fn connect_tls(address: &str, tls: Tls) -> Self {
        let secured = Secured::connect(address, tls, PATIENCE);
        Self::Tls(secured.unwrap_or_else(|error| panic!("no TLS with {address}: {error}")))
    }

    /// Breaks the connection, with a reset where that exists.
    pub fn reset(self) {
        let stream = match self {
            Self::Tcp(stream) => Stream::Tcp(stream),
            Self::Unix(stream) => Stream::Unix(stream),
            Self::Tls(secured) => secured.stream,
        };
        stream.reset_on_close();
    }

    /// Reads until the connection ends or breaks; returns what came, and whether it ended.
    pub fn drain(&mut self) -> (Vec<u8>, bool) {
        let (mut got, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return (got, true),
                Ok(length) => got.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let is_late =
                        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                    assert!(!is_late, "neither end nor break after {}", got.escape_ascii());
                    return (got, false);
                }
            }
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Panics
    ///
    /// The daemon does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write_all(bytes.as_ref()).expect("the daemon takes what it is sent");
    }

    /// Shuts the sending side down.
    ///
    /// # Panics
    ///
    /// The connection is gone.
    pub fn half_close(&self) {
        self.try_half_close().expect("the connection is there");
    }

    /// As [`half_close`](Self::half_close).
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn try_half_close(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(secured) => secured.end(),
        }
    }

    /// Reads until what came ends with `end`.
    ///
    /// # Panics
    ///
    /// It never does.
    pub fn until(&mut self, end: &str) -> String {
        let (mut got, mut byte) = (Vec::new(), [0]);
        while !got.ends_with(end.as_bytes()) {
            match self.read(&mut byte) {
                Ok(1..) => got.push(byte[0]),
                other => panic!("{other:?} before {end:?}, after {}", got.escape_ascii()),
            }
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Reads until the daemon closes.
    ///
    /// # Panics
    ///
    /// It breaks the connection, or does not close it.
    pub fn rest(&mut self) -> String {
        let mut got = Vec::new();
        self.read_to_end(&mut got).expect("the daemon closes the connection");
        String::from_utf8_lossy(&got).into_owned()
    }

    /// One whole answer with a Content-Length or without a body; its head and its body.
    pub fn answer(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().expect("a length is a number"));
        let mut body = vec![0; length];
        self.read_exact(&mut body).expect("the body is as long as announced");
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    /// Asks for `target` by GET.
    pub fn get(&mut self, target: &str) -> (String, String) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(secured) => (&*secured).read(buffer),
        }
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(secured) => (&*secured).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
