//! What clients see when something breaks, and that nothing of it is left.
//!
//! Each row of the table is done a hundred times over unix sockets, over TCP and with TLS, with an engine that follows a
//! script; an answer that breaks off must never look like one that ends, and then the daemon has to hold what it held before.

mod bench;
mod clients;
mod engines;
mod ssh;
mod stalled;
mod unreachable;

pub use clients::{client_killed, client_resets, half_closed_client_killed};
pub use engines::{engine_killed, engine_resets, garbage};
pub use ssh::{broken_ssh, late_ssh, ssh_breaks_off};
pub use stalled::stalled_streams;
pub use unreachable::{refused, silent_handshakes, unreachable, untrusted};

pub(crate) use bench::tls_engine;

/// Makes the tests of what breaks, for the binary at that path.
#[macro_export]
macro_rules! faults_tests {
    ($binary:expr) => {
        $crate::suites!(faults, std::path::Path::new($binary);
            engine_killed engine_resets garbage client_killed client_resets
            half_closed_client_killed refused unreachable
            untrusted silent_handshakes broken_ssh late_ssh ssh_breaks_off
            stalled_streams);
    };
}
