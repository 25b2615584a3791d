//! The simulator beside a real engine, and beside what was recorded from one.

libswarm_conformance::simulated_tests!(env!("CARGO_BIN_EXE_swarmd"));
libswarm_conformance::imitation_tests!(env!("CARGO_BIN_EXE_swarmd"));
