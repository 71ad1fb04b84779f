#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("receipt"), |bytes: &[u8]| fuzz::run("receipt", bytes));
