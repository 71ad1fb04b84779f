#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("signed_payload"), |bytes: &[u8]| fuzz::run("signed_payload", bytes));
