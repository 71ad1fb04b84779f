//! Facts of carts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, CartId, ListingId, OrderId};
use crate::money::{Money, Quantity};
use crate::promotion::CouponCode;
use crate::time::Timestamp;

/// Units of a listing were put into a cart; the first such event opens the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemAdded {
    /// Whose cart.
    pub account: AccountId,
    /// How many were added.
    pub added: Quantity,
    /// Who did it, where another fills the cart with its owner; absent: the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AccountId>,
    /// The cart.
    pub cart: CartId,
    /// The listing.
    pub listing: ListingId,
    /// The listing's version that the buyer saw.
    pub listing_version: u32,
    /// Units of the line afterwards.
    pub quantity: Quantity,
    /// Price of one unit when it was added; checkout prices again.
    pub unit_price: Money,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// A line's quantity was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuantitySet {
    /// Whose cart.
    pub account: AccountId,
    /// Who did it, where another fills the cart with its owner; absent: the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AccountId>,
    /// The cart.
    pub cart: CartId,
    /// The listing.
    pub listing: ListingId,
    /// Units of the line afterwards.
    pub quantity: Quantity,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// A line was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemRemoved {
    /// Whose cart.
    pub account: AccountId,
    /// Who did it, where another fills the cart with its owner; absent: the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AccountId>,
    /// The cart.
    pub cart: CartId,
    /// The listing.
    pub listing: ListingId,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// All lines were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cleared {
    /// Whose cart.
    pub account: AccountId,
    /// Who did it, where another fills the cart with its owner; absent: the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AccountId>,
    /// The cart.
    pub cart: CartId,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// The owner of a cart gave it a name, or took its name away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// What it is called, 1 to 64 characters; absent: it has no name any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// The owner of a cart shares it with another account, which sees it and changes its lines from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shared {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// Counts the cart's events from 1.
    pub version: u64,
    /// With whom.
    pub with: AccountId,
}

/// A cart is not shared with an account any more: its owner ended that, or the account left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unshared {
    /// Whose cart.
    pub account: AccountId,
    /// The account that left it; absent: its owner ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AccountId>,
    /// The cart.
    pub cart: CartId,
    /// Counts the cart's events from 1.
    pub version: u64,
    /// With whom it was shared.
    pub with: AccountId,
}

/// A coupon was put into a cart, in the place of one that was there. What it gives is decided when the cart is bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CouponApplied {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// The coupon's code.
    pub coupon: CouponCode,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// The coupon was taken out of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CouponRemoved {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// The coupon's code.
    pub coupon: CouponCode,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// The cart became orders, in the same commit as they were placed. It can't be edited any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Migrated {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// The orders, one per seller.
    pub orders: Vec<OrderId>,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// A line was put aside. Saved lines belong to the account: they are in no total, and stay when the cart is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedForLater {
    /// Whose cart.
    pub account: AccountId,
    /// The cart that the line left.
    pub cart: CartId,
    /// The listing.
    pub listing: ListingId,
    /// Units of the saved line afterwards.
    pub quantity: Quantity,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// A saved line was put back into the cart; it opens one where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovedBack {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// The listing.
    pub listing: ListingId,
    /// Units of the cart's line afterwards.
    pub quantity: Quantity,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// How the quantities of two carts become one, line by line. Lines that only one of them has are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergePolicy {
    /// The larger of both.
    #[default]
    Max,
    /// Both together.
    Sum,
    /// That of the cart that is merged in.
    Replace,
}

/// Another account's cart, which can't be changed any more, was merged into a cart; this opens one where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Merged {
    /// Whose cart took the lines.
    pub account: AccountId,
    /// The cart that took them.
    pub cart: CartId,
    /// Every line of the source.
    pub lines: Vec<MergedLine>,
    /// How quantities became one.
    pub policy: MergePolicy,
    /// The cart that was merged in.
    pub source: MergeSource,
    /// Counts the events of the cart that took the lines, from 1.
    pub version: u64,
}

/// The cart that was merged into another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MergeSource {
    /// Whose it was.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// Its version afterwards, which is its last one.
    pub version: u64,
}

/// What became of one line of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MergedLine {
    /// Units that the source had.
    pub from: Quantity,
    /// Units that the other cart had; none: it had no such line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub had: Option<Quantity>,
    /// The listing.
    pub listing: ListingId,
    /// Units of the line afterwards.
    pub result: Quantity,
}

/// A cart was frozen: it can't be edited, and is bought at these prices. It reserves no stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Frozen {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// The price of each line, as it is kept.
    pub prices: Vec<KeptPrice>,
    /// Until when, unless the owner unfreezes it earlier.
    pub until: Timestamp,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// The price of a listing as a frozen cart keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptPrice {
    /// The listing.
    pub listing: ListingId,
    /// The version of the listing that had this price.
    pub listing_version: u32,
    /// Price of one unit.
    pub unit_price: Money,
}

/// A cart can be edited again and has today's prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unfrozen {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// The lines of a cart that had become orders are in a cart again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// Whose cart.
    pub account: AccountId,
    /// The cart that holds the lines now.
    pub cart: CartId,
    /// The cart that they were in.
    pub from: CartId,
    /// The lines.
    pub lines: Vec<RestoredLine>,
    /// Counts the cart's events from 1.
    pub version: u64,
}

/// A line of a restored cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoredLine {
    /// The listing.
    pub listing: ListingId,
    /// Units.
    pub quantity: Quantity,
}

/// Nobody touched the cart for long: it is gone. What its owner adds next opens a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Abandoned {
    /// Whose cart.
    pub account: AccountId,
    /// The cart.
    pub cart: CartId,
    /// Counts the cart's events from 1.
    pub version: u64,
}
