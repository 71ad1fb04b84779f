//! Why the market refused a command: one name per rule. The names are stored in the log and are stable.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::ids::{AccountId, CartId, DeviceId, ListingId, OrderId, PaymentId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// A broken rule, with what its reader needs to do better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Rejection {
    // Versions.
    /// The command named a version that is no longer the current one.
    #[error("{what} is at version {current}, the command expected {expected}: read it again")]
    StaleVersion {
        /// What was named in `if`.
        what: String,
        /// The version named.
        expected: u64,
        /// The version it has.
        current: u64,
    },

    // Accounts.
    /// The account is registered already.
    #[error("account {account} is registered already, with other roles")]
    AccountExists {
        /// The account.
        account: AccountId,
    },
    /// There is no such account.
    #[error("account {account} is not registered")]
    AccountUnknown {
        /// The account.
        account: AccountId,
    },
    /// An account needs at least one role, and none that only the market itself can have.
    #[error("an account can't be registered with these roles")]
    RolesNotAllowed,
    /// One account can't have both roles.
    #[error("one account can't be {role:?} and {other:?}: register another account for the second role")]
    RolesConflict {
        /// One role.
        role: Role,
        /// The role that can't be held beside it.
        other: Role,
    },
    /// The device is registered already, with another key or for another account.
    #[error("device {device} is registered already, with another key or for another account")]
    DeviceExists {
        /// The device.
        device: DeviceId,
    },
    /// The key belongs to another device.
    #[error("this key belongs to another device")]
    KeyInUse,
    /// The account has as many devices as it may.
    #[error("an account may have {max} devices")]
    TooManyDevices {
        /// The limit.
        max: u32,
    },
    /// The named account lacks a role.
    #[error("account {account} is no {role:?}")]
    RoleMissing {
        /// The account.
        account: AccountId,
        /// The role it lacks.
        role: Role,
    },

    // Listings and stock.
    /// The listing exists already.
    #[error("listing {listing} exists already")]
    ListingExists {
        /// The listing.
        listing: ListingId,
    },
    /// There is no such listing.
    #[error("there is no listing {listing}")]
    ListingUnknown {
        /// The listing.
        listing: ListingId,
    },
    /// Only the seller of a listing may do this.
    #[error("listing {listing} belongs to another seller")]
    NotYourListing {
        /// The listing.
        listing: ListingId,
    },
    /// A price must be more than nothing.
    #[error("a price must be more than zero")]
    PriceNotPositive,
    /// Stock would exceed what can be counted.
    #[error("listing {listing} can't hold more than {max} units")]
    StockOverflow {
        /// The listing.
        listing: ListingId,
        /// The limit.
        max: u64,
    },
    /// Not enough units are free.
    #[error("listing {listing}: {requested} units asked, {available} available")]
    InsufficientStock {
        /// The listing.
        listing: ListingId,
        /// Units asked for.
        requested: u64,
        /// Units free.
        available: u64,
    },
    /// Nobody buys from himself.
    #[error("listing {listing} is your own")]
    SelfPurchase {
        /// The listing.
        listing: ListingId,
    },

    // Prices.
    /// The quote is for another listing, quantity, buyer or seller.
    #[error("the quote for listing {listing} does not fit the line: {field} differs")]
    QuoteMismatch {
        /// The line's listing.
        listing: ListingId,
        /// What differs.
        field: QuoteField,
    },
    /// The quote is no longer good.
    #[error("the quote for listing {listing} ended at {expired}: ask the seller for a new one")]
    QuoteExpired {
        /// The line's listing.
        listing: ListingId,
        /// When it ended.
        expired: Timestamp,
    },
    /// The order costs more than the buyer signed.
    #[error("the order costs {actual}, the signed total is {signed}")]
    TotalMismatch {
        /// What the buyer signed.
        signed: Money,
        /// What it costs.
        actual: Money,
    },
    /// Lines of two currencies can't be one order.
    #[error("listing {listing} is priced in {found}, not in {expected}")]
    CurrencyMismatch {
        /// The line's listing.
        listing: ListingId,
        /// The currency of the signed total, or of the cart.
        expected: Currency,
        /// The currency of the listing.
        found: Currency,
    },
    /// A sum is larger than 2^53 − 1 minor units, or all money of the currency together would be.
    #[error("the amount, or all money of its currency together, would be larger than can be kept")]
    AmountOverflow,
    /// An amount must be more than nothing.
    #[error("the amount must be more than zero")]
    AmountNotPositive,

    // Wallets.
    /// The wallet holds too little.
    #[error("the wallet holds {available}, the order costs {required}")]
    InsufficientFunds {
        /// What the wallet holds.
        available: Money,
        /// What is needed.
        required: Money,
    },

    /// The provider has used the reference before.
    #[error(
        "reference `{reference}` was used at position {first} of the log: that payment is credited. Another one needs a reference of its own"
    )]
    ReferenceUsed {
        /// The reference.
        reference: String,
        /// Position of the `wallet.funded` event that used it.
        first: u64,
    },

    // Payments.
    /// There is no such payment.
    #[error("there is no payment {payment}")]
    PaymentUnknown {
        /// The payment.
        payment: PaymentId,
    },
    /// The payment belongs to others.
    #[error("payment {payment} is not yours to change")]
    NotYourPayment {
        /// The payment.
        payment: PaymentId,
    },
    /// The payment is in a state in which this can't happen.
    #[error("payment {payment} is {state:?}")]
    PaymentState {
        /// The payment.
        payment: PaymentId,
        /// Its state.
        state: PaymentState,
    },
    /// What a provider reports, or is asked to give back, is more than there is, or in another currency.
    #[error("payment {payment} allows {most} at most, not {amount}")]
    PaymentAmount {
        /// The payment.
        payment: PaymentId,
        /// What was named.
        amount: Money,
        /// The most that it can be.
        most: Money,
    },
    /// The account has as many payments under way as it may.
    #[error("an account may have {max} payments and refunds under way: wait for one of them, or cancel one")]
    TooManyPayments {
        /// The limit.
        max: u32,
    },

    // Carts.
    /// There is no such cart.
    #[error("there is no cart {cart}")]
    CartUnknown {
        /// The cart.
        cart: CartId,
    },
    /// The account has no cart to change.
    #[error("there is no active cart")]
    CartMissing,
    /// The cart has no lines.
    #[error("the cart is empty")]
    CartEmpty,
    /// The listing is in no line of the cart.
    #[error("listing {listing} is not in the cart")]
    NotInCart {
        /// The listing.
        listing: ListingId,
    },
    /// The cart has as many lines as it may.
    #[error("a cart may have {max} lines")]
    TooManyLines {
        /// The limit.
        max: u32,
    },
    /// The line would have more units than it may.
    #[error("a line may have {max} units")]
    QuantityLimit {
        /// The listing.
        listing: ListingId,
        /// The limit.
        max: u32,
    },
    /// A listing stands in two lines.
    #[error("listing {listing} stands in two lines: make it one")]
    DuplicateLine {
        /// The listing.
        listing: ListingId,
    },
    /// An order needs a line.
    #[error("an order needs at least one line")]
    LinesEmpty,

    // Orders.
    /// There is no such order.
    #[error("there is no order {order}")]
    OrderUnknown {
        /// The order.
        order: OrderId,
    },
    /// The order belongs to others.
    #[error("order {order} is not yours to change")]
    NotYourOrder {
        /// The order.
        order: OrderId,
    },
    /// The order is in a state in which this can't happen.
    #[error("order {order} is {state:?}")]
    OrderState {
        /// The order.
        order: OrderId,
        /// Its state.
        state: OrderState,
    },
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
}

impl Rejection {
    /// Gives the rule's name as it stands in events, receipts and problem details.
    pub fn code(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(mut fields)) => match fields.remove("code") {
                Some(serde_json::Value::String(code)) => code,
                _ => unreachable!("a rejection is tagged with its code"),
            },
            _ => unreachable!("a rejection is an object in JSON"),
        }
    }
}
