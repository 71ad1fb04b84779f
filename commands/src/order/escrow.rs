//! What of an order's money goes where, and when the order is closed.

use events::escrow::{Settled, SettledBy};
use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::order::{End, EscrowRefunded, EscrowReleased, ReleaseCondition, ShipmentNumber};
use events::rejection::OrderState;
use events::{Event, Money, Position, Timestamp};

use super::hold::restarted;
use super::state::{Escrow, Order, Shipment, ShipmentState};
use super::subsidy::give_back;
use crate::earnings::{self, Earner};
use crate::fees;
use crate::market::Market;
use crate::payment::PaidOrder;

impl Market {
    pub(crate) fn escrow_released(&mut self, event: &EscrowReleased, position: Position) {
        let EscrowReleased { order: id, shipment, kept_until, .. } = *event;
        event.transfers.iter().for_each(|transfer| self.post_earned(transfer, kept_until));
        let order = self.orders.known(id);
        let paid = order.shipment(shipment).deadline(id, shipment);
        for transfer in &event.transfers {
            let sum = match transfer.to {
                LedgerAccount::PlatformFees => &mut order.escrow.fees,
                LedgerAccount::PlatformTax => &mut order.escrow.taxes,
                _ => &mut order.escrow.released,
            };
            *sum += transfer.amount.minor;
        }
        let accepted = order.shipment(shipment);
        assert!(
            matches!(accepted.state, ShipmentState::Inspection { .. }),
            "only a shipment that arrived is paid: {:?}",
            accepted.state
        );
        (accepted.state, accepted.pending) = (ShipmentState::Accepted, None);
        if let Some(stamp) = paid {
            self.waiting.remove(&stamp);
        }
        self.returnable_paid(event);
        self.close(event.order, event.closed_as, position);
    }

    pub(crate) fn escrow_refunded(&mut self, event: &EscrowRefunded, position: Position) {
        let order = self.orders.known(event.order);
        if let Some(transfer) = &event.transfer {
            self.ledger.post(transfer);
            order.escrow.refunded += transfer.amount.minor;
        }
        self.close(event.order, event.closed_as, position);
    }

    pub(super) fn close(&mut self, id: OrderId, closed_as: Option<OrderState>, position: Position) {
        let Some(state) = closed_as else { return self.await_returns(id) };
        let order = self.orders.known(id);
        let Order { buyer, seller, .. } = *order;
        let payment = order.card.as_ref().map(|card| card.payment);
        let share = order.card.as_ref().filter(|_| !order.is_unpaid());
        let share = share.map_or(0, |card| card.amount_minor - card.uncharged_minor);
        if state == OrderState::Cancelled
            && let Some(extras) = order.extras.take()
        {
            extras.promotions.iter().for_each(|promotion| self.promotions.give_back(*promotion, buyer));
        }
        let forgotten = self.orders.close(End { order: id, buyer, seller, state }, position);
        self.forget(forgotten);
        if let Some(payment) = payment {
            let minor = share - self.payments.back_of(id);
            self.payments.order_closed(payment, PaidOrder { order: id, seller, minor });
            let forgotten = self.payments.let_go(payment, id);
            self.forget(forgotten);
        }
    }
}

/// The money of an order while a decision about it is made: each event sees what those before it moved.
pub(super) struct Settlement<'a> {
    pub(super) id: OrderId,
    pub(super) order: &'a Order,
    market: &'a Market,
    /// Of the seller, from the first payment on.
    earner: Option<Earner>,
    escrow: Escrow,
    shipments_open: usize,
    units_left: u64,
}

impl<'a> Settlement<'a> {
    pub(super) fn of(market: &'a Market, id: OrderId, order: &'a Order) -> Settlement<'a> {
        let (shipments_open, units_left) = (order.shipments_open(), order.units_left());
        Settlement { id, order, market, earner: None, escrow: order.escrow, shipments_open, units_left }
    }

    /// Pays what a shipment's units cost: to the platform the taxes, and its fee on all that was released so far without
    /// taxes, less what it had before; to the seller the rest. `met`: what sets it free, never nothing.
    pub(super) fn release(
        &mut self,
        shipment: ShipmentNumber,
        met: &[ReleaseCondition],
        now: Timestamp,
    ) -> Event {
        let Order { buyer, seller, .. } = *self.order;
        let Shipment { amount_minor, tax_minor, .. } = self.order.shipments[shipment.index()];
        let payees = self.pay(amount_minor, tax_minor);
        let kept_until = self.kept_until(&payees, now);
        self.shipments_open -= 1;
        let from = LedgerAccount::Escrow(self.id);
        let transfers = payees.into_iter().filter_map(|(to, minor)| self.transfer(from, to, minor)).collect();
        let (closed_as, remaining) = (self.closed_as(), self.remaining());
        let (condition, with) = met.split_first().expect("something sets the money free");
        let (condition, with, order) = (*condition, with.to_vec(), self.id);
        EscrowReleased {
            buyer,
            closed_as,
            condition,
            kept_until,
            order,
            remaining,
            seller,
            shipment,
            transfers,
            with,
        }
        .into()
    }

    /// Counts units that the same decision adds to the order.
    pub(super) fn add(&mut self, units: u64) {
        self.units_left += units;
    }

    /// Pays back what was paid of units, and perhaps of their delivery, that are cancelled by the same decision.
    pub(super) fn refund(&mut self, units: u64, minor: i64, subsidy_minor: i64) -> (Option<Event>, Event) {
        self.units_left -= units;
        self.pay_back(minor, subsidy_minor)
    }

    /// Pays back what is left of the price of units that are cancelled, since a bank gave the rest back. `escrow`: what the order has
    /// by then.
    pub(super) fn charged_back(mut self, escrow: Escrow, units: u64, minor: i64) -> Event {
        self.escrow = escrow;
        self.units_left -= units;
        self.pay_buyer(minor)
    }

    /// Pays back a part of what is held: to the platform what it had paid of that, if anything, and to the buyer the rest.
    pub(super) fn pay_back(&mut self, minor: i64, subsidy_minor: i64) -> (Option<Event>, Event) {
        let to_platform = give_back(self.id, Money::new(subsidy_minor, self.order.total.currency));
        self.escrow.refunded += subsidy_minor;
        (to_platform, self.pay_buyer(minor))
    }

    fn pay_buyer(&mut self, minor: i64) -> Event {
        let Order { buyer, seller, .. } = *self.order;
        self.escrow.refunded += minor;
        let transfer = self.transfer(LedgerAccount::Escrow(self.id), LedgerAccount::Wallet(buyer), minor);
        let (closed_as, remaining) = (self.closed_as(), self.remaining());
        EscrowRefunded { buyer, closed_as, order: self.id, remaining, seller, transfer }.into()
    }

    /// Pays out what is frozen of a shipment: `to_seller_minor` as if it was released, the rest back to the buyer, but for what of
    /// it the platform had paid.
    pub(super) fn settle(
        &mut self,
        shipment: ShipmentNumber,
        to_seller_minor: i64,
        by: SettledBy,
        note: Option<String>,
        now: Timestamp,
    ) -> Event {
        let Order { buyer, seller, .. } = *self.order;
        let disputed = &self.order.shipments[shipment.index()];
        let frozen = disputed.frozen().expect("only frozen money is settled");
        let to_buyer_minor = frozen.amount_minor - to_seller_minor;
        let tax_minor = fees::part(frozen.tax_minor, to_seller_minor, frozen.amount_minor);
        let paid = self.pay(to_seller_minor, tax_minor);
        let kept_until = self.kept_until(&paid, now);
        let share = self.order.share_of(shipment).frozen_minor;
        let to_platform_minor = fees::part(share, to_buyer_minor, frozen.amount_minor);
        self.escrow.refunded += to_buyer_minor;
        self.escrow.frozen -= frozen.amount_minor;
        // What was not frozen goes on in its own time.
        let deadline = match disputed.amount_minor {
            0 => None,
            _ => disputed.deadline(self.id, shipment).map(|stamp| restarted(stamp, frozen.stopped_at, now)),
        };
        self.shipments_open -= usize::from(deadline.is_none());
        let back = [
            (LedgerAccount::Wallet(buyer), to_buyer_minor - to_platform_minor),
            (LedgerAccount::PlatformPromotions, to_platform_minor),
        ];
        let payees = paid.into_iter().chain(back);
        let from = LedgerAccount::Dispute(self.id);
        let transfers = payees.filter_map(|(to, minor)| self.transfer(from, to, minor)).collect();
        let (closed_as, remaining) = (self.closed_as(), self.remaining());
        let order = self.id;
        Settled {
            buyer,
            by,
            closed_as,
            deadline,
            kept_until,
            note,
            order,
            remaining,
            seller,
            shipment,
            transfers,
        }
        .into()
    }

    /// Counts an amount as released, and gives who gets what of it.
    fn pay(&mut self, amount_minor: i64, tax_minor: i64) -> [(LedgerAccount, i64); 5] {
        let Order { fee_minor, total, .. } = *self.order;
        let net_minor = amount_minor - tax_minor;
        let released = self.escrow.released + self.escrow.fees + net_minor;
        let due = fees::part(fee_minor, released, total.minor - self.order.tax_minor());
        // What was taken is taken: a change that makes the order larger may make the share of it smaller, and what that leaves
        // too much is made up for by what is released later. Of an order that was never changed it is always in range.
        let fee = (due - self.escrow.fees).clamp(0, net_minor);
        self.escrow.fees += fee;
        self.escrow.released += net_minor - fee;
        self.escrow.taxes += tax_minor;
        let earner =
            self.earner.get_or_insert_with(|| Earner::of(self.market, self.order.seller, total.currency));
        let [owed, kept, available] = earner.pay(net_minor - fee);
        [available, owed, kept, (LedgerAccount::PlatformFees, fee), (LedgerAccount::PlatformTax, tax_minor)]
    }

    fn kept_until(&self, payees: &[(LedgerAccount, i64)], now: Timestamp) -> Option<Timestamp> {
        let keeps =
            |(to, minor): &(LedgerAccount, i64)| matches!(to, LedgerAccount::SellerReserve(_)) && *minor > 0;
        payees.iter().any(keeps).then(|| earnings::kept_until(self.market, now)).flatten()
    }

    fn transfer(&self, from: LedgerAccount, to: LedgerAccount, minor: i64) -> Option<Transfer> {
        let amount = Money::new(minor, self.order.total.currency);
        amount.is_positive().then_some(Transfer { amount, from, to })
    }

    fn remaining(&self) -> Option<Money> {
        let remaining = Money::new(self.escrow.remaining(), self.order.total.currency);
        remaining.is_positive().then_some(remaining)
    }

    fn closed_as(&self) -> Option<OrderState> {
        if self.market.orders.returns().of(self.id).is_some() {
            // It is closed when nothing of it can be returned any more.
            return None;
        }
        let is_settled = self.shipments_open == 0 && self.units_left == 0;
        let was_disputed = self.order.shipments.iter().any(|shipment| shipment.freeze.is_some());
        let was_paid = self.escrow.released + self.escrow.fees + self.escrow.taxes > 0;
        let state = match self.order.shipments.is_empty() {
            true => OrderState::Cancelled,
            false if was_disputed && !was_paid => OrderState::Refunded,
            false => OrderState::Completed,
        };
        is_settled.then_some(state)
    }
}
