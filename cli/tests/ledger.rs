//! The ledger as independent programs read it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops where it is")]

mod common;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use common::{Cli, Shop, sold};
use serde_json::json;

/// How many of the real purchases are imported.
const PURCHASES: usize = 120;

/// A folder with a market's log that has wallets, orders, releases and fees in it.
fn market() -> Cli {
    let cli = Cli::new();
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/cdnow.txt.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(real).unwrap()).read_to_string(&mut text).unwrap();
    let rows: Vec<&str> = text.lines().take(PURCHASES + 1).collect();
    cli.write("rows.txt", &rows.join("\n"));
    cli.ok(&["import", "cdnow", "rows.txt"]);
    cli
}

/// Has beancount read a journal; gives what it finds wrong, nothing if all is well.
fn beancount(cli: &Cli, journal: &str) -> String {
    let packages = std::env::var_os("SKYLINK_BEANCOUNT").expect(
        "SKYLINK_BEANCOUNT is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-beancount.sh prints",
    );
    let file = cli.write("journal.beancount", journal);
    let check = ["-m", "beancount.scripts.check", "--no-cache", &file];
    let mut python = Command::new("python3");
    let output = python.args(check).current_dir(cli.dir.path()).env("PYTHONPATH", packages).output().unwrap();
    let found =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.success(), found.is_empty(), "{found}");
    found
}

fn export(cli: &Cli, format: &str) -> String {
    cli.ok(&["ledger", "export", "--format", format])
}

#[test]
fn an_independent_program_balances_the_journal_to_the_last_cent() {
    let cli = market();
    let journal = export(&cli, "beancount");
    assert_eq!(beancount(&cli, &journal), "");

    // What it is asked to compare with is what the market holds, not what the journal adds up to.
    let fees = journal.lines().find(|line| line.contains(" balance Income:Fees ")).unwrap();
    let (before, cents) = fees.split_once('.').unwrap();
    let other = format!("{before}.{:02}{}", (cents[..2].parse::<u8>().unwrap() + 1) % 100, &cents[2..]);
    assert!(beancount(&cli, &journal.replace(fees, &other)).contains("Balance failed for 'Income:Fees'"));

    // And an entry that gives more than it takes is found as well.
    let posting = journal.lines().find(|line| line.starts_with("    Liabilities:Escrow:")).unwrap();
    let (account, amount) = posting.rsplit_once("  ").unwrap();
    let (whole, rest) = amount.split_once('.').unwrap();
    let more = format!("{account}  {whole}1.{rest}");
    assert!(beancount(&cli, &journal.replacen(posting, &more, 1)).contains("does not balance"));
}

#[test]
fn money_that_changed_its_currency_is_an_entry_in_each() {
    let cli = Cli::new();
    let sold = sold(&cli);
    let shop = Shop::open(&cli);
    let offer = [
        &["keys", "offer", "provider", "--account", &sold.buyer][..],
        &[
            "--from-minor",
            "1001",
            "--from",
            "USD",
            "--to",
            "EUR",
            "--rate",
            "10850:10000",
            "--reference",
            "fx 1",
        ],
    ];
    let quote = cli.ok(&offer.concat());
    let (from, at_least) =
        (json!({ "minor": 1001, "currency": "USD" }), json!({ "minor": 923, "currency": "EUR" }));
    let body = json!({ "at_least": at_least, "from": from, "quote": quote.trim() });
    shop.give("alice", "wallet.exchange", &body);
    shop.close();

    let journal = export(&cli, "beancount");
    assert_eq!(beancount(&cli, &journal), "");
    let entries: Vec<&str> =
        journal.split("\n\n").filter(|entry| entry.contains("wallet.exchanged.v1")).collect();
    let all = entries.join("\n");
    assert_eq!(all.matches("* \"wallet.exchanged.v1\"").count(), 2, "{all}");
    for posting in [" 10.01 USD", " -10.01 USD", " 9.23 EUR", " -9.23 EUR"] {
        assert!(all.contains(posting), "{posting}: {all}");
    }
    assert!(cli.ok(&["ledger", "check"]).contains("I10"));
    cli.ok(&["verify"]);
}

#[test]
fn the_journals_of_all_formats_have_the_same_entries() {
    let cli = market();
    let entries = |format: &str, is_posting: fn(&str) -> bool| {
        export(&cli, format).lines().filter(|line| is_posting(line)).count()
    };
    let csv = entries("csv", |line| line.starts_with(|c: char| c.is_ascii_digit()));
    assert!(csv > 3 * PURCHASES, "{csv} transfers");
    let beancount = entries("beancount", |line| line.starts_with("    ") && line.ends_with(" USD"));
    assert_eq!(beancount, 2 * csv, "each transfer has two postings");
    for format in ["hledger", "ledger"] {
        let postings = entries(format, |line| {
            line.starts_with("    ") && line.ends_with(" USD") && !line.contains(" = ")
        });
        assert_eq!(postings, 2 * csv, "{format}");
    }
}

#[test]
fn a_spreadsheet_that_adds_the_transfers_up_finds_what_the_market_holds() {
    let cli = market();
    let csv = export(&cli, "csv");
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "position,time,event,subject,commit,cause,from,to,minor,currency,amount"
    );
    let mut balances = BTreeMap::<String, i64>::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [from, to, minor] = [fields[6], fields[7], fields[8]];
        let minor: i64 = minor.parse().unwrap();
        *balances.entry(from.to_owned()).or_default() -= minor;
        *balances.entry(to.to_owned()).or_default() += minor;
    }
    balances.retain(|_, minor| *minor != 0);
    let shown = cli.json(&["replay", "--at", "2030-01-01T00:00:00Z", "--show", "ledger"]);
    let held = shown["state"]["balances"].as_array().unwrap().iter().map(|balance| {
        (balance["account"].as_str().unwrap().to_owned(), balance["amount"]["minor"].as_i64().unwrap())
    });
    assert_eq!(balances, held.collect());
}

#[test]
fn a_journal_ends_where_it_is_told_to() {
    let cli = market();
    let whole = export(&cli, "csv");
    let first = whole.lines().nth(1).unwrap();
    let position = first.split(',').next().unwrap();
    let one = cli.ok(&["ledger", "export", "--format", "csv", "--to", position]);
    assert_eq!(one.lines().nth(1), Some(first));
    assert_eq!(one.lines().count(), 2);
    let journal = cli.ok(&["ledger", "export", "--format", "beancount", "--to", position]);
    assert_eq!(beancount(&cli, &journal), "");
    let none = cli.ok(&["ledger", "export", "--format", "csv", "--until", "1990-01-01T00:00:00Z"]);
    assert_eq!(none.lines().count(), 1);
}

#[test]
fn a_damaged_log_gives_no_whole_journal() {
    let cli = market();
    let segment = std::fs::read_dir(cli.path("data/segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (journal, said) = cli.ends(1, &["ledger", "export", "--format", "beancount"]);
    assert!(said.contains("WRONG: ") && said.contains("The journal ends before that"), "{said}");
    assert!(!journal.contains(" balance "), "nothing is asserted of a log that is not whole");
}
