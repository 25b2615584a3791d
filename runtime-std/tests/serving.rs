//! Slow, silent and many clients of `swarmd-std`.

libswarm_conformance::serving_tests!(libswarm_std::run, env!("CARGO_BIN_EXE_swarmd-std"));
