//! The Apple Push Notification service: apps on Apple's devices, by HTTP/2. Who this is, it is told with each message by a word that a
//! key of the developer's signs, the same for most of an hour.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::personal::apns_token;
use engine::clock::Clock;
use engine::providers::Secret;
use events::Timestamp;
use events::push::Channel;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use super::link::{Answer, Link, Proven, Roots, SetUpError, address};
use super::{Notification, Outcome, PushService, jwt};

/// Where APNs is. Apps that are being developed are reached at `https://api.sandbox.push.apple.com`.
pub const APNS_URL: &str = "https://api.push.apple.com";
/// How old the word becomes, in milliseconds: APNs takes none that is older than an hour.
const WORD_MS: i64 = 40 * 60_000;
/// How long no other word is made after one, in milliseconds: APNs wants none more often.
const WORD_MS_MIN: i64 = 20 * 60_000;

/// How APNs is asked.
#[derive(Clone)]
pub struct ApnsConfig {
    key: Arc<EcdsaKeyPair>,
    key_id: String,
    team_id: String,
    topic: HeaderValue,
    url: Url,
    link: Link,
}

/// Writes nothing of the key.
impl std::fmt::Debug for ApnsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApnsConfig").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Whose the key is, and of which app the messages are.
#[derive(Debug, Clone, Copy)]
pub struct ApnsNames<'a> {
    /// The key's id.
    pub key_id: &'a str,
    /// The id of the developer's team.
    pub team_id: &'a str,
    /// The app's bundle id.
    pub topic: &'a str,
}

impl ApnsConfig {
    /// Takes the key that Apple gives, in PEM, and where APNs is.
    pub fn new(
        key: &Secret,
        names: ApnsNames<'_>,
        url: &str,
        roots: &Roots,
    ) -> Result<ApnsConfig, SetUpError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(key.reveal().as_bytes());
        let der = der.map_err(|_| SetUpError::ApnsKey)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der());
        let key = key.map_err(|_| SetUpError::ApnsKey)?;
        let named = |text: &str, what| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
            let fits = (1..=255).contains(&text.len()) && text.bytes().all(is_part);
            let wrong = || SetUpError::Name(text.chars().take(40).collect(), what);
            if fits { Ok(text.to_owned()) } else { Err(wrong()) }
        };
        let topic = named(names.topic, "bundle id")?;
        let topic = HeaderValue::from_str(&topic).map_err(|_| SetUpError::Name(topic, "bundle id"))?;
        Ok(ApnsConfig {
            key: Arc::new(key),
            key_id: named(names.key_id, "id of a key")?,
            team_id: named(names.team_id, "id of a team")?,
            topic,
            url: address(url)?,
            link: Link::http2(roots)?,
        })
    }

    fn word(&self, now: Timestamp) -> Result<HeaderValue, Unspecified> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.key_id});
        let claims = json!({"iss": self.team_id, "iat": now.ms().div_euclid(1_000)});
        let signed = jwt::signed(&header, &claims, |text| {
            Ok(self.key.sign(&SystemRandom::new(), text)?.as_ref().to_vec())
        })?;
        let mut word = HeaderValue::try_from(format!("bearer {signed}")).map_err(|_| Unspecified)?;
        word.set_sensitive(true);
        Ok(word)
    }
}

/// Sends to apps by APNs.
pub(super) struct Apns {
    config: ApnsConfig,
    time_max: Duration,
    /// The world's time, by which APNs judges.
    world: Arc<dyn Clock>,
    /// The word in use, and when it was made.
    word: Mutex<Option<(HeaderValue, Timestamp)>>,
    /// It asks the right host, for the right app, once it had a message taken.
    proven: Proven,
}

impl Apns {
    pub(super) fn new(config: ApnsConfig, time_max: Duration, world: Arc<dyn Clock>) -> Apns {
        Apns { config, time_max, world, word: Mutex::default(), proven: Proven::default() }
    }

    /// Gives the word to use that is not the one that was refused; none: there may be no other yet, or it can't be signed.
    fn word(&self, refused: Option<&HeaderValue>, now: Timestamp) -> Option<HeaderValue> {
        let mut held = self.word.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((word, made)) = held.as_ref() {
            let age_ms = now.ms_since(*made);
            let is_refused = Some(word) == refused;
            if is_refused && (0..WORD_MS_MIN).contains(&age_ms) {
                return None;
            }
            if !is_refused && (0..WORD_MS).contains(&age_ms) {
                return Some(word.clone());
            }
        }
        let word = self.config.word(now).ok()?;
        *held = Some((word.clone(), now));
        Some(word)
    }

    async fn post(&self, word: HeaderValue, message: &Message) -> Result<Answer, Outcome> {
        let mut headers = message.headers.clone();
        headers.insert(AUTHORIZATION, word);
        let (url, body) = (message.url.clone(), message.body.clone());
        Ok(self.config.link.post(url, headers, body, self.time_max).await?)
    }

    /// Sends a message; with another word if the one at hand has expired, once.
    async fn send_message(&self, message: &Message) -> Result<Answer, Outcome> {
        let word = self.word(None, self.world.now()).ok_or(Outcome::Refused(None))?;
        let answer = self.post(word.clone(), message).await?;
        if reason(&answer.body) != "ExpiredProviderToken" {
            return Ok(answer);
        }
        match self.word(Some(&word), self.world.now()) {
            Some(word) => self.post(word, message).await,
            None => Ok(answer),
        }
    }

    fn message(&self, token: &str, notification: &Notification) -> Option<Message> {
        let mut body: Map<String, Value> = serde_json::from_str(&notification.text).ok()?;
        // What is shown is the app's: it has a text for each type, and may ask for more before it is shown.
        let type_name = body.get("type")?.as_str()?;
        let key = type_name.rsplit_once(".v").map_or(type_name, |(name, _)| name).to_owned();
        body.insert("aps".to_owned(), json!({"alert": {"loc-key": key}, "mutable-content": 1}));
        let mut url = self.config.url.clone();
        url.set_path(&format!("/3/device/{token}"));
        let ends = self.world.now().ms().div_euclid(1_000) + i64::try_from(notification.ttl_s).ok()?;
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("apns-topic"), self.config.topic.clone()),
            (HeaderName::from_static("apns-push-type"), HeaderValue::from_static("alert")),
            (
                HeaderName::from_static("apns-priority"),
                HeaderValue::from_static(if notification.is_urgent { "10" } else { "5" }),
            ),
            (HeaderName::from_static("apns-expiration"), value(&ends.to_string())?),
            (
                HeaderName::from_static("apns-collapse-id"),
                value(&URL_SAFE_NO_PAD.encode(notification.collapse))?,
            ),
        ]);
        Some(Message { url, headers, body: Value::Object(body).to_string() })
    }
}

/// A message but for who sends it.
struct Message {
    url: Url,
    headers: HeaderMap,
    body: String,
}

/// Gives why APNs refused something, a word that may stand in a log.
fn reason(body: &Value) -> &str {
    let is_word = |text: &&str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    body["reason"].as_str().filter(is_word).unwrap_or("unknown")
}

/// Says what an answer comes to. `has_sent`: whether a message was taken before.
fn outcome(answer: &Answer, has_sent: bool) -> Outcome {
    let (status, reason) = (answer.status, reason(&answer.body));
    match (status, reason) {
        (200, _) => Outcome::Taken(status),
        (410, _) => Outcome::Gone,
        // If none was taken yet, it may be that all are asked for at the wrong host, and no device is forgotten for that.
        (400, "BadDeviceToken") if has_sent => Outcome::Gone,
        (400, "BadDeviceToken" | "DeviceTokenNotForTopic" | "BadTopic" | "TopicDisallowed") => {
            tracing::warn!(
                reason,
                "APNs refuses a device: see that the app's bundle id and the host, production or sandbox, are its own"
            );
            Outcome::Refused(Some(status))
        }
        (403 | 429 | 500.., _) => {
            if status == 403 {
                tracing::error!(
                    reason,
                    "APNs refuses this market: see that the key, its id and the team's are right, that the key was not revoked and that this machine's clock is right"
                );
            }
            Outcome::Again { status: Some(status), error: None, after_s: answer.retry_after_s }
        }
        _ => Outcome::Refused(Some(status)),
    }
}

#[async_trait]
impl PushService for Apns {
    fn channel(&self) -> Channel {
        Channel::Apns
    }

    async fn send(&self, target: &[u8], notification: &Notification) -> Outcome {
        let Some(token) = apns_token(target) else { return Outcome::Gone };
        let Some(message) = self.message(token, notification) else { return Outcome::Refused(None) };
        self.proven.outcome(self.send_message(&message).await, outcome)
    }
}

#[cfg(test)]
mod tests {
    use engine::clock::ManualClock;

    use super::*;

    /// The statuses and reasons are those of "Handling notification responses from APNs".
    #[test]
    fn what_apns_answers_says_whether_a_device_is_gone_or_who_is_to_do_something() {
        let refused = |status| Outcome::Refused(Some(status));
        let again = |status| Outcome::Again { status: Some(status), error: None, after_s: None };
        let cases = [
            (410, "Unregistered", Outcome::Gone),
            (410, "ExpiredToken", Outcome::Gone),
            (400, "BadDeviceToken", Outcome::Gone),
            (400, "DeviceTokenNotForTopic", refused(400)),
            (400, "BadCollapseId", refused(400)),
            (413, "PayloadTooLarge", refused(413)),
            (403, "ExpiredProviderToken", again(403)),
            (403, "InvalidProviderToken", again(403)),
            (404, "BadPath", refused(404)),
            (429, "TooManyRequests", again(429)),
            (429, "TooManyProviderTokenUpdates", again(429)),
            (500, "InternalServerError", again(500)),
            (503, "ServiceUnavailable", again(503)),
        ];
        for (status, reason, expected) in cases {
            let answer = Answer { status, retry_after_s: None, body: json!({"reason": reason}) };
            assert_eq!(outcome(&answer, true), expected, "{status} {reason}");
        }
        let answer = Answer { status: 400, retry_after_s: None, body: json!({"reason": "BadDeviceToken"}) };
        assert_eq!(outcome(&answer, false), refused(400), "it may be the host that is wrong");
    }

    #[test]
    fn the_word_is_used_for_forty_minutes_and_no_other_is_made_within_twenty() {
        let rng = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref()).unwrap();
        let config = ApnsConfig {
            key: Arc::new(key),
            key_id: "ABC123DEFG".to_owned(),
            team_id: "DEF123GHIJ".to_owned(),
            topic: HeaderValue::from_static("com.example.market"),
            url: address(APNS_URL).unwrap(),
            link: Link::http2(&Roots::default()).unwrap(),
        };
        let apns = Apns::new(config, Duration::from_secs(1), Arc::new(ManualClock::default()));
        let at = |minutes: i64| Timestamp::from_ms(minutes * 60_000);
        let first = apns.word(None, at(0)).unwrap();
        assert_eq!(apns.word(None, at(39)).unwrap(), first);
        assert_eq!(apns.word(Some(&first), at(19)), None);
        let second = apns.word(Some(&first), at(20)).unwrap();
        assert_ne!(second, first);
        // Whoever had the one before refused meanwhile takes the one that is there.
        assert_eq!(apns.word(Some(&first), at(21)).unwrap(), second);
        assert_eq!(apns.word(None, at(59)).unwrap(), second);
        assert_ne!(apns.word(None, at(60)).unwrap(), second);
    }
}
