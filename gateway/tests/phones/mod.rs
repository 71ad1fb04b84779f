//! Notifications to apps, by FCM and APNs. Nobody keeps a server that plays either and could be fetched, so `server.mjs` does, on Node's TLS,
//! HTTP/2 and cryptography; it takes what clients of others send (node-apn, google-auth), and what FCM is sent is held against Google's own
//! description of it.

use std::process::{Command as Process, Stdio};
use std::sync::Arc;

use commands::command::SetPushPreferences;
use engine::clock::{Clock, ManualClock};
use engine::providers::Secret;
use events::Timestamp;
use gateway::push::{ApnsConfig, ApnsNames, FcmConfig, PushConfig, Roots};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

/// When the tests begin, by the clock of FCM and APNs: some time ago by this machine's.
const WORLD_START: Timestamp = Timestamp::from_ms(1_750_000_000_000);
const MINUTE_MS: i64 = 60_000;
const HOURS_24_S: i64 = 86_400;
const APNS: ApnsNames<'_> =
    ApnsNames { key_id: "ABC123DEFG", team_id: "DEF123GHIJ", topic: "com.example.market" };

/// The server that plays them, on a port of this machine.
struct Services {
    /// Ends with it.
    _process: tokio::process::Child,
    dir: TempDir,
    base: String,
    http: reqwest::Client,
    world: Arc<ManualClock>,
}

impl Services {
    async fn open() -> Services {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut process = tokio::process::Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phones/server.mjs"))
            .arg(dir.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(WAIT_MAX, said.next_line()).await.unwrap().unwrap().unwrap();
        let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
        let base = format!("https://localhost:{port}");
        let world = Arc::new(ManualClock::new(WORLD_START));
        let services = Services { _process: process, dir, base, http, world };
        services.control(json!({"now_s": WORLD_START.ms() / 1_000})).await;
        services
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(self.read("cert.pem").as_bytes()).unwrap()
    }

    fn fcm(&self) -> FcmConfig {
        FcmConfig::new(&Secret::new(self.read("service-account.json")), &self.base, &self.roots()).unwrap()
    }

    fn apns(&self) -> ApnsConfig {
        ApnsConfig::new(&Secret::new(self.read("apns.p8")), APNS, &self.base, &self.roots()).unwrap()
    }

    /// Opens a market that sends by both.
    async fn shop(&self) -> Shop {
        let (fcm, apns, world) = (self.fcm(), self.apns(), Arc::clone(&self.world));
        let both = |push: &mut PushConfig| {
            *push = PushConfig { fcm: Some(fcm), apns: Some(apns), world, ..push.clone() };
        };
        Shop::telling_devices(both).await
    }

    /// Says what the services are to do from here on.
    async fn control(&self, what: Value) {
        let told = self.http.post(format!("{}/control", self.base)).json(&what).send().await.unwrap();
        assert_eq!(told.status(), StatusCode::OK);
    }

    /// Moves the world's clock, and by how much more that of the services.
    async fn pass(&self, minutes: i64, ahead_min: i64) {
        self.world.advance_to(self.world.now().plus_ms(minutes * MINUTE_MS));
        let theirs = self.world.now().plus_ms(ahead_min * MINUTE_MS);
        self.control(json!({"now_s": theirs.ms() / 1_000})).await;
    }

    /// Gives what came to a service.
    async fn log(&self, service: &str) -> Vec<Value> {
        let answer = self.http.get(format!("{}/log", self.base)).send().await.unwrap();
        let log: Vec<Value> = answer.json().await.unwrap();
        log.into_iter().filter(|entry| entry["service"] == service).collect()
    }

    /// Waits until so much came to a service.
    async fn asked(&self, service: &str, count: usize) -> Vec<Value> {
        let asking = async {
            loop {
                let log = self.log(service).await;
                if log.len() >= count {
                    assert_eq!(log.len(), count, "{log:?}");
                    return log;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, asking).await.unwrap()
    }

    fn statuses(log: &[Value]) -> Vec<u64> {
        log.iter().map(|entry| entry["status"].as_u64().unwrap()).collect()
    }
}

/// Makes a registration token of FCM.
fn registration() -> String {
    format!("cTrR0XzLQvKdQbW1yGm2aB:APA91b{}", Uuid::now_v7().simple())
}

/// Makes a device token of APNs.
fn device() -> String {
    format!("{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple())
}

/// Makes a market of which a seller is told by FCM and a buyer by APNs, with something to buy.
struct Trade {
    shop: Shop,
    seller: Person,
    buyer: Person,
    listing: ListingId,
    registration: String,
    device: String,
}

impl Trade {
    async fn open(services: &Services) -> Trade {
        let shop = services.shop().await;
        let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(10_000).await);
        let listing = shop.listing(&seller, 100, 50).await;
        let (registration, device) = (registration(), device());
        subscribed_by(&shop, &seller, Channel::Fcm, &registration).await;
        subscribed_by(&shop, &buyer, Channel::Apns, &device).await;
        Trade { shop, seller, buyer, listing, registration, device }
    }

    /// Has the seller told of a new order.
    async fn placed(&self) -> OrderId {
        placed(&self.shop, &self.buyer, self.listing).await
    }
}

/// Holds a value against a schema of Google's description, which allows nothing that it does not name.
fn check_described(name: &str, value: &Value) {
    let file = std::env::var("SKYLINK_FCM_DESCRIPTION").expect(
        "SKYLINK_FCM_DESCRIPTION is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-fcm-description.sh prints",
    );
    let description: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    // It names other schemas by their bare names.
    fn pointing(schema: &Value) -> Value {
        match schema {
            Value::Object(fields) => {
                let mut fields: serde_json::Map<String, Value> =
                    fields.iter().map(|(name, value)| (name.clone(), pointing(value))).collect();
                // That it is anything.
                fields.retain(|name, value| !(name == "type" && value == "any"));
                if let Some(Value::String(target)) = fields.get_mut("$ref") {
                    *target = format!("#/schemas/{target}");
                }
                if fields.contains_key("properties") {
                    fields.insert("additionalProperties".to_owned(), json!(false));
                }
                // The format of a duration, as its text describes it.
                if fields.get("format") == Some(&json!("google-duration")) {
                    fields.insert("pattern".to_owned(), json!("^[0-9]+([.][0-9]{1,9})?s$"));
                }
                Value::Object(fields)
            }
            Value::Array(values) => values.iter().map(pointing).collect(),
            other => other.clone(),
        }
    }
    let mut schemas = description["schemas"].clone();
    for schema in schemas.as_object_mut().unwrap().values_mut() {
        schema.as_object_mut().unwrap().remove("id");
        *schema = pointing(schema);
    }
    let schema = json!({"schemas": schemas, "$ref": format!("#/schemas/{name}")});
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?} in {value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_told_by_fcm_in_the_form_that_google_describes() {
    let services = Services::open().await;
    let trade = Trade::open(&services).await;
    let order = trade.placed().await;
    let [asked] = services.asked("fcm", 1).await.try_into().unwrap();
    assert_eq!(asked["path"], "/v1/projects/market-app/messages:send");
    check_described("SendMessageRequest", &asked["body"]);
    check_described("Message", &asked["answer"]);
    let message = &asked["body"]["message"];
    let collapse = message["android"]["collapseKey"].as_str().unwrap();
    let position = message["data"]["position"].as_str().unwrap();
    assert!(position.parse::<u64>().is_ok(), "{position}");
    let expected = json!({
        "token": trade.registration,
        "data": {"type": "order.placed.v1", "order": order, "position": position},
        "android": {"collapseKey": collapse, "priority": "HIGH", "ttl": format!("{HOURS_24_S}s")},
    });
    assert_eq!(message, &expected);

    // Each order has a collapse key of its own, and one access token is good for all.
    trade.placed().await;
    let asked = services.asked("fcm", 2).await;
    assert_ne!(asked[1]["body"]["message"]["android"]["collapseKey"], collapse);
    assert_eq!(Services::statuses(&services.log("google").await), [200]);
    let is_told = |found: &Value| found["subscriptions"][0]["last"]["status"] == 200;
    let shown = until(&trade.shop, &trade.seller, is_told).await;
    let device = &shown["subscriptions"][0];
    assert_eq!((&device["channel"], &device["is_served"]), (&json!("fcm"), &json!(true)));
    assert!(!shown.to_string().contains(&trade.registration), "{shown}");
    // Shortly before its end another is asked for.
    services.pass(59, 0).await;
    trade.placed().await;
    services.asked("fcm", 3).await;
    assert_eq!(Services::statuses(&services.log("google").await), [200, 200]);
    trade.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_told_by_apns_as_a_client_of_others_tells_them() {
    let services = Services::open().await;
    let trade = Trade::open(&services).await;
    let order = trade.placed().await;
    shipped(&trade.shop, &trade.seller, order).await;
    let [asked] = services.asked("apns", 1).await.try_into().unwrap();
    assert_eq!((&asked["status"], &asked["version"]), (&json!(200), &json!("2.0")), "{asked}");
    assert_eq!(asked["path"], format!("/3/device/{}", trade.device));
    let body = json!({
        "aps": {"alert": {"loc-key": "order.shipped"}, "mutable-content": 1},
        "type": "order.shipped.v2", "order": order, "position": asked["body"]["position"],
    });
    assert_eq!(asked["body"], body);

    // The same by node-apn, which makes headers and word itself.
    let collapse = asked["headers"]["apns-collapse-id"].as_str().unwrap();
    let expires = WORLD_START.ms() / 1_000 + HOURS_24_S;
    services.control(json!({"now_s": now_s()})).await;
    let said = json!({
        "device": trade.device, "topic": APNS.topic, "keyId": APNS.key_id, "teamId": APNS.team_id, "collapse": collapse,
        "expires": expires, "body": body,
    });
    node_apn(&services, &said);
    let [ours, theirs] = services.asked("apns", 2).await.try_into().unwrap();
    assert_eq!((&theirs["status"], &theirs["body"]), (&json!(200), &ours["body"]), "{theirs}");
    let told = |entry: &Value| -> Vec<(String, String)> {
        let headers = entry["headers"].as_object().unwrap().iter();
        let told = headers.filter(|(name, _)| name.starts_with("apns-"));
        let mut told: Vec<_> =
            told.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        told.sort();
        told
    };
    assert_eq!(told(&ours), told(&theirs));
    trade.shop.close().await;
}

/// The time by this machine's clock, which programs of others go by.
fn now_s() -> i64 {
    engine::clock::WallClock.now().ms() / 1_000
}

fn node_apn(services: &Services, said: &Value) {
    let folder = std::env::var("SKYLINK_NODE_APN").expect(
        "SKYLINK_NODE_APN is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-node-apn.sh prints",
    );
    let program = r#"
        const apn = require("@parse/node-apn");
        const [dir, port, text] = process.argv.slice(1);
        const said = JSON.parse(text);
        const token = { key: `${dir}/apns.p8`, keyId: said.keyId, teamId: said.teamId };
        const provider = new apn.Provider({ token, address: "localhost", port: Number(port), production: false });
        const { aps, ...payload } = said.body;
        const note = new apn.Notification({
            topic: said.topic, pushType: "alert", priority: 5, expiry: said.expires, collapseId: said.collapse, payload, aps,
        });
        provider.send(note, said.device).then((result) => {
            provider.shutdown();
            if (result.failed.length > 0) throw new Error(JSON.stringify(result.failed));
        });
    "#;
    let port = services.base.rsplit(':').next().unwrap();
    let run = Process::new("node")
        .current_dir(folder)
        .env("NODE_EXTRA_CA_CERTS", services.dir.path().join("cert.pem"))
        .args(["-e", program])
        .arg(services.dir.path())
        .args([port, &said.to_string()])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gives_access_tokens_here_takes_what_googles_own_client_sends() {
    let services = Services::open().await;
    services.control(json!({"now_s": now_s()})).await;
    let packages = ["GOOGLEAUTH", "CRYPTOGRAPHY"].map(|name| {
        std::env::var(format!("SKYLINK_{name}")).unwrap_or_else(|_| {
            let script = name.to_lowercase();
            panic!("SKYLINK_{name} is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-{script}.sh prints")
        })
    });
    let program = r#"
import ssl, sys, urllib.request
import google.auth.transport
from google.oauth2 import service_account

class Plain(google.auth.transport.Request):
    def __call__(self, url, method="GET", body=None, headers=None, timeout=None, **kwargs):
        context = ssl.create_default_context(cafile=sys.argv[2])
        body = body.encode() if isinstance(body, str) else body
        asked = urllib.request.Request(url, body, headers or {}, method=method)
        with urllib.request.urlopen(asked, context=context) as answer:
            class Answer(google.auth.transport.Response):
                status, headers, data = answer.status, dict(answer.headers), answer.read()
            return Answer()

scopes = ["https://www.googleapis.com/auth/firebase.messaging"]
credentials = service_account.Credentials.from_service_account_file(sys.argv[1], scopes=scopes)
credentials.refresh(Plain())
assert credentials.token.startswith("ya29."), "no access token"
"#;
    let run = Process::new("python3")
        .env("PYTHONPATH", packages.join(":"))
        .args(["-c", program])
        .args(["service-account.json", "cert.pem"].map(|file| services.dir.path().join(file)))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(Services::statuses(&services.log("google").await), [200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_gone_is_forgotten_whichever_service_says_so() {
    let services = Services::open().await;
    let trade = Trade::open(&services).await;
    let Trade { shop, seller, buyer, .. } = &trade;
    let (gone, bad) = (registration(), registration());
    subscribed_by(shop, seller, Channel::Fcm, &gone).await;
    // It is known by now that what is sent is right, so that a token that is none is no fault of the market.
    trade.placed().await;
    services.asked("fcm", 2).await;
    subscribed_by(shop, seller, Channel::Fcm, &bad).await;
    services.control(json!({"devices": {gone: "gone", bad: "bad"}})).await;
    let order = trade.placed().await;
    let shown = until(shop, seller, |found| found["subscriptions"].as_array().unwrap().len() == 1).await;
    assert_eq!(shown["subscriptions"][0]["channel"], "fcm");
    let mut statuses = Services::statuses(&services.asked("fcm", 5).await[2..]);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 404]);

    let gone = device();
    shipped(shop, seller, order).await;
    services.asked("apns", 1).await;
    subscribed_by(shop, buyer, Channel::Apns, &gone).await;
    subscribed_by(shop, buyer, Channel::Apns, &trade.device.to_uppercase()).await;
    services.control(json!({"devices": {gone: "gone", (trade.device.to_uppercase()): "bad"}})).await;
    let carrier = shop.person(&[Role::Provider]).await;
    delivered(shop, &carrier, order).await;
    until(shop, buyer, |found| found["subscriptions"].as_array().unwrap().len() == 1).await;
    let mut statuses = Services::statuses(&services.asked("apns", 4).await[1..]);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 410]);
    // How they were reached is forgotten too.
    let kept = || shop.gateway.vault.as_ref().unwrap().names(buyer.account, "push/").unwrap().len();
    let forgetting = async {
        while kept() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, forgetting).await.unwrap();
    trade.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_app_is_forgotten_for_a_mistake_of_the_operators() {
    let services = Services::open().await;
    let trade = Trade::open(&services).await;
    services
        .control(json!({"devices": {(trade.registration.clone()): "bad", (trade.device.clone()): "bad"}}))
        .await;
    let order = trade.placed().await;
    shipped(&trade.shop, &trade.seller, order).await;
    for person in [&trade.seller, &trade.buyer] {
        let is_refused = |found: &Value| found["subscriptions"][0]["last"]["status"] == 400;
        until(&trade.shop, person, is_refused).await;
    }
    services.control(json!({"devices": {(trade.registration.clone()): "of another"}})).await;
    trade.placed().await;
    let is_refused = |found: &Value| found["subscriptions"][0]["last"]["status"] == 403;
    until(&trade.shop, &trade.seller, is_refused).await;
    trade.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_that_is_refused_is_replaced_once_and_one_that_is_not_given_is_not_asked_for_at_once()
{
    let services = Services::open().await;
    let trade = Trade::open(&services).await;
    trade.placed().await;
    services.asked("fcm", 1).await;
    services.control(json!({"revoke": true})).await;
    trade.placed().await;
    assert_eq!(Services::statuses(&services.asked("fcm", 3).await), [200, 401, 200]);
    assert_eq!(Services::statuses(&services.log("google").await), [200, 200]);
    // The new one is refused as well: that is no reason to ask for one after another.
    let refused = json!({"status": 401, "body": {"error": {"status": "UNAUTHENTICATED"}}});
    let none = json!({"status": 400, "body": {"error": "invalid_grant"}});
    services.control(json!({"revoke": true, "next": {"fcm": [refused, refused], "google": []}})).await;
    trade.placed().await;
    assert_eq!(Services::statuses(&services.asked("fcm", 6).await[3..]), [401, 401, 200]);
    assert_eq!(Services::statuses(&services.log("google").await), [200; 3]);
    // Google gives none. Whatever is to be sent meanwhile waits without a question of its own.
    services.control(json!({"revoke": true, "next": {"google": [none]}})).await;
    trade.placed().await;
    let is_failed = |found: &Value| found["subscriptions"][0]["last"]["status"] == 400;
    until(&trade.shop, &trade.seller, is_failed).await;
    assert_eq!(Services::statuses(&services.asked("google", 4).await), [200, 200, 200, 400]);
    services.pass(1, 0).await;
    trade.placed().await;
    let told = |found: &Value| found["subscriptions"][0]["last"]["status"] == 200;
    until(&trade.shop, &trade.seller, told).await;
    assert_eq!(Services::statuses(&services.log("google").await), [200, 200, 200, 400, 200]);
    trade.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_for_apns_is_the_same_for_forty_minutes_and_is_replaced_when_it_has_expired() {
    let services = Services::open().await;
    let trade = Trade::open(&services).await;
    let word = |entry: &Value| entry["headers"]["authorization"].clone();
    let ship = async || shipped(&trade.shop, &trade.seller, trade.placed().await).await;
    ship().await;
    services.asked("apns", 1).await;
    services.pass(39, 0).await;
    ship().await;
    let asked = services.asked("apns", 2).await;
    assert_eq!(word(&asked[1]), word(&asked[0]));
    services.pass(2, 0).await;
    ship().await;
    let asked = services.asked("apns", 3).await;
    assert_ne!(word(&asked[2]), word(&asked[1]));
    // The clocks differ: APNs finds it expired before it is due.
    services.pass(25, 50).await;
    ship().await;
    let asked = services.asked("apns", 5).await;
    assert_eq!(Services::statuses(&asked), [200, 200, 200, 403, 200]);
    assert_eq!(asked[3]["answer"]["reason"], "ExpiredProviderToken");
    assert_ne!(word(&asked[4]), word(&asked[3]));
    trade.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_wants_to_be_left_alone_is() {
    let services = Services::open().await;
    let trade = Trade::open(&services).await;
    let busy = json!({"status": 503, "headers": {"retry-after": "120"}, "body": {"error": {"status": "UNAVAILABLE"}}});
    let many =
        json!({"status": 429, "headers": {"retry-after": "120"}, "body": {"reason": "TooManyRequests"}});
    services.control(json!({"next": {"fcm": [busy], "apns": [many]}})).await;
    let order = trade.placed().await;
    shipped(&trade.shop, &trade.seller, order).await;
    for (person, status) in [(&trade.seller, 503), (&trade.buyer, 429)] {
        until(&trade.shop, person, |found| found["subscriptions"][0]["last"]["status"] == status).await;
    }
    trade.shop.clock.advance_to(trade.shop.now().plus_ms(119_000));
    // The next order's message goes at once, and by then the other's would have, too.
    trade.placed().await;
    services.asked("fcm", 2).await;
    assert_eq!(services.log("apns").await.len(), 1);
    trade.shop.clock.advance_to(trade.shop.now().plus_ms(1_000));
    assert_eq!(Services::statuses(&services.asked("fcm", 3).await), [503, 200, 200]);
    assert_eq!(Services::statuses(&services.asked("apns", 2).await), [429, 200]);
    trade.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_without_a_service_says_so_and_tells_its_devices_nothing() {
    let services = Services::open().await;
    let fcm = services.fcm();
    let world = Arc::clone(&services.world);
    let shop =
        Shop::telling_devices(|push| *push = PushConfig { fcm: Some(fcm), world, ..push.clone() }).await;
    let (status, key) = json_of(shop.get("/v1/push/key")).await;
    assert_eq!((status, &key["channels"]), (StatusCode::OK, &json!(["web", "fcm"])));
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(1_000).await);
    let listing = shop.listing(&seller, 100, 9).await;
    let unserved = subscribed_by(&shop, &seller, Channel::Apns, &device()).await;
    subscribed_by(&shop, &seller, Channel::Fcm, &registration()).await;
    shop.accepted(&seller, SetPushPreferences { muted: [].into(), quiet: None }).await;
    placed(&shop, &buyer, listing).await;
    services.asked("fcm", 1).await;
    let is_told = |found: &Value| {
        let devices = found["subscriptions"].as_array().unwrap().iter();
        devices.filter(|device| !device["last"].is_null()).count() == 1
    };
    let shown = until(&shop, &seller, is_told).await;
    let devices = shown["subscriptions"].as_array().unwrap();
    let device = devices.iter().find(|device| device["subscription"] == json!(unserved)).unwrap();
    assert_eq!((&device["is_served"], &device["last"]), (&json!(false), &Value::Null));
    assert!(services.log("apns").await.is_empty());
    shop.close().await;
}

#[test]
fn what_is_wrong_with_a_key_is_said_without_a_word_of_it() {
    let made = |file: &str| FcmConfig::new(&Secret::new(file), "https://fcm.example", &Roots::default());
    for file in [
        r#""hunter2""#,
        r#"{"project_id": "hunter2"}"#,
        r#"{"project_id": "p", "client_email": "e", "private_key_id": "i", "private_key": "hunter2", "token_uri": "https://t.example"}"#,
    ] {
        let error = made(file).unwrap_err();
        let words = format!("{error} {error:?}");
        assert!(!words.contains("hunter2") && words.contains("service account"), "{words}");
    }
    for file in ["", "hunter2", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----"] {
        let error = Roots::from_pem(file.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("no certificate"), "{error}");
    }
    let apns = |key: &str, names, url| ApnsConfig::new(&Secret::new(key), names, url, &Roots::default());
    let error =
        apns("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", APNS, "https://a.example");
    assert!(!format!("{error:?}").contains("hunter2"));
    let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let good = apns(&made, APNS, "https://a.example").unwrap();
    assert!(!format!("{good:?}").contains("key: "), "{good:?}");
    for (names, url) in [
        (ApnsNames { topic: "com example", ..APNS }, "https://a.example"),
        (ApnsNames { key_id: "", ..APNS }, "https://a.example"),
        (APNS, "http://a.example"),
    ] {
        assert!(apns(&made, names, url).is_err(), "{names:?} {url}");
    }
}
