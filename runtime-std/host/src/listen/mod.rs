//! Frontends: from an address to sockets that listen.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use libswarm::address::Address;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::stream::{Stream, Transport};
use crate::tls::Frontend;

mod datagrams;
mod error;
mod inherited;
mod tcp;
mod unix;

pub use datagrams::{DatagramSocket, Inbox, Outbox};
pub use error::ListenError;
use error::Problem;
pub use inherited::InheritError;
pub(crate) use inherited::Inherited;
pub(crate) use unix::SocketFile;

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// A socket that listens. Dropping it closes it; a unix socket's file is removed with it if the path still leads to it.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Socket,
    file: Option<Arc<SocketFile>>,
    tls: Option<Frontend>,
    serves: Serves,
}

/// What clients come to a listener for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Serves {
    /// The Docker API.
    #[default]
    Docker,
    /// The RPC of discovery.
    Discovery,
    /// DNS, from the registry of discovery.
    Dns,
}

/// A peer that is gone without a word is noticed after three of these in a row.
const PROBE: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;
/// An idle connection is looked after that often.
const IDLE: Duration = Duration::from_secs(30);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens on an address: on one socket, or, for a name and for all interfaces, on one for each address that it stands for.
/// Those of them that the machine does not have (the IPv6 half of `localhost` where there is no IPv6) are left out as long
/// as one is there. With port 0 they share one port unless no free one can be found.
///
/// A unix socket is for its owner and its group (mode 0660) from the moment it exists. One that was left by a process that
/// is no more is taken over; anything else at its path is an error and is left alone.
///
/// # Errors
///
/// Nothing of that address can be listened on; the error's [`Display`](std::fmt::Display) says why and what to do.
pub fn listen(address: &Address) -> Result<Vec<Listener>, ListenError> {
    listen_with(address, &Setup::default())
}

/// What frontends have in common.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// The TLS of those with TCP.
    pub(crate) tls: Option<Frontend>,
    /// The group of unix sockets' files.
    pub(crate) group: Option<u32>,
    pub(crate) serves: Serves,
}

/// As [`listen`].
pub(crate) fn listen_with(address: &Address, setup: &Setup) -> Result<Vec<Listener>, ListenError> {
    let listeners = match address {
        Address::Tcp { host, port } => tcp::listen(host, *port).map(|sockets| {
            sockets
                .into_iter()
                .map(|(address, socket)| {
                    let mut listener = Listener::tcp(address, socket);
                    listener.serves = setup.serves;
                    if setup.serves == Serves::Docker {
                        listener.tls.clone_from(&setup.tls);
                    }
                    listener
                })
                .collect()
        }),
        Address::Unix { path } => unix::listen(path, setup.group).map(|(socket, file)| {
            vec![Listener {
                address: address.clone(),
                socket: Socket::Unix(socket),
                file: Some(Arc::new(file)),
                tls: None,
                serves: setup.serves,
            }]
        }),
    };
    listeners.map_err(|problem| ListenError::new(address.clone(), problem))
}

/// Listens for DNS: on sockets for connections, and on one for datagrams beside each, of the same address.
pub(crate) fn listen_dns(
    address: &Address,
) -> Result<(Vec<Listener>, Vec<DatagramSocket>), ListenError> {
    let setup = Setup { serves: Serves::Dns, ..Setup::default() };
    let any_port = matches!(address, Address::Tcp { port: 0, .. });
    let mut attempts = if any_port { tcp::ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let listeners = listen_with(address, &setup)?;
        let bound = listeners.iter().filter_map(Listener::socket_address);
        let bound = bound.map(|at| DatagramSocket::bind(at).map_err(|error| (at, error)));
        match bound.collect::<Result<Vec<DatagramSocket>, _>>() {
            Ok(sockets) => {
                if sockets.iter().any(|socket| socket.address().ip().is_unspecified()) {
                    log::warn!(
                        "DNS on all interfaces answers from the address that the system picks, and clients that asked at \
                         another one do not take that: where there are several, name each address"
                    );
                }
                return Ok((listeners, sockets));
            }
            // The port is free for connections only.
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err((at, error)) => {
                return Err(ListenError::new(address.clone(), Problem::Bind(at, error)));
            }
        }
    }
}

impl Listener {
    /// Where it listens, if that is on TCP.
    pub(crate) fn socket_address(&self) -> Option<std::net::SocketAddr> {
        match &self.socket {
            // A socket that listens knows its address.
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    fn tcp(address: std::net::SocketAddr, socket: TcpListener) -> Self {
        // Displayed whole, an IPv6 address keeps its zone.
        let host = match address {
            std::net::SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                format!("{}%{}", v6.ip(), v6.scope_id())
            }
            _ => address.ip().to_string(),
        };
        Self {
            address: Address::Tcp { host, port: address.port() },
            socket: Socket::Tcp(socket),
            file: None,
            tls: None,
            serves: Serves::Docker,
        }
    }

    /// What its clients want.
    #[must_use]
    pub const fn serves(&self) -> Serves {
        self.serves
    }

    /// Accepts one connection, waiting for it unless [`set_nonblocking`](Self::set_nonblocking) says otherwise.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)`. None of them is a reason to stop listening: some are of the connection alone, and the others
    /// (too many open files, no memory) pass, so wait a little before the next try.
    pub fn accept(&self) -> io::Result<Transport> {
        let stream = match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Fails only if the peer has gone already, which the next read tells.
                let _ = stream.set_nodelay(true);
                if self.serves == Serves::Discovery {
                    // Their streams are idle for days, and nobody else would miss a peer.
                    let _ = keep_alive(&stream);
                }
                Stream::Tcp(stream)
            }
            Socket::Unix(listener) => Stream::Unix(listener.accept()?.0),
        };
        let tls = match &self.tls {
            None => None,
            Some(tls) => Some(Box::new(tls.session().map_err(io::Error::other)?)),
        };
        Ok(Transport { stream, tls })
    }

    /// Whether it speaks TLS, and only with clients that prove who they are.
    pub(crate) fn verifies(&self) -> bool {
        self.tls.as_ref().is_some_and(Frontend::verifies)
    }

    /// Whether it speaks TLS.
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Where it listens: the IP address and the port that were picked, or the path as it was given.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Makes [`accept`](Self::accept) fail with [`WouldBlock`](io::ErrorKind::WouldBlock) rather than wait, or wait again.
    ///
    /// # Errors
    ///
    /// Those of the operating system; it knows none for a socket.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(listener) => listener.set_nonblocking(nonblocking),
            Socket::Unix(listener) => listener.set_nonblocking(nonblocking),
        }
    }

    /// Whether other machines can connect.
    pub(crate) fn is_open_to_others(&self) -> bool {
        match &self.socket {
            // A socket that listens knows its address.
            Socket::Tcp(listener) => listener.local_addr().is_ok_and(|address| open(address.ip())),
            Socket::Unix(_) => false,
        }
    }

    /// The file of a unix socket, for whoever has to end the process without dropping this.
    pub(crate) fn file(&self) -> Option<Weak<SocketFile>> {
        self.file.as_ref().map(Arc::downgrade)
    }
}

/// Has the system look after a peer.
pub(crate) fn keep_alive(stream: &std::net::TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, IDLE)?;
    sockopt::set_tcp_keepintvl(stream, PROBE)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    // Without this one that has something to read would be waited for much longer than one that has not.
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, ((IDLE + PROBE * PROBES).as_millis()) as u32)?;
    Ok(())
}

fn open(address: std::net::IpAddr) -> bool {
    !address.to_canonical().is_loopback()
}

impl std::fmt::Display for Listener {
    /// Its [address](Listener::address), as a frontend of what it serves.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.address.to_string();
        match address.strip_prefix("tcp://") {
            Some(rest) if self.serves == Serves::Discovery => write!(f, "discoverd://{rest}"),
            Some(rest) if self.serves == Serves::Dns => write!(f, "dns://{rest}"),
            _ => f.write_str(&address),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // While the socket is open its inode cannot be that of another file, so the file goes first.
        if let Some(file) = &self.file
            && let Err(error) = file.remove()
        {
            log::warn!("{} could not be removed: {error}", self.address);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

/// A stream socket that no child process inherits.
fn stream_socket(family: AddressFamily, flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    socket_with(family, SocketType::STREAM, flags)
}

/// A socket that no child process inherits.
fn socket(family: AddressFamily, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    socket_with(family, kind, SocketFlags::empty())
}

fn socket_with(
    family: AddressFamily,
    kind: SocketType,
    flags: SocketFlags,
) -> rustix::io::Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    {
        rustix::net::socket_with(family, kind, flags | SocketFlags::CLOEXEC, None)
    }
    #[cfg(target_vendor = "apple")]
    {
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        Ok(socket)
    }
}

/// Whether [`Listener::accept`] failed for the connection that was to be accepted, so that the next may do better at once.
/// Other failures (too many open files, no memory) want a pause.
#[must_use]
pub fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_not_open_to_other_machines() {
        for (ip, expected) in [
            ("127.0.0.1", false),
            ("127.1.2.3", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("0.0.0.0", true),
            ("::", true),
            ("192.168.1.1", true),
            ("::ffff:10.0.0.1", true),
            ("fe80::1", true),
        ] {
            assert_eq!(open(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn clients_of_discovery_are_looked_after() {
        for (serves, expected) in [(Serves::Docker, false), (Serves::Discovery, true)] {
            let setup = Setup { serves, ..Setup::default() };
            let address = "tcp://127.0.0.1:0".parse().unwrap();
            let listener = listen_with(&address, &setup).unwrap().remove(0);
            let Address::Tcp { port, .. } = *listener.address() else { panic!("{listener}") };
            let _client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            let stream = listener.accept().unwrap().stream;
            assert_eq!(sockopt::socket_keepalive(&stream), Ok(expected));
            if expected {
                assert_eq!(listener.to_string(), format!("discoverd://127.0.0.1:{port}"));
                assert_eq!(sockopt::tcp_keepidle(&stream), Ok(IDLE));
            }
        }
    }

    #[test]
    fn a_link_local_address_keeps_its_zone() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 2);
        let listener = Listener::tcp(address.into(), socket);
        assert_eq!(listener.address().to_string(), "tcp://[fe80::1%2]:80");
    }
}
