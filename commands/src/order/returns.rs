//! Units that come back after they were delivered, in markets that offer returns. Each shipment has one return at a time, which
//! is asked for by its buyer, answered by its seller, sent, received and paid back; each of its states waits with a deadline
//! and has a default outcome.
//!
//! What is in escrow when a return is asked for is frozen, and settled at its end. What was paid to the seller before is taken
//! back from him. Either way it is what was paid for just these units: what they cost, less their part of what was given back
//! of their shipment. Both are computed once, when the return is asked for and when it is paid back, and stand in the events.
//!
//! What is known of that stands beside the orders and not in them: a market without returns has none of it. An order of which
//! something was shipped is closed when nothing of it can be returned any more. `fold` is how all that follows the log, `ask` what buyers do, `answer` what
//! sellers and operators do and what happens when nobody does anything, `money` what goes where, and `replace` what a buyer gets
//! instead of his money.

mod answer;
mod ask;
mod fold;
mod money;
mod replace;

use std::collections::BTreeMap;

use events::ids::{AccountId, ListingId, OrderId};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{Closed, ShipmentNumber};
use events::rejection::{OrderState, ReturnRejection, ReturnState};
use events::returns::{ReceivedUnits, ReturnDecision, ReturnNumber};
use events::{Event, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use self::answer::{decide_approve, decide_decide, decide_due, decide_receive, decide_reject};
pub(crate) use self::ask::{decide_appeal, decide_cancel, decide_request, decide_send};
pub use self::replace::Planned;
pub(super) use self::replace::ended as replacement_ended;
use super::state::{Order, share_of_first};
use super::{find, waiting};
use crate::decide::Facts;
use crate::market::Market;

/// Most returns of one order.
pub const RETURNS_MAX: u32 = 100;

/// What may be returned of open orders, and what is being returned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Returns(BTreeMap<OrderId, OfOrder>);

/// What is known of an order of which something was shipped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfOrder {
    /// Its shipments, in their order.
    pub shipments: Vec<Sold>,
    /// How many returns were asked for.
    pub asked: u32,
    /// What went back after the seller was paid.
    pub back: Back,
    /// What of that, and of what went back before, was put into orders that replace what came back, in minor units.
    pub exchanged_minor: i64,
    /// When it is closed, once nothing but the time to return it is left.
    pub closes_at: Option<Timestamp>,
}

/// What was sold in one shipment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    /// Units and what they cost, before anything was given back.
    pub lines: Box<[SoldLine]>,
    /// What the delivery cost that goes with it.
    pub shipping_minor: i64,
    /// The tax in that.
    pub shipping_tax_minor: i64,
    /// Until when units may be asked to be returned; none: it has not arrived.
    pub return_by: Option<Timestamp>,
    /// Whether somebody decided about money of it, which then stands.
    pub is_settled: bool,
    /// What was released for it, and what of that went back.
    pub paid: Paid,
    /// Its return, if one is open.
    pub open: Option<Box<Return>>,
}

/// Units of one line in one shipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoldLine {
    /// What was bought.
    pub listing: ListingId,
    /// Whether nothing of it is taken back.
    pub is_final: bool,
    /// How many.
    pub units: u32,
    /// Of these, units that are in a return or went through one. The next ones are those behind them.
    pub returned: u32,
    /// What all units cost.
    pub amount_minor: i64,
    /// The tax in that.
    pub tax_minor: i64,
    /// What of it the platform paid.
    pub subsidy_minor: i64,
}

impl SoldLine {
    /// Gives how many units did not come back.
    pub const fn left(&self) -> u32 {
        self.units - self.returned
    }

    /// Gives how many units its buyer may ask to return.
    pub const fn returnable(&self) -> u32 {
        if self.is_final { 0 } else { self.left() }
    }

    /// Gives what of an amount of the whole line the next units have.
    fn share_of_next(&self, minor: i64, units: u32) -> i64 {
        let first = |units| share_of_first(minor, self.units, units);
        first(self.returned + units) - first(self.returned)
    }
}

/// What the platform and the seller were paid of a shipment when its money was released, without taxes, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Paid {
    /// What was released: the seller's part and the fee.
    pub net_minor: i64,
    /// The fee in that.
    pub fee_minor: i64,
    /// What of what was released went back.
    pub net_back_minor: i64,
    /// What of the fee went back.
    pub fee_back_minor: i64,
}

/// What of an order went back after its seller was paid, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Back {
    /// To the buyer.
    pub to_buyer: i64,
    /// To the platform, which had paid it of the purchase.
    pub to_platform: i64,
}

/// A return that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Its number within the order.
    pub number: ReturnNumber,
    /// Its units, with what was paid for them.
    pub lines: Box<[ReturnLine]>,
    /// What was paid for all of them.
    pub amount_minor: i64,
    /// The tax in that.
    pub tax_minor: i64,
    /// What of it the platform had paid.
    pub subsidy_minor: i64,
    /// Whether it is frozen; else it was paid to the seller before.
    pub is_frozen: bool,
    /// What the buyer is to get in the place of its units; none: their money.
    #[serde(with = "super::as_in_the_log")]
    pub replacement: Option<Box<Planned>>,
    /// What an operator decided about it, where another one has to agree.
    pub proposed: Option<ProposedDecision>,
    /// How far it is.
    pub stage: ReturnStage,
}

/// What an operator decided about a return that takes two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedDecision {
    /// Who.
    pub by: AccountId,
    /// What.
    pub decision: ReturnDecision,
}

/// Units of one line in a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnLine {
    /// What was bought.
    pub listing: ListingId,
    /// How many units.
    pub units: u32,
    /// What was paid for them.
    pub amount_minor: i64,
}

/// How far a return is, with what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnStage {
    /// The seller is to answer.
    Requested {
        /// Until when.
        answer_by: Timestamp,
    },
    /// The seller does not want it; the buyer may ask an operator.
    Rejected {
        /// Until when.
        appeal_by: Timestamp,
    },
    /// The buyer is to send the units.
    Approved {
        /// Until when.
        send_by: Timestamp,
    },
    /// The units are on their way, and the seller is to say how they arrived.
    Sent {
        /// Until when.
        inspect_by: Timestamp,
    },
    /// The seller wants to keep a part of the money; the buyer may ask an operator.
    Deducted {
        /// Until when.
        appeal_by: Timestamp,
        /// How much.
        deduction_minor: i64,
    },
    /// An operator is to decide.
    Appealed {
        /// Until when.
        decide_by: Timestamp,
        /// What the seller wants to keep; none: he does not want the units back.
        deduction_minor: Option<i64>,
    },
}

impl ReturnStage {
    /// Gives until when it waits.
    pub const fn due(self) -> Timestamp {
        match self {
            ReturnStage::Requested { answer_by: due }
            | ReturnStage::Rejected { appeal_by: due }
            | ReturnStage::Approved { send_by: due }
            | ReturnStage::Sent { inspect_by: due }
            | ReturnStage::Deducted { appeal_by: due, .. }
            | ReturnStage::Appealed { decide_by: due, .. } => due,
        }
    }

    fn set_due(&mut self, to: Timestamp) {
        match self {
            ReturnStage::Requested { answer_by: due }
            | ReturnStage::Rejected { appeal_by: due }
            | ReturnStage::Approved { send_by: due }
            | ReturnStage::Sent { inspect_by: due }
            | ReturnStage::Deducted { appeal_by: due, .. }
            | ReturnStage::Appealed { decide_by: due, .. } => *due = to,
        }
    }

    const fn state(self) -> ReturnState {
        match self {
            ReturnStage::Requested { .. } => ReturnState::Requested,
            ReturnStage::Rejected { .. } => ReturnState::Rejected,
            ReturnStage::Approved { .. } => ReturnState::Approved,
            ReturnStage::Sent { .. } => ReturnState::Sent,
            ReturnStage::Deducted { .. } => ReturnState::Deducted,
            ReturnStage::Appealed { .. } => ReturnState::Appealed,
        }
    }
}

impl OfOrder {
    /// Gives the returns that have not ended, with the shipments they are of.
    pub fn open(&self) -> impl Iterator<Item = (ShipmentNumber, &Return)> {
        let shipments = self.shipments.iter().enumerate();
        shipments.filter_map(|(n, sold)| Some((ShipmentNumber::after(n), sold.open.as_deref()?)))
    }

    /// Lists what it waits for, which stands still while the order is on hold.
    fn deadlines(&self, order: OrderId) -> impl Iterator<Item = DeadlineStamp> {
        let open = self.open().map(move |(shipment, open)| due(order, shipment, open));
        open.chain(self.closes_at.map(|due| DeadlineStamp { due, waiting: Waiting::ReturnsEnd { order } }))
    }

    /// Gives when the order is closed if nothing changes, or none if something of it is left to be done.
    fn closing(&self, order: &Order, now: Timestamp) -> Option<Timestamp> {
        if order.units_left() > 0 || order.shipments_open() > 0 || self.open().next().is_some() {
            return None;
        }
        let returnable = self.shipments.iter().zip(&order.shipments).filter(|(sold, shipment)| {
            !sold.is_settled
                && shipment.amount_minor > 0
                && sold.lines.iter().any(|line| line.returnable() > 0)
        });
        let last = returnable.filter_map(|(sold, _)| sold.return_by).max();
        Some(last.map_or(now, |last| last.max(now)))
    }
}

impl Returns {
    /// Gives what may be returned of an order, if the market offers returns and something of it was shipped.
    pub fn of(&self, order: OrderId) -> Option<&OfOrder> {
        self.0.get(&order)
    }

    /// Gives all orders of which something may be returned, or could be.
    pub fn iter(&self) -> impl Iterator<Item = (&OrderId, &OfOrder)> {
        self.0.iter()
    }

    /// Gives what went back of an order after its seller was paid.
    pub fn back(&self, order: OrderId) -> Back {
        self.of(order).map(|known| known.back).unwrap_or_default()
    }

    /// Gives what of the money that went back of an order was put into orders that replace what came back, in minor units.
    pub fn exchanged_minor(&self, order: OrderId) -> i64 {
        self.of(order).map_or(0, |known| known.exchanged_minor)
    }

    pub(super) fn deadlines(&self, order: OrderId) -> Vec<DeadlineStamp> {
        self.of(order).into_iter().flat_map(|known| known.deadlines(order)).collect()
    }

    /// Changes when a deadline is due, and tells whether it is one of a return.
    pub(super) fn set_due(&mut self, DeadlineStamp { due, waiting }: DeadlineStamp) -> bool {
        match waiting {
            Waiting::ReturnDue { order, shipment } => {
                self.return_mut(order, shipment).stage.set_due(due);
                true
            }
            Waiting::ReturnsEnd { order } => {
                self.known(order).closes_at = Some(due);
                true
            }
            _ => false,
        }
    }

    /// Gives every shipment of an order the time again that it could not be returned in.
    pub(super) fn extend(&mut self, order: OrderId, ms: i64) {
        let shipments = self.0.get_mut(&order).into_iter().flat_map(|known| &mut known.shipments);
        for by in shipments.filter_map(|sold| sold.return_by.as_mut()) {
            *by = by.plus_ms(ms);
        }
    }

    /// Forgets an order that is closed.
    pub(super) fn close(&mut self, order: OrderId) {
        let is_waiting = self.0.remove(&order).is_some_and(|known| known.open().next().is_some());
        assert!(!is_waiting, "a closed order has no open return");
    }

    fn known(&mut self, order: OrderId) -> &mut OfOrder {
        self.0.get_mut(&order).expect("an event about returns follows a shipment")
    }

    fn sold(&mut self, order: OrderId, shipment: ShipmentNumber) -> &mut Sold {
        let sold = self.known(order).shipments.get_mut(shipment.index());
        sold.expect("an event about returns names only shipments that the order has")
    }

    fn return_mut(&mut self, order: OrderId, shipment: ShipmentNumber) -> &mut Return {
        self.sold(order, shipment).open.as_mut().expect("an event about a return follows its request")
    }

    /// Finds the shipment of which a return is open.
    fn shipment_of(&self, order: OrderId, number: ReturnNumber) -> ShipmentNumber {
        let mut open = self.of(order).into_iter().flat_map(OfOrder::open);
        let found = open.find(|(_, open)| open.number == number);
        found.expect("an event about a return follows its request").0
    }
}

const fn due(order: OrderId, shipment: ShipmentNumber, open: &Return) -> DeadlineStamp {
    DeadlineStamp { due: open.stage.due(), waiting: Waiting::ReturnDue { order, shipment } }
}

/// A return as a command finds it.
struct Opened<'a> {
    id: OrderId,
    order: &'a Order,
    shipment: ShipmentNumber,
    sold: &'a Sold,
    open: &'a Return,
}

impl Opened<'_> {
    fn wrong_state(&self) -> Vec<Rejection> {
        let (number, order, state) = (self.open.number, self.id, self.open.stage.state());
        vec![ReturnRejection::ReturnState { number, order, state }.into()]
    }
}

/// Who may give a command about a return.
#[derive(Clone, Copy)]
enum By {
    Buyer,
    Seller,
    Operator,
}

/// Finds an open return for who may speak of it.
fn opened<'a>(
    market: &'a Market,
    facts: &Facts,
    (by, account): (By, AccountId),
    id: OrderId,
    number: ReturnNumber,
) -> Result<Opened<'a>, Vec<Rejection>> {
    let found = find(market, facts, id)?;
    let is_his = match by {
        By::Buyer => found.buyer() == account,
        By::Seller => found.seller() == account,
        // Operators have their role; who they are does not matter.
        By::Operator => true,
    };
    if !is_his {
        return Err(vec![Rejection::NotYourOrder { order: id }]);
    }
    let order = found.open(id)?;
    order.check_free(id)?;
    let known = market.orders.returns().of(id);
    let returns = known.map_or(0, |known| known.asked);
    let found = known
        .and_then(|known| known.open().find(|(_, open)| open.number == number).map(|found| (known, found)));
    match found {
        Some((known, (shipment, open))) => {
            Ok(Opened { id, order, shipment, sold: &known.shipments[shipment.index()], open })
        }
        None if number.get() <= returns => {
            Err(vec![ReturnRejection::ReturnState { number, order: id, state: ReturnState::Ended }.into()])
        }
        None => Err(vec![ReturnRejection::ReturnUnknown { number, order: id, returns }.into()]),
    }
}

/// Closes an order of which nothing can be returned any more.
pub(crate) fn decide_end(market: &Market, id: OrderId) -> Vec<Event> {
    let order = waiting(market, id);
    let Order { buyer, seller, escrow, .. } = *order;
    let Back { to_buyer, to_platform } = market.orders.returns().back(id);
    let was_disputed = order.shipments.iter().any(|shipment| shipment.freeze.is_some());
    let (paid, back) = (escrow.released + escrow.fees + escrow.taxes, to_buyer + to_platform);
    let state = match (was_disputed || back > 0) && paid == back {
        true => OrderState::Refunded,
        false => OrderState::Completed,
    };
    vec![Closed { buyer, order: id, seller, state }.into()]
}

/// Says of units that all of them came back intact.
fn intact(open: &Return) -> Vec<ReceivedUnits> {
    let lines = open.lines.iter().map(|line| ReceivedUnits {
        damaged: 0,
        intact: line.units,
        listing: line.listing,
        missing: 0,
        wrong: 0,
    });
    lines.collect()
}
