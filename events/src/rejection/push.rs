//! Why a command about notifications is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::PushSubscriptionId;

/// A broken rule of notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum PushRejection {
    /// There is no such subscription of the account.
    #[error("you have no subscription {subscription}: see GET /v1/accounts/me/push")]
    PushSubscriptionUnknown {
        /// What was named.
        subscription: PushSubscriptionId,
    },
    /// The id is that of another subscription of the account.
    #[error("{subscription} is the id of a subscription already: make a new UUIDv7")]
    PushSubscriptionTaken {
        /// What was named.
        subscription: PushSubscriptionId,
    },
    /// The account has as many as it may.
    #[error("there may be no more than {max} subscriptions: end one first")]
    TooManyPushSubscriptions {
        /// How many there may be.
        max: usize,
    },
}
