//! What it takes to decide a command, at a market full of open orders.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, ensure};
use commands::command::{
    AddToCart, CancelOrder, Expected, OrderLine, PaymentMethod, PlaceOrder, ShipOrder, Verified,
};
use commands::device::DeviceKey;
use commands::order::Order;
use commands::replay::SEQ_JUMP_MAX;
use commands::{Command, Decision, Facts, Market, decide};
use events::account::Role;
use events::ids::{AccountId, CommandId, ListingId, Nonce, OrderId};
use events::metadata::CommandStamp;
use events::{Event, Hash, Money, Quantity, Timestamp};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use uuid::Builder;

/// Decisions of each kind that are measured.
const SAMPLES: usize = 20_000;
/// Decisions of each kind before that.
const WARM_UP: usize = 1_000;
/// Lines of an order that is placed.
const LINES: usize = 5;

/// What decisions of one kind take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// The command.
    pub command: String,
    /// Half take no longer, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 take no longer, in microseconds.
    pub p99_us: f64,
}

/// What is asked of a market: its people, listings and open orders, to draw from.
pub struct Asker<'a> {
    market: &'a Market,
    now: Timestamp,
    /// Everybody's key.
    keys: BTreeMap<AccountId, &'a DeviceKey>,
    buyers: Vec<AccountId>,
    listings: Vec<ListingId>,
    orders: Vec<(OrderId, &'a Order)>,
    rng: StdRng,
}

/// Measures decisions on orders, carts, shipments and cancellations, each about another open order, buyer or listing. All are
/// accepted; none is performed, so that all meet the same market.
pub fn measure(market: &Market) -> anyhow::Result<Vec<Figures>> {
    let mut asker = Asker::of(market)?;
    let wishes: [Wish<'_>; 4] = [Asker::place, Asker::add_to_cart, Asker::ship, Asker::cancel];
    wishes.into_iter().map(|ask| asker.time(ask)).collect()
}

/// A way to ask for something.
pub type Wish<'a> = fn(&mut Asker<'a>) -> anyhow::Result<Verified>;

impl<'a> Asker<'a> {
    /// Draws from a market that is full of open orders.
    pub fn of(market: &'a Market) -> anyhow::Result<Asker<'a>> {
        let orders: Vec<_> = market.orders.iter().map(|(id, order)| (*id, order)).collect();
        let keys: BTreeMap<_, _> = market.accounts.keys().map(|key| (key.account, key)).collect();
        let is_buyer = |account: &AccountId| market.accounts.has_role(*account, Role::Buyer);
        let asker = Asker {
            market,
            now: market.time.plus_ms(1),
            buyers: keys.keys().copied().filter(is_buyer).collect(),
            keys,
            listings: market.listings.iter().map(|(id, _)| *id).collect(),
            orders,
            rng: StdRng::seed_from_u64(41),
        };
        let is_full = asker.listings.len() >= LINES && !asker.orders.is_empty();
        ensure!(is_full, "the market is too small to ask it");
        Ok(asker)
    }

    /// Decides, at the time at which everything is asked.
    pub fn decide(&self, verified: &Verified) -> Decision {
        decide(self.market, verified, &Facts::default(), self.now)
    }

    fn time(&mut self, ask: Wish<'a>) -> anyhow::Result<Figures> {
        let mut taken_ns = Histogram::<u64>::new(3)?;
        let mut command = String::new();
        for n in 0..WARM_UP + SAMPLES {
            let verified = ask(self)?;
            let started = Instant::now();
            let decision = black_box(self.decide(black_box(&verified)));
            let taken = started.elapsed();
            let is_accepted = matches!(&decision, Decision::Commit(events)
                if !events.iter().any(|event| matches!(event, Event::CommandRejected(_) | Event::CommandUnchanged(_))));
            ensure!(is_accepted, "{} was not accepted: {decision:?}", verified.stamp.name);
            if n >= WARM_UP {
                taken_ns.record(taken.as_nanos() as u64)?;
            }
            command = verified.stamp.name;
        }
        let us = |quantile| taken_ns.value_at_quantile(quantile) as f64 / 1000.0;
        Ok(Figures { command, p50_us: us(0.5), p99_us: us(0.99) })
    }

    /// Orders five things.
    pub fn place(&mut self) -> anyhow::Result<Verified> {
        let buyer = self.buyer();
        let one = Quantity::new(1)?;
        let places = rand::seq::index::sample(&mut self.rng, self.listings.len(), LINES);
        let lines: Vec<_> = places
            .into_iter()
            .map(|at| OrderLine { listing: self.listings[at], quantity: one, quote: None })
            .collect();
        let first = self.market.listings.get(lines[0].listing).context("it was listed")?;
        // As much as it may cost.
        let total = Money::new(Money::MINOR_MAX, first.price.currency);
        self.verified(buyer, PlaceOrder::new(lines, PaymentMethod::Wallet, total))
    }

    /// Puts one thing into a cart.
    pub fn add_to_cart(&mut self) -> anyhow::Result<Verified> {
        let buyer = self.buyer();
        let one = Quantity::new(1)?;
        let listing = self.listings[self.rng.random_range(0..self.listings.len())];
        self.verified(buyer, AddToCart { listing, owner: None, quantity: one })
    }

    /// Ships all of an order.
    pub fn ship(&mut self) -> anyhow::Result<Verified> {
        let (order, open) = self.order();
        self.verified(
            open.seller,
            ShipOrder { carrier: None, from: None, lines: None, order, tracking: None },
        )
    }

    /// Cancels all of an order.
    pub fn cancel(&mut self) -> anyhow::Result<Verified> {
        let (order, open) = self.order();
        self.verified(open.buyer, CancelOrder { lines: None, order, reason: None })
    }

    fn buyer(&mut self) -> AccountId {
        self.buyers[self.rng.random_range(0..self.buyers.len())]
    }

    fn order(&mut self) -> (OrderId, &'a Order) {
        self.orders[self.rng.random_range(0..self.orders.len())]
    }

    /// Gives a command as it is when its signature has been checked; what that takes stands in other figures.
    fn verified(&mut self, account: AccountId, command: impl Into<Command>) -> anyhow::Result<Verified> {
        let command = command.into();
        let key = self.keys.get(&account).context("everybody has a key")?;
        let stamp = CommandStamp {
            account,
            // Of the market's time: it may be a while ago.
            command: CommandId::from_uuid(
                Builder::from_unix_timestamp_millis(self.now.ms().unsigned_abs(), &self.rng.random())
                    .into_uuid(),
            ),
            device: key.device,
            fingerprint: Hash::ZERO,
            key: key.public.id(),
            name: command.name().to_owned(),
            nonce: Nonce(self.rng.random()),
            seq: SEQ_JUMP_MAX,
            signed: String::new(),
            step_up: None,
        };
        Ok(Verified {
            stamp,
            issued_at: self.now,
            expires_at: self.now.plus_ms(60_000),
            expected: Expected::default(),
            quotes: Vec::new(),
            claim: None,
            exchange: None,
            command,
        })
    }
}
