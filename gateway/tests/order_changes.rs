//! Orders that are changed over HTTP, in both forms of commands.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use commands::command::{
    AcceptChange, ChangedLine, DeclineChange, OrderLine, PaymentMethod, PlaceOrder, ProposeChange,
    WithdrawChange,
};
use events::account::Role;
use events::ids::{ChangeId, ListingId, OrderId};
use reqwest::StatusCode;
use serde_json::Value;
use support::{Person, Shop, ask, json_of, problem, receipt_order, units, usd};

fn wish(order: OrderId, listing: ListingId, quantity: u32) -> ProposeChange {
    let quantity = quantity.try_into().unwrap();
    let lines = vec![ChangedLine { listing, quantity, quote: None }];
    ProposeChange { lines, max_difference: Some(usd(2_500)), order, reason: None, region: None }
}

/// Proposes a change, and gives its id, which is known before it is sent.
async fn proposed(shop: &Shop, who: &Person, wish: ProposeChange) -> ChangeId {
    let draft = who.draft(wish, shop.now());
    let flat = commands::sign::sign_seed_form(&draft, &who.key).unwrap();
    let (status, told) = json_of(shop.post("/api/orders/propose-change", "application/json", flat)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    ChangeId::derive(draft.account, draft.command_id)
}

async fn shown(shop: &Shop, who: &Person, order: OrderId, receipt: &Value) -> Value {
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    let token = shop.token(who).await;
    let path = format!("/v1/orders/{order}?min_position={position}");
    let answer = ask(shop.get(&path).bearer_auth(&token)).await;
    assert_eq!(answer.status, StatusCode::OK);
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_changed_when_both_sides_have_signed_it() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let lines = vec![OrderLine { listing, quantity: units(2), quote: None }];
    let placed = shop.accepted(&buyer, PlaceOrder::new(lines, PaymentMethod::Wallet, usd(5_000))).await;
    let order: OrderId = receipt_order(&placed).parse().unwrap();
    let post = |path: &str, flat: String| shop.post(path, "application/json", flat);

    let change = proposed(&shop, &buyer, wish(order, listing, 3)).await;
    let again = buyer.seed_form(wish(order, listing, 1), shop.now());
    let told = problem(post("/api/orders/propose-change", again), 422, "order_change").await;
    assert_eq!(told["reasons"][0]["problem"]["open"]["change"], change.to_string());
    let decline = DeclineChange { change, order, reason: None };
    let flat = seller.seed_form(decline, shop.now());
    let (status, receipt) = json_of(post("/api/orders/decline-change", flat)).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &"accepted".into()));

    let change = proposed(&shop, &buyer, wish(order, listing, 3)).await;
    let withdraw = buyer.seed_form(WithdrawChange { change, order }, shop.now());
    let (status, _) = json_of(post("/api/orders/withdraw-change", withdraw)).await;
    assert_eq!(status, StatusCode::OK);

    let change = proposed(&shop, &seller, wish(order, listing, 3)).await;
    let accept = AcceptChange { change, max_difference: Some(usd(2_500)), order };
    let flat = buyer.seed_form(accept, shop.now());
    let (status, receipt) = json_of(post("/api/orders/accept-change", flat)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    for who in [&buyer, &seller] {
        let order = shown(&shop, who, order, &receipt).await;
        assert_eq!((&order["version"], &order["change"]), (&2.into(), &Value::Null));
        assert_eq!(order["total"]["minor"], 7_500);
        assert_eq!(order["versions"][0]["lines"][0]["quantity"], 2);
        assert_eq!(order["versions"][0]["due"]["collect"]["minor"], 2_500);
        assert_eq!(order["lines"][0]["added"][0]["quantity"], 1);
    }
    shop.close().await;
}
