//! Given, when, then: a market with its people, its clock and its log, so that a test reads as a story.
//!
//! Whatever a test decides is sealed, folded, and decided a second time: the second answer must be
//! [`Decision::Repeat`], for every command of every test.

#![allow(unreachable_pub, missing_docs)]

pub mod changes;
pub mod chargebacks;
pub mod passkeys;
mod people;
pub mod returns;
pub mod suspended;
mod words;

pub use people::*;
pub use words::*;

use std::collections::BTreeSet;

use commands::command::{Expected, VerifiedClaim, VerifiedExchange, VerifiedQuote};
use commands::crypto::SigningKey;
use commands::{
    Command, DEADLINE_EVENTS_MAX, Decision, Facts, Market, Refusal, Verified, decide, decide_deadline,
};
use events::account::Algorithm;
use events::commit::Seal;
use events::ids::{
    CartId, CommandId, CommitId, Nonce, OrderGroupId, OrderId, PaymentId, PayoutId, PromotionId, RefundId,
    ReservationId, WriterId,
};
use events::market::{Deadlines, EscrowTerms, FeePolicy, Opened, PurchaseLimit, Registrar, WriterStarted};
use events::metadata::{Cause, CommandStamp};
use events::{Commit, Event, Hash, Head, Rejection, Timestamp};
use uuid::Uuid;

/// When the market was opened.
pub const START: Timestamp = Timestamp::from_ms(1_753_783_200_000);
pub const SECOND_MS: i64 = 1000;
pub const DAY_MS: i64 = 86_400_000;

/// Deadlines of a market in which sellers have two days to accept an order.
pub fn accepting() -> Deadlines {
    Deadlines::default().with_accept_ms(2 * DAY_MS).unwrap()
}

/// The key that markets are opened with.
pub fn market_key() -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, [99; 32]).unwrap()
}

/// What a market is opened with.
#[derive(Default)]
pub struct Terms {
    pub fee: FeePolicy,
    pub deadlines: Deadlines,
    pub escrow: Option<EscrowTerms>,
    pub purchase_limits: Vec<PurchaseLimit>,
}

/// A market, its log and its clock.
pub struct World {
    pub market: Market,
    pub log: Vec<Commit>,
    pub now: Timestamp,
    pub facts: Facts,
    outcome: Option<Decision>,
    last: Option<Verified>,
    signed: u64,
}

impl World {
    /// Opens a market with its people registered: 2.5 % fee, 14 days to ship, 14 to arrive, 3 to inspect.
    pub fn new() -> World {
        World::charging(FeePolicy::default())
    }

    /// Opens a market with another fee.
    pub fn charging(fee: FeePolicy) -> World {
        World::on(Terms { fee, ..Terms::default() })
    }

    /// Opens a market in which sellers have two days to accept an order.
    pub fn accepting() -> World {
        World::on(Terms { deadlines: accepting(), ..Terms::default() })
    }

    /// Opens a market on these terms.
    pub fn on(terms: Terms) -> World {
        let Terms { fee, deadlines, escrow, purchase_limits } = terms;
        let mut world = World {
            market: Market::new(),
            log: Vec::new(),
            now: START,
            facts: Facts::default(),
            outcome: None,
            last: None,
            signed: 0,
        };
        let registrar =
            Registrar { account: REGISTRAR.account(), device: REGISTRAR.device(), key: REGISTRAR.key() };
        let opened = Opened {
            deadlines,
            escrow,
            fee,
            market: "main".parse().unwrap(),
            purchase_limits,
            registrar,
            receipt_key: market_key().public(),
        };
        let started = WriterStarted { epoch: 1, version: "test".to_owned(), writer: writer() };
        world.commit(Cause::Writer(writer()), vec![opened.into(), started.into()]);
        for actor in [PROVIDER, OPERATOR, OTHER_OPERATOR, SELLER, OTHER_SELLER, BUYER, OTHER_BUYER] {
            world.register(actor);
        }
        world
    }

    /// Registers somebody with his device.
    pub fn register(&mut self, actor: Actor) -> &mut Self {
        self.given(REGISTRAR, register(actor)).given(REGISTRAR, register_device(actor))
    }

    /// Lists `listing` at `price` with `units` in stock.
    pub fn given_listing(
        &mut self,
        seller: Actor,
        listing: u64,
        price: events::Money,
        units: u32,
    ) -> &mut Self {
        self.given(seller, create_listing(listing, price));
        if units > 0 { self.given(seller, receive(listing, units)) } else { self }
    }

    /// Decides a command that must be accepted and change something.
    #[track_caller]
    pub fn given(&mut self, actor: Actor, command: Command) -> &mut Self {
        self.when(actor, command);
        let changed = !self
            .events()
            .iter()
            .any(|event| matches!(event, Event::CommandRejected(_) | Event::CommandUnchanged(_)));
        assert!(changed, "what is given must be accepted: {:?}", self.outcome);
        self
    }

    /// Puts events into the log that no command of this test made.
    pub fn given_events<const N: usize>(&mut self, events: [Event; N]) -> &mut Self {
        self.commit(Cause::Writer(writer()), events.into());
        self
    }

    /// Buys and gives the id of the first order.
    #[track_caller]
    pub fn placed(&mut self, buyer: Actor, command: Command) -> OrderId {
        self.given(buyer, command);
        self.order(0)
    }

    /// Lets time pass.
    pub fn after(&mut self, ms: i64) -> &mut Self {
        self.now = self.now.plus_ms(ms);
        self
    }

    /// Signs a command: new id, next number, new nonce, issued now, good for a minute.
    pub fn sign(&mut self, actor: Actor, command: impl Into<Command>) -> Verified {
        let command = command.into();
        self.signed += 1;
        let n = self.signed;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&n.to_be_bytes());
        let fingerprint = fingerprint(&command);
        let stamp = CommandStamp {
            account: actor.account(),
            command: cid(self.now, n),
            device: actor.device(),
            fingerprint,
            key: actor.key().id(),
            name: command.name().to_owned(),
            nonce: Nonce(nonce),
            seq: n,
            signed: "signed".to_owned(),
            step_up: None,
        };
        Verified {
            stamp,
            issued_at: self.now,
            expires_at: self.now.plus_ms(60 * SECOND_MS),
            expected: Expected::default(),
            quotes: Vec::new(),
            claim: None,
            exchange: None,
            command,
        }
    }

    /// Decides a command.
    pub fn when(&mut self, actor: Actor, command: impl Into<Command>) -> &mut Self {
        let verified = self.sign(actor, command);
        self.when_signed(verified)
    }

    /// Decides a command against versions (`if`).
    pub fn when_if(&mut self, expected: Expected, actor: Actor, command: impl Into<Command>) -> &mut Self {
        let verified = Verified { expected, ..self.sign(actor, command) };
        self.when_signed(verified)
    }

    /// Decides an order whose lines have these quotes.
    pub fn when_quoted<const N: usize>(
        &mut self,
        quotes: [VerifiedQuote; N],
        actor: Actor,
        command: impl Into<Command>,
    ) -> &mut Self {
        let quotes = quotes.into_iter().map(Some).collect();
        let verified = Verified { quotes, ..self.sign(actor, command) };
        self.when_signed(verified)
    }

    /// Decides a merge by the claim of a cart's owner.
    pub fn when_claimed(
        &mut self,
        claim: VerifiedClaim,
        actor: Actor,
        command: impl Into<Command>,
    ) -> &mut Self {
        let verified = Verified { claim: Some(claim), ..self.sign(actor, command) };
        self.when_signed(verified)
    }

    /// Decides an exchange by the offer of a provider.
    pub fn when_offered(
        &mut self,
        offer: VerifiedExchange,
        actor: Actor,
        command: impl Into<Command>,
    ) -> &mut Self {
        let verified = Verified { exchange: Some(offer), ..self.sign(actor, command) };
        self.when_signed(verified)
    }

    /// Decides a command that was signed before.
    pub fn when_signed(&mut self, verified: Verified) -> &mut Self {
        let decision = decide(&self.market, &verified, &self.facts, self.now);
        if let Decision::Commit(events) = &decision {
            assert!(events.len() <= verified.command.events_max(&self.market), "{} events", events.len());
            self.commit(Cause::Command(Box::new(verified.stamp.clone())), events.clone());
            let first = self.log.last().unwrap().first_position();
            let again = decide(&self.market, &verified, &self.facts, self.now);
            assert_eq!(again, Decision::Repeat(first), "deciding again after its own events");
        }
        self.last = Some(verified);
        self.outcome = Some(decision);
        self
    }

    /// Asks for the last wish again, signed anew.
    pub fn when_again(&mut self) -> &mut Self {
        let before = self.last.clone().expect("something was asked before");
        let actor = Actor::of(before.stamp.account);
        let mut verified = self.sign(actor, before.command);
        verified.stamp.command = before.stamp.command;
        (verified.claim, verified.exchange) = (before.claim, before.exchange);
        self.when_signed(verified)
    }

    /// Waits for the next deadline and lets it be decided.
    pub fn when_deadline(&mut self) -> &mut Self {
        let deadline = self.market.next_deadline().expect("something waits");
        self.now = self.now.max(deadline.due);
        let events = decide_deadline(&self.market, deadline, self.now);
        assert!(events.len() <= DEADLINE_EVENTS_MAX, "{} events", events.len());
        self.commit(Cause::Deadline(deadline), events.clone());
        self.outcome = Some(Decision::Commit(events));
        self
    }

    fn commit(&mut self, cause: Cause, events: Vec<Event>) {
        let head = self.head();
        let seal = Seal {
            id: CommitId::derive(writer(), head.position + 1, self.now),
            market: "main".parse().unwrap(),
            time: self.now,
            cause,
            traceparent: None,
        };
        let commit = Commit::seal(head, seal, events);
        self.market.evolve_commit(&commit);
        self.log.push(commit);
    }

    /// Gives the end of the log.
    pub fn head(&self) -> Head {
        self.log.last().map_or(Head::EMPTY, Commit::head)
    }

    /// Gives the `n`-th order of the last command.
    pub fn order(&self, n: u32) -> OrderId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        OrderId::derive(stamp.account, stamp.command, n)
    }

    /// Gives the group of the last command's orders.
    pub fn group(&self) -> OrderGroupId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        OrderGroupId::derive(stamp.account, stamp.command)
    }

    /// Gives the payment that the last command asked for.
    pub fn payment(&self) -> PaymentId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        PaymentId::derive(stamp.account, stamp.command)
    }

    /// Gives the promotion that the last command made.
    pub fn promotion(&self) -> PromotionId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        PromotionId::derive(stamp.account, stamp.command)
    }

    /// Gives the refund that the last command asked for.
    pub fn refund(&self) -> RefundId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        RefundId::derive(stamp.account, stamp.command)
    }

    /// Gives the payout that the last command asked for.
    pub fn payout(&self) -> PayoutId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        PayoutId::derive(stamp.account, stamp.command)
    }

    /// Gives the reservation that the last command made.
    pub fn reservation(&self) -> ReservationId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        ReservationId::derive(stamp.account, stamp.command)
    }

    /// Gives the actor's active cart.
    pub fn cart(&self, actor: Actor) -> CartId {
        self.market.accounts.get(actor.account()).unwrap().cart.as_ref().expect("there is a cart").id
    }

    /// Gives what was decided last.
    #[track_caller]
    pub fn outcome(&self) -> &Decision {
        self.outcome.as_ref().expect("something was decided")
    }

    #[track_caller]
    pub fn events(&self) -> &[Event] {
        match self.outcome() {
            Decision::Commit(events) => events,
            other => panic!("not committed: {other:?}"),
        }
    }

    #[track_caller]
    pub fn then_events<const N: usize>(&mut self, expected: [Event; N]) -> &mut Self {
        assert_eq!(self.events(), expected);
        self
    }

    /// Expects events of these types.
    #[track_caller]
    pub fn then_types<const N: usize>(&mut self, expected: [&str; N]) -> &mut Self {
        let types: Vec<_> = self.events().iter().map(Event::type_name).collect();
        assert_eq!(types, expected);
        self
    }

    #[track_caller]
    pub fn then_rejected<const N: usize>(&mut self, expected: [Rejection; N]) -> &mut Self {
        match self.events() {
            [Event::CommandRejected(rejected)] => assert_eq!(rejected.reasons, expected),
            other => panic!("not rejected: {other:?}"),
        }
        self
    }

    #[track_caller]
    pub fn then_unchanged(&mut self) -> &mut Self {
        self.then_types(["command.unchanged.v1"])
    }

    #[track_caller]
    pub fn then_refused(&mut self, expected: Refusal) -> &mut Self {
        assert_eq!(*self.outcome(), Decision::Refuse(expected));
        self
    }

    /// Expects the outcome that the last commit stands for.
    #[track_caller]
    pub fn then_repeat(&mut self) -> &mut Self {
        let first = self.log.last().unwrap().first_position();
        assert_eq!(*self.outcome(), Decision::Repeat(first));
        self
    }

    /// Looks at what came of it.
    pub fn then(&mut self, look: impl FnOnce(&Market)) -> &mut Self {
        look(&self.market);
        self
    }

    /// Gives the types of all events so far.
    pub fn types(&self) -> BTreeSet<&'static str> {
        self.log.iter().flat_map(Commit::events).map(|recorded| recorded.event.type_name()).collect()
    }
}

/// Hashes what is wished.
pub fn fingerprint(command: &Command) -> Hash {
    Hash::of(format!("{} {}", command.name(), command.body()).as_bytes())
}

/// Makes the `n`-th command id, a UUIDv7 of this moment.
pub fn cid(now: Timestamp, n: u64) -> CommandId {
    let time = (now.ms() as u128) << 80;
    CommandId::from_uuid(Uuid::from_u128(time | 0x7000_8000_0000_0000_0000 | u128::from(n)))
}

fn writer() -> WriterId {
    WriterId::from_uuid(Uuid::from_u128(0xAAAA))
}
