//! Stock at locations: what arrives, is counted, kept back and moved there, and from where orders are shipped.

use crate::support::*;
use commands::Refusal;
use commands::stock::LOCATIONS_MAX;
use events::ids::OrderId;
use events::listing::StockReceived;
use events::location::{AtLocation, Located, Location};
use events::order::{LineUnits, Reallocated, Reallocation};
use events::stock::AdjustmentReason::{Damaged, Found, Lost, WrittenOff};
use events::stock::{Adjusted, Expected, Incoming, Moved, SafetySet, Stock};
use events::{Event, Rejection};

/// A market whose tea is at three locations: two boxes in Berlin, three in Cologne, one at no named one.
fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 1)
        .given(SELLER, at("berlin", receive(TEA, 2)))
        .given(SELLER, at("cologne", receive(TEA, 3)))
        .given(PROVIDER, fund(BUYER, usd(100_000)));
    world
}

fn stock(world: &World) -> Stock {
    world.market.listings.get(listing(TEA)).expect("tea is listed").stock.clone()
}

fn named(name: &str) -> Option<Location> {
    (!name.is_empty()).then(|| name.parse().expect("a location"))
}

/// On hand and reserved; an empty name is none.
fn there(world: &World, name: &str) -> (u64, u64) {
    let AtLocation { on_hand, reserved, .. } = stock(world).at(named(name).as_ref());
    (on_hand, reserved)
}

/// On hand and reserved in Berlin, in Cologne, and at no named location.
fn all(world: &World) -> [(u64, u64); 3] {
    ["berlin", "cologne", ""].map(|name| there(world, name))
}

fn short_at(name: &str, requested: u64, available: u64) -> Rejection {
    Rejection::InsufficientAtLocation { listing: listing(TEA), location: named(name), requested, available }
}

fn too_many() -> Rejection {
    Rejection::TooManyLocations { listing: listing(TEA), max: LOCATIONS_MAX as u32 }
}

/// Units of tea with what they cost, and where they were reserved.
fn tea(units: u32, locations: &[(&str, u32)]) -> LineUnits {
    let line = line_units(&[(TEA, units, usd(500 * i64::from(units)))]).remove(0);
    LineUnits { locations: located(locations), ..line }
}

/// Places an order of so much tea, and gives it with where its units are reserved.
fn ordered(world: &mut World, units: u32) -> (OrderId, Vec<Located>) {
    let order = world.placed(BUYER, place(&[(TEA, units)], usd(100_000)));
    let mut placed = world.log.iter().rev().flat_map(events::Commit::events).map(|recorded| &recorded.event);
    let found = placed.find_map(|event| match event {
        Event::OrderPlaced(placed) => Some(placed.lines[0].locations.clone()),
        _ => None,
    });
    (order, found.expect("an order was placed"))
}

/// What the last commit says of units of tea, and what stands before it there.
fn last(world: &World) -> (Vec<LineUnits>, Option<Reallocated>) {
    let (mut lines, mut reallocated) = (Vec::new(), None);
    for recorded in world.log.last().expect("something happened").events() {
        match &recorded.event {
            Event::OrderShipped(shipped) => lines.clone_from(&shipped.lines),
            Event::OrderCancelled(cancelled) => lines.clone_from(&cancelled.lines),
            Event::OrderReallocated(event) => reallocated = Some(event.clone()),
            _ => {}
        }
    }
    (lines, reallocated)
}

fn reallocation(units_moved: u32, from: &str, to: &str) -> Reallocation {
    let to = named(to).expect("a name");
    Reallocation { from: named(from), listing: listing(TEA), quantity: units(units_moved), to }
}

// Stock.

#[test]
fn stock_arrives_at_a_location_and_counts_for_the_listing() {
    let mut world = shop();
    let received =
        StockReceived { listing: listing(TEA), location: named("berlin"), on_hand: 10, quantity: units(4) };
    world
        .when(SELLER, at("berlin", receive(TEA, 4)))
        .then_events([received.into()])
        .when_again()
        .then_repeat()
        .when(OTHER_SELLER, at("berlin", receive(TEA, 4)))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }]);
    assert_eq!(all(&world), [(6, 0), (3, 0), (1, 0)]);
    assert_eq!((stock(&world).on_hand, stock(&world).available()), (10, 10));
}

#[test]
fn a_listing_has_stock_at_so_many_locations_and_an_empty_one_makes_room() {
    let mut world = shop();
    for n in 2..LOCATIONS_MAX {
        world.given(SELLER, at(&format!("depot-{n}"), receive(TEA, 1)));
    }
    let due = START.plus_ms(DAY_MS);
    world
        .when(SELLER, at("more", receive(TEA, 1)))
        .then_rejected([too_many()])
        .when(SELLER, at("more", adjust(TEA, 1, Found)))
        .then_rejected([too_many()])
        .when(SELLER, at("more", set_safety(TEA, 1)))
        .then_rejected([too_many()])
        .when(SELLER, at("more", expect(TEA, 1, due)))
        .then_rejected([too_many()])
        .when(SELLER, move_stock(TEA, 2, "", "more"))
        .then_rejected([
            Rejection::InsufficientAtLocation {
                listing: listing(TEA),
                location: None,
                requested: 2,
                available: 1,
            },
            too_many(),
        ])
        .given(SELLER, at("depot-2", adjust(TEA, -1, Lost)))
        .when(SELLER, at("more", receive(TEA, 1)))
        .then_types(["stock.received.v1"]);
}

#[test]
fn an_adjustment_is_of_what_is_there() {
    let mut world = shop();
    let adjusted = |delta, on_hand, damaged, reason| Adjusted {
        damaged,
        delta,
        listing: listing(TEA),
        location: named("berlin"),
        on_hand,
        reason,
    };
    world
        .when(SELLER, at("berlin", adjust(TEA, -3, Lost)))
        .then_rejected([short_at("berlin", 3, 2)])
        .when(SELLER, adjust(TEA, -2, Lost))
        .then_rejected([short_at("", 2, 1)])
        .when(SELLER, at("bonn", adjust(TEA, -1, Lost)))
        .then_rejected([short_at("bonn", 1, 0)])
        .when(SELLER, at("berlin", adjust(TEA, -2, Damaged)))
        .then_events([adjusted(-2, 4, 2, Damaged).into()])
        .when_again()
        .then_repeat()
        .when(SELLER, at("cologne", adjust(TEA, 1, Damaged)))
        .then_rejected([short_at("cologne", 1, 0)])
        .when(SELLER, at("berlin", adjust(TEA, 1, Damaged)))
        .then_events([adjusted(1, 5, 1, Damaged).into()]);
    let berlin = AtLocation { on_hand: 1, damaged: 1, ..AtLocation::default() };
    assert_eq!(stock(&world).at(named("berlin").as_ref()), berlin);
    assert_eq!((stock(&world).on_hand, stock(&world).damaged), (5, 1));
}

#[test]
fn damaged_units_are_written_off_where_they_are_and_what_is_on_hand_stays() {
    let mut world = shop();
    let gone = |delta, damaged| Adjusted {
        damaged,
        delta,
        listing: listing(TEA),
        location: named("cologne"),
        on_hand: 4,
        reason: WrittenOff,
    };
    world
        .given(SELLER, at("cologne", adjust(TEA, -2, Damaged)))
        .when(SELLER, at("cologne", adjust(TEA, -3, WrittenOff)))
        .then_rejected([short_at("cologne", 3, 2)])
        .when(SELLER, adjust(TEA, -1, WrittenOff))
        .then_rejected([short_at("", 1, 0)])
        .when(SELLER, at("cologne", adjust(TEA, 1, WrittenOff)))
        .then_rejected([Rejection::AdjustmentDirection { reason: WrittenOff }])
        .when(SELLER, at("cologne", adjust(TEA, -2, WrittenOff)))
        .then_events([gone(-2, 0).into()])
        .when_again()
        .then_repeat();
    assert_eq!((all(&world), stock(&world).damaged), ([(2, 0), (1, 0), (1, 0)], 0));
}

#[test]
fn each_location_keeps_back_units_of_its_own() {
    let mut world = shop();
    let set = |units| SafetySet { listing: listing(TEA), location: named("berlin"), units };
    world
        .given(SELLER, set_safety(TEA, 1))
        .when(SELLER, at("berlin", set_safety(TEA, 2)))
        .then_events([set(2).into()])
        .when(SELLER, at("berlin", set_safety(TEA, 2)))
        .then_unchanged()
        .when(BUYER, place(&[(TEA, 4)], usd(10_000)))
        .then_rejected([Rejection::InsufficientStock { listing: listing(TEA), requested: 4, available: 3 }]);
    let (_, locations) = ordered(&mut world, 2);
    assert_eq!(locations, located(&[("cologne", 2)]), "what is kept back in Berlin is not promised");
    world.when(SELLER, at("berlin", set_safety(TEA, 0))).then_events([set(0).into()]);
    assert_eq!(stock(&world).safety, 1);
}

#[test]
fn units_are_expected_at_a_location_and_taken_off_by_what_arrives_there() {
    let mut world = shop();
    let day = |n: i64| START.plus_ms(n * DAY_MS);
    let expected = |units| Expected { due: day(2), listing: listing(TEA), location: named("berlin"), units };
    world
        .given(SELLER, expect(TEA, 5, day(2)))
        .when(SELLER, at("berlin", expect(TEA, 3, day(2))))
        .then_events([expected(3).into()])
        .when(SELLER, at("berlin", expect(TEA, 3, day(2))))
        .then_unchanged()
        .given(SELLER, at("berlin", receive(TEA, 2)));
    let left = |location, units| Incoming { due: day(2), location, units };
    assert_eq!(stock(&world).incoming, [left(None, 5), left(named("berlin"), 1)]);
    world.when(SELLER, at("berlin", expect(TEA, 0, day(2)))).then_events([expected(0).into()]);
    assert_eq!(stock(&world).incoming, [left(None, 5)]);
}

#[test]
fn units_move_between_locations_as_far_as_no_order_waits_for_them_there() {
    let mut world = shop();
    let moved =
        |n, from, to| Moved { from: named(from), listing: listing(TEA), quantity: units(n), to: named(to) };
    world
        .when(SELLER, move_stock(TEA, 2, "cologne", "berlin"))
        .then_events([moved(2, "cologne", "berlin").into()])
        .when_again()
        .then_repeat()
        .when(SELLER, move_stock(TEA, 1, "", "berlin"))
        .then_events([moved(1, "", "berlin").into()])
        .when(SELLER, move_stock(TEA, 1, "berlin", ""))
        .then_events([moved(1, "berlin", "").into()]);
    assert_eq!((all(&world), stock(&world).on_hand), ([(4, 0), (1, 0), (1, 0)], 6));
    let (order, _) = ordered(&mut world, 3);
    assert_eq!(all(&world), [(4, 3), (1, 0), (1, 0)]);
    world
        .when(SELLER, move_stock(TEA, 2, "berlin", "cologne"))
        .then_rejected([short_at("berlin", 2, 1)])
        .when(SELLER, move_stock(TEA, 1, "berlin", "berlin"))
        .then_rejected([Rejection::SameLocation { listing: listing(TEA) }])
        .when(SELLER, move_stock(TEA, 1, "", ""))
        .then_rejected([Rejection::SameLocation { listing: listing(TEA) }])
        .when(SELLER, move_stock(TEA, 1, "bonn", "berlin"))
        .then_rejected([short_at("bonn", 1, 0)])
        .when(OTHER_SELLER, move_stock(TEA, 1, "berlin", "bonn"))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(SELLER, move_stock(POT, 1, "berlin", "bonn"))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
        .when(OPERATOR, move_stock(TEA, 1, "berlin", "bonn"))
        .then_refused(Refusal::ScopeDenied {
            rule: "the account has no role that may give this command".into(),
        })
        .given(BUYER, cancel(order))
        .when(SELLER, move_stock(TEA, 4, "berlin", "bonn"))
        .then_types(["stock.moved.v1"]);
    assert_eq!(there(&world, "bonn"), (4, 0));
}

#[test]
fn a_listing_without_named_locations_is_told_of_its_stock_as_ever() {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 3)
        .when(SELLER, move_stock(TEA, 4, "", "berlin"))
        .then_rejected([Rejection::InsufficientStock { listing: listing(TEA), requested: 4, available: 3 }])
        .when(SELLER, adjust(TEA, -4, Lost))
        .then_rejected([Rejection::InsufficientStock { listing: listing(TEA), requested: 4, available: 3 }]);
    assert_eq!(stock(&world), Stock { on_hand: 3, ..Stock::default() });
}

// Orders.

#[test]
fn an_order_is_reserved_at_one_location_if_one_has_it_all_and_else_at_one_after_another() {
    for (asked, locations, then) in [
        (1, &[("berlin", 1)][..], [(2, 1), (3, 0), (1, 0)]),
        (2, &[("berlin", 2)], [(2, 2), (3, 0), (1, 0)]),
        (3, &[("cologne", 3)], [(2, 0), (3, 3), (1, 0)]),
        (4, &[("berlin", 2), ("cologne", 2)], [(2, 2), (3, 2), (1, 0)]),
        (6, &[("berlin", 2), ("cologne", 3)], [(2, 2), (3, 3), (1, 1)]),
    ] {
        let mut world = shop();
        let (order, found) = ordered(&mut world, asked);
        assert_eq!(found, located(locations), "{asked}");
        assert_eq!(all(&world), then, "{asked}");
        let parts = world.market.orders.allocations().of(order);
        let parts: Vec<_> = parts.iter().map(|part| (part.location.as_str(), part.units)).collect();
        assert_eq!(parts, locations);
    }
}

#[test]
fn what_a_buyer_has_set_aside_is_at_no_location_until_he_orders_it() {
    let mut world = shop();
    world
        .given(SELLER, allow_reservations(TEA, 5))
        .given(BUYER, reserve(TEA, 5))
        .when(SELLER, move_stock(TEA, 1, "", "berlin"))
        .then_types(["stock.moved.v1"]);
    assert_eq!(all(&world), [(3, 0), (3, 0), (0, 0)]);
    let (_, locations) = ordered(&mut world, 5);
    assert_eq!(locations, located(&[("berlin", 3), ("cologne", 2)]));
    assert_eq!((all(&world), stock(&world).set_aside), ([(3, 3), (3, 2), (0, 0)], 0));
}

#[test]
fn units_leave_from_where_they_were_reserved() {
    let mut world = shop();
    let (order, _) = ordered(&mut world, 4);
    world.given(SELLER, ship_units(order, &[(TEA, 3)]));
    assert_eq!(last(&world), (vec![tea(3, &[("berlin", 2), ("cologne", 1)])], None), "in the order of names");
    assert_eq!(all(&world), [(0, 0), (2, 1), (1, 0)]);
    world.given(SELLER, ship(order));
    assert_eq!(last(&world), (vec![tea(1, &[("cologne", 1)])], None));
    assert_eq!((all(&world), stock(&world).on_hand), ([(0, 0), (1, 0), (1, 0)], 2));
    assert_eq!(world.market.orders.allocations().of(order), []);
}

#[test]
fn a_location_ships_what_is_reserved_there() {
    let mut world = shop();
    let (order, _) = ordered(&mut world, 4);
    let nothing = |name| Rejection::NothingAtLocation { order, location: named(name).expect("a name") };
    world
        .when(SELLER, at("bonn", ship(order)))
        .then_rejected([nothing("bonn")])
        .when(SELLER, at("cologne", ship(order)))
        .then_types(["order.shipped.v2"])
        .when_again()
        .then_repeat();
    assert_eq!(last(&world), (vec![tea(2, &[("cologne", 2)])], None));
    world
        .when(SELLER, at("cologne", ship(order)))
        .then_rejected([nothing("cologne")])
        .when(SELLER, at("berlin", ship(order)))
        .then_types(["order.shipped.v2"])
        .when(SELLER, at("berlin", ship(order)))
        .then_unchanged();
    assert_eq!(all(&world), [(0, 0), (1, 0), (1, 0)]);
}

#[test]
fn a_seller_ships_from_another_location_what_no_other_order_waits_for() {
    let mut world = shop();
    let (first, _) = ordered(&mut world, 2);
    let (second, _) = ordered(&mut world, 2);
    assert_eq!(all(&world), [(2, 2), (3, 2), (1, 0)]);
    let from_cologne = |order, n| at("cologne", ship_units(order, &[(TEA, n)]));
    world
        .when(SELLER, from_cologne(first, 2))
        .then_rejected([short_at("cologne", 2, 1)])
        .when(SELLER, at("bonn", ship_units(first, &[(TEA, 1)])))
        .then_rejected([short_at("bonn", 1, 0)])
        .when(SELLER, from_cologne(first, 1))
        .then_types(["order.reallocated.v1", "order.shipped.v2"])
        .when_again()
        .then_repeat();
    let reallocated = Reallocated { order: first, units: vec![reallocation(1, "berlin", "cologne")] };
    assert_eq!(last(&world), (vec![tea(1, &[("cologne", 1)])], Some(reallocated)));
    assert_eq!(all(&world), [(2, 1), (2, 2), (1, 0)]);
    world.given(SELLER, ship(second)).given(SELLER, ship(first));
    assert_eq!(all(&world), [(1, 0), (0, 0), (1, 0)]);
}

#[test]
fn what_was_lost_where_it_was_reserved_is_shipped_from_elsewhere() {
    let mut world = shop();
    let (order, _) = ordered(&mut world, 2);
    world
        .given(SELLER, at("berlin", adjust(TEA, -1, Lost)))
        .when(SELLER, ship(order))
        .then_rejected([short_at("berlin", 2, 1)])
        .when(SELLER, at("cologne", ship_units(order, &[(TEA, 2)])))
        .then_types(["order.reallocated.v1", "order.shipped.v2"]);
    let reallocated = Reallocated { order, units: vec![reallocation(2, "berlin", "cologne")] };
    assert_eq!(last(&world), (vec![tea(2, &[("cologne", 2)])], Some(reallocated)));
    assert_eq!(all(&world), [(1, 0), (1, 0), (1, 0)]);
}

#[test]
fn back_ordered_units_are_at_no_location_and_leave_from_wherever_they_arrive() {
    let mut world = shop();
    world.given(SELLER, set_backorder_limit(TEA, 3));
    let (order, locations) = ordered(&mut world, 8);
    assert_eq!(locations, located(&[("berlin", 2), ("cologne", 3)]));
    assert_eq!(all(&world), [(2, 2), (3, 3), (1, 3)]);
    let missing = |available| Rejection::InsufficientStock { listing: listing(TEA), requested: 3, available };
    world
        .when(SELLER, ship(order))
        .then_rejected([missing(1)])
        .given(SELLER, at("berlin", receive(TEA, 1)))
        .when(SELLER, ship(order))
        .then_rejected([missing(2)])
        .given(SELLER, at("bonn", receive(TEA, 4)))
        .when(SELLER, ship(order))
        .then_types(["order.reallocated.v1", "order.shipped.v2"]);
    let reallocated = Reallocated { order, units: vec![reallocation(2, "", "bonn")] };
    let lines = vec![tea(8, &[("berlin", 2), ("bonn", 2), ("cologne", 3)])];
    assert_eq!(last(&world), (lines, Some(reallocated)), "all of it from one, where one has it all");
    assert_eq!((all(&world), there(&world, "bonn")), ([(1, 0), (0, 0), (0, 0)], (2, 0)));
}

#[test]
fn cancelled_units_are_free_where_they_were_and_what_is_left_leaves_from_few_locations() {
    let mut world = shop();
    let (order, _) = ordered(&mut world, 6);
    world.given(BUYER, cancel_units(order, &[(TEA, 2)]));
    assert_eq!(last(&world), (vec![tea(2, &[("cologne", 1)])], None), "first the one at no named location");
    assert_eq!(all(&world), [(2, 2), (3, 2), (1, 0)]);
    world.given(BUYER, cancel_units(order, &[(TEA, 2)]));
    assert_eq!(last(&world), (vec![tea(2, &[("cologne", 2)])], None));
    world.given(BUYER, cancel(order));
    assert_eq!(last(&world), (vec![tea(2, &[("berlin", 2)])], None));
    assert_eq!((all(&world), stock(&world).reserved), ([(2, 0), (3, 0), (1, 0)], 0));
}

#[test]
fn an_order_that_nobody_ships_in_time_is_free_where_it_was() {
    let mut world = shop();
    let (order, _) = ordered(&mut world, 4);
    world
        .given(SELLER, at("berlin", ship(order)))
        .when_deadline()
        .then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    assert_eq!(last(&world).0, [tea(2, &[("cologne", 2)])]);
    assert_eq!(all(&world), [(0, 0), (3, 0), (1, 0)]);
}
