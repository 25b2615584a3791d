//! Service discovery with `discoverd`.

libswarm_conformance::discovery_tests!(env!("CARGO_BIN_EXE_discoverd"));
libswarm_conformance::client_tests!(env!("CARGO_BIN_EXE_discoverd"));

mod on_smol;

#[test]
fn a_client_on_smol_finds_services() {
    on_smol::finds_services(std::path::Path::new(env!("CARGO_BIN_EXE_discoverd")));
}

#[test]
fn a_client_on_smol_dials_who_is_healthy() {
    on_smol::dials_who_is_healthy(std::path::Path::new(env!("CARGO_BIN_EXE_discoverd")));
}
