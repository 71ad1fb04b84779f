//! Where an order's money comes from, and where it goes back to: the wallet, a payment through a provider, or both.
//!
//! What a provider pays reaches the wallet and leaves it for the escrows in one commit. So money that no order takes, since
//! it came too late or an order was cancelled, is where its owner can spend it, and a refund goes the same way back.

use events::escrow::rule::ReleaseTerms;
use events::ids::{AccountId, CommandId, OrderId, PaymentId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::order::{CancelledBy, EscrowHeld, Paid, PaymentDue};
use events::payment::{RefundRequested, Requested};
use events::{Event, Money, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::cancel::cancel;
use super::{Found, Order, find, waiting, wrong_state};
use crate::command::{PayOrder, PaymentMethod, ProviderMethod};
use crate::decide::Facts;
use crate::fees;
use crate::market::Market;
use crate::order::Stage;
use crate::payment::{ClosedPayment, Ending, check_request};

/// What of an order a provider pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The last payment that was asked for it.
    pub payment: PaymentId,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// Until when the order waits for a provider to agree.
    pub pay_by: Timestamp,
}

/// How the orders of one purchase are paid.
pub(super) struct Tender<'a> {
    market: &'a Market,
    buyer: AccountId,
    payment: PaymentId,
    provider: Option<&'a ProviderMethod>,
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
        let provider = match method {
            PaymentMethod::Wallet => None,
            PaymentMethod::Tenders(tenders) => Some(&tenders.provider),
        };
        let from_wallet = wallet_part(method, required);
        Tender {
            market,
            buyer,
            payment: PaymentId::derive(buyer, command),
            provider: provider.filter(|_| from_wallet < required.minor),
            pay_by: now.plus_ms(crate::payment::REQUEST_MS),
            required,
            from_wallet,
            cost: 0,
            taken: 0,
            orders: Vec::new(),
        }
    }

    /// Gives what the wallet pays of the next order, and what of it a provider is to bring. The wallet's part is spread
    /// over the orders by what they cost; what that leaves over is decided by the sum so far, so that nothing is lost.
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
            PaymentDue { amount, expires_at: self.pay_by, payment: self.payment }
        });
        (held, payment)
    }

    /// Asks the provider for what the wallet does not pay, if anything.
    pub(super) fn request(self) -> Option<Event> {
        let method = self.provider?;
        let amount = Money::new(self.required.minor - self.from_wallet, self.required.currency);
        Some(request(self.buyer, amount, self.pay_by, self.orders, self.payment, method))
    }
}

/// Puts money of the buyer's wallet into an order's escrow. `release`: the order's own terms, where it has some.
fn hold(
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

fn request(
    account: AccountId,
    amount: Money,
    expires_at: Timestamp,
    orders: Vec<OrderId>,
    payment: PaymentId,
    method: &ProviderMethod,
) -> Event {
    let (provider, to) = (method.provider, LedgerAccount::Wallet(account));
    let token = method.token.as_str().to_owned();
    Requested { account, amount, expires_at, orders, payment, provider, to, token }.into()
}

impl Market {
    pub(crate) fn order_paid(&mut self, event: &Paid) {
        let order = self.orders.known(event.order);
        assert!(order.awaits_payment(), "only an order that waits for its payment is paid");
        assert!(
            order.escrow.funded == order.total.minor,
            "an order is paid when its escrow holds what it costs"
        );
        self.enter_order(event.order, Stage::paid(event.accept_by), event.ship_by);
    }

    /// Lets the orders of a payment wait for another one.
    pub(crate) fn paid_anew(&mut self, event: &Requested) {
        for id in &event.orders {
            let card = self.orders.known(*id).card.as_mut().expect("only such orders are paid by a provider");
            let before = std::mem::replace(&mut card.payment, event.payment);
            if before != event.payment {
                let forgotten = self.payments.let_go(before, *id);
                self.payments.take_up(event.payment, *id);
                self.forget(forgotten);
            }
        }
    }

    /// Lets the orders that wait for a payment wait as long as the provider holds its money.
    pub(crate) fn orders_wait_until(&mut self, payment: PaymentId, expires_at: Timestamp) {
        for id in self.awaiting(payment) {
            let ship_by = self.orders.known(id).ship_by;
            self.enter_order(id, Stage::AwaitingPayment { expires_at }, ship_by);
        }
    }

    /// Lets the orders that waited for a payment, which is over, wait for another as long as they would have.
    pub(crate) fn orders_wait_again(&mut self, payment: PaymentId) {
        for id in self.awaiting(payment) {
            let Order { ship_by, card, .. } = self.orders.known(id);
            let (ship_by, pay_by) = (*ship_by, card.as_ref().map(|card| card.pay_by));
            let expires_at = pay_by.expect("only such orders wait for a payment");
            self.enter_order(id, Stage::AwaitingPayment { expires_at }, ship_by);
        }
    }

    /// Gives the orders that wait for a payment, in the order of their ids.
    fn awaiting(&self, payment: PaymentId) -> Vec<OrderId> {
        let orders = self.payments.orders_of(payment).iter().copied();
        orders.filter(|id| self.orders.get(*id).is_some_and(Order::awaits_payment)).collect()
    }
}

/// Funds the orders that wait for a payment out of the wallet that it came into, one after the other as long as the money
/// lasts: an order takes what it is to get or nothing.
pub(crate) fn fund(market: &Market, payment: PaymentId, captured: Money, now: Timestamp) -> Vec<Event> {
    let mut left = captured.minor;
    let mut events = Vec::new();
    for id in market.awaiting(payment) {
        let order = waiting(market, id);
        let missing = Money::new(order.total.minor - order.escrow.funded, order.total.currency);
        if missing.minor > left {
            continue;
        }
        left -= missing.minor;
        let release = order.release.as_ref().map(|release| &release.terms);
        events.extend(hold(market, order.buyer, id, missing, release));
        let (accept_by, ship_by) = market.dues(now);
        events.push(Paid { accept_by, order: id, payment, ship_by }.into());
    }
    events
}

/// Cancels the orders that wait for a payment which failed for good.
pub(crate) fn give_up_all(market: &Market, payment: PaymentId) -> Vec<Event> {
    let give_up = |id| give_up(market, id, CancelledBy::PaymentFailed);
    market.awaiting(payment).into_iter().flat_map(give_up).collect()
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
    let card = order.card.as_deref().filter(|_| !order.awaits_payment())?;
    let before = order.escrow.refunded;
    let wallet = LedgerAccount::Wallet(order.buyer);
    let minor = paid_back.transfers().iter().filter(|transfer| transfer.to == wallet);
    let minor: i64 = minor.map(|transfer| transfer.amount.minor).sum();
    let part = |refunded| fees::part(card.amount_minor, refunded, order.total.minor);
    let minor = part(before + minor) - part(before);
    let ClosedPayment { provider, ending, .. } = market.payments.recently_closed(card.payment)?;
    let Ending::Captured { captured, refunded_minor, reference } = ending else { return None };
    let amount = Money::new(minor.min(captured.minor - refunded_minor), captured.currency);
    let (from, to) = (wallet, LedgerAccount::RefundsPayable);
    amount.is_positive().then(|| {
        let requested = RefundRequested {
            account: order.buyer,
            captured: *captured,
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
pub(super) fn unwanted(market: &Market, id: OrderId, order: &Order) -> Option<Event> {
    let card = order.card.as_deref().filter(|_| order.awaits_payment())?;
    let is_last = market.payments.orders_of(card.payment).iter().eq([&id]);
    is_last.then(|| crate::payment::give_up(market, card.payment))?
}

pub(crate) fn decide_pay(
    market: &Market,
    facts: &Facts,
    buyer: AccountId,
    command_id: CommandId,
    command: &PayOrder,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = match find(market, facts, id)? {
        Found::Open(open) if open.buyer == buyer => open,
        Found::Closed(closed) if closed.buyer == buyer => return Err(wrong_state(id, closed.state)),
        _ => return Err(vec![Rejection::NotYourOrder { order: id }]),
    };
    let Some(card) = order.card.as_deref().filter(|_| order.awaits_payment()) else {
        return Err(wrong_state(id, order.state()));
    };
    if market.payments.get(card.payment).is_some() {
        return Err(vec![Rejection::PaymentUnderWay { order: id, payment: card.payment }]);
    }
    let orders = market.awaiting(card.payment);
    let minor = orders.iter().filter_map(|id| waiting(market, *id).card.as_deref());
    let amount = Money::new(minor.map(|card| card.amount_minor).sum(), order.total.currency);
    let mut reasons = Vec::new();
    check_request(market, buyer, command.method.provider, amount, &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let payment = PaymentId::derive(buyer, command_id);
    Ok(vec![request(buyer, amount, card.pay_by, orders, payment, &command.method)])
}
