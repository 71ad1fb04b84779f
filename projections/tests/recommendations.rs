//! What is recommended to whom, and why.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::collections::BTreeSet;

use events::ids::{ListingId, OrderGroupId, OrderId};
use events::listing::{Created, Paused, StockReceived};
use events::order::{Authorized, Cancelled, CancelledBy, LineUnits, Paid, PaymentDue, Placed};
use events::{Event, Money};
use projections::recommendation::{Reason, Recommended};
use projections::{Projections, ViewName};
use support::{History, account, follow, listing, order, place, units, usd};
use tempfile::TempDir;
use uuid::Uuid;

const SELLER: u64 = 100;
const OTHER_SELLER: u64 = 101;
const DAY_MS: i64 = 86_400_000;

struct Market {
    history: History,
    views: Projections,
    orders: u64,
    dir: TempDir,
}

impl Market {
    /// Listings 0 to 9 of one seller, 10 to 19 of another; and a year ago, orders of two single ones, so that what comes together is
    /// no chance.
    fn new() -> Market {
        let dir = tempfile::tempdir().unwrap();
        let views = Projections::open(&dir.path().join("views")).unwrap();
        let mut market = Market { history: History::default(), views, orders: 0, dir };
        for n in 0..20 {
            let seller = account(seller_of(n));
            let created = Created::new(listing(n), usd(500), seller, format!("Thing {n}"));
            let (on_hand, quantity) = (1_000, units(1_000));
            let received = StockReceived { listing: listing(n), location: None, on_hand, quantity };
            market.history.commanded(seller, "listing.create", vec![created.into(), received.into()]);
        }
        for n in 0..150 {
            market.buys(1_000 + n, &[9]);
            market.buys(1_000 + n, &[19]);
        }
        market.history.later(365 * DAY_MS);
        market
    }

    fn events(&mut self, buyer: u64, things: &[u64]) -> (OrderId, Vec<Event>) {
        self.orders += 1;
        let id = order(self.orders);
        let once: BTreeSet<u64> = things.iter().copied().collect();
        let lines: Vec<(ListingId, Money, u32)> =
            once.into_iter().map(|n| (listing(n), usd(500), 1)).collect();
        let seller = account(seller_of(things[0]));
        (id, place(id, account(buyer), seller, None, &lines, self.history.now))
    }

    fn buys(&mut self, buyer: u64, things: &[u64]) -> OrderId {
        let (id, events) = self.events(buyer, things);
        self.history.commanded(account(buyer), "order.place", events);
        id
    }

    /// Orders of one purchase, one for each seller, whose payment is waited for.
    fn begins_to_buy(&mut self, buyer: u64, sellers: &[&[u64]]) -> Vec<OrderId> {
        let group = OrderGroupId::from_uuid(Uuid::from_u128(u128::from(self.orders) + 7));
        let mut orders = Vec::new();
        let mut all = Vec::new();
        for things in sellers {
            let (id, mut events) = self.events(buyer, things);
            events.truncate(1);
            let Some(Event::OrderPlaced(placed)) = events.first_mut() else { panic!("it is placed") };
            placed.group = Some(group);
            placed.payment = Some(due(placed, self.history.now.plus_ms(DAY_MS)));
            orders.push(id);
            all.extend(events);
        }
        self.history.commanded(account(buyer), "order.place", all);
        orders
    }

    async fn follows(&self) {
        follow(&self.views, self.history.after(self.views.checkpoint().position)).await;
    }

    fn with(&self, things: &[u64]) -> Vec<Recommended> {
        let listings: Vec<ListingId> = things.iter().copied().map(listing).collect();
        self.views.recommendations().bought_with(&listings, 10).unwrap()
    }

    fn for_buyer(&self, buyer: u64, limit: usize) -> Vec<Recommended> {
        self.views.recommendations().for_you(account(buyer), self.history.now, limit).unwrap()
    }
}

fn seller_of(n: u64) -> u64 {
    if n < 10 { SELLER } else { OTHER_SELLER }
}

fn due(placed: &Placed, expires_at: events::Timestamp) -> PaymentDue {
    let payment = events::ids::PaymentId::from_uuid(Uuid::from_u128(5));
    PaymentDue { amount: placed.total, capture: Default::default(), expires_at, payment }
}

fn paid(order: OrderId, ship_by: events::Timestamp) -> Event {
    Paid { accept_by: None, order, payment: None, ship_by }.into()
}

fn cancelled(order: OrderId, thing: u64) -> Event {
    let line = LineUnits {
        amount: usd(500),
        listing: listing(thing),
        locations: vec![],
        quantity: units(1),
        subsidy: None,
        tax: None,
    };
    let (by, lines) = (CancelledBy::PaymentDeadline, vec![line]);
    Cancelled { by, lines, order, reason: None, shipping: None, uncharged: Some(usd(500)) }.into()
}

fn things(found: &[Recommended]) -> Vec<u64> {
    (0..20).filter(|n| found.iter().any(|one| one.offer.listing.listing == listing(*n))).collect()
}

fn in_order(found: &[Recommended]) -> Vec<u64> {
    let of = |one: &Recommended| (0..20).find(|n| one.offer.listing.listing == listing(*n)).unwrap();
    found.iter().map(of).collect()
}

#[tokio::test]
async fn what_is_bought_together_is_told_with_the_reason() {
    let mut market = Market::new();
    for buyer in 0..5 {
        market.buys(buyer, &[1, 2]);
    }
    for buyer in 0..3 {
        market.buys(buyer, &[1, 3]);
    }
    market.buys(9, &[1, 4]);
    market.follows().await;
    let found = market.with(&[1]);
    assert_eq!(in_order(&found), [2, 3], "what one order holds is told to nobody");
    let reason = |orders| Reason::BoughtWith { listing: listing(1), title: "Thing 1".into(), orders };
    assert_eq!((&found[0].reason, &found[1].reason), (&reason(5), &reason(3)));
    assert_eq!(in_order(&market.with(&[2, 3])), [1]);
    assert_eq!(market.with(&[19]), [], "what nobody bought belongs to nothing");
    assert_eq!(market.with(&[]), []);
    // What can't be bought is not recommended.
    market.history.commanded(account(SELLER), "listing.pause", vec![Paused { listing: listing(2) }.into()]);
    market.follows().await;
    assert_eq!(in_order(&market.with(&[1])), [3]);
}

#[tokio::test]
async fn a_purchase_of_several_sellers_is_one_basket_and_counts_when_it_is_paid() {
    let mut market = Market::new();
    for buyer in 0..4 {
        let orders = market.begins_to_buy(buyer, &[&[1], &[11]]);
        market.follows().await;
        let counted = market.with(&[1]);
        let is_told = counted.iter().any(|one| matches!(one.reason, Reason::BoughtWith { orders: 3, .. }));
        assert_eq!(
            (counted.len(), is_told),
            if buyer < 3 { (0, false) } else { (1, true) },
            "this one is not paid"
        );
        let ship_by = market.history.now.plus_ms(DAY_MS);
        let events = orders.iter().map(|order| paid(*order, ship_by)).collect();
        market.history.commanded(account(buyer), "payment.report", events);
    }
    market.follows().await;
    let found = market.with(&[1]);
    assert_eq!(in_order(&found), [11]);
    assert!(matches!(found[0].reason, Reason::BoughtWith { orders: 4, .. }));
    // What a provider holds counts, too, and once: when it is paid it was counted.
    let orders = market.begins_to_buy(7, &[&[1], &[11]]);
    let (capture_by, ship_by) = (market.history.now.plus_ms(DAY_MS), market.history.now.plus_ms(DAY_MS));
    let payment = events::ids::PaymentId::from_uuid(Uuid::from_u128(5));
    let held = |order: &OrderId| {
        Event::from(Authorized { accept_by: None, capture_by, order: *order, payment, ship_by })
    };
    market.history.commanded(account(7), "payment.report", orders.iter().map(held).collect());
    market.history.commanded(
        account(7),
        "payment.report",
        orders.iter().map(|order| paid(*order, ship_by)).collect(),
    );
    market.follows().await;
    assert!(matches!(market.with(&[1])[0].reason, Reason::BoughtWith { orders: 5, .. }));
}

#[tokio::test]
async fn what_somebody_has_tells_what_he_may_want_and_the_rest_is_ordered_of_late() {
    let mut market = Market::new();
    for buyer in 0..5 {
        market.buys(buyer, &[1, 2]);
    }
    for _ in 0..3 {
        market.buys(1_001, &[15]);
    }
    market.buys(50, &[1]);
    market.follows().await;
    let found = market.for_buyer(50, 3);
    assert_eq!(in_order(&found[..2]), [2, 15], "what he has is not recommended");
    assert!(
        matches!(&found[0].reason, Reason::BoughtWith { listing: one, orders: 5, .. } if *one == listing(1))
    );
    assert_eq!(found[1].reason, Reason::Popular { orders: 3 });
    let stranger = market.for_buyer(51, 2);
    assert_eq!(in_order(&stranger), [1, 2], "of whom nothing is known");
    assert_eq!(stranger[0].reason, Reason::Popular { orders: 6 });
}

#[tokio::test]
async fn one_seller_does_not_fill_the_page_while_there_are_others() {
    let mut market = Market::new();
    for n in 1..8 {
        for buyer in 0..9 {
            market.buys(buyer, &[0, n]);
        }
    }
    for buyer in 0..4 {
        market.buys(buyer, &[0, 12]);
    }
    market.follows().await;
    let found = in_order(&market.views.recommendations().bought_with(&[listing(0)], 6).unwrap());
    assert_eq!(found.len(), 6);
    assert_eq!(found[4], 12, "behind four of the first: {found:?}");
}

#[tokio::test]
async fn the_view_is_the_same_when_it_is_built_again() {
    let mut market = Market::new();
    for n in 0..60 {
        market.buys(n % 7, &[n % 10, (n * 7 + 1) % 10, (n * n) % 10]);
        market.history.later(DAY_MS / 3);
        if n % 20 == 0 {
            market.follows().await;
        }
    }
    market.begins_to_buy(3, &[&[1], &[11]]);
    market.follows().await;
    let live = market.views.content_hash(ViewName::Recommendations).unwrap();
    let again = Projections::open(&market.dir.path().join("again")).unwrap();
    follow(&again, market.history.all()).await;
    assert_eq!(again.content_hash(ViewName::Recommendations).unwrap(), live);
    assert!(!things(&market.with(&[1])).is_empty());
}

#[tokio::test]
async fn what_is_cancelled_before_it_is_paid_never_counts() {
    let mut market = Market::new();
    for buyer in 0..4 {
        let orders = market.begins_to_buy(buyer, &[&[1], &[11]]);
        for (order, thing) in orders.into_iter().zip([1, 11]) {
            market.history.commanded(account(buyer), "order.cancel", vec![cancelled(order, thing)]);
        }
    }
    market.follows().await;
    assert_eq!(market.with(&[1]), []);
}
