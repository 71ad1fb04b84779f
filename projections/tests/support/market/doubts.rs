//! Orders that operators stop, and money that is frozen, in the random market.

use events::Money;
use events::account::Role;
use events::escrow::{FreezeReason, Frozen, Settled, SettledBy, Unfrozen};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::ShipmentNumber;
use events::order::hold::{Held, HoldReason, Unheld, UnholdRequested};

use super::{Market, OPERATOR, Stage, Wish, account};

impl Market {
    /// Stops an order, or lets it go on.
    pub(super) fn hold(&mut self, wish: Wish) {
        let Some(at) = wish.which.checked_rem(self.sales.len()) else { return };
        let (is_held, order) = (self.sales[at].is_held, self.sales[at].id);
        if self.sales[at].closed_as().is_some() {
            return;
        }
        let (by, now) = (account(OPERATOR), self.history.now);
        if is_held {
            let stamp = |waiting| DeadlineStamp { due: now, waiting };
            let sale = &self.sales[at];
            let mut deadlines = vec![stamp(Waiting::ShipBy { order })];
            for (n, (_, stage)) in sale.shipments.iter().enumerate() {
                let shipment = ShipmentNumber::after(n);
                deadlines.extend(match (stage, sale.frozen[n]) {
                    (Stage::Accepted, _) => None,
                    (_, 1..) => Some(stamp(Waiting::FreezeExpires { order, shipment })),
                    (Stage::InTransit, _) => Some(stamp(Waiting::DeliveryDue { order, shipment })),
                    (Stage::Inspection, _) => Some(stamp(Waiting::InspectionEnds { order, shipment })),
                });
            }
            self.history.commanded(by, "order.unhold", vec![UnholdRequested { by, order }.into()]);
            let unheld = Unheld { agreed_by: account(OPERATOR - 1), deadlines, order, requested_by: by };
            self.history.commanded(account(OPERATOR - 1), "order.unhold", vec![unheld.into()]);
        } else {
            let held = Held { by, note: "why".into(), order, reason: HoldReason::Compliance };
            self.history.commanded(by, "order.hold", vec![held.into()]);
        }
        self.sales[at].is_held = !is_held;
    }

    /// Freezes money of a shipment, or gives it free or away.
    pub(super) fn dispute(&mut self, wish: Wish) {
        let Some(at) = wish.which.checked_rem(self.sales.len()) else { return };
        let sale = &self.sales[at];
        let open =
            |n: &usize| sale.shipments[*n].1 != Stage::Accepted && sale.shipments[*n].0 + sale.frozen[*n] > 0;
        let Some(n) = (0..sale.shipments.len()).find(open).filter(|_| !sale.is_held) else { return };
        let (order, buyer, shipment, due) = (sale.id, sale.buyer, ShipmentNumber::after(n), self.history.now);
        let (escrow, dispute) = (LedgerAccount::Escrow(order), LedgerAccount::Dispute(order));
        let total = sale.total;
        let transfer = |minor, from, to| Transfer { amount: Money { minor, ..total }, from, to };
        let waiting = match sale.shipments[n].1 {
            Stage::InTransit => Waiting::DeliveryDue { order, shipment },
            _ => Waiting::InspectionEnds { order, shipment },
        };
        let (frozen, deadline) = (sale.frozen[n], DeadlineStamp { due, waiting });
        let sale = &mut self.sales[at];
        if frozen == 0 {
            let minor = if wish.quantity > 3 { 1 } else { sale.shipments[n].0 };
            (sale.shipments[n].0, sale.frozen[n], sale.was_frozen) =
                (sale.shipments[n].0 - minor, minor, true);
            let (by, reason, remaining) = (Role::Buyer, FreezeReason::NotReceived, sale.remaining());
            let transfer = transfer(minor, escrow, dispute);
            let (note, tax) = (None, None);
            let frozen =
                Frozen { by, due, note, order, reason, remaining, shipment, subsidy: None, tax, transfer };
            self.history.commanded(buyer, "escrow.freeze", vec![frozen.into()]);
        } else if wish.quantity == 1 {
            (sale.shipments[n].0, sale.frozen[n]) = (sale.shipments[n].0 + frozen, 0);
            let transfer = transfer(frozen, dispute, escrow);
            let unfrozen = Unfrozen { by: Role::Buyer, deadline, order, shipment, transfer };
            self.history.commanded(buyer, "escrow.unfreeze", vec![unfrozen.into()]);
        } else {
            let to_buyer = if wish.quantity > 3 { frozen } else { frozen / 2 };
            let out = frozen - to_buyer;
            let fee = sale.fee * (sale.released + out) / sale.total.minor - sale.fees;
            (sale.released, sale.fees) = (sale.released + out, sale.fees + fee);
            (sale.refunded, sale.frozen[n]) = (sale.refunded + to_buyer, 0);
            let deadline = (sale.shipments[n].0 > 0).then_some(deadline);
            if deadline.is_none() {
                sale.shipments[n].1 = Stage::Accepted;
            }
            let payees = [
                (LedgerAccount::SellerAvailable(sale.seller), out - fee),
                (LedgerAccount::PlatformFees, fee),
                (LedgerAccount::Wallet(buyer), to_buyer),
            ];
            let payees = payees.into_iter().filter(|(_, minor)| *minor > 0);
            let transfers = payees.map(|(to, minor)| transfer(minor, dispute, to)).collect();
            let (closed_as, remaining, seller) = (sale.closed_as(), sale.remaining(), sale.seller);
            let (by, note) = (SettledBy::Deadline, None);
            let settled = Settled {
                kept_until: None,
                buyer,
                by,
                closed_as,
                deadline,
                note,
                order,
                remaining,
                seller,
                shipment,
                transfers,
            };
            self.history.due(Waiting::FreezeExpires { order, shipment }, vec![settled.into()]);
        }
    }
}
