//! How an account gets an app that makes codes, over HTTP, and what is told of its second factors.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use aws_lc_rs::hmac;
use commands::command::{ClearCart, EnrollRecovery, EnrollTotp, RemoveTotp, SetStepUpTerms};
use commands::step_up::{Shown, TotpCode, write_header};
use events::account::Role;
use events::ids::AuthenticatorId;
use events::step_up::{RecoveryShown, StepUpRule, StepUpTerms};
use events::{Hash, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem};

/// What an app makes of its secret (RFC 6238).
fn code(secret: &str, now: Timestamp) -> String {
    let bits: String = secret
        .chars()
        .map(|letter| format!("{:05b}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).unwrap()))
        .collect();
    let key: Vec<u8> =
        (0..bits.len() / 8).map(|n| u8::from_str_radix(&bits[8 * n..8 * n + 8], 2).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &(now.ms() / 30_000).to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let four: [u8; 4] = tag.as_ref()[at..at + 4].try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

fn another(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 500_000) % 1_000_000)
}

async fn asks_for_carts(shop: &Shop) {
    let operator = shop.person(&[Role::Operator]).await;
    let rules = vec![StepUpRule {
        above_minor: [].into(),
        commands: ["cart.*".parse().unwrap()].into(),
        device_younger_than_ms: 0,
    }];
    let (origins, relying_party) =
        (["https://market.example".parse().unwrap()].into(), "market.example".parse().unwrap());
    shop.accepted(&operator, SetStepUpTerms { terms: StepUpTerms { origins, relying_party, rules } }).await;
}

async fn factors(shop: &Shop, who: &Person, receipt: &Value) -> Value {
    let url = format!("/v1/accounts/me/factors?min_position={}", receipt["receipt"]["position"]);
    let (status, list) = json_of(shop.get(&url).bearer_auth(shop.token(who).await)).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_gets_a_secret_shows_a_code_and_is_enrolled() {
    let shop = Shop::open().await;
    asks_for_carts(&shop).await;
    let alice = shop.person(&[Role::Buyer]).await;
    let token = shop.token(&alice).await;
    let begin = || shop.post("/v1/factors/app", "application/json", "").bearer_auth(&token);
    let confirm = |body: Value| {
        let post = shop.post("/v1/factors/app/confirm", "application/json", body.to_string());
        post.bearer_auth(&token)
    };
    let (status, begun) = json_of(begin()).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    let (id, secret) = (begun["authenticator"].as_str().unwrap(), begun["secret"].as_str().unwrap());
    assert_eq!(secret.len(), 32, "160 bits in base32");
    let authenticator: AuthenticatorId = id.parse().unwrap();
    let post = |signed: String| shop.post("/v1/commands", "application/jose", signed);
    // Before it has shown a code it can't be enrolled, and codes of it are looked at nowhere.
    let enroll = || alice.sign(EnrollTotp { authenticator }, shop.now());
    problem(post(enroll()), 400, "body_invalid").await;
    let right = code(secret, shop.now());
    let header = |code: &str| write_header(&Shown::Totp(TotpCode { authenticator, code: code.to_owned() }));
    let clear = || post(alice.sign(ClearCart::default(), shop.now()));
    problem(clear().header("Skylink-Step-Up", header(&right)), 400, "body_invalid").await;

    let wrong = another(&right);
    problem(confirm(json!({"authenticator": id, "code": wrong})), 400, "code_wrong").await;
    let other = uuid::Uuid::now_v7();
    problem(confirm(json!({"authenticator": other, "code": right})), 409, "app_unknown").await;
    problem(confirm(json!({"authenticator": id})), 400, "query_invalid").await;
    problem(shop.post("/v1/factors/app", "application/json", ""), 401, "token_missing").await;
    let (status, kept) = json_of(confirm(json!({"authenticator": id, "code": right}))).await;
    assert_eq!((status, &kept["authenticator"]), (StatusCode::OK, &json!(id)), "{kept}");
    problem(confirm(json!({"authenticator": id, "code": right})), 409, "app_unknown").await;

    let enrolled = shop.accepted(&alice, EnrollTotp { authenticator }).await;
    let list = factors(&shop, &alice, &enrolled).await;
    assert_eq!((&list["app"]["authenticator"], &list["app"]["last"]), (&json!(id), &json!(null)));
    assert_eq!((&list["recovery"], &list["passkeys"]), (&json!(null), &json!([])));

    let told = problem(clear(), 403, "mfa_required").await;
    assert_eq!((&told["app"], &told["factors"]), (&json!(id), &json!(["totp"])));
    let told = problem(clear().header("Skylink-Step-Up", header(&another(&right))), 422, "code_wrong").await;
    assert_eq!(told["reasons"], json!([{"code": "code_wrong", "left": 4}]));
    let right = code(secret, shop.now());
    let (status, cleared) = json_of(clear().header("Skylink-Step-Up", header(&right))).await;
    assert_eq!(status, StatusCode::OK, "{cleared}");
    let list = factors(&shop, &alice, &cleared).await;
    assert_eq!(list["app"]["last"], cleared["receipt"]["time"]);
    assert!(list["wrong_at"].is_i64(), "{list}");
    let told = problem(clear().header("Skylink-Step-Up", header(&right)), 403, "mfa_required").await;
    assert!(told["problem"].as_str().unwrap().contains("was shown before"), "{told}");

    // What another has of it is nothing.
    let bob = shop.person(&[Role::Buyer]).await;
    let of_bob = post(bob.sign(ClearCart::default(), shop.now())).header("Skylink-Step-Up", header(&right));
    problem(of_bob, 400, "body_invalid").await;
    let path = format!("/v1/accounts/{}/factors", alice.account);
    problem(shop.get(&path).bearer_auth(shop.token(&bob).await), 404, "not_found").await;
    let registrar = &shop.registrar;
    assert_eq!(shop.kept_of(alice.account, &enrolled).await, [format!("totp/{id}")]);
    let gone = shop.accepted(registrar, RemoveTotp { account: Some(alice.account), authenticator }).await;
    assert_eq!(factors(&shop, &alice, &gone).await["app"], json!(null));
    assert_eq!(shop.kept_of(alice.account, &gone).await, [""; 0]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_codes_that_are_left_are_counted() {
    let shop = Shop::open().await;
    asks_for_carts(&shop).await;
    let alice = shop.person(&[Role::Buyer]).await;
    let codes: Vec<RecoveryShown> = (0..8).map(|n| RecoveryShown::of(&format!("code {n}"))).collect();
    let commitments: Vec<Hash> = codes.iter().map(|code| code.commitment(alice.account)).collect();
    let enrolled = shop.accepted(&alice, EnrollRecovery { commitments }).await;
    assert_eq!(factors(&shop, &alice, &enrolled).await["recovery"]["left"], 8);
    let clear = shop.post("/v1/commands", "application/jose", alice.sign(ClearCart::default(), shop.now()));
    let (status, cleared) =
        json_of(clear.header("Skylink-Step-Up", write_header(&Shown::Recovery(codes[3])))).await;
    assert_eq!(status, StatusCode::OK, "{cleared}");
    let list = factors(&shop, &alice, &cleared).await;
    assert_eq!(
        (&list["recovery"]["left"], &list["recovery"]["last"]),
        (&json!(7), &cleared["receipt"]["time"])
    );
    shop.close().await;
}
