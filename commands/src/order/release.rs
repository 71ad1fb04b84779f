//! Orders whose money is released by another rule than the usual one, or with a delay. What is known of each shipment that
//! has arrived is kept; whenever something new is learnt, the order's rule tells from when the money is free. Milestones and
//! risk may be spoken of before a shipment arrives: that is kept too, and counts from its arrival.

use events::escrow::milestone::Milestones;
use events::escrow::rule::{ReleaseFacts, ReleaseTerms};
use events::escrow::{MilestoneSigned, ReleaseScheduled};
use events::ids::{AccountId, OrderId};
use events::order::{ReleaseCondition, RiskCleared, ShipmentNumber};
use events::rejection::OrderState;
use events::{Event, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::escrow::Settlement;
use super::freeze::disputed;
use super::state::{Order, Shipment, ShipmentState};
use super::tender::bought;
use super::{open, sent, waiting, wrong_state};
use crate::command::{ClearRisk, ReleaseEscrow, SignMilestone};
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

    /// Adds somebody's word to what is known. More is never later.
    pub(super) fn heard(&self, pending: &Pending, word: ReleaseCondition, now: Timestamp) -> Pending {
        let mut facts = pending.facts;
        match word {
            ReleaseCondition::BuyerConfirmed => facts.buyer_confirmed = true,
            ReleaseCondition::OperatorRelease => facts.operator_released = true,
            ReleaseCondition::MilestoneSigned { milestone } => facts.signed = facts.signed.with(milestone),
            ReleaseCondition::RiskClear => facts.risk_cleared = true,
            other => panic!("{other:?} is nobody's word"),
        }
        Pending { facts, due: pending.due.min(self.due(&facts, now)) }
    }
}

impl Order {
    /// Makes what is known of a shipment when it arrives, where the terms are not the usual ones.
    pub(super) fn arrived(
        &self,
        shipment: ShipmentNumber,
        inspection_ends: Timestamp,
        carried: bool,
        now: Timestamp,
    ) -> Option<Pending> {
        let release = self.release.as_ref()?;
        let facts = ReleaseFacts {
            buyer_confirmed: false,
            carrier_delivered: carried.then_some(now),
            inspection_ends,
            operator_released: false,
            risk_cleared: self.is_risk_cleared(),
            signed: self.shipments[shipment.index()].signed(),
            held_since: release.held_since,
        };
        Some(Pending { facts, due: release.due(&facts, now) })
    }

    /// Tells whether the rule by which its money is or, once it is paid, will be released asks for somebody's word.
    fn asks(&self, market: &Market, word: ReleaseCondition) -> bool {
        match &self.release {
            Some(release) => release.terms.rule().asks(word),
            None => market.release_terms().is_some_and(|terms| terms.rule().asks(word)),
        }
    }

    fn is_risk_cleared(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.is_risk_cleared)
    }
}

impl Shipment {
    /// Gives the milestones that its buyer has signed.
    fn signed(&self) -> Milestones {
        match (self.state, &self.pending) {
            (ShipmentState::InTransit { signed, .. }, _) => signed,
            (_, Some(pending)) => pending.facts.signed,
            (_, None) => Milestones::default(),
        }
    }
}

impl Market {
    pub(crate) fn milestone_signed(&mut self, event: &MilestoneSigned) {
        let MilestoneSigned { milestone, order, shipment } = *event;
        let shipment = self.orders.known(order).shipment(shipment);
        match (&mut shipment.state, &mut shipment.pending) {
            (ShipmentState::InTransit { signed, .. }, _) => *signed = signed.with(milestone),
            (_, Some(pending)) => pending.facts.signed = pending.facts.signed.with(milestone),
            (state, None) => panic!("nobody signs a milestone of such a shipment: {state:?}"),
        }
    }

    pub(crate) fn risk_cleared(&mut self, event: &RiskCleared) {
        self.orders.known(event.order).extras.get_or_insert_default().is_risk_cleared = true;
    }

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
        if known.frozen().is_none() {
            self.waiting.extend(known.deadline(id, shipment));
        }
    }
}

impl Settlement<'_> {
    /// Takes somebody's word that a shipment's money is to be released: it is released now, or later, or all was said before.
    /// While money of it is frozen its time stands still, and nothing is released.
    pub(super) fn hear(
        &mut self,
        shipment: ShipmentNumber,
        condition: ReleaseCondition,
        now: Timestamp,
    ) -> Option<Event> {
        let (order, id) = (self.order, self.id);
        let Some(release) = &order.release else { return Some(self.release(shipment, &[condition], now)) };
        let known = &order.shipments[shipment.index()];
        let stopped_at = known.frozen().map(|frozen| frozen.stopped_at);
        let now = stopped_at.unwrap_or(now);
        // What arrives by this very decision is not known to the order yet.
        let known = known.pending.as_deref().copied().or_else(|| order.arrived(shipment, now, false, now))?;
        let heard = release.heard(&known, condition, now);
        if heard.facts == known.facts {
            return None;
        }
        if heard.due <= now && stopped_at.is_none() {
            return Some(self.release(shipment, &release.terms.rule().met(&heard.facts, now), now));
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
    if !order.asks(market, ReleaseCondition::OperatorRelease) {
        return Err(vec![Rejection::ReleaseNotAsked { order: id }]);
    }
    if shipment.frozen().is_some() {
        return Err(vec![Rejection::ShipmentFrozen { order: id, shipment: number }]);
    }
    match shipment.state {
        ShipmentState::InTransit { .. } => Err(wrong_state(id, OrderState::Shipped)),
        ShipmentState::Accepted => Ok(vec![]),
        ShipmentState::Inspection { .. } => {
            let heard =
                Settlement::of(market, id, order).hear(number, ReleaseCondition::OperatorRelease, now);
            Ok(heard.into_iter().collect())
        }
    }
}

pub(crate) fn decide_sign(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &SignMilestone,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SignMilestone { milestone, order: id, shipment: number } = *command;
    let order = bought(market, facts, account, id)?;
    order.check_free(id)?;
    let shipment = sent(id, order, number)?;
    let word = ReleaseCondition::MilestoneSigned { milestone };
    if !order.asks(market, word) {
        return Err(vec![Rejection::ReleaseNotAsked { order: id }]);
    }
    if shipment.frozen().is_some() {
        return Err(vec![Rejection::ShipmentFrozen { order: id, shipment: number }]);
    }
    if shipment.state == ShipmentState::Accepted || shipment.signed().contains(milestone) {
        return Ok(vec![]);
    }
    let signed = MilestoneSigned { milestone, order: id, shipment: number }.into();
    let is_here = matches!(shipment.state, ShipmentState::Inspection { .. });
    let heard = is_here.then(|| Settlement::of(market, id, order).hear(number, word, now)).flatten();
    Ok([signed].into_iter().chain(heard).collect())
}

pub(crate) fn decide_clear(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ClearRisk,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ClearRisk { note, order: id } = command;
    let id = *id;
    let order = open(market, facts, id)?;
    order.check_free(id)?;
    if !order.asks(market, ReleaseCondition::RiskClear) {
        return Err(vec![Rejection::ReleaseNotAsked { order: id }]);
    }
    if order.is_risk_cleared() {
        return Ok(vec![]);
    }
    let note = note.as_ref().map(|note| note.as_str().to_owned());
    let mut events = vec![RiskCleared { by: account, note, order: id }.into()];
    let mut settlement = Settlement::of(market, id, order);
    for (index, shipment) in order.shipments.iter().enumerate() {
        if matches!(shipment.state, ShipmentState::Inspection { .. }) {
            events.extend(settlement.hear(ShipmentNumber::after(index), ReleaseCondition::RiskClear, now));
        }
    }
    Ok(events)
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
    vec![Settlement::of(market, id, order).release(
        shipment,
        &release.terms.rule().met(&pending.facts, now),
        now,
    )]
}
