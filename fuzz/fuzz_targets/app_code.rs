#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("app_code"), |bytes: &[u8]| fuzz::run("app_code", bytes));
