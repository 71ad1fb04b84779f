//! Commands over HTTP to a market that another process runs.

mod common;

use common::Cli;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn keys_are_registered_and_commands_sent_while_the_market_runs() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    let send = |code: i32, key: &str, command: &str, body: Value| {
        let file = cli.write("wish.json", &json!({ "command": command, "body": body }).to_string());
        cli.ends(code, &["send", "--json", "--url", &url, "--key", key, &file])
    };
    let account = |name: &str| cli.json(&["keys", "show", name, "--json"])["account"].clone();
    for (name, role) in [("seller", "seller"), ("alice", "buyer,seller")] {
        cli.ok(&["keys", "new", name]);
        let receipts = cli.ok(&["keys", "register", name, "--role", role, "--url", &url, "--json"]);
        assert_eq!(receipts.lines().count(), 2, "{receipts}");
        // Asked for again, it is so already.
        cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
    }
    // A second device of the same account.
    let alice = account("alice");
    cli.ok(&["keys", "new", "phone", "--alg", "ES256", "--account", alice.as_str().unwrap_or_default()]);
    cli.ok(&["keys", "register", "phone", "--url", &url]);

    let (listing, usd) = (Uuid::now_v7(), |minor: i64| json!({ "minor": minor, "currency": "USD" }));
    send(0, "seller", "listing.create", json!({ "listing": listing, "price": usd(999), "title": "Tea" }));
    send(0, "seller", "stock.receive", json!({ "listing": listing, "quantity": 3 }));
    send(
        0,
        "provider",
        "wallet.fund",
        json!({ "account": alice, "amount": usd(5000), "reference": "card 1" }),
    );
    let order = |quantity: i64| {
        let lines = json!([{ "listing": listing, "quantity": quantity }]);
        json!({ "lines": lines, "payment_method": "wallet", "total": usd(999 * quantity) })
    };
    let (receipt, said) = send(0, "phone", "order.place", order(2));
    assert!(said.contains("order.place accepted at position"), "{said}");
    cli.write("receipt.json", &receipt);
    cli.write("market.jwk", &cli.ok(&["keys", "show", "market", "--jwk"]));
    cli.ok(&["verify", "receipt", "receipt.json", "--market-key", "market.jwk"]);

    // Buyer and seller are told of it, each his side.
    let position: Value = serde_json::from_str(&receipt).expect("a receipt is JSON");
    let position = position["receipt"]["position"].to_string();
    let asked =
        |what: &[&str]| cli.ok(&[&["orders"], what, &["--url", &url, "--min-position", &position]].concat());
    let bought = asked(&["list", "--key", "alice", "--state", "open"]);
    assert!(bought.contains("1001-9") && bought.contains("19.98 USD"), "{bought}");
    assert_eq!(asked(&["list", "--key", "alice", "--state", "ended"]), "");
    let desk = asked(&["desk", "--key", "seller", "--task", "ship"]);
    assert!(desk.contains("1001-9") && desk.contains("2 units"), "{desk}");
    let (_, said) = cli.ends(1, &["orders", "list", "--key", "alice", "--state", "lost", "--url", &url]);
    assert!(said.contains("query_invalid"), "{said}");

    // A rejection is proven by a receipt, too; a refusal is told with its code.
    let (receipt, said) = send(1, "alice", "order.place", order(2));
    assert!(said.contains("rejected"), "{said}");
    cli.write("receipt.json", &receipt);
    cli.ok(&["verify", "receipt", "receipt.json", "--market-key", "market.jwk"]);
    let (_, said) = send(1, "seller", "order.place", order(1));
    assert!(said.contains("scope_denied"), "{said}");

    // The same wish again gets the first outcome; another one under its id none.
    let cid = Uuid::now_v7().to_string();
    let again = |quantity: i64| json!({ "command": "cart.add", "body": { "listing": listing, "quantity": quantity }, "cid": cid });
    let file = cli.write("cart.json", &again(1).to_string());
    let arguments = ["send", "--json", "--url", &url, "--key", "alice", &file];
    let (first, _) = cli.ends(0, &arguments);
    let (second, said) = cli.ends(0, &arguments);
    assert!(said.contains("decided earlier"), "{said}");
    let body =
        |receipt: &str| serde_json::from_str::<Value>(receipt).map(|receipt| receipt["receipt"].clone()).ok();
    assert_eq!(body(&first), body(&second));
    cli.write("cart.json", &again(2).to_string());
    let (_, said) = cli.ends(1, &arguments);
    assert!(said.contains("command_conflict"), "{said}");
    let flat = cli.write("flat.json", r#"{"command": "cart.clear", "body": {}}"#);
    cli.ok(&["send", "--seed-form", "--url", &url, "--key", "alice", &flat]);

    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    let report = cli.json(&["verify", "--json"]);
    assert_eq!((&report["orders"], &report["open_orders"]), (&json!(1), &json!(1)));
}

#[test]
fn the_markets_key_is_kept_on_first_use_and_another_one_is_not_believed_later() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "register", "alice", "--role", "buyer", "--url", &url]);
    // Alice's own machine has her key, and not the market's.
    let hers = cli.path("hers/keys");
    std::fs::create_dir_all(&hers).expect("a folder can be made");
    let key = "alice.key.json";
    std::fs::copy(cli.path("data/keys").join(key), hers.join(key)).expect("a key can be copied");
    let file = cli.write("clear.json", r#"{"command": "cart.clear", "body": {}}"#);
    let send = ["send", "--data", "hers", "--url", &url, "--key", "alice", &file];
    let (_, said) = cli.ends(0, &send);
    assert!(said.contains("trusted from now on"), "{said}");
    let (_, said) = cli.ends(0, &send);
    assert!(!said.contains("trusted from now on"), "{said}");
    let other = cli.ok(&["keys", "show", "operator", "--jwk"]);
    std::fs::write(hers.join("main.market.jwk"), other).expect("a file can be written");
    let (_, said) = cli.ends(2, &send);
    assert!(said.contains(&format!("do not trust {url}")), "{said}");
    assert_eq!(up.interrupt().0.code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let cli = Cli::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let (_, said) = cli.ends(2, &["up", "--listen", &address]);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
    assert!(!cli.path("data").exists());
}

#[test]
fn a_guests_cart_is_claimed_merged_and_verified() {
    let cli = Cli::new();
    let up = cli.up(&["--cart-idle-hours", "48"]);
    let url = up.url();
    let send = |key: &str, command: &str, body: Value| {
        let file = cli.write("wish.json", &json!({ "command": command, "body": body }).to_string());
        let receipt = cli.ok(&["send", "--json", "--url", &url, "--key", key, &file]);
        serde_json::from_str::<Value>(&receipt).unwrap_or_default()["receipt"].clone()
    };
    for (name, role) in [("seller", "seller"), ("alice", "buyer"), ("visitor", "guest")] {
        cli.ok(&["keys", "new", name]);
        cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
    }
    let (listing, price) = (Uuid::now_v7(), json!({ "minor": 999, "currency": "USD" }));
    send("seller", "listing.create", json!({ "listing": listing, "price": price, "title": "Tea" }));
    let added = send("visitor", "cart.add", json!({ "listing": listing, "quantity": 2 }));
    let cart = added["events"][0]["subject"].as_str().unwrap_or_default();
    let alice = cli.json(&["keys", "show", "alice", "--json"])["account"].clone();
    let alice = alice.as_str().unwrap_or_default();
    let claim = cli.ok(&["keys", "claim", "visitor", "--cart", cart, "--to", alice]);
    let merge = json!({ "claim": claim.trim(), "policy": "sum" });
    let merged = send("alice", "cart.merge", merge.clone());
    assert_eq!(merged["events"][0]["type"], "cart.merged.v1", "{merged}");
    assert_eq!(send("alice", "cart.merge", merge)["outcome"], "unchanged");
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    let report = cli.json(&["verify", "--json"]);
    // Registrar, operator, provider and the sandbox are there from the start.
    assert_eq!(report["accounts"], 7, "{report}");
}
