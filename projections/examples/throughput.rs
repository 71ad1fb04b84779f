//! Measures how many events per second the views follow: orders of many buyers over a thousand listings, each
//! `order.placed` with its `escrow.held`. Run it with `cargo run --release -p projections --example throughput`;
//! the first argument is the number of orders.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use events::listing::{Created, StockReceived};
use projections::{Projections, ViewName};
use support::{History, account, listing, place, units, usd};

const LISTINGS: u64 = 1000;
const SELLERS: u64 = 100;
const BUYERS: u64 = 20_000;

fn history(orders: u64) -> History {
    let mut history = History::default();
    for n in 0..LISTINGS {
        let seller = account(n % SELLERS);
        let created = Created::new(listing(n), usd(1250), seller, format!("listing {n}"));
        let stock = StockReceived {
            listing: listing(n),
            location: None,
            on_hand: 1_000_000,
            quantity: units(1_000_000),
        };
        history.commanded(seller, "listing.create", vec![created.into()]);
        history.commanded(seller, "stock.receive", vec![stock.into()]);
    }
    for n in 0..orders {
        // Steps that share no factor with the counts visit listings and buyers in a scattered order.
        let (item, buyer) = (n * 7919 % LISTINGS, account(1_000_000 + n * 104_729 % BUYERS));
        let lines = [(listing(item), usd(1250), 1 + (n % 3) as u32)];
        let id = events::ids::OrderId::derive(buyer, support::command(n), 0);
        let events = place(id, buyer, account(item % SELLERS), None, &lines, history.now);
        history.later(3).commanded(buyer, "order.place", events);
    }
    history
}

/// Gives the processor time of this process, where /proc says it: on a busy machine a fairer measure than the clock.
fn cpu_ms() -> Option<u64> {
    /// Linux counts in ticks of a hundredth of a second.
    const MS_PER_TICK: u64 = 10;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name, ends with the last parenthesis; utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some((ticks(14)? + ticks(15)?) * MS_PER_TICK)
}

fn main() {
    let orders = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let history = history(orders);
    let events = history.head().position;
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (started, cpu_before_ms) = (Instant::now(), cpu_ms());
    runtime.block_on(support::follow(&views, history.all()));
    let took_ms = started.elapsed().as_millis().max(1);
    println!("{events} events in {took_ms} ms: {} events/s", u128::from(events) * 1000 / took_ms);
    if let (Some(before), Some(after)) = (cpu_before_ms, cpu_ms()) {
        println!("{} ms of processor time in all threads", after - before);
    }
    for view in ViewName::ALL {
        let started = Instant::now();
        let (head, hash) = views.content_hash(view).unwrap();
        println!("{view}: position {}, {hash}, hashed in {:?}", head.position, started.elapsed());
    }
}
