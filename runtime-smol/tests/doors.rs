//! `discoverd` as curl and a browser find it.

libswarm_conformance::doors_tests!(env!("CARGO_BIN_EXE_discoverd"));
