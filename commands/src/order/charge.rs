//! What a bank's dispute of its payment does to an order. While the bank has not decided the order stands still, as on an operator's
//! hold: nothing of it is shipped, released, returned or settled, and none of its deadlines passes, so that nobody is paid twice. What
//! was taken of its escrow counts as paid back.
//!
//! If the money comes back, the order goes on where it stood. If it is lost, the order goes on with what is left: of what was not
//! shipped nothing is shipped any more, and what was is worth so much less, to the seller and when it is returned. Its own disputes
//! and returns end, since the bank has decided. As long as something else stops the order, that waits.

use events::chargeback::{ChargedOrder, OrderChargedBack, OrderResumed, ShipmentCut};
use events::ids::{ChargebackId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::DeadlineStamp;
use events::order::{Cancelled, CancelledBy, ShipmentNumber};
use events::{Event, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::escrow::Settlement;
use super::hold::{Hold, restarted};
use super::ship::sums;
use super::state::{Order, Shipment, ShipmentState};
use super::{location, returns, subsidy};
use crate::chargeback::{Taken, split};
use crate::fees;
use crate::market::Market;

/// What of an order was lost to banks and is not taken off its shipments yet, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lost {
    /// By which chargebacks.
    pub chargebacks: Vec<ChargebackId>,
    /// What was in its escrow, frozen or not.
    pub unreleased_minor: i64,
    /// Of that, what was frozen.
    pub dispute_minor: i64,
    /// What was paid to its seller.
    pub released_minor: i64,
}

impl Lost {
    fn add(&mut self, chargeback: ChargebackId, charged: &ChargedOrder, taken: &[Taken]) {
        let [escrow, dispute] = taken_of(charged.order, taken);
        self.chargebacks.push(chargeback);
        self.unreleased_minor += escrow + dispute;
        self.dispute_minor += dispute;
        self.released_minor += charged.amount.minor - escrow - dispute;
    }
}

/// A chargeback that ends, with what it took. `is_new`: it is opened by the same decision.
pub(crate) struct Freed<'a> {
    pub(crate) chargeback: ChargebackId,
    pub(crate) taken: &'a [Taken],
    pub(crate) is_new: bool,
    pub(crate) is_lost: bool,
}

/// Gives what a chargeback took of an order's escrow, and of that what was frozen, in minor units.
fn taken_of(order: OrderId, taken: &[Taken]) -> [i64; 2] {
    [LedgerAccount::Escrow(order), LedgerAccount::Dispute(order)].map(|account| {
        let of_account = taken.iter().filter(|taken| taken.from == account);
        of_account.map(|taken| taken.amount.minor).sum()
    })
}

impl Order {
    fn shares(&self) -> impl Iterator<Item = (ShipmentNumber, &Shipment, bool)> {
        self.shipments.iter().enumerate().map(|(index, shipment)| {
            (ShipmentNumber::after(index), shipment, shipment.state != ShipmentState::Accepted)
        })
    }

    /// Gives what the platform paid of what is in escrow, and of what is frozen, in minor units.
    pub(crate) fn subsidy_unreleased(&self) -> (i64, i64) {
        let open = self.shares().filter(|(_, _, is_open)| *is_open).map(|(number, ..)| self.share_of(number));
        open.fold((subsidy::sum(&self.left()), 0), |(held, frozen), share| {
            (held + share.held_minor, frozen + share.frozen_minor)
        })
    }
}

impl Market {
    /// Gives what banks took of an order's escrow that is not taken off its shipments, and of that what is frozen, in minor units:
    /// what waits for something of the order is more by that than what is there.
    pub fn charged_of(&self, id: OrderId) -> [i64; 2] {
        let hold = self.orders.get(id).and_then(|order| order.hold.as_deref());
        let Some(Hold { chargebacks, lost, .. }) = hold else { return [0; 2] };
        let mut sums = [lost.unreleased_minor, lost.dispute_minor];
        if *chargebacks > 0 {
            for (_, open) in self.payments.chargebacks().open() {
                let [escrow, dispute] = taken_of(id, &open.taken);
                sums = [sums[0] + escrow + dispute, sums[1] + dispute];
            }
        }
        sums
    }

    /// Stops an order of whose payment a bank took something.
    pub(crate) fn charge_order(&mut self, id: OrderId, taken: &[Taken]) {
        if self.orders.get(id).is_none() {
            return;
        }
        for stamp in self.orders.deadlines(id) {
            self.waiting.remove(&stamp);
        }
        let [escrow, dispute] = taken_of(id, taken);
        let since = self.time;
        let order = self.orders.known(id);
        order.hold.get_or_insert_with(|| Box::new(Hold::since(since))).chargebacks += 1;
        order.escrow.refunded += escrow + dispute;
        order.escrow.frozen -= dispute;
        self.await_review(id);
    }

    /// Gives an order back what a chargeback had taken of it, which was won.
    pub(crate) fn win_order(&mut self, id: OrderId, taken: &[Taken]) {
        if self.orders.get(id).is_none() {
            return;
        }
        let [escrow, dispute] = taken_of(id, taken);
        let order = self.orders.known(id);
        order.escrow.refunded -= escrow + dispute;
        order.escrow.frozen += dispute;
        order.charged().chargebacks -= 1;
        self.await_review(id);
    }

    /// Notes that what a chargeback took of an order is lost.
    pub(crate) fn lose_order(&mut self, id: ChargebackId, charged: &ChargedOrder, taken: &[Taken]) {
        if self.orders.get(charged.order).is_none() {
            return;
        }
        let hold = self.orders.known(charged.order).charged();
        hold.chargebacks -= 1;
        hold.lost.add(id, charged, taken);
        self.await_review(charged.order);
    }

    pub(crate) fn order_resumed(&mut self, event: &OrderResumed) {
        self.go_on(event.order, &event.deadlines);
    }

    pub(crate) fn order_charged_back(&mut self, event: &OrderChargedBack) {
        let id = event.order;
        for transfer in &event.transfers {
            self.ledger.post(transfer);
            let order = self.orders.known(id);
            match transfer.to {
                LedgerAccount::PlatformPromotions => order.return_subsidy(transfer.amount.minor),
                _ => order.escrow.frozen -= transfer.amount.minor,
            }
        }
        for number in &event.unfrozen_of {
            let order = self.orders.known(id);
            let shipment = order.shipment(*number);
            let frozen = *shipment.frozen_mut();
            shipment.amount_minor += frozen.amount_minor;
            shipment.tax_minor += frozen.tax_minor;
            shipment.freeze.get_or_insert_default().open = None;
            let share = order.share_of(*number).frozen_minor;
            order.move_share(*number, share, -share);
        }
        for cut in &event.cuts {
            let shipment = self.orders.known(id).shipment(cut.shipment);
            shipment.amount_minor -= cut.amount.minor;
            shipment.tax_minor -= cut.tax.map_or(0, |tax| tax.minor);
            let held = 0..=shipment.amount_minor;
            assert!(held.contains(&shipment.tax_minor), "no more is taken off a shipment than it has");
        }
        for number in &event.returns {
            self.return_overtaken(id, *number);
        }
        if event.lapsed.is_some() {
            self.change_ended(id);
        }
        self.go_on(id, &event.deadlines);
        self.await_returns(id);
    }
}

/// Lets an order go on whose chargeback ends, unless something else stops it.
pub(crate) fn freed(
    market: &Market,
    charged: &ChargedOrder,
    freed: &Freed<'_>,
    now: Timestamp,
) -> Vec<Event> {
    let Some(order) = market.orders.get(charged.order) else { return Vec::new() };
    let mut hold = order.hold.as_deref().cloned().unwrap_or_else(|| Hold::since(now));
    hold.chargebacks -= u32::from(!freed.is_new);
    if freed.is_lost {
        hold.lost.add(freed.chargeback, charged, freed.taken);
    }
    if hold.chargebacks > 0 || hold.by_operators.is_some() || hold.review.is_some() {
        return Vec::new();
    }
    let mut escrow = order.escrow;
    if freed.is_new {
        let [of_escrow, of_dispute] = taken_of(charged.order, freed.taken);
        escrow.refunded += of_escrow + of_dispute;
        escrow.frozen -= of_dispute;
    }
    if hold.lost.chargebacks.is_empty() {
        let deadlines = market.orders.deadlines(charged.order).into_iter();
        let deadlines = deadlines.map(|stamp| restarted(stamp, hold.since, now)).collect();
        return vec![OrderResumed { deadlines, order: charged.order }.into()];
    }
    charged_back(market, charged.order, &hold, escrow, now)
}

/// Takes what was lost off an order that nothing stops any more: off what is in escrow, each by what its buyer paid of it, and off what
/// was released. Units that are left are cancelled, and what of their price is not lost goes back to the wallet: not the way it came,
/// since that is disputed.
pub(super) fn charged_back(
    market: &Market,
    id: OrderId,
    hold: &Hold,
    escrow: super::Escrow,
    now: Timestamp,
) -> Vec<Event> {
    let order = market.orders.get(id).expect("only an open order is stopped");
    let lost = &hold.lost;
    let currency = order.total.currency;
    let money = |minor| Money::new(minor, currency);
    let some = |minor| Some(money(minor)).filter(Money::is_positive);
    let lines = order.left();
    let shipping = order.shipping_left();
    let subsidy = subsidy::sum(&lines);
    let cost = sums(&lines, shipping.as_ref()).0 - subsidy;
    // What the buyer paid of what is left, and of each shipment.
    let whole = |shipment: &Shipment| {
        let frozen = shipment.frozen().map_or((0, 0), |frozen| (frozen.amount_minor, frozen.tax_minor));
        (shipment.amount_minor + frozen.0, shipment.tax_minor + frozen.1)
    };
    let pots = |of_open: bool| -> Vec<(ShipmentNumber, i64, i64, i64)> {
        let shipments = order.shares().filter(|(_, _, is_open)| *is_open == of_open);
        let pots = shipments.map(|(number, shipment, _)| {
            let ((amount, tax), share) = (whole(shipment), order.share_of(number));
            (number, amount - share.held_minor - share.frozen_minor, amount, tax)
        });
        pots.collect()
    };
    let (open, paid) = (pots(true), pots(false));
    let weights: Vec<i64> = [cost].into_iter().chain(open.iter().map(|(_, pot, ..)| *pot)).collect();
    let unreleased = split(lost.unreleased_minor, &weights);
    let weights: Vec<i64> = paid.iter().map(|(_, pot, ..)| *pot).collect();
    let released = split(lost.released_minor.min(weights.iter().sum()), &weights);
    let cuts = open.iter().zip(&unreleased[1..]).chain(paid.iter().zip(&released));
    let cuts = cuts.filter(|(_, part)| **part > 0).map(|((shipment, _, amount, tax), part)| ShipmentCut {
        amount: money(*part),
        shipment: *shipment,
        tax: some(fees::part(*tax, *part, *amount)),
    });
    let mut cuts: Vec<ShipmentCut> = cuts.collect();
    cuts.sort_unstable_by_key(|cut| cut.shipment);
    let frozen = order.shares().filter(|(_, shipment, _)| shipment.frozen().is_some());
    let unfrozen = Transfer {
        amount: money(escrow.frozen),
        from: LedgerAccount::Dispute(id),
        to: LedgerAccount::Escrow(id),
    };
    let returned = subsidy::transfer_back(id, money(subsidy));
    let transfers = [unfrozen, returned].into_iter().filter(|transfer| transfer.amount.is_positive());
    let deadlines = order.shares().filter_map(|(number, shipment, _)| {
        let stopped_at = shipment.frozen().map_or(hold.since, |frozen| frozen.stopped_at);
        Some(restarted(shipment.deadline(id, number)?, stopped_at, now))
    });
    let known = market.orders.returns().of(id);
    let returns: Vec<_> = known.into_iter().flat_map(|known| known.open()).collect();
    let unreserved = returns.iter().filter_map(|(_, open)| returns::replacement_ended(id, open));
    let mut events: Vec<Event> = unreserved.collect();
    let charged = OrderChargedBack {
        amount: money(lost.unreleased_minor + lost.released_minor),
        chargebacks: lost.chargebacks.clone(),
        cuts,
        deadlines: deadlines.collect::<Vec<DeadlineStamp>>(),
        lapsed: order.open_change().map(|open| open.change),
        order: id,
        returns: returns.iter().map(|(_, open)| open.number).collect(),
        transfers: transfers.collect(),
        unfrozen_of: frozen.map(|(number, ..)| number).collect(),
    };
    events.push(charged.into());
    if !lines.is_empty() {
        let units = super::cancel::units(&lines);
        let refunded = Settlement::of(market, id, order).charged_back(
            super::Escrow { frozen: 0, refunded: escrow.refunded + subsidy, ..escrow },
            units,
            cost - unreleased[0],
        );
        let lines = location::freed(market, id, order, lines);
        let (by, reason, uncharged) = (CancelledBy::Chargeback, None, None);
        events.push(Cancelled { by, lines, order: id, reason, shipping, uncharged }.into());
        events.push(refunded);
    }
    events
}
