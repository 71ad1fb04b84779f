//! Payments that a buyer's bank disputes, as a state machine that is folded from the log: an inquiry, which moves nothing, and a
//! chargeback, which takes the money until the bank has decided; after it was won, once more.
//!
//! What a provider says of a dispute is the whole of how it stands, so what comes late, twice or out of order is merged: only what
//! is further than what is known changes anything. When a chargeback opens, its money leaves in the same commit. `take` says from
//! where, and `decide` what is made of each word; what a payment's orders then do stands in `order::charge`.
//!
//! Chargebacks stand beside payments and orders, and not in them: a market without them has none of it. Those that were decided are
//! in memory as long as their payment is; older ones are in the index.

mod decide;
mod take;

use std::collections::{BTreeMap, BTreeSet};

use events::account::Role;
use events::chargeback::{
    ChargedOrder, Covered, EvidenceFile, EvidenceSubmitted, FeeCharged, Inquired, Lost, Opened, PastDue,
    Progress, Round, Updated, Won,
};
use events::ids::{AccountId, ChargebackId, OrderId, PaymentId};
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::rejection::ChargebackState;
use events::{Event, Money, Position, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use self::decide::{
    charged_minor, covered, decide_accept, decide_past_due, decide_report, decide_submit,
};
pub(crate) use self::take::split;
use crate::market::Market;
use crate::payment::{ChargebackEffect, ChargebackWish, Effect, EffectId, PaidOrder};

/// A dispute on which the bank has not decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chargeback {
    /// The payment.
    pub payment: PaymentId,
    /// Who had paid.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: Box<str>,
    /// Which time it is disputed.
    pub round: Round,
    /// Whether money was taken; else the bank only asks.
    pub is_charged: bool,
    /// How far the bank is.
    pub progress: Progress,
    /// Until when the provider takes evidence, if it says.
    pub due_by: Option<Timestamp>,
    /// Whether nobody gave any in time.
    pub is_past_due: bool,
    /// How often the provider has taken evidence.
    pub submissions: u32,
    /// How often it had before money was taken: that answered what the bank had asked.
    pub submissions_before: u32,
    /// What the provider took for it in all, in minor units of its currency.
    pub fee: Option<Money>,
    /// Evidence that somebody gave; it is told to the provider until that has taken it.
    pub evidence: Option<Box<Evidence>>,
    /// Whether somebody gave evidence, which can be done once.
    pub was_answered: bool,
    /// Whether it was accepted: it is being lost.
    pub is_accepted: bool,
    /// Who sold what was paid with it.
    pub sellers: Box<[AccountId]>,
    /// What of it is about which order, once money was taken.
    pub orders: Box<[ChargedOrder]>,
    /// From where it was taken, in this order.
    pub taken: Box<[Taken]>,
}

/// Evidence on its way to a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The files.
    pub files: Vec<EvidenceFile>,
    /// What is to be said.
    pub statement: Option<String>,
}

/// Money that a chargeback took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// From where.
    pub from: LedgerAccount,
    /// How much.
    pub amount: Money,
    /// Of a reserve: until when it was kept.
    pub kept_until: Option<Timestamp>,
}

impl Chargeback {
    /// Gives its state in one word.
    pub const fn state(&self) -> ChargebackState {
        match (self.is_charged, self.progress) {
            (false, Progress::NeedsResponse) => ChargebackState::Inquiry,
            (false, Progress::UnderReview) => ChargebackState::InquiryUnderReview,
            (true, _) if self.is_accepted => ChargebackState::Accepted,
            (true, Progress::NeedsResponse) => ChargebackState::NeedsResponse,
            (true, Progress::UnderReview) => ChargebackState::UnderReview,
        }
    }

    /// Gives what was taken, but for what the platform advanced, in minor units.
    fn charged_minor(&self) -> i64 {
        self.taken.iter().map(|taken| taken.amount.minor).sum::<i64>() - self.advanced_minor()
    }

    /// Gives what the platform advanced, in minor units.
    pub fn advanced_minor(&self) -> i64 {
        let advanced = self.taken.iter().filter(|taken| taken.from == LedgerAccount::PlatformExpense);
        advanced.map(|taken| taken.amount.minor).sum()
    }

    /// Gives what it waits for: evidence, as long as any helps.
    pub fn deadline(&self, chargeback: ChargebackId) -> Option<DeadlineStamp> {
        let waits = self.progress == Progress::NeedsResponse
            && !self.is_past_due
            && !self.is_accepted
            && self.submissions == self.submissions_before;
        let due = self.due_by.filter(|_| waits)?;
        Some(DeadlineStamp { due, waiting: Waiting::ChargebackDue { chargeback } })
    }

    fn effect(&self, chargeback: ChargebackId) -> (EffectId, Effect) {
        let wish = match &self.evidence {
            _ if self.is_accepted => ChargebackWish::Accept,
            Some(evidence) => ChargebackWish::Submit(evidence.clone()),
            None => ChargebackWish::Watch,
        };
        let Chargeback { provider, payment, .. } = *self;
        let reference = self.reference.clone();
        let effect = ChargebackEffect { provider, payment, chargeback, reference, wish };
        (EffectId::Chargeback(chargeback), Effect::Chargeback(effect))
    }
}

/// How a dispute ended, as far as anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It was only asked about.
    InquiryClosed,
    /// The bank decided for the market; it may be disputed once more, if this was the first time.
    Won,
    /// The bank decided for the buyer.
    Lost,
}

/// A dispute on which the bank has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedChargeback {
    /// The payment.
    pub payment: PaymentId,
    /// How it ended.
    pub ending: Ending,
    /// Which time it was disputed.
    pub round: Round,
    /// What is gone of the payment by it, what the platform advanced left out, in minor units.
    pub charged_minor: i64,
    /// What the platform advanced, in minor units.
    pub advanced_minor: i64,
    /// What the provider took for it; none: not known any more.
    pub fee: Option<Money>,
    /// What of it is gone of which order.
    pub orders: Box<[ChargedOrder]>,
}

impl ClosedChargeback {
    /// Gives the decided dispute that an event leaves behind, from the event alone.
    pub fn left_by(event: &Event) -> Option<(ChargebackId, ClosedChargeback)> {
        let none = |payment, ending, round| ClosedChargeback {
            payment,
            ending,
            round,
            charged_minor: 0,
            advanced_minor: 0,
            fee: None,
            orders: Box::default(),
        };
        match event {
            Event::InquiryClosed(e) => {
                Some((e.chargeback, none(e.payment, Ending::InquiryClosed, Round::First)))
            }
            Event::ChargebackWon(e) => Some((e.chargeback, none(e.payment, Ending::Won, e.round))),
            Event::ChargebackLost(e) => {
                let advanced_minor = e.advanced.map_or(0, |advanced| advanced.minor);
                let charged_minor = e.transfer.amount.minor - advanced_minor;
                let orders = e.orders.as_slice().into();
                let lost = none(e.payment, Ending::Lost, e.round);
                Some((e.chargeback, ClosedChargeback { charged_minor, advanced_minor, orders, ..lost }))
            }
            _ => None,
        }
    }

    /// Gives its state in one word.
    pub const fn state(&self) -> ChargebackState {
        match self.ending {
            Ending::InquiryClosed => ChargebackState::InquiryClosed,
            Ending::Won => ChargebackState::Won,
            Ending::Lost => ChargebackState::Lost,
        }
    }
}

/// All disputes on which no bank has decided, and the decided ones of payments that are in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chargebacks {
    open: BTreeMap<ChargebackId, Chargeback>,
    closed: BTreeMap<ChargebackId, ClosedChargeback>,
    of_payment: BTreeMap<PaymentId, BTreeSet<ChargebackId>>,
}

impl Chargebacks {
    /// Finds a dispute on which the bank has not decided.
    pub fn get(&self, chargeback: ChargebackId) -> Option<&Chargeback> {
        self.open.get(&chargeback)
    }

    /// Finds a decided dispute of a payment that is in memory.
    pub fn closed(&self, chargeback: ChargebackId) -> Option<&ClosedChargeback> {
        self.closed.get(&chargeback)
    }

    /// Gives every dispute on which no bank has decided.
    pub fn open(&self) -> impl Iterator<Item = (&ChargebackId, &Chargeback)> {
        self.open.iter()
    }

    /// Tells whether no bank has decided on some dispute of a payment.
    pub fn is_open(&self, payment: PaymentId) -> bool {
        self.of(payment).any(|id| self.open.contains_key(&id))
    }

    fn of(&self, payment: PaymentId) -> impl Iterator<Item = ChargebackId> + '_ {
        self.of_payment.get(&payment).into_iter().flatten().copied()
    }

    /// Gives what is gone of a payment by disputes, or is while they are open, in minor units; what the platform advanced left out.
    pub fn charged_minor(&self, payment: PaymentId) -> i64 {
        let charged = self.of(payment).map(|id| match self.open.get(&id) {
            Some(open) => open.charged_minor(),
            None => self.closed.get(&id).map_or(0, |closed| closed.charged_minor),
        });
        charged.sum()
    }

    /// Gives the same with what the platform advanced.
    pub(crate) fn disputed_minor(&self, payment: PaymentId) -> i64 {
        let advanced = self.of(payment).map(|id| match self.open.get(&id) {
            Some(open) => open.advanced_minor(),
            None => self.closed.get(&id).map_or(0, |closed| closed.advanced_minor),
        });
        self.charged_minor(payment) + advanced.sum::<i64>()
    }

    /// Finds a dispute of a payment of which the platform advanced something, and how much, in minor units.
    pub(crate) fn advanced(&self, payment: PaymentId) -> Option<(ChargebackId, i64)> {
        self.of(payment).find_map(|id| {
            let advanced = match self.open.get(&id) {
                Some(open) => open.advanced_minor(),
                None => self.closed.get(&id)?.advanced_minor,
            };
            (advanced > 0).then_some((id, advanced))
        })
    }

    /// Gives what is gone of an order by disputes of its payment, or is while they are open, in minor units.
    pub(crate) fn charged_of(&self, payment: PaymentId, order: OrderId) -> i64 {
        let orders = self.of(payment).flat_map(|id| match self.open.get(&id) {
            Some(open) => &open.orders,
            None => &self.closed[&id].orders,
        });
        orders.filter(|charged| charged.order == order).map(|charged| charged.amount.minor).sum()
    }

    /// Forgets what was decided about a payment that leaves memory.
    pub(crate) fn forget(&mut self, payment: PaymentId) {
        for id in self.of_payment.remove(&payment).into_iter().flatten() {
            self.closed.remove(&id);
        }
    }

    /// Gives all that providers are asked for and have not answered.
    pub(crate) fn effects(&self) -> impl Iterator<Item = (EffectId, Effect)> + '_ {
        self.open.iter().map(|(id, open)| open.effect(*id))
    }
}

impl Market {
    fn enter_chargeback(&mut self, id: ChargebackId, change: impl FnOnce(&mut Chargeback)) {
        let chargebacks = self.payments.chargebacks_mut();
        let open = chargebacks.open.get_mut(&id).expect("an event about a chargeback follows its opening");
        let left = open.deadline(id);
        change(open);
        let entered = open.deadline(id);
        if let Some(left) = left {
            self.waiting.remove(&left);
        }
        self.waiting.extend(entered);
    }

    fn begin_chargeback(&mut self, id: ChargebackId, open: Chargeback) {
        let chargebacks = self.payments.chargebacks_mut();
        chargebacks.of_payment.entry(open.payment).or_default().insert(id);
        chargebacks.closed.remove(&id);
        let left = chargebacks.open.get(&id).and_then(|before| before.deadline(id));
        self.waiting.extend(open.deadline(id));
        if let Some(left) = left.filter(|left| open.deadline(id) != Some(*left)) {
            self.waiting.remove(&left);
        }
        self.payments.chargebacks_mut().open.insert(id, open);
    }

    pub(crate) fn chargeback_inquired(&mut self, event: &Inquired, position: Position) {
        let orders = event.orders.iter().map(|part| (part.order, part.seller, part.paid.minor));
        self.recall_orders(event.payment, orders);
        let sellers = sellers_of(event.orders.iter().map(|part| part.seller));
        let open = Chargeback {
            payment: event.payment,
            account: event.account,
            provider: event.provider,
            reference: event.reference.as_str().into(),
            round: Round::First,
            is_charged: false,
            progress: Progress::NeedsResponse,
            due_by: event.due_by,
            is_past_due: false,
            submissions: 0,
            submissions_before: 0,
            fee: None,
            evidence: None,
            was_answered: false,
            is_accepted: false,
            sellers,
            orders: Box::default(),
            taken: Box::default(),
        };
        self.begin_chargeback(event.chargeback, open);
        self.touch_payment(event.payment, position);
    }

    pub(crate) fn chargeback_opened(&mut self, event: &Opened, position: Position) {
        let id = event.chargeback;
        let mut kept = event.kept_until.iter();
        let taken = event.transfers.iter().map(|transfer| Taken {
            from: transfer.from,
            amount: transfer.amount,
            kept_until: match transfer.from {
                LedgerAccount::SellerReserve(_) => kept.next().copied(),
                _ => None,
            },
        });
        let taken: Box<[Taken]> = taken.collect();
        event.transfers.iter().for_each(|transfer| self.post_earned(transfer, None));
        let orders = event.orders.iter().map(|part| (part.order, part.seller, part.paid.minor));
        self.recall_orders(event.payment, orders);
        for charged in event.orders.iter().filter(|charged| charged.amount.is_positive()) {
            self.charge_order(charged.order, &taken);
        }
        let chargebacks = self.payments.chargebacks();
        let before = chargebacks.open.get(&id);
        let fee = before.map_or_else(|| chargebacks.closed.get(&id)?.fee, |before| before.fee);
        // What was given the first time is not asked for again.
        let submissions_before = match event.round {
            Round::First => before.map_or(0, |before| before.submissions).min(event.submissions),
            Round::Second => event.submissions,
        };
        let charged = event.orders.iter().filter(|charged| charged.amount.is_positive());
        let charged: Box<[ChargedOrder]> = charged.copied().collect();
        let open = Chargeback {
            payment: event.payment,
            account: event.account,
            provider: event.provider,
            reference: event.reference.as_str().into(),
            round: event.round,
            is_charged: true,
            progress: Progress::NeedsResponse,
            due_by: event.due_by,
            is_past_due: false,
            submissions: event.submissions,
            submissions_before,
            fee,
            evidence: None,
            was_answered: event.submissions > submissions_before,
            is_accepted: false,
            sellers: sellers_of(charged.iter().map(|charged| charged.seller)),
            orders: charged,
            taken,
        };
        self.begin_chargeback(id, open);
        self.touch_payment(event.payment, position);
    }

    pub(crate) fn chargeback_updated(&mut self, event: &Updated, position: Position) {
        self.touch_payment(event.payment, position);
        let now = self.time;
        self.enter_chargeback(event.chargeback, |open| {
            if open.round < event.round {
                // That the first one was won was not told.
                (open.round, open.submissions_before) = (event.round, open.submissions);
                (open.is_past_due, open.was_answered) = (false, open.evidence.is_some());
            }
            if open.due_by != event.due_by {
                open.is_past_due = open.is_past_due && event.due_by.is_none_or(|due_by| due_by <= now);
            }
            (open.due_by, open.progress, open.submissions) =
                (event.due_by, event.progress, event.submissions);
            if event.answered {
                (open.evidence, open.was_answered) = (None, true);
            }
        });
    }

    pub(crate) fn evidence_submitted(&mut self, event: &EvidenceSubmitted, position: Position) {
        self.touch_payment(event.payment, position);
        let evidence = Evidence { files: event.files.clone(), statement: event.statement.clone() };
        self.enter_chargeback(event.chargeback, |open| {
            (open.evidence, open.was_answered) = (Some(Box::new(evidence)), true);
        });
    }

    pub(crate) fn chargeback_accepted(&mut self, payment: PaymentId, id: ChargebackId, position: Position) {
        self.touch_payment(payment, position);
        self.enter_chargeback(id, |open| (open.is_accepted, open.evidence) = (true, None));
    }

    pub(crate) fn chargeback_past_due(&mut self, event: &PastDue, position: Position) {
        self.touch_payment(event.payment, position);
        self.enter_chargeback(event.chargeback, |open| (open.is_past_due, open.evidence) = (true, None));
    }

    pub(crate) fn chargeback_fee_charged(&mut self, event: &FeeCharged, position: Position) {
        self.ledger.post(&event.transfer);
        self.touch_payment(event.payment, position);
        let chargebacks = self.payments.chargebacks_mut();
        if let Some(open) = chargebacks.open.get_mut(&event.chargeback) {
            open.fee = Some(event.fee);
        } else if let Some(closed) = chargebacks.closed.get_mut(&event.chargeback) {
            closed.fee = Some(event.fee);
        }
    }

    pub(crate) fn chargeback_won(&mut self, event: &Won) {
        let mut kept = event.kept_until.iter().copied();
        for transfer in &event.transfers {
            let is_kept = matches!(transfer.to, LedgerAccount::SellerReserve(_));
            self.post_earned(transfer, if is_kept { kept.next() } else { None });
        }
        event.written_off.iter().for_each(|back| self.debts.recover(back.debt, back.amount));
        let ended = self.payments.chargebacks_mut().open.get(&event.chargeback).cloned();
        let ended = ended.expect("a chargeback is won that was open");
        for charged in &ended.orders {
            self.win_order(charged.order, &ended.taken);
        }
    }

    pub(crate) fn chargeback_lost(&mut self, event: &Lost) {
        self.ledger.post(&event.transfer);
        let ended = self.payments.chargebacks_mut().open.get(&event.chargeback).cloned();
        let ended = ended.expect("a chargeback is lost that was open");
        for charged in &ended.orders {
            self.lose_order(event.chargeback, charged, &ended.taken);
        }
    }

    pub(crate) fn chargeback_covered(&mut self, event: &Covered, position: Position) {
        self.ledger.post(&event.transfer);
        self.touch_payment(event.payment, position);
        let (minor, chargebacks) = (event.transfer.amount.minor, self.payments.chargebacks_mut());
        if let Some(open) = chargebacks.open.get_mut(&event.chargeback) {
            let mut taken = std::mem::take(&mut open.taken).into_vec();
            for advance in taken.iter_mut().filter(|taken| taken.from == LedgerAccount::PlatformExpense) {
                advance.amount.minor -= minor;
            }
            let (from, amount) = (event.transfer.from, event.transfer.amount);
            taken.push(Taken { from, amount, kept_until: None });
            taken.retain(|taken| taken.amount.is_positive());
            open.taken = taken.into();
        } else if let Some(closed) = chargebacks.closed.get_mut(&event.chargeback) {
            closed.advanced_minor -= minor;
            closed.charged_minor += minor;
        }
    }

    /// Ends a dispute: what is known of it is known as long as its payment is.
    pub(crate) fn close_chargeback(&mut self, id: ChargebackId, event: &Event, position: Position) {
        let (_, closed) = ClosedChargeback::left_by(event).expect("this event ends a dispute");
        let payment = closed.payment;
        let chargebacks = self.payments.chargebacks_mut();
        let ended = chargebacks.open.remove(&id).expect("a dispute ends that was open");
        chargebacks.closed.insert(id, ClosedChargeback { fee: ended.fee, ..closed });
        if let Some(left) = ended.deadline(id) {
            self.waiting.remove(&left);
        }
        self.touch_payment(payment, position);
    }

    /// Notes that something happened to a payment that had ended: it is forgotten later.
    fn touch_payment(&mut self, payment: PaymentId, position: Position) {
        let forgotten = self.payments.touch(payment, position);
        self.forget(forgotten);
    }

    /// Remembers the closed orders of a payment that was no longer in memory.
    fn recall_orders(&mut self, payment: PaymentId, orders: impl Iterator<Item = (OrderId, AccountId, i64)>) {
        let closed = orders.filter(|(order, ..)| self.orders.get(*order).is_none());
        let closed = closed.map(|(order, seller, minor)| PaidOrder { order, seller, minor }).collect();
        self.payments.recall_orders(payment, closed);
    }
}

/// Lists sellers, each once.
fn sellers_of(sellers: impl Iterator<Item = AccountId>) -> Box<[AccountId]> {
    sellers.collect::<BTreeSet<_>>().into_iter().collect()
}

/// In which role somebody speaks for a dispute: as an operator, or as the one seller it is about.
fn speaker(market: &Market, account: AccountId, open: &Chargeback) -> Option<Role> {
    if market.accounts.has_role(account, Role::Operator) {
        return Some(Role::Operator);
    }
    (*open.sellers == [account]).then_some(Role::Seller)
}
