//! Why a command about webhooks is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Position;
use crate::ids::WebhookId;

/// A broken rule of webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WebhookRejection {
    /// There is no such webhook of the account.
    #[error("you have no webhook {webhook}: see GET /v1/webhooks")]
    WebhookUnknown {
        /// What was named.
        webhook: WebhookId,
    },
    /// The id is another webhook's.
    #[error("{webhook} is the id of a webhook already: make a new UUIDv7")]
    WebhookTaken {
        /// What was named.
        webhook: WebhookId,
    },
    /// The account, or the market, has as many as it may.
    #[error("there may be no more than {max} webhooks: remove one first")]
    TooManyWebhooks {
        /// How many there may be.
        max: usize,
    },
    /// There is no such event that something could be sent in place of.
    #[error("the log has no event at position {position}: see GET /v1/webhooks/{{id}}/letters")]
    LetterUnknown {
        /// What was named.
        position: Position,
    },
}
