//! Devices and second factors over HTTP: who may see them, what ends with them, and what is shown beside a command.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::command::{
    ClearCart, EnrollDevice, EnrollPasskey, OrderLine, PaymentMethod, PlaceOrder, ReinstateAccount,
    ReportLost, RotateDevice, SetStepUpTerms, SuspendAccount,
};
use commands::crypto::SigningKey;
use commands::sign::prove_device;
use commands::step_up::{Shown, challenge, write_header};
use events::Hash;
use events::account::{Algorithm, Role};
use events::ids::DeviceId;
use events::step_up::{Assertion, Base64Url, StepUpRule, StepUpTerms};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, market_name, problem, usd};
use uuid::Uuid;

fn new_key() -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, rand::random()).unwrap()
}

/// Enrolls a second device of somebody, and gives him with that device.
async fn second_device(shop: &Shop, owner: &Person) -> (Person, Value) {
    let (device, key) = (DeviceId::from_uuid(Uuid::now_v7()), new_key());
    let proof = prove_device(&market_name(), owner.account, device, &key);
    let name = Some("Phone".to_owned().try_into().unwrap());
    let enroll = EnrollDevice { device, key: key.public(), name, proof, scope: None };
    let receipt = shop.accepted(owner, enroll).await;
    (Person::with(owner.account, device, key), receipt)
}

async fn devices(shop: &Shop, who: &Person, path: &str, receipt: &Value) -> (StatusCode, Value) {
    let url = format!("{path}?min_position={}", receipt["receipt"]["position"]);
    json_of(shop.get(&url).bearer_auth(shop.token(who).await)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_of_an_account_are_listed_with_what_happened_to_them() {
    let shop = Shop::open().await;
    let (alice, bob) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Buyer]).await);
    let operator = shop.person(&[Role::Operator]).await;
    let (phone, _) = second_device(&shop, &alice).await;
    let later = new_key();
    let proof = prove_device(&market_name(), alice.account, phone.device, &later);
    shop.accepted(&phone, RotateDevice { key: later.public(), proof }).await;
    let receipt = shop.accepted(&alice, ReportLost { device: phone.device }).await;

    let (status, list) = devices(&shop, &alice, "/v1/accounts/me/devices", &receipt).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let of_phone =
        list["devices"].as_array().unwrap().iter().find(|device| device["name"] == "Phone").unwrap();
    assert_eq!((&of_phone["state"], &of_phone["key"]), (&json!("revoked"), &json!(later.id())));
    let steps: Vec<&String> = of_phone["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["step"].as_object().unwrap().keys().next().unwrap())
        .collect();
    assert_eq!(steps, ["registered", "rotated", "revoked"]);
    assert_eq!(of_phone["history"][2]["step"]["revoked"]["reason"], "lost");
    assert_eq!(of_phone["history"][1]["by_device"], json!(phone.device));
    assert_eq!(list["devices"].as_array().unwrap().len(), 2);

    // An operator sees those of others; nobody else learns whether there is such an account.
    let path = format!("/v1/accounts/{}/devices", alice.account);
    assert_eq!(devices(&shop, &operator, &path, &receipt).await.1, list);
    let token = shop.token(&bob).await;
    problem(shop.get(&path).bearer_auth(&token), 404, "not_found").await;
    let nobody = format!("/v1/accounts/{}/devices", Uuid::now_v7());
    problem(shop.get(&nobody).bearer_auth(&token), 404, "not_found").await;
    problem(shop.get("/v1/accounts/you/devices").bearer_auth(&token), 404, "not_found").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_its_commands_and_its_tokens_end() {
    let shop = Shop::open().await;
    let alice = shop.person(&[Role::Buyer]).await;
    let (phone, receipt) = second_device(&shop, &alice).await;
    devices(&shop, &alice, "/v1/accounts/me/devices", &receipt).await;
    let token = shop.token(&phone).await;
    let (status, _) = json_of(shop.get("/v1/wallet").bearer_auth(&token)).await;
    assert_eq!(status, StatusCode::OK);
    let receipt = shop.accepted(&alice, ReportLost { device: phone.device }).await;
    devices(&shop, &alice, "/v1/accounts/me/devices", &receipt).await;
    problem(shop.get("/v1/wallet").bearer_auth(&token), 401, "token_invalid").await;
    let asks = phone.token_request(json!({"ttl_s": 60}), shop.now());
    problem(shop.post("/v1/tokens", "application/jose", asks), 401, "kid_revoked").await;
    let clear = phone.sign(ClearCart::default(), shop.now());
    problem(shop.post("/v1/commands", "application/jose", clear), 401, "kid_revoked").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_account_reads_and_asks_for_nothing() {
    let shop = Shop::open().await;
    let (alice, operator) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Operator]).await);
    let token = shop.token(&alice).await;
    let (account, reason) = (alice.account, "complaints".to_owned().try_into().unwrap());
    let receipt = shop.accepted(&operator, SuspendAccount { account, reason }).await;
    let clear =
        || shop.post("/v1/commands", "application/jose", alice.sign(ClearCart::default(), shop.now()));
    problem(clear(), 403, "account_suspended").await;
    let (status, list) = devices(&shop, &alice, "/v1/accounts/me/devices", &receipt).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    assert_eq!(list["suspended"]["reason"], "complaints");
    assert_eq!(list["suspended"]["position"], receipt["receipt"]["position"]);
    // She reads with the token of before and gets new ones, but no stream.
    let (status, _) = json_of(shop.get("/v1/wallet").bearer_auth(&token)).await;
    assert_eq!(status, StatusCode::OK);
    problem(shop.get("/v1/stream").bearer_auth(shop.token(&alice).await), 403, "account_suspended").await;
    let reason = "it is settled".to_owned().try_into().unwrap();
    let receipt = shop.accepted(&operator, ReinstateAccount { account, reason }).await;
    let (_, list) = devices(&shop, &alice, "/v1/accounts/me/devices", &receipt).await;
    assert_eq!(list["suspended"], json!(null));
    let (status, receipt) = json_of(clear()).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &json!("unchanged")));
    shop.close().await;
}

/// What the page of a market and its authenticator make of a challenge.
fn approve(passkey: &SigningKey, credential: &str, challenge: &str) -> String {
    let client = json!({"type": "webauthn.get", "challenge": challenge, "origin": "https://market.example"});
    let client = client.to_string().into_bytes();
    let mut data = Hash::of(b"market.example").as_bytes().to_vec();
    data.extend([0b101, 0, 0, 0, 0]);
    let mut message = data.clone();
    message.extend(Hash::of(&client).as_bytes());
    write_header(&Shown::Webauthn(Assertion {
        authenticator_data: Base64Url(data),
        client_data: Base64Url(client),
        credential: credential.parse().unwrap(),
        signature: Base64Url(passkey.sign(&message).to_vec()),
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_above_the_limit_is_approved_beside_the_unchanged_command() {
    let shop = Shop::open().await;
    let (operator, seller) = (shop.person(&[Role::Operator]).await, shop.person(&[Role::Seller]).await);
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_000, 5).await;
    let rules = vec![StepUpRule {
        above_minor: [("USD".parse().unwrap(), 5_000)].into(),
        commands: ["order.place".parse().unwrap()].into(),
        device_younger_than_ms: 0,
    }];
    let (origins, relying_party) =
        (["https://market.example".parse().unwrap()].into(), "market.example".parse().unwrap());
    shop.accepted(&operator, SetStepUpTerms { terms: StepUpTerms { origins, relying_party, rules } }).await;
    let passkey = new_key();
    let credential = URL_SAFE_NO_PAD.encode(passkey.id().0);
    let enroll = EnrollPasskey { credential: credential.parse().unwrap(), key: passkey.public() };
    shop.accepted(&buyer, enroll).await;
    let purchase = |quantity: u32| {
        let lines = vec![OrderLine { listing, quantity: support::units(quantity), quote: None }];
        PlaceOrder::new(lines, PaymentMethod::Wallet, usd(2_000 * i64::from(quantity)))
    };
    shop.accepted(&buyer, purchase(1)).await;

    let signed = buyer.sign(purchase(3), shop.now());
    let send = || shop.post("/v1/commands", "application/jose", signed.clone());
    let told = problem(send(), 403, "mfa_required").await;
    assert_eq!(told["credentials"], json!([credential]));
    assert_eq!(told["relying_party"], "market.example");
    let asked = told["challenge"].as_str().unwrap();
    assert_eq!(asked, URL_SAFE_NO_PAD.encode(challenge(&signed).unwrap().as_bytes()));
    // What is no second factor, and one for another command.
    problem(send().header("Skylink-Step-Up", "e30"), 400, "body_invalid").await;
    let other = approve(&passkey, &credential, &URL_SAFE_NO_PAD.encode([7; 32]));
    let told = problem(send().header("Skylink-Step-Up", other), 403, "mfa_required").await;
    assert!(told["problem"].as_str().unwrap().contains("another command"), "{told}");
    // The same bytes again, approved; and once more, which is the same order.
    let good = approve(&passkey, &credential, asked);
    let (status, placed) = json_of(send().header("Skylink-Step-Up", good.clone())).await;
    assert_eq!((status, &placed["receipt"]["outcome"]), (StatusCode::OK, &json!("accepted")), "{placed}");
    let (_, again) = json_of(send().header("Skylink-Step-Up", good)).await;
    assert_eq!((&again["replayed"], &again["receipt"]), (&json!(true), &placed["receipt"]));
    shop.close().await;
}
