//! Why a command about a device, or about a second factor, is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, DeviceId};
use crate::step_up::CredentialId;

/// A broken rule of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum DeviceRejection {
    /// There is no such device, or it is another account's.
    #[error("account {account} has no device {device}")]
    DeviceUnknown {
        /// The account.
        account: AccountId,
        /// The device.
        device: DeviceId,
    },
    /// The device was revoked.
    #[error("device {device} was revoked: register the device anew, under a new id")]
    DeviceRevoked {
        /// The device.
        device: DeviceId,
    },
    /// A device does not revoke itself: its account could be left with none.
    #[error("a device can't revoke itself: use another of the account, or ask the registrar")]
    OwnDevice,
    /// Only the registrar revokes what the registrar signs with.
    #[error("account {account} registers others: only it revokes its own devices")]
    RegistrarDevice {
        /// The registrar's account.
        account: AccountId,
    },
    /// Devices of others are for operators and the registrar.
    #[error("account {account} is not yours: only operators and the registrar revoke devices of others")]
    NotYourDevice {
        /// Whose device it is.
        account: AccountId,
    },
    /// A key can't give another one more than it may itself.
    #[error("the new device may do no more than the one that enrolls it: name a scope within its own")]
    ScopeTooWide,
    /// The account has had as many keys as it may.
    #[error("an account may have had {max} keys: ask the operator for a new account")]
    TooManyKeys {
        /// The limit.
        max: u32,
    },
    /// The passkey is enrolled already, with another key.
    #[error("passkey {credential} is enrolled already, with another key: remove it first")]
    PasskeyExists {
        /// The passkey.
        credential: CredentialId,
    },
    /// The account has as many passkeys as it may.
    #[error("an account may have {max} passkeys: remove one first")]
    TooManyPasskeys {
        /// The limit.
        max: u32,
    },
    /// The market has not said what needs a second factor, and what passkeys are made for.
    #[error("this market takes no second factors: an operator gives `step_up.set_terms` first")]
    StepUpNotOffered,
}
