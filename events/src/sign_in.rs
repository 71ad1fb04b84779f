//! Facts of signing in without a device: passwords and sessions. No password and no hash of one stands in a fact.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, PasswordId, SessionId};
use crate::time::Timestamp;

/// An account has a password, in place of the one before. All of its sessions have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordSet {
    /// Whose it is.
    pub account: AccountId,
    /// Which; what it is checked with is kept outside the log.
    pub password: PasswordId,
}

/// An account has no password any more. All of its sessions have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordRemoved {
    /// Whose it was.
    pub account: AccountId,
}

/// Somebody tried to sign in with a wrong password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignInFailed {
    /// To which account.
    pub account: AccountId,
    /// How many that makes since somebody signed in, or since nobody tried for a day.
    pub failures: u32,
    /// Until when nobody can sign in to it; absent: at once again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
}

/// Somebody signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStarted {
    /// To which account.
    pub account: AccountId,
    /// The session.
    pub session: SessionId,
    /// When it ends at the latest.
    pub until: Timestamp,
}

/// A session ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// Of which account.
    pub account: AccountId,
    /// The session.
    pub session: SessionId,
}
