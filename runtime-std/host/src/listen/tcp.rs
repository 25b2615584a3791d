//! TCP: a name's addresses, each on its own socket, all on one port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use rustix::net::{AddressFamily, SocketFlags, sockopt};

use super::{BACKLOG, Problem, stream_socket};

/// How often a port that is free for one address may turn out to be taken for another before each gets its own.
pub(super) const ATTEMPTS: usize = 16;

type Bound = Vec<(SocketAddr, TcpListener)>;

pub(super) fn listen(host: &str, port: u16) -> Result<Bound, Problem> {
    let (addresses, scope) = resolve(host, port)?;
    bind_all(&addresses, scope).map_err(|(address, error)| Problem::Bind(address, error))
}

/// Whether every one of several addresses has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    All,
    Some,
}

fn resolve(host: &str, port: u16) -> Result<(Vec<SocketAddr>, Scope), Problem> {
    if host.is_empty() {
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
        return Ok((any.map(|ip| SocketAddr::new(ip, port)).to_vec(), Scope::Some));
    }
    if let Ok(ip) = host.parse() {
        return Ok((vec![SocketAddr::new(ip, port)], Scope::All));
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs().map_err(Problem::Resolve)? {
        // A hosts file may name the same one twice.
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Problem::NoAddresses);
    }
    Ok((addresses, Scope::Some))
}

fn bind_all(addresses: &[SocketAddr], scope: Scope) -> Result<Bound, (SocketAddr, io::Error)> {
    let any_port = addresses.iter().all(|address| address.port() == 0);
    if any_port && addresses.len() > 1 {
        for _ in 0..ATTEMPTS {
            match bind_each(addresses, scope, true) {
                Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse => {}
                settled => return settled,
            }
        }
    }
    bind_each(addresses, scope, false)
}

/// With `one_port`, those that may have any port get that of the first.
fn bind_each(
    addresses: &[SocketAddr],
    scope: Scope,
    one_port: bool,
) -> Result<Bound, (SocketAddr, io::Error)> {
    let mut bound = Bound::new();
    let mut missing = None;
    for &wanted in addresses {
        let mut address = wanted;
        if one_port && let Some((first, _)) = bound.first() {
            address.set_port(first.port());
        }
        match bind(address) {
            Ok(listener) => bound.push(listener),
            Err(error) if scope == Scope::Some && is_missing(&error) => {
                log::info!("not listening on {wanted}: {error}");
                missing = Some((wanted, error));
            }
            Err(error) => return Err((address, error)),
        }
    }
    match missing {
        Some(missing) if bound.is_empty() => Err(missing),
        _ => Ok(bound),
    }
}

/// The machine has no such address, or knows nothing of IPv6 at all.
fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

fn bind(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = stream_socket(family, SocketFlags::empty())?;
    // Connections of a daemon that has just stopped do not keep the next one from its port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // Otherwise [::] would take the IPv4 port, too, and 0.0.0.0 beside it would fail.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = TcpListener::from(socket);
    Ok((listener.local_addr()?, listener))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ListenError, Stream};
    use libswarm::address::Address;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn listen(address: &str) -> Result<Vec<crate::Listener>, ListenError> {
        crate::listen(&address.parse().unwrap())
    }

    fn port(address: &Address) -> u16 {
        match address {
            Address::Tcp { port, .. } => *port,
            Address::Unix { .. } => panic!("{address}"),
        }
    }

    #[test]
    fn port_0_picks_one_and_accepts() {
        let listeners = listen("tcp://127.0.0.1:0").unwrap();
        let [listener] = &listeners[..] else { panic!("{listeners:?}") };
        let port = port(listener.address());
        assert_ne!(port, 0);
        assert_eq!(listener.address().to_string(), format!("tcp://127.0.0.1:{port}"));

        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut server = listener.accept().unwrap().stream;
        assert_eq!(server.peer().to_string(), client.local_addr().unwrap().to_string());
        client.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"ping");
        let Stream::Tcp(server) = server else { panic!("{server:?}") };
        assert!(server.nodelay().unwrap());
    }

    #[test]
    fn sockets_are_not_inherited() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap().1;
        let flags = rustix::io::fcntl_getfd(&listener).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_name_s_addresses_share_one_port() {
        let listeners = listen("tcp://localhost:0").unwrap();
        let ports: Vec<u16> = listeners.iter().map(|listener| port(listener.address())).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
        let (resolved, scope) = resolve("localhost", 0).unwrap();
        assert_eq!(scope, Scope::Some);
        assert!(!listeners.is_empty() && listeners.len() <= resolved.len());
        assert!(listeners.iter().all(|listener| !listener.is_open_to_others()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn several_addresses_share_one_port_as_long_as_there_is_one() {
        let addresses = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(|a| a.parse().unwrap());
        let bound = bind_all(&addresses, Scope::All).unwrap();
        let port = bound[0].0.port();
        let expected = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|ip| format!("{ip}:{port}"));
        let addresses: Vec<String> = bound.iter().map(|(address, _)| address.to_string()).collect();
        assert_eq!(addresses, expected);

        // The same address twice can never share a port.
        let twice = ["127.0.0.1:0", "127.0.0.1:0"].map(|a| a.parse().unwrap());
        let bound = bind_all(&twice, Scope::All).unwrap();
        assert_ne!(bound[0].0.port(), bound[1].0.port());
    }

    #[test]
    fn an_address_that_is_not_here_is_left_out_unless_it_is_the_only_one() {
        // 192.0.2.0/24 is for documentation (RFC 5737).
        let addresses = ["192.0.2.1:0", "127.0.0.1:0"].map(|a| a.parse().unwrap());
        let bound = bind_all(&addresses, Scope::Some).unwrap();
        assert_eq!(bound.len(), 1);
        assert_eq!(bound[0].0.ip().to_string(), "127.0.0.1");
        assert_eq!(bind_all(&addresses, Scope::All).unwrap_err().0, addresses[0]);
        assert!(bind_all(&addresses[..1], Scope::Some).is_err());

        assert_eq!(
            listen("tcp://192.0.2.1:4242").unwrap_err().to_string(),
            "cannot listen on tcp://192.0.2.1:4242: 192.0.2.1 is no address of this machine: \
             give one of its own, or none for all (tcp://:4242)"
        );
    }

    #[test]
    fn a_port_in_use_is_named() {
        let listeners = listen("tcp://127.0.0.1:0").unwrap();
        let address = listeners[0].address().to_string();
        let socket = address.strip_prefix("tcp://").unwrap();
        assert_eq!(
            listen(&address).unwrap_err().to_string(),
            format!(
                "cannot listen on {address}: {socket} is in use already: stop what listens there, \
                 or choose another port (0 picks a free one)"
            )
        );
        let other = format!("tcp://localhost:{}", port(listeners[0].address()));
        assert!(listen(&other).unwrap_err().to_string().contains("is in use already"));
    }

    #[test]
    fn no_host_means_all_interfaces() {
        let listeners = listen("tcp://:0").unwrap();
        assert!(listeners.iter().all(crate::Listener::is_open_to_others));
        let port = port(listeners[0].address());
        assert_eq!(listeners[0].address().to_string(), format!("tcp://0.0.0.0:{port}"));
        if let Some(second) = listeners.get(1) {
            assert_eq!(second.address().to_string(), format!("tcp://[::]:{port}"));
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_named() {
        // RFC 6761 keeps .invalid from ever being a name.
        let error = listen("tcp://host.invalid:4242").unwrap_err().to_string();
        assert!(
            error.starts_with(
                "cannot listen on tcp://host.invalid:4242: the name cannot be resolved: "
            ),
            "{error}"
        );
    }

    #[test]
    fn ipv6_does_not_take_the_ipv4_port() {
        let Ok((address, _v6)) = bind("[::]:0".parse().unwrap()) else {
            assert!(!std::path::Path::new("/proc/net/if_inet6").exists(), "IPv6 is there");
            return;
        };
        let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        assert!(bind(v4).is_ok());
    }
}
