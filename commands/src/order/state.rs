//! What a market remembers of its orders.

use std::collections::{BTreeMap, VecDeque};

use events::escrow::milestone::Milestones;
use events::ids::{AccountId, ListingId, OrderId, PromotionId};
use events::metadata::DeadlineStamp;
use events::order::{End, LineUnits, OrderNumber, ShipmentNumber, ShippingCharge};
use events::rejection::OrderState;
use events::{Money, Position, Quantity, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::location::Allocations;
use super::returns::Returns;
use super::stage::Stage;
use super::tender::Card;

use super::change::Changes;
use super::freeze::Freeze;
use super::hold::Hold;
use super::release::{Pending, Release};
use super::subsidy::Subsidy;

/// How many closed orders are kept in memory; older ones are in the index.
pub const RECENT_CLOSED_MAX: usize = 1 << 14;

/// Most shipments of one order.
pub const SHIPMENTS_MAX: usize = 100;

// The buyer may confirm all of them at once: an arrival and a payment for each.
const _: () = assert!(2 * SHIPMENTS_MAX <= events::metadata::EVENTS_PER_COMMIT_MAX);

/// An order that is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who buys.
    pub buyer: AccountId,
    /// Who sells.
    pub seller: AccountId,
    /// What is bought, each listing once.
    pub lines: Box<[Line]>,
    /// What was shipped; the first has number 1.
    pub shipments: Box<[Shipment]>,
    /// Until when what is left waits for the seller.
    pub ship_by: Timestamp,
    /// What the whole order waits for.
    pub stage: Stage,
    /// Set while operators have stopped it: nothing of it moves, and none of its deadlines passes.
    pub hold: Option<Box<Hold>>,
    /// Sum of the lines and of the delivery.
    pub total: Money,
    /// What the platform takes if all of it is released.
    pub fee_minor: i64,
    /// What it has beside its lines; most orders have nothing.
    pub extras: Option<Box<Extras>>,
    /// The buyer's money.
    pub escrow: Escrow,
    /// What of it a provider pays; none: the wallet paid it.
    pub card: Option<Box<Card>>,
    /// By what terms it is released, where they are not the usual ones.
    pub release: Option<Box<Release>>,
}

/// What an order has beside its lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extras {
    /// What its delivery costs, tax among it.
    pub shipping_minor: i64,
    /// The tax in that.
    pub shipping_tax_minor: i64,
    /// The promotions that made it cheaper.
    pub promotions: Box<[PromotionId]>,
    /// What of it the platform pays.
    pub subsidy: Option<Box<Subsidy>>,
    /// Its lines of which nothing is taken back after it was delivered: a bit of each place.
    pub final_lines: u128,
    /// Whether an operator has cleared it of risk, where its rule of release asks for that.
    pub is_risk_cleared: bool,
    /// Whether somebody is to look at its risk when a provider has paid it.
    pub is_to_review: bool,
    /// What was changed of it since it was placed, or may be.
    pub changes: Option<Box<Changes>>,
}

/// One line of an order: how many of its units are where. What is neither cancelled nor shipped is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What is bought.
    pub listing: ListingId,
    /// Units bought.
    pub ordered: u32,
    /// Of these, units cancelled.
    pub cancelled: u32,
    /// Of these, units handed to a carrier.
    pub shipped: u32,
    /// Of the shipped ones, units that arrived.
    pub delivered: u32,
    /// What all units cost.
    pub total_minor: i64,
    /// The tax in that.
    pub tax_minor: i64,
}

impl Line {
    /// Gives how many units are neither shipped nor cancelled.
    pub const fn left(&self) -> u32 {
        self.ordered - self.cancelled - self.shipped
    }

    fn share_of_next(&self, minor: i64, quantity: Quantity) -> i64 {
        let before = self.cancelled + self.shipped;
        let first = |units| share_of_first(minor, self.ordered, units);
        first(before + quantity.get()) - first(before)
    }
}

/// Gives what of an amount of `all` units the first `units` have: each the same, and one minor unit more for the first ones until
/// it is spent.
pub(super) fn share_of_first(minor: i64, all: u32, units: u32) -> i64 {
    let (each, over) = (minor / i64::from(all), minor % i64::from(all));
    each * i64::from(units) + over.min(i64::from(units))
}

// A million of them may be open: what few orders need has room beside what all have, or a box.
const _: () = assert!(size_of::<Order>() == 192 && size_of::<Shipment>() == 64);

/// Units that travel together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// What is in it: places of the order's lines, and units of each.
    pub units: Box<[(u8, u32)]>,
    /// What of their price, and in the first shipment of the delivery's, is in escrow and not given back, or was until it was
    /// released.
    pub amount_minor: i64,
    /// The tax in that.
    pub tax_minor: i64,
    /// How far it is.
    pub state: ShipmentState,
    /// Set once money of it was frozen.
    pub freeze: Option<Box<Freeze>>,
    /// Set while it is inspected, where the terms of release are not the usual ones.
    pub pending: Option<Box<Pending>>,
}

// A place of a line fits what it is kept in.
const _: () = assert!(crate::command::LINES_MAX <= u8::MAX as usize);
// And it has a bit.
const _: () = assert!(crate::command::LINES_MAX <= u128::BITS as usize);

/// How far a shipment is, with what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShipmentState {
    /// Waits for the carrier.
    InTransit {
        /// Until when.
        delivery_due: Timestamp,
        /// The milestones that the buyer has signed meanwhile.
        signed: Milestones,
    },
    /// Waits for the buyer.
    Inspection {
        /// Until when.
        inspection_ends: Timestamp,
    },
    /// Is the buyer's, and its money the seller's.
    Accepted,
}

/// The money of an order, in minor units of its total's currency. What is neither released nor refunded nor frozen is still
/// held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Escrow {
    /// What was paid in: by the buyer, and what of it the platform pays.
    pub funded: i64,
    /// What the seller was paid.
    pub released: i64,
    /// What the platform was paid.
    pub fees: i64,
    /// What was paid to the platform for those who levy taxes.
    pub taxes: i64,
    /// What was paid back: to the buyer, and to the platform what of that it had paid.
    pub refunded: i64,
    /// What waits for a decision.
    pub frozen: i64,
}

impl Escrow {
    /// Gives what is still held.
    pub const fn remaining(&self) -> i64 {
        self.funded - self.released - self.fees - self.taxes - self.refunded - self.frozen
    }
}

impl Order {
    /// Tells whether nothing of a line is taken back after it was delivered.
    pub fn is_final(&self, place: usize) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.final_lines >> place & 1 == 1)
    }

    /// Counts the units that are neither shipped nor cancelled.
    pub fn units_left(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.left())).sum()
    }

    /// Counts the shipments that are on their way or inspected.
    pub fn shipments_open(&self) -> usize {
        self.shipments.iter().filter(|shipment| shipment.state != ShipmentState::Accepted).count()
    }

    /// Gives the taxes of its lines and its delivery together.
    pub fn tax_minor(&self) -> i64 {
        let of_shipping = self.extras.as_ref().map_or(0, |extras| extras.shipping_tax_minor);
        self.lines.iter().map(|line| line.tax_minor).sum::<i64>() + of_shipping
    }

    /// Gives what the delivery costs, as long as nothing was shipped: it goes with the first shipment, or back to the buyer
    /// when all units are cancelled.
    pub fn shipping_left(&self) -> Option<ShippingCharge> {
        let extras = self.extras.as_ref().filter(|_| self.shipments.is_empty())?;
        let money = |minor| Money::new(minor, self.total.currency);
        let tax = Some(money(extras.shipping_tax_minor)).filter(Money::is_positive);
        let amount = money(extras.shipping_minor);
        amount.is_positive().then_some(ShippingCharge { amount, tax })
    }

    /// Gives the order's state in one word, for those who are refused something.
    pub fn state(&self) -> OrderState {
        let in_transit = |shipment: &Shipment| matches!(shipment.state, ShipmentState::InTransit { .. });
        if self.stage != Stage::Confirmed {
            self.stage.state()
        } else if self.shipments.is_empty() {
            OrderState::Placed
        } else if self.shipments.iter().any(in_transit) {
            OrderState::Shipped
        } else if self.units_left() == 0 && self.shipments_open() == 0 {
            // Only where something of it may be returned.
            OrderState::Completed
        } else {
            OrderState::Delivered
        }
    }

    /// Refuses what is not done before the seller has accepted the order.
    pub(super) fn check_accepted(&self, order: OrderId) -> Result<(), Vec<Rejection>> {
        match self.stage {
            Stage::AwaitingSeller { accept_by } | Stage::Authorized { accept_by: Some(accept_by) } => {
                Err(vec![Rejection::NotAccepted { accept_by, order }])
            }
            Stage::AwaitingPayment { .. } | Stage::Authorized { accept_by: None } | Stage::Confirmed => {
                Ok(())
            }
        }
    }

    /// Takes the next units of a line with what they cost: each the same, and one minor unit more for the first ones until the
    /// total is spent. So what units cost depends only on how many went before, and all of them cost the total. The tax in it
    /// and what the platform pays of it are split in the same way, and so are never more than what they are in.
    pub(super) fn next(&self, place: usize, quantity: Quantity) -> LineUnits {
        let line = &self.lines[place];
        let money = |minor| Money::new(line.share_of_next(minor, quantity), self.total.currency);
        let tax = Some(money(line.tax_minor)).filter(Money::is_positive);
        let subsidy = self.subsidy().map(|subsidy| money(subsidy.lines[place])).filter(Money::is_positive);
        LineUnits {
            amount: money(line.total_minor),
            listing: line.listing,
            locations: Vec::new(),
            quantity,
            subsidy,
            tax,
        }
    }

    /// Gives all units that are neither shipped nor cancelled, with what they cost.
    pub fn left(&self) -> Vec<LineUnits> {
        let lines = self.lines.iter().enumerate();
        let left = lines.filter_map(|(place, line)| Some(self.next(place, Quantity::new(line.left()).ok()?)));
        left.collect()
    }

    /// Gives the place and the counters of a line.
    ///
    /// # Panics
    /// If the order has no such line: deciders name only those it has.
    pub(super) fn line(&mut self, listing: ListingId) -> (u8, &mut Line) {
        let mut lines = (0u8..).zip(&mut self.lines);
        lines.find(|(_, line)| line.listing == listing).expect("an event names only lines that the order has")
    }

    /// Gives a shipment.
    ///
    /// # Panics
    /// If the order has none of this number: deciders name only those it has.
    pub(super) fn shipment(&mut self, number: ShipmentNumber) -> &mut Shipment {
        self.shipments.get_mut(number.index()).expect("an event names only shipments that the order has")
    }
}

/// An order whose money has left escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedOrder {
    /// Who bought.
    pub buyer: AccountId,
    /// Who sold.
    pub seller: AccountId,
    /// How it ended: completed or cancelled.
    pub state: OrderState,
    /// Where it was closed.
    pub position: Position,
}

impl ClosedOrder {
    /// Takes what an event at a position says of an order's end.
    pub const fn of(end: End, position: Position) -> ClosedOrder {
        let End { order: _, buyer, seller, state } = end;
        ClosedOrder { buyer, seller, state, position }
    }
}

/// All orders that are open, and the last ones that were closed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Orders {
    open: BTreeMap<OrderId, Order>,
    closed: BTreeMap<OrderId, ClosedOrder>,
    closed_in_order: VecDeque<OrderId>,
    last_number: Option<OrderNumber>,
    allocations: Allocations,
    returns: Returns,
}

impl Orders {
    /// Finds an open order.
    pub fn get(&self, order: OrderId) -> Option<&Order> {
        self.open.get(&order)
    }

    /// Finds an order among the last closed ones.
    pub fn recently_closed(&self, order: OrderId) -> Option<ClosedOrder> {
        self.closed.get(&order).copied()
    }

    /// Counts the open orders.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Gives every open order.
    pub fn iter(&self) -> impl Iterator<Item = (&OrderId, &Order)> {
        self.open.iter()
    }

    /// Gives what of the open orders is reserved at named locations.
    pub fn allocations(&self) -> &Allocations {
        &self.allocations
    }

    /// Gives what of the open orders may be returned, and is.
    pub fn returns(&self) -> &Returns {
        &self.returns
    }

    pub(super) fn returns_mut(&mut self) -> &mut Returns {
        &mut self.returns
    }

    /// Lists an order's deadlines, those that stand still during a hold too.
    pub fn deadlines(&self, id: OrderId) -> Vec<DeadlineStamp> {
        let own = self.get(id).into_iter().flat_map(|order| order.deadlines(id));
        own.chain(self.returns.deadlines(id)).collect()
    }

    pub(super) fn allocations_mut(&mut self) -> &mut Allocations {
        &mut self.allocations
    }

    /// Takes units of an order that left, or are free again, off the locations where they were reserved.
    pub(super) fn deallocate(&mut self, id: OrderId, units: &[LineUnits]) {
        for moved in units.iter().filter(|moved| !moved.locations.is_empty()) {
            let (place, _) = self.known(id).line(moved.listing);
            self.allocations.take(id, place, &moved.locations);
        }
    }

    /// Gives the number of the last order that has one.
    pub fn last_number(&self) -> Option<OrderNumber> {
        self.last_number
    }

    /// Gives the numbers of the next orders.
    pub(super) fn next_numbers(&self) -> impl Iterator<Item = OrderNumber> {
        let next = self.last_number.map_or(OrderNumber::FIRST, OrderNumber::next);
        std::iter::successors(Some(next), |number| Some(number.next()))
    }

    pub(super) fn number(&mut self, number: OrderNumber) {
        let next = self.next_numbers().next();
        assert!(
            next == Some(number),
            "orders are numbered in their order: {number} after {:?}",
            self.last_number
        );
        self.last_number = Some(number);
    }

    pub(super) fn open(&mut self, id: OrderId, order: Order) {
        self.open.insert(id, order);
    }

    pub(super) fn known(&mut self, id: OrderId) -> &mut Order {
        self.open.get_mut(&id).expect("an event about an order follows its placement")
    }

    /// Closes an order, and gives the position of the one that is forgotten for it, if any.
    pub(super) fn close(&mut self, end: End, position: Position) -> Option<Position> {
        let order = self.open.remove(&end.order).expect("only an open order is closed");
        assert!(order.units_left() == 0 && order.shipments_open() == 0, "a closed order waits for nothing");
        assert!(self.allocations.of(end.order).is_empty(), "a closed order has nothing reserved");
        self.returns.close(end.order);
        assert!(order.escrow.remaining() == 0 && order.escrow.frozen == 0, "a closed order holds nothing");
        self.closed.insert(end.order, ClosedOrder::of(end, position));
        self.closed_in_order.push_back(end.order);
        if self.closed_in_order.len() <= RECENT_CLOSED_MAX {
            return None;
        }
        let forgotten = self.closed_in_order.pop_front()?;
        self.closed.remove(&forgotten).map(|closed| closed.position)
    }
}
