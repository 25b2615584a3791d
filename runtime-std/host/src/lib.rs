//! What both runtimes of libswarm share and needs std: the command line of `swarmd`, listening sockets, TLS, signals, logging,
//! the clock, and stopping.
//!
//! A runtime's binary hands its `run` function to [`daemon`], which does the rest:
//!
//! ```no_run
//! use libswarm::backend::Registry;
//! use libswarm_host::{Server, daemon};
//!
//! fn run(server: Server) -> std::io::Result<()> {
//!     // Accept on server.listeners, drive a node with server.engine, stop when server.stopped is readable.
//! #   drop(server);
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     daemon("threads", Registry::standard(), run)
//! }
//! ```
//!
//! A program that has no command line builds a [`Server`] itself, with [`ServerBuilder`].
#![forbid(unsafe_code)]

mod cli;
pub mod client;
mod clock;
mod connect;
mod daemon;
mod discovery;
mod duration;
mod files;
mod group;
mod listen;
mod logging;
mod server;
mod signals;
mod ssh;
mod stop;
mod stream;
mod tls;
mod wake;

pub use clock::Clock;
pub use connect::{connect, connect_now, connect_plain};
pub use daemon::daemon;
pub use discovery::{Discovery, JournalFiles, JournalWriter, discoverd};
pub use files::{FileError, save};
pub use listen::{
    DatagramSocket, Inbox, InheritError, ListenError, Listener, Outbox, Serves,
    concerns_one_connection, listen,
};
pub use logging::print_log;
pub use server::{BuildError, Server, ServerBuilder};
pub use ssh::{Obituary, Ssh};
pub use stop::{Stopped, Stopper, stopper};
pub use stream::{Peer, Stream, Transport};
pub use tls::{Certificates, Input, Session, TlsError};
pub use wake::Wake;
