//! Addresses that are told what happens, over real HTTP: what they get, how it is signed, and what becomes of those that do not take it.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use commands::command::{
    OrderLine, PaymentMethod, PlaceOrder, RegisterAccount, RegisterDevice, RotateWebhookSecret,
    SuspendAccount, UpdateWebhook,
};
use commands::personal::{Personal, write_header};
use commands::{Command, receipt::Outcome};
use engine::clock::{Clock, ManualClock};
use engine::{Beside, Reply};
use events::account::Role;
use events::ids::{ListingId, WebhookId};
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use gateway::webhooks::WebhooksConfig;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::told::{Answers, Receiver, SECRET, accepted_with, asked, personal, register, registered, until};
use support::{Person, START, Shop, json_of, market_name, problem, usd};
use uuid::Uuid;

const DAY_MS: i64 = 86_400_000;
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDJ+V2hTbSKQU=";

fn purchase(listing: ListingId) -> PlaceOrder {
    let lines = vec![OrderLine { listing, quantity: support::units(1), quote: None }];
    PlaceOrder::new(lines, PaymentMethod::Wallet, usd(100))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_told_in_order_what_its_owner_may_see_and_asked_for() {
    let shop = Shop::open().await;
    let (seller, other) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Seller]).await);
    let operator = shop.person(&[Role::Operator]).await;
    let (mut told, mut all) = (Receiver::open().await, Receiver::open().await);
    let webhook = registered(&shop, &seller, &told.url, &["order.*"]).await;
    registered(&shop, &operator, &all.url, &["order.placed", "listing.*"]).await;
    let (own, others) = (shop.listing(&seller, 100, 9).await, shop.listing(&other, 100, 9).await);
    let buyer = shop.funded_buyer(1_000).await;
    for listing in [own, others, own] {
        shop.accepted(&buyer, purchase(listing)).await;
    }
    let (first, second) = (told.next().await, told.next().await);
    for got in [&first, &second] {
        got.is_signed_with(&[SECRET]);
        support::documented::check_named("CloudEvent", &got.data());
        assert_eq!(got.header("content-type"), "application/json");
        assert_eq!(
            (got.header("webhook-id"), got.type_name().as_str()),
            (got.data()["id"].as_str().unwrap(), "order.placed.v1")
        );
        assert_eq!(got.data()["data"]["seller"], seller.account.to_string());
        let timestamp: i64 = got.header("webhook-timestamp").parse().unwrap();
        assert_eq!(timestamp, START.ms() / 1000);
    }
    assert!(second.data()["position"].as_u64() > first.data()["position"].as_u64());
    let mut types = Vec::new();
    for _ in 0..5 {
        types.push(all.next().await.type_name());
    }
    let expected =
        ["listing.created.v1", "listing.created.v1", "order.placed.v1", "order.placed.v1", "order.placed.v1"];
    assert_eq!(types, expected);

    let path = format!("/v1/webhooks/{webhook}");
    let attempts = until(&shop, &seller, &format!("{path}/attempts"), |found| {
        found["attempts"].as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(attempts["attempts"][0]["message"], second.header("webhook-id"));
    assert_eq!((&attempts["attempts"][1]["status"], &attempts["next_cursor"]), (&204.into(), &Value::Null));
    let page = asked(&shop, &seller, &format!("{path}/attempts?limit=1")).await;
    let next =
        asked(&shop, &seller, &format!("{path}/attempts?limit=1&cursor={}", page["next_cursor"])).await;
    assert_eq!((&next["attempts"][0]["attempt"], &next["next_cursor"]), (&1.into(), &Value::Null));
    let list = asked(&shop, &seller, "/v1/webhooks").await;
    assert_eq!(
        (&list["webhooks"][0]["state"], list["webhooks"].as_array().unwrap().len()),
        (&"on".into(), 1)
    );
    assert_eq!(list["webhooks"][0]["webhook"], webhook.to_string());
    // Nobody else sees it, but operators.
    for path in [path.clone(), format!("{path}/attempts")] {
        problem(shop.get(&path).bearer_auth(shop.token(&other).await), 404, "not_found").await;
        asked(&shop, &operator, &path).await;
    }
    let of_all = asked(&shop, &operator, "/v1/webhooks?all=true").await;
    assert_eq!(of_all["webhooks"].as_array().unwrap().len(), 2, "{of_all}");
    let others = format!("/v1/webhooks?account={}", seller.account);
    for path in [others.as_str(), "/v1/webhooks?all=true"] {
        problem(shop.get(path).bearer_auth(shop.token(&other).await), 403, "scope_denied").await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_until_it_is_taken_and_the_next_one_behind_it() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    told.will_answer(&[Answers::Status(500), Answers::Nothing, Answers::Elsewhere]);
    let webhook = registered(&shop, &seller, &told.url, &["listing.created"]).await;
    shop.listing(&seller, 100, 9).await;
    shop.listing(&seller, 200, 9).await;
    let first = told.next().await;
    for _ in 0..3 {
        let again = told.next().await;
        assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
        again.is_signed_with(&[SECRET]);
    }
    let second = told.next().await;
    assert_ne!(second.header("webhook-id"), first.header("webhook-id"));
    let path = format!("/v1/webhooks/{webhook}/attempts");
    let found = until(&shop, &seller, &path, |found| found["attempts"].as_array().unwrap().len() == 5).await;
    let outcomes = found["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["status"].as_u64(), one["error"].as_str()));
    let expected = [
        (Some(204), None),
        (Some(204), None),
        (Some(302), None),
        (None, Some("timed_out")),
        (Some(500), None),
    ];
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
    let shown = asked(&shop, &seller, &format!("/v1/webhooks/{webhook}")).await;
    assert_eq!((&shown["state"], &shown["failures"]), (&"on".into(), &0.into()));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_takes_nothing_is_switched_off_and_goes_on_where_it_was() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    told.always_answers(Answers::Status(500));
    let webhook = registered(&shop, &seller, &told.url, &["listing.created"]).await;
    let path = format!("/v1/webhooks/{webhook}");
    // It fails, and three days later again.
    shop.listing(&seller, 100, 9).await;
    let missed = told.next().await;
    shop.clock.advance_to(shop.now().plus_ms(3 * DAY_MS));
    let state = |state: &'static str| move |found: &Value| found["state"] == state;
    let off = until(&shop, &seller, &path, state("disabled")).await;
    assert_eq!(off["disabled"], "failing");
    told.always_answers(Answers::Status(204));
    while told.got.try_recv().is_ok() {}
    shop.listing(&seller, 200, 9).await;
    let on = UpdateWebhook { on: Some(true), types: None, url: None, webhook };
    shop.accepted(&seller, on).await;
    assert_eq!(told.next().await.header("webhook-id"), missed.header("webhook-id"), "nothing is lost");
    assert_eq!(told.next().await.data()["data"]["price"]["minor"], 200);
    until(&shop, &seller, &path, state("on")).await;
    // Nobody is there any more.
    told.will_answer(&[Answers::Status(410)]);
    shop.listing(&seller, 300, 9).await;
    let off = until(&shop, &seller, &path, state("disabled")).await;
    assert_eq!((&off["disabled"], &off["failures"]), (&"gone".into(), &1.into()));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_signed_with_two_secrets_while_one_takes_the_place_of_the_other() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["listing.created"]).await;
    let secret = personal(OTHER_SECRET);
    let keep_ms = DAY_MS.try_into().unwrap();
    let rotate = RotateWebhookSecret { keep_ms, secret: secret.hash(), webhook };
    accepted_with(&shop, &seller, rotate.into(), &secret).await;
    shop.listing(&seller, 100, 9).await;
    told.next().await.is_signed_with(&[OTHER_SECRET, SECRET]);
    let shown = asked(&shop, &seller, &format!("/v1/webhooks/{webhook}")).await;
    assert_eq!(shown["old_secret_until"], START.ms() + DAY_MS, "{shown}");
    shop.clock.advance_to(START.plus_ms(DAY_MS));
    shop.listing(&seller, 100, 9).await;
    told.next().await.is_signed_with(&[OTHER_SECRET]);
    // What is no secret is not taken, and one that does not come beside the command neither.
    let bad = personal("whsec_short");
    let id = WebhookId::from_uuid(Uuid::now_v7());
    let signed = || seller.sign(register(id, &told.url, &["*"], &bad), shop.now());
    let post = |signed: String| shop.post("/v1/commands", "application/jose", signed);
    problem(post(signed()).header("Skylink-Personal", write_header([&bad])), 400, "personal_invalid").await;
    problem(post(signed()), 400, "personal_missing").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_told_again_when_its_owner_asks() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let operator = shop.person(&[Role::Operator]).await;
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["listing.created"]).await;
    let path = format!("/v1/webhooks/{webhook}/again");
    let again = async |who: &Person, body: Value| {
        shop.post(&path, "application/json", body.to_string()).bearer_auth(shop.token(who).await)
    };
    for price in [100, 200] {
        shop.listing(&seller, price, 9).await;
    }
    let (first, second) = (told.next().await, told.next().await);
    let position = first.data()["position"].clone();
    // One message, now; where it stands stays.
    told.will_answer(&[Answers::Status(503)]);
    let (status, answer) = json_of(again(&seller, json!({"position": position})).await).await;
    assert_eq!((status, &answer["attempt"]["status"]), (StatusCode::OK, &503.into()), "{answer}");
    assert_eq!(answer["attempt"]["again"], true);
    assert_eq!(told.next().await.header("webhook-id"), first.header("webhook-id"));
    // All from there on.
    let (status, answer) = json_of(again(&seller, json!({"from": position})).await).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"attempt": null})));
    assert_eq!(told.next().await.header("webhook-id"), first.header("webhook-id"));
    assert_eq!(told.next().await.header("webhook-id"), second.header("webhook-id"));
    shop.listing(&seller, 300, 9).await;
    assert_eq!(told.next().await.data()["data"]["price"]["minor"], 300, "and so on");

    // An operator may, too, and sends nobody what is not for him; others do not know of it.
    let (status, answer) = json_of(again(&operator, json!({"position": position})).await).await;
    assert_eq!((status, &answer["attempt"]["status"]), (StatusCode::OK, &204.into()), "{answer}");
    assert_eq!(told.next().await.header("webhook-id"), first.header("webhook-id"));
    problem(again(&operator, json!({"position": 1})).await, 404, "not_found").await;
    let other = shop.person(&[Role::Seller]).await;
    problem(again(&other, json!({"from": 1})).await, 404, "not_found").await;
    problem(again(&seller, json!({"from": 100_000})).await, 400, "query_invalid").await;
    problem(again(&seller, json!({"from": 1, "position": 2})).await, 400, "query_invalid").await;
    // The market's opening is none of a seller's business.
    problem(again(&seller, json!({"position": 1})).await, 404, "not_found").await;
    // Whoever is suspended is told of nothing.
    let reason = "r".to_owned().try_into().unwrap();
    shop.accepted(&operator, SuspendAccount { account: seller.account, reason }).await;
    problem(again(&operator, json!({"position": position})).await, 403, "account_suspended").await;
    shop.close().await;
}

/// A market in a folder, which is closed and opened again.
struct Reopened {
    node: Node,
    registrar: Person,
    clock: Arc<ManualClock>,
}

impl Reopened {
    async fn open(dir: &std::path::Path, allows_private: bool) -> Reopened {
        let clock = Arc::new(ManualClock::new(START));
        let retry_ms = vec![1];
        let attempts_max = u32::MAX;
        let webhooks = WebhooksConfig { allows_private, retry_ms, attempts_max, ..WebhooksConfig::default() };
        let config =
            NodeConfig { verify_threads: 1, webhooks, ..NodeConfig::new(market_name(), dir.to_owned()) };
        let node = Node::start(config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let stored = node.keys().get(REGISTRAR_KEY).unwrap();
        let registrar = Person::with(stored.account, stored.device, stored.signing());
        Reopened { node, registrar, clock }
    }

    async fn accepted(&self, who: &Person, command: impl Into<Command>, personal: Option<&Personal>) {
        let signed = who.sign(command, self.clock.now());
        let personal = personal.map(|one| write_header([one]));
        let beside = Beside { personal, ..Beside::default() };
        let reply = self.node.handle().submit_with(signed.into(), None, beside).await;
        let Reply::Receipt(receipt) = reply else { panic!("{reply:?}") };
        assert_eq!(receipt.receipt.outcome, Outcome::Accepted, "{receipt:?}");
    }

    async fn lists(&self, seller: &Person, price: i64) {
        let title = "A lamp".to_owned().try_into().unwrap();
        let listing = ListingId::from_uuid(Uuid::now_v7());
        self.accepted(seller, commands::command::CreateListing::new(listing, usd(price), title), None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_over_a_restart_and_nothing_sent_to_this_machine_unless_that_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Receiver::open().await;
    let seller = Person::new();
    let market = Reopened::open(dir.path(), false).await;
    let (account, device, key) = (seller.account, seller.device, seller.key.public());
    market.accepted(&market.registrar, RegisterAccount { account, roles: [Role::Seller].into() }, None).await;
    market.accepted(&market.registrar, RegisterDevice::new(account, device, key), None).await;
    let (webhook, secret) = (WebhookId::from_uuid(Uuid::now_v7()), personal(SECRET));
    market
        .accepted(&seller, register(webhook, &told.url, &["listing.created"], &secret), Some(&secret))
        .await;
    market.lists(&seller, 100).await;
    market.lists(&seller, 200).await;
    market.node.shutdown().await;
    assert!(told.got.try_recv().is_err(), "this machine is not the internet");

    let market = Reopened::open(dir.path(), true).await;
    let prices =
        [told.next().await, told.next().await].map(|got| got.data()["data"]["price"]["minor"].clone());
    assert_eq!(prices, [100, 200]);
    market.lists(&seller, 300).await;
    assert_eq!(told.next().await.data()["data"]["price"]["minor"], 300);
    market.node.shutdown().await;

    let market = Reopened::open(dir.path(), true).await;
    market.lists(&seller, 400).await;
    let mut next = told.next().await;
    // What was taken when the process stopped may come a second time, and nothing else does.
    if next.data()["data"]["price"]["minor"] == 300 {
        next = told.next().await;
    }
    assert_eq!(next.data()["data"]["price"]["minor"], 400);
    market.node.shutdown().await;
}
