#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("segment"), |bytes: &[u8]| fuzz::run("segment", bytes));
