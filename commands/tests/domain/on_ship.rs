//! Orders that are charged when their goods are about to leave: the provider holds the money until then.

mod anew;

use crate::support::*;
use commands::command::{Expected, MigrateCart, ReportedOutcome};
use commands::payment::{CAPTURE_MARGIN_MS, EXPIRING_MS, Wish};
use events::account::Role;
use events::ids::{OrderId, PaymentId};
use events::ledger::LedgerAccount;
use events::market::Deadlines;
use events::metadata::Waiting;
use events::order::hold::HoldReason;
use events::order::{AuthorizationExpiring, Authorized, Cancelled, CancelledBy, Paid};
use events::payment::{CaptureRequested, CaptureTime, VoidReason, VoidRequested};
use events::rejection::{OrderState, PaymentState};
use events::{Event, Rejection, Timestamp};

const HOLDS_MS: i64 = 7 * DAY_MS;

fn shop() -> World {
    stocked(World::new())
}

/// Sellers accept orders within two days.
fn word_shop() -> World {
    stocked(World::accepting())
}

/// Tea for 5 dollars, cups of another seller for 3, and a buyer with 100 dollars in his wallet.
fn stocked(mut world: World) -> World {
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(OTHER_SELLER, CUP, usd(300), 10)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

/// Four teas for 20 dollars, of which the wallet pays 6 at once and a provider holds 14.
fn authorized(world: &mut World, capture: CaptureTime) -> (OrderId, PaymentId) {
    let order = world.placed(BUYER, place_captured(capture, &[(TEA, 4)], usd(2000), Some(usd(600))));
    let payment = world.payment();
    let until = world.now.plus_ms(HOLDS_MS);
    world.given(PROVIDER, report(payment, held(usd(1400), until)));
    (order, payment)
}

#[track_caller]
fn then_holds(world: &World, account: LedgerAccount, minor: i64) {
    assert_eq!(world.market.ledger.balance(account, usd(0).currency), usd(minor), "{account}");
    assert!(world.market.ledger.sums().values().all(|sum| *sum == 0));
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

fn state(world: &World, order: OrderId) -> OrderState {
    match world.market.orders.get(order) {
        Some(open) => open.state(),
        None => world.market.orders.recently_closed(order).unwrap().state,
    }
}

fn wishes(world: &World) -> Vec<Wish> {
    wishes_of(&world.market)
}

/// What a provider that holds the money is asked now and then.
fn watched() -> Vec<Wish> {
    vec![Wish::Watch { reference: "r".into() }]
}

/// Lets the time pass in which an order may be charged: first it is told that it is about to.
fn expire(world: &mut World) -> &mut World {
    world.when_deadline().then_types(["order.authorization_expiring.v1"]).when_deadline()
}

fn void_requested(payment: PaymentId, because: VoidReason) -> Event {
    let (account, provider) = (BUYER.account(), PROVIDER.account());
    VoidRequested { account, because, payment, provider }.into()
}

#[track_caller]
fn then_cancelled(world: &World, order: OrderId, by: CancelledBy) {
    let cancelled = world.events().iter().find_map(|event| match event {
        Event::OrderCancelled(Cancelled { by, order, .. }) => Some((*order, *by)),
        _ => None,
    });
    assert_eq!(cancelled, Some((order, by)), "{:?}", world.events());
    assert_eq!(state(world, order), OrderState::Cancelled);
    then_holds(world, LedgerAccount::Escrow(order), 0);
    then_holds(world, wallet(), 10_000);
}

fn expired() -> ReportedOutcome {
    ReportedOutcome::AuthorizationExpired
}

// The way it goes.

#[test]
fn an_order_whose_money_a_provider_holds_is_its_sellers_and_is_not_charged() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    let capture_by = world.now.plus_ms(HOLDS_MS - CAPTURE_MARGIN_MS);
    let ship_by = world.now.plus_ms(14 * DAY_MS);
    let [Event::PaymentAuthorized(authorized), theirs] = world.events() else {
        panic!("{:?}", world.events())
    };
    let expiring_at = capture_by.plus_ms(-EXPIRING_MS);
    assert_eq!((authorized.waits_until, authorized.expiring_at), (Some(capture_by), Some(expiring_at)));
    assert_eq!(*theirs, Authorized { accept_by: None, capture_by, order, payment, ship_by }.into());
    assert_eq!(state(&world, order), OrderState::Authorized);
    assert_eq!(wishes(&world), watched(), "nothing else is asked of the provider");
    let next = world.market.next_deadline().unwrap();
    assert_eq!((next.due, next.waiting), (expiring_at, Waiting::AuthorizationExpiring { payment }));
    then_holds(&world, LedgerAccount::Escrow(order), 600);
    then_holds(&world, wallet(), 9400);
    assert_eq!(world.market.ledger.pending().map(|(_, one)| one.amount).collect::<Vec<_>>(), [usd(1400)]);
    world.when(SELLER, ship(order)).then_rejected([Rejection::NotCharged { order }]);
    let until = world.now.plus_ms(HOLDS_MS);
    world.when(PROVIDER, report(payment, held(usd(1400), until))).then_unchanged();
}

#[test]
fn it_is_charged_when_its_seller_is_about_to_ship_and_shipped_when_it_is_paid() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    let (account, provider) = (BUYER.account(), PROVIDER.account());
    let (amount, reference) = (usd(1400), "r".to_owned());
    world
        .after(DAY_MS)
        .when(OTHER_SELLER, ready(order))
        .then_rejected([Rejection::NotYourOrder { order }])
        .when(SELLER, ready(order))
        .then_events([CaptureRequested { account, amount, payment, provider, reference }.into()])
        .when_again()
        .then_repeat();
    assert_eq!(wishes(&world), [Wish::Capture { amount, reference: "r".into() }]);
    // He may say it twice, and still does not ship before the money is there.
    world.when(SELLER, ready(order)).then_unchanged();
    world.when(SELLER, ship(order)).then_rejected([Rejection::NotCharged { order }]);
    world.after(SECOND_MS).when(PROVIDER, report(payment, took("r", amount)));
    let ship_by = world.now.plus_ms(14 * DAY_MS);
    world.then_types(["payment.captured.v1", "escrow.held.v1", "order.paid.v1"]);
    assert_eq!(world.events()[2], Paid { accept_by: None, order, payment: Some(payment), ship_by }.into());
    then_holds(&world, LedgerAccount::Escrow(order), 2000);
    world.when(SELLER, ready(order)).then_unchanged();
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    assert_eq!(state(&world, order), OrderState::Completed);
    world.when(SELLER, ready(order)).then_unchanged();
}

#[test]
fn where_sellers_accept_orders_it_is_accepted_before_it_is_charged() {
    let mut world = word_shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    let accept_by = world.now.plus_ms(2 * DAY_MS);
    let waits = || Rejection::NotAccepted { accept_by, order };
    assert_eq!(state(&world, order), OrderState::AwaitingSeller);
    world.when(SELLER, ready(order)).then_rejected([waits()]);
    world.when(SELLER, ship(order)).then_rejected([waits()]);
    world.given(SELLER, accept(order)).when(SELLER, accept(order)).then_unchanged();
    world.when(SELLER, decline(order)).then_rejected([Rejection::AlreadyAccepted { order }]);
    assert_eq!(state(&world, order), OrderState::Authorized);
    world.given(SELLER, ready(order)).given(PROVIDER, report(payment, took("r", usd(1400))));
    world.given(SELLER, ship(order));
}

#[test]
fn what_is_cancelled_before_it_is_charged_is_left_out_of_the_charge() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    // A tea of the four: 5 dollars, of which the provider was to pay 3.50.
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    let [Event::OrderCancelled(cancelled), Event::EscrowRefunded(refunded)] = world.events() else {
        panic!("{:?}", world.events())
    };
    assert_eq!(cancelled.uncharged, Some(usd(350)));
    assert_eq!(refunded.transfer.unwrap().amount, usd(150));
    then_holds(&world, LedgerAccount::Escrow(order), 450);
    world.given(SELLER, ready(order));
    assert_eq!(wishes(&world), [Wish::Capture { amount: usd(1050), reference: "r".into() }]);
    // What is to be taken is settled.
    world
        .when(BUYER, cancel_units(order, &[(TEA, 1)]))
        .then_rejected([Rejection::PaymentUnderWay { order, payment }]);
    world.given(PROVIDER, report(payment, took("r", usd(1050))));
    then_holds(&world, LedgerAccount::Escrow(order), 1500);
    assert_eq!(world.market.ledger.pending().count(), 0, "the rest of what was held is let go");
    // Another one afterwards: its share goes back to the card.
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    then_holds(&world, LedgerAccount::RefundsPayable, 350);
    then_holds(&world, LedgerAccount::Escrow(order), 1000);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    then_holds(&world, wallet(), 10_000 - 600 + 2 * 150);
}

/// Orders two units of which the card pays one minor unit, which a cancelled half takes away.
fn one_minor_by_card(world: &mut World) -> (OrderId, PaymentId) {
    let order =
        world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 2)], usd(1000), Some(usd(999))));
    let payment = world.payment();
    let until = world.now.plus_ms(HOLDS_MS);
    world.given(PROVIDER, report(payment, held(usd(1), until)));
    (order, payment)
}

#[test]
fn where_nothing_is_left_to_be_charged_the_order_is_paid_and_the_payment_given_up() {
    let mut world = shop();
    let (order, payment) = one_minor_by_card(&mut world);
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    world.when(SELLER, ready(order)).then_types(["order.paid.v1", "payment.void_requested.v1"]);
    world.given(PROVIDER, report(payment, ReportedOutcome::Voided)).given(SELLER, ship(order));
    then_holds(&world, LedgerAccount::Escrow(order), 500);
}

// What ends it before it is charged.

#[test]
fn before_the_provider_lets_go_the_order_is_cancelled_and_the_payment_given_up() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    let capture_by = world.now.plus_ms(HOLDS_MS - CAPTURE_MARGIN_MS);
    world.when_deadline().then_events([AuthorizationExpiring { capture_by, order, payment }.into()]);
    assert_eq!((state(&world, order), wishes(&world)), (OrderState::Authorized, watched()));
    let next = world.market.next_deadline().unwrap();
    assert_eq!((next.due, next.waiting), (capture_by, Waiting::AuthorizationExpires { payment }));
    world.when_deadline();
    assert_eq!(world.events()[0], void_requested(payment, VoidReason::AuthorizationExpired));
    then_cancelled(&world, order, CancelledBy::AuthorizationExpired);
    assert_eq!(wishes(&world), [Wish::Void]);
    world
        .when(SELLER, ready(order))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Cancelled }]);
    world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
    then_holds(&world, wallet(), 10_000);
}

#[test]
fn or_it_is_charged_then_if_its_buyer_wants_that() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShipOrExpiry);
    expire(&mut world).then_types(["payment.capture_requested.v1"]);
    let next = world.market.next_deadline().unwrap();
    let until = world.now.plus_ms(CAPTURE_MARGIN_MS);
    assert_eq!((next.due, next.waiting), (until, Waiting::AuthorizationExpires { payment }));
    world.given(PROVIDER, report(payment, took("r", usd(1400)))).given(SELLER, ship(order));
}

#[test]
fn the_market_acts_when_half_of_a_short_time_is_over() {
    let mut world = shop();
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 2)], usd(1000), None));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, held(usd(1000), world.now.plus_ms(10 * SECOND_MS))));
    let half = world.now.plus_ms(5 * SECOND_MS);
    assert_eq!(world.market.next_deadline().unwrap().due, world.now.plus_ms(5 * SECOND_MS / 2));
    expire(&mut world);
    assert_eq!(world.now, half);
    then_cancelled(&world, order, CancelledBy::AuthorizationExpired);
}

#[test]
fn an_order_is_cancelled_when_the_provider_does_not_hold_its_money_any_more() {
    let failed = |retryable| ReportedOutcome::Failed { code: text("expired_card"), retryable };
    for (outcome, by) in [
        (expired(), CancelledBy::AuthorizationExpired),
        (ReportedOutcome::Voided, CancelledBy::PaymentFailed),
        (failed(true), CancelledBy::PaymentFailed),
        (failed(false), CancelledBy::PaymentFailed),
    ] {
        for is_asked in [false, true] {
            let mut world = shop();
            let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
            if is_asked {
                world.given(SELLER, ready(order));
            }
            world.given(PROVIDER, report(payment, outcome.clone()));
            then_cancelled(&world, order, by);
            assert_eq!((wishes(&world), world.market.next_deadline()), (vec![], None));
        }
    }
}

#[test]
fn whoever_cancels_it_before_it_is_charged_has_the_payment_given_up_and_nothing_refunded() {
    for actor in [BUYER, SELLER, OPERATOR] {
        for is_asked in [false, true] {
            let mut world = shop();
            let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
            if is_asked {
                world.given(SELLER, ready(order));
            }
            world.given(actor, cancel(order));
            assert_eq!(world.events()[2..], [void_requested(payment, VoidReason::Cancelled)]);
            let role = [(BUYER, Role::Buyer), (SELLER, Role::Seller), (OPERATOR, Role::Operator)];
            let role = role.into_iter().find(|(other, _)| *other == actor).unwrap().1;
            then_cancelled(&world, order, CancelledBy::Account(role));
            // What it took all the same is the buyer's.
            world.given(PROVIDER, report(payment, took("r", usd(1400))));
            then_holds(&world, wallet(), 11_400);
        }
    }
}

#[test]
fn naming_all_its_units_cancels_it_as_a_whole() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    world.given(BUYER, cancel_units(order, &[(TEA, 4)]));
    assert_eq!(world.events()[2..], [void_requested(payment, VoidReason::Cancelled)]);
    then_cancelled(&world, order, CancelledBy::Account(Role::Buyer));
}

#[test]
fn a_seller_who_declines_it_or_says_nothing_has_the_payment_given_up() {
    for declines in [true, false] {
        let mut world = word_shop();
        let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
        let by = if declines {
            world.given(SELLER, decline(order));
            CancelledBy::Account(Role::Seller)
        } else {
            world.when_deadline();
            CancelledBy::AcceptDeadline
        };
        assert_eq!(world.events()[2..], [void_requested(payment, VoidReason::Cancelled)]);
        then_cancelled(&world, order, by);
    }
}

#[test]
fn an_order_that_is_not_shipped_in_time_is_not_charged() {
    let deadlines = Deadlines::new(3 * DAY_MS, 2 * DAY_MS, 14 * DAY_MS).unwrap();
    let mut world = stocked(World::on(Terms { deadlines, ..Terms::default() }));
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    world.when_deadline();
    assert_eq!(world.events()[2..], [void_requested(payment, VoidReason::Cancelled)]);
    then_cancelled(&world, order, CancelledBy::ShipDeadline);
}

#[test]
fn a_buyer_who_gives_the_payment_up_loses_the_order_when_the_provider_has_let_go() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    world.given(BUYER, give_up(payment));
    let state = PaymentState::Voiding;
    world.when(SELLER, ready(order)).then_rejected([Rejection::PaymentState { payment, state }]);
    world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
    then_cancelled(&world, order, CancelledBy::PaymentFailed);
}

// What the provider does otherwise.

#[test]
fn a_provider_that_holds_less_than_all_is_told_to_let_go() {
    let mut world = shop();
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 2)], usd(1000), None));
    let payment = world.payment();
    let until = world.now.plus_ms(HOLDS_MS);
    world
        .when(PROVIDER, report(payment, held(usd(999), until)))
        .then_types(["payment.authorized.v1", "payment.void_requested.v1"]);
    assert_eq!((state(&world, order), wishes(&world)), (OrderState::AwaitingPayment, vec![Wish::Void]));
    // Another card may hold all of it, and is charged when the goods leave as well.
    world.given(PROVIDER, report(payment, ReportedOutcome::Voided)).given(BUYER, pay(order));
    let payment = world.payment();
    let until = world.now.plus_ms(HOLDS_MS);
    world.given(PROVIDER, report(payment, held(usd(1000), until)));
    assert_eq!((state(&world, order), wishes(&world)), (OrderState::Authorized, watched()));
}

#[test]
fn a_provider_that_gives_less_than_it_held_ends_the_order_and_the_buyer_has_what_it_gave() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    world.given(SELLER, ready(order)).given(PROVIDER, report(payment, took("r", usd(1399))));
    assert_eq!(state(&world, order), OrderState::Cancelled);
    then_holds(&world, wallet(), 11_399);
}

#[test]
fn a_provider_that_tells_of_the_money_before_it_tells_that_it_held_it_pays_the_order() {
    let mut world = shop();
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 2)], usd(1000), None));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, took("r", usd(1000)))).given(SELLER, ship(order));
}

// Holds.

#[test]
fn an_order_on_hold_is_not_made_ready_and_what_was_asked_for_comes_in() {
    let mut world = shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
    world.given(SELLER, ready(order)).given(OPERATOR, hold(order, HoldReason::RiskReview));
    let held = || Rejection::OrderOnHold { order, reason: HoldReason::RiskReview };
    world.when(SELLER, ready(order)).then_rejected([held()]);
    world.when(BUYER, cancel(order)).then_rejected([held()]);
    world.given(PROVIDER, report(payment, took("r", usd(1400))));
    then_holds(&world, LedgerAccount::Escrow(order), 2000);
    world.when(SELLER, ship(order)).then_rejected([held()]);
    assert_eq!(world.market.next_deadline(), None, "no deadline of it passes");
    world.after(30 * DAY_MS).given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order));
    let waiting = Waiting::ShipBy { order };
    assert_eq!(world.market.next_deadline().unwrap().waiting, waiting);
    world.given(SELLER, ship(order));
}

#[test]
fn an_order_whose_payment_ended_on_hold_is_cancelled_when_the_hold_is_lifted() {
    for by_deadline in [true, false] {
        let mut world = word_shop();
        let (order, payment) = authorized(&mut world, CaptureTime::OnShip);
        world.given(OPERATOR, hold(order, HoldReason::RiskReview));
        if by_deadline {
            expire(&mut world).then_types(["payment.void_requested.v1"]);
        } else {
            world.when(PROVIDER, report(payment, expired())).then_types(["payment.voided.v1"]);
        }
        then_holds(&world, LedgerAccount::Escrow(order), 600);
        world.given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order));
        world.then_types(["order.unheld.v1", "order.cancelled.v2", "escrow.refunded.v2"]);
        then_cancelled(&world, order, CancelledBy::AuthorizationExpired);
        assert_eq!(world.market.next_deadline(), None);
    }
}

#[test]
fn a_hold_does_not_keep_the_market_from_charging_before_the_provider_lets_go() {
    let mut world = word_shop();
    let (order, payment) = authorized(&mut world, CaptureTime::OnShipOrExpiry);
    world.after(DAY_MS).given(OPERATOR, hold(order, HoldReason::RiskReview));
    expire(&mut world).then_types(["payment.capture_requested.v1"]);
    world.given(PROVIDER, report(payment, took("r", usd(1400))));
    world.given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order));
    assert_eq!(state(&world, order), OrderState::AwaitingSeller);
    world.given(SELLER, accept(order)).given(SELLER, ship(order));
}

// What can be bought so.

#[test]
fn only_what_is_of_one_seller_is_charged_when_it_leaves() {
    let mut world = shop();
    let sellers = Rejection::OneSellerOnShip { sellers: 2 };
    let lines = [(TEA, 1), (CUP, 1)];
    world
        .when(BUYER, place_captured(CaptureTime::OnShip, &lines, usd(800), None))
        .then_rejected([sellers.clone()]);
    world.given(BUYER, add(TEA, 1)).given(BUYER, add(CUP, 1));
    let method = capturing(PROVIDER, CaptureTime::OnShipOrExpiry, None);
    let wish = MigrateCart::new(world.cart(BUYER), method, usd(800));
    let version = Expected { cart: Some(2), listing: None };
    world.when_if(version, BUYER, wish).then_rejected([sellers]);
    // What the wallet pays alone is charged at once.
    world.given(BUYER, place_captured(CaptureTime::OnShip, &lines, usd(800), Some(usd(800))));
    assert_eq!([0, 1].map(|n| state(&world, world.order(n))), [OrderState::Placed; 2]);
}

#[test]
fn a_seller_has_nothing_to_charge_before_the_provider_agreed_and_after_the_order_ended() {
    let mut world = shop();
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 2)], usd(1000), None));
    let wrong = |state| Rejection::OrderState { order, state };
    world.when(SELLER, ready(order)).then_rejected([wrong(OrderState::AwaitingPayment)]);
    world.given(BUYER, cancel(order));
    world.when(SELLER, ready(order)).then_rejected([wrong(OrderState::Cancelled)]);
    let unknown = OrderId::from_uuid(uuid::Uuid::from_u128(9));
    world.when(SELLER, ready(unknown)).then_rejected([Rejection::OrderUnknown { order: unknown }]);
    let paid = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.when(SELLER, ready(paid)).then_unchanged();
}

#[test]
fn a_payment_that_came_long_ago_is_not_taken_for_one_that_is_held() {
    let mut world = shop();
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 2)], usd(1000), None));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, held(usd(1000), Timestamp::from_ms(0))));
    // It had let go of it already: the market acts at once.
    world.when_deadline();
    then_cancelled(&world, order, CancelledBy::AuthorizationExpired);
}
