#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("flat_form"), |bytes: &[u8]| fuzz::run("flat_form", bytes));
