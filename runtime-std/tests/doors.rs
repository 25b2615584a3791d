//! Every door of `discoverd-std`.

libswarm_conformance::doors_tests!(env!("CARGO_BIN_EXE_discoverd-std"));
