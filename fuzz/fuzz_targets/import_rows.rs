#![no_main]

use tests::fuzz;

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds("import_rows"), |bytes: &[u8]| fuzz::run("import_rows", bytes));
