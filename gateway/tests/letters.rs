//! What an address does not take, over real HTTP: it becomes a letter, waits with all of its subject behind it, is told when somebody
//! asks, and something else in its place if somebody says so.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use commands::command::{
    CreateListing, DropLetter, ReceiveStock, ReplaceLetter, SuspendAccount, UpdateWebhook,
};
use events::account::Role;
use events::ids::{ListingId, WebhookId};
use gateway::webhooks::WebhooksConfig;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use support::told::{Answers, Receiver, SECRET, asked, registered, until};
use support::{Person, START, Shop, json_of, problem, units, usd};
use uuid::Uuid;

/// Messages that fail are tried three times.
fn three_attempts() -> WebhooksConfig {
    WebhooksConfig { attempts_max: 3, ..support::webhooks() }
}

/// A listing without stock: whatever is received of it is an event about it.
async fn listing(shop: &Shop, seller: &Person) -> ListingId {
    let listing = ListingId::from_uuid(Uuid::now_v7());
    let title = "A lamp".to_owned().try_into().unwrap();
    shop.accepted(seller, CreateListing::new(listing, usd(100), title)).await;
    listing
}

/// Has something happen to a listing, and gives where it stands in the log.
async fn received(shop: &Shop, seller: &Person, listing: ListingId, count: u32) -> u64 {
    let receive = ReceiveStock { listing, location: None, quantity: units(count) };
    shop.accepted(seller, receive).await["receipt"]["position"].as_u64().unwrap()
}

fn letters_path(webhook: WebhookId) -> String {
    format!("/v1/webhooks/{webhook}/letters")
}

fn members<'a>(found: &'a Value, name: &str) -> &'a [Value] {
    found[name].as_array().unwrap()
}

/// Waits until an address has so many letters, and lists them.
async fn letters(shop: &Shop, who: &Person, webhook: WebhookId, count: usize) -> Value {
    until(shop, who, &letters_path(webhook), |found| members(found, "letters").len() == count).await
}

async fn redriving(shop: &Shop, who: &Person, webhook: WebhookId, which: Value) -> RequestBuilder {
    let path = format!("/v1/webhooks/{webhook}/redrive");
    shop.post(&path, "application/json", which.to_string()).bearer_auth(shop.token(who).await)
}

/// Has letters told, and gives how many lanes and letters that are.
async fn redriven(shop: &Shop, who: &Person, webhook: WebhookId, which: Value) -> (u64, u64) {
    let (status, told) = json_of(redriving(shop, who, webhook, which).await).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    (told["lanes"].as_u64().unwrap(), told["letters"].as_u64().unwrap())
}

async fn positions(told: &mut Receiver, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    for _ in 0..count {
        positions.push(told.next().await.data()["position"].as_u64().unwrap());
    }
    positions
}

fn positions_of(found: &Value) -> Vec<u64> {
    members(found, "letters").iter().map(|letter| letter["position"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_waits_with_all_of_its_subject_and_the_rest_goes_on() {
    let shop = Shop::open().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let (lamp, pot) = (listing(&shop, &seller).await, listing(&shop, &seller).await);
    told.will_answer(&[Answers::Status(422)]);
    let first = received(&shop, &seller, lamp, 1).await;
    let second = received(&shop, &seller, lamp, 2).await;
    let other = received(&shop, &seller, pot, 3).await;
    assert_eq!(positions(&mut told, 2).await, [first, other], "what is behind is not tried");
    let found = letters(&shop, &seller, webhook, 2).await;
    let now = START.ms();
    assert_eq!(
        found["letters"][0],
        json!({
            "position": first, "type": "stock.received.v1", "subject": lamp, "error": "refused", "status": 422,
            "no_answer": null, "attempts": 1, "tried_at": now, "tried_at_rfc3339": START.to_string(),
            "parked_at": now, "parked_at_rfc3339": START.to_string(), "redriving": false, "edit": null,
        })
    );
    let behind = &found["letters"][1];
    assert_eq!((&behind["position"], &behind["error"]), (&second.into(), &"behind".into()));
    assert_eq!((&behind["attempts"], &behind["tried_at"]), (&0.into(), &Value::Null));
    // The address lives.
    let shown = asked(&shop, &seller, &format!("/v1/webhooks/{webhook}")).await;
    assert_eq!(
        (&shown["state"], &shown["letters"], &shown["failures"]),
        (&"on".into(), &2.into(), &0.into())
    );
    // Told when its owner asks, in order, and from then on as before.
    assert_eq!(redriven(&shop, &seller, webhook, json!({})).await, (1, 2));
    assert_eq!(positions(&mut told, 2).await, [first, second]);
    letters(&shop, &operator, webhook, 0).await;
    let third = received(&shop, &seller, lamp, 4).await;
    assert_eq!(positions(&mut told, 1).await, [third]);
    assert_eq!(redriven(&shop, &operator, webhook, json!({})).await, (0, 0));
    let metrics = shop.http.get(format!("{}/metrics", shop.base)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("skylink_webhook_letters "), "{metrics}");
    assert!(metrics.contains(r#"skylink_webhook_messages_total{outcome="refused"}"#), "{metrics}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_a_letter_after_its_last_attempt() {
    let shop = Shop::telling(three_attempts()).await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let (lamp, pot) = (listing(&shop, &seller).await, listing(&shop, &seller).await);
    // Neither says that it will never be taken.
    told.will_answer(&[Answers::Status(408), Answers::Status(429), Answers::Status(503)]);
    let failed = received(&shop, &seller, lamp, 1).await;
    let other = received(&shop, &seller, pot, 1).await;
    assert_eq!(positions(&mut told, 4).await, [failed, failed, failed, other]);
    let found = letters(&shop, &seller, webhook, 1).await;
    let letter = &found["letters"][0];
    assert_eq!((&letter["error"], &letter["attempts"]), (&"failed".into(), &3.into()));
    assert_eq!(letter["status"], 503);
    // Redriven it is tried as often, and then stays what it is.
    told.always_answers(Answers::Status(500));
    assert_eq!(redriven(&shop, &seller, webhook, json!({"error": "failed"})).await, (1, 1));
    assert_eq!(positions(&mut told, 3).await, [failed; 3]);
    let is_over = |found: &Value| found["letters"][0]["redriving"] == false;
    let found = until(&shop, &seller, &letters_path(webhook), is_over).await;
    assert_eq!(found["letters"][0]["attempts"], 6);
    told.always_answers(Answers::Status(204));
    // And it may be refused.
    told.will_answer(&[Answers::Status(404)]);
    redriven(&shop, &seller, webhook, json!({})).await;
    let is_refused = |found: &Value| found["letters"][0]["error"] == "refused";
    let found = until(&shop, &seller, &letters_path(webhook), is_refused).await;
    assert_eq!(
        (&found["letters"][0]["attempts"], &found["letters"][0]["redriving"]),
        (&7.into(), &false.into())
    );
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_fails_for_days_is_switched_off_though_what_failed_is_a_letter() {
    let shop = Shop::telling(three_attempts()).await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    told.always_answers(Answers::Status(500));
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let (lamp, pot) = (listing(&shop, &seller).await, listing(&shop, &seller).await);
    let first = received(&shop, &seller, lamp, 1).await;
    letters(&shop, &seller, webhook, 1).await;
    shop.clock.advance_to(shop.now().plus_ms(3 * 86_400_000));
    // One failure after days of silence is not enough.
    let second = received(&shop, &seller, pot, 1).await;
    let path = format!("/v1/webhooks/{webhook}");
    let off = until(&shop, &seller, &path, |found| found["state"] == "disabled").await;
    assert_eq!(
        (&off["disabled"], &off["letters"], &off["failures"]),
        (&"failing".into(), &1.into(), &2.into())
    );
    assert_eq!(positions(&mut told, 5).await, [first, first, first, second, second]);
    // Switched on it goes on where it stood, and what is asked for meanwhile is told then.
    told.always_answers(Answers::Status(204));
    assert_eq!(redriven(&shop, &seller, webhook, json!({})).await, (1, 1));
    shop.accepted(&seller, UpdateWebhook { on: Some(true), types: None, url: None, webhook }).await;
    let mut both = positions(&mut told, 2).await;
    both.sort_unstable();
    assert_eq!(both, [first, second]);
    letters(&shop, &seller, webhook, 0).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_and_redriven_by_subject_type_reason_and_time() {
    let shop = Shop::telling(three_attempts()).await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["stock.received", "listing.*"]).await;
    told.always_answers(Answers::Status(400));
    let lamp = listing(&shop, &seller).await;
    let later = shop.now().plus_ms(60_000);
    letters(&shop, &seller, webhook, 1).await;
    shop.clock.advance_to(later);
    received(&shop, &seller, lamp, 1).await;
    let pot = listing(&shop, &seller).await;
    letters(&shop, &seller, webhook, 3).await;
    told.always_answers(Answers::Status(503));
    let vase = listing(&shop, &seller).await;
    let all = letters(&shop, &seller, webhook, 4).await;
    let [of_lamp, behind, of_pot, of_vase] = positions_of(&all).try_into().unwrap();
    for (which, expected) in [
        (format!("subject={lamp}"), vec![of_lamp, behind]),
        ("type=stock.received".to_owned(), vec![behind]),
        ("type=listing.*&error=refused".to_owned(), vec![of_lamp, of_pot]),
        ("error=behind".to_owned(), vec![behind]),
        ("error=failed".to_owned(), vec![of_vase]),
        (format!("from={}", later.ms()), vec![behind, of_pot, of_vase]),
        (format!("to={}", later.ms()), vec![of_lamp]),
        ("subject=nobody".to_owned(), vec![]),
        ("limit=3".to_owned(), vec![of_lamp, behind, of_pot]),
        (format!("limit=3&cursor={of_pot}"), vec![of_vase]),
    ] {
        let found = asked(&shop, &seller, &format!("{}?{which}", letters_path(webhook))).await;
        assert_eq!(positions_of(&found), expected, "{which}");
        let is_more = which == "limit=3";
        assert_eq!(found["next_cursor"], if is_more { json!(of_pot) } else { Value::Null }, "{which}");
    }
    // A lane is redriven by its first letter.
    told.always_answers(Answers::Status(204));
    while told.got.try_recv().is_ok() {}
    assert_eq!(redriven(&shop, &seller, webhook, json!({"type": "stock.received"})).await, (0, 0));
    assert_eq!(redriven(&shop, &seller, webhook, json!({"error": "failed"})).await, (1, 1));
    assert_eq!(positions(&mut told, 1).await, [of_vase]);
    assert_eq!(redriven(&shop, &seller, webhook, json!({"to": later})).await, (1, 2));
    assert_eq!(positions(&mut told, 2).await, [of_lamp, behind]);
    let which = json!({"subject": pot, "type": "listing.created", "error": "refused", "from": later});
    assert_eq!(redriven(&shop, &seller, webhook, which).await, (1, 1));
    assert_eq!(positions(&mut told, 1).await, [of_pot]);
    letters(&shop, &seller, webhook, 0).await;
    assert!(vase != pot);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_in_place_of_a_letter_stands_in_the_log_and_outlives_the_store() {
    let shop = Shop::open().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let (lamp, pot) = (listing(&shop, &seller).await, listing(&shop, &seller).await);
    told.always_answers(Answers::Status(400));
    let mut of_lamp = Vec::new();
    for count in 1..=3 {
        of_lamp.push(received(&shop, &seller, lamp, count).await);
    }
    let of_pot = received(&shop, &seller, pot, 4).await;
    letters(&shop, &seller, webhook, 4).await;
    let data = r#"{"listing":"a lamp","quantity":7}"#.to_owned().try_into().unwrap();
    let replace = ReplaceLetter { data, position: of_lamp[0], webhook };
    let replaced = shop.accepted(&seller, replace).await;
    let dropped = shop.accepted(&operator, DropLetter { position: of_lamp[1], webhook }).await;
    shop.accepted(&operator, DropLetter { position: of_pot, webhook }).await;
    let min_position = dropped["receipt"]["position"].as_u64().unwrap() + 1;
    let shown =
        asked(&shop, &seller, &format!("{}?min_position={min_position}", letters_path(webhook))).await;
    let command = &replaced["receipt"]["command"];
    let edit = &shown["letters"][0]["edit"];
    assert_eq!((&edit["account"], &edit["command"]), (&json!(seller.account), command));
    assert_eq!(edit["data"], r#"{"listing":"a lamp","quantity":7}"#);
    assert_eq!(
        (&shown["letters"][1]["edit"]["data"], &shown["letters"][1]["edit"]["account"]),
        (&Value::Null, &json!(operator.account))
    );
    assert_eq!(shown["letters"][2]["edit"], Value::Null);
    // It does not send anything by itself, and nothing is sent of what is dropped.
    while told.got.try_recv().is_ok() {}
    told.always_answers(Answers::Status(204));
    let again = |position: u64| json!({"position": position}).to_string();
    let path = format!("/v1/webhooks/{webhook}/again");
    let post = shop.post(&path, "application/json", again(of_lamp[1])).bearer_auth(shop.token(&seller).await);
    problem(post, 400, "query_invalid").await;
    assert_eq!(redriven(&shop, &seller, webhook, json!({})).await, (2, 4));
    let check = |got: &support::told::Got| {
        let told = got.data();
        assert_eq!((&told["position"], &told["type"]), (&json!(of_lamp[0]), &json!("stock.received.v1")));
        assert_eq!(told["data"], json!({"listing": "a lamp", "quantity": 7}));
        assert_eq!((&told["replacedby"], &told["replacedin"]), (&json!(seller.account), command));
        got.is_signed_with(&[SECRET]);
        support::documented::check_named("CloudEvent", &told);
    };
    check(&told.next().await);
    assert_eq!(positions(&mut told, 1).await, [of_lamp[2]]);
    letters(&shop, &seller, webhook, 0).await;
    // Who did it is on record, with what was signed; also what is none of the staff's.
    let acts = asked(&shop, &operator, "/v1/audit?kind=letters").await;
    let names: Vec<_> = members(&acts, "acts").iter().map(|act| act["command"]["name"].clone()).collect();
    assert_eq!(names, ["webhook.drop_letter", "webhook.drop_letter", "webhook.replace_letter"]);
    assert_eq!(acts["acts"][2]["actor"], json!(seller.account));
    let about = asked(&shop, &operator, &format!("/v1/audit?subject={webhook}")).await;
    assert_eq!(members(&about, "acts").len(), 3, "{about}");

    // A process that lacks the store tells all anew, and the same.
    let shop = shop
        .opened_again(support::webhooks(), |dir| std::fs::remove_dir_all(dir.join("webhooks")).unwrap())
        .await;
    check(&told.next().await);
    let next = received(&shop, &seller, pot, 5).await;
    assert_eq!(positions(&mut told, 2).await, [of_lamp[2], next]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_and_what_is_redriven_outlive_a_restart() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let lamp = listing(&shop, &seller).await;
    told.will_answer(&[Answers::Status(400)]);
    let first = received(&shop, &seller, lamp, 1).await;
    let second = received(&shop, &seller, lamp, 2).await;
    letters(&shop, &seller, webhook, 2).await;
    let shop = shop.opened_again(support::webhooks(), |_| ()).await;
    letters(&shop, &seller, webhook, 2).await;
    let third = received(&shop, &seller, lamp, 3).await;
    letters(&shop, &seller, webhook, 3).await;
    assert_eq!(positions(&mut told, 1).await, [first], "a restart is no attempt");
    // It is restarted while it redrives.
    told.will_answer(&[Answers::Status(204)]);
    told.always_answers(Answers::Status(503));
    assert_eq!(redriven(&shop, &seller, webhook, json!({})).await, (1, 3));
    assert_eq!(positions(&mut told, 2).await, [first, second]);
    let dir = shop.close().await;
    while told.got.try_recv().is_ok() {}
    told.always_answers(Answers::Status(204));
    let shop = Shop::opened_in(dir, support::webhooks()).await;
    assert_eq!(positions(&mut told, 2).await, [second, third], "nobody has to ask again");
    letters(&shop, &seller, webhook, 0).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_a_letter_until_something_smaller_is_sent() {
    let config = WebhooksConfig { message_bytes_max: 520, ..support::webhooks() };
    let shop = Shop::telling(config).await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    let webhook = registered(&shop, &seller, &told.url, &["listing.created", "stock.received"]).await;
    let large = ListingId::from_uuid(Uuid::now_v7());
    let title = "a".repeat(200).try_into().unwrap();
    shop.accepted(&seller, CreateListing::new(large, usd(100), title)).await;
    let found = letters(&shop, &seller, webhook, 1).await;
    let letter = &found["letters"][0];
    assert_eq!((&letter["error"], &letter["attempts"]), (&"too_large".into(), &0.into()), "{letter}");
    let position = letter["position"].as_u64().unwrap();
    // Redriven as it is it stays one.
    redriven(&shop, &seller, webhook, json!({})).await;
    until(&shop, &seller, &letters_path(webhook), |found| found["letters"][0]["redriving"] == false).await;
    let data = "{}".to_owned().try_into().unwrap();
    shop.accepted(&seller, ReplaceLetter { data, position, webhook }).await;
    redriven(&shop, &seller, webhook, json!({})).await;
    let got = told.next().await;
    assert_eq!((&got.data()["position"], &got.data()["data"]), (&json!(position), &json!({})));
    letters(&shop, &seller, webhook, 0).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_too_many_letters_is_switched_off_and_goes_on_when_there_is_room() {
    let config = WebhooksConfig { letters_max: 2, ..support::webhooks() };
    let shop = Shop::telling(config).await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    told.always_answers(Answers::Status(400));
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let path = format!("/v1/webhooks/{webhook}");
    let (lamp, pot) = (listing(&shop, &seller).await, listing(&shop, &seller).await);
    let mut all = Vec::new();
    for (of, count) in [(lamp, 1), (lamp, 2), (pot, 3), (lamp, 4)] {
        all.push(received(&shop, &seller, of, count).await);
    }
    let off = until(&shop, &seller, &path, |found| found["state"] == "disabled").await;
    assert_eq!((&off["disabled"], &off["letters"]), (&"too_many_letters".into(), &2.into()), "{off}");
    // A process that lacks its letters begins before them.
    let row = shop.gateway.projections.webhooks().webhook(webhook).unwrap().unwrap();
    assert_eq!(row.reached, all[0] - 1);
    // Switched on without room it is off again.
    let on = || UpdateWebhook { on: Some(true), types: None, url: None, webhook };
    while told.got.try_recv().is_ok() {}
    shop.accepted(&seller, on()).await;
    assert_eq!(positions(&mut told, 1).await, [all[2]]);
    until(&shop, &seller, &path, |found| found["state"] == "disabled").await;
    // What is redriven makes room.
    told.always_answers(Answers::Status(204));
    assert_eq!(redriven(&shop, &seller, webhook, json!({})).await, (1, 2));
    shop.accepted(&seller, on()).await;
    let mut told_of = positions(&mut told, 4).await;
    let of_lamp: Vec<u64> = told_of.iter().copied().filter(|position| *position != all[2]).collect();
    assert_eq!(of_lamp, [all[0], all[1], all[3]], "in order");
    told_of.sort_unstable();
    assert_eq!(told_of, all);
    letters(&shop, &seller, webhook, 0).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_it_told_again_from_before_its_letters_has_none_of_them() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut told = Receiver::open().await;
    told.will_answer(&[Answers::Status(204), Answers::Status(400)]);
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let lamp = listing(&shop, &seller).await;
    let mut all = Vec::new();
    for count in 1..=3 {
        all.push(received(&shop, &seller, lamp, count).await);
    }
    letters(&shop, &seller, webhook, 2).await;
    assert_eq!(positions(&mut told, 2).await, all[..2]);
    let path = format!("/v1/webhooks/{webhook}/again");
    let from = |position: u64| json!({"from": position}).to_string();
    // From between them on: the first one stays, and all of its subject is behind it.
    let post = shop.post(&path, "application/json", from(all[2])).bearer_auth(shop.token(&seller).await);
    json_of(post).await;
    assert_eq!(positions_of(&letters(&shop, &seller, webhook, 2).await), all[1..]);
    let post = shop.post(&path, "application/json", from(all[0])).bearer_auth(shop.token(&seller).await);
    json_of(post).await;
    assert_eq!(positions(&mut told, 3).await, all);
    letters(&shop, &seller, webhook, 0).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_their_owners_and_operators_and_are_asked_for_in_one_way() {
    let shop = Shop::open().await;
    let (seller, other) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Seller]).await);
    let operator = shop.person(&[Role::Operator]).await;
    let mut told = Receiver::open().await;
    told.always_answers(Answers::Status(400));
    let webhook = registered(&shop, &seller, &told.url, &["stock.received"]).await;
    let lamp = listing(&shop, &seller).await;
    let position = received(&shop, &seller, lamp, 1).await;
    told.next().await;
    letters(&shop, &operator, webhook, 1).await;
    // Of what is nobody else's nobody else knows.
    let of_others = shop.get(&letters_path(webhook)).bearer_auth(shop.token(&other).await);
    problem(of_others, 404, "not_found").await;
    problem(redriving(&shop, &other, webhook, json!({})).await, 404, "not_found").await;
    let no_such = WebhookId::from_uuid(Uuid::now_v7());
    problem(redriving(&shop, &operator, no_such, json!({})).await, 404, "not_found").await;
    problem(shop.get(&letters_path(no_such)).bearer_auth(shop.token(&operator).await), 404, "not_found")
        .await;
    problem(shop.get(&letters_path(webhook)), 401, "token_missing").await;
    problem(
        shop.post(&format!("/v1/webhooks/{webhook}/redrive"), "application/json", "{}"),
        401,
        "token_missing",
    )
    .await;
    for bad in ["type=order", "error=broken", "from=x", "limit=0", "limit=101", "cursor=x", "other=1"] {
        let path = format!("{}?{bad}", letters_path(webhook));
        problem(shop.get(&path).bearer_auth(shop.token(&seller).await), 400, "query_invalid").await;
    }
    for bad in [
        json!([]),
        json!({"lane": "x"}),
        json!({"type": "order"}),
        json!({"error": "broken"}),
        json!({"from": "yesterday"}),
        json!({"subject": 7}),
        json!(null),
    ] {
        problem(redriving(&shop, &seller, webhook, bad).await, 400, "query_invalid").await;
    }
    // Neither is anything said of them by others, nor what is no JSON object, nor of what did not happen.
    let rejected = async |who: &Person, command: commands::Command, code: &str| {
        let signed = who.sign(command, shop.now());
        let (status, problem) = json_of(shop.post("/v1/commands", "application/jose", signed)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["reasons"][0]["code"], code, "{problem}");
    };
    rejected(&other, DropLetter { position, webhook }.into(), "webhook_unknown").await;
    rejected(&seller, DropLetter { position: 1_000_000, webhook }.into(), "letter_unknown").await;
    let body = json!({"data": "[]", "position": position, "webhook": webhook});
    let bad = seller.request("webhook.replace_letter", body, shop.now());
    problem(shop.post("/v1/commands", "application/jose", bad), 400, "body_invalid").await;
    // Whoever is suspended is told of nothing.
    let reason = "r".to_owned().try_into().unwrap();
    shop.accepted(&operator, SuspendAccount { account: seller.account, reason }).await;
    problem(redriving(&shop, &operator, webhook, json!({})).await, 403, "account_suspended").await;
    shop.close().await;
}

/// What one address has taken, and what it answers.
struct Address {
    /// The answers, one after another and again.
    pattern: Vec<u16>,
    requests: usize,
    /// What was taken of each subject, with when: how often the market had been opened.
    taken: BTreeMap<String, Vec<(u64, usize)>>,
}

/// Many addresses on one port, which tell what they took.
#[derive(Clone)]
struct Addresses {
    all: Arc<Mutex<BTreeMap<String, Address>>>,
    opened: Arc<Mutex<usize>>,
}

impl Addresses {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Address>> {
        self.all.lock().unwrap()
    }

    /// Asserts that each was told a beginning of each subject, in order, and nothing twice but over a restart.
    fn are_told_beginnings(&self, of: &BTreeMap<String, Vec<u64>>, is_all: bool) {
        for (path, address) in self.all().iter() {
            for (subject, taken) in &address.taken {
                let mut told: Vec<(u64, usize)> = Vec::new();
                for (position, opened) in taken {
                    match told.last() {
                        Some((last, before)) if last == position => {
                            assert!(opened > before, "{path} {subject}: {position} twice in {taken:?}");
                        }
                        _ => told.push((*position, *opened)),
                    }
                }
                let told: Vec<u64> = told.into_iter().map(|(position, _)| position).collect();
                assert!(of[subject].starts_with(&told), "{path} {subject}: {told:?} of {:?}", of[subject]);
            }
            if is_all {
                for (subject, all) in of {
                    let last = address.taken.get(subject).and_then(|taken| taken.last()).map(|last| last.0);
                    assert_eq!(last, all.last().copied(), "{path} {subject}");
                }
            }
        }
    }
}

async fn take(State(addresses): State<Addresses>, request: Request) -> StatusCode {
    let path = request.uri().path().to_owned();
    let told: Value =
        serde_json::from_slice(&to_bytes(request.into_body(), usize::MAX).await.unwrap()).unwrap();
    let opened = *addresses.opened.lock().unwrap();
    let mut all = addresses.all();
    let address = all.get_mut(&path).unwrap();
    let status = address.pattern[address.requests % address.pattern.len()];
    address.requests += 1;
    if status == 204 {
        let subject = told["subject"].as_str().unwrap().to_owned();
        let position = told["position"].as_u64().unwrap();
        address.taken.entry(subject).or_default().push((position, opened));
    }
    StatusCode::from_u16(status).unwrap()
}

/// How an address answers: mostly it takes what it is told.
fn pattern() -> impl Strategy<Value = Vec<u16>> {
    let answer = prop_oneof![6 => Just(204), 1 => Just(400), 1 => Just(422), 1 => Just(503), 1 => Just(429), 1 => Just(302)];
    proptest::collection::vec(answer, 1..24)
}

/// Waits until each address is done with all that happened, and lists how many letters each has.
async fn done(shop: &Shop, who: &Person, last: u64) -> Vec<(WebhookId, u64)> {
    let is_done = |found: &Value| {
        members(found, "webhooks").iter().all(|one| one["position"].as_u64().unwrap() >= last)
    };
    let found = until(shop, who, "/v1/webhooks?all=true", is_done).await;
    let ids = members(&found, "webhooks").iter();
    ids.map(|one| (serde_json::from_value(one["webhook"].clone()).unwrap(), one["letters"].as_u64().unwrap()))
        .collect()
}

/// Waits until nothing is redriven any more.
async fn still(shop: &Shop, who: &Person, webhook: WebhookId) {
    let path = format!("{}?limit=100", letters_path(webhook));
    let is_still =
        |found: &Value| members(found, "letters").iter().all(|letter| letter["redriving"] == false);
    until(shop, who, &path, is_still).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_refused_each_subject_is_told_in_order_and_in_the_end_all_of_it() {
    const OPERATORS: usize = 2;
    const EACH: usize = 6;
    const EVENTS: u32 = 48;
    let mut runner = TestRunner::deterministic();
    let drawn = |runner: &mut TestRunner| pattern().new_tree(runner).unwrap().current();
    let addresses = Addresses { all: Arc::default(), opened: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router: Router = Router::new().fallback(take).with_state(addresses.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut shop = Shop::telling(three_attempts()).await;
    let seller = shop.person(&[Role::Seller]).await;
    let mut operator = None;
    for n in 0..OPERATORS {
        let owner = shop.person(&[Role::Operator]).await;
        for m in 0..EACH {
            let path = format!("/{n}-{m}");
            // One that takes all, and one that takes nothing.
            let pattern = match n * EACH + m {
                0 => vec![204],
                1 => vec![400],
                _ => drawn(&mut runner),
            };
            let address = Address { pattern, requests: 0, taken: BTreeMap::new() };
            addresses.all().insert(path.clone(), address);
            registered(&shop, &owner, &format!("{base}{path}"), &["stock.received"]).await;
        }
        operator = Some(owner);
    }
    let operator = operator.unwrap();
    let mut listings = Vec::new();
    for _ in 0..5 {
        listings.push(listing(&shop, &seller).await);
    }
    let mut happened: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut last = 0;
    for n in 1..=EVENTS {
        let of = listings[(0..listings.len()).new_tree(&mut runner).unwrap().current()];
        last = received(&shop, &seller, of, n).await;
        happened.entry(of.to_string()).or_default().push(last);
        if n == EVENTS / 2 {
            // Letters are redriven while others come about, and the market is restarted meanwhile.
            for (webhook, _) in done(&shop, &operator, 0).await {
                redriven(&shop, &operator, webhook, json!({})).await;
            }
            let dir = shop.close().await;
            *addresses.opened.lock().unwrap() += 1;
            shop = Shop::opened_in(dir, three_attempts()).await;
        }
    }
    let letters_of = done(&shop, &operator, last).await;
    addresses.are_told_beginnings(&happened, false);
    assert!(
        letters_of.iter().filter(|(_, letters)| *letters > 0).count() > OPERATORS * EACH / 2,
        "{letters_of:?}"
    );
    // Once more while they refuse some.
    for (webhook, _) in &letters_of {
        redriven(&shop, &operator, *webhook, json!({})).await;
    }
    for (webhook, _) in &letters_of {
        still(&shop, &operator, *webhook).await;
    }
    addresses.are_told_beginnings(&happened, false);
    for address in addresses.all().values_mut() {
        address.pattern = vec![204];
    }
    for (webhook, _) in &letters_of {
        redriven(&shop, &operator, *webhook, json!({})).await;
    }
    for (webhook, _) in &letters_of {
        letters(&shop, &operator, *webhook, 0).await;
    }
    addresses.are_told_beginnings(&happened, true);
    shop.close().await;
}
