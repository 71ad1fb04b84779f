//! Streams of events, on a real market: who sees what, how one goes on, and how many there may be.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use commands::command::{
    AddToCart, BlockListing, EnrollDevice, FreezeCart, GrantClearance, LeaveCart, OrderLine, PaymentMethod,
    PlaceOrder, ReinstateAccount, ReinstateSeller, ReportLost, RevokeClearance, RotateDevice, SaveForLater,
    SetRiskRules, ShareCart, SuspendAccount, SuspendSeller, UnblockListing, UnshareCart,
};
use commands::crypto::SigningKey;
use commands::sign::prove_device;
use events::account::{Algorithm, Role};
use events::ids::{DeviceId, ListingId};
use futures::StreamExt;
use gateway::stream::STREAMS_MAX;
use serde_json::{Value, json};
use support::{Person, Shop, documented, market_name, problem, receipt_order, usd};
use tower::ServiceExt;

/// How long something may take to come; when it runs out the test has failed.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn purchase(listing: ListingId) -> PlaceOrder {
    let quantity = support::units(1);
    let lines = vec![OrderLine { listing, quantity, quote: None }];
    PlaceOrder::new(lines, PaymentMethod::Wallet, usd(2_500))
}

/// Reads `count` events of a stream; each is as described, and its id is its position.
async fn events_of(response: reqwest::Response, count: usize) -> Vec<Value> {
    assert_eq!(response.status(), StatusCode::OK);
    let (mut chunks, mut text) = (response.bytes_stream(), String::new());
    let read = async {
        while text.matches("\n\n").count() < count {
            text.push_str(std::str::from_utf8(&chunks.next().await.unwrap().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(WAIT_MAX, read).await.unwrap();
    let member = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned).unwrap()
    };
    let shown = text.split("\n\n").filter(|event| event.contains("data: ")).map(|event| {
        let data: Value = serde_json::from_str(&member(event, "data: ")).unwrap();
        documented::check_named("CloudEvent", &data);
        assert_eq!(member(event, "id: "), data["position"].to_string());
        assert_eq!(member(event, "event: "), data["type"]);
        data
    });
    shown.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_ones_own_events_as_they_happen() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let (buyer, other) = (shop.funded_buyer(10_000).await, shop.funded_buyer(10_000).await);
    let listing = shop.listing(&seller, 2_500, 5).await;
    let token = shop.token(&buyer).await;
    let live = shop.get("/v1/stream").bearer_auth(&token).send().await.unwrap();
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    shop.accepted(&other, purchase(listing)).await;
    let order = receipt_order(&shop.accepted(&buyer, purchase(listing)).await);
    let events = events_of(live, 2).await;
    let types: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["order.placed.v1", "escrow.held.v1"]);
    assert!(events.iter().all(|event| event["subject"] == *order), "{events:?}");

    // The second event stands inside a commit: the stream goes on right behind the first.
    let last = events[0]["position"].to_string();
    let resumed =
        shop.get("/v1/stream").bearer_auth(&token).header("last-event-id", last).send().await.unwrap();
    assert_eq!(events_of(resumed, 1).await, events[1..]);
    problem(shop.get("/v1/stream?from=1000000").bearer_auth(&token), 400, "query_invalid").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_a_buyer_nothing_of_how_his_purchase_was_judged() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let operators = [shop.person(&[Role::Operator]).await, shop.person(&[Role::Operator]).await];
    let rules = json!({
        "elevated": "review", "highest": "block", "review": {"decide_within_ms": 9, "sla_ms": 9, "then": "approve"},
    });
    for operator in &operators {
        let rules = serde_json::from_value(rules.clone()).unwrap();
        let set = shop.accepted(operator, SetRiskRules { rules }).await;
        // A stream begins where the views are.
        let position = set["receipt"]["position"].as_u64().unwrap();
        shop.gateway.projections.wait_for(position, Duration::from_secs(10)).await.unwrap();
    }
    let stream =
        async |who: &Person| shop.get("/v1/stream").bearer_auth(shop.token(who).await).send().await.unwrap();
    let (of_buyer, of_operator) = (stream(&buyer).await, stream(&operators[0]).await);
    shop.accepted(&buyer, purchase(listing)).await;
    shop.accepted(&buyer, AddToCart { listing, owner: None, quantity: support::units(1) }).await;
    let types = |events: Vec<Value>| -> Vec<String> {
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let own = ["order.placed.v1", "escrow.held.v1", "cart.item_added.v1"];
    assert_eq!(types(events_of(of_buyer, own.len()).await), own);
    let all = ["order.placed.v1", "escrow.held.v1", "order.risk_assessed.v1", "cart.item_added.v1"];
    assert_eq!(types(events_of(of_operator, all.len()).await), all);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_what_others_do_to_a_cart_that_is_shared() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let (owner, member, third) = (
        shop.funded_buyer(10_000).await,
        shop.person(&[Role::Buyer]).await,
        shop.person(&[Role::Buyer]).await,
    );
    let stranger = shop.person(&[Role::Buyer]).await;
    let (lamp, shade) = (shop.listing(&seller, 2_500, 5).await, shop.listing(&seller, 100, 5).await);
    let add = |listing, of: &Person| {
        let owner = (of.account != owner.account).then_some(owner.account);
        AddToCart { listing, owner, quantity: support::units(1) }
    };
    let stream =
        async |who: &Person| shop.get("/v1/stream").bearer_auth(shop.token(who).await).send().await.unwrap();
    let (of_member, of_stranger) = (stream(&member).await, stream(&stranger).await);
    let added = shop.accepted(&owner, add(lamp, &owner)).await;
    let cart = added["receipt"]["events"][0]["subject"].as_str().unwrap().parse().unwrap();
    for with in [member.account, third.account] {
        shop.accepted(&owner, ShareCart { cart, with }).await;
    }
    shop.accepted(&third, add(lamp, &third)).await;
    shop.accepted(&owner, add(shade, &owner)).await;
    // What its owner keeps to himself, and what he buys, is told to nobody else.
    shop.accepted(&owner, SaveForLater { listing: shade }).await;
    shop.accepted(&third, LeaveCart { owner: owner.account }).await;
    shop.accepted(&owner, FreezeCart { until: shop.now().plus_ms(60_000) }).await;
    shop.accepted(&owner, UnshareCart { cart, with: member.account }).await;
    let told = |events: Vec<Value>| -> Vec<String> {
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let expected = [
        "cart.shared",
        "cart.shared",
        "cart.item_added",
        "cart.item_added",
        "cart.unshared",
        "cart.frozen",
        "cart.unshared",
    ];
    let expected: Vec<String> = expected.iter().map(|name| format!("{name}.v1")).collect();
    assert_eq!(told(events_of(of_member, expected.len()).await), expected);
    // Who it is not shared with sees what is his own.
    shop.accepted(&stranger, AddToCart { owner: None, ..add(lamp, &owner) }).await;
    assert_eq!(told(events_of(of_stranger, 1).await), ["cart.item_added.v1"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_what_operators_do_with_ones_account_and_listings() {
    let shop = Shop::open().await;
    let (seller, other) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Seller]).await);
    let (lamp, others_lamp) = (shop.listing(&seller, 2_500, 5).await, shop.listing(&other, 2_500, 5).await);
    // The views have read the listings when they have read those who come later.
    let (buyer, operator) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Operator]).await);
    let of_seller = shop.get("/v1/stream").bearer_auth(shop.token(&seller).await).send().await.unwrap();
    let of_buyer = shop.get("/v1/stream").bearer_auth(shop.token(&buyer).await).send().await.unwrap();
    let reason = || "a reason".to_owned().try_into().unwrap();
    for listing in [others_lamp, lamp] {
        shop.accepted(&operator, BlockListing { listing, reason: reason() }).await;
        shop.accepted(&operator, UnblockListing { listing, reason: reason() }).await;
    }
    for account in [other.account, seller.account] {
        shop.accepted(&operator, SuspendSeller { account, reason: reason() }).await;
        shop.accepted(&operator, ReinstateSeller { account, reason: reason() }).await;
    }
    let account = buyer.account;
    shop.accepted(&operator, GrantClearance { account, reason: reason() }).await;
    shop.accepted(&operator, RevokeClearance { account, reason: reason() }).await;
    let told = |events: Vec<Value>| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        events.iter().map(|event| (text(&event["type"]), text(&event["subject"]))).collect()
    };
    let expected = |types: &[(&str, String)]| -> Vec<(String, String)> {
        types.iter().map(|(name, subject)| (format!("{name}.v1"), subject.clone())).collect()
    };
    let (lamp, seller) = (lamp.to_string(), seller.account.to_string());
    assert_eq!(
        told(events_of(of_seller, 4).await),
        expected(&[
            ("listing.blocked", lamp.clone()),
            ("listing.unblocked", lamp),
            ("seller.suspended", seller.clone()),
            ("seller.reinstated", seller),
        ])
    );
    let buyer = account.to_string();
    assert_eq!(
        told(events_of(of_buyer, 2).await),
        expected(&[("account.clearance_granted", buyer.clone()), ("account.clearance_revoked", buyer)])
    );
    shop.close().await;
}

/// Reads a stream to its end, and gives the types of its events and its last words.
async fn to_its_end(response: reqwest::Response) -> (Vec<String>, String) {
    assert_eq!(response.status(), StatusCode::OK);
    let text = tokio::time::timeout(WAIT_MAX, response.text()).await.unwrap().unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
    (types, text.lines().rfind(|line| line.starts_with(": closed")).unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_key_and_with_its_account() {
    let shop = Shop::open().await;
    let (buyer, operator) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Operator]).await);
    let reason = || "a reason".to_owned().try_into().unwrap();
    let account = buyer.account;
    let stream = async |who: &Person, from: &str| {
        let asked = shop.get(&format!("/v1/stream{from}")).bearer_auth(shop.token(who).await);
        asked.send().await.unwrap()
    };
    let open = stream(&buyer, "").await;
    let begun = shop.accepted(&operator, SuspendAccount { account, reason: reason() }).await;
    let (told, last) = to_its_end(open).await;
    assert_eq!(told, ["account.suspended.v1"]);
    assert_eq!(last, ": closed: the account is suspended");
    // What ended it once ends none that begins later and reads on from there.
    let settled = shop.accepted(&operator, ReinstateAccount { account, reason: reason() }).await;
    let behind = format!("/v1/wallet?min_position={}", settled["receipt"]["position"]);
    shop.get(&behind).bearer_auth(shop.token(&buyer).await).send().await.unwrap();
    let from = format!("?from={}", begun["receipt"]["position"]);
    let told: Vec<Value> =
        events_of(stream(&buyer, &from).await, 2).await.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(told, ["account.suspended.v1", "account.reinstated.v1"]);

    // Another device of the account goes on when one is lost or takes a new key.
    let phone = enrolled(&shop, &buyer).await;
    let (of_buyer, of_phone) = (stream(&buyer, "").await, stream(&phone, "").await);
    shop.accepted(&buyer, ReportLost { device: phone.device }).await;
    let (told, last) = to_its_end(of_phone).await;
    assert_eq!(told, ["device.revoked.v1"]);
    assert_eq!(last, ": closed: its key signs nothing any more");
    let later = SigningKey::from_seed(Algorithm::EdDsa, rand::random()).unwrap();
    let proof = prove_device(&market_name(), account, buyer.device, &later);
    shop.accepted(&buyer, RotateDevice { key: later.public(), proof }).await;
    let (told, last) = to_its_end(of_buyer).await;
    assert_eq!(told, ["device.revoked.v1", "device.rotated.v1"]);
    assert_eq!(last, ": closed: its key signs nothing any more");
    shop.close().await;
}

/// Gives somebody with a second device, once the views know it.
async fn enrolled(shop: &Shop, owner: &Person) -> Person {
    let key = SigningKey::from_seed(Algorithm::EdDsa, rand::random()).unwrap();
    let device = DeviceId::from_uuid(uuid::Uuid::now_v7());
    let proof = prove_device(&market_name(), owner.account, device, &key);
    let enroll = EnrollDevice { device, key: key.public(), name: None, proof, scope: None };
    let receipt = shop.accepted(owner, enroll).await;
    let behind = format!("/v1/wallet?min_position={}", receipt["receipt"]["position"]);
    shop.get(&behind).bearer_auth(shop.token(owner).await).send().await.unwrap();
    Person::with(owner.account, device, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_behind_any_event_without_losing_or_doubling_one() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let operator = shop.person(&[Role::Operator]).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    shop.accepted(&buyer, purchase(listing)).await;
    let last = shop.accepted(&buyer, purchase(listing)).await;
    let head = last["receipt"]["position"].as_u64().unwrap();
    let token = shop.token(&operator).await;
    let whole = shop.get("/v1/stream?from=1").bearer_auth(&token).send().await.unwrap();
    let whole = events_of(whole, head as usize).await;
    let positions: Vec<u64> = whole.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=head).collect::<Vec<_>>());
    for last_id in 0..head {
        let asked = shop.get("/v1/stream?from=7").bearer_auth(&token).header("last-event-id", last_id);
        let rest = events_of(asked.send().await.unwrap(), (head - last_id) as usize).await;
        assert_eq!(rest, whole[last_id as usize..], "behind {last_id}");
    }
    // Behind the last there is nothing yet, and then what comes next.
    let asked = shop.get("/v1/stream").bearer_auth(&token).header("last-event-id", head);
    let live = asked.send().await.unwrap();
    shop.accepted(&buyer, purchase(listing)).await;
    let next = events_of(live, 1).await;
    assert_eq!(next[0]["position"], head + 1);
    shop.close().await;
}

/// Asks a router without a connection, so that a thousand streams cost no thousand sockets.
async fn ask(router: &Router, request: Request<Body>) -> Response {
    router.clone().oneshot(request).await.unwrap()
}

async fn json_in(response: Response) -> Value {
    serde_json::from_slice(&axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
}

async fn token(shop: &Shop, router: &Router, who: &Person) -> String {
    let signed = who.token_request(json!({"ttl_s": 600}), shop.now());
    let request = Request::post("/v1/tokens").body(Body::from(signed)).unwrap();
    json_in(ask(router, request).await).await["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_streams_are_open_at_once() {
    let shop = Shop::open().await;
    let operator = shop.person(&[Role::Operator]).await;
    let router = gateway::router(shop.gateway.clone());
    let token = token(&shop, &router, &operator).await;
    let open = || {
        let request = Request::get("/v1/stream").header("authorization", format!("Bearer {token}"));
        ask(&router, request.body(Body::empty()).unwrap())
    };
    let mut streams: Vec<BodyDataStream> = Vec::new();
    for _ in 0..STREAMS_MAX {
        let opened = open().await;
        assert_eq!(opened.status(), StatusCode::OK);
        streams.push(opened.into_body().into_data_stream());
    }
    let full = open().await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.headers()["retry-after"], "1");
    let body = axum::body::to_bytes(full.into_body(), usize::MAX).await.unwrap();
    documented::check("GET", "/v1/stream", 503, "application/problem+json", &body);
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["code"], "streams_full");

    // Whoever leaves makes room for one.
    streams.pop();
    let room = async {
        while open().await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, room).await.unwrap();
    drop(streams);
    shop.close().await;
}
