//! Why a command about signing in is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AccountId;
use crate::time::Timestamp;

/// A broken rule of signing in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SignInRejection {
    /// The account has no such password.
    #[error("account {account} has no such password: set one from a device, with `sign_in.set_password`")]
    NoPassword {
        /// The account.
        account: AccountId,
    },
    /// Too many wrong passwords were tried.
    #[error("nobody can sign in to account {account} with a password until {until}: wrong ones were tried")]
    SignInLocked {
        /// The account.
        account: AccountId,
        /// From when on somebody can.
        until: Timestamp,
    },
    /// The account has a second factor, and none was shown.
    #[error(
        "account {account} has a second factor: show it with the password, or sign in with a passkey alone"
    )]
    SecondFactorNeeded {
        /// The account.
        account: AccountId,
    },
    /// What was shown is no second factor of this account, or for something else.
    #[error("the second factor does not count: {problem}")]
    SecondFactorRefused {
        /// What is wrong.
        problem: String,
    },
    /// A session is too long, or over before it begins.
    #[error("a session lasts at most {max_ms} ms from now")]
    SessionLength {
        /// The limit.
        max_ms: i64,
    },
}
