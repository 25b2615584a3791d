//! The registry as DNS.

libswarm_conformance::dns_tests!(env!("CARGO_BIN_EXE_discoverd-std"));
