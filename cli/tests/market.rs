//! A market from its first start to its audit, through the binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use common::{Cli, Shop, sold};
use engine::clock::{Clock, ManualClock, WallClock};
use projections::ViewName;
use serde_json::{Value, json};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_first_start_registers_accounts_and_a_second_one_finds_them() {
    let cli = Cli::new();
    let up = cli.up(&["--fee-bps", "100"]);
    assert!(up.said.contains("Market main runs"), "{}", up.said);
    // Another process may not write this log, nor make it fail.
    let (_, said) = cli.ends(2, &["up", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("main can't be started in ./data"), "{said}");
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("the log ends at position 8"), "{said}");
    let (status, said) = cli.up(&[]).interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("the log ends at position 9"), "{said}");
    let opened = lines(&cli.ok(&["tail", "--from", "1", "--json"]));
    assert_eq!(opened[0]["payload"]["fee"]["bps"], 100);
    let types: Vec<&str> = opened.iter().map(|event| event["metadata"]["type"].as_str().unwrap()).collect();
    let started = "market.writer_started.v1";
    let (account, device) = ("account.registered.v1", "device.registered.v1");
    assert_eq!(
        types,
        ["market.opened.v1", started, account, device, account, device, account, device, started]
    );
}

#[test]
fn tail_follows_while_another_process_writes() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let arguments = ["tail", "--follow", "--json", "--type", "market.writer_started"];
    let mut tail = cli.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut followed = BufReader::new(tail.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&followed.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["payload"]["epoch"], 1);
    assert_eq!(up.interrupt().0.code(), Some(0));
    let up = cli.up(&[]);
    let second: Value = serde_json::from_str(&followed.next().unwrap().unwrap()).unwrap();
    assert_eq!((&second["payload"]["epoch"], &second["position"]), (&json!(2), &json!(9)));
    tail.kill().unwrap();
    tail.wait().unwrap();
    // A log is checked while it is written, too; what the market holds is told as not looked at.
    let report = cli.json(&["verify", "--json"]);
    assert_eq!(report["unchecked"], json!(["index", "views"]));
    assert_eq!(up.interrupt().0.code(), Some(0));
}

#[test]
fn what_was_sold_is_verified_replayed_and_seen_at_any_moment() {
    let cli = Cli::new();
    let sold = sold(&cli);
    let report = cli.json(&["verify", "--json"]);
    assert_eq!(report["verified"], true);
    assert_eq!(
        (&report["orders"], &report["open_orders"], &report["accounts"]),
        (&json!(2), &json!(1), &json!(6))
    );
    assert_eq!(report["unchecked"], json!([]));
    // The index, the tree, a snapshot, and the views.
    assert_eq!(report["checkpoints"].as_array().unwrap().len(), 3 + ViewName::ALL.len(), "{report}");
    let text = cli.ok(&["verify"]);
    assert!(text.contains(report["head"]["hash"].as_str().unwrap()), "{text}");

    // Time travel: just behind the order, behind its end, and before it.
    let placed = sold.receipt.receipt.position;
    let show = format!("order:{}", sold.order);
    let at = |position: u64| cli.json(&["replay", "--at", &position.to_string(), "--show", &show]);
    let open = at(placed);
    assert_eq!(open["state"]["state"], "placed");
    assert_eq!(open["state"]["in_escrow"], json!({ "currency": "USD", "minor": 2500 }));
    let end = report["head"]["position"].as_u64().unwrap();
    assert_eq!(at(end)["state"]["state"], "completed");
    let (_, said) = cli.ends(1, &["replay", "--at", &(placed - 2).to_string(), "--show", &show]);
    assert!(said.contains("no such thing"), "{said}");
    let account = format!("account:{}", sold.buyer);
    let account = cli.json(&["replay", "--at", open["time"].as_str().unwrap(), "--show", &account]);
    assert_eq!(account["state"]["balances"][0]["amount"]["minor"], 2500, "{account}");
    let listing = format!("listing:{}", open["state"]["lines"][0]["listing"].as_str().unwrap());
    let listing = cli.json(&["replay", "--at", &end.to_string(), "--show", &listing]);
    assert_eq!(listing["state"]["status"], "active", "{listing}");
    assert_eq!(
        (&listing["state"]["stock"]["on_hand"], &listing["state"]["available"]),
        (&json!(8), &json!(7))
    );
    let ledger = cli.json(&["replay", "--at", &end.to_string(), "--show", "ledger"]);
    let balances = ledger["state"]["balances"].as_array().unwrap();
    let sum: i64 = balances.iter().map(|balance| balance["amount"]["minor"].as_i64().unwrap()).sum();
    assert_eq!((balances.len(), sum), (5, 0), "{ledger}");

    // Ranges and filters.
    let orders = lines(&cli.ok(&["replay", "--json", "--type", "order.placed"]));
    assert_eq!(orders.len(), 2);
    let of_order = lines(&cli.ok(&["replay", "--json", "--id", &sold.order]));
    let types: Vec<&str> = of_order.iter().map(|event| event["metadata"]["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["order.placed.v1", "escrow.held.v1", "order.shipped.v2", "order.delivered.v2", "escrow.released.v2"]
    );
    let part =
        lines(&cli.ok(&["replay", "--json", "--from", &placed.to_string(), "--to", &placed.to_string()]));
    assert_eq!((part.len(), &part[0]["metadata"]["type"]), (1, &json!("escrow.held.v1")));
}

#[test]
fn what_deadlines_did_is_decided_again_too() {
    let cli = Cli::new();
    assert_eq!(cli.up(&[]).interrupt().0.code(), Some(0));
    let clock = Arc::new(ManualClock::new(WallClock.now()));
    let shop = Shop::open_at(&cli, clock.clone());
    shop.sell();
    clock.advance_to(WallClock.now().plus_ms(15 * 86_400_000));
    shop.tick();
    shop.close();
    let report = cli.json(&["verify", "--json"]);
    assert_eq!((&report["deadlines"], &report["open_orders"]), (&json!(1), &json!(0)), "{report}");
    let cancelled = cli.ok(&["tail", "--type", "order.cancelled"]);
    assert!(cancelled.contains("nobody shipped in time"), "{cancelled}");
}

#[test]
fn a_log_is_fed_into_an_empty_folder_and_stays_itself() {
    let cli = Cli::new();
    let sold = sold(&cli);
    let report = cli.json(&["verify", "--json"]);
    cli.ok(&["replay", "--into", "copy"]);
    let copy = cli.json(&["verify", "--json", "--data", "copy"]);
    assert_eq!(copy["head"], report["head"]);
    let placed = sold.receipt.receipt.position;
    cli.ok(&["replay", "--into", "part", "--to", &placed.to_string()]);
    assert_eq!(cli.json(&["verify", "--json", "--data", "part"])["head"]["position"], placed);
    // A commit is fed whole or not at all.
    cli.ok(&["replay", "--into", "less", "--to", &(placed - 1).to_string()]);
    assert_eq!(cli.json(&["verify", "--json", "--data", "less"])["head"]["position"], placed - 2);
    for (arguments, expected) in [
        (["replay", "--into", "copy", "--to", "6"], "copy is not empty"),
        (["replay", "--into", "new", "--from", "3"], "each event depends on all before it"),
        (["replay", "--into", "new", "--to", "4711"], "beyond the end of the log"),
    ] {
        let (_, said) = cli.ends(2, &arguments);
        assert!(said.contains(expected), "{said}");
    }
    // With the keys beside it the copy goes on as a market.
    let keys = cli.path("copy/keys");
    std::fs::create_dir(&keys).unwrap();
    for key in std::fs::read_dir(cli.path("data/keys")).unwrap() {
        let key = key.unwrap();
        std::fs::copy(key.path(), keys.join(key.file_name())).unwrap();
    }
    let (status, said) = cli.up(&["--data", "copy"]).interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_receipt_is_checked_with_nothing_but_the_market_key() {
    let cli = Cli::new();
    let sold = sold(&cli);
    let jwk = cli.ok(&["keys", "show", "market", "--jwk"]);
    cli.write("market.jwk", &jwk);
    cli.write("receipt.json", &serde_json::to_string(&sold.receipt).unwrap());
    let text = cli.ok(&["verify", "receipt", "receipt.json", "--market-key", "market.jwk"]);
    assert!(text.contains("order.place") && text.contains("accepted"), "{text}");
    cli.ok(&["verify", "receipt", "receipt.json", "--market-key", jwk.trim()]);
    let mut forged = sold.receipt.clone();
    forged.receipt.position += 1;
    cli.write("forged.json", &serde_json::to_string(&forged).unwrap());
    let (_, said) = cli.ends(1, &["verify", "receipt", "forged.json", "--market-key", "market.jwk"]);
    assert!(said.contains("WRONG"), "{said}");
    let other = cli.ok(&["keys", "show", "alice", "--jwk"]);
    let (_, said) = cli.ends(1, &["verify", "receipt", "receipt.json", "--market-key", other.trim()]);
    assert!(said.contains("not signed with the market's key"), "{said}");
}

#[test]
fn the_flat_form_is_signed_and_taken_too() {
    let cli = Cli::new();
    assert_eq!(cli.up(&[]).interrupt().0.code(), Some(0));
    let shop = Shop::open(&cli);
    shop.register("alice", "ES256", "buyer");
    let file = cli.write("clear.json", r#"{"command": "cart.clear", "body": {}}"#);
    let signed = cli.ok(&["send", "--print", "--seed-form", "--key", "alice", &file]);
    assert!(signed.starts_with('{'), "{signed}");
    let reply = shop.submit(signed.trim_end().to_owned());
    assert!(matches!(reply, engine::Reply::Receipt(_)), "{reply:?}");
    let (_, said) = cli.ends(2, &["send", "--print", "--seed-form", "--key", "registrar", &cli.write(
        "register.json",
        r#"{"command": "account.register", "body": {"account": "01a205ad-e2bc-70fb-8f41-5d28e9f90881", "roles": ["buyer"]}}"#,
    )]);
    assert!(said.contains("leave out --seed-form"), "{said}");
    shop.close();
    cli.ok(&["verify"]);
}
