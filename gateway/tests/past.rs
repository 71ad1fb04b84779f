//! The market as it was: what operators are answered `as_of`, and what changed since.

mod support;

use commands::command::{CancelOrder, OrderLine, PaymentMethod, PlaceOrder};
use events::account::Role;
use events::ids::ListingId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, receipt_order, usd};

fn purchase(listing: ListingId) -> PlaceOrder {
    let lines = vec![OrderLine { listing, quantity: support::units(1), quote: None }];
    PlaceOrder::new(lines, PaymentMethod::Wallet, usd(2_500))
}

/// A market in which an order was placed and, an hour later, cancelled.
struct Story {
    shop: Shop,
    operator: Person,
    buyer: Person,
    order: String,
    /// Where each of both decisions ends in the log.
    placed: u64,
    cancelled: u64,
    /// A moment between them.
    between: String,
}

async fn story() -> Story {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let operator = shop.person(&[Role::Operator]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let receipt = shop.accepted(&buyer, purchase(listing)).await;
    let order = receipt_order(&receipt);
    let end = |receipt: &Value| receipt["receipt"]["position"].as_u64().expect("a receipt has a position");
    let placed = end(&receipt);
    let between = shop.now().plus_ms(1_800_000).to_string();
    shop.clock.advance_to(shop.now().plus_ms(3_600_000));
    let cancel =
        CancelOrder { lines: None, order: order.parse().expect("a receipt names the order"), reason: None };
    let cancelled = end(&shop.accepted(&buyer, cancel).await);
    Story { shop, operator, buyer, order, placed, cancelled, between }
}

impl Story {
    async fn ask(&self, path: &str) -> Value {
        let token = self.shop.token(&self.operator).await;
        let min_position =
            format!("{}min_position={}", if path.contains('?') { '&' } else { '?' }, self.cancelled);
        let (status, value) =
            json_of(self.shop.get(&format!("{path}{min_position}")).bearer_auth(token)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }

    async fn refused(&self, who: &Person, path: &str, status: u16, code: &str) {
        let token = self.shop.token(who).await;
        problem(self.shop.get(path).bearer_auth(token), status, code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_orders_money_and_numbers_as_they_were() {
    let story = story().await;
    let (order, buyer) = (&story.order, story.buyer.account);
    let now = story.ask(&format!("/v1/orders/{order}")).await;
    for moment in [story.placed.to_string(), (story.cancelled - 1).to_string(), story.between.clone()] {
        let then = story.ask(&format!("/v1/orders/{order}?as_of={moment}")).await;
        assert_eq!(then["closed_as"], Value::Null, "{moment}");
        assert_eq!(now["closed_as"], "cancelled");
        let wallet = story.ask(&format!("/v1/wallet?account={buyer}&as_of={moment}")).await;
        assert_eq!(wallet["wallet"], json!([{"minor": 7_500, "currency": "USD"}]), "{moment}");
    }
    let wallet = story.ask(&format!("/v1/wallet?account={buyer}")).await;
    assert_eq!(wallet["wallet"], json!([{"minor": 10_000, "currency": "USD"}]));
    let last = format!("as_of={}", story.cancelled);
    assert_eq!(story.ask(&format!("/v1/orders/{order}?{last}")).await, now, "the last past is the present");
    for (moment, time) in [
        (story.placed.to_string(), support::START),
        (story.between.clone(), support::START.plus_ms(1_800_000)),
    ] {
        let then = story.ask(&format!("/v1/analytics/escrows?as_of={moment}")).await;
        assert_eq!(then["time"], json!(time), "ages are counted up to there: {then}");
        assert_eq!(
            then["escrows"][0]["states"][0]["ages"][0],
            json!({"below_ms": 86_400_000, "orders": 1, "held": 2_500})
        );
    }
    assert_eq!(story.ask("/v1/analytics/escrows").await["escrows"], json!([]));
    let summary = async |moment: &str| story.ask(&format!("/v1/analytics/summary{moment}")).await;
    assert_eq!(summary(&format!("?{last}")).await["numbers"], summary("").await["numbers"]);
    assert_ne!(summary(&format!("?as_of={}", story.placed)).await["numbers"], summary("").await["numbers"]);
    story.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_two_moments_is_listed() {
    let story = story().await;
    let path = format!("/v1/orders/{}/changes?since={}", story.order, story.placed);
    let changes = story.ask(&path).await;
    assert_eq!(
        (changes["since"].as_u64(), changes["until"].as_u64()),
        (Some(story.placed), Some(story.cancelled))
    );
    let of = |changes: &Value, path: &str| {
        let listed = changes["changes"].as_array().unwrap().clone();
        listed.into_iter().find(|change| change["path"] == path)
    };
    let state = of(&changes, "/closed_as").unwrap();
    assert_eq!((&state["was"], &state["is"]), (&Value::Null, &json!("cancelled")));
    assert_eq!(of(&changes, "/buyer"), None);
    let wallet = format!("/v1/wallet/changes?account={}&since={}", story.buyer.account, story.between);
    let money = of(&story.ask(&wallet).await, "/wallet/0/minor").unwrap();
    assert_eq!((&money["was"], &money["is"]), (&json!(7_500), &json!(10_000)));
    let still = story.ask(&format!("{path}&until={}", story.placed)).await;
    assert_eq!(still["changes"], json!([]));
    let numbers = story.ask(&format!("/v1/analytics/summary/changes?since={}", story.placed)).await;
    assert!(!numbers["changes"].as_array().unwrap().is_empty());
    story.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_that_never_was_or_is_not_yours_is_not_told() {
    let story = story().await;
    let order = format!("/v1/orders/{}", story.order);
    let operator = &story.operator;
    for moment in ["yesterday", "0", "1999-01-01T00:00:00Z", "99999999", "-1"] {
        story.refused(operator, &format!("{order}?as_of={moment}"), 400, "query_invalid").await;
    }
    story.refused(operator, &format!("{order}/changes"), 400, "query_invalid").await;
    story
        .refused(operator, &format!("/v1/orders?as_of={}&as_of=1", story.placed), 400, "query_invalid")
        .await;
    // The market had begun, and the order had not.
    let before = story.placed - 5;
    story.refused(operator, &format!("{order}?as_of={before}"), 404, "not_found").await;
    // Nobody else has the market fold its log for him.
    story.refused(&story.buyer, &format!("{order}?as_of={}", story.placed), 403, "scope_denied").await;
    story.refused(&story.buyer, &format!("{order}/changes?since=1"), 403, "scope_denied").await;
    let other = format!("/v1/wallet?account={}", operator.account);
    story.refused(&story.buyer, &other, 403, "scope_denied").await;
    story.shop.close().await;
}
