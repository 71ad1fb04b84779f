#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("metadata"), |bytes: &[u8]| fuzz::run("metadata", bytes));
