//! The simulator beside what was recorded from a real engine.

libswarm_conformance::imitation_tests!(env!("CARGO_BIN_EXE_swarmd"));
