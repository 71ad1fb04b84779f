//! What of each listing is reserved, counted from what events say of units.

use std::collections::BTreeMap;

use events::Event;
use events::ids::{ListingId, OrderId};
use events::order::LineUnits;

/// Units that are promised to somebody.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    /// Of each listing.
    units: BTreeMap<ListingId, i64>,
    /// Of each order, those that are neither shipped nor cancelled.
    left: BTreeMap<OrderId, BTreeMap<ListingId, i64>>,
}

impl Reserved {
    pub(super) fn enter(&mut self, event: &Event) {
        match event {
            Event::OrderPlaced(placed) => {
                // What replaces something takes over what was reserved for it.
                let is_new = i64::from(placed.replaces.is_none());
                for line in &placed.lines {
                    let units = i64::from(line.quantity.get());
                    self.add(line.listing, units * is_new);
                    *self.left.entry(placed.order).or_default().entry(line.listing).or_default() += units;
                }
            }
            Event::OrderChanged(changed) => {
                for line in &changed.added {
                    let units = i64::from(line.quantity.get());
                    self.add(line.listing, units);
                    *self.left.entry(changed.order).or_default().entry(line.listing).or_default() += units;
                }
            }
            Event::OrderShipped(shipped) => self.leave(shipped.order, &shipped.lines),
            Event::OrderCancelled(cancelled) => self.leave(cancelled.order, &cancelled.lines),
            Event::StockReserved(event) => self.add(event.listing, i64::from(event.quantity.get())),
            Event::ReservationReleased(event) => self.add(event.listing, -i64::from(event.quantity.get())),
            Event::ReservationExpired(event) => self.add(event.listing, -i64::from(event.quantity.get())),
            Event::ReservationTakenUp(event) => self.add(event.listing, -i64::from(event.quantity.get())),
            Event::ReplacementReserved(event) => {
                event.lines.iter().for_each(|units| self.add(units.listing, i64::from(units.quantity.get())));
            }
            Event::ReplacementGivenUp(event) => {
                event
                    .freed
                    .iter()
                    .for_each(|units| self.add(units.listing, -i64::from(units.quantity.get())));
            }
            _ => {}
        }
    }

    fn add(&mut self, listing: ListingId, units: i64) {
        *self.units.entry(listing).or_default() += units;
    }

    /// Takes units off an order: those that are named or, where none is, which only old events do, all that are left.
    fn leave(&mut self, order: OrderId, lines: &[LineUnits]) {
        let left = self.left.entry(order).or_default();
        let gone: Vec<_> = match lines {
            [] => left.iter().map(|(listing, units)| (*listing, *units)).collect(),
            lines => lines.iter().map(|line| (line.listing, i64::from(line.quantity.get()))).collect(),
        };
        for (listing, units) in &gone {
            *left.entry(*listing).or_default() -= units;
        }
        if left.values().all(|units| *units == 0) {
            self.left.remove(&order);
        }
        gone.into_iter().for_each(|(listing, units)| self.add(listing, -units));
    }

    /// Gives how many units of a listing are reserved.
    pub(super) fn of(&self, listing: ListingId) -> i64 {
        self.units.get(&listing).copied().unwrap_or(0)
    }
}
