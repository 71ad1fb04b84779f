//! Bodies of commands about devices and their keys.

use std::collections::BTreeSet;

use events::Hash;
use events::account::{PublicKey, Role};
use events::device::{AttestationVerdict, KeyScope, RevokeReason};
use events::ids::{AccountId, DeviceId, KeyId, MarketName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REFERENCE_LENGTH_MAX, Text};

/// Longest name of a device, in characters.
pub const DEVICE_NAME_LENGTH_MAX: usize = 64;

/// Registers an account. Given by the registrar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterAccount {
    /// The account.
    pub account: AccountId,
    /// What it may do: one role, or `buyer` and `seller` together.
    #[schemars(length(min = 1))]
    pub roles: BTreeSet<Role>,
}

/// Registers a device and its public key for an account. Given by the registrar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterDevice {
    /// Whose device it is.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// Its public key.
    pub key: PublicKey,
    /// What it is called; a kind of device rather than a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<DEVICE_NAME_LENGTH_MAX>>,
    /// The new key's word that it is to be this device's: a compact JWS of a proof of possession. The registrar may leave it
    /// out, and vouches for the key then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// What the key may do of what the account may; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<KeyScope>,
}

impl RegisterDevice {
    /// Registers a device without a name that may do all that its account may, at the registrar's word.
    pub const fn new(account: AccountId, device: DeviceId, key: PublicKey) -> Self {
        RegisterDevice { account, device, key, name: None, proof: None, scope: None }
    }
}

/// Adds a device to the giver's account. Given by another device of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollDevice {
    /// The new device.
    pub device: DeviceId,
    /// Its public key.
    pub key: PublicKey,
    /// What it is called; a kind of device rather than a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<DEVICE_NAME_LENGTH_MAX>>,
    /// The new key's word that it is to be this device's: a compact JWS of a proof of possession.
    pub proof: String,
    /// What the key may do of what the account may; absent: all. No more than the key that enrolls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<KeyScope>,
}

/// Gives a device of the giver's account a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameDevice {
    /// The device.
    pub device: DeviceId,
    /// What it is called; a kind of device rather than a person.
    pub name: Text<DEVICE_NAME_LENGTH_MAX>,
}

/// Gives the device that signs this a new key. The one that signs signs nothing afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateDevice {
    /// The new public key.
    pub key: PublicKey,
    /// The new key's word that it is to be this device's: a compact JWS of a proof of possession.
    pub proof: String,
}

/// Revokes a device. Given by another device of its account, an operator or the registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeDevice {
    /// Whose device it is; absent: the giver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The device.
    pub device: DeviceId,
    /// Why.
    pub reason: RevokeReason,
}

/// Revokes a device of the giver's account that is lost. It never waits for a second factor, which may be lost with it. Given by
/// another device of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportLost {
    /// The device.
    pub device: DeviceId,
}

/// Records what is known about where a device's key is kept. Given by an operator or the registrar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestDevice {
    /// Whose device it is.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of the statement, which is kept elsewhere.
    pub evidence: Hash,
    /// SHA-256 of what the device looks like, of whatever tells one from another: two that look the same have the same. Absent: as it
    /// was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Hash>,
    /// Of what form the statement is, such as `android-key`.
    pub format: Text<REFERENCE_LENGTH_MAX>,
    /// What came of checking it.
    pub verdict: AttestationVerdict,
}

/// A new key's word whose it is to be: what its possession is proved with. It names everything that the key is registered
/// with, so it proves nothing for another account, device or market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProof {
    /// Whose device it is to be.
    pub account: AccountId,
    /// The market it is for.
    pub aud: MarketName,
    /// The device.
    pub device: DeviceId,
    /// The thumbprint of the new key, which signs this.
    pub key: KeyId,
    /// Form of the proof: 1.
    pub v: u8,
}
