//! Orders from placement to release or refund, with the escrow that holds their money.
//!
//! What happens to an order happens to units of its lines: each is left, and then cancelled, or shipped in one of the
//! order's shipments, delivered with it and accepted with it. Whole orders are the case in which all units go together.
//! In the order the data flows: `state` and `stage` are what is remembered, then `place`, `tender` (what it is paid with),
//! `capture` (what is charged when it leaves), `accept`, `ship`, `deliver`, `cancel` and `refund`, and `escrow`, where the money
//! of each step is computed. `location` says from where units leave. `hold` stops a whole order, `review` until somebody has looked at its risk, `freeze` sets money of a
//! shipment apart, `change` is what buyer and seller agree to change of it before it is shipped, `release` knows orders whose
//! money is released by another rule than the usual one, and `subsidy` those of which the platform pays a part. `returns` is what
//! comes back after it was delivered, and `charge` what the buyer's bank makes of it.

mod accept;
mod as_in_the_log;
mod cancel;
mod capture;
mod change;
pub(crate) mod charge;
mod deliver;
mod escrow;
mod freeze;
mod hold;
mod location;
mod place;
mod refund;
mod release;
pub(crate) mod returns;
mod review;
mod ship;
mod stage;
mod state;
mod subsidy;
mod tender;

use std::borrow::Cow;

use events::ids::{AccountId, ListingId, OrderId};
use events::order::{CancelledBy, DeliveryProof, LineUnits, ReleaseCondition, ShipmentNumber};
use events::rejection::OrderState;
use events::{Event, Quantity, Rejection, Timestamp};

pub(crate) use self::accept::{decide_accept, decide_decline, decide_not_accepted};
use self::cancel::call_off;
pub(crate) use self::cancel::decide_cancel;
pub(crate) use self::capture::{
    authorized, charge, check_capture, decide_ready, expiring, give_up_authorized,
};
pub use self::change::{CHANGES_MAX, Changes};
pub(crate) use self::change::{
    decide_accept_change, decide_decline_change, decide_not_answered, decide_propose, decide_withdraw_change,
    events_max as change_events_max,
};
pub use self::charge::Lost;
pub(crate) use self::charge::{Freed, freed};
pub(crate) use self::deliver::decide_confirm;
use self::deliver::delivered;
use self::escrow::Settlement;
pub use self::freeze::{Freeze, Frozen, Proposal};
pub(crate) use self::freeze::{decide_freeze, decide_not_settled, decide_settle, decide_unfreeze};
pub use self::hold::{Hold, OperatorHold};
pub(crate) use self::hold::{decide_hold, decide_unhold};
pub use self::location::{Allocated, Allocations};
pub(crate) use self::place::{decide_migrate, decide_place};
pub(crate) use self::refund::decide_refund;
pub use self::release::{Pending, Release};
pub(crate) use self::release::{decide_clear, decide_release, decide_set_free, decide_sign};
pub use self::returns::{
    Back, OfOrder, Paid, Planned, ProposedDecision, RETURNS_MAX, Return, ReturnLine, ReturnStage, Returns,
    Sold, SoldLine,
};
pub use self::review::{CLAIM_MS, Review};
pub(crate) use self::review::{decide_claim, decide_label, decide_not_reviewed, decide_review};
pub(crate) use self::ship::decide_ship;
pub use self::stage::Stage;
pub use self::state::{
    ClosedOrder, Escrow, Extras, Line, Order, Orders, RECENT_CLOSED_MAX, SHIPMENTS_MAX, Shipment,
    ShipmentState,
};
pub use self::subsidy::{Share, Subsidy};
pub use self::tender::Card;
pub(crate) use self::tender::{
    asked_of_card, check as check_tender, decide_not_paid, decide_pay, decide_set_up, fund, give_up_failed,
};
use crate::command::LineQuantity;
use crate::decide::Facts;
use crate::market::Market;

/// An order as a command finds it.
enum Found<'a> {
    Open(&'a Order),
    Closed(ClosedOrder),
}

impl<'a> Found<'a> {
    /// Gives the order if it is open.
    fn open(self, id: OrderId) -> Result<&'a Order, Vec<Rejection>> {
        match self {
            Found::Open(order) => Ok(order),
            Found::Closed(closed) => Err(wrong_state(id, closed.state)),
        }
    }

    fn buyer(&self) -> AccountId {
        match self {
            Found::Open(open) => open.buyer,
            Found::Closed(closed) => closed.buyer,
        }
    }

    fn seller(&self) -> AccountId {
        match self {
            Found::Open(open) => open.seller,
            Found::Closed(closed) => closed.seller,
        }
    }
}

fn find<'a>(market: &'a Market, facts: &Facts, order: OrderId) -> Result<Found<'a>, Vec<Rejection>> {
    if let Some(open) = market.orders.get(order) {
        return Ok(Found::Open(open));
    }
    let closed = market.orders.recently_closed(order).or_else(|| facts.closed_orders.get(&order).copied());
    closed.map(Found::Closed).ok_or_else(|| vec![Rejection::OrderUnknown { order }])
}

/// Finds an order that is open.
fn open<'a>(market: &'a Market, facts: &Facts, id: OrderId) -> Result<&'a Order, Vec<Rejection>> {
    find(market, facts, id)?.open(id)
}

/// Finds an order that the account sells.
fn sold<'a>(
    market: &'a Market,
    facts: &Facts,
    account: AccountId,
    id: OrderId,
) -> Result<Found<'a>, Vec<Rejection>> {
    let found = find(market, facts, id)?;
    if found.seller() == account { Ok(found) } else { Err(vec![Rejection::NotYourOrder { order: id }]) }
}

fn wrong_state(order: OrderId, state: OrderState) -> Vec<Rejection> {
    vec![Rejection::OrderState { order, state }]
}

/// Finds a shipment of an order.
fn sent(id: OrderId, order: &Order, shipment: ShipmentNumber) -> Result<&Shipment, Vec<Rejection>> {
    let shipments = order.shipments.len() as u32;
    let unknown = || vec![Rejection::ShipmentUnknown { order: id, shipment, shipments }];
    order.shipments.get(shipment.index()).ok_or_else(unknown)
}

/// Finds the lines that a command names, and how many units of each; or every reason against it. `find`: the place of a line and how
/// many units are left of it; `too_many`: what is said to more.
fn places(
    id: OrderId,
    asked: &[LineQuantity],
    find: impl Fn(ListingId) -> Option<(usize, u32)>,
    too_many: impl Fn(&LineQuantity, u32) -> Rejection,
) -> Result<Vec<(usize, Quantity)>, Vec<Rejection>> {
    if asked.is_empty() {
        return Err(vec![Rejection::LinesEmpty]);
    }
    let (mut places, mut reasons) = (Vec::new(), Vec::new());
    for (n, line) in asked.iter().enumerate() {
        let (listing, quantity) = (line.listing, line.quantity);
        match find(listing) {
            None => reasons.push(Rejection::NotInOrder { order: id, listing }),
            Some(_) if asked[..n].iter().any(|before| before.listing == listing) => {
                reasons.push(Rejection::DuplicateLine { listing });
            }
            Some((_, left)) if quantity.get() > left => reasons.push(too_many(line, left)),
            Some((place, _)) => places.push((place, quantity)),
        }
    }
    if reasons.is_empty() { Ok(places) } else { Err(reasons) }
}

/// Finds the units that a command names, with what they cost; or every reason against it.
fn named(id: OrderId, order: &Order, asked: &[LineQuantity]) -> Result<Vec<LineUnits>, Vec<Rejection>> {
    let find = |listing| {
        let place = order.lines.iter().position(|line| line.listing == listing)?;
        Some((place, order.lines[place].left()))
    };
    let too_many = |line: &LineQuantity, left| {
        let (listing, requested) = (line.listing, line.quantity.get());
        Rejection::TooManyUnits { order: id, listing, requested, left }
    };
    let places = places(id, asked, find, too_many)?;
    Ok(places.into_iter().map(|(place, quantity)| order.next(place, quantity)).collect())
}

/// Gives the units that an event is about: those it names or, where it names none, all that are left. Only events of the
/// first version name none.
fn meant<'a>(order: &Order, lines: &'a [LineUnits]) -> Cow<'a, [LineUnits]> {
    if lines.is_empty() { order.left().into() } else { lines.into() }
}

impl Market {
    /// Says in full what an event leaves to the state it meets, which is this one. Only an event that was lifted from an
    /// older form leaves something: the units that were shipped or cancelled, which were then always all.
    pub fn spelled_out(&self, event: &Event) -> Event {
        let mut event = event.clone();
        let lines = match &mut event {
            Event::OrderShipped(shipped) => Some((shipped.order, &mut shipped.lines)),
            Event::OrderCancelled(cancelled) => Some((cancelled.order, &mut cancelled.lines)),
            _ => None,
        };
        if let Some((id, lines)) = lines
            && let Some(order) = self.orders.get(id)
        {
            *lines = meant(order, lines).into_owned();
        }
        event
    }

    /// Takes from what is decided in this state what orders, authorisations and refunds did not have at first, if what was `found` in
    /// a log does not have it either: a group and a number, when it is told that an authorisation is about to end, and which order
    /// pays a refund. Once one
    /// order has a number, every later one must.
    pub fn without_what_was_not<'a>(&self, again: &mut [Event], found: impl IntoIterator<Item = &'a Event>) {
        let is_numbered = self.orders.last_number().is_some();
        for (event, found) in again.iter_mut().zip(found) {
            match (event, found) {
                (Event::OrderPlaced(placed), Event::OrderPlaced(found))
                    if !is_numbered && found.group.is_none() && found.number.is_none() =>
                {
                    (placed.group, placed.number) = (None, None);
                }
                (Event::PaymentAuthorized(authorized), Event::PaymentAuthorized(found))
                    if found.expiring_at.is_none() =>
                {
                    authorized.expiring_at = None;
                }
                (Event::RefundRequested(refund), Event::RefundRequested(found)) if found.order.is_none() => {
                    refund.order = None;
                }
                _ => {}
            }
        }
    }
}

/// Cancels what of an order was not shipped in time.
pub(crate) fn decide_not_shipped(market: &Market, id: OrderId) -> Vec<Event> {
    call_off(market, id, waiting(market, id), CancelledBy::ShipDeadline, None)
}

/// Takes a shipment for delivered of which nobody has said so in time.
pub(crate) fn decide_not_reported(
    market: &Market,
    id: OrderId,
    shipment: ShipmentNumber,
    now: Timestamp,
) -> Vec<Event> {
    let inspection_ends = now.plus_ms(market.deadlines().inspection_ms());
    vec![delivered(market, id, shipment, DeliveryProof::TransitElapsed, inspection_ends, now)]
}

/// Pays for a shipment against which nothing was said in time.
pub(crate) fn decide_inspected(
    market: &Market,
    id: OrderId,
    shipment: ShipmentNumber,
    now: Timestamp,
) -> Vec<Event> {
    let met = [ReleaseCondition::InspectionElapsed];
    vec![Settlement::of(market, id, waiting(market, id)).release(shipment, &met, now)]
}

fn waiting(market: &Market, order: OrderId) -> &Order {
    market.orders.get(order).expect("a deadline leaves with its order")
}
