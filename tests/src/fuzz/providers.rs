//! Messages at the webhooks of payment providers.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use engine::clock::WallClock;
use engine::providers::sandbox::{SIGNATURE_HEADER, Sandbox};
use engine::providers::stripe::Stripe;
use engine::providers::{Notice, PaymentProvider, Secret, WebhookError};
use events::Timestamp;

const SECRET: &str = "whsec_test";
const NOW: Timestamp = Timestamp::from_ms(1_753_783_200_000);

static STRIPE: LazyLock<Stripe> = LazyLock::new(|| {
    let stripe = Stripe::new("http://127.0.0.1:1", Secret::new("sk_test_0"), Some(Secret::new(SECRET)));
    stripe.expect("the address is one of this machine")
});

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::open(None, Arc::new(WallClock)).expect("it has no file").0);

/// The first line is the header of the signature and the rest the message; then the same message is signed. Nothing is taken
/// unsigned, and what is signed is read or refused.
pub(super) fn webhook(input: &[u8]) {
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, rest) = input.split_at(line);
    let body = rest.get(1..).unwrap_or_default();
    let header = String::from_utf8_lossy(header);
    for (provider, secret, name) in providers() {
        let seconds = NOW.ms() / 1000;
        let good = signature(body, secret, seconds);
        let is_good = header.contains(&good) && header.contains(&format!("t={seconds}"));
        let unsigned = read(provider, name, &header, body);
        assert!(is_good || unsigned.is_err(), "nobody signed this");
        let signed = read(provider, name, &format!("t={seconds},v1={good}"), body);
        assert!(!matches!(signed, Err(WebhookError::Signature | WebhookError::Time(_))), "it is signed now");
        let late = format!("t={},v1={}", seconds - 301, signature(body, secret, seconds - 301));
        assert!(matches!(read(provider, name, &late, body), Err(WebhookError::Time(_))), "it is a replay");
    }
}

fn providers() -> [(&'static dyn PaymentProvider, &'static str, &'static str); 2] {
    [(&*STRIPE, SECRET, "stripe-signature"), (&*SANDBOX, "sandbox", SIGNATURE_HEADER)]
}

fn read(
    provider: &dyn PaymentProvider,
    name: &str,
    value: &str,
    body: &[u8],
) -> Result<Notice, WebhookError> {
    provider.read_webhook(&|asked| (asked == name).then(|| value.to_owned()), body, NOW)
}

fn signature(body: &[u8], secret: &str, seconds: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let message = [format!("{seconds}.").as_bytes(), body].concat();
    hex::encode(hmac::sign(&key, &message).as_ref())
}

/// A message of each kind, unsigned and signed.
pub(super) fn webhook_seeds() -> Vec<Vec<u8>> {
    let id = "0190b5a0-7c00-7000-8000-0000000000f1";
    let bodies = [
        format!(
            r#"{{"id":"evt_1","data":{{"object":{{"object":"payment_intent","id":"pi_1","metadata":{{"payment":"{id}"}}}}}}}}"#
        ),
        format!(
            r#"{{"id":"evt_2","data":{{"object":{{"object":"payout","id":"po_1","metadata":{{"payout":"{id}"}}}}}}}}"#
        ),
        format!(r#"{{"id":"m1","payment":"{id}","reference":"sbx_1"}}"#),
        "{}".to_owned(),
    ];
    let seconds = NOW.ms() / 1000;
    let of = |body: String| {
        let good = signature(body.as_bytes(), SECRET, seconds);
        let headers =
            [format!("t={seconds},v1={good}"), format!("t={seconds},v1=00,v0={good}"), "t=-1,v1=".to_owned()];
        headers.map(|header| format!("{header}\n{body}").into_bytes())
    };
    bodies.into_iter().flat_map(of).collect()
}
