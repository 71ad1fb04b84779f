//! Facts of codes as second factors: those of an app, a new one every half a minute, and recovery codes, each good once. No code and
//! no secret stands in a fact.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hash::{Hash, Hasher};
use crate::ids::{AccountId, AuthenticatorId};
use crate::time::Timestamp;

/// A kind of second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// A passkey.
    Webauthn,
    /// The codes of an app (RFC 6238).
    Totp,
    /// Recovery codes.
    Recovery,
}

/// An app was enrolled: its codes approve commands of the account. It takes the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TotpEnrolled {
    /// Whose it is.
    pub account: AccountId,
    /// The app; its secret is kept outside the log.
    pub authenticator: AuthenticatorId,
}

/// The codes of an app approve nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TotpRemoved {
    /// Whose it was.
    pub account: AccountId,
    /// The app.
    pub authenticator: AuthenticatorId,
}

/// Recovery codes were enrolled, which take the place of those before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryEnrolled {
    /// Whose they are.
    pub account: AccountId,
    /// A commitment to each, from which no code can be told: see [`RecoveryShown::commitment`].
    pub commitments: BTreeSet<Hash>,
}

/// The recovery codes of an account approve nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryRemoved {
    /// Whose they were.
    pub account: AccountId,
}

/// A wrong code was shown beside a command, which is rejected for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CodeRefused {
    /// For whose command.
    pub account: AccountId,
    /// Of which kind it was meant to be.
    pub kind: FactorKind,
    /// How many wrong ones that makes in the last quarter of an hour, since codes were last locked.
    pub tries: u32,
    /// Until when no code of the account is looked at; absent: the next one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
}

/// What whoever keeps the secrets made of an app's code: it is his word, since the secret stands nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpShown {
    /// The app whose code it was meant to be.
    pub authenticator: AuthenticatorId,
    /// The half minute, counted from 1970, whose code it is; absent: it is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
}

/// That a recovery code was shown: the hash of it, which is good for nothing once it stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryShown {
    /// See [`RecoveryShown::of`].
    pub code: Hash,
}

impl RecoveryShown {
    /// Hashes a code as people write it: capitals or not, with spaces and hyphens or without.
    pub fn of(code: &str) -> RecoveryShown {
        let mut hasher = Hasher::new();
        hasher.update(b"skylink recovery code");
        for letter in code.chars().filter(char::is_ascii_alphanumeric) {
            hasher.update(&[letter.to_ascii_uppercase() as u8]);
        }
        RecoveryShown { code: hasher.finish() }
    }

    /// Gives what stands in the log of it before it is shown. It is bound to its account, so that codes of many can't be sought at once.
    pub fn commitment(self, account: AccountId) -> Hash {
        let mut hasher = Hasher::new();
        hasher.update(b"skylink recovery commitment");
        hasher.update(account.uuid().as_bytes());
        hasher.update(self.code.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_code_is_the_same_however_it_is_written() {
        let code = RecoveryShown::of("ABCDE-FGHJK-MNPQR-STVWX");
        assert_eq!(RecoveryShown::of("abcde fghjk mnpqr stvwx"), code);
        assert_ne!(RecoveryShown::of("ABCDE-FGHJK-MNPQR-STVWY"), code);
        let account = |n| AccountId::from_uuid(uuid::Uuid::from_u128(n));
        assert_ne!(code.commitment(account(1)), code.commitment(account(2)));
        // Another program must come to the same: SHA-256 of the words, the account and the hash.
        let mut bytes = b"skylink recovery commitment".to_vec();
        bytes.extend(account(1).uuid().as_bytes());
        bytes.extend(Hash::of(b"skylink recovery codeABCDEFGHJKMNPQRSTVWX").as_bytes());
        assert_eq!(code.commitment(account(1)), Hash::of(&bytes));
    }
}
