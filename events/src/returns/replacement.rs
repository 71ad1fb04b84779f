//! Facts of exchanges: other units that a buyer gets in the place of those that he returns.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReturnNumber;
use crate::escrow::rule::ReleaseTerms;
use crate::ids::{ListingId, OrderId};
use crate::location::Located;
use crate::money::{Money, Quantity};
use crate::order::Line;

/// What a buyer gets in the place of the units of a return, once they came back and nothing is kept of their money: an order of
/// its own with the same seller, which that money pays. Its prices stand here and are never computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replacement {
    /// Its lines, one for each line of the return, in that order and of as many units; none costs more than was paid for those that
    /// it replaces. Without locations, which are known when they are reserved.
    pub lines: Vec<Line>,
    /// The order that is placed for it.
    pub order: OrderId,
    /// By what terms its money is released, where its listings ask for more than the market does; absent: by the market's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseTerms>,
    /// Sum of the lines. The seller bears the delivery.
    pub total: Money,
}

/// Units of one listing that are kept for a replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplacementUnits {
    /// The listing.
    pub listing: ListingId,
    /// At which named locations; those that are not told are at none, or are not there yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Located>,
    /// How many units.
    pub quantity: Quantity,
}

/// The units of a replacement are reserved: in the commit in which the return was approved. They stay so until `order.placed`
/// takes them over, or the replacement is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplacementReserved {
    /// All its units, in the order of its lines.
    pub lines: Vec<ReplacementUnits>,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order that is returned.
    pub order: OrderId,
}

/// A return ends without a replacement: from here on it is one whose money is paid back, if it is not ended by the event before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplacementGivenUp {
    /// Units that were reserved for it and are free again; absent: none were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freed: Vec<ReplacementUnits>,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order that was to be exchanged.
    pub order: OrderId,
    /// Why.
    pub why: NoReplacement,
}

/// Why a return ends without a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoReplacement {
    /// Its seller takes the units back for their money only.
    SellerRefunds,
    /// It was not there, or not sold, when the return was approved.
    Unavailable,
    /// A part of the money is kept for what did not come back intact.
    MoneyKept,
    /// The return ended without a refund.
    ReturnEnded,
}

impl fmt::Display for NoReplacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoReplacement::SellerRefunds => "the seller pays back instead",
            NoReplacement::Unavailable => "not available",
            NoReplacement::MoneyKept => "a part of the money is kept",
            NoReplacement::ReturnEnded => "the return ended",
        })
    }
}

/// What an order was placed in the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaces {
    /// Which of that order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order that was returned.
    pub order: OrderId,
}
