//! `discoverd` on a real etcd.

libswarm_conformance::etcd_tests!(env!("CARGO_BIN_EXE_discoverd"));
