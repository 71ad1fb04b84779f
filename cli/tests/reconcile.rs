//! A provider's own file compared with the ledger, while the market runs: the sandbox takes payments, gives some back and pays a
//! seller out, and writes its file from its own books.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops where it is")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Cli, Up};
use serde_json::{Value, json};
use tests::nats::NatsServer;
use tokio::runtime::Runtime;
use uuid::Uuid;

fn usd(minor: i64) -> Value {
    json!({ "minor": minor, "currency": "USD" })
}

/// A running market with a buyer, a seller and an operator.
struct Trade {
    cli: Cli,
    up: Up,
    url: String,
    provider: Value,
    /// Where the log is, if it is not in the folder.
    log: Vec<String>,
}

impl Trade {
    fn open() -> Trade {
        Trade::on(&[], vec![])
    }

    fn on(up: &[&str], log: Vec<String>) -> Trade {
        let cli = Cli::new();
        let up = cli.up(up);
        let url = up.url();
        for (name, role) in [("seller", "seller"), ("alice", "buyer"), ("olga", "operator")] {
            cli.ok(&["keys", "new", name]);
            cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
        }
        let provider = cli.json(&["keys", "show", "provider-sandbox", "--json"])["account"].clone();
        Trade { cli, up, url, provider, log }
    }

    /// Adds to arguments where the log is.
    fn reading<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        arguments.iter().copied().chain(self.log.iter().map(String::as_str)).collect()
    }

    /// Gives a command that is accepted; gives the subject of its event of a type.
    fn give(&self, key: &str, command: &str, body: Value) -> Value {
        let wish = json!({ "command": command, "body": body }).to_string();
        let file = self.cli.write("wish.json", &wish);
        self.cli.json(&["send", "--json", "--url", &self.url, "--key", key, &file])
    }

    /// Waits for so many events of a type, and gives the last one's subject.
    fn wait(&self, type_name: &str, count: usize) -> String {
        let arguments = ["tail", "--follow", "--json", "--from", "1", "--type", type_name];
        let mut tail = self.cli.command(&self.reading(&arguments)).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        let last = (0..count).map(|_| lines.next().unwrap().unwrap()).last().unwrap();
        tail.kill().unwrap();
        tail.wait().unwrap();
        serde_json::from_str::<Value>(&last).unwrap()["metadata"]["subject"].as_str().unwrap().to_owned()
    }

    fn method(&self, token: &str) -> Value {
        json!({ "provider": self.provider, "token": token })
    }

    /// Pays into a wallet and for an order, gives a part back, and pays the seller out, once in vain.
    fn trade(&self) {
        let listing = Uuid::now_v7();
        self.give(
            "seller",
            "listing.create",
            json!({ "listing": listing, "price": usd(2000), "title": "Tea" }),
        );
        self.give("seller", "stock.receive", json!({ "listing": listing, "quantity": 3 }));
        self.give(
            "alice",
            "payment.request",
            json!({ "amount": usd(5000), "method": self.method("tok_approve") }),
        );
        let payment = self.wait("payment.captured", 1);
        let tenders = json!({ "tenders": { "provider": self.method("tok_timeout_approved") } });
        let lines = json!([{ "listing": listing, "quantity": 1 }]);
        let place = json!({ "lines": lines, "payment_method": tenders, "total": usd(2000) });
        self.give("alice", "order.place", place);
        let order = self.wait("order.paid", 1);
        self.give("alice", "payment.refund", json!({ "amount": usd(1234), "payment": payment }));
        self.wait("payment.refunded", 1);
        self.give("seller", "order.ship", json!({ "order": order }));
        self.give("alice", "order.confirm_delivery", json!({ "order": order }));
        self.give(
            "seller",
            "payout.request",
            json!({ "amount": usd(700), "to": self.method("acct_fail_closed") }),
        );
        self.wait("payout.failed", 1);
        self.give("seller", "payout.request", json!({ "amount": usd(1500), "to": self.method("acct_1") }));
        self.wait("payout.paid", 1);
    }

    /// Compares a file, and gives what was found; `code` is how it ends.
    fn compare(&self, code: i32, file: &str, more: &[&str]) -> (Value, String) {
        self.cli.write("provider.csv", file);
        let asked = ["reconcile", "provider.csv", "--provider", "sandbox", "--grace-minutes", "0", "--json"];
        let (found, said) = self.cli.ends(code, &self.reading(&[&asked, more].concat()));
        (serde_json::from_str(&found).unwrap_or_default(), said)
    }
}

/// Gives a file with another list of movements, and counts them anew.
fn with_movements(file: &str, change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    let end = lines.pop().unwrap();
    let mut movements = lines.split_off(2);
    change(&mut movements);
    let [kind, _, rest] = end.splitn(3, ',').collect::<Vec<_>>().try_into().unwrap();
    let end = format!("{kind},{},{rest}", movements.len());
    lines.into_iter().chain(movements).chain([end]).map(|line| line + "\n").collect()
}

fn classes(found: &Value) -> Vec<String> {
    let breaks = found["breaks"].as_array().unwrap();
    breaks.iter().map(|one| one["difference"].as_object().unwrap().keys().next().unwrap().clone()).collect()
}

#[test]
fn the_sandboxes_own_file_is_what_the_ledger_says_and_every_forgery_is_found() {
    let trade = Trade::open();
    trade.trade();
    let file = trade.cli.ok(&["sandbox", "statement"]);
    let (found, _) = trade.compare(0, &file, &[]);
    assert_eq!(
        (&found["good"], &found["matched"], &found["in_flight"]),
        (&json!(true), &json!(4), &json!(0))
    );
    let moved = 5000 + 2000 - 1234 - 1500;
    assert_eq!(found["totals"], json!([{ "fees": usd(70), "ours": usd(moved), "theirs": usd(moved) }]));
    let said = trade.cli.ok(&["reconcile", "provider.csv", "--provider", trade.provider.as_str().unwrap()]);
    assert!(said.ends_with("4 the same, 0 in flight, 0 breaks\n"), "{said}");

    let line_of = |movements: &[String], kind: &str| {
        movements.iter().position(|line| line.starts_with(&format!("{kind},"))).unwrap()
    };
    type Forgery<'a> = (&'a str, Box<dyn FnOnce(&mut Vec<String>) + 'a>);
    let forgeries: Vec<Forgery<'_>> = vec![
        ("missing_at_provider", Box::new(|lines| drop(lines.remove(line_of(lines, "refund"))))),
        (
            "amount_differs",
            Box::new(|lines| {
                let at = line_of(lines, "payout");
                lines[at] = lines[at].replace("-15.00", "-15.01");
            }),
        ),
        (
            "currency_differs",
            Box::new(|lines| {
                let at = line_of(lines, "payment");
                lines[at] = lines[at].replace(",USD,", ",EUR,");
            }),
        ),
        ("duplicate_at_provider", Box::new(|lines| lines.push(lines[line_of(lines, "payout")].clone()))),
        (
            "missing_in_ledger",
            Box::new(|lines| {
                let one = lines[line_of(lines, "payment")].replacen("sbx_", "sbx_other_", 1);
                lines.push(one);
            }),
        ),
    ];
    for (class, forge) in forgeries {
        let (found, _) = trade.compare(1, &with_movements(&file, forge), &[]);
        assert_eq!(classes(&found), [class], "{found}");
    }
    // Nobody reported anything, so nothing was changed.
    assert_eq!(trade.cli.ok(&["tail", "--from", "1", "--type", "reconciliation.reported"]), "");
    assert_eq!(trade.up.interrupt().0.code(), Some(0));
}

#[test]
fn what_differs_is_reported_once_and_resolved_by_operators_alone() {
    let trade = Trade::open();
    trade.trade();
    let file = trade.cli.ok(&["sandbox", "statement"]);
    let forged = with_movements(&file, |lines| lines.truncate(lines.len() - 1));
    let report = ["--report", "olga", "--url", &trade.url];
    let (found, said) = trade.compare(1, &forged, &report);
    assert_eq!(classes(&found), ["missing_at_provider"]);
    assert!(said.contains("reconciliation.report accepted"), "{said}");
    let (_, said) = trade.compare(1, &forged, &report);
    assert!(said.contains("it was so already"), "{said}");
    let events = trade.cli.ok(&["tail", "--from", "1", "--json", "--type", "reconciliation.reported"]);
    let event: Value = serde_json::from_str(&events).unwrap();
    let payload = &event["payload"];
    assert_eq!((&payload["file"], &payload["matched"]), (&found["file"], &json!(3)), "{event}");
    assert_eq!(payload["opened"][0]["found"], found["breaks"][0], "{event}");
    // The same break in another file is the same break.
    let other = forged.replacen("payment,", "\"payment\",", 1);
    trade.compare(1, &other, &report);
    let events = trade.cli.ok(&["tail", "--from", "1", "--json", "--type", "reconciliation.reported"]);
    let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!((&last["payload"]["opened"], &last["payload"]["already_open"]), (&json!([]), &json!(1)));

    let body = json!({ "number": 1, "reason": "the file was cut by hand" });
    let wish = trade
        .cli
        .write("resolve.json", &json!({ "command": "reconciliation.resolve", "body": body }).to_string());
    let (_, said) = trade.cli.ends(1, &["send", "--url", &trade.url, "--key", "alice", &wish]);
    assert!(said.contains("scope_denied"), "{said}");
    trade.cli.ok(&["send", "--url", &trade.url, "--key", "olga", &wish]);
    let (_, said) = trade.cli.ends(1, &["send", "--url", &trade.url, "--key", "olga", &wish]);
    assert!(said.contains("is not open"), "{said}");
    // A good file too is reported by operators alone.
    let (_, said) = trade.compare(1, &file, &["--report", "alice", "--url", &trade.url]);
    assert!(said.contains("scope_denied"), "{said}");
    assert_eq!(trade.up.interrupt().0.code(), Some(0));
    // What was reported is decided again from the log, and moved no money.
    trade.cli.ok(&["verify"]);
    trade.cli.ok(&["ledger", "check"]);
}

#[test]
fn the_log_on_a_broker_is_compared_while_the_market_runs() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(NatsServer::start()).unwrap();
    let (nats, monitor) = (server.url(), server.monitor_url());
    let log = vec!["--nats".to_owned(), nats.clone()];
    let trade = Trade::on(&["--nats", &nats, "--nats-monitor", &monitor], log);
    trade.trade();
    let file = trade.cli.ok(&["sandbox", "statement"]);
    let (found, _) = trade.compare(0, &file, &[]);
    assert_eq!((&found["good"], &found["matched"]), (&json!(true), &json!(4)), "{found}");
    let forged = with_movements(&file, |lines| lines.truncate(lines.len() - 1));
    let (found, said) = trade.compare(1, &forged, &["--report", "olga", "--url", &trade.url]);
    assert_eq!(classes(&found), ["missing_at_provider"]);
    assert!(said.contains("reconciliation.report accepted"), "{said}");
    // What was reported stands in the log on the broker.
    let asked = ["tail", "--from", "1", "--json", "--type", "reconciliation.reported"];
    let event: Value = serde_json::from_str(&trade.cli.ok(&trade.reading(&asked))).unwrap();
    assert_eq!(event["payload"]["opened"][0]["found"], found["breaks"][0], "{event}");
    assert_eq!(trade.up.interrupt().0.code(), Some(0));
    trade.cli.ok(&["verify", "--nats", &nats]);
}

#[test]
fn a_file_that_is_not_understood_does_nothing_and_tells_the_line() {
    let cli = Cli::new();
    assert_eq!(cli.up(&[]).interrupt().0.code(), Some(0));
    let compare = |file: &str, more: &[&str]| {
        cli.write("provider.csv", file);
        cli.ends(2, &[&["reconcile", "provider.csv", "--provider", "sandbox"][..], more].concat()).1
    };
    let day = |rest: &str| {
        format!("kind,reference,time,currency,amount,fee\nbegin,,2025-07-29T00:00:00Z,,,\n{rest}")
    };
    let said = compare(&day("payment,sbx_1,2025-07-29T01:00:00Z,USD,1.005,0\n"), &[]);
    assert!(said.contains("nothing was done: line 3: `1.005` in column `amount`"), "{said}");
    let said = compare(&day(""), &[]);
    assert!(said.contains("line 2: the file has no `end`"), "{said}");
    let card = "payment,4242 4242 4242 4242,2025-07-29T01:00:00Z,USD,1.00,0\n";
    let said = compare(&day(card), &[]);
    assert!(said.contains("looks like a card's number") && !said.contains("4242"), "{said}");
    let good = day("end,0,2025-07-30T00:00:00Z,,,\n");
    let said = compare(&good, &["--from", "2025-07-28T00:00:00Z"]);
    assert!(said.contains("is about 2025-07-29T00:00:00.000Z to"), "{said}");
    let (_, said) = cli.ends(2, &["reconcile", "provider.csv", "--provider", "nobody"]);
    assert!(said.contains("provider nobody is not known"), "{said}");
    let nobody = Uuid::now_v7().to_string();
    let (_, said) = cli.ends(2, &["reconcile", "provider.csv", "--provider", &nobody]);
    assert!(said.contains("is not registered"), "{said}");
    let stripe = "balance_transaction_id,created_utc,reporting_category,source_id,payment_intent_id,currency,gross,fee,net\n";
    let said = compare(stripe, &[]);
    assert!(said.contains("--from and --to"), "{said}");
    // A sandbox that has moved nothing says so, and that is what the ledger says.
    cli.write("none.csv", &cli.ok(&["sandbox", "statement"]));
    let said = cli.ok(&["reconcile", "none.csv", "--provider", "sandbox"]);
    assert!(said.contains("0 the same, 0 in flight, 0 breaks"), "{said}");
    let (_, said) = cli.ends(2, &["sandbox", "statement", "--data", "elsewhere"]);
    assert!(said.contains("there is no folder elsewhere"), "{said}");
}
