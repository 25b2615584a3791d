//! Real engines behind `swarmd-std`.

libswarm_conformance::forwarding_tests!(env!("CARGO_BIN_EXE_swarmd-std"));
