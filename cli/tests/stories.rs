//! Every story in stories/ comes out as it is written.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops where it is")]

mod common;

use std::path::{Path, PathBuf};

use common::Cli;

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stories");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut stories: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    stories.sort();
    stories
}

#[test]
fn every_story_comes_out_as_it_is_written() {
    let cli = Cli::new();
    let stories = stories();
    assert!(!stories.is_empty());
    let mut wrong = Vec::new();
    for story in &stories {
        let output = cli.run(&["story", story.to_str().unwrap()]);
        if !output.status.success() {
            wrong.push(format!("{}: {}", story.display(), String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_story_that_comes_out_otherwise_is_told_by_its_step() {
    let cli = Cli::new();
    let story = std::fs::read_to_string(&stories()[0]).unwrap();
    let story = format!("{story}\n[[step]]\nsee = \"account alice\"\nhas = {{ wallet = [\"0.01 USD\"] }}\n");
    let steps = story.lines().filter(|line| line.trim() == "[[step]]").count();
    cli.write("other.toml", &story);
    let (timeline, said) = cli.ends(1, &["story", "other.toml"]);
    assert!(said.contains(&format!("step {steps}: `wallet")), "{said}");
    assert!(timeline.contains("order.placed"), "what happened before is shown: {timeline}");
}

#[test]
fn a_timeline_has_names_and_the_ledger_is_printed_behind_it() {
    let cli = Cli::new();
    let story = stories().into_iter().find(|path| path.ends_with("happy_path.toml")).unwrap();
    let text = cli.ok(&["story", story.to_str().unwrap()]);
    assert!(text.contains("@alice") && text.contains("@first"), "{text}");
    let (_, ledger) = text.split_once("\nLedger\n").unwrap();
    assert!(ledger.contains("9.75 USD  seller:@teahouse:available"), "{ledger}");
    assert!(ledger.contains("-20.00 USD  psp:@provider:clearing"), "{ledger}");
}
