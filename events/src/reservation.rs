//! Facts of units that a buyer has set aside for a while before he orders them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::ids::{AccountId, ListingId, OrderId, ReservationId};
use crate::money::Quantity;
use crate::time::Timestamp;

/// A seller said how many units of a listing each buyer may reserve, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    /// For how long from now on, in milliseconds.
    pub for_ms: i64,
    /// The listing.
    pub listing: ListingId,
    /// The most units of one buyer from now on; 0: none.
    pub units: u64,
}

/// A buyer set units aside: they are reserved from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reserved {
    /// The buyer.
    pub account: AccountId,
    /// When what is left of it is free again.
    pub expires_at: Timestamp,
    /// The listing.
    pub listing: ListingId,
    /// How many units.
    pub quantity: Quantity,
    /// The reservation.
    pub reservation: ReservationId,
    /// Who sells.
    pub seller: AccountId,
}

/// A buyer keeps what he reserved for longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extended {
    /// The buyer.
    pub account: AccountId,
    /// When what is left of it is free again.
    pub expires_at: Timestamp,
    /// The listing.
    pub listing: ListingId,
    /// The reservation.
    pub reservation: ReservationId,
    /// Who sells.
    pub seller: AccountId,
}

/// A reservation was given up: what was left of it is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// The buyer.
    pub account: AccountId,
    /// As what the account that gave it up acted: the buyer himself, or an operator.
    pub by: Role,
    /// The listing.
    pub listing: ListingId,
    /// How many units were left.
    pub quantity: Quantity,
    /// The reservation.
    pub reservation: ReservationId,
    /// Who sells.
    pub seller: AccountId,
}

/// The time of a reservation was over: what was left of it is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expired {
    /// The buyer.
    pub account: AccountId,
    /// The listing.
    pub listing: ListingId,
    /// How many units were left.
    pub quantity: Quantity,
    /// The reservation.
    pub reservation: ReservationId,
    /// Who sells.
    pub seller: AccountId,
}

/// An order of the buyer took units of his reservation, in the commit that placed it: they are reserved for the order now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TakenUp {
    /// The buyer.
    pub account: AccountId,
    /// How many units stay set aside until the reservation expires; 0: it has ended.
    pub left: u32,
    /// The listing.
    pub listing: ListingId,
    /// The order.
    pub order: OrderId,
    /// How many units it took.
    pub quantity: Quantity,
    /// The reservation.
    pub reservation: ReservationId,
    /// Who sells.
    pub seller: AccountId,
}
