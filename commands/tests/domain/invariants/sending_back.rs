//! Random returns: who asks for what, and what their events must say.

use std::collections::BTreeMap;

use commands::command::{
    ApproveReturn, Exchange, LineQuantity, ReceiveReturn, RequestReturn, ReturnDecision, Substitute,
};
use commands::order::{ReturnStage, ShipmentState};
use events::ids::OrderId;
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{Placed, ShipmentNumber};
use events::returns::replacement::Replaces;
use events::returns::{ReceivedUnits, ReturnNumber, ReturnReason};
use events::{Commit, Event, Recorded};
use proptest::prelude::*;

use super::Run;
use super::steps::{EVERYBODY, OPERATORS, REGIONS, Step};
use crate::support::returns::*;
use crate::support::*;

/// What somebody does about returns.
#[derive(Debug, Clone)]
pub(crate) struct ReturnStep {
    /// Which order or open return.
    nth: usize,
    /// What; mostly what comes next.
    act: u8,
    /// How much of it.
    part: u32,
    /// Whoever it belongs to, or somebody.
    who: Option<usize>,
}

pub(crate) fn returning() -> impl Strategy<Value = ReturnStep> {
    let somebody = prop_oneof![6 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    (any::<usize>(), 0u8..24, 0u32..8, somebody).prop_map(|(nth, act, part, who)| ReturnStep {
        nth,
        act,
        part,
        who,
    })
}

impl From<ReturnStep> for Step {
    fn from(step: ReturnStep) -> Step {
        Step::Return(step)
    }
}

/// What went back of an order after its seller was paid.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CameBack {
    pub(crate) all: i64,
    pub(crate) to_platform: i64,
    /// Units of returns that are open or came to their end, and of those that ended without it.
    asked: u64,
    let_go: u64,
}

impl Run {
    /// Lets somebody do something about returns.
    pub(crate) fn send_back(&mut self, step: &ReturnStep) {
        let market = &self.world.market;
        let open: Vec<_> = market
            .orders
            .returns()
            .iter()
            .flat_map(|(id, known)| known.open().map(|(_, open)| (*id, open.clone())))
            .collect();
        let Some((order, open)) = open.get(step.nth % (open.len() + 1)).filter(|_| step.act > 5) else {
            return self.ask_back(step);
        };
        let (order, n) = (*order, open.number.get());
        let (buyer, seller) = market
            .orders
            .get(order)
            .map_or((BUYER, SELLER), |known| (Actor::of(known.buyer), Actor::of(known.seller)));
        let next = match open.stage {
            ReturnStage::Requested { .. } => [6, 6, 7][step.nth % 3],
            ReturnStage::Rejected { .. } | ReturnStage::Deducted { .. } => 8,
            ReturnStage::Appealed { .. } => 9,
            ReturnStage::Approved { .. } => 10,
            ReturnStage::Sent { .. } => [11, 12][step.nth % 2],
        };
        let act = if step.act < 14 { step.act } else { next };
        let (asker, command) = match act {
            6 => {
                let (number, refund_only) = (open.number, step.part == 7);
                (seller, ApproveReturn { number, order, refund_only }.into())
            }
            7 => (seller, reject_return(order, n)),
            8 => (buyer, appeal_return(order, n)),
            9 => {
                let decision = match step.part {
                    0..3 => ReturnDecision::Approve,
                    3..5 => ReturnDecision::Deny,
                    part => ReturnDecision::Deduct(usd(i64::from(part))),
                };
                (OPERATORS[step.nth % 2], decide_return(order, n, decision))
            }
            10 => (buyer, send_return(order, n)),
            11 => (seller, receive_return(order, n)),
            12 => {
                let lines: Vec<ReceivedUnits> = open
                    .lines
                    .iter()
                    .map(|line| {
                        let intact = line.units.saturating_sub(step.part % 3);
                        let lost = line.units - intact;
                        let (damaged, missing, wrong) = match step.part {
                            0..4 => (lost, 0, 0),
                            4..6 => (0, lost, 0),
                            _ => (0, 0, lost),
                        };
                        ReceivedUnits { damaged, intact, listing: line.listing, missing, wrong }
                    })
                    .collect();
                let deduction = (step.part > 1).then(|| usd(i64::from(step.part) * 7));
                let command = ReceiveReturn {
                    deduction,
                    lines: Some(lines),
                    location: (step.part == 5).then(|| "berlin".parse().unwrap()),
                    note: Some(text("so it came")),
                    number: open.number,
                    order,
                };
                (seller, command.into())
            }
            _ => (buyer, cancel_return(order, n)),
        };
        self.ask(step.who.map_or(asker, |n| EVERYBODY[n]), command);
    }

    /// Asks to return something, mostly of a shipment that arrived.
    fn ask_back(&mut self, step: &ReturnStep) {
        let orders = self.world.market.orders.iter();
        let arrived: Vec<_> = orders
            .flat_map(|(id, order)| {
                let shipments = (1u32..).zip(&order.shipments);
                shipments
                    .filter(|(_, shipment)| !matches!(shipment.state, ShipmentState::InTransit { .. }))
                    .map(|(n, _)| (*id, n, Actor::of(order.buyer)))
            })
            .collect();
        let (order, n, buyer) = match arrived.get(step.nth % (arrived.len() + 1)) {
            Some(found) => *found,
            None => {
                let (order, (buyer, _)) = self.order(step.nth);
                (order, 1, buyer)
            }
        };
        let sold = self.world.market.orders.get(order).map(|order| order.lines.to_vec()).unwrap_or_default();
        let lines = sold.iter().take(2).filter_map(|line| {
            Some(LineQuantity { listing: line.listing, quantity: events::Quantity::new(step.part / 2).ok()? })
        });
        let lines = (step.part > 2).then(|| lines.collect());
        let reason = ReturnReason::ChangedMind;
        // Half of them want the same again, or a variant of it, or something else.
        let with = (step.act % 4 < 2).then(|| listing([10, 11, 12, 1][step.nth / 4 % 4]));
        let instead = sold.first().zip(with).map(|(line, with)| Substitute { of: line.listing, with });
        let region = Some(REGIONS[step.nth % REGIONS.len()].parse().unwrap());
        let exchange =
            step.act.is_multiple_of(2).then(|| Exchange { instead: instead.into_iter().collect(), region });
        let command = RequestReturn { exchange, lines, note: None, order, reason, shipment: shipment(n) };
        self.ask(step.who.map_or(buyer, |n| EVERYBODY[n]), command.into());
    }

    /// Checks that what replaces units is what was asked for, costs no more than was paid for them, and is paid with that.
    pub(crate) fn replaced(&self, placed: &Placed, replaces: Replaces, commit: &Commit) {
        let events =
            || self.world.log.iter().flat_map(|commit| commit.events()).map(|recorded| &recorded.event);
        let key = (replaces.order, replaces.number);
        let asked = events().find_map(|event| match event {
            Event::ReturnRequested(asked) if (asked.order, asked.number) == key => Some(asked),
            _ => None,
        });
        let reserved = events().find_map(|event| match event {
            Event::ReplacementReserved(reserved) if (reserved.order, reserved.number) == key => {
                Some(reserved)
            }
            _ => None,
        });
        let (asked, reserved) = (asked.unwrap(), reserved.unwrap());
        let wanted = asked.replacement.as_ref().unwrap();
        assert_eq!((placed.order, placed.total), (wanted.order, wanted.total));
        assert!(placed.group.is_none() && placed.shipping.is_none() && placed.payment.is_none());
        for ((line, wanted), (units, reserved)) in
            placed.lines.iter().zip(&wanted.lines).zip(asked.lines.iter().zip(&reserved.lines))
        {
            assert!(
                line.total.minor <= units.amount.minor,
                "what replaces units costs no more than they did"
            );
            assert_eq!((line.quantity, &line.locations), (units.quantity, &reserved.locations));
            assert_eq!((line.listing, line.total), (wanted.listing, wanted.total));
        }
        let own = commit.events().iter().map(|recorded| &recorded.event);
        let refunded = own.filter_map(|event| match event {
            Event::ReturnRefunded(refunded) => Some(refunded),
            _ => None,
        });
        let [refunded] = refunded.collect::<Vec<_>>()[..] else { panic!("one return is exchanged") };
        assert_eq!((refunded.replaced_by, refunded.deduction), (Some(placed.order), None));
        let held = |recorded: &Recorded| matches!(&recorded.event, Event::EscrowHeld(held) if held.order == placed.order && held.transfer.amount == placed.total);
        assert!(commit.events().iter().any(held), "it is paid at once");
    }

    /// Takes in an event about a return.
    pub(crate) fn came_back(&mut self, event: &Event) {
        match event {
            Event::ReturnRequested(asked) => {
                let units: u64 = asked.lines.iter().map(|units| u64::from(units.quantity.get())).sum();
                let known = self.returned.entry(asked.order).or_default();
                known.asked += units;
                self.asked_back.insert((asked.order, asked.number), asked.clone());
                for units in &asked.lines {
                    let parts = [units.tax, units.subsidy].into_iter().flatten();
                    assert!(
                        parts.into_iter().all(|part| part.is_positive() && part.minor <= units.amount.minor)
                    );
                }
            }
            Event::ReturnEnded(ended) => self.let_go(ended.order, ended.number),
            Event::ReturnRefunded(refunded) => {
                let asked = self.asked_back.remove(&(refunded.order, refunded.number)).expect("it was open");
                let all: i64 = asked.lines.iter().map(|units| units.amount.minor).sum();
                let kept = refunded.deduction.map_or(0, |kept| kept.minor);
                assert_eq!(refunded.amount.minor + kept, all, "what was paid goes back or is kept");
                let known = self.returned.get_mut(&refunded.order).unwrap();
                let moved: i64 = refunded.transfers.iter().map(|transfer| transfer.amount.minor).sum();
                assert!(
                    moved == 0 || moved == refunded.amount.minor,
                    "all of it or, from the dispute, nothing"
                );
                known.all += moved;
                let to_platform = refunded
                    .transfers
                    .iter()
                    .filter(|transfer| transfer.to == LedgerAccount::PlatformPromotions);
                known.to_platform += to_platform.map(|transfer| transfer.amount.minor).sum::<i64>();
                let paid = self.paid.get_mut(&refunded.order).unwrap();
                paid.is_returned = true;
                paid.back_to_platform = known.to_platform;
                assert!(
                    known.all <= paid.released + paid.fees + paid.taxes,
                    "no more comes back than was paid"
                );
            }
            Event::OrderClosed(closed) => {
                let paid = self.paid[&closed.order];
                self.check_end(closed.order, paid, Some(closed.state));
            }
            _ => {}
        }
    }

    /// Takes in that a return ended without a refund.
    pub(crate) fn let_go(&mut self, order: OrderId, number: ReturnNumber) {
        let asked = self.asked_back.remove(&(order, number)).expect("it was open");
        let units: u64 = asked.lines.iter().map(|units| u64::from(units.quantity.get())).sum();
        self.returned.get_mut(&order).unwrap().let_go += units;
    }

    /// Checks that what the market knows of returns is what their events said.
    pub(crate) fn check_returns(&self) {
        let market = &self.world.market;
        let mut open = BTreeMap::new();
        for (id, known) in market.orders.returns().iter() {
            let order = market.orders.get(*id).expect("only of an open order something comes back");
            assert_eq!(known.shipments.len(), order.shipments.len());
            open.extend(known.open().map(|(_, open)| ((*id, open.number), open.amount_minor)));
            let gone: u64 = known
                .shipments
                .iter()
                .flat_map(|sold| &sold.lines)
                .map(|line| {
                    assert!(line.returned <= line.units, "units come back once");
                    u64::from(line.returned)
                })
                .sum();
            let CameBack { all, to_platform, asked, let_go } =
                self.returned.get(id).copied().unwrap_or_default();
            assert_eq!(gone, asked - let_go);
            assert_eq!(
                (known.back.to_buyer + known.back.to_platform, known.back.to_platform),
                (all, to_platform)
            );
        }
        let said = self
            .asked_back
            .iter()
            .map(|(key, asked)| (*key, asked.lines.iter().map(|units| units.amount.minor).sum::<i64>()));
        let mut pledged = BTreeMap::new();
        for (id, known) in market.orders.returns().iter() {
            let currency = market.orders.get(*id).unwrap().total.currency;
            for (_, open) in known.open().filter(|(_, open)| !open.is_frozen) {
                *pledged.entry(currency).or_insert(0) += open.amount_minor;
            }
        }
        assert_eq!(market.ledger.pledged(), &pledged, "room is kept for what may come to be owed");
        assert_eq!(open, said.collect::<BTreeMap<(OrderId, ReturnNumber), i64>>());
    }
}

/// Lists what an order with returns waits for beside its own deadlines.
pub(crate) fn waits_of(market: &commands::Market, id: OrderId) -> Vec<DeadlineStamp> {
    let Some(known) = market.orders.returns().of(id) else { return Vec::new() };
    let order = market.orders.get(id).unwrap();
    let mut waits: Vec<_> = known
        .shipments
        .iter()
        .enumerate()
        .filter_map(|(n, sold)| {
            let shipment = ShipmentNumber::after(n);
            let due = sold.open.as_ref()?.stage.due();
            Some(DeadlineStamp { due, waiting: Waiting::ReturnDue { order: id, shipment } })
        })
        .collect();
    let is_left = order.units_left() > 0
        || order.shipments.iter().any(|shipment| shipment.state != ShipmentState::Accepted);
    match known.closes_at {
        Some(due) => {
            assert!(!is_left && waits.is_empty(), "it waits for its end when nothing else is left");
            for (sold, shipment) in known.shipments.iter().zip(&order.shipments) {
                let may_return = !sold.is_settled
                    && shipment.amount_minor > 0
                    && sold.lines.iter().any(|line| line.returnable() > 0);
                assert!(
                    !may_return || sold.return_by.is_none_or(|by| by <= due),
                    "not before its window ends"
                );
            }
            waits.push(DeadlineStamp { due, waiting: Waiting::ReturnsEnd { order: id } });
        }
        None => assert!(is_left || !waits.is_empty(), "an order of which nothing is left ends"),
    }
    waits
}
