//! What is personal over HTTP: it goes beside the command, its owner reads it again, and it ends with the account.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use commands::command::{
    Delivery, EraseAccount, OrderLine, PaymentMethod, PlaceOrder, SEALED_ADDRESSES_MAX, SealedAddress,
    SetEncryptionKey, SetProfile,
};
use commands::personal::{Personal, write_header};
use events::Hash;
use events::account::Role;
use events::ids::AccountId;
use events::privacy::{EncryptionKey, ProfileField};
use futures::StreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, units, usd};
use uuid::Uuid;

/// How long something may take to come; when it runs out the test has failed.
const WAIT_MAX: Duration = Duration::from_secs(20);
const EMAIL: &str = "alice@example.com";

fn personal(salt: u8, value: &str) -> Personal {
    Personal { salt: [salt; 16], value: value.as_bytes().to_vec() }
}

fn set(fields: &[(ProfileField, Option<Hash>)]) -> SetProfile {
    SetProfile { fields: BTreeMap::from_iter(fields.iter().copied()) }
}

fn erase(account: Option<&Person>) -> EraseAccount {
    EraseAccount { account: account.map(|person| person.account) }
}

async fn profile(shop: &Shop, who: &Person, whose: &str, after: &Value) -> (StatusCode, Value) {
    let url = format!("/v1/accounts/{whose}/profile?min_position={}", after["receipt"]["position"]);
    json_of(shop.get(&url).bearer_auth(shop.token(who).await)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_personal_goes_beside_the_command_and_its_owner_reads_it() {
    let shop = Shop::open().await;
    let (alice, bob) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Buyer]).await);
    let operator = shop.person(&[Role::Operator]).await;
    let (email, name) = (personal(1, EMAIL), personal(2, "Alice"));
    let command = set(&[(ProfileField::Email, Some(email.hash())), (ProfileField::Name, Some(name.hash()))]);
    let jws = alice.sign(command.clone(), shop.now());
    let send = || shop.post("/v1/commands", "application/jose", jws.clone());
    let beside = |values: &[Personal]| send().header("skylink-personal", write_header(values));
    let missing = problem(send(), 400, "personal_missing").await;
    assert_eq!(missing["hash"], json!(name.hash()));
    problem(beside(std::slice::from_ref(&email)), 400, "personal_missing").await;
    problem(beside(&[email.clone(), personal(3, "Alice")]), 400, "personal_invalid").await;
    problem(send().header("skylink-personal", "nonsense"), 400, "personal_invalid").await;
    // Nothing of that was decided: the same bytes are taken with what they name.
    let (status, receipt) = json_of(beside(&[name.clone(), email.clone()])).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &json!("accepted")), "{receipt}");
    assert!(!receipt.to_string().contains(EMAIL));
    // Once stored it need not come again.
    let (_, again) = json_of(send()).await;
    assert_eq!(again["replayed"], true, "{again}");

    let (status, told) = profile(&shop, &alice, "me", &receipt).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(told["fields"]["email"]["value"], EMAIL);
    assert_eq!(told["fields"]["email"]["hash"], json!(email.hash()));
    assert_eq!(told["fields"]["name"]["value"], "Alice");
    let whose = alice.account.to_string();
    assert_eq!(profile(&shop, &operator, &whose, &receipt).await.1["fields"], told["fields"]);
    assert_eq!(profile(&shop, &bob, &whose, &receipt).await.0, StatusCode::NOT_FOUND);
    assert_eq!(profile(&shop, &bob, "me", &receipt).await.1["fields"], json!({}));

    // What was replaced is gone, and needs its value again.
    let receipt = shop.accepted(&alice, set(&[(ProfileField::Email, None)])).await;
    let (_, told) = profile(&shop, &alice, "me", &receipt).await;
    assert_eq!(told["fields"].as_object().unwrap().keys().collect::<Vec<_>>(), ["name"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stores_anything_for_another() {
    let shop = Shop::open().await;
    let (alice, mallory) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Buyer]).await);
    let email = personal(1, EMAIL);
    let posing = Person::with(alice.account, mallory.device, mallory.key);
    let jws = posing.sign(set(&[(ProfileField::Email, Some(email.hash()))]), shop.now());
    let request = shop
        .post("/v1/commands", "application/jose", jws)
        .header("skylink-personal", write_header(std::slice::from_ref(&email)));
    problem(request, 403, "scope_denied").await;
    let vault = shop.gateway.vault.clone().unwrap();
    assert_eq!(vault.names(alice.account, "").unwrap(), [""; 0]);
    assert_eq!(vault.status().unwrap().accounts, 0);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_erased_is_gone_with_his_tokens_and_streams() {
    let shop = Shop::open().await;
    let (alice, bob) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Buyer]).await);
    let operator = shop.person(&[Role::Operator]).await;
    let email = personal(1, EMAIL);
    let jws = alice.sign(set(&[(ProfileField::Email, Some(email.hash()))]), shop.now());
    let request = shop
        .post("/v1/commands", "application/jose", jws)
        .header("skylink-personal", write_header(std::slice::from_ref(&email)));
    assert_eq!(json_of(request).await.0, StatusCode::OK);
    let token = shop.token(&alice).await;
    let of_alice = shop.get("/v1/stream").bearer_auth(&token).send().await.unwrap();
    let of_bob = shop.get("/v1/stream").bearer_auth(shop.token(&bob).await).send().await.unwrap();

    let erased = shop.accepted(&operator, erase(Some(&alice))).await;
    let read = async {
        let (mut chunks, mut text) = (of_alice.bytes_stream(), String::new());
        while let Some(chunk) = chunks.next().await {
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        text
    };
    let text = tokio::time::timeout(WAIT_MAX, read).await.unwrap();
    assert!(text.contains("account.erased.v1") && text.contains("closed: the account was erased"), "{text}");

    let whose = alice.account.to_string();
    let position = &erased["receipt"]["position"];
    let url = format!("/v1/accounts/{whose}/profile?min_position={position}");
    problem(shop.get(&url).bearer_auth(shop.token(&operator).await), 410, "erased").await;
    for path in ["/v1/accounts/me/profile", "/v1/wallet", "/v1/stream", "/v1/orders"] {
        problem(shop.get(path).bearer_auth(&token), 410, "erased").await;
    }
    let request = alice.token_request(json!({"ttl_s": 60}), shop.now());
    problem(shop.post("/v1/tokens", "application/jose", request), 410, "erased").await;
    let jws = alice.sign(set(&[(ProfileField::Email, None)]), shop.now());
    problem(shop.post("/v1/commands", "application/jose", jws), 410, "erased").await;

    // Others go on.
    shop.accepted(&bob, erase(None)).await;
    let mut chunks = of_bob.bytes_stream();
    let mut text = String::new();
    while let Some(chunk) = tokio::time::timeout(WAIT_MAX, chunks.next()).await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert!(!text.contains(&whose) && text.contains("account.erased.v1"), "{text}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_to_a_seller_is_kept_for_him_and_the_buyer() {
    let shop = Shop::open().await;
    let (seller, bob) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Buyer]).await);
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 1_000, 5).await;
    let key: EncryptionKey = "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo".parse().unwrap();
    let receipt = shop.accepted(&seller, SetEncryptionKey { key: Some(key.clone()) }).await;
    let ask = async |who: &Person, path: &str, after: &Value| {
        let url = format!("{path}?min_position={}", after["receipt"]["position"]);
        json_of(shop.get(&url).bearer_auth(shop.token(who).await)).await
    };
    let (_, told) = ask(&bob, &format!("/v1/accounts/{}/encryption-key", seller.account), &receipt).await;
    assert_eq!((&told["account"], &told["key"]), (&json!(seller.account), &json!(key)));

    // The market can't tell what is in it; here it is nothing.
    let sealed = Personal { salt: [1; 16], value: vec![0xfe; 60] };
    let purchase = |addresses: Vec<(AccountId, Hash)>| {
        let of = |(to, hash)| (to, SealedAddress { hash, key: key.clone() });
        let sealed_addresses = addresses.into_iter().map(of).collect();
        let delivery = Some(Delivery { sealed_addresses, ..Delivery::to("GB".parse().unwrap()) });
        let lines = vec![OrderLine { listing, quantity: units(1), quote: None }];
        PlaceOrder { delivery, ..PlaceOrder::new(lines, PaymentMethod::Wallet, usd(1_000)) }
    };
    let jws = buyer.sign(purchase(vec![(seller.account, sealed.hash())]), shop.now());
    let send = |jws: &str| shop.post("/v1/commands", "application/jose", jws.to_owned());
    problem(send(&jws), 400, "personal_missing").await;
    let short = Personal { salt: [2; 16], value: vec![0xfe; 48] };
    let of_short = buyer.sign(purchase(vec![(seller.account, short.hash())]), shop.now());
    problem(send(&of_short).header("skylink-personal", write_header([&short])), 400, "personal_invalid")
        .await;
    let many = (0..=SEALED_ADDRESSES_MAX).map(|_| (AccountId::from_uuid(Uuid::now_v7()), sealed.hash()));
    problem(send(&buyer.sign(purchase(many.collect()), shop.now())), 400, "body_invalid").await;
    let (status, receipt) = json_of(send(&jws).header("skylink-personal", write_header([&sealed]))).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &json!("accepted")), "{receipt}");
    let events = receipt["receipt"]["events"].as_array().unwrap();
    let order = events.iter().find(|event| event["type"] == "order.placed.v1").unwrap()["subject"].clone();
    let path = format!("/v1/orders/{}/address", order.as_str().unwrap());
    for who in [&seller, &buyer] {
        let (status, told) = ask(who, &path, &receipt).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        assert_eq!((&told["hash"], &told["key"]), (&json!(sealed.hash()), &json!(key)));
        assert_eq!(told["command"], receipt["receipt"]["command"]);
        assert!(told["sealed"].as_str().unwrap().starts_with("_v7-"), "{told}");
    }
    assert_eq!(ask(&bob, &path, &receipt).await.0, StatusCode::NOT_FOUND);
    let operator = shop.person(&[Role::Operator]).await;
    assert_eq!(ask(&operator, &path, &receipt).await.0, StatusCode::NOT_FOUND);
    // An order without one has none.
    let receipt = shop.accepted(&buyer, purchase(vec![])).await;
    let events = receipt["receipt"]["events"].as_array().unwrap();
    let other = events.iter().find(|event| event["type"] == "order.placed.v1").unwrap()["subject"].clone();
    let path = format!("/v1/orders/{}/address", other.as_str().unwrap());
    assert_eq!(ask(&seller, &path, &receipt).await.0, StatusCode::NOT_FOUND);
    shop.close().await;
}
