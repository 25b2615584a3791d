//! A real engine behind `forward`: whatever a client does through it has the same result as at the engine itself.
//!
//! Each suite has an engine of its own, so that they can run at once and none finds what another one left.

mod commands;
mod gigabytes;
mod normal;
mod podman;
mod programs;
mod remote;

pub use commands::{commands, simulated};
pub use gigabytes::gigabytes;
pub use podman::podman;
pub use programs::{
    compose, compose_simulated, docker_py, docker_py_simulated, dockerode, dockerode_simulated,
};
pub use remote::{ssh, tls};

/// Makes the tests of forward, for the binary at that path.
#[macro_export]
macro_rules! forwarding_tests {
    ($binary:expr) => {
        $crate::suites!(forwarding, std::path::Path::new($binary);
            commands docker_py dockerode compose podman gigabytes tls ssh);
    };
}

/// Makes the tests that hold the simulator against a real engine, for the binary at that path.
#[macro_export]
macro_rules! simulated_tests {
    ($binary:expr) => {
        $crate::suites!(forwarding, std::path::Path::new($binary);
            simulated docker_py_simulated dockerode_simulated compose_simulated);
    };
}
