//! The simulator beside a real engine.

libswarm_conformance::simulated_tests!(env!("CARGO_BIN_EXE_swarmd"));
