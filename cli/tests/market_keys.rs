//! The market's own key is rotated while the market runs, and what was signed before and after is checked offline.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use commands::checkpoint::Checkpoint;
use commands::market_key::Announcement;
use common::Cli;
use engine::keystore::KeyStore;
use events::account::Algorithm;
use serde_json::{Value, json};

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn get(url: &str, token: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.text().await.unwrap()
    })
}

/// Has the verifier that shares nothing with SkyLink check something, and gives its exit code and what it says.
#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn python(cli: &Cli, arguments: &[&str]) -> (i32, String) {
    let packages = std::env::var_os("SKYLINK_CRYPTOGRAPHY").expect(
        "SKYLINK_CRYPTOGRAPHY is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-cryptography.sh prints",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/verify/verify.py");
    let mut python = Command::new("python3");
    let output = python.arg(script).args(arguments).current_dir(cli.dir.path()).env("PYTHONPATH", packages);
    let output = output.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

/// Clears alice's cart, and keeps the receipt with its proof in a file.
#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn keep_receipt(cli: &Cli, url: &str, data: &str, file: &str) {
    let wish = cli.write("wish.json", r#"{"command": "cart.clear", "body": {}}"#);
    let receipt = cli.ok(&["send", "--json", "--url", url, "--data", data, "--key", "alice", &wish]);
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    let id = |name: &str| receipt["receipt"][name].as_str().unwrap().to_owned();
    let token = cli.ok(&["keys", "token", "alice", "--url", url]);
    let kept = get(&format!("{url}/v1/receipts/{}/{}", id("account"), id("command")), token.trim());
    assert!(kept.contains("\"log\""), "{kept}");
    cli.write(file, &kept);
}

fn keep(cli: &Cli, url: &str, path: &str, file: &str) -> String {
    let text = get(&format!("{url}{path}"), "");
    cli.write(file, &text);
    text
}

/// Holds what both verifiers say of a receipt to `code`.
fn both_say(cli: &Cli, code: i32, receipt: &str, key: &str, keys: Option<&str>) -> String {
    let mut arguments = vec!["verify", "receipt", receipt, "--market-key", key];
    let mut other = vec!["receipt", receipt, key];
    if let Some(keys) = keys {
        arguments.extend(["--announcements", keys]);
        other.push(keys);
    }
    let (said, talked) = cli.ends(code, &arguments);
    let (found, other) = python(cli, &other);
    assert_eq!(found, code, "{other}");
    format!("{said}{talked}{other}")
}

fn signatures(note: &str) -> usize {
    note.lines().filter(|line| line.starts_with('\u{2014}')).count()
}

#[test]
#[allow(clippy::unwrap_used)] // a test that panics has failed, as it should
fn old_and_new_receipts_hold_offline_and_a_forged_announcement_shows_nothing() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "register", "alice", "--role", "buyer", "--url", &url]);
    // A client elsewhere, which trusts the first key that it is given.
    fs::create_dir_all(cli.path("elsewhere/keys")).unwrap();
    fs::copy(cli.path("data/keys/alice.key.json"), cli.path("elsewhere/keys/alice.key.json")).unwrap();
    fs::write(cli.path("elsewhere/keys/alice.key.seq"), "1000\n").unwrap();
    keep_receipt(&cli, &url, "elsewhere", "old.json");
    keep(&cli, &url, "/log/checkpoint", "old.note");
    cli.write("first.jwk", &cli.ok(&["keys", "show", "market", "--jwk"]));

    cli.ok(&["keys", "rotate-market", "--url", &url]);
    cli.write("second.jwk", &cli.ok(&["keys", "show", "market-2", "--jwk"]));
    let kid = |name: &str| cli.json(&["keys", "show", name, "--json"])["kid"].clone();
    let (first, second) = (kid("market"), kid("market-2"));
    keep_receipt(&cli, &url, "elsewhere", "new.json");
    let jwks: Value = serde_json::from_str(&keep(&cli, &url, "/.well-known/jwks.json", "jwks.json")).unwrap();
    let kids: Vec<&Value> = jwks["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert_eq!(kids, [&second, &first]);
    let all: Value = serde_json::from_str(&keep(&cli, &url, "/log/keys", "keys.json")).unwrap();
    assert!(all["keys"][0]["from"].as_u64() > all["keys"][1]["from"].as_u64(), "{all}");
    assert_eq!((all["keys"][0]["use"].as_str(), all["retired"].as_array().unwrap().len()), (Some("sig"), 0));
    assert_eq!(get(&format!("{url}/log/key"), "").trim(), all["notes"][0].as_str().unwrap());

    // Each checkpoint is signed with both, and holds with either.
    let note = keep(&cli, &url, "/log/checkpoint", "both.note");
    assert_eq!((signatures(&note), all["notes"].as_array().unwrap().len()), (2, 2), "{note}");
    for key in ["first.jwk", "second.jwk", "jwks.json"] {
        let (code, said) = python(&cli, &["checkpoint", "both.note", key]);
        assert_eq!(code, 0, "{said}");
    }

    // What was signed before holds with the old key; what is signed now with the new one, or with what leads to it.
    both_say(&cli, 0, "old.json", "first.jwk", None);
    both_say(&cli, 1, "old.json", "second.jwk", None);
    both_say(&cli, 0, "new.json", "second.jwk", None);
    let said = both_say(&cli, 1, "new.json", "first.jwk", None);
    assert!(said.contains("one that follows it"), "{said}");
    both_say(&cli, 0, "new.json", "first.jwk", Some("keys.json"));
    for receipt in ["old.json", "new.json"] {
        both_say(&cli, 0, receipt, "jwks.json", None);
    }

    // Somebody else's key, announced with a signature that is not the first key's, or with one that is of another word.
    let store = KeyStore::open(&cli.path("stranger")).unwrap();
    let stranger = store.make("market", Algorithm::EdDsa, None).unwrap().signing();
    let word = Announcement::sign(&"main".parse().unwrap(), &stranger, &stranger);
    let good = all["announcements"][0]["announcement"].as_str().unwrap();
    let (header, _) = good.split_once('.').unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    let payload = word.announcement.split('.').nth(1).unwrap();
    for signature in [signature, word.announcement.rsplit_once('.').unwrap().1] {
        let forged = format!("{header}.{payload}.{signature}");
        let words = json!({"announcement": forged, "proof": word.proof});
        cli.write("forged.json", &json!({"announcements": [words]}).to_string());
        both_say(&cli, 1, "new.json", "first.jwk", Some("forged.json"));
        // The market takes it no more than the verifiers do.
        let wish = json!({"command": "market.rotate_key", "body": words}).to_string();
        let wish = cli.write("forge.json", &wish);
        let (_, said) = cli.ends(1, &["send", "--url", &url, "--key", "registrar", &wish]);
        assert!(said.contains("not signed with the market's present key"), "{said}");
    }

    // Two are live at most.
    let (_, said) = cli.ends(1, &["keys", "rotate-market", "--url", &url]);
    assert!(said.contains("retire it first"), "{said}");
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");

    // The same after a restart; then the old one is retired, and its secret removed.
    let up = cli.up(&[]);
    let url = up.url();
    keep_receipt(&cli, &url, "data", "again.json");
    both_say(&cli, 0, "again.json", "second.jwk", None);
    cli.ok(&["keys", "retire-market", "--url", &url]);
    keep_receipt(&cli, &url, "data", "retired.json");
    let note = keep(&cli, &url, "/log/checkpoint", "one.note");
    assert_eq!(signatures(&note), 1, "{note}");
    let all: Value = serde_json::from_str(&keep(&cli, &url, "/log/keys", "keys.json")).unwrap();
    assert_eq!((&all["retired"][0]["kid"], all["keys"].as_array().unwrap().len()), (&first, 1));
    assert!(all["retired"][0]["until"].is_u64(), "{all}");
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    let retired = KeyStore::open(&cli.path("data/keys")).unwrap().get("market").unwrap().signing();
    fs::remove_file(cli.path("data/keys/market.key.json")).unwrap();
    let up = cli.up(&[]);
    keep_receipt(&cli, &up.url(), "data", "last.json");
    for receipt in ["old.json", "new.json", "again.json", "retired.json", "last.json"] {
        both_say(&cli, 0, receipt, "first.jwk", Some("keys.json"));
    }
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");

    // The whole log, with what was kept from before, between and after.
    let checkpoints = ["old.note", "both.note", "one.note"];
    let kept: Vec<&str> = checkpoints.iter().flat_map(|note| ["--checkpoint", note]).collect();
    let said = cli.ok(&[&["verify"], kept.as_slice()].concat());
    assert!(checkpoints.iter().all(|note| said.contains(&format!("signed checkpoint {note}"))), "{said}");
    // A signature of a key that was not live there is none.
    let late =
        Checkpoint::claimed(&fs::read_to_string(cli.path("one.note")).unwrap(), &"main".parse().unwrap());
    cli.write("late.note", &late.unwrap().sign(&retired).unwrap());
    let (_, said) = cli.ends(1, &["verify", "--checkpoint", "late.note"]);
    assert!(said.contains("not signed with the market's key"), "{said}");
    // No key of the market is left to sign with: it is said, and nothing is written.
    fs::rename(cli.path("data/keys/market-2.key.json"), cli.path("kept-away")).unwrap();
    let said = cli.ends(2, &["up", "--listen", "127.0.0.1:0"]).1;
    assert!(said.contains("receipt key"), "{said}");
}
