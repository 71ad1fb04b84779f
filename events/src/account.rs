//! Facts of accounts and their devices.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::device::KeyScope;
use crate::hash::Hash;
use crate::ids::{AccountId, DeviceId, KeyId};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Fills carts and places orders.
    Buyer,
    /// Lists items, receives stock, ships.
    Seller,
    /// Runs the market: may cancel any order.
    Operator,
    /// Registers accounts and devices.
    Registrar,
    /// Moves money in on behalf of a payment provider, reports deliveries on behalf of a carrier.
    Provider,
    /// Fills a cart before anybody knows who he is; buys nothing.
    Guest,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Role] =
        &[Role::Buyer, Role::Seller, Role::Operator, Role::Registrar, Role::Provider, Role::Guest];
}

/// As people say it, and as it stands in JSON.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Buyer => "buyer",
            Role::Seller => "seller",
            Role::Operator => "operator",
            Role::Registrar => "registrar",
            Role::Provider => "provider",
            Role::Guest => "guest",
        })
    }
}

/// An account was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// The account.
    pub account: AccountId,
    /// What it may do; never empty.
    pub roles: BTreeSet<Role>,
}

/// A device and its public key were registered for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceRegistered {
    /// Whose device it is.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// Its public key; the algorithm of its signatures is pinned by it.
    pub key: PublicKey,
    /// Its name, 1 to 64 characters; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the key may do of what the account may; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<KeyScope>,
}

impl DeviceRegistered {
    /// Says that a device without a name may do all that its account may.
    pub const fn new(account: AccountId, device: DeviceId, key: PublicKey) -> Self {
        DeviceRegistered { account, device, key, name: None, scope: None }
    }
}

/// An operator forbade a seller to sell. Orders that are open go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SellerSuspended {
    /// The seller.
    pub account: AccountId,
    /// Why, 1 to 200 characters.
    pub reason: String,
}

/// An operator allowed a seller to sell again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SellerReinstated {
    /// The seller.
    pub account: AccountId,
    /// Why, 1 to 200 characters.
    pub reason: String,
}

/// An operator forbade an account to ask for anything. What it owes and is owed goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspended {
    /// The account.
    pub account: AccountId,
    /// Why, 1 to 200 characters.
    pub reason: String,
}

/// An operator took an account's suspension back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reinstated {
    /// The account.
    pub account: AccountId,
    /// Why, 1 to 200 characters.
    pub reason: String,
}

/// An operator cleared a buyer for restricted goods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClearanceGranted {
    /// The buyer.
    pub account: AccountId,
    /// Why, 1 to 200 characters.
    pub reason: String,
}

/// An operator took a buyer's clearance for restricted goods away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClearanceRevoked {
    /// The buyer.
    pub account: AccountId,
    /// Why, 1 to 200 characters.
    pub reason: String,
}

/// How well it is known who a buyer is: 0, as everybody begins, to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Tier(u8);

/// Says that a number is no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tier must be 0 to {max}, not {0}", max = Tier::MAX)]
pub struct TierError(pub u64);

impl Tier {
    /// The highest tier.
    pub const MAX: u32 = 3;

    /// Takes a number in range.
    pub const fn new(tier: u32) -> Result<Self, TierError> {
        if tier <= Self::MAX { Ok(Tier(tier as u8)) } else { Err(TierError(tier as u64)) }
    }

    /// Gives the number.
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tier = u8::deserialize(deserializer)?;
        Tier::new(u32::from(tier)).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Tier {
    fn schema_name() -> Cow<'static, str> {
        "Tier".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer", "minimum": 0, "maximum": Tier::MAX,
            "description": "How well it is known who a buyer is"
        })
    }
}

/// Whoever says who is who said how well it is known who a buyer is. Limits of the market go by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// The buyer.
    pub account: AccountId,
    /// How well.
    pub tier: Tier,
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// Ed25519, `EdDSA` in a JWS header.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256, `ES256` in a JWS header.
    #[serde(rename = "ES256")]
    Es256,
}

/// A public key as its coordinates. That they are a point of the curve, and no weak one, was checked before it
/// could stand in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicKey {
    /// The compressed Edwards point.
    Ed25519([u8; 32]),
    /// The affine coordinates x and y, big-endian.
    P256([u8; 32], [u8; 32]),
}

/// The JWK of RFC 7517 and 8037, members in the order of RFC 7638.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk<'a> {
    #[serde(borrow)]
    crv: Cow<'a, str>,
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow)]
    x: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    y: Option<Cow<'a, str>>,
}

/// Says that a JWK is no key this market can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key must be a JWK with kty OKP, crv Ed25519 and x, or kty EC, crv P-256, x and y; coordinates are 32 bytes in base64url"
)]
pub struct JwkError;

impl PublicKey {
    /// Tells how the key signs.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            PublicKey::Ed25519(_) => Algorithm::EdDsa,
            PublicKey::P256(..) => Algorithm::Es256,
        }
    }

    /// Gives the RFC 7638 thumbprint.
    pub fn id(&self) -> KeyId {
        let jwk = serde_json::to_vec(&self.jwk()).expect("four texts can always be written as JSON");
        Hash::of(&jwk).into()
    }

    fn jwk(&self) -> Jwk<'static> {
        let text = |bytes: &[u8; 32]| Cow::Owned(URL_SAFE_NO_PAD.encode(bytes));
        match self {
            PublicKey::Ed25519(x) => Jwk { crv: "Ed25519".into(), kty: "OKP".into(), x: text(x), y: None },
            PublicKey::P256(x, y) => {
                Jwk { crv: "P-256".into(), kty: "EC".into(), x: text(x), y: Some(text(y)) }
            }
        }
    }

    fn from_jwk(jwk: &Jwk<'_>) -> Result<Self, JwkError> {
        let bytes = |text: &str| {
            let mut bytes = [0u8; 32];
            match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
                Ok(32) => Ok(bytes),
                _ => Err(JwkError),
            }
        };
        match (jwk.kty.as_ref(), jwk.crv.as_ref(), &jwk.y) {
            ("OKP", "Ed25519", None) => Ok(PublicKey::Ed25519(bytes(&jwk.x)?)),
            ("EC", "P-256", Some(y)) => Ok(PublicKey::P256(bytes(&jwk.x)?, bytes(y)?)),
            _ => Err(JwkError),
        }
    }
}

/// The form in disposable binary files.
#[derive(Serialize, Deserialize)]
enum BinaryKey {
    Ed25519([u8; 32]),
    P256([u8; 32], [u8; 32]),
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.jwk().serialize(serializer);
        }
        match *self {
            PublicKey::Ed25519(x) => BinaryKey::Ed25519(x),
            PublicKey::P256(x, y) => BinaryKey::P256(x, y),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return PublicKey::from_jwk(&Jwk::deserialize(deserializer)?).map_err(serde::de::Error::custom);
        }
        Ok(match BinaryKey::deserialize(deserializer)? {
            BinaryKey::Ed25519(x) => PublicKey::Ed25519(x),
            BinaryKey::P256(x, y) => PublicKey::P256(x, y),
        })
    }
}

impl JsonSchema for PublicKey {
    fn schema_name() -> Cow<'static, str> {
        "PublicKey".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let coordinate = serde_json::json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"});
        json_schema!({
            "description": "JWK of a device key",
            "oneOf": [
                {"type": "object", "additionalProperties": false, "required": ["crv", "kty", "x"],
                 "properties": {"crv": {"const": "Ed25519"}, "kty": {"const": "OKP"}, "x": coordinate}},
                {"type": "object", "additionalProperties": false, "required": ["crv", "kty", "x", "y"],
                 "properties": {"crv": {"const": "P-256"}, "kty": {"const": "EC"}, "x": coordinate, "y": coordinate}}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key: PublicKey = serde_json::from_str(jwk).unwrap();
        assert_eq!(key.id().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_jwk_of_another_curve_or_with_more_members_is_refused() {
        for bad in [
            r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qY"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"secret"}"#,
        ] {
            assert!(serde_json::from_str::<PublicKey>(bad).is_err(), "{bad}");
        }
    }
}
