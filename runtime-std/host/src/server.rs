//! What a runtime is given to run.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use libswarm::address::{Address, Remote, Tls};
use libswarm::backend::{Registry, RegistryError};
use libswarm::discovery::{Agent, dns};
use libswarm::job::{Engine, Upstream};
use libswarm::node::Config;

use crate::clock::Clock;
use crate::discovery::{Discovery, JournalFiles};
use crate::files::{self, FileError};
use crate::listen::{
    DatagramSocket, InheritError, Inherited, ListenError, Listener, Serves, Setup, listen_dns,
    listen_with,
};
use crate::stop::Stopped;
use crate::tls::{Certificates, TlsError};

/// What a runtime's `run` takes: everything a node needs, and where its connections come from.
pub struct Server {
    /// The frontends; they accept connections already, which wait until the runtime takes them.
    pub listeners: Vec<Listener>,
    /// For the node. Its epoch is that of [`clock`](Self::clock).
    pub config: Config,
    /// The backends, as a chain.
    pub engine: Engine,
    /// Where the node's time comes from.
    pub clock: Clock,
    /// For what randomness the node itself needs, from the operating system; the engine has its own.
    pub seed: u64,
    /// What answers clients of discovery, where there is a frontend for them: for
    /// [`Node::set_agent`](libswarm::Node::set_agent).
    pub agent: Option<Agent>,
    /// The files of the agent's store, if it has any: for a [`JournalWriter`](crate::JournalWriter).
    pub journal: Option<JournalFiles>,
    /// What answers DNS, where that is served: for [`Node::set_dns`](libswarm::Node::set_dns).
    pub dns: Option<dns::Server>,
    /// Its sockets for datagrams; the [`SocketId`](libswarm::discovery::dns::SocketId) of each is its place.
    pub datagrams: Vec<DatagramSocket>,
    /// The TLS of frontends and to upstreams.
    pub certificates: Certificates,
    /// Says when to stop.
    pub stopped: Stopped,
}

/// Makes a [`Server`] for a program that has no command line.
///
/// ```
/// use libswarm::backend::Registry;
/// use libswarm_host::{ServerBuilder, stopper};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stopper, stopped) = stopper()?;
/// let server = ServerBuilder::new(Registry::standard())
///     .listen("tcp://127.0.0.1:0".parse()?)
///     .backend("simulator")
///     .build(stopped)?;
/// println!("{}", server.listeners[0].address());
/// // Hand `server` to a runtime's `run` on one thread, call `stopper.stop()` on another.
/// # stopper.stop();
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ServerBuilder {
    registry: Registry,
    addresses: Vec<Address>,
    backends: Vec<String>,
    config: Config,
    tls: Option<Tls>,
    group: Option<u32>,
    inherited: Vec<String>,
    discovery_addresses: Vec<Address>,
    discovery: Discovery,
}

impl ServerBuilder {
    /// A server without frontends and backends; `registry` knows the backends there are.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            addresses: Vec::new(),
            backends: Vec::new(),
            config: Config::default(),
            tls: None,
            group: None,
            inherited: Vec::new(),
            discovery_addresses: Vec::new(),
            discovery: Discovery::default(),
        }
    }

    /// Adds a frontend.
    pub fn listen(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Adds sockets that systemd has opened for this process (`LISTEN_FDS`, `LISTEN_PID`): those of that name
    /// (`LISTEN_FDNAMES`) or number, or all of them if it is empty.
    pub fn listen_inherited(mut self, name: impl Into<String>) -> Self {
        self.inherited.push(name.into());
        self
    }

    /// Adds a frontend for clients of discovery. All of them have one store.
    pub fn listen_discovery(mut self, address: Address) -> Self {
        self.discovery_addresses.push(address);
        self
    }

    /// Says what the store of discovery is to be, and more of it. Without a frontend for its clients it has no effect.
    pub fn discovery(mut self, discovery: Discovery) -> Self {
        self.discovery = discovery;
        self
    }

    /// Adds a backend to the end of the chain: its name and its words, split as a POSIX shell does (`simulator web db`).
    pub fn backend(mut self, line: impl Into<String>) -> Self {
        self.backends.push(line.into());
        self
    }

    /// Replaces the node's configuration. Its epoch is set by [`build`](Self::build).
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Has all frontends with TCP speak TLS; with [`Tls::verify`] only to clients with a certificate of the authority's. Files
    /// that are not named are `ca.pem`, `cert.pem` and `key.pem` in `DOCKER_CERT_PATH`, else in `~/.docker`.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Gives the files of unix sockets to that group, whose members may then connect.
    pub fn group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }

    /// Makes the backends, reads their files and certificates, starts the clock and listens, in that order. `stopped` comes from [`stopper`](crate::stopper).
    ///
    /// # Errors
    ///
    /// A backend cannot be made or one of its files cannot be used, a certificate cannot be used, an address cannot be listened on, or the operating system has no
    /// random numbers.
    pub fn build(self, stopped: Stopped) -> Result<Server, BuildError> {
        let clock = Clock::start();
        let mut config = self.config;
        config.epoch = clock.epoch();
        let certificates = Certificates::new(self.tls).map_err(BuildError::Tls)?;
        let mut engine = Engine::new(random()?);
        engine.set_epoch(clock.epoch());
        for line in &self.backends {
            let (name, mut backend) = self.registry.make(line).map_err(BuildError::Backend)?;
            files::load(&mut *backend).map_err(BuildError::File)?;
            files::check(&*backend).map_err(BuildError::File)?;
            prepare(&certificates, &backend.upstreams())?;
            engine.push(name, backend);
        }
        let mut listeners = Vec::new();
        let (mut dns, mut datagrams) = (None, Vec::new());
        let (agent, journal) = if self.discovery_addresses.is_empty() {
            (None, None)
        } else {
            dns = self.discovery.dns(random()?).map_err(BuildError::Discovery)?;
            let opened =
                self.discovery.open(clock.now(), random()?).map_err(BuildError::Discovery)?;
            prepare(&certificates, &opened.upstreams)?;
            (Some(opened.agent), opened.journal)
        };
        let mut setup = Setup {
            tls: certificates.frontend().cloned(),
            group: self.group,
            serves: Serves::Docker,
        };
        for address in &self.addresses {
            listeners.append(&mut listen_with(address, &setup).map_err(BuildError::Listen)?);
        }
        if !self.inherited.is_empty() {
            let mut sockets = Inherited::from_environment();
            for name in &self.inherited {
                let mut taken = sockets.take(name, &setup).map_err(BuildError::Inherit)?;
                listeners.append(&mut taken);
            }
        }
        setup.serves = Serves::Discovery;
        for address in &self.discovery_addresses {
            listeners.append(&mut listen_with(address, &setup).map_err(BuildError::Listen)?);
        }
        for address in dns.iter().flat_map(|dns| &dns.addresses) {
            let (mut connections, mut sockets) = listen_dns(address).map_err(BuildError::Listen)?;
            listeners.append(&mut connections);
            datagrams.append(&mut sockets);
        }
        let dns = dns.map(|dns| dns.server);
        if let Some(dns) = &dns {
            not_to_itself(&dns.config().recursors, &datagrams)?;
        }
        let seed = random()?;
        Ok(Server {
            listeners,
            config,
            engine,
            clock,
            seed,
            agent,
            journal,
            dns,
            datagrams,
            certificates,
            stopped,
        })
    }
}

/// Refuses a recursor that is this server: each question would go round until there is no room for another.
fn not_to_itself(recursors: &[SocketAddr], own: &[DatagramSocket]) -> Result<(), BuildError> {
    let is_own = |recursor: &&SocketAddr| {
        own.iter().map(DatagramSocket::address).any(|own| {
            let ip = recursor.ip();
            own.port() == recursor.port()
                && (own.ip() == ip || own.ip().is_unspecified() && ip.is_loopback())
        })
    };
    match recursors.iter().find(is_own) {
        None => Ok(()),
        Some(recursor) => Err(BuildError::Discovery(format!(
            "--recursors {recursor} is this server itself: name another one"
        ))),
    }
}

/// Reads what connections to these need, so that what is wrong with it is known now.
fn prepare(certificates: &Certificates, upstreams: &[Arc<Upstream>]) -> Result<(), BuildError> {
    for upstream in upstreams {
        if let Remote::Tls { tls, .. } = &upstream.address {
            certificates.prepare(tls).map_err(BuildError::Tls)?;
        }
    }
    Ok(())
}

fn random() -> Result<u64, BuildError> {
    random_seed().map_err(BuildError::Random)
}

/// Chance, from the operating system.
pub(crate) fn random_seed() -> io::Result<u64> {
    getrandom::u64().map_err(Into::into)
}

/// Why a [`Server`] could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A backend is unknown or refuses its words.
    Backend(RegistryError),
    /// A file that a backend names cannot be read, or the backend refuses what is in it.
    File(FileError),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// There are no such sockets to inherit.
    Inherit(InheritError),
    /// A certificate, a key or what they are to be used with is wrong.
    Tls(TlsError),
    /// The store of discovery cannot be opened.
    Discovery(String),
    /// The operating system has no random numbers.
    Random(io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(error) => write!(f, "{error}"),
            Self::File(error) => write!(f, "{error}"),
            Self::Listen(error) => write!(f, "{error}"),
            Self::Inherit(error) => write!(f, "{error}"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::Discovery(error) => f.write_str(error),
            Self::Random(error) => {
                write!(f, "the operating system has no random numbers: {error}")
            }
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Backend(error) => error.source(),
            Self::File(error) => error.source(),
            Self::Listen(error) => error.source(),
            Self::Inherit(error) => error.source(),
            Self::Tls(error) => error.source(),
            Self::Discovery(_) => None,
            Self::Random(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stopper;
    use libswarm::job::Job;
    use std::time::Duration;

    fn builder() -> ServerBuilder {
        let mut registry = Registry::empty();
        registry.add("echo", "WORD...", "says its words", |words| {
            let words = words.join(" ");
            if words.is_empty() { Err("it needs a word".into()) } else { Ok(Box::new(Echo(words))) }
        });
        ServerBuilder::new(registry)
    }

    struct Echo(String);

    impl libswarm::job::Backend for Echo {
        fn handle(
            &mut self,
            cx: &mut libswarm::job::Cx<'_>,
            job: libswarm::JobId,
            event: libswarm::job::Event<'_>,
        ) {
            if let libswarm::job::Event::Start(asked) = event {
                if asked.name() == self.0 {
                    cx.reply(job, self.0.clone());
                } else {
                    cx.pass(job);
                }
            }
        }
    }

    #[test]
    fn builds_frontends_and_a_chain() {
        let (stopper, stopped) = stopper().unwrap();
        let mut config = Config::default();
        config.shutdown_timeout = Duration::from_secs(3);
        let mut server = builder()
            .listen("tcp://127.0.0.1:0".parse().unwrap())
            .listen("tcp://127.0.0.1:0".parse().unwrap())
            .backend("echo first")
            .backend("echo 'the second'")
            .config(config)
            .build(stopped)
            .unwrap();
        assert_eq!(server.listeners.len(), 2);
        assert_eq!(server.config.shutdown_timeout, Duration::from_secs(3));
        assert_eq!(server.config.epoch, server.clock.epoch());
        assert_eq!(server.engine.epoch(), server.clock.epoch());

        let id = server.engine.start(server.clock.now(), Job::new("the second"), 0);
        let output = server.engine.output(id).unwrap();
        assert_eq!(output.whole.as_deref(), Some(&b"the second"[..]));

        stopper.stop();
        assert!(server.stopped.is_stopped());
    }

    #[test]
    fn says_why_it_cannot_be_built() {
        for (line, message) in [
            ("nosuch", "there is no backend \"nosuch\": use one of echo"),
            ("", "no backend is named: use one of echo"),
            ("echo", "it needs a word; usage: echo WORD..."),
            ("echo 'x", "\"echo 'x\" ends inside a quote or behind a backslash: close the quote"),
        ] {
            let (_stopper, stopped) = stopper().unwrap();
            let error = builder().backend(line).build(stopped).err().unwrap();
            assert_eq!(error.to_string(), message);
        }
        let (_stopper, stopped) = stopper().unwrap();
        let address = Address::Unix { path: "/".into() };
        let error = builder().listen(address).build(stopped).err().unwrap();
        assert!(error.to_string().starts_with("cannot listen on unix:///: "));
    }
}
