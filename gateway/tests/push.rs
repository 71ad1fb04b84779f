//! Notifications: to browsers, through a push service that others have written, which checks who sends and decrypts as a browser does; to
//! apps in `phones`.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod phones;
mod support;

use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use commands::command::{
    ConfirmDelivery, OrderLine, PaymentMethod, PlaceOrder, SetPushPreferences, ShipOrder, SubscribePush,
    UnsubscribePush,
};
use commands::personal::{Personal, write_header};
use events::account::Role;
use events::ids::{ListingId, OrderId, PushSubscriptionId};
use events::push::{Channel, QuietHours, Topic};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, receipt_order, usd};
use uuid::Uuid;

/// How long something may take to come; when it runs out the test has failed.
const WAIT_MAX: Duration = Duration::from_secs(30);
const HOUR_MS: i64 = 3_600_000;

/// The push service of others, on a port of this machine.
struct Service {
    process: Child,
    base: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A browser, as the service knows it.
struct Browser {
    hash: String,
    /// What it gives a page: `PushSubscription.toJSON()`.
    subscription: Value,
}

impl Service {
    async fn open(shop: &Shop) -> Service {
        let folder = std::env::var("SKYLINK_WEB_PUSH_TESTING").expect(
            "SKYLINK_WEB_PUSH_TESTING is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-web-push-testing.sh prints",
        );
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!("{folder}/node_modules/web-push-testing/src/bin/server.js");
        let mut process = Process::new("node");
        process.arg(server).arg(port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let service = Service { process: process.spawn().unwrap(), base: format!("http://localhost:{port}") };
        let asking = async {
            while shop.http.post(format!("{}/status", service.base)).send().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, asking).await.unwrap();
        service
    }

    async fn ask(&self, shop: &Shop, path: &str, body: Value) -> Value {
        let asked = shop.http.post(format!("{}{path}", self.base)).json(&body).send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::OK);
        serde_json::from_slice(&asked.bytes().await.unwrap()).unwrap_or(Value::Null)
    }

    /// Has a browser subscribe to what the market sends.
    async fn browser(&self, shop: &Shop) -> Browser {
        let key = shop.get("/v1/push/key");
        let (status, key) = json_of(key).await;
        assert_eq!(status, StatusCode::OK, "{key}");
        let options =
            json!({"userVisibleOnly": "true", "applicationServerKey": key["application_server_key"]});
        let mut subscription = self.ask(shop, "/subscribe", options).await["data"].take();
        let hash = subscription["clientHash"].take().as_str().unwrap().to_owned();
        let subscription = json!({
            "endpoint": subscription["endpoint"], "expirationTime": null, "keys": subscription["keys"],
        });
        Browser { hash, subscription }
    }

    /// Gives what a browser was told, decrypted.
    async fn told(&self, shop: &Shop, browser: &Browser) -> Vec<Value> {
        let answer = self.ask(shop, "/get-notifications", json!({"clientHash": browser.hash})).await;
        let messages = answer["data"]["messages"].as_array().unwrap().iter();
        messages.map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect()
    }

    /// Waits until a browser was told so many things.
    async fn told_so_many(&self, shop: &Shop, browser: &Browser, count: usize) -> Vec<Value> {
        let asking = async {
            loop {
                let told = self.told(shop, browser).await;
                if told.len() >= count {
                    return told;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, asking).await.unwrap()
    }
}

async fn subscribed(shop: &Shop, who: &Person, browser: &Browser) -> PushSubscriptionId {
    subscribed_by(shop, who, Channel::Web, &browser.subscription.to_string()).await
}

/// Has a device told by a service. `how`: how it is reached.
async fn subscribed_by(shop: &Shop, who: &Person, channel: Channel, how: &str) -> PushSubscriptionId {
    let subscription = PushSubscriptionId::from_uuid(Uuid::now_v7());
    let target = Personal { salt: rand::random(), value: how.as_bytes().to_vec() };
    let command = SubscribePush { channel, subscription, target: target.hash() };
    let post = shop.post("/v1/commands", "application/jose", who.sign(command, shop.now()));
    let (status, receipt) = json_of(post.header("Skylink-Personal", write_header([&target]))).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &"accepted".into()), "{receipt}");
    subscription
}

/// Buys one lamp, and gives the order.
async fn placed(shop: &Shop, buyer: &Person, listing: ListingId) -> OrderId {
    let lines = vec![OrderLine { listing, quantity: support::units(1), quote: None }];
    let receipt = shop.accepted(buyer, PlaceOrder::new(lines, PaymentMethod::Wallet, usd(100))).await;
    receipt_order(&receipt).parse().unwrap()
}

async fn shipped(shop: &Shop, seller: &Person, order: OrderId) {
    let all = ShipOrder { carrier: None, from: None, lines: None, order, tracking: None };
    shop.accepted(seller, all).await;
}

async fn delivered(shop: &Shop, carrier: &Person, order: OrderId) {
    shop.accepted(carrier, ConfirmDelivery { order, shipment: None }).await;
}

/// Gives of what was told which types, and of which order.
fn types_and_orders(told: &[Value]) -> Vec<(&str, &str)> {
    told.iter().map(|one| (one["type"].as_str().unwrap(), one["order"].as_str().unwrap())).collect()
}

/// Asks how somebody is told, until something of it is so.
async fn until(shop: &Shop, who: &Person, is_so: impl Fn(&Value) -> bool) -> Value {
    let token = shop.token(who).await;
    let asking = async {
        loop {
            let (status, found) = json_of(shop.get("/v1/accounts/me/push").bearer_auth(&token)).await;
            assert_eq!(status, StatusCode::OK, "{found}");
            if is_so(&found) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, asking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_what_others_did_and_only_they_can_read_it() {
    let shop = Shop::open().await;
    let service = Service::open(&shop).await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(1_000).await);
    let listing = shop.listing(&seller, 100, 9).await;
    let (sellers, buyers) = (service.browser(&shop).await, service.browser(&shop).await);
    let subscription = subscribed(&shop, &seller, &sellers).await;
    subscribed(&shop, &buyer, &buyers).await;

    let order = placed(&shop, &buyer, listing).await;
    let told = service.told_so_many(&shop, &sellers, 1).await;
    assert_eq!(types_and_orders(&told), [("order.placed.v1", order.to_string().as_str())]);
    // It says no more than what happened, and where to ask.
    assert_eq!(told[0].as_object().unwrap().len(), 3, "{told:?}");
    assert!(told[0]["position"].is_u64());
    shipped(&shop, &seller, order).await;
    let told = service.told_so_many(&shop, &buyers, 1).await;
    assert_eq!(types_and_orders(&told), [("order.shipped.v2", order.to_string().as_str())]);
    // Nobody is told what he did himself.
    assert_eq!(service.told(&shop, &sellers).await.len(), 1);

    let shown = until(&shop, &seller, |found| !found["subscriptions"][0]["last"].is_null()).await;
    let [device] = shown["subscriptions"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!((&device["subscription"], &device["channel"]), (&json!(subscription), &json!("web")));
    assert_eq!((&device["last"]["status"], &device["last"]["error"]), (&json!(201), &Value::Null));
    assert_eq!(device["last"]["type"], "order.placed.v1");
    // How a device is reached is in no answer, and others see nothing of it.
    assert!(!shown.to_string().contains("endpoint") && !shown.to_string().contains("localhost"), "{shown}");
    let path = format!("/v1/accounts/{}/push", seller.account);
    problem(shop.get(&path).bearer_auth(shop.token(&buyer).await), 404, "not_found").await;

    // Whoever ends it is told of nothing more, and how he was reached is forgotten.
    let ended = shop.accepted(&seller, UnsubscribePush { subscription }).await;
    assert!(shop.kept_of(seller.account, &ended).await.is_empty());
    placed(&shop, &buyer, listing).await;
    let last = placed(&shop, &buyer, listing).await;
    shipped(&shop, &seller, last).await;
    service.told_so_many(&shop, &buyers, 2).await;
    assert_eq!(service.told(&shop, &sellers).await.len(), 1);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_quiet_hours_only_the_newest_of_an_order_is_kept_until_they_end() {
    let shop = Shop::open().await;
    let service = Service::open(&shop).await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(1_000).await);
    let carrier = shop.person(&[Role::Provider]).await;
    let listing = shop.listing(&seller, 100, 9).await;
    let (sellers, buyers) = (service.browser(&shop).await, service.browser(&shop).await);
    subscribed(&shop, &seller, &sellers).await;
    subscribed(&shop, &buyer, &buyers).await;
    // It is 10 o'clock in UTC, and noon where he is.
    let quiet = QuietHours {
        from: "11:30".parse().unwrap(),
        to: "13:00".parse().unwrap(),
        utc_offset: "+02:00".parse().unwrap(),
    };
    shop.accepted(&buyer, SetPushPreferences { muted: [].into(), quiet: Some(quiet) }).await;
    let order = placed(&shop, &buyer, listing).await;
    service.told_so_many(&shop, &sellers, 1).await;
    shipped(&shop, &seller, order).await;
    delivered(&shop, &carrier, order).await;
    // Both sides are told of that together, so once the one is, the other waits.
    let told = service.told_so_many(&shop, &sellers, 2).await;
    assert_eq!(told[1]["type"], "order.delivered.v2");
    assert_eq!(service.told(&shop, &buyers).await, [] as [Value; 0]);
    shop.clock.advance_to(shop.now().plus_ms(HOUR_MS));
    let told = service.told_so_many(&shop, &buyers, 1).await;
    assert_eq!(types_and_orders(&told), [("order.delivered.v2", order.to_string().as_str())]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_does_not_want_to_hear_of_he_is_not_told() {
    let shop = Shop::open().await;
    let service = Service::open(&shop).await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(1_000).await);
    let carrier = shop.person(&[Role::Provider]).await;
    let listing = shop.listing(&seller, 100, 9).await;
    let (sellers, buyers) = (service.browser(&shop).await, service.browser(&shop).await);
    subscribed(&shop, &seller, &sellers).await;
    subscribed(&shop, &buyer, &buyers).await;
    shop.accepted(&seller, SetPushPreferences { muted: [Topic::Orders].into(), quiet: None }).await;
    let first = placed(&shop, &buyer, listing).await;
    shipped(&shop, &seller, first).await;
    service.told_so_many(&shop, &buyers, 1).await;
    delivered(&shop, &carrier, first).await;
    service.told_so_many(&shop, &buyers, 2).await;
    shop.accepted(&seller, SetPushPreferences { muted: [Topic::Payouts].into(), quiet: None }).await;
    let second = placed(&shop, &buyer, listing).await;
    // What came before would have been sent before it.
    let told = service.told_so_many(&shop, &sellers, 1).await;
    assert_eq!(types_and_orders(&told), [("order.placed.v1", second.to_string().as_str())]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_forgotten_and_one_that_does_not_answer_is_tried_so_often() {
    let shop = Shop::open().await;
    let service = Service::open(&shop).await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(1_000).await);
    let listing = shop.listing(&seller, 100, 9).await;
    let (gone, there) = (service.browser(&shop).await, service.browser(&shop).await);
    subscribed(&shop, &seller, &gone).await;
    let stays = subscribed(&shop, &seller, &there).await;
    service.ask(&shop, &format!("/expire-subscription/{}", gone.hash), json!({})).await;
    placed(&shop, &buyer, listing).await;
    service.told_so_many(&shop, &there, 1).await;
    let shown = until(&shop, &seller, |found| found["subscriptions"].as_array().unwrap().len() == 1).await;
    assert_eq!(shown["subscriptions"][0]["subscription"], json!(stays));
    // How it was reached is forgotten too, as soon as the vault has heard of it.
    let kept = || shop.gateway.vault.as_ref().unwrap().names(seller.account, "push/").unwrap().len();
    let forgetting = async {
        while kept() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, forgetting).await.unwrap();
    // The service is away. That is no reason to forget anybody.
    drop(service);
    placed(&shop, &buyer, listing).await;
    let is_away = |found: &Value| found["subscriptions"][0]["last"]["error"] == "not_reached";
    let shown = until(&shop, &seller, is_away).await;
    assert_eq!(shown["subscriptions"].as_array().unwrap().len(), 1);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_browser_is_not_told() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let key = json_of(shop.get("/v1/push/key")).await.1["application_server_key"].clone();
    let subscribe = async |keys: Value, endpoint: &str| {
        let value = json!({"endpoint": endpoint, "keys": keys}).to_string().into_bytes();
        let target = Personal { salt: rand::random(), value };
        let subscription = PushSubscriptionId::from_uuid(Uuid::now_v7());
        let command = SubscribePush { channel: Channel::Web, subscription, target: target.hash() };
        let post = shop.post("/v1/commands", "application/jose", seller.sign(command, shop.now()));
        post.header("Skylink-Personal", write_header([&target]))
    };
    let auth = "BTBZMqHH6r4Tts7J_aSIgg";
    let no_point = format!("B{}", "A".repeat(86));
    for (keys, endpoint) in [
        (json!({"p256dh": key, "auth": auth}), "ftp://push.example/1"),
        (json!({"p256dh": key, "auth": "short"}), "https://push.example/1"),
        (json!({"p256dh": no_point, "auth": auth}), "https://push.example/1"),
        (json!({"auth": auth}), "https://push.example/1"),
    ] {
        problem(subscribe(keys, endpoint).await, 400, "personal_invalid").await;
    }
    let (status, receipt) =
        json_of(subscribe(json!({"p256dh": key, "auth": auth}), "https://push.example/1").await).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &"accepted".into()), "{receipt}");
    shop.close().await;
}
