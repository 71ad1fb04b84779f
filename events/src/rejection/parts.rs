//! What reasons tell: where an order or a payment stands, and what is wrong with a coupon or a quote.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a coupon gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouponProblem {
    /// No promotion has this code, or not any more.
    Unknown,
    /// Its time has not begun.
    TooEarly,
    /// Its time is over.
    TooLate,
    /// Nothing that is bought is part of it.
    NothingEligible,
    /// It is in another currency.
    Currency,
    /// What is bought of it costs less than it asks for.
    MinSpend,
}

impl std::fmt::Display for CouponProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CouponProblem::Unknown => "there is none of this code",
            CouponProblem::TooEarly => "its time has not begun",
            CouponProblem::TooLate => "its time is over",
            CouponProblem::NothingEligible => "nothing of the purchase is part of it",
            CouponProblem::Currency => "it is in another currency",
            CouponProblem::MinSpend => "more must be bought of what is part of it",
        })
    }
}

/// What of a quote differs from the line it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuoteField {
    /// It is for another listing.
    Listing,
    /// It is for another quantity.
    Quantity,
    /// It is for another buyer.
    Buyer,
    /// It was signed by somebody who does not sell the listing.
    Seller,
}

impl std::fmt::Display for QuoteField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            QuoteField::Listing => "listing",
            QuoteField::Quantity => "quantity",
            QuoteField::Buyer => "buyer",
            QuoteField::Seller => "seller",
        })
    }
}

/// What of an offer to exchange does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeField {
    /// It is for another account.
    Account,
    /// It is good for longer than a day from now.
    Exp,
    /// It takes something else than the buyer gives.
    From,
    /// It was signed by somebody else than the provider it names, or that is none.
    Provider,
    /// By its rate, something else is to be given.
    Rate,
    /// It gives less than the buyer wants, in another currency, or in the one that it takes.
    To,
}

impl std::fmt::Display for ExchangeField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ExchangeField::Account => "it is for another account",
            ExchangeField::Exp => "it is good for longer than a day",
            ExchangeField::From => "it takes another amount than `from`",
            ExchangeField::Provider => "its provider has not signed it, or is none",
            ExchangeField::Rate => "its rate makes another amount of what it takes than it gives",
            ExchangeField::To => {
                "it gives less than `at_least`, or in another currency, or in the one it takes"
            }
        })
    }
}

/// Where a payment stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// The provider is asked.
    Requested,
    /// The provider waits for the buyer.
    ActionRequired,
    /// The provider holds the money.
    Authorized,
    /// It is being given up.
    Voiding,
    /// The money has come in.
    Captured,
    /// The provider refused.
    Failed,
    /// It was given up.
    Voided,
}

/// How a payout ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutEnd {
    /// The provider paid.
    Paid,
    /// The provider could not pay.
    Failed,
    /// The bank returned what the provider had paid.
    Returned,
}

/// Where an order stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Paid into escrow, waiting for the seller.
    Placed,
    /// With the carrier.
    Shipped,
    /// Arrived; the buyer inspects.
    Delivered,
    /// The seller has the money.
    Completed,
    /// The buyer has the money back.
    Cancelled,
    /// Paid into escrow, waiting for the seller to accept it.
    AwaitingSeller,
    /// Waiting for a payment through a provider.
    AwaitingPayment,
    /// The buyer has the money back, for what had been shipped.
    Refunded,
    /// A provider holds the money, and the seller makes it ready.
    Authorized,
}
