//! Imports through the program itself, with the whole engine behind it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops where it is")]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn import(file: &Path, data: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skylink"))
        .args(["import", "cdnow"])
        .arg(file)
        .arg("--data")
        .arg(data)
        .args(more)
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The first rows of the real file, and one row further down whose price is nothing.
fn fixture(dir: &TempDir, rows: usize) -> std::path::PathBuf {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/cdnow.txt.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(real).unwrap()).read_to_string(&mut text).unwrap();
    let mut kept: Vec<&str> = text.lines().take(rows + 1).collect();
    kept.push(text.lines().find(|line| line.ends_with(" 0.00")).unwrap());
    let path = dir.path().join("rows.txt");
    std::fs::write(&path, kept.join("\r\n")).unwrap();
    path
}

#[test]
fn real_purchases_go_through_the_engine_and_agree_to_the_cent() {
    let dir = tempfile::tempdir().unwrap();
    let file = fixture(&dir, 520);
    let cents: i64 = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().last().unwrap().replace('.', "").parse::<i64>().unwrap())
        .sum();
    let output = import(&file, &dir.path().join("data"), &["--json"]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    let number = |name: &str| report[name].as_i64().unwrap();
    assert_eq!((number("rows"), number("accepted"), number("rejected")), (521, 520, 1));
    assert_eq!(report["rejected_by_reason"], serde_json::json!({"price_not_positive": 1}));
    assert_eq!((number("gmv_minor"), number("file_sum_minor")), (cents, cents));
    assert_eq!(number("released_minor") + number("fees_minor"), cents);
    assert!(number("fees_minor") > 0);
    assert_eq!((number("open_orders"), number("receipts_wrong")), (0, 0));
    assert_eq!(report["ledger_balanced"], true);
    // What was signed is at least the purchases, their shipments, and most buyers' confirmations.
    assert!(number("receipts_checked") > 1_500, "{report}");
}

#[test]
fn rows_that_are_no_purchases_are_told_by_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.txt");
    let rows = "customer_id date number_of_cds dollar_value\n1 19970101 1 11.77\n1 19970101 1\n1 19971301 1 1.00\n\
                2 19970101 1 -5.00\n2 19970101 3 1.005\n2 19970102 3 10.00\n2 19970102 0 10.00\n";
    std::fs::write(&file, rows).unwrap();
    let output = import(&file, &dir.path().join("data"), &["--json"]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(
        (&report["rows"], &report["accepted"], &report["refused_rows"]),
        (&7.into(), &2.into(), &5.into())
    );
    assert_eq!(report["gmv_minor"], 2177);
    let lines: Vec<_> = report["refused"].as_array().unwrap().iter().map(|row| row["line"].clone()).collect();
    assert_eq!(lines, [3, 4, 5, 6, 8]);
}

#[test]
fn a_folder_that_holds_something_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("letter"), "dear").unwrap();
    let output = import(&fixture(&dir, 1), &data, &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["letter"]);
}
