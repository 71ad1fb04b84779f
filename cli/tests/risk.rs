//! Rules of risk on a running market: set by two operators, asked for over HTTP, printed and tried out on its log.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops where it is")]

mod common;

use common::{Cli, Up};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

fn usd(minor: i64) -> Value {
    json!({ "minor": minor, "currency": "USD" })
}

/// Rules that review what is above 30 dollars, and block what is above an amount.
fn rules(most: i64) -> Value {
    let rule = |name: &str, then: &str, above: i64| {
        let when = json!([{ "feature": "purchase.amount", "above": above, "currency": "USD" }]);
        json!({ "name": name, "then": then, "reason": "HIGH_AMOUNT", "when": when })
    };
    let rules = [rule("much", "review", 3_000), rule("too_much", "block", most)];
    let review = json!({ "decide_within_ms": 86_400_000, "sla_ms": 3_600_000, "then": "decline" });
    json!({ "rules": { "elevated": "review", "highest": "block", "review": review, "rules": rules } })
}

struct Market {
    cli: Cli,
    up: Up,
    url: String,
}

impl Market {
    fn open() -> Market {
        let cli = Cli::new();
        let up = cli.up(&[]);
        let url = up.url();
        for (name, role) in
            [("seller", "seller"), ("alice", "buyer"), ("olga", "operator"), ("otto", "operator")]
        {
            cli.ok(&["keys", "new", name]);
            cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
        }
        Market { cli, up, url }
    }

    fn send(&self, code: i32, key: &str, command: &str, body: &Value) -> Value {
        let wish = json!({ "command": command, "body": body }).to_string();
        let file = self.cli.write("wish.json", &wish);
        let (said, _) = self.cli.ends(code, &["send", "--json", "--url", &self.url, "--key", key, &file]);
        serde_json::from_str(&said).unwrap()
    }

    fn give(&self, key: &str, command: &str, body: &Value) -> Value {
        self.send(0, key, command, body)
    }

    /// Asks as somebody, behind all that was given so far.
    fn get(&self, key: &str, path: &str, receipt: &Value) -> (StatusCode, Value) {
        let token = self.cli.ok(&["keys", "token", key, "--url", &self.url]);
        let position = &receipt["receipt"]["position"];
        let between = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{between}min_position={position}", self.url);
        Runtime::new().unwrap().block_on(async {
            let answer = Client::new().get(url).bearer_auth(token.trim()).send().await.unwrap();
            (answer.status(), answer.json().await.unwrap())
        })
    }
}

#[test]
fn operators_set_rules_decide_reviews_and_try_other_rules_out_on_what_happened() {
    let market = Market::open();
    let cli = &market.cli;
    let (_, said) = cli.ends(1, &["risk", "rules"]);
    assert!(said.contains("risk.set_rules"), "{said}");
    let listing = Uuid::now_v7();
    market.give(
        "seller",
        "listing.create",
        &json!({ "listing": listing, "price": usd(1000), "title": "Tea" }),
    );
    market.give("seller", "stock.receive", &json!({ "listing": listing, "quantity": 100 }));
    let alice = cli.json(&["keys", "show", "alice", "--json"])["account"].clone();
    let fund = json!({ "account": alice, "amount": usd(100_000), "reference": "card 1" });
    market.give("provider", "wallet.fund", &fund);
    market.give("olga", "risk.set_rules", &rules(7_000));
    let shown = cli.json(&["risk", "rules"]);
    assert_eq!((&shown["in_force"], &shown["proposed"]["rules"]), (&Value::Null, &rules(7_000)["rules"]));
    let set = market.give("otto", "risk.set_rules", &rules(7_000));
    let shown = cli.json(&["risk", "rules"]);
    assert_eq!((&shown["in_force"]["version"], &shown["proposed"]), (&json!(1), &Value::Null));
    assert_eq!(shown["in_force"]["rules"], rules(7_000)["rules"]);
    // Who proposed them and who agreed is on record.
    let position = set["receipt"]["position"].to_string();
    let asked = ["audit", "--key", "olga", "--url", &market.url, "--min-position", &position, "--limit", "2"];
    let acts = cli.ok(&asked);
    let [agreed, event, proposed, earlier] = acts.lines().collect::<Vec<_>>()[..] else { panic!("{acts}") };
    assert!(agreed.contains("risk.set_rules accepted") && event.contains("risk.rules_set.v1"), "{acts}");
    assert!(
        proposed.contains("risk.set_rules accepted") && earlier.contains("risk.rules_proposed.v1"),
        "{acts}"
    );
    let otto = cli.json(&["keys", "show", "otto", "--json"])["account"].clone();
    let of_otto = cli.json(&[&asked[..], &["--json", "--actor", otto.as_str().unwrap()]].concat());
    assert_eq!(of_otto["acts"].as_array().unwrap().len(), 1, "{of_otto}");
    assert_eq!(of_otto["acts"][0]["command"]["id"], set["receipt"]["command"]);
    let (_, said) = cli.ends(1, &["audit", "--key", "seller", "--url", &market.url]);
    assert!(said.contains("scope_denied"), "{said}");

    let buy = |code, units: i64| {
        let lines = json!([{ "listing": listing, "quantity": units }]);
        let place = json!({ "lines": lines, "payment_method": "wallet", "total": usd(1000 * units) });
        market.send(code, "alice", "order.place", &place)
    };
    buy(0, 1);
    let doubtful = buy(0, 5);
    let order = doubtful["receipt"]["events"][0]["subject"].as_str().unwrap().to_owned();
    let refused = buy(1, 8);
    assert_eq!(refused["receipt"]["reasons"], json!([{ "code": "purchase_declined" }]));

    // Operators see all of it, its buyer that it stands still.
    let (status, list) = market.get("olga", "/v1/risk/reviews", &refused);
    assert_eq!((status, list["reviews"].as_array().unwrap().len()), (StatusCode::OK, 1), "{list}");
    assert_eq!(list["reviews"][0]["order"], json!(order));
    let (_, risk) = market.get("olga", &format!("/v1/orders/{order}/risk"), &refused);
    assert_eq!(risk["assessed"]["matched"]["rule"], "much");
    assert_eq!(risk["assessed"]["features"]["account.purchases.1h"], 1);
    assert_eq!(risk["review"]["then"], "decline");
    let blocked = refused["receipt"]["events"][1]["subject"].as_str().unwrap();
    let (_, risk) = market.get("otto", &format!("/v1/orders/{blocked}/risk"), &refused);
    assert_eq!(risk["assessed"]["outcome"], "block");
    for path in ["/v1/risk/reviews", &format!("/v1/orders/{order}/risk")] {
        assert_eq!(market.get("alice", path, &refused).0, StatusCode::FORBIDDEN);
    }
    let (_, seen) = market.get("alice", &format!("/v1/orders/{order}"), &refused);
    assert_eq!(seen["hold"]["reason"], "risk_review", "{seen}");
    assert!(!seen.to_string().contains("HIGH_AMOUNT"), "{seen}");

    market.give("olga", "risk.claim", &json!({ "order": order }));
    market.give("olga", "risk.label", &json!({ "label": "fraud", "order": order }));
    let decided = market.give("olga", "risk.decide", &json!({ "order": order, "verdict": "decline" }));
    let (_, open) = market.get("otto", "/v1/risk/reviews", &decided);
    assert_eq!(open["reviews"], json!([]));
    let (_, list) = market.get("otto", "/v1/risk/reviews?state=decided&limit=1", &decided);
    assert_eq!(list["reviews"][0]["review"]["verdict"], "decline");
    assert_eq!(list["reviews"][0]["label"]["label"], "fraud");

    // The same rules change nothing of what was done, others do; while the market runs, and the same each time.
    cli.write("same.json", &rules(7_000).to_string());
    cli.write("other.json", &rules(4_000)["rules"].to_string());
    let same = cli.json(&["risk", "backtest", "--rules", "same.json", "--json"]);
    assert_eq!(same["changes"], json!([]), "{same}");
    assert_eq!(same["purchases"], json!({ "all": 3, "fraud": 1, "good": 0 }));
    let other = cli.json(&["risk", "backtest", "--rules", "other.json", "--json"]);
    let change =
        json!([{ "was": "review", "would_be": "block", "count": { "all": 1, "fraud": 1, "good": 0 } }]);
    assert_eq!(other["changes"], change);
    let text = cli.ok(&["risk", "backtest", "--rules", "other.json"]);
    assert!(text.contains("review -> block") && text.contains("100.0 %"), "{text}");
    assert_eq!(text, cli.ok(&["risk", "backtest", "--rules", "other.json"]));
    cli.write("wrong.json", r#"{"rules": {"elevated": "review"}}"#);
    let (_, said) = cli.ends(2, &["risk", "backtest", "--rules", "wrong.json"]);
    assert!(said.contains("docs/risk.md"), "{said}");

    let (status, said) = market.up.terminate();
    assert_eq!(status.code(), Some(0), "{said}");
    // Every judgement is made again from the log, and comes out the same.
    cli.ok(&["verify"]);
    cli.ok(&["ledger", "check"]);
}
