//! Commands over HTTP, on a real market and a real port.

mod support;

use std::sync::Arc;

use commands::Refusal;
use commands::command::{
    AddToCart, ClearCart, ConfirmDelivery, FundWallet, OrderLine, PaymentMethod, PlaceOrder, RegisterAccount,
    ShipOrder,
};
use commands::crypto::VerifyingKey;
use commands::receipt::{Receipt, verify_receipt};
use commands::sign::sign;
use engine::Reply;
use events::Money;
use events::account::{PublicKey, Role};
use events::ids::{AccountId, ListingId};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, Silent, Unsure, ask, json_of, problem, receipt_order, usd};

fn purchase(listing: ListingId, quantity: u32, total: i64) -> PlaceOrder {
    let lines = vec![OrderLine { listing, quantity: support::units(quantity), quote: None }];
    PlaceOrder::new(lines, PaymentMethod::Wallet, usd(total))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_all_the_way_and_every_receipt_holds() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let placed = shop.accepted(&buyer, purchase(listing, 2, 5_000)).await;
    let order = receipt_order(&placed);
    let id = order.parse().unwrap();
    let shipped = shop
        .accepted(&seller, ShipOrder { carrier: None, from: None, lines: None, order: id, tracking: None })
        .await;
    let confirmed = shop.accepted(&buyer, ConfirmDelivery { order: id, shipment: None }).await;

    let (_, jwks) = json_of(shop.get("/.well-known/jwks.json")).await;
    let mut jwk = jwks["keys"][0].clone();
    for member in ["kid", "alg", "use", "from"] {
        jwk.as_object_mut().unwrap().remove(member).unwrap();
    }
    let market_key: PublicKey = serde_json::from_value(jwk).unwrap();
    let market_key = VerifyingKey::new(&market_key).unwrap();
    for json in [&placed, &shipped, &confirmed] {
        let receipt = Receipt::from_json(json.to_string().as_bytes()).unwrap();
        verify_receipt(&receipt, &market_key).unwrap();
    }

    // What was just written is read, because the position is asked for.
    let position = confirmed["receipt"]["position"].as_u64().unwrap();
    for who in [&buyer, &seller] {
        let token = shop.token(who).await;
        let path = format!("/v1/orders/{order}?min_position={position}");
        let answer = ask(shop.get(&path).bearer_auth(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let seen: u64 = answer.headers["skylink-position"].to_str().unwrap().parse().unwrap();
        assert!(seen >= position);
        let shown: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(shown["state"], "completed");
        assert_eq!(shown["total"], json!({"minor": 5_000, "currency": "USD"}));
        assert_eq!(shown["placed_at_rfc3339"], "2025-07-29T10:00:00.000Z");
        let steps: Vec<&str> = shown["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["type"].as_str().unwrap())
            .collect();
        let all = ["order.placed", "escrow.held", "order.shipped", "order.delivered", "escrow.released"];
        assert_eq!(steps, all);
        let (_, wallet) = json_of(shop.get("/v1/wallet").bearer_auth(&token)).await;
        let (member, minor) =
            if who.account == buyer.account { ("wallet", 5_000) } else { ("seller_available", 4_875) };
        assert_eq!(wallet[member][0]["minor"], minor, "{wallet}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_of_a_command_are_taken_where_they_belong() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let add = || AddToCart { listing, owner: None, quantity: support::units(1) };
    let flat = buyer.seed_form(add(), shop.now());
    let (status, receipt) = json_of(shop.post("/api/cart/add", "application/json", flat)).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &json!("accepted")));
    let jws = buyer.sign(add(), shop.now());
    let (status, receipt) = json_of(shop.post("/api/cart/add", "text/plain; charset=utf-8", jws)).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &json!("accepted")));
    let flat = buyer.seed_form(purchase(listing, 1, 2_500), shop.now());
    let (status, receipt) = json_of(shop.post("/api/orders/create", "application/json", flat)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");

    let elsewhere = buyer.sign(add(), shop.now());
    problem(shop.post("/api/cart/remove", "application/jose", elsewhere), 404, "cmd_unknown").await;
    let token = shop.token(&buyer).await;
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    let path = format!("/v1/carts/current?min_position={position}");
    let (_, cart) = json_of(shop.get(&path).bearer_auth(&token)).await;
    assert_eq!(cart["lines"][0]["quantity"], 2, "{cart}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_wish_again_gets_the_first_receipt_and_another_wish_under_its_id_a_conflict() {
    let shop = Shop::open().await;
    let draft = shop
        .registrar
        .draft(RegisterAccount { account: Person::new().account, roles: [Role::Buyer].into() }, shop.now());
    let jws = sign(&draft, &shop.registrar.key);
    let first = ask(shop.post("/v1/commands/account.register", "application/jose", jws.clone())).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let first: Value = serde_json::from_slice(&first.body).unwrap();
    let again = ask(shop.post("/v1/commands", "application/jose", jws)).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let again: Value = serde_json::from_slice(&again.body).unwrap();
    assert_eq!(again["receipt"], first["receipt"]);

    let mut other = shop
        .registrar
        .draft(RegisterAccount { account: Person::new().account, roles: [Role::Buyer].into() }, shop.now());
    other.command_id = draft.command_id;
    let jws = sign(&other, &shop.registrar.key);
    problem(shop.post("/v1/commands", "application/jose", jws), 409, "command_conflict").await;

    let token = shop.token(&shop.registrar).await;
    let path = format!("/v1/receipts/{}/{}", draft.account, draft.command_id);
    let (status, found) = json_of(shop.get(&path).bearer_auth(&token)).await;
    assert_eq!((status, &found["receipt"]), (StatusCode::OK, &first["receipt"]));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_status_and_code() {
    let shop = Shop::open().await;
    let wish = || RegisterAccount { account: Person::new().account, roles: [Role::Buyer].into() };
    let (registrar, now) = (&shop.registrar, shop.now());
    let send = |bytes: String| shop.post("/v1/commands", "application/jose", bytes);
    let refused = async |change: &dyn Fn(&mut commands::sign::Draft), status: u16, code: &str| {
        let mut draft = registrar.draft(wish(), now);
        change(&mut draft);
        problem(send(sign(&draft, &registrar.key)), status, code).await
    };
    refused(&|draft| draft.market = "other".parse().unwrap(), 400, "aud_mismatch").await;
    refused(&|draft| draft.issued_at = now.plus_ms(-120_001), 400, "stale").await;
    refused(&|draft| draft.issued_at = now.plus_ms(30_001), 400, "from_future").await;
    refused(&|draft| draft.account = AccountId::from_uuid(uuid::Uuid::now_v7()), 403, "scope_denied").await;

    let used = registrar.draft(wish(), now);
    let (status, _) = json_of(send(sign(&used, &registrar.key))).await;
    assert_eq!(status, StatusCode::OK);
    let behind = refused(&|draft| draft.seq = used.seq, 409, "seq_replayed").await;
    assert_eq!(behind["high"], used.seq);
    refused(&|draft| draft.seq = used.seq + (1 << 21), 409, "seq_jump").await;
    refused(&|draft| draft.nonce = used.nonce, 409, "nonce_reused").await;

    problem(send(Person::new().sign(wish(), now)), 401, "kid_unknown").await;
    problem(send(String::new()), 401, "sig_missing").await;
    problem(send("a.b".to_owned()), 401, "sig_missing").await;
    problem(send("no jws".to_owned()), 400, "sig_malformed").await;
    let mut bad = registrar.sign(wish(), now);
    let at = bad.len() - 40;
    let flipped = if &bad[at..=at] == "A" { "B" } else { "A" };
    bad.replace_range(at..=at, flipped);
    problem(send(bad), 401, "sig_invalid").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_units_uncountable_money_and_a_command_in_anothers_place_are_told_by_name() {
    let shop = Shop::open().await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(Money::MINOR_MAX - 1).await);
    let listing = shop.listing(&seller, 2_500, 1).await;
    let cart = buyer.sign(ClearCart::default(), shop.now());
    problem(shop.post("/api/cart/add", "application/jose", cart), 404, "cmd_unknown").await;

    let send = |bytes: String| shop.post("/v1/commands", "application/jose", bytes);
    let none = json!({ "listing": listing, "quantity": 0 });
    let told = problem(send(buyer.request("cart.add", none.clone(), shop.now())), 400, "body_invalid").await;
    assert!(told["detail"].as_str().unwrap().contains("quantity"), "{told}");
    let nothing = json!({ "lines": [none], "payment_method": "wallet", "total": usd(0) });
    problem(send(buyer.request("order.place", nothing, shop.now())), 400, "body_invalid").await;

    // One cent more than there is can still be counted, two can not.
    let provider = shop.person(&[Role::Provider]).await;
    let fund = |minor: i64| {
        let reference = "test-2".to_owned().try_into().unwrap();
        let fund = FundWallet { account: buyer.account, amount: usd(minor), reference };
        send(provider.sign(fund, shop.now()))
    };
    problem(fund(2), 422, "amount_overflow").await;
    let (status, _) = json_of(fund(1)).await;
    assert_eq!(status, StatusCode::OK);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_carries_all_reasons_and_its_receipt() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(100).await;
    let listing = shop.listing(&seller, 2_500, 1).await;
    let jws = buyer.sign(purchase(listing, 2, 5_000), shop.now());
    let told = problem(shop.post("/v1/commands", "application/jose", jws), 422, "insufficient_stock").await;
    let codes: Vec<&Value> =
        told["reasons"].as_array().unwrap().iter().map(|reason| &reason["code"]).collect();
    assert_eq!(codes, ["insufficient_stock", "insufficient_funds"]);
    let receipt = Receipt::from_json(told["receipt"].to_string().as_bytes()).unwrap();
    assert_eq!(receipt.receipt.account, buyer.account);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_not_known_is_never_told_as_a_no() {
    for (other, is_silent) in [
        (Arc::new(Silent) as Arc<dyn gateway::Commands>, true),
        (Arc::new(Unsure(|| Reply::Undecided)), false),
    ] {
        let shop = Shop::open_with(Some(other), None).await;
        let wish = RegisterAccount { account: Person::new().account, roles: [Role::Buyer].into() };
        let draft = shop.registrar.draft(wish, shop.now());
        let started = std::time::Instant::now();
        let sent = shop.post("/v1/commands", "application/jose", sign(&draft, &shop.registrar.key));
        let told = problem(sent, 504, "outcome_unknown").await;
        assert_eq!(told["receipt_url"], format!("/v1/receipts/{}/{}", draft.account, draft.command_id));
        assert_eq!(started.elapsed() >= gateway::submit::RECEIPT_TIME_MAX, is_silent);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_market_says_when_to_come_again() {
    let busy = Unsure(|| Reply::Refused(Refusal::Busy));
    let shop = Shop::open_with(Some(Arc::new(busy)), None).await;
    let answer = ask(shop.post("/v1/commands", "application/jose", "x")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    shop.close().await;
}
