//! Whatever is asked in whatever order, the market's promises hold after every commit.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;
mod invariants {
    pub(crate) mod checks;
}

use std::collections::{BTreeMap, BTreeSet};

use commands::command::{
    CancelOrder, ConfirmDelivery, FreezeEscrow, LineQuantity, ReportPayment, ReportedOutcome, ShipOrder,
    UpdateListing,
};
use commands::order::{Shipment, ShipmentState};
use commands::{Command, Decision, Market, Verified};
use events::escrow::FreezeReason;
use events::escrow::rule::{Condition, ReleaseRule, ReleaseTerms};
use events::ids::{AccountId, CommandId, ListingId, OrderId, PaymentId, RefundId};
use events::ledger::LedgerAccount;
use events::market::{EscrowTerms, FeePolicy};
use events::metadata::Cause;
use events::order::LineUnits;
use events::order::hold::HoldReason;
use events::payment::{ActionKind, Requested};
use events::rejection::OrderState;
use events::stock::AdjustmentReason;
use events::{Event, Money};
use invariants::checks::{
    asked_for, check_deadlines, check_money, check_numbers, check_stock, fold, snapshot,
};
use proptest::prelude::*;
use support::*;

const PROVIDERS: [Actor; 2] = [PROVIDER, Actor(4)];
const BUYERS: [Actor; 3] = [BUYER, OTHER_BUYER, Actor(22)];
const EVERYBODY: [Actor; 7] = [BUYER, OTHER_BUYER, Actor(22), SELLER, OTHER_SELLER, PROVIDER, OPERATOR];
const OPERATORS: [Actor; 2] = [OPERATOR, OTHER_OPERATOR];
/// One thing costs a third of all the money there can be.
const DEAR: i64 = MOST / 3;
const MOST: i64 = Money::MINOR_MAX;

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Fund(usize, usize, i64, bool, u8),
    Receive(u64, u32),
    Update(u64, i64, u32),
    /// A listing, a seller or a buyer is stopped, or let go on.
    Stop(u8, u64, bool),
    Withdraw(u64),
    Variant(u64, u64),
    Adjust(u64, i64, AdjustmentReason),
    /// All that is on hand is lost.
    Lose(u64),
    Safety(u64, u64),
    Backorder(u64, u64),
    Expect(u64, u64, i64),
    Add(usize, u64, u32),
    Set(usize, u64, u32),
    Remove(usize, u64),
    Clear(usize),
    Migrate(usize, i64),
    Place(usize, Vec<(u64, u32)>, i64),
    Ship(usize, Option<usize>, Part),
    Confirm(usize, Option<usize>, Option<u8>),
    Cancel(usize, Option<usize>, Part),
    /// An operator stops an order, or lets it go on.
    Hold(usize, usize, bool),
    Freeze(usize, Option<usize>, u8, i64, FreezeReason),
    Unfreeze(usize, bool, u8),
    Release(usize, u8),
    /// An operator gives so many percent of what is frozen to the seller.
    Settle(usize, usize, u8, i64),
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

/// Lines of an order by their place, with units: none for all of it.
type Part = Option<Vec<(u8, u32)>>;

fn part() -> impl Strategy<Value = Part> {
    let some = prop::collection::vec((0u8..4, 1u32..3), 0..3);
    prop_oneof![2 => Just(None), 3 => some.prop_map(Some)]
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
    let share = prop_oneof![3 => Just(0i64), 2 => 1i64..3000];
    let total = prop_oneof![3 => Just(MOST), 1 => amount()];
    prop_oneof![
        12 => stocking(),
        8 => (0..2usize, buyer.clone(), amount(), any::<bool>(), 0..16u8)
            .prop_map(|(p, b, a, e, r)| Step::Fund(p, b, a, e, r)),
        3 => (thing.clone(), quantity()).prop_map(|(t, n)| Step::Receive(t, n)),
        3 => (buyer.clone(), thing.clone(), quantity()).prop_map(|(b, t, n)| Step::Add(b, t, n)),
        1 => (buyer.clone(), thing.clone(), quantity()).prop_map(|(b, t, n)| Step::Set(b, t, n)),
        1 => (buyer.clone(), thing).prop_map(|(b, t)| Step::Remove(b, t)),
        1 => buyer.clone().prop_map(Step::Clear),
        3 => (buyer.clone(), total.clone()).prop_map(|(b, a)| Step::Migrate(b, a)),
        14 => (buyer, lines, total).prop_map(|(b, l, a)| Step::Place(b, l, a)),
        6 => (nth, anybody.clone(), part()).prop_map(|(n, a, p)| Step::Ship(n, a, p)),
        4 => (nth, anybody.clone(), prop::option::of(0u8..4)).prop_map(|(n, a, s)| Step::Confirm(n, a, s)),
        4 => (nth, anybody, part()).prop_map(|(n, a, p)| Step::Cancel(n, a, p)),
        13 => disputing(),
        3 => (buyer_again, 0..2usize, amount()).prop_map(|(b, p, a)| Step::Request(b, p, a)),
        9 => (nth, 0..9u8, share.clone(), 0..16u8).prop_map(|(n, k, a, r)| Step::Report(n, k, a, r)),
        1 => nth.prop_map(Step::GiveUp),
        3 => (nth, share).prop_map(|(n, a)| Step::GiveBack(n, a)),
        3 => ms.prop_map(Step::Wait),
        1 => nth.prop_map(Step::Retry),
        1 => nth.prop_map(Step::Duplicate),
        1 => nth.prop_map(Step::Conflict),
    ]
}

/// What buyers and operators do with orders and money that they doubt.
fn disputing() -> impl Strategy<Value = Step> {
    let (nth, operator) = (any::<usize>(), 0..2usize);
    let before = prop_oneof![4 => Just(0u8), 1 => 1u8..3];
    let reason = prop::sample::select(vec![
        FreezeReason::NotReceived,
        FreezeReason::NotAsDescribed,
        FreezeReason::Operator,
    ]);
    let somebody = prop_oneof![4 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    let share = prop_oneof![2 => Just(0i64), 3 => 1i64..600];
    let percent = prop_oneof![3 => prop::sample::select(vec![0i64, 50, 100]), 1 => -1i64..102];
    prop_oneof![
        1 => (nth, operator.clone()).prop_map(|(n, o)| Step::Hold(n, o, true)),
        4 => (nth, operator.clone()).prop_map(|(n, o)| Step::Hold(n, o, false)),
        4 => (nth, somebody, before.clone(), share, reason).prop_map(|(n, a, s, m, r)| Step::Freeze(n, a, s, m, r)),
        3 => (nth, any::<bool>(), before.clone()).prop_map(|(n, b, s)| Step::Unfreeze(n, b, s)),
        2 => (nth, before.clone()).prop_map(|(n, s)| Step::Release(n, s)),
        9 => (nth, operator, before, percent).prop_map(|(n, o, s, p)| Step::Settle(n, o, s, p)),
    ]
}

/// What sellers and operators do with listings and stock.
fn stocking() -> impl Strategy<Value = Step> {
    let thing = 0u64..3;
    let reason = prop::sample::select(vec![
        AdjustmentReason::Counted,
        AdjustmentReason::Damaged,
        AdjustmentReason::Lost,
        AdjustmentReason::Found,
        AdjustmentReason::Returned,
        AdjustmentReason::Correction,
    ]);
    let delta = prop_oneof![-12i64..0, 1i64..12];
    // Mostly things go on: a market that is at a stand proves nothing.
    let stops = prop::bool::weighted(0.25);
    prop_oneof![
        2 => (0u64..4, 0i64..600, 0u32..12).prop_map(|(t, p, n)| Step::Update(t, p, n)),
        8 => (0u8..4, thing.clone(), stops).prop_map(|(k, t, s)| Step::Stop(k, t, s)),
        1 => (3u64..5).prop_map(Step::Withdraw),
        1 => (0u64..4, 0u64..4).prop_map(|(n, of)| Step::Variant(n, of)),
        1 => thing.clone().prop_map(Step::Lose),
        4 => (thing.clone(), delta, reason).prop_map(|(t, d, r)| Step::Adjust(t, d, r)),
        1 => (thing.clone(), 0u64..4).prop_map(|(t, n)| Step::Safety(t, n)),
        2 => (thing.clone(), 0u64..5).prop_map(|(t, n)| Step::Backorder(t, n)),
        1 => (thing, 0u64..4, -2i64..5).prop_map(|(t, n, d)| Step::Expect(t, n, d)),
    ]
}

fn frozen(shipment: &Shipment) -> Option<i64> {
    shipment.frozen().map(|frozen| frozen.amount_minor)
}

fn unpaid(shipment: &Shipment) -> Option<i64> {
    (shipment.state != ShipmentState::Accepted).then_some(shipment.amount_minor)
}

fn seller_of(thing: u64) -> Actor {
    if thing < 2 { SELLER } else { OTHER_SELLER }
}

/// What events said of an order's money, counted beside the market.
#[derive(Debug, Clone, Copy)]
struct Paid {
    total: Money,
    fee: i64,
    held: i64,
    released: i64,
    fees: i64,
    refunded: i64,
    frozen: i64,
    /// Whether it is on hold.
    is_held: bool,
    /// Of what was paid back, what had been frozen.
    settled: i64,
    /// What units that went their way cost, by the events about them.
    shipped: i64,
    cancelled: i64,
}

impl Paid {
    fn remaining(&self) -> i64 {
        self.held - self.released - self.fees - self.refunded - self.frozen
    }
}

impl Paid {
    fn check_fees(&self) {
        let (out, total) = (i128::from(self.released + self.fees), i128::from(self.total.minor));
        let due = (2 * i128::from(self.fee) * out + total) / (2 * total);
        assert_eq!(i128::from(self.fees), due, "fees are exactly those of what was released");
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
    /// What was captured of each payment, and what of that has gone back for good.
    captured: BTreeMap<PaymentId, (Money, i64)>,
    checked: usize,
}

impl Run {
    /// Opens a market, of the usual rule of release or of one with a least age, an operator's word and a delay.
    fn new(is_usual: bool) -> Run {
        let terms = EscrowTerms::new(500, 60 * DAY_MS).unwrap();
        let any = vec![Condition::BuyerConfirmed, Condition::OperatorRelease, Condition::InspectionElapsed];
        let late = Condition::AllOf(vec![Condition::AnyOf(any), Condition::MinAge { ms: DAY_MS }]);
        let late = ReleaseTerms::new(DAY_MS / 24, ReleaseRule::new(late).unwrap()).unwrap();
        let terms = if is_usual { terms } else { terms.releasing(late) };
        let mut world = World::with_terms(FeePolicy::default(), Some(terms));
        world.register(PROVIDERS[1]).register(BUYERS[2]);
        world
            .given_listing(SELLER, 0, usd(500), 10)
            .given_listing(SELLER, 1, usd(DEAR), 3)
            .given_listing(OTHER_SELLER, 2, usd(1), 1_000_000)
            .given_listing(OTHER_SELLER, 3, eur(300), 5);
        let (signed, orders, paid) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (decided, credited) = (BTreeSet::new(), BTreeSet::new());
        let (payments, refunds, captured) = (Vec::new(), Vec::new(), BTreeMap::new());
        let shortfalls = BTreeMap::new();
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
            captured,
            checked: 0,
        };
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

    /// Gives an order with a shipment's number, counted from 1, and some amount of it: mostly of one that has such an amount.
    fn shipment(&self, nth: usize, before: u8, amount: fn(&Shipment) -> Option<i64>) -> (OrderId, u32, i64) {
        let fitting = self.world.market.orders.iter().flat_map(|(id, order)| {
            let shipments = (1u32..).zip(&order.shipments);
            shipments.filter_map(|(n, shipment)| Some((*id, n, amount(shipment)?)))
        });
        let fitting: Vec<_> = fitting.collect();
        let other = (self.order(nth).0, u32::from(before) + 1, 100);
        if nth.is_multiple_of(8) {
            other
        } else {
            fitting.get(nth % fitting.len().max(1)).copied().unwrap_or(other)
        }
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
            Step::Ship(nth, who, part) => {
                let (order, (_, seller)) = self.order(nth);
                let lines = self.lines(order, part);
                let command = ShipOrder { carrier: None, lines, order, tracking: None };
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), command.into());
            }
            Step::Confirm(nth, who, before) => {
                let (order, shipment) = match before {
                    None => (self.order(nth).0, None),
                    Some(before) => {
                        let (order, n, _) = self.shipment(nth, before, unpaid);
                        (order, Some(shipment(n)))
                    }
                };
                let buyer = self.world.market.orders.get(order).map_or(BUYER, |open| Actor::of(open.buyer));
                let receiver = if nth % 2 == 0 { buyer } else { PROVIDER };
                let command = ConfirmDelivery { order, shipment };
                self.ask(who.map_or(receiver, |n| EVERYBODY[n]), command.into());
            }
            Step::Cancel(nth, who, part) => {
                let (order, (buyer, seller)) = self.order(nth);
                let party = if nth % 2 == 0 { buyer } else { seller };
                let command = CancelOrder { lines: self.lines(order, part), order, reason: None };
                self.ask(who.map_or(party, |n| EVERYBODY[n]), command.into());
            }
            Step::Hold(nth, operator, holds) => {
                let held = self.world.market.orders.iter().find(|(_, order)| order.hold.is_some());
                let order = held.filter(|_| !holds).map_or(self.order(nth).0, |(order, _)| *order);
                let command = if holds { hold(order, HoldReason::RiskReview) } else { unhold(order) };
                self.ask(OPERATORS[operator], command);
            }
            Step::Freeze(nth, who, before, part, reason) => {
                let (order, n, _) = self.shipment(nth, before, unpaid);
                let buyer = self.world.market.orders.get(order).map_or(BUYER, |open| Actor::of(open.buyer));
                let asker = if nth % 3 == 0 { OPERATOR } else { buyer };
                let amount = (part > 0).then_some(usd(part));
                let shipment = shipment(n);
                let command = FreezeEscrow { amount, note: None, order, reason, shipment };
                self.ask(who.map_or(asker, |n| EVERYBODY[n]), command.into());
            }
            Step::Unfreeze(nth, is_buyer, before) => {
                let (order, shipment, _) = self.shipment(nth, before, frozen);
                let buyer = self.world.market.orders.get(order).map_or(BUYER, |open| Actor::of(open.buyer));
                self.ask(if is_buyer { buyer } else { OPERATOR }, unfreeze(order, shipment));
            }
            Step::Release(nth, before) => {
                let inspected = |shipment: &Shipment| {
                    matches!(shipment.state, ShipmentState::Inspection { .. })
                        .then_some(shipment.amount_minor)
                };
                let (order, n, _) = self.shipment(nth, before, inspected);
                self.ask(OPERATOR, release(order, n));
            }
            Step::Settle(nth, operator, before, percent) => {
                let (order, shipment, frozen) = self.shipment(nth, before, frozen);
                let to_seller = i64::try_from(i128::from(frozen) * i128::from(percent) / 100).unwrap();
                let (to_seller, to_buyer) = (usd(to_seller), usd(frozen - to_seller));
                self.ask(OPERATORS[operator], settle(order, shipment, to_seller, to_buyer));
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
        self.check_orders();
        check_stock(&self.world.market, &self.shortfalls);
        check_deadlines(&self.world.market);
    }

    /// Checks what an event about an order's money says of its end.
    fn check_end(&self, order: OrderId, paid: Paid, closed_as: Option<OrderState>) {
        let Some(state) = closed_as else { return };
        assert_eq!(paid.remaining(), 0, "a closed order's accounts are zero");
        assert_eq!(paid.shipped + paid.cancelled, paid.total.minor, "all units cost the total");
        for account in [LedgerAccount::Escrow(order), LedgerAccount::Dispute(order)] {
            assert_eq!(self.world.market.ledger.balance(account, paid.total.currency).minor, 0);
        }
        match state {
            OrderState::Cancelled => assert_eq!(paid.shipped, 0),
            OrderState::Refunded => assert_eq!((paid.released + paid.fees, paid.refunded), (0, paid.held)),
            other => assert_eq!(other, OrderState::Completed),
        }
        assert!(self.world.market.orders.get(order).is_none(), "what is closed is not open");
    }

    /// Checks each open order against what the events said of it.
    fn check_orders(&self) {
        for (id, order) in self.world.market.orders.iter() {
            let (paid, escrow) = (self.paid[id], order.escrow);
            let lines: i64 = order.lines.iter().map(|line| line.total_minor).sum();
            assert_eq!((lines, escrow.funded), (order.total.minor, order.total.minor));
            let sums = (escrow.released, escrow.fees, escrow.refunded, escrow.frozen, escrow.remaining());
            assert_eq!(sums, (paid.released, paid.fees, paid.refunded, paid.frozen, paid.remaining()));
            let frozen = order.shipments.iter().filter_map(Shipment::frozen);
            assert_eq!(frozen.map(|frozen| frozen.amount_minor).sum::<i64>(), escrow.frozen);
            assert_eq!(order.hold.is_some(), paid.is_held);
            let open = order.shipments.iter().filter(|shipment| shipment.state != ShipmentState::Accepted);
            let waits: i64 = open.map(|shipment| shipment.amount_minor).sum();
            let unsent: i64 = order.left().iter().map(|line| line.amount.minor).sum();
            assert_eq!(waits + unsent, escrow.remaining(), "what is in escrow waits for something");
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

    /// Checks that nothing moves of an order on hold.
    fn check_free(&self, event: &Event) {
        let order = event.transfers().iter().flat_map(|transfer| [transfer.from, transfer.to]);
        let mut orders = order.filter_map(|account| match account {
            LedgerAccount::Escrow(order) | LedgerAccount::Dispute(order) => Some(order),
            _ => None,
        });
        assert!(orders.all(|order| self.paid.get(&order).is_none_or(|paid| !paid.is_held)), "{event:?}");
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
            self.check_free(&recorded.event);
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
                    let (total, fee) = (placed.total, placed.fee.amount.minor);
                    let (held, released, fees, refunded, frozen) = (0, 0, 0, 0, 0);
                    let (shipped, cancelled, is_held) = (0, 0, false);
                    let paid = Paid {
                        total,
                        fee,
                        held,
                        released,
                        fees,
                        refunded,
                        frozen,
                        is_held,
                        settled: 0,
                        shipped,
                        cancelled,
                    };
                    self.paid.insert(placed.order, paid);
                }
                Event::EscrowHeld(held) => {
                    let amount = held.transfer.amount;
                    *charged.entry(amount.currency).or_insert(0) += amount.minor;
                    let paid = self.paid.get_mut(&held.order).unwrap();
                    assert_eq!((paid.held, amount), (0, paid.total), "an order is paid once, and whole");
                    paid.held = amount.minor;
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
                    paid.check_fees();
                    assert_eq!(paid.remaining(), released.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    self.check_end(released.order, paid, released.closed_as);
                }
                Event::EscrowRefunded(refunded) => {
                    let paid = self.paid.get_mut(&refunded.order).unwrap();
                    paid.refunded += refunded.transfer.map_or(0, |transfer| transfer.amount.minor);
                    assert_eq!(
                        paid.refunded,
                        paid.cancelled + paid.settled,
                        "what was cancelled is paid back"
                    );
                    assert_eq!(paid.remaining(), refunded.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    self.check_end(refunded.order, paid, refunded.closed_as);
                }
                Event::OrderHeld(held) => self.paid.get_mut(&held.order).unwrap().is_held = true,
                Event::OrderUnheld(unheld) => {
                    assert_ne!(unheld.agreed_by, unheld.requested_by);
                    self.paid.get_mut(&unheld.order).unwrap().is_held = false;
                }
                Event::EscrowFrozen(frozen) => {
                    self.paid.get_mut(&frozen.order).unwrap().frozen += frozen.transfer.amount.minor;
                }
                Event::EscrowUnfrozen(unfrozen) => {
                    self.paid.get_mut(&unfrozen.order).unwrap().frozen -= unfrozen.transfer.amount.minor;
                }
                Event::EscrowSettled(settled) => {
                    let paid = self.paid.get_mut(&settled.order).unwrap();
                    for transfer in &settled.transfers {
                        assert_eq!(transfer.from, LedgerAccount::Dispute(settled.order));
                        let minor = transfer.amount.minor;
                        paid.frozen -= minor;
                        match transfer.to {
                            LedgerAccount::PlatformFees => paid.fees += minor,
                            LedgerAccount::SellerAvailable(_) => paid.released += minor,
                            _ => {
                                (paid.refunded, paid.settled) = (paid.refunded + minor, paid.settled + minor)
                            }
                        }
                    }
                    paid.check_fees();
                    let paid = *paid;
                    self.check_end(settled.order, paid, settled.closed_as);
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

fn cost(lines: &[LineUnits]) -> i64 {
    assert!(!lines.is_empty(), "an event names what it is about");
    lines.iter().map(|line| line.amount.minor).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_after_every_commit(
        is_usual: bool,
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut run = Run::new(is_usual);
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
        // Left alone, every order comes to its end, once nobody stops it any more.
        let held = run.world.market.orders.iter().filter(|(_, order)| order.hold.is_some());
        for order in held.map(|(order, _)| *order).collect::<Vec<_>>() {
            run.ask(OPERATOR, unhold(order));
            run.ask(OTHER_OPERATOR, unhold(order));
        }
        // Frozen money comes back, what was not frozen arrives, and is inspected.
        for _ in 0..3 {
            run.world.after(100 * DAY_MS);
            run.let_due_deadlines_pass();
        }
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
    for n in 0..80 {
        let mut run = Run::new(n % 2 == 0);
        let steps = prop::collection::vec(step(), 200).new_tree(&mut runner).unwrap().current();
        for step in steps {
            run.step(step);
        }
        seen.extend(run.world.types());
    }
    let all: BTreeSet<_> = Event::TYPES.iter().copied().collect();
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new());
}
