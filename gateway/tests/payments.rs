//! Payments through providers over HTTP: asked for, looked at by whose they are, and told of by nobody who can't sign.

mod support;

use commands::command::{
    ConfirmDelivery, OrderLine, PayOrder, PaymentMethod, PayoutOutcome, PlaceOrder, ProviderMethod,
    ReportPayment, ReportPayout, ReportedOutcome, RequestPayment, RequestPayout, ShipOrder, Tenders,
};
use events::account::Role;
use events::ids::{OrderId, PaymentId, PayoutId};
use events::payment::CaptureTime;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, receipt_order, usd};

/// Gives where a receipt's payment is asked for, once the views know it.
#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn payment_of(receipt: &Value) -> (PaymentId, String) {
    let receipt = &receipt["receipt"];
    let payment: PaymentId = receipt["events"][0]["subject"].as_str().unwrap().parse().unwrap();
    (payment, format!("/v1/payments/{payment}?min_position={}", receipt["position"]))
}

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn request(provider: &Person, token: &str) -> RequestPayment {
    let token = token.to_owned().try_into().unwrap();
    RequestPayment { amount: usd(700), method: ProviderMethod { provider: provider.account, token } }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_shown_to_its_buyer_and_to_operators_only() {
    let shop = Shop::open().await;
    let (buyer, other) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Buyer]).await);
    let (provider, operator) = (shop.person(&[Role::Provider]).await, shop.person(&[Role::Operator]).await);
    let (payment, url) = payment_of(&shop.accepted(&buyer, request(&provider, "tok_1")).await);
    for (who, sees) in [(&buyer, true), (&operator, true), (&other, false), (&provider, false)] {
        let asked = shop.get(&url).bearer_auth(shop.token(who).await);
        if sees {
            let (status, shown) = json_of(asked).await;
            assert_eq!((status, &shown["payment"]), (StatusCode::OK, &json!(payment)), "{shown}");
            assert!(shown["state"]["requested"]["expires_at_rfc3339"].is_string(), "{shown}");
        } else {
            problem(asked, 404, "not_found").await;
        }
    }
    problem(shop.get(&url), 401, "token_missing").await;
    problem(shop.get("/v1/payments/x").bearer_auth(shop.token(&buyer).await), 404, "not_found").await;
    let reference = "r".to_owned().try_into().unwrap();
    let outcome = ReportedOutcome::Captured { amount: usd(700), reference };
    let (_, url) = payment_of(&shop.accepted(&provider, ReportPayment { outcome, payment }).await);
    let (_, shown) = json_of(shop.get(&url).bearer_auth(shop.token(&buyer).await)).await;
    assert_eq!((&shown["state"], &shown["captured"]["minor"]), (&json!("captured"), &json!(700)), "{shown}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flat_form_asks_for_money_on_a_path_of_its_own() {
    let shop = Shop::open().await;
    let (buyer, provider) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Provider]).await);
    let flat = buyer.seed_form(request(&provider, "tok_1"), shop.now());
    let (status, receipt) = json_of(shop.post("/api/payments/process", "application/json", flat)).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &json!("accepted")), "{receipt}");
    let other = buyer.sign(commands::command::ClearCart::default(), shop.now());
    problem(shop.post("/api/payments/process", "application/jose", other), 404, "cmd_unknown").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cards_number_is_refused_and_leaves_no_trace() {
    let shop = Shop::open().await;
    let (buyer, provider) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Provider]).await);
    let before = shop.gateway.log.head().await.unwrap();
    let good = request(&provider, "tok_1");
    let mut body = commands::Command::from(good).body();
    body["method"]["token"] = "4242-4242-4242-4242".into();
    let signed = buyer.request("payment.request", body, shop.now());
    let told = problem(shop.post("/v1/commands", "application/jose", signed), 400, "body_invalid").await;
    assert!(!told.to_string().contains("4242"), "{told}");
    assert_eq!(shop.gateway.log.head().await.unwrap(), before, "nothing is stored");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_providers_says_so() {
    let shop = Shop::open().await;
    assert_eq!(json_of(shop.get("/v1/providers")).await, (StatusCode::OK, json!({"providers": []})));
    let message = shop.post("/v1/providers/stripe/webhooks", "application/json", "{}");
    problem(message, 404, "not_found").await;
    let (_, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!(ready["effects"], json!({"pending": 0, "stuck": 0, "trouble": null}));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_by_card_and_its_sellers_payout_are_shown_to_those_whose_they_are() {
    let shop = Shop::open().await;
    let (buyer, seller) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Seller]).await);
    let provider = shop.person(&[Role::Provider]).await;
    let method = |token: &str| ProviderMethod {
        provider: provider.account,
        token: token.to_owned().try_into().unwrap(),
    };
    let listing = shop.listing(&seller, 700, 1).await;
    let lines = vec![OrderLine { listing, quantity: support::units(1), quote: None }];
    let tenders = Tenders { capture: CaptureTime::AtOnce, provider: method("tok_1"), wallet: None };
    let payment_method = PaymentMethod::Tenders(tenders);
    let placed = shop.accepted(&buyer, PlaceOrder::new(lines, payment_method, usd(700))).await;
    let order: OrderId = receipt_order(&placed).parse().unwrap();
    let payment: PaymentId = placed["receipt"]["events"][1]["subject"].as_str().unwrap().parse().unwrap();
    // Another card, in the flat form and on the path of its own.
    let failed = ReportedOutcome::Failed { code: "declined".to_owned().try_into().unwrap(), retryable: true };
    shop.accepted(&provider, ReportPayment { outcome: failed, payment }).await;
    let flat = buyer.seed_form(PayOrder { method: method("tok_2"), order }, shop.now());
    let (_, again) = json_of(shop.post("/api/orders/pay", "application/json", flat)).await;
    assert_eq!(again["receipt"]["outcome"], "accepted", "{again}");
    let (payment, url) = payment_of(&again);
    let (_, shown) = json_of(shop.get(&url).bearer_auth(shop.token(&buyer).await)).await;
    assert_eq!(shown["orders"], json!([order]), "{shown}");
    let reference = || "r".to_owned().try_into().unwrap();
    let capture_before = shop.now().plus_ms(86_400_000);
    let held = ReportedOutcome::Authorized { amount: usd(700), capture_before, reference: reference() };
    let receipt = shop.accepted(&provider, ReportPayment { outcome: held, payment }).await;
    let url = format!("/v1/wallet?min_position={}", receipt["receipt"]["position"]);
    let (_, shown) = json_of(shop.get(&url).bearer_auth(shop.token(&buyer).await)).await;
    assert_eq!(
        (&shown["wallet"], &shown["wallet_pending"][0]["minor"]),
        (&json!([]), &json!(700)),
        "{shown}"
    );
    let took = ReportedOutcome::Captured { amount: usd(700), reference: reference() };
    let receipt = shop.accepted(&provider, ReportPayment { outcome: took, payment }).await;
    let url = format!("/v1/orders/{order}?min_position={}", receipt["receipt"]["position"]);
    let (_, shown) = json_of(shop.get(&url).bearer_auth(shop.token(&seller).await)).await;
    let paid = (&shown["state"], &shown["payment"]["payment"], &shown["payment"]["is_paid"]);
    assert_eq!(paid, (&json!("placed"), &json!(payment), &json!(true)), "{shown}");
    shop.accepted(&seller, ShipOrder { carrier: None, lines: None, order, tracking: None }).await;
    shop.accepted(&buyer, ConfirmDelivery { order, shipment: None }).await;

    let receipt = shop.accepted(&seller, RequestPayout { amount: usd(600), to: method("acct_1") }).await;
    let payout: PayoutId = receipt["receipt"]["events"][0]["subject"].as_str().unwrap().parse().unwrap();
    let behind = format!("min_position={}", receipt["receipt"]["position"]);
    let (_, shown) =
        json_of(shop.get(&format!("/v1/payouts?{behind}")).bearer_auth(shop.token(&seller).await)).await;
    assert_eq!(
        (&shown["payouts"][0]["payout"], &shown["next_cursor"]),
        (&json!(payout), &Value::Null),
        "{shown}"
    );
    let url = format!("/v1/payouts/{payout}?{behind}");
    let (_, shown) = json_of(shop.get(&url).bearer_auth(shop.token(&seller).await)).await;
    assert!(shown["state"]["in_transit"]["due_rfc3339"].is_string(), "{shown}");
    problem(shop.get(&url).bearer_auth(shop.token(&buyer).await), 404, "not_found").await;
    let outcome = PayoutOutcome::Paid { reference: reference() };
    let receipt = shop.accepted(&provider, ReportPayout { outcome, payout }).await;
    let url = format!("/v1/payouts/{payout}?min_position={}", receipt["receipt"]["position"]);
    let (_, shown) = json_of(shop.get(&url).bearer_auth(shop.token(&seller).await)).await;
    assert_eq!(shown["state"], json!({"paid": {"reference": "r"}}), "{shown}");
    shop.close().await;
}
