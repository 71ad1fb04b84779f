//! Facts of the second factor: what needs one, who has which, and what was shown beside a command.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::account::PublicKey;
use crate::code::code;
use crate::device::Commands;
use crate::ids::AccountId;
use crate::money::{Currency, Money};

mod codes;

pub use self::codes::{
    CodeRefused, FactorKind, RecoveryEnrolled, RecoveryRemoved, RecoveryShown, TotpEnrolled, TotpRemoved,
    TotpShown,
};

/// Longest domain that second factors are for, in bytes.
const DOMAIN_LENGTH_MAX: usize = 253;
/// Longest origin, in bytes.
const ORIGIN_LENGTH_MAX: usize = 300;

code! {
    /// The id of a passkey, as its authenticator gives it: 16 to 256 bytes in base64url.
    CredentialId: "CredentialId", "credential id",
    must be "16 to 256 bytes in base64url without padding",
    pattern "^[A-Za-z0-9_-]{22,342}$",
    description "The id of a passkey: 16 to 256 bytes in base64url without padding",
    fits |text| URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| (16..=256).contains(&bytes.len()))
}

code! {
    /// The domain that passkeys are made for (the relying party's id), such as `market.example`.
    Domain: "Domain", "domain",
    must be "a domain in lower case such as market.example, or localhost",
    pattern "^[a-z0-9.-]{1,253}$",
    description "A domain in lower case such as market.example, or localhost",
    fits |text| {
        (1..=DOMAIN_LENGTH_MAX).contains(&text.len())
            && text.split('.').all(|label| {
                (1..64).contains(&label.len())
                    && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            })
    }
}

code! {
    /// Where pages, or an app, of the market come from: `https://market.example`, or `android:apk-key-hash:…`.
    Origin: "Origin", "origin",
    must be "an origin such as https://market.example, or an app's such as android:apk-key-hash:…",
    pattern "^[!-~]{1,300}$",
    description "An origin such as https://market.example, or an app's such as android:apk-key-hash:…",
    fits |text| {
        let is_local = || text.strip_prefix("http://localhost").is_some_and(|port| port.is_empty() || port.starts_with(':'));
        text.len() <= ORIGIN_LENGTH_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
            && (text.strip_prefix("https://").is_some_and(|host| !host.is_empty() && !host.contains('/'))
                || text.starts_with("android:apk-key-hash:")
                || is_local())
    }
}

/// Bytes that stand in JSON as base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Url(pub Vec<u8>);

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text.as_bytes()).map(Base64Url).map_err(de::Error::custom)
    }
}

impl JsonSchema for Base64Url {
    fn schema_name() -> Cow<'static, str> {
        "Base64Url".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Za-z0-9_-]*$", "description": "Bytes in base64url without padding"})
    }
}

/// What needs a second factor in a market, and what its passkeys are made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpTerms {
    /// Where passkeys may be used: 1 to 16.
    pub origins: BTreeSet<Origin>,
    /// The domain that passkeys are made for.
    pub relying_party: Domain,
    /// What needs a second factor: a command that any of them is about. None: nothing does.
    pub rules: Vec<StepUpRule>,
}

/// Commands that need a second factor. All that is said here has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpRule {
    /// The command names more than this, in minor units of each currency. Empty: whatever it names, or nothing.
    pub above_minor: BTreeMap<Currency, i64>,
    /// The commands.
    pub commands: BTreeSet<Commands>,
    /// The device is younger than this, in milliseconds; 0: however old it is.
    pub device_younger_than_ms: i64,
}

impl StepUpTerms {
    /// Most rules.
    pub const RULES_MAX: usize = 32;
    /// Most origins.
    pub const ORIGINS_MAX: usize = 16;
    /// Most groups of commands, or currencies, that a rule may name.
    pub const NAMED_MAX: usize = 32;
    /// The longest time that a device may count as new: ten years.
    pub const AGE_MS_MAX: i64 = 315_360_000_000;

    /// Tells whether all that it says is in range.
    pub fn is_valid(&self) -> bool {
        let is_good = |rule: &StepUpRule| {
            (1..=Self::NAMED_MAX).contains(&rule.commands.len())
                && rule.above_minor.len() <= Self::NAMED_MAX
                && rule.above_minor.values().all(|minor| (0..=Money::MINOR_MAX).contains(minor))
                && (0..=Self::AGE_MS_MAX).contains(&rule.device_younger_than_ms)
        };
        self.rules.len() <= Self::RULES_MAX
            && (1..=Self::ORIGINS_MAX).contains(&self.origins.len())
            && self.rules.iter().all(is_good)
    }
}

/// An operator said what needs a second factor from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TermsSet {
    /// All of it; it takes the place of what was said before.
    pub terms: StepUpTerms,
}

/// A passkey was enrolled: its holder can approve commands of the account with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyEnrolled {
    /// Whose it is.
    pub account: AccountId,
    /// Its id.
    pub credential: CredentialId,
    /// Its public key.
    pub key: PublicKey,
}

/// A passkey approves nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyRemoved {
    /// Whose it was.
    pub account: AccountId,
    /// Its id.
    pub credential: CredentialId,
}

/// What was shown beside a command that needed a second factor, whole, so that it can be checked again. It travels beside the
/// signed bytes, which it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StepUp {
    /// A passkey's approval.
    Webauthn(Assertion),
    /// What was made of an app's code.
    Totp(TotpShown),
    /// A recovery code.
    Recovery(RecoveryShown),
}

/// What a passkey signed for one command (WebAuthn Level 2, §7.2). Its challenge is SHA-256 of what the device signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// `authenticatorData`: at most 1 KiB.
    pub authenticator_data: Base64Url,
    /// `clientDataJSON`: at most 2 KiB.
    pub client_data: Base64Url,
    /// Which passkey.
    pub credential: CredentialId,
    /// Its signature over `authenticator_data` and SHA-256 of `client_data`: DER for ES256, 64 bytes for EdDSA.
    pub signature: Base64Url,
}

impl Assertion {
    /// Most bytes of the authenticator's data.
    pub const AUTHENTICATOR_DATA_BYTES_MAX: usize = 1024;
    /// Most bytes of the client's data.
    pub const CLIENT_DATA_BYTES_MAX: usize = 2048;
    /// Most bytes of a signature.
    pub const SIGNATURE_BYTES_MAX: usize = 128;
    /// Bytes of the authenticator's data that are always there: the domain's hash, the flags and the counter.
    pub const HEADER_BYTES: usize = 37;

    /// Tells whether its parts have a size that can be looked at.
    pub fn fits(&self) -> bool {
        (Self::HEADER_BYTES..=Self::AUTHENTICATOR_DATA_BYTES_MAX).contains(&self.authenticator_data.0.len())
            && self.client_data.0.len() <= Self::CLIENT_DATA_BYTES_MAX
            && self.signature.0.len() <= Self::SIGNATURE_BYTES_MAX
    }

    /// Gives how often the authenticator says to have signed; 0: it does not count, or says nothing that can be read.
    pub fn sign_count(&self) -> u32 {
        let bytes = self.authenticator_data.0.get(33..Self::HEADER_BYTES);
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_domains_have_a_form() {
        for good in [
            "https://market.example",
            "https://market.example:8443",
            "http://localhost:8080",
            "android:apk-key-hash:x",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "http://market.example",
            "https://",
            "https://market.example/",
            "market.example",
            "http://localhostile",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
        for good in ["localhost", "market.example"] {
            assert!(good.parse::<Domain>().is_ok(), "{good}");
        }
        for bad in ["", "Market.example", "market..example", "-a.example", "https://market.example"] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
    }
}
