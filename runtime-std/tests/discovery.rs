//! Service discovery with `discoverd-std`.

libswarm_conformance::discovery_tests!(env!("CARGO_BIN_EXE_discoverd-std"));
