//! Payments through a provider: what a buyer asks for, what the provider reports, and what the market makes of it.

use crate::support::*;
use commands::command::ReportedOutcome;
use commands::payment::{
    Effect, EffectId, OPEN_PER_ACCOUNT_MAX, PaymentEffect, RECENT_CLOSED_PAYMENTS_MAX, REQUEST_MS, Wish,
};
use commands::{Command, Decision, Facts, Refusal, decide};
use events::account::Role;
use events::ids::{PaymentId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::payment::{
    ActionKind, ActionRequired, Authorized, CaptureTime, Captured, Failed, RefundFailed, RefundRequested,
    Refunded, Requested, VoidReason, VoidRequested, Voided,
};
use events::rejection::PaymentState;
use events::{Event, Money, Rejection};

const OTHER_PROVIDER: Actor = Actor(4);

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

fn clearing() -> LedgerAccount {
    LedgerAccount::ProviderClearing(PROVIDER.account())
}

fn requested(world: &mut World, minor: i64) -> PaymentId {
    world.given(BUYER, request(usd(minor)));
    world.payment()
}

/// Brings a payment of some cents to where the provider holds them.
fn authorized(world: &mut World, minor: i64) -> PaymentId {
    let payment = requested(world, minor);
    let until = world.now.plus_ms(7 * DAY_MS);
    world.given(PROVIDER, report(payment, held(usd(minor), until)));
    payment
}

/// Brings a payment of some cents into the wallet.
fn paid(world: &mut World, minor: i64) -> PaymentId {
    let payment = authorized(world, minor);
    world.given(PROVIDER, report(payment, took(&format!("ref {payment}"), usd(minor))));
    payment
}

fn wallet_holds(world: &World, minor: i64) {
    let market = &world.market;
    assert_eq!(market.ledger.balance(wallet(), usd(0).currency), usd(minor));
    assert!(market.ledger.sums().values().all(|sum| *sum == 0));
}

fn wishes(world: &World) -> Vec<Wish> {
    wishes_of(&world.market)
}

fn voided() -> ReportedOutcome {
    ReportedOutcome::Voided
}

fn refused(code: &str) -> ReportedOutcome {
    ReportedOutcome::Failed { code: text(code), retryable: true }
}

fn acts() -> ReportedOutcome {
    ReportedOutcome::ActionRequired { kind: ActionKind::ThreeDs, reference: text("r"), url: None }
}

#[test]
fn a_buyer_asks_for_money_and_the_provider_is_to_be_asked() {
    let mut world = World::new();
    let payment = requested(&mut world, 700);
    let expires_at = world.now.plus_ms(REQUEST_MS);
    let (account, provider) = (BUYER.account(), PROVIDER.account());
    let event = Requested {
        account,
        amount: usd(700),
        capture: CaptureTime::AtOnce,
        expires_at,
        orders: vec![],
        payment,
        provider,
        replaces: None,
        to: wallet(),
        token: "tok_approve".to_owned(),
    };
    world.then_events([event.into()]).when_again().then_repeat();
    let wish = Wish::Authorize { amount: usd(700), token: "tok_approve".into() };
    let effect = Effect::Payment(PaymentEffect { provider, payment, wish });
    assert_eq!(world.market.payments.effects(), [(EffectId::Payment(payment), effect)]);
    let waiting = Waiting::PaymentExpires { payment };
    assert_eq!(world.market.next_deadline(), Some(DeadlineStamp { due: expires_at, waiting }));
    wallet_holds(&world, 0);
}

#[test]
fn a_request_that_can_not_be_is_rejected_with_every_reason() {
    let stranger = Actor(30);
    let mut world = World::new();
    for actor in [SELLER, PROVIDER, OPERATOR, REGISTRAR] {
        let rule = "the account has no role that may give this command".into();
        world.when(actor, request(usd(1))).then_refused(Refusal::ScopeDenied { rule });
    }
    let not_positive = || Rejection::AmountNotPositive;
    let no_provider = Rejection::RoleMissing { account: SELLER.account(), role: Role::Provider };
    let unknown = Rejection::AccountUnknown { account: stranger.account() };
    world
        .when(BUYER, request_from(SELLER, usd(0), "tok"))
        .then_rejected([no_provider, not_positive()])
        .when(BUYER, request_from(stranger, usd(-5), "tok"))
        .then_rejected([unknown, not_positive()])
        .given(PROVIDER, fund(OTHER_BUYER, usd(Money::MINOR_MAX)))
        .when(BUYER, request(usd(1)))
        .then_rejected([Rejection::AmountOverflow]);
    for _ in 0..OPEN_PER_ACCOUNT_MAX {
        world.given(BUYER, request(eur(1)));
    }
    let too_many = Rejection::TooManyPayments { max: OPEN_PER_ACCOUNT_MAX };
    world.when(BUYER, request(eur(1))).then_rejected([too_many]).given(OTHER_BUYER, request(eur(1)));
    let one = world.market.payments.open().next().map(|(id, _)| *id).unwrap();
    world.given(PROVIDER, report(one, refused("x"))).given(BUYER, request(eur(1)));
}

#[test]
fn what_the_provider_took_is_credited_once() {
    let mut world = World::new();
    let payment = requested(&mut world, 700);
    let (account, provider) = (BUYER.account(), PROVIDER.account());
    let until = world.now.plus_ms(7 * DAY_MS);
    let reference = || "r".to_owned();
    let authorized = Authorized {
        account,
        amount: usd(700),
        capture_before: until,
        expiring_at: None,
        payment,
        pending: Some(Transfer { amount: usd(700), from: clearing(), to: wallet() }),
        provider,
        reference: reference(),
        waits_until: None,
    };
    let transfer = Transfer { amount: usd(700), from: clearing(), to: wallet() };
    let captured = Captured { account, payment, provider, reference: reference(), transfer };
    world
        .when(PROVIDER, report(payment, held(usd(700), until)))
        .then_events([authorized.into()])
        .when(PROVIDER, report(payment, held(usd(700), until)))
        .then_unchanged();
    assert_eq!(wishes(&world), [Wish::Capture { amount: usd(700), reference: "r".into() }]);
    let waiting = Waiting::AuthorizationExpires { payment };
    assert_eq!(world.market.next_deadline(), Some(DeadlineStamp { due: until, waiting }));
    world
        .when(PROVIDER, report(payment, took("r", usd(700))))
        .then_events([captured.into()])
        .when_again()
        .then_repeat()
        .when(PROVIDER, report(payment, took("r", usd(700))))
        .then_unchanged();
    wallet_holds(&world, 700);
    assert_eq!((wishes(&world), world.market.next_deadline()), (vec![], None));
    // What comes late, twice or in another order changes nothing more.
    for outcome in [acts(), held(usd(700), until), refused("late"), voided()] {
        world.when(PROVIDER, report(payment, outcome)).then_unchanged();
    }
    wallet_holds(&world, 700);
}

#[test]
fn less_may_be_taken_than_is_held_and_never_more_than_was_agreed() {
    let mut world = World::new();
    let payment = requested(&mut world, 700);
    let until = world.now.plus_ms(DAY_MS);
    let too_much = |amount, most| Rejection::PaymentAmount { payment, amount, most };
    world
        .when(PROVIDER, report(payment, held(usd(701), until)))
        .then_rejected([too_much(usd(701), usd(700))])
        .when(PROVIDER, report(payment, held(eur(7), until)))
        .then_rejected([too_much(eur(7), usd(700))])
        .when(PROVIDER, report(payment, held(usd(0), until)))
        .then_rejected([Rejection::AmountNotPositive])
        .given(PROVIDER, report(payment, held(usd(500), until)))
        .when(PROVIDER, report(payment, took("r", usd(501))))
        .then_rejected([too_much(usd(501), usd(500))])
        .when(PROVIDER, report(payment, took("r", usd(-1))))
        .then_rejected([Rejection::AmountNotPositive])
        .given(PROVIDER, report(payment, took("r", usd(400))));
    wallet_holds(&world, 400);
}

#[test]
fn only_the_payments_own_provider_reports_and_only_its_buyer_cancels() {
    let mut world = World::new();
    world.register(OTHER_PROVIDER);
    let payment = requested(&mut world, 700);
    let nobody = PaymentId::derive(BUYER.account(), cid(START, 0));
    let (not_yours, unknown) =
        (Rejection::NotYourPayment { payment }, Rejection::PaymentUnknown { payment: nobody });
    world
        .when(OTHER_PROVIDER, report(payment, took("r", usd(700))))
        .then_rejected([not_yours.clone()])
        .when(OTHER_BUYER, give_up(payment))
        .then_rejected([not_yours.clone()])
        .when(OTHER_BUYER, give_back(payment, usd(1)))
        .then_rejected([not_yours])
        .when(PROVIDER, report(nobody, voided()))
        .then_rejected([unknown.clone()])
        .when(BUYER, give_up(nobody))
        .then_rejected([unknown.clone()])
        .when(BUYER, give_back(nobody, usd(1)))
        .then_rejected([unknown]);
    let rule = "the account has no role that may give this command".into();
    world.when(BUYER, report(payment, took("r", usd(700)))).then_refused(Refusal::ScopeDenied { rule });
    wallet_holds(&world, 0);
}

#[test]
fn a_provider_waits_for_the_buyer_and_goes_on() {
    let mut world = World::new();
    let payment = requested(&mut world, 700);
    let expires_at = world.now.plus_ms(REQUEST_MS);
    let event = ActionRequired {
        account: BUYER.account(),
        expires_at,
        kind: ActionKind::ThreeDs,
        payment,
        provider: PROVIDER.account(),
        reference: "r".to_owned(),
        url: None,
    };
    world
        .after(SECOND_MS)
        .when(PROVIDER, report(payment, acts()))
        .then_events([event.into()])
        .when(PROVIDER, report(payment, acts()))
        .then_unchanged();
    assert_eq!(wishes(&world), [Wish::Await { reference: "r".into() }]);
    assert_eq!(world.market.next_deadline().unwrap().due, expires_at, "acting takes no longer than agreeing");
    let until = world.now.plus_ms(DAY_MS);
    world
        .given(PROVIDER, report(payment, held(usd(700), until)))
        .given(PROVIDER, report(payment, took("r", usd(700))));
    wallet_holds(&world, 700);
}

#[test]
fn a_refusal_ends_the_payment_and_another_can_be_asked_for() {
    let mut world = World::new();
    let payment = requested(&mut world, 700);
    let failed = Failed {
        account: BUYER.account(),
        amount: usd(700),
        code: "insufficient_funds".to_owned(),
        payment,
        provider: PROVIDER.account(),
        retryable: true,
    };
    world
        .when(PROVIDER, report(payment, refused("insufficient_funds")))
        .then_events([failed.into()])
        .when(PROVIDER, report(payment, refused("another")))
        .then_unchanged()
        .when(BUYER, give_up(payment))
        .then_rejected([Rejection::PaymentState { payment, state: PaymentState::Failed }]);
    assert_eq!((wishes(&world), world.market.next_deadline()), (vec![], None));
    paid(&mut world, 700);
    wallet_holds(&world, 700);
}

#[test]
fn a_cancelled_payment_ends_with_the_providers_word() {
    let mut world = World::new();
    let payment = authorized(&mut world, 700);
    let (account, provider, because) = (BUYER.account(), PROVIDER.account(), VoidReason::Cancelled);
    world
        .when(BUYER, give_up(payment))
        .then_events([VoidRequested { account, because, payment, provider }.into()])
        .when(BUYER, give_up(payment))
        .then_unchanged();
    assert_eq!((wishes(&world), world.market.next_deadline()), (vec![Wish::Void], None));
    world
        .when(PROVIDER, report(payment, held(usd(700), START)))
        .then_unchanged()
        .when(PROVIDER, report(payment, voided()))
        .then_events([Voided { account, amount: usd(700), because, payment, provider }.into()])
        .when(PROVIDER, report(payment, voided()))
        .then_unchanged()
        .when(BUYER, give_up(payment))
        .then_unchanged();
    assert_eq!(wishes(&world), []);
    wallet_holds(&world, 0);
}

#[test]
fn money_that_was_taken_is_credited_whatever_was_decided_meanwhile() {
    for ended in [Some(voided()), Some(refused("x")), None] {
        let mut world = World::new();
        let payment = authorized(&mut world, 700);
        world.given(BUYER, give_up(payment));
        if let Some(ended) = ended {
            world.given(PROVIDER, report(payment, ended));
        }
        world
            .when(PROVIDER, report(payment, took("r", usd(700))))
            .then_types(["payment.captured.v1"])
            .when(PROVIDER, report(payment, took("r", usd(700))))
            .then_unchanged();
        wallet_holds(&world, 700);
        assert_eq!(wishes(&world), []);
    }
}

#[test]
fn what_is_not_agreed_to_in_time_is_given_up() {
    for asked_to_act in [false, true] {
        let mut world = World::new();
        let payment = requested(&mut world, 700);
        if asked_to_act {
            world.given(PROVIDER, report(payment, acts()));
        }
        let (account, provider, because) = (BUYER.account(), PROVIDER.account(), VoidReason::RequestExpired);
        let event = VoidRequested { account, because, payment, provider };
        world.when_deadline().then_events([event.into()]);
        assert_eq!(world.now, START.plus_ms(REQUEST_MS));
        let event = Voided { account, amount: usd(700), because, payment, provider };
        world.when(PROVIDER, report(payment, voided())).then_events([event.into()]);
        assert_eq!(world.market.next_deadline(), None);
    }
}

#[test]
fn what_is_held_and_not_taken_in_time_is_given_up() {
    let mut world = World::new();
    let payment = authorized(&mut world, 700);
    let (account, provider) = (BUYER.account(), PROVIDER.account());
    let because = VoidReason::AuthorizationExpired;
    let event = VoidRequested { account, because, payment, provider };
    world.when_deadline().then_events([event.into()]);
    let event = Voided { account, amount: usd(700), because, payment, provider };
    world.when(PROVIDER, report(payment, voided())).then_events([event.clone().into()]);
    // The provider may say so first.
    let payment = authorized(&mut world, 700);
    let event = Voided { payment, ..event };
    let expired = ReportedOutcome::AuthorizationExpired;
    world.when(PROVIDER, report(payment, expired)).then_events([event.into()]);
    wallet_holds(&world, 0);
}

#[test]
fn a_providers_reference_credits_once_for_ever() {
    let mut world = World::new();
    world.given(PROVIDER, fund_as("r", OTHER_BUYER, usd(1)));
    let first = world.head().position;
    let payment = authorized(&mut world, 700);
    let used = Rejection::ReferenceUsed { reference: "r".to_owned(), first };
    world
        .when(PROVIDER, report(payment, took("r", usd(700))))
        .then_rejected([used])
        .given(PROVIDER, report(payment, took("s", usd(700))));
    let first = world.head().position;
    world
        .when(PROVIDER, fund_as("s", BUYER, usd(700)))
        .then_rejected([Rejection::ReferenceUsed { reference: "s".to_owned(), first }]);
    wallet_holds(&world, 700);
}

#[test]
fn parts_of_a_payment_go_back_the_way_it_came_and_never_more_than_came() {
    let mut world = World::new();
    let payment = paid(&mut world, 700);
    let (account, provider, reference) = (BUYER.account(), PROVIDER.account(), format!("ref {payment}"));
    world.when(BUYER, give_back(payment, usd(500)));
    let refund = world.refund();
    let requested = RefundRequested {
        account,
        captured: usd(700),
        order: None,
        payment,
        provider,
        reference: reference.clone(),
        refund,
        refunded: usd(500),
        transfer: Transfer { amount: usd(500), from: wallet(), to: LedgerAccount::RefundsPayable },
    };
    world.then_events([requested.into()]).when_again().then_repeat();
    wallet_holds(&world, 200);
    let wish = Wish::Refund { refund, amount: usd(500), reference: reference.as_str().into() };
    assert_eq!(wishes(&world), [wish]);
    let too_much = |amount| Rejection::PaymentAmount { payment, amount, most: usd(200) };
    world
        .when(BUYER, give_back(payment, usd(201)))
        .then_rejected([too_much(usd(201))])
        .when(BUYER, give_back(payment, eur(1)))
        .then_rejected([too_much(eur(1))])
        .when(BUYER, give_back(payment, usd(0)))
        .then_rejected([Rejection::AmountNotPositive]);
    let back = Transfer { amount: usd(500), from: LedgerAccount::RefundsPayable, to: clearing() };
    let refunded = Refunded { account, payment, refund, reference: "back".to_owned(), transfer: back };
    world
        .when(PROVIDER, report(payment, gave_back(refund)))
        .then_events([refunded.into()])
        .when(PROVIDER, report(payment, gave_back(refund)))
        .then_unchanged();
    // What could not go back is in the wallet again, and may be tried again.
    world.when(OPERATOR, give_back(payment, usd(200)));
    let refund = world.refund();
    wallet_holds(&world, 0);
    let failed = RefundFailed {
        account,
        captured: usd(700),
        code: "closed".to_owned(),
        payment,
        provider,
        reference,
        refund,
        refunded: usd(500),
        transfer: Transfer { amount: usd(200), from: LedgerAccount::RefundsPayable, to: wallet() },
    };
    let could_not = ReportedOutcome::RefundFailed { code: text("closed"), refund };
    world
        .when(PROVIDER, report(payment, could_not.clone()))
        .then_events([failed.into()])
        .when(PROVIDER, report(payment, could_not))
        .then_unchanged()
        .when(PROVIDER, report(payment, gave_back(refund)))
        .then_unchanged()
        .given(BUYER, give_back(payment, usd(200)));
    wallet_holds(&world, 0);
}

#[test]
fn only_what_came_in_and_is_still_there_goes_back() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(600), 1);
    let payment = requested(&mut world, 700);
    let state = |state| Rejection::PaymentState { payment, state };
    world
        .when(BUYER, give_back(payment, usd(1)))
        .then_rejected([state(PaymentState::Requested)])
        .given(PROVIDER, report(payment, refused("x")))
        .when(BUYER, give_back(payment, usd(1)))
        .then_rejected([state(PaymentState::Failed)]);
    let payment = paid(&mut world, 700);
    world
        .given(BUYER, place(&[(TEA, 1)], usd(600)))
        .when(BUYER, give_back(payment, usd(101)))
        .then_rejected([Rejection::InsufficientFunds { available: usd(100), required: usd(101) }])
        .given(BUYER, give_back(payment, usd(100)))
        .when(BUYER, give_up(payment))
        .then_rejected([Rejection::PaymentState { payment, state: PaymentState::Captured }]);
}

#[test]
fn so_many_refunds_are_under_way_at_once_and_no_more() {
    let mut world = World::new();
    let payment = paid(&mut world, 700);
    for _ in 0..OPEN_PER_ACCOUNT_MAX {
        world.given(BUYER, give_back(payment, usd(1)));
    }
    let last = world.refund();
    let too_many = || Rejection::TooManyPayments { max: OPEN_PER_ACCOUNT_MAX };
    world
        .when(BUYER, give_back(payment, usd(1)))
        .then_rejected([too_many()])
        .when(BUYER, request(usd(1)))
        .then_rejected([too_many()])
        .given(PROVIDER, report(payment, gave_back(last)))
        .given(OPERATOR, give_back(payment, usd(1)));
}

#[test]
fn a_text_that_looks_like_a_cards_number_is_no_text_of_any_command() {
    let card = "4242 4242 4242 4242";
    for (name, mut body, field) in [
        ("payment.request", request(usd(1)).body(), "/method/token"),
        ("wallet.fund", fund_as("x", BUYER, usd(1)).body(), "/reference"),
        ("listing.create", create_listing(TEA, usd(1)).body(), "/title"),
        ("order.cancel", cancel(some_order()).body(), "/reason"),
        ("order.decline", decline(some_order()).body(), "/reason"),
        ("order.refund", refund(some_order(), 1, usd(1)).body(), "/reason"),
        ("order.ship", ship(some_order()).body(), "/carrier"),
    ] {
        assert!(Command::parse(name, &body).is_ok(), "{name}");
        *body.pointer_mut(field).unwrap() = card.into();
        let refusal = Command::parse(name, &body).unwrap_err();
        assert_eq!(refusal.code(), "body_invalid");
        let told = refusal.to_string();
        assert!(told.contains("card's number") && !told.contains("4242"), "{told}");
    }
}

fn some_order() -> events::ids::OrderId {
    events::ids::OrderId::derive(BUYER.account(), cid(START, 0), 0)
}

/// Closes `count` payments of one cent behind the log, without deciding them.
fn close_many(world: &mut World, count: usize) {
    for n in 0..count {
        let payment = PaymentId::derive(OTHER_BUYER.account(), cid(START, n as u64));
        let (account, provider) = (OTHER_BUYER.account(), PROVIDER.account());
        let because = VoidReason::Cancelled;
        let event = Voided { account, amount: usd(1), because, payment, provider };
        world.given_events([event.into()]);
    }
}

#[test]
fn a_payment_that_left_memory_is_asked_for_and_known_again() {
    let mut world = World::new();
    let payment = paid(&mut world, 700);
    let closed = world.market.payments.recently_closed(payment).unwrap().clone();
    close_many(&mut world, RECENT_CLOSED_PAYMENTS_MAX);
    assert_eq!(world.market.forgotten, closed.position);
    for (actor, command, types) in [
        (PROVIDER, report(payment, took("r", usd(700))), "command.unchanged.v1"),
        (BUYER, give_up(payment), "command.rejected.v1"),
        (BUYER, give_back(payment, usd(700)), "payment.refund_requested.v1"),
    ] {
        let signed = world.sign(actor, command);
        let asked = decide(&world.market, &signed, &Facts::default(), world.now);
        let Decision::Ask(question) = asked else { panic!("{asked:?}") };
        assert_eq!((question.payment, question.covering), (Some(payment), closed.position));
        let facts = Facts {
            covered: closed.position,
            closed_payment: Some((payment, closed.clone())),
            ..Facts::default()
        };
        let decided = decide(&world.market, &signed, &facts, world.now);
        let Decision::Commit(events) = decided else { panic!("{decided:?}") };
        assert_eq!(events.iter().map(Event::type_name).collect::<Vec<_>>(), [types]);
    }
    // What was never there is rejected once the index has said so.
    let nobody = PaymentId::derive(BUYER.account(), cid(START, 0));
    let signed = world.sign(BUYER, give_up(nobody));
    assert!(matches!(decide(&world.market, &signed, &Facts::default(), world.now), Decision::Ask(_)));
    let facts = Facts { covered: closed.position, ..Facts::default() };
    let decided = decide(&world.market, &signed, &facts, world.now);
    assert!(matches!(decided, Decision::Commit(events) if matches!(events[..], [Event::CommandRejected(_)])));
}

fn gave_back(refund: RefundId) -> ReportedOutcome {
    ReportedOutcome::Refunded { reference: text("back"), refund }
}
