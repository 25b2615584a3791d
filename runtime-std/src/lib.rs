//! The threaded runtime of libswarm: a [`Node`](libswarm::Node) behind a lock, and a blocking thread for each
//! connection.
//!
//! A thread reads from its connection, tells the node, and then does itself whatever the node asks for, on whichever
//! connection; only a write that would have to wait gets a thread of its own. No system call is made under the lock. This is
//! the runtime with the lowest latency for a few connections, and it runs on any Unix; for thousands, `libswarm-smol` needs
//! less memory.
//!
//! [`discovery`] is how a program finds other services and is found.
//!
//! [`main`] is the whole daemon with its command line; [`run`] is for a program of one's own:
//!
//! ```no_run
//! use libswarm::backend::Registry;
//! use libswarm_host::{ServerBuilder, stopper};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let (stopper, stopped) = stopper()?;
//!     let server = ServerBuilder::new(Registry::standard())
//!         .listen("unix://docker.sock".parse()?)
//!         .backend("simulator web db")
//!         .build(stopped)?;
//!     std::thread::spawn(move || {
//!         std::thread::sleep(std::time::Duration::from_secs(60));
//!         stopper.stop();
//!     });
//!     Ok(libswarm_std::run(server)?)
//! }
//! ```

mod accept;
mod buffers;
mod connection;
mod datagrams;
pub mod discovery;
mod encrypted;
mod shared;
mod splice;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use libswarm::backend::Registry;
use libswarm_host::Server;

use shared::Shared;

pub use libswarm_host as host;

/// Runs a server until it is [stopped](libswarm_host::Stopper::stop) and its last connection has ended.
///
/// # Errors
///
/// The operating system refuses a thread for a frontend, or waiting fails; a file that a backend wants kept cannot be written;
/// or a backend has panicked, after which nothing can be said of the node's state. What goes wrong with single connections ends these.
pub fn run(server: Server) -> io::Result<()> {
    let Server { listeners, config, engine, clock, certificates, stopped, agent, .. } = server;
    let shared = Arc::new(Shared::new(config, engine, clock, certificates)?);
    if let Some(agent) = agent {
        shared.set_agent(agent, server.journal)?;
    }
    if let Some(dns) = server.dns {
        shared.set_dns(dns, server.datagrams);
    }
    let (closing, closed) = libswarm_host::stopper()?;
    let closed = Arc::new(closed);
    let mut acceptors = Vec::new();
    for listener in listeners {
        let (shared, closed) = (Arc::clone(&shared), Arc::clone(&closed));
        let name = format!("accept {}", listener.address());
        let thread = thread::Builder::new().name(name);
        acceptors.push(thread.spawn(move || accept::accept(&shared, &listener, &closed))?);
    }
    for nth in 0..shared.datagrams().len() {
        let (shared, closed) = (Arc::clone(&shared), Arc::clone(&closed));
        let name = format!("datagrams {}", shared.datagrams()[nth].address());
        let thread = thread::Builder::new().name(name);
        acceptors.push(thread.spawn(move || datagrams::receive(&shared, nth, &closed))?);
    }
    let result = shared.tend(&stopped, &closing);
    closing.stop();
    for acceptor in acceptors {
        // One that panicked has said so on stderr.
        let _ = acceptor.join();
    }
    result?;
    libswarm_host::save(shared.save()).map_err(io::Error::other)
}

/// The whole of `discoverd-std`: its command line, and this runtime.
pub fn discoverd() -> ExitCode {
    libswarm_host::discoverd("threads", run)
}

/// The whole of `swarmd-std`: its command line, with the backends of `registry`, and this runtime.
pub fn main(registry: Registry) -> ExitCode {
    libswarm_host::daemon("threads", registry, run)
}
