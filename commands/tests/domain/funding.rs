//! Money that comes into wallets, each payment once.

use crate::support::*;
use commands::funding::{CreditId, RECENT_CREDITS_MAX};
use commands::{Command, Decision, Facts, Market, Question, Refusal, decide};
use events::account::Role;
use events::ledger::{LedgerAccount, Transfer};
use events::listing::WalletFunded;
use events::{Event, Money, Rejection};

fn no_role() -> Refusal {
    Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() }
}

fn credit(command: &Command) -> CreditId {
    match command {
        Command::FundWallet(body) => CreditId::asked(PROVIDER.account(), body),
        other => panic!("{} names no payment", other.name()),
    }
}

fn used(reference: &str, first: u64) -> Rejection {
    Rejection::ReferenceUsed { reference: reference.to_owned(), first }
}

#[test]
fn a_provider_funds_a_wallet_out_of_its_clearing_account() {
    let transfer = Transfer {
        amount: usd(700),
        from: LedgerAccount::ProviderClearing(PROVIDER.account()),
        to: LedgerAccount::Wallet(BUYER.account()),
    };
    let funded = WalletFunded { account: BUYER.account(), reference: "ref-1".to_owned(), transfer };
    World::new()
        .when(PROVIDER, fund_as("ref-1", BUYER, usd(700)))
        .then_events([funded.into()])
        .when_again()
        .then_repeat()
        .given(PROVIDER, fund(BUYER, eur(5)))
        .then(|market| {
            let balance =
                |account, money: Money| assert_eq!(market.ledger.balance(account, money.currency), money);
            balance(LedgerAccount::Wallet(BUYER.account()), usd(700));
            balance(LedgerAccount::Wallet(BUYER.account()), eur(5));
            balance(LedgerAccount::ProviderClearing(PROVIDER.account()), usd(-700));
        });
}

#[test]
fn only_providers_fund_only_buyers_with_more_than_nothing() {
    let stranger = Actor(30);
    let no_buyer = Rejection::RoleMissing { account: SELLER.account(), role: Role::Buyer };
    let unknown = Rejection::AccountUnknown { account: stranger.account() };
    let mut world = World::new();
    for actor in [REGISTRAR, OPERATOR, SELLER, BUYER] {
        world.when(actor, fund(BUYER, usd(1))).then_refused(no_role());
    }
    for (who, amount, reason) in [
        (SELLER, 1, no_buyer.clone()),
        (stranger, 1, unknown),
        (BUYER, 0, Rejection::AmountNotPositive),
        (BUYER, -1, Rejection::AmountNotPositive),
        (BUYER, i64::MIN, Rejection::AmountNotPositive),
    ] {
        world.when(PROVIDER, fund(who, usd(amount))).then_rejected([reason]);
    }
    world.when(PROVIDER, fund(SELLER, usd(0))).then_rejected([no_buyer, Rejection::AmountNotPositive]);
}

#[test]
fn all_money_of_a_currency_together_is_one_amount_at_most() {
    let other_provider = Actor(4);
    let mut world = World::new();
    world.register(other_provider);
    world
        .given(PROVIDER, fund(BUYER, usd(Money::MINOR_MAX - 1)))
        .when(PROVIDER, fund(BUYER, usd(2)))
        .then_rejected([Rejection::AmountOverflow])
        .when(PROVIDER, fund(OTHER_BUYER, usd(2)))
        .then_rejected([Rejection::AmountOverflow])
        .when(other_provider, fund(OTHER_BUYER, usd(2)))
        .then_rejected([Rejection::AmountOverflow])
        .when(other_provider, fund(OTHER_BUYER, usd(1)))
        .then_types(["wallet.funded.v1"])
        .when(other_provider, fund(OTHER_BUYER, eur(Money::MINOR_MAX)))
        .then_types(["wallet.funded.v1"]);
}

#[test]
fn a_reference_credits_one_payment_of_its_provider_whatever_else_is_asked() {
    let other_provider = Actor(4);
    let mut world = World::new();
    world.register(other_provider).given(PROVIDER, fund_as("pay 1", BUYER, usd(700)));
    let first = world.head().position;
    for (actor, amount) in [(BUYER, usd(700)), (BUYER, usd(1)), (BUYER, eur(700)), (OTHER_BUYER, usd(700))] {
        world.when(PROVIDER, fund_as("pay 1", actor, amount)).then_rejected([used("pay 1", first)]);
    }
    world
        .when(PROVIDER, fund_as("pay 1", SELLER, usd(0)))
        .then_rejected([
            used("pay 1", first),
            Rejection::RoleMissing { account: SELLER.account(), role: Role::Buyer },
            Rejection::AmountNotPositive,
        ])
        .given(PROVIDER, fund_as("Pay 1", BUYER, usd(20)))
        .given(PROVIDER, fund_as("pay 1 ", BUYER, usd(4)))
        .given(other_provider, fund_as("pay 1", BUYER, usd(3)))
        .then(|market| {
            let wallet = LedgerAccount::Wallet(BUYER.account());
            assert_eq!(market.ledger.balance(wallet, usd(0).currency), usd(727));
        });
}

#[test]
fn a_rejected_payment_has_not_used_its_reference() {
    World::new()
        .when(PROVIDER, fund_as("pay 1", SELLER, usd(5)))
        .then_rejected([Rejection::RoleMissing { account: SELLER.account(), role: Role::Buyer }])
        .when(PROVIDER, fund_as("pay 1", BUYER, usd(5)))
        .then_types(["wallet.funded.v1"]);
}

/// Credits `count` payments of one cent behind the log, without deciding them.
fn credit_many(market: &mut Market, template: &events::Recorded, from: usize, count: usize) {
    for n in from..from + count {
        let mut recorded = template.clone();
        recorded.position = market.position + 1;
        recorded.metadata.start = None;
        let Event::WalletFunded(funded) = &mut recorded.event else { panic!("{:?}", template.event) };
        funded.reference = format!("many {n}");
        market.evolve(&recorded);
    }
}

#[test]
fn the_oldest_payment_leaves_memory_and_is_asked_for_from_then_on() {
    let mut world = World::new();
    world.given(PROVIDER, fund_as("pay 1", BUYER, usd(1)));
    let first = world.head().position;
    let template = world.log.last().unwrap().events()[0].clone();
    credit_many(&mut world.market, &template, 0, RECENT_CREDITS_MAX - 1);
    let again = fund_as("pay 1", BUYER, usd(1));
    let signed = world.sign(PROVIDER, again.clone());
    let rejected = decide(&world.market, &signed, &Facts::default(), world.now);
    let Decision::Commit(events) = rejected else { panic!("{rejected:?}") };
    assert!(matches!(&events[..], [Event::CommandRejected(why)] if why.reasons == [used("pay 1", first)]));
    assert_eq!(world.market.forgotten, 0);

    let bytes = bincode::serde::encode_to_vec(&world.market, bincode::config::standard()).unwrap();
    let (mut replica, _): (Market, _) =
        bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
    credit_many(&mut world.market, &template, RECENT_CREDITS_MAX, 1);
    credit_many(&mut replica, &template, RECENT_CREDITS_MAX, 1);
    assert!(replica == world.market, "a replica that starts from a snapshot forgets the same");
    assert_eq!(world.market.forgotten, first);

    let command = (PROVIDER.account(), signed.stamp.command);
    let question = Question {
        covering: first,
        command,
        order: None,
        credit: Some(credit(&again)),
        payment: None,
        payout: None,
    };
    assert_eq!(decide(&world.market, &signed, &Facts::default(), world.now), Decision::Ask(question));
    let behind = Facts { covered: first - 1, ..Facts::default() };
    assert!(matches!(decide(&world.market, &signed, &behind, world.now), Decision::Ask(_)));
    let found = Facts { covered: first, credit: Some(first), ..Facts::default() };
    let rejected = decide(&world.market, &signed, &found, world.now);
    let Decision::Commit(events) = rejected else { panic!("{rejected:?}") };
    assert!(matches!(&events[..], [Event::CommandRejected(why)] if why.reasons == [used("pay 1", first)]));
    // A new one has to be asked for too; one that is in memory does not, nor does a command without a payment.
    let covered = Facts { covered: first, ..Facts::default() };
    let new = world.sign(PROVIDER, fund_as("pay 2", BUYER, usd(1)));
    assert!(matches!(decide(&world.market, &new, &Facts::default(), world.now), Decision::Ask(_)));
    let credited = decide(&world.market, &new, &covered, world.now);
    assert!(matches!(&credited, Decision::Commit(events) if matches!(events[..], [Event::WalletFunded(_)])));
    for (actor, command) in [(PROVIDER, fund_as("many 9", BUYER, usd(1))), (BUYER, clear())] {
        let signed = world.sign(actor, command);
        assert!(matches!(decide(&world.market, &signed, &Facts::default(), world.now), Decision::Commit(_)));
    }
}
