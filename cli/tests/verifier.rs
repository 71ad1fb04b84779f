//! schemas/verify/verify.py, which shares nothing with SkyLink, comes to the same verdicts.

mod common;

use std::path::Path;
use std::process::Command;

use commands::receipt::{ReceiptBody, sign_group};
use common::Cli;
use engine::keystore::KeyStore;
use events::account::Algorithm;
use events::commit::Seal;
use events::ids::{AccountId, CommandId, CommitId, DeviceId, KeyId, MarketName, Nonce};
use events::metadata::{Cause, CommandStamp};
use events::{Commit, Hash, Head, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

/// Has the verifier check something in a folder, and gives its exit code and what it says.
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

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn get(url: &str, token: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.text().await.unwrap()
    })
}

/// Changes each text and number in JSON, one after the other, and each list that can be shorter.
fn changed(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => {
            let at = text.len() / 2;
            let other = if text.as_bytes().get(at) == Some(&b'0') { "1" } else { "0" };
            match text.is_char_boundary(at) && text.is_char_boundary(at + 1) && at < text.len() {
                true => vec![json!(format!("{}{other}{}", &text[..at], &text[at + 1..]))],
                false => vec![json!(format!("{text}x"))],
            }
        }
        Value::Number(number) => number.as_u64().map(|number| json!(number + 1)).into_iter().collect(),
        Value::Array(items) => {
            let shorter = (!items.is_empty()).then(|| json!(items[1..]));
            let inside = (0..items.len()).flat_map(|at| {
                let with = move |item| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                };
                changed(&items[at]).into_iter().map(with)
            });
            shorter.into_iter().chain(inside).collect()
        }
        Value::Object(members) => {
            let with = |name: &String, value: &Value| {
                let mut members = members.clone();
                members[name] = value.clone();
                Value::Object(members)
            };
            let each = members.iter().flat_map(|(name, value)| {
                changed(value).into_iter().map(|value| with(name, &value)).collect::<Vec<_>>()
            });
            each.collect()
        }
        Value::Bool(_) | Value::Null => vec![],
    }
}

#[test]
fn a_receipt_of_a_running_market_holds_and_any_change_of_it_does_not() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "register", "alice", "--role", "buyer", "--url", &url]);
    let token = cli.ok(&["keys", "token", "alice", "--url", &url]);
    cli.write("old.note", &get(&format!("{url}/log/checkpoint"), ""));
    let wish = cli.write("wish.json", r#"{"command": "cart.clear", "body": {}}"#);
    let receipt: Value =
        serde_json::from_str(&cli.ok(&["send", "--json", "--url", &url, "--key", "alice", &wish])).unwrap();
    let id = |name: &str| receipt["receipt"][name].as_str().unwrap().to_owned();
    let path = format!("{url}/v1/receipts/{}/{}", id("account"), id("command"));
    let text = get(&path, token.trim());
    cli.write("receipt.json", &text);
    cli.write("market.jwk", &cli.ok(&["keys", "show", "market", "--jwk"]));
    cli.write("jwks.json", &get(&format!("{url}/.well-known/jwks.json"), ""));
    for key in ["market.jwk", "jwks.json"] {
        let (code, said) = python(&cli, &["receipt", "receipt.json", key]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("cart.clear") && said.contains("in the log of"), "{said}");
    }
    let said = cli.ok(&["verify", "receipt", "receipt.json", "--market-key", "market.jwk"]);
    assert!(said.contains("are in the log"), "{said}");

    // The log only grew.
    let position = position_of(&text);
    let proof = get(&format!("{url}/log/proof/consistency?from={}", size_of(&cli, "old.note")), "");
    let proof: Value = serde_json::from_str(&proof).unwrap();
    assert!(proof["to"].as_u64().unwrap() >= position);
    cli.write("new.note", proof["checkpoint"].as_str().unwrap());
    cli.write("proof.json", &proof.to_string());
    let consistency =
        |proof: &str| python(&cli, &["consistency", "old.note", "new.note", proof, "market.jwk"]);
    let (code, said) = consistency("proof.json");
    assert_eq!(code, 0, "{said}");
    let mut wrong = proof.clone();
    wrong["path"][0] = json!(Hash::ZERO);
    cli.write("wrong.json", &wrong.to_string());
    assert_eq!(consistency("wrong.json").0, 1);

    let good: Value = serde_json::from_str(&text).unwrap();
    let all = changed(&good);
    assert!(all.len() > 20, "{}", all.len());
    for wrong in all {
        cli.write("wrong.json", &wrong.to_string());
        let (code, said) = python(&cli, &["receipt", "wrong.json", "market.jwk"]);
        assert_eq!(code, 1, "{wrong}: {said}");
        cli.ends(1, &["verify", "receipt", "wrong.json", "--market-key", "market.jwk"]);
    }
    cli.ok(&["keys", "new", "other"]);
    cli.write("other.jwk", &cli.ok(&["keys", "show", "other", "--jwk"]));
    assert_eq!(python(&cli, &["receipt", "receipt.json", "other.jwk"]).0, 1);
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
}

fn position_of(receipt: &str) -> u64 {
    let receipt: Value = serde_json::from_str(receipt).unwrap_or_default();
    receipt["receipt"]["position"].as_u64().unwrap_or_default()
}

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn size_of(cli: &Cli, note: &str) -> u64 {
    let note = std::fs::read_to_string(cli.path(note)).unwrap();
    note.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_receipt_that_is_signed_with_es256_holds_too() {
    let cli = Cli::new();
    let store = KeyStore::open(&cli.path("keys")).unwrap();
    let key = store.make("market", Algorithm::Es256, None).unwrap();
    let market: MarketName = "main".parse().unwrap();
    let stamp = CommandStamp {
        account: AccountId::from_uuid(Uuid::from_u128(1)),
        command: CommandId::from_uuid(Uuid::from_u128(2)),
        device: DeviceId::from_uuid(Uuid::from_u128(3)),
        fingerprint: Hash::of(b"wish"),
        key: KeyId([1; 32]),
        name: "cart.clear".to_owned(),
        nonce: Nonce([2; 16]),
        seq: 1,
        signed: "a.b.c".to_owned(),
        step_up: None,
    };
    let seal = Seal {
        id: CommitId::from_uuid(Uuid::from_u128(4)),
        market: market.clone(),
        time: Timestamp::from_ms(1_753_783_200_000),
        cause: Cause::Command(Box::new(stamp)),
        traceparent: None,
    };
    let unchanged = events::command::Unchanged { command: "cart.clear".to_owned() }.into();
    let commit = Commit::seal(Head::EMPTY, seal, vec![unchanged]);
    let bodies = ReceiptBody::of(&commit).into_iter().collect();
    let receipt = sign_group(bodies, commit.head(), &market, &key.signing()).remove(0);
    cli.write("receipt.json", &serde_json::to_string(&receipt).unwrap());
    cli.write("market.jwk", &serde_json::to_string(&key.public()).unwrap());
    let (code, said) = python(&cli, &["receipt", "receipt.json", "market.jwk"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("no proof of the log"), "{said}");
}

#[test]
#[allow(clippy::unwrap_used)] // a test that panics has failed, as it should
fn another_library_agrees_about_the_signatures_of_all_vectors() {
    let packages = std::env::var_os("SKYLINK_CRYPTOGRAPHY").unwrap();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    let mut python = Command::new("python3");
    python.arg("verify/vectors.py").current_dir(&schemas).env("PYTHONPATH", packages);
    let files = ["keys.json", "accepted.json", "refused.json"].map(|name| format!("signing/{name}"));
    let output = python.args(files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let checked: u32 = said.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
    assert!(output.status.success() && checked > 200, "{said}{}", String::from_utf8_lossy(&output.stderr));
}
