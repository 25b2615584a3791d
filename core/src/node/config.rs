//! What a node is told when it is made.

use core::time::Duration;

use crate::{http1, rpc};

/// How a [`Node`](crate::Node) behaves; the defaults suit a Docker endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What a request may be at most.
    pub limits: http1::Limits,
    /// What a connection of a client of discovery may hold.
    pub rpc: rpc::Limits,
    /// How many connections may be open at once; further ones are refused. Default 16,384.
    pub max_connections: usize,
    /// From the first byte of a head to its end; then the client gets a 408. Default 60 s. A connection that is idle
    /// between two requests has no limit.
    pub head_timeout: Duration,
    /// How long ordinary requests and hijacked streams may go on after [`Input::Stop`](crate::node::Input::Stop). Default 10 s.
    pub shutdown_timeout: Duration,
    /// Whether the runtime knows [`Action::Splice`](crate::node::Action::Splice): then hijacked streams and long bodies of
    /// requests that are left to another server are not passed through the node. Default no.
    pub splice: bool,
    /// What time of day it is at [`Instant::ZERO`](crate::Instant::ZERO), as time since the Unix epoch.
    pub epoch: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: http1::Limits::default(),
            rpc: rpc::Limits::default(),
            max_connections: 16_384,
            head_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(10),
            splice: false,
            epoch: Duration::ZERO,
        }
    }
}
