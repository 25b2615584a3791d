//! Connecting to an upstream.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libswarm::address::{Address, Remote};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::ssh;
use crate::stream::Stream;

/// The node gives up earlier; this only ends the thread that waits.
const LONGEST: Duration = Duration::from_secs(120);

/// Connects, and waits until that has worked or failed. All addresses of a name are tried.
///
/// # Errors
///
/// The name is unknown, nobody listens there, or there is no ssh command.
pub fn connect(to: &Remote) -> io::Result<Stream> {
    let address = match to {
        Remote::Socket(address) => address,
        Remote::Ssh { user, host, port } => {
            return ssh::connect(user.as_deref(), host, *port).map(Stream::Ssh);
        }
    };
    match address {
        Address::Unix { path } => Ok(Stream::Unix(UnixStream::connect(path)?)),
        Address::Tcp { host, port } => {
            let host = if host.is_empty() { "localhost" } else { host };
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in (host, *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, LONGEST) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(Stream::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

/// Connects if that needs no waiting, as to a unix socket whose backlog is not full. `None`: it would have to wait.
#[must_use]
pub fn connect_now(to: &Remote) -> Option<io::Result<Stream>> {
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
        Ok(socket) => Some(Ok(Stream::Unix(UnixStream::from(socket)))),
        Err(rustix::io::Errno::AGAIN) => None,
        Err(error) => Some(Err(error.into())),
    }
}
