//! Bodies of commands about webhooks.

use std::collections::BTreeSet;

use events::ids::WebhookId;
use events::webhook::{DisabledBecause, EventFilter, WebhookUrl};
use events::{Hash, Position};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Most filters of a webhook.
pub const FILTERS_MAX: usize = 32;
/// The longest time that messages are signed with the secret before too, in milliseconds: 7 days.
pub const KEEP_MS_MAX: i64 = 7 * 86_400_000;

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
