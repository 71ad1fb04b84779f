//! Operators have views built again from the log while the market goes on.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use commands::command::{OrderLine, PaymentMethod, PlaceOrder};
use engine::log::{AppendError, CommitStream, EventLog, ReadError};
use events::account::Role;
use events::{Commit, Head, Position};
use futures::{StreamExt, stream};
use gateway::Gateway;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Shop, json_of, problem, usd};

const VIEWS: [&str; 12] = [
    "carts",
    "orders",
    "ledger",
    "analytics",
    "accounts",
    "listings",
    "payments",
    "terms",
    "risk",
    "recommendations",
    "webhooks",
    "audit",
];

/// How often it is looked whether a rebuild has come to where it is waited for.
const LOOKS_MAX: usize = 10_000;

async fn views(shop: &Shop, token: &str) -> Value {
    let (status, views) = json_of(shop.get("/v1/views").bearer_auth(token)).await;
    assert_eq!(status, StatusCode::OK, "{views}");
    views
}

/// Looks until the rebuild is as wanted.
async fn rebuild_when(shop: &Shop, token: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..LOOKS_MAX {
        let rebuild = views(shop, token).await["rebuild"].take();
        if is_wanted(&rebuild) {
            return rebuild;
        }
    }
    panic!("it never came there: {}", views(shop, token).await);
}

fn rebuild_of(shop: &Shop, token: &str, body: &Value) -> reqwest::RequestBuilder {
    shop.post("/v1/views/rebuild", "application/json", body.to_string()).bearer_auth(token)
}

/// A market in which something was sold.
async fn trading() -> (Shop, u64) {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let lines = vec![OrderLine { listing, quantity: support::units(1), quote: None }];
    let receipt = shop.accepted(&buyer, PlaceOrder::new(lines, PaymentMethod::Wallet, usd(2_500))).await;
    let end = receipt["receipt"]["position"].as_u64().unwrap();
    shop.gateway.projections.wait_for(end, std::time::Duration::from_secs(10)).await.unwrap();
    (shop, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_views_are_built_again_and_found_to_be_what_the_log_says() {
    let (shop, end) = trading().await;
    let operator = shop.person(&[Role::Operator]).await;
    let token = shop.token(&operator).await;
    assert_eq!(views(&shop, &token).await["rebuild"], Value::Null);
    let (status, begun) = json_of(rebuild_of(&shop, &token, &json!({}))).await;
    assert_eq!((status, &begun["views"]), (StatusCode::ACCEPTED, &json!(VIEWS)));
    assert_eq!(begun["by"], json!(operator.account));
    let done = rebuild_when(&shop, &token, |rebuild| rebuild["state"] != "running").await;
    assert_eq!((&done["state"], &done["left_s"]), (&json!("done"), &Value::Null), "{done}");
    assert!(done["read"].as_u64().unwrap() >= end && !done["ended_at"].is_null(), "{done}");
    let found = done["found"].as_array().unwrap();
    assert_eq!(found.iter().map(|found| &found["view"]).collect::<Vec<_>>(), VIEWS);
    for found in found {
        assert_eq!((&found["was_equal"], &found["live_hash"]), (&json!(true), &found["rebuilt_hash"]));
    }
    let listed = views(&shop, &token).await;
    for view in listed["views"].as_array().unwrap() {
        assert_eq!((&view["position"], &view["behind"]), (&listed["head"], &json!(0)), "{listed}");
    }
    // The new views follow the log as those before.
    shop.funded_buyer(1).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_and_only_views_that_there_are() {
    let (shop, _) = trading().await;
    let buyer = shop.person(&[Role::Buyer]).await;
    let token = shop.token(&buyer).await;
    problem(shop.get("/v1/views").bearer_auth(&token), 403, "scope_denied").await;
    problem(rebuild_of(&shop, &token, &json!({})), 403, "scope_denied").await;
    let delete = |token: &str| shop.http.delete(format!("{}/v1/views/rebuild", shop.base)).bearer_auth(token);
    problem(delete(&token), 403, "scope_denied").await;
    let token = shop.token(&shop.person(&[Role::Operator]).await).await;
    problem(delete(&token), 404, "not_found").await;
    for body in [json!({"views": ["baskets"]}), json!({"view": "orders"})] {
        problem(rebuild_of(&shop, &token, &body), 400, "query_invalid").await;
    }
    shop.close().await;
}

/// A log whose followers are given a few commits and then wait.
struct Stuck {
    log: Arc<dyn EventLog>,
    commits: usize,
}

#[async_trait]
impl EventLog for Stuck {
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        self.log.append(expected, commits).await
    }

    async fn head(&self) -> Result<Head, ReadError> {
        self.log.head().await
    }

    fn read(&self, from: Position) -> CommitStream {
        self.log.read(from)
    }

    fn follow(&self, from: Position) -> CommitStream {
        self.log.follow(from).take(self.commits).chain(stream::pending()).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_says_how_far_it_is_and_is_given_up_when_it_is_cancelled() {
    let (mut shop, end) = trading().await;
    let operator = shop.person(&[Role::Operator]).await;
    let log = Arc::new(Stuck { log: Arc::clone(&shop.gateway.log), commits: 3 });
    let gateway = Gateway { log, ..shop.gateway.clone() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let usual = std::mem::replace(&mut shop.base, format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(gateway::serve(listener, gateway, std::future::pending()));
    let token = shop.token(&operator).await;
    json_of(rebuild_of(&shop, &token, &json!({"views": ["orders", "ledger", "orders"]}))).await;
    let running = rebuild_when(&shop, &token, |rebuild| !rebuild["left_s"].is_null()).await;
    assert_eq!(running["views"], json!(["orders", "ledger"]), "each once");
    let (read, of) = (running["read"].as_u64().unwrap(), running["of"].as_u64().unwrap());
    assert!(running["state"] == "running" && 0 < read && read < end && end <= of, "{running}");
    problem(rebuild_of(&shop, &token, &json!({})), 409, "rebuild_running").await;

    let before = shop.gateway.projections.content_hash(projections::ViewName::Orders).unwrap();
    let cancel = shop.http.delete(format!("{}/v1/views/rebuild", shop.base)).bearer_auth(&token);
    let (status, cancelled) = json_of(cancel).await;
    assert_eq!((status, &cancelled["state"]), (StatusCode::OK, &json!("cancelled")), "{cancelled}");
    assert_eq!(shop.gateway.projections.content_hash(projections::ViewName::Orders).unwrap(), before);

    // What was given up is in nobody's way.
    shop.base = usual;
    let token = shop.token(&operator).await;
    json_of(rebuild_of(&shop, &token, &json!({"views": ["orders"]}))).await;
    let done = rebuild_when(&shop, &token, |rebuild| rebuild["state"] != "running").await;
    assert_eq!((&done["state"], &done["found"][0]["was_equal"]), (&json!("done"), &json!(true)), "{done}");
    shop.close().await;
}
