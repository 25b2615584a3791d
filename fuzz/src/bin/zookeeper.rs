//! [`libswarm_fuzz::zookeeper`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libswarm_fuzz::zookeeper(data));
