//! Orders whose money is released by another rule than the usual one, or with a delay. What is known of each shipment that
//! has arrived is kept; whenever something new is learnt, the market's rule tells from when the money is free.

use events::escrow::ReleaseScheduled;
use events::escrow::rule::{ReleaseFacts, ReleaseTerms};
use events::ids::{AccountId, OrderId};
use events::order::{ReleaseCondition, ShipmentNumber};
use events::rejection::OrderState;
use events::{Event, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::escrow::Settlement;
use super::freeze::disputed;
use super::state::ShipmentState;
use super::{waiting, wrong_state};
use crate::command::ReleaseEscrow;
use crate::decide::Facts;
use crate::market::Market;

/// By what terms an order's money is released, where they are not the usual ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The terms.
    pub terms: ReleaseTerms,
    /// Since when all of its money is held.
    pub held_since: Timestamp,
}

/// What is known of a shipment that has arrived, where the terms are not the usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What the rule asks for.
    pub facts: ReleaseFacts,
    /// When the money is released, as far as is known now.
    pub due: Timestamp,
}

impl Release {
    /// Tells when money is released: once the rule holds, and then after the delay.
    pub(super) fn due(&self, facts: &ReleaseFacts, now: Timestamp) -> Timestamp {
        let from = self.terms.rule().holds_from(facts);
        from.expect("a rule comes true without anybody's word").max(now).plus_ms(self.terms.hold_ms())
    }

    /// Makes what is known of a shipment when it arrives.
    pub(super) fn arrived(&self, inspection_ends: Timestamp, carried: bool, now: Timestamp) -> Pending {
        let facts = ReleaseFacts {
            buyer_confirmed: false,
            carrier_delivered: carried.then_some(now),
            inspection_ends,
            operator_released: false,
            held_since: self.held_since,
        };
        Pending { facts, due: self.due(&facts, now) }
    }

    /// Adds somebody's word to what is known. More is never later.
    pub(super) fn heard(&self, pending: &Pending, word: ReleaseCondition, now: Timestamp) -> Pending {
        let mut facts = pending.facts;
        match word {
            ReleaseCondition::BuyerConfirmed => facts.buyer_confirmed = true,
            ReleaseCondition::OperatorRelease => facts.operator_released = true,
            other => panic!("{other:?} is nobody's word"),
        }
        Pending { facts, due: pending.due.min(self.due(&facts, now)) }
    }
}

impl Market {
    pub(crate) fn release_scheduled(&mut self, event: &ReleaseScheduled) {
        let ReleaseScheduled { condition, due, order: id, shipment } = *event;
        let order = self.orders.known(id);
        let terms = order.release.clone();
        let known = order.shipment(shipment);
        if let Some(stamp) = known.deadline(id, shipment) {
            self.waiting.remove(&stamp);
        }
        let (release, pending) = terms.zip(known.pending.as_mut()).expect("its terms are not the usual ones");
        **pending = Pending { due, ..release.heard(pending, condition, self.time) };
        self.waiting.extend(known.deadline(id, shipment));
    }
}

impl Settlement<'_> {
    /// Takes somebody's word that a shipment's money is to be released: it is released now, or later, or all was said before.
    pub(super) fn hear(
        &mut self,
        shipment: ShipmentNumber,
        condition: ReleaseCondition,
        now: Timestamp,
    ) -> Option<Event> {
        let (order, id) = (self.order, self.id);
        let Some(release) = &order.release else { return Some(self.release(shipment, &[condition])) };
        // What arrives by this very decision is not known to the order yet.
        let known = order.shipments[shipment.index()].pending.as_deref().copied();
        let known = known.unwrap_or_else(|| release.arrived(now, false, now));
        let heard = release.heard(&known, condition, now);
        if heard.facts == known.facts {
            return None;
        }
        if heard.due <= now {
            return Some(self.release(shipment, &release.terms.rule().met(&heard.facts, now)));
        }
        Some(ReleaseScheduled { condition, due: heard.due, order: id, shipment }.into())
    }
}

pub(crate) fn decide_release(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ReleaseEscrow,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (id, number) = (command.order, command.shipment);
    let (_, order, shipment) = disputed(market, facts, account, id, number)?;
    if !order.release.as_ref().is_some_and(|release| release.terms.rule().asks_operator()) {
        return Err(vec![Rejection::ReleaseNotAsked { order: id }]);
    }
    if shipment.frozen().is_some() {
        return Err(vec![Rejection::ShipmentFrozen { order: id, shipment: number }]);
    }
    match shipment.state {
        ShipmentState::InTransit { .. } => Err(wrong_state(id, OrderState::Shipped)),
        ShipmentState::Accepted => Ok(vec![]),
        ShipmentState::Inspection { .. } => {
            let heard = Settlement::of(id, order).hear(number, ReleaseCondition::OperatorRelease, now);
            Ok(heard.into_iter().collect())
        }
    }
}

/// Pays for a shipment whose rule holds, and whose delay is over.
pub(crate) fn decide_set_free(
    market: &Market,
    id: OrderId,
    shipment: ShipmentNumber,
    now: Timestamp,
) -> Vec<Event> {
    let order = waiting(market, id);
    let pending = order.shipments[shipment.index()].pending.as_ref();
    let (release, pending) = order.release.as_ref().zip(pending).expect("only such a shipment waits so");
    vec![Settlement::of(id, order).release(shipment, &release.terms.rule().met(&pending.facts, now))]
}
