//! What outlives every process of a simulated market: its log, and what can be known from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use commands::chargeback::ClosedChargeback;
use commands::funding::CreditId;
use commands::order::ClosedOrder;
use commands::payment::{ClosedPayment, Ending, PaidOrder, paid_by};
use commands::payout::ClosedPayout;
use commands::replay::{CLOCK_SKEW_MS, Decided, FRESHNESS_MS};
use commands::{Charged, Facts, Market, Question, Verified};
use engine::processor::{Action, Answer, Incoming, Processor, Wake, WriterConfig};
use events::account::Role;
use events::ids::{
    AccountId, ChargebackId, CommandId, KeyId, ListingId, Nonce, OrderId, PaymentId, PayoutId, RefundId,
    WriterId,
};
use events::market::{Deadlines, EscrowTerms, FeePolicy, Opened, Registrar};
use events::metadata::Cause;
use events::rejection::OrderState;
use events::{Commit, Event, Head, Position, Rejection, Timestamp};
use uuid::Uuid;

use super::people::{
    BUYERS, Clients, LISTINGS, OPERATORS, PROVIDER, Person, REGISTRAR, SELLERS, fund, offer, receive, usd,
};
use super::{checks, money, promotions, returns};

/// When the market was opened.
pub(super) const START: Timestamp = Timestamp::from_ms(1_753_783_200_000);

/// Gives an order that was closed so long ago that only the index knows it.
pub(super) fn ancient_order(n: u64) -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(0xA7C1_0000_0000 | u128::from(n)))
}

/// Gives a payment that ended so long ago that only the index knows it.
fn ancient_payment(n: u64) -> PaymentId {
    PaymentId::from_uuid(Uuid::from_u128(0xA7C2_0000_0000 | u128::from(n)))
}

/// Tells whether the log says nothing of a payment, since it is older than that.
pub(super) fn is_ancient(payment: PaymentId) -> bool {
    payment.uuid().as_u128() >> 32 == 0xA7C2
}

pub(super) fn config(writer: WriterId) -> WriterConfig {
    let (account, device, key) = (REGISTRAR.account(), REGISTRAR.device(), REGISTRAR.key());
    let opened = Opened {
        // Short, so that they are due within a run.
        deadlines: Deadlines::new(30_000, 60_000, 45_000)
            .and_then(|deadlines| deadlines.with_cart_idle(50_000))
            .expect("they are in range"),
        escrow: Some(
            EscrowTerms::new(100, 60_000).expect("they are in range").returning(Some(returns::terms())),
        ),
        fee: FeePolicy::default(),
        market: "main".parse().expect("it is a market's name"),
        purchase_limits: vec![],
        registrar: Registrar { account, device, key },
        receipt_key: Person(99).key(),
    };
    let market = opened.market.clone();
    WriterConfig { market, writer, version: "simulated".to_owned(), opened }
}

/// A market as every run finds it: founded, and its founding forgotten by the writer's memory, so that it is known
/// only to the index.
pub(super) struct Base {
    pub(super) log: Vec<Arc<Commit>>,
    pub(super) market: Market,
    pub(super) clients: Clients,
}

impl Base {
    pub(super) fn get() -> &'static Base {
        static BASE: OnceLock<Base> = OnceLock::new();
        BASE.get_or_init(Base::found)
    }

    fn found() -> Base {
        let mut clients = Clients::default();
        let writer = WriterId::from_uuid(Uuid::from_u128(0xF0));
        let (mut processor, mut actions) =
            Processor::start(Market::new(), Head::EMPTY, config(writer), false, START);
        let mut log: Vec<Arc<Commit>> = Vec::new();
        let people = |role: Role, people: &[Person]| -> Vec<_> {
            people.iter().map(|person| (REGISTRAR, person.register(role))).collect()
        };
        let everybody = [&[PROVIDER], &OPERATORS[..], &SELLERS[..], &BUYERS[..]].concat();
        let mut wishes = [
            people(Role::Provider, &[PROVIDER]),
            people(Role::Operator, &OPERATORS),
            people(Role::Seller, &SELLERS),
            people(Role::Buyer, &BUYERS),
        ]
        .concat();
        wishes.extend(everybody.iter().map(|person| (REGISTRAR, person.enrol())));
        wishes.extend((0..LISTINGS).map(|n| (SELLERS[(n % 3) as usize], offer(n))));
        wishes.extend((0..LISTINGS).map(|n| (SELLERS[(n % 3) as usize], receive(n, 3))));
        wishes.extend((0..LISTINGS).map(|n| (SELLERS[(n % 3) as usize], money::allow(n))));
        wishes.extend(BUYERS.iter().zip(0..).map(|(buyer, n)| (PROVIDER, fund(*buyer, 5_000, n))));
        wishes.extend(money::first_wishes());
        wishes.extend(promotions::wishes());
        let mut wishes = wishes.into_iter();
        loop {
            let appended = actions.drain(..).find_map(|action| match action {
                Action::Append(_, commits) => Some(commits),
                Action::Durable(_, answers) => {
                    assert!(answers.iter().all(|(_, answer)| matches!(answer, Answer::Decided(_))));
                    None
                }
                _ => None,
            });
            if let Some(commits) = appended {
                log.extend(commits);
                actions = processor.step(Wake::Appended, START);
            } else if let Some((person, command)) =
                wishes.next().or_else(|| money::first_answer(processor.market()))
            {
                let verified = Verified::clone(&clients.sign(person, command, START));
                let incoming = Incoming { verified, traceparent: None, reply: 0 };
                actions = processor.step(Wake::Commands(vec![incoming]), START);
            } else {
                break;
            }
        }
        let mut market = processor.market().clone();
        let until = START.ms();
        market.recent =
            serde_json::from_str(&format!(r#"{{"by_id":{{}},"in_order":[],"forgotten_until":{until}}}"#))
                .expect("it is the form of the memory when all was forgotten");
        market.credits = serde_json::from_str(r#"{"credited_at":{},"in_order":[],"has_forgotten":true}"#)
            .expect("it is the form of the memory when all was forgotten");
        market.forgotten = market.position;
        Base { log, market, clients }
    }
}

/// The log of a run, checked with each commit that is stored, and what an index would find in it.
pub(super) struct World {
    pub(super) log: Vec<Arc<Commit>>,
    /// The fold of the whole log.
    pub(super) market: Market,
    pub(super) orders: Vec<OrderId>,
    commands: BTreeMap<(AccountId, CommandId), (Decided, usize)>,
    closed: BTreeMap<OrderId, (ClosedOrder, usize)>,
    /// How many units of listings were last told to be missing.
    shortfalls: BTreeMap<ListingId, u64>,
    credits: BTreeMap<CreditId, (Position, usize)>,
    pub(super) payments: Vec<(PaymentId, AccountId)>,
    pub(super) refunds: Vec<(RefundId, PaymentId)>,
    /// How payments ended, each time that something of it changed.
    closed_payments: BTreeMap<PaymentId, Vec<(ClosedPayment, usize)>>,
    /// The same of payouts.
    closed_payouts: BTreeMap<PayoutId, Vec<(ClosedPayout, usize)>>,
    /// What orders got of payments, and gave back of them.
    paid: BTreeMap<PaymentId, (Vec<(OrderId, i64)>, usize)>,
    back: Vec<(PaymentId, OrderId, i64, usize)>,
    /// How disputes ended, and what of an advance was covered.
    charged: BTreeMap<PaymentId, Vec<(ChargebackId, ClosedChargeback, usize)>>,
    covered: Vec<(ChargebackId, i64, usize)>,
    seqs: BTreeSet<(KeyId, u64)>,
    nonces: BTreeMap<(KeyId, Nonce), Timestamp>,
    keys: BTreeMap<KeyId, Position>,
    writers: Vec<(WriterId, u64)>,
}

impl World {
    pub(super) fn new() -> World {
        let base = Base::get();
        let mut world = World {
            log: Vec::new(),
            market: base.market.clone(),
            orders: Vec::new(),
            commands: BTreeMap::new(),
            closed: BTreeMap::new(),
            shortfalls: BTreeMap::new(),
            credits: BTreeMap::new(),
            payments: Vec::new(),
            refunds: Vec::new(),
            closed_payments: BTreeMap::new(),
            closed_payouts: BTreeMap::new(),
            paid: BTreeMap::new(),
            back: Vec::new(),
            charged: BTreeMap::new(),
            covered: Vec::new(),
            seqs: BTreeSet::new(),
            nonces: BTreeMap::new(),
            keys: [(REGISTRAR.key().id(), 1)].into(),
            writers: Vec::new(),
        };
        for commit in &base.log {
            world.note(commit);
        }
        for n in 0..3 {
            let (buyer, seller) = (BUYERS[n as usize].account(), SELLERS[n as usize].account());
            let closed = ClosedOrder { buyer, seller, state: OrderState::Completed, position: 1 };
            world.closed.insert(ancient_order(n), (closed, 0));
            world.orders.push(ancient_order(n));
        }
        world.orders.push(OrderId::from_uuid(Uuid::from_u128(405)));
        for n in 0..2 {
            let (id, account, provider) =
                (ancient_payment(n), BUYERS[n as usize].account(), PROVIDER.account());
            // All that came in has gone back.
            let ending =
                Ending::Captured { captured: usd(500), refunded_minor: 500, reference: "long ago".into() };
            let closed = ClosedPayment { account, provider, ending, position: 1 };
            world.closed_payments.insert(id, vec![(closed, 0)]);
            world.payments.push((id, account));
        }
        world
    }

    pub(super) fn head(&self) -> Head {
        self.log.last().map_or(Head::EMPTY, |commit| commit.head())
    }

    /// Stores all or nothing.
    pub(super) fn append(&mut self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), ()> {
        if self.head() != expected {
            return Err(());
        }
        for commit in commits {
            commit.check_follows(self.head()).expect("the log's chain holds");
            self.note(commit);
            self.market.evolve_commit(commit);
            self.check_market();
        }
        Ok(())
    }

    fn check_market(&self) {
        assert!(self.market.ledger.sums().values().all(|sum| *sum == 0), "the ledger sums to zero");
        for (id, listing) in self.market.listings.iter() {
            let told = self.shortfalls.get(id).copied().unwrap_or(0);
            assert!(listing.stock.shortfall() <= told, "listing {id} is oversold");
        }
        checks::check_money(&self.market);
        checks::check_reserved(&self.market);
    }

    /// Adds a commit and checks what must hold of it on any log.
    fn note(&mut self, commit: &Arc<Commit>) {
        let at = self.log.len();
        if let Some(last) = self.log.last() {
            assert!(last.time() <= commit.time(), "time never goes back in a log");
        }
        match &commit.start().cause {
            Cause::Command(stamp) => {
                let decided = Decided { fingerprint: stamp.fingerprint, position: commit.first_position() };
                let earlier = self.commands.insert((stamp.account, stamp.command), (decided, at));
                assert!(earlier.is_none(), "command {} is in the log twice", stamp.command);
                assert!(
                    self.seqs.insert((stamp.key, stamp.seq)),
                    "number {} of a key is used twice",
                    stamp.seq
                );
                let used = self.nonces.insert((stamp.key, stamp.nonce), commit.time());
                let age_ms = used.map_or(i64::MAX, |used| commit.time().ms_since(used));
                assert!(
                    age_ms > FRESHNESS_MS + CLOCK_SKEW_MS,
                    "a nonce is used twice while it can be replayed"
                );
                assert!(self.keys.contains_key(&stamp.key), "only a registered key decides");
            }
            Cause::Deadline(stamp) => assert!(stamp.due <= commit.time(), "a deadline is decided early"),
            Cause::Writer(_) => {}
        }
        for recorded in commit.events() {
            self.note_event(&recorded.event, recorded.position, at);
        }
        if let Some((payment, orders)) = paid_by(commit) {
            self.paid.insert(payment, (orders, at));
        }
        self.log.push(Arc::clone(commit));
    }

    fn note_event(&mut self, event: &Event, position: Position, at: usize) {
        if let Some(credit) = CreditId::given_by(event) {
            let earlier = self.credits.insert(credit, (position, at));
            assert!(earlier.is_none(), "a provider's reference credits twice: {event:?}");
        }
        if let Some((payment, closed)) = ClosedPayment::left_by(event, position) {
            self.closed_payments.entry(payment).or_default().push((closed, at));
        }
        if let Some((chargeback, closed)) = ClosedChargeback::left_by(event) {
            self.charged.entry(closed.payment).or_default().push((chargeback, closed, at));
        }
        if let Some((payout, closed)) = ClosedPayout::left_by(event, position) {
            self.closed_payouts.entry(payout).or_default().push((closed, at));
        }
        match event {
            Event::WriterStarted(started) => {
                let before = self.writers.last().map_or(0, |(_, epoch)| *epoch);
                assert_eq!(started.epoch, before + 1, "epochs count the writers");
                self.writers.push((started.writer, started.epoch));
            }
            Event::DeviceRegistered(registered) => {
                self.keys.insert(registered.key.id(), position);
            }
            Event::DeviceRotated(rotated) => {
                self.keys.insert(rotated.key.id(), position);
            }
            Event::PaymentRequested(requested) => {
                self.payments.push((requested.payment, requested.account));
            }
            Event::RefundRequested(requested) => {
                self.refunds.push((requested.refund, requested.payment));
                let minor = requested.transfer.amount.minor;
                self.back.extend(requested.order.map(|order| (requested.payment, order, minor, at)));
            }
            Event::ChargebackCovered(event) => {
                self.covered.push((event.chargeback, event.transfer.amount.minor, at));
            }
            Event::StockShortfallDetected(detected) => {
                self.shortfalls.insert(detected.listing, detected.missing);
                return;
            }
            Event::OrderPlaced(placed) => {
                self.orders.push(placed.order);
            }
            Event::CommandRejected(rejected) => {
                for reason in &rejected.reasons {
                    match reason {
                        Rejection::OrderUnknown { order } => {
                            assert!(!self.closed.contains_key(order), "order {order} is known to the index");
                        }
                        Rejection::PaymentUnknown { payment } => {
                            let is_known = self.closed_payments.contains_key(payment);
                            assert!(!is_known, "payment {payment} is known to the index");
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        if let Some(end) = event.order_end() {
            let earlier = self.closed.insert(end.order, (ClosedOrder::of(end, position), at));
            assert!(earlier.is_none(), "order {} is closed twice", end.order);
        }
    }

    /// Gives the commit that begins at `position`.
    pub(super) fn commit_at(&self, position: Position) -> Option<&Arc<Commit>> {
        let at = self.log.binary_search_by_key(&position, |commit| commit.first_position()).ok()?;
        self.log.get(at)
    }

    pub(super) fn contains(&self, commit: &Commit) -> bool {
        self.commit_at(commit.first_position()).is_some_and(|stored| stored.head() == commit.head())
    }

    /// Finds a command in the durable log.
    pub(super) fn find(&self, account: AccountId, command: CommandId) -> Option<Decided> {
        self.commands.get(&(account, command)).map(|(decided, _)| *decided)
    }

    pub(super) fn seq_used(&self, key: KeyId, seq: u64) -> bool {
        self.seqs.contains(&(key, seq))
    }

    pub(super) fn nonce_used(&self, key: KeyId, nonce: Nonce) -> bool {
        self.nonces.contains_key(&(key, nonce))
    }

    /// Tells since which position a key may sign.
    pub(super) fn key_since(&self, key: KeyId) -> Option<Position> {
        self.keys.get(&key).copied()
    }

    /// Answers as an index that has seen the first `covered` commits.
    pub(super) fn look_up(&self, question: &Question, covered: usize) -> Facts {
        let command = self.commands.get(&question.command).filter(|(_, at)| *at < covered);
        let closed = question.order.and_then(|order| Some((order, self.closed.get(&order)?)));
        let closed = closed.filter(|(_, (_, at))| *at < covered).map(|(order, (closed, _))| (order, *closed));
        let credit = question.credit.and_then(|credit| self.credits.get(&credit));
        let credit = credit.filter(|(_, at)| *at < covered);
        let payment =
            question.payment.and_then(|payment| Some((payment, self.closed_payments.get(&payment)?)));
        let closed_payment = payment.and_then(|(payment, endings)| {
            let (closed, _) = endings.iter().rfind(|(_, at)| *at < covered)?;
            Some((payment, closed.clone()))
        });
        let payout = question.payout.and_then(|payout| Some((payout, self.closed_payouts.get(&payout)?)));
        let closed_payout = payout.and_then(|(payout, endings)| {
            let (closed, _) = endings.iter().rfind(|(_, at)| *at < covered)?;
            Some(Box::new((payout, *closed)))
        });
        Facts {
            covered: covered.checked_sub(1).map_or(0, |last| self.log[last].head().position),
            command: command.map(|(decided, _)| *decided),
            closed_orders: closed.into_iter().collect(),
            credit: credit.map(|(position, _)| *position),
            closed_payment,
            charged: question.payment.map(|payment| Box::new(self.charged(payment, covered))),
            closed_payout,
        }
    }

    /// Tells what a closed payment paid, and what banks made of it.
    fn charged(&self, payment: PaymentId, covered: usize) -> Charged {
        let mut charged = Charged::default();
        let paid = self.paid.get(&payment).filter(|(_, at)| *at < covered);
        for (order, minor) in paid.into_iter().flat_map(|(orders, _)| orders.iter().copied()) {
            let Some((closed, _)) = self.closed.get(&order).filter(|(_, at)| *at < covered) else { continue };
            let back = self.back.iter().filter(|(_, of, _, at)| *of == order && *at < covered);
            let minor = minor - back.map(|(_, _, minor, _)| minor).sum::<i64>();
            charged.orders.extend((minor > 0).then_some(PaidOrder { order, seller: closed.seller, minor }));
        }
        let endings = self.charged.get(&payment).into_iter().flatten().filter(|(_, _, at)| *at < covered);
        charged.chargebacks.extend(endings.map(|(chargeback, closed, _)| (*chargeback, closed.clone())));
        for (chargeback, minor, _) in self.covered.iter().filter(|(_, _, at)| *at < covered) {
            if let Some(closed) =
                charged.chargebacks.get_mut(chargeback).filter(|closed| closed.advanced_minor > 0)
            {
                closed.advanced_minor -= minor;
                closed.charged_minor += minor;
            }
        }
        charged
    }

    /// Folds everything behind the base anew.
    pub(super) fn fold_from_base(&self) -> Market {
        let base = Base::get();
        let mut market = base.market.clone();
        for commit in &self.log[base.log.len()..] {
            market.evolve_commit(commit);
        }
        market
    }
}
