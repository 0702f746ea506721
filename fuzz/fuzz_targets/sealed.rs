//! The target `sealed` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| angzarr_fuzz::run("sealed", data));
