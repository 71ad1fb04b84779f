//! What banks dispute, over HTTP: seen by whom it is about and by operators, each what is his to see; and counted when it is late.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use axum::http::StatusCode;
use commands::command::{
    AcceptChargeback, OrderLine, PaymentMethod, PlaceOrder, ProviderMethod, ReportChargeback, ReportPayment,
    ReportedOutcome, Standing, SubmitEvidence, Tenders,
};
use events::account::Role;
use events::chargeback::{ChargebackReason, Round};
use events::ids::{ChargebackId, OrderId, PaymentId};
use events::payment::CaptureTime;
use serde_json::{Value, json};
use support::{Person, Shop, ask, json_of, problem, receipt_order, usd};

const PATH: &str = "/v1/chargebacks";

/// Asks as somebody, once the views have come to a receipt.
async fn seen(shop: &Shop, who: &Person, path: &str, receipt: &Value) -> (StatusCode, Value) {
    let sign = if path.contains('?') { '&' } else { '?' };
    let url = format!("{path}{sign}min_position={}", receipt["receipt"]["position"]);
    json_of(shop.get(&url).bearer_auth(shop.token(who).await)).await
}

fn text<const MAX: usize>(text: &str) -> commands::command::Text<MAX> {
    text.to_owned().try_into().unwrap()
}

fn disputed(payment: PaymentId, minor: i64, standing: Standing) -> ReportChargeback {
    ReportChargeback {
        amount: usd(minor),
        due_by: None,
        fee: Some(usd(1500)),
        network_reason: Some(text("13.1")),
        payment,
        reason: ChargebackReason::ItemNotReceived,
        reference: text("dp 1"),
        round: Round::First,
        standing,
        submissions: 0,
    }
}

/// Metrics are of the process, so all that reads them stands in one test.
#[tokio::test(flavor = "multi_thread")]
async fn a_chargeback_is_seen_by_whom_it_is_about() {
    let shop = Shop::open().await;
    let (buyer, seller) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Seller]).await);
    let (other, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let provider = shop.person(&[Role::Provider]).await;
    let listing = shop.listing(&seller, 700, 2).await;
    let method = ProviderMethod { provider: provider.account, token: text("tok") };
    let method =
        PaymentMethod::Tenders(Tenders { capture: CaptureTime::AtOnce, provider: method, wallet: None });
    let lines = vec![OrderLine { listing, quantity: support::units(1), quote: None }];
    let placed = shop.accepted(&buyer, PlaceOrder::new(lines, method, usd(700))).await;
    let order: OrderId = receipt_order(&placed).parse().unwrap();
    let receipt = &placed;
    let (_, shown) = seen(&shop, &buyer, &format!("/v1/orders/{order}"), receipt).await;
    let payment: PaymentId = shown["payment"]["payment"].as_str().unwrap().parse().unwrap();
    let outcome = ReportedOutcome::Captured { amount: usd(700), reference: text("ch 1") };
    shop.accepted(&provider, ReportPayment { outcome, payment }).await;
    let chargeback = ChargebackId::derive(payment, "dp 1");
    let receipt = shop.accepted(&provider, disputed(payment, 700, Standing::NeedsResponse)).await;

    problem(shop.get(PATH), 401, "token_missing").await;
    let (status, page) = seen(&shop, &operator, PATH, &receipt).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let one = &page["chargebacks"][0];
    assert_eq!(
        (&one["chargeback"], &one["state"], &one["amount"]["minor"], &one["fee"]["minor"]),
        (&json!(chargeback), &json!("needs_response"), &json!(700), &json!(1500))
    );
    let (_, page) = seen(&shop, &seller, PATH, &receipt).await;
    let one = &page["chargebacks"][0];
    assert_eq!((&one["orders"][0]["order"], &one["fee"]), (&json!(order), &json!(null)), "{one}");
    let (_, none) = seen(&shop, &other, PATH, &receipt).await;
    assert_eq!(none["chargebacks"], json!([]), "what others sold is not his to see");
    let path = format!("{PATH}/{chargeback}");
    for (who, is_his) in [(&buyer, true), (&seller, true), (&operator, true), (&other, false)] {
        let (status, _) = seen(&shop, who, &path, &receipt).await;
        assert_eq!(status == StatusCode::OK, is_his);
    }
    let (_, shown) = seen(&shop, &buyer, &format!("/v1/orders/{order}"), &receipt).await;
    assert_eq!(
        (&shown["state"], &shown["chargebacks"][0]["state"]),
        (&json!("disputed"), &json!("disputed"))
    );
    let steps: Vec<_> =
        shown["timeline"].as_array().unwrap().iter().map(|entry| entry["type"].clone()).collect();
    assert_eq!(steps.last(), Some(&json!("chargeback.opened")));
    let (_, shown) = seen(&shop, &buyer, &format!("/v1/payments/{payment}"), &receipt).await;
    assert_eq!((&shown["disputed"]["minor"], &shown["chargebacks"]), (&json!(700), &json!([chargeback])));

    // Its seller is to answer, and while the order stands still he is to do nothing else.
    let desk = "/v1/sellers/me/desk";
    let (_, shown) = seen(&shop, &seller, desk, &receipt).await;
    assert_eq!(
        (&shown["chargebacks"][0]["chargeback"], &shown["tasks"], &shown["chargebacks"][0]["fee"]),
        (&json!(chargeback), &json!([]), &json!(null)),
        "{shown}"
    );

    // What is given as evidence is the seller's and the operators'.
    let files = Vec::new().try_into().unwrap();
    let evidence = SubmitEvidence { chargeback, files, payment, statement: Some(text("it came")) };
    let receipt = shop.accepted(&seller, evidence).await;
    assert_eq!(seen(&shop, &seller, desk, &receipt).await.1["chargebacks"], json!([]));
    let (_, shown) = seen(&shop, &seller, &path, &receipt).await;
    assert_eq!(
        (&shown["evidence"]["statement"], &shown["evidence"]["is_taken"]),
        (&json!("it came"), &json!(false))
    );
    let (_, shown) = seen(&shop, &buyer, &path, &receipt).await;
    assert_eq!(shown["evidence"], json!(null), "{shown}");

    shop.accepted(&operator, AcceptChargeback { chargeback, payment }).await;
    let receipt = shop.accepted(&provider, disputed(payment, 700, Standing::Lost)).await;
    let (_, page) = seen(&shop, &operator, PATH, &receipt).await;
    assert_eq!(page["chargebacks"], json!([]));
    let (_, page) = seen(&shop, &operator, &format!("{PATH}?state=decided"), &receipt).await;
    assert_eq!((&page["chargebacks"][0]["state"], &page["next_cursor"]), (&json!("lost"), &json!(null)));
    let (_, shown) = seen(&shop, &buyer, &format!("/v1/orders/{order}"), &receipt).await;
    assert_eq!(shown["state"], "charged_back", "{shown}");
    let token = shop.token(&operator).await;
    problem(shop.get(&format!("{PATH}?state=all")).bearer_auth(token), 400, "query_invalid").await;
    let (_, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!(ready["chargebacks_overdue"], 0, "{ready}");
    let metrics = String::from_utf8(ask(shop.get("/metrics")).await.body.to_vec()).unwrap();
    assert!(metrics.contains("\nskylink_chargebacks_overdue 0\n"), "{metrics}");
    shop.close().await;
}
