//! Web Push: browsers, through the services that their makers run (RFC 8030), who this is by a signed word (VAPID, RFC 8292).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::crypto::SigningKey;
use commands::personal::push_target;
use events::account::PublicKey;
use events::push::Channel;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::encrypt::encrypt;
use super::{Notification, Outcome, PushService, jwt};
use crate::outside::{NotSent, Outside, Sent};

/// How long the word is good that says who this is, in seconds; a day at most.
const WORD_S: u64 = 12 * 3_600;
/// Longest topic (RFC 8030).
const TOPIC_LENGTH_MAX: usize = 32;

/// Sends to browsers.
pub(super) struct WebPush {
    outside: Outside,
    key: SigningKey,
    /// Whom a service asks when something is wrong: `mailto:…` or `https://…`.
    contact: String,
}

impl WebPush {
    pub(super) fn new(key: SigningKey, contact: String, allows_private: bool, time_max: Duration) -> WebPush {
        WebPush { outside: Outside::new(allows_private, time_max), key, contact }
    }

    /// Says who this is to whom a URL leads. The time is the world's, since the service judges by it.
    fn word(&self, endpoint: &Url, now: SystemTime) -> Option<String> {
        let now_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let audience = endpoint.origin().ascii_serialization();
        let claims = json!({"aud": audience, "exp": now_s + WORD_S, "sub": self.contact});
        let header = json!({"alg": "ES256", "typ": "JWT"});
        let signed = jwt::signed(&header, &claims, |text| Ok(self.key.sign(text).to_vec())).ok()?;
        Some(format!("vapid t={signed}, k={}", public_key(&self.key)))
    }

    fn headers(&self, endpoint: &Url, notification: &Notification) -> Option<HeaderMap> {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let mut topic = URL_SAFE_NO_PAD.encode(notification.collapse);
        topic.truncate(TOPIC_LENGTH_MAX);
        let urgency = if notification.is_urgent { "high" } else { "normal" };
        Some(HeaderMap::from_iter([
            (AUTHORIZATION, value(&self.word(endpoint, SystemTime::now())?)?),
            (CONTENT_ENCODING, HeaderValue::from_static("aes128gcm")),
            (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (HeaderName::from_static("ttl"), value(&notification.ttl_s.to_string())?),
            (HeaderName::from_static("topic"), value(&topic)?),
            (HeaderName::from_static("urgency"), HeaderValue::from_static(urgency)),
        ]))
    }
}

/// Gives a key as browsers take it (`applicationServerKey`).
///
/// # Panics
/// If the key is of another curve than P-256.
pub(super) fn public_key(key: &SigningKey) -> String {
    let PublicKey::P256(x, y) = key.public() else { panic!("the key of Web Push is one of P-256") };
    URL_SAFE_NO_PAD.encode([&[4][..], &x, &y].concat())
}

#[async_trait]
impl PushService for WebPush {
    fn channel(&self) -> Channel {
        Channel::Web
    }

    async fn send(&self, target: &[u8], notification: &Notification) -> Outcome {
        let Some(target) = push_target(target) else { return Outcome::Gone };
        // What can't be encrypted for it, it could not read.
        let Ok(encrypted) = encrypt(&target, notification.text.as_bytes()) else {
            return Outcome::Gone;
        };
        let Ok(url) = Url::parse(&target.endpoint) else { return Outcome::Gone };
        let Some(headers) = self.headers(&url, notification) else { return Outcome::Refused(None) };
        match self.outside.post(&target.endpoint, headers, encrypted.into()).await {
            Sent::Answered { status: status @ 200..300, .. } => Outcome::Taken(status),
            Sent::Answered { status: 404 | 410, .. } => Outcome::Gone,
            Sent::Answered { status: status @ (429 | 500..), retry_after_s } => {
                Outcome::Again { status: Some(status), error: None, after_s: retry_after_s }
            }
            Sent::Answered { status, .. } => Outcome::Refused(Some(status)),
            Sent::Not(NotSent::NotAllowed) => Outcome::Gone,
            Sent::Not(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use commands::crypto::VerifyingKey;
    use events::account::Algorithm;

    use super::*;

    #[test]
    fn who_this_is_is_said_to_one_service_and_not_for_long() {
        let key = SigningKey::from_seed(Algorithm::Es256, [7; 32]).unwrap();
        let verifier = VerifyingKey::new(&key.public()).unwrap();
        let contact = "mailto:ops@market.example".to_owned();
        let web = WebPush::new(key, contact, false, Duration::from_secs(1));
        let endpoint = Url::parse("https://push.example:8443/a/b?c=d").unwrap();
        let word = web.word(&endpoint, UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
        let (token, shown) = word.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(shown, public_key(&web.key));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        verifier.verify(signed.as_bytes(), &signature).unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        let claims: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let expected =
            json!({"aud": "https://push.example:8443", "exp": 1_043_200, "sub": "mailto:ops@market.example"});
        assert_eq!(claims, expected);
    }
}
