//! Stock of listings: what arrives, what is counted, what is kept back, and what may be sold before it is there. Orders
//! and [reservations](crate::reservation) touch it only through methods of [`crate::listing::Listings`].

use events::ids::{AccountId, ListingId};
use events::listing::StockReceived;
use events::stock::{
    Adjusted, AdjustmentReason, BackorderLimitSet, Expected, SafetySet, ShortfallDetected, Stock,
};
use events::{Event, Rejection, Timestamp};

use crate::command::{AdjustStock, ExpectStock, ReceiveStock, STOCK_MAX, SetBackorderLimit, SetSafetyStock};
use crate::listing::owned;
use crate::market::Market;

/// At how many times units of one listing can be expected.
pub const EXPECTED_MAX: usize = 32;
/// How far ahead units can be expected.
pub const EXPECTED_AHEAD_MAX_MS: i64 = 2 * 366 * 86_400_000;

pub(crate) fn decide_receive(
    market: &Market,
    seller: AccountId,
    command: &ReceiveStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReceiveStock { listing, quantity } = *command;
    let on_hand = owned(market, seller, listing)?.stock.on_hand + u64::from(quantity.get());
    if on_hand > STOCK_MAX {
        return Err(vec![Rejection::StockOverflow { listing, max: STOCK_MAX }]);
    }
    Ok(vec![StockReceived { listing, on_hand, quantity }.into()])
}

pub(crate) fn decide_adjust(
    market: &Market,
    seller: AccountId,
    command: &AdjustStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let AdjustStock { delta, listing, reason } = *command;
    let stock = &owned(market, seller, listing)?.stock;
    let (adds, units) = (delta.get() > 0, delta.get().unsigned_abs());
    let comes_only = matches!(reason, AdjustmentReason::Found | AdjustmentReason::Returned);
    if (comes_only && !adds) || (reason == AdjustmentReason::Lost && adds) {
        return Err(vec![Rejection::AdjustmentDirection { reason }]);
    }
    let moves = reason == AdjustmentReason::Damaged;
    let taken_from = match (adds, moves) {
        (false, _) => Some(stock.on_hand),
        (true, true) => Some(stock.damaged),
        (true, false) => None,
    };
    if let Some(available) = taken_from
        && units > available
    {
        return Err(vec![Rejection::InsufficientStock { listing, requested: units, available }]);
    }
    let on_hand = if adds { stock.on_hand + units } else { stock.on_hand - units };
    let damaged = match (moves, adds) {
        (false, _) => stock.damaged,
        (true, true) => stock.damaged - units,
        (true, false) => stock.damaged + units,
    };
    if on_hand > STOCK_MAX || damaged > STOCK_MAX {
        return Err(vec![Rejection::StockOverflow { listing, max: STOCK_MAX }]);
    }
    let event = Adjusted { damaged, delta: delta.get(), listing, on_hand, reason };
    let mut after = stock.clone();
    after.adjusted(&event);
    Ok(with_shortfall(listing, stock, &after, event.into()))
}

pub(crate) fn decide_set_safety(
    market: &Market,
    seller: AccountId,
    command: &SetSafetyStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetSafetyStock { listing, units } = *command;
    let is_done = owned(market, seller, listing)?.stock.safety == units.get();
    Ok(if is_done { vec![] } else { vec![SafetySet { listing, units: units.get() }.into()] })
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
    let ExpectStock { due, listing, quantity } = *command;
    let incoming = &owned(market, seller, listing)?.stock.incoming;
    let units = quantity.get();
    let known = incoming.iter().find(|incoming| incoming.due == due);
    if known.map_or(0, |known| known.units) == units {
        return Ok(vec![]);
    }
    let mut reasons = Vec::new();
    let latest = now.plus_ms(EXPECTED_AHEAD_MAX_MS);
    // What did not come in time can still be taken back.
    if units > 0 && !(now..=latest).contains(&due) {
        reasons.push(Rejection::DueOutOfRange { due, latest });
    }
    if known.is_none() && incoming.len() >= EXPECTED_MAX {
        reasons.push(Rejection::TooManyExpected { listing, max: EXPECTED_MAX as u32 });
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(vec![Expected { due, listing, units }.into()])
}
