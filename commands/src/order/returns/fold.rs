//! How what is known of returns follows the log.

use events::ids::OrderId;
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{Closed, Delivered, EscrowReleased, LineUnits, ShipmentNumber, Shipped};
use events::returns::{
    Appealed, Approved, DecisionProposed, Ended, Received, Refunded, Rejected, Requested, ReturnNumber, Sent,
};
use events::{Money, Position};

use super::{Paid, Planned, ProposedDecision, Return, ReturnLine, ReturnStage, Sold, SoldLine, due};
use crate::market::Market;
use crate::order::state::ShipmentState;
use crate::order::waiting;

impl Market {
    /// Notes what may come back of a shipment, if the market takes anything back.
    pub(in crate::order) fn returnable_shipped(&mut self, event: &Shipped, lines: &[LineUnits]) {
        if self.return_terms().is_none() {
            return;
        }
        let order = waiting(self, event.order);
        let is_final = |listing| {
            let place = order.lines.iter().position(|line| line.listing == listing);
            place.is_some_and(|place| order.is_final(place))
        };
        let minor = |money: Option<Money>| money.map_or(0, |money| money.minor);
        let lines = lines.iter().map(|units| SoldLine {
            listing: units.listing,
            is_final: is_final(units.listing),
            units: units.quantity.get(),
            returned: 0,
            amount_minor: units.amount.minor,
            tax_minor: minor(units.tax),
            subsidy_minor: minor(units.subsidy),
        });
        let sold = Sold {
            lines: lines.collect(),
            shipping_minor: event.shipping.map_or(0, |shipping| shipping.amount.minor),
            shipping_tax_minor: event.shipping.map_or(0, |shipping| minor(shipping.tax)),
            return_by: None,
            is_settled: false,
            paid: Paid::default(),
            open: None,
        };
        let known = self.orders.returns_mut().0.entry(event.order).or_default();
        known.shipments.reserve_exact(1);
        known.shipments.push(sold);
    }

    pub(in crate::order) fn returnable_delivered(&mut self, event: &Delivered) {
        if event.return_by.is_some() {
            self.orders.returns_mut().sold(event.order, event.shipment).return_by = event.return_by;
        }
    }

    /// Notes what was paid of a shipment that may come back.
    pub(in crate::order) fn returnable_paid(&mut self, event: &EscrowReleased) {
        if self.orders.returns().of(event.order).is_none() {
            return;
        }
        let paid = &mut self.orders.returns_mut().sold(event.order, event.shipment).paid;
        for transfer in &event.transfers {
            match transfer.to {
                LedgerAccount::PlatformTax => continue,
                LedgerAccount::PlatformFees => paid.fee_minor += transfer.amount.minor,
                _ => {}
            }
            paid.net_minor += transfer.amount.minor;
        }
    }

    /// Notes that somebody decided about money of a shipment.
    pub(in crate::order) fn returnable_settled(&mut self, order: OrderId, shipment: ShipmentNumber) {
        if self.orders.returns().of(order).is_some() {
            self.orders.returns_mut().sold(order, shipment).is_settled = true;
        }
    }

    /// Lets an order of which nothing is left but that it may be returned wait for the end of that.
    pub(in crate::order) fn await_returns(&mut self, id: OrderId) {
        let Some(known) = self.orders.returns().of(id) else { return };
        let (order, before) = (waiting(self, id), known.closes_at);
        let closes_at = known.closing(order, self.time);
        let stamp = |due| DeadlineStamp { due, waiting: Waiting::ReturnsEnd { order: id } };
        if let Some(before) = before {
            self.waiting.remove(&stamp(before));
        }
        self.waiting.extend(closes_at.map(stamp));
        self.orders.returns_mut().known(id).closes_at = closes_at;
    }

    pub(crate) fn return_requested(&mut self, event: &Requested) {
        let Requested { answer_by, order: id, number, shipment, .. } = *event;
        let order = waiting(self, id);
        let is_accepted = order.shipments[shipment.index()].state == ShipmentState::Accepted;
        let currency = order.total.currency;
        let known = self.orders.returns_mut().known(id);
        assert!(number == ReturnNumber::after(known.asked), "returns are numbered in their order");
        known.asked += 1;
        let sold = &mut known.shipments[shipment.index()];
        let (mut amount_minor, mut tax_minor, mut subsidy_minor) = (0, 0, 0);
        for units in &event.lines {
            let line = sold.lines.iter_mut().find(|line| line.listing == units.listing);
            let line = line.expect("only what came in a shipment is returned");
            assert!(units.quantity.get() <= line.left(), "units are returned once");
            line.returned += units.quantity.get();
            amount_minor += units.amount.minor;
            tax_minor += units.tax.map_or(0, |tax| tax.minor);
            subsidy_minor += units.subsidy.map_or(0, |subsidy| subsidy.minor);
        }
        let lines = event.lines.iter().map(|units| ReturnLine {
            listing: units.listing,
            units: units.quantity.get(),
            amount_minor: units.amount.minor,
        });
        let open = Return {
            number,
            lines: lines.collect(),
            amount_minor,
            tax_minor,
            subsidy_minor,
            is_frozen: !is_accepted,
            replacement: event.replacement.clone().map(|of| Box::new(Planned { of, is_reserved: false })),
            proposed: None,
            stage: ReturnStage::Requested { answer_by },
        };
        self.waiting.insert(due(id, shipment, &open));
        let before = sold.open.replace(Box::new(open));
        assert!(before.is_none(), "a shipment has one return at a time");
        if is_accepted {
            self.ledger.pledge(Money::new(amount_minor, currency));
        }
        self.await_returns(id);
    }

    pub(crate) fn return_approved(&mut self, event: &Approved) {
        self.enter_return(event.order, event.number, ReturnStage::Approved { send_by: event.send_by });
    }

    pub(crate) fn return_rejected(&mut self, event: &Rejected) {
        self.enter_return(event.order, event.number, ReturnStage::Rejected { appeal_by: event.appeal_by });
    }

    pub(crate) fn return_appealed(&mut self, event: &Appealed) {
        let Appealed { decide_by, order, number, .. } = *event;
        let shipment = self.orders.returns().shipment_of(order, number);
        let deduction_minor = match self.orders.returns_mut().return_mut(order, shipment).stage {
            ReturnStage::Deducted { deduction_minor, .. } => Some(deduction_minor),
            _ => None,
        };
        self.enter_return(order, number, ReturnStage::Appealed { decide_by, deduction_minor });
    }

    pub(crate) fn return_decision_proposed(&mut self, event: &DecisionProposed) {
        let DecisionProposed { by, decision, number, order, .. } = *event;
        let shipment = self.orders.returns().shipment_of(order, number);
        let open = self.orders.returns_mut().return_mut(order, shipment);
        open.proposed = Some(ProposedDecision { by, decision });
    }

    pub(crate) fn return_sent(&mut self, event: &Sent) {
        self.enter_return(event.order, event.number, ReturnStage::Sent { inspect_by: event.inspect_by });
    }

    pub(crate) fn return_received(&mut self, event: &Received) {
        for units in &event.lines {
            self.listings
                .change_stock(units.listing, |stock| stock.take_back(units, event.location.as_ref()));
        }
        if let Some(deduction) = &event.deduction {
            let (appeal_by, deduction_minor) = (deduction.appeal_by, deduction.amount.minor);
            self.enter_return(
                event.order,
                event.number,
                ReturnStage::Deducted { appeal_by, deduction_minor },
            );
        }
    }

    pub(crate) fn return_refunded(&mut self, event: &Refunded) {
        let Refunded { order: id, number, shipment, .. } = *event;
        event.transfers.iter().for_each(|transfer| self.post_earned(transfer, None));
        let ended = self.leave_return(id, number);
        assert!(
            event.replaced_by == ended.replacement.as_ref().map(|planned| planned.of.order),
            "what is wanted in the place of what came back is placed or given up"
        );
        if !ended.is_frozen {
            let order = self.orders.known(id);
            let paid = order.shipment(shipment);
            paid.amount_minor -= ended.amount_minor;
            paid.tax_minor -= ended.tax_minor;
            assert!((0..=paid.amount_minor).contains(&paid.tax_minor), "no more comes back than was paid");
            order.move_share(shipment, -ended.subsidy_minor, 0);
            let known = self.orders.returns_mut().known(id);
            let sold = &mut known.shipments[shipment.index()];
            for transfer in &event.transfers {
                let minor = transfer.amount.minor;
                match transfer.to {
                    LedgerAccount::PlatformPromotions => known.back.to_platform += minor,
                    _ => known.back.to_buyer += minor,
                }
                match transfer.from {
                    LedgerAccount::PlatformTax => continue,
                    LedgerAccount::PlatformFees => sold.paid.fee_back_minor += minor,
                    _ => {}
                }
                sold.paid.net_back_minor += minor;
            }
            assert!(sold.paid.net_back_minor <= sold.paid.net_minor, "no more comes back than was paid");
        }
        self.await_returns(id);
    }

    pub(crate) fn return_ended(&mut self, event: &Ended) {
        self.return_overtaken(event.order, event.number);
        self.await_returns(event.order);
    }

    /// Ends a return without a refund: its units may be returned again.
    pub(in crate::order) fn return_overtaken(&mut self, id: OrderId, number: ReturnNumber) {
        let shipment = self.orders.returns().shipment_of(id, number);
        let ended = self.leave_return(id, number);
        assert!(ended.reserved().is_empty(), "nothing stays reserved for a return that ended");
        let sold = self.orders.returns_mut().sold(id, shipment);
        for units in &ended.lines {
            let line = sold.lines.iter_mut().find(|line| line.listing == units.listing);
            line.expect("only what came in a shipment is returned").returned -= units.units;
        }
    }

    pub(crate) fn order_closed(&mut self, event: &Closed, position: Position) {
        let known = self.orders.returns_mut().known(event.order);
        let due = known.closes_at.take().expect("only what waits for its end is closed so");
        self.waiting.remove(&DeadlineStamp { due, waiting: Waiting::ReturnsEnd { order: event.order } });
        self.close(event.order, Some(event.state), position);
    }

    fn enter_return(&mut self, id: OrderId, number: ReturnNumber, stage: ReturnStage) {
        let shipment = self.orders.returns().shipment_of(id, number);
        let open = self.orders.returns_mut().return_mut(id, shipment);
        let left = due(id, shipment, open);
        (open.stage, open.proposed) = (stage, None);
        let entered = due(id, shipment, open);
        self.waiting.remove(&left);
        self.waiting.insert(entered);
    }

    fn leave_return(&mut self, id: OrderId, number: ReturnNumber) -> Return {
        let shipment = self.orders.returns().shipment_of(id, number);
        let open = self.orders.returns_mut().sold(id, shipment).open.take();
        let ended = *open.expect("it was just found");
        self.waiting.remove(&due(id, shipment, &ended));
        if !ended.is_frozen {
            let currency = waiting(self, id).total.currency;
            self.ledger.unpledge(Money::new(ended.amount_minor, currency));
        }
        ended
    }
}
