//! `skylink verify` on what keys and second factors were good for: each command at its own position of the log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use commands::command::ClearCart;
use commands::crypto::{SigningKey, VerifyingKey};
use commands::envelope::verify_command;
use commands::step_up::{Shown, challenge, write_header};
use common::{Cli, segment};
use engine::keystore::KeyStore;
use engine::log::segment::format::{
    GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES, check_group, decode_body, encode_group,
};
use engine::nats_commands::{CommandSender, Outgoing};
use events::account::Algorithm;
use events::command::Unchanged;
use events::commit::{Seal, Stored};
use events::ids::{CommandId, CommitId, MarketName, WriterId};
use events::metadata::{Cause, CommandStamp, Metadata};
use events::step_up::{Assertion, Base64Url, StepUp};
use events::{Commit, Event, Hash, Timestamp};
use serde_json::{Value, json};
use tests::nats::{NatsServer, connect};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// A market whose people send over HTTP, or over NATS.
struct Town<'a> {
    cli: &'a Cli,
    at: [String; 2],
}

impl Town<'_> {
    fn over<'a>(cli: &'a Cli, option: &str, url: String) -> Town<'a> {
        Town { cli, at: [option.to_owned(), url] }
    }

    fn send(&self, code: i32, key: &str, command: &str, body: &Value) -> Value {
        let file = self.cli.write("wish.json", &json!({ "command": command, "body": body }).to_string());
        let arguments = ["send", "--json", &self.at[0], &self.at[1], "--key", key, &file];
        serde_json::from_str(&self.cli.ends(code, &arguments).0).unwrap()
    }

    fn register(&self, name: &str, role: &str) {
        self.cli.ok(&["keys", "new", name]);
        self.cli.ok(&["keys", "register", name, "--role", role, &self.at[0], &self.at[1]]);
    }

    fn key(&self, name: &str) -> Value {
        self.cli.json(&["keys", "show", name, "--json"])
    }

    /// Gives alice a second device, enrolled by her first.
    fn enroll(&self, name: &str) {
        let account = self.key("alice")["account"].as_str().unwrap().to_owned();
        self.cli.ok(&["keys", "new", name, "--account", &account]);
        let proof = self.cli.ok(&["keys", "prove", name]);
        let key = self.key(name);
        let body = json!({ "device": key["device"], "key": key["jwk"], "proof": proof.trim() });
        self.send(0, "alice", "device.enroll", &body);
    }
}

/// Gives the code of a refusal, as it is told over HTTP or over NATS.
fn code_of(told: &Value) -> &Value {
    if told["refusal"].is_object() { &told["refusal"]["code"] } else { &told["code"] }
}

/// Reads all commits of a stopped market.
fn commits(cli: &Cli) -> Vec<Arc<Commit>> {
    let bytes = fs::read(segment(&cli.path("data"))).unwrap();
    let mut rest = &bytes[SEGMENT_HEADER_BYTES..];
    let mut commits = Vec::new();
    while !rest.is_empty() {
        let header = GroupHeader::decode(rest).unwrap();
        let (group, after) = rest.split_at(header.group_bytes() as usize);
        let body = check_group(&header, &group[GROUP_HEADER_BYTES..]).unwrap();
        let decoded = decode_body(&header, body, 0).unwrap().into_iter();
        commits.extend(
            decoded.map(|commit| Arc::new(Commit::from_stored(commit.first, commit.events).unwrap())),
        );
        rest = after;
    }
    commits
}

/// Writes a log with good sums, and lets nothing lie around that has seen another one.
fn write(cli: &Cli, commits: &[Arc<Commit>]) {
    let path = segment(&cli.path("data"));
    let mut bytes = fs::read(&path).unwrap()[..SEGMENT_HEADER_BYTES].to_vec();
    for commit in commits {
        let mut group = Vec::new();
        encode_group(&[Arc::clone(commit)], &mut group);
        bytes.extend(group);
    }
    fs::write(&path, bytes).unwrap();
    for derived in ["index", "views", "snapshots", "tree"] {
        match fs::remove_dir_all(cli.path("data").join(derived)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.unwrap(),
        }
    }
}

/// Adds to a log what a market would write for a `cart.clear` of a key, whether or not it may sign.
fn cleared(cli: &Cli, log: &[Arc<Commit>], name: &str) -> Arc<Commit> {
    let store = KeyStore::open(&cli.path("data").join("keys")).unwrap();
    let key = store.get(name).unwrap();
    let (market, last): (MarketName, _) = ("main".parse().unwrap(), log.last().unwrap());
    let time = last.time();
    let mut id = *Uuid::now_v7().as_bytes();
    id[..6].copy_from_slice(&time.ms().to_be_bytes()[2..]);
    let command = CommandId::from_uuid(Uuid::from_bytes(id));
    let signed = store.sign(&key, &market, command, ClearCart::default().into(), time).unwrap();
    let keys = BTreeMap::from([(key.public().id(), Arc::new(VerifyingKey::new(&key.public()).unwrap()))]);
    let stamp = verify_command(&signed, &market, None, &keys).unwrap().stamp;
    let position = last.head().position + 1;
    let seal = Seal {
        id: CommitId::derive(writer_of(log), position, time),
        market,
        time,
        cause: Cause::Command(Box::new(stamp)),
        traceparent: None,
    };
    let unchanged = Unchanged { command: "cart.clear".to_owned() }.into();
    Arc::new(Commit::seal(last.head(), seal, vec![unchanged]))
}

fn writer_of(log: &[Arc<Commit>]) -> WriterId {
    let events = log.iter().flat_map(|commit| commit.events());
    let mut starts = events.filter_map(|recorded| match &recorded.event {
        Event::WriterStarted(started) => Some(started.writer),
        _ => None,
    });
    starts.next_back().unwrap()
}

#[test]
fn a_command_of_a_revoked_or_replaced_key_is_found_and_those_before_stay_good() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let town = Town::over(&cli, "--url", up.url());
    town.register("alice", "buyer");
    for name in ["phone", "tablet"] {
        town.enroll(name);
        town.send(0, name, "cart.clear", &json!({}));
    }
    town.send(0, "alice", "device.report_lost", &json!({ "device": town.key("phone")["device"] }));
    // The tablet takes another key.
    let tablet = town.key("tablet");
    let (account, device) = (tablet["account"].as_str().unwrap(), tablet["device"].as_str().unwrap());
    cli.ok(&["keys", "new", "tablet-2", "--account", account, "--device", device]);
    let proof = cli.ok(&["keys", "prove", "tablet-2"]);
    let jwk = town.key("tablet-2")["jwk"].clone();
    town.send(0, "tablet", "device.rotate", &json!({ "key": jwk, "proof": proof.trim() }));
    for gone in ["phone", "tablet"] {
        let told = town.send(1, gone, "cart.clear", &json!({}));
        assert_eq!(code_of(&told), "kid_revoked", "{gone}");
    }
    town.send(0, "tablet-2", "cart.clear", &json!({}));
    assert_eq!(up.interrupt().0.code(), Some(0));
    cli.ok(&["verify"]);

    let log = commits(&cli);
    for (name, is_good) in [("alice", true), ("tablet-2", true), ("phone", false), ("tablet", false)] {
        let forged = cleared(&cli, &log, name);
        write(&cli, &[&log[..], &[forged]].concat());
        if is_good {
            cli.ok(&["verify"]);
        } else {
            let (_, said) = cli.ends(1, &["verify"]);
            assert!(said.contains("the key was revoked"), "{name}: {said}");
        }
    }
}

#[test]
fn the_table_of_roles_is_printed_for_people_and_for_programs() {
    let cli = Cli::new();
    let lines: Vec<Value> =
        cli.ok(&["roles", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = lines.iter().map(|line| line["command"].as_str().unwrap()).collect();
    assert_eq!(names, commands::Command::NAMES);
    let of = |name: &str| lines.iter().find(|line| line["command"] == name).unwrap()["roles"].clone();
    assert_eq!(of("order.confirm_delivery"), json!(["buyer", "provider"]));
    let table = cli.ok(&["roles"]);
    let row = table.lines().find(|line| line.starts_with("order.confirm_delivery ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().skip(1).collect();
    assert_eq!(cells, ["yes", "-", "-", "-", "yes", "-"]);
    assert_eq!(table.lines().count(), names.len() + 1);
}

/// What the page of a market and its authenticator make of a challenge.
fn approve(passkey: &SigningKey, challenge: Hash) -> Assertion {
    let challenge = Base64Url(challenge.as_bytes().to_vec());
    let client = json!({"type": "webauthn.get", "challenge": challenge, "origin": "https://market.example"});
    let client = client.to_string().into_bytes();
    let mut data = Hash::of(b"market.example").as_bytes().to_vec();
    data.extend([0b101, 0, 0, 0, 0]);
    let mut message = data.clone();
    message.extend(Hash::of(&client).as_bytes());
    Assertion {
        authenticator_data: Base64Url(data),
        client_data: Base64Url(client),
        credential: credential(passkey).parse().unwrap(),
        signature: Base64Url(passkey.sign(&message).to_vec()),
    }
}

fn credential(passkey: &SigningKey) -> String {
    serde_json::to_value(passkey.id()).unwrap().as_str().unwrap().to_owned()
}

/// Lets a market ask for a second factor for whatever is done with carts, and gives alice a passkey.
fn asking(town: &Town<'_>, passkey: &SigningKey) {
    town.register("alice", "buyer");
    town.register("boss", "operator");
    let rule = json!({ "above_minor": {}, "commands": ["cart.*"], "device_younger_than_ms": 0 });
    let terms =
        json!({ "origins": ["https://market.example"], "relying_party": "market.example", "rules": [rule] });
    town.send(0, "boss", "step_up.set_terms", &json!({ "terms": terms }));
    let enroll = json!({ "credential": credential(passkey), "key": passkey.public() });
    town.send(0, "alice", "step_up.enroll_passkey", &enroll);
    let told = town.send(1, "alice", "cart.clear", &json!({}));
    assert_eq!(code_of(&told), "mfa_required");
}

/// Signs a `cart.clear` of alice now.
fn sign_clear(cli: &Cli) -> String {
    let store = KeyStore::open(&cli.path("data").join("keys")).unwrap();
    let now =
        Timestamp::from_ms(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    let command = CommandId::from_uuid(Uuid::now_v7());
    let alice = store.get("alice").unwrap();
    let signed = store.sign(&alice, &"main".parse().unwrap(), command, ClearCart::default().into(), now);
    String::from_utf8(signed.unwrap().to_vec()).unwrap()
}

/// Rewrites the stamps of commands, with every sum and the whole chain made anew.
fn restamped(log: &[Arc<Commit>], mut change: impl FnMut(&mut CommandStamp)) -> Vec<Arc<Commit>> {
    let mut previous = Hash::ZERO;
    let mut forged = Vec::new();
    for commit in log {
        let events = commit.events().iter().map(|recorded| {
            let mut metadata: Metadata = recorded.metadata.clone();
            if let Some(start) = &mut metadata.start {
                start.previous = previous;
                if let Cause::Command(stamp) = &mut start.cause {
                    change(stamp);
                }
            }
            let metadata_json = serde_json::to_vec(&metadata).unwrap();
            Stored { metadata_json, payload_json: recorded.payload_json.clone() }
        });
        let commit = Commit::from_stored(commit.first_position(), events.collect()).unwrap();
        previous = commit.head().hash;
        forged.push(Arc::new(commit));
    }
    forged
}

#[test]
fn a_second_factor_stands_in_the_log_and_is_checked_again() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    let passkey = SigningKey::from_seed(Algorithm::EdDsa, [5; 32]).unwrap();
    asking(&Town::over(&cli, "--url", url.clone()), &passkey);
    let signed = sign_clear(&cli);
    let header = write_header(&Shown::Webauthn(approve(&passkey, challenge(&signed).unwrap())));
    let runtime = Runtime::new().unwrap();
    let sent = runtime.block_on(async {
        let post = reqwest::Client::new().post(format!("{url}/v1/commands")).body(signed);
        let post = post.header("content-type", "application/jose").header("Skylink-Step-Up", header);
        post.send().await.unwrap().text().await.unwrap()
    });
    let receipt: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(receipt["receipt"]["outcome"], "unchanged", "{receipt}");
    assert_eq!(up.interrupt().0.code(), Some(0));
    cli.ok(&["verify"]);

    let log = commits(&cli);
    let is_approved = |stamp: &CommandStamp| stamp.step_up.is_some();
    let kept = restamped(&log, |_| {});
    assert_eq!(kept, log, "nothing changed, nothing forged");
    for (forged, found) in [
        (restamped(&log, |stamp| stamp.step_up = None), "a second factor is needed"),
        (
            restamped(&log, |stamp| {
                if let Some(StepUp::Webauthn(assertion)) = stamp.step_up.as_deref_mut() {
                    assertion.signature.0[3] ^= 1;
                }
            }),
            "its signature is wrong",
        ),
        (
            restamped(&log, |stamp| {
                if is_approved(stamp) {
                    stamp.step_up =
                        Some(Box::new(StepUp::Webauthn(approve(&passkey, Hash::of(b"another command")))));
                }
            }),
            "it approves another command",
        ),
        (
            restamped(&log, |stamp| {
                if stamp.name == "step_up.enroll_passkey" {
                    stamp.step_up = Some(Box::new(StepUp::Webauthn(approve(
                        &passkey,
                        challenge(&stamp.signed).unwrap(),
                    ))));
                }
            }),
            "it shows a second factor that no rule asked for",
        ),
    ] {
        write(&cli, &forged);
        let (_, said) = cli.ends(1, &["verify"]);
        assert!(said.contains(found), "{found}: {said}");
    }
}

#[test]
fn a_second_factor_travels_over_nats_beside_the_command_and_is_kept_in_its_headers() {
    let (cli, runtime) = (Cli::new(), Runtime::new().unwrap());
    let server = runtime.block_on(NatsServer::start()).unwrap();
    let nats = server.url();
    let up = cli.up(&["--nats", &nats, "--nats-monitor", &server.monitor_url()]);
    let passkey = SigningKey::from_seed(Algorithm::EdDsa, [5; 32]).unwrap();
    asking(&Town::over(&cli, "--nats", nats.clone()), &passkey);
    let signed = sign_clear(&cli);
    let outgoing = |step_up: Option<String>| Outgoing {
        name: "cart.clear".to_owned(),
        payload: signed.clone().into(),
        step_up,
        traceparent: None,
    };
    let approved = write_header(&Shown::Webauthn(approve(&passkey, challenge(&signed).unwrap())));
    let (told, receipt) = runtime.block_on(async {
        let client = connect(std::slice::from_ref(&nats)).await.unwrap();
        let sender = CommandSender::open(client, "main".parse().unwrap()).await.unwrap();
        let wait = std::time::Duration::from_secs(30);
        let told = sender.send(outgoing(None), wait).await.unwrap();
        (told, sender.send(outgoing(Some(approved)), wait).await.unwrap())
    });
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["refusal"]["code"], "mfa_required", "{told}");
    let receipt: Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt["receipt"]["outcome"], "unchanged", "{receipt}");
    assert_eq!(up.interrupt().0.code(), Some(0));
    cli.ok(&["verify", "--nats", &nats]);
    let tail = cli.ok(&["tail", "--json", "--from", "1", "--nats", &nats]);
    let approved: Vec<Value> = tail
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["metadata"]["start"]["cause"]["command"]["step_up"].is_object())
        .collect();
    assert_eq!(approved.len(), 1);
    let shown = &approved[0]["metadata"]["start"]["cause"]["command"]["step_up"]["webauthn"];
    assert_eq!(shown["credential"], credential(&passkey));
}
