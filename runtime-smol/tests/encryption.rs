//! TLS of `swarmd`.

libswarm_conformance::encryption_tests!(
    |server| smol::block_on(libswarm_smol::run(server)),
    env!("CARGO_BIN_EXE_swarmd")
);
