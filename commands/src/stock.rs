//! Stock of listings: what arrives, what is counted, what is kept back, where it is, and what may be sold before it is
//! there. Orders and [reservations](crate::reservation) touch it only through methods of [`crate::listing::Listings`].

use events::ids::{AccountId, ListingId};
use events::listing::StockReceived;
use events::location::Location;
use events::stock::{
    Adjusted, AdjustmentReason, BackorderLimitSet, Expected, Moved, SafetySet, ShortfallDetected, Stock,
};
use events::{Event, Rejection, Timestamp};

use crate::command::{
    AdjustStock, ExpectStock, MoveStock, ReceiveStock, STOCK_MAX, SetBackorderLimit, SetSafetyStock,
};
use crate::listing::owned;
use crate::market::Market;

/// At how many times units of one listing can be expected.
pub const EXPECTED_MAX: usize = 32;
/// How far ahead units can be expected.
pub const EXPECTED_AHEAD_MAX_MS: i64 = 2 * 366 * 86_400_000;
/// At how many named locations a listing can have stock.
pub const LOCATIONS_MAX: usize = 16;

/// Refuses one named location too many.
pub(crate) fn check_location(
    listing: ListingId,
    stock: &Stock,
    location: Option<&Location>,
    reasons: &mut Vec<Rejection>,
) {
    if let (Some(location), Some(named)) = (location, stock.locations.as_deref())
        && named.get(location).is_none()
        && named.count() >= LOCATIONS_MAX
    {
        reasons.push(Rejection::TooManyLocations { listing, max: LOCATIONS_MAX as u32 });
    }
}

/// Refuses to take more units than there are at a location, in the words for a listing that has only the one.
fn check_there(
    listing: ListingId,
    stock: &Stock,
    location: Option<&Location>,
    (requested, available): (u64, u64),
    reasons: &mut Vec<Rejection>,
) {
    if requested <= available {
        return;
    }
    reasons.push(match (location, &stock.locations) {
        (None, None) => Rejection::InsufficientStock { listing, requested, available },
        (location, _) => {
            let location = location.cloned();
            Rejection::InsufficientAtLocation { listing, location, requested, available }
        }
    });
}

fn or_reasons(reasons: Vec<Rejection>, events: Vec<Event>) -> Result<Vec<Event>, Vec<Rejection>> {
    if reasons.is_empty() { Ok(events) } else { Err(reasons) }
}

pub(crate) fn decide_receive(
    market: &Market,
    seller: AccountId,
    command: &ReceiveStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReceiveStock { listing, ref location, quantity } = *command;
    let stock = &owned(market, seller, listing)?.stock;
    let on_hand = stock.on_hand + u64::from(quantity.get());
    let mut reasons = Vec::new();
    if on_hand > STOCK_MAX {
        reasons.push(Rejection::StockOverflow { listing, max: STOCK_MAX });
    }
    check_location(listing, stock, location.as_ref(), &mut reasons);
    let location = location.clone();
    or_reasons(reasons, vec![StockReceived { listing, location, on_hand, quantity }.into()])
}

pub(crate) fn decide_adjust(
    market: &Market,
    seller: AccountId,
    command: &AdjustStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let AdjustStock { delta, listing, ref location, reason } = *command;
    let stock = &owned(market, seller, listing)?.stock;
    let (adds, units) = (delta.get() > 0, delta.get().unsigned_abs());
    let comes_only = matches!(reason, AdjustmentReason::Found | AdjustmentReason::Returned);
    let goes_only = matches!(reason, AdjustmentReason::Lost | AdjustmentReason::WrittenOff);
    if (comes_only && !adds) || (goes_only && adds) {
        return Err(vec![Rejection::AdjustmentDirection { reason }]);
    }
    let there = stock.at(location.as_ref());
    let taken_from = match (reason, adds) {
        (AdjustmentReason::Damaged, true) | (AdjustmentReason::WrittenOff, _) => Some(there.damaged),
        (_, false) => Some(there.on_hand),
        (_, true) => None,
    };
    let mut reasons = Vec::new();
    if let Some(available) = taken_from {
        check_there(listing, stock, location.as_ref(), (units, available), &mut reasons);
    }
    check_location(listing, stock, location.as_ref(), &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let changed = |count: u64, adds: bool| if adds { count + units } else { count - units };
    let on_hand = match reason {
        AdjustmentReason::WrittenOff => stock.on_hand,
        _ => changed(stock.on_hand, adds),
    };
    let damaged = match reason {
        AdjustmentReason::WrittenOff => changed(stock.damaged, false),
        AdjustmentReason::Damaged => changed(stock.damaged, !adds),
        _ => stock.damaged,
    };
    if on_hand > STOCK_MAX || damaged > STOCK_MAX {
        return Err(vec![Rejection::StockOverflow { listing, max: STOCK_MAX }]);
    }
    let location = location.clone();
    let event = Adjusted { damaged, delta: delta.get(), listing, location, on_hand, reason };
    let after = Stock { on_hand, damaged, ..stock.clone() };
    Ok(with_shortfall(listing, stock, &after, event.into()))
}

pub(crate) fn decide_set_safety(
    market: &Market,
    seller: AccountId,
    command: &SetSafetyStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetSafetyStock { listing, ref location, units } = *command;
    let stock = &owned(market, seller, listing)?.stock;
    let units = units.get();
    if stock.at(location.as_ref()).safety == units {
        return Ok(vec![]);
    }
    let mut reasons = Vec::new();
    check_location(listing, stock, location.as_ref(), &mut reasons);
    or_reasons(reasons, vec![SafetySet { listing, location: location.clone(), units }.into()])
}

pub(crate) fn decide_move(
    market: &Market,
    seller: AccountId,
    command: &MoveStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let MoveStock { ref from, listing, quantity, ref to } = *command;
    let stock = &owned(market, seller, listing)?.stock;
    if from == to {
        return Err(vec![Rejection::SameLocation { listing }]);
    }
    let mut reasons = Vec::new();
    let unreserved = stock.at(from.as_ref()).unreserved();
    check_there(listing, stock, from.as_ref(), (u64::from(quantity.get()), unreserved), &mut reasons);
    check_location(listing, stock, to.as_ref(), &mut reasons);
    or_reasons(reasons, vec![Moved { from: from.clone(), listing, quantity, to: to.clone() }.into()])
}

pub(crate) fn decide_set_backorder_limit(
    market: &Market,
    seller: AccountId,
    command: &SetBackorderLimit,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetBackorderLimit { listing, units } = *command;
    let stock = &owned(market, seller, listing)?.stock;
    if stock.backorder_limit == units.get() {
        return Ok(vec![]);
    }
    let after = Stock { backorder_limit: units.get(), ..stock.clone() };
    let event = BackorderLimitSet { listing, units: units.get() };
    Ok(with_shortfall(listing, stock, &after, event.into()))
}

/// Adds to an event that more units are missing after it than before, if they are.
fn with_shortfall(listing: ListingId, before: &Stock, after: &Stock, event: Event) -> Vec<Event> {
    let missing = after.shortfall();
    if missing <= before.shortfall() {
        return vec![event];
    }
    let Stock { on_hand, reserved, .. } = *after;
    vec![event, ShortfallDetected { listing, missing, on_hand, reserved }.into()]
}

pub(crate) fn decide_expect(
    market: &Market,
    seller: AccountId,
    command: &ExpectStock,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ExpectStock { due, listing, ref location, quantity } = *command;
    let stock = &owned(market, seller, listing)?.stock;
    let units = quantity.get();
    let mut named = stock.incoming.iter();
    let known = named.find(|incoming| incoming.due == due && incoming.location == *location);
    if known.map_or(0, |known| known.units) == units {
        return Ok(vec![]);
    }
    let mut reasons = Vec::new();
    let latest = now.plus_ms(EXPECTED_AHEAD_MAX_MS);
    // What did not come in time can still be taken back.
    if units > 0 && !(now..=latest).contains(&due) {
        reasons.push(Rejection::DueOutOfRange { due, latest });
    }
    if known.is_none() && stock.incoming.len() >= EXPECTED_MAX {
        reasons.push(Rejection::TooManyExpected { listing, max: EXPECTED_MAX as u32 });
    }
    if units > 0 {
        check_location(listing, stock, location.as_ref(), &mut reasons);
    }
    or_reasons(reasons, vec![Expected { due, listing, location: location.clone(), units }.into()])
}
