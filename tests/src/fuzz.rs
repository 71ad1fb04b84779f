//! What is fuzzed: one function for each place that reads bytes of strangers, and what it holds to for whatever bytes. The
//! programs in `fuzz/` and the test `fuzz_corpora` both run these; docs/fuzzing.md says how.
//!
//! A function panics when it finds something wrong, and so does what it calls.

mod commits;
mod edits;
mod envelope;
mod import;
mod proofs;
mod providers;
mod segment;

use std::path::{Path, PathBuf};

pub use edits::Mutator;

/// One place that reads bytes of strangers.
pub struct Target {
    /// Its name, which is that of its program and of the folder of its corpus.
    pub name: &'static str,
    /// Tries bytes.
    pub run: fn(&[u8]),
    /// Gives inputs to begin with, beside those of its corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Everything that is fuzzed.
pub const TARGETS: [Target; 13] = [
    Target { name: "envelope", run: envelope::any_bytes, seeds: envelope::vectors },
    Target { name: "signed_payload", run: envelope::signed_payload, seeds: envelope::payloads },
    Target { name: "flat_form", run: envelope::flat_form, seeds: envelope::flat_objects },
    Target { name: "json", run: envelope::json, seeds: envelope::vectors },
    Target { name: "event", run: commits::event, seeds: commits::samples },
    Target { name: "metadata", run: commits::metadata, seeds: commits::metadata_seeds },
    Target { name: "headers", run: commits::headers, seeds: commits::header_seeds },
    Target { name: "segment", run: segment::any_file, seeds: segment::seeds },
    Target { name: "receipt", run: proofs::receipt, seeds: proofs::receipt_seeds },
    Target { name: "checkpoint", run: proofs::checkpoint, seeds: proofs::checkpoint_seeds },
    Target { name: "inclusion", run: proofs::inclusion, seeds: proofs::inclusion_seeds },
    Target { name: "webhook", run: providers::webhook, seeds: providers::webhook_seeds },
    Target { name: "import_rows", run: import::rows, seeds: import::seeds },
];

/// Tries bytes on a target.
///
/// # Panics
/// If there is no such target, or the bytes find something.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a program is named after its target").run)(bytes);
}

/// Gives the folder of a target's corpus.
pub fn corpus(name: &str) -> PathBuf {
    root().join("fuzz/corpus").join(name)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}

/// Reads the files of a folder of this project, in the order of their names.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder is part of the project");
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let entry = entry.expect("the folder can be read");
            let bytes = std::fs::read(entry.path()).expect("it holds files only");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}
