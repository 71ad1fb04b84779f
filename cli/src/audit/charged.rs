//! What the writer's index knows of payments that banks dispute, kept in memory while a log is read.

use std::collections::BTreeMap;

use commands::Charged;
use commands::chargeback::ClosedChargeback;
use commands::order::ClosedOrder;
use commands::payment::{PaidOrder, paid_by};
use events::ids::{ChargebackId, OrderId, PaymentId};
use events::{Commit, Event};

/// What orders got of payments, and what banks made of them.
#[derive(Debug, Default)]
pub(super) struct Payments {
    paid: BTreeMap<PaymentId, BTreeMap<OrderId, i64>>,
    chargebacks: BTreeMap<PaymentId, BTreeMap<ChargebackId, ClosedChargeback>>,
}

impl Payments {
    /// Enters a commit.
    pub(super) fn note(&mut self, commit: &Commit) {
        for recorded in commit.events() {
            if let Some((chargeback, closed)) = ClosedChargeback::left_by(&recorded.event) {
                self.chargebacks.entry(closed.payment).or_default().insert(chargeback, closed);
            }
            match &recorded.event {
                Event::RefundRequested(refund) => {
                    let paid = self.paid.get_mut(&refund.payment);
                    let paid = paid.zip(refund.order).and_then(|(paid, order)| paid.get_mut(&order));
                    if let Some(paid) = paid {
                        *paid -= refund.transfer.amount.minor;
                    }
                }
                Event::ChargebackCovered(covered) => {
                    let closed = self.chargebacks.get_mut(&covered.payment);
                    let closed = closed.and_then(|closed| closed.get_mut(&covered.chargeback));
                    if let Some(closed) = closed.filter(|closed| closed.advanced_minor > 0) {
                        closed.advanced_minor -= covered.transfer.amount.minor;
                        closed.charged_minor += covered.transfer.amount.minor;
                    }
                }
                _ => {}
            }
        }
        if let Some((payment, orders)) = paid_by(commit) {
            self.paid.insert(payment, orders.into_iter().collect());
        }
    }

    /// Tells what is known of a payment; `closed` finds an order that is over.
    pub(super) fn of(&self, payment: PaymentId, closed: impl Fn(OrderId) -> Option<ClosedOrder>) -> Charged {
        let orders = self.paid.get(&payment).into_iter().flatten().filter(|(_, minor)| **minor > 0);
        let orders = orders.filter_map(|(order, minor)| {
            Some(PaidOrder { order: *order, seller: closed(*order)?.seller, minor: *minor })
        });
        let chargebacks = self.chargebacks.get(&payment).cloned().unwrap_or_default();
        Charged { orders: orders.collect(), chargebacks }
    }
}
