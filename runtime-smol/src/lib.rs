//! The smol runtime of libswarm: a [`Node`](libswarm::Node) on one task.
//!
//! The task owns the node, its sockets, and an edge-triggered epoll in which each socket is registered once; smol sees
//! a single source of events, that epoll. So there is no lock, no task and no buffer for each connection, and an idle
//! connection costs what its socket costs. Where one change is told to hundreds, other threads help with the writing. It runs on Linux; elsewhere `libswarm-std` does.
//!
//! [`discovery`] is how a program finds other services and is found.
//!
//! [`main`] is the whole daemon with its command line, [`serve`] is for a program that gives a thread to it, and [`run`] for
//! one that has an executor of its own:
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
//!     Ok(smol::block_on(libswarm_smol::run(server))?)
//! }
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("libswarm-smol needs Linux's epoll; libswarm-std has the same daemon on any Unix");

mod crowd;
pub mod discovery;
mod driver;
mod epoll;
mod socket;
mod splice;

use std::io;
use std::process::ExitCode;

use libswarm::backend::Registry;
use libswarm_host::Server;

use driver::{Driver, Waits};

pub use libswarm_host as host;

/// Runs a server until it is [stopped](libswarm_host::Stopper::stop) and its last connection has ended, as a task among
/// others.
///
/// # Errors
///
/// The operating system refuses an epoll, or waiting for it fails; or a file that a backend wants kept cannot be written. What goes wrong with single connections ends these.
pub async fn run(server: Server) -> io::Result<()> {
    Driver::new(server, Waits::Reactor)?.run().await
}

/// As [`run`], with this thread to itself: it waits for its sockets without smol's reactor between, which shows where
/// requests come one at a time (some 10 % more of them a second).
///
/// # Errors
///
/// As [`run`].
pub fn serve(server: Server) -> io::Result<()> {
    smol::block_on(Driver::new(server, Waits::Thread)?.run())
}

/// The whole of `discoverd`: its command line, and this runtime.
pub fn discoverd() -> ExitCode {
    libswarm_host::discoverd("smol", serve)
}

/// The whole of `swarmd`: its command line, with the backends of `registry`, and this runtime.
pub fn main(registry: Registry) -> ExitCode {
    libswarm_host::daemon("smol", registry, serve)
}
