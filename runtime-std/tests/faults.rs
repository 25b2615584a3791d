//! What breaks before and behind `swarmd-std`.

libswarm_conformance::faults_tests!(env!("CARGO_BIN_EXE_swarmd-std"));
