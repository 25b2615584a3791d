//! Another engine that a job can be handed to.

use core::time::Duration;

use crate::address::Remote;

/// A server of the Docker API, and how it is reached. Connections to one `Upstream` are shared by all that forward to an
/// equal one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Upstream {
    /// How it is reached.
    pub address: Remote,
    /// How long a connection may take to be there; then the client gets a 504.
    pub connect_timeout: Duration,
}
