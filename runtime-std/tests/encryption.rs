//! TLS of `swarmd-std`.

libswarm_conformance::encryption_tests!(libswarm_std::run, env!("CARGO_BIN_EXE_swarmd-std"));
