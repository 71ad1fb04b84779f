//! Orders that are authorised anew while they wait to be charged: what is held stands until another is held for longer.

use commands::command::ReportedOutcome;
use commands::payment::{CAPTURE_MARGIN_MS, EXPIRING_MS, REQUEST_MS, Wish};
use events::account::Role;
use events::ids::{OrderId, PaymentId};
use events::ledger::LedgerAccount;
use events::market::Deadlines;
use events::metadata::Waiting;
use events::order::hold::HoldReason;
use events::order::{Authorized, CancelledBy, Paid};
use events::payment::{ActionKind, CaptureTime, Requested, VoidReason};
use events::rejection::{OrderState, PaymentState};
use events::{Event, Rejection, Timestamp};

use super::one_minor_by_card;
use super::{
    HOLDS_MS, authorized, expire, shop, state, stocked, then_cancelled, then_holds, void_requested, wallet,
    wishes, word_shop,
};
use crate::support::*;

/// Five days later its buyer authorises an order anew, of which a provider holds 14 dollars.
fn asked_anew(world: &mut World, capture: CaptureTime) -> (OrderId, PaymentId, PaymentId) {
    let (order, before) = authorized(world, capture);
    world.after(5 * DAY_MS).let_due_pass();
    world.given(BUYER, pay(order));
    (order, before, world.payment())
}

/// When the market acts by itself for what is held at first, seen from when it is asked for anew.
fn first_ends(world: &World) -> Timestamp {
    world.now.plus_ms(HOLDS_MS - 5 * DAY_MS - CAPTURE_MARGIN_MS)
}

impl World {
    fn let_due_pass(&mut self) {
        while self.market.next_deadline().is_some_and(|next| next.due <= self.now) {
            self.when_deadline();
        }
    }
}

fn holds(world: &World) -> ReportedOutcome {
    held(usd(1400), world.now.plus_ms(HOLDS_MS))
}

fn void(payment: PaymentId) -> Event {
    void_requested(payment, VoidReason::Cancelled)
}

fn refused(retryable: bool) -> ReportedOutcome {
    ReportedOutcome::Failed { code: text("insufficient_funds"), retryable }
}

/// Checks that a payment is held for an order as it was from the first, and nothing is asked for in its place.
#[track_caller]
fn then_stands(world: &mut World, order: OrderId, before: PaymentId, capture_by: Timestamp) {
    assert_eq!(state(world, order), OrderState::Authorized);
    assert_eq!(world.market.orders.get(order).unwrap().card.as_ref().unwrap().payment, before);
    assert_eq!(world.market.payments.asked_anew(before), None);
    let next = world.market.next_deadline().unwrap();
    assert_eq!((next.due, next.waiting), (capture_by, Waiting::AuthorizationExpires { payment: before }));
    let (reference, amount) = ("r".to_owned(), usd(1400));
    let taken = Wish::Capture { amount, reference: reference.as_str().into() };
    world.given(SELLER, ready(order));
    assert!(wishes(world).contains(&taken), "{:?}", wishes(world));
}

// The way it goes.

#[test]
fn another_payment_is_asked_for_and_what_is_held_stands_until_it_is_held() {
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    let expires_at = world.now.plus_ms(REQUEST_MS);
    let requested = Requested {
        account: BUYER.account(),
        amount: usd(1400),
        capture: CaptureTime::OnShip,
        expires_at,
        orders: vec![order],
        payment,
        provider: PROVIDER.account(),
        replaces: Some(before),
        to: wallet(),
        token: "tok_other".to_owned(),
    };
    world.then_events([requested.into()]).when_again().then_repeat();
    assert_eq!(state(&world, order), OrderState::Authorized);
    let asks = Wish::Authorize { amount: usd(1400), token: "tok_other".into() };
    assert_eq!(wishes(&world).len(), 2, "{:?}", wishes(&world));
    assert!(
        wishes(&world).contains(&asks) && wishes(&world).contains(&Wish::Watch { reference: "r".into() })
    );
    // Another one is not asked for meanwhile.
    world.when(BUYER, pay(order)).then_rejected([Rejection::PaymentUnderWay { order, payment }]);

    let ship_by = world.market.orders.get(order).unwrap().ship_by;
    let capture_by = world.now.plus_ms(HOLDS_MS - CAPTURE_MARGIN_MS);
    let until = holds(&world);
    world.when(PROVIDER, report(payment, until));
    let [Event::PaymentAuthorized(held), theirs, given_up] = world.events() else {
        panic!("{:?}", world.events())
    };
    assert_eq!((held.payment, held.waits_until), (payment, Some(capture_by)));
    assert_eq!(*theirs, Authorized { accept_by: None, capture_by, order, payment, ship_by }.into());
    assert_eq!(*given_up, void_requested(before, VoidReason::Replaced));
    let next = world.market.next_deadline().unwrap();
    let waiting = Waiting::AuthorizationExpiring { payment };
    assert_eq!((next.due, next.waiting), (capture_by.plus_ms(-EXPIRING_MS), waiting));
    world.given(PROVIDER, report(before, ReportedOutcome::Voided));
    assert_eq!(state(&world, order), OrderState::Authorized);
    assert_eq!(world.market.ledger.pending().map(|(id, _)| *id).collect::<Vec<_>>(), [payment]);

    // It is the new one that is charged, and what is given back goes there.
    world.after(DAY_MS).given(SELLER, ready(order)).given(PROVIDER, report(payment, took("r 2", usd(1400))));
    let ship_by = world.now.plus_ms(14 * DAY_MS);
    assert_eq!(world.events()[2], Paid { accept_by: None, order, payment: Some(payment), ship_by }.into());
    world.when(BUYER, pay(order)).then_rejected([Rejection::OrderState { order, state: OrderState::Placed }]);
    world.given(BUYER, cancel(order));
    let Some(Event::RefundRequested(refund)) = world.events().last() else { panic!("{:?}", world.events()) };
    assert_eq!((refund.payment, refund.transfer.amount), (payment, usd(1400)));
}

#[test]
fn it_may_be_authorised_anew_again_and_again() {
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    let until = holds(&world);
    world.given(PROVIDER, report(payment, until)).given(PROVIDER, report(before, ReportedOutcome::Voided));
    world.when_deadline().then_types(["order.authorization_expiring.v1"]);
    world.given(BUYER, pay(order));
    let third = world.payment();
    let until = holds(&world);
    world.given(PROVIDER, report(third, until));
    assert_eq!(world.events()[2], void_requested(payment, VoidReason::Replaced));
    // Nobody does anything more: the order ends with the last one.
    world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
    world.let_due_pass();
    let ship_by = world.market.orders.get(order).unwrap().ship_by;
    world.when_deadline();
    assert!(world.now <= ship_by);
    then_cancelled(&world, order, CancelledBy::ShipDeadline);
}

#[test]
fn an_order_that_waits_for_its_sellers_word_goes_on_waiting_for_it() {
    let mut world = word_shop();
    let (order, before) = authorized(&mut world, CaptureTime::OnShip);
    let accept_by = world.now.plus_ms(2 * DAY_MS);
    world.after(DAY_MS).given(BUYER, pay(order));
    let payment = world.payment();
    let until = holds(&world);
    world.given(PROVIDER, report(payment, until));
    assert_eq!(world.events()[2], void_requested(before, VoidReason::Replaced));
    assert_eq!(world.market.next_deadline().unwrap().due, accept_by);
    assert_eq!(state(&world, order), OrderState::AwaitingSeller);
    world.given(SELLER, accept(order)).given(SELLER, ready(order));
    assert!(wishes(&world).contains(&Wish::Capture { amount: usd(1400), reference: "r".into() }));
}

#[test]
fn only_what_is_still_to_be_charged_is_asked_for() {
    let mut world = shop();
    let (order, _) = authorized(&mut world, CaptureTime::OnShip);
    // A tea of the four: 5 dollars, of which the provider was to pay 3.50; and one more while it is asked anew.
    world.given(BUYER, cancel_units(order, &[(TEA, 1)])).given(BUYER, pay(order));
    let payment = world.payment();
    let [Event::PaymentRequested(requested)] = world.events() else { panic!("{:?}", world.events()) };
    assert_eq!(requested.amount, usd(1050));
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    let until = world.now.plus_ms(HOLDS_MS + DAY_MS);
    world.given(PROVIDER, report(payment, held(usd(1050), until))).given(SELLER, ready(order));
    assert!(wishes(&world).contains(&Wish::Capture { amount: usd(700), reference: "r".into() }));
    world.given(PROVIDER, report(payment, took("r", usd(700)))).given(SELLER, ship(order));
    then_holds(&world, LedgerAccount::Escrow(order), 1000);
}

#[test]
fn where_nothing_is_left_to_be_charged_nothing_is_asked_for() {
    let mut world = shop();
    let (order, payment) = one_minor_by_card(&mut world);
    world.given(BUYER, pay(order));
    let asked = world.payment();
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    // What is asked for already ends when the order is paid without it.
    world.when(SELLER, ready(order)).then_types([
        "order.paid.v1",
        "payment.void_requested.v1",
        "payment.void_requested.v1",
    ]);
    assert_eq!(world.events()[1..], [void(payment), void(asked)]);

    let other =
        world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 2)], usd(1000), Some(usd(999))));
    let payment = world.payment();
    let until = world.now.plus_ms(HOLDS_MS);
    world.given(PROVIDER, report(payment, held(usd(1), until)));
    world.given(BUYER, cancel_units(other, &[(TEA, 1)]));
    world.when(BUYER, pay(other)).then_rejected([Rejection::AmountNotPositive]);
}

// What is asked for and not held: what is held stands.

#[test]
fn where_the_new_one_is_refused_the_old_one_stands() {
    for retryable in [true, false] {
        let mut world = shop();
        let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
        let capture_by = first_ends(&world);
        world.when(PROVIDER, report(payment, refused(retryable))).then_types(["payment.failed.v1"]);
        // With another card he may try again.
        world.given(BUYER, pay(order));
        let again = world.payment();
        world.given(PROVIDER, report(again, refused(true)));
        then_stands(&mut world, order, before, capture_by);
    }
}

#[test]
fn where_nobody_agrees_to_the_new_one_in_time_the_old_one_stands() {
    for acts in [true, false] {
        let mut world = shop();
        let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
        let capture_by = first_ends(&world);
        if acts {
            let (kind, reference, url) = (ActionKind::ThreeDs, text("r"), None);
            world.given(PROVIDER, report(payment, ReportedOutcome::ActionRequired { kind, reference, url }));
            world.when(BUYER, pay(order)).then_rejected([Rejection::PaymentUnderWay { order, payment }]);
        }
        world.when_deadline().then_events([void_requested(payment, VoidReason::RequestExpired)]);
        // What the provider had agreed to after all, it is told to let go of.
        let until = holds(&world);
        world.when(PROVIDER, report(payment, until)).then_unchanged();
        world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
        then_stands(&mut world, order, before, capture_by);
    }
}

#[test]
fn a_buyer_who_gives_the_new_one_up_has_the_old_one() {
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    let capture_by = first_ends(&world);
    world.when(BUYER, give_up(payment)).then_events([void(payment)]);
    then_stands(&mut world, order, before, capture_by);
}

#[test]
fn less_than_was_asked_for_or_for_a_shorter_time_takes_the_place_of_nothing() {
    for (minor, days) in [(1399, 7), (1400, 1)] {
        let mut world = shop();
        let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
        let capture_by = first_ends(&world);
        let until = world.now.plus_ms(days * DAY_MS);
        world
            .when(PROVIDER, report(payment, held(usd(minor), until)))
            .then_types(["payment.authorized.v1", "payment.void_requested.v1"]);
        assert_eq!(world.events()[1], void(payment));
        world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
        then_stands(&mut world, order, before, capture_by);
    }
}

#[test]
fn money_that_is_taken_and_not_held_is_the_buyers_and_the_old_one_stands() {
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    let capture_by = first_ends(&world);
    world.when(PROVIDER, report(payment, took("r 2", usd(1400)))).then_types(["payment.captured.v1"]);
    then_holds(&world, wallet(), 9400 + 1400);
    then_stands(&mut world, order, before, capture_by);
}

// What ends the old one meanwhile ends the new one, too.

#[test]
fn a_seller_who_makes_it_ready_charges_what_is_held() {
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    world.when(SELLER, ready(order));
    let [Event::PaymentCaptureRequested(taken), given_up] = world.events() else {
        panic!("{:?}", world.events())
    };
    assert_eq!((taken.payment, given_up), (before, &void(payment)));
    world.when(BUYER, pay(order)).then_rejected([Rejection::PaymentUnderWay { order, payment: before }]);
    let until = holds(&world);
    world.when(PROVIDER, report(payment, until)).then_unchanged();
    world.given(PROVIDER, report(before, took("r", usd(1400)))).given(SELLER, ship(order));
    world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
    then_holds(&world, LedgerAccount::Escrow(order), 2000);
}

#[test]
fn an_order_that_ends_meanwhile_gives_both_up_and_no_money_is_lost() {
    for takes in [true, false] {
        let mut world = shop();
        let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
        world.given(BUYER, cancel(order));
        assert_eq!(world.events()[2..], [void(before), void(payment)]);
        then_cancelled(&world, order, CancelledBy::Account(Role::Buyer));
        assert_eq!(wishes(&world), [Wish::Void, Wish::Void]);
        if takes {
            // It had been taken before the provider heard of it.
            world.given(PROVIDER, report(payment, took("r 2", usd(1400))));
            world.given(PROVIDER, report(before, took("r", usd(1400))));
            then_holds(&world, wallet(), 10_000 + 2 * 1400);
        } else {
            let until = holds(&world);
            world.when(PROVIDER, report(payment, until)).then_unchanged();
            for payment in [payment, before] {
                world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
            }
            then_holds(&world, wallet(), 10_000);
        }
        assert_eq!((wishes(&world), world.market.next_deadline()), (vec![], None));
        assert_eq!(world.market.ledger.pending().count(), 0);
    }
}

#[test]
fn what_the_provider_lets_go_of_or_takes_by_itself_ends_the_new_one() {
    let failed = ReportedOutcome::Failed { code: text("expired_card"), retryable: true };
    for (outcome, by) in [
        (ReportedOutcome::AuthorizationExpired, CancelledBy::AuthorizationExpired),
        (ReportedOutcome::Voided, CancelledBy::PaymentFailed),
        (failed, CancelledBy::PaymentFailed),
    ] {
        let mut world = shop();
        let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
        world.given(PROVIDER, report(before, outcome));
        assert_eq!(world.events().last(), Some(&void(payment)));
        then_cancelled(&world, order, by);
    }
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    world.when(PROVIDER, report(before, took("r", usd(1400)))).then_types([
        "payment.captured.v1",
        "escrow.held.v1",
        "order.paid.v1",
        "payment.void_requested.v1",
    ]);
    assert_eq!(world.events()[3], void(payment));
    world.given(SELLER, ship(order));
}

#[test]
fn a_buyer_who_gives_up_what_is_held_gives_both_up() {
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    world.when(BUYER, give_up(before)).then_events([void(before), void(payment)]);
    let state = PaymentState::Voiding;
    world.when(BUYER, pay(order)).then_rejected([Rejection::PaymentState { payment: before, state }]);
    world.given(PROVIDER, report(before, ReportedOutcome::Voided));
    then_cancelled(&world, order, CancelledBy::PaymentFailed);
}

#[test]
fn a_new_one_has_no_longer_than_the_old_one() {
    for capture in [CaptureTime::OnShip, CaptureTime::OnShipOrExpiry] {
        let mut world = shop();
        let (order, before) = authorized(&mut world, capture);
        let capture_by = world.now.plus_ms(HOLDS_MS - CAPTURE_MARGIN_MS);
        world.after(HOLDS_MS - CAPTURE_MARGIN_MS - SECOND_MS * 5).let_due_pass();
        world.given(BUYER, pay(order));
        let payment = world.payment();
        let [Event::PaymentRequested(requested)] = world.events() else { panic!("{:?}", world.events()) };
        assert_eq!(requested.expires_at, capture_by);
        world.when_deadline().then_events([void_requested(payment, VoidReason::RequestExpired)]);
        world.when_deadline();
        if capture == CaptureTime::OnShip {
            assert_eq!(world.events()[0], void_requested(before, VoidReason::AuthorizationExpired));
            then_cancelled(&world, order, CancelledBy::AuthorizationExpired);
        } else {
            world.then_types(["payment.capture_requested.v1"]);
        }
    }
}

#[test]
fn an_order_that_is_not_shipped_or_accepted_in_time_gives_both_up() {
    let deadlines = Deadlines::new(3 * DAY_MS, 2 * DAY_MS, 14 * DAY_MS).unwrap();
    for (mut world, by) in [
        (stocked(World::on(Terms { deadlines, ..Terms::default() })), CancelledBy::ShipDeadline),
        (word_shop(), CancelledBy::AcceptDeadline),
    ] {
        let (order, before) = authorized(&mut world, CaptureTime::OnShip);
        let ends = world.market.next_deadline().unwrap().due;
        world.after(ends.ms_since(world.now) - 5 * SECOND_MS).given(BUYER, pay(order));
        let payment = world.payment();
        world.when_deadline();
        assert_eq!(world.events()[2..], [void(before), void(payment)]);
        then_cancelled(&world, order, by);
    }
}

// Holds, and what can't be authorised anew.

#[test]
fn an_order_on_hold_is_not_authorised_anew_but_what_was_asked_for_comes() {
    let mut world = shop();
    let (order, before) = authorized(&mut world, CaptureTime::OnShip);
    world.given(OPERATOR, hold(order, HoldReason::RiskReview));
    world
        .when(BUYER, pay(order))
        .then_rejected([Rejection::OrderOnHold { order, reason: HoldReason::RiskReview }]);
    world.given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order));

    world.after(5 * DAY_MS).let_due_pass();
    world.given(BUYER, pay(order));
    let payment = world.payment();
    world.given(OPERATOR, hold(order, HoldReason::RiskReview));
    let until = holds(&world);
    world.given(PROVIDER, report(payment, until));
    assert_eq!(world.events()[2], void_requested(before, VoidReason::Replaced));
    world.given(PROVIDER, report(before, ReportedOutcome::Voided)).after(DAY_MS);
    world.given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order));
    world.then_types(["order.unheld.v1"]);
    world.given(SELLER, ready(order)).given(PROVIDER, report(payment, took("r", usd(1400))));
    world.given(SELLER, ship(order));
}

#[test]
fn what_ends_on_hold_ends_the_new_one_and_the_order_when_the_hold_is_lifted() {
    let mut world = shop();
    let (order, before, payment) = asked_anew(&mut world, CaptureTime::OnShip);
    world.given(OPERATOR, hold(order, HoldReason::RiskReview));
    world
        .when(PROVIDER, report(before, ReportedOutcome::AuthorizationExpired))
        .then_types(["payment.voided.v1", "payment.void_requested.v1"]);
    world.given(PROVIDER, report(payment, ReportedOutcome::Voided));
    world.given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order));
    then_cancelled(&world, order, CancelledBy::AuthorizationExpired);
}

#[test]
fn an_order_is_authorised_anew_by_its_buyer_and_through_a_provider() {
    let mut world = shop();
    let (order, _) = authorized(&mut world, CaptureTime::OnShip);
    world.when(OTHER_BUYER, pay(order)).then_rejected([Rejection::NotYourOrder { order }]);
    let nobody = commands::command::PayOrder { method: method(SELLER, "tok"), order };
    let no_provider = Rejection::RoleMissing { account: SELLER.account(), role: Role::Provider };
    world.when(BUYER, nobody).then_rejected([no_provider]);
    expire(&mut world);
    let state = OrderState::Cancelled;
    world.when(BUYER, pay(order)).then_rejected([Rejection::OrderState { order, state }]);
}
