#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("sealed_address"), |bytes: &[u8]| fuzz::run("sealed_address", bytes));
