//! The command of the conformance suite.

fn main() -> std::process::ExitCode {
    libswarm_conformance::main()
}
