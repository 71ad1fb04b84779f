//! What the views of listings and orders show of stock at named locations.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::account::Role;
use events::listing::{Created, StockReceived};
use events::location::{AtLocation, Located, Location};
use events::order::{
    Cancelled, CancelledBy, LineUnits, Placed, Reallocated, Reallocation, ShipmentNumber, Shipped,
};
use events::stock::{Adjusted, AdjustmentReason, Expected, Incoming, Moved, SafetySet, Stock};
use events::{Event, Timestamp};
use projections::order::{Order, Step};
use projections::{Projections, ViewName};
use support::{History, START, account, follow, listing, order, place, units, usd};

const SELLER: u64 = 100;

fn at(name: &str) -> Location {
    name.parse().unwrap()
}

fn located(named: &[(&str, u32)]) -> Vec<Located> {
    named.iter().map(|(name, n)| Located { location: at(name), quantity: units(*n) }).collect()
}

fn received(location: Option<Location>, on_hand: u64, n: u32) -> Event {
    StockReceived { listing: listing(0), location, on_hand, quantity: units(n) }.into()
}

/// Five things in Berlin, four in Cologne, one at no named location.
fn shop() -> History {
    let mut history = History::default();
    let created = Created::new(listing(0), usd(500), account(SELLER), "thing".into());
    history
        .commanded(account(SELLER), "listing.create", vec![created.into()])
        .commanded(account(SELLER), "stock.receive", vec![received(Some(at("berlin")), 5, 5)])
        .commanded(account(SELLER), "stock.receive", vec![received(None, 10, 5)])
        .commanded(account(SELLER), "stock.move", vec![moved(None, Some("cologne"), 4)]);
    history
}

fn moved(from: Option<&str>, to: Option<&str>, n: u32) -> Event {
    Moved { from: from.map(at), listing: listing(0), quantity: units(n), to: to.map(at) }.into()
}

/// An order of eight: five of Berlin, two of Cologne, one of no named location.
fn bought(now: Timestamp) -> Vec<Event> {
    let line = (listing(0), usd(500), 8);
    let mut events = place(order(1), account(1), account(SELLER), None, &[line], now);
    let Event::OrderPlaced(placed) = events.remove(0) else { panic!("an order begins with its placement") };
    let mut lines = placed.lines;
    lines[0].locations = located(&[("berlin", 5), ("cologne", 2)]);
    events.insert(0, Placed { lines, ..placed }.into());
    events
}

fn taken(n: u32, named: &[(&str, u32)]) -> Vec<LineUnits> {
    let amount = usd(500 * i64::from(n));
    vec![LineUnits {
        amount,
        listing: listing(0),
        locations: located(named),
        quantity: units(n),
        subsidy: None,
        tax: None,
    }]
}

async fn shown(history: &History) -> (Stock, Option<Order>) {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    follow(&views, history.all()).await;
    let stock = views.listings().listing(listing(0)).unwrap().unwrap().listing.stock;
    (stock, views.orders().order(order(1)).unwrap())
}

/// On hand and reserved in Berlin, in Cologne, and at no named location.
fn all(stock: &Stock) -> [(u64, u64); 3] {
    [Some(at("berlin")), Some(at("cologne")), None].map(|location| {
        let AtLocation { on_hand, reserved, .. } = stock.at(location.as_ref());
        (on_hand, reserved)
    })
}

#[tokio::test]
async fn stock_is_shown_at_each_location_and_as_a_whole() {
    let mut history = shop();
    let (location, listing) = (Some(at("berlin")), listing(0));
    let (due, reason) = (START.plus_ms(9), AdjustmentReason::Damaged);
    let adjusted =
        Adjusted { damaged: 2, delta: -2, listing, location: location.clone(), on_hand: 8, reason };
    history
        .commanded(account(SELLER), "stock.adjust", vec![adjusted.into()])
        .commanded(
            account(SELLER),
            "stock.set_safety",
            vec![
                SafetySet { listing, location: location.clone(), units: 1 }.into(),
                SafetySet { listing, location: None, units: 2 }.into(),
            ],
        )
        .commanded(
            account(SELLER),
            "stock.expect",
            vec![Expected { due, listing, location: location.clone(), units: 7 }.into()],
        );
    let (stock, _) = shown(&history).await;
    assert_eq!(all(&stock), [(3, 0), (4, 0), (1, 0)]);
    assert_eq!((stock.on_hand, stock.damaged, stock.safety, stock.available()), (8, 2, 3, 5));
    let berlin = AtLocation { on_hand: 3, reserved: 0, safety: 1, damaged: 2 };
    assert_eq!(stock.at(location.as_ref()), berlin);
    assert_eq!(stock.incoming, [Incoming { due, location, units: 7 }]);
}

#[tokio::test]
async fn an_order_shows_from_where_its_units_are_to_leave_and_from_where_they_left() {
    let mut history = shop();
    history.commanded(account(1), "order.place", bought(START));
    let (stock, order_shown) = shown(&history).await;
    assert_eq!(all(&stock), [(5, 5), (4, 2), (1, 1)]);
    let lines = |order: &Order| order.lines[0].locations.clone();
    assert_eq!(lines(&order_shown.unwrap()), located(&[("berlin", 5), ("cologne", 2)]));

    let reallocation = |from: Option<&str>, n| Reallocation {
        from: from.map(at),
        listing: listing(0),
        quantity: units(n),
        to: at("cologne"),
    };
    let units = vec![reallocation(None, 1), reallocation(Some("berlin"), 1)];
    let shipped = Shipped {
        carrier: None,
        delivery_due: START.plus_ms(9),
        lines: taken(4, &[("cologne", 4)]),
        order: order(1),
        shipment: ShipmentNumber::FIRST,
        shipping: None,
        tracking: None,
    };
    let both = vec![Reallocated { order: order(1), units }.into(), shipped.into()];
    history.commanded(account(SELLER), "order.ship", both);
    let (stock, order_shown) = shown(&history).await;
    assert_eq!((all(&stock), stock.on_hand), ([(5, 4), (0, 0), (1, 0)], 6));
    let order_shown = order_shown.unwrap();
    assert_eq!(lines(&order_shown), located(&[("berlin", 4)]));
    assert_eq!(order_shown.shipments[0].lines[0].locations, located(&[("cologne", 4)]));
    let steps: Vec<Step> = order_shown.timeline.iter().map(|entry| entry.step).collect();
    assert_eq!(steps, [Step::Placed, Step::EscrowHeld, Step::Reallocated, Step::Shipped]);

    let cancelled = Cancelled {
        by: CancelledBy::Account(Role::Buyer),
        lines: taken(3, &[("berlin", 3)]),
        order: order(1),
        reason: None,
        shipping: None,
        uncharged: None,
    };
    history.commanded(account(1), "order.cancel", vec![cancelled.into()]);
    let (stock, order_shown) = shown(&history).await;
    assert_eq!(all(&stock), [(5, 1), (0, 0), (1, 0)]);
    assert_eq!(lines(&order_shown.unwrap()), located(&[("berlin", 1)]));
}

#[tokio::test]
async fn a_log_that_takes_more_from_a_location_than_is_there_is_told() {
    let mut history = shop();
    history.commanded(account(SELLER), "stock.move", vec![moved(Some("berlin"), None, 6)]);
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    follow(&views, history.all()).await;
    let why = views.stopped(ViewName::Listings).unwrap();
    assert!(why.contains("overflows at position 5"), "{why}");
}
