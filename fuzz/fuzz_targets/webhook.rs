#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("webhook"), |bytes: &[u8]| fuzz::run("webhook", bytes));
