//! Facts of the market's own keys, with which it signs receipts and checkpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::PublicKey;
use crate::ids::KeyId;

/// The market took a new key: it signs all receipts from here on. The key before it stays live, and signs checkpoints too, until
/// it is retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyAnnounced {
    /// The word of the key before that `key` follows it: a compact JWS, so that whoever trusts that one can trust this one.
    pub announcement: String,
    /// The new public key.
    pub key: PublicKey,
    /// The key before.
    pub previous: KeyId,
    /// The same word signed with the new key itself, which shows that it is the market's: a compact JWS.
    pub proof: String,
}

/// The key before the market's present one signs nothing any more. What it has signed until here still holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRetired {
    /// The key.
    pub key: KeyId,
}
