//! The command line, the sockets and the end of `swarmd-std`.

libswarm_conformance::daemon_tests!(env!("CARGO_BIN_EXE_swarmd-std"));
