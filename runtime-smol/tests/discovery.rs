//! Service discovery with `discoverd`.

libswarm_conformance::discovery_tests!(env!("CARGO_BIN_EXE_discoverd"));
