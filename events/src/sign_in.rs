//! Facts of signing in without a device: passwords and sessions. No password and no hash of one stands in a fact.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, PasswordId, SessionId};
use crate::step_up::StepUp;
use crate::time::Timestamp;

/// An account has a password, in place of the one before. All of its sessions have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordSet {
    /// Whose it is.
    pub account: AccountId,
    /// Which; what it is checked with is kept outside the log.
    pub password: PasswordId,
    /// The one before, which opens nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<PasswordId>,
}

/// An account has no password any more. All of its sessions have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordRemoved {
    /// Whose it was.
    pub account: AccountId,
    /// Which.
    pub password: PasswordId,
}

/// Somebody tried to sign in with a wrong password, or with the right one and a wrong code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignInFailed {
    /// To which account.
    pub account: AccountId,
    /// How many that makes since somebody signed in with the password, or since nobody tried for a day.
    pub failures: u32,
    /// Until when nobody can sign in with a password; absent: at once again.
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
    /// The password that he knew; absent: a passkey was enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordId>,
    /// The passkey that approved it, or the code that was shown with the password; absent: the password was enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<StepUp>,
}

/// A session ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// Of which account.
    pub account: AccountId,
    /// The session.
    pub session: SessionId,
}
