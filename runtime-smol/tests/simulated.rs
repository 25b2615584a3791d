//! The simulator beside what was recorded from a real engine, and beside one that runs.

libswarm_conformance::imitation_tests!(env!("CARGO_BIN_EXE_swarmd"));
libswarm_conformance::simulated_tests!(env!("CARGO_BIN_EXE_swarmd"));
