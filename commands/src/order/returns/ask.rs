//! What buyers do about returns.

use events::ids::{AccountId, CommandId, OrderId};
use events::order::ShipmentNumber;
use events::rejection::{OrderState, ReturnRejection};
use events::returns::{Appealed, Ended, Requested, ReturnEnd, ReturnNumber, Sent};
use events::{Event, Money, Quantity, Rejection, Timestamp};

use super::money::{freeze, paid_for, unfreeze};
use super::replace::{self, plan};
use super::{By, Opened, RETURNS_MAX, ReturnStage, Sold, opened};
use crate::command::{AppealReturn, CancelReturn, LineQuantity, RequestReturn, SendReturn};
use crate::decide::Facts;
use crate::market::Market;
use crate::order::state::ShipmentState;
use crate::order::{Found, find, places, sent, wrong_state};

fn refused(reason: ReturnRejection) -> Vec<Rejection> {
    vec![reason.into()]
}

pub(crate) fn decide_request(
    market: &Market,
    facts: &Facts,
    buyer: AccountId,
    command_id: CommandId,
    command: &RequestReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (id, number) = (command.order, command.shipment);
    let found = find(market, facts, id)?;
    if found.buyer() != buyer {
        return Err(vec![Rejection::NotYourOrder { order: id }]);
    }
    let Some(terms) = market.return_terms() else { return Err(refused(ReturnRejection::ReturnsNotOffered)) };
    let order = match found {
        Found::Open(order) => order,
        Found::Closed(closed) if closed.state == OrderState::Cancelled => {
            return Err(wrong_state(id, closed.state));
        }
        Found::Closed(_) => return Err(refused(ReturnRejection::ReturnWindowOver { order: id })),
    };
    order.check_free(id)?;
    let shipment = sent(id, order, number)?;
    let known = market.orders.returns().of(id).expect("something of the order was shipped");
    let sold = &known.shipments[number.index()];
    if let Some(open) = &sold.open {
        return Err(refused(ReturnRejection::ReturnOpen { number: open.number, order: id }));
    }
    let Some(return_by) = sold.return_by else {
        return Err(refused(ReturnRejection::NotDelivered { order: id, shipment: number }));
    };
    if shipment.frozen().is_some() {
        return Err(vec![Rejection::ShipmentFrozen { order: id, shipment: number }]);
    }
    if sold.is_settled {
        return Err(refused(ReturnRejection::ShipmentSettled { order: id, shipment: number }));
    }
    if now > return_by {
        return Err(refused(ReturnRejection::ReturnWindowOver { order: id }));
    }
    if known.asked == RETURNS_MAX {
        return Err(refused(ReturnRejection::TooManyReturns { max: RETURNS_MAX }));
    }
    let asked = match &command.lines {
        Some(asked) => named(id, number, sold, asked)?,
        None => left(sold)?,
    };
    let lines = paid_for(order, number, sold, &asked);
    if lines.iter().all(|units| !units.amount.is_positive()) {
        return Err(refused(ReturnRejection::NothingPaid { order: id }));
    }
    let replacement = match &command.exchange {
        Some(exchange) => Some(plan(market, order, buyer, command_id, exchange, &lines, now)?),
        None => None,
    };
    let answer_by = now.plus_ms(terms.answer_ms);
    let is_held = shipment.state != ShipmentState::Accepted;
    if !is_held {
        // Its seller may come to owe all of it, when nobody is asked.
        let amount = lines.iter().map(|units| units.amount.minor).sum();
        let amount = Money::new(amount, order.total.currency);
        market.ledger.check_inflow(amount).map_err(|reason| vec![reason])?;
    }
    let frozen = is_held.then(|| freeze(id, order, number, &lines, answer_by));
    let requested = Requested {
        answer_by,
        buyer,
        lines,
        note: command.note.as_ref().map(|note| note.as_str().to_owned()),
        number: ReturnNumber::after(known.asked),
        order: id,
        reason: command.reason,
        replacement,
        seller: order.seller,
        shipment: number,
    };
    Ok([requested.into()].into_iter().chain(frozen).collect())
}

/// Gives all units of a shipment that can be returned: places of its lines, and units of each.
fn left(sold: &Sold) -> Result<Vec<(usize, Quantity)>, Vec<Rejection>> {
    let lines = sold.lines.iter().enumerate();
    let left: Vec<_> =
        lines.filter_map(|(place, line)| Some((place, Quantity::new(line.returnable()).ok()?))).collect();
    match sold.lines.iter().find(|line| line.left() > line.returnable()) {
        Some(line) if left.is_empty() => Err(refused(ReturnRejection::FinalSale { listing: line.listing })),
        _ => Ok(left),
    }
}

/// Finds the units that a buyer names, or every reason against it.
fn named(
    order: OrderId,
    shipment: ShipmentNumber,
    sold: &Sold,
    asked: &[LineQuantity],
) -> Result<Vec<(usize, Quantity)>, Vec<Rejection>> {
    let find = |listing| {
        let place = sold.lines.iter().position(|line| line.listing == listing)?;
        Some((place, sold.lines[place].returnable()))
    };
    let too_many = |line: &LineQuantity, left| {
        let (listing, requested) = (line.listing, line.quantity.get());
        if sold.lines.iter().any(|sold| sold.listing == listing && sold.is_final) {
            return ReturnRejection::FinalSale { listing }.into();
        }
        ReturnRejection::TooManyToReturn { left, listing, requested, shipment }.into()
    };
    places(order, asked, find, too_many)
}

pub(crate) fn decide_appeal(
    market: &Market,
    facts: &Facts,
    buyer: AccountId,
    command: &AppealReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let AppealReturn { note, number, order } = command;
    let found = opened(market, facts, (By::Buyer, buyer), *order, *number)?;
    match found.open.stage {
        ReturnStage::Rejected { .. } | ReturnStage::Deducted { .. } => {
            let terms = market.return_terms().expect("a market with a return offers returns");
            let decide_by = now.plus_ms(terms.decide_ms);
            let note = note.as_str().to_owned();
            Ok(vec![Appealed { decide_by, note, number: *number, order: *order }.into()])
        }
        ReturnStage::Appealed { .. } => Ok(vec![]),
        _ => Err(found.wrong_state()),
    }
}

pub(crate) fn decide_send(
    market: &Market,
    facts: &Facts,
    buyer: AccountId,
    command: &SendReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SendReturn { carrier, number, order, tracking } = command;
    let found = opened(market, facts, (By::Buyer, buyer), *order, *number)?;
    match found.open.stage {
        ReturnStage::Approved { .. } => {
            let terms = market.return_terms().expect("a market with a return offers returns");
            let text = |text: &crate::command::Text<64>| text.as_str().to_owned();
            let sent = Sent {
                carrier: carrier.as_ref().map(text),
                inspect_by: now.plus_ms(market.deadlines().transit_ms()).plus_ms(terms.inspect_ms),
                number: *number,
                order: *order,
                tracking: tracking.as_ref().map(text),
            };
            Ok(vec![sent.into()])
        }
        ReturnStage::Sent { .. } => Ok(vec![]),
        _ => Err(found.wrong_state()),
    }
}

pub(crate) fn decide_cancel(
    market: &Market,
    facts: &Facts,
    buyer: AccountId,
    command: &CancelReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let found = opened(market, facts, (By::Buyer, buyer), command.order, command.number)?;
    match found.open.stage {
        ReturnStage::Requested { .. }
        | ReturnStage::Rejected { .. }
        | ReturnStage::Approved { .. }
        | ReturnStage::Appealed { deduction_minor: None, .. } => {
            Ok(ended(&found, ReturnEnd::Cancelled, None, now))
        }
        _ => Err(found.wrong_state()),
    }
}

/// Ends a return without a refund.
pub(super) fn ended(
    found: &Opened<'_>,
    outcome: ReturnEnd,
    note: Option<String>,
    now: Timestamp,
) -> Vec<Event> {
    let freed = replace::ended(found.id, found.open);
    let ended = Ended { note, number: found.open.number, order: found.id, outcome }.into();
    freed.into_iter().chain([ended]).chain(unfreeze(found, now)).collect()
}
