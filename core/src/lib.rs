//! Compose network services from parts that do no I/O: the Docker Engine API, a job engine, backends that answer it, and
//! service discovery.
//!
//! ```text
//!             bytes                    heads, bodies              jobs
//!  socket ──────────► http1::Server ──────────► docker::routes ──────────► job::Engine ──► job::Backend
//!  socket ◄────────── http1::Server ◄────────── docker's replies ◄──────── stdout, status ◄─────┘
//!  socket ──────────► rpc::Server ────────────► discovery::Agent ────────► discovery::Store
//!  datagram ────────► discovery::dns ─────────────────────────────────────► discovery::Registry
//!                     └───────────────────── Node: ids, buffers, credit, timers ──────────────────┘
//! ```
//!
//! A [`Node`] is the one machine that a program drives. It has no socket, clock, thread or file to reach, which the
//! compiler proves: the crate is `no_std`. Time comes in as a value, bytes as slices, randomness as a seed; the same
//! inputs give the same outputs. Each machine inside it can be used alone: [`http1`] reads and writes HTTP/1.1,
//! [`docker::routes`] is the Docker API as a table, [`job`] runs jobs, [`rpc`] and [`discovery`] let services find each
//! other.
//!
//! Most programs want a runtime: `libswarm-std` has one with threads and `libswarm-smol` one on smol, each with the
//! daemon `swarmd` on top. A program with an event loop of its own drives the node itself:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//!
//! use libswarm::backend::Registry;
//! use libswarm::job::Engine;
//! use libswarm::node::{Action, Config, Input, Node};
//! use libswarm::Instant;
//!
//! /// Answers one client, blocking, until it has closed.
//! fn serve(node: &mut Node, mut stream: TcpStream) -> std::io::Result<()> {
//!     let start = std::time::Instant::now();
//!     let client = node.accept(Instant::ZERO).expect("this node has room");
//!     let (mut buffer, mut out, mut may_read) = ([0; 4096], Vec::new(), false);
//!     loop {
//!         while let Some(action) = { out.clear(); node.poll(&mut out) } {
//!             let now = Instant::new(start.elapsed());
//!             match action {
//!                 Action::Read(_) => may_read = true,
//!                 Action::Write { .. } => {
//!                     stream.write_all(&out)?;
//!                     node.handle(now, Input::Done(client));
//!                 }
//!                 Action::Shutdown(_) => {
//!                     stream.shutdown(std::net::Shutdown::Write)?;
//!                     node.handle(now, Input::Done(client));
//!                 }
//!                 Action::Close { .. } => return Ok(()),
//!                 _ => {}
//!             }
//!         }
//!         assert!(std::mem::take(&mut may_read), "this client's jobs need no timers");
//!         let length = stream.read(&mut buffer)?;
//!         let input = match length {
//!             0 => Input::PeerShutdown(client),
//!             length => Input::Received(client, &buffer[..length]),
//!         };
//!         node.handle(Instant::new(start.elapsed()), input);
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let (name, simulator) = Registry::standard().make("simulator web db").unwrap();
//! let mut engine = Engine::new(42);
//! engine.push(name, simulator);
//! let mut node = Node::new(Config::default(), engine);
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut client = TcpStream::connect(listener.local_addr()?)?;
//! client.write_all(b"GET /containers/json HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
//! client.shutdown(std::net::Shutdown::Write)?;
//! serve(&mut node, listener.accept()?.0)?;
//!
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.contains("\"/web\"") && answer.contains("\"/db\""));
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod backend;
pub mod discovery;
pub mod docker;
pub mod http1;
mod id;
pub mod job;
pub mod node;
pub mod rpc;
mod time;
mod timers;
pub mod words;

pub use id::{CallId, ConnId, JobId};
pub use node::Node;
pub use time::Instant;
