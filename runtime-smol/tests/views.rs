//! One view through every door of `discoverd`.

libswarm_conformance::views_tests!(env!("CARGO_BIN_EXE_discoverd"));
