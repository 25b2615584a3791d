//! One view through every door of `discoverd-std`.

libswarm_conformance::views_tests!(env!("CARGO_BIN_EXE_discoverd-std"));
