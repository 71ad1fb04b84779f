//! What is fuzzed: one function for each place that reads bytes of strangers, and what it holds to for whatever bytes. The
//! programs in `fuzz/` and the test `fuzz_corpora` both run these; docs/fuzzing.md says how.
//!
//! A function panics when it finds something wrong, and so does what it calls.

mod address;
mod app;
mod beside;
mod commits;
mod edits;
mod envelope;
mod filters;
mod import;
mod passkey;
mod proofs;
mod providers;
mod questions;
mod segment;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

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
pub static TARGETS: [Target; 21] = [
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
    Target { name: "personal", run: beside::personal, seeds: beside::personal_seeds },
    Target { name: "second_factor", run: beside::second_factor, seeds: beside::second_factor_seeds },
    Target { name: "app_code", run: app::code, seeds: app::code_seeds },
    Target { name: "webauthn", run: passkey::webauthn, seeds: passkey::webauthn_seeds },
    Target { name: "sealed_address", run: address::sealed, seeds: address::sealed_seeds },
    Target { name: "as_of", run: questions::as_of, seeds: questions::as_of_seeds },
    Target { name: "search", run: questions::search, seeds: questions::search_seeds },
    Target { name: "filters", run: filters::filters, seeds: filters::filter_seeds },
];

/// Names a folder into which the programs with coverage write what their targets begin with.
const SEEDS_VARIABLE: &str = "SKYLINK_FUZZ_SEEDS";

/// Writes what a target begins with into the folder that [`SEEDS_VARIABLE`] names, if it names one, so that a fuzzer reads it.
///
/// # Panics
/// If there is no such target, or the folder can't be written.
pub fn write_seeds(name: &str) {
    let Some(folder) = std::env::var_os(SEEDS_VARIABLE) else { return };
    let folder = Path::new(&folder).join(name);
    std::fs::create_dir_all(&folder).expect("the folder of seeds can be made");
    for (n, input) in (target(name).seeds)().iter().enumerate() {
        std::fs::write(folder.join(n.to_string()), input).expect("the folder of seeds can be written");
    }
}

/// Tries bytes on a target.
///
/// # Panics
/// If there is no such target, or the bytes find something.
pub fn run(name: &str, bytes: &[u8]) {
    (target(name).run)(bytes);
}

fn target(name: &str) -> &'static Target {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.expect("a program is named after its target")
}

/// Gives the folder of a target's corpus.
pub fn corpus(name: &str) -> PathBuf {
    root().join("fuzz/corpus").join(name)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}

/// Reads the members of an object in JSON and leaves them as they are written: some hold what only a parser minds that reads them, such
/// as numbers that are too large.
fn members(json: &[u8]) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_str(&String::from_utf8_lossy(json)).unwrap_or_default()
}

/// Reads a member that is a text.
fn text_of(members: &BTreeMap<String, Box<RawValue>>, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
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
