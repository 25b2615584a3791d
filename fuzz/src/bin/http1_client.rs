//! [`libswarm_fuzz::http1_client`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libswarm_fuzz::http1_client(data));
