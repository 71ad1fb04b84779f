//! No secret gets into what the program says, however much it is asked to say.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::personal::Personal;
use common::Cli;
use serde_json::{Value, json};
use uuid::Uuid;

/// What must never be seen: made up for this test, so that nothing else looks like it.
const STRIPE_KEY: &str = "sk_test_1f0e2d3c4b5a69788796a5b4c3d2e1f0";
const WEBHOOK_SECRET: &str = "whsec_0a1b2c3d4e5f60718293a4b5c6d7e8f9";

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn http(method: &str, url: &str, token: Option<&str>, header: (&str, &str), body: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let method = method.parse().unwrap();
        let mut request =
            reqwest::Client::new().request(method, url).header(header.0, header.1).body(body.to_owned());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let headers = format!("{:?}", answer.headers());
        format!("{headers}\n{}", answer.text().await.unwrap())
    })
}

/// The ways in which a program may write 32 bytes without meaning to.
fn spellings(seed: &str) -> Vec<String> {
    let bytes: Vec<u8> = decoded(seed);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // As `{:?}` writes them, on one line.
    let list = bytes.iter().take(8).map(u8::to_string).collect::<Vec<_>>().join(", ");
    vec![seed.to_owned(), hex.clone(), hex.to_uppercase(), list]
}

/// Decodes base64url.
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for byte in text.bytes() {
        bits = (bits << 6 | u32::from(value(byte))) & 0x00ff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[test]
#[allow(clippy::unwrap_used)] // a test that panics has failed, as it should
fn no_secret_ends_in_a_log_line_an_answer_or_the_metrics() {
    let cli = Cli::new();
    let environment = [
        ("RUST_LOG", "trace"),
        ("SKYLINK_STRIPE_KEY", STRIPE_KEY),
        ("SKYLINK_STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
    ];
    // Nobody listens there: what is asked of Stripe fails, and is told.
    let up = cli.up_in(&environment, &["--payments", "stripe", "--stripe-url", "http://127.0.0.1:9"]);
    let url = up.url();
    let mut said = String::new();
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "register", "alice", "--role", "buyer", "--url", &url]);
    let provider = cli.json(&["keys", "show", "provider-stripe", "--json"])["account"].clone();
    let wish = json!({"command": "payment.request", "body": {
        "method": {"provider": provider, "token": "pm_card_visa"},
        "amount": {"minor": 5000, "currency": "USD"},
    }});
    let wish = cli.write("wish.json", &wish.to_string());
    let output = cli.run(&["send", "--json", "--url", &url, "--key", "alice", &wish]);
    assert!(output.status.success(), "the market asks Stripe: {}", String::from_utf8_lossy(&output.stderr));
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    let token = cli.ok(&["keys", "token", "alice", "--url", &url]);
    let token = token.trim();
    assert!(token.len() > 50 && !token.contains(' '), "{token}");
    let plain = ("accept", "*/*");
    said.push_str(&http("GET", &format!("{url}/v1/carts/current"), Some(token), plain, ""));
    // Nearly right: what refuses it must not show what it was held against.
    let mut wrong = token.to_owned();
    wrong.pop();
    said.push_str(&http(
        "GET",
        &format!("{url}/v1/carts/current"),
        Some(&wrong[..wrong.len() / 2]),
        plain,
        "",
    ));
    let webhook = format!("{url}/v1/providers/stripe/webhooks");
    let message = json!({"id": "evt_1", "data": {"object": {"object": "payout"}}}).to_string();
    said.push_str(&http("POST", &webhook, None, ("stripe-signature", "t=1,v1=00"), &message));
    said.push_str(&http("GET", &format!("{url}/metrics"), None, plain, ""));
    said.push_str(&http("GET", &format!("{url}/readyz"), None, plain, ""));
    said.push_str(&up.said.clone());
    let (status, rest) = up.interrupt();
    assert!(status.success(), "{rest}");
    said.push_str(&rest);
    assert!(said.contains("TRACE") && said.contains("skylink_http_seconds"), "it said much: {}", said.len());

    let mut secrets = vec![STRIPE_KEY.to_owned(), WEBHOOK_SECRET.to_owned(), token.to_owned()];
    let mut keys = 0;
    for entry in std::fs::read_dir(cli.path("data/keys")).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".key.json") {
            continue;
        }
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let seed = file["seed"].as_str().unwrap();
        assert_eq!(decoded(seed).len(), 32, "it is looked for as it may be written");
        secrets.extend(spellings(seed));
        keys += 1;
    }
    assert!(keys >= 5, "market, registrar, operator, provider, alice: {keys}");
    for secret in secrets {
        if let Some(at) = said.find(&secret) {
            let around: String =
                said[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("a secret of {} bytes was told behind: {around}", secret.len());
        }
    }
}

/// The server that plays FCM and APNs; it ends with the test.
struct Phones {
    process: Child,
    base: String,
    root: reqwest::Certificate,
}

impl Drop for Phones {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[allow(clippy::unwrap_used)] // what a test calls is a test too
impl Phones {
    fn open(cli: &Cli) -> Phones {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        cli.write("cert.pem", &made.cert.pem());
        cli.write("key.pem", &made.signing_key.serialize_pem());
        let server = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/tests/phones/server.mjs");
        let mut process =
            Command::new("node").arg(server).arg(cli.dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        Phones { process, base: format!("https://localhost:{}", port.trim()), root }
    }

    /// Tells it something, and gives what came to it.
    fn ask(&self, told: &Value) -> Vec<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let http = reqwest::Client::builder().tls_certs_only([self.root.clone()]).build().unwrap();
            http.post(format!("{}/control", self.base)).json(told).send().await.unwrap();
            let log = http.get(format!("{}/log", self.base)).send().await.unwrap();
            log.json().await.unwrap()
        })
    }

    /// Waits until a message was taken by each of both.
    fn taken(&self) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let log = self.ask(&json!({}));
            let is_taken =
                |service: &str| log.iter().any(|entry| entry["service"] == service && entry["status"] == 200);
            if is_taken("fcm") && is_taken("apns") {
                return log;
            }
            assert!(Instant::now() < deadline, "{log:?}");
            std::thread::yield_now();
        }
    }
}

#[test]
#[allow(clippy::unwrap_used)] // a test that panics has failed, as it should
fn neither_keys_of_push_services_nor_how_devices_are_reached_are_told() {
    let cli = Cli::new();
    let phones = Phones::open(&cli);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    phones.ask(&json!({"now_s": now}));
    let services = [
        ["--push-contact", "mailto:ops@market.example"],
        ["--push-fcm", "service-account.json"],
        ["--push-fcm-url", phones.base.as_str()],
        ["--push-apns", "apns.p8"],
        ["--push-apns-key-id", "ABC123DEFG"],
        ["--push-apns-team-id", "DEF123GHIJ"],
        ["--push-apns-topic", "com.example.market"],
        ["--push-apns-url", phones.base.as_str()],
        ["--push-ca", "cert.pem"],
    ];
    // sled knows nothing of it, and what it says while a thread ends finds the logger gone.
    let up = cli.up_in(&[("RUST_LOG", "trace,sled=off")], &services.concat());
    let url = up.url();
    let registered = |name: &str, role: &str| -> Value {
        cli.ok(&["keys", "new", name]);
        cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
        cli.json(&["keys", "show", name, "--json"])["account"].clone()
    };
    let (alice, _) = (registered("alice", "buyer"), registered("shop", "seller"));
    let send = |name: &str, command: &str, body: Value, personal: &[(&[u8; 16], &str)]| -> Value {
        let salted = personal
            .iter()
            .map(|(salt, value)| json!({"salt": URL_SAFE_NO_PAD.encode(salt), "value": value}));
        let wish = json!({"command": command, "body": body, "personal": salted.collect::<Vec<_>>()});
        let file = cli.write("wish.json", &wish.to_string());
        cli.json(&["send", "--json", "--url", &url, "--key", name, &file])
    };
    let devices = [
        ("shop", "fcm", format!("cTrR0XzLQvKdQbW1yGm2aB:APA91b{}", Uuid::now_v7().simple())),
        ("alice", "apns", format!("{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple())),
    ];
    for (name, channel, how) in &devices {
        let salt: [u8; 16] = *Uuid::now_v7().as_bytes();
        let target = Personal { salt, value: how.clone().into_bytes() }.hash();
        let body = json!({"subscription": Uuid::now_v7(), "channel": channel, "target": target});
        send(name, "push.subscribe", body, &[(&salt, how)]);
    }
    let (listing, price) = (Uuid::now_v7(), json!({"minor": 100, "currency": "USD"}));
    let fund = json!({"account": alice, "amount": price, "reference": "card 1"});
    send("shop", "listing.create", json!({"listing": listing, "title": "A record", "price": price}), &[]);
    send("shop", "stock.receive", json!({"listing": listing, "quantity": 1}), &[]);
    send("provider", "wallet.fund", fund, &[]);
    let lines = json!([{"listing": listing, "quantity": 1}]);
    let order = json!({"lines": lines, "total": price, "payment_method": "wallet"});
    let receipt = send("alice", "order.place", order, &[]);
    let mut events = receipt["receipt"]["events"].as_array().unwrap().iter();
    let placed = events.find(|event| event["type"] == "order.placed.v1").unwrap();
    send("shop", "order.ship", json!({"order": placed["subject"]}), &[]);
    let log = phones.taken();
    let mut said = up.said.clone();
    let (status, rest) = up.interrupt();
    assert!(status.success(), "{rest}");
    said.push_str(&rest);
    assert!(said.contains("TRACE") && said.contains("h2"), "it said much: {}", said.len());

    let mut secrets: Vec<String> = devices.into_iter().map(|(.., how)| how).collect();
    for entry in &log {
        if let Some(word) = entry["headers"]["authorization"].as_str() {
            secrets.push(word.split(' ').next_back().unwrap().to_owned());
        }
    }
    assert_eq!(secrets.len(), 4, "both devices, an access token, a word for APNs");
    let read = |file: &str| std::fs::read_to_string(cli.path(file)).unwrap();
    let account: Value = serde_json::from_str(&read("service-account.json")).unwrap();
    for pem in [account["private_key"].as_str().unwrap(), &read("apns.p8")] {
        // Its second line: the first is the same in all keys.
        secrets.push(pem.lines().nth(2).unwrap().to_owned());
    }
    for secret in secrets {
        if let Some(at) = said.find(&secret) {
            let around: String =
                said[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("a secret of {} bytes was told behind: {around}", secret.len());
        }
    }
}

#[test]
#[allow(clippy::unwrap_used)] // a test that panics has failed, as it should
fn a_key_that_is_none_is_refused_without_a_word_of_it() {
    let cli = Cli::new();
    let file = cli.write("key", "hunter2");
    let contact = ["up", "--listen", "127.0.0.1:0", "--push-contact", "mailto:ops@market.example"];
    let apns = ["--push-apns-key-id", "A", "--push-apns-team-id", "B", "--push-apns-topic", "c.d"];
    let fcm = cli.ends(2, &[&contact[..], &["--push-fcm", &file]].concat());
    let apns = cli.ends(2, &[&contact[..], &apns, &["--push-apns", &file]].concat());
    for ((stdout, stderr), word) in [(fcm, "service account"), (apns, ".p8")] {
        assert!(stderr.contains(word) && stderr.contains("can't be set up with key"), "{stderr}");
        assert!(!stderr.contains("hunter2") && !stdout.contains("hunter2"), "{stderr}");
    }
}
