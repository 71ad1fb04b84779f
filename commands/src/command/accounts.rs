//! Bodies of commands about the standing of an account.

use events::ids::AccountId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REASON_LENGTH_MAX, Text};

/// Forbids an account to ask for anything; what it has asked for goes on. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendAccount {
    /// The account.
    pub account: AccountId,
    /// Why; its owner may read it.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Takes an account's suspension back. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReinstateAccount {
    /// The account.
    pub account: AccountId,
    /// Why; its owner may read it.
    pub reason: Text<REASON_LENGTH_MAX>,
}
