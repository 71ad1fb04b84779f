//! Money of a shipment that is set apart, since somebody says that it is not to be paid as it stands, and what becomes of
//! it: it goes back to the escrow, or it is split between seller and buyer. While it is frozen the shipment's own deadline
//! stands still.

use events::account::Role;
use events::escrow::{self, FreezeReason, SettledBy, SettlementProposed, Unfrozen};
use events::ids::{AccountId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::ShipmentNumber;
use events::rejection::ReturnRejection;
use events::{Event, Money, Position, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::escrow::Settlement;
use super::hold::restarted;
use super::state::{Order, Shipment, ShipmentState};
use super::tender::give_back;
use super::{find, sent, waiting};
use crate::command::{FreezeEscrow, SettleEscrow, UnfreezeEscrow};
use crate::decide::Facts;
use crate::fees;
use crate::market::Market;
use crate::suspension::may_be_agreed_to;

/// What is known of a shipment of which money was frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Freeze {
    /// Whether its buyer had money frozen, which he can once.
    pub was_claimed: bool,
    /// What is frozen now.
    pub open: Option<Frozen>,
}

/// Money that waits for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// How much.
    pub amount_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// In which role somebody froze it.
    pub by: Role,
    /// Whether its units are to be returned: then it waits for that, and for nothing of its own.
    pub is_of_return: bool,
    /// When it is paid back to the buyer.
    pub due: Timestamp,
    /// Since when the shipment's own deadline stands still.
    pub stopped_at: Timestamp,
    /// The decision that a second operator has to agree to, if there is one.
    pub proposal: Option<Proposal>,
}

/// A decision of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Whose it is.
    pub by: AccountId,
    /// What is to be released; the buyer gets the rest.
    pub to_seller_minor: i64,
}

impl Shipment {
    /// Gives what of the shipment's money is frozen now.
    pub fn frozen(&self) -> Option<&Frozen> {
        self.freeze.as_ref().and_then(|freeze| freeze.open.as_ref())
    }

    /// Gives what of the shipment's money is frozen now.
    ///
    /// # Panics
    /// If nothing is: deciders look.
    pub(super) fn frozen_mut(&mut self) -> &mut Frozen {
        let open = self.freeze.as_mut().and_then(|freeze| freeze.open.as_mut());
        open.expect("an event about frozen money follows its freezing")
    }
}

impl Market {
    pub(crate) fn escrow_frozen(&mut self, event: &escrow::Frozen) {
        let escrow::Frozen { by, due, order: id, shipment: number, transfer, .. } = *event;
        self.ledger.post(&transfer);
        let order = self.orders.known(id);
        let minor = transfer.amount.minor;
        order.escrow.frozen += minor;
        let shipment = order.shipment(number);
        if let Some(stopped) = shipment.deadline(id, number) {
            self.waiting.remove(&stopped);
        }
        let tax_minor = event.tax.map_or(0, |tax| tax.minor);
        let subsidy_minor = event.subsidy.map_or(0, |subsidy| subsidy.minor);
        shipment.amount_minor -= minor;
        shipment.tax_minor -= tax_minor;
        let freeze = shipment.freeze.get_or_insert_default();
        let is_of_return = event.reason == FreezeReason::Return;
        freeze.was_claimed |= by == Role::Buyer && !is_of_return;
        let (amount_minor, stopped_at) = (minor, self.time);
        freeze.open =
            Some(Frozen { amount_minor, tax_minor, by, is_of_return, due, stopped_at, proposal: None });
        order.move_share(number, -subsidy_minor, subsidy_minor);
        if is_of_return {
            return;
        }
        self.waiting
            .insert(DeadlineStamp { due, waiting: Waiting::FreezeExpires { order: id, shipment: number } });
    }

    pub(crate) fn escrow_unfrozen(&mut self, event: &Unfrozen) {
        let Unfrozen { deadline, order: id, shipment, transfer, .. } = *event;
        self.ledger.post(&transfer);
        let Frozen { amount_minor, tax_minor, .. } = self.thaw(id, shipment, Some(deadline));
        let order = self.orders.known(id);
        let freed = order.shipment(shipment);
        freed.amount_minor += amount_minor;
        freed.tax_minor += tax_minor;
        let subsidy_minor = order.share_of(shipment).frozen_minor;
        order.move_share(shipment, subsidy_minor, -subsidy_minor);
    }

    pub(crate) fn settlement_proposed(&mut self, event: &SettlementProposed) {
        let SettlementProposed { by, order, shipment, to_seller, .. } = event;
        let frozen = self.orders.known(*order).shipment(*shipment).frozen_mut();
        frozen.proposal = Some(Proposal { by: *by, to_seller_minor: to_seller.minor });
    }

    pub(crate) fn escrow_settled(&mut self, event: &escrow::Settled, position: Position) {
        let (id, shipment) = (event.order, event.shipment);
        event.transfers.iter().for_each(|transfer| self.post_earned(transfer, event.kept_until));
        let order = self.orders.known(id);
        for transfer in &event.transfers {
            let minor = transfer.amount.minor;
            match transfer.to {
                LedgerAccount::PlatformFees => order.escrow.fees += minor,
                LedgerAccount::PlatformTax => order.escrow.taxes += minor,
                to if to.seller().is_some() => order.escrow.released += minor,
                LedgerAccount::PlatformPromotions => order.return_subsidy(minor),
                _ => order.escrow.refunded += minor,
            }
        }
        order.move_share(shipment, 0, -order.share_of(shipment).frozen_minor);
        self.thaw(id, shipment, event.deadline);
        if event.deadline.is_none() {
            let settled = self.orders.known(id).shipment(shipment);
            (settled.state, settled.pending) = (ShipmentState::Accepted, None);
        }
        if event.by != SettledBy::Return {
            self.returnable_settled(id, shipment);
        }
        self.close(id, event.closed_as, position);
    }

    /// Ends a freeze, lets the shipment's own deadline run again, if it has one, and gives what was frozen.
    fn thaw(&mut self, id: OrderId, number: ShipmentNumber, deadline: Option<DeadlineStamp>) -> Frozen {
        let order = self.orders.known(id);
        let shipment = order.shipment(number);
        let frozen = *shipment.frozen_mut();
        shipment.freeze.get_or_insert_default().open = None;
        if let Some(stamp) = deadline {
            shipment.set_due(stamp.due);
            self.waiting.insert(stamp);
        }
        order.escrow.frozen -= frozen.amount_minor;
        let waiting = Waiting::FreezeExpires { order: id, shipment: number };
        self.waiting.remove(&DeadlineStamp { due: frozen.due, waiting });
        frozen
    }
}

/// Finds an open order with one of its shipments, for its buyer or an operator, and tells which of them asks.
pub(super) fn disputed<'a>(
    market: &'a Market,
    facts: &Facts,
    account: AccountId,
    id: OrderId,
    number: ShipmentNumber,
) -> Result<(Role, &'a Order, &'a Shipment), Vec<Rejection>> {
    let found = find(market, facts, id)?;
    let role = if account == found.buyer() {
        Role::Buyer
    } else if market.accounts.has_role(account, Role::Operator) {
        Role::Operator
    } else {
        return Err(vec![Rejection::NotYourOrder { order: id }]);
    };
    let order = found.open(id)?;
    order.check_free(id)?;
    Ok((role, order, sent(id, order, number)?))
}

pub(crate) fn decide_freeze(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &FreezeEscrow,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let FreezeEscrow { amount, note, order: id, reason, shipment: number } = command;
    let (id, number) = (*id, *number);
    let (by, order, shipment) = disputed(market, facts, account, id, number)?;
    let is_claim = by == Role::Buyer;
    let refused = match (shipment.state, reason) {
        _ if shipment.frozen().is_some() => Some(Rejection::ShipmentFrozen { order: id, shipment: number }),
        (ShipmentState::Accepted, _) => Some(Rejection::ShipmentPaid { order: id, shipment: number }),
        (ShipmentState::InTransit { .. }, FreezeReason::NotAsDescribed) | (_, FreezeReason::Operator)
            if is_claim =>
        {
            Some(Rejection::FreezeReasonDenied { reason: *reason })
        }
        // That is frozen by the return itself.
        (_, FreezeReason::Return) => Some(Rejection::FreezeReasonDenied { reason: *reason }),
        _ if is_claim && shipment.freeze.as_ref().is_some_and(|freeze| freeze.was_claimed) => {
            Some(Rejection::ClaimedBefore { order: id, shipment: number })
        }
        _ => None,
    };
    if let Some(reason) = refused {
        return Err(vec![reason]);
    }
    let most = Money::new(shipment.amount_minor, order.total.currency);
    let amount = amount.unwrap_or(most);
    if amount.currency != most.currency || !(1..=most.minor).contains(&amount.minor) {
        return Err(vec![Rejection::FreezeAmount { order: id, shipment: number, most }]);
    }
    let remaining = Money::new(order.escrow.remaining() - amount.minor, most.currency);
    let part = |minor| Money::new(fees::part(minor, amount.minor, most.minor), most.currency);
    let (tax, subsidy) = (part(shipment.tax_minor), part(order.share_of(number).held_minor));
    let frozen = escrow::Frozen {
        by,
        due: now.plus_ms(market.escrow_terms().frozen_ms()),
        note: note.as_ref().map(|note| note.as_str().to_owned()),
        order: id,
        reason: *reason,
        remaining: remaining.is_positive().then_some(remaining),
        shipment: number,
        subsidy: Some(subsidy).filter(Money::is_positive),
        tax: Some(tax).filter(Money::is_positive),
        transfer: Transfer { amount, from: LedgerAccount::Escrow(id), to: LedgerAccount::Dispute(id) },
    };
    Ok(vec![frozen.into()])
}

/// Refuses to move what is frozen for a return, which moves it at its end.
fn check_not_returned(market: &Market, id: OrderId, shipment: ShipmentNumber) -> Result<(), Vec<Rejection>> {
    let known = market.orders.returns().of(id);
    match known.and_then(|known| known.shipments[shipment.index()].open.as_deref()) {
        Some(open) if open.is_frozen => {
            Err(vec![ReturnRejection::ReturnOpen { number: open.number, order: id }.into()])
        }
        _ => Ok(()),
    }
}

pub(crate) fn decide_unfreeze(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &UnfreezeEscrow,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (id, number) = (command.order, command.shipment);
    let (by, order, shipment) = disputed(market, facts, account, id, number)?;
    let frozen = shipment.frozen();
    let frozen = frozen.ok_or_else(|| vec![Rejection::ShipmentNotFrozen { order: id, shipment: number }])?;
    check_not_returned(market, id, number)?;
    if by == Role::Buyer && frozen.by != Role::Buyer {
        return Err(vec![Rejection::NotYourOrder { order: id }]);
    }
    let deadline = shipment.deadline(id, number).expect("a shipment with frozen money is not accepted");
    let amount = Money::new(frozen.amount_minor, order.total.currency);
    let unfrozen = Unfrozen {
        by,
        deadline: restarted(deadline, frozen.stopped_at, now),
        order: id,
        shipment: number,
        transfer: Transfer { amount, from: LedgerAccount::Dispute(id), to: LedgerAccount::Escrow(id) },
    };
    Ok(vec![unfrozen.into()])
}

pub(crate) fn decide_settle(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &SettleEscrow,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SettleEscrow { note, order: id, shipment: number, to_buyer, to_seller } = command;
    let (id, number) = (*id, *number);
    let (_, order, shipment) = disputed(market, facts, account, id, number)?;
    let frozen = shipment.frozen();
    let frozen = frozen.ok_or_else(|| vec![Rejection::ShipmentNotFrozen { order: id, shipment: number }])?;
    check_not_returned(market, id, number)?;
    let amount = Money::new(frozen.amount_minor, order.total.currency);
    // Each is at most one amount, so the sum fits by far.
    let is_split =
        [to_buyer, to_seller].iter().all(|part| part.currency == amount.currency && part.minor >= 0)
            && to_buyer.minor + to_seller.minor == amount.minor;
    if !is_split {
        return Err(vec![Rejection::SettlementAmount { order: id, frozen: amount }]);
    }
    let note = note.as_str().to_owned();
    let by = if amount.minor <= market.escrow_terms().four_eyes_above_minor() {
        SettledBy::Operator
    } else {
        match frozen.proposal.filter(|first| may_be_agreed_to(market, first.by)) {
            Some(first) if first.to_seller_minor == to_seller.minor && first.by == account => {
                return Err(vec![Rejection::FourEyes { order: id }]);
            }
            Some(first) if first.to_seller_minor == to_seller.minor => {
                SettledBy::TwoOperators { proposed_by: first.by }
            }
            // The first decision, or another one, which then stands in the place of the first.
            Some(_) | None => return Ok(vec![proposed(account, note, command)]),
        }
    };
    Ok(settled(market, id, number, to_seller.minor, by, Some(note), now))
}

fn proposed(by: AccountId, note: String, command: &SettleEscrow) -> Event {
    let &SettleEscrow { order, shipment, to_buyer, to_seller, .. } = command;
    SettlementProposed { by, note, order, shipment, to_buyer, to_seller }.into()
}

/// Pays frozen money back about which nobody decided in time.
pub(crate) fn decide_not_settled(
    market: &Market,
    id: OrderId,
    shipment: ShipmentNumber,
    now: Timestamp,
) -> Vec<Event> {
    settled(market, id, shipment, 0, SettledBy::Deadline, None, now)
}

/// Pays out what is frozen, and what the buyer gets of it the way it came.
fn settled(
    market: &Market,
    id: OrderId,
    shipment: ShipmentNumber,
    to_seller_minor: i64,
    by: SettledBy,
    note: Option<String>,
    now: Timestamp,
) -> Vec<Event> {
    let order = waiting(market, id);
    let settled = Settlement::of(market, id, order).settle(shipment, to_seller_minor, by, note, now);
    let returned = give_back(market, id, order, &settled);
    [settled].into_iter().chain(returned).collect()
}
