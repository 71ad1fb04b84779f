//! At which named locations the units of an order's lines are reserved.

use events::Quantity;
use events::location::{Located, Location};
use events::order::{Reallocated, Reallocation};

use super::{Line, LineUnits, Order};

/// Takes units that left, or are free again, off the locations where they were reserved. None, here and below, if fewer are
/// reserved there.
pub(super) fn deallocate(order: &mut Order, units: &[LineUnits]) -> Option<()> {
    units.iter().try_for_each(|units| {
        let line = order.lines.iter_mut().find(|line| line.listing == units.listing)?;
        units.locations.iter().try_for_each(|gone| take_off(line, &gone.location, gone.quantity))
    })
}

fn take_off(line: &mut Line, location: &Location, quantity: Quantity) -> Option<()> {
    let at = line.locations.iter().position(|there| there.location == *location)?;
    match Quantity::new(line.locations[at].quantity.get().checked_sub(quantity.get())?) {
        Ok(left) => line.locations[at].quantity = left,
        Err(_) => drop(line.locations.remove(at)),
    }
    Some(())
}

/// Takes in that units are reserved at other locations than before.
pub(super) fn reallocate(order: &mut Order, event: &Reallocated) -> Option<()> {
    event.units.iter().try_for_each(|Reallocation { from, listing, quantity, to }| {
        let line = order.lines.iter_mut().find(|line| line.listing == *listing)?;
        if let Some(from) = from {
            take_off(line, from, *quantity)?;
        }
        match line.locations.binary_search_by(|there| there.location.cmp(to)) {
            Ok(at) => {
                let there = &mut line.locations[at];
                there.quantity = Quantity::new(there.quantity.get().checked_add(quantity.get())?).ok()?;
            }
            Err(at) => line.locations.insert(at, Located { location: to.clone(), quantity: *quantity }),
        }
        Some(())
    })
}
