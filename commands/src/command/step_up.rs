//! Bodies of commands about second factors.

use events::account::PublicKey;
use events::ids::AccountId;
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
