//! Facts of promotions: what sellers or the platform take off prices, for whom and until when. Uses are told by the orders: a
//! line names what it was cheaper by, and an order that is cancelled before anything of it was shipped gives its uses back.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::code;
use crate::ids::{AccountId, ListingId, OrderId, PromotionId};
use crate::ledger::Transfer;
use crate::money::{Bps, Money};
use crate::time::Timestamp;

/// Something is taken off prices, by a seller off his own or by the platform. It never changes afterwards: it only ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// Only buyers who name it get it; absent: everybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CouponCode>,
    /// From when on.
    pub from: Timestamp,
    /// What it gives.
    pub gives: Benefit,
    /// What it is taken off of; absent: everything the seller sells, or everybody does where the platform pays.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub listings: BTreeSet<ListingId>,
    /// How much the buyer must spend on it, before anything is taken off; absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_spend: Option<Money>,
    /// The promotion.
    pub promotion: PromotionId,
    /// Who sells, and earns less; absent: the platform pays, and sellers earn what they would without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<AccountId>,
    /// What buyers are told, 1 to 200 characters.
    pub title: String,
    /// Until when, that moment left out; absent: until somebody ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many orders may have it; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How many orders of one account may have it; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_per_account: Option<u32>,
}

/// Somebody ended a promotion. Orders that were placed keep what it gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// The promotion.
    pub promotion: PromotionId,
    /// Whose promotion it was; absent: the platform's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<AccountId>,
}

/// Who pays what a promotion gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaidBy {
    /// The seller: his goods cost less, and so does what is taxed and what the platform's fee is on.
    #[default]
    Seller,
    /// The platform: the buyer pays less, and the seller gets as much as without it. Taxes and the fee are on the whole price.
    Platform,
}

impl PaidBy {
    /// Tells whether the seller pays.
    pub const fn is_seller(&self) -> bool {
        matches!(self, PaidBy::Seller)
    }
}

/// What the platform pays of an order was put into its escrow, in the commit that placed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subsidized {
    /// The order.
    pub order: OrderId,
    /// From the platform to the escrow.
    pub transfer: Transfer,
}

/// What the platform had paid of units that are cancelled, or of an amount that is given back, returned to it. The buyer gets
/// the rest in the same commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubsidyReturned {
    /// The order.
    pub order: OrderId,
    /// From the escrow to the platform.
    pub transfer: Transfer,
}

/// What a promotion gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Benefit {
    /// This share of each line's price, in hundredths of a percent; halves of a minor unit go away from zero.
    Percent(Bps),
    /// This amount, once for the order, split over its lines in proportion to their prices.
    Amount(Money),
}

/// What a line was cheaper by, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discount {
    /// By how much.
    pub amount: Money,
    /// Who pays that; absent: the seller.
    #[serde(default, skip_serializing_if = "PaidBy::is_seller")]
    pub paid_by: PaidBy,
    /// The promotion that gave it.
    pub promotion: PromotionId,
}

code! {
    /// The code of a coupon: 3 to 32 of `A-Z 0-9 _ -`.
    CouponCode: "CouponCode", "coupon code", must be "3 to 32 of A-Z, 0-9, _ and -", pattern "^[A-Z0-9_-]{3,32}$",
    description "3 to 32 of A-Z, 0-9, _ and -",
    fits |text| {
        (3..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_can_be_read_aloud() {
        for good in ["TEA", "SUMMER-26", "A_1"] {
            assert!(good.parse::<CouponCode>().is_ok(), "{good}");
        }
        for bad in ["", "AB", "summer", "A B C", &"X".repeat(33)] {
            assert!(bad.parse::<CouponCode>().is_err(), "{bad}");
        }
    }
}
