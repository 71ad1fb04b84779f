//! What views must answer, computed from the whole history each time, slowly and without any state kept.

use std::collections::{BTreeMap, BTreeSet};

use events::escrow::rule::ReleaseRule;
use events::ids::{AccountId, CartId, ListingId};
use events::ledger::{LedgerAccount, Transfer};
use events::listing::ListingStatus;
use events::location::Location;
use events::metadata::Waiting;
use events::order::{LineUnits, Placed, ShipmentNumber};
use events::rejection::OrderState;
use events::stock::{AdjustmentReason, Incoming, Stock};
use events::{Currency, Event, Money, Recorded, Timestamp};
use projections::order::{OrderStatus, SellerTask};

use super::History;
use super::market::BERLIN;

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
    pub is_refunded: bool,
}

pub fn moved(history: &History, placed: &Placed) -> Moved {
    let mut moved = Moved::default();
    for recorded in about(history, placed.order) {
        let end = recorded.event.order_end().map(|end| end.state);
        moved.is_closed |= end.is_some();
        moved.is_refunded |= end == Some(OrderState::Refunded);
        match &recorded.event {
            Event::OrderShipped(e) => moved.shipped.extend(meant(placed, &e.lines)),
            Event::OrderCancelled(e) => moved.cancelled.extend(meant(placed, &e.lines)),
            Event::OrderDelivered(e) => moved.delivered.extend(shipped_in(history, placed, e.shipment)),
            _ => {}
        }
    }
    moved
}

fn is_held(history: &History, placed: &Placed) -> bool {
    let count = |is: fn(&Event) -> bool| about(history, placed.order).iter().filter(|e| is(&e.event)).count();
    count(|event| matches!(event, Event::OrderHeld(_)))
        > count(|event| matches!(event, Event::OrderUnheld(_)))
}

pub fn count(units: &Units) -> u64 {
    units.iter().map(|(_, units, _)| units).sum()
}

pub fn count_of(units: &Units, wanted: ListingId) -> u64 {
    units.iter().filter(|(listing, ..)| *listing == wanted).map(|(_, units, _)| units).sum()
}

/// What an order wants of its seller, and when.
pub fn seller_tasks(history: &History, placed: &Placed) -> BTreeSet<(SellerTask, Timestamp)> {
    let moved = moved(history, placed);
    if moved.is_closed || is_held(history, placed) {
        return BTreeSet::new();
    }
    let mut ship_by = placed.ship_by;
    let mut frozen = BTreeMap::new();
    for recorded in about(history, placed.order) {
        match &recorded.event {
            Event::OrderAccepted(e) => ship_by = e.ship_by,
            Event::EscrowFrozen(e) => _ = frozen.insert(e.shipment, e.due),
            Event::EscrowUnfrozen(e) => _ = frozen.remove(&e.shipment),
            Event::EscrowSettled(e) => _ = frozen.remove(&e.shipment),
            Event::OrderUnheld(e) => {
                for stamp in &e.deadlines {
                    match stamp.waiting {
                        Waiting::ShipBy { .. } => ship_by = stamp.due,
                        Waiting::FreezeExpires { shipment, .. } => _ = frozen.insert(shipment, stamp.due),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let mut tasks = BTreeSet::new();
    if count(&all_of(placed)) > count(&moved.shipped) + count(&moved.cancelled) {
        tasks.insert(match placed.accept_by.filter(|_| awaits_seller(history, placed)) {
            Some(accept_by) => (SellerTask::Accept, accept_by),
            None => (SellerTask::Ship, ship_by),
        });
    }
    tasks.extend(frozen.into_values().min().map(|due| (SellerTask::Dispute, due)));
    tasks
}

/// Whether an order waits for its seller's word.
pub fn awaits_seller(history: &History, placed: &Placed) -> bool {
    let about = about(history, placed.order);
    placed.accept_by.is_some() && !about.iter().any(|e| matches!(e.event, Event::OrderAccepted(_)))
}

pub fn state(history: &History, placed: &Placed) -> OrderStatus {
    state_of_all(history, &[placed])
}

/// Where orders stand together: as one with all their units.
pub fn state_of_all(history: &History, placed: &[&Placed]) -> OrderStatus {
    let moved: Vec<Moved> = placed.iter().map(|placed| moved(history, placed)).collect();
    let sum = |units: fn(&Moved) -> &Units| moved.iter().map(|moved| count(units(moved))).sum::<u64>();
    let ordered: u64 = placed.iter().map(|placed| count(&all_of(placed))).sum();
    let wanted = ordered - sum(|moved| &moved.cancelled);
    let open = || placed.iter().zip(&moved).filter(|(_, moved)| !moved.is_closed);
    let awaits_seller = open().any(|(placed, _)| awaits_seller(history, placed));
    if placed.iter().any(|placed| is_held(history, placed)) {
        return OrderStatus::OnHold;
    }
    let balances = balances(history);
    let frozen = |placed: &Placed| {
        balances.get(&(LedgerAccount::Dispute(placed.order), placed.total.currency)).copied().unwrap_or(0)
    };
    if placed.iter().any(|placed| frozen(placed) > 0) {
        return OrderStatus::Disputed;
    }
    let was_refunded = moved.iter().any(|moved| moved.is_refunded);
    let was_completed =
        moved.iter().any(|moved| moved.is_closed && !moved.is_refunded && !moved.shipped.is_empty());
    match (sum(|moved| &moved.shipped), sum(|moved| &moved.delivered)) {
        _ if wanted == 0 => OrderStatus::Cancelled,
        _ if open().count() == 0 && was_refunded && !was_completed => OrderStatus::Refunded,
        _ if open().count() == 0 => OrderStatus::Completed,
        (_, delivered) if delivered == wanted => OrderStatus::Delivered,
        (_, delivered) if delivered > 0 => OrderStatus::PartiallyDelivered,
        (shipped, _) if shipped == wanted => OrderStatus::Shipped,
        (shipped, _) if shipped > 0 => OrderStatus::PartiallyShipped,
        _ if awaits_seller => OrderStatus::AwaitingSeller,
        _ => OrderStatus::Placed,
    }
}

pub fn transfers(event: &Event) -> Vec<Transfer> {
    match event {
        Event::WalletFunded(e) => vec![e.transfer],
        Event::EscrowHeld(e) => vec![e.transfer],
        Event::EscrowRefunded(e) => e.transfer.into_iter().collect(),
        Event::EscrowReleased(e) => e.transfers.clone(),
        Event::EscrowFrozen(e) => vec![e.transfer],
        Event::EscrowUnfrozen(e) => vec![e.transfer],
        Event::EscrowSettled(e) => e.transfers.clone(),
        Event::WalletExchanged(e) => e.transfers.to_vec(),
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

/// What an event changes of an account in one currency.
pub fn moved_by(event: &Event, account: LedgerAccount, currency: Currency) -> i64 {
    let transfers = transfers(event).into_iter().filter(|transfer| transfer.amount.currency == currency);
    let signed = transfers.map(|transfer| {
        let Transfer { amount, from, to } = transfer;
        amount.minor * (i64::from(to == account) - i64::from(from == account))
    });
    signed.sum()
}

/// What is in stock of a listing.
pub fn stock(history: &History, listing: ListingId) -> Stock {
    let about = about(history, listing);
    let count = |count: fn(&Event) -> i64| -> i64 { about.iter().map(|e| count(&e.event)).sum() };
    let received = count(|event| match event {
        Event::StockReceived(e) => i64::from(e.quantity.get()),
        Event::StockAdjusted(e) => e.delta,
        _ => 0,
    });
    let damaged = count(|event| match event {
        Event::StockAdjusted(e) if e.reason == AdjustmentReason::Damaged => -e.delta,
        _ => 0,
    });
    let last =
        |units: fn(&Event) -> Option<u64>| about.iter().rev().find_map(|e| units(&e.event)).unwrap_or(0);
    let (mut shipped, mut reserved) = (0, 0);
    for (_, placed) in placed(history) {
        let moved = moved(history, placed);
        let gone = count_of(&moved.shipped, listing);
        shipped += gone;
        reserved += count_of(&all_of(placed), listing) - gone - count_of(&moved.cancelled, listing);
    }
    Stock {
        on_hand: u64::try_from(received).unwrap() - shipped,
        reserved,
        // Nobody sets units aside in these histories; `carts.rs` has one in which they do.
        set_aside: 0,
        safety: last(|event| match event {
            Event::StockSafetySet(e) => Some(e.units),
            _ => None,
        }),
        damaged: u64::try_from(damaged).unwrap(),
        backorder_limit: last(|event| match event {
            Event::StockBackorderLimitSet(e) => Some(e.units),
            _ => None,
        }),
        incoming: incoming(&about),
        locations: None,
    }
}

/// What of a listing is in Berlin: on hand and reserved.
pub fn in_berlin(history: &History, listing: ListingId) -> (u64, u64) {
    let berlin: Location = BERLIN.parse().unwrap();
    let of = |lines: &[LineUnits]| -> u64 {
        let lines = lines.iter().filter(|line| line.listing == listing).flat_map(|line| &line.locations);
        lines.map(|there| u64::from(there.quantity.get())).sum()
    };
    let (mut received, mut placed, mut shipped, mut cancelled) = (0, 0, 0, 0);
    for recorded in events(history) {
        match &recorded.event {
            Event::StockReceived(e) if e.listing == listing && e.location.as_ref() == Some(&berlin) => {
                received += u64::from(e.quantity.get());
            }
            Event::OrderPlaced(e) => {
                let lines = e.lines.iter().filter(|line| line.listing == listing);
                let there = lines.flat_map(|line| &line.locations);
                placed += there.map(|there| u64::from(there.quantity.get())).sum::<u64>();
            }
            Event::OrderShipped(e) => shipped += of(&e.lines),
            Event::OrderCancelled(e) => cancelled += of(&e.lines),
            _ => {}
        }
    }
    (received - shipped, placed - shipped - cancelled)
}

/// Units that are expected, one by one: each that arrives is the one of the first time.
fn incoming(about: &[&Recorded]) -> Vec<Incoming> {
    let mut units: Vec<Timestamp> = Vec::new();
    for recorded in about {
        match &recorded.event {
            Event::StockExpected(e) => {
                units.retain(|due| *due != e.due);
                units.extend((0..e.units).map(|_| e.due));
                units.sort();
            }
            // All that is expected is expected at no named location.
            Event::StockReceived(e) if e.location.is_none() => {
                drop(units.drain(..units.len().min(e.quantity.get() as usize)));
            }
            _ => {}
        }
    }
    let times: BTreeSet<Timestamp> = units.iter().copied().collect();
    let of = |due| units.iter().filter(|unit| **unit == due).count() as u64;
    times.into_iter().map(|due| Incoming { due, location: None, units: of(due) }).collect()
}

pub struct Terms {
    pub price: Money,
    pub version: u32,
    pub title: String,
    pub limits: (u32, u32),
    pub is_restricted: bool,
    pub release: Option<ReleaseRule>,
}

pub fn terms(history: &History, listing: ListingId) -> Terms {
    let about = about(history, listing);
    let Event::ListingCreated(created) = &about[0].event else {
        panic!("a listing begins with its creation")
    };
    let updates = || {
        about.iter().rev().filter_map(|e| match &e.event {
            Event::ListingUpdated(e) => Some(e),
            _ => None,
        })
    };
    let limits = updates().find_map(|e| e.limits).or(created.limits).unwrap_or_default();
    Terms {
        price: updates().find_map(|e| e.price).unwrap_or(created.price),
        version: 1 + updates().count() as u32,
        title: updates().find_map(|e| e.title.clone()).unwrap_or(created.title.clone()),
        limits: (limits.min.map_or(1, |n| n.get()), limits.max.map_or(1_000_000, |n| n.get())),
        is_restricted: updates().find_map(|e| e.restricted).unwrap_or(created.restricted),
        release: updates().find_map(|e| e.release.clone()).or(created.release.clone()),
    }
}

pub fn status(history: &History, listing: ListingId) -> ListingStatus {
    let about = about(history, listing);
    let last = |names: [&str; 2]| {
        let name = |e: &&Recorded| e.metadata.type_name.trim_end_matches(".v1").to_owned();
        about.iter().rev().map(name).find(|name| names.contains(&name.as_str()))
    };
    if last(["listing.withdrawn"; 2]).is_some() {
        ListingStatus::Withdrawn
    } else if last(["listing.blocked", "listing.unblocked"]).is_some_and(|name| name == "listing.blocked") {
        ListingStatus::Blocked
    } else if last(["listing.paused", "listing.resumed"]).is_some_and(|name| name == "listing.paused") {
        ListingStatus::Paused
    } else {
        ListingStatus::Active
    }
}

/// Whether an account may not sell, and whether it is cleared.
pub fn standing(history: &History, account: AccountId) -> (bool, bool) {
    let (mut is_suspended, mut is_seller_suspended, mut is_cleared) = (false, false, false);
    for recorded in about(history, account) {
        match &recorded.event {
            Event::AccountSuspended(_) => is_suspended = true,
            Event::AccountReinstated(_) => is_suspended = false,
            Event::SellerSuspended(_) => is_seller_suspended = true,
            Event::SellerReinstated(_) => is_seller_suspended = false,
            Event::ClearanceGranted(_) => is_cleared = true,
            Event::ClearanceRevoked(_) => is_cleared = false,
            _ => {}
        }
    }
    (is_suspended || is_seller_suspended, is_cleared)
}

pub fn carts(history: &History) -> BTreeMap<CartId, AccountId> {
    let opened = events(history).filter_map(|recorded| match &recorded.event {
        Event::CartItemAdded(e) => Some((e.cart, e.account)),
        _ => None,
    });
    opened.collect()
}

/// Whom a cart was shared with last, in the order in which it was.
pub fn cart_members(history: &History, cart: CartId) -> Vec<AccountId> {
    let mut members = Vec::new();
    for recorded in about(history, cart) {
        match &recorded.event {
            Event::CartShared(e) => members.push(e.with),
            Event::CartUnshared(e) => members.retain(|member| *member != e.with),
            _ => {}
        }
    }
    members
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
