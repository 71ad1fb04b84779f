//! Why a command about signing in is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AccountId;
use crate::time::Timestamp;

/// A broken rule of signing in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SignInRejection {
    /// The account has no password.
    #[error("account {account} has no password: set one from a device, with `sign_in.set_password`")]
    NoPassword {
        /// The account.
        account: AccountId,
    },
    /// Too many wrong passwords were tried.
    #[error("nobody can sign in to account {account} until {until}: wrong passwords were tried")]
    SignInLocked {
        /// The account.
        account: AccountId,
        /// From when on somebody can.
        until: Timestamp,
    },
    /// A session is too long, or over before it begins.
    #[error("a session lasts at most {max_ms} ms from now")]
    SessionLength {
        /// The limit.
        max_ms: i64,
    },
    /// The account has as many sessions as it may.
    #[error("an account may have {max} sessions: end one first")]
    TooManySessions {
        /// The limit.
        max: u32,
    },
}
