#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("second_factor"), |bytes: &[u8]| fuzz::run("second_factor", bytes));
