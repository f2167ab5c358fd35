#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smtpd_rs::fuzz::dns(data));
