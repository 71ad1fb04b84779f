//! Bodies of commands about what is personal of accounts.

use std::collections::BTreeMap;

use events::Hash;
use events::ids::AccountId;
use events::privacy::{EncryptionKey, ProfileField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets fields of the giver's profile. The values travel beside the command, in the header `Skylink-Personal`, each with the salt
/// that it was hashed with; they never stand in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProfile {
    /// What changes: SHA-256 of the 16 bytes of a random salt and the value; null empties the field.
    #[schemars(length(min = 1))]
    pub fields: BTreeMap<ProfileField, Option<Hash>>,
}

/// Says with which key buyers encrypt addresses to the giver from here on; orders that were placed with another keep it. Given by a
/// seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEncryptionKey {
    /// The public key; absent: none, addresses are not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<EncryptionKey>,
}

/// An address that only a seller can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedAddress {
    /// SHA-256 of the 16 bytes of a random salt and of what was encrypted, which travels beside the command in `Skylink-Personal`.
    pub hash: Hash,
    /// The seller's key that it was encrypted with.
    pub key: EncryptionKey,
}

/// Erases an account, for good: its data key is destroyed, so that nothing personal of it can be read any more, and its devices sign
/// nothing from there on. Others than one's own are erased by operators. Whoever has a second factor erases himself with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseAccount {
    /// Which; absent: the giver's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
}
