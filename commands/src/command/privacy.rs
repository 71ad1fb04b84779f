//! Bodies of commands about what is personal of accounts.

use std::collections::BTreeMap;

use events::Hash;
use events::ids::AccountId;
use events::privacy::ProfileField;
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

/// Erases an account, for good: its data key is destroyed, so that nothing personal of it can be read any more, and its devices sign
/// nothing from there on. Others than one's own are erased by operators. Whoever has a second factor erases himself with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseAccount {
    /// Which; absent: the giver's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
}
