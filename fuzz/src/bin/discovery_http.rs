//! [`libswarm_fuzz::discovery_http`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libswarm_fuzz::discovery_http(data));
