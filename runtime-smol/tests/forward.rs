//! Real engines behind `swarmd`.

libswarm_conformance::forwarding_tests!(env!("CARGO_BIN_EXE_swarmd"));
