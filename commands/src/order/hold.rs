//! Orders that operators stop, or a review of their risk, or chargebacks. A hold changes nothing of an order but that it stands still: what the order was before is
//! still there, and its deadlines are shifted by as long as the hold lasted.

use events::ids::{AccountId, OrderId};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::ShipmentNumber;
use events::order::hold::{Held, HoldReason, Unheld, UnholdRequested};
use events::rejection::ChargebackRejection;
use events::{Event, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::capture::ended_on_hold;
use super::charge::{Lost, charged_back};
use super::review::Review;
use super::state::{Order, Shipment, ShipmentState};
use super::{Stage, open, wrong_state};
use crate::command::{HoldOrder, UnholdOrder};
use crate::decide::Facts;
use crate::market::Market;
use crate::suspension::may_be_agreed_to;

/// What stops an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The operators' hold, if they stopped it.
    pub by_operators: Option<OperatorHold>,
    /// The review of its risk, if the market's rules stopped it.
    pub review: Option<Review>,
    /// How many chargebacks stop it, until their banks have decided.
    pub chargebacks: u32,
    /// Since when it is stopped.
    pub since: Timestamp,
    /// What was lost by others meanwhile.
    pub lost: Lost,
}

/// A hold of operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorHold {
    /// Why.
    pub reason: HoldReason,
    /// Who asked for it to be lifted, if anybody did.
    pub lift_requested_by: Option<AccountId>,
}

impl Hold {
    pub(super) fn since(since: Timestamp) -> Hold {
        Hold { by_operators: None, review: None, chargebacks: 0, since, lost: Lost::default() }
    }
}

impl Market {
    pub(crate) fn order_held(&mut self, event: &Held) {
        for stamp in self.orders.deadlines(event.order) {
            self.waiting.remove(&stamp);
        }
        let since = self.time;
        let order = self.orders.known(event.order);
        let by_operators = OperatorHold { reason: event.reason, lift_requested_by: None };
        let hold = order.hold.get_or_insert_with(|| Box::new(Hold::since(since)));
        hold.by_operators = Some(by_operators);
    }

    pub(crate) fn unhold_requested(&mut self, event: &UnholdRequested) {
        let hold = self.orders.known(event.order).hold.as_mut();
        let by_operators = hold.and_then(|hold| hold.by_operators.as_mut());
        by_operators.expect("only a hold is asked to be lifted").lift_requested_by = Some(event.by);
    }

    pub(crate) fn order_unheld(&mut self, event: &Unheld) {
        let hold = self.orders.known(event.order).hold.as_mut().expect("only a hold is lifted");
        hold.by_operators = None;
        // What was lost meanwhile is taken off it first, behind this in the same commit.
        if hold.lost.chargebacks.is_empty() {
            self.go_on(event.order, &event.deadlines);
        }
    }

    /// Lets an order go on that nothing stops any more.
    pub(super) fn go_on(&mut self, id: OrderId, deadlines: &[DeadlineStamp]) {
        let hold = self.orders.known(id).hold.take().expect("only what is stopped goes on");
        for stamp in deadlines {
            if !self.orders.returns_mut().set_due(*stamp) {
                self.orders.known(id).set_due(*stamp);
            }
            self.waiting.insert(*stamp);
        }
        self.orders.returns_mut().extend(id, self.time.ms_since(hold.since));
    }
}

impl Order {
    /// Checks that neither operators nor a chargeback have stopped the order. Whoever changes anything of an order asks this first.
    pub(crate) fn check_free(&self, id: OrderId) -> Result<(), Vec<Rejection>> {
        match &self.hold {
            Some(hold) => Err(vec![match (hold.by_operators, hold.review) {
                (Some(by_operators), _) => Rejection::OrderOnHold { order: id, reason: by_operators.reason },
                (None, Some(_)) => Rejection::OrderOnHold { order: id, reason: HoldReason::RiskReview },
                (None, None) => ChargebackRejection::PaymentDisputed { order: id }.into(),
            }]),
            None => Ok(()),
        }
    }

    /// Gives what stops an order of which a chargeback took something.
    pub(super) fn charged(&mut self) -> &mut Hold {
        self.hold.as_mut().expect("a chargeback stops the order that it is about")
    }

    /// Lists the order's own deadlines, those that stand still during a hold too; not those of its returns.
    pub fn deadlines(&self, id: OrderId) -> Vec<DeadlineStamp> {
        let mut deadlines = Vec::with_capacity(1 + self.shipments.len());
        if self.units_left() > 0 {
            deadlines.push(self.deadline(id));
        }
        for (index, shipment) in self.shipments.iter().enumerate() {
            let number = ShipmentNumber::after(index);
            deadlines.extend(match shipment.frozen() {
                Some(frozen) if frozen.is_of_return => None,
                Some(frozen) => {
                    let waiting = Waiting::FreezeExpires { order: id, shipment: number };
                    Some(DeadlineStamp { due: frozen.due, waiting })
                }
                None => shipment.deadline(id, number),
            });
        }
        deadlines.extend(self.change_deadline(id));
        deadlines
    }

    /// Changes when a deadline is due.
    fn set_due(&mut self, DeadlineStamp { due, waiting }: DeadlineStamp) {
        match waiting {
            Waiting::ShipBy { .. } => self.ship_by = due,
            Waiting::AcceptBy { order } => {
                // The time to ship begins behind it.
                self.ship_by = self.ship_by.plus_ms(due.ms_since(self.deadline(order).due));
                self.stage = match self.stage {
                    Stage::Authorized { .. } => Stage::Authorized { accept_by: Some(due) },
                    _ => Stage::AwaitingSeller { accept_by: due },
                };
            }
            Waiting::DeliveryDue { shipment, .. }
            | Waiting::InspectionEnds { shipment, .. }
            | Waiting::ReleaseDue { shipment, .. } => {
                self.shipment(shipment).set_due(due);
            }
            Waiting::FreezeExpires { shipment, .. } => self.shipment(shipment).frozen_mut().due = due,
            Waiting::ChangeExpires { .. } => self.set_change_due(due),
            other => panic!("an order that may be on hold has no such deadline: {other:?}"),
        }
    }
}

impl Shipment {
    /// Gives what the shipment itself waits for, unless money of it is frozen; none: for nothing.
    pub(super) fn deadline(&self, order: OrderId, shipment: ShipmentNumber) -> Option<DeadlineStamp> {
        match self.state {
            ShipmentState::InTransit { delivery_due: due, .. } => {
                Some(DeadlineStamp { due, waiting: Waiting::DeliveryDue { order, shipment } })
            }
            ShipmentState::Inspection { inspection_ends } => Some(match &self.pending {
                Some(pending) => {
                    DeadlineStamp { due: pending.due, waiting: Waiting::ReleaseDue { order, shipment } }
                }
                None => {
                    let waiting = Waiting::InspectionEnds { order, shipment };
                    DeadlineStamp { due: inspection_ends, waiting }
                }
            }),
            ShipmentState::Accepted => None,
        }
    }

    /// Changes when what the shipment itself waits for is due.
    pub(super) fn set_due(&mut self, to: Timestamp) {
        match (&mut self.state, &mut self.pending) {
            (ShipmentState::Inspection { inspection_ends }, Some(pending)) => {
                // The time to inspect stood still too.
                *inspection_ends = inspection_ends.plus_ms(to.ms_since(pending.due));
                pending.facts.inspection_ends = *inspection_ends;
                pending.due = to;
            }
            (ShipmentState::InTransit { delivery_due: due, .. }, _)
            | (ShipmentState::Inspection { inspection_ends: due }, None) => *due = to,
            (ShipmentState::Accepted, _) => panic!("an accepted shipment waits for nothing"),
        }
    }
}

/// Gives a deadline the time again that it had left when it was stopped.
pub(super) fn restarted(stamp: DeadlineStamp, stopped_at: Timestamp, now: Timestamp) -> DeadlineStamp {
    DeadlineStamp { due: stamp.due.plus_ms(now.ms_since(stopped_at)), ..stamp }
}

pub(crate) fn decide_hold(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &HoldOrder,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let HoldOrder { note, order: id, reason } = command;
    let order = open(market, facts, *id)?;
    let by_operators = order.hold.as_ref().and_then(|hold| hold.by_operators.as_ref());
    if by_operators.is_some_and(|hold| hold.reason == *reason) {
        return Ok(vec![]);
    }
    order.check_free(*id)?;
    if order.awaits_payment() {
        // What a provider brings would move it all the same.
        return Err(wrong_state(*id, order.state()));
    }
    Ok(vec![Held { by: account, note: note.as_str().to_owned(), order: *id, reason: *reason }.into()])
}

pub(crate) fn decide_unhold(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &UnholdOrder,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = open(market, facts, id)?;
    let Some(hold) = &order.hold else { return Ok(vec![]) };
    if hold.review.is_some() {
        // One operator decides it, with a command of its own.
        return order.check_free(id).map(|()| vec![]);
    }
    let Some(by_operators) = hold.by_operators else { return Ok(vec![]) };
    if hold.chargebacks > 0 {
        return Err(vec![ChargebackRejection::PaymentDisputed { order: id }.into()]);
    }
    match by_operators.lift_requested_by.filter(|first| may_be_agreed_to(market, *first)) {
        None => Ok(vec![UnholdRequested { by: account, order: id }.into()]),
        Some(asked) if asked == account => Err(vec![Rejection::FourEyes { order: id }]),
        Some(requested_by) if hold.lost.chargebacks.is_empty() => {
            let deadlines =
                market.orders.deadlines(id).into_iter().map(|stamp| restarted(stamp, hold.since, now));
            let deadlines = deadlines.collect();
            let mut events = vec![Unheld { agreed_by: account, deadlines, order: id, requested_by }.into()];
            events.extend(ended_on_hold(market, id, order));
            Ok(events)
        }
        Some(requested_by) => {
            let unheld = Unheld { agreed_by: account, deadlines: Vec::new(), order: id, requested_by };
            let behind = charged_back(market, id, hold, order.escrow, now);
            Ok([unheld.into()].into_iter().chain(behind).collect())
        }
    }
}
