//! [`libswarm_fuzz::rpc`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libswarm_fuzz::rpc(data));
