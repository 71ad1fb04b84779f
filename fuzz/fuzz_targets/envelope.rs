#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("envelope"), |bytes: &[u8]| fuzz::run("envelope", bytes));
