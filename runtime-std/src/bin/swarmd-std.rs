//! The Docker endpoint, on threads.

use std::process::ExitCode;

use libswarm::backend::Registry;

fn main() -> ExitCode {
    libswarm_std::main(Registry::standard())
}
