//! Exported events as an independent program reads them.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops where it is")]

mod common;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use common::Cli;
use serde_json::{Value, json};

/// How many of the real purchases are imported.
const PURCHASES: usize = 40;

const DAY_MS: i64 = 86_400_000;

/// What pyarrow is asked: the columns with their types, and all rows.
const READ: &str = "
import json, sys, pyarrow.parquet as parquet
file = parquet.ParquetFile(sys.argv[1])
table = file.read()
rows = table.to_pylist()
for row in rows:
    for name in row.keys() & {'time', 'start'}:
        row[name] = int(row[name].timestamp() * 1000)
print(json.dumps({'columns': {field.name: str(field.type) for field in table.schema}, 'rows': rows}))
";

/// Has pyarrow read a file.
fn read(cli: &Cli, file: &str) -> Value {
    let packages = std::env::var_os("SKYLINK_PYARROW").expect(
        "SKYLINK_PYARROW is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-pyarrow.sh prints",
    );
    let mut python = Command::new("python3");
    let python = python.args(["-c", READ, file]).current_dir(cli.dir.path()).env("PYTHONPATH", packages);
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn another_program_reads_each_event_and_each_cent() {
    let cli = Cli::new();
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/cdnow.txt.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(real).unwrap()).read_to_string(&mut text).unwrap();
    let rows: Vec<&str> = text.lines().take(PURCHASES + 1).collect();
    cli.write("rows.txt", &rows.join("\n"));
    cli.ok(&["import", "cdnow", "rows.txt"]);
    let tail = cli.ok(&["tail", "--from", "1", "--json"]);
    let events: Vec<Value> = tail.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    cli.ok(&["export", "--parquet", "events.parquet"]);
    let found = read(&cli, "events.parquet");
    let columns = &found["columns"];
    assert_eq!((&columns["position"], &columns["moved_minor"]), (&json!("int64"), &json!("int64")));
    assert_eq!((&columns["time"], &columns["type"]), (&json!("timestamp[ms, tz=UTC]"), &json!("string")));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), events.len());
    let mut moved = 0;
    for (row, event) in rows.iter().zip(&events) {
        let metadata = &event["metadata"];
        assert_eq!(row["position"], event["position"]);
        for (column, member) in [
            ("type", "type"),
            ("market", "market"),
            ("commit", "commit"),
            ("subject", "subject"),
            ("time", "time"),
            ("index", "index"),
        ] {
            assert_eq!(row[column], metadata[member], "{column} of {event}");
        }
        let payload: Value = serde_json::from_str(row["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload, event["payload"]);
        let start = metadata["type"].as_str().unwrap().split('.').next().unwrap();
        assert_eq!(row["aggregate"], start);
        moved += row["moved_minor"].as_i64().unwrap_or(0);
    }

    // What events moved is what the transfers move, and each goes from one account to another.
    cli.ok(&["export", "--parquet", "transfers.parquet", "--rows", "transfers"]);
    let found = read(&cli, "transfers.parquet");
    let transfers = found["rows"].as_array().unwrap();
    assert!(transfers.len() > PURCHASES && moved > 0);
    assert_eq!(transfers.iter().map(|row| row["amount_minor"].as_i64().unwrap()).sum::<i64>(), moved);
    assert!(transfers.iter().all(|row| row["from"] != row["to"] && row["currency"] == "USD"));

    // Days say what the events say: of the market, and its sellers and listings together.
    cli.ok(&["export", "--parquet", "days.parquet", "--rows", "days"]);
    let found = read(&cli, "days.parquet");
    assert_eq!(
        (&found["columns"]["start"], &found["columns"]["value"]),
        (&json!("timestamp[ms, tz=UTC]"), &json!("int64"))
    );
    let days = found["rows"].as_array().unwrap();
    let sum = |of: &str, number: &str| -> i64 {
        let rows = days.iter().filter(|row| row["of"] == of && row["number"] == number);
        rows.map(|row| row["value"].as_i64().unwrap()).sum()
    };
    let placed = Vec::from_iter(rows.iter().filter(|row| row["type"] == "order.placed.v1"));
    let payload = |row: &Value| -> Value { serde_json::from_str(row["payload"].as_str().unwrap()).unwrap() };
    let gmv: i64 = placed.iter().map(|row| payload(row)["total"]["minor"].as_i64().unwrap()).sum();
    assert!(placed.len() >= PURCHASES && gmv > 0);
    for of in ["market", "seller"] {
        assert_eq!((sum(of, "orders"), sum(of, "gmv")), (placed.len() as i64, gmv), "{of}");
    }
    let dates =
        |rows: &mut dyn Iterator<Item = i64>| -> BTreeSet<i64> { rows.map(|ms| ms / DAY_MS).collect() };
    let ordered = days.iter().filter(|row| row["of"] == "market" && row["number"] == "orders");
    assert_eq!(
        dates(&mut ordered.map(|row| row["start"].as_i64().unwrap())),
        dates(&mut placed.iter().map(|row| row["time"].as_i64().unwrap())),
    );
    let is_money = |row: &Value| row["currency"] == "USD";
    assert!(
        days.iter().all(
            |row| is_money(row) == ["gmv", "fees", "released"].contains(&row["number"].as_str().unwrap())
        )
    );
    cli.ok(&["export", "--parquet", "hours.parquet", "--rows", "hours"]);
    let hours = read(&cli, "hours.parquet");
    let hours = hours["rows"].as_array().unwrap();
    assert!(hours.iter().all(|row| row["of"] == "market" && row["id"].is_null()));
    let (_, said) = cli.ends(2, &["export", "--parquet", "late.parquet", "--rows", "days", "--from", "9"]);
    assert!(said.contains("from the beginning"), "{said}");
    let left = std::fs::read_dir(cli.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(
        left.iter().all(|name| !name.starts_with(".export-") && !name.contains("late.parquet")),
        "{left:?}"
    );

    // A part of the log, and never over a file that is there.
    let last = events[4]["position"].to_string();
    cli.ok(&["export", "--parquet", "part.parquet", "--to", &last]);
    let part = read(&cli, "part.parquet");
    assert!((1..=5).contains(&part["rows"].as_array().unwrap().len()));
    let (_, said) = cli.ends(2, &["export", "--parquet", "part.parquet"]);
    assert!(said.contains("is there already"), "{said}");
    assert!(!cli.path("part.parquet.part").exists());
}
