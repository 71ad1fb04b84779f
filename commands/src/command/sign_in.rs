//! Bodies of commands about signing in without a device.

use events::Timestamp;
use events::ids::{AccountId, Nonce, PasswordId, SessionId};
use events::step_up::StepUp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets the password of the giver's account, in place of the one before, and ends all of its sessions. The gateway was given the
/// password before, and names it. Where the account has a second factor, one has to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// The password, as the gateway named it.
    pub password: PasswordId,
}

/// Removes the password of an account and ends all of its sessions. One's own needs a second factor, if there is one; those of others
/// are removed by operators and the registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemovePassword {
    /// Whose it is; absent: the giver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
}

/// Tells that somebody tried to sign in with a wrong password. Given by the registrar, for who checks passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportSignInFailed {
    /// To which account.
    pub account: AccountId,
    /// The password that he did not know: one that was set meanwhile is another.
    pub password: PasswordId,
}

/// Tells that somebody knew the password, or showed a passkey, and begins a session, unless what he showed does not count. Given by the
/// registrar, for who checks passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    /// To which account.
    pub account: AccountId,
    /// The session.
    pub session: SessionId,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// The password that he knew; absent: he shows a passkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordId>,
    /// What he showed: a passkey's approval, or with the password a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<StepUp>,
    /// What the passkey's challenge was made of; absent: the challenge says itself that it is one to sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

/// Ends a session before its time: one of the giver's own, or by an operator or the registrar another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSession {
    /// Whose it is; absent: the giver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The session.
    pub session: SessionId,
}
