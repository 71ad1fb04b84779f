//! Firebase Cloud Messaging: apps, mostly on Android, by its HTTP v1 interface. Who this is, Google is told once an hour by a word that a
//! service account's key signs (RFC 7523), and gives an access token for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::personal::fcm_token;
use engine::clock::Clock;
use engine::providers::Secret;
use events::Timestamp;
use events::push::Channel;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::link::{Answer, Link, Proven, Roots, SetUpError, address};
use super::{Notification, Outcome, PushService, jwt};

/// Where FCM is.
pub const FCM_URL: &str = "https://fcm.googleapis.com";
/// What the market may do with an access token.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long the word is good by which an access token is asked for, in seconds: an hour at most.
const WORD_S: i64 = 3_600;
/// How long before its end an access token is used no more, in seconds.
const MARGIN_S: i64 = 60;
/// How long Google is left alone when it gave no access token, in milliseconds: each message would ask for one.
const PAUSE_MS: i64 = 10_000;
/// Letters of an installation id of Firebase, by which newer apps are reached; a registration token has many more.
const INSTALLATION_ID_LENGTH: usize = 22;
/// How long FCM wants to be left alone when a quota is used up and it does not say, in seconds.
const QUOTA_S: u64 = 60;

/// How FCM is asked.
#[derive(Clone)]
pub struct FcmConfig {
    email: String,
    key_id: String,
    key: Arc<KeyPair>,
    token_url: Url,
    send_url: Url,
    link: Link,
}

/// Writes nothing of the key.
impl std::fmt::Debug for FcmConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FcmConfig").field("url", &self.send_url.as_str()).finish_non_exhaustive()
    }
}

/// The key of a service account, as Google gives it.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key_id: String,
    private_key: String,
    token_uri: String,
}

impl FcmConfig {
    /// Takes the key of a service account, the JSON that Google gives, and where FCM is.
    pub fn new(service_account: &Secret, url: &str, roots: &Roots) -> Result<FcmConfig, SetUpError> {
        // What is wrong with it is not said: that could be a part of the key.
        let account: ServiceAccount =
            serde_json::from_str(service_account.reveal()).map_err(|_| SetUpError::ServiceAccount)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.as_bytes());
        let der = der.map_err(|_| SetUpError::ServiceAccount)?;
        let key = KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| SetUpError::ServiceAccount)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
        if account.project_id.is_empty() || !account.project_id.bytes().all(is_name) {
            return Err(SetUpError::ServiceAccount);
        }
        let mut send_url = address(url)?;
        send_url.set_path(&format!("/v1/projects/{}/messages:send", account.project_id));
        Ok(FcmConfig {
            email: account.client_email,
            key_id: account.private_key_id,
            key: Arc::new(key),
            token_url: address(&account.token_uri)?,
            send_url,
            link: Link::new(roots)?,
        })
    }

    /// Asks for an access token, as the account whose key signs it.
    fn word(&self, now: Timestamp) -> Result<String, Unspecified> {
        let now_s = now.ms().div_euclid(1_000);
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_url.as_str(), "iat": now_s, "exp": now_s + WORD_S,
        });
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        jwt::signed(&header, &claims, |text| {
            let mut signature = vec![0; self.key.public_modulus_len()];
            self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)?;
            Ok(signature)
        })
    }
}

/// Sends to apps by FCM.
pub(super) struct Fcm {
    config: FcmConfig,
    time_max: Duration,
    /// The world's time, by which Google judges.
    world: Arc<dyn Clock>,
    /// Held while one is asked for, so that the others wait for that one.
    access: Mutex<Access>,
    /// What it sends is of the right form once it had a message taken, and the project the right one.
    proven: Proven,
}

#[derive(Default)]
struct Access {
    /// The access token, and until when it is used.
    token: Option<(HeaderValue, Timestamp)>,
    /// What came of asking for one in vain, and until when that is not tried again.
    failed: Option<(Outcome, Timestamp)>,
}

/// What Google gives for a word.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: i64,
}

impl Fcm {
    pub(super) fn new(config: FcmConfig, time_max: Duration, world: Arc<dyn Clock>) -> Fcm {
        Fcm { config, time_max, world, access: Mutex::default(), proven: Proven::default() }
    }

    /// Gives an access token that is not the one that was refused, asking for one if there is none.
    async fn access(&self, refused: Option<&HeaderValue>) -> Result<HeaderValue, Outcome> {
        let mut access = self.access.lock().await;
        let now = self.world.now();
        let is_good = |(token, until): &(HeaderValue, Timestamp)| now < *until && Some(token) != refused;
        access.token = access.token.take().filter(is_good);
        if let Some((token, _)) = &access.token {
            return Ok(token.clone());
        }
        if let Some((failed, _)) = access.failed.filter(|(_, until)| now < *until) {
            return Err(failed);
        }
        match self.ask_for_access(now).await {
            Ok((token, until)) => {
                *access = Access { token: Some((token.clone(), until)), failed: None };
                Ok(token)
            }
            Err(failed) => {
                access.failed = Some((failed, now.plus_ms(PAUSE_MS)));
                Err(failed)
            }
        }
    }

    async fn ask_for_access(&self, now: Timestamp) -> Result<(HeaderValue, Timestamp), Outcome> {
        let word = self.config.word(now).map_err(|_| Outcome::Refused(None))?;
        // Base64url and points are written in a form as they are.
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={word}");
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let asked = self.config.link.post(self.config.token_url.clone(), headers, form, self.time_max).await;
        let answer = asked?;
        let given = serde_json::from_value(answer.body.clone()).ok().filter(|_| answer.status == 200);
        let token = given.and_then(|given: Given| {
            let mut token = HeaderValue::try_from(format!("Bearer {}", given.access_token)).ok()?;
            token.set_sensitive(true);
            let ms = given.expires_in.saturating_sub(MARGIN_S).clamp(0, WORD_S).saturating_mul(1_000);
            Some((token, now.plus_ms(ms)))
        });
        token.ok_or_else(|| {
            tracing::error!(
                status = answer.status,
                code = answer.body["error"].as_str().filter(|code| is_code(code)),
                "Google gives no access token for FCM: see that the service account's key was not deleted and that this machine's clock is right"
            );
            Outcome::Again { status: Some(answer.status), error: None, after_s: answer.retry_after_s }
        })
    }

    async fn post(&self, access: &HeaderValue, message: &Value) -> Result<Answer, Outcome> {
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, access.clone()),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let (url, body) = (self.config.send_url.clone(), message.to_string());
        Ok(self.config.link.post(url, headers, body, self.time_max).await?)
    }

    /// Sends a message; with a new access token if the one at hand is refused, once.
    async fn send_message(&self, message: &Value) -> Result<Answer, Outcome> {
        let access = self.access(None).await?;
        let answer = self.post(&access, message).await?;
        if answer.status != 401 || code(&answer.body) == "THIRD_PARTY_AUTH_ERROR" {
            return Ok(answer);
        }
        let access = self.access(Some(&access)).await?;
        self.post(&access, message).await
    }
}

/// Writes a message. Values of its data are texts.
fn message(token: &str, notification: &Notification) -> Option<Value> {
    let told: Map<String, Value> = serde_json::from_str(&notification.text).ok()?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let data: Map<String, Value> =
        told.into_iter().map(|(name, value)| (name, Value::String(text(value)))).collect();
    let by = if token.len() == INSTALLATION_ID_LENGTH { "fid" } else { "token" };
    Some(json!({"message": {
        by: token,
        "data": data,
        "android": {
            "collapseKey": URL_SAFE_NO_PAD.encode(notification.collapse),
            "priority": if notification.is_urgent { "HIGH" } else { "NORMAL" },
            "ttl": format!("{}s", notification.ttl_s),
        },
    }}))
}

/// The parts of an error that say more than its status.
fn details(body: &Value) -> impl Iterator<Item = &Value> {
    body["error"]["details"].as_array().into_iter().flatten()
}

/// Gives the code of an error: FCM's own, or that of Google's services.
fn code(body: &Value) -> &str {
    let own = details(body).find_map(|detail| detail["errorCode"].as_str());
    let code = own.or_else(|| body["error"]["status"].as_str());
    code.filter(|code| is_code(code)).unwrap_or("unknown")
}

/// Tells whether something is a code and no more, that may stand in a log.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Tells whether it is the device that is wrong with a message, as far as FCM says so: by the field, or by an error of its own
/// that names no other. Whatever else is wrong it names by the field alone.
fn is_about_device(body: &Value) -> bool {
    let mut fields =
        details(body).flat_map(|detail| detail["fieldViolations"].as_array().into_iter().flatten());
    let names_no_other =
        fields.all(|field| field["field"] == "message.token" || field["field"] == "message.fid");
    names_no_other && details(body).any(|detail| detail["errorCode"] == "INVALID_ARGUMENT")
}

/// Says what an answer comes to. `has_sent`: whether a message was taken before.
fn outcome(answer: &Answer, has_sent: bool) -> Outcome {
    let (status, code) = (answer.status, code(&answer.body));
    let again = |after_s| Outcome::Again { status: Some(status), error: None, after_s };
    match status {
        200..300 => Outcome::Taken(status),
        404 if code == "UNREGISTERED" => Outcome::Gone,
        // If none was taken yet, it may be that what is sent is wrong, and no device is forgotten for that.
        400 if has_sent && is_about_device(&answer.body) => Outcome::Gone,
        429 => again(answer.retry_after_s.or(Some(QUOTA_S))),
        500.. => again(answer.retry_after_s),
        403 if code == "SENDER_ID_MISMATCH" => {
            tracing::warn!(
                "FCM refuses a device: its app is of another Firebase project than the service account"
            );
            Outcome::Refused(Some(status))
        }
        401 if code == "THIRD_PARTY_AUTH_ERROR" => {
            tracing::warn!(
                "FCM can't reach a device by APNs or Web Push: give the Firebase project their keys, or have the app subscribe by apns or web"
            );
            Outcome::Refused(Some(status))
        }
        // These an operator can mend meanwhile.
        401 | 403 | 404 => {
            tracing::error!(
                status,
                code,
                "FCM refuses this market: see that the project has the interface enabled and that the service account may send messages"
            );
            again(answer.retry_after_s)
        }
        _ => Outcome::Refused(Some(status)),
    }
}

#[async_trait]
impl PushService for Fcm {
    fn channel(&self) -> Channel {
        Channel::Fcm
    }

    async fn send(&self, target: &[u8], notification: &Notification) -> Outcome {
        let Some(token) = fcm_token(target) else { return Outcome::Gone };
        let Some(message) = message(token, notification) else { return Outcome::Refused(None) };
        self.proven.outcome(self.send_message(&message).await, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, name: &str, details: Value) -> Answer {
        let error = json!({"code": status, "message": "…", "status": name, "details": details});
        Answer { status, retry_after_s: None, body: json!({"error": error}) }
    }

    fn fcm(code: &str) -> Value {
        json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    }

    fn field(name: &str) -> Value {
        let violations = json!([{"field": name, "description": "…"}]);
        json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    }

    fn again(status: u16, after_s: Option<u64>) -> Outcome {
        Outcome::Again { status: Some(status), error: None, after_s }
    }

    /// The errors are those of "FCM error codes" and of `ErrorCode` in its reference.
    #[test]
    fn what_fcm_answers_says_whether_a_device_is_gone_or_who_is_to_do_something() {
        let refused = |status| Outcome::Refused(Some(status));
        let cases = [
            (error(404, "NOT_FOUND", json!([fcm("UNREGISTERED")])), Outcome::Gone),
            (error(404, "NOT_FOUND", json!([])), again(404, None)),
            (error(400, "INVALID_ARGUMENT", json!([fcm("INVALID_ARGUMENT")])), Outcome::Gone),
            (
                error(400, "INVALID_ARGUMENT", json!([fcm("INVALID_ARGUMENT"), field("message.token")])),
                Outcome::Gone,
            ),
            (
                error(
                    400,
                    "INVALID_ARGUMENT",
                    json!([fcm("INVALID_ARGUMENT"), field("message.android.ttl")]),
                ),
                refused(400),
            ),
            (error(400, "INVALID_ARGUMENT", json!([field("message.data[0].value")])), refused(400)),
            (error(400, "INVALID_ARGUMENT", json!([])), refused(400)),
            (error(403, "PERMISSION_DENIED", json!([fcm("SENDER_ID_MISMATCH")])), refused(403)),
            (error(403, "PERMISSION_DENIED", json!([])), again(403, None)),
            (error(401, "UNAUTHENTICATED", json!([fcm("THIRD_PARTY_AUTH_ERROR")])), refused(401)),
            (error(401, "UNAUTHENTICATED", json!([])), again(401, None)),
            (error(429, "RESOURCE_EXHAUSTED", json!([fcm("QUOTA_EXCEEDED")])), again(429, Some(QUOTA_S))),
            (error(500, "INTERNAL", json!([fcm("INTERNAL")])), again(500, None)),
            (
                Answer { retry_after_s: Some(7), ..error(503, "UNAVAILABLE", json!([fcm("UNAVAILABLE")])) },
                again(503, Some(7)),
            ),
            (Answer { status: 502, retry_after_s: None, body: Value::Null }, again(502, None)),
        ];
        for (answer, expected) in cases {
            assert_eq!(outcome(&answer, true), expected, "{answer:?}");
        }
    }

    #[test]
    fn an_app_is_named_by_its_installation_or_by_its_registration() {
        let text = r#"{"type": "order.shipped.v2", "position": 7, "order": "o"}"#.to_owned();
        let notification = Notification { text, collapse: [7; 24], is_urgent: false, ttl_s: 60 };
        let installation = message("cTrR0XzLQvKdQbW1yGm2aB", &notification).unwrap();
        assert_eq!(installation["message"]["fid"], "cTrR0XzLQvKdQbW1yGm2aB");
        let registration = message("cTrR0XzLQvKdQbW1yGm2aB:APA91bH", &notification).unwrap();
        assert_eq!(registration["message"]["token"], "cTrR0XzLQvKdQbW1yGm2aB:APA91bH");
        assert!(registration["message"]["fid"].is_null());
    }

    #[test]
    fn no_device_is_forgotten_while_it_may_be_the_market_that_is_wrong() {
        let answer = error(400, "INVALID_ARGUMENT", json!([fcm("INVALID_ARGUMENT")]));
        assert_eq!(outcome(&answer, false), Outcome::Refused(Some(400)));
        let answer = error(404, "NOT_FOUND", json!([fcm("UNREGISTERED")]));
        assert_eq!(outcome(&answer, false), Outcome::Gone);
    }
}
