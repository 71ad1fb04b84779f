//! Orders whose risk somebody is to look at.

use commands::command::{ClaimReview, DecideReview, LabelOrder, Standing};
use commands::order::CLAIM_MS;
use commands::payment::CAPTURE_MARGIN_MS;
use commands::risk::REVIEW_MARGIN_MS;
use events::ids::OrderId;
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::hold::HoldReason;
use events::payment::CaptureTime;
use events::rejection::{ChargebackRejection, OrderState, RiskRejection};
use events::risk::rules::Verdict;
use events::risk::{Label, ReviewClaimed, ReviewDecided, ReviewOpened};
use events::{Event, Rejection, Timestamp};
use serde_json::json;

use super::*;
use crate::support::chargebacks::*;
use crate::support::*;

/// A market that reviews every purchase.
fn reviewing() -> World {
    judging(&json!({"rules": [above("all", "review", "purchase.amount", 0)]}))
}

fn reviewed(world: &mut World) -> OrderId {
    world.placed(BUYER, place(&[(TEA, 2)], usd(1000)))
}

fn verdict(order: OrderId, verdict: Verdict) -> Command {
    DecideReview { order, verdict }.into()
}

fn claim(order: OrderId) -> Command {
    ClaimReview { order }.into()
}

fn in_review(order: OrderId) -> Rejection {
    Rejection::OrderOnHold { order, reason: HoldReason::RiskReview }
}

fn not_in_review(order: OrderId) -> Rejection {
    RiskRejection::NotInReview { order }.into()
}

fn balance(world: &World, account: LedgerAccount) -> i64 {
    world.market.ledger.balance(account, usd(0).currency).minor
}

fn due(world: &World, order: OrderId) -> Option<Timestamp> {
    let next = world.market.next_deadline()?;
    (next.waiting == Waiting::ReviewDue { order }).then_some(next.due)
}

#[test]
fn an_order_in_review_stands_still_until_an_operator_approves_it() {
    let mut world = reviewing();
    let placed_at = world.now;
    let order = reviewed(&mut world);
    world.then_types([
        "order.placed.v1",
        "escrow.held.v1",
        "order.risk_assessed.v1",
        "order.review_opened.v1",
    ]);
    let opened = ReviewOpened {
        due: placed_at.plus_ms(4 * DAY_MS),
        orders: vec![order],
        sla_by: placed_at.plus_ms(DAY_MS),
        then: Verdict::Decline,
    };
    assert_eq!(world.events()[3], opened.into());
    assert_eq!(due(&world, order), Some(placed_at.plus_ms(4 * DAY_MS)));
    world.after(DAY_MS);
    for (actor, command) in [
        (SELLER, ship(order)),
        (BUYER, cancel(order)),
        (OPERATOR, cancel(order)),
        (OPERATOR, hold(order, HoldReason::Operator)),
        (OPERATOR, unhold(order)),
    ] {
        world.when(actor, command).then_rejected([in_review(order)]);
    }
    // The seller has the time to ship that he had.
    let ship_by = DeadlineStamp { due: placed_at.plus_ms(15 * DAY_MS), waiting: Waiting::ShipBy { order } };
    let (by, deadlines) = (Some(OPERATOR.account()), vec![ship_by]);
    world.when(OPERATOR, verdict(order, Verdict::Approve)).then_events([ReviewDecided {
        by,
        deadlines,
        order,
        verdict: Verdict::Approve,
    }
    .into()]);
    assert_eq!(world.market.next_deadline(), Some(ship_by));
    world.when(OPERATOR, verdict(order, Verdict::Decline)).then_rejected([not_in_review(order)]);
    world.given(SELLER, ship(order));
    then_folds_the_same(&world);
}

#[test]
fn what_is_declined_is_cancelled_and_paid_back() {
    let mut world = reviewing();
    let order = reviewed(&mut world);
    world.when(OPERATOR, verdict(order, Verdict::Decline)).then_types([
        "order.review_decided.v1",
        "order.cancelled.v2",
        "escrow.refunded.v2",
    ]);
    assert_eq!(balance(&world, LedgerAccount::Wallet(BUYER.account())), 100_000);
    assert_eq!(world.market.orders.recently_closed(order).unwrap().state, OrderState::Cancelled);
    assert_eq!(world.market.next_deadline(), None);
    let closed = Rejection::OrderState { order, state: OrderState::Cancelled };
    world.when(OPERATOR, verdict(order, Verdict::Approve)).then_rejected([closed]);
    then_folds_the_same(&world);
}

#[test]
fn what_nobody_decides_is_decided_as_the_rules_say() {
    for (then, types) in [
        ("approve", vec!["order.review_decided.v1"]),
        ("decline", vec!["order.review_decided.v1", "order.cancelled.v2", "escrow.refunded.v2"]),
    ] {
        let mut world = judging(&json!({
            "rules": [above("all", "review", "purchase.amount", 0)],
            "review": {"decide_within_ms": 5_000, "sla_ms": 9_000, "then": then},
        }));
        let (order, placed_at) = (reviewed(&mut world), world.now);
        let Event::ReviewOpened(opened) = &world.events()[3] else { panic!("{:?}", world.events()) };
        assert_eq!(opened.sla_by, placed_at.plus_ms(5_000), "not later than it is over");
        world.when_deadline();
        assert_eq!(world.now, placed_at.plus_ms(5_000));
        assert_eq!(world.events().iter().map(Event::type_name).collect::<Vec<_>>(), types);
        let Event::ReviewDecided(decided) = &world.events()[0] else { panic!("{:?}", world.events()) };
        assert_eq!((decided.by, decided.order), (None, order));
        then_folds_the_same(&world);
    }
}

#[test]
fn a_review_is_one_operators_for_a_quarter_of_an_hour() {
    let mut world = reviewing();
    let order = reviewed(&mut world);
    let (by, until) = (OPERATOR.account(), world.now.plus_ms(CLAIM_MS));
    world.when(OPERATOR, claim(order)).then_events([ReviewClaimed { by, order, until }.into()]);
    let claimed: Rejection = RiskRejection::ReviewClaimed { by, order, until }.into();
    world.when(OTHER_OPERATOR, claim(order)).then_rejected([claimed.clone()]);
    world.when(OTHER_OPERATOR, verdict(order, Verdict::Approve)).then_rejected([claimed]);
    // He may go on with it; after that it is anybody's.
    world.after(CLAIM_MS / 2).when(OPERATOR, claim(order)).then_types(["order.review_claimed.v1"]);
    world.after(CLAIM_MS).when(OTHER_OPERATOR, claim(order)).then_types(["order.review_claimed.v1"]);
    world.when(OTHER_OPERATOR, verdict(order, Verdict::Approve)).then_types(["order.review_decided.v1"]);
    world.when(OTHER_OPERATOR, claim(order)).then_rejected([not_in_review(order)]);
    then_folds_the_same(&world);
}

#[test]
fn an_order_by_card_is_reviewed_when_it_is_paid() {
    let mut world = reviewing();
    let order = world.placed(BUYER, place_by_card(&[(TEA, 1)], usd(500), None));
    world.then_types(["order.placed.v1", "payment.requested.v1", "order.risk_assessed.v1"]);
    world.when(OPERATOR, verdict(order, Verdict::Decline)).then_rejected([not_in_review(order)]);
    let payment = PaymentId::derive(BUYER.account(), world.log.iter().rev().find_map(placed_by).unwrap());
    world.when(PROVIDER, report(payment, took("r", usd(500)))).then_types([
        "payment.captured.v1",
        "escrow.held.v1",
        "order.paid.v1",
        "order.review_opened.v1",
    ]);
    world.when(SELLER, ship(order)).then_rejected([in_review(order)]);
    world.when(OPERATOR, verdict(order, Verdict::Decline)).then_types([
        "order.review_decided.v1",
        "order.cancelled.v2",
        "escrow.refunded.v2",
        "payment.refund_requested.v1",
    ]);
    then_folds_the_same(&world);
}

use events::Commit;
use events::ids::{CommandId, PaymentId};
use events::metadata::Cause;

/// Gives the command that placed orders in a commit.
fn placed_by(commit: &Commit) -> Option<CommandId> {
    let Cause::Command(stamp) = &commit.start().cause else { return None };
    (stamp.name == "order.place").then_some(stamp.command)
}

#[test]
fn an_order_whose_money_is_held_is_decided_before_the_provider_lets_go() {
    let mut world = reviewing();
    let capture = CaptureTime::OnShip;
    let order = world.placed(BUYER, place_captured(capture, &[(TEA, 1)], usd(500), None));
    let payment = world.payment();
    // The market lets go a day before, and the review ends an hour before that.
    let until = world.now.plus_ms(3 * DAY_MS);
    world.when(PROVIDER, report(payment, held(usd(500), until))).then_types([
        "payment.authorized.v1",
        "order.authorized.v1",
        "order.review_opened.v1",
    ]);
    let latest = until.plus_ms(-CAPTURE_MARGIN_MS - REVIEW_MARGIN_MS);
    let Event::ReviewOpened(opened) = &world.events()[2] else { panic!("{:?}", world.events()) };
    assert_eq!(opened.due, latest);
    world.when(SELLER, ready(order)).then_rejected([in_review(order)]);
    // It is told that the money is about to be let go, and then nobody has looked: nothing was taken, and nothing is.
    world.when_deadline().then_types(["order.authorization_expiring.v1"]);
    world.when_deadline();
    assert_eq!(world.now, latest);
    world.then_types([
        "order.review_decided.v1",
        "order.cancelled.v2",
        "escrow.refunded.v2",
        "payment.void_requested.v1",
    ]);
    then_folds_the_same(&world);
}

#[test]
fn an_order_whose_money_is_held_goes_on_when_it_is_approved_and_is_not_reviewed_again() {
    let mut world = reviewing();
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 1)], usd(500), None));
    let payment = world.payment();
    let until = world.now.plus_ms(7 * DAY_MS);
    world.given(PROVIDER, report(payment, held(usd(500), until)));
    world.given(OPERATOR, verdict(order, Verdict::Approve)).given(SELLER, ready(order));
    world.when(PROVIDER, report(payment, took("r", usd(500)))).then_types([
        "payment.captured.v1",
        "escrow.held.v1",
        "order.paid.v1",
    ]);
    world.given(SELLER, ship(order));
}

#[test]
fn an_order_whose_money_is_held_anew_is_reviewed_before_the_first_provider_lets_go() {
    let mut world =
        judging(&json!({"payments": true, "rules": [above("anew", "review", "account.purchases.7d", 0)]}));
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 1)], usd(500), None));
    let first = world.payment();
    let until = world.now.plus_ms(7 * DAY_MS);
    world.given(PROVIDER, report(first, held(usd(500), until)));
    assert!(world.market.orders.get(order).unwrap().review().is_none(), "it was the first purchase");
    world.after(3 * DAY_MS).when(BUYER, pay(order)).then_types([
        "payment.requested.v1",
        "order.risk_assessed.v1",
        "order.review_opened.v1",
    ]);
    let Event::ReviewOpened(opened) = &world.events()[2] else { panic!("{:?}", world.events()) };
    assert_eq!(opened.due, until.plus_ms(-CAPTURE_MARGIN_MS - REVIEW_MARGIN_MS));
    let second = world.payment();
    world.when(SELLER, ready(order)).then_rejected([in_review(order)]);
    // The other provider holds it meanwhile: the review goes on, and is decided once.
    let until = world.now.plus_ms(7 * DAY_MS);
    world.when(PROVIDER, report(second, held(usd(500), until))).then_types([
        "payment.authorized.v1",
        "order.authorized.v1",
        "payment.void_requested.v1",
    ]);
    world.when(SELLER, ready(order)).then_rejected([in_review(order)]);
    world.given(OPERATOR, verdict(order, Verdict::Approve)).given(SELLER, ready(order));
    world.given(PROVIDER, report(second, took("r", usd(500)))).given(SELLER, ship(order));
    then_folds_the_same(&world);
}

#[test]
fn a_purchase_paid_out_of_the_wallet_after_all_is_reviewed_too() {
    let mut world = reviewing();
    let order = world.placed(BUYER, place_by_card(&[(TEA, 1)], usd(500), None));
    world.given(BUYER, set_up(order, BUYER, SELLER, usd(500)));
    assert!(world.events().iter().any(|event| matches!(event, Event::ReviewOpened(_))));
    world.when(SELLER, ship(order)).then_rejected([in_review(order)]);
}

#[test]
fn all_orders_of_a_purchase_are_reviewed_each_by_itself() {
    let mut world = reviewing();
    let first = world.placed(BUYER, place(&[(TEA, 1), (CUP, 1)], usd(800)));
    let second = world.order(1);
    world
        .given(OPERATOR, verdict(first, Verdict::Decline))
        .given(OPERATOR, verdict(second, Verdict::Approve));
    let seller = if world.market.orders.get(second).unwrap().seller == SELLER.account() {
        SELLER
    } else {
        OTHER_SELLER
    };
    world.given(seller, ship(second));
    assert!(world.market.orders.get(first).is_none());
}

#[test]
fn what_a_bank_disputes_meanwhile_waits_for_the_bank() {
    for is_won in [true, false] {
        let mut world = reviewing();
        let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(500), None);
        assert!(due(&world, order).is_some());
        world.after(DAY_MS).given(PROVIDER, says(payment, usd(500), Standing::NeedsResponse));
        assert_eq!(due(&world, order), None, "the bank decides first");
        let disputed: Rejection = ChargebackRejection::PaymentDisputed { order }.into();
        world.when(OPERATOR, verdict(order, Verdict::Approve)).then_rejected([disputed]);
        world.after(30 * DAY_MS);
        let standing = if is_won { Standing::Won } else { Standing::Lost };
        world.given(PROVIDER, says(payment, usd(500), standing));
        world.when(SELLER, ship(order)).then_rejected([in_review(order)]);
        assert!(due(&world, order).is_some(), "its time is over by now");
        world.when_deadline();
        assert_eq!(world.events()[0].type_name(), "order.review_decided.v1");
        assert!(world.market.orders.get(order).is_none(), "it is declined, or nothing of it is left");
        assert!(world.market.ledger.sums().values().all(|sum| *sum == 0));
        then_folds_the_same(&world);
    }
}

#[test]
fn an_order_is_labelled_open_or_closed_as_often_as_somebody_knows_better() {
    let mut world = reviewing();
    let order = reviewed(&mut world);
    let label = |label, note: Option<&str>| LabelOrder { label, note: note.map(text), order };
    world.when(OPERATOR, label(Label::Fraud, Some("stolen card"))).then_types(["order.labelled.v1"]);
    world.given(OPERATOR, verdict(order, Verdict::Decline));
    world.when(OTHER_OPERATOR, label(Label::Good, None));
    let [Event::OrderLabelled(labelled)] = world.events() else { panic!("{:?}", world.events()) };
    assert_eq!((labelled.buyer, labelled.label), (BUYER.account(), Label::Good));
    let unknown = OrderId::from_uuid(uuid::Uuid::nil());
    let label = LabelOrder { label: Label::Good, note: None, order: unknown };
    world.when(OPERATOR, label).then_rejected([Rejection::OrderUnknown { order: unknown }]);
}
