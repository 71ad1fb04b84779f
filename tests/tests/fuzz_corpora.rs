//! Tries on each target of the fuzzer what was once found, what it begins with, and random changes of both.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use tests::fuzz::{Mutator, TARGETS, Target, corpus};

/// How many random inputs are tried on each target, unless this environment variable says otherwise.
const RANDOM_INPUTS: usize = 2_000;
const RANDOM_INPUTS_VARIABLE: &str = "SKYLINK_FUZZ_INPUTS";
/// Where the random inputs begin; the same in each run, so that a failure is found again.
const SEED: u64 = 0x5eed;
/// Largest corpus of a target, in files and in bytes of each: it is what shows the most with the least.
const CORPUS_FILES_MAX: usize = 300;
const CORPUS_FILE_BYTES_MAX: u64 = 8 * 1024;

fn known(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)();
    let Ok(files) = fs::read_dir(corpus(target.name)) else { return inputs };
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    inputs.extend(paths.iter().map(|path| fs::read(path).unwrap()));
    inputs
}

fn random_inputs() -> usize {
    std::env::var(RANDOM_INPUTS_VARIABLE).map_or(RANDOM_INPUTS, |count| count.parse().unwrap())
}

fn attempt(target: &Target, input: &[u8]) {
    if catch_unwind(|| (target.run)(input)).is_err() {
        panic!("{} fails for {}, which belongs into its corpus", target.name, input.escape_ascii());
    }
}

fn try_all(names: &[&str]) {
    for target in TARGETS.iter().filter(|target| names.contains(&target.name)) {
        let inputs = known(target);
        assert!(inputs.len() > 2, "{} begins with something", target.name);
        inputs.iter().for_each(|input| attempt(target, input));
        attempt(target, &[]);
        let mut mutator = Mutator::new(SEED);
        for _ in 0..random_inputs() {
            attempt(target, &mutator.next(&inputs));
        }
    }
}

// In parts, so that they run beside each other.

#[test]
fn commands_are_tried() {
    try_all(&["envelope", "signed_payload", "flat_form", "json"]);
}

#[test]
fn what_logs_and_brokers_give_is_tried() {
    try_all(&["event", "metadata", "headers", "segment"]);
}

#[test]
fn proofs_are_tried() {
    try_all(&["receipt", "checkpoint", "inclusion"]);
}

#[test]
fn messages_and_files_of_others_are_tried() {
    try_all(&["webhook", "import_rows"]);
}

#[test]
fn what_travels_beside_commands_is_tried() {
    try_all(&["personal", "second_factor", "app_code", "webauthn", "sealed_address"]);
}

#[test]
fn what_is_asked_for_is_tried() {
    try_all(&["as_of", "search", "filters"]);
}

#[test]
fn each_target_is_tried_above_has_a_program_and_a_small_corpus() {
    let source = include_str!("fuzz_corpora.rs");
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for Target { name, .. } in &TARGETS {
        assert!(source.contains(&format!("\"{name}\"")), "{name} is tried");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has a program");
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        for call in ["run", "write_seeds"] {
            assert!(program.contains(&format!("{call}(\"{name}\"")), "the program of {name} calls {call}");
        }
        let files: Vec<_> = fs::read_dir(corpus(name)).unwrap().map(Result::unwrap).collect();
        assert!((1..=CORPUS_FILES_MAX).contains(&files.len()), "{name} has a corpus of {}", files.len());
        for file in files {
            assert!(file.metadata().unwrap().len() <= CORPUS_FILE_BYTES_MAX, "{:?}", file.path());
        }
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len(), "there is no program without a target");
}
