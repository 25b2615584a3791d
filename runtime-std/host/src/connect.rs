//! Connecting to an upstream.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use libswarm::address::{Address, Remote};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::ssh;
use crate::stream::{Stream, Transport};
use crate::tls::{Certificates, Input, Session};

/// The node gives up earlier; this only ends the thread that waits.
const LONGEST: Duration = Duration::from_secs(120);

/// What a read in a handshake may give: a whole record.
const READ: usize = 20 * 1024;

/// Connects, and waits until that has worked or failed. All addresses of a name are tried. A connection with TLS is there when
/// both sides have agreed.
///
/// # Errors
///
/// The name is unknown, nobody listens there, the other side is not to be trusted, or there is no ssh command.
pub fn connect(to: &Remote, certificates: &Certificates) -> io::Result<Transport> {
    match to {
        Remote::Socket(Address::Unix { path }) => {
            Ok(Stream::from(UnixStream::connect(path)?).into())
        }
        Remote::Socket(Address::Tcp { host, port }) => Ok(Stream::from(tcp(host, *port)?).into()),
        Remote::Tls { host, port, tls } => {
            let host = if host.is_empty() { "localhost" } else { host };
            let mut session = certificates.session_to(host, tls)?;
            let stream = tcp(host, *port)?;
            shake_hands(&stream, &mut session)?;
            Ok(Transport { stream: stream.into(), tls: Some(Box::new(session)) })
        }
        Remote::Ssh { user, host, port } => {
            Ok(Stream::Ssh(ssh::connect(user.as_deref(), host, *port)?).into())
        }
    }
}

fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = if host.is_empty() { "localhost" } else { host };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LONGEST) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn shake_hands(mut stream: &TcpStream, session: &mut Session) -> io::Result<()> {
    let deadline = Instant::now() + LONGEST;
    let (mut cipher, mut plain) = (vec![0; READ], Vec::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the TLS handshake takes too long",
            ));
        }
        stream.set_read_timeout(Some(left))?;
        stream.set_write_timeout(Some(left))?;
        let sent = session.flush(&mut stream);
        if let Input::Broken(reason) = session.input() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {reason}")));
        }
        // An alert may say more than that it could not be written to.
        if !session.is_handshaking() && sent? {
            break;
        }
        match stream.read(&mut cipher) {
            Ok(0) => session.receive_end(),
            Ok(length) => session.receive(&cipher[..length], &mut plain),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(error),
        }
    }
    if !plain.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the server speaks unasked"));
    }
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)
}

/// Connects if that needs no waiting, as to a unix socket whose backlog is not full. `None`: it would have to wait.
#[must_use]
pub fn connect_now(to: &Remote) -> Option<io::Result<Transport>> {
    let Remote::Socket(Address::Unix { path }) = to else { return None };
    let try_it = || {
        let address = SocketAddrUnix::new(path.as_str())?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &address)?;
        Ok(socket)
    };
    match try_it() {
        Ok(socket) => Some(Ok(Stream::from(UnixStream::from(socket)).into())),
        Err(rustix::io::Errno::AGAIN) => None,
        Err(error) => Some(Err(error.into())),
    }
}
