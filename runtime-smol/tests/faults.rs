//! What breaks before and behind `swarmd`.

libswarm_conformance::faults_tests!(env!("CARGO_BIN_EXE_swarmd"));
