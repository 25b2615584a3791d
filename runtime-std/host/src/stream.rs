//! A connection, over TCP or over a unix socket.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::ssh::{Obituary, Ssh};
use crate::tls::Session;

/// A connection as a runtime gets it: its stream, and the TLS that is spoken over it.
#[derive(Debug)]
pub struct Transport {
    /// What carries the bytes.
    pub stream: Stream,
    /// Without one, they are what the node sees.
    pub tls: Option<Box<Session>>,
}

impl From<Stream> for Transport {
    fn from(stream: Stream) -> Self {
        Self { stream, tls: None }
    }
}

/// A connected stream. It is read and written through a shared reference, too, so that one thread may read while another
/// writes.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP. [`Listener::accept`](crate::Listener::accept) sets `TCP_NODELAY`.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over the input and output of an ssh command.
    Ssh(Ssh),
    /// Over UDP, to and from one peer: each write is a datagram, and each read gives one.
    Datagram(UdpSocket),
}

impl Stream {
    /// Closes one direction or both.
    ///
    /// # Errors
    ///
    /// The stream is not connected any more.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
            Self::Ssh(ssh) => ssh.near.shutdown(how),
            Self::Datagram(socket) => Ok(rustix::net::shutdown(
                socket,
                match how {
                    Shutdown::Read => rustix::net::Shutdown::Read,
                    Shutdown::Write => rustix::net::Shutdown::Write,
                    Shutdown::Both => rustix::net::Shutdown::Both,
                },
            )?),
        }
    }

    /// Makes reads and writes fail with [`WouldBlock`](io::ErrorKind::WouldBlock) rather than wait, or wait again.
    ///
    /// # Errors
    ///
    /// Those of the operating system; it knows none for a socket.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Self::Unix(stream) => stream.set_nonblocking(nonblocking),
            Self::Ssh(ssh) => ssh.near.set_nonblocking(nonblocking),
            Self::Datagram(socket) => socket.set_nonblocking(nonblocking),
        }
    }

    /// Makes the peer see a reset (RST) rather than an end when the stream is closed, and drops what is unsent. A unix
    /// socket knows no reset; its peer sees an end.
    pub fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // It fails only for a connection that is over, which needs no reset.
            let _ =
                rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
        }
    }

    /// Breaks the connection now, whoever holds it: its peer sees a reset, and a thread that waits in poll(2) for it to hang up
    /// comes back. Where there is no such thing, both directions are shut down.
    pub fn reset(&self) {
        self.reset_on_close();
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self
            && rustix::net::connect_unspec(stream).is_ok()
        {
            return;
        }
        // It fails for a connection that is over.
        let _ = self.shutdown(Shutdown::Both);
    }

    /// For a connection that has ended, or cannot be written to: who knows why, if somebody does.
    #[must_use]
    pub fn obituary(&self) -> Option<Obituary> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Datagram(_) => None,
            Self::Ssh(ssh) => ssh.obituary(),
        }
    }

    /// Whether what one read leaves may not be the rest of what came with it.
    #[must_use]
    pub const fn is_datagrams(&self) -> bool {
        matches!(self, Self::Datagram(_))
    }

    /// Who is at the other end, for a log: `127.0.0.1:41234`, or `unix` for a unix socket, whose clients have no address.
    #[must_use]
    pub fn peer(&self) -> Peer<'_> {
        Peer(self)
    }
}

/// What [`Stream::peer`] displays.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a>(&'a Stream);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Stream::Tcp(stream) => match stream.peer_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(_) => f.write_str("a client that has gone"),
            },
            Stream::Unix(_) => f.write_str("unix"),
            Stream::Ssh(_) => f.write_str("ssh"),
            Stream::Datagram(socket) => match socket.peer_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(_) => f.write_str("a server that has gone"),
            },
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buffer),
            Stream::Unix(stream) => (&*stream).read(buffer),
            Stream::Ssh(ssh) => ssh.read(buffer),
            Stream::Datagram(socket) => socket.recv(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            Stream::Unix(stream) => (&*stream).write(bytes),
            Stream::Ssh(ssh) => (&ssh.near).write(bytes),
            Stream::Datagram(socket) => socket.send(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write_vectored(pieces),
            Stream::Unix(stream) => (&*stream).write_vectored(pieces),
            Stream::Ssh(ssh) => (&ssh.near).write_vectored(pieces),
            Stream::Datagram(socket) => Ok(rustix::io::writev(socket, pieces)?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Ssh(ssh) => ssh.near.as_fd(),
            Self::Datagram(socket) => socket.as_fd(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}
