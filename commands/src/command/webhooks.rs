//! Bodies of commands about webhooks.

use std::collections::BTreeSet;

use events::ids::WebhookId;
use events::webhook::{DisabledBecause, EventFilter, WebhookUrl};
use events::{Hash, Position};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::{card, json};

/// Most filters of a webhook.
pub const FILTERS_MAX: usize = 32;
/// The longest time that messages are signed with the secret before too, in milliseconds: 7 days.
pub const KEEP_MS_MAX: i64 = 7 * 86_400_000;
/// Longest text that is sent in place of an event, in bytes.
pub const LETTER_BYTES_MAX: usize = 16 * 1024;

/// Has an address told of what its owner may see: an operator of everything, a seller of what is his. The secret comes beside the
/// command, in the header `Skylink-Personal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterWebhook {
    /// SHA-256 of the salt and the secret beside the command: `whsec_` and 24 to 64 random bytes in base64.
    pub secret: Hash,
    /// What it is told of, 1 to 32.
    pub types: Filters,
    /// Where to.
    pub url: WebhookUrl,
    /// A new UUIDv7.
    pub webhook: WebhookId,
}

/// Changes what a webhook is told of and where to, or switches it off or on; what is left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWebhook {
    /// Whether it is told of anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// What it is told of, 1 to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Filters>,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<WebhookUrl>,
    /// The webhook.
    pub webhook: WebhookId,
}

/// Has messages signed with another secret, and for a while with the one before it too. The secret comes beside the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateWebhookSecret {
    /// How long, in milliseconds: 0 to 7 days.
    pub keep_ms: KeepTime,
    /// SHA-256 of the salt and the secret beside the command.
    pub secret: Hash,
    /// The webhook.
    pub webhook: WebhookId,
}

/// Ends a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveWebhook {
    /// The webhook.
    pub webhook: WebhookId,
}

/// Tells how far an address has been told, or that it takes no messages. Given by the market's own process that sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportWebhook {
    /// Why it is told of nothing any more; absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<DisabledBecause>,
    /// The last event that it needs to be told of no more.
    pub position: Position,
    /// The webhook.
    pub webhook: WebhookId,
}

/// Has an address told something else of an event, whenever it is told of it: in place of a message that it refuses. Given by the
/// webhook's owner or an operator. It stands in the log for ever: put nothing personal into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceLetter {
    /// What is sent as the event's `data`: a JSON object, as text.
    pub data: LetterData,
    /// Where the event stands.
    pub position: Position,
    /// The webhook.
    pub webhook: WebhookId,
}

/// Has an address told nothing of an event. Given by the webhook's owner or an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropLetter {
    /// Where the event stands.
    pub position: Position,
    /// The webhook.
    pub webhook: WebhookId,
}

/// A JSON object as text, in the profile that commands are read by: at most 16,384 bytes, 16 levels deep, no member twice, whole numbers
/// only; and nothing in it that looks like a card's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LetterData(String);

impl LetterData {
    /// Gives the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LetterData {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > LETTER_BYTES_MAX {
            return Err(format!("what is sent in place of an event has {LETTER_BYTES_MAX} bytes at most"));
        }
        let value = json::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        if !value.is_object() || !text.starts_with('{') || !text.ends_with('}') {
            return Err("what is sent in place of an event is a JSON object".to_owned());
        }
        if holds_a_card(&value) {
            return Err(
                "what is sent in place of an event must hold nothing that looks like a card's number"
                    .to_owned(),
            );
        }
        Ok(LetterData(text))
    }
}

/// The least number that may be a card's. Times in milliseconds are shorter, until the year 2286.
const CARD_MIN: u64 = 10_000_000_000_000;

/// Tells whether something in a value looks like a card's number.
fn holds_a_card(value: &Value) -> bool {
    match value {
        Value::String(text) => card::looks_like_a_number(text),
        Value::Array(values) => values.iter().any(holds_a_card),
        Value::Object(members) => {
            members.iter().any(|(name, value)| card::looks_like_a_number(name) || holds_a_card(value))
        }
        Value::Number(number) => {
            let is_long = number.as_u64().is_some_and(|number| number >= CARD_MIN);
            is_long && card::looks_like_a_number(&number.to_string())
        }
        Value::Null | Value::Bool(_) => false,
    }
}

impl<'de> Deserialize<'de> for LetterData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LetterData::try_from(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for LetterData {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WebhookLetterData".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 2, "maxLength": LETTER_BYTES_MAX, "pattern": "^\\{[\\s\\S]*\\}$",
            "description": "A JSON object as text: 16,384 bytes at most, 16 levels deep, no member twice, whole numbers only"
        })
    }
}

/// What a webhook is told of: 1 to 32 filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Filters(BTreeSet<EventFilter>);

impl Filters {
    /// Gives the filters.
    pub const fn get(&self) -> &BTreeSet<EventFilter> {
        &self.0
    }
}

impl TryFrom<BTreeSet<EventFilter>> for Filters {
    type Error = String;

    fn try_from(filters: BTreeSet<EventFilter>) -> Result<Self, String> {
        if (1..=FILTERS_MAX).contains(&filters.len()) {
            Ok(Filters(filters))
        } else {
            Err(format!("a webhook has 1 to {FILTERS_MAX} filters"))
        }
    }
}

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Filters::try_from(BTreeSet::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Filters {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WebhookFilters".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let filter = generator.subschema_for::<EventFilter>();
        json_schema!({
            "type": "array", "items": filter, "minItems": 1, "maxItems": FILTERS_MAX, "uniqueItems": true,
            "description": "1 to 32 filters, in their order"
        })
    }
}

/// How long the secret before is used beside a new one, in milliseconds: 0 to 7 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct KeepTime(i64);

impl KeepTime {
    /// Gives the milliseconds.
    pub const fn ms(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for KeepTime {
    type Error = String;

    fn try_from(ms: i64) -> Result<Self, String> {
        if (0..=KEEP_MS_MAX).contains(&ms) {
            Ok(KeepTime(ms))
        } else {
            Err(format!("a secret is kept for 0 to {KEEP_MS_MAX} ms"))
        }
    }
}

impl<'de> Deserialize<'de> for KeepTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KeepTime::try_from(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for KeepTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WebhookKeepTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer", "minimum": 0, "maximum": KEEP_MS_MAX, "description": "Milliseconds, 7 days at most"
        })
    }
}
