//! The docker command against `swarmd-std`.

libswarm_conformance::live_tests!(env!("CARGO_BIN_EXE_swarmd-std"));
