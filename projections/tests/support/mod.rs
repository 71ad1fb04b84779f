//! Histories to be followed: a small market that only does what its rules allow, and seals what happened.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)] // each test file uses its own part of it

pub mod market;
pub mod naive;
pub mod naive_numbers;

use std::convert::Infallible;
use std::sync::Arc;

use events::commit::Seal;
use events::ids::{
    AccountId, CartId, CommandId, CommitId, DeviceId, KeyId, ListingId, Nonce, OrderGroupId, OrderId,
    WriterId,
};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{Cause, CommandStamp, DeadlineStamp, Waiting};
use events::order::{EscrowHeld, FeeQuote, Line, LinePrice, Placed, Rounding};
use events::{Commit, Currency, Event, Hash, Head, Money, Quantity, Timestamp};
use futures::Stream;
use projections::Projections;
use uuid::Uuid;

/// 2025-07-29T10:00:00Z
pub const START: Timestamp = Timestamp::from_ms(1_753_783_200_000);

pub fn account(n: u64) -> AccountId {
    AccountId::from_uuid(Uuid::from_u64_pair(0xacc0, n))
}
pub fn listing(n: u64) -> ListingId {
    ListingId::from_uuid(Uuid::from_u64_pair(0x1157, n))
}
pub fn cart(n: u64) -> CartId {
    CartId::from_uuid(Uuid::from_u64_pair(0xca27, n))
}
pub fn order(n: u64) -> OrderId {
    OrderId::from_uuid(Uuid::from_u64_pair(0x02de2, n))
}
pub fn group(n: u64, currency: Currency) -> OrderGroupId {
    let currency = currency.to_string().bytes().map(u64::from).sum();
    OrderGroupId::from_uuid(Uuid::from_u64_pair(0x69_0000 + n, currency))
}
pub fn command(n: u64) -> CommandId {
    CommandId::from_uuid(Uuid::from_u64_pair(0xc0de, n))
}
pub fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}
pub fn usd(minor: i64) -> Money {
    Money::new(minor, currency("USD"))
}
pub fn units(n: u32) -> Quantity {
    Quantity::new(n).unwrap()
}
pub fn writer() -> WriterId {
    WriterId::from_uuid(Uuid::from_u128(9))
}

/// Commits sealed one behind the other.
#[derive(Clone)]
pub struct History {
    pub commits: Vec<Arc<Commit>>,
    pub now: Timestamp,
    pub commands: u64,
}

impl Default for History {
    fn default() -> Self {
        History { commits: Vec::new(), now: START, commands: 0 }
    }
}

impl History {
    pub fn head(&self) -> Head {
        self.commits.last().map_or(Head::EMPTY, |commit| commit.head())
    }

    /// Records what a signed command of `by` led to.
    pub fn commanded(&mut self, by: AccountId, name: &str, events: Vec<Event>) -> &mut Self {
        self.commands += 1;
        let stamp = CommandStamp {
            account: by,
            command: command(self.commands),
            device: DeviceId::from_uuid(Uuid::from_u128(3)),
            fingerprint: Hash::ZERO,
            key: KeyId([1; 32]),
            name: name.into(),
            nonce: Nonce([2; 16]),
            seq: self.commands,
            signed: "aGVhZA.cGF5.c2ln".into(),
            step_up: None,
        };
        self.seal(Cause::Command(Box::new(stamp)), events)
    }

    /// Records what a deadline led to.
    pub fn due(&mut self, waiting: Waiting, events: Vec<Event>) -> &mut Self {
        self.seal(Cause::Deadline(DeadlineStamp { due: self.now, waiting }), events)
    }

    pub fn later(&mut self, ms: i64) -> &mut Self {
        self.now = self.now.plus_ms(ms);
        self
    }

    fn seal(&mut self, cause: Cause, events: Vec<Event>) -> &mut Self {
        let head = self.head();
        let seal = Seal {
            id: CommitId::derive(writer(), head.position + 1, self.now),
            market: "main".parse().unwrap(),
            time: self.now,
            cause,
            traceparent: None,
        };
        self.commits.push(Arc::new(Commit::seal(head, seal, events)));
        self
    }

    /// Streams the commits from the one behind `position`.
    pub fn after(&self, position: u64) -> impl Stream<Item = Result<Arc<Commit>, Infallible>> + use<> {
        stream(self.commits.iter().filter(|c| c.head().position > position).cloned().collect())
    }

    pub fn all(&self) -> impl Stream<Item = Result<Arc<Commit>, Infallible>> + use<> {
        stream(self.commits.clone())
    }
}

pub fn stream(commits: Vec<Arc<Commit>>) -> impl Stream<Item = Result<Arc<Commit>, Infallible>> {
    futures::stream::iter(commits.into_iter().map(Ok))
}

/// The events of an order paid from a wallet.
pub fn place(
    order: OrderId,
    buyer: AccountId,
    seller: AccountId,
    cart: Option<CartId>,
    lines: &[(ListingId, Money, u32)],
    now: Timestamp,
) -> Vec<Event> {
    let lines: Vec<Line> = lines
        .iter()
        .map(|(listing, price, quantity)| Line {
            discounts: vec![],
            final_sale: false,
            listing: *listing,
            listing_version: 1,
            locations: vec![],
            price: LinePrice::Unit(*price),
            quantity: units(*quantity),
            tax: None,
            total: price.checked_mul(units(*quantity)).unwrap(),
        })
        .collect();
    let total = lines[1..].iter().fold(lines[0].total, |sum, line| sum.checked_add(line.total).unwrap());
    let fee = Money::new(total.minor / 20, total.currency);
    let placed = Placed {
        accept_by: None,
        buyer,
        cart,
        fee: FeeQuote {
            amount: fee,
            bps: 500,
            fixed_minor: 0,
            max_minor: None,
            min_minor: None,
            rounding: Rounding::HalfAwayFromZero,
        },
        group: None,
        lines,
        number: None,
        order,
        payment: None,
        replaces: None,
        seller,
        ship_by: now.plus_ms(14 * 86_400_000),
        shipping: None,
        total,
        release: None,
    };
    let transfer =
        Transfer { amount: total, from: LedgerAccount::Wallet(buyer), to: LedgerAccount::Escrow(order) };
    vec![placed.into(), EscrowHeld { order, release: None, transfer }.into()]
}

/// Follows all of a stream.
pub async fn follow(views: &Projections, stream: impl Stream<Item = Result<Arc<Commit>, Infallible>>) {
    views.run(stream, std::future::pending()).await.unwrap();
}

/// A rule that tells one from another.
fn age(n: u32) -> events::escrow::rule::ReleaseRule {
    serde_json::from_value(serde_json::json!({ "min_age": { "ms": n } })).unwrap()
}
