//! A market on JetStream through the binary: commands over NATS, and its log read while it is written.

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::Cli;
use engine::log::EventLog;
use engine::log::jetstream::JetStreamLog;
use serde_json::{Value, json};
use tests::files::copy_folder;
use tests::forge::publish;
use tests::log_contract::{commit_by, market};
use tests::nats::NatsServer;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// A broker, and the runtime that its connections live in.
struct Broker {
    runtime: Runtime,
    server: NatsServer,
}

impl Broker {
    fn start() -> Broker {
        let runtime = Runtime::new().expect("a runtime can be made");
        let server = runtime.block_on(NatsServer::start()).expect("a broker starts");
        Broker { runtime, server }
    }

    /// Tells how many streams there are.
    fn streams(&self) -> u64 {
        let url = format!("{}/jsz", self.server.monitor_url());
        let answer = self.runtime.block_on(async { reqwest::get(url).await?.bytes().await });
        let answer: Value =
            serde_json::from_slice(&answer.expect("the broker tells")).expect("it tells in JSON");
        answer["streams"].as_u64().expect("it counts its streams")
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["metadata"]["type"].as_str()).collect()
}

/// Gives arguments for the log on a broker.
fn on_nats<'a>(arguments: &[&'a str], url: &'a str) -> Vec<&'a str> {
    [arguments, &["--nats", url]].concat()
}

/// A market's people, who give their commands over NATS.
struct Town<'a> {
    cli: &'a Cli,
    nats: String,
    listing: Uuid,
}

impl Town<'_> {
    fn send(&self, code: i32, key: &str, command: &str, body: &Value) -> (Value, String) {
        let file = self.cli.write("wish.json", &json!({ "command": command, "body": body }).to_string());
        let arguments = ["send", "--json", "--nats", &self.nats, "--key", key, &file];
        let (receipt, said) = self.cli.ends(code, &arguments);
        (serde_json::from_str(&receipt).expect("an answer is JSON"), said)
    }

    /// Registers a seller and a buyer, and lets the one have goods and the other money.
    fn found(cli: &Cli, nats: String) -> Town<'_> {
        for (name, role) in [("shop", "seller"), ("alice", "buyer")] {
            cli.ok(&["keys", "new", name]);
            cli.ok(&["keys", "register", name, "--role", role, "--nats", &nats]);
        }
        let alice = cli.json(&["keys", "show", "alice", "--json"])["account"].clone();
        let town = Town { cli, nats, listing: Uuid::now_v7() };
        let listing = town.listing;
        let usd = |minor: i64| json!({ "minor": minor, "currency": "USD" });
        let offer = json!({ "listing": listing, "price": usd(1250), "title": "A record" });
        town.send(0, "shop", "listing.create", &offer);
        town.send(0, "shop", "stock.receive", &json!({ "listing": listing, "quantity": 10 }));
        let fund = json!({ "account": alice, "amount": usd(5000), "reference": "card 1" });
        town.send(0, "provider", "wallet.fund", &fund);
        town
    }

    fn order(&self, quantity: i64) -> Value {
        let lines = json!([{ "listing": self.listing, "quantity": quantity }]);
        let total = json!({ "minor": 1250 * quantity, "currency": "USD" });
        json!({ "lines": lines, "payment_method": "wallet", "total": total })
    }
}

#[test]
fn commands_go_over_nats_and_the_log_is_read_while_it_is_written() {
    let (cli, broker) = (Cli::new(), Broker::start());
    let nats = broker.server.url();
    let up = cli.up(&["--nats", &nats, "--nats-monitor", &broker.server.monitor_url()]);
    let town = Town::found(&cli, nats.clone());

    let mut following =
        cli.command(&["tail", "--nats", &nats, "--follow", "--json", "--type", "order.placed"]);
    let mut following = following.stdout(Stdio::piped()).spawn().expect("tail starts");
    let (receipt, said) = town.send(0, "alice", "order.place", &town.order(2));
    assert!(said.contains("order.place accepted at position"), "{said}");
    let mut followed = BufReader::new(following.stdout.take().expect("it is piped")).lines();
    let first = followed.next().expect("it goes on").expect("it can be read");
    let first: Value = serde_json::from_str(&first).expect("each line is JSON");
    following.kill().expect("it runs");
    following.wait().expect("it ends");
    let order = receipt["receipt"]["events"][0]["subject"].as_str().expect("an order is named").to_owned();
    assert_eq!(first["metadata"]["subject"], order.as_str());
    cli.write("receipt.json", &receipt.to_string());
    cli.write("market.jwk", &cli.ok(&["keys", "show", "market", "--jwk"]));
    cli.ok(&["verify", "receipt", "receipt.json", "--market-key", "market.jwk"]);

    // A rejection has a receipt, a refusal has none.
    let (rejected, said) = town.send(1, "alice", "order.place", &town.order(9));
    assert!(said.contains("rejected"), "{said}");
    assert_eq!(rejected["receipt"]["outcome"], "rejected");
    let (refused, said) = town.send(1, "shop", "order.place", &town.order(1));
    assert!(said.contains("scope_denied"), "{said}");
    assert_eq!(refused["refusal"]["code"], "scope_denied");
    let flat = cli.write("flat.json", r#"{"command": "cart.clear", "body": {}}"#);
    cli.ok(&["send", "--seed-form", "--nats", &nats, "--key", "alice", &flat]);

    // The log, while the market runs.
    let tail = lines(&cli.ok(&on_nats(&["tail", "--json", "--from", "1"], &nats)));
    assert_eq!(types(&tail)[..2], ["market.opened.v1", "market.writer_started.v1"]);
    let of_order = lines(&cli.ok(&on_nats(&["replay", "--json", "--id", &order], &nats)));
    assert_eq!(types(&of_order), ["order.placed.v1", "escrow.held.v1"]);
    let inside = of_order[1]["position"].to_string();
    let part = lines(&cli.ok(&on_nats(&["replay", "--json", "--from", &inside, "--to", &inside], &nats)));
    assert_eq!(part, of_order[1..]);
    let show = format!("order:{order}");
    let at = cli.json(&on_nats(&["replay", "--at", &inside, "--show", &show], &nats));
    assert_eq!(at["state"]["in_escrow"], json!({ "currency": "USD", "minor": 2500 }));
    let running = cli.json(&on_nats(&["verify", "--json"], &nats));
    assert_eq!((&running["verified"], &running["orders"]), (&json!(true), &json!(1)), "{running}");
    assert_eq!(running["unchecked"], json!(["index", "views"]));

    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    // What it had told its reader to try is what was tried here.
    assert!(said.contains(&format!("skylink tail --follow --nats {nats}")), "{said}");
    let stopped = cli.json(&on_nats(&["verify", "--json"], &nats));
    assert_eq!((&stopped["head"], &stopped["unchecked"]), (&running["head"], &json!([])));
    assert!(stopped["checkpoints"].as_array().is_some_and(|seen| seen.len() > 2), "{stopped}");
    // Fed into segment files it is the same log.
    cli.ok(&on_nats(&["replay", "--into", "copy"], &nats));
    let copy = cli.json(&["verify", "--json", "--data", "copy"]);
    for counted in ["head", "events", "commits", "commands", "signatures", "orders", "balances"] {
        assert_eq!(copy[counted], stopped[counted], "{counted}");
    }
    // What stands beside segment files was not made from a log on a broker.
    let (_, said) = cli.ends(2, &on_nats(&["verify", "--data", "copy"], &nats));
    assert!(said.contains("copy holds a log of its own in segment files"), "{said}");
}

#[test]
fn a_log_that_is_not_there_is_told_and_not_made() {
    let (cli, broker) = (Cli::new(), Broker::start());
    let nats = broker.server.url();
    for command in [&["tail"][..], &["replay"], &["replay", "--into", "copy"], &["verify"]] {
        let (_, said) = cli.ends(2, &[command, &["--nats", &nats]].concat());
        assert!(said.contains("no log of market main"), "{said}");
        assert!(said.contains("`skylink up --nats`") && said.contains("--market"), "{said}");
    }
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "new", "market"]);
    let file = cli.write("clear.json", r#"{"command": "cart.clear", "body": {}}"#);
    let (_, said) = cli.ends(2, &["send", "--nats", &nats, "--key", "alice", &file]);
    assert!(said.contains("nothing was sent") && said.contains("`skylink up --nats`"), "{said}");
    assert_eq!(broker.streams(), 0);
    assert!(!cli.path("copy").exists());

    drop(broker);
    for command in [&["verify"][..], &["send", "--key", "alice", &file], &["up", "--listen", "127.0.0.1:0"]] {
        let (_, said) = cli.ends(2, &[command, &["--nats", &nats]].concat());
        assert!(said.contains(&format!("the broker at {nats} can't be reached")), "{said}");
    }
}

#[test]
fn receipts_over_nats_are_checked_with_the_markets_key() {
    let (cli, broker) = (Cli::new(), Broker::start());
    let nats = broker.server.url();
    let up = cli.up(&["--nats", &nats]);
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "register", "alice", "--role", "buyer", "--nats", &nats]);
    // Alice's own machine has her key, and not the market's.
    let hers = cli.path("hers/keys");
    std::fs::create_dir_all(&hers).expect("a folder can be made");
    let key = "alice.key.json";
    std::fs::copy(cli.path("data/keys").join(key), hers.join(key)).expect("a key can be copied");
    let file = cli.write("clear.json", r#"{"command": "cart.clear", "body": {}}"#);
    let send = ["send", "--data", "hers", "--nats", &nats, "--key", "alice", &file];
    let (_, said) = cli.ends(2, &send);
    assert!(said.contains("--market-key") && said.contains("skylink keys show market --jwk"), "{said}");
    cli.write("market.jwk", &cli.ok(&["keys", "show", "market", "--jwk"]));
    cli.ok(&[&send[..], &["--market-key", "market.jwk"]].concat());
    cli.write("other.jwk", &cli.ok(&["keys", "show", "operator", "--jwk"]));
    let (_, said) = cli.ends(2, &[&send[..], &["--market-key", "other.jwk"]].concat());
    assert!(said.contains(&format!("do not trust {nats}")), "{said}");
    assert_eq!(up.interrupt().0.code(), Some(0));
    // Nobody decides any more, which is not a "no".
    let (_, said) = cli.ends(2, &[&send[..], &["--market-key", "market.jwk"]].concat());
    assert!(said.contains("is not known") && said.contains(&format!("--nats {nats}")), "{said}");
}

#[test]
fn a_log_that_ends_inside_a_commit_is_saved_up_to_there_and_goes_on_on_segment_files() {
    let (cli, broker) = (Cli::new(), Broker::start());
    let nats = broker.server.url();
    assert_eq!(cli.up(&["--nats", &nats, "--nats-log-bytes", "50000000"]).interrupt().0.code(), Some(0));
    let before = cli.json(&["verify", "--nats", &nats, "--json"])["head"].clone();
    broker.runtime.block_on(async {
        let client = async_nats::connect(&nats).await.expect("the broker runs");
        let context = async_nats::jetstream::new(client.clone());
        let stream = context.get_stream("EVT_main").await.expect("it holds the log");
        assert_eq!(stream.cached_info().config.max_bytes, 50_000_000);
        let log = JetStreamLog::open_reader(client, market()).await.expect("there is a log");
        let commit = commit_by(1, log.head().await.expect("it has an end"), 3);
        for event in &commit.events()[..2] {
            publish(&context, event).await.expect("the broker takes it");
        }
    });
    let (_, said) = cli.ends(2, &["up", "--listen", "127.0.0.1:0", "--nats", &nats]);
    assert!(said.contains("inside the commit") && said.contains("skylink replay --into"), "{said}");
    let (_, said) = cli.ends(1, &["replay", "--into", "copy", "--nats", &nats]);
    assert!(said.contains(&format!("Written up to position {}", before["position"])), "{said}");
    copy_folder(&cli.path("data/keys"), &cli.path("copy/keys")).expect("the keys can be copied");
    assert_eq!(cli.json(&["verify", "--json", "--data", "copy"])["head"], before);
    assert_eq!(cli.up(&["--data", "copy"]).interrupt().0.code(), Some(0));
}

#[test]
fn what_no_engine_wrote_is_found_and_its_sequence_named() {
    let (cli, broker) = (Cli::new(), Broker::start());
    let nats = broker.server.url();
    assert_eq!(cli.up(&["--nats", &nats]).interrupt().0.code(), Some(0));
    let report = cli.json(&["verify", "--nats", &nats, "--json"]);
    let end = report["head"]["position"].as_u64().expect("the log has an end");
    broker.runtime.block_on(async {
        let client = async_nats::connect(&nats).await.expect("the broker runs");
        let stream = async_nats::jetstream::new(client);
        let forged = stream.publish("evt.main.order.placed", "{}".into()).await.expect("it is sent");
        assert_eq!(forged.await.expect("it is stored").sequence, end + 1);
    });
    let (_, said) = cli.ends(1, &["verify", "--nats", &nats]);
    assert!(said.contains("WRONG") && said.contains(&format!("sequence {}", end + 1)), "{said}");
    let (shown, _) = cli.ends(1, &["verify", "--nats", &nats, "--json"]);
    assert_eq!(lines(&shown)[0]["verified"], false);
}

#[test]
fn receipts_over_nats_hold_across_a_rotation_of_the_markets_key() {
    let (cli, broker) = (Cli::new(), Broker::start());
    let nats = broker.server.url();
    let up = cli.up(&["--nats", &nats]);
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "register", "alice", "--role", "buyer", "--nats", &nats]);
    // Alice's own machine trusts the first key, and hears of no gateway.
    let hers = cli.path("hers/keys");
    std::fs::create_dir_all(&hers).expect("a folder can be made");
    std::fs::copy(cli.path("data/keys/alice.key.json"), hers.join("alice.key.json")).expect("it is there");
    cli.write("first.jwk", &cli.ok(&["keys", "show", "market", "--jwk"]));
    let file = cli.write("clear.json", r#"{"command": "cart.clear", "body": {}}"#);
    let send = |trusted: &str| {
        let send = ["send", "--json", "--data", "hers", "--nats", &nats, "--key", "alice"];
        let receipt = cli.json(&[&send[..], &["--market-key", trusted, &file]].concat());
        let header =
            receipt["group"].as_str().and_then(|group| group.split('.').next()).expect("it is signed");
        let header = URL_SAFE_NO_PAD.decode(header).expect("a header is base64url");
        let header: Value = serde_json::from_slice(&header).expect("a header is JSON");
        header["kid"].clone()
    };
    let kid = |name: &str| cli.json(&["keys", "show", name, "--json"])["kid"].clone();
    assert_eq!(kid("market"), send("first.jwk"));

    cli.ok(&["keys", "rotate-market", "--url", &up.url()]);
    let second = kid("market-2");
    assert_eq!(second, send("first.jwk"), "what leads to the new key is asked for");
    cli.write("second.jwk", &cli.ok(&["keys", "show", "market-2", "--jwk"]));
    assert_eq!(second, send("second.jwk"));
    cli.ok(&["keys", "retire-market", "--url", &up.url()]);
    assert_eq!(second, send("first.jwk"));
    assert_eq!(up.interrupt().0.code(), Some(0));
    let up = cli.up(&["--nats", &nats]);
    assert_eq!(second, send("first.jwk"), "after a restart, too");
    cli.ok(&["keys", "rotate-market", "--url", &up.url()]);
    assert_eq!(kid("market-3"), send("first.jwk"), "over two rotations");

    // To whoever trusts another key none of that leads.
    cli.write("other.jwk", &cli.ok(&["keys", "show", "operator", "--jwk"]));
    let send =
        ["send", "--data", "hers", "--nats", &nats, "--key", "alice", "--market-key", "other.jwk", &file];
    let (_, said) = cli.ends(2, &send);
    assert!(said.contains(&format!("do not trust {nats}")), "{said}");
    assert_eq!(up.interrupt().0.code(), Some(0));
}
