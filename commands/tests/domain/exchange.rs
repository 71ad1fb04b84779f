//! Money that is changed from one currency into another.

use crate::support::*;
use commands::command::ExchangeQuote;
use commands::exchange::QUOTE_MS_MAX;
use commands::{Decision, Facts, Refusal, decide};
use events::exchange::{Exchanged, Rate};
use events::ledger::{LedgerAccount, Transfer};
use events::rejection::ExchangeField;
use events::{Event, Money, Rejection};

const OTHER_PROVIDER: Actor = Actor(4);
const WALLET: fn() -> LedgerAccount = || LedgerAccount::Wallet(BUYER.account());
const CLEARING: fn() -> LedgerAccount = || LedgerAccount::ProviderClearing(PROVIDER.account());

/// A buyer with 100.00 EUR.
fn world() -> World {
    let mut world = World::new();
    world.register(OTHER_PROVIDER).given(PROVIDER, fund(BUYER, eur(10_000)));
    world
}

fn good() -> ExchangeQuote {
    offer(PROVIDER, BUYER, [eur(4_000), usd(4_340)], "fx 1")
}

fn mismatch(field: ExchangeField) -> Rejection {
    Rejection::ExchangeMismatch { field }
}

#[test]
fn an_exchange_is_two_transfers_through_the_provider_each_in_one_currency() {
    let exchanged = Exchanged {
        account: BUYER.account(),
        provider: PROVIDER.account(),
        rate: Rate { for_minor: 10_000, gives_minor: 10_850 },
        reference: "fx 1".to_owned(),
        transfers: [
            Transfer { amount: eur(4_000), from: WALLET(), to: CLEARING() },
            Transfer { amount: usd(4_340), from: CLEARING(), to: WALLET() },
        ],
    };
    let quote = ExchangeQuote { rate: exchanged.rate, ..good() };
    world()
        .when_offered(signed_by(PROVIDER, quote), BUYER, exchange(eur(4_000), usd(4_300)))
        .then_events([exchanged.into()])
        .when_again()
        .then_repeat()
        .then(|market| {
            for (account, money) in [
                (WALLET(), eur(6_000)),
                (WALLET(), usd(4_340)),
                (CLEARING(), eur(-6_000)),
                (CLEARING(), usd(-4_340)),
            ] {
                assert_eq!(market.ledger.balance(account, money.currency), money);
            }
            assert!(market.ledger.sums().values().all(|sum| *sum == 0));
        });
}

#[test]
fn what_was_changed_can_be_spent() {
    world()
        .given_listing(SELLER, TEA, usd(4_340), 1)
        .when_offered(signed_by(PROVIDER, good()), BUYER, exchange(eur(4_000), usd(4_340)))
        .when(BUYER, place(&[(TEA, 1)], usd(4_340)))
        .then_types(["order.placed.v1", "escrow.held.v1"]);
}

#[test]
fn an_offer_is_good_once_whatever_else_is_asked() {
    let mut world = world();
    let command = exchange(eur(4_000), usd(4_340));
    world.when_offered(signed_by(PROVIDER, good()), BUYER, command.clone());
    let first = world.head().position;
    let used = Rejection::ReferenceUsed { reference: "fx 1".to_owned(), first };
    let smaller = ExchangeQuote { from: eur(1_000), to: usd(1_085), ..good() };
    world
        .when_offered(signed_by(PROVIDER, good()), BUYER, command.clone())
        .then_rejected([used.clone()])
        .when_offered(signed_by(PROVIDER, smaller), BUYER, exchange(eur(1_000), usd(1_085)))
        .then_rejected([used])
        // References of payments, and those of other providers, are others.
        .given(PROVIDER, fund_as("fx 1", BUYER, eur(1)));
    let other = ExchangeQuote { provider: OTHER_PROVIDER.account(), ..good() };
    world.when_offered(signed_by(OTHER_PROVIDER, other), BUYER, command).then_types(["wallet.exchanged.v1"]);
}

#[test]
fn an_offer_that_left_memory_is_asked_for_and_stays_used() {
    let mut world = world();
    let signed = world.sign(BUYER, exchange(eur(4_000), usd(4_340)));
    let signed = commands::Verified { exchange: Some(signed_by(PROVIDER, good())), ..signed };
    let found = Facts { credit: Some(7), ..Facts::default() };
    let Decision::Commit(events) = decide(&world.market, &signed, &found, world.now) else { panic!() };
    let used = Rejection::ReferenceUsed { reference: "fx 1".to_owned(), first: 7 };
    assert!(matches!(&events[..], [Event::CommandRejected(why)] if why.reasons == [used]));
}

#[test]
fn what_does_not_fit_is_named() {
    use ExchangeField as Field;
    let wish = || exchange(eur(4_000), usd(4_340));
    let later = START.plus_ms(2 * QUOTE_MS_MAX);
    let too_much = Rejection::InsufficientFunds { available: eur(10_000), required: eur(10_001) };
    let expired = START.plus_ms(-SECOND_MS);
    let mut world = world();
    for (signer, quote, command, reason) in [
        (
            PROVIDER,
            ExchangeQuote { account: OTHER_BUYER.account(), ..good() },
            wish(),
            mismatch(Field::Account),
        ),
        (OTHER_PROVIDER, good(), wish(), mismatch(Field::Provider)),
        (SELLER, ExchangeQuote { provider: SELLER.account(), ..good() }, wish(), mismatch(Field::Provider)),
        (BUYER, ExchangeQuote { provider: BUYER.account(), ..good() }, wish(), mismatch(Field::Provider)),
        (PROVIDER, good(), exchange(eur(3_999), usd(4_340)), mismatch(Field::From)),
        (PROVIDER, good(), exchange(eur(4_000), usd(4_341)), mismatch(Field::To)),
        (PROVIDER, good(), exchange(eur(4_000), eur(1)), mismatch(Field::To)),
        (
            PROVIDER,
            offer(PROVIDER, BUYER, [eur(2), eur(2)], "r"),
            exchange(eur(2), eur(1)),
            mismatch(Field::To),
        ),
        (
            PROVIDER,
            ExchangeQuote { rate: Rate { for_minor: 10_000, gives_minor: 10_848 }, ..good() },
            wish(),
            mismatch(Field::Rate),
        ),
        (PROVIDER, ExchangeQuote { exp: later, ..good() }, wish(), mismatch(Field::Exp)),
        (PROVIDER, ExchangeQuote { exp: expired, ..good() }, wish(), Rejection::ExchangeExpired { expired }),
        (
            PROVIDER,
            offer(PROVIDER, BUYER, [eur(10_001), usd(1)], "r"),
            exchange(eur(10_001), usd(1)),
            too_much,
        ),
    ] {
        world.when_offered(signed_by(signer, quote), BUYER, command).then_rejected([reason]);
    }
    for (from, to) in [(0, 0), (-1, -1), (1, 0), (i64::MIN, i64::MIN)] {
        let quote = offer(PROVIDER, BUYER, [eur(from), usd(to)], "r");
        let command = exchange(quote.from, quote.to);
        world.when_offered(signed_by(PROVIDER, quote), BUYER, command);
        let [Event::CommandRejected(rejected)] = world.events() else { panic!("{:?}", world.events()) };
        assert!(rejected.reasons.contains(&Rejection::AmountNotPositive), "{:?}", rejected.reasons);
    }
    let no_role = "the account has no role that may give this command".into();
    world
        .when_offered(signed_by(PROVIDER, good()), PROVIDER, wish())
        .then_refused(Refusal::ScopeDenied { rule: no_role });
}

#[test]
fn money_that_one_provider_took_over_lets_no_other_hold_more_than_can_be_counted() {
    let most = Money::MINOR_MAX;
    let mut world = world();
    world.given(PROVIDER, fund(BUYER, usd(most)));
    let quote = offer(OTHER_PROVIDER, BUYER, [usd(most), eur(5)], "all of it");
    world
        .when_offered(signed_by(OTHER_PROVIDER, quote), BUYER, exchange(usd(most), eur(5)))
        .then_types(["wallet.exchanged.v1"])
        // Nobody in the market has dollars now; that provider owes them, and the first one still holds them.
        .when(PROVIDER, fund_as("more", BUYER, usd(1)))
        .then_rejected([Rejection::AmountOverflow]);
}
