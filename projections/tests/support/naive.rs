//! What views must answer, computed from the whole history each time, slowly and without any state kept.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::{AccountId, CartId, ListingId};
use events::ledger::{LedgerAccount, Transfer};
use events::order::{LineUnits, Placed, ShipmentNumber};
use events::{Currency, Event, Money, Recorded};
use projections::order::OrderStatus;

use super::History;

pub fn events(history: &History) -> impl Iterator<Item = &Recorded> {
    history.commits.iter().flat_map(|commit| commit.events())
}

pub fn placed(history: &History) -> Vec<(&Recorded, &Placed)> {
    let placed = events(history).filter_map(|recorded| match &recorded.event {
        Event::OrderPlaced(placed) => Some((recorded, placed)),
        _ => None,
    });
    placed.collect()
}

/// All events whose subject is `id`.
pub fn about(history: &History, id: impl ToString) -> Vec<&Recorded> {
    let id = id.to_string();
    events(history).filter(|recorded| recorded.metadata.subject.as_ref() == Some(&id)).collect()
}

/// Listings with units and what these cost.
pub type Units = Vec<(ListingId, u64, i64)>;

fn all_of(placed: &Placed) -> Units {
    placed.lines.iter().map(|line| (line.listing, u64::from(line.quantity.get()), line.total.minor)).collect()
}

/// What an event about some units of an order is about; one that names none is about all.
pub fn meant(placed: &Placed, named: &[LineUnits]) -> Units {
    if named.is_empty() {
        return all_of(placed);
    }
    named.iter().map(|line| (line.listing, u64::from(line.quantity.get()), line.amount.minor)).collect()
}

/// What is in a shipment.
pub fn shipped_in(history: &History, placed: &Placed, shipment: ShipmentNumber) -> Units {
    let about = about(history, placed.order);
    let shipped = about.iter().find_map(|recorded| match &recorded.event {
        Event::OrderShipped(e) if e.shipment == shipment => Some(meant(placed, &e.lines)),
        _ => None,
    });
    shipped.unwrap()
}

/// Units of an order, each counted in all that became of it.
#[derive(Default)]
pub struct Moved {
    pub cancelled: Units,
    pub shipped: Units,
    pub delivered: Units,
    pub is_closed: bool,
}

pub fn moved(history: &History, placed: &Placed) -> Moved {
    let mut moved = Moved::default();
    for recorded in about(history, placed.order) {
        moved.is_closed |= recorded.event.order_end().is_some();
        match &recorded.event {
            Event::OrderShipped(e) => moved.shipped.extend(meant(placed, &e.lines)),
            Event::OrderCancelled(e) => moved.cancelled.extend(meant(placed, &e.lines)),
            Event::OrderDelivered(e) => moved.delivered.extend(shipped_in(history, placed, e.shipment)),
            _ => {}
        }
    }
    moved
}

pub fn count(units: &Units) -> u64 {
    units.iter().map(|(_, units, _)| units).sum()
}

pub fn count_of(units: &Units, wanted: ListingId) -> u64 {
    units.iter().filter(|(listing, ..)| *listing == wanted).map(|(_, units, _)| units).sum()
}

pub fn state(history: &History, placed: &Placed) -> OrderStatus {
    let moved = moved(history, placed);
    let wanted = count(&all_of(placed)) - count(&moved.cancelled);
    match (count(&moved.shipped), count(&moved.delivered)) {
        _ if wanted == 0 => OrderStatus::Cancelled,
        _ if moved.is_closed => OrderStatus::Completed,
        (_, delivered) if delivered == wanted => OrderStatus::Delivered,
        (_, delivered) if delivered > 0 => OrderStatus::PartiallyDelivered,
        (shipped, _) if shipped == wanted => OrderStatus::Shipped,
        (shipped, _) if shipped > 0 => OrderStatus::PartiallyShipped,
        _ => OrderStatus::Placed,
    }
}

pub fn transfers(event: &Event) -> Vec<Transfer> {
    match event {
        Event::WalletFunded(e) => vec![e.transfer],
        Event::EscrowHeld(e) => vec![e.transfer],
        Event::EscrowRefunded(e) => e.transfer.into_iter().collect(),
        Event::EscrowReleased(e) => e.transfers.clone(),
        _ => vec![],
    }
}

pub fn balances(history: &History) -> BTreeMap<(LedgerAccount, Currency), i64> {
    let mut balances = BTreeMap::new();
    for transfer in events(history).flat_map(|recorded| transfers(&recorded.event)) {
        let Money { currency, minor } = transfer.amount;
        *balances.entry((transfer.from, currency)).or_default() -= minor;
        *balances.entry((transfer.to, currency)).or_default() += minor;
    }
    balances
}

/// Units on hand and reserved.
pub fn stock(history: &History, listing: ListingId) -> (u64, u64) {
    let received: u64 = events(history)
        .map(|recorded| match &recorded.event {
            Event::StockReceived(e) if e.listing == listing => u64::from(e.quantity.get()),
            _ => 0,
        })
        .sum();
    let (mut shipped, mut reserved) = (0, 0);
    for (_, placed) in placed(history) {
        let moved = moved(history, placed);
        let gone = count_of(&moved.shipped, listing);
        shipped += gone;
        reserved += count_of(&all_of(placed), listing) - gone - count_of(&moved.cancelled, listing);
    }
    (received - shipped, reserved)
}

pub fn carts(history: &History) -> BTreeMap<CartId, AccountId> {
    let opened = events(history).filter_map(|recorded| match &recorded.event {
        Event::CartItemAdded(e) => Some((e.cart, e.account)),
        _ => None,
    });
    opened.collect()
}

/// A cart's lines with the price seen.
pub fn cart_lines(history: &History, cart: CartId) -> Vec<(ListingId, u32, Money)> {
    let mut lines: Vec<(ListingId, u32, Money)> = Vec::new();
    for recorded in about(history, cart) {
        match &recorded.event {
            Event::CartItemAdded(e) => {
                let line = (e.listing, e.quantity.get(), e.unit_price);
                match lines.iter().position(|(listing, ..)| *listing == e.listing) {
                    Some(at) => lines[at] = line,
                    None => lines.push(line),
                }
            }
            Event::CartQuantitySet(e) => {
                let at = lines.iter().position(|(listing, ..)| *listing == e.listing).unwrap();
                lines[at].1 = e.quantity.get();
            }
            Event::CartItemRemoved(e) => lines.retain(|(listing, ..)| *listing != e.listing),
            Event::CartCleared(_) => lines.clear(),
            _ => {}
        }
    }
    lines
}

pub fn currencies(history: &History) -> BTreeSet<Currency> {
    balances(history).into_keys().map(|(_, currency)| currency).collect()
}
