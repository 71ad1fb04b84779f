//! Payments through an outside provider, as a state machine that is folded from the log.
//!
//! A request is a fact before the provider hears of it; what the provider did is reported by a signed command of its
//! account, and is decided like any other. What the provider still has to be asked for stands in the state, as an
//! [`Effect`]: a restart goes on where it was. Money that a provider has taken is credited once, whatever state its
//! payment is in: it is there.

mod anew;
mod decide;
mod effect;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use events::ids::{AccountId, OrderId, PaymentId, RefundId};
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::AuthorizationExpiring;
use events::payment::{
    ActionKind, ActionRequired, Authorized, CaptureRequested, CaptureTime, Captured, RefundFailed,
    RefundRequested, Refunded, Requested, VoidReason, VoidRequested,
};
use events::rejection::PaymentState;
use events::{Commit, Event, Money, Position, Timestamp};
use serde::{Deserialize, Serialize};

use anew::Anew;
pub(crate) use decide::{
    captured, check_request, decide_cancel, decide_deadline, decide_refund, decide_report, decide_request,
    give_up, take,
};
pub use effect::{ChargebackEffect, ChargebackWish, Effect, EffectId, PaymentEffect, PayoutEffect, Wish};

use crate::chargeback::Chargebacks;
use crate::funding::CreditId;
use crate::market::Market;

/// How many closed payments are kept in memory; older ones are in the index.
pub const RECENT_CLOSED_PAYMENTS_MAX: usize = 1 << 14;
/// Most payments and refunds that one account may have under way.
pub const OPEN_PER_ACCOUNT_MAX: u32 = 8;
/// How long before a provider lets go of what it holds the market acts by itself, in milliseconds; or half of the time there
/// is, if that is shorter.
pub const CAPTURE_MARGIN_MS: i64 = 86_400_000;
/// How long before that it is told that the market is about to act, so that the buyer may authorise anew, in milliseconds; or
/// half of the time there is, if that is shorter.
pub const EXPIRING_MS: i64 = 86_400_000;
/// How long a payment may wait for its provider, or its buyer, to agree, in milliseconds.
pub const REQUEST_MS: i64 = 15 * 60_000;

/// A payment that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Who pays.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// Where the money goes.
    pub to: LedgerAccount,
    /// How much was asked for.
    pub amount: Money,
    /// When it is to be taken, once the provider holds it.
    pub capture: CaptureTime,
    /// How far it is.
    pub stage: Stage,
}

/// How far a payment is, with what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The provider is asked.
    Requested {
        /// Until when.
        expires_at: Timestamp,
        /// What the provider knows the means of payment by.
        token: Box<str>,
    },
    /// The provider waits for the buyer.
    ActionRequired {
        /// Until when.
        expires_at: Timestamp,
        /// What the buyer has to do.
        kind: ActionKind,
        /// The provider's reference.
        reference: Box<str>,
    },
    /// The provider holds the money.
    Authorized {
        /// How much it holds.
        amount: Money,
        /// Until when.
        capture_before: Timestamp,
        /// The provider's reference.
        reference: Box<str>,
        /// Whether it is to be taken now.
        taking: Taking,
    },
    /// It is being given up; what the provider says comes of it.
    Voiding {
        /// Why.
        because: VoidReason,
    },
}

/// Whether what a provider holds is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taking {
    /// The provider is asked for it.
    Asked {
        /// How much.
        amount: Money,
    },
    /// Not before the seller is about to ship.
    Waits {
        /// When the market acts if he has not said so.
        until: Timestamp,
        /// When it is told that this is about to come; the same time: it was told, or is not.
        expiring_at: Timestamp,
    },
}

impl Stage {
    /// Gives the state's name.
    pub const fn state(&self) -> PaymentState {
        match self {
            Stage::Requested { .. } => PaymentState::Requested,
            Stage::ActionRequired { .. } => PaymentState::ActionRequired,
            Stage::Authorized { .. } => PaymentState::Authorized,
            Stage::Voiding { .. } => PaymentState::Voiding,
        }
    }

    /// Gives what it waits for; a payment that is being given up waits for its provider alone, since nobody else knows
    /// whether money was taken.
    const fn deadline(&self, payment: PaymentId) -> Option<DeadlineStamp> {
        let (due, waiting) = match self {
            Stage::Requested { expires_at, .. } | Stage::ActionRequired { expires_at, .. } => {
                (*expires_at, Waiting::PaymentExpires { payment })
            }
            Stage::Authorized { capture_before, taking, .. } => {
                let expires = Waiting::AuthorizationExpires { payment };
                match taking {
                    Taking::Asked { .. } => (*capture_before, expires),
                    Taking::Waits { until, expiring_at } if expiring_at.ms() < until.ms() => {
                        (*expiring_at, Waiting::AuthorizationExpiring { payment })
                    }
                    Taking::Waits { until, .. } => (*until, expires),
                }
            }
            Stage::Voiding { .. } => return None,
        };
        Some(DeadlineStamp { due, waiting })
    }
}

/// How a payment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The money came in; parts of it may have gone back.
    Captured {
        /// How much came in.
        captured: Money,
        /// What of it has gone back or is on its way, in minor units.
        refunded_minor: i64,
        /// The provider's reference.
        reference: Box<str>,
    },
    /// The provider refused.
    Failed {
        /// How much was asked for.
        amount: Money,
    },
    /// It was given up.
    Voided {
        /// How much was asked for.
        amount: Money,
    },
}

impl Ending {
    /// Gives the state's name.
    pub const fn state(&self) -> PaymentState {
        match self {
            Ending::Captured { .. } => PaymentState::Captured,
            Ending::Failed { .. } => PaymentState::Failed,
            Ending::Voided { .. } => PaymentState::Voided,
        }
    }
}

/// A payment that waits for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPayment {
    /// Who paid.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// How it ended.
    pub ending: Ending,
    /// Where that stands in the log.
    pub position: Position,
}

impl ClosedPayment {
    /// Gives the closed payment that an event leaves behind, from the event alone.
    pub fn left_by(event: &Event, position: Position) -> Option<(PaymentId, ClosedPayment)> {
        let (payment, account, provider, ending) = match event {
            Event::PaymentCaptured(e) => {
                (e.payment, e.account, e.provider, taken(e.transfer.amount, 0, &e.reference))
            }
            Event::PaymentFailed(e) => {
                (e.payment, e.account, e.provider, Ending::Failed { amount: e.amount })
            }
            Event::PaymentVoided(e) => {
                (e.payment, e.account, e.provider, Ending::Voided { amount: e.amount })
            }
            Event::RefundRequested(e) => {
                (e.payment, e.account, e.provider, taken(e.captured, e.refunded.minor, &e.reference))
            }
            Event::RefundFailed(e) => {
                (e.payment, e.account, e.provider, taken(e.captured, e.refunded.minor, &e.reference))
            }
            // It may have left memory.
            Event::ChargebackInquired(e) => {
                let ending = taken(e.captured, e.refunded.minor, &e.payment_reference);
                (e.payment, e.account, e.provider, ending)
            }
            Event::ChargebackOpened(e) => {
                let ending = taken(e.captured, e.refunded.minor, &e.payment_reference);
                (e.payment, e.account, e.provider, ending)
            }
            _ => return None,
        };
        Some((payment, ClosedPayment { account, provider, ending, position }))
    }
}

fn taken(captured: Money, refunded_minor: i64, reference: &str) -> Ending {
    Ending::Captured { captured, refunded_minor, reference: reference.into() }
}

/// A part of a captured payment that is on its way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Who had paid.
    pub account: AccountId,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// How much goes back.
    pub amount: Money,
    /// The provider's reference of the payment.
    pub reference: Box<str>,
}

/// All payments and refunds that are under way, those that open orders are paid with, and the last payments that were closed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Payments {
    open: BTreeMap<PaymentId, Payment>,
    open_of: BTreeMap<AccountId, u32>,
    refunds: BTreeMap<RefundId, Refund>,
    closed: BTreeMap<PaymentId, ClosedPayment>,
    /// Closed payments that no open order is paid with, in the order in which they are forgotten.
    closed_in_order: VecDeque<PaymentId>,
    /// The open orders of each payment, whether they wait for it or were paid with it.
    orders_of: BTreeMap<PaymentId, BTreeSet<OrderId>>,
    /// Payments that are asked for in place of one that is held.
    anew: Anew,
    /// What open orders have given back the way it came, of those that have.
    back_of: BTreeMap<OrderId, i64>,
    /// Closed orders of payments that are in memory.
    paid_orders: BTreeMap<PaymentId, Vec<PaidOrder>>,
    chargebacks: Chargebacks,
}

/// A closed order that was paid with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidOrder {
    /// The order.
    pub order: OrderId,
    /// Who sold it.
    pub seller: AccountId,
    /// What it got of the payment and has not given back the way it came, in minor units.
    pub minor: i64,
}

/// Gives what the orders of a commit got of the payment that it captures, in minor units.
pub fn paid_by(commit: &Commit) -> Option<(PaymentId, Vec<(OrderId, i64)>)> {
    let events = || commit.events().iter().map(|recorded| &recorded.event);
    let payment = events().find_map(|event| match event {
        Event::PaymentCaptured(captured) => Some(captured.payment),
        _ => None,
    })?;
    let held: BTreeMap<OrderId, i64> = events()
        .filter_map(|event| match event {
            Event::EscrowHeld(held) => Some((held.order, held.transfer.amount.minor)),
            _ => None,
        })
        .collect();
    let paid = events().filter_map(|event| match event {
        Event::OrderPaid(paid) if paid.payment == Some(payment) => {
            Some((paid.order, held.get(&paid.order).copied()?))
        }
        _ => None,
    });
    Some((payment, paid.collect()))
}

const NO_ORDERS: &BTreeSet<OrderId> = &BTreeSet::new();

impl Payments {
    /// Finds a payment that is under way.
    pub fn get(&self, payment: PaymentId) -> Option<&Payment> {
        self.open.get(&payment)
    }

    /// Finds a payment among the last closed ones.
    pub fn recently_closed(&self, payment: PaymentId) -> Option<&ClosedPayment> {
        self.closed.get(&payment)
    }

    /// Gives every payment that is under way.
    pub fn open(&self) -> impl Iterator<Item = (&PaymentId, &Payment)> {
        self.open.iter()
    }

    /// Gives every refund that is under way.
    pub fn refunds(&self) -> impl Iterator<Item = (&RefundId, &Refund)> {
        self.refunds.iter()
    }

    /// Gives the open orders that wait for a payment or were paid with it.
    pub fn orders_of(&self, payment: PaymentId) -> &BTreeSet<OrderId> {
        self.orders_of.get(&payment).unwrap_or(NO_ORDERS)
    }

    /// Gives the closed orders that were paid with a payment, if it is in memory.
    pub fn paid_orders(&self, payment: PaymentId) -> &[PaidOrder] {
        self.paid_orders.get(&payment).map_or(&[], Vec::as_slice)
    }

    /// Gives what an open order has given back the way it came, in minor units.
    pub fn back_of(&self, order: OrderId) -> i64 {
        self.back_of.get(&order).copied().unwrap_or(0)
    }

    /// Gives what banks dispute.
    pub fn chargebacks(&self) -> &Chargebacks {
        &self.chargebacks
    }

    pub(crate) fn chargebacks_mut(&mut self) -> &mut Chargebacks {
        &mut self.chargebacks
    }

    /// Remembers what a closed order got of its payment, which is in memory.
    pub(crate) fn order_closed(&mut self, payment: PaymentId, paid: PaidOrder) {
        self.back_of.remove(&paid.order);
        if paid.minor > 0 {
            self.paid_orders.entry(payment).or_default().push(paid);
        }
    }

    /// Notes what an order gives back the way it came; what it gives back at its end is noted behind that.
    fn gave_back(&mut self, payment: PaymentId, order: OrderId, minor: i64, is_open: bool) {
        if is_open {
            *self.back_of.entry(order).or_default() += minor;
        } else if let Some(closed) = self.paid_orders.get_mut(&payment) {
            closed.iter_mut().filter(|paid| paid.order == order).for_each(|paid| paid.minor -= minor);
            closed.retain(|paid| paid.minor > 0);
            if closed.is_empty() {
                self.paid_orders.remove(&payment);
            }
        }
    }

    /// Remembers the closed orders of a payment that is in memory again.
    pub(crate) fn recall_orders(&mut self, payment: PaymentId, closed: Vec<PaidOrder>) {
        if !self.closed.contains_key(&payment) && !closed.is_empty() {
            self.paid_orders.insert(payment, closed);
        }
    }

    /// Notes that something happened to a payment that had ended, and gives the position of the one that is forgotten for it, if
    /// any: what a bank has not decided about is not forgotten.
    pub(crate) fn touch(&mut self, payment: PaymentId, position: Position) -> Option<Position> {
        self.closed.get_mut(&payment)?.position = position;
        self.closed_in_order.retain(|queued| *queued != payment);
        if self.is_wanted(payment) { None } else { self.queue(payment) }
    }

    fn is_wanted(&self, payment: PaymentId) -> bool {
        self.orders_of.contains_key(&payment) || self.chargebacks.is_open(payment)
    }

    /// Gives the payment that is asked for in place of one that a provider holds, if one is.
    pub fn asked_anew(&self, held: PaymentId) -> Option<PaymentId> {
        self.anew.asked_for(held)
    }

    /// Gives the payment that a provider holds and in whose place another is asked for.
    pub fn held_before(&self, asked: PaymentId) -> Option<PaymentId> {
        self.anew.held_before(asked)
    }

    /// Gives until when what a provider holds waits to be charged, if it does.
    pub(crate) fn held_until(&self, payment: PaymentId) -> Option<Timestamp> {
        match self.get(payment)?.stage {
            Stage::Authorized { taking: Taking::Waits { until, .. }, .. } => Some(until),
            _ => None,
        }
    }

    /// Notes that an order is paid with a payment: as long as it is open, the payment is not forgotten.
    pub(crate) fn take_up(&mut self, payment: PaymentId, order: OrderId) {
        self.orders_of.entry(payment).or_default().insert(order);
    }

    /// Notes that an order is no longer paid with a payment, and gives the position of the payment that is forgotten for it,
    /// if any.
    pub(crate) fn let_go(&mut self, payment: PaymentId, order: OrderId) -> Option<Position> {
        let orders = self.orders_of.get_mut(&payment).expect("only what was taken up is let go");
        orders.remove(&order);
        if !orders.is_empty() {
            return None;
        }
        self.orders_of.remove(&payment);
        let is_over = self.closed.contains_key(&payment) && !self.is_wanted(payment);
        if is_over { self.queue(payment) } else { None }
    }

    /// Counts the payments and refunds that an account has under way.
    pub(crate) fn open_of(&self, account: AccountId) -> u32 {
        self.open_of.get(&account).copied().unwrap_or(0)
    }

    fn count(&mut self, account: AccountId) {
        *self.open_of.entry(account).or_default() += 1;
    }

    fn count_down(&mut self, account: AccountId) {
        let count = self.open_of.get_mut(&account).expect("what ends was counted when it began");
        *count -= 1;
        if *count == 0 {
            self.open_of.remove(&account);
        }
    }

    fn end(&mut self, payment: PaymentId) -> Option<Payment> {
        let ended = self.open.remove(&payment)?;
        self.count_down(ended.account);
        Some(ended)
    }

    fn end_refund(&mut self, refund: RefundId) {
        let ended = self.refunds.remove(&refund).expect("only a refund under way ends");
        self.count_down(ended.account);
    }

    /// Adds or renews a closed payment and gives the position of the one that is forgotten for it, if any.
    fn remember(&mut self, id: PaymentId, closed: ClosedPayment) -> Option<Position> {
        if self.closed.insert(id, closed).is_some() || self.is_wanted(id) {
            return None;
        }
        self.queue(id)
    }

    fn queue(&mut self, id: PaymentId) -> Option<Position> {
        self.closed_in_order.push_back(id);
        if self.closed_in_order.len() <= RECENT_CLOSED_PAYMENTS_MAX {
            return None;
        }
        let forgotten = self.closed_in_order.pop_front()?;
        self.paid_orders.remove(&forgotten);
        self.chargebacks.forget(forgotten);
        self.closed.remove(&forgotten).map(|closed| closed.position)
    }
}

impl Market {
    pub(crate) fn payment_requested(&mut self, event: &Requested) {
        let Requested { account, amount, capture, expires_at, provider, to, .. } = *event;
        let stage = Stage::Requested { expires_at, token: event.token.as_str().into() };
        self.waiting.extend(stage.deadline(event.payment));
        self.payments.open.insert(event.payment, Payment { account, provider, to, amount, capture, stage });
        self.payments.count(account);
        match event.replaces {
            Some(held) => self.payments.anew.begin(held, event.payment),
            None => event.orders.iter().for_each(|order| self.pay_with(*order, event.payment)),
        }
    }

    pub(crate) fn payment_action_required(&mut self, event: &ActionRequired) {
        let ActionRequired { expires_at, kind, .. } = *event;
        let reference = event.reference.as_str().into();
        self.enter_payment(event.payment, Stage::ActionRequired { expires_at, kind, reference });
    }

    pub(crate) fn payment_authorized(&mut self, event: &Authorized) {
        let Authorized { amount, capture_before, expiring_at, waits_until, .. } = *event;
        let reference = event.reference.as_str().into();
        let taking = match waits_until {
            Some(until) => Taking::Waits { until, expiring_at: expiring_at.unwrap_or(until) },
            None => Taking::Asked { amount },
        };
        self.enter_payment(event.payment, Stage::Authorized { amount, capture_before, reference, taking });
        if let Some(pending) = event.pending {
            self.ledger.expect(event.payment, pending);
        }
        if waits_until.is_none() {
            self.orders_wait_until(event.payment, capture_before);
        }
    }

    pub(crate) fn payment_capture_requested(&mut self, event: &CaptureRequested) {
        self.enter_taking(event.payment, Taking::Asked { amount: event.amount });
    }

    pub(crate) fn authorization_expiring(&mut self, event: &AuthorizationExpiring) {
        let (until, expiring_at) = (event.capture_by, event.capture_by);
        self.enter_taking(event.payment, Taking::Waits { until, expiring_at });
    }

    fn enter_taking(&mut self, id: PaymentId, taking: Taking) {
        let known = self.payments.get(id).map(|payment| payment.stage.clone());
        let Some(Stage::Authorized { amount, capture_before, reference, .. }) = known else {
            panic!("only what a provider holds is to be taken");
        };
        self.enter_payment(id, Stage::Authorized { amount, capture_before, reference, taking });
    }

    pub(crate) fn payment_void_requested(&mut self, event: &VoidRequested) {
        self.enter_payment(event.payment, Stage::Voiding { because: event.because });
    }

    pub(crate) fn payment_captured(&mut self, event: &Captured, position: Position) {
        self.ledger.post(&event.transfer);
        self.credit(CreditId::captured(event), position);
    }

    pub(crate) fn refund_requested(&mut self, event: &RefundRequested) {
        self.ledger.post(&event.transfer);
        let RefundRequested { account, payment, provider, .. } = *event;
        let (amount, reference) = (event.transfer.amount, event.reference.as_str().into());
        if let Some(order) = event.order {
            let is_open = self.orders.get(order).is_some();
            self.payments.gave_back(payment, order, amount.minor, is_open);
        }
        self.payments.refunds.insert(event.refund, Refund { account, payment, provider, amount, reference });
        self.payments.count(account);
    }

    pub(crate) fn payment_refunded(&mut self, event: &Refunded) {
        self.ledger.post(&event.transfer);
        self.payments.end_refund(event.refund);
    }

    pub(crate) fn refund_failed(&mut self, event: &RefundFailed) {
        self.ledger.post(&event.transfer);
        self.payments.end_refund(event.refund);
    }

    fn enter_payment(&mut self, id: PaymentId, stage: Stage) {
        if !matches!(stage, Stage::ActionRequired { .. }) {
            self.payments.anew.end(id);
        }
        let payment = self.payments.open.get_mut(&id).expect("an event about a payment follows its request");
        let left = std::mem::replace(&mut payment.stage, stage);
        let entered = payment.stage.deadline(id);
        if let Some(deadline) = left.deadline(id) {
            self.waiting.remove(&deadline);
        }
        self.waiting.extend(entered);
    }

    /// Ends what waits for a payment, if anything does: a refund, or money that came in late, finds it closed.
    pub(crate) fn payment_closed(&mut self, id: PaymentId, closed: ClosedPayment) {
        if let Some(ended) = self.payments.end(id) {
            if let Some(deadline) = ended.stage.deadline(id) {
                self.waiting.remove(&deadline);
            }
            self.payments.anew.end(id);
            self.ledger.end_pending(id);
            self.orders_wait_again(id);
        }
        let forgotten = self.payments.remember(id, closed);
        self.forget(forgotten);
    }
}
