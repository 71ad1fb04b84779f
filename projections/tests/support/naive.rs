//! What views must answer, computed from the whole history each time, slowly and without any state kept.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::{AccountId, CartId, ListingId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::order::Placed;
use events::rejection::OrderState;
use events::{Currency, Event, Money, Recorded};

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

pub fn state(history: &History, order: OrderId) -> OrderState {
    let has = |name: &str| about(history, order).iter().any(|e| e.metadata.type_name.starts_with(name));
    match () {
        () if has("order.cancelled") => OrderState::Cancelled,
        () if has("escrow.released") => OrderState::Completed,
        () if has("order.delivered") => OrderState::Delivered,
        () if has("order.shipped") => OrderState::Shipped,
        () => OrderState::Placed,
    }
}

pub fn transfers(event: &Event) -> Vec<Transfer> {
    match event {
        Event::WalletFunded(e) => vec![e.transfer],
        Event::EscrowHeld(e) => vec![e.transfer],
        Event::EscrowRefunded(e) => vec![e.transfer],
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
        let lines = placed.lines.iter().filter(|line| line.listing == listing);
        let units: u64 = lines.map(|line| u64::from(line.quantity.get())).sum();
        match state(history, placed.order) {
            OrderState::Placed => reserved += units,
            OrderState::Cancelled => {}
            _ => shipped += units,
        }
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
