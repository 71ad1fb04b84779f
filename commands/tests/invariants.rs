//! Whatever is asked in whatever order, the market's promises hold after every commit.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use commands::command::UpdateListing;
use commands::order::Stage;
use commands::{Command, Decision, Market, Verified};
use events::commit::Stored;
use events::ids::{AccountId, CommandId, ListingId, OrderId};
use events::ledger::LedgerAccount;
use events::metadata::{Cause, DeadlineStamp, Waiting};
use events::stock::AdjustmentReason;
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
    Ship(usize, Option<usize>),
    Confirm(usize, Option<usize>),
    Cancel(usize, Option<usize>),
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
        4 => (nth, anybody.clone()).prop_map(|(n, a)| Step::Ship(n, a)),
        4 => (nth, anybody.clone()).prop_map(|(n, a)| Step::Confirm(n, a)),
        2 => (nth, anybody).prop_map(|(n, a)| Step::Cancel(n, a)),
        3 => ms.prop_map(Step::Wait),
        1 => nth.prop_map(Step::Retry),
        1 => nth.prop_map(Step::Duplicate),
        1 => nth.prop_map(Step::Conflict),
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

fn seller_of(thing: u64) -> Actor {
    if thing < 2 { SELLER } else { OTHER_SELLER }
}

/// A market at work, with what was signed and promised so far.
struct Run {
    world: World,
    signed: Vec<Verified>,
    orders: Vec<(OrderId, (Actor, Actor))>,
    held: BTreeMap<OrderId, Money>,
    decided: BTreeSet<(AccountId, CommandId)>,
    credited: BTreeSet<(LedgerAccount, String)>,
    /// How many units were last told to be missing.
    shortfalls: BTreeMap<ListingId, u64>,
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
        let shortfalls = BTreeMap::new();
        let mut run = Run { world, signed, orders, held, decided, credited, shortfalls, checked: 0 };
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
        check_stock(&self.world.market, &self.shortfalls);
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
                Event::StockShortfallDetected(detected) => {
                    self.shortfalls.insert(detected.listing, detected.missing);
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

/// Checks that what is reserved is what open orders have, and that no more was promised than there is unless that is on
/// record.
fn check_stock(market: &Market, shortfalls: &BTreeMap<ListingId, u64>) {
    let mut reserved = BTreeMap::<ListingId, u64>::new();
    for (_, order) in market.orders.iter().filter(|(_, order)| matches!(order.stage, Stage::Placed { .. })) {
        for (listing, units) in &order.lines {
            *reserved.entry(*listing).or_default() += u64::from(*units);
        }
    }
    for (id, listing) in market.listings.iter() {
        let stock = &listing.stock;
        assert_eq!(stock.reserved, reserved.get(id).copied().unwrap_or(0));
        let promised =
            i128::from(stock.on_hand) + i128::from(stock.backorder_limit) - i128::from(stock.reserved);
        let on_record = shortfalls.get(id).copied().unwrap_or(0);
        assert!(promised >= -i128::from(on_record), "{promised} are left of {id}, on record are {on_record}");
        let available = (promised - i128::from(stock.safety)).max(0);
        assert_eq!(i128::from(stock.available()), available);
        assert!(stock.incoming.is_sorted_by(|one, next| one.due < next.due));
        assert!(stock.incoming.iter().all(|incoming| incoming.units > 0));
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
    assert_eq!(market.next_deadline(), market.orders.iter().map(deadline).min());
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

fn snapshot(market: &Market) -> Vec<u8> {
    bincode::serde::encode_to_vec(market, bincode::config::standard()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_after_every_commit(steps in prop::collection::vec(step(), 1..80)) {
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
        let steps = prop::collection::vec(step(), 100).new_tree(&mut runner).unwrap().current();
        for step in steps {
            run.step(step);
        }
        seen.extend(run.world.types());
    }
    let all: BTreeSet<_> = Event::TYPES.iter().copied().collect();
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new());
}
