//! The Docker endpoint, on smol.

use std::process::ExitCode;

use libswarm::backend::Registry;

fn main() -> ExitCode {
    libswarm_smol::main(Registry::standard())
}
