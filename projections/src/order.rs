//! Orders: what was bought, where the money is, and what happened when and at whose word.

mod change;
mod charge;
mod desk;
mod escrows;
mod fold;
mod group;
mod history;
mod hold;
mod location;
mod note;
mod returns;
mod status;
mod word;

use events::account::Role;
use events::escrow::FreezeReason;
use events::escrow::milestone::Milestone;
use events::escrow::rule::ReleaseTerms;
use events::ids::{
    AccountId, CartId, CommandId, KeyId, ListingId, OrderGroupId, OrderId, PaymentId, PromotionId, WriterId,
};
use events::listing::TaxClass;
use events::location::Located;
use events::metadata::DeadlineKind;
use events::order::hold::HoldReason;
use events::order::{CancelledBy, OrderNumber, ShipmentNumber};
use events::payment::CaptureTime;
use events::promotion::PaidBy;
use events::rejection::OrderState;
use events::returns::replacement::Replaces;
use events::shipping::Method;
use events::tax::Region;
use events::{Bps, Currency, Money, Position, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::Slot;
use crate::table::Layout;
use crate::view::ViewError;

pub use self::change::{AddedLine, AddedUnits, OpenChange, RemovedUnits, Version};
pub use self::charge::{Charge, ChargeState};
pub use self::desk::{
    CursorError, DeskCursor, DeskPage, DeskTask, SellerTask, TASKS_COUNTED_MAX, TaskCount, UnitsLeft,
};
pub use self::escrows::{ESCROW_AGE_BOUNDS_MS, EscrowState, Escrows, EscrowsInState, EscrowsOfAge};
pub(crate) use self::fold::OrderFold;
pub use self::group::OrderGroup;
pub use self::history::{ORDERS_LOOKED_AT_MAX, ORDERS_PER_PAGE_MAX, OrderFilter, Page, Side};
pub use self::returns::{
    Arrived, OpenReturn, OpenReturns, RETURNS_LISTED_MAX, Replacement, Return, ReturnedLine,
};
pub use self::status::{Axes, EscrowAxis, Fulfilment, OrderAxis, OrderStatus, PaymentAxis};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 12;

/// An order as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The order.
    pub order: OrderId,
    /// What people call it, with its check digit, such as 1002-4; none for orders from before there were numbers.
    pub number: Option<String>,
    /// The orders of the same checkout; none for orders from before there were groups.
    pub group: Option<OrderGroupId>,
    /// Who buys.
    pub buyer: AccountId,
    /// Who sells.
    pub seller: AccountId,
    /// The cart it came from, if any.
    pub cart: Option<CartId>,
    /// The return that it was placed for; none: it is a purchase.
    pub replaces: Option<Replaces>,
    /// Where it stands, in one word; made of its axes.
    pub state: OrderStatus,
    /// Where it stands, one axis for each question; made of the fields below.
    pub axes: Axes,
    /// Until when it waits for its seller to accept it; none: it does not.
    pub accept_by: Option<Timestamp>,
    /// Who cancelled units of it last.
    pub cancelled_by: Option<CancelledBy>,
    /// When it was closed; none while something of it is to be shipped, delivered or paid.
    pub closed_at: Option<Timestamp>,
    /// How it ended; none while it has not.
    pub closed_as: Option<OrderState>,
    /// Set while operators have stopped it.
    pub hold: Option<Hold>,
    /// What of it banks dispute or disputed, oldest first.
    pub chargebacks: Vec<Charge>,
    /// Since when it stands still for a chargeback; none: it does not.
    pub stopped_since: Option<Timestamp>,
    /// The change of it that waits for the other side to answer.
    pub change: Option<OpenChange>,
    /// Counts what it was: 1 as it was placed, and one more with each change.
    pub version: u32,
    /// What it was before its changes, oldest first.
    pub versions: Vec<Version>,
    /// What was bought.
    pub lines: Vec<Line>,
    /// What was shipped, in the order of the shipments' numbers.
    pub shipments: Vec<Shipment>,
    /// What of it came back after it was delivered, or was to, in the order of the returns' numbers.
    pub returns: Vec<Return>,
    /// What its delivery costs; none where its seller takes nothing for it.
    pub shipping: Option<Shipping>,
    /// Sum of the lines and the delivery. The buyer pays it, but for what of the discounts is paid by the platform.
    pub total: Money,
    /// What the platform takes if all of the escrow is released; of a part, its part.
    pub fee: Money,
    /// Where the buyer's money is.
    pub escrow: Escrow,
    /// By what terms it is released; none: by the usual ones, or nothing is held yet.
    pub release: Option<ReleaseTerms>,
    /// Whether an operator has cleared it of risk, where the rule of its release asks for that.
    pub is_risk_cleared: bool,
    /// What of it a provider pays; none: the wallet paid all of it.
    pub payment: Option<OrderPayment>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When what was not shipped is cancelled.
    pub ship_by: Timestamp,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// What of an order a provider pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderPayment {
    /// The last payment that was asked for it or, once one is held, that one.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
    /// When the order is cancelled unless a provider has agreed.
    pub expires_at: Timestamp,
    /// Whether the money has come in.
    pub is_paid: bool,
    /// A provider holds it, and it is charged when the goods leave: when the market acts unless the seller has said that they
    /// do.
    pub capture_by: Option<Timestamp>,
    /// When it is charged, once a provider holds it.
    pub capture: CaptureTime,
    /// What of the amount is never charged, since units were cancelled before it was.
    pub uncharged: Money,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderedLine")]
pub struct Line {
    /// What was bought.
    pub listing: ListingId,
    /// The version of the listing that was priced. It, the price of one unit, discounts and tax are of the units that the line
    /// began with.
    pub listing_version: u32,
    /// Price of one unit; none where the line was priced by a quote, or costs what was paid for the units that it replaces.
    pub unit_price: Option<Money>,
    /// Whether its seller takes nothing of it back after it was delivered.
    pub final_sale: bool,
    /// What it was cheaper by, in the order in which it was taken off.
    pub discounts: Vec<Discount>,
    /// Its tax.
    pub tax: Option<TaxLine>,
    /// Units that changes added, oldest first: they have prices and taxes of their own, and are counted in `quantity` and `total`.
    pub added: Vec<AddedUnits>,
    /// How many units were bought.
    pub quantity: Quantity,
    /// Of these, units cancelled.
    pub cancelled: u32,
    /// Of these, units shipped.
    pub shipped: u32,
    /// Of the shipped ones, units delivered.
    pub delivered: u32,
    /// Of the delivered ones, units in an open return.
    pub return_requested: u32,
    /// Of the delivered ones, units that came back.
    pub returned: u32,
    /// Of the delivered ones, units for which money went back since they were returned.
    pub refunded: u32,
    /// At which named locations the units are reserved that are neither cancelled nor shipped: from where they are to be
    /// shipped. Those that are not told are at none, or are not there yet.
    pub locations: Vec<Located>,
    /// What all its units cost.
    pub total: Money,
}

/// What a line was cheaper by, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GivenDiscount")]
pub struct Discount {
    /// By how much.
    pub amount: Money,
    /// Who pays that.
    pub paid_by: PaidBy,
    /// The promotion that gave it.
    pub promotion: PromotionId,
}

/// What a delivery costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shipping {
    /// How it is delivered.
    pub method: Method,
    /// What it costs, tax on top left out.
    pub price: Money,
    /// Its tax.
    pub tax: Option<TaxLine>,
    /// What it costs.
    pub total: Money,
}

/// A tax, and the rule that it was computed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaxLine {
    /// The tax.
    pub amount: Money,
    /// The rate, in hundredths of a percent.
    pub bps: Bps,
    /// Whether the price held it already; else it came on top.
    pub inclusive: bool,
    /// The region of the rule.
    pub region: Region,
    /// The class of the rule, if it is one for a class.
    pub tax_class: Option<TaxClass>,
    /// The version of the rule.
    pub version: u64,
}

/// Units that travel together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shipment {
    /// Its number within the order, from 1.
    pub shipment: ShipmentNumber,
    /// What is in it.
    pub lines: Vec<LineUnits>,
    /// What its units cost, and of the first one the delivery.
    pub amount: Money,
    /// What of that was given back while the buyer keeps the units, in minor units of the same currency.
    pub refunded: i64,
    /// What of that a bank gave back, likewise.
    pub charged_back: i64,
    /// How far it is.
    pub state: ShipmentState,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking: Option<String>,
    /// When it was handed to the carrier.
    pub shipped_at: Timestamp,
    /// When it counts as delivered unless somebody said so earlier.
    pub delivery_due: Timestamp,
    /// When its money is released unless the buyer confirmed earlier; none before it is delivered. While money is frozen
    /// or the order is on hold, this time stands still.
    pub inspection_ends: Option<Timestamp>,
    /// When its money is released, as far as is known now, where the market's rule is not the usual one.
    pub release_due: Option<Timestamp>,
    /// The milestones that its buyer has signed, in the order in which he did.
    pub milestones_signed: Vec<Milestone>,
    /// Until when units of it may be asked to be returned; none: not before it is delivered, or the market takes nothing back.
    pub return_by: Option<Timestamp>,
    /// What of its money is frozen.
    pub frozen: Option<Frozen>,
}

/// Money that waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FrozenMoney")]
pub struct Frozen {
    /// How much.
    pub amount: Money,
    /// In which role somebody froze it.
    pub by: Role,
    /// Why.
    pub reason: FreezeReason,
    /// More, in words.
    pub note: Option<String>,
    /// When it is paid back to the buyer unless somebody decided earlier. Of a return: until when the seller is to answer; from
    /// then on the return says what it waits for.
    pub due: Timestamp,
    /// Whether an operator has decided, and another one has to agree.
    pub is_proposed: bool,
}

/// Why an order does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Why.
    pub reason: HoldReason,
    /// Since when.
    pub since: Timestamp,
    /// Whether an operator has asked for it to be lifted, and another one has to agree.
    pub is_lift_requested: bool,
}

/// Some units of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineUnits {
    /// What was bought.
    pub listing: ListingId,
    /// From which named locations they left; those that are not told left from none.
    pub locations: Vec<Located>,
    /// How many units.
    pub quantity: Quantity,
}

/// How far a shipment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentState {
    /// With the carrier.
    InTransit,
    /// Arrived; the buyer inspects it.
    Inspection,
    /// It is the buyer's, and its money the seller's.
    Accepted,
    /// All that was left of its money was frozen, and it was decided who gets it.
    Settled,
}

/// The money of an order, all in the currency of its total, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Escrow {
    /// The currency.
    pub currency: Currency,
    /// What was paid in: by the buyer and, of a promotion that it pays, by the platform.
    pub held: i64,
    /// What was paid to the seller and the platform.
    pub released: i64,
    /// Of what was released, what the platform took.
    pub fees: i64,
    /// Of what was released, what is owed to those who levy taxes.
    pub taxes: i64,
    /// What was paid back.
    pub refunded: i64,
    /// Of what was paid back, what banks took, or take while they have not decided.
    pub charged_back: i64,
    /// Of what was paid in, what the platform paid.
    pub subsidy: i64,
    /// Of what was paid back, what went back to the platform.
    pub subsidy_returned: i64,
    /// Of what was released, what went back since units were returned.
    pub returned: i64,
    /// Of that, what went back to the platform, which had paid it.
    pub subsidy_back: i64,
    /// What is frozen.
    pub frozen: i64,
    /// What is still held.
    pub remaining: i64,
}

impl Escrow {
    pub(crate) const fn empty(currency: Currency) -> Escrow {
        Escrow {
            currency,
            held: 0,
            released: 0,
            fees: 0,
            taxes: 0,
            refunded: 0,
            charged_back: 0,
            subsidy: 0,
            subsidy_returned: 0,
            returned: 0,
            subsidy_back: 0,
            frozen: 0,
            remaining: 0,
        }
    }
}

/// One thing that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// The event's position in the log.
    pub position: Position,
    /// When it was decided.
    pub time: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub step: Step,
    /// At whose word.
    pub actor: Actor,
    /// As what an account acted.
    pub role: Option<Role>,
    /// The signed command that asked for it; none for a deadline.
    pub command: Option<CommandId>,
    /// The key that signed it; none for a deadline.
    pub key: Option<KeyId>,
    /// The shipment it happened to; none for what is no shipment's.
    pub shipment: Option<ShipmentNumber>,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
    /// More, in words.
    pub note: Option<String>,
}

/// What can happen to an order: the names of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderStep")]
pub enum Step {
    /// It was placed.
    #[serde(rename = "order.placed")]
    Placed,
    /// What the platform pays of it was put into escrow.
    #[serde(rename = "escrow.subsidized")]
    EscrowSubsidized,
    /// The buyer's money was put into escrow.
    #[serde(rename = "escrow.held")]
    EscrowHeld,
    /// Its seller accepted it.
    #[serde(rename = "order.accepted")]
    Accepted,
    /// A provider holds what it is charged when it leaves.
    #[serde(rename = "order.authorized")]
    Authorized,
    /// The time in which it may be charged is about to end.
    #[serde(rename = "order.authorization_expiring")]
    AuthorizationExpiring,
    /// What it costs is in escrow.
    #[serde(rename = "order.paid")]
    Paid,
    /// Units that are about to be shipped are reserved at other locations than before.
    #[serde(rename = "order.reallocated")]
    Reallocated,
    /// The seller handed units to a carrier.
    #[serde(rename = "order.shipped")]
    Shipped,
    /// A shipment arrived.
    #[serde(rename = "order.delivered")]
    Delivered,
    /// Units were cancelled before they were shipped.
    #[serde(rename = "order.cancelled")]
    Cancelled,
    /// A part of what a shipment's units cost was given back.
    #[serde(rename = "order.refunded")]
    Refunded,
    /// What a shipment's units cost was paid to the seller and the platform.
    #[serde(rename = "escrow.released")]
    EscrowReleased,
    /// Its buyer or its seller proposed to change it.
    #[serde(rename = "order.change_proposed")]
    ChangeProposed,
    /// The other side declined a change.
    #[serde(rename = "order.change_declined")]
    ChangeDeclined,
    /// Who had proposed a change withdrew it.
    #[serde(rename = "order.change_withdrawn")]
    ChangeWithdrawn,
    /// A change ended without an answer.
    #[serde(rename = "order.change_lapsed")]
    ChangeLapsed,
    /// A change was accepted, and applies.
    #[serde(rename = "order.changed")]
    Changed,
    /// What the platform had paid of what goes back returned to it.
    #[serde(rename = "escrow.subsidy_returned")]
    SubsidyReturned,
    /// What cancelled units cost was paid back.
    #[serde(rename = "escrow.refunded")]
    EscrowRefunded,
    /// An operator stopped it.
    #[serde(rename = "order.held")]
    Held,
    /// An operator asked for the hold to be lifted.
    #[serde(rename = "order.unhold_requested")]
    UnholdRequested,
    /// A second operator agreed, and it goes on.
    #[serde(rename = "order.unheld")]
    Unheld,
    /// It waits for somebody to look at its risk.
    #[serde(rename = "order.review_opened")]
    ReviewOpened,
    /// That was decided, by an operator or by nobody in time.
    #[serde(rename = "order.review_decided")]
    ReviewDecided,
    /// Money of a shipment was frozen.
    #[serde(rename = "escrow.frozen")]
    EscrowFrozen,
    /// Frozen money was given back to the escrow.
    #[serde(rename = "escrow.unfrozen")]
    EscrowUnfrozen,
    /// An operator decided about frozen money; another one has to agree.
    #[serde(rename = "escrow.settlement_proposed")]
    SettlementProposed,
    /// Frozen money was paid out.
    #[serde(rename = "escrow.settled")]
    EscrowSettled,
    /// Somebody gave the word that the money is to be released, some time later.
    #[serde(rename = "escrow.release_scheduled")]
    ReleaseScheduled,
    /// The buyer signed a milestone of a shipment.
    #[serde(rename = "escrow.milestone_signed")]
    MilestoneSigned,
    /// An operator cleared it of risk.
    #[serde(rename = "order.risk_cleared")]
    RiskCleared,
    /// The buyer wants to send units back.
    #[serde(rename = "return.requested")]
    ReturnRequested,
    /// Units may be sent back.
    #[serde(rename = "return.approved")]
    ReturnApproved,
    /// What is to replace units that come back is reserved.
    #[serde(rename = "return.replacement_reserved")]
    ReplacementReserved,
    /// Nothing replaces units that come back.
    #[serde(rename = "return.replacement_given_up")]
    ReplacementGivenUp,
    /// The seller does not want units back.
    #[serde(rename = "return.rejected")]
    ReturnRejected,
    /// The buyer asked an operator to decide about a return.
    #[serde(rename = "return.appealed")]
    ReturnAppealed,
    /// An operator decided about a return; another one has to agree.
    #[serde(rename = "return.decision_proposed")]
    ReturnDecisionProposed,
    /// The buyer handed units to a carrier.
    #[serde(rename = "return.sent")]
    ReturnSent,
    /// Units came back.
    #[serde(rename = "return.received")]
    ReturnReceived,
    /// What was paid for units that came back went back.
    #[serde(rename = "return.refunded")]
    ReturnRefunded,
    /// A return ended without a refund.
    #[serde(rename = "return.ended")]
    ReturnEnded,
    /// Nothing of it can be returned any more.
    #[serde(rename = "order.closed")]
    Closed,
    /// The buyer's bank disputes its payment, and it stands still.
    #[serde(rename = "chargeback.opened")]
    ChargebackOpened,
    /// The bank decided for the market.
    #[serde(rename = "chargeback.won")]
    ChargebackWon,
    /// The bank decided for the buyer.
    #[serde(rename = "chargeback.lost")]
    ChargebackLost,
    /// Nothing stops it any more, and it goes on.
    #[serde(rename = "order.resumed")]
    Resumed,
    /// It goes on without what a bank gave back.
    #[serde(rename = "order.charged_back")]
    ChargedBack,
}

/// At whose word something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// An account's signed command.
    Account(AccountId),
    /// A deadline that was due.
    Deadline(DeadlineKind),
    /// The engine itself.
    Writer(WriterId),
}

const ORDERS: Layout<OrderId, Order> = Layout::new(b'o', VERSION);
const NUMBERS: Layout<OrderNumber, OrderId> = Layout::new(b'n', VERSION);

/// Answers about orders.
#[derive(Clone, Copy)]
pub struct Orders<'a>(&'a Slot);

impl<'a> Orders<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Orders(slot)
    }

    /// Gives an order.
    pub fn order(&self, order: OrderId) -> Result<Option<Order>, ViewError> {
        ORDERS.get(&self.0.ask()?.tree, &order)
    }

    /// Gives the order of a number.
    pub fn numbered(&self, number: OrderNumber) -> Result<Option<Order>, ViewError> {
        let live = self.0.ask()?;
        match NUMBERS.get(&live.tree, &number)? {
            Some(order) => ORDERS.get(&live.tree, &order),
            None => Ok(None),
        }
    }
}

impl Order {
    /// Gives the position of the event that placed it, which is what lists are sorted by.
    pub fn position(&self) -> Option<Position> {
        self.timeline.first().map(|entry| entry.position)
    }
}
