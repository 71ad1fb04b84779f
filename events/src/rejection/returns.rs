//! Why a command about a return is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{ListingId, OrderId};
use crate::money::Money;
use crate::order::ShipmentNumber;
use crate::returns::ReturnNumber;

/// A broken rule of returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ReturnRejection {
    /// The market takes nothing back.
    #[error(
        "this market offers no returns: ask the seller for a refund (`order.refund`), or claim what is in escrow"
    )]
    ReturnsNotOffered,
    /// The time to return the shipment is over.
    #[error("the time to return units of order {order} is over: ask the seller for help")]
    ReturnWindowOver {
        /// The order.
        order: OrderId,
    },
    /// The shipment has not arrived.
    #[error("shipment {shipment} of order {order} has not arrived: confirm its delivery first, or claim it")]
    NotDelivered {
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// The seller takes nothing of it back, which was shown before it was bought.
    #[error("listing {listing} was sold for good: ask the seller for a refund, or claim what is in escrow")]
    FinalSale {
        /// The listing.
        listing: ListingId,
    },
    /// What is to be had in the place of units is not asked of any that are returned.
    #[error(
        "listing {listing} is not among what is returned: name what comes back, and what is wanted in its place"
    )]
    NotReturned {
        /// The listing named.
        listing: ListingId,
    },
    /// Units are exchanged only for the same thing or a variant of it.
    #[error(
        "listing {with} is no variant of {listing}: return it for its money, and order the other by itself"
    )]
    NotAVariant {
        /// What is returned.
        listing: ListingId,
        /// What is wanted in its place.
        with: ListingId,
    },
    /// What is wanted in the place of units costs more than was paid for them.
    #[error(
        "listing {listing} costs {price}, and {paid} was paid for what it is to replace: return that for its money, and order anew"
    )]
    ReplacementDearer {
        /// What is wanted.
        listing: ListingId,
        /// What was paid for the units that it is to replace.
        paid: Money,
        /// What it costs.
        price: Money,
    },
    /// The platform had paid a part of the units, which goes back to it.
    #[error(
        "the platform paid a part of listing {listing}, which is its own again: return it for its money, and order anew"
    )]
    ReplacementSubsidized {
        /// What is returned.
        listing: ListingId,
    },
    /// Fewer units of the line came in the shipment and were not in a return.
    #[error("listing {listing}: {requested} units asked, {left} of shipment {shipment} can be returned")]
    TooManyToReturn {
        /// Units that can be.
        left: u32,
        /// The line's listing.
        listing: ListingId,
        /// Units asked for.
        requested: u32,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// Nothing is left of what was paid for the units.
    #[error(
        "nothing was paid for these units that is not given back already: there is nothing to return them for"
    )]
    NothingPaid {
        /// The order.
        order: OrderId,
    },
    /// An operator has decided about money of the shipment.
    #[error("money of shipment {shipment} of order {order} was settled: what was decided about it stands")]
    ShipmentSettled {
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// Units of the shipment are in a return already.
    #[error(
        "return {number} of order {order} is open: let it end, or cancel it and ask for all units in one"
    )]
    ReturnOpen {
        /// The return.
        #[serde(rename = "return")]
        number: ReturnNumber,
        /// The order.
        order: OrderId,
    },
    /// The order has had as many returns as it may.
    #[error("an order may have {max} returns: ask the seller for a refund")]
    TooManyReturns {
        /// The limit.
        max: u32,
    },
    /// The order has no return of this number.
    #[error("order {order} has {returns} returns, none of number {number}")]
    ReturnUnknown {
        /// The number named.
        #[serde(rename = "return")]
        number: ReturnNumber,
        /// The order.
        order: OrderId,
        /// How many returns it has.
        returns: u32,
    },
    /// The return is in a state in which this can't happen.
    #[error("return {number} of order {order} is {state:?}")]
    ReturnState {
        /// The return.
        #[serde(rename = "return")]
        number: ReturnNumber,
        /// The order.
        order: OrderId,
        /// Its state.
        state: ReturnState,
    },
    /// What is said of a line's units is not all of them.
    #[error("say of each listing of the return once how its units arrived: of {listing} it has {units}")]
    ReceivedUnits {
        /// The listing.
        listing: ListingId,
        /// Units of it in the return; 0: none.
        units: u32,
    },
    /// More would be kept than was paid for what did not come back intact, or nothing, or nobody says why.
    #[error(
        "{most} at most can be kept, which was paid for units that did not come back intact, with a note that says why"
    )]
    DeductionAmount {
        /// The most.
        most: Money,
    },
    /// An operator can't decide like this.
    #[error("a return that was rejected is approved or denied: nothing of it has come back to deduct for")]
    NothingToDeduct {
        /// The return.
        #[serde(rename = "return")]
        number: ReturnNumber,
        /// The order.
        order: OrderId,
    },
}

/// Where a return stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReturnState {
    /// Waits for the seller's word.
    Requested,
    /// Rejected by the seller; the buyer may ask an operator.
    Rejected,
    /// Waits for the buyer to send the units.
    Approved,
    /// The units are on their way, or the seller looks at them.
    Sent,
    /// The seller wants to keep a part of the money; the buyer may ask an operator.
    Deducted,
    /// Waits for an operator.
    Appealed,
    /// The money went back, but perhaps for a part.
    Refunded,
    /// The money went into an order of other units in their place.
    Exchanged,
    /// Ended without a refund.
    Ended,
}
