//! Whoever asks too much is told when to come again, and nothing is lost by it; and each answer says what browsers may do with it.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::sync::Arc;

use commands::command::RegisterAccount;
use events::account::Role;
use futures::future::join_all;
use gateway::Gateway;
use gateway::limits::{BURST, Limits, Proxies, Rates};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use support::{Person, Shop};

/// How many ask at once: so many more than a burst of one a second that it does not matter how slow this machine is.
const CROWD: usize = 60;

/// Serves the shop's gateway once more, with limits, behind a proxy on this machine that is trusted.
async fn limited(shop: &Shop, rates: Rates) -> String {
    let proxies = Proxies { trusted: vec!["127.0.0.1".parse().unwrap()], ..Proxies::default() };
    let limits = Arc::new(Limits::new(rates, proxies));
    let gateway = Gateway { limits, ..shop.gateway.clone() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(gateway::serve(listener, gateway, std::future::pending()));
    base
}

fn count(answers: &[Response], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status().as_u16() == status).count()
}

async fn from(http: &Client, url: &str, address: &str) -> Response {
    http.get(url).header("x-forwarded-for", address).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_much_is_told_when_to_come_again_and_others_are_answered() {
    let shop = Shop::open().await;
    let base = limited(&shop, Rates { per_address: Some(1), ..Rates::default() }).await;
    let url = format!("{base}/v1/time");
    let answers = join_all((0..CROWD).map(|_| from(&shop.http, &url, "198.51.100.7"))).await;
    assert!(count(&answers, 429) >= CROWD / 2, "{} of {CROWD}", count(&answers, 429));
    assert!(count(&answers, 200) >= BURST.as_secs() as usize);
    let refused =
        answers.into_iter().find(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS).unwrap();
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=BURST.as_secs() + 1).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "rate_limited");
    assert_eq!(from(&shop.http, &url, "198.51.100.8").await.status(), StatusCode::OK, "another address");
    let probe = format!("{base}/healthz");
    for answer in join_all((0..CROWD).map(|_| from(&shop.http, &probe, "198.51.100.7"))).await {
        assert_eq!(answer.status(), StatusCode::OK, "who looks after the process is always answered");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_on_this_machine_is_not_limited_by_its_address() {
    let shop = Shop::open().await;
    let rates = Rates { per_address: Some(1), ..Rates::default() };
    let limits = Arc::new(Limits::new(rates, Proxies::default()));
    let gateway = Gateway { limits, ..shop.gateway.clone() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/time", listener.local_addr().unwrap());
    tokio::spawn(gateway::serve(listener, gateway, std::future::pending()));
    for answer in join_all((0..CROWD).map(|_| from(&shop.http, &url, "198.51.100.7"))).await {
        assert_eq!(answer.status(), StatusCode::OK);
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_its_keys_limit_is_not_decided_and_is_taken_later_as_it_is() {
    let shop = Shop::open().await;
    let base = limited(&shop, Rates { commands_per_key: Some(1), ..Rates::default() }).await;
    let url = format!("{base}/v1/commands");
    let send = async |command: String| {
        let sent = shop.http.post(&url).header("content-type", "application/jose").body(command);
        sent.send().await.unwrap()
    };
    // One after the other: a command is charged when it was found to be signed.
    let mut refused = None;
    for _ in 0..CROWD {
        let wish = RegisterAccount { account: Person::new().account, roles: [Role::Buyer].into() };
        let command = shop.registrar.sign(wish, shop.now());
        let answer = send(command.clone()).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "rate_limited");
            refused = Some(command);
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let refused = refused.expect("a key has a limit");
    let stranger = Person::new();
    let wish = RegisterAccount { account: stranger.account, roles: [Role::Buyer].into() };
    let unknown = send(stranger.sign(wish, shop.now())).await;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED, "others are heard");
    // On the way without limits, which stands for later: the same bytes are decided for the first time.
    let (status, receipt) = support::json_of(shop.post("/v1/commands", "application/jose", refused)).await;
    assert_eq!((status, &receipt["replayed"]), (StatusCode::OK, &json!(false)), "{receipt}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_costs_an_address_more() {
    let shop = Shop::open().await;
    let base = limited(&shop, Rates { per_address: Some(4), ..Rates::default() }).await;
    let url = format!("{base}/v1/commands");
    let stranger = Person::new();
    let wish = RegisterAccount { account: stranger.account, roles: [Role::Buyer].into() };
    let command = stranger.sign(wish, shop.now());
    let mut wrong = 0;
    for _ in 0..CROWD {
        let sent = shop.http.post(&url).header("x-forwarded-for", "198.51.100.7").body(command.clone());
        match sent.send().await.unwrap().status() {
            StatusCode::UNAUTHORIZED => wrong += 1,
            other => {
                assert_eq!(other, StatusCode::TOO_MANY_REQUESTS);
                break;
            }
        }
    }
    // Twenty requests at once, or two wrong signatures; some more on a machine so slow that seconds pass meanwhile.
    assert!((2..20).contains(&wrong), "{wrong}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_asks_the_views_too_much_is_told_so_with_each_of_its_tokens() {
    let shop = Shop::open().await;
    let buyer = shop.person(&[Role::Buyer]).await;
    let base = limited(&shop, Rates { queries_per_account: Some(1), ..Rates::default() }).await;
    let token = async || {
        let request = buyer.token_request(json!({"ttl_s": 600}), shop.now());
        let answer = shop.http.post(format!("{base}/v1/tokens")).body(request).send().await.unwrap();
        let token: Value = answer.json().await.unwrap();
        token["access_token"].as_str().unwrap().to_owned()
    };
    let (one, other) = (token().await, token().await);
    let url = format!("{base}/v1/carts/current");
    let ask = async |token: &str| shop.http.get(&url).bearer_auth(token).send().await.unwrap();
    let answers = join_all((0..CROWD).map(|n| ask(if n % 2 == 0 { &one } else { &other }))).await;
    assert!(count(&answers, 429) >= CROWD / 2, "{} of {CROWD}", count(&answers, 429));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_says_what_browsers_may_do_with_it() {
    let shop = Shop::open().await;
    let base = limited(&shop, Rates::default()).await;
    for path in [
        "/",
        "/healthz",
        "/openapi.json",
        "/v1/time",
        "/v1/carts/current",
        "/log/checkpoint",
        "/nothing",
        "/v1/commands",
    ] {
        let answer = shop.http.get(format!("{base}{path}")).send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        // A page uses what this gateway serves; what is no page uses nothing.
        let is_page = path == "/";
        let own =
            if is_page { "default-src 'self'; script-src 'self'" } else { "default-src 'none'; base-uri" };
        assert!(policy.starts_with(own), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let is_private = path.starts_with("/v1/") || is_page;
        assert_eq!(
            headers.get("cache-control").is_some_and(|value| value == "no-store"),
            is_private,
            "{path}"
        );
        assert!(!headers.contains_key("strict-transport-security"), "{path} came over plain HTTP");
        let by_tls = shop.http.get(format!("{base}{path}")).header("x-forwarded-proto", "https");
        let answer = by_tls.send().await.unwrap();
        assert!(answer.headers().contains_key("strict-transport-security"), "{path} came by TLS");
    }
    shop.close().await;
}
