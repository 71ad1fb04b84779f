//! Identifiers. Each aggregate has its own type, so that a cart's id can't be passed where an order's is meant.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::hash::{Hash, Hasher};
use crate::time::Timestamp;

/// Why a text is not the identifier it stands for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {rule}")]
pub struct IdError {
    /// What the text should have been.
    pub what: &'static str,
    /// The text as it came, shortened to 64 characters.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl IdError {
    pub(crate) fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        IdError { what, text: text.chars().take(64).collect(), rule }
    }
}

/// The number of a thing of which a command makes only one.
const ONLY: [u8; 4] = [0; 4];

/// Derives a UUIDv7 whose time is that of `seed` and whose other bits are a hash: the same inputs give the
/// same id on every machine, and nobody can choose an id that already belongs to another.
fn derive_v7(seed: Uuid, domain: &str, owner: Uuid, n: &[u8]) -> Uuid {
    let mut hasher = Hasher::new();
    hasher.update(domain.as_bytes());
    hasher.update(owner.as_bytes());
    hasher.update(seed.as_bytes());
    hasher.update(n);
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hasher.finish().as_bytes()[..16]);
    bytes[..6].copy_from_slice(&seed.as_bytes()[..6]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid::from_bytes(bytes)
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident = $what:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes any UUID. Whoever makes a new id makes a UUIDv7.
            pub const fn from_uuid(id: Uuid) -> Self {
                $name(id)
            }

            /// Gives the UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// Gives the time inside a UUIDv7, `None` for other versions.
            pub fn time(self) -> Option<Timestamp> {
                v7_time(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text)
                    .map($name)
                    .map_err(|_| IdError::new($what, text, "it must be a UUID such as 0190b5a0-7c00-7000-8000-000000000001"))
            }
        }
    )*};
}

uuid_ids! {
    /// A person or firm that buys, sells or serves in a market.
    AccountId = "account id",
    /// One device of an account; its key may change, its id does not.
    DeviceId = "device id",
    /// One app of an account that makes codes.
    AuthenticatorId = "authenticator id",
    /// One password of an account.
    PasswordId = "password id",
    /// One time that somebody is signed in.
    SessionId = "session id",
    /// One thing offered for sale.
    ListingId = "listing id",
    /// One cart; an account has at most one active.
    CartId = "cart id",
    /// One order: the lines of one checkout that one seller serves.
    OrderId = "order id",
    /// The orders of one checkout, one for each seller.
    OrderGroupId = "order group id",
    /// One payment through an outside provider.
    PaymentId = "payment id",
    /// One refund of a part of a payment.
    RefundId = "refund id",
    /// One promotion of a seller.
    PromotionId = "promotion id",
    /// One payout of what a seller has earned.
    PayoutId = "payout id",
    /// One dispute of a payment by the buyer's bank: an inquiry, a chargeback, or one that became the other.
    ChargebackId = "chargeback id",
    /// One change of an order that its buyer and its seller agree to, or do not.
    ChangeId = "change id",
    /// An address that somebody has told what happens.
    WebhookId = "webhook id",
    /// A device of somebody's that is told what happens.
    PushSubscriptionId = "push subscription id",
    /// Units of a listing that a buyer has set aside.
    ReservationId = "reservation id",
    /// What a client names its wish with: the idempotency key of a command (`cid`).
    CommandId = "command id",
    /// One commit: the events of one decision.
    CommitId = "commit id",
    /// One run of an engine process as writer of a market.
    WriterId = "writer id",
}

fn v7_time(id: Uuid) -> Option<Timestamp> {
    if id.get_version_num() != 7 {
        return None;
    }
    let bytes = id.as_bytes();
    let mut ms = [0u8; 8];
    ms[2..].copy_from_slice(&bytes[..6]);
    Some(Timestamp::from_ms(i64::from_be_bytes(ms)))
}

impl OrderId {
    /// Derives the id of the `n`-th order that a command creates. Since a command id is used once per account
    /// for ever, so is the order id: no second order can take it, and a client knows it before it sends.
    pub fn derive(account: AccountId, command: CommandId, n: u32) -> Self {
        OrderId(derive_v7(command.0, "skylink order", account.0, &n.to_be_bytes()))
    }
}

impl OrderGroupId {
    /// Derives the id of all orders that a command creates together.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        OrderGroupId(derive_v7(command.0, "skylink order group", account.0, &ONLY))
    }
}

impl CartId {
    /// Derives the id of the cart that a command opens.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        CartId(derive_v7(command.0, "skylink cart", account.0, &ONLY))
    }
}

impl PaymentId {
    /// Derives the id of the payment that a command asks for, as [`OrderId::derive`] does: nobody can take another's,
    /// and a client knows it before it sends.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        PaymentId(derive_v7(command.0, "skylink payment", account.0, &ONLY))
    }
}

impl RefundId {
    /// Derives the id of the refund that a command asks for.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        RefundId(derive_v7(command.0, "skylink refund", account.0, &ONLY))
    }

    /// Derives the id of the refund for what an order pays back when it has paid back `before` already, in minor units.
    pub fn of_order(order: OrderId, payment: PaymentId, before: i64) -> Self {
        RefundId(derive_v7(order.0, "skylink order refund", payment.0, &before.to_be_bytes()))
    }
}

impl PayoutId {
    /// Derives the id of the payout that a command asks for.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        PayoutId(derive_v7(command.0, "skylink payout", account.0, &ONLY))
    }
}

impl ChargebackId {
    /// Derives the id of a dispute that a provider knows by a reference: the same dispute has one id, however often it is told.
    pub fn derive(payment: PaymentId, reference: &str) -> Self {
        ChargebackId(derive_v7(payment.0, "skylink chargeback", payment.0, reference.as_bytes()))
    }
}

impl ReservationId {
    /// Derives the id of the reservation that a command makes.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        ReservationId(derive_v7(command.0, "skylink reservation", account.0, &ONLY))
    }
}

impl ChangeId {
    /// Derives the id of the change of an order that a command proposes.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        ChangeId(derive_v7(command.0, "skylink order change", account.0, &ONLY))
    }
}

impl PromotionId {
    /// Derives the id of the promotion that a command creates.
    pub fn derive(account: AccountId, command: CommandId) -> Self {
        PromotionId(derive_v7(command.0, "skylink promotion", account.0, &ONLY))
    }
}

impl CommandId {
    /// Derives the id under which what a provider did is reported: the same for the same outcome of the same payment or
    /// payout, so that a repeated report is a repeat. Its time is that of what it is about.
    pub fn of_report(provider: AccountId, about: Uuid, outcome: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(provider.0.as_bytes());
        hasher.update(outcome);
        let mut owner = [0u8; 16];
        owner.copy_from_slice(&hasher.finish().as_bytes()[..16]);
        CommandId(derive_v7(about, "skylink report", Uuid::from_bytes(owner), &ONLY))
    }
}

impl CommitId {
    /// Derives the id of the commit that `writer` puts at `position`. Two writers never make the same id, which
    /// is how a writer that lost an answer tells its own commit from another's.
    pub fn derive(writer: WriterId, position: u64, time: Timestamp) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"skylink commit");
        hasher.update(writer.0.as_bytes());
        hasher.update(&position.to_be_bytes());
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&hasher.finish().as_bytes()[..16]);
        bytes[..6].copy_from_slice(&time.ms().to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        CommitId(Uuid::from_bytes(bytes))
    }
}

/// The name of a market: 1 to 32 of `a-z 0-9 _ -`. It is a token of NATS subjects and a folder's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarketName(Cow<'static, str>);

impl MarketName {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 32;

    /// Gives the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MarketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MarketName {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if !fits {
            return Err(IdError::new("market name", text, "it must be 1 to 32 of a-z, 0-9, _ and -"));
        }
        Ok(MarketName(Cow::Owned(text.to_owned())))
    }
}

impl Serialize for MarketName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MarketName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for MarketName {
    fn schema_name() -> Cow<'static, str> {
        "MarketName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"})
    }
}

/// Names a public key: the RFC 7638 thumbprint of its JWK (SHA-256), written as base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 32]);

/// 16 random bytes that a client puts into each signed command, written as base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 16]);

macro_rules! base64url_bytes {
    ($name:ident, $bytes:literal, $what:literal, $rule:literal, $pattern:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0u8; $bytes];
                match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
                    Ok($bytes) => Ok($name(bytes)),
                    _ => Err(IdError::new($what, text, $rule)),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    <[u8; $bytes]>::deserialize(deserializer).map($name)
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

base64url_bytes!(
    KeyId,
    32,
    "key id",
    "it must be 32 bytes in base64url without padding",
    "^[A-Za-z0-9_-]{43}$"
);
base64url_bytes!(
    Nonce,
    16,
    "nonce",
    "it must be 16 bytes in base64url without padding",
    "^[A-Za-z0-9_-]{22}$"
);

impl From<Hash> for KeyId {
    fn from(hash: Hash) -> Self {
        KeyId(*hash.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> CommandId {
        text.parse().unwrap()
    }

    #[test]
    fn a_derived_order_id_keeps_the_commands_time_and_differs_per_account_and_number() {
        let cid = command("0190b5a0-7c00-7000-8000-000000000001");
        let (alice, bob) =
            (AccountId::from_uuid(Uuid::from_u128(1)), AccountId::from_uuid(Uuid::from_u128(2)));
        let id = OrderId::derive(alice, cid, 0);
        assert_eq!(id.time(), cid.time());
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id, OrderId::derive(alice, cid, 0));
        assert_ne!(id, OrderId::derive(alice, cid, 1));
        assert_ne!(id, OrderId::derive(bob, cid, 0));
    }

    #[test]
    fn market_names_are_safe_subject_tokens() {
        for good in ["main", "eu-1", "a_b", "0"] {
            assert!(good.parse::<MarketName>().is_ok(), "{good}");
        }
        for bad in ["", "Main", "a.b", "a b", "*", ">", "ü", &"x".repeat(33)] {
            assert!(bad.parse::<MarketName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nonces_have_exactly_sixteen_bytes() {
        let nonce = Nonce([7; 16]);
        assert_eq!(nonce.to_string().parse::<Nonce>().unwrap(), nonce);
        for bad in
            ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA*"]
        {
            assert!(bad.parse::<Nonce>().is_err(), "{bad}");
        }
    }
}
