//! Signing in with a password over HTTP: what a session is good for, and how it ends.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::command::{
    EndSession, EnrollPasskey, EnrollRecovery, EraseAccount, RemovePassword, ReportLost, SetPassword,
    SetStepUpTerms,
};
use commands::crypto::SigningKey;
use commands::sign::prove_device;
use commands::sign_in::{FAILURES_FREE, LOCK_MS, SESSION_MS_MAX};
use commands::step_up::{Shown, write_header};
use events::account::{Algorithm, Role};
use events::ids::{AccountId, DeviceId};
use events::step_up::{Assertion, Base64Url, RecoveryShown, StepUpTerms};
use events::{Hash, Timestamp};
use gateway::sign_in::{CHALLENGE_MS, CHALLENGES_USED_PER_ACCOUNT_MAX, DEVICE_MS};
use gateway::token::SESSION_IDLE_MS;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, market_name, problem};

const PASSWORD: &str = "correct horse battery";

/// Waits until the views have read a decision.
async fn read_up_to(shop: &Shop, receipt: &Value) {
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    shop.gateway.projections.wait_for(position, std::time::Duration::from_secs(10)).await.unwrap();
}

/// Gives somebody a password.
async fn set_password(shop: &Shop, who: &Person, password: &str) -> Value {
    let body = json!({ "password": password }).to_string();
    let post = shop.post("/v1/sign-in/password", "application/json", body);
    let (status, kept) = json_of(post.bearer_auth(shop.token(who).await)).await;
    assert_eq!(status, StatusCode::OK, "{kept}");
    let password = kept["password"].as_str().unwrap().parse().unwrap();
    shop.accepted(who, SetPassword { password }).await
}

fn sign_in(shop: &Shop, who: &Person, password: &str) -> reqwest::RequestBuilder {
    let body = json!({ "account": who.account, "password": password }).to_string();
    shop.post("/v1/sessions", "application/json", body)
}

async fn signed_in(shop: &Shop, who: &Person) -> (String, String) {
    let (status, session) = json_of(sign_in(shop, who, PASSWORD)).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let text = |name: &str| session[name].as_str().unwrap().to_owned();
    (text("session"), text("access_token"))
}

async fn sessions(shop: &Shop, token: &str) -> Vec<Value> {
    let (status, list) = json_of(shop.get("/v1/accounts/me/sessions").bearer_auth(token)).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    list["sessions"].as_array().unwrap().clone()
}

fn delete(shop: &Shop, session: &str, token: &str) -> reqwest::RequestBuilder {
    shop.http.delete(format!("{}/v1/sessions/{session}", shop.base)).bearer_auth(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_asks_until_it_is_ended() {
    let shop = Shop::open().await;
    let alice = shop.person(&[Role::Buyer]).await;
    set_password(&shop, &alice, PASSWORD).await;
    let (first, token) = signed_in(&shop, &alice).await;
    let (second, other) = signed_in(&shop, &alice).await;
    let (status, wallet) = json_of(shop.get("/v1/wallet").bearer_auth(&token)).await;
    assert_eq!(status, StatusCode::OK, "{wallet}");
    let listed = sessions(&shop, &token).await;
    let of = |id: &str| listed.iter().find(|shown| shown["session"] == id).unwrap();
    assert_eq!((&of(&first)["is_this"], &of(&second)["is_this"]), (&json!(true), &json!(false)));
    // Its stream goes on until it ends, and the other's goes on behind that.
    let stream = shop.get("/v1/stream").bearer_auth(&token).send().await.unwrap();
    let (status, ended) = json_of(delete(&shop, &first, &other)).await;
    assert_eq!((status, &ended["session"]), (StatusCode::OK, &json!(first)), "{ended}");
    let text = stream.text().await.unwrap();
    assert!(text.contains("event: session.ended.v1"), "{text}");
    assert!(text.trim_end().ends_with(": closed: its session has ended"), "{text}");
    problem(shop.get("/v1/wallet").bearer_auth(&token), 401, "token_invalid").await;
    assert_eq!(sessions(&shop, &other).await.len(), 1);
    problem(delete(&shop, &first, &other), 404, "not_found").await;
    // Nobody else's can be ended, and a session does not give a password.
    let bob = shop.person(&[Role::Buyer]).await;
    problem(delete(&shop, &second, &shop.token(&bob).await), 404, "not_found").await;
    let body = json!({ "password": "another horse" }).to_string();
    let post = shop.post("/v1/sign-in/password", "application/json", body).bearer_auth(&other);
    problem(post, 403, "scope_denied").await;
    let (status, _) = json_of(delete(&shop, "this", &other)).await;
    assert_eq!(status, StatusCode::OK);
    problem(shop.get("/v1/wallet").bearer_auth(&other), 401, "token_invalid").await;
    // A device of the account ends one with a command, and a new password all.
    let (third, token) = signed_in(&shop, &alice).await;
    let ends = EndSession { account: None, session: third.parse().unwrap() };
    let receipt = shop.accepted(&alice, ends).await;
    read_up_to(&shop, &receipt).await;
    problem(shop.get("/v1/wallet").bearer_auth(&token), 401, "token_invalid").await;
    let (_, token) = signed_in(&shop, &alice).await;
    let stream = shop.get("/v1/stream").bearer_auth(&token).send().await.unwrap();
    let receipt = set_password(&shop, &alice, "another horse").await;
    read_up_to(&shop, &receipt).await;
    // What the one before was checked with has left the vault.
    assert_eq!(shop.kept_of(alice.account, &receipt).await.len(), 1);
    problem(shop.get("/v1/wallet").bearer_auth(&token), 401, "token_invalid").await;
    assert!(stream.text().await.unwrap().trim_end().ends_with(": closed: its session has ended"));
    problem(sign_in(&shop, &alice, PASSWORD), 401, "sign_in_failed").await;
    let receipt = shop.accepted(&alice, RemovePassword { account: None }).await;
    read_up_to(&shop, &receipt).await;
    assert_eq!(shop.kept_of(alice.account, &receipt).await, [""; 0]);
    problem(sign_in(&shop, &alice, "another horse"), 401, "sign_in_failed").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_for_buying_and_selling_whatever_else_the_account_may_do() {
    let shop = Shop::open().await;
    takes_factors(&shop).await;
    let operator = shop.person(&[Role::Operator]).await;
    let bob = shop.person(&[Role::Buyer]).await;
    // Operators have no password, and what their key may do no passkey may.
    let password = events::ids::PasswordId::from_uuid(uuid::Uuid::now_v7());
    let signed = operator.sign(SetPassword { password }, shop.now());
    problem(shop.post("/v1/commands", "application/jose", signed), 400, "body_invalid").await;
    let mut passkey = Passkey::enrolled(&shop, &operator).await;
    let approved = passkey.approve(&challenge(&shop).await);
    let (status, session) = json_of(with_passkey(&shop, &operator, &approved)).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let token = session["access_token"].as_str().unwrap();
    let path = format!("/v1/accounts/{}/devices", bob.account);
    let (status, _) = json_of(shop.get(&path).bearer_auth(shop.token(&operator).await)).await;
    assert_eq!(status, StatusCode::OK);
    problem(shop.get(&path).bearer_auth(token), 404, "not_found").await;
    for path in ["/v1/sign-in-codes", "/v1/factors/app"] {
        problem(shop.post(path, "application/json", "").bearer_auth(token), 403, "scope_denied").await;
    }
    // Of an account that is erased nothing is told any more.
    let carol = shop.person(&[Role::Buyer]).await;
    set_password(&shop, &carol, PASSWORD).await;
    let (_, token) = signed_in(&shop, &carol).await;
    let receipt = shop.accepted(&carol, EraseAccount { account: None }).await;
    read_up_to(&shop, &receipt).await;
    problem(shop.get("/v1/wallet").bearer_auth(&token), 410, "erased").await;
    problem(sign_in(&shop, &carol, PASSWORD), 401, "sign_in_failed").await;
    shop.close().await;
}

async fn takes_factors(shop: &Shop) {
    let operator = shop.person(&[Role::Operator]).await;
    let (origins, relying_party) =
        (["https://market.example".parse().unwrap()].into(), "market.example".parse().unwrap());
    let terms = StepUpTerms { origins, relying_party, rules: Vec::new() };
    shop.accepted(&operator, SetStepUpTerms { terms }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_second_factor_the_password_alone_does_not_sign_in() {
    let shop = Shop::open().await;
    takes_factors(&shop).await;
    let alice = shop.person(&[Role::Buyer]).await;
    set_password(&shop, &alice, PASSWORD).await;
    let codes: Vec<RecoveryShown> = (0..8).map(|n| RecoveryShown::of(&format!("code {n}"))).collect();
    let commitments = codes.iter().map(|code| code.commitment(alice.account)).collect();
    shop.accepted(&alice, EnrollRecovery { commitments }).await;
    let header = |code: RecoveryShown| write_header(&Shown::Recovery(code));
    let with = |password: &str, code: RecoveryShown| {
        sign_in(&shop, &alice, password).header("Skylink-Step-Up", header(code))
    };
    let told = problem(sign_in(&shop, &alice, PASSWORD), 403, "mfa_required").await;
    assert_eq!(told["factors"], json!(["recovery"]));
    problem(sign_in(&shop, &alice, "correct horse batterz"), 401, "sign_in_failed").await;
    // Neither is enough: a code that is used up, a wrong one, a right one with a wrong password or with none.
    let (status, session) = json_of(with(PASSWORD, codes[2])).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let token = session["access_token"].as_str().unwrap();
    let listed = sessions(&shop, token).await;
    assert_eq!((&listed[0]["factor"], &listed[0]["with_password"]), (&json!("recovery"), &json!(true)));
    let told = problem(with(PASSWORD, codes[2]), 401, "sign_in_failed").await;
    assert!(told["detail"].as_str().unwrap().contains("code"), "{told}");
    problem(with(PASSWORD, RecoveryShown::of("none")), 401, "sign_in_failed").await;
    problem(with("correct horse batterz", codes[3]), 401, "sign_in_failed").await;
    let body = json!({ "account": alice.account }).to_string();
    let alone =
        shop.post("/v1/sessions", "application/json", body).header("Skylink-Step-Up", header(codes[3]));
    problem(alone, 400, "query_invalid").await;
    // Each of the three counted.
    for _ in 3..=FAILURES_FREE {
        problem(with(PASSWORD, RecoveryShown::of("none")), 401, "sign_in_failed").await;
    }
    let locked = problem(with(PASSWORD, codes[3]), 403, "sign_in_locked").await;
    assert!(locked["detail"].as_str().unwrap().contains("until"), "{locked}");
    shop.clock.advance_to(shop.now().plus_ms(LOCK_MS));
    assert_eq!(json_of(with(PASSWORD, codes[3])).await.0, StatusCode::OK);
    shop.close().await;
}

fn new_key() -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, rand::random()).unwrap()
}

/// A passkey, and how often it has signed.
struct Passkey {
    key: SigningKey,
    count: u32,
}

impl Passkey {
    async fn enrolled(shop: &Shop, owner: &Person) -> Passkey {
        let passkey = Passkey { key: new_key(), count: 0 };
        let (credential, key) = (passkey.credential().parse().unwrap(), passkey.key.public());
        shop.accepted(owner, EnrollPasskey { credential, key }).await;
        passkey
    }

    fn credential(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.id().0)
    }

    /// What the page of a market and the authenticator make of a challenge.
    fn approve(&mut self, challenge: &str) -> String {
        self.count += 1;
        let client =
            json!({"type": "webauthn.get", "challenge": challenge, "origin": "https://market.example"});
        let client = client.to_string().into_bytes();
        let mut data = Hash::of(b"market.example").as_bytes().to_vec();
        data.push(0b101);
        data.extend(self.count.to_be_bytes());
        let mut message = data.clone();
        message.extend(Hash::of(&client).as_bytes());
        write_header(&Shown::Webauthn(Assertion {
            authenticator_data: Base64Url(data),
            client_data: Base64Url(client),
            credential: self.credential().parse().unwrap(),
            signature: Base64Url(self.key.sign(&message).to_vec()),
        }))
    }
}

async fn challenge(shop: &Shop) -> String {
    let (status, given) = json_of(shop.post("/v1/sign-in/challenges", "application/json", "")).await;
    assert_eq!(status, StatusCode::OK, "{given}");
    given["challenge"].as_str().unwrap().to_owned()
}

fn with_passkey(shop: &Shop, who: &Person, header: &str) -> reqwest::RequestBuilder {
    let body = json!({ "account": who.account }).to_string();
    shop.post("/v1/sessions", "application/json", body).header("Skylink-Step-Up", header)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_signs_in_alone_with_each_challenge_once() {
    let shop = Shop::open().await;
    takes_factors(&shop).await;
    let (alice, bob) = (shop.person(&[Role::Buyer]).await, shop.person(&[Role::Buyer]).await);
    let mut passkey = Passkey::enrolled(&shop, &alice).await;
    let challenge = async || challenge(&shop).await;
    let with = |who: &Person, header: &str| with_passkey(&shop, who, header);
    let begun = shop.now();
    let approved = passkey.approve(&challenge().await);
    let (status, session) = json_of(with(&alice, &approved)).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let token = session["access_token"].as_str().unwrap();
    let listed = sessions(&shop, token).await;
    assert_eq!((&listed[0]["factor"], &listed[0]["with_password"]), (&json!("webauthn"), &json!(false)));
    let before = shop.gateway.status.borrow().head().unwrap().position;
    let said = async |approved: &str, part: &str| {
        let told = problem(with(&alice, approved), 401, "sign_in_failed").await;
        assert!(told["detail"].as_str().unwrap().contains(part), "{part}: {told}");
    };
    said(&approved, "signed in with this challenge already").await;
    // A challenge that nobody gave, one that is too old, another's passkey, and another's account.
    said(&passkey.approve(&URL_SAFE_NO_PAD.encode([7; 32])), "none of this process").await;
    let old = challenge().await;
    shop.clock.advance_to(shop.now().plus_ms(CHALLENGE_MS));
    said(&passkey.approve(&old), "good for 5 minutes").await;
    // What another process of the market gave is as good as made up: each knows only what was used with itself.
    let elsewhere = shop.served_again().await;
    let (_, given) = json_of(shop.http.post(format!("{elsewhere}/v1/sign-in/challenges"))).await;
    said(&passkey.approve(given["challenge"].as_str().unwrap()), "none of this process").await;
    let key = SigningKey::from_seed(Algorithm::EdDsa, [9; 32]).unwrap();
    let mut forged = Passkey { key, count: 100 };
    problem(with(&alice, &forged.approve(&challenge().await)), 401, "sign_in_failed").await;
    problem(with(&bob, &passkey.approve(&challenge().await)), 401, "sign_in_failed").await;
    // None of that stands in the log.
    assert_eq!(shop.gateway.status.borrow().head().unwrap().position, before);
    // A copy of the passkey is noticed, which its owner can read.
    passkey.count = 0;
    let told = problem(with(&alice, &passkey.approve(&challenge().await)), 401, "sign_in_failed").await;
    assert!(told["detail"].as_str().unwrap().contains("copied"), "{told}");
    // When its time is over a session ends, however busy it was.
    let until = begun.plus_ms(SESSION_MS_MAX);
    let asks = async |now: Timestamp| {
        shop.clock.advance_to(now);
        assert_eq!(json_of(shop.get("/v1/wallet").bearer_auth(token)).await.0, StatusCode::OK, "{now}");
    };
    asks(shop.now()).await;
    while shop.now().plus_ms(SESSION_IDLE_MS - 1) < until {
        asks(shop.now().plus_ms(SESSION_IDLE_MS - 1)).await;
    }
    asks(until.plus_ms(-1)).await;
    shop.clock.advance_to(until);
    problem(shop.get("/v1/wallet").bearer_auth(token), 401, "token_expired").await;
    shop.close().await;
}

/// Asks for a new device in a session; gives the device's owner with it.
fn new_device(shop: &Shop, account: AccountId, token: &str) -> (Person, reqwest::RequestBuilder) {
    let (device, key) = (DeviceId::from_uuid(uuid::Uuid::now_v7()), new_key());
    let proof = prove_device(&market_name(), account, device, &key);
    let body = json!({"device": device, "key": key.public(), "name": "Phone", "proof": proof}).to_string();
    (
        Person::with(account, device, key),
        shop.post("/v1/devices", "application/json", body).bearer_auth(token),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_his_devices_signs_in_and_registers_a_new_one() {
    let shop = Shop::open().await;
    takes_factors(&shop).await;
    let alice = shop.person(&[Role::Buyer]).await;
    set_password(&shop, &alice, PASSWORD).await;
    // The password alone gives no key, and neither does a device.
    let (_, token) = signed_in(&shop, &alice).await;
    problem(new_device(&shop, alice.account, &token).1, 403, "sign_in_again").await;
    problem(new_device(&shop, alice.account, &shop.token(&alice).await).1, 403, "scope_denied").await;
    let mut passkey = Passkey::enrolled(&shop, &alice).await;
    let mut by_passkey = async || {
        let (_, given) = json_of(shop.post("/v1/sign-in/challenges", "application/json", "")).await;
        let approved = passkey.approve(given["challenge"].as_str().unwrap());
        let body = json!({ "account": alice.account }).to_string();
        let post = shop.post("/v1/sessions", "application/json", body);
        let (status, session) = json_of(post.header("Skylink-Step-Up", approved)).await;
        assert_eq!(status, StatusCode::OK, "{session}");
        session["access_token"].as_str().unwrap().to_owned()
    };
    let token = by_passkey().await;
    let (phone, request) = new_device(&shop, alice.account, &token);
    let (status, registered) = json_of(request).await;
    assert_eq!(status, StatusCode::OK, "{registered}");
    assert_eq!(registered["device"], json!(phone.device));
    shop.accepted(&phone, ReportLost { device: alice.device }).await;
    // A proof of another's, a device that is there already, and a session that is too old.
    let bob = shop.person(&[Role::Buyer]).await;
    problem(new_device(&shop, bob.account, &token).1, 400, "body_invalid").await;
    let proof = prove_device(&market_name(), alice.account, bob.device, &phone.key);
    let body = json!({"device": bob.device, "key": phone.key.public(), "proof": proof}).to_string();
    let request = shop.post("/v1/devices", "application/json", body).bearer_auth(&token);
    problem(request, 409, "device_refused").await;
    shop.clock.advance_to(shop.now().plus_ms(DEVICE_MS));
    problem(new_device(&shop, alice.account, &token).1, 403, "sign_in_again").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_very_many_challenges_keeps_nobody_from_signing_in() {
    let shop = Shop::open().await;
    takes_factors(&shop).await;
    let alice = shop.person(&[Role::Buyer]).await;
    let mut passkey = Passkey::enrolled(&shop, &alice).await;
    let given = challenge(&shop).await;
    for _ in 0..CHALLENGES_USED_PER_ACCOUNT_MAX + 8 {
        challenge(&shop).await;
    }
    for n in 0..CHALLENGES_USED_PER_ACCOUNT_MAX {
        let given = if n == 0 { given.clone() } else { challenge(&shop).await };
        let (status, session) = json_of(with_passkey(&shop, &alice, &passkey.approve(&given))).await;
        assert_eq!(status, StatusCode::OK, "{session}");
    }
    // What takes room is signing in, of each account so much.
    let again = with_passkey(&shop, &alice, &passkey.approve(&challenge(&shop).await));
    problem(again, 429, "rate_limited").await;
    let bob = shop.person(&[Role::Buyer]).await;
    let mut passkey = Passkey::enrolled(&shop, &bob).await;
    let approved = passkey.approve(&challenge(&shop).await);
    assert_eq!(json_of(with_passkey(&shop, &bob, &approved)).await.0, StatusCode::OK);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_asks_nothing_is_over_before_its_time() {
    let shop = Shop::open().await;
    let alice = shop.person(&[Role::Buyer]).await;
    set_password(&shop, &alice, PASSWORD).await;
    let (_, token) = signed_in(&shop, &alice).await;
    let wallet = || shop.get("/v1/wallet").bearer_auth(&token);
    for _ in 0..3 {
        shop.clock.advance_to(shop.now().plus_ms(SESSION_IDLE_MS - 1));
        assert_eq!(json_of(wallet()).await.0, StatusCode::OK);
    }
    shop.clock.advance_to(shop.now().plus_ms(SESSION_IDLE_MS));
    problem(wallet(), 401, "token_expired").await;
    problem(wallet(), 401, "token_expired").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_told_alike_and_lock_the_account_for_a_while() {
    let shop = Shop::open().await;
    let alice = shop.person(&[Role::Buyer]).await;
    let nobody = Person::new();
    let unknown = problem(sign_in(&shop, &nobody, PASSWORD), 401, "sign_in_failed").await;
    let without = problem(sign_in(&shop, &alice, PASSWORD), 401, "sign_in_failed").await;
    assert_eq!(unknown, without);
    set_password(&shop, &alice, PASSWORD).await;
    for _ in 0..=FAILURES_FREE {
        let wrong = problem(sign_in(&shop, &alice, "correct horse batterz"), 401, "sign_in_failed").await;
        assert_eq!(wrong, unknown);
    }
    problem(sign_in(&shop, &alice, PASSWORD), 403, "sign_in_locked").await;
    shop.clock.advance_to(shop.now().plus_ms(LOCK_MS));
    signed_in(&shop, &alice).await;
    for bad in ["{}", r#"{"account": 1, "password": "x"}"#, "x"] {
        problem(shop.post("/v1/sessions", "application/json", bad), 400, "query_invalid").await;
    }
    let token = shop.token(&alice).await;
    let short = shop.post("/v1/sign-in/password", "application/json", r#"{"password": "short"}"#);
    problem(short.bearer_auth(&token), 400, "password_length").await;
    // One that was not given to the gateway can't be set.
    let unkept = SetPassword { password: events::ids::PasswordId::from_uuid(uuid::Uuid::now_v7()) };
    let signed = alice.sign(unkept, shop.now());
    problem(shop.post("/v1/commands", "application/jose", signed), 400, "body_invalid").await;
    shop.close().await;
}
