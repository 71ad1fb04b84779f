//! Orders that wait for their seller's word, in a market where sellers accept them.

use events::account::Role;
use events::ids::{AccountId, OrderId};
use events::order::{Accepted, CancelledBy};
use events::rejection::OrderState;
use events::{Event, Rejection, Timestamp};

use super::cancel::call_off;
use super::stage::Stage;
use super::{Found, sold, waiting, wrong_state};
use crate::command::{AcceptOrder, DeclineOrder};
use crate::decide::Facts;
use crate::market::Market;

impl Market {
    pub(crate) fn order_accepted(&mut self, event: &Accepted) {
        let stage = match self.orders.known(event.order).stage {
            Stage::Authorized { .. } => Stage::Authorized { accept_by: None },
            _ => Stage::Confirmed,
        };
        self.enter_order(event.order, stage, event.ship_by);
    }
}

/// Accepts an order; its time to ship begins. An order that needs no word, or has it, is accepted.
pub(crate) fn decide_accept(
    market: &Market,
    facts: &Facts,
    seller: AccountId,
    command: &AcceptOrder,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = match sold(market, facts, seller, id)? {
        Found::Open(open) => open,
        Found::Closed(closed) if closed.state == OrderState::Completed => return Ok(vec![]),
        Found::Closed(closed) => return Err(wrong_state(id, closed.state)),
    };
    order.check_free(id)?;
    match order.stage {
        Stage::AwaitingSeller { .. } | Stage::Authorized { accept_by: Some(_) } => {
            let ship_by = now.plus_ms(market.deadlines().ship_by_ms());
            Ok(vec![Accepted { order: id, ship_by }.into()])
        }
        Stage::AwaitingPayment { .. } => Err(wrong_state(id, order.state())),
        Stage::Confirmed | Stage::Authorized { accept_by: None } => Ok(vec![]),
    }
}

/// Declines an order as a whole: it is cancelled, and its buyer gets the money back.
pub(crate) fn decide_decline(
    market: &Market,
    facts: &Facts,
    seller: AccountId,
    command: &DeclineOrder,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = match sold(market, facts, seller, id)? {
        Found::Open(open) => open,
        Found::Closed(closed) if closed.state == OrderState::Cancelled => return Ok(vec![]),
        Found::Closed(closed) => return Err(wrong_state(id, closed.state)),
    };
    order.check_free(id)?;
    match order.stage {
        Stage::AwaitingSeller { .. } | Stage::Authorized { accept_by: Some(_) } => {
            let reason = Some(command.reason.as_str().to_owned());
            Ok(call_off(market, id, order, CancelledBy::Account(Role::Seller), reason))
        }
        Stage::AwaitingPayment { .. } => Err(wrong_state(id, order.state())),
        Stage::Confirmed | Stage::Authorized { accept_by: None } => {
            Err(vec![Rejection::AlreadyAccepted { order: id }])
        }
    }
}

/// Cancels what of an order its seller did not accept in time.
pub(crate) fn decide_not_accepted(market: &Market, id: OrderId) -> Vec<Event> {
    call_off(market, id, waiting(market, id), CancelledBy::AcceptDeadline, None)
}
