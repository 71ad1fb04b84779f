//! What comes back, over HTTP: asked for and answered, and seen by those whose it is.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use axum::http::StatusCode;
use commands::command::{
    AppealReturn, ConfirmDelivery, FundWallet, OrderLine, PaymentMethod, PlaceOrder, RejectReturn,
    RequestReturn, ShipOrder,
};
use events::account::Role;
use events::ids::OrderId;
use events::order::ShipmentNumber;
use events::returns::{ReturnNumber, ReturnReason};
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, receipt_order, usd};

/// Asks as somebody, once the views have come to a receipt.
async fn seen(shop: &Shop, who: &Person, path: &str, receipt: &Value) -> (StatusCode, Value) {
    let sign = if path.contains('?') { '&' } else { '?' };
    let url = format!("{path}{sign}min_position={}", receipt["receipt"]["position"]);
    json_of(shop.get(&url).bearer_auth(shop.token(who).await)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_sees_what_waits_for_him_and_an_operator_what_he_is_asked_about() {
    let shop = Shop::taking_back().await;
    let (buyer, seller) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Seller]).await);
    let (other, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let provider = shop.person(&[Role::Provider]).await;
    let text = |text: &str| text.to_owned().try_into().unwrap();
    let reference = "card 1".to_owned().try_into().unwrap();
    let fund = FundWallet { account: buyer.account, amount: usd(2_000), reference };
    shop.accepted(&provider, fund).await;
    let listing = shop.listing(&seller, 700, 2).await;
    let lines = vec![OrderLine { listing, quantity: support::units(2), quote: None }];
    let placed = shop.accepted(&buyer, PlaceOrder::new(lines, PaymentMethod::Wallet, usd(1_400))).await;
    let order: OrderId = receipt_order(&placed).parse().unwrap();
    let ship = ShipOrder { carrier: None, from: None, lines: None, order, tracking: None };
    shop.accepted(&seller, ship).await;
    shop.accepted(&buyer, ConfirmDelivery { order, shipment: None }).await;
    let (reason, shipment) = (ReturnReason::Damaged, ShipmentNumber::FIRST);
    let asked =
        RequestReturn { exchange: None, lines: None, note: Some(text("a crack")), order, reason, shipment };
    let receipt = shop.accepted(&buyer, asked).await;

    let (status, waits) = seen(&shop, &seller, "/v1/returns?state=requested", &receipt).await;
    assert_eq!(status, StatusCode::OK, "{waits}");
    let one = &waits["returns"][0];
    assert_eq!((&waits["count"], &one["order"], &one["return"]), (&json!(1), &json!(order), &json!(1)));
    assert_eq!(
        (&one["state"], &one["amount"]["minor"], &one["note"]),
        (&json!("requested"), &json!(1400), &json!("a crack"))
    );
    let (_, none) = seen(&shop, &seller, "/v1/returns?state=sent", &receipt).await;
    assert_eq!(none, json!({"count": 0, "returns": []}));
    let (_, none) = seen(&shop, &other, "/v1/returns", &receipt).await;
    assert_eq!(none["count"], 0, "what others sell is not his to see");

    let (_, desk) = seen(&shop, &seller, "/v1/sellers/me/desk", &receipt).await;
    let task = &desk["tasks"][0];
    assert_eq!(
        (&task["task"], &task["order"], &task["returns"], &task["due"]),
        (&json!("answer_return"), &json!(order), &json!([1]), &one["due"])
    );
    let number = ReturnNumber::FIRST;
    shop.accepted(&seller, RejectReturn { number, order, reason: text("it was whole") }).await;
    let receipt = shop.accepted(&buyer, AppealReturn { note: text("it was not"), number, order }).await;
    let (_, asked) = seen(&shop, &operator, "/v1/returns", &receipt).await;
    assert_eq!((&asked["count"], &asked["returns"][0]["state"]), (&json!(1), &json!("appealed")), "{asked}");
    let (_, desk) = seen(&shop, &seller, "/v1/sellers/me/desk", &receipt).await;
    assert_eq!(desk["tasks"], json!([]), "it is the operator's turn");
    let of_seller = format!("/v1/returns?account={}&state=appealed", seller.account);
    let (_, same) = seen(&shop, &operator, &of_seller, &receipt).await;
    assert_eq!(same, asked);
    let (_, shown) = seen(&shop, &buyer, &format!("/v1/orders/{order}"), &receipt).await;
    assert_eq!(shown["returns"][0]["last_word"], "it was not", "{shown}");
    assert!(shown["shipments"][0]["return_by_rfc3339"].is_string(), "{shown}");
    let last = &shown["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["role"]), (&json!("return.appealed"), &json!("buyer")));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_of_others_and_states_that_do_not_wait_are_refused() {
    let shop = Shop::taking_back().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let ask = async |who: &Person, path: &str| shop.get(path).bearer_auth(shop.token(who).await);
    let of_other = format!("/v1/returns?account={}", operator.account);
    problem(ask(&seller, &of_other).await, 403, "scope_denied").await;
    for path in ["/v1/returns?state=ended", "/v1/returns?state=lost", "/v1/returns?cursor=1"] {
        problem(ask(&seller, path).await, 400, "query_invalid").await;
    }
    problem(ask(&operator, "/v1/returns?state=sent").await, 400, "query_invalid").await;
    problem(shop.get("/v1/returns"), 401, "token_missing").await;
    shop.close().await;
}
