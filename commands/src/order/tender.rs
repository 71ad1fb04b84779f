//! Where an order's money comes from, and where it goes back to: the wallet, a payment through a provider, or both.
//!
//! What a provider pays reaches the wallet and leaves it for the escrows in one commit. So money that no order takes, since
//! it came too late or an order was cancelled, is where its owner can spend it, and a refund goes the same way back.

use events::escrow::rule::ReleaseTerms;
use events::ids::{AccountId, CommandId, OrderId, PaymentId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::order::{CancelledBy, EscrowHeld, Paid, PaymentDue};
use events::payment::{CaptureTime, RefundRequested, Requested, VoidReason};
use events::{Event, Money, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::cancel::cancel;
use super::capture::{authorize_anew, paid};
use super::{Found, Order, find, review, waiting, wrong_state};
use crate::command::{PayOrder, PaymentMethod, ProviderMethod, SetUpEscrow};
use crate::decide::Facts;
use crate::fees;
use crate::market::Market;
use crate::order::Stage;
use crate::payment::{self, ClosedPayment, Ending, check_request};

/// What of an order a provider pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The last payment that was asked for it.
    pub payment: PaymentId,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// When it is taken, once a provider holds it.
    pub capture: CaptureTime,
    /// Until when the order waits for a provider to agree.
    pub pay_by: Timestamp,
    /// What of it is never charged, in minor units: its share of units that were cancelled before it was.
    pub uncharged_minor: i64,
}

/// How the orders of one purchase are paid.
pub(super) struct Tender<'a> {
    market: &'a Market,
    buyer: AccountId,
    payment: PaymentId,
    provider: Option<&'a ProviderMethod>,
    capture: CaptureTime,
    pay_by: Timestamp,
    /// What all orders cost, and what of that the wallet pays.
    required: Money,
    from_wallet: i64,
    /// What the orders so far cost, and what of that the wallet pays.
    cost: i64,
    taken: i64,
    orders: Vec<OrderId>,
}

/// Gives what the wallet pays of what a purchase costs, in minor units.
fn wallet_part(method: &PaymentMethod, required: Money) -> i64 {
    match method {
        PaymentMethod::Wallet => required.minor,
        PaymentMethod::Tenders(tenders) => tenders.wallet.map_or(0, |part| part.minor.min(required.minor)),
    }
}

/// Checks that the wallet holds its part and that a provider can be asked for the rest.
pub(crate) fn check(
    market: &Market,
    buyer: AccountId,
    method: &PaymentMethod,
    required: Money,
    reasons: &mut Vec<Rejection>,
) {
    let part = Money::new(wallet_part(method, required), required.currency);
    if let PaymentMethod::Tenders(tenders) = method {
        if let Some(wallet) = tenders.wallet {
            if wallet.currency != required.currency {
                let (expected, found) = (required.currency, wallet.currency);
                return reasons.push(Rejection::TenderCurrency { expected, found });
            }
            if !wallet.is_positive() {
                return reasons.push(Rejection::AmountNotPositive);
            }
        }
        let rest = Money::new(required.minor - part.minor, required.currency);
        if rest.is_positive() {
            check_request(market, buyer, tenders.provider.provider, rest, reasons);
        }
    }
    let available = market.ledger.balance(LedgerAccount::Wallet(buyer), required.currency);
    if part.minor > available.minor {
        reasons.push(Rejection::InsufficientFunds { available, required: part });
    }
}

impl<'a> Tender<'a> {
    /// Prepares to pay orders that cost `required` together.
    pub(super) fn new(
        market: &'a Market,
        buyer: AccountId,
        command: CommandId,
        method: &'a PaymentMethod,
        required: Money,
        now: Timestamp,
    ) -> Tender<'a> {
        let (provider, capture) = match method {
            PaymentMethod::Wallet => (None, CaptureTime::AtOnce),
            PaymentMethod::Tenders(tenders) => (Some(&tenders.provider), tenders.capture),
        };
        let from_wallet = wallet_part(method, required);
        Tender {
            market,
            buyer,
            payment: PaymentId::derive(buyer, command),
            provider: provider.filter(|_| from_wallet < required.minor),
            capture,
            pay_by: now.plus_ms(payment::REQUEST_MS),
            required,
            from_wallet,
            cost: 0,
            taken: 0,
            orders: Vec::new(),
        }
    }

    /// Gives what the wallet pays of the next order, which costs its buyer `total`, and what of it a provider is to bring.
    /// The wallet's part is spread over the orders by what they cost; what that leaves over is decided by the sum so far, so
    /// that nothing is lost.
    pub(super) fn next(
        &mut self,
        order: OrderId,
        total: Money,
        release: Option<&ReleaseTerms>,
    ) -> (Option<Event>, Option<PaymentDue>) {
        self.cost += total.minor;
        let due = i128::from(self.from_wallet) * i128::from(self.cost) / i128::from(self.required.minor);
        let due = i64::try_from(due).expect("a part of an amount fits");
        let part = due - self.taken;
        self.taken = due;
        let held = hold(self.market, self.buyer, order, Money::new(part, total.currency), release);
        let payment = self.provider.map(|_| {
            self.orders.push(order);
            let amount = Money::new(total.minor - part, total.currency);
            PaymentDue { amount, capture: self.capture, expires_at: self.pay_by, payment: self.payment }
        });
        (held, payment)
    }

    /// Asks the provider for what the wallet does not pay, if anything.
    pub(super) fn request(self) -> Option<Event> {
        let method = self.provider?;
        let amount = Money::new(self.required.minor - self.from_wallet, self.required.currency);
        let requested =
            request(self.buyer, amount, self.capture, self.pay_by, self.orders, self.payment, method);
        Some(requested.into())
    }
}

/// Puts money of the buyer's wallet into an order's escrow. `release`: the order's own terms, where it has some.
pub(super) fn hold(
    market: &Market,
    buyer: AccountId,
    order: OrderId,
    amount: Money,
    release: Option<&ReleaseTerms>,
) -> Option<Event> {
    let transfer = Transfer { amount, from: LedgerAccount::Wallet(buyer), to: LedgerAccount::Escrow(order) };
    let release = release.cloned().or_else(|| market.release_terms());
    amount.is_positive().then(|| EscrowHeld { order, release, transfer }.into())
}

/// Puts what is missing of it into the escrow of an order that is placed.
fn top_up(market: &Market, id: OrderId, order: &Order, missing: Money) -> Option<Event> {
    hold(market, order.buyer, id, missing, order.release.as_ref().map(|release| &release.terms))
}

pub(super) fn request(
    account: AccountId,
    amount: Money,
    capture: CaptureTime,
    expires_at: Timestamp,
    orders: Vec<OrderId>,
    payment: PaymentId,
    method: &ProviderMethod,
) -> Requested {
    let (provider, replaces, to) = (method.provider, None, LedgerAccount::Wallet(account));
    let token = method.token.as_str().to_owned();
    Requested { account, amount, capture, expires_at, orders, payment, provider, replaces, to, token }
}

impl Market {
    pub(crate) fn order_paid(&mut self, event: &Paid) {
        let order = self.orders.known(event.order);
        assert!(order.is_unpaid(), "only an order that waits for its payment is paid");
        assert!(order.missing().minor == 0, "an order is paid when its escrow holds what it costs");
        let no_card = if event.payment.is_none() { order.card.take() } else { None };
        self.enter_order(event.order, Stage::paid(event.accept_by), event.ship_by);
        if let Some(card) = no_card {
            let forgotten = self.payments.let_go(card.payment, event.order);
            self.forget(forgotten);
        }
    }

    /// Lets an order be paid with a payment, in place of the one that it was to be paid with before.
    pub(crate) fn pay_with(&mut self, id: OrderId, payment: PaymentId) {
        let card = self.orders.known(id).card.as_mut().expect("only such orders are paid by a provider");
        let before = std::mem::replace(&mut card.payment, payment);
        if before != payment {
            let forgotten = self.payments.let_go(before, id);
            self.payments.take_up(payment, id);
            self.forget(forgotten);
        }
    }

    /// Lets the orders that wait for a payment wait as long as the provider holds its money.
    pub(crate) fn orders_wait_until(&mut self, payment: PaymentId, expires_at: Timestamp) {
        for id in self.awaiting_agreement(payment) {
            let ship_by = self.orders.known(id).ship_by;
            self.enter_order(id, Stage::AwaitingPayment { expires_at }, ship_by);
        }
    }

    /// Lets the orders that waited for a payment, which is over, wait for another as long as they would have.
    pub(crate) fn orders_wait_again(&mut self, payment: PaymentId) {
        for id in self.awaiting_agreement(payment) {
            let Order { ship_by, card, .. } = self.orders.known(id);
            let (ship_by, pay_by) = (*ship_by, card.as_ref().map(|card| card.pay_by));
            let expires_at = pay_by.expect("only such orders wait for a payment");
            self.enter_order(id, Stage::AwaitingPayment { expires_at }, ship_by);
        }
    }

    /// Gives the orders that wait for a provider to agree to a payment, in the order of their ids.
    fn awaiting_agreement(&self, payment: PaymentId) -> Vec<OrderId> {
        let orders = self.payments.orders_of(payment).iter().copied();
        orders.filter(|id| self.orders.get(*id).is_some_and(Order::awaits_payment)).collect()
    }
}

/// Gives the orders that wait for a payment or are to be charged with it, in the order of their ids.
pub(super) fn awaiting(market: &Market, payment: PaymentId) -> Vec<OrderId> {
    let orders = market.payments.orders_of(payment).iter().copied();
    orders.filter(|id| market.orders.get(*id).is_some_and(Order::is_unpaid)).collect()
}

/// Funds the orders that wait for a payment out of the wallet that it came into, one after the other as long as the money
/// lasts: an order takes what it is to get or nothing. One whose provider held all of it, and then gave less, is cancelled.
pub(crate) fn fund(market: &Market, payment: PaymentId, captured: Money, now: Timestamp) -> Vec<Event> {
    let mut left = captured.minor;
    let mut events = Vec::new();
    for id in awaiting(market, payment) {
        let order = waiting(market, id);
        let missing = order.missing();
        if missing.minor > left {
            if order.is_authorized() && order.hold.is_none() {
                events.extend(give_up(market, id, CancelledBy::PaymentFailed));
            }
            continue;
        }
        left -= missing.minor;
        events.extend(top_up(market, id, order, missing));
        events.push(paid(market, id, Some(payment), now));
        events.extend(review::begin(market, id, order, None, now));
    }
    events
}

/// Cancels the orders that wait for a payment which failed: all of them, if it failed for good; else those may be paid anew that
/// no provider had agreed to pay.
pub(crate) fn give_up_failed(market: &Market, payment: PaymentId, is_retryable: bool) -> Vec<Event> {
    let ended = awaiting(market, payment).into_iter().filter(|id| {
        let order = waiting(market, *id);
        if order.is_authorized() { order.hold.is_none() } else { !is_retryable }
    });
    ended.flat_map(|id| give_up(market, id, CancelledBy::PaymentFailed)).collect()
}

/// Cancels an order that was not paid in time.
pub(crate) fn decide_not_paid(market: &Market, id: OrderId) -> Vec<Event> {
    give_up(market, id, CancelledBy::PaymentDeadline)
}

fn give_up(market: &Market, id: OrderId, by: CancelledBy) -> Vec<Event> {
    let order = waiting(market, id);
    cancel(market, id, order, order.left(), by, None)
}

/// Gives the part of what an order pays back that came through a provider back to it: as much of all that was ever paid back
/// as the provider brought of all that was paid, and never more of a payment than came in. `paid_back` has just brought it to
/// the wallet.
pub(super) fn give_back(market: &Market, id: OrderId, order: &Order, paid_back: &Event) -> Option<Event> {
    let wallet = LedgerAccount::Wallet(order.buyer);
    let minor = paid_back.transfers().iter().filter(|transfer| transfer.to == wallet);
    return_to_card(market, id, order, minor.map(|transfer| transfer.amount.minor).sum())
}

/// Gives the part of what an order has just paid back into the wallet that came through a provider back to it. What a change of
/// the order added was paid out of the wallet, and goes back there last; what it, or an exchange, only put in the place of
/// other units was not paid back.
pub(super) fn return_to_card(market: &Market, id: OrderId, order: &Order, minor: i64) -> Option<Event> {
    let card = order.card.as_deref().filter(|_| !order.is_unpaid())?;
    let returned = market.orders.returns().back(id).to_buyer;
    let before = order.refunded_to_buyer_minor() + returned + card.uncharged_minor;
    let (added_minor, kept_minor) = order.changes().map_or((0, 0), |of| (of.added_minor, of.kept_minor));
    let kept_minor = kept_minor + market.orders.returns().exchanged_minor(id);
    let placed_with = order.payable_minor() - added_minor;
    let part = |refunded: i64| fees::part(card.amount_minor, refunded.min(placed_with), placed_with);
    let minor = part(before - kept_minor + minor) - part(before - kept_minor);
    let ClosedPayment { provider, ending, .. } = market.payments.recently_closed(card.payment)?;
    let Ending::Captured { captured, refunded_minor, reference } = ending else { return None };
    let disputed = market.payments.chargebacks().charged_minor(card.payment);
    let most = (captured.minor - refunded_minor - disputed).max(0);
    let amount = Money::new(minor.min(most), captured.currency);
    let (from, to) = (LedgerAccount::Wallet(order.buyer), LedgerAccount::RefundsPayable);
    amount.is_positive().then(|| {
        let requested = RefundRequested {
            account: order.buyer,
            captured: *captured,
            order: Some(id),
            payment: card.payment,
            provider: *provider,
            reference: reference.to_string(),
            refund: RefundId::of_order(id, card.payment, before),
            refunded: Money::new(refunded_minor + amount.minor, amount.currency),
            transfer: Transfer { amount, from, to },
        };
        requested.into()
    })
}

/// Gives up the payment of an order that is cancelled, if no other order waits for it.
pub(super) fn unwanted(market: &Market, id: OrderId, order: &Order) -> Vec<Event> {
    let Some(card) = order.card.as_deref().filter(|_| order.is_unpaid()) else { return Vec::new() };
    let is_last = market.payments.orders_of(card.payment).iter().eq([&id]);
    if is_last { payment::give_up(market, card.payment, VoidReason::Cancelled) } else { Vec::new() }
}

/// Finds an open order of a buyer.
pub(super) fn bought<'a>(
    market: &'a Market,
    facts: &Facts,
    buyer: AccountId,
    id: OrderId,
) -> Result<&'a Order, Vec<Rejection>> {
    match find(market, facts, id)? {
        found if found.buyer() != buyer => Err(vec![Rejection::NotYourOrder { order: id }]),
        Found::Open(open) => Ok(open),
        Found::Closed(closed) => Err(wrong_state(id, closed.state)),
    }
}

/// Pays what is missing of an order that waits for its payment out of the buyer's wallet.
pub(crate) fn decide_set_up(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &SetUpEscrow,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = bought(market, facts, account, id)?;
    let Order { buyer, seller, total: amount, .. } = *order;
    if (command.buyer, command.seller, command.amount) != (buyer, seller, amount) {
        return Err(vec![Rejection::EscrowMismatch { amount, buyer, order: id, seller }]);
    }
    if order.is_authorized() {
        return Err(wrong_state(id, order.state()));
    }
    if !order.is_unpaid() {
        return Ok(vec![]);
    }
    let missing = order.missing();
    let available = market.ledger.balance(LedgerAccount::Wallet(buyer), amount.currency);
    if available.minor < missing.minor {
        return Err(vec![Rejection::InsufficientFunds { available, required: missing }]);
    }
    let held = top_up(market, id, order, missing).into_iter().chain([paid(market, id, None, now)]);
    let review = review::begin(market, id, order, None, now);
    Ok(held.chain(review).chain(unwanted(market, id, order)).collect())
}

/// Gives what a payment that is asked for an order would bring: for all that one payment was for; none: the order waits for none.
pub(crate) fn asked_of_card(market: &Market, id: OrderId) -> Option<Money> {
    let order = market.orders.get(id)?;
    let card = order.card.as_deref()?;
    let orders = market.awaiting_agreement(card.payment);
    let cards = orders.iter().filter_map(|id| market.orders.get(*id)?.card.as_deref());
    let minor: i64 = cards.map(|card| card.amount_minor).sum();
    Some(Money::new(minor.max(card.amount_minor), order.total.currency))
}

/// Asks a provider for what orders wait for: anew, after another was refused, or while one holds it and is soon to let go.
pub(crate) fn decide_pay(
    market: &Market,
    facts: &Facts,
    buyer: AccountId,
    command_id: CommandId,
    command: &PayOrder,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = bought(market, facts, buyer, id)?;
    let payment = PaymentId::derive(buyer, command_id);
    let Some(card) = order.card.as_deref().filter(|_| order.is_unpaid()) else {
        return Err(wrong_state(id, order.state()));
    };
    if order.is_authorized() {
        return authorize_anew(market, id, order, payment, &command.method, now);
    }
    if market.payments.get(card.payment).is_some() {
        return Err(vec![Rejection::PaymentUnderWay { order: id, payment: card.payment }]);
    }
    let orders = market.awaiting_agreement(card.payment);
    let minor = orders.iter().filter_map(|id| waiting(market, *id).card.as_deref());
    let amount = Money::new(minor.map(|card| card.amount_minor).sum(), order.total.currency);
    let mut reasons = Vec::new();
    check_request(market, buyer, command.method.provider, amount, &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(vec![request(buyer, amount, card.capture, card.pay_by, orders, payment, &command.method).into()])
}
