//! Whatever is asked in whatever order, the market's promises hold after every commit.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use commands::command::{ReportPayment, ReportedOutcome};
use commands::order::Stage;
use commands::payment::{self, Effect, EffectId};
use commands::{Command, Decision, Market, Verified};
use events::commit::Stored;
use events::ids::{AccountId, CommandId, ListingId, OrderId, PaymentId, RefundId};
use events::ledger::LedgerAccount;
use events::metadata::{Cause, DeadlineStamp, Waiting};
use events::payment::{ActionKind, Requested};
use events::{Commit, Event, Head, Money};
use proptest::prelude::*;
use serde_json::Value;
use support::*;

const PROVIDERS: [Actor; 2] = [PROVIDER, Actor(4)];
const BUYERS: [Actor; 3] = [BUYER, OTHER_BUYER, Actor(22)];
const EVERYBODY: [Actor; 7] = [BUYER, OTHER_BUYER, Actor(22), SELLER, OTHER_SELLER, PROVIDER, OPERATOR];
/// One thing costs a third of all the money there can be.
const DEAR: i64 = MOST / 3;
const MOST: i64 = Money::MINOR_MAX;

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Fund(usize, usize, i64, bool, u8),
    Receive(u64, u32),
    Add(usize, u64, u32),
    Set(usize, u64, u32),
    Remove(usize, u64),
    Clear(usize),
    Migrate(usize, i64),
    Place(usize, Vec<(u64, u32)>, i64),
    Ship(usize, Option<usize>),
    Confirm(usize, Option<usize>),
    Cancel(usize, Option<usize>),
    Request(usize, usize, i64),
    Report(usize, u8, i64, u8),
    GiveUp(usize),
    GiveBack(usize, i64),
    /// Time passes, and what is due is decided.
    Wait(i64),
    /// An earlier wish, signed anew.
    Retry(usize),
    /// The same bytes again.
    Duplicate(usize),
    /// Another wish under an earlier id.
    Conflict(usize),
}

fn quantity() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1u32..4, 1 => Just(1_000_000u32)]
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1i64..5000, 2 => Just(DEAR), 1 => Just(MOST), 1 => Just(0i64), 1 => -MOST..=MOST]
}

fn step() -> impl Strategy<Value = Step> {
    let (buyer, nth) = (0..BUYERS.len(), any::<usize>());
    let thing = prop_oneof![6 => 0u64..3, 1 => Just(3u64), 1 => Just(4u64)];
    // Mostly whoever the order belongs to; else anybody.
    let anybody = prop_oneof![3 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    let lines = prop::collection::vec((thing.clone(), quantity()), 0..4);
    let ms = prop_oneof![2 => Just(0i64), 4 => 1i64..200_000, 1 => DAY_MS..20 * DAY_MS];
    let buyer_again = 0..BUYERS.len();
    // Mostly all there is; else some of it.
    let part = prop_oneof![3 => Just(0i64), 2 => 1i64..3000];
    let total = prop_oneof![3 => Just(MOST), 1 => amount()];
    prop_oneof![
        4 => (0..2usize, buyer.clone(), amount(), any::<bool>(), 0..16u8)
            .prop_map(|(p, b, a, e, r)| Step::Fund(p, b, a, e, r)),
        3 => (thing.clone(), quantity()).prop_map(|(t, n)| Step::Receive(t, n)),
        3 => (buyer.clone(), thing.clone(), quantity()).prop_map(|(b, t, n)| Step::Add(b, t, n)),
        1 => (buyer.clone(), thing.clone(), quantity()).prop_map(|(b, t, n)| Step::Set(b, t, n)),
        1 => (buyer.clone(), thing).prop_map(|(b, t)| Step::Remove(b, t)),
        1 => buyer.clone().prop_map(Step::Clear),
        3 => (buyer.clone(), total.clone()).prop_map(|(b, a)| Step::Migrate(b, a)),
        6 => (buyer, lines, total).prop_map(|(b, l, a)| Step::Place(b, l, a)),
        4 => (nth, anybody.clone()).prop_map(|(n, a)| Step::Ship(n, a)),
        4 => (nth, anybody.clone()).prop_map(|(n, a)| Step::Confirm(n, a)),
        2 => (nth, anybody).prop_map(|(n, a)| Step::Cancel(n, a)),
        3 => (buyer_again, 0..2usize, amount()).prop_map(|(b, p, a)| Step::Request(b, p, a)),
        9 => (nth, 0..9u8, part.clone(), 0..16u8).prop_map(|(n, k, a, r)| Step::Report(n, k, a, r)),
        1 => nth.prop_map(Step::GiveUp),
        3 => (nth, part).prop_map(|(n, a)| Step::GiveBack(n, a)),
        3 => ms.prop_map(Step::Wait),
        1 => nth.prop_map(Step::Retry),
        1 => nth.prop_map(Step::Duplicate),
        1 => nth.prop_map(Step::Conflict),
    ]
}

/// A market at work, with what was signed and promised so far.
struct Run {
    world: World,
    signed: Vec<Verified>,
    orders: Vec<(OrderId, (Actor, Actor))>,
    held: BTreeMap<OrderId, Money>,
    decided: BTreeSet<(AccountId, CommandId)>,
    credited: BTreeSet<(LedgerAccount, String)>,
    payments: Vec<Requested>,
    refunds: Vec<(RefundId, PaymentId)>,
    /// What was captured of each payment, and what of that has gone back for good.
    captured: BTreeMap<PaymentId, (Money, i64)>,
    checked: usize,
}

impl Run {
    fn new() -> Run {
        let mut world = World::new();
        world.register(PROVIDERS[1]).register(BUYERS[2]);
        world
            .given_listing(SELLER, 0, usd(500), 10)
            .given_listing(SELLER, 1, usd(DEAR), 3)
            .given_listing(OTHER_SELLER, 2, usd(1), 1_000_000)
            .given_listing(OTHER_SELLER, 3, eur(300), 5);
        let (signed, orders, held) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (decided, credited) = (BTreeSet::new(), BTreeSet::new());
        let (payments, refunds, captured) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut run =
            Run { world, signed, orders, held, decided, credited, payments, refunds, captured, checked: 0 };
        run.check();
        run
    }

    fn ask(&mut self, actor: Actor, command: Command) {
        let signed = self.world.sign(actor, command);
        self.send(signed);
    }

    fn send(&mut self, signed: Verified) {
        self.signed.push(signed.clone());
        self.world.when_signed(signed);
        assert!(!matches!(self.world.outcome(), Decision::Ask(_)), "nothing was forgotten yet");
        self.check();
    }

    fn earlier(&self, nth: usize) -> Option<Verified> {
        (!self.signed.is_empty()).then(|| self.signed[nth % self.signed.len()].clone())
    }

    /// Gives one of the last orders with its buyer and seller, or one that never was.
    fn order(&self, nth: usize) -> (OrderId, (Actor, Actor)) {
        let unknown = (OrderId::derive(BUYER.account(), cid(START, 0), 0), (BUYER, SELLER));
        let last = self.orders.iter().rev().take(5);
        last.chain([&unknown]).nth(nth / 2 % 6).copied().unwrap_or(unknown)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fund(provider, buyer, minor, in_euro, payment) => {
                let amount = if in_euro { eur(minor) } else { usd(minor) };
                let reference = format!("payment {payment}");
                self.ask(PROVIDERS[provider], fund_as(&reference, BUYERS[buyer], amount));
            }
            Step::Receive(thing, n) => {
                self.ask(if thing < 2 { SELLER } else { OTHER_SELLER }, receive(thing, n))
            }
            Step::Add(buyer, thing, n) => self.ask(BUYERS[buyer], add(thing, n)),
            Step::Set(buyer, thing, n) => self.ask(BUYERS[buyer], set(thing, n)),
            Step::Remove(buyer, thing) => self.ask(BUYERS[buyer], remove(thing)),
            Step::Clear(buyer) => self.ask(BUYERS[buyer], clear()),
            Step::Migrate(buyer, total) => {
                let buyer = BUYERS[buyer];
                let owner = self.world.market.accounts.get(buyer.account()).unwrap();
                if let Some(cart) = owner.cart.as_ref().map(|cart| cart.id).or(owner.last_migrated) {
                    self.ask(buyer, migrate(cart, usd(total)));
                }
            }
            Step::Place(buyer, lines, total) => self.ask(BUYERS[buyer], place(&lines, usd(total))),
            Step::Ship(nth, who) => {
                let (order, (_, seller)) = self.order(nth);
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), ship(order));
            }
            Step::Confirm(nth, who) => {
                let (order, (buyer, _)) = self.order(nth);
                let receiver = if nth % 2 == 0 { buyer } else { PROVIDER };
                self.ask(who.map_or(receiver, |n| EVERYBODY[n]), confirm(order));
            }
            Step::Cancel(nth, who) => {
                let (order, (buyer, seller)) = self.order(nth);
                let party = if nth % 2 == 0 { buyer } else { seller };
                self.ask(who.map_or(party, |n| EVERYBODY[n]), cancel(order));
            }
            Step::Request(buyer, provider, minor) => {
                self.ask(BUYERS[buyer], request_from(PROVIDERS[provider], usd(minor), "tok"));
            }
            Step::Report(nth, kind, part, reference) => self.report(nth, kind, part, reference),
            Step::GiveUp(nth) => {
                if let Some(payment) = self.last_payment(nth) {
                    self.ask(Actor::of(payment.account), give_up(payment.payment));
                }
            }
            Step::GiveBack(nth, part) => {
                if let Some(payment) = self.last_payment(nth) {
                    let asker = if nth % 3 == 0 { OPERATOR } else { Actor::of(payment.account) };
                    let amount = if part == 0 { payment.amount } else { usd(part) };
                    self.ask(asker, give_back(payment.payment, amount));
                }
            }
            Step::Wait(ms) => {
                self.world.after(ms);
                self.let_due_deadlines_pass();
            }
            Step::Retry(nth) => {
                if let Some(first) = self.earlier(nth) {
                    let mut again = self.world.sign(Actor::of(first.stamp.account), first.command);
                    again.stamp.command = first.stamp.command;
                    self.send(again);
                }
            }
            Step::Duplicate(nth) => {
                if let Some(first) = self.earlier(nth) {
                    self.send(first);
                }
            }
            Step::Conflict(nth) => {
                if let Some(first) = self.earlier(nth) {
                    let mut other = self.world.sign(Actor::of(first.stamp.account), clear());
                    other.stamp.command = first.stamp.command;
                    self.send(other);
                }
            }
        }
    }

    /// Gives one of the last payments.
    fn last_payment(&self, nth: usize) -> Option<Requested> {
        self.payments.iter().rev().take(4).nth(nth % 4).cloned()
    }

    /// Lets a provider report something, likely or not, of one of the last payments. `part` 0: all of it.
    fn report(&mut self, nth: usize, kind: u8, part: i64, reference: u8) {
        let Some(payment) = self.last_payment(nth) else { return };
        let reference = || text(&format!("payment {reference}"));
        let amount = if part == 0 { payment.amount } else { usd(part) };
        let refund =
            self.refunds.iter().rev().find(|(_, of)| *of == payment.payment).map(|(refund, _)| *refund);
        let outcome = match (kind, refund) {
            (0, _) => {
                ReportedOutcome::ActionRequired { kind: ActionKind::Mfa, reference: reference(), url: None }
            }
            (1 | 2, _) => {
                let capture_before = self.world.now.plus_ms(DAY_MS);
                ReportedOutcome::Authorized { amount, capture_before, reference: reference() }
            }
            (3 | 4, _) => ReportedOutcome::Captured { amount, reference: reference() },
            (5, _) => ReportedOutcome::Voided,
            (6, _) => ReportedOutcome::AuthorizationExpired,
            (7, Some(refund)) => ReportedOutcome::Refunded { reference: reference(), refund },
            (8, Some(refund)) => ReportedOutcome::RefundFailed { code: text("closed"), refund },
            (_, _) => ReportedOutcome::Failed { code: text("declined"), retryable: false },
        };
        let provider = if nth % 8 == 7 { PROVIDERS[nth / 8 % 2] } else { Actor::of(payment.provider) };
        self.ask(provider, ReportPayment { outcome, payment: payment.payment }.into());
    }

    fn let_due_deadlines_pass(&mut self) {
        let now = self.world.now;
        while self.world.market.next_deadline().is_some_and(|next| next.due <= now) {
            self.world.when_deadline();
            self.check();
        }
    }

    /// Checks every promise, for what was committed since the last check.
    fn check(&mut self) {
        for n in self.checked..self.world.log.len() {
            self.check_commit(n);
        }
        self.checked = self.world.log.len();
        check_money(&self.world.market);
        check_stock(&self.world.market);
        check_deadlines(&self.world.market);
    }

    fn check_commit(&mut self, n: usize) {
        let commit = self.world.log[n].clone();
        match &commit.start().cause {
            Cause::Command(stamp) => {
                assert!(self.decided.insert((stamp.account, stamp.command)), "an id has one commit");
            }
            Cause::Deadline(deadline) => assert!(deadline.due <= commit.time()),
            Cause::Writer(_) => assert_eq!(n, 0),
        }
        let mut charged = BTreeMap::new();
        for recorded in commit.events() {
            for json in [&recorded.metadata_json, &recorded.payload_json] {
                check_numbers(&serde_json::from_slice(json).unwrap());
            }
            match &recorded.event {
                Event::WalletFunded(funded) => {
                    let payment = (funded.transfer.from, funded.reference.clone());
                    assert!(self.credited.insert(payment), "a payment is credited once");
                }
                Event::PaymentRequested(requested) => self.payments.push(requested.clone()),
                Event::PaymentCaptured(event) => {
                    let credit = (event.transfer.from, event.reference.clone());
                    assert!(self.credited.insert(credit), "a reference credits once");
                    let asked = self.payments.iter().find(|asked| asked.payment == event.payment).unwrap();
                    let amount = event.transfer.amount;
                    assert!(amount.currency == asked.amount.currency && amount.minor <= asked.amount.minor);
                    let earlier = self.captured.insert(event.payment, (amount, 0));
                    assert_eq!(earlier, None, "a payment is captured once");
                }
                Event::RefundRequested(event) => {
                    self.refunds.push((event.refund, event.payment));
                    assert!(event.refunded.minor <= self.captured[&event.payment].0.minor);
                }
                Event::PaymentRefunded(event) => {
                    let (captured, refunded) = self.captured.get_mut(&event.payment).unwrap();
                    *refunded += event.transfer.amount.minor;
                    assert!(*refunded <= captured.minor, "no more goes back than came in");
                }
                Event::OrderPlaced(placed) => {
                    let lines: i64 = placed.lines.iter().map(|line| line.total.minor).sum();
                    assert_eq!(placed.total.minor, lines);
                    let parties = (Actor::of(placed.buyer), Actor::of(placed.seller));
                    self.orders.push((placed.order, parties));
                }
                Event::EscrowHeld(held) => {
                    let amount = held.transfer.amount;
                    *charged.entry(amount.currency).or_insert(0) += amount.minor;
                    assert_eq!(self.held.insert(held.order, amount), None, "an order is paid once");
                }
                Event::EscrowReleased(released) => {
                    let out: i64 = released.transfers.iter().map(|transfer| transfer.amount.minor).sum();
                    assert_eq!(self.held[&released.order].minor, out, "all of the escrow leaves it");
                }
                Event::EscrowRefunded(refunded) => {
                    assert_eq!(self.held[&refunded.order], refunded.transfer.amount);
                }
                _ => {}
            }
        }
        if !charged.is_empty() {
            let total = match &self.signed.last().unwrap().command {
                Command::PlaceOrder(command) => command.total,
                Command::MigrateCart(command) => command.total,
                other => panic!("{} charges nobody", other.name()),
            };
            let within =
                charged.iter().all(|(currency, minor)| *currency == total.currency && *minor <= total.minor);
            assert!(within, "{charged:?} of {total}");
        }
    }
}

/// Checks that every reader of JSON keeps each number exactly.
fn check_numbers(value: &Value) {
    match value {
        Value::Number(number) => {
            assert!(number.as_i64().is_some_and(|number| (-MOST..=MOST).contains(&number)), "{number}");
        }
        Value::Array(elements) => elements.iter().for_each(check_numbers),
        Value::Object(members) => members.values().for_each(check_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn check_money(market: &Market) {
    for (currency, sum) in market.ledger.sums() {
        assert_eq!(sum, 0, "{currency}");
    }
    let mut on_their_way = BTreeMap::new();
    for (_, refund) in market.payments.refunds() {
        *on_their_way.entry(refund.amount.currency).or_insert(0) += refund.amount.minor;
    }
    for (currency, minor) in on_their_way {
        assert_eq!(market.ledger.balance(LedgerAccount::RefundsPayable, currency).minor, minor);
    }
    let mut escrows = 0;
    for (account, balance) in market.ledger.balances() {
        assert!((-MOST..=MOST).contains(&balance.minor), "{account} holds {balance}");
        match account {
            LedgerAccount::ProviderClearing(_) => {}
            LedgerAccount::Escrow(order) => {
                escrows += 1;
                let open = market.orders.get(order).expect("only an open order has money in escrow");
                assert_eq!(balance, open.total);
            }
            other => assert!(balance.minor > 0, "{other} holds {balance}"),
        }
    }
    assert_eq!(escrows, market.orders.open_count(), "every open order has its money in escrow");
}

fn check_stock(market: &Market) {
    let mut reserved = BTreeMap::<ListingId, u64>::new();
    for (_, order) in market.orders.iter().filter(|(_, order)| matches!(order.stage, Stage::Placed { .. })) {
        for (listing, units) in &order.lines {
            *reserved.entry(*listing).or_default() += u64::from(*units);
        }
    }
    for (id, listing) in market.listings.iter() {
        assert_eq!(listing.reserved, reserved.get(id).copied().unwrap_or(0));
        assert!(listing.reserved <= listing.on_hand);
    }
}

fn check_deadlines(market: &Market) {
    let deadline = |(order, open): (&OrderId, &commands::order::Order)| {
        let order = *order;
        let (due, waiting) = match open.stage {
            Stage::Placed { ship_by } => (ship_by, Waiting::ShipBy { order }),
            Stage::Shipped { delivery_due } => (delivery_due, Waiting::DeliveryDue { order }),
            Stage::Delivered { inspection_ends } => (inspection_ends, Waiting::InspectionEnds { order }),
        };
        DeadlineStamp { due, waiting }
    };
    let of_payment = |(payment, open): (&PaymentId, &payment::Payment)| {
        let payment = *payment;
        let (due, waiting) = match open.stage {
            payment::Stage::Requested { expires_at, .. }
            | payment::Stage::ActionRequired { expires_at, .. } => {
                (expires_at, Waiting::PaymentExpires { payment })
            }
            payment::Stage::Authorized { capture_before, .. } => {
                (capture_before, Waiting::AuthorizationExpires { payment })
            }
            payment::Stage::Voiding { .. } => return None,
        };
        Some(DeadlineStamp { due, waiting })
    };
    let payments = market.payments.open().filter_map(of_payment);
    assert_eq!(market.next_deadline(), market.orders.iter().map(deadline).chain(payments).min());
}

/// Reads the log as it is stored, from zero.
fn fold(log: &[Commit]) -> Market {
    let mut head = Head::EMPTY;
    let mut market = Market::new();
    for commit in log {
        let stored = commit.events().iter().map(|recorded| Stored {
            metadata_json: recorded.metadata_json.clone(),
            payload_json: recorded.payload_json.clone(),
        });
        let read = Commit::from_stored(head.position + 1, stored.collect()).unwrap();
        read.check_follows(head).unwrap();
        market.evolve_commit(&read);
        head = read.head();
    }
    market
}

/// What a provider is still to be asked for, gathered event by event.
fn asked_for(log: &[Commit]) -> BTreeMap<EffectId, Effect> {
    let mut asked = BTreeMap::new();
    for (id, effect) in
        log.iter().flat_map(Commit::events).filter_map(|recorded| Effect::behind(&recorded.event))
    {
        match effect {
            Some(effect) => asked.insert(id, effect),
            None => asked.remove(&id),
        };
    }
    asked
}

fn snapshot(market: &Market) -> Vec<u8> {
    bincode::serde::encode_to_vec(market, bincode::config::standard()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_after_every_commit(steps in prop::collection::vec(step(), 1..160)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        let folded = fold(&run.world.log);
        prop_assert_eq!(&folded, &run.world.market);
        let bytes = snapshot(&folded);
        prop_assert_eq!(&bytes, &snapshot(&run.world.market));
        let (restored, _): (Market, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        prop_assert_eq!(&restored, &folded);
        let asked: BTreeMap<_, _> = folded.payments.effects().into_iter().collect();
        prop_assert_eq!(asked, asked_for(&run.world.log));
        // Left alone, every order comes to its end.
        run.world.after(100 * DAY_MS);
        run.let_due_deadlines_pass();
        run.world.after(100 * DAY_MS);
        run.let_due_deadlines_pass();
        prop_assert_eq!(run.world.market.orders.open_count(), 0);
        prop_assert_eq!(run.world.market.next_deadline(), None);
    }
}

/// The steps above must reach what they are to prove: without this, a world that refuses everything would pass.
#[test]
fn the_random_steps_reach_every_event_an_order_can_have() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        let mut run = Run::new();
        let steps = prop::collection::vec(step(), 200).new_tree(&mut runner).unwrap().current();
        for step in steps {
            run.step(step);
        }
        seen.extend(run.world.types());
    }
    let all: BTreeSet<_> = Event::TYPES.iter().copied().collect();
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new());
}
