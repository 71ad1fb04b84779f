//! Facts about what is personal of accounts. What it is stands in no event: only that there is something, by a hash that is salted,
//! so that nobody who reads the log can guess it; and that an account was erased.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::ids::AccountId;

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

/// An account was erased: nothing that is personal of it can be read any more, and its keys sign nothing from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// Which.
    pub account: AccountId,
}
