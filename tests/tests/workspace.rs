//! Holds the workspace to what ARCHITECTURE.md and STYLE.md say of it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const LINES_MAX: usize = 700;
/// Files that are one list, in which one looks things up and which nobody reads from end to end.
const LISTS: [&str; 1] = ["events/src/rejection.rs"];
/// Most lines of those.
const LIST_LINES_MAX: usize = 1_100;

/// Which crates of the workspace each may use outside its tests.
const USES: [(&str, &[&str]); 8] = [
    ("events", &[]),
    ("commands", &["events"]),
    ("engine", &["events", "commands"]),
    ("projections", &["events"]),
    ("gateway", &["events", "commands", "engine", "projections"]),
    ("cli", &["events", "commands", "engine", "projections", "gateway", "bench"]),
    ("bench", &["events", "commands", "engine", "projections", "gateway"]),
    ("tests", &["events", "commands", "engine", "projections", "gateway", "bench"]),
];

/// What a crate without I/O, clocks, hash-order and rounding never names.
const IMPURE: [&str; 9] =
    ["HashMap", "HashSet", "SystemTime", "Instant", "tokio", "async fn", "f32", "f64", "std::fs"];

/// Files that name floats because JSON has them; none of them computes with one.
const JSON_FILES: [&str; 2] = ["json.rs", "jcs.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Gives every Rust file in a folder and below.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn all_rust_files() -> Vec<PathBuf> {
    let files: Vec<_> = USES.iter().flat_map(|(name, _)| rust_files(&root().join(name))).collect();
    assert!(files.len() > 50, "the workspace is where it was looked for");
    files
}

/// Gives the source without comments and without its unit tests, which stand last in a file.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let shipped = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = shipped.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Tells whether a text has a word, as a whole one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(is_part);
        let after = text[at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

/// Gives the names under a table of a manifest.
fn names_in<'a>(manifest: &'a str, table: &str) -> Vec<&'a str> {
    let behind = manifest.lines().skip_while(|line| line.trim() != table).skip(1);
    let entries = behind.take_while(|line| !line.starts_with('[')).filter(|line| line.contains('='));
    entries.filter_map(|line| line.split(['.', ' ', '=']).next()).collect()
}

#[test]
fn uses_go_one_way() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = workspace.lines().find(|line| line.starts_with("members")).unwrap();
    assert_eq!(members.matches('"').count() / 2, USES.len(), "every member is named here: {members}");
    for (name, allowed) in USES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let dependencies = names_in(&manifest, "[dependencies]");
        assert!(!dependencies.is_empty(), "{name} has dependencies");
        for used in dependencies.iter().filter(|used| USES.iter().any(|(member, _)| member == *used)) {
            assert!(allowed.contains(used), "{name} uses {used}");
        }
    }
}

#[test]
fn what_is_pure_stays_pure() {
    for name in ["events", "commands"] {
        for path in rust_files(&root().join(name).join("src")) {
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            let code = code(&path);
            let is_json = JSON_FILES.iter().any(|name| path.ends_with(name));
            for word in IMPURE.iter().filter(|word| !(is_json && **word == "f64")) {
                assert!(!has_word(&code, word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn the_processor_has_no_io() {
    let code = code(&root().join("engine/src/processor.rs"));
    for word in IMPURE {
        assert!(!has_word(&code, word), "the processor has {word}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not name them.
    let left = [["TO", "DO"], ["FIX", "ME"], ["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"]];
    for path in all_rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        for mark in left.map(|parts| parts.concat()) {
            assert!(!text.contains(&mark), "{} has {mark}", path.display());
        }
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for path in all_rust_files() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let is_list = LISTS.iter().any(|list| path.ends_with(list));
        let most = if is_list { LIST_LINES_MAX } else { LINES_MAX };
        assert!(lines < most, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_module_opens_with_what_it_is() {
    for (name, _) in USES {
        for path in rust_files(&root().join(name).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            assert!(text.starts_with("//!"), "{} opens without saying what it is", path.display());
        }
    }
}

#[test]
fn a_reader_finds_where_to_begin() {
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "STYLE.md", "SECURITY.md", "LICENSE"] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.lines().count() > 5, "{name} says something");
    }
}

/// Gives the tests that a page names, as `<file>.rs::<test>`.
fn tests_named_in(page: &str) -> Vec<(&str, &str)> {
    page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::")).collect()
}

#[test]
fn every_fault_has_the_tests_that_the_page_names() {
    let page = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.ends_with("Shown by |"));
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 25, "the page lists the faults");
    for row in rows {
        let named = tests_named_in(row);
        assert!(!named.is_empty(), "no test shows this: {row}");
        for (file, test) in named {
            let path = root().join(file).with_extension("rs");
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let place = text.find(&format!("fn {test}()"));
            let place = place.unwrap_or_else(|| panic!("{} has no {test}", path.display()));
            let before: Vec<_> = text[..place].lines().rev().take(2).collect();
            assert!(before.iter().any(|line| line.contains("test")), "{test} is no test");
        }
    }
}

#[test]
fn the_checks_themselves_find_what_they_look_for() {
    assert!(has_word("let x: f64 = 1.0;", "f64") && !has_word("let f640 = 1;", "f64"));
    assert_eq!(
        names_in("[dependencies]\nserde.workspace = true\na = \"1\"\n[x]\nb = 1", "[dependencies]"),
        ["serde", "a"]
    );
    assert_eq!(tests_named_in("see `a/b.rs::c`, not `d` or e.rs::f"), [("a/b", "c")]);
}
