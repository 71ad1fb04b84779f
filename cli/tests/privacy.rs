//! What is personal on disk: nowhere in the clear, in no file of a market, and nowhere at all once the account was erased; while
//! every signature, proof and receipt holds as before.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::Cli;
use serde_json::{Value, json};

const NAME: &str = "Alice Aardvark-Featherstone";
const EMAIL: &str = "alice.aardvark@example.com";

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, all) } else { all.push(path) }
    }
}

/// Names the files below a folder that have some text in them: as it is, in capitals, in hexadecimal or in base64, wherever it
/// begins.
fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut spelled: Vec<Vec<u8>> = vec![text.into(), text.to_uppercase().into(), hex::encode(text).into()];
    for lead in 0..3 {
        let shifted = [vec![0; lead], text.as_bytes().to_vec()].concat();
        for encoded in [STANDARD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // What depends on its neighbours is left out.
            spelled.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
    }
    let mut all = Vec::new();
    files(folder, &mut all);
    assert!(all.len() > 5, "there are files to look at");
    all.retain(|path| {
        let bytes = std::fs::read(path).unwrap();
        spelled.iter().any(|text| bytes.windows(text.len()).any(|part| part == text))
    });
    all
}

fn check_nowhere(cli: &Cli) {
    for text in [NAME, EMAIL] {
        assert_eq!(holding(&cli.path("data"), text), Vec::<PathBuf>::new(), "{text}");
    }
}

/// Finds the position that a command says it was accepted at.
fn position_in(said: &str) -> String {
    let (_, behind) = said.split_once("at position ").unwrap_or_else(|| panic!("{said}"));
    behind.trim_end().trim_end_matches('.').to_owned()
}

#[test]
fn what_is_personal_is_in_no_file_in_the_clear_and_in_none_once_the_account_was_erased() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    for name in ["alice", "bob"] {
        cli.ok(&["keys", "new", name]);
        cli.ok(&["keys", "register", name, "--role", "buyer", "--url", &url]);
    }
    // That it would be found where it is.
    let seen = cli.path("data/seen.txt");
    std::fs::write(&seen, format!("x{}", STANDARD.encode(format!("1{EMAIL}23")))).unwrap();
    assert_eq!(holding(&cli.path("data"), EMAIL), std::slice::from_ref(&seen));
    std::fs::remove_file(seen).unwrap();

    cli.ok(&["profile", "set", "--key", "alice", "--name", NAME, "--email", EMAIL, "--url", &url]);
    let (_, said) = cli.ends(0, &["profile", "set", "--key", "bob", "--name", "Bob", "--url", &url]);
    let position = position_in(&said);
    let told = cli.json(&["profile", "show", "--key", "alice", "--min-position", &position, "--url", &url]);
    assert_eq!(told["fields"]["email"]["value"], EMAIL);
    let account = told["account"].as_str().unwrap().to_owned();
    let (_, said) = cli.ends(1, &["profile", "show", "--key", "bob", "--account", &account, "--url", &url]);
    assert!(said.contains("not_found"), "{said}");
    check_nowhere(&cli);
    cli.ok(&["vault", "backup", "backups"]);

    // What a receipt of then says, holds later.
    let command =
        cli.write("clear.json", r#"{"command": "account.set_profile", "body": {"fields": {"phone": null}}}"#);
    let receipt = cli.ok(&["send", "--key", "alice", "--url", &url, &command]);
    cli.write("receipt.json", &receipt);

    let (_, said) = cli.ends(0, &["profile", "erase", "--key", "alice", "--for-good", "--url", &url]);
    assert!(said.contains("accepted"), "{said}");
    let position = position_in(&said);
    let (_, said) =
        cli.ends(1, &["profile", "show", "--key", "alice", "--min-position", &position, "--url", &url]);
    assert!(said.contains("erased") || said.contains("revoked"), "{said}");
    let (_, said) = cli.ends(1, &["profile", "set", "--key", "alice", "--email", EMAIL, "--url", &url]);
    assert!(said.contains("erased"), "{said}");
    assert!(up.interrupt().0.success());
    check_nowhere(&cli);
    let status = cli.json(&["vault", "status"]);
    assert_eq!(
        (&status["accounts"], &status["erased"], &status["values"]),
        (&1.into(), &1.into(), &1.into())
    );

    let (_, said) = cli.ends(0, &["verify"]);
    assert!(!said.contains("wrong"), "{said}");
    let key = cli.write("market.jwk", &cli.ok(&["keys", "show", "market", "--jwk"]));
    cli.ok(&["verify", "receipt", "receipt.json", "--market-key", &key]);
    for exported in [cli.ok(&["tail"]), cli.ok(&["replay"]), cli.ok(&["ledger", "export", "--format", "csv"])]
    {
        assert!(!exported.contains(NAME) && !exported.contains(EMAIL));
    }

    // A crash between the event and the key's end looks like a vault of before; so does one that is restored.
    let backup: Value = serde_json::from_str(&cli.ok(&["vault", "list", "backups"])).unwrap();
    std::fs::remove_dir_all(cli.path("data/vault")).unwrap();
    cli.ok(&["vault", "restore", backup["dir"].as_str().unwrap()]);
    assert_eq!(cli.json(&["vault", "status"])["accounts"], 2);
    let up = cli.up(&[]);
    assert!(up.interrupt().0.success());
    let status = cli.json(&["vault", "status"]);
    assert_eq!(
        (&status["accounts"], &status["erased"], &status["values"]),
        (&1.into(), &1.into(), &1.into())
    );
    check_nowhere(&cli);
}

/// Where a command says that it stands, and the order that it made.
fn order_of(receipt: &Value) -> (String, String) {
    let events = receipt["receipt"]["events"].as_array().unwrap();
    let placed = events.iter().find(|event| event["type"] == "order.placed.v1").unwrap();
    (receipt["receipt"]["position"].to_string(), placed["subject"].as_str().unwrap().to_owned())
}

#[test]
fn an_address_is_read_by_its_seller_alone_and_by_nobody_once_the_buyer_was_erased() {
    const ADDRESS: &str = "Alice Aardvark-Featherstone\n1 Long Lane\nLondon N1";
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    for (name, role) in [("alice", "buyer"), ("shop", "seller"), ("other", "seller")] {
        cli.ok(&["keys", "new", name]);
        cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
    }
    let account =
        |name: &str| cli.json(&["keys", "show", name, "--json"])["account"].as_str().unwrap().to_owned();
    let send = |key: &str, command: Value| {
        let file = cli.write("command.json", &command.to_string());
        cli.json(&["send", "--key", key, "--url", &url, &file])
    };
    let (listing, alice, shop) = (uuid::Uuid::now_v7().to_string(), account("alice"), account("shop"));
    let price = json!({"minor": 1000, "currency": "USD"});
    send(
        "shop",
        json!({"command": "listing.create", "body": {"listing": listing, "price": price, "title": "Tea"}}),
    );
    send("shop", json!({"command": "stock.receive", "body": {"listing": listing, "quantity": 5}}));
    send(
        "provider",
        json!({"command": "wallet.fund", "body": {"account": alice, "amount": price, "reference": "r"}}),
    );
    let (_, said) = cli.ends(0, &["address", "new-key", "--key", "shop", "--url", &url]);
    let position = position_in(&said);

    cli.write("address.txt", ADDRESS);
    let cid = uuid::Uuid::now_v7().to_string();
    let sealed = cli.json(&[
        "address",
        "seal",
        "--key",
        "alice",
        "--seller",
        &shop,
        "--cid",
        &cid,
        "--url",
        &url,
        "--min-position",
        &position,
        "address.txt",
    ]);
    let body = json!({
        "delivery": {"region": "GB", "sealed_addresses": sealed["sealed_addresses"]},
        "lines": [{"listing": listing, "quantity": 1}], "payment_method": "wallet", "total": price,
    });
    let place = json!({"command": "order.place", "cid": cid, "body": body, "personal": sealed["personal"]});
    let (position, order) = order_of(&send("alice", place));
    let open = |key: &str, code: i32| {
        cli.ends(code, &["address", "open", "--key", key, "--url", &url, "--min-position", &position, &order])
    };
    assert_eq!(open("shop", 0).0, format!("{ADDRESS}\n"));
    assert!(open("other", 1).1.contains("not_found"));
    // The buyer sees that it is there, and has no key to read it.
    assert!(open("alice", 2).1.contains("private key"));
    for line in ADDRESS.lines() {
        assert_eq!(holding(&cli.path("data"), line), Vec::<PathBuf>::new(), "{line}");
    }

    send("shop", json!({"command": "order.ship", "body": {"order": order}}));
    send("alice", json!({"command": "order.confirm_delivery", "body": {"order": order}}));
    let (_, said) = cli.ends(0, &["profile", "erase", "--key", "alice", "--for-good", "--url", &url]);
    assert!(said.contains("accepted"), "{said}");
    // The key is destroyed when the vault has followed the log so far: when the market has stopped, at the latest.
    assert!(up.interrupt().0.success());
    let up = cli.up(&[]);
    let (_, said) = cli.ends(1, &["address", "open", "--key", "shop", "--url", &up.url(), &order]);
    assert!(said.contains("erased"), "{said}");
    assert!(up.interrupt().0.success());
    cli.ok(&["verify"]);
}
