//! Orders that a provider pays, alone or together with the wallet: until it has, they wait.

mod set_up;

use crate::support::*;
use commands::command::{PlaceOrder, ReportedOutcome};
use commands::order::Stage;
use commands::payment::{RECENT_CLOSED_PAYMENTS_MAX, REQUEST_MS, Wish};
use commands::{Command, Facts, Refusal};
use events::account::Role;
use events::ids::{OrderId, PaymentId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{Cancelled, CancelledBy, EscrowHeld, EscrowRefunded, Paid, PaymentDue};
use events::payment::{CaptureTime, RefundRequested, Requested, VoidReason, VoidRequested};
use events::rejection::OrderState;
use events::{Event, Money, Rejection};

/// Tea for 5 dollars, cups of another seller for 3, and a buyer with 100 dollars in his wallet.
fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(OTHER_SELLER, CUP, usd(300), 10)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

fn clearing() -> LedgerAccount {
    LedgerAccount::ProviderClearing(PROVIDER.account())
}

fn transfer(minor: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount: usd(minor), from, to }
}

#[track_caller]
fn then_holds(world: &World, account: LedgerAccount, minor: i64) {
    assert_eq!(world.market.ledger.balance(account, usd(0).currency), usd(minor), "{account}");
    assert!(world.market.ledger.sums().values().all(|sum| *sum == 0));
}

fn reserved(world: &World, n: u64) -> u64 {
    world.market.listings.get(listing(n)).unwrap().stock.reserved
}

fn state(world: &World, order: OrderId) -> OrderState {
    match world.market.orders.get(order) {
        Some(open) => open.state(),
        None => world.market.orders.recently_closed(order).unwrap().state,
    }
}

/// Two teas for 10 dollars by card.
fn awaited(world: &mut World) -> (OrderId, PaymentId) {
    let order = world.placed(BUYER, place_by_card(&[(TEA, 2)], usd(1000), None));
    (order, world.payment())
}

/// Lets the provider take an amount for a payment.
fn takes(world: &mut World, payment: PaymentId, minor: i64) {
    let until = world.now.plus_ms(7 * DAY_MS);
    world
        .given(PROVIDER, report(payment, held(usd(minor), until)))
        .given(PROVIDER, report(payment, took(&format!("ref {payment}"), usd(minor))));
}

fn refuses(retryable: bool) -> ReportedOutcome {
    ReportedOutcome::Failed { code: text("insufficient_funds"), retryable }
}

// Placing.

#[test]
fn an_order_by_card_waits_for_its_payment_with_its_stock_reserved() {
    let mut world = shop();
    world.when(BUYER, place_by_card(&[(TEA, 2)], usd(1000), None));
    let (order, payment) = (world.order(0), world.payment());
    let expires_at = world.now.plus_ms(REQUEST_MS);
    let requested = Requested {
        account: BUYER.account(),
        amount: usd(1000),
        capture: CaptureTime::AtOnce,
        expires_at,
        orders: vec![order],
        payment,
        provider: PROVIDER.account(),
        replaces: None,
        to: wallet(),
        token: "tok_approve".to_owned(),
    };
    let [Event::OrderPlaced(placed), request] = world.events() else { panic!("{:?}", world.events()) };
    assert_eq!(
        placed.payment,
        Some(PaymentDue { amount: usd(1000), capture: CaptureTime::AtOnce, expires_at, payment })
    );
    assert_eq!(*request, requested.into());
    world.when_again().then_repeat();
    assert_eq!((state(&world, order), reserved(&world, TEA)), (OrderState::AwaitingPayment, 2));
    then_holds(&world, wallet(), 10_000);
    then_holds(&world, LedgerAccount::Escrow(order), 0);
    let awaits = || Rejection::OrderState { order, state: OrderState::AwaitingPayment };
    world
        .when(SELLER, ship(order))
        .then_rejected([awaits()])
        .when(BUYER, confirm(order))
        .then_rejected([awaits()])
        .when(BUYER, cancel_units(order, &[(TEA, 1)]))
        .then_rejected([awaits()]);
}

#[test]
fn what_the_provider_takes_goes_to_the_escrow_and_confirms_the_order() {
    let mut world = shop();
    let (order, payment) = awaited(&mut world);
    let until = world.now.plus_ms(7 * DAY_MS);
    world.given(PROVIDER, report(payment, held(usd(1000), until)));
    let waiting = Waiting::PaymentDue { order };
    assert_eq!(
        world.market.orders.get(order).unwrap().stage,
        Stage::AwaitingPayment { expires_at: until },
        "as long as the provider holds the money, the order waits for it"
    );
    assert_eq!(
        world.market.ledger.pending().map(|(_, one)| *one).collect::<Vec<_>>(),
        [transfer(1000, clearing(), wallet())]
    );
    let ship_by = world.after(SECOND_MS).now.plus_ms(14 * DAY_MS);
    world.when(PROVIDER, report(payment, took("r", usd(1000)))).then_types([
        "payment.captured.v1",
        "escrow.held.v1",
        "order.paid.v1",
    ]);
    let held =
        EscrowHeld { order, release: None, transfer: transfer(1000, wallet(), LedgerAccount::Escrow(order)) };
    assert_eq!(
        world.events()[1..],
        [held.into(), Paid { accept_by: None, order, payment: Some(payment), ship_by }.into()]
    );
    assert_eq!(
        world.market.next_deadline(),
        Some(DeadlineStamp { due: ship_by, waiting: Waiting::ShipBy { order } }),
        "{waiting:?} is over"
    );
    assert_eq!(world.market.ledger.pending().count(), 0);
    then_holds(&world, wallet(), 10_000);
    then_holds(&world, LedgerAccount::Escrow(order), 1000);
    then_holds(&world, clearing(), -11_000);
    // The provider says it again, and late what came before.
    world
        .when(PROVIDER, report(payment, took("r", usd(1000))))
        .then_unchanged()
        .when(PROVIDER, report(payment, held_until(1000, until)))
        .then_unchanged()
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order));
    then_holds(&world, LedgerAccount::SellerAvailable(SELLER.account()), 975);
}

fn held_until(minor: i64, until: events::Timestamp) -> ReportedOutcome {
    held(usd(minor), until)
}

#[test]
fn wallet_and_card_pay_the_orders_of_a_purchase_together_and_nothing_is_lost() {
    let mut world = shop();
    // 10 dollars of tea and 9 of cups; 7.77 from the wallet.
    world.when(BUYER, place_by_card(&[(TEA, 2), (CUP, 3)], usd(1900), Some(usd(777)))).then_types([
        "order.placed.v1",
        "escrow.held.v1",
        "order.placed.v1",
        "escrow.held.v1",
        "payment.requested.v1",
    ]);
    let (one, other, payment) = (world.order(0), world.order(1), world.payment());
    let of = |world: &World, order| {
        let order = world.market.orders.get(order).unwrap();
        (order.escrow.funded, order.card.as_ref().unwrap().amount_minor, order.total.minor)
    };
    let (first, second) = (of(&world, one), of(&world, other));
    assert_eq!(first.0 + second.0, 777);
    assert_eq!((first.0 + first.1, second.0 + second.1), (first.2, second.2));
    assert_eq!(first.0, 777 * first.2 / 1900, "each order gets of the wallet what it costs of the whole");
    then_holds(&world, wallet(), 10_000 - 777);
    takes(&mut world, payment, 1900 - 777);
    for order in [one, other] {
        let open = world.market.orders.get(order).unwrap();
        assert_eq!((open.stage, open.escrow.funded), (Stage::Confirmed, open.total.minor));
    }
    then_holds(&world, wallet(), 10_000 - 777);
}

#[test]
fn a_wallet_that_can_pay_all_asks_nobody_else() {
    let mut world = shop();
    world
        .when(BUYER, place_by_card(&[(TEA, 2)], usd(1000), Some(usd(5000))))
        .then_types(["order.placed.v1", "escrow.held.v1"]);
    let order = world.order(0);
    assert_eq!(state(&world, order), OrderState::Placed);
    then_holds(&world, wallet(), 9000);
}

#[test]
fn a_cart_is_paid_by_card_too() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 1));
    let cart = world.cart(BUYER);
    let command = commands::command::MigrateCart::new(cart, by_provider(PROVIDER, None), usd(500));
    world.when(BUYER, command).then_types(["order.placed.v1", "payment.requested.v1", "cart.migrated.v1"]);
    let (order, payment) = (world.order(0), world.payment());
    takes(&mut world, payment, 500);
    assert_eq!(state(&world, order), OrderState::Placed);
}

#[test]
fn a_purchase_that_can_not_be_paid_so_is_rejected_with_every_reason() {
    let mut world = shop();
    let lines = [(TEA, 2)];
    let role = Rejection::RoleMissing { account: SELLER.account(), role: Role::Provider };
    let funds = Rejection::InsufficientFunds { available: usd(0), required: usd(1) };
    let currency = Rejection::TenderCurrency { expected: usd(0).currency, found: eur(0).currency };
    world
        .when(OTHER_BUYER, place_with(by_provider(SELLER, Some(usd(1))), &lines, usd(1000)))
        .then_rejected([role, funds])
        .when(BUYER, place_by_card(&lines, usd(1000), Some(eur(1))))
        .then_rejected([currency])
        .when(BUYER, place_by_card(&lines, usd(1000), Some(usd(0))))
        .then_rejected([Rejection::AmountNotPositive])
        .when(BUYER, place_by_card(&lines, usd(999), None))
        .then_rejected([Rejection::TotalMismatch { signed: usd(999), actual: usd(1000) }]);
}

// Refusals and other cards.

#[test]
fn a_refused_card_is_followed_by_another_until_the_time_is_over() {
    let mut world = shop();
    let (order, first) = awaited(&mut world);
    let pay_by = world.now.plus_ms(REQUEST_MS);
    let under_way = |payment| Rejection::PaymentUnderWay { order, payment };
    world
        .after(SECOND_MS)
        .when(BUYER, pay(order))
        .then_rejected([under_way(first)])
        .when(PROVIDER, report(first, refuses(true)))
        .then_types(["payment.failed.v1"])
        .when(OTHER_BUYER, pay(order))
        .then_rejected([Rejection::NotYourOrder { order }])
        .when(BUYER, pay(order))
        .then_types(["payment.requested.v1"])
        .when_again()
        .then_repeat();
    let second = world.payment();
    let [Event::PaymentRequested(requested)] = world
        .log
        .last()
        .map(|commit| commit.events())
        .unwrap()
        .iter()
        .map(|one| &one.event)
        .collect::<Vec<_>>()[..]
    else {
        panic!("no request")
    };
    assert_eq!(
        (requested.expires_at, &requested.orders[..]),
        (pay_by, &[order][..]),
        "no more time than before"
    );
    world.when(BUYER, pay(order)).then_rejected([under_way(second)]);
    takes(&mut world, second, 1000);
    assert_eq!(state(&world, order), OrderState::Placed);
    world
        .when(BUYER, pay(order))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Placed }])
        .given(BUYER, cancel(order))
        .when(BUYER, pay(order))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Cancelled }]);
    let rule = "the account has no role that may give this command".into();
    world.when(SELLER, pay(order)).then_refused(Refusal::ScopeDenied { rule });
}

#[test]
fn all_orders_of_a_payment_are_paid_anew_together() {
    let mut world = shop();
    let one = world.placed(BUYER, place_by_card(&[(TEA, 2), (CUP, 3)], usd(1900), None));
    let (other, first) = (world.order(1), world.payment());
    world
        .given(PROVIDER, report(first, refuses(true)))
        .when(BUYER, pay(other))
        .then_types(["payment.requested.v1"]);
    let second = world.payment();
    assert_eq!(world.market.payments.get(second).unwrap().amount, usd(1900));
    takes(&mut world, second, 1900);
    assert_eq!([state(&world, one), state(&world, other)], [OrderState::Placed; 2]);
}

#[test]
fn a_refusal_for_good_cancels_the_orders() {
    let mut world = shop();
    let order = world.placed(BUYER, place_by_card(&[(TEA, 2)], usd(1000), Some(usd(250))));
    let payment = world.payment();
    world.when(PROVIDER, report(payment, refuses(false)));
    let back = transfer(250, LedgerAccount::Escrow(order), wallet());
    let cancelled = Cancelled {
        by: CancelledBy::PaymentFailed,
        lines: line_units(&[(TEA, 2, usd(1000))]),
        order,
        reason: None,
        shipping: None,
        uncharged: None,
    };
    assert_eq!(world.events()[1..], [cancelled.into(), refunded(order, Some(back))]);
    assert_eq!((state(&world, order), reserved(&world, TEA)), (OrderState::Cancelled, 0));
    assert_eq!(world.market.next_deadline(), None);
    then_holds(&world, wallet(), 10_000);
}

fn refunded(order: OrderId, transfer: Option<Transfer>) -> Event {
    EscrowRefunded {
        buyer: BUYER.account(),
        closed_as: Some(OrderState::Cancelled),
        order,
        remaining: None,
        seller: SELLER.account(),
        transfer,
    }
    .into()
}

// Deadlines.

#[test]
fn an_order_that_is_not_paid_in_time_is_cancelled_and_its_payment_given_up() {
    let mut world = shop();
    let order = world.placed(BUYER, place_by_card(&[(TEA, 2)], usd(1000), Some(usd(250))));
    let payment = world.payment();
    let due = world.now.plus_ms(REQUEST_MS);
    world.when_deadline().then_types(["payment.void_requested.v1"]);
    world.when_deadline();
    assert_eq!(world.now, due);
    let back = transfer(250, LedgerAccount::Escrow(order), wallet());
    let lines = line_units(&[(TEA, 2, usd(1000))]);
    let cancelled = Cancelled {
        by: CancelledBy::PaymentDeadline,
        lines,
        order,
        reason: None,
        shipping: None,
        uncharged: None,
    };
    world.then_events([cancelled.into(), refunded(order, Some(back))]);
    assert_eq!((reserved(&world, TEA), world.market.next_deadline()), (0, None));
    then_holds(&world, wallet(), 10_000);
    assert_eq!(wishes_of(&world.market), [Wish::Void]);
    // The money was taken all the same: it is the buyer's.
    world.when(PROVIDER, report(payment, took("r", usd(750)))).then_types(["payment.captured.v1"]);
    then_holds(&world, wallet(), 10_750);
}

#[test]
fn an_order_whose_money_the_provider_lets_go_of_has_no_more_time_than_before() {
    let mut world = shop();
    let (order, payment) = awaited(&mut world);
    let pay_by = world.now.plus_ms(REQUEST_MS);
    let until = world.now.plus_ms(DAY_MS);
    world
        .given(PROVIDER, report(payment, held(usd(1000), until)))
        .given(BUYER, give_up(payment))
        .given(PROVIDER, report(payment, ReportedOutcome::Voided));
    assert_eq!(world.market.orders.get(order).unwrap().stage, Stage::AwaitingPayment { expires_at: pay_by });
    assert_eq!(world.market.ledger.pending().count(), 0, "what was pending ended with its payment");
    world.when_deadline().then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    assert_eq!(world.now, pay_by);
    // If nobody captures it, the provider's time ends it.
    let (order, payment) = awaited(&mut world);
    let until = world.now.plus_ms(DAY_MS);
    world
        .given(PROVIDER, report(payment, held(usd(1000), until)))
        .when_deadline()
        .then_types(["payment.void_requested.v1"])
        .when_deadline()
        .then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    assert_eq!((world.now, state(&world, order)), (until, OrderState::Cancelled));
}

// Money that is not what was asked for.

#[test]
fn money_that_does_not_suffice_pays_the_orders_it_can_and_the_rest_is_the_buyers() {
    let mut world = shop();
    world.given(BUYER, place_by_card(&[(TEA, 2), (CUP, 3)], usd(1900), None));
    let payment = world.payment();
    let orders = [world.order(0), world.order(1)];
    takes(&mut world, payment, 950);
    let states = orders.map(|order| state(&world, order));
    assert!(states.contains(&OrderState::AwaitingPayment), "{states:?}");
    let escrows: i64 = orders
        .iter()
        .map(|order| world.market.ledger.balance(LedgerAccount::Escrow(*order), usd(0).currency).minor)
        .sum();
    then_holds(&world, wallet(), 10_000 + 950 - escrows);
    let waits = *orders.iter().find(|order| state(&world, **order) == OrderState::AwaitingPayment).unwrap();
    world.given(BUYER, pay(waits));
    let second = world.payment();
    let missing = world.market.orders.get(waits).unwrap().total.minor;
    takes(&mut world, second, missing);
    assert_eq!(state(&world, waits), OrderState::Placed);
}

#[test]
fn a_payment_that_was_said_to_have_failed_and_brought_money_pays_what_waits_for_it() {
    let mut world = shop();
    let (order, payment) = awaited(&mut world);
    world
        .given(PROVIDER, report(payment, refuses(true)))
        .when(PROVIDER, report(payment, took("r", usd(1000))))
        .then_types(["payment.captured.v1", "escrow.held.v1", "order.paid.v1"]);
    assert_eq!(state(&world, order), OrderState::Placed);
    // What waits for another payment already is not its.
    let (order, payment) = awaited(&mut world);
    world
        .given(PROVIDER, report(payment, refuses(true)))
        .given(BUYER, pay(order))
        .when(PROVIDER, report(payment, took("s", usd(1000))))
        .then_types(["payment.captured.v1"]);
    then_holds(&world, wallet(), 11_000);
}

// Where sellers accept orders.

#[test]
fn a_sellers_time_to_accept_begins_when_the_order_is_paid() {
    let mut world = World::accepting();
    world.given_listing(SELLER, TEA, usd(500), 10);
    world.when(BUYER, place_by_card(&[(TEA, 2)], usd(1000), None));
    let (order, payment) = (world.order(0), world.payment());
    let [Event::OrderPlaced(placed), _] = world.events() else { panic!("{:?}", world.events()) };
    assert_eq!(placed.accept_by, None);
    let awaits = || Rejection::OrderState { order, state: OrderState::AwaitingPayment };
    world
        .when(SELLER, accept(order))
        .then_rejected([awaits()])
        .when(SELLER, decline(order))
        .then_rejected([awaits()])
        .after(3 * 60 * SECOND_MS);
    let accept_by = world.now.plus_ms(2 * DAY_MS);
    let ship_by = accept_by.plus_ms(14 * DAY_MS);
    takes(&mut world, payment, 1000);
    let paid = Paid { accept_by: Some(accept_by), order, payment: Some(payment), ship_by };
    assert_eq!(world.events()[2..], [paid.into()]);
    let waits = DeadlineStamp { due: accept_by, waiting: Waiting::AcceptBy { order } };
    assert_eq!(
        (state(&world, order), world.market.next_deadline()),
        (OrderState::AwaitingSeller, Some(waits))
    );
    world.when(SELLER, accept(order)).then_types(["order.accepted.v1"]).given(SELLER, ship(order));
}

#[test]
fn what_a_seller_declines_or_does_not_accept_goes_back_to_the_card() {
    let back = ["order.cancelled.v2", "escrow.refunded.v2", "payment.refund_requested.v1"];
    let mut world = World::accepting();
    world.given_listing(SELLER, TEA, usd(500), 10);
    let (declined, payment) = awaited(&mut world);
    takes(&mut world, payment, 1000);
    world.when(SELLER, decline(declined)).then_types(back);
    let (_, payment) = awaited(&mut world);
    takes(&mut world, payment, 1000);
    world.when_deadline().then_types(back);
    then_holds(&world, wallet(), 0);
    then_holds(&world, LedgerAccount::RefundsPayable, 2000);
}

// Giving back.

#[test]
fn what_a_seller_gives_back_of_a_shipment_goes_back_to_where_it_came_from() {
    let mut world = shop();
    let order = world.placed(BUYER, place_by_card(&[(TEA, 3)], usd(1500), Some(usd(500))));
    let payment = world.payment();
    takes(&mut world, payment, 1000);
    let mut refunds = Vec::new();
    world.given(SELLER, ship(order));
    for (gives, by_card) in [(100, 67), (100, 66), (1300, 867)] {
        world.when(SELLER, refund(order, 1, usd(gives)));
        let [_, _, Event::RefundRequested(requested)] = world.events() else {
            panic!("{:?}", world.events())
        };
        assert_eq!(requested.transfer, transfer(by_card, wallet(), LedgerAccount::RefundsPayable));
        refunds.push(requested.refund);
    }
    refunds.dedup();
    assert_eq!(refunds.len(), 3, "each is a refund of its own");
    assert_eq!(world.market.payments.refunds().count(), 3);
    then_holds(&world, wallet(), 10_000);
    then_holds(&world, LedgerAccount::RefundsPayable, 1000);
}

#[test]
fn taxes_and_delivery_are_paid_by_card_and_go_back_with_what_is_never_shipped() {
    let mut world = shop();
    world.given(OPERATOR, tax("DE", None, 2000)).given(SELLER, set_rate("post", None, rate(250, None, None)));
    let Command::PlaceOrder(asked) = place_by_card(&[(TEA, 2)], usd(1500), None) else { unreachable!() };
    let order = world.placed(BUYER, PlaceOrder { delivery: to("DE"), ..asked }.into());
    let payment = world.payment();
    // Two teas and the post, and a fifth of both.
    assert_eq!(world.market.payments.get(payment).unwrap().amount, usd(1500));
    takes(&mut world, payment, 1500);
    then_holds(&world, LedgerAccount::Escrow(order), 1500);
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    then_holds(&world, LedgerAccount::RefundsPayable, 600);
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    then_holds(&world, LedgerAccount::RefundsPayable, 1500);
    then_holds(&world, wallet(), 10_000);
}

// Cancelling.

#[test]
fn an_order_that_waits_is_cancelled_with_its_payment_unless_others_need_it() {
    let mut world = shop();
    let (order, payment) = awaited(&mut world);
    world.when(BUYER, cancel(order));
    let void = VoidRequested {
        account: BUYER.account(),
        because: VoidReason::Cancelled,
        payment,
        provider: PROVIDER.account(),
    };
    assert_eq!(world.events()[1..], [refunded(order, None), void.into()]);
    world.given(BUYER, place_by_card(&[(TEA, 2), (CUP, 3)], usd(1900), None));
    let (one, other, payment) = (world.order(0), world.order(1), world.payment());
    world.when(BUYER, cancel(one)).then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    takes(&mut world, payment, 1900);
    assert_eq!(state(&world, other), OrderState::Placed);
    let of_other = world.market.orders.get(other).unwrap().total.minor;
    then_holds(&world, wallet(), 10_000 + 1900 - of_other);
}

#[test]
fn what_is_cancelled_goes_back_to_where_it_came_from_to_the_last_cent() {
    let mut world = shop();
    // 15 dollars, of which the wallet pays 4.01.
    let order = world.placed(BUYER, place_by_card(&[(TEA, 3)], usd(1500), Some(usd(401))));
    let payment = world.payment();
    takes(&mut world, payment, 1099);
    then_holds(&world, wallet(), 9599);
    world.when(BUYER, cancel_units(order, &[(TEA, 1)]));
    // A third of what the provider brought is 366.33.
    let requested = RefundRequested {
        account: BUYER.account(),
        captured: usd(1099),
        order: Some(order),
        payment,
        provider: PROVIDER.account(),
        reference: format!("ref {payment}"),
        refund: RefundId::of_order(order, payment, 0),
        refunded: usd(366),
        transfer: transfer(366, wallet(), LedgerAccount::RefundsPayable),
    };
    assert_eq!(world.events()[2..], [requested.into()]);
    then_holds(&world, wallet(), 9599 + 134);
    // Nobody ships the rest: it goes back the same way.
    world.when_deadline().then_types([
        "order.cancelled.v2",
        "escrow.refunded.v2",
        "payment.refund_requested.v1",
    ]);
    then_holds(&world, wallet(), 10_000);
    then_holds(&world, LedgerAccount::RefundsPayable, 1099);
    let refund = RefundId::of_order(order, payment, 500);
    let refund_failed = ReportedOutcome::RefundFailed { code: text("closed"), refund };
    world.given(PROVIDER, report(payment, refund_failed));
    then_holds(&world, wallet(), 10_000 + 1099 - 366);
}

#[test]
fn no_more_of_a_payment_goes_back_than_came_in() {
    let mut world = shop();
    let (order, payment) = awaited(&mut world);
    takes(&mut world, payment, 1000);
    // The buyer gives the card 7 dollars of his own back.
    world.given(BUYER, give_back(payment, usd(700))).when(SELLER, cancel(order));
    let [_, _, Event::RefundRequested(refund)] = world.events() else { panic!("{:?}", world.events()) };
    assert_eq!((refund.transfer.amount, refund.refunded), (usd(300), usd(1000)));
    then_holds(&world, wallet(), 10_000);
}

#[test]
fn the_payment_of_an_open_order_is_never_forgotten() {
    let mut world = shop();
    let (order, payment) = awaited(&mut world);
    takes(&mut world, payment, 1000);
    for n in 0..=RECENT_CLOSED_PAYMENTS_MAX {
        let failed = closed_payment(n);
        world.given_events([failed]);
    }
    assert!(world.market.forgotten > 0, "others were forgotten meanwhile");
    world.facts = Facts { covered: world.market.forgotten, ..Facts::default() };
    world.when(BUYER, cancel(order)).then_types([
        "order.cancelled.v2",
        "escrow.refunded.v2",
        "payment.refund_requested.v1",
    ]);
    assert!(world.market.payments.recently_closed(payment).is_some());
}

/// A payment that failed, as an old log may hold it: it was never open.
fn closed_payment(n: usize) -> Event {
    let payment = PaymentId::from_uuid(uuid::Uuid::from_u128(n as u128 + 1));
    events::payment::Failed {
        account: OTHER_BUYER.account(),
        amount: Money::new(1, usd(0).currency),
        code: "declined".to_owned(),
        payment,
        provider: PROVIDER.account(),
        retryable: true,
    }
    .into()
}
