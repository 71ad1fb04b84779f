//! The pages for people: who sees what, how a browser signs in, and what the pages are made of.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use commands::command::{ConfirmDelivery, OrderLine, PaymentMethod, PlaceOrder, RevokeDevice, ShipOrder};
use events::account::Role;
use events::device::RevokeReason;
use events::ids::{ListingId, OrderId};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use support::{Person, Shop, json_of, problem, receipt_order, usd};

const DAY_MS: i64 = 86_400_000;

fn purchase(listing: ListingId) -> PlaceOrder {
    let lines = vec![OrderLine { listing, quantity: support::units(1), quote: None }];
    PlaceOrder::new(lines, PaymentMethod::Wallet, usd(2_500))
}

fn ship(order: OrderId) -> ShipOrder {
    ShipOrder { carrier: None, from: None, lines: None, order, tracking: None }
}

/// A browser, which keeps what it is told to and goes nowhere by itself.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookie: Option<String>,
}

/// A page as it came.
struct Page {
    status: StatusCode,
    html: String,
    headers: reqwest::header::HeaderMap,
}

impl Browser {
    fn new(shop: &Shop) -> Browser {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Browser { http, base: shop.base.clone(), cookie: None }
    }

    async fn send(&mut self, request: RequestBuilder) -> Page {
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(told) = headers.get("set-cookie") {
            let told = told.to_str().unwrap();
            assert!(told.contains("; HttpOnly") && told.contains("; SameSite=Strict"), "{told}");
            let pair = told.split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        Page { status, headers, html: response.text().await.unwrap() }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    fn form(&self, path: &str, body: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base)).body(body.to_owned());
        request.header("content-type", "application/x-www-form-urlencoded")
    }

    async fn sign_in(&mut self, code: &str) -> Page {
        self.send(self.form("/sign-in", &format!("code={code}")).header("sec-fetch-site", "same-origin"))
            .await
    }
}

async fn code(shop: &Shop, who: &Person) -> String {
    let request = shop.post("/v1/sign-in-codes", "text/plain", "").bearer_auth(shop.token(who).await);
    let (status, given) = json_of(request).await;
    assert_eq!(status, StatusCode::OK, "{given}");
    assert_eq!(given["expires_in"], 120);
    given["code"].as_str().unwrap().to_owned()
}

/// A market with an operator, and an order of 25.00 USD that waits to be shipped.
async fn trading() -> (Shop, Person, Person, Person, OrderId) {
    let shop = Shop::open().await;
    let operator = shop.person(&[Role::Operator]).await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(100_000).await);
    let listing = shop.listing(&seller, 2_500, 10).await;
    let receipt = shop.accepted(&buyer, purchase(listing)).await;
    let order = receipt_order(&receipt).parse().unwrap();
    read(&shop, &receipt).await;
    (shop, operator, seller, buyer, order)
}

/// Waits until the views have read what a receipt tells.
async fn read(shop: &Shop, receipt: &Value) {
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    shop.gateway.projections.wait_for(position, std::time::Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_sees_that_the_market_runs_and_nothing_of_its_money() {
    let (shop, ..) = trading().await;
    let mut browser = Browser::new(&shop);
    for path in ["/", "/sign-in", "/interface"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for secret in ["USD", "25.00", "In escrow", "Orders placed", "Sign out"] {
            assert!(!page.html.contains(secret), "{path} tells {secret}");
        }
    }
    let page = browser.get("/").await;
    assert!(page.html.contains("The market takes commands"), "{}", page.html);
    assert!(page.html.contains("skylink console --market main"), "{}", page.html);
    assert!(browser.get("/interface").await.html.contains("/v1/analytics/escrows"));
    let shop = shop.stop_node().await;
    assert!(browser.get("/").await.html.contains("The market has stopped"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_signs_in_once_with_a_code_and_sees_the_numbers() {
    let (shop, operator, _, buyer, _) = trading().await;
    let mut browser = Browser::new(&shop);
    let given = code(&shop, &operator).await;
    let wrong = browser.sign_in("none").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.html.contains("This code is not good"), "{}", wrong.html);
    assert_eq!(browser.send(browser.form("/sign-in", "x=1")).await.status, StatusCode::BAD_REQUEST);
    let request = shop.post("/v1/sign-in-codes", "text/plain", "").bearer_auth(shop.token(&buyer).await);
    problem(request, 403, "scope_denied").await;
    problem(shop.post("/v1/sign-in-codes", "text/plain", ""), 401, "token_missing").await;

    // What another site sends uses up nothing.
    let foreign = browser.form("/sign-in", &format!("code={given}")).header("sec-fetch-site", "cross-site");
    assert_eq!(browser.send(foreign).await.status, StatusCode::FORBIDDEN);
    assert!(browser.cookie.is_none());

    let signed_in = browser.sign_in(&given).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER);
    assert_eq!(signed_in.headers["location"], "/");
    let page = browser.get("/").await;
    for told in [
        "The market takes commands",
        "Money is kept safely",
        "In escrow",
        "25.00 <small>USD</small>",
        "of 1 order, the oldest for",
        "To be shipped",
        "Orders placed",
        "segments on this machine, synced before each answer",
        "Nothing waits for a person.",
    ] {
        assert!(page.html.contains(told), "{told}: {}", page.html);
    }
    assert_eq!(page.headers["cache-control"], "no-store");
    let again = Browser::new(&shop).sign_in(&given).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "a code is good once");

    // A page's cookie opens pages, and nothing of the interface.
    let request = shop.get("/v1/analytics/escrows").header("cookie", browser.cookie.clone().unwrap());
    problem(request, 401, "token_missing").await;

    let kept = browser.cookie.clone();
    let foreign = browser.form("/sign-out", "").header("sec-fetch-site", "cross-site");
    browser.send(foreign).await;
    assert!(browser.get("/").await.html.contains("In escrow"), "another site signs nobody out");
    browser.send(browser.form("/sign-out", "")).await;
    assert!(browser.cookie.is_none());
    browser.cookie = kept;
    assert!(!browser.get("/").await.html.contains("In escrow"), "the cookie is void, not only forgotten");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_a_rebuild_of_views_has_found() {
    let (shop, operator, ..) = trading().await;
    let mut browser = Browser::new(&shop);
    browser.sign_in(&code(&shop, &operator).await).await;
    assert!(!browser.get("/").await.html.contains("Rebuild"));
    let token = shop.token(&operator).await;
    let begin = shop.post("/v1/views/rebuild", "application/json", r#"{"views": ["ledger", "orders"]}"#);
    assert_eq!(json_of(begin.bearer_auth(&token)).await.0, StatusCode::ACCEPTED);
    // It ends by itself; the page is at most a second old.
    let told = async {
        loop {
            let html = browser.get("/").await.html;
            if html.contains(": each was what the log says") {
                break html;
            }
        }
    };
    let html = tokio::time::timeout(std::time::Duration::from_secs(30), told).await.unwrap();
    assert!(html.contains("<li>orders, ledger</li>"), "{html}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_his_key_is_signed_out() {
    let (shop, operator, ..) = trading().await;
    let mut browser = Browser::new(&shop);
    browser.sign_in(&code(&shop, &operator).await).await;
    assert!(browser.get("/").await.html.contains("In escrow"));
    let left = code(&shop, &operator).await;
    let lost = RevokeDevice {
        account: Some(operator.account),
        device: operator.device,
        reason: RevokeReason::Compromised,
    };
    let receipt = shop.accepted(&shop.registrar, lost).await;
    read(&shop, &receipt).await;
    let page = browser.get("/").await;
    assert!(!page.html.contains("In escrow") && page.html.contains("skylink console"), "{}", page.html);
    // A code from before signs in a browser that then sees no more than anybody.
    browser.sign_in(&left).await;
    assert!(!browser.get("/").await.html.contains("In escrow"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_made_of_what_this_gateway_serves_and_nothing_else() {
    let (shop, operator, ..) = trading().await;
    let mut browser = Browser::new(&shop);
    let welcome = browser.get("/").await.html;
    browser.sign_in(&code(&shop, &operator).await).await;
    let pages = [welcome, browser.get("/").await.html, browser.get("/interface").await.html];
    let mut found = std::collections::BTreeSet::new();
    for html in pages {
        for bad in ["http://", "https://", "<style", " style=", " onclick=", "javascript:"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
        for tag in html.split("<script").skip(1) {
            let (tag, inner) = tag.split_once('>').unwrap();
            assert!(tag.contains(" src=\"/assets/") && inner.starts_with("</script>"), "{tag}");
        }
        let paths = html.split('"').filter(|text| text.starts_with("/assets/"));
        found.extend(paths.map(str::to_owned));
    }
    assert!(found.len() >= 3, "{found:?}");
    for path in &found {
        let asset = support::ask(shop.get(path)).await;
        assert_eq!(asset.status, StatusCode::OK, "{path}");
        assert!(!asset.body.is_empty(), "{path}");
        assert_eq!(asset.headers["cache-control"], "public, max-age=31536000, immutable", "{path}");
        let tag = asset.headers["etag"].clone();
        let known = support::ask(shop.get(path).header("if-none-match", tag)).await;
        assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        let name = path.rsplit('/').next().unwrap();
        problem(shop.get(&format!("/assets/0000000000000000/{name}")), 404, "not_found").await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn escrows_are_told_by_what_they_wait_for_and_by_age() {
    let (shop, operator, seller, buyer, order) = trading().await;
    let token = shop.token(&operator).await;
    let ask = |token: String| shop.get("/v1/analytics/escrows").bearer_auth(token);
    problem(ask(shop.token(&buyer).await), 403, "scope_denied").await;
    let told = |answer: &Value| {
        let states = answer["escrows"][0]["states"].as_array().cloned().unwrap_or_default();
        let of = |state: &Value| {
            let ages = state["ages"].as_array().unwrap().iter();
            let ages: Vec<u64> = ages.map(|age| age["orders"].as_u64().unwrap()).collect();
            (state["state"].as_str().unwrap().to_owned(), state["held"].as_i64().unwrap(), ages)
        };
        states.iter().map(of).collect::<Vec<_>>()
    };
    let (_, answer) = json_of(ask(token.clone())).await;
    assert_eq!(told(&answer), [("to_ship".to_owned(), 2_500, vec![1, 0, 0, 0, 0, 0])]);
    assert_eq!(answer["escrows"][0]["currency"], "USD");
    assert!(answer["escrows"][0]["oldest_since_rfc3339"].is_string(), "{answer}");

    let receipt = shop.accepted(&seller, ship(order)).await;
    read(&shop, &receipt).await;
    shop.clock.advance_to(shop.now().plus_ms(2 * DAY_MS));
    let (_, answer) = json_of(ask(shop.token(&operator).await)).await;
    assert_eq!(told(&answer), [("in_delivery".to_owned(), 2_500, vec![0, 1, 0, 0, 0, 0])]);

    let receipt = shop.accepted(&buyer, ConfirmDelivery { order, shipment: None }).await;
    read(&shop, &receipt).await;
    let (_, answer) = json_of(ask(shop.token(&operator).await)).await;
    assert_eq!(told(&answer), [], "the seller has his money: {answer}");
    shop.close().await;
}
