//! libFuzzer's entry to [`carm_fuzz::cache`]: nothing but the call.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carm_fuzz::cache::run(data));
