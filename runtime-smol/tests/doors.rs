//! Every door of `discoverd`.

libswarm_conformance::doors_tests!(env!("CARGO_BIN_EXE_discoverd"));
