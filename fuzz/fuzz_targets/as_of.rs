#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("as_of"), |bytes: &[u8]| fuzz::run("as_of", bytes));
