//! Facts of carts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, CartId, ListingId, OrderId};
use crate::money::{Money, Quantity};

/// Units of a listing were put into a cart; the first such event opens the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemAdded {
    /// Whose cart.
    pub account: AccountId,
    /// How many were added.
    pub added: Quantity,
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
    /// The cart.
    pub cart: CartId,
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
