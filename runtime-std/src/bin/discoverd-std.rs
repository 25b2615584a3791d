//! Discovery, on threads.

use std::process::ExitCode;

fn main() -> ExitCode {
    libswarm_std::discoverd()
}
