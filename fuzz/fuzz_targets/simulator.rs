//! libFuzzer's entry to [`carm_fuzz::simulator`]: nothing but the call.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carm_fuzz::simulator::run(data));
