//! Facts of listings, their stock, and the wallets that pay for them.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::code;
use crate::escrow::rule::ReleaseRule;
use crate::ids::{AccountId, ListingId};
use crate::ledger::Transfer;
use crate::location::Location;
use crate::money::{Money, Quantity};

/// A seller offered something for sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// Whether its seller takes nothing of it back after it was delivered, where the market offers returns; absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub final_sale: bool,
    /// The listing.
    pub listing: ListingId,
    /// Price of one unit.
    pub price: Money,
    /// Who sells.
    pub seller: AccountId,
    /// What it is, 1 to 200 characters.
    pub title: String,
    /// Counts the changes of the listing from 1.
    pub version: u32,
    /// How many units an order may have of it; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Whether only accounts that are cleared for it may buy it; absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// How it is taxed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
    /// The listing it is a variant of, and what sets it apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// What sets its money free besides what the market asks for; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseRule>,
}

impl Created {
    /// Says that something is offered which anybody may buy, in any number, and return, and that is no variant.
    pub fn new(listing: ListingId, price: Money, seller: AccountId, title: String) -> Self {
        Created {
            final_sale: false,
            listing,
            price,
            seller,
            title,
            version: 1,
            limits: None,
            restricted: false,
            tax_class: None,
            variant: None,
            release: None,
        }
    }
}

/// A seller changed what is offered. Only what changed is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Updated {
    /// Whether its seller takes nothing of it back after it was delivered, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_sale: Option<bool>,
    /// How many units an order may have of it from now on; `{}`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The listing.
    pub listing: ListingId,
    /// Price of one unit from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Whether only accounts that are cleared for it may buy it from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricted: Option<bool>,
    /// How it is taxed from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
    /// What it is from now on, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Counts the changes of the listing; the one it has afterwards.
    pub version: u32,
    /// What sets its money free from now on besides what the market asks for; the market's own rule: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseRule>,
}

/// A seller stopped selling something for the time being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paused {
    /// The listing.
    pub listing: ListingId,
}

/// A seller sells something again that was paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// The listing.
    pub listing: ListingId,
}

/// A seller stopped selling something for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawn {
    /// The listing.
    pub listing: ListingId,
}

/// An operator forbade that something is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blocked {
    /// The listing.
    pub listing: ListingId,
    /// Why, 1 to 200 characters.
    pub reason: String,
    /// Who sells it.
    pub seller: AccountId,
}

/// An operator allowed again that something is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unblocked {
    /// The listing.
    pub listing: ListingId,
    /// Why, 1 to 200 characters.
    pub reason: String,
    /// Who sells it.
    pub seller: AccountId,
}

/// How many units an order may have of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// At most; absent: as many as an order can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Quantity>,
    /// At least; absent: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Quantity>,
}

impl Limits {
    /// Gives the fewest and the most units.
    pub fn range(self) -> (u32, u32) {
        (self.min.map_or(1, Quantity::get), self.max.map_or(Quantity::MAX, Quantity::get))
    }
}

/// What makes a listing a variant of another: the same thing in red, or larger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Variant {
    /// What sets it apart, by name: 1 to 8 attributes, names of 1 to 32 characters, values of 1 to 64.
    pub attributes: BTreeMap<String, String>,
    /// The listing it is a variant of, which is itself none.
    pub of: ListingId,
}

/// Whether a listing can be bought, in one word: the strongest reason against it, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListingStatus {
    /// It can.
    Active,
    /// Its seller sells none for the time being.
    Paused,
    /// An operator forbade it.
    Blocked,
    /// Its seller sells none any more.
    Withdrawn,
}

impl fmt::Display for ListingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ListingStatus::Active => "active",
            ListingStatus::Paused => "paused",
            ListingStatus::Blocked => "blocked",
            ListingStatus::Withdrawn => "withdrawn",
        })
    }
}

code! {
    /// The word that says how something is taxed: 1 to 32 of `a-z 0-9 _`.
    TaxClass: "TaxClass", "tax class", must be "1 to 32 of a-z, 0-9 and _", pattern "^[a-z0-9_]{1,32}$",
    description "1 to 32 of a-z, 0-9 and _",
    fits |text| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    }
}

/// Units arrived in stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockReceived {
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Units on hand afterwards at all locations, reserved ones among them.
    pub on_hand: u64,
    /// How many arrived.
    pub quantity: Quantity,
}

/// Money arrived in a wallet from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WalletFunded {
    /// Whose wallet.
    pub account: AccountId,
    /// The provider's reference, 1 to 64 characters.
    pub reference: String,
    /// From the provider's clearing account to the wallet.
    pub transfer: Transfer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tax_classes_are_short_plain_words() {
        for good in ["standard", "reduced_7", "0", &"x".repeat(32)] {
            assert!(good.parse::<TaxClass>().is_ok(), "{good}");
        }
        for bad in ["", "Standard", "a-b", "a b", "ü", &"x".repeat(33)] {
            assert!(bad.parse::<TaxClass>().is_err(), "{bad}");
        }
    }
}
