//! Facts about what is personal of accounts. What it is stands in no event: only that there is something, by a hash that is salted,
//! so that nobody who reads the log can guess it; and that an account was erased.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::code;
use crate::hash::Hash;
use crate::ids::{AccountId, OrderId};

/// What an account may tell of whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileField {
    /// A person's name.
    Name,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A postal address.
    Address,
    /// A firm's name.
    Company,
    /// A number by which a tax office knows it.
    TaxNumber,
}

impl ProfileField {
    /// Every field.
    pub const ALL: &'static [ProfileField] = &[
        ProfileField::Name,
        ProfileField::Email,
        ProfileField::Phone,
        ProfileField::Address,
        ProfileField::Company,
        ProfileField::TaxNumber,
    ];
}

/// As it stands in JSON.
impl fmt::Display for ProfileField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProfileField::Name => "name",
            ProfileField::Email => "email",
            ProfileField::Phone => "phone",
            ProfileField::Address => "address",
            ProfileField::Company => "company",
            ProfileField::TaxNumber => "tax_number",
        })
    }
}

/// An account's profile was set, in part or as a whole. The values are in the vault of whoever runs the market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileSet {
    /// Whose it is.
    pub account: AccountId,
    /// What changed: SHA-256 of salt and value; null: the field is empty now.
    pub fields: BTreeMap<ProfileField, Option<Hash>>,
    /// What the changed fields were before, where they were not empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<ProfileField, Hash>,
}

code! {
    /// A key that others encrypt with to somebody: X25519 (RFC 7748), 32 bytes in base64url.
    EncryptionKey: "EncryptionKey", "encryption key",
    must be "the 32 bytes of an X25519 public key in base64url without padding",
    pattern "^[A-Za-z0-9_-]{43}$",
    description "The 32 bytes of an X25519 public key in base64url without padding",
    fits |text| URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32 && bytes != [0; 32])
}

impl EncryptionKey {
    /// Gives its bytes.
    ///
    /// # Panics
    /// Never: a text that is none is refused when it is read.
    pub fn to_bytes(&self) -> [u8; 32] {
        let bytes = URL_SAFE_NO_PAD.decode(self.as_str()).expect("it was decoded when it was read");
        bytes.try_into().expect("its length was looked at when it was read")
    }
}

/// A seller said with which key addresses are encrypted to him from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EncryptionKeySet {
    /// The seller.
    pub account: AccountId,
    /// The key; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<EncryptionKey>,
}

/// An order was placed with an address that only its seller can read. It stands in the vault, under the buyer's data key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressSealed {
    /// The order.
    pub order: OrderId,
    /// Who buys.
    pub buyer: AccountId,
    /// Who sells, and can read it.
    pub seller: AccountId,
    /// SHA-256 of the salt and of what was encrypted.
    pub hash: Hash,
    /// The key that it was encrypted with.
    pub key: EncryptionKey,
}

/// An account was erased: nothing that is personal of it can be read any more, and its keys sign nothing from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// Which.
    pub account: AccountId,
}
