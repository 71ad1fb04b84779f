//! Whatever is asked in whatever order, the market's promises hold after every commit.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;
mod invariants {
    pub(crate) mod checks;
    pub(crate) mod steps;
}

use std::collections::{BTreeMap, BTreeSet};

use commands::command::{
    CancelOrder, ConfirmDelivery, LineQuantity, MigrateCart, PayoutOutcome, ReportPayment, ReportedOutcome,
    RequestPayout, ShipOrder, UpdateListing,
};
use commands::order::{ShipmentState, Stage};
use commands::{Command, Decision, Market, Verified};
use events::ids::{AccountId, CommandId, ListingId, OrderId, PaymentId, PayoutId, RefundId};
use events::ledger::LedgerAccount;
use events::metadata::Cause;
use events::order::{LineUnits, ShipmentNumber};
use events::payment::{ActionKind, Requested};
use events::rejection::OrderState;
use events::stock::AdjustmentReason;
use events::{Event, Money};
use invariants::checks::{
    asked_for, check_deadlines, check_money, check_numbers, check_payments, check_stock, fold, snapshot,
};
use invariants::steps::{Part, Step, step};
use proptest::prelude::*;
use support::*;

const PROVIDERS: [Actor; 2] = [PROVIDER, Actor(4)];
const BUYERS: [Actor; 3] = [BUYER, OTHER_BUYER, Actor(22)];
const EVERYBODY: [Actor; 7] = [BUYER, OTHER_BUYER, Actor(22), SELLER, OTHER_SELLER, PROVIDER, OPERATOR];
/// One thing costs a third of all the money there can be.
const DEAR: i64 = MOST / 3;
const MOST: i64 = Money::MINOR_MAX;

fn seller_of(thing: u64) -> Actor {
    if thing < 2 { SELLER } else { OTHER_SELLER }
}

/// What events said of an order's money, counted beside the market.
#[derive(Debug, Clone, Copy)]
struct Paid {
    total: Money,
    fee: i64,
    /// What a provider is to bring.
    by_provider: i64,
    held: i64,
    released: i64,
    fees: i64,
    refunded: i64,
    /// What units that went their way cost, by the events about them.
    shipped: i64,
    cancelled: i64,
}

impl Paid {
    fn remaining(&self) -> i64 {
        self.held - self.released - self.fees - self.refunded
    }
}

/// A market at work, with what was signed and promised so far.
struct Run {
    world: World,
    signed: Vec<Verified>,
    orders: Vec<(OrderId, (Actor, Actor))>,
    paid: BTreeMap<OrderId, Paid>,
    decided: BTreeSet<(AccountId, CommandId)>,
    credited: BTreeSet<(LedgerAccount, String)>,
    /// How many units were last told to be missing.
    shortfalls: BTreeMap<ListingId, u64>,
    payments: Vec<Requested>,
    refunds: Vec<(RefundId, PaymentId)>,
    payouts: Vec<(PayoutId, AccountId)>,
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
        let (signed, orders, paid) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (decided, credited) = (BTreeSet::new(), BTreeSet::new());
        let (payments, refunds, captured) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (shortfalls, payouts) = (BTreeMap::new(), Vec::new());
        let mut run = Run {
            world,
            signed,
            orders,
            paid,
            decided,
            credited,
            shortfalls,
            payments,
            refunds,
            payouts,
            captured,
            checked: 0,
        };
        run.check();
        // A seller has earned something: what random steps seldom come to.
        run.ask(PROVIDER, fund(BUYER, usd(500)));
        run.ask(BUYER, place(&[(0, 1)], usd(500)));
        let (order, _) = run.orders[0];
        run.ask(SELLER, ship(order));
        run.ask(BUYER, confirm(order));
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

    /// Names lines of an order by their place, or a listing that may not be in it.
    fn lines(&self, order: OrderId, part: Part) -> Option<Vec<LineQuantity>> {
        let open = self.world.market.orders.get(order);
        let lines = part?.into_iter().map(|(place, n)| {
            let line = open.and_then(|open| open.lines.get(usize::from(place)));
            let listing = line.map_or(listing(place.into()), |line| line.listing);
            LineQuantity { listing, quantity: units(n) }
        });
        Some(lines.collect())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fund(provider, buyer, minor, in_euro, payment) => {
                let amount = if in_euro { eur(minor) } else { usd(minor) };
                let reference = format!("payment {payment}");
                self.ask(PROVIDERS[provider], fund_as(&reference, BUYERS[buyer], amount));
            }
            Step::Receive(thing, n) => self.ask(seller_of(thing), receive(thing, n)),
            Step::Update(thing, price, n) => {
                let price = if thing == 3 { eur(price) } else { usd(price) };
                let asked = UpdateListing {
                    limits: Some(limits((n == 2).then_some(2), (n == 3).then_some(3))),
                    price: Some(price),
                    restricted: Some(n == 4),
                    ..update(thing)
                };
                self.ask(seller_of(thing), asked.into());
            }
            Step::Stop(kind, thing, stops) => self.stop(kind, thing, stops),
            Step::Withdraw(thing) => self.ask(seller_of(thing), withdraw(thing)),
            Step::Variant(n, of) => {
                let size = n.to_string();
                self.ask(seller_of(of), create_variant(10 + n, of, &[("size", &size)]));
            }
            Step::Adjust(thing, delta, reason) => self.ask(seller_of(thing), adjust(thing, delta, reason)),
            Step::Lose(thing) => {
                let on_hand = self.world.market.listings.get(listing(thing)).unwrap().stock.on_hand;
                let delta = -i64::try_from(on_hand).unwrap();
                if delta < 0 {
                    self.ask(seller_of(thing), adjust(thing, delta, AdjustmentReason::Lost));
                }
            }
            Step::Safety(thing, n) => self.ask(seller_of(thing), set_safety(thing, n)),
            Step::Backorder(thing, n) => self.ask(seller_of(thing), set_backorder_limit(thing, n)),
            Step::Expect(thing, n, days) => {
                // One time a day, so that some are named again.
                let due = START.plus_ms(days * DAY_MS);
                self.ask(seller_of(thing), expect(thing, n, due));
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
            Step::PlaceBy(buyer, provider, lines, wallet) => {
                let method = by_provider(PROVIDERS[provider], wallet.map(usd));
                self.ask(BUYERS[buyer], place_with(method, &lines, usd(MOST)));
            }
            Step::MigrateBy(buyer, wallet) => {
                let buyer = BUYERS[buyer];
                let owner = self.world.market.accounts.get(buyer.account()).unwrap();
                if let Some(cart) = owner.cart.as_ref().map(|cart| cart.id) {
                    let payment_method = by_provider(PROVIDER, wallet.map(usd));
                    self.ask(buyer, MigrateCart { cart, payment_method, total: usd(MOST) }.into());
                }
            }
            Step::Pay(nth) => {
                let (order, (buyer, seller)) = self.order(nth);
                self.ask(if nth % 9 == 8 { seller } else { buyer }, pay(order));
            }
            Step::PayOut(seller, provider, part) => {
                let (seller, provider) = ([SELLER, OTHER_SELLER][seller], PROVIDERS[provider]);
                let earned = LedgerAccount::SellerAvailable(seller.account());
                let amount = if part == 0 {
                    self.world.market.ledger.balance(earned, usd(0).currency)
                } else {
                    usd(part)
                };
                self.ask(seller, RequestPayout { amount, to: method(provider, "acct_1") }.into());
            }
            Step::ReportPayout(nth, goes_well, by_other) => {
                let Some((payout, provider)) = self.payouts.iter().rev().nth(nth % 3).copied() else {
                    return;
                };
                let outcome = if goes_well {
                    PayoutOutcome::Paid { reference: text("po") }
                } else {
                    PayoutOutcome::Failed { code: text("closed") }
                };
                let reporter = if by_other { PROVIDERS[0] } else { Actor::of(provider) };
                self.ask(reporter, report_payout(payout, outcome));
            }
            Step::Ship(nth, who, part) => {
                let (order, (_, seller)) = self.order(nth);
                let lines = self.lines(order, part);
                let command = ShipOrder { carrier: None, lines, order, tracking: None };
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), command.into());
            }
            Step::Confirm(nth, who, before) => {
                let (order, (buyer, _)) = self.order(nth);
                let receiver = if nth % 2 == 0 { buyer } else { PROVIDER };
                let shipment = before.map(|before| ShipmentNumber::after(before.into()));
                let command = ConfirmDelivery { order, shipment };
                self.ask(who.map_or(receiver, |n| EVERYBODY[n]), command.into());
            }
            Step::Cancel(nth, who, part) => {
                let (order, (buyer, seller)) = self.order(nth);
                let party = if nth % 2 == 0 { buyer } else { seller };
                let command = CancelOrder { lines: self.lines(order, part), order, reason: None };
                self.ask(who.map_or(party, |n| EVERYBODY[n]), command.into());
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

    fn stop(&mut self, kind: u8, thing: u64, stops: bool) {
        let (seller, buyer) = (seller_of(thing), BUYERS[(thing % 3) as usize]);
        let (actor, command) = match (kind, stops) {
            (0, true) => (seller, pause(thing)),
            (0, false) => (seller, resume(thing)),
            (1, true) => (OPERATOR, block(thing)),
            (1, false) => (OPERATOR, unblock(thing)),
            (2, true) => (OPERATOR, suspend(seller)),
            (2, false) => (OPERATOR, reinstate(seller)),
            (_, true) => (OPERATOR, revoke_clearance(buyer)),
            (_, false) => (OPERATOR, grant_clearance(buyer)),
        };
        self.ask(actor, command);
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
            (_, _) => ReportedOutcome::Failed { code: text("declined"), retryable: !nth.is_multiple_of(3) },
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
        self.check_orders();
        check_stock(&self.world.market, &self.shortfalls);
        check_deadlines(&self.world.market);
        check_payments(&self.world.market);
    }

    /// Checks what an event about an order's money says of its end.
    fn check_end(&self, order: OrderId, paid: Paid, closed_as: Option<OrderState>) {
        let Some(state) = closed_as else { return };
        assert_eq!(paid.remaining(), 0, "a closed order's accounts are zero");
        assert_eq!(paid.shipped + paid.cancelled, paid.total.minor, "all units cost the total");
        let balance = self.world.market.ledger.balance(LedgerAccount::Escrow(order), paid.total.currency);
        assert_eq!(balance.minor, 0);
        if paid.shipped > 0 {
            assert_eq!(state, OrderState::Completed);
        }
        assert!(self.world.market.orders.get(order).is_none(), "what is closed is not open");
    }

    /// Checks each open order against what the events said of it.
    fn check_orders(&self) {
        for (id, order) in self.world.market.orders.iter() {
            let (paid, escrow) = (self.paid[id], order.escrow);
            let lines: i64 = order.lines.iter().map(|line| line.total_minor).sum();
            let missing = match (order.stage, &order.card) {
                (Stage::AwaitingPayment { .. }, Some(card)) => card.amount_minor,
                (Stage::AwaitingPayment { .. }, None) => panic!("order {id} waits for nobody's money"),
                (Stage::Confirmed, _) => 0,
            };
            assert_eq!((lines, escrow.funded + missing), (order.total.minor, order.total.minor));
            let sums = (escrow.released, escrow.fees, escrow.refunded, escrow.remaining());
            assert_eq!(sums, (paid.released, paid.fees, paid.refunded, paid.remaining()));
            let left: i64 = order.left().iter().map(|line| line.amount.minor).sum();
            assert_eq!(left + paid.shipped + paid.cancelled, order.total.minor);
            for (place, line) in (0u8..).zip(&order.lines) {
                assert!(line.cancelled + line.shipped <= line.ordered && line.delivered <= line.shipped);
                let units = |arrived: bool| -> u32 {
                    let shipments = order.shipments.iter().filter(|shipment| {
                        !arrived || !matches!(shipment.state, ShipmentState::InTransit { .. })
                    });
                    let units = shipments.flat_map(|shipment| &shipment.units);
                    units.filter(|(of, _)| *of == place).map(|(_, units)| units).sum()
                };
                assert_eq!((line.shipped, line.delivered), (units(false), units(true)));
            }
        }
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
                Event::StockShortfallDetected(detected) => {
                    self.shortfalls.insert(detected.listing, detected.missing);
                }
                Event::PaymentRequested(requested) => {
                    if let Command::PlaceOrder(_) | Command::MigrateCart(_) =
                        &self.signed.last().unwrap().command
                    {
                        *charged.entry(requested.amount.currency).or_insert(0) += requested.amount.minor;
                    }
                    self.payments.push(requested.clone());
                }
                Event::PayoutRequested(event) => self.payouts.push((event.payout, event.provider)),
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
                    let (total, fee) = (placed.total, placed.fee.amount.minor);
                    let (held, released, fees, refunded, shipped, cancelled) = (0, 0, 0, 0, 0, 0);
                    let by_provider = placed.payment.as_ref().map_or(0, |due| due.amount.minor);
                    let paid =
                        Paid { total, fee, by_provider, held, released, fees, refunded, shipped, cancelled };
                    self.paid.insert(placed.order, paid);
                }
                Event::EscrowHeld(held) => {
                    let amount = held.transfer.amount;
                    *charged.entry(amount.currency).or_insert(0) += amount.minor;
                    let paid = self.paid.get_mut(&held.order).unwrap();
                    assert_eq!(amount.currency, paid.total.currency);
                    paid.held += amount.minor;
                    let waits = paid.by_provider > 0 && paid.held == paid.total.minor - paid.by_provider;
                    assert!(waits || paid.held == paid.total.minor, "an order is paid whole: {paid:?}");
                }
                Event::OrderPaid(paid) => {
                    let paid = &self.paid[&paid.order];
                    assert_eq!(paid.held, paid.total.minor, "a paid order's escrow holds what it costs");
                }
                Event::OrderShipped(shipped) => {
                    self.paid.get_mut(&shipped.order).unwrap().shipped += cost(&shipped.lines);
                }
                Event::OrderCancelled(cancelled) => {
                    self.paid.get_mut(&cancelled.order).unwrap().cancelled += cost(&cancelled.lines);
                }
                Event::EscrowReleased(released) => {
                    let paid = self.paid.get_mut(&released.order).unwrap();
                    for transfer in &released.transfers {
                        match transfer.to {
                            LedgerAccount::PlatformFees => paid.fees += transfer.amount.minor,
                            _ => paid.released += transfer.amount.minor,
                        }
                    }
                    let (out, total) = (i128::from(paid.released + paid.fees), i128::from(paid.total.minor));
                    let due = (2 * i128::from(paid.fee) * out + total) / (2 * total);
                    assert_eq!(i128::from(paid.fees), due, "fees are exactly those of what was released");
                    assert_eq!(paid.remaining(), released.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    self.check_end(released.order, paid, released.closed_as);
                }
                Event::EscrowRefunded(refunded) => {
                    let paid = self.paid.get_mut(&refunded.order).unwrap();
                    paid.refunded += refunded.transfer.map_or(0, |transfer| transfer.amount.minor);
                    let was_paid = paid.held == paid.total.minor;
                    let due = if was_paid { paid.cancelled } else { paid.held };
                    assert_eq!(paid.refunded, due, "what was cancelled is paid back");
                    assert_eq!(paid.remaining(), refunded.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    self.check_end(refunded.order, paid, refunded.closed_as);
                }
                _ => {}
            }
        }
        if !charged.is_empty() {
            let total = match &self.signed.last().unwrap().command {
                Command::PlaceOrder(command) => command.total,
                Command::MigrateCart(command) => command.total,
                Command::ReportPayment(command) => self.captured[&command.payment].0,
                other => panic!("{} charges nobody", other.name()),
            };
            let within =
                charged.iter().all(|(currency, minor)| *currency == total.currency && *minor <= total.minor);
            assert!(within, "{charged:?} of {total}");
        }
    }
}

fn cost(lines: &[LineUnits]) -> i64 {
    assert!(!lines.is_empty(), "an event names what it is about");
    lines.iter().map(|line| line.amount.minor).sum()
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
        let asked: BTreeMap<_, _> = folded.effects().into_iter().collect();
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
fn the_random_steps_reach_every_event_there_is() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..80 {
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
