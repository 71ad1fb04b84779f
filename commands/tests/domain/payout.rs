//! Payouts: what a seller asks for of what he has earned, and what his provider reports.

use crate::support::*;
use commands::command::{PayoutOutcome, RequestPayout};
use commands::payment::{Effect, EffectId, OPEN_PER_ACCOUNT_MAX, PayoutEffect};
use commands::payout::{ClosedPayout, PAYOUT_MS, RECENT_CLOSED_PAYOUTS_MAX};
use commands::{Decision, Facts, Refusal, decide};
use events::account::Role;
use events::ids::PayoutId;
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::payout::{Failed, Overdue, Paid, Requested, Returned};
use events::rejection::PayoutEnd;
use events::{Event, Rejection};

const OTHER_PROVIDER: Actor = Actor(4);

fn earned() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

#[track_caller]
fn then_holds(world: &World, account: LedgerAccount, minor: i64) {
    assert_eq!(world.market.ledger.balance(account, usd(0).currency), usd(minor), "{account}");
    assert!(world.market.ledger.sums().values().all(|sum| *sum == 0));
}

/// A seller who has earned 9.75.
fn shop() -> World {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(1000), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(1000)));
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    then_holds(&world, earned(), 975);
    world
}

fn payout(world: &mut World, minor: i64) -> PayoutId {
    world.given(SELLER, pay_out(usd(minor)));
    world.payout()
}

fn paid() -> PayoutOutcome {
    PayoutOutcome::Paid { reference: text("po") }
}

fn failed() -> PayoutOutcome {
    PayoutOutcome::Failed { code: text("account_closed") }
}

fn transfer(minor: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount: usd(minor), from, to }
}

#[test]
fn a_seller_asks_for_what_he_has_earned_and_has_it_no_more() {
    let mut world = shop();
    world.when(SELLER, pay_out(usd(900)));
    let payout = world.payout();
    let (account, provider) = (SELLER.account(), PROVIDER.account());
    let due = world.now.plus_ms(PAYOUT_MS);
    let transfer = transfer(900, earned(), LedgerAccount::Payout(payout));
    let token = "acct_1".to_owned();
    world
        .then_events([Requested { account, due, payout, provider, token, transfer }.into()])
        .when_again()
        .then_repeat();
    then_holds(&world, earned(), 75);
    then_holds(&world, LedgerAccount::Payout(payout), 900);
    let effect = PayoutEffect { provider, payout, amount: usd(900), token: "acct_1".into() };
    assert_eq!(world.market.effects(), [(EffectId::Payout(payout), Effect::Payout(effect))]);
    let waiting = Waiting::PayoutDue { payout };
    assert_eq!(world.market.next_deadline(), Some(DeadlineStamp { due, waiting }));
}

#[test]
fn a_payout_that_can_not_be_is_rejected_with_every_reason() {
    let mut world = shop();
    let rule = "the account has no role that may give this command".into();
    world.when(BUYER, pay_out(usd(1))).then_refused(Refusal::ScopeDenied { rule });
    let to = method(BUYER, "acct_1");
    let no_provider = Rejection::RoleMissing { account: BUYER.account(), role: Role::Provider };
    world
        .when(SELLER, pay_out(usd(976)))
        .then_rejected([Rejection::PayoutAmount { amount: usd(976), available: usd(975) }])
        .when(SELLER, pay_out(eur(1)))
        .then_rejected([Rejection::PayoutAmount { amount: eur(1), available: eur(0) }])
        .when(SELLER, RequestPayout { amount: usd(0), to })
        .then_rejected([no_provider, Rejection::AmountNotPositive]);
    for _ in 0..OPEN_PER_ACCOUNT_MAX {
        world.given(SELLER, pay_out(usd(1)));
    }
    let too_many = Rejection::TooManyPayments { max: OPEN_PER_ACCOUNT_MAX };
    world.when(SELLER, pay_out(usd(1))).then_rejected([too_many]);
}

#[test]
fn what_was_paid_leaves_through_the_provider_once() {
    let mut world = shop();
    let payout = payout(&mut world, 975);
    world.register(OTHER_PROVIDER);
    let (account, provider) = (SELLER.account(), PROVIDER.account());
    let (from, to) = (LedgerAccount::Payout(payout), LedgerAccount::ProviderClearing(provider));
    let event =
        Paid { account, payout, provider, reference: "po".to_owned(), transfer: transfer(975, from, to) };
    world
        .when(OTHER_PROVIDER, report_payout(payout, paid()))
        .then_rejected([Rejection::NotYourPayout { payout }])
        .when(PROVIDER, report_payout(payout, paid()))
        .then_events([event.into()])
        .when_again()
        .then_repeat()
        .when(PROVIDER, report_payout(payout, paid()))
        .then_unchanged();
    let payout = PayoutId::from_uuid(uuid::Uuid::from_u128(7));
    world.when(PROVIDER, report_payout(payout, paid())).then_rejected([Rejection::PayoutUnknown { payout }]);
    then_holds(&world, from, 0);
    then_holds(&world, to, -10_000 + 975);
    assert_eq!((world.market.effects(), world.market.next_deadline()), (vec![], None));
}

#[test]
fn what_could_not_be_paid_is_the_sellers_again() {
    let mut world = shop();
    let payout = payout(&mut world, 975);
    let (account, provider) = (SELLER.account(), PROVIDER.account());
    let transfer = transfer(975, LedgerAccount::Payout(payout), earned());
    let code = "account_closed".to_owned();
    world.when(PROVIDER, report_payout(payout, failed())).then_events([Failed {
        account,
        code,
        payout,
        provider,
        transfer,
    }
    .into()]);
    then_holds(&world, earned(), 975);
    assert_eq!((world.market.effects(), world.market.next_deadline()), (vec![], None));
    world.when(PROVIDER, report_payout(payout, failed())).then_unchanged();
    let state = PayoutEnd::Failed;
    world
        .when(PROVIDER, report_payout(payout, paid()))
        .then_rejected([Rejection::PayoutState { payout, state }]);
}

#[test]
fn what_a_bank_returns_after_it_was_paid_is_the_sellers_again_once() {
    let mut world = shop();
    let payout = payout(&mut world, 900);
    world.register(OTHER_PROVIDER).given(PROVIDER, report_payout(payout, paid()));
    let (account, provider) = (SELLER.account(), PROVIDER.account());
    let clearing = LedgerAccount::ProviderClearing(provider);
    let transfer = transfer(900, clearing, earned());
    let code = "account_closed".to_owned();
    world
        .when(OTHER_PROVIDER, report_payout(payout, failed()))
        .then_rejected([Rejection::NotYourPayout { payout }])
        .when(PROVIDER, report_payout(payout, failed()))
        .then_events([Returned { account, code, payout, provider, transfer }.into()])
        .when_again()
        .then_repeat()
        .when(PROVIDER, report_payout(payout, failed()))
        .then_unchanged();
    let state = PayoutEnd::Returned;
    world
        .when(PROVIDER, report_payout(payout, paid()))
        .then_rejected([Rejection::PayoutState { payout, state }]);
    then_holds(&world, earned(), 975);
    then_holds(&world, clearing, -10_000);
    then_holds(&world, LedgerAccount::Payout(payout), 0);
    assert_eq!((world.market.effects(), world.market.next_deadline()), (vec![], None));
    // He may ask for it again.
    world.given(SELLER, pay_out(usd(975)));
}

/// What came back of a payout of another seller, as an old log may hold it.
fn came_back(n: usize) -> Event {
    let (account, provider) = (OTHER_SELLER.account(), PROVIDER.account());
    let payout = PayoutId::from_uuid(uuid::Uuid::from_u128(n as u128 + 1));
    let (from, to) = (LedgerAccount::ProviderClearing(provider), LedgerAccount::SellerAvailable(account));
    let (code, transfer) = ("account_closed".to_owned(), transfer(1, from, to));
    Returned { account, code, payout, provider, transfer }.into()
}

#[test]
fn a_payout_that_left_memory_is_asked_for_and_comes_back_once() {
    let mut world = shop();
    let payout = payout(&mut world, 900);
    world.given(PROVIDER, report_payout(payout, paid()));
    let closed = *world.market.payouts.recently_closed(payout).unwrap();
    for n in 0..RECENT_CLOSED_PAYOUTS_MAX {
        world.given_events([came_back(n)]);
    }
    assert_eq!(world.market.forgotten, closed.position);
    let signed = world.sign(PROVIDER, report_payout(payout, failed()));
    let asked = decide(&world.market, &signed, &Facts::default(), world.now);
    let Decision::Ask(question) = asked else { panic!("{asked:?}") };
    assert_eq!((question.payout, question.covering), (Some(payout), closed.position));
    for (state, name) in
        [(PayoutEnd::Paid, "payout.returned.v1"), (PayoutEnd::Returned, "command.unchanged.v1")]
    {
        let closed_payout = Some(Box::new((payout, ClosedPayout { state, ..closed })));
        let facts = Facts { covered: closed.position, closed_payout, ..Facts::default() };
        let decided = decide(&world.market, &signed, &facts, world.now);
        let Decision::Commit(events) = decided else { panic!("{decided:?}") };
        assert_eq!(events.iter().map(Event::type_name).collect::<Vec<_>>(), [name]);
    }
}

#[test]
fn a_payout_of_which_nobody_has_heard_in_time_is_told_and_asked_for_on() {
    let mut world = shop();
    let payout = payout(&mut world, 975);
    let (account, provider) = (SELLER.account(), PROVIDER.account());
    world.when_deadline().then_events([Overdue { account, payout, provider }.into()]);
    assert_eq!((world.market.effects().len(), world.market.next_deadline()), (1, None));
    then_holds(&world, earned(), 0);
    world.when(PROVIDER, report_payout(payout, paid())).then_types(["payout.paid.v1"]);
}
