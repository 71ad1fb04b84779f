//! What can be asked about the market's own keys.

use events::ids::KeyId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives the market a new key, which signs receipts from now on. The present one stays live beside it until it is retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateMarketKey {
    /// The present key's word that the new one follows it: a compact JWS, `typ` `skylink-market-key+jws`, of
    /// `{v: 1, aud, key, previous}`.
    pub announcement: String,
    /// The same word signed with the new key.
    pub proof: String,
}

/// Retires the key before the market's present one: checkpoints are no longer signed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetireMarketKey {
    /// The key.
    pub key: KeyId,
}
