//! What is sent: an event in the JSON form of CloudEvents, signed as Standard Webhooks says.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::vault::Zeroizing;
use events::{Commit, Position, Recorded, Timestamp};
use projections::webhook::Edit;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::letters::LetterError;
use crate::stream::CloudEvent;

/// What an address is told of an event.
pub(super) enum Rendered {
    /// This message.
    Message(Message),
    /// Nothing, as somebody said.
    Dropped(Edit),
    /// Nothing, since there can be no message.
    Not(LetterError),
}

impl Rendered {
    /// Renders an event as this program would write it, whatever version it is stored in; or what somebody said is sent in its place.
    /// `bytes_max`: the largest message that is sent.
    pub(super) fn of(commit: &Commit, recorded: &Recorded, edit: Option<Edit>, bytes_max: usize) -> Rendered {
        let instead = match edit {
            Some(Edit { data: Some(text), account, command, .. }) => {
                // It was read before it was taken into the log.
                let Ok(data) = serde_json::from_str(&text) else {
                    return Rendered::Not(LetterError::Unrenderable);
                };
                Some((data, account, command))
            }
            Some(dropped) => return Rendered::Dropped(dropped),
            None => None,
        };
        let shown = CloudEvent::present(commit, recorded, instead).ok();
        let Some(body) = shown.and_then(|shown| serde_json::to_vec(&shown).ok()) else {
            return Rendered::Not(LetterError::Unrenderable);
        };
        if body.len() > bytes_max {
            return Rendered::Not(LetterError::TooLarge);
        }
        let type_name = recorded.event.type_name().to_owned();
        let (id, position) = (recorded.id(), recorded.position);
        Rendered::Message(Message { id, position, type_name, body: body.into() })
    }
}

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
    use events::Head;
    use events::commit::Stored;
    use events::ids::{AccountId, CommandId};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    /// A log that holds the sample of an event as it was written once.
    fn log_of_a_sample(type_name: &str) -> Commit {
        let path = format!("{}/../schemas/samples/{type_name}.json", env!("CARGO_MANIFEST_DIR"));
        let sample: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut metadata = sample["metadata"].clone();
        (metadata["index"], metadata["count"]) = (0.into(), 1.into());
        metadata["start"] = json!({"cause": {"writer": Uuid::nil()}, "previous": Head::EMPTY.hash});
        let metadata: events::metadata::Metadata = serde_json::from_value(metadata).unwrap();
        let stored = Stored {
            metadata_json: serde_json::to_vec(&metadata).unwrap(),
            payload_json: serde_json::to_vec(&sample["payload"]).unwrap(),
        };
        Commit::from_stored(1, vec![stored]).unwrap()
    }

    fn body_of(rendered: Rendered) -> Value {
        let Rendered::Message(message) = rendered else { panic!("it is a message") };
        serde_json::from_slice(&message.body).unwrap()
    }

    fn edit(data: Option<&str>) -> Edit {
        let (account, command) =
            (AccountId::from_uuid(Uuid::from_u128(1)), CommandId::from_uuid(Uuid::from_u128(2)));
        Edit { account, command, data: data.map(str::to_owned), position: 9 }
    }

    #[test]
    fn an_event_of_an_older_version_is_told_as_it_is_written_today() {
        for older in events::Event::OLDER_TYPES {
            let commit = log_of_a_sample(older);
            let recorded = &commit.events()[0];
            assert_eq!(recorded.metadata.type_name, *older);
            let shown = body_of(Rendered::of(&commit, recorded, None, usize::MAX));
            assert_eq!(shown["type"], recorded.event.type_name(), "{older}");
            let data: Value = serde_json::from_slice(&recorded.event.encode()).unwrap();
            assert_eq!(shown["data"], data);
            // It can be read again as what it says that it is.
            let data = serde_json::to_vec(&shown["data"]).unwrap();
            assert_eq!(events::Event::decode(recorded.event.type_name(), &data).unwrap(), recorded.event);
        }
    }

    #[test]
    fn what_somebody_said_is_sent_names_him_and_his_command() {
        let commit = log_of_a_sample("webhook.disabled.v1");
        let recorded = &commit.events()[0];
        let as_it_was = body_of(Rendered::of(&commit, recorded, None, usize::MAX));
        assert_eq!((&as_it_was["replacedby"], &as_it_was["replacedin"]), (&Value::Null, &Value::Null));
        let said = edit(Some(r#"{"total":7}"#));
        let shown = body_of(Rendered::of(&commit, recorded, Some(said.clone()), usize::MAX));
        assert_eq!(shown["data"], json!({"total": 7}));
        assert_eq!(
            (&shown["replacedby"], &shown["replacedin"]),
            (&json!(said.account), &json!(said.command))
        );
        for same in ["id", "type", "position", "time", "subject"] {
            assert_eq!(shown[same], as_it_was[same], "{same}");
        }
        let dropped = Rendered::of(&commit, recorded, Some(edit(None)), usize::MAX);
        assert!(matches!(dropped, Rendered::Dropped(_)));
    }

    #[test]
    fn a_message_has_a_largest_size() {
        let commit = log_of_a_sample("webhook.disabled.v1");
        let recorded = &commit.events()[0];
        let Rendered::Message(message) = Rendered::of(&commit, recorded, None, usize::MAX) else {
            panic!("it is a message");
        };
        let size = message.body.len();
        assert!(matches!(Rendered::of(&commit, recorded, None, size), Rendered::Message(_)));
        let over = Rendered::of(&commit, recorded, None, size - 1);
        assert!(matches!(over, Rendered::Not(LetterError::TooLarge)));
        let unreadable = Rendered::of(&commit, recorded, Some(edit(Some("{"))), usize::MAX);
        assert!(matches!(unreadable, Rendered::Not(LetterError::Unrenderable)));
    }

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
