//! Bodies of commands about second factors.

use events::Hash;
use events::account::PublicKey;
use events::ids::{AccountId, AuthenticatorId};
use events::step_up::{CredentialId, StepUpTerms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Says what needs a second factor from here on; it takes the place of what was said before. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetStepUpTerms {
    /// All of it.
    pub terms: StepUpTerms,
}

/// Enrolls a passkey for the giver's account. Where the account has one already, that one has to approve it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollPasskey {
    /// Its id, as its authenticator gave it.
    pub credential: CredentialId,
    /// Its public key: the COSE key of its registration as a JWK.
    pub key: PublicKey,
}

/// Removes a passkey. One's own needs a second factor, which may be the one that is removed; those of others are removed by
/// operators and the registrar, for who has lost his.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemovePasskey {
    /// Whose it is; absent: the giver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Its id.
    pub credential: CredentialId,
}

/// Enrolls an app that makes codes, in place of the one before. Its secret was got from the gateway, which has seen a code of it. Where
/// the account has a second factor already, one has to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollTotp {
    /// The app, as the gateway named it.
    pub authenticator: AuthenticatorId,
}

/// Removes an app. One's own needs a second factor; those of others are removed by operators and the registrar, for who has lost his.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveTotp {
    /// Whose it is; absent: the giver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The app.
    pub authenticator: AuthenticatorId,
}

/// Enrolls recovery codes, in place of those before. Where the account has a second factor already, one has to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollRecovery {
    /// A commitment to each code: SHA-256 of `skylink recovery commitment`, the account's 16 bytes and the 32 bytes of SHA-256 of
    /// `skylink recovery code` and the code in capitals without hyphens. 8 to 10, each another one.
    #[schemars(length(min = 8, max = 10))]
    pub commitments: Vec<Hash>,
}

/// Removes the recovery codes of an account. One's own need a second factor; those of others are removed by operators and the registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRecovery {
    /// Whose they are; absent: the giver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
}
