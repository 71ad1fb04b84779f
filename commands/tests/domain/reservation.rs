//! Reservations: units that a buyer sets aside before he orders them, and what becomes of them.

use crate::support::*;
use commands::Refusal;
use commands::command::{RESERVATION_MS, RESERVATION_MS_MAX, RESERVATION_MS_MIN, ReservationTime};
use commands::preview::{Asked, preview};
use commands::reservation::OPEN_RESERVATIONS_MAX;
use events::account::Role;
use events::ids::ReservationId;
use events::listing::ListingStatus;
use events::metadata::Waiting;
use events::reservation::{Allowed, Expired, Extended, Released, Reserved, TakenUp};
use events::stock::{AdjustmentReason, ShortfallDetected, Stock};
use events::{Event, Rejection, Timestamp};

/// A market with ten units of tea, of which each buyer may reserve four for a quarter of an hour, and two buyers with money.
fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given(PROVIDER, fund(BUYER, usd(100_000)))
        .given(PROVIDER, fund_as("other", OTHER_BUYER, usd(100_000)))
        .given(SELLER, allow_reservations(TEA, 4));
    world
}

/// Such a market in which the buyer has reserved some units.
fn reserved(quantity: u32) -> (World, ReservationId) {
    let mut world = shop();
    let reservation = world.given(BUYER, reserve(TEA, quantity)).reservation();
    (world, reservation)
}

fn stock(world: &World) -> Stock {
    world.market.listings.get(listing(TEA)).expect("tea is listed").stock.clone()
}

/// Gives how many units are reserved, and how many of them are set aside.
fn kept(world: &World) -> (u64, u64) {
    (stock(world).reserved, stock(world).set_aside)
}

fn short(requested: u64, available: u64) -> Rejection {
    Rejection::InsufficientStock { listing: listing(TEA), requested, available }
}

fn taken_up(world: &World, reservation: ReservationId, quantity: u32, left: u32) -> Event {
    let (account, seller) = (BUYER.account(), SELLER.account());
    let (listing, order) = (listing(TEA), world.order(0));
    TakenUp { account, left, listing, order, quantity: units(quantity), reservation, seller }.into()
}

fn expired(reservation: ReservationId, quantity: u32) -> Event {
    let (account, seller) = (BUYER.account(), SELLER.account());
    Expired { account, listing: listing(TEA), quantity: units(quantity), reservation, seller }.into()
}

fn extended(reservation: ReservationId, expires_at: Timestamp) -> Event {
    let (account, seller) = (BUYER.account(), SELLER.account());
    Extended { account, expires_at, listing: listing(TEA), reservation, seller }.into()
}

#[test]
fn a_seller_says_whether_how_many_and_for_how_long_units_can_be_reserved() {
    let mut world = World::new();
    let allowed = |units, for_ms| -> Event { Allowed { for_ms, listing: listing(TEA), units }.into() };
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .when(BUYER, reserve(TEA, 1))
        .then_rejected([Rejection::ReservationsOff { listing: listing(TEA) }])
        .when(SELLER, allow_reservations(TEA, 0))
        .then_unchanged()
        .when(SELLER, allow_reservations(TEA, 4))
        .then_events([allowed(4, RESERVATION_MS)])
        .when_again()
        .then_repeat()
        .when(SELLER, allow_reservations_for(TEA, 4, RESERVATION_MS))
        .then_unchanged()
        .when(SELLER, allow_reservations_for(TEA, 4, RESERVATION_MS_MIN))
        .then_events([allowed(4, RESERVATION_MS_MIN)])
        .when(SELLER, allow_reservations(TEA, 0))
        .then_events([allowed(0, RESERVATION_MS)])
        .when(BUYER, reserve(TEA, 1))
        .then_rejected([Rejection::ReservationsOff { listing: listing(TEA) }])
        .when(OTHER_SELLER, allow_reservations(TEA, 4))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(SELLER, allow_reservations(POT, 4))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
        .when(OPERATOR, allow_reservations(TEA, 4))
        .then_refused(Refusal::ScopeDenied {
            rule: "the account has no role that may give this command".into(),
        });
    for ms in [RESERVATION_MS_MIN - 1, RESERVATION_MS_MAX + 1, -1, i64::MAX] {
        assert!(ReservationTime::try_from(ms).is_err(), "{ms}");
    }
    assert_eq!(
        ReservationTime::try_from(RESERVATION_MS_MAX).map(ReservationTime::ms),
        Ok(RESERVATION_MS_MAX)
    );
}

#[test]
fn reserved_units_are_nobody_elses_until_their_time_is_over() {
    let mut world = shop();
    let expires_at = world.now.plus_ms(RESERVATION_MS);
    world.when(BUYER, reserve(TEA, 4));
    let reservation = world.reservation();
    let (account, seller) = (BUYER.account(), SELLER.account());
    let made =
        Reserved { account, expires_at, listing: listing(TEA), quantity: units(4), reservation, seller };
    world
        .then_events([made.into()])
        .when_again()
        .then_repeat()
        .when(OTHER_BUYER, place(&[(TEA, 7)], usd(10_000)))
        .then_rejected([short(7, 6)])
        .when(OTHER_BUYER, reserve(TEA, 4))
        .then_types(["stock.reserved.v1"])
        .when(OTHER_BUYER, place(&[(TEA, 6)], usd(10_000)))
        .then_types(["order.placed.v1", "escrow.held.v1", "stock.reservation_taken_up.v1"]);
    assert_eq!(kept(&world), (10, 4));
    let next = world.market.next_deadline().expect("the reservation expires");
    assert_eq!((next.due, next.waiting), (expires_at, Waiting::ReservationExpires { reservation }));
    world.when_deadline().then_events([expired(reservation, 4)]);
    assert_eq!((kept(&world), world.now), ((6, 0), expires_at));
    world
        .when(OTHER_BUYER, place(&[(TEA, 4)], usd(10_000)))
        .then_types(["order.placed.v1", "escrow.held.v1"])
        .when(BUYER, place(&[(TEA, 1)], usd(10_000)))
        .then_rejected([short(1, 0)]);
}

#[test]
fn an_order_takes_what_its_buyer_has_reserved_first_and_leaves_the_rest() {
    let (mut world, reservation) = reserved(4);
    world.given(OTHER_BUYER, place(&[(TEA, 6)], usd(10_000)));
    world.when(BUYER, place(&[(TEA, 5)], usd(10_000))).then_rejected([short(5, 4)]);
    world.when(BUYER, place(&[(TEA, 3)], usd(10_000)));
    let last = taken_up(&world, reservation, 3, 1);
    assert_eq!(world.events().last(), Some(&last));
    assert_eq!(
        (kept(&world), world.market.reservations.units_of(BUYER.account(), listing(TEA))),
        ((10, 1), 1)
    );
    world.when_again().then_repeat().when_deadline().then_events([expired(reservation, 1)]);
    assert_eq!(kept(&world), (9, 0));
}

#[test]
fn an_order_of_more_than_is_reserved_takes_the_rest_of_what_is_free() {
    let (mut world, reservation) = reserved(4);
    world.when(BUYER, place(&[(TEA, 11)], usd(10_000))).then_rejected([short(11, 10)]);
    let order = world.placed(BUYER, place(&[(TEA, 10)], usd(10_000)));
    assert_eq!(world.events().last(), Some(&taken_up(&world, reservation, 4, 0)));
    assert_eq!((kept(&world), stock(&world).available()), ((10, 0), 0));
    world.then(|market| assert!(market.reservations.get(reservation).is_none()));
    // Cancelled, it is free for everybody: the reservation does not come back.
    world.given(BUYER, cancel(order));
    assert_eq!((kept(&world), stock(&world).available()), ((0, 0), 10));
}

#[test]
fn a_cart_becomes_an_order_with_what_is_reserved_and_its_preview_knows() {
    let (mut world, reservation) = reserved(4);
    world.given(OTHER_BUYER, place(&[(TEA, 6)], usd(10_000))).given(BUYER, add(TEA, 4));
    let shown =
        preview(&world.market, BUYER.account(), &Asked::default(), world.now).expect("there is a cart");
    assert_eq!(shown.problems, []);
    let cart = world.cart(BUYER);
    world.when(BUYER, migrate(cart, usd(10_000)));
    let taken = taken_up(&world, reservation, 4, 0);
    world
        .then_types([
            "order.placed.v1",
            "escrow.held.v1",
            "stock.reservation_taken_up.v1",
            "cart.migrated.v1",
        ])
        .when_again()
        .then_repeat();
    assert!(world.log.iter().flat_map(|commit| commit.events()).any(|recorded| recorded.event == taken));
}

#[test]
fn an_order_by_card_takes_it_when_it_is_placed_and_frees_it_when_it_is_not_paid() {
    let (mut world, reservation) = reserved(4);
    world.given(BUYER, place_with(by_provider(PROVIDER, None), &[(TEA, 4)], usd(10_000)));
    assert_eq!((kept(&world), world.market.reservations.get(reservation)), ((4, 0), None));
    while world.market.next_deadline().is_some() {
        world.when_deadline();
    }
    assert_eq!(kept(&world), (0, 0));
}

#[test]
fn everything_that_is_wrong_with_a_reservation_is_said_at_once() {
    let mut world = shop();
    world
        .when(BUYER, reserve(TEA, 5))
        .then_rejected([Rejection::ReservationLimit { listing: listing(TEA), max: 4 }])
        .when(BUYER, reserve(POT, 1))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
        .when(GUEST, reserve(TEA, 1))
        .then_refused(Refusal::KidUnknown)
        .given(
            SELLER,
            commands::command::UpdateListing {
                limits: Some(limits(Some(2), Some(3))),
                restricted: Some(true),
                ..update(TEA)
            }
            .into(),
        )
        .given(OPERATOR, block(TEA))
        .given(OPERATOR, suspend(SELLER))
        .when(BUYER, reserve(TEA, 11))
        .then_rejected([
            Rejection::ListingUnavailable { listing: listing(TEA), status: ListingStatus::Blocked },
            Rejection::SellerSuspended { listing: listing(TEA), seller: SELLER.account() },
            Rejection::ClearanceMissing { listing: listing(TEA) },
            Rejection::QuantityLimit { listing: listing(TEA), max: 3, min: Some(2) },
            Rejection::ReservationLimit { listing: listing(TEA), max: 4 },
            short(11, 10),
        ]);
}

#[test]
fn a_buyer_has_one_reservation_of_a_listing_and_few_altogether() {
    let (mut world, reservation) = reserved(1);
    world
        .when(BUYER, reserve(TEA, 1))
        .then_rejected([Rejection::ReservationExists { listing: listing(TEA), reservation }]);
    for n in 0..OPEN_RESERVATIONS_MAX as u64 {
        let thing = 100 + n;
        world.given_listing(SELLER, thing, usd(1), 1).given(SELLER, allow_reservations(thing, 1));
        world.when(BUYER, reserve(thing, 1));
        if n + 1 < OPEN_RESERVATIONS_MAX as u64 {
            world.then_types(["stock.reserved.v1"]);
        }
    }
    let many = Rejection::TooManyReservations { max: OPEN_RESERVATIONS_MAX as u32 };
    world.then_rejected([many]);
    // One purchase may take them all.
    let lines: Vec<_> =
        (0..OPEN_RESERVATIONS_MAX as u64 - 1).map(|n| (100 + n, 1)).chain([(TEA, 1)]).collect();
    world.given(BUYER, place(&lines, usd(100_000)));
    world.then(|market| assert_eq!(market.reservations.count_of(BUYER.account()), 0));
}

#[test]
fn nobody_reserves_what_he_sells() {
    let mut world = World::new();
    let both = Actor(30);
    let roles = [Role::Buyer, Role::Seller].into();
    let register = commands::command::RegisterAccount { account: both.account(), roles };
    world
        .given(REGISTRAR, register.into())
        .given(REGISTRAR, register_device(both))
        .given_listing(both, TEA, usd(500), 10)
        .given(both, allow_reservations(TEA, 4))
        .when(both, reserve(TEA, 1))
        .then_rejected([Rejection::SelfPurchase { listing: listing(TEA) }]);
}

#[test]
fn a_reservation_is_extended_from_now_on_and_never_beyond_its_longest() {
    let (mut world, reservation) = reserved(2);
    let made_at = world.now;
    world.when(BUYER, extend(reservation)).then_unchanged();
    world.after(RESERVATION_MS - 1).when(BUYER, extend(reservation));
    let until = world.now.plus_ms(RESERVATION_MS);
    world.then_events([extended(reservation, until)]).when_again().then_repeat();
    assert_eq!(world.market.next_deadline().map(|next| next.due), Some(until));
    // The seller gives more time: with each extension, and four hours in all.
    let latest = made_at.plus_ms(RESERVATION_MS_MAX);
    world
        .given(SELLER, allow_reservations_for(TEA, 4, RESERVATION_MS_MAX))
        .when(BUYER, extend(reservation))
        .then_events([extended(reservation, latest)])
        .after(1)
        .when(BUYER, extend(reservation))
        .then_rejected([Rejection::ReservationLongest { latest, reservation }])
        .when(OTHER_BUYER, extend(reservation))
        .then_rejected([Rejection::NotYourReservation { reservation }])
        .when_deadline()
        .then_events([expired(reservation, 2)])
        .when(BUYER, extend(reservation))
        .then_rejected([Rejection::ReservationUnknown { reservation }]);
    assert_eq!(world.now, latest);
}

#[test]
fn its_buyer_or_an_operator_gives_a_reservation_up() {
    let (mut world, reservation) = reserved(2);
    let (account, seller) = (BUYER.account(), SELLER.account());
    let released = |reservation, by| -> Event {
        Released { account, by, listing: listing(TEA), quantity: units(2), reservation, seller }.into()
    };
    world
        .when(OTHER_BUYER, release_reservation(reservation))
        .then_rejected([Rejection::NotYourReservation { reservation }])
        .when(SELLER, release_reservation(reservation))
        .then_refused(Refusal::ScopeDenied {
            rule: "the account has no role that may give this command".into(),
        })
        .when(BUYER, release_reservation(reservation))
        .then_events([released(reservation, Role::Buyer)])
        .when_again()
        .then_repeat()
        .when(BUYER, release_reservation(reservation))
        .then_rejected([Rejection::ReservationUnknown { reservation }]);
    assert_eq!((kept(&world), world.market.next_deadline()), ((0, 0), None));
    let reservation = world.given(BUYER, reserve(TEA, 2)).reservation();
    world
        .when(OPERATOR, release_reservation(reservation))
        .then_events([released(reservation, Role::Operator)]);
}

#[test]
fn a_listing_that_is_stopped_keeps_what_is_reserved_until_it_expires() {
    let off = [allow_reservations(TEA, 0)].map(|command| (SELLER, command, None));
    let unavailable = |status| Some(Rejection::ListingUnavailable { listing: listing(TEA), status });
    let suspended = Rejection::SellerSuspended { listing: listing(TEA), seller: SELLER.account() };
    let stops = [
        (SELLER, pause(TEA), unavailable(ListingStatus::Paused)),
        (OPERATOR, block(TEA), unavailable(ListingStatus::Blocked)),
        (SELLER, withdraw(TEA), unavailable(ListingStatus::Withdrawn)),
        (OPERATOR, suspend(SELLER), Some(suspended)),
    ];
    for (actor, stop, reason) in off.into_iter().chain(stops) {
        let (mut world, reservation) = reserved(4);
        world.given(actor, stop).after(1);
        assert_eq!(kept(&world), (4, 4));
        let kept_from_longer = reason.clone().unwrap_or(Rejection::ReservationsOff { listing: listing(TEA) });
        world.when(BUYER, extend(reservation)).then_rejected([kept_from_longer]);
        world.when(BUYER, place(&[(TEA, 4)], usd(10_000)));
        match reason {
            Some(reason) => {
                world.then_rejected([reason]).when_deadline().then_events([expired(reservation, 4)]);
            }
            // What is reserved is good for an order, though no more can be.
            None => {
                world.then_types(["order.placed.v1", "escrow.held.v1", "stock.reservation_taken_up.v1"]);
            }
        }
    }
}

#[test]
fn safety_stock_covers_what_is_reserved_and_lost_units_are_told_as_missing() {
    let (mut world, reservation) = reserved(4);
    world.given(SELLER, set_safety(TEA, 10));
    assert_eq!(stock(&world).available(), 0);
    world.when(BUYER, place(&[(TEA, 1)], usd(10_000)));
    assert_eq!(world.events().last(), Some(&taken_up(&world, reservation, 1, 3)));
    let short_of = |missing, on_hand, reserved| -> Event {
        ShortfallDetected { listing: listing(TEA), missing, on_hand, reserved }.into()
    };
    world.when(SELLER, adjust(TEA, -8, AdjustmentReason::Lost));
    assert_eq!(world.events().last(), Some(&short_of(2, 2, 4)));
    // One unit is left beside what the open order waits for.
    world
        .when(BUYER, place(&[(TEA, 2)], usd(10_000)))
        .then_rejected([short(2, 1)])
        .when(BUYER, place(&[(TEA, 1)], usd(10_000)))
        .then_types(["order.placed.v1", "escrow.held.v1", "stock.reservation_taken_up.v1"])
        .when(BUYER, place(&[(TEA, 1)], usd(10_000)))
        .then_rejected([short(1, 0)]);
}
