//! Payments that a buyer's bank disputes: what a provider says of it, and where the money comes from and goes back to.

mod answers;
mod lost;
mod money;

use crate::support::chargebacks::*;
use crate::support::returns::{approve_return, ask_return, receive_return, send_return, taking_back};
use crate::support::*;
use commands::command::{ReportChargeback, Standing};
use events::chargeback::{ChargebackReason, FeeCharged, Progress, Round};
use events::ids::PaymentId;
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::hold::HoldReason;
use events::rejection::{ChargebackRejection, ChargebackState, PaymentState};
use events::{Event, Money, Rejection};

/// Tea at 10 dollars and cups at 4, and 100 dollars in the buyer's wallet.
fn shop() -> World {
    let mut world = World::new();
    stock(&mut world);
    world
}

fn stock(world: &mut World) {
    world.given_listing(SELLER, TEA, usd(1000), 10).given_listing(OTHER_SELLER, CUP, usd(400), 10);
    world.given(PROVIDER, fund(BUYER, usd(10_000)));
}

fn held(world: &World, account: LedgerAccount) -> i64 {
    world.market.ledger.balance(account, usd(0).currency).minor
}

fn chargebacks() -> LedgerAccount {
    LedgerAccount::ProviderChargebacks(PROVIDER.account())
}

fn available() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

fn receivable() -> LedgerAccount {
    LedgerAccount::SellerReceivable(SELLER.account())
}

/// Where the last decision took money from, and gave it to.
fn moves(world: &World) -> Vec<(LedgerAccount, LedgerAccount, i64)> {
    let transfers = world.events().iter().flat_map(Event::transfers);
    transfers.map(|Transfer { amount, from, to }| (*from, *to, amount.minor)).collect()
}

fn state(world: &World, payment: PaymentId) -> ChargebackState {
    let chargebacks = world.market.payments.chargebacks();
    let id = dispute_of(payment);
    chargebacks.get(id).map_or_else(|| chargebacks.closed(id).unwrap().state(), |open| open.state())
}

fn at(
    standing: Standing,
    more: impl FnOnce(&mut ReportChargeback),
) -> impl FnOnce(PaymentId) -> ReportChargeback {
    move |payment| {
        let mut report = disputed(payment, usd(1000), standing);
        more(&mut report);
        report
    }
}

#[test]
fn an_inquiry_moves_nothing_and_ends() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.when(PROVIDER, says(payment, usd(1000), Standing::Inquiry)).then_types(["chargeback.inquired.v1"]);
    let Event::ChargebackInquired(inquired) = &world.events()[0] else { unreachable!() };
    assert_eq!((inquired.amount, inquired.reason), (usd(1000), ChargebackReason::ItemNotReceived));
    assert_eq!(inquired.orders[0].order, order);
    assert_eq!(moves(&world), []);
    // The order goes on.
    world.given(SELLER, ship(order));
    world
        .when(PROVIDER, says(payment, usd(1000), Standing::InquiryUnderReview))
        .then_types(["chargeback.updated.v1"]);
    world
        .when(PROVIDER, says(payment, usd(1000), Standing::InquiryClosed))
        .then_types(["chargeback.inquiry_closed.v1"]);
    assert_eq!(state(&world, payment), ChargebackState::InquiryClosed);
    // What comes late changes nothing.
    for late in [Standing::Inquiry, Standing::InquiryUnderReview, Standing::InquiryClosed] {
        let late = ReportChargeback { submissions: 7, ..disputed(payment, usd(1000), late) };
        world.when(PROVIDER, late).then_unchanged();
    }
}

#[test]
fn an_inquiry_may_become_a_chargeback() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(PROVIDER, says(payment, usd(1000), Standing::Inquiry));
    world
        .when(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse))
        .then_types(["chargeback.opened.v1"]);
    assert_eq!(moves(&world), [(LedgerAccount::Escrow(order), chargebacks(), 1000)]);
    assert_eq!(state(&world, payment), ChargebackState::NeedsResponse);
}

#[test]
fn whatever_order_a_bank_s_words_come_in_the_same_comes_of_it() {
    let all = [
        Standing::Inquiry,
        Standing::InquiryUnderReview,
        Standing::NeedsResponse,
        Standing::UnderReview,
        Standing::Lost,
    ];
    let mut ends = Vec::new();
    for shift in 0..all.len() {
        let mut world = shop();
        let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
        let words: Vec<_> = all.iter().cycle().skip(shift).take(all.len()).copied().collect();
        for standing in words.iter().chain(words.iter().rev()) {
            world.when(PROVIDER, says(payment, usd(1000), *standing));
            assert!(
                !matches!(world.events()[0], Event::CommandRejected(_)),
                "{standing:?}: {:?}",
                world.events()
            );
        }
        assert_eq!(state(&world, payment), ChargebackState::Lost);
        assert!(world.market.orders.get(order).is_none(), "it is cancelled");
        let balances: Vec<_> = world.market.ledger.balances().collect();
        ends.push(balances);
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
}

#[test]
fn the_same_word_twice_is_one() {
    let mut world = shop();
    let (payment, _) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    world.when(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse)).then_unchanged();
    assert_eq!(held(&world, chargebacks()), 1000);
    // The amount that was taken stands.
    world.when(PROVIDER, says(payment, usd(400), Standing::NeedsResponse)).then_unchanged();
}

#[test]
fn dates_and_counts_are_kept_as_the_provider_gives_them() {
    let mut world = shop();
    let (payment, _) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    let due = world.now.plus_ms(7 * DAY_MS);
    world.given(PROVIDER, at(Standing::NeedsResponse, |report| report.due_by = Some(due))(payment).into());
    let waits =
        |due| DeadlineStamp { due, waiting: Waiting::ChargebackDue { chargeback: dispute_of(payment) } };
    assert_eq!(world.market.next_deadline(), Some(waits(due)));
    let later = due.plus_ms(DAY_MS);
    world
        .when(PROVIDER, at(Standing::NeedsResponse, |report| report.due_by = Some(later))(payment))
        .then_types(["chargeback.updated.v1"]);
    assert_eq!(world.market.next_deadline(), Some(waits(later)));
    world.when(PROVIDER, at(Standing::UnderReview, |report| report.submissions = 1)(payment));
    let Event::ChargebackUpdated(updated) = &world.events()[0] else { panic!("{:?}", world.events()) };
    assert_eq!((updated.progress, updated.submissions, updated.answered), (Progress::UnderReview, 1, true));
    assert_eq!(updated.due_by, Some(later), "what it does not say again stands");
}

#[test]
fn nobody_who_answers_in_time_is_told_and_the_order_goes_on_to_wait() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    let due = world.now.plus_ms(DAY_MS);
    world.given(PROVIDER, at(Standing::NeedsResponse, |report| report.due_by = Some(due))(payment).into());
    world.when_deadline().then_types(["chargeback.past_due.v1"]);
    assert!(world.market.payments.chargebacks().get(dispute_of(payment)).unwrap().is_past_due);
    assert!(world.market.next_deadline().is_none(), "only the bank knows what comes of it");
    world.when(SELLER, evidence(payment, &[]));
    world.then_rejected([ChargebackRejection::EvidenceLate { chargeback: dispute_of(payment) }.into()]);
    // The provider gives more time.
    let later = world.now.plus_ms(DAY_MS);
    world.given(PROVIDER, at(Standing::NeedsResponse, |report| report.due_by = Some(later))(payment).into());
    assert!(!world.market.payments.chargebacks().get(dispute_of(payment)).unwrap().is_past_due);
    world.given(SELLER, evidence(payment, &[]));
    world.when(SELLER, ship(order)).then_rejected([ChargebackRejection::PaymentDisputed { order }.into()]);
}

#[test]
fn the_fee_is_the_platform_s_and_what_is_given_back_of_it_comes_back() {
    let mut world = shop();
    let (payment, _) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    let with_fee = |standing, minor| at(standing, move |report| report.fee = Some(usd(minor)))(payment);
    let (expense, fees) = (LedgerAccount::PlatformExpense, LedgerAccount::ProviderFees(PROVIDER.account()));
    world.when(PROVIDER, with_fee(Standing::NeedsResponse, 150));
    world.then_types(["chargeback.opened.v1", "chargeback.fee_charged.v1"]);
    let transfer = |minor, from, to| Transfer { amount: usd(minor), from, to };
    let charged = |minor, transfer| -> Event {
        let (chargeback, reference) = (dispute_of(payment), DISPUTE.to_owned());
        FeeCharged { chargeback, fee: usd(minor), payment, reference, transfer }.into()
    };
    assert_eq!(world.events()[1], charged(150, transfer(150, expense, fees)));
    world.when(PROVIDER, with_fee(Standing::NeedsResponse, 200));
    world.then_events([charged(200, transfer(50, expense, fees))]);
    world.when(PROVIDER, with_fee(Standing::NeedsResponse, 200)).then_unchanged();
    world.when(PROVIDER, with_fee(Standing::Won, 0));
    world.then_types(["chargeback.won.v1", "order.resumed.v1", "chargeback.fee_charged.v1"]);
    assert_eq!(world.events()[2], charged(0, transfer(200, fees, expense)));
    assert_eq!((held(&world, expense), held(&world, fees)), (0, 0));
}

#[test]
fn a_chargeback_that_was_won_may_come_once_more() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    world.given(PROVIDER, says(payment, usd(1000), Standing::Won));
    world.when(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse)).then_unchanged();
    let second = at(Standing::NeedsResponse, |report| report.round = Round::Second)(payment);
    world.when(PROVIDER, second).then_types(["chargeback.opened.v1"]);
    assert_eq!(moves(&world), [(LedgerAccount::Escrow(order), chargebacks(), 1000)]);
    world.given(PROVIDER, at(Standing::Won, |report| report.round = Round::Second)(payment).into());
    assert_eq!(held(&world, LedgerAccount::Escrow(order)), 1000);
    world.given(SELLER, ship(order));
    // A bank that decides otherwise after that takes it for good.
    world.when(PROVIDER, says(payment, usd(1000), Standing::Lost));
    world.then_types(["chargeback.opened.v1", "chargeback.lost.v1", "order.charged_back.v1"]);
    let state = ChargebackState::Lost;
    let chargeback = dispute_of(payment);
    world.when(PROVIDER, says(payment, usd(1000), Standing::Won));
    world.then_rejected([ChargebackRejection::ChargebackState { chargeback, state }.into()]);
}

#[test]
fn only_what_came_in_is_disputed_and_only_by_its_provider() {
    let mut world = shop();
    world.register(Actor(4));
    let (payment, _) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    let too_much =
        |amount: Money, most| ChargebackRejection::ChargebackAmount { amount, most: usd(most), payment };
    let word = |amount| says(payment, amount, Standing::NeedsResponse);
    world.when(Actor(4), word(usd(1000))).then_rejected([Rejection::NotYourPayment { payment }]);
    world.when(PROVIDER, word(usd(1001))).then_rejected([too_much(usd(1001), 1000).into()]);
    world.when(PROVIDER, word(eur(10))).then_rejected([too_much(eur(10), 1000).into()]);
    world.when(PROVIDER, word(usd(0))).then_rejected([Rejection::AmountNotPositive]);
    // Two disputes of one payment share what there is.
    world.given(PROVIDER, word(usd(700)));
    let other =
        ReportChargeback { reference: text("dp 2"), ..disputed(payment, usd(400), Standing::NeedsResponse) };
    world.when(PROVIDER, other.clone()).then_rejected([too_much(usd(400), 300).into()]);
    world.given(PROVIDER, ReportChargeback { amount: usd(300), ..other }.into());
    assert_eq!(held(&world, chargebacks()), 1000);
    // What was not taken can't be.
    world.given(BUYER, place_by_card(&[(TEA, 1)], usd(1000), None));
    let payment = world.payment();
    world.when(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    world.then_rejected([Rejection::PaymentState { payment, state: PaymentState::Requested }]);
    let payment = PaymentId::derive(BUYER.account(), cid(START, 404));
    world
        .when(PROVIDER, says(payment, usd(1), Standing::Lost))
        .then_rejected([Rejection::PaymentUnknown { payment }]);
}

#[test]
fn an_order_stands_still_until_the_bank_has_decided() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 2)], usd(2000), None);
    world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    let before = world.market.orders.deadlines(order);
    world.given(PROVIDER, says(payment, usd(2000), Standing::NeedsResponse));
    assert_eq!(world.market.next_deadline(), None);
    let stands = || Rejection::from(ChargebackRejection::PaymentDisputed { order });
    for (actor, command) in [
        (SELLER, ship(order)),
        (BUYER, confirm(order)),
        (BUYER, cancel(order)),
        (SELLER, refund(order, 1, usd(1))),
        (OPERATOR, hold(order, HoldReason::Operator)),
        (BUYER, freeze_money(order, 1, None, events::escrow::FreezeReason::NotReceived)),
    ] {
        world.when(actor, command).then_rejected([stands()]);
    }
    world.after(40 * DAY_MS);
    world.when(PROVIDER, says(payment, usd(2000), Standing::Won));
    world.then_types(["chargeback.won.v1", "order.resumed.v1"]);
    // Each deadline has the time left that it had.
    let later: Vec<_> =
        before.iter().map(|stamp| DeadlineStamp { due: stamp.due.plus_ms(40 * DAY_MS), ..*stamp }).collect();
    assert_eq!(world.market.orders.deadlines(order), later);
    world.given(BUYER, confirm(order)).given(SELLER, ship(order));
}

#[test]
fn an_operator_s_hold_outlasts_a_chargeback_and_is_not_lifted_while_there_is_one() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(OPERATOR, hold(order, HoldReason::RiskReview));
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    world.when(OPERATOR, unhold(order));
    world.then_rejected([ChargebackRejection::PaymentDisputed { order }.into()]);
    // That the bank decides for the buyer waits for the operators, too.
    world.when(PROVIDER, says(payment, usd(1000), Standing::Lost)).then_types(["chargeback.lost.v1"]);
    assert!(world.market.orders.get(order).is_some());
    let reason = HoldReason::RiskReview;
    world.when(SELLER, ship(order)).then_rejected([Rejection::OrderOnHold { order, reason }]);
    world.given(OPERATOR, unhold(order));
    world.when(OTHER_OPERATOR, unhold(order)).then_types([
        "order.unheld.v1",
        "order.charged_back.v1",
        "order.cancelled.v2",
        "escrow.refunded.v2",
    ]);
    assert!(world.market.orders.get(order).is_none());
}

#[test]
fn a_return_waits_for_the_bank_and_goes_on_if_it_decides_for_the_market() {
    let mut world = taking_back(true);
    stock(&mut world);
    let (payment, order) = world.bought_by_card(&[(TEA, 2)], usd(2000), None);
    world.given(SELLER, ship(order)).given(PROVIDER, confirm(order));
    world.given(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    world.when(PROVIDER, says(payment, usd(2000), Standing::NeedsResponse));
    let dispute = LedgerAccount::Dispute(order);
    assert_eq!(
        moves(&world),
        [(LedgerAccount::Escrow(order), chargebacks(), 1000), (dispute, chargebacks(), 1000)]
    );
    world.when(SELLER, approve_return(order, 1));
    world.then_rejected([ChargebackRejection::PaymentDisputed { order }.into()]);
    world.given(PROVIDER, says(payment, usd(2000), Standing::Won));
    assert_eq!(held(&world, dispute), 1000);
    world
        .given(SELLER, approve_return(order, 1))
        .given(BUYER, send_return(order, 1))
        .given(SELLER, receive_return(order, 1));
    assert_eq!(held(&world, LedgerAccount::RefundsPayable), 1000, "its money is on its way to the card");
}
