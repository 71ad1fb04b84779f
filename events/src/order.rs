//! Facts of orders and of the escrows that hold their money.

pub mod change;
pub mod hold;
mod number;
pub mod v1;

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::escrow::milestone::Milestone;
use crate::escrow::rule::ReleaseTerms;
use crate::ids::{AccountId, CartId, ListingId, OrderGroupId, OrderId, PaymentId, PromotionId};
use crate::ledger::Transfer;
use crate::location::{Located, Location};
use crate::money::{Money, Quantity};
use crate::payment::CaptureTime;
use crate::promotion::{Discount, PaidBy};
use crate::rejection::OrderState;
use crate::returns::replacement::Replaces;
use crate::shipping;
use crate::tax::Tax;
use crate::time::Timestamp;

pub use self::number::{NumberError, OrderNumber};

/// A buyer placed an order with one seller; its stock is reserved from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placed {
    /// Until when it waits for its seller to accept it, in a market where sellers do; then it is cancelled and paid back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_by: Option<Timestamp>,
    /// Who buys.
    pub buyer: AccountId,
    /// The cart it came from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart: Option<CartId>,
    /// What the platform will take when the escrow is released.
    pub fee: FeeQuote,
    /// The orders of one checkout; absent in a replacement, and in orders from before there were groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<OrderGroupId>,
    /// What is bought; 1 to 100 lines.
    pub lines: Vec<Line>,
    /// What people call it; absent only in orders from before there were numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<OrderNumber>,
    /// The order.
    pub order: OrderId,
    /// What of it a provider is to bring; none: all of it was paid at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentDue>,
    /// The return that it was placed for, whose money pays it and whose reserved units it takes over; absent: it is a purchase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaces>,
    /// Who sells.
    pub seller: AccountId,
    /// When it is cancelled and paid back unless it was shipped. Of an order that waits for its seller's word: when that
    /// would be if he gave it in the last moment.
    pub ship_by: Timestamp,
    /// What its delivery costs; absent: nothing, the seller has no rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<shipping::Quote>,
    /// Sum of the lines and of the delivery. The buyer pays it, but for what of the discounts is paid by the platform.
    pub total: Money,
    /// By what terms its money is released, where its listings ask for more than the market does; absent: by the market's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseTerms>,
}

impl Placed {
    /// Gives the taxes of its lines and of its delivery together, in minor units.
    pub fn tax_minor(&self) -> i64 {
        let shipping = self.shipping.iter().flat_map(|shipping| &shipping.tax);
        self.lines.iter().flat_map(|line| &line.tax).chain(shipping).map(|tax| tax.amount.minor).sum()
    }

    /// Gives what of the total the platform pays, in minor units.
    pub fn subsidy_minor(&self) -> i64 {
        self.lines.iter().map(Line::subsidy_minor).sum()
    }

    /// Gives what the buyer pays.
    pub fn payable(&self) -> Money {
        Money::new(self.total.minor - self.subsidy_minor(), self.total.currency)
    }

    /// Gives the promotions that made it cheaper, each once.
    pub fn promotions(&self) -> BTreeSet<PromotionId> {
        self.lines.iter().flat_map(|line| &line.discounts).map(|discount| discount.promotion).collect()
    }
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// What it was cheaper by, in the order in which it was taken off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// Whether its seller takes nothing of it back after it was delivered; absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub final_sale: bool,
    /// What is bought.
    pub listing: ListingId,
    /// The version of the listing that was priced.
    pub listing_version: u32,
    /// At which named locations its units are reserved; those that are not told are to be shipped from no named one, or
    /// are not there yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Located>,
    /// Where the total comes from.
    pub price: LinePrice,
    /// How many units.
    pub quantity: Quantity,
    /// Its tax, on what it costs when the seller's discounts are taken off. What the platform pays lowers no tax: the seller
    /// gets the whole price for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Tax>,
    /// What the line costs: its price less the seller's discounts, and tax that the price did not hold. The buyer pays it, but for
    /// what of the discounts is paid by the platform.
    pub total: Money,
}

impl Line {
    /// Gives what of the total the platform pays, in minor units.
    pub fn subsidy_minor(&self) -> i64 {
        let by_platform = self.discounts.iter().filter(|discount| discount.paid_by == PaidBy::Platform);
        by_platform.map(|discount| discount.amount.minor).sum()
    }
}

/// Where a line's total comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinePrice {
    /// The listing's price of one unit, times the quantity.
    Unit(Money),
    /// A quote for the whole line, a compact JWS signed by the seller; it stands inside the buyer's command.
    Quote,
    /// What was paid for the units that it replaces, since the listing costs more by now.
    Exchange,
}

/// What the platform takes of the order without its taxes, as it was computed when the order was placed; never computed
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeeQuote {
    /// The fee.
    pub amount: Money,
    /// The share it was computed with, in hundredths of a percent.
    pub bps: u32,
    /// The fixed part it was computed with, in minor units.
    pub fixed_minor: i64,
    /// The most it could be, in minor units; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_minor: Option<i64>,
    /// The least it could be, in minor units; absent: zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_minor: Option<i64>,
    /// How it was rounded.
    pub rounding: Rounding,
}

/// How a share of an amount was rounded to minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Halves go away from zero.
    HalfAwayFromZero,
}

/// What of an order a payment through a provider is to bring. Until it has, the order waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentDue {
    /// How much.
    pub amount: Money,
    /// When it is to be taken, once the provider holds it.
    #[serde(default, skip_serializing_if = "CaptureTime::is_at_once")]
    pub capture: CaptureTime,
    /// When the order is cancelled unless the provider has agreed.
    pub expires_at: Timestamp,
    /// The first payment that is to bring it.
    pub payment: PaymentId,
}

/// A provider holds what it is to pay of an order, which is charged when the goods are about to leave: from here on it is the
/// seller's to accept, where sellers do, and to make ready. Said again when its buyer has authorised it anew: another payment is
/// held for it then, and for longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authorized {
    /// When it is cancelled unless its seller accepts it; none where sellers don't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_by: Option<Timestamp>,
    /// When the market charges or cancels it, as the buyer wants it, unless the seller has said that he is about to ship.
    pub capture_by: Timestamp,
    /// The order.
    pub order: OrderId,
    /// The payment.
    pub payment: PaymentId,
    /// When it is cancelled unless it was shipped.
    pub ship_by: Timestamp,
}

/// The time in which an order may be charged is about to end: its buyer may authorise it anew, or its seller make it ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorizationExpiring {
    /// When the market charges or cancels it, as the buyer wants it, unless one of them has acted.
    pub capture_by: Timestamp,
    /// The order.
    pub order: OrderId,
    /// The payment that is held for it.
    pub payment: PaymentId,
}

/// What an order costs is in its escrow: from here on it is the seller's to accept, where sellers do, and to ship.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paid {
    /// When it is cancelled and paid back unless its seller accepts it; none where sellers don't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_by: Option<Timestamp>,
    /// The order.
    pub order: OrderId,
    /// The payment that brought what was missing; none: the buyer's wallet brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentId>,
    /// When it is cancelled and paid back unless it was shipped.
    pub ship_by: Timestamp,
}

/// The buyer's money was put into the order's escrow: in the same commit as the order, and what a provider brings in the
/// commit in which it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowHeld {
    /// The order.
    pub order: OrderId,
    /// By what terms it is released; absent: by the usual ones, at once when the buyer has confirmed or the time to
    /// inspect is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseTerms>,
    /// From the buyer's wallet to the escrow.
    pub transfer: Transfer,
}

/// The seller accepted an order that waited for his word. His time to ship begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The order.
    pub order: OrderId,
    /// When it is cancelled and paid back unless it was shipped.
    pub ship_by: Timestamp,
}

/// Units of one line of an order, with what they cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineUnits {
    /// What they cost together. A line's total is split over its units without loss: each costs the same, and minor units
    /// that are left over go one by one to the units that are shipped or cancelled first.
    pub amount: Money,
    /// What was bought.
    pub listing: ListingId,
    /// At which named locations they were reserved: what is shipped leaves from there, what is cancelled is free there.
    /// Those that are not told were reserved at none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Located>,
    /// How many units.
    pub quantity: Quantity,
    /// What of it the platform pays, split as that is; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsidy: Option<Money>,
    /// The tax in what they cost, split as that is; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Money>,
}

/// What a delivery costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShippingCharge {
    /// All of it.
    pub amount: Money,
    /// The tax in it; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Money>,
}

/// The number of a shipment within its order, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ShipmentNumber(NonZeroU32);

impl ShipmentNumber {
    /// The number of an order's first shipment.
    pub const FIRST: ShipmentNumber = ShipmentNumber(NonZeroU32::MIN);

    /// Gives the number of the shipment behind the first `count`.
    ///
    /// # Panics
    /// If there are 2^32 - 1 shipments before it: an order may have far fewer.
    pub fn after(count: usize) -> ShipmentNumber {
        let number = u32::try_from(count).ok().and_then(|count| NonZeroU32::MIN.checked_add(count));
        ShipmentNumber(number.expect("an order has few shipments"))
    }

    /// Gives the number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Gives the place of the shipment among its order's, counted from 0.
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl fmt::Display for ShipmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The seller handed units to a carrier: all that were left, or some. They leave the stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shipped {
    /// Who carries them, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// When they count as delivered unless somebody said so earlier.
    pub delivery_due: Timestamp,
    /// What was shipped. Empty only where an event of the first version is read: all that was neither shipped nor
    /// cancelled before.
    pub lines: Vec<LineUnits>,
    /// The order.
    pub order: OrderId,
    /// Which of the order's shipments they are.
    pub shipment: ShipmentNumber,
    /// What the order's delivery costs; it goes with the first shipment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<ShippingCharge>,
    /// The carrier's number, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
}

/// Units that are about to be shipped leave from other locations than those they were reserved at: the shipment stands
/// behind it in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reallocated {
    /// The order.
    pub order: OrderId,
    /// Which units, from where to where.
    pub units: Vec<Reallocation>,
}

/// Units of an order that are reserved at another location than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reallocation {
    /// Where they were reserved; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Location>,
    /// What was bought.
    pub listing: ListingId,
    /// How many units.
    pub quantity: Quantity,
    /// Where they are reserved from here on.
    pub to: Location,
}

/// A shipment arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivered {
    /// How it is known.
    pub confirmed_by: DeliveryProof,
    /// When the shipment's money is released unless the buyer confirms earlier.
    pub inspection_ends: Timestamp,
    /// The order.
    pub order: OrderId,
    /// When the shipment's money is released, as far as is known now, where that is not when the inspection ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_due: Option<Timestamp>,
    /// Until when its buyer may ask to return units of it; absent: the market takes nothing back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_by: Option<Timestamp>,
    /// Which of the order's shipments arrived.
    pub shipment: ShipmentNumber,
}

/// How a delivery is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryProof {
    /// The buyer says so; the escrow is released in the same commit.
    Buyer,
    /// The carrier says so; the inspection begins.
    Carrier,
    /// Nobody said anything until the deadline; the inspection begins.
    TransitElapsed,
}

/// Units were cancelled before they were shipped: all that were left, or some. They are free to be sold again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    /// Who cancelled them.
    pub by: CancelledBy,
    /// What was cancelled. Empty only where an event of the first version is read: all that was neither shipped nor
    /// cancelled before.
    pub lines: Vec<LineUnits>,
    /// The order.
    pub order: OrderId,
    /// Why, in the words of who did it; up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the order's delivery costs, if nothing of the order was or will be shipped: it is paid back as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<ShippingCharge>,
    /// What of their cost is never charged, since the provider had not taken it yet; the rest is paid back. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncharged: Option<Money>,
}

/// A part of what a shipment's units cost is given back to the buyer, who keeps the units. The refund itself stands behind it
/// in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refunded {
    /// How much; the shipment's payment is less by so much. The buyer gets it, but for what of it the platform had paid.
    pub amount: Money,
    /// As what the account that gave it back acted: the order's seller, or an operator.
    pub by: Role,
    /// The order.
    pub order: OrderId,
    /// Why, in the words of who did it; up to 200 characters.
    pub reason: String,
    /// The shipment, which is not paid yet.
    pub shipment: ShipmentNumber,
    /// What of the amount the platform had paid, in proportion to that of the shipment; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsidy: Option<Money>,
    /// The tax in the amount, in proportion to that of the shipment; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Money>,
}

/// An operator cleared an order of risk, as the rule of its escrow asks for. What comes of that for shipments that have arrived
/// stands behind it in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RiskCleared {
    /// Who cleared it.
    pub by: AccountId,
    /// Why, in words for other operators; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The order.
    pub order: OrderId,
}

/// Who ended an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelledBy {
    /// An account in this role.
    Account(Role),
    /// The deadline to ship.
    ShipDeadline,
    /// The deadline to accept.
    AcceptDeadline,
    /// The deadline to pay.
    PaymentDeadline,
    /// A payment that failed for good.
    PaymentFailed,
    /// The end of what the provider held, or its nearness: the order was not charged in time.
    AuthorizationExpired,
    /// A change that buyer and seller agreed to; it stands before it in the same commit.
    Change,
    /// The buyer's bank, which gave him the money back.
    Chargeback,
    /// The review of its risk.
    Review,
}

/// What a shipment's units cost was paid from the escrow to the seller, less the platform's part and taxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowReleased {
    /// Who bought.
    pub buyer: AccountId,
    /// How the order ended, if this closes it: nothing of it is then left to be shipped, delivered or paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_as: Option<OrderState>,
    /// What set it free.
    pub condition: ReleaseCondition,
    /// When the seller may be paid out what is kept of it; absent: nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
    /// The order.
    pub order: OrderId,
    /// What the escrow still holds; none when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Money>,
    /// Who sold.
    pub seller: AccountId,
    /// The shipment whose units are paid.
    pub shipment: ShipmentNumber,
    /// From the escrow to the seller, and to the platform where there is a fee or a tax; none where the units cost nothing.
    pub transfers: Vec<Transfer>,
    /// What else had to be so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<ReleaseCondition>,
}

/// What set an escrow free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseCondition {
    /// The buyer confirmed the delivery.
    BuyerConfirmed,
    /// The time to inspect is over.
    InspectionElapsed,
    /// Some time has passed since the carrier reported the delivery.
    CarrierDelivered,
    /// All of the order's money has been held for some time.
    MinAge,
    /// An operator released it.
    OperatorRelease,
    /// The buyer signed a milestone of the shipment.
    MilestoneSigned {
        /// Which one.
        milestone: Milestone,
    },
    /// An operator cleared the order of risk.
    RiskClear,
}

impl fmt::Display for ReleaseCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReleaseCondition::BuyerConfirmed => "the buyer confirmed the delivery",
            ReleaseCondition::InspectionElapsed => "the time to inspect is over",
            ReleaseCondition::CarrierDelivered => "the carrier has delivered",
            ReleaseCondition::MinAge => "the money was held long enough",
            ReleaseCondition::OperatorRelease => "an operator released it",
            ReleaseCondition::MilestoneSigned { milestone } => {
                return write!(f, "the buyer signed milestone {milestone}");
            }
            ReleaseCondition::RiskClear => "an operator cleared it of risk",
        })
    }
}

/// What cancelled units cost was paid from the escrow back to the buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowRefunded {
    /// Who bought.
    pub buyer: AccountId,
    /// How the order ended, if this closes it: nothing of it is then left to be shipped, delivered or paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_as: Option<OrderState>,
    /// The order.
    pub order: OrderId,
    /// What the escrow still holds; none when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Money>,
    /// Who sold.
    pub seller: AccountId,
    /// From the escrow to the buyer's wallet; none where the units cost nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
}

/// The time to return what was bought is over, and nothing else of the order is left: it is closed. Only in a market that offers
/// returns; in others an order is closed by the event that moves the last of its money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    /// Who bought.
    pub buyer: AccountId,
    /// The order.
    pub order: OrderId,
    /// Who sold.
    pub seller: AccountId,
    /// How it ended.
    pub state: OrderState,
}

/// The end of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The order.
    pub order: OrderId,
    /// Who bought.
    pub buyer: AccountId,
    /// Who sold.
    pub seller: AccountId,
    /// How it ended: completed or cancelled.
    pub state: OrderState,
}
