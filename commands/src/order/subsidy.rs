//! What the platform pays of an order: a promotion that it pays makes the buyer pay less, and the seller gets as much as without
//! it.
//!
//! The platform's part goes into the escrow in the commit that places the order, and is from then on a part of what each unit
//! costs, as its tax is. What is released is released whole. Of what goes back, the platform gets its part of just that, and the
//! buyer the rest: so he never has back more than he paid.

use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::order::{LineUnits, Placed, ShipmentNumber};
use events::promotion::{Subsidized, SubsidyReturned};
use events::{Event, Money};
use serde::{Deserialize, Serialize};

use super::Order;
use crate::market::Market;

/// What the platform pays of an order, in minor units of its total's currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subsidy {
    /// Of each line, in the lines' order.
    pub lines: Box<[i64]>,
    /// Of each shipment, in their order.
    pub shipments: Vec<Share>,
    /// What it has got back.
    pub returned_minor: i64,
}

/// What the platform paid of a shipment, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Of what is in escrow and not given back, or was until it was released.
    pub held_minor: i64,
    /// Of what is frozen.
    pub frozen_minor: i64,
}

impl Subsidy {
    /// Gives what the platform pays of an order that is placed, if it pays anything.
    pub(super) fn of(placed: &Placed) -> Option<Box<Subsidy>> {
        let lines: Vec<i64> = placed.lines.iter().map(events::order::Line::subsidy_minor).collect();
        let pays = lines.iter().any(|minor| *minor > 0);
        pays.then(|| Box::new(Subsidy { lines: lines.into(), shipments: Vec::new(), returned_minor: 0 }))
    }

    /// Gives all that the platform pays.
    pub fn total_minor(&self) -> i64 {
        self.lines.iter().sum()
    }
}

impl Order {
    /// Gives what the platform pays of it, if it pays anything.
    pub fn subsidy(&self) -> Option<&Subsidy> {
        self.extras.as_ref()?.subsidy.as_deref()
    }

    fn subsidy_mut(&mut self) -> Option<&mut Subsidy> {
        self.extras.as_mut()?.subsidy.as_deref_mut()
    }

    /// Gives what the platform paid of a shipment; nothing where it pays nothing.
    pub fn share_of(&self, shipment: ShipmentNumber) -> Share {
        let share = self.subsidy().and_then(|subsidy| subsidy.shipments.get(shipment.index()));
        share.copied().unwrap_or_default()
    }

    /// Gives what the buyer pays of it, in minor units.
    pub fn payable_minor(&self) -> i64 {
        self.total.minor - self.subsidy().map_or(0, Subsidy::total_minor)
    }

    /// Gives what the buyer has got back, in minor units.
    pub fn refunded_to_buyer_minor(&self) -> i64 {
        self.escrow.refunded - self.subsidy().map_or(0, |subsidy| subsidy.returned_minor)
    }

    /// Counts what goes back to the platform.
    pub(super) fn return_subsidy(&mut self, minor: i64) {
        self.escrow.refunded += minor;
        let subsidy = self.subsidy_mut().expect("only what the platform paid goes back to it");
        subsidy.returned_minor += minor;
    }

    /// Takes in that the order has so many lines: the platform pays nothing of those that were added.
    pub(super) fn subsidy_of_lines(&mut self, lines: usize) {
        if let Some(subsidy) = self.subsidy_mut() {
            let mut of_lines = std::mem::take(&mut subsidy.lines).into_vec();
            of_lines.resize(lines, 0);
            subsidy.lines = of_lines.into();
        }
    }

    /// Notes what the platform pays of units that are shipped.
    pub(super) fn share_shipped(&mut self, units: &[LineUnits]) {
        if let Some(subsidy) = self.subsidy_mut() {
            subsidy.shipments.push(Share { held_minor: sum(units), frozen_minor: 0 });
        }
    }

    /// Moves parts of what the platform paid of a shipment: into what is in escrow, and into what is frozen.
    pub(super) fn move_share(&mut self, shipment: ShipmentNumber, held_minor: i64, frozen_minor: i64) {
        if (held_minor, frozen_minor) == (0, 0) {
            return;
        }
        let share = self.subsidy_mut().and_then(|subsidy| subsidy.shipments.get_mut(shipment.index()));
        let share = share.expect("only what the platform paid of a shipment moves");
        share.held_minor += held_minor;
        share.frozen_minor += frozen_minor;
        assert!(
            share.held_minor >= 0 && share.frozen_minor >= 0,
            "no more moves of a shipment than the platform paid of it"
        );
    }
}

/// Sums what the platform pays of units, in minor units.
pub(super) fn sum(units: &[LineUnits]) -> i64 {
    units.iter().filter_map(|units| units.subsidy).map(|subsidy| subsidy.minor).sum()
}

/// Puts what the platform pays of an order into its escrow, if it pays anything.
pub(super) fn subsidize(order: OrderId, subsidy: Money) -> Option<Event> {
    let (from, to) = (LedgerAccount::PlatformPromotions, LedgerAccount::Escrow(order));
    let transfer = Transfer { amount: subsidy, from, to };
    subsidy.is_positive().then(|| Subsidized { order, transfer }.into())
}

/// Gives back to the platform what it had paid, out of an order's escrow, if it had paid anything.
pub(super) fn give_back(order: OrderId, subsidy: Money) -> Option<Event> {
    let transfer = transfer_back(order, subsidy);
    subsidy.is_positive().then(|| SubsidyReturned { order, transfer }.into())
}

pub(super) const fn transfer_back(order: OrderId, subsidy: Money) -> Transfer {
    let (from, to) = (LedgerAccount::Escrow(order), LedgerAccount::PlatformPromotions);
    Transfer { amount: subsidy, from, to }
}

impl Market {
    pub(crate) fn escrow_subsidized(&mut self, event: &Subsidized) {
        self.ledger.post(&event.transfer);
        self.orders.known(event.order).escrow.funded += event.transfer.amount.minor;
    }

    pub(crate) fn subsidy_returned(&mut self, event: &SubsidyReturned) {
        self.ledger.post(&event.transfer);
        self.orders.known(event.order).return_subsidy(event.transfer.amount.minor);
    }
}
