//! Connecting to an upstream.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use libswarm::address::{Address, Remote};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::ssh;
use crate::stream::{Stream, Transport};
use crate::tls::{Certificates, Input, Session};

/// How long to wait before a unix socket whose backlog is full is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// What a read in a handshake may give: a whole record.
const READ: usize = 20 * 1024;

/// Connects, and waits until that has worked or failed, or `within` has passed. All addresses of a name are tried. A connection
/// with TLS is there when both sides have agreed.
///
/// # Errors
///
/// The name is unknown, nobody listens there, the other side is not to be trusted, there is no ssh command, or it takes too
/// long.
pub fn connect(
    to: &Remote,
    certificates: &Certificates,
    within: Duration,
) -> io::Result<Transport> {
    let now = Instant::now();
    // One that is too long to be reckoned with is as good as none.
    let deadline = now.checked_add(within.saturating_add(GRACE)).unwrap_or(now + LONGEST);
    match to {
        Remote::Socket(Address::Unix { .. }) => loop {
            match connect_now(to) {
                Some(connected) => {
                    let transport = connected?;
                    transport.stream.set_nonblocking(false)?;
                    return Ok(transport);
                }
                None => thread::sleep(left(deadline)?.min(PAUSE)),
            }
        },
        Remote::Datagram(to) => Ok(Stream::Datagram(datagrams_with(*to)?).into()),
        Remote::Socket(Address::Tcp { host, port }) => {
            Ok(Stream::from(tcp(host, *port, deadline)?).into())
        }
        Remote::Tls { host, port, tls } => {
            let host = if host.is_empty() { "localhost" } else { host };
            let mut session = certificates.session_to(host, tls)?;
            let stream = tcp(host, *port, deadline)?;
            shake_hands(&stream, &mut session, deadline)?;
            Ok(Transport { stream: stream.into(), tls: Some(Box::new(session)) })
        }
        Remote::Ssh { user, host, port } => {
            Ok(Stream::Ssh(ssh::connect(user.as_deref(), host, *port, deadline)?).into())
        }
    }
}

/// The node gives up first, and says so; this only ends the thread that waits.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// As [`connect`], for those who want the bare stream.
///
/// # Errors
///
/// As [`connect`]; or the address has TLS.
pub fn connect_plain(to: &Remote, within: Duration) -> io::Result<Stream> {
    if let Remote::Tls { .. } = to {
        let message = "TLS is not spoken here: let a swarmd that forwards to it stand between";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    connect(to, &Certificates::default(), within).map(|transport| transport.stream)
}

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What is left of the time.
pub(crate) fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long"));
    }
    Ok(left)
}

/// A fresh socket on a port that the system picks by chance, which takes datagrams from nobody else.
fn datagrams_with(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket)
}

fn tcp(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let host = if host.is_empty() { "localhost" } else { host };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn shake_hands(mut stream: &TcpStream, session: &mut Session, deadline: Instant) -> io::Result<()> {
    let (mut cipher, mut plain) = (vec![0; READ], Vec::new());
    loop {
        let left = left(deadline)?;
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

/// Connects if that needs no waiting, as to a unix socket whose backlog is not full, or for datagrams. `None`: it would have to wait.
#[must_use]
pub fn connect_now(to: &Remote) -> Option<io::Result<Transport>> {
    let path = match to {
        Remote::Socket(Address::Unix { path }) => path,
        Remote::Datagram(to) => {
            return Some(datagrams_with(*to).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(Stream::Datagram(socket).into())
            }));
        }
        _ => return None,
    };
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
