//! Slow, silent and many clients of `swarmd`.

libswarm_conformance::serving_tests!(
    |server| smol::block_on(libswarm_smol::run(server)),
    env!("CARGO_BIN_EXE_swarmd")
);
