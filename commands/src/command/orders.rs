//! What can be asked about orders.

use events::Money;
use events::Quantity;
use events::ids::{AccountId, CartId, ListingId, OrderId};
use events::location::Location;
use events::order::ShipmentNumber;
use events::payment::CaptureTime;
use events::promotion::CouponCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Delivery, LINES_MAX, ProviderMethod, QUOTES_MAX, REASON_LENGTH_MAX, REFERENCE_LENGTH_MAX, Text};
use crate::refusal::Refusal;

/// How an order is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// From the buyer's wallet in this market.
    Wallet,
    /// Through a provider, alone or together with the wallet.
    Tenders(Tenders),
}

/// What an order is paid with where a provider pays some of it. The order waits until the provider has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenders {
    /// When the provider's part is taken; absent: as soon as the provider holds it. Later only where all goods are of one
    /// seller.
    #[serde(default, skip_serializing_if = "CaptureTime::is_at_once")]
    pub capture: CaptureTime,
    /// What pays the rest.
    pub provider: ProviderMethod,
    /// What the wallet pays of it, or all if the order costs no more; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Money>,
}

/// Buys the lines, one order for each seller among them, paid into escrow at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// The code of a promotion; one for each purchase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<CouponCode>,
    /// Where and how it is delivered. It may be left out where nothing is taxed and no seller takes anything for delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// What is bought: 1 to 100 lines, each listing once.
    #[schemars(length(min = 1, max = LINES_MAX))]
    pub lines: Vec<OrderLine>,
    /// How it is paid.
    pub payment_method: PaymentMethod,
    /// The most that may be charged.
    pub total: Money,
}

/// One line of an order as the buyer asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// The listing.
    pub listing: ListingId,
    /// How many.
    pub quantity: Quantity,
    /// A quote for the whole line instead of the listing's price: a compact JWS signed by the seller. At most 16 lines
    /// of an order have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

/// Buys what is in the cart, as [`PlaceOrder`] does, and closes the cart in the same commit. The command must name the
/// cart's version in `if`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateCart {
    /// The cart.
    pub cart: CartId,
    /// The code of a promotion, instead of the coupon in the cart; one for each purchase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<CouponCode>,
    /// Where and how it is delivered. It may be left out where nothing is taxed and no seller takes anything for delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// How it is paid.
    pub payment_method: PaymentMethod,
    /// The most that may be charged.
    pub total: Money,
}

impl MigrateCart {
    /// Buys a cart without a coupon, delivered wherever.
    pub const fn new(cart: CartId, payment_method: PaymentMethod, total: Money) -> Self {
        MigrateCart { cart, coupon: None, delivery: None, payment_method, total }
    }
}

/// Pays an order that waits for its payment anew, after a payment for it was refused or given up, with all orders that the
/// same payment was for; or authorises an order anew that is charged when it leaves, while a provider holds its money: that
/// stands until the new payment is held, whole and for longer. Given by the buyer, until the order's time to be paid, or to be
/// charged, is over. The payment's id is derived from the account and the command's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayOrder {
    /// With what it is paid.
    pub method: ProviderMethod,
    /// The order.
    pub order: OrderId,
}

/// Sets an order's escrow up: pays out of the buyer's wallet what is missing in it while the order waits for its payment, and
/// gives the payment up that was to bring it. An order that is paid has its escrow already. Given by the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUpEscrow {
    /// What the order costs.
    pub amount: Money,
    /// Who buys.
    pub buyer: AccountId,
    /// The order.
    pub order: OrderId,
    /// Who sells.
    pub seller: AccountId,
}

/// Some units of one line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineQuantity {
    /// The line's listing.
    pub listing: ListingId,
    /// How many units.
    pub quantity: Quantity,
}

/// Accepts an order that waits for it; the time to ship begins. Given by the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptOrder {
    /// The order.
    pub order: OrderId,
}

/// Declines an order that waits to be accepted: it is cancelled as a whole and paid back. Given by the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclineOrder {
    /// The order.
    pub order: OrderId,
    /// Why; the buyer reads it.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Says that an order's goods are about to leave: what a provider holds for it is taken, and it is shipped when it is paid.
/// Given by the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadyOrder {
    /// The order.
    pub order: OrderId,
}

/// Says that units were handed to a carrier. Given by the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipOrder {
    /// Who carries them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Text<REFERENCE_LENGTH_MAX>>,
    /// From which location they leave, wherever they were reserved; absent: from where they were. Without `lines`: all that
    /// is left and was reserved there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Location>,
    /// What is shipped, each listing once; absent: all that is neither shipped nor cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = LINES_MAX))]
    pub lines: Option<Vec<LineQuantity>>,
    /// The order.
    pub order: OrderId,
    /// The carrier's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Text<REFERENCE_LENGTH_MAX>>,
}

/// Says that a shipment arrived. Given by the buyer it releases the shipment's money; given by a provider (the carrier)
/// it begins the inspection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmDelivery {
    /// The order.
    pub order: OrderId,
    /// Which of its shipments, counted from 1; absent: every one that is on its way or inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentNumber>,
}

/// Cancels units before they are shipped, and pays back what they cost. Given by the order's buyer, its seller or an
/// operator. An order of which something is shipped is not cancelled as a whole, since the buyer would still get and pay
/// what is on its way: name the lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// What is cancelled, each listing once; absent: the whole order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = LINES_MAX))]
    pub lines: Option<Vec<LineQuantity>>,
    /// The order.
    pub order: OrderId,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<REASON_LENGTH_MAX>>,
}

/// Gives back a part of what a shipment's units cost before the seller is paid for them; the buyer keeps the units. Given by
/// the order's seller or an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundOrder {
    /// How much.
    pub amount: Money,
    /// The order.
    pub order: OrderId,
    /// Why; the buyer reads it.
    pub reason: Text<REASON_LENGTH_MAX>,
    /// Which of its shipments, counted from 1.
    pub shipment: ShipmentNumber,
}

impl PlaceOrder {
    /// Buys lines without a coupon, delivered wherever.
    pub const fn new(lines: Vec<OrderLine>, payment_method: PaymentMethod, total: Money) -> Self {
        PlaceOrder { coupon: None, delivery: None, lines, payment_method, total }
    }

    /// Checks how much work the order is, before any of it is done.
    pub(crate) fn check_size(&self) -> Result<(), Refusal> {
        let lines = self.lines.len();
        let quotes = self.lines.iter().filter(|line| line.quote.is_some()).count();
        let rule = if lines > LINES_MAX {
            format!("`lines` may be {LINES_MAX}, these are {lines}: make it several orders")
        } else if quotes > QUOTES_MAX {
            format!("{QUOTES_MAX} lines may have a quote, {quotes} have one: make it several orders")
        } else {
            return Ok(());
        };
        Err(Refusal::BodyInvalid { rule })
    }
}
