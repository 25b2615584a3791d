//! [`libswarm_fuzz::dns`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libswarm_fuzz::dns(data));
