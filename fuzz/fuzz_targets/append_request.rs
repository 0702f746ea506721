//! The target `append_request` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| angzarr_fuzz::run("append_request", data));
