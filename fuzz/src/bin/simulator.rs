//! [`libswarm_fuzz::simulator`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libswarm_fuzz::simulator(data));
