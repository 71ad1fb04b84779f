//! The fold of a log that believes nothing: each commit must be what a market decides in the state before it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use commands::checkpoint::CheckpointError;
use commands::funding::CreditId;
use commands::order::{ClosedOrder, Shipment, ShipmentState};
use commands::payment::ClosedPayment;
use commands::payout::ClosedPayout;
use commands::step_up;
use commands::{Decision, Facts, Market, Question, Refusal, Verified, decide, decide_deadline};
use events::ids::{
    AccountId, CommandId, CommitId, ListingId, MarketName, OrderId, PaymentId, PayoutId, WriterId,
};
use events::ledger::LedgerAccount;
use events::location::{AtLocation, Located, Location};
use events::metadata::{Cause, DeadlineStamp};
use events::{Commit, Currency, Event, Head, Money, Position, Recorded};
use serde::Serialize;

use super::charged::Payments;

/// How much of a text is shown before the place where it differs from another, and half as much as behind it.
const CHARACTERS_AROUND: usize = 60;

/// What is wrong with a commit, or with the state behind the last one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The signed bytes would not be taken.
    #[error("its signed command would not be taken")]
    CommandRefused(#[source] Refusal),
    /// The metadata claims something else than was signed.
    #[error("its metadata and its signed command differ in `{field}`")]
    NotAsSigned {
        /// The first member that differs.
        field: &'static str,
    },
    /// Metadata or payload are spelled as no market would.
    #[error("the {part} of the event at position {position} is not spelled as a market writes it")]
    Spelling {
        /// Which part.
        part: &'static str,
        /// Which event.
        position: Position,
    },
    /// The metadata contradicts the rest.
    #[error("its metadata is wrong: {rule}")]
    Metadata {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A writer's first commit is not one.
    #[error("it is no writer's beginning: {rule}")]
    Writer {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The id of a command was used before.
    #[error("command {0} was decided before")]
    DecidedTwice(CommandId),
    /// The market would not have decided the command.
    #[error("decided again, its command is refused")]
    Refused(#[source] Refusal),
    /// The market would have decided otherwise.
    #[error("decided again, it gives other events: {again}; here stand: {found}")]
    OtherEvents {
        /// What the decision gives.
        again: String,
        /// What stands in the log.
        found: String,
    },
    /// Nothing waits for the deadline.
    #[error("nothing waits for its deadline, or it was not due")]
    NotDue,
    /// Money or stock does not add up.
    #[error("behind it, {what}")]
    Unbalanced {
        /// What does not add up.
        what: String,
    },
    /// A file beside the log was made from another log.
    #[error("{what} was made from another log, or the log was changed since")]
    Foreign {
        /// The file.
        what: String,
    },
    /// A checkpoint that the market signed is none of this log.
    #[error("the signed checkpoint {what}")]
    Checkpoint {
        /// Which one.
        what: String,
        /// Why it is none.
        source: CheckpointError,
    },
    /// A file beside the log has seen more than the log holds.
    #[error(
        "{what} has seen position {position}, which the log does not have: the log was truncated; restore it"
    )]
    Ahead {
        /// The file.
        what: String,
        /// How far it has seen.
        position: Position,
    },
}

/// What a fold has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Counts {
    /// Events.
    pub(crate) events: u64,
    /// Commits.
    pub(crate) commits: u64,
    /// Commits by a signed command.
    pub(crate) commands: u64,
    /// Signatures: of commands, and of quotes, claims and offers inside them.
    pub(crate) signatures: u64,
    /// Commits by a deadline.
    pub(crate) deadlines: u64,
    /// Accounts, the registrar's among them.
    pub(crate) accounts: u64,
    /// Orders ever placed.
    pub(crate) orders: u64,
}

/// The state behind the commits folded so far.
pub(crate) struct Fold {
    name: MarketName,
    market: Market,
    head: Head,
    writer: Option<WriterId>,
    commands: HashSet<(AccountId, CommandId)>,
    closed: HashMap<OrderId, ClosedOrder>,
    /// How many units of listings were last told to be missing.
    shortfalls: HashMap<ListingId, u64>,
    credits: HashMap<CreditId, Position>,
    payments: HashMap<PaymentId, ClosedPayment>,
    payouts: HashMap<PayoutId, ClosedPayout>,
    charged: Payments,
    counts: Counts,
}

impl Fold {
    pub(super) fn new(name: MarketName) -> Fold {
        Fold {
            name,
            market: Market::new(),
            head: Head::EMPTY,
            writer: None,
            commands: HashSet::new(),
            closed: HashMap::new(),
            credits: HashMap::new(),
            payments: HashMap::new(),
            payouts: HashMap::new(),
            charged: Payments::default(),
            shortfalls: HashMap::new(),
            counts: Counts::default(),
        }
    }

    /// Gives the market's state.
    pub(crate) fn market(&self) -> &Market {
        &self.market
    }

    /// Gives the head behind what was folded.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Gives what was met.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Finds an order that is closed, however long ago.
    pub(crate) fn closed(&self, order: OrderId) -> Option<ClosedOrder> {
        self.closed.get(&order).copied()
    }

    /// Checks a commit against the state before it, and folds it. `verified` is its command, if it has one.
    pub(super) fn apply(&mut self, commit: &Commit, verified: Option<&Verified>) -> Result<(), Fault> {
        self.check_metadata(commit)?;
        match (&commit.start().cause, verified) {
            (Cause::Writer(writer), _) => self.check_writer(*writer, commit)?,
            (Cause::Deadline(deadline), _) => self.check_deadline(*deadline, commit)?,
            (Cause::Command(_), Some(verified)) => self.check_command(verified, commit)?,
            (Cause::Command(_), None) => unreachable!("a command is verified before it is folded"),
        }
        let writer =
            self.writer.ok_or(Fault::Metadata { rule: "it stands before any writer's beginning" })?;
        if commit.id() != CommitId::derive(writer, commit.first_position(), commit.time()) {
            return Err(Fault::Metadata { rule: "its id is not the one its writer gives it" });
        }
        self.market.evolve_commit(commit);
        self.head = commit.head();
        self.count(commit, verified);
        Ok(())
    }

    fn check_metadata(&self, commit: &Commit) -> Result<(), Fault> {
        let wrong = |rule| Err(Fault::Metadata { rule });
        if commit.time() < self.market.time {
            return wrong("its time is before that of the commit before");
        }
        for recorded in commit.events() {
            let Recorded { metadata, event, position, .. } = recorded;
            if metadata.market != self.name {
                return wrong("it names another market");
            }
            if metadata.time != commit.time() {
                return wrong("its events have different times");
            }
            if metadata.subject != event.subject() {
                return wrong("it names another subject than its payload is about");
            }
            let spelling = |part| Err(Fault::Spelling { part, position: *position });
            if serde_json::to_vec(metadata).ok().as_ref() != Some(&recorded.metadata_json) {
                return spelling("metadata");
            }
            // A payload of an older version was lifted into the present one, which is spelled otherwise.
            let is_present = event.type_name() == metadata.type_name;
            if is_present && event.encode() != recorded.payload_json {
                return spelling("payload");
            }
        }
        Ok(())
    }

    fn check_writer(&mut self, writer: WriterId, commit: &Commit) -> Result<(), Fault> {
        let wrong = |rule| Err(Fault::Writer { rule });
        let events: Vec<&Event> = commit.events().iter().map(|recorded| &recorded.event).collect();
        let started = match (self.market.opened.is_some(), events.as_slice()) {
            (false, [Event::MarketOpened(opened), Event::WriterStarted(started)]) => {
                if opened.market != self.name {
                    return wrong("it opens another market");
                }
                self.counts.accounts += 1;
                started
            }
            (true, [Event::WriterStarted(started)]) => started,
            (false, _) => return wrong("the first one opens the market"),
            (true, _) => return wrong("it has other events than market.writer_started"),
        };
        if started.writer != writer {
            return wrong("its event names another writer");
        }
        if started.epoch != self.market.epoch + 1 {
            return wrong("its epoch does not follow the one before");
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn check_deadline(&self, deadline: DeadlineStamp, commit: &Commit) -> Result<(), Fault> {
        let next = self.market.next_deadline();
        if next != Some(deadline) || deadline.due > commit.time() {
            return Err(Fault::NotDue);
        }
        self.same_events(decide_deadline(&self.market, deadline, commit.time()), commit)
    }

    fn check_command(&mut self, verified: &Verified, commit: &Commit) -> Result<(), Fault> {
        if self.market.opened.is_none() {
            return Err(Fault::Writer { rule: "the first one opens the market" });
        }
        let stamp = &verified.stamp;
        if !self.commands.insert((stamp.account, stamp.command)) {
            return Err(Fault::DecidedTwice(stamp.command));
        }
        let now = commit.time();
        if stamp.step_up.is_some() && step_up::reason(&self.market, verified, now).is_none() {
            return Err(Fault::Metadata { rule: "it shows a second factor that no rule asked for" });
        }
        let mut decision = decide(&self.market, verified, &Facts::default(), now);
        if let Decision::Ask(question) = decision {
            decision = decide(&self.market, verified, &self.facts(&question), now);
        }
        match decision {
            Decision::Commit(events) => self.same_events(events, commit),
            Decision::Repeat(_) => Err(Fault::DecidedTwice(stamp.command)),
            Decision::Refuse(refusal) => Err(Fault::Refused(refusal)),
            Decision::Ask(_) => unreachable!("the facts cover what was asked"),
        }
    }

    /// Answers what the writer had asked its index. That the command was decided before is ruled out already.
    fn facts(&self, question: &Question) -> Facts {
        let found = question.order.and_then(|order| Some((order, self.closed(order)?)));
        let credit = question.credit.and_then(|credit| self.credits.get(&credit).copied());
        let closed_payment =
            question.payment.and_then(|payment| Some((payment, self.payments.get(&payment)?.clone())));
        let closed_payout =
            question.payout.and_then(|payout| Some(Box::new((payout, *self.payouts.get(&payout)?))));
        Facts {
            covered: question.covering,
            command: None,
            closed_orders: BTreeMap::from_iter(found),
            credit,
            closed_payment,
            charged: question.payment.map(|payment| Box::new(self.charged.of(payment, |id| self.closed(id)))),
            closed_payout,
        }
    }

    fn count(&mut self, commit: &Commit, verified: Option<&Verified>) {
        self.counts.commits += 1;
        self.counts.events += commit.events().len() as u64;
        if let Some(verified) = verified {
            self.counts.commands += 1;
            let quotes = verified.quotes.iter().flatten().count();
            let others = [verified.claim.is_some(), verified.exchange.is_some()];
            let inside = quotes + others.into_iter().filter(|is_there| *is_there).count();
            self.counts.signatures += 1 + inside as u64;
        }
        if matches!(commit.start().cause, Cause::Deadline(_)) {
            self.counts.deadlines += 1;
        }
        self.charged.note(commit);
        for Recorded { event, position, .. } in commit.events() {
            if let Some(credit) = CreditId::given_by(event) {
                self.credits.insert(credit, *position);
            }
            if let Some((payment, closed)) = ClosedPayment::left_by(event, *position) {
                self.payments.insert(payment, closed);
            }
            if let Some((payout, closed)) = ClosedPayout::left_by(event, *position) {
                self.payouts.insert(payout, closed);
            }
            match event {
                Event::AccountRegistered(_) => self.counts.accounts += 1,
                Event::OrderPlaced(_) => self.counts.orders += 1,
                Event::StockShortfallDetected(detected) => {
                    self.shortfalls.insert(detected.listing, detected.missing);
                }
                _ => {}
            }
            if let Some(end) = event.order_end() {
                self.closed.insert(end.order, ClosedOrder::of(end, *position));
            }
        }
    }

    /// Checks that money and stock add up in the state folded so far.
    pub(crate) fn check_balances(&self) -> Result<(), Fault> {
        let wrong = |what: String| Err(Fault::Unbalanced { what });
        for (currency, sum) in self.market.ledger.sums() {
            if sum != 0 {
                return wrong(format!(
                    "the ledger's accounts in {currency} sum to {sum} minor units, not zero"
                ));
            }
        }
        let held: BTreeMap<(OrderId, Currency), Money> =
            self.market.ledger.balances().filter_map(escrow).collect();
        let owed = self.market.orders.iter().filter_map(|(id, order)| {
            let remaining = Money::new(order.escrow.remaining(), order.total.currency);
            remaining.is_positive().then_some(((*id, remaining.currency), remaining))
        });
        let owed: BTreeMap<(OrderId, Currency), Money> = owed.collect();
        for (id, order) in self.market.orders.iter() {
            let frozen: i64 =
                order.shipments.iter().filter_map(Shipment::frozen).map(|one| one.amount_minor).sum();
            let held = self.market.ledger.balance(LedgerAccount::Dispute(*id), order.total.currency).minor;
            // What a bank took of it is still what its shipments had frozen.
            let [_, charged] = self.market.charged_of(*id);
            if (frozen - charged, held) != (order.escrow.frozen, order.escrow.frozen) {
                return wrong(format!(
                    "order {id} counts {} minor units as frozen, its shipments {frozen}, its account has {held}",
                    order.escrow.frozen
                ));
            }
        }
        if let Some((order, _)) = held.keys().find(|key| held.get(key) != owed.get(key)) {
            return wrong(format!("the escrow of order {order} does not hold what the order waits for"));
        }
        if let Some((order, _)) = owed.keys().find(|key| !held.contains_key(key)) {
            return wrong(format!("nothing is held for order {order}, which is open"));
        }
        for (id, order) in self.market.orders.iter() {
            let unpaid = order.shipments.iter().filter(|shipment| shipment.state != ShipmentState::Accepted);
            let waiting: i64 = order.left().iter().map(|line| line.amount.minor).sum::<i64>()
                + order.shipping_left().map_or(0, |shipping| shipping.amount.minor)
                + unpaid.map(|shipment| shipment.amount_minor).sum::<i64>();
            let to_come = match &order.card {
                Some(card) if order.is_unpaid() => card.amount_minor - card.uncharged_minor,
                _ => 0,
            };
            let [charged, of_frozen] = self.market.charged_of(*id);
            if waiting != order.escrow.remaining() + to_come + charged - of_frozen {
                return wrong(format!(
                    "order {id} holds {} minor units, but what of it is not yet paid costs {waiting}",
                    order.escrow.remaining()
                ));
            }
        }
        self.check_stock()
    }

    pub(crate) fn check_stock(&self) -> Result<(), Fault> {
        let (mut wanted, mut set_aside) =
            (BTreeMap::<ListingId, u64>::new(), BTreeMap::<ListingId, u64>::new());
        for (_, reservation) in self.market.reservations.iter() {
            for counted in [&mut wanted, &mut set_aside] {
                *counted.entry(reservation.listing).or_default() += u64::from(reservation.quantity.get());
            }
        }
        for (_, order) in self.market.orders.iter() {
            for line in &order.lines {
                *wanted.entry(line.listing).or_default() += u64::from(line.left());
            }
        }
        for (_, known) in self.market.orders.returns().iter() {
            for line in known.open().flat_map(|(_, open)| open.reserved()) {
                *wanted.entry(line.listing).or_default() += u64::from(line.quantity.get());
            }
        }
        for (id, listing) in self.market.listings.iter() {
            let wanted = wanted.get(id).copied().unwrap_or(0);
            let reserved = listing.stock.reserved;
            if reserved != wanted {
                let what = format!(
                    "listing {id} has {reserved} units reserved, but its open orders, exchanges and reservations want {wanted}"
                );
                return Err(Fault::Unbalanced { what });
            }
            let (counted, set_aside) = (listing.stock.set_aside, set_aside.get(id).copied().unwrap_or(0));
            if counted != set_aside {
                let what = format!(
                    "listing {id} has {counted} units set aside, but its reservations have {set_aside}"
                );
                return Err(Fault::Unbalanced { what });
            }
            let (missing, told) = (listing.stock.shortfall(), self.shortfalls.get(id).copied().unwrap_or(0));
            if missing > told {
                let what = format!("listing {id} lacks {missing} reserved units, told are {told}");
                return Err(Fault::Unbalanced { what });
            }
        }
        self.check_locations()
    }

    /// Checks that what is reserved at each named location is what open orders have there, and that the named locations
    /// of a listing hold no more than the whole.
    fn check_locations(&self) -> Result<(), Fault> {
        let wrong = |what: String| Err(Fault::Unbalanced { what });
        let mut wanted = BTreeMap::<(ListingId, &Location), u64>::new();
        for (id, parts) in self.market.orders.allocations().iter() {
            let Some(order) = self.market.orders.get(*id) else {
                return wrong(format!("order {id} has units reserved at locations, but is not open"));
            };
            for (place, line) in (0u8..).zip(&order.lines) {
                let parts = parts.iter().filter(|part| part.line == place);
                let mut sum = 0;
                for part in parts {
                    sum += u64::from(part.units);
                    *wanted.entry((line.listing, &part.location)).or_default() += u64::from(part.units);
                }
                let (listing, left) = (line.listing, line.left());
                if sum > u64::from(left) {
                    return wrong(format!(
                        "order {id} has {sum} units of listing {listing} reserved at locations, and {left} left"
                    ));
                }
            }
        }
        for (_, known) in self.market.orders.returns().iter() {
            for line in known.open().flat_map(|(_, open)| open.reserved()) {
                for Located { location, quantity } in &line.locations {
                    *wanted.entry((line.listing, location)).or_default() += u64::from(quantity.get());
                }
            }
        }
        for (id, listing) in self.market.listings.iter() {
            let stock = &listing.stock;
            let mut named = AtLocation::default();
            for (location, there) in stock.locations.iter().flat_map(|named| named.iter()) {
                let (reserved, wanted) = (there.reserved, wanted.remove(&(*id, location)).unwrap_or(0));
                if reserved != wanted {
                    return wrong(format!(
                        "listing {id} has {reserved} units reserved at {location}, but its open orders want {wanted}"
                    ));
                }
                named.on_hand += there.on_hand;
                named.reserved += there.reserved;
                named.safety += there.safety;
                named.damaged += there.damaged;
            }
            let fits = named.on_hand <= stock.on_hand
                && named.reserved + stock.set_aside <= stock.reserved
                && named.safety <= stock.safety
                && named.damaged <= stock.damaged;
            if !fits {
                return wrong(format!("the named locations of listing {id} hold more than all of its stock"));
            }
        }
        if let Some(((listing, location), units)) = wanted.into_iter().next() {
            return wrong(format!(
                "open orders want {units} units of listing {listing} at {location}, where there is nothing"
            ));
        }
        Ok(())
    }

    /// Checks that a commit has just these events. One that is stored in an older form is compared in the present one, and
    /// with what it leaves to the state it meets said in full.
    fn same_events(&self, mut again: Vec<Event>, commit: &Commit) -> Result<(), Fault> {
        let found = commit.events().iter().map(|recorded| {
            let is_present = recorded.event.type_name() == recorded.metadata.type_name;
            if is_present {
                Cow::Borrowed(&recorded.event)
            } else {
                Cow::Owned(self.market.spelled_out(&recorded.event))
            }
        });
        let found: Vec<Cow<'_, Event>> = found.collect();
        self.market.without_what_was_not(&mut again, found.iter().map(AsRef::as_ref));
        if again.iter().eq(found.iter().map(AsRef::as_ref)) {
            return Ok(());
        }
        let text = |event: Option<&Event>| match event {
            Some(event) => format!("{} {}", event.type_name(), String::from_utf8_lossy(&event.encode())),
            None => "nothing".to_owned(),
        };
        // Only the first pair that differs is told: a commit may have hundreds.
        let count = again.len().max(found.len());
        let index =
            (0..count).find(|index| again.get(*index) != found.get(*index).map(AsRef::as_ref)).unwrap_or(0);
        let (again, found) = (text(again.get(index)), text(found.get(index).map(AsRef::as_ref)));
        let same = again.chars().zip(found.chars()).take_while(|(one, other)| one == other).count();
        Err(Fault::OtherEvents { again: around(&again, same), found: around(&found, same) })
    }
}

fn escrow((account, money): (LedgerAccount, Money)) -> Option<((OrderId, Currency), Money)> {
    match account {
        LedgerAccount::Escrow(order) => Some(((order, money.currency), money)),
        _ => None,
    }
}

/// Gives what stands around a place of a text.
fn around(text: &str, place: usize) -> String {
    let start = place.saturating_sub(CHARACTERS_AROUND);
    let cut = if start > 0 { "…" } else { "" };
    let part: String = text.chars().skip(start).take(3 * CHARACTERS_AROUND).collect();
    format!("{cut}{part}")
}
