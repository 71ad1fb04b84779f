#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("filters"), |bytes: &[u8]| fuzz::run("filters", bytes));
