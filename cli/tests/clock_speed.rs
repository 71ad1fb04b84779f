//! `skylink up --clock-speed`: a market whose days pass in seconds.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::Cli;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn minutes_pass_in_seconds_and_the_clock_goes_on_where_it_was() {
    let cli = Cli::new();
    let fast = ["--clock-speed", "100"];
    let up = cli.up(&fast);
    let url = up.url();
    let send = |key: &str, command: &str, body: Value| -> Value {
        let file = cli.write("wish.json", &json!({ "command": command, "body": body }).to_string());
        cli.json(&["send", "--json", "--url", &url, "--key", key, &file])
    };
    for (name, role) in [("shop", "seller"), ("alice", "buyer")] {
        cli.ok(&["keys", "new", name]);
        cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
    }
    let (listing, price) = (Uuid::now_v7(), json!({ "minor": 999, "currency": "USD" }));
    send("shop", "listing.create", json!({ "listing": listing, "price": price, "title": "Tea" }));
    let added = send("alice", "cart.add", json!({ "listing": listing, "quantity": 1 }));
    let until = added["receipt"]["time"].as_i64().unwrap() + 600_000;
    send("alice", "cart.freeze", json!({ "until": until }));
    assert!(cli.ok(&["keys", "token", "alice", "--url", &url]).len() > 20);

    // Ten minutes pass in six seconds.
    let follow = ["tail", "--follow", "--json", "--type", "cart.unfrozen"];
    let mut tail = cli.command(&follow).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut line).unwrap();
    tail.kill().unwrap();
    tail.wait().unwrap();
    let unfrozen: Value = serde_json::from_str(&line).unwrap();
    assert!(unfrozen["metadata"]["time"].as_i64() >= Some(until), "{line}");
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");

    // With the machine's clock the market's time would stand still for as long as it is ahead, which is said.
    let slow = cli.up(&[]);
    assert!(slow.said.contains("ahead of this machine's clock"), "{}", slow.said);
    assert_eq!(slow.interrupt().0.code(), Some(0));
    let fast = cli.up(&fast);
    assert!(!fast.said.contains("ahead of this machine's clock"), "{}", fast.said);
    assert_eq!(fast.interrupt().0.code(), Some(0));
    assert_eq!(cli.json(&["verify", "--json"])["verified"], true);
}
