//! What sellers and operators do about returns, and what happens when nobody does anything.

use events::ids::{AccountId, OrderId};
use events::order::ShipmentNumber;
use events::rejection::ReturnRejection;
use events::returns::{
    Approved, DecidedBy, DecisionProposed, Deduction, Received, ReceivedUnits, Rejected, ReturnEnd,
    ReturnNumber,
};
use events::{Event, Money, Rejection, Timestamp};

use super::ask::ended;
use super::money::{deductible, refund};
use super::{By, Opened, Return, ReturnStage, intact, opened, replace};
use crate::command::{ApproveReturn, DecideReturn, ReceiveReturn, RejectReturn, ReturnDecision};
use crate::decide::Facts;
use crate::market::Market;
use crate::order::{Order, waiting};
use crate::stock::check_location;
use crate::suspension::may_be_agreed_to;

fn approved(
    market: &Market,
    found: &Opened<'_>,
    by: DecidedBy,
    note: Option<String>,
    is_refund: bool,
    now: Timestamp,
) -> Vec<Event> {
    let terms = market.return_terms().expect("a market with a return offers returns");
    let send_by = now.plus_ms(terms.send_ms);
    let approved = Approved { by, note, number: found.open.number, order: found.id, send_by }.into();
    [approved].into_iter().chain(replace::approved(market, found, is_refund)).collect()
}

pub(crate) fn decide_approve(
    market: &Market,
    facts: &Facts,
    seller: AccountId,
    command: &ApproveReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let found = opened(market, facts, (By::Seller, seller), command.order, command.number)?;
    match found.open.stage {
        // He may change his mind, too.
        ReturnStage::Requested { .. }
        | ReturnStage::Rejected { .. }
        | ReturnStage::Appealed { deduction_minor: None, .. } => {
            Ok(approved(market, &found, DecidedBy::Seller, None, command.refund_only, now))
        }
        ReturnStage::Approved { .. } => Ok(vec![]),
        _ => Err(found.wrong_state()),
    }
}

pub(crate) fn decide_reject(
    market: &Market,
    facts: &Facts,
    seller: AccountId,
    command: &RejectReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RejectReturn { number, order, reason } = command;
    let found = opened(market, facts, (By::Seller, seller), *order, *number)?;
    match found.open.stage {
        ReturnStage::Requested { .. } => {
            let terms = market.return_terms().expect("a market with a return offers returns");
            let appeal_by = now.plus_ms(terms.appeal_ms);
            let reason = reason.as_str().to_owned();
            Ok(vec![Rejected { appeal_by, number: *number, order: *order, reason }.into()])
        }
        ReturnStage::Rejected { .. } => Ok(vec![]),
        _ => Err(found.wrong_state()),
    }
}

pub(crate) fn decide_decide(
    market: &Market,
    facts: &Facts,
    operator: AccountId,
    command: &DecideReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let DecideReturn { decision, note, number, order } = command;
    let found = opened(market, facts, (By::Operator, operator), *order, *number)?;
    let ReturnStage::Appealed { deduction_minor, .. } = found.open.stage else {
        return Err(found.wrong_state());
    };
    let deduction_minor = match (deduction_minor, decision) {
        (None, ReturnDecision::Deduct(_)) => {
            return Err(vec![ReturnRejection::NothingToDeduct { number: *number, order: *order }.into()]);
        }
        (None, _) => None,
        (Some(claimed), decision) => Some(keeps(found.order, claimed, *decision)?),
    };
    if found.open.amount_minor > market.escrow_terms().four_eyes_above_minor() {
        match found.open.proposed.filter(|first| may_be_agreed_to(market, first.by)) {
            Some(first) if first.decision == *decision && first.by == operator => {
                return Err(vec![Rejection::FourEyes { order: *order }]);
            }
            Some(first) if first.decision == *decision => {}
            // The first decision, or another one, which then stands in the place of the first.
            Some(_) | None => {
                let (decision, note) = (*decision, note.as_str().to_owned());
                let (by, number, order) = (operator, *number, *order);
                return Ok(vec![DecisionProposed { by, decision, note, number, order }.into()]);
            }
        }
    }
    let (by, note) = (DecidedBy::Operator, Some(note.as_str().to_owned()));
    match (deduction_minor, decision) {
        (Some(minor), _) => Ok(refund(market, &found, by, minor, note, now)),
        (None, ReturnDecision::Approve) => Ok(approved(market, &found, by, note, false, now)),
        (None, _) => Ok(ended(&found, ReturnEnd::Denied, note, now)),
    }
}

/// Gives what an operator lets a seller keep who wants to keep so much, in minor units.
fn keeps(order: &Order, claimed_minor: i64, decision: ReturnDecision) -> Result<i64, Vec<Rejection>> {
    let most = Money::new(claimed_minor, order.total.currency);
    match decision {
        ReturnDecision::Approve => Ok(0),
        ReturnDecision::Deny => Ok(claimed_minor),
        ReturnDecision::Deduct(amount)
            if amount.currency == most.currency && (1..=most.minor).contains(&amount.minor) =>
        {
            Ok(amount.minor)
        }
        ReturnDecision::Deduct(_) => Err(vec![ReturnRejection::DeductionAmount { most }.into()]),
    }
}

pub(crate) fn decide_receive(
    market: &Market,
    facts: &Facts,
    seller: AccountId,
    command: &ReceiveReturn,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReceiveReturn { deduction, lines, location, note, number, order } = command;
    let found = opened(market, facts, (By::Seller, seller), *order, *number)?;
    // They may come though nobody said that they were sent.
    let (ReturnStage::Sent { .. } | ReturnStage::Approved { .. }) = found.open.stage else {
        return Err(found.wrong_state());
    };
    let mut reasons = Vec::new();
    let lines = match lines {
        Some(said) => counted(found.open, said, &mut reasons),
        None => intact(found.open),
    };
    for units in lines.iter().filter(|units| units.came() > 0) {
        let listed = market.listings.get(units.listing).expect("what was sold is listed");
        check_location(units.listing, &listed.stock, location.as_ref(), &mut reasons);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let note = note.as_ref().map(|note| note.as_str().to_owned());
    let deduction = match deduction {
        Some(amount) => Some(deducted(market, &found, *amount, &lines, note.clone(), now)?),
        None => None,
    };
    let is_paid = deduction.is_none();
    let (by, location) = (DecidedBy::Seller, location.clone());
    let received = Received { by, deduction, lines, location, number: *number, order: *order }.into();
    let refunded = if is_paid { refund(market, &found, by, 0, note, now) } else { Vec::new() };
    Ok([received].into_iter().chain(refunded).collect())
}

/// Puts what a seller says of units into the order of the request, and notes where it is not about all of them.
fn counted(open: &Return, said: &[ReceivedUnits], reasons: &mut Vec<Rejection>) -> Vec<ReceivedUnits> {
    let mut lines = Vec::with_capacity(open.lines.len());
    for line in &open.lines {
        let mut of_it = said.iter().filter(|units| units.listing == line.listing);
        match (of_it.next(), of_it.next()) {
            (Some(units), None) if units.units() == u64::from(line.units) => lines.push(*units),
            _ => {
                let (listing, units) = (line.listing, line.units);
                reasons.push(ReturnRejection::ReceivedUnits { listing, units }.into());
            }
        }
    }
    for units in said.iter().filter(|units| open.lines.iter().all(|line| line.listing != units.listing)) {
        reasons.push(ReturnRejection::ReceivedUnits { listing: units.listing, units: 0 }.into());
    }
    lines
}

/// Checks what a seller wants to keep.
fn deducted(
    market: &Market,
    found: &Opened<'_>,
    amount: Money,
    lines: &[ReceivedUnits],
    note: Option<String>,
    now: Timestamp,
) -> Result<Deduction, Vec<Rejection>> {
    let most = deductible(found.open, |place| lines[place].intact);
    let most = Money::new(most, found.order.total.currency);
    let is_fair = amount.currency == most.currency && (1..=most.minor).contains(&amount.minor);
    let Some(note) = note.filter(|_| is_fair) else {
        return Err(vec![ReturnRejection::DeductionAmount { most }.into()]);
    };
    let terms = market.return_terms().expect("a market with a return offers returns");
    Ok(Deduction { amount, appeal_by: now.plus_ms(terms.appeal_ms), note })
}

/// Decides what becomes of a return for which nobody has done anything in time: a seller who says nothing agrees, a buyer who does
/// nothing gives up, and what no operator has decided is as the buyer wants it.
pub(crate) fn decide_due(
    market: &Market,
    id: OrderId,
    shipment: ShipmentNumber,
    now: Timestamp,
) -> Vec<Event> {
    let order = waiting(market, id);
    let known = market.orders.returns().of(id).expect("a deadline leaves with its order");
    let sold = &known.shipments[shipment.index()];
    let open = sold.open.as_deref().expect("a deadline leaves with its return");
    let found = Opened { id, order, shipment, sold, open };
    let by = DecidedBy::Deadline;
    match open.stage {
        ReturnStage::Requested { .. } | ReturnStage::Appealed { deduction_minor: None, .. } => {
            approved(market, &found, by, None, false, now)
        }
        ReturnStage::Rejected { .. } => ended(&found, ReturnEnd::Rejected, None, now),
        ReturnStage::Approved { .. } => ended(&found, ReturnEnd::Expired, None, now),
        ReturnStage::Sent { .. } => {
            let refunded = refund(market, &found, by, 0, None, now);
            let received = came_intact(id, open.number, intact(open));
            [received].into_iter().chain(refunded).collect()
        }
        ReturnStage::Deducted { deduction_minor, .. } => {
            refund(market, &found, by, deduction_minor, None, now)
        }
        ReturnStage::Appealed { deduction_minor: Some(_), .. } => refund(market, &found, by, 0, None, now),
    }
}

fn came_intact(order: OrderId, number: ReturnNumber, lines: Vec<ReceivedUnits>) -> Event {
    let (by, deduction, location) = (DecidedBy::Deadline, None, None);
    Received { by, deduction, lines, location, number, order }.into()
}
