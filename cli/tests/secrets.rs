//! No secret gets into what the program says, however much it is asked to say.

mod common;

use common::Cli;
use serde_json::{Value, json};

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
