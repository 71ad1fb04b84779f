//! From which locations the units of an order leave.
//!
//! Where they are reserved is decided when the order is placed and stands in the event; only what is at named locations is
//! remembered, apart from the orders, of which most have none. What is cancelled is free where it was reserved. What is
//! shipped leaves from there or, if its seller says so or it was reserved at none, from elsewhere: then it is reserved
//! there first, in the same commit.

use std::collections::BTreeMap;

use events::Quantity;
use events::Rejection;
use events::ids::{ListingId, OrderId};
use events::location::{Located, Location};
use events::order::{LineUnits, Reallocated, Reallocation};
use serde::{Deserialize, Serialize};

use super::state::{Line, Order};
use crate::market::Market;

/// Units of one line of an order that are left and reserved at a named location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocated {
    /// The place of the line in its order.
    pub line: u8,
    /// How many units; never 0.
    pub units: u32,
    /// Where.
    pub location: Location,
}

/// What of the orders that are open is reserved at named locations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Allocations(BTreeMap<OrderId, Vec<Allocated>>);

impl Allocations {
    /// Gives what of an order is reserved at named locations, by line and location.
    pub fn of(&self, order: OrderId) -> &[Allocated] {
        self.0.get(&order).map_or(&[], Vec::as_slice)
    }

    /// Gives all of them, by order.
    pub fn iter(&self) -> impl Iterator<Item = (&OrderId, &[Allocated])> {
        self.0.iter().map(|(order, parts)| (order, parts.as_slice()))
    }

    /// Reserves units of a line at locations, besides those that are.
    pub(super) fn add(&mut self, order: OrderId, line: u8, locations: &[Located]) {
        if locations.is_empty() {
            return;
        }
        let parts = self.0.entry(order).or_default();
        for Located { location, quantity } in locations {
            match parts.binary_search_by(|part| (part.line, &part.location).cmp(&(line, location))) {
                Ok(at) => parts[at].units += quantity.get(),
                Err(at) => {
                    let part = Allocated { line, units: quantity.get(), location: location.clone() };
                    parts.insert(at, part);
                }
            }
        }
    }

    /// Takes units of a line off locations.
    ///
    /// # Panics
    /// If fewer are reserved there: events take off only what is.
    pub(super) fn take(&mut self, order: OrderId, line: u8, locations: &[Located]) {
        if locations.is_empty() {
            return;
        }
        let parts = self.0.get_mut(&order).expect("units leave only from where they are reserved");
        for Located { location, quantity } in locations {
            let at = parts.binary_search_by(|part| (part.line, &part.location).cmp(&(line, location)));
            let part = &mut parts[at.expect("units leave only from where they are reserved")];
            let left = part.units.checked_sub(quantity.get());
            part.units = left.expect("no more units leave than are reserved there");
        }
        parts.retain(|part| part.units > 0);
        if parts.is_empty() {
            self.0.remove(&order);
        }
    }
}

impl Market {
    pub(crate) fn order_reallocated(&mut self, event: &Reallocated) {
        for units in &event.units {
            let order = self.orders.known(event.order);
            let (line, _) = order.line(units.listing);
            let at = |location: &Location| [Located { location: location.clone(), quantity: units.quantity }];
            let allocations = self.orders.allocations_mut();
            if let Some(from) = &units.from {
                allocations.take(event.order, line, &at(from));
            }
            allocations.add(event.order, line, &at(&units.to));
            self.listings.change_stock(units.listing, |stock| stock.reallocate(units));
        }
    }
}

/// Units of a line that are left, by where they are reserved.
struct Left<'a> {
    /// At named locations, in the order of their names.
    named: Vec<(&'a Location, u32)>,
    /// At none.
    nameless: u32,
}

fn left<'a>(market: &'a Market, id: OrderId, order: &Order, listing: ListingId) -> Left<'a> {
    let is_it = |(_, line): &(u8, &Line)| line.listing == listing;
    let (place, line) = (0u8..).zip(&order.lines).find(is_it).expect("the order has the line");
    let parts = market.orders.allocations().of(id).iter().filter(|part| part.line == place);
    let named: Vec<_> = parts.map(|part| (&part.location, part.units)).collect();
    let nameless = line.left() - named.iter().map(|(_, units)| units).sum::<u32>();
    Left { named, nameless }
}

/// Takes units from one after another of some; what they do not have is left over.
fn take_from<'a>(
    from: impl Iterator<Item = (&'a Location, u32)>,
    mut units: u32,
) -> (BTreeMap<&'a Location, u32>, u32) {
    let mut taken = BTreeMap::new();
    for (location, there) in from {
        let some = units.min(there);
        units -= some;
        if some > 0 {
            *taken.entry(location).or_default() += some;
        }
    }
    (taken, units)
}

fn located(taken: BTreeMap<&Location, u32>) -> Vec<Located> {
    let located = taken.into_iter().filter_map(|(location, units)| {
        Some(Located { location: location.clone(), quantity: Quantity::new(units).ok()? })
    });
    located.collect()
}

/// Says where units that are cancelled were reserved: first those that are at no named location, which may not be there
/// yet, then from the last location to the first, so that what is left leaves from as few as can be.
pub(super) fn freed(
    market: &Market,
    id: OrderId,
    order: &Order,
    mut lines: Vec<LineUnits>,
) -> Vec<LineUnits> {
    if market.orders.allocations().of(id).is_empty() {
        return lines;
    }
    for units in &mut lines {
        let Left { named, nameless } = left(market, id, order, units.listing);
        let more = units.quantity.get().saturating_sub(nameless);
        let (taken, _) = take_from(named.into_iter().rev(), more);
        units.locations = located(taken);
    }
    lines
}

/// Gives the units of an order that are left and reserved at a location.
pub(super) fn left_at(
    market: &Market,
    id: OrderId,
    order: &Order,
    location: &Location,
) -> Result<Vec<LineUnits>, Vec<Rejection>> {
    let parts = market.orders.allocations().of(id).iter().filter(|part| part.location == *location);
    let lines = parts.filter_map(|part| {
        let quantity = Quantity::new(part.units).ok()?;
        Some(order.next(usize::from(part.line), quantity))
    });
    let lines: Vec<LineUnits> = lines.collect();
    if lines.is_empty() {
        return Err(vec![Rejection::NothingAtLocation { order: id, location: location.clone() }]);
    }
    Ok(lines)
}

/// Says from where units that are shipped leave, and which of them were reserved elsewhere; or every reason why they can't:
/// what an order reserved may since have been lost, or was not there yet when it was ordered.
pub(super) fn leaving(
    market: &Market,
    id: OrderId,
    order: &Order,
    mut lines: Vec<LineUnits>,
    from: Option<&Location>,
) -> Result<(Vec<LineUnits>, Vec<Reallocation>), Vec<Rejection>> {
    let (mut reallocated, mut reasons) = (Vec::new(), Vec::new());
    for units in &mut lines {
        let found = match from {
            Some(from) => from_one(market, id, order, units, from),
            None => from_where_reserved(market, id, order, units),
        };
        match found {
            Ok((locations, moved)) => {
                units.locations = locations;
                reallocated.extend(moved);
            }
            Err(found) => reasons.extend(found),
        }
    }
    if reasons.is_empty() { Ok((lines, reallocated)) } else { Err(reasons) }
}

type Leaving = Result<(Vec<Located>, Vec<Reallocation>), Vec<Rejection>>;

/// Ships units from one location: those that are reserved there, and others where no order waits for what is there.
fn from_one(market: &Market, id: OrderId, order: &Order, units: &LineUnits, from: &Location) -> Leaving {
    let (listing, requested) = (units.listing, units.quantity.get());
    let there = market.listings.get(listing).map(|known| known.stock.at(Some(from))).unwrap_or_default();
    let Left { named, nameless } = left(market, id, order, listing);
    let own = named.iter().find(|(location, _)| *location == from).map_or(0, |(_, units)| *units);
    let own = own.min(requested);
    let available = there.on_hand.min(there.unreserved().saturating_add(u64::from(own)));
    if u64::from(requested) > available {
        let (location, requested) = (Some(from.clone()), u64::from(requested));
        return Err(vec![Rejection::InsufficientAtLocation { listing, location, requested, available }]);
    }
    let more = requested - own;
    let of_nameless = more.min(nameless);
    let others = named.into_iter().rev().filter(|(location, _)| *location != from);
    let (of_named, _) = take_from(others, more - of_nameless);
    let of_named = of_named.into_iter().map(|(location, units)| (Some(location.clone()), units));
    let moved = std::iter::once((None, of_nameless)).chain(of_named).filter_map(|(reserved_at, units)| {
        let quantity = Quantity::new(units).ok()?;
        Some(Reallocation { from: reserved_at, listing, quantity, to: from.clone() })
    });
    let located = vec![Located { location: from.clone(), quantity: units.quantity }];
    Ok((located, moved.collect()))
}

/// Ships units from where they are reserved, in the order of the locations' names. Those that are at no named one leave
/// from there as far as they are there, and else from where no order waits for what is there.
fn from_where_reserved(market: &Market, id: OrderId, order: &Order, units: &LineUnits) -> Leaving {
    let listing = units.listing;
    let stock = &market.listings.get(listing).expect("what is ordered is listed").stock;
    let Left { named, .. } = left(market, id, order, listing);
    let (mut taken, rest) = take_from(named.into_iter(), units.quantity.get());
    let mut reasons = Vec::new();
    for (location, units) in &taken {
        let (requested, available) = (u64::from(*units), stock.at(Some(location)).on_hand);
        if requested > available {
            let location = Some((*location).clone());
            reasons.push(Rejection::InsufficientAtLocation { listing, location, requested, available });
        }
    }
    let on_hand = stock.at(None).on_hand;
    let missing = u64::from(rest).saturating_sub(on_hand);
    let elsewhere = match u32::try_from(missing) {
        Ok(missing) if missing > 0 => stock.elsewhere(missing),
        _ => Vec::new(),
    };
    let found: u64 = elsewhere.iter().map(|at| u64::from(at.quantity.get())).sum();
    if found < missing {
        let (requested, available) = (u64::from(rest), on_hand + found);
        reasons.push(Rejection::InsufficientStock { listing, requested, available });
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    for Located { location, quantity } in &elsewhere {
        *taken.entry(location).or_default() += quantity.get();
    }
    let located = located(taken);
    let moved = elsewhere.into_iter().map(|Located { location: to, quantity }| Reallocation {
        from: None,
        listing,
        quantity,
        to,
    });
    Ok((located, moved.collect()))
}
