//! Why the market's own key is not changed as it was asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::KeyId;

/// What is wrong with a change of the market's own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum MarketKeyProblem {
    /// The announcement, or the proof, is not of its form.
    #[error("the announcement can't be read: {rule}; make it with `skylink keys rotate-market`")]
    Malformed {
        /// The rule it breaks.
        rule: String,
    },
    /// It was made for another market.
    #[error("the announcement is for another market: make one for this market")]
    OtherMarket,
    /// The market's present key has not signed it.
    #[error("the announcement is not signed with the market's present key {current}: have that key sign it")]
    NotAnnounced {
        /// The present key.
        current: KeyId,
    },
    /// The new key has not signed it.
    #[error("the new key has not signed the same announcement: have it do so, which shows that it is there")]
    NotProven,
    /// It was the market's before.
    #[error("key {key} was this market's already: make a new one")]
    Used {
        /// The key.
        key: KeyId,
    },
    /// Two keys are live at most.
    #[error("key {previous} is still live beside the present one: retire it first (`market.retire_key`)")]
    StillLive {
        /// The key before the present one.
        previous: KeyId,
    },
    /// Only the key before the present one can be retired.
    #[error(
        "key {key} is not the one before the market's present key: only that one is retired; see GET /log/keys"
    )]
    NotPrevious {
        /// The key.
        key: KeyId,
    },
}
