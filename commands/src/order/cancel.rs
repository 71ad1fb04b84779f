//! Units that are cancelled before they are shipped.

use events::account::Role;
use events::ids::{AccountId, OrderId, PaymentId};
use events::order::{Cancelled, CancelledBy, LineUnits};
use events::rejection::OrderState;
use events::{Event, Money, Rejection};

use super::change::overtaken;
use super::escrow::Settlement;
use super::location::freed;
use super::ship::sums;
use super::subsidy;
use super::tender::{give_back, unwanted};
use super::{Found, Order, find, meant, named, wrong_state};
use crate::command::CancelOrder;
use crate::decide::Facts;
use crate::market::Market;
use crate::payment::{Stage, Taking};

impl Market {
    pub(crate) fn order_cancelled(&mut self, event: &Cancelled) {
        let order = self.orders.known(event.order);
        let lines = meant(order, &event.lines);
        for units in lines.iter() {
            let (_, line) = order.line(units.listing);
            let quantity = units.quantity.get();
            assert!(quantity <= line.left(), "no more units are cancelled than were left");
            line.cancelled += quantity;
            let count = u64::from(quantity);
            self.listings.change_stock(units.listing, |stock| stock.unreserve(count, &units.locations));
        }
        if let Some(uncharged) = event.uncharged {
            let card = order.card.as_mut().expect("only what a provider was to pay is not charged");
            card.uncharged_minor += uncharged.minor;
        }
        self.orders.deallocate(event.order, &lines);
        self.units_went(event.order);
    }
}

pub(crate) fn decide_cancel(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &CancelOrder,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let found = find(market, facts, id)?;
    let role = if account == found.buyer() {
        Role::Buyer
    } else if account == found.seller() {
        Role::Seller
    } else if market.accounts.has_role(account, Role::Operator) {
        Role::Operator
    } else {
        return Err(vec![Rejection::NotYourOrder { order: id }]);
    };
    let order = match found {
        Found::Open(open) => open,
        Found::Closed(closed) if closed.state == OrderState::Cancelled && command.lines.is_none() => {
            return Ok(vec![]);
        }
        Found::Closed(closed) => return Err(wrong_state(id, closed.state)),
    };
    if role == Role::Seller {
        // His word against it is `order.decline`, which says why.
        order.check_accepted(id)?;
    }
    order.check_free(id)?;
    let lines = match (&command.lines, order.units_left()) {
        // Nothing of it is paid yet that a part could give back.
        (Some(_), _) if order.awaits_payment() => return Err(wrong_state(id, order.state())),
        (Some(asked), _) => named(id, order, asked)?,
        (None, _) if order.shipments.is_empty() => order.left(),
        (None, 0) => return Err(wrong_state(id, order.state())),
        (None, left) => return Err(vec![Rejection::PartlyShipped { order: id, left }]),
    };
    let is_whole = units(&lines) == order.units_left();
    if !is_whole && let Some(payment) = being_taken(market, order) {
        return Err(vec![Rejection::PaymentUnderWay { order: id, payment }]);
    }
    let reason = command.reason.as_ref().map(|reason| reason.as_str().to_owned());
    let mut events = cancel(market, id, order, lines, CancelledBy::Account(role), reason);
    if is_whole {
        events.extend(unwanted(market, id, order));
    }
    Ok(events)
}

/// Counts units.
pub(super) fn units(lines: &[LineUnits]) -> u64 {
    lines.iter().map(|line| u64::from(line.quantity.get())).sum()
}

/// Gives the payment that a provider was asked for, for an order that is not paid yet: what that is to pay is settled.
fn being_taken(market: &Market, order: &Order) -> Option<PaymentId> {
    let payment = order.card.as_deref().filter(|_| order.is_authorized())?.payment;
    let stage = &market.payments.get(payment)?.stage;
    matches!(stage, Stage::Authorized { taking: Taking::Asked { .. }, .. }).then_some(payment)
}

/// Cancels all that is left of an order and, if it is not paid yet, gives up its payment.
pub(super) fn call_off(
    market: &Market,
    id: OrderId,
    order: &Order,
    by: CancelledBy,
    reason: Option<String>,
) -> Vec<Event> {
    let cancelled = cancel(market, id, order, order.left(), by, reason);
    cancelled.into_iter().chain(unwanted(market, id, order)).collect()
}

/// Cancels units and pays back what they cost: what the platform had paid to it, and the rest into the wallet and, what a
/// provider had paid, from there the way it came. What a provider has not taken yet is not charged; an order that is
/// cancelled as a whole gives up its payment instead.
pub(super) fn cancel(
    market: &Market,
    id: OrderId,
    order: &Order,
    lines: Vec<LineUnits>,
    by: CancelledBy,
    reason: Option<String>,
) -> Vec<Event> {
    let cancelled = units(&lines);
    let lapsed = overtaken(id, order, &lines);
    // What is never shipped is not paid for to be shipped.
    let is_whole = cancelled == order.units_left();
    let shipping = order.shipping_left().filter(|_| is_whole);
    // What the platform paid of it is in escrow all along, and goes back to it.
    let subsidy = subsidy::sum(&lines);
    let cost = sums(&lines, shipping.as_ref()).0 - subsidy;
    let uncharged = if order.is_unpaid() && !is_whole { order.uncharged(cost) } else { 0 };
    let paid =
        if order.is_unpaid() && is_whole { order.escrow.remaining() - subsidy } else { cost - uncharged };
    let (to_platform, refunded) = Settlement::of(market, id, order).refund(cancelled, paid, subsidy);
    let returned = give_back(market, id, order, &refunded);
    let uncharged = Some(Money::new(uncharged, order.total.currency)).filter(Money::is_positive);
    let lines = freed(market, id, order, lines);
    let cancelled = Cancelled { by, lines, order: id, reason, shipping, uncharged }.into();
    lapsed.into_iter().chain([cancelled]).chain(to_platform).chain([refunded]).chain(returned).collect()
}
