//! Why a command about the standing of an account is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::ids::AccountId;

/// A broken rule of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum AccountRejection {
    /// An operator does not suspend himself, so that there is always one left who can reinstate.
    #[error("an operator can't suspend his own account: ask another operator")]
    OwnAccount,
    /// A market can't do without who registers its people, nor without who reports what became of its money.
    #[error(
        "account {account} is a {role}, which the market can't do without: revoke its devices one by one instead"
    )]
    AccountNeeded {
        /// The account.
        account: AccountId,
        /// What the market needs it for.
        role: Role,
    },
}
