//! Changes of orders: what is drawn at random, who asks for it, and what must be true of what comes of it.

use commands::command::{AcceptChange, ChangedLine, ProposeChange};
use commands::{Command, Market};
use events::account::Role;
use events::ids::{ChangeId, OrderId};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::change::{ChangeProposed, Changed, DifferenceDue};
use events::order::{Cancelled, CancelledBy, LinePrice, LineUnits};
use events::payment::RefundRequested;
use events::{Commit, Event};
use proptest::prelude::*;

use super::Run;
use super::paid::subsidy_of;
use super::steps::*;
use crate::support::changes::*;
use crate::support::*;

/// How many units lines of an order are to have by their place, and things that may not be in it.
pub(crate) type Targets = Vec<(u8, u32)>;

/// What somebody does about a change.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Proposes one, for at most so much more.
    Propose(Targets, Option<usize>, Option<i64>),
    /// Accepts, declines or withdraws one.
    Answer(u8, Option<i64>),
}

/// What buyers and sellers do about changes of orders.
pub(crate) fn changing() -> impl Strategy<Value = (usize, Option<usize>, Act)> {
    let targets = prop::collection::vec((0u8..5, 0u32..6), 1..4);
    let most = || prop_oneof![6 => Just(Some(MOST)), 1 => Just(None), 1 => (0i64..2000).prop_map(Some)];
    let somebody = prop_oneof![9 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    let place = prop_oneof![1 => Just(None), 9 => (0..REGIONS.len()).prop_map(Some)];
    let act = prop_oneof![
        3 => (targets, place, most()).prop_map(|(targets, place, most)| Act::Propose(targets, place, most)),
        3 => (0u8..8, most()).prop_map(|(kind, most)| Act::Answer(kind, most)),
    ];
    (any::<usize>(), somebody, act)
}

impl Run {
    pub(crate) fn change_orders(&mut self, nth: usize, who: Option<usize>, act: Act) {
        let open = self.world.market.orders.iter().find(|(_, order)| order.open_change().is_some());
        let open = open.map(|(id, order)| (*id, order.open_change().unwrap().clone()));
        let (order, (buyer, seller)) = match (&act, &open) {
            (Act::Answer(..), Some((id, _))) if !nth.is_multiple_of(16) => {
                let order = self.world.market.orders.get(*id).unwrap();
                (*id, (Actor::of(order.buyer), Actor::of(order.seller)))
            }
            _ => self.order(nth),
        };
        let (party, command) = match act {
            Act::Propose(targets, place, most) => (
                if nth.is_multiple_of(3) { seller } else { buyer },
                self.proposal(order, targets, place, most),
            ),
            Act::Answer(kind, most) => {
                let unknown = ChangeId::derive(BUYER.account(), cid(START, 0));
                let change = open.as_ref().map_or(unknown, |(_, open)| open.change);
                let by_buyer = open.is_some_and(|(_, open)| open.by == Role::Buyer);
                let (own, other) = if by_buyer { (buyer, seller) } else { (seller, buyer) };
                match kind {
                    0..=4 => (other, accept_change(order, change, most.map(usd))),
                    5 => (own, withdraw_change(order, change)),
                    6 => (other, decline_change(order, change)),
                    _ => (own, accept_change(order, change, None)),
                }
            }
        };
        self.ask(who.map_or(party, |n| EVERYBODY[n]), command);
    }

    fn proposal(&self, order: OrderId, targets: Targets, place: Option<usize>, most: Option<i64>) -> Command {
        let open = self.world.market.orders.get(order);
        let lines = targets.into_iter().map(|(place, n)| {
            let line = open.and_then(|open| open.lines.get(usize::from(place)));
            let listing = line.map_or(listing(place.into()), |line| line.listing);
            ChangedLine { listing, quantity: n.try_into().unwrap(), quote: None }
        });
        let region = place.map(|n| region(REGIONS[n]));
        let max_difference = most.map(usd);
        ProposeChange { lines: lines.collect(), max_difference, order, reason: None, region }.into()
    }

    /// Checks that no more of an order goes back to a card than it paid of it.
    pub(crate) fn card_gets(&mut self, event: &RefundRequested, commit: &Commit) {
        let order = commit.events().iter().find_map(|recorded| match &recorded.event {
            Event::EscrowRefunded(refunded) => Some(refunded.order),
            Event::EscrowSettled(settled) => Some(settled.order),
            _ => None,
        });
        // Otherwise its buyer or an operator asked for it, out of the wallet.
        let Some(order) = order else { return };
        let paid = self.paid.get_mut(&order).unwrap();
        paid.to_card += event.transfer.amount.minor;
        assert!(paid.to_card <= paid.by_provider - paid.uncharged, "a card gets back what it paid: {paid:?}");
    }

    /// Checks what a change is proposed to cost.
    pub(crate) fn proposed(&mut self, proposed: &ChangeProposed) {
        let paid = self.paid[&proposed.order];
        for line in &proposed.added {
            let LinePrice::Unit(price) = line.price else { panic!("nobody gives quotes here") };
            let tax = line.tax.as_ref().filter(|tax| !tax.inclusive).map_or(0, |tax| tax.amount.minor);
            assert_eq!(line.total.minor, price.minor * i64::from(line.quantity.get()) + tax);
            assert!(line.discounts.is_empty() && line.locations.is_empty());
        }
        let added: i64 = proposed.added.iter().map(|line| line.total.minor).sum();
        assert_eq!(proposed.total.minor, paid.total.minor + added);
        let back: i64 = proposed.removed.iter().map(|units| units.amount.minor).sum();
        let back = back - subsidy_of_some(&proposed.removed);
        assert_eq!(proposed.due, DifferenceDue::between(added, back, paid.total.currency));
        if proposed.by == Role::Buyer {
            let signed = proposed.max_difference.map_or(0, |max| max.minor);
            assert!(proposed.due.collected_minor() <= signed, "a buyer proposes no more than he signs");
        }
        self.proposed.insert(proposed.order, proposed.clone());
    }

    /// Checks that a change applies as it was proposed, and that its buyer pays no more than he signed and gets no less.
    pub(crate) fn changed(&mut self, changed: &Changed, commit: &Commit) {
        let proposed = self.proposed.remove(&changed.order).unwrap();
        assert!(proposed.change == changed.change && proposed.by != changed.by);
        let mut added = changed.added.clone();
        added.iter_mut().for_each(|line| line.locations.clear());
        assert_eq!(
            (&added, proposed.due, proposed.fee, proposed.total),
            (&proposed.added, changed.due, changed.fee, changed.total)
        );
        let cancelled: Vec<LineUnits> = commit
            .events()
            .iter()
            .flat_map(|recorded| match &recorded.event {
                Event::OrderCancelled(Cancelled { by, lines, .. }) => {
                    assert_eq!(*by, CancelledBy::Change);
                    lines.iter().map(|units| LineUnits { locations: vec![], ..units.clone() }).collect()
                }
                _ => vec![],
            })
            .collect();
        assert_eq!(cancelled, proposed.removed);
        let Command::AcceptChange(AcceptChange { max_difference, .. }) = &self.signed.last().unwrap().command
        else {
            panic!("nobody accepted it")
        };
        let signed = if changed.by == Role::Buyer { *max_difference } else { proposed.max_difference };
        assert!(changed.due.collected_minor() <= signed.map_or(0, |max| max.minor));
        let paid = self.paid.get_mut(&changed.order).unwrap();
        (paid.total, paid.fee) = (changed.total, changed.fee.amount.minor);
        paid.tax += changed.added.iter().flat_map(|line| &line.tax).map(|tax| tax.amount.minor).sum::<i64>();
    }
}

/// Sums what the platform pays of units, of which there may be none.
fn subsidy_of_some(units: &[LineUnits]) -> i64 {
    if units.is_empty() { 0 } else { subsidy_of(units) }
}

/// Checks that an open change fits its order as it stands, and gives what it waits for.
pub(crate) fn check_change(market: &Market, id: OrderId) -> Option<DeadlineStamp> {
    let order = market.orders.get(id).unwrap();
    if let Some(changes) = order.changes() {
        assert!((0..=changes.added_minor).contains(&changes.kept_minor));
        assert!(changes.kept_minor <= order.refunded_to_buyer_minor());
    }
    let open = order.open_change()?;
    assert!(order.units_left() > 0, "a change is of what is left");
    assert_eq!(
        open.total.minor,
        order.total.minor + open.added.iter().map(|line| line.total.minor).sum::<i64>()
    );
    for line in &open.added {
        let known = order.lines.iter().find(|known| known.listing == line.listing);
        assert!(known.is_none_or(|known| known.cancelled + known.shipped == 0));
    }
    for units in &open.removed {
        let known = order.lines.iter().find(|known| known.listing == units.listing).unwrap();
        assert!(units.quantity.get() <= known.left());
    }
    Some(DeadlineStamp { due: open.expires_at, waiting: Waiting::ChangeExpires { order: id } })
}
