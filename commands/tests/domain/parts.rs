//! Parts of orders: units that are shipped, delivered, cancelled, paid and paid back on their own.

use crate::support::*;
use commands::order::SHIPMENTS_MAX;
use commands::{Decision, Market};
use events::account::Role;
use events::ledger::{LedgerAccount, Transfer};
use events::market::FeePolicy;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{
    Cancelled, CancelledBy, Delivered, DeliveryProof, EscrowRefunded, EscrowReleased, ReleaseCondition,
    ShipmentNumber, Shipped,
};
use events::rejection::OrderState;
use events::{Event, Money, Rejection, Timestamp};

/// Two things of one seller, and a buyer with 100 dollars.
fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(SELLER, POT, usd(2500), 2)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

fn transfer(amount: Money, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount, from, to }
}

/// On hand and reserved.
fn stock(market: &Market, n: u64) -> (u64, u64) {
    let listing = market.listings.get(listing(n)).unwrap();
    (listing.stock.on_hand, listing.stock.reserved)
}

#[track_caller]
fn then_balances<const N: usize>(world: &World, balances: [(LedgerAccount, i64); N]) {
    for (account, minor) in balances {
        assert_eq!(world.market.ledger.balance(account, usd(0).currency), usd(minor), "{account}");
    }
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

fn earned() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

fn waits(world: &World) -> Option<(Timestamp, Waiting)> {
    world.market.next_deadline().map(|DeadlineStamp { due, waiting }| (due, waiting))
}

// Shipping.

#[test]
fn units_are_shipped_in_parts_and_the_last_command_takes_what_is_left() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
    let delivery_due = world.now.plus_ms(14 * DAY_MS);
    let shipped = |lines, n, carrier: Option<&str>| -> Event {
        let carrier = carrier.map(str::to_owned);
        Shipped { carrier, delivery_due, lines, order, shipment: shipment(n), shipping: None, tracking: None }
            .into()
    };
    world
        .when(SELLER, ship_units(order, &[(POT, 1), (TEA, 1)]))
        .then_events([shipped(line_units(&[(POT, 1, usd(2500)), (TEA, 1, usd(500))]), 1, None)])
        .when_again()
        .then_repeat()
        .then(|market| {
            assert_eq!((stock(market, TEA), stock(market, POT)), ((9, 2), (1, 0)));
            let open = market.orders.get(order).unwrap();
            assert_eq!((open.units_left(), open.state()), (2, OrderState::Shipped));
        })
        .when(SELLER, ship(order))
        .then_events([shipped(line_units(&[(TEA, 2, usd(1000))]), 2, Some("Pigeon"))])
        .when(SELLER, ship(order))
        .then_unchanged();
    assert_eq!(stock(&world.market, TEA), (7, 0));
}

#[test]
fn only_units_that_are_left_can_be_shipped_or_cancelled() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, cancel_units(order, &[(TEA, 1)]));
    let (tea, pot) = (listing(TEA), listing(POT));
    for (actor, command) in [(SELLER, ship_units as fn(_, &[_]) -> _), (BUYER, cancel_units)] {
        world
            .when(actor, command(order, &[]))
            .then_rejected([Rejection::LinesEmpty])
            .when(actor, command(order, &[(TEA, 2)]))
            .then_rejected([Rejection::TooManyUnits { order, listing: tea, requested: 2, left: 1 }])
            .when(actor, command(order, &[(TEA, 1), (POT, 1), (TEA, 1)]))
            .then_rejected([
                Rejection::NotInOrder { order, listing: pot },
                Rejection::DuplicateLine { listing: tea },
            ]);
    }
    world.given(SELLER, ship(order));
    for (actor, command) in [(SELLER, ship_units as fn(_, &[_]) -> _), (BUYER, cancel_units)] {
        world.when(actor, command(order, &[(TEA, 1)])).then_rejected([Rejection::TooManyUnits {
            order,
            listing: tea,
            requested: 1,
            left: 0,
        }]);
    }
    world.given(BUYER, confirm(order));
    let state = OrderState::Completed;
    for (actor, command) in [(SELLER, ship_units as fn(_, &[_]) -> _), (BUYER, cancel_units)] {
        world
            .when(actor, command(order, &[(TEA, 1)]))
            .then_rejected([Rejection::OrderState { order, state }]);
    }
}

#[test]
fn an_order_has_so_many_shipments_and_the_last_takes_what_is_left() {
    let most = SHIPMENTS_MAX as u32;
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(1), most + 1).given(PROVIDER, fund(BUYER, usd(1000)));
    let order = world.placed(BUYER, place(&[(TEA, most + 1)], usd(1000)));
    for _ in 1..most {
        world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    }
    world
        .when(SELLER, ship_units(order, &[(TEA, 1)]))
        .then_rejected([Rejection::TooManyShipments { max: most }])
        .given(SELLER, ship_units(order, &[(TEA, 2)]))
        .given(BUYER, confirm(order));
    assert_eq!(world.events().len(), 2 * SHIPMENTS_MAX);
    assert_eq!(world.market.orders.open_count(), 0);
    then_balances(&world, [(earned(), 98), (LedgerAccount::PlatformFees, 3)]);
}

// Delivery and money.

#[test]
fn each_shipment_is_paid_when_it_is_confirmed_and_the_last_closes_the_order() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    let escrow = LedgerAccount::Escrow(order);
    let (buyer, seller) = (BUYER.account(), SELLER.account());
    let released = |n, net, fee, remaining: Option<i64>| -> Event {
        let closed_as = remaining.is_none().then_some(OrderState::Completed);
        let transfers = vec![
            transfer(usd(net), escrow, earned()),
            transfer(usd(fee), escrow, LedgerAccount::PlatformFees),
        ];
        let (condition, remaining) = (ReleaseCondition::BuyerConfirmed, remaining.map(usd));
        let shipment = shipment(n);
        let with = vec![];
        EscrowReleased {
            buyer,
            closed_as,
            condition,
            kept_until: None,
            order,
            remaining,
            seller,
            shipment,
            transfers,
            with,
        }
        .into()
    };
    let delivered = |n, inspection_ends| -> Event {
        Delivered {
            confirmed_by: DeliveryProof::Buyer,
            inspection_ends,
            order,
            release_due: None,
            return_by: None,
            shipment: shipment(n),
        }
        .into()
    };
    let now = world.now;
    // The fee of the whole is 37.5 and so 38: 12.67, 25.33 and 38 are due.
    world
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .when(BUYER, confirm_shipment(order, 2))
        .then_events([delivered(2, now), released(2, 487, 13, Some(1000))])
        .when_again()
        .then_repeat()
        .when(BUYER, confirm_shipment(order, 2))
        .then_unchanged()
        .when(PROVIDER, confirm_shipment(order, 2))
        .then_unchanged()
        .given(PROVIDER, confirm(order))
        .given(SELLER, ship(order))
        .when(BUYER, confirm(order))
        .then_events([released(1, 488, 12, Some(500)), delivered(3, now), released(3, 487, 13, None)]);
    assert_eq!(world.market.orders.recently_closed(order).unwrap().state, OrderState::Completed);
    then_balances(&world, [(escrow, 0), (earned(), 1462), (LedgerAccount::PlatformFees, 38)]);
    assert_eq!(waits(&world), None);
}

#[test]
fn what_is_confirmed_without_a_number_is_all_that_travels() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    let inspection_ends = world.now.plus_ms(3 * DAY_MS);
    let delivered = |n| -> Event {
        let (confirmed_by, shipment) = (DeliveryProof::Carrier, shipment(n));
        Delivered { confirmed_by, inspection_ends, order, release_due: None, return_by: None, shipment }
            .into()
    };
    world
        .when(BUYER, confirm_shipment(order, 1))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Placed }])
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .when(PROVIDER, confirm(order))
        .then_events([delivered(1), delivered(2)])
        .when(PROVIDER, confirm(order))
        .then_unchanged()
        .when(BUYER, confirm_shipment(order, 3))
        .then_rejected([Rejection::ShipmentUnknown { order, shipment: shipment(3), shipments: 2 }])
        .when(BUYER, confirm(order))
        .then_types(["escrow.released.v2", "escrow.released.v2"])
        .when(BUYER, confirm(order))
        .then_unchanged()
        .then(|market| assert_eq!(market.orders.get(order).unwrap().escrow.remaining(), 500));
}

#[test]
fn units_of_a_line_cost_its_total_to_the_cent() {
    let mut world = shop();
    let cheap = quote(SELLER, BUYER, (TEA, 4), usd(10), world.now);
    world.when_quoted([cheap], BUYER, place(&[(TEA, 4)], usd(10)));
    let order = world.order(0);
    let amounts = |world: &World| match world.events() {
        [Event::OrderShipped(Shipped { lines, .. })]
        | [Event::OrderCancelled(Cancelled { lines, .. }), _] => {
            lines.iter().map(|line| line.amount.minor).sum::<i64>()
        }
        other => panic!("{other:?}"),
    };
    // 10 cents for 4: each has 2, and the first two one more.
    for (actor, command, cost) in [
        (SELLER, ship_units(order, &[(TEA, 1)]), 3),
        (BUYER, cancel_units(order, &[(TEA, 1)]), 3),
        (SELLER, ship_units(order, &[(TEA, 1)]), 2),
        (SELLER, cancel_units(order, &[(TEA, 1)]), 2),
    ] {
        world.given(actor, command);
        assert_eq!(amounts(&world), cost);
    }
    world.given(BUYER, confirm(order));
    then_balances(&world, [(wallet(), 9995), (earned(), 5), (LedgerAccount::Escrow(order), 0)]);
}

#[test]
fn units_that_cost_nothing_go_the_same_way() {
    let mut world = shop();
    let cheap = quote(SELLER, BUYER, (TEA, 3), usd(1), world.now);
    world.when_quoted([cheap], BUYER, place(&[(TEA, 3)], usd(1)));
    let order = world.order(0);
    let (buyer, seller) = (BUYER.account(), SELLER.account());
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, confirm(order));
    assert_eq!(world.market.orders.open_count(), 1, "two units are left, for nothing");
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, confirm(order));
    match world.events() {
        [Event::OrderDelivered(_), Event::EscrowReleased(released)] => assert_eq!(released.transfers, []),
        other => panic!("{other:?}"),
    }
    let closed_as = Some(OrderState::Completed);
    let refunded = EscrowRefunded { buyer, closed_as, order, remaining: None, seller, transfer: None };
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    assert_eq!(world.events()[1], refunded.into());
    then_balances(&world, [(wallet(), 9999), (earned(), 1)]);
}

#[test]
fn partial_fees_sum_to_the_fee_of_what_was_released() {
    for (bps, fixed) in [(250, 0), (10_000, 0), (0, 100), (333, 7), (0, 0)] {
        let mut world = World::charging(FeePolicy::new(bps, fixed, 0, None).unwrap());
        world.given_listing(SELLER, TEA, usd(333), 7).given(PROVIDER, fund(BUYER, usd(2331)));
        let order = world.placed(BUYER, place(&[(TEA, 7)], usd(2331)));
        let fee = world.market.orders.get(order).unwrap().fee_minor;
        for released in 1..=5 {
            world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, confirm(order));
            let taken = world.market.orders.get(order).unwrap().escrow.fees;
            assert_eq!(taken, (2 * fee * released + 7) / 14, "{bps} {fixed}: {released} of 7");
        }
        world.given(BUYER, cancel_units(order, &[(TEA, 2)]));
        assert_eq!(world.market.orders.open_count(), 0);
        let taken = (10 * fee + 7) / 14;
        let balances = [
            (wallet(), 666),
            (earned(), 1665 - taken),
            (LedgerAccount::PlatformFees, taken),
            (LedgerAccount::Escrow(order), 0),
        ];
        then_balances(&world, balances);
    }
}

// Cancelling.

#[test]
fn units_are_cancelled_and_paid_back_by_those_who_may_and_the_order_goes_on() {
    for (actor, role) in [(BUYER, Role::Buyer), (SELLER, Role::Seller), (OPERATOR, Role::Operator)] {
        let mut world = shop();
        let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
        let escrow = LedgerAccount::Escrow(order);
        let (buyer, seller) = (BUYER.account(), SELLER.account());
        let refunded = |minor, remaining: Option<i64>| -> Event {
            let (transfer, remaining) = (Some(transfer(usd(minor), escrow, wallet())), remaining.map(usd));
            let closed_as = remaining.is_none().then_some(OrderState::Cancelled);
            EscrowRefunded { buyer, closed_as, order, remaining, seller, transfer }.into()
        };
        let cancelled = |lines, reason: Option<&str>| -> Event {
            let reason = reason.map(str::to_owned);
            Cancelled {
                by: CancelledBy::Account(role),
                lines,
                order,
                reason,
                shipping: None,
                uncharged: None,
            }
            .into()
        };
        world
            .when(actor, cancel_units(order, &[(TEA, 2)]))
            .then_events([cancelled(line_units(&[(TEA, 2, usd(1000))]), None), refunded(1000, Some(3000))])
            .when_again()
            .then_repeat();
        assert_eq!((stock(&world.market, TEA), stock(&world.market, POT)), ((10, 1), (2, 1)));
        let rest = line_units(&[(TEA, 1, usd(500)), (POT, 1, usd(2500))]);
        world
            .when(actor, cancel(order))
            .then_events([cancelled(rest, Some("changed my mind")), refunded(3000, None)])
            .when(actor, cancel(order))
            .then_unchanged()
            .when(actor, cancel_units(order, &[(TEA, 1)]))
            .then_rejected([Rejection::OrderState { order, state: OrderState::Cancelled }]);
        then_balances(&world, [(wallet(), 10_000), (escrow, 0)]);
        assert_eq!(waits(&world), None);
    }
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    for (actor, command) in [
        (OTHER_BUYER, cancel_units(order, &[(TEA, 1)])),
        (OTHER_SELLER, cancel_units(order, &[(TEA, 1)])),
        (OTHER_SELLER, ship_units(order, &[(TEA, 1)])),
        (OTHER_BUYER, confirm_shipment(order, 1)),
    ] {
        world.when(actor, command).then_rejected([Rejection::NotYourOrder { order }]);
    }
}

#[test]
fn an_order_of_which_something_is_shipped_is_not_cancelled_as_a_whole() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .when(BUYER, cancel(order))
        .then_rejected([Rejection::PartlyShipped { order, left: 2 }])
        .given(BUYER, cancel_units(order, &[(TEA, 2)]))
        .when(BUYER, cancel(order))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Shipped }])
        .given(BUYER, confirm(order));
    assert_eq!(world.market.orders.recently_closed(order).unwrap().state, OrderState::Completed);
    then_balances(&world, [(wallet(), 9500), (LedgerAccount::Escrow(order), 0)]);
}

// Deadlines.

#[test]
fn what_is_not_shipped_in_time_is_paid_back_and_the_shipments_go_on() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    let ship_by = world.now.plus_ms(14 * DAY_MS);
    world.after(DAY_MS).given(SELLER, ship_units(order, &[(TEA, 1)]));
    assert_eq!(waits(&world), Some((ship_by, Waiting::ShipBy { order })));
    world.when_deadline().then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    match world.events() {
        [Event::OrderCancelled(cancelled), Event::EscrowRefunded(refunded)] => {
            assert_eq!(cancelled.by, CancelledBy::ShipDeadline);
            assert_eq!(cancelled.lines, line_units(&[(TEA, 2, usd(1000))]));
            assert_eq!((refunded.closed_as, refunded.remaining), (None, Some(usd(500))));
        }
        other => panic!("{other:?}"),
    }
    let shipment = ShipmentNumber::FIRST;
    assert_eq!(waits(&world).unwrap().1, Waiting::DeliveryDue { order, shipment });
    world.when_deadline().then_types(["order.delivered.v2"]);
    assert_eq!(waits(&world).unwrap().1, Waiting::InspectionEnds { order, shipment });
    world.when_deadline().then_types(["escrow.released.v2"]);
    assert_eq!(world.market.orders.recently_closed(order).unwrap().state, OrderState::Completed);
    then_balances(&world, [(wallet(), 9500), (LedgerAccount::Escrow(order), 0)]);
    assert_eq!(stock(&world.market, TEA), (9, 0));
}

#[test]
fn each_shipment_waits_for_itself() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).after(DAY_MS).given(SELLER, ship(order));
    let (first, second) = (shipment(1), shipment(2));
    assert_eq!(waits(&world).unwrap().1, Waiting::DeliveryDue { order, shipment: first });
    world.given(PROVIDER, confirm_shipment(order, 2));
    let inspection_ends = world.now.plus_ms(3 * DAY_MS);
    assert_eq!(waits(&world), Some((inspection_ends, Waiting::InspectionEnds { order, shipment: second })));
    world.when_deadline();
    match world.events() {
        [Event::EscrowReleased(released)] => {
            assert_eq!((released.shipment, released.closed_as), (second, None));
            assert_eq!(released.remaining, Some(usd(500)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(waits(&world).unwrap().1, Waiting::DeliveryDue { order, shipment: first });
    world.given(BUYER, confirm(order));
    assert_eq!(waits(&world), None);
}

#[test]
fn a_command_that_can_not_be_decided_from_memory_asks_for_its_order() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.given(BUYER, cancel(order)).market.forgotten = 1;
    let unknown = events::ids::OrderId::derive(BUYER.account(), cid(START, 999), 0);
    for (actor, command) in [
        (SELLER, ship_units(unknown, &[(TEA, 1)])),
        (BUYER, confirm_shipment(unknown, 1)),
        (BUYER, cancel_units(unknown, &[(TEA, 1)])),
    ] {
        world.when(actor, command);
        assert!(matches!(world.outcome(), Decision::Ask(question) if question.order == Some(unknown)));
    }
}
