//! What must hold of a Docker endpoint, held against real daemons and real clients.
//!
//! The suites here know no runtime: each runtime's own tests name its binary and its `run`, and all suites run against
//! both.
//!
//! - [`daemon`] starts a `swarmd` and looks at its command line, its sockets, its signals;
//! - [`serving`] speaks HTTP to a running one as clients do that are slow, silent or many;
//! - [`live`] points the docker command at one;
//! - [`encryption`] speaks TLS with one, as docker's commands and others do;
//! - [`faults`] puts one between clients and engines that break off;
//! - [`discovery`] speaks to a `discoverd`, in Python and with its own commands;
//! - [`etcd`] puts one on a real etcd, and troubles that; [`zookeeper`] does the same with a real `ZooKeeper`;
//! - [`real_store`] holds the stores to their suite on a real etcd and a real `ZooKeeper`;
//! - [`clients`] is a program that asks one, with the library's own client;
//! - [`forwarding`] puts one before a real [`engine`], and compares what clients see with what they see without it.
//!
//! What real clients and a real engine say to each other is recorded once and held against anything:
//!
//! - [`session`] is the file that a recording is;
//! - [`record`](mod@record) makes one, [`show`](mod@show) prints one, [`wire`] takes one apart;
//! - [`replay`] plays one in memory through forward, with both of its sides;
//! - [`play`] plays one against a [`target`]: an engine behind a socket, a node in memory;
//! - [`suite`] plays the shipped ones, and reports.
//!
//! And without recordings, [`world`] plays thousands of small seeded worlds against a node.

mod cli;
pub mod client;
pub mod clients;
pub mod daemon;
pub mod discovery;
pub mod dns;
pub mod doors;
pub mod encryption;
pub mod engine;
pub mod etcd;
pub mod faults;
pub mod forwarding;
pub mod imitation;
pub mod keys;
pub mod live;
pub mod loopback;
pub mod play;
pub mod random;
pub mod real_store;
pub mod record;
pub mod replay;
pub mod secured;
pub mod serving;
pub mod session;
pub mod show;
pub mod suite;
pub mod target;
pub mod views;
pub mod wire;
pub mod world;
pub mod zookeeper;

pub use cli::main;
