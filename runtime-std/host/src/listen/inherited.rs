//! `fd://`: sockets that systemd has opened (socket activation, `sd_listen_fds(3)`).

use std::env;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use libswarm::address::Address;
use listenfd::ListenFd;
use rustix::net::sockopt;

use super::{Listener, Setup, Socket};

/// The sockets that this process was started with, each of which can be taken once.
pub(crate) struct Inherited {
    sockets: ListenFd,
    /// `LISTEN_FDNAMES`, one for each.
    names: Vec<String>,
}

/// The number of the first one.
const FIRST: usize = 3;

impl Inherited {
    /// Those of the environment, which is asked once: what this process starts is not to take them for its own.
    pub(crate) fn from_environment() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { sockets: ListenFd::from_env(), names: names.split(':').map(str::to_owned).collect() }
    }

    /// Takes those of that name or number, or all where `wanted` is empty.
    pub(crate) fn take(
        &mut self,
        wanted: &str,
        setup: &Setup,
    ) -> Result<Vec<Listener>, InheritError> {
        let fail = |problem| InheritError { wanted: wanted.to_owned(), problem };
        if self.sockets.len() == 0 {
            return Err(fail(Problem::None));
        }
        let is_meant = |index: usize| {
            wanted.is_empty()
                || self.names.get(index).is_some_and(|name| name == wanted)
                || wanted.parse() == Ok(FIRST + index)
        };
        let meant: Vec<usize> = (0..self.sockets.len()).filter(|index| is_meant(*index)).collect();
        let mut listeners = Vec::new();
        for index in meant {
            let listener = self
                .listener(index, setup)
                .map_err(|error| fail(Problem::Unusable(FIRST + index, error)))?;
            listeners.extend(listener);
        }
        if listeners.is_empty() {
            let problem = if wanted.is_empty() { Problem::Taken } else { self.unknown() };
            return Err(fail(problem));
        }
        Ok(listeners)
    }

    fn unknown(&self) -> Problem {
        let names = self.names.iter().filter(|name| !name.is_empty());
        Problem::Unknown(names.map(String::as_str).collect::<Vec<_>>().join(", "))
    }

    fn listener(&mut self, index: usize, setup: &Setup) -> io::Result<Option<Listener>> {
        if let Ok(unix) = self.sockets.take_unix_listener(index) {
            let Some(unix) = unix else { return Ok(None) };
            listens(&unix)?;
            let path = unix.local_addr()?.as_pathname().map(|path| path.display().to_string());
            // Its file belongs to whoever made it.
            return Ok(Some(Listener {
                address: Address::Unix { path: path.unwrap_or_else(|| String::from("(no path)")) },
                socket: Socket::Unix(unix),
                file: None,
                tls: None,
                serves: setup.serves,
            }));
        }
        let Some(tcp) = self.sockets.take_tcp_listener(index)? else { return Ok(None) };
        listens(&tcp)?;
        let address = tcp.local_addr()?;
        let mut listener = Listener::tcp(address, tcp);
        listener.tls.clone_from(&setup.tls);
        Ok(Some(listener))
    }
}

/// With `Accept=yes` systemd passes connections, which nothing can be accepted from.
fn listens(socket: &impl AsFd) -> io::Result<()> {
    match sockopt::socket_acceptconn(socket) {
        Ok(false) => {
            Err(io::Error::other("it does not listen: its .socket unit has to say Accept=no"))
        }
        // Not every system can tell.
        _ => Ok(()),
    }
}

/// Why sockets that were to be inherited cannot be listened on.
#[derive(Debug)]
pub struct InheritError {
    wanted: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    None,
    Taken,
    Unknown(String),
    Unusable(usize, io::Error),
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on fd://{}: ", self.wanted)?;
        match &self.problem {
            Problem::None => f.write_str(
                "no sockets were passed to this process (LISTEN_FDS and LISTEN_PID say so): start \
                 it by a systemd .socket unit, or choose another address",
            ),
            Problem::Taken => f.write_str("all sockets are taken by other addresses: leave it out"),
            Problem::Unknown(names) if names.is_empty() => {
                f.write_str("there is none of that name or number left, and none has a name")
            }
            Problem::Unknown(names) => {
                write!(f, "there is none of that name or number left: use one of {names}")
            }
            Problem::Unusable(number, error) => {
                write!(f, "{number} is no socket that listens on TCP or unix: {error}")
            }
        }
    }
}

impl std::error::Error for InheritError {}
