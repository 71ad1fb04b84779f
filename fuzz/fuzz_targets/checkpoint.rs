#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("checkpoint"), |bytes: &[u8]| fuzz::run("checkpoint", bytes));
