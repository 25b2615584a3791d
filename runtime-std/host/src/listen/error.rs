//! Why an address cannot be listened on.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use libswarm::address::Address;

/// Why an address cannot be listened on, in words for the person who gave it.
#[derive(Debug)]
pub struct ListenError {
    address: Address,
    problem: Problem,
}

#[derive(Debug)]
pub(super) enum Problem {
    Resolve(io::Error),
    NoAddresses,
    Bind(SocketAddr, io::Error),
    Taken(Occupant),
    Contended(PathBuf),
    TooLong(usize),
    NoDirectory(PathBuf),
    Denied(PathBuf),
    Group(u32, io::Error),
    Other(io::Error),
}

/// What is at the path of a unix socket and is not ours to remove.
#[derive(Debug)]
pub(super) enum Occupant {
    Live,
    Untold(io::Error),
    Fixed(io::Error),
    File,
    Directory,
    Link,
    Special,
}

impl ListenError {
    pub(super) const fn new(address: Address, problem: Problem) -> Self {
        Self { address, problem }
    }

    /// The address as it was asked for.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address)?;
        match &self.problem {
            Problem::Resolve(error) => {
                write!(f, "the name cannot be resolved: {error}: check it, or give an IP address")
            }
            Problem::NoAddresses => f.write_str("the name has no addresses: give an IP address"),
            Problem::Bind(socket, error) => match error.kind() {
                io::ErrorKind::AddrInUse => write!(
                    f,
                    "{socket} is in use already: stop what listens there, or choose another port \
                     (0 picks a free one)"
                ),
                io::ErrorKind::AddrNotAvailable => write!(
                    f,
                    "{} is no address of this machine: give one of its own, or none for all \
                     (tcp://:{})",
                    socket.ip(),
                    socket.port()
                ),
                io::ErrorKind::PermissionDenied => write!(
                    f,
                    "port {} is for privileged processes ({error}): choose one from 1024 on",
                    socket.port()
                ),
                _ => write!(f, "{socket}: {error}"),
            },
            Problem::Taken(occupant) => match occupant {
                Occupant::Live => f.write_str(
                    "another process listens there: stop that one, or choose another path",
                ),
                Occupant::Untold(error) => write!(
                    f,
                    "a socket is there, and whether it is in use cannot be told ({error}): remove \
                     it if it is not, or choose another path"
                ),
                Occupant::Fixed(error) => write!(
                    f,
                    "a socket that nobody listens on is there and cannot be removed ({error}): \
                     remove it as its owner, or choose another path"
                ),
                Occupant::File => f.write_str("a file is there: remove it, or choose another path"),
                Occupant::Directory => {
                    f.write_str("a directory is there: give the path of a file that is not there")
                }
                Occupant::Link => {
                    f.write_str("a symbolic link is there: remove it, or choose another path")
                }
                Occupant::Special => {
                    f.write_str("something that is no socket is there: choose another path")
                }
            },
            Problem::Contended(directory) => write!(
                f,
                "a socket that nobody listens on is there, but {} cannot be locked to take it over: \
                 is another daemon starting? Try again, or remove the socket",
                directory.display()
            ),
            Problem::TooLong(length) => write!(
                f,
                "the path is {length} bytes long, which is more than the system allows for a socket \
                 (107 on Linux): choose a shorter one, perhaps a relative one"
            ),
            Problem::NoDirectory(directory) => {
                write!(f, "there is no directory {}: create it", directory.display())
            }
            Problem::Denied(directory) => write!(
                f,
                "you may not create a socket in {}: choose another directory, or run as a user who \
                 may",
                directory.display()
            ),
            Problem::Group(group, error) => write!(
                f,
                "the socket cannot be given to group {group}: {error}: name a group that you are \
                 in, or run as root"
            ),
            Problem::Other(error) => write!(f, "{error}"),
        }
    }
}

impl Error for ListenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Resolve(error)
            | Problem::Bind(_, error)
            | Problem::Taken(Occupant::Untold(error) | Occupant::Fixed(error))
            | Problem::Group(_, error)
            | Problem::Other(error) => Some(error),
            Problem::NoAddresses
            | Problem::Taken(_)
            | Problem::Contended(_)
            | Problem::TooLong(_)
            | Problem::NoDirectory(_)
            | Problem::Denied(_) => None,
        }
    }
}
