//! Signing in with a password over HTTP: what a session is good for, and how it ends.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use commands::command::{EndSession, SetPassword};
use commands::sign_in::{FAILURES_FREE, LOCK_MS};
use events::account::Role;
use gateway::token::SESSION_IDLE_MS;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem};

const PASSWORD: &str = "correct horse battery";

/// Gives somebody a password.
async fn set_password(shop: &Shop, who: &Person, password: &str) {
    let body = json!({ "password": password }).to_string();
    let post = shop.post("/v1/sign-in/password", "application/json", body);
    let (status, kept) = json_of(post.bearer_auth(shop.token(who).await)).await;
    assert_eq!(status, StatusCode::OK, "{kept}");
    let password = kept["password"].as_str().unwrap().parse().unwrap();
    shop.accepted(who, SetPassword { password }).await;
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
    let (status, list) = json_of(shop.get("/v1/sessions").bearer_auth(token)).await;
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
    let behind = format!("/v1/wallet?min_position={}", receipt["receipt"]["position"]);
    problem(shop.get(&behind).bearer_auth(&token), 401, "token_invalid").await;
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
