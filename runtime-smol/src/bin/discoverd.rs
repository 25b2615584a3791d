//! Discovery, on smol.

use std::process::ExitCode;

fn main() -> ExitCode {
    libswarm_smol::discoverd()
}
