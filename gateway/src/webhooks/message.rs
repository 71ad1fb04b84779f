//! What is sent: an event in the JSON form of CloudEvents, signed as Standard Webhooks says.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::vault::Zeroizing;
use events::{Commit, Position, Recorded, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::stream::cloud_event;

/// A message.
pub(super) struct Message {
    /// The event's id, the same however often it is sent.
    pub(super) id: String,
    /// Where the event stands.
    pub(super) position: Position,
    /// Its type.
    pub(super) type_name: String,
    /// What is sent.
    pub(super) body: Bytes,
}

impl Message {
    pub(super) fn of(commit: &Commit, recorded: &Recorded) -> Result<Message, &'static str> {
        let shown = cloud_event(commit, recorded)?;
        let body = serde_json::to_vec(&shown).map_err(|_| "an event can't be shown")?;
        let type_name = recorded.metadata.type_name.clone();
        Ok(Message { id: recorded.id(), position: recorded.position, type_name, body: body.into() })
    }

    /// Gives what goes before the body.
    pub(super) fn headers(&self, secrets: &[Zeroizing<Vec<u8>>], now: Timestamp) -> HeaderMap {
        let timestamp_s = now.ms().div_euclid(1_000);
        let value =
            |text: &str| HeaderValue::from_str(text).expect("ids, digits and base64 are visible ASCII");
        HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("webhook-id"), value(&self.id)),
            (HeaderName::from_static("webhook-timestamp"), value(&timestamp_s.to_string())),
            (HeaderName::from_static("webhook-signature"), value(&self.signatures(secrets, timestamp_s))),
        ])
    }

    /// Gives the header `webhook-signature`: a signature with each secret.
    fn signatures(&self, secrets: &[Zeroizing<Vec<u8>>], timestamp_s: i64) -> String {
        let signed = secrets.iter().map(|secret| {
            let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
            context.update(format!("{}.{timestamp_s}.", self.id).as_bytes());
            context.update(&self.body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signed.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification and of its libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            position: 1,
            type_name: "test".to_owned(),
            body: Bytes::from_static(br#"{"test": 2432232314}"#),
        };
        let secret = |text: &str| Zeroizing::new(STANDARD.decode(text).unwrap());
        let secrets = [secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), secret("AAAA")];
        let header = message.signatures(&secrets, 1_614_265_330);
        let (first, second) = header.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,") && second != first);
    }
}
