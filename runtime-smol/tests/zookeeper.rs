//! `discoverd` on a real ZooKeeper.

libswarm_conformance::zookeeper_tests!(env!("CARGO_BIN_EXE_discoverd"));
