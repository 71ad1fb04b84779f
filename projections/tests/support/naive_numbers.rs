//! The numbers of analytics, counted from the whole history each time, without any state kept.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::{AccountId, ListingId, OrderId};
use events::ledger::LedgerAccount;
use events::order::Placed;
use events::rejection::OrderState;
use events::{Currency, Event, Recorded, Timestamp};
use projections::analytics::{Activity, Funnel, ListingMoney, ListingSales, Milestone, Sales, SalesMoney};

use super::History;
use super::naive::{self, events, placed};

fn order_of(history: &History, order: OrderId) -> &Placed {
    placed(history).into_iter().map(|(_, placed)| placed).find(|placed| placed.order == order).unwrap()
}

/// Tells whether an event is the first of its type about its order.
fn is_first(history: &History, recorded: &Recorded) -> bool {
    let of_type = |other: &&&Recorded| other.metadata.type_name == recorded.metadata.type_name;
    let about = naive::about(history, recorded.metadata.subject.as_ref().unwrap());
    about.iter().find(of_type).unwrap().position == recorded.position
}

/// Tells whether an event is the first of its order that pays something back.
fn is_first_refund(history: &History, recorded: &Recorded) -> bool {
    let pays_back = |other: &&&Recorded| {
        let refund = matches!(&other.event, Event::EscrowRefunded(_) | Event::EscrowSettled(_));
        let transfers = naive::transfers(&other.event);
        refund && transfers.iter().any(|transfer| matches!(transfer.to, LedgerAccount::Wallet(_)))
    };
    let about = naive::about(history, recorded.metadata.subject.as_ref().unwrap());
    about.iter().find(pays_back).is_some_and(|first| first.position == recorded.position)
}

/// The order that an event is a step of.
fn step_of(event: &Event) -> Option<OrderId> {
    match event {
        Event::OrderShipped(e) => Some(e.order),
        Event::OrderDelivered(e) => Some(e.order),
        Event::OrderCancelled(e) => Some(e.order),
        Event::EscrowReleased(e) => Some(e.order),
        Event::EscrowRefunded(e) => Some(e.order),
        Event::EscrowSettled(e) => Some(e.order),
        _ => None,
    }
}

pub fn sales(history: &History, keep: impl Fn(AccountId, Timestamp) -> bool) -> Sales {
    let mut sales = Sales::default();
    let mut money: BTreeMap<Currency, SalesMoney> = BTreeMap::new();
    for recorded in events(history) {
        let placed = match (&recorded.event, step_of(&recorded.event)) {
            (Event::OrderPlaced(placed), _) => placed,
            (_, Some(order)) => order_of(history, order),
            (_, None) => continue,
        };
        if !keep(placed.seller, recorded.metadata.time) {
            continue;
        }
        let currency = placed.total.currency;
        let none = SalesMoney { currency, gmv: 0, fees: 0, released: 0, refunded: 0, charged_back: 0 };
        match &recorded.event {
            Event::OrderPlaced(_) => {
                sales.orders += 1;
                sales.units += placed.lines.iter().map(|line| u64::from(line.quantity.get())).sum::<u64>();
                money.entry(currency).or_insert(none).gmv += placed.total.minor;
            }
            Event::OrderShipped(_) => sales.shipped += u64::from(is_first(history, recorded)),
            Event::OrderDelivered(_) => sales.delivered += u64::from(is_first(history, recorded)),
            Event::OrderCancelled(cancelled) => {
                sales.cancelled_units += naive::count(&naive::meant(placed, &cancelled.lines));
            }
            Event::EscrowReleased(released) => {
                let sums = money.entry(currency).or_insert(none);
                for transfer in &released.transfers {
                    match transfer.to {
                        LedgerAccount::PlatformFees => sums.fees += transfer.amount.minor,
                        _ => sums.released += transfer.amount.minor,
                    }
                }
            }
            Event::EscrowRefunded(refunded) => {
                sales.refunded += u64::from(is_first_refund(history, recorded));
                money.entry(currency).or_insert(none).refunded += refunded.transfer.unwrap().amount.minor;
            }
            Event::EscrowSettled(settled) => {
                sales.refunded += u64::from(is_first_refund(history, recorded));
                let sums = money.entry(currency).or_insert(none);
                for transfer in &settled.transfers {
                    match transfer.to {
                        LedgerAccount::PlatformFees => sums.fees += transfer.amount.minor,
                        LedgerAccount::Wallet(_) => sums.refunded += transfer.amount.minor,
                        _ => sums.released += transfer.amount.minor,
                    }
                }
            }
            _ => unreachable!("only steps of orders come here"),
        }
        match recorded.event.order_end().map(|end| end.state) {
            Some(OrderState::Cancelled | OrderState::Refunded) => sales.cancelled += 1,
            Some(_) => sales.completed += 1,
            None => {}
        }
    }
    sales.money = money.into_values().collect();
    sales
}

pub fn activity(history: &History, keep: impl Fn(Timestamp) -> bool) -> Activity {
    let count = |is: fn(&Event) -> bool| {
        events(history).filter(|e| keep(e.metadata.time) && is(&e.event)).count() as u64
    };
    Activity {
        sales: sales(history, |_, time| keep(time)),
        carts_opened: count(|event| matches!(event, Event::CartItemAdded(e) if e.version == 1)),
        carts_migrated: count(|event| matches!(event, Event::CartMigrated(_))),
        rejected: count(|event| matches!(event, Event::CommandRejected(_))),
    }
}

/// A line's part of the fee of what was released: what is due up to it, less what is due before it.
fn fee_of_line(released: &naive::Units, at: usize, fee: i64) -> i64 {
    let cost = |lines: usize| released[..lines].iter().map(|(_, _, minor)| minor).sum::<i64>();
    let due = |lines| fee * cost(lines) / cost(released.len());
    due(at + 1) - due(at)
}

pub fn listing(history: &History, id: ListingId, keep: impl Fn(Timestamp) -> bool) -> ListingSales {
    let mut sales = ListingSales::default();
    let mut money: BTreeMap<Currency, ListingMoney> = BTreeMap::new();
    for recorded in events(history).filter(|recorded| keep(recorded.metadata.time)) {
        let placed = match (&recorded.event, step_of(&recorded.event)) {
            (Event::OrderPlaced(placed), _) => placed,
            (_, Some(order)) => order_of(history, order),
            (_, None) => continue,
        };
        let currency = placed.total.currency;
        let none = ListingMoney { currency, gmv: 0, fees: 0, cancelled: 0 };
        let units = match &recorded.event {
            Event::OrderPlaced(_) => naive::meant(placed, &[]),
            Event::OrderCancelled(cancelled) => naive::meant(placed, &cancelled.lines),
            Event::EscrowReleased(released) => naive::shipped_in(history, placed, released.shipment),
            Event::EscrowSettled(settled) => naive::shipped_in(history, placed, settled.shipment),
            _ => continue,
        };
        for (at, (_, count, minor)) in units.iter().enumerate().filter(|(_, (listing, ..))| *listing == id) {
            let sums = money.entry(currency).or_insert(none);
            match &recorded.event {
                Event::OrderPlaced(_) => {
                    sales.orders += 1;
                    sales.units += count;
                    sums.gmv += minor;
                }
                Event::OrderCancelled(_) => {
                    sales.cancelled_units += count;
                    sums.cancelled += minor;
                }
                Event::EscrowReleased(released) => {
                    let fees = released.transfers.iter().filter(|t| t.to == LedgerAccount::PlatformFees);
                    let fee = fees.map(|transfer| transfer.amount.minor).sum();
                    sums.fees += fee_of_line(&units, at, fee);
                }
                Event::EscrowSettled(settled) => {
                    let fees = settled.transfers.iter().filter(|t| t.to == LedgerAccount::PlatformFees);
                    let fee = fees.map(|transfer| transfer.amount.minor).sum();
                    sums.fees += fee_of_line(&units, at, fee);
                }
                _ => {}
            }
        }
    }
    sales.money = money.into_values().collect();
    sales
}

pub fn funnel(history: &History) -> Funnel {
    let all = activity(history, |_| true);
    Funnel {
        carts_opened: all.carts_opened,
        carts_migrated: all.carts_migrated,
        orders_placed: all.sales.orders,
        orders_from_carts: placed(history).iter().filter(|(_, placed)| placed.cart.is_some()).count() as u64,
        shipped: all.sales.shipped,
        delivered: all.sales.delivered,
        completed: all.sales.completed,
        cancelled: all.sales.cancelled,
    }
}

/// How long each order took that reached a milestone.
pub fn took_ms(history: &History, milestone: Milestone) -> Vec<i64> {
    let first = |recorded, order| is_first(history, recorded).then_some((recorded, order));
    let reached = events(history).filter_map(|recorded| match (milestone, &recorded.event) {
        (Milestone::Shipped, Event::OrderShipped(e)) => first(recorded, e.order),
        (Milestone::Delivered, Event::OrderDelivered(e)) => first(recorded, e.order),
        (Milestone::Released, event) => {
            let end = event.order_end().filter(|end| end.state == OrderState::Completed)?;
            Some((recorded, end.order))
        }
        _ => None,
    });
    let since_placed = |(reached, order): (&Recorded, OrderId)| {
        let (at, _) = placed(history).into_iter().find(|(_, placed)| placed.order == order).unwrap();
        reached.metadata.time.ms() - at.metadata.time.ms()
    };
    reached.map(since_placed).collect()
}

/// How many commands were refused for each reason on each day, counted from 1970.
pub fn rejections(history: &History) -> BTreeMap<(i64, String), u64> {
    let mut counts = BTreeMap::new();
    for recorded in events(history) {
        if let Event::CommandRejected(rejected) = &recorded.event {
            let day = recorded.metadata.time.ms().div_euclid(86_400_000);
            let codes: BTreeSet<String> = rejected.reasons.iter().map(events::Rejection::code).collect();
            for code in codes {
                *counts.entry((day, code)).or_default() += 1;
            }
        }
    }
    counts
}
