#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carryall_fuzz::properties::sentinel(data));
