//! Orders that are charged when their goods are about to leave. A provider holds the money until then, and nothing of it is
//! in escrow but the wallet's part. Money goes first, then goods: it is shipped when it is paid.

use events::ids::{AccountId, OrderId, PaymentId};
use events::order::{AuthorizationExpiring, Authorized, CancelledBy, Paid};
use events::payment::{Requested, VoidReason};
use events::rejection::OrderState;
use events::{Event, Money, Rejection, Timestamp};

use super::cancel::cancel;
use super::tender::{awaiting, request};
use super::{Found, Order, Stage, review, sold, waiting, wrong_state};
use crate::command::{PaymentMethod, ProviderMethod, ReadyOrder};
use crate::decide::Facts;
use crate::fees;
use crate::market::Market;
use crate::payment::{self, Taking};

impl Market {
    pub(crate) fn order_authorized(&mut self, event: &Authorized) {
        let order = self.orders.known(event.order);
        assert!(order.is_unpaid(), "only an order that waits for its payment is authorized");
        self.pay_with(event.order, event.payment);
        self.enter_order(event.order, Stage::Authorized { accept_by: event.accept_by }, event.ship_by);
    }

    /// Tells whether a provider holds, or is giving, what an order waits for.
    fn is_held_for(&self, order: &Order) -> bool {
        let payment = order.card.as_ref().and_then(|card| self.payments.get(card.payment));
        payment.is_some_and(|payment| matches!(payment.stage, payment::Stage::Authorized { .. }))
    }
}

impl Order {
    /// Splits what units cost their buyer, which are cancelled before they are charged: gives what of it the provider never
    /// takes. The rest is the wallet's. All that was cancelled so far is split as it was paid, so that parts sum to the
    /// provider's part.
    pub(super) fn uncharged(&self, cost: i64) -> i64 {
        let Some(card) = &self.card else { return 0 };
        let part = |cost| fees::part(card.amount_minor, cost, self.payable_minor());
        let before = self.refunded_to_buyer_minor() + card.uncharged_minor;
        part(before + cost) - part(before)
    }

    /// Gives what is missing in its escrow.
    pub(super) fn missing(&self) -> Money {
        let uncharged = self.card.as_ref().map_or(0, |card| card.uncharged_minor);
        Money::new(self.total.minor - self.escrow.funded - uncharged, self.total.currency)
    }
}

/// Checks that what is charged when it leaves is of one seller: else one seller's word would charge for what another may
/// never ship.
pub(crate) fn check_capture(
    method: &PaymentMethod,
    sellers: usize,
    required: Money,
    reasons: &mut Vec<Rejection>,
) {
    let PaymentMethod::Tenders(tenders) = method else { return };
    let is_all_from_wallet = tenders.wallet.is_some_and(|part| part.minor >= required.minor);
    if sellers > 1 && !tenders.capture.is_at_once() && !is_all_from_wallet {
        let sellers = u32::try_from(sellers).unwrap_or(u32::MAX);
        reasons.push(Rejection::OneSellerOnShip { sellers });
    }
}

/// Makes the orders that wait for a payment, or for the one `before` it, their seller's, since the provider holds it. What such
/// an order waited for already, it goes on waiting for.
pub(crate) fn authorized(
    market: &Market,
    payment: PaymentId,
    before: Option<PaymentId>,
    capture_by: Timestamp,
    now: Timestamp,
) -> Vec<Event> {
    let orders = awaiting(market, before.unwrap_or(payment)).into_iter();
    let authorized = orders.flat_map(|id| {
        let order = waiting(market, id);
        let (accept_by, ship_by) = match order.stage {
            Stage::Authorized { accept_by } => (accept_by, order.ship_by),
            _ => market.dues(now),
        };
        let authorized = Authorized { accept_by, capture_by, order: id, payment, ship_by }.into();
        [authorized].into_iter().chain(review::begin(market, id, order, Some(capture_by), now))
    });
    authorized.collect()
}

/// Tells that the time in which an order may be charged is about to end.
pub(crate) fn expiring(market: &Market, payment: PaymentId, capture_by: Timestamp) -> Vec<Event> {
    let orders = awaiting(market, payment).into_iter();
    orders.map(|order| AuthorizationExpiring { capture_by, order, payment }.into()).collect()
}

/// Asks a provider to hold what is to be charged anew: what is held stands until then, and at most as long as it would have.
pub(super) fn authorize_anew(
    market: &Market,
    id: OrderId,
    order: &Order,
    payment: PaymentId,
    method: &ProviderMethod,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    order.check_free(id)?;
    let card = order.card.as_deref().expect("only what a provider pays is authorized");
    let held = card.payment;
    let until = match market.payments.get(held).map(|payment| &payment.stage) {
        Some(payment::Stage::Authorized { taking: Taking::Waits { until, .. }, .. }) => *until,
        Some(payment::Stage::Authorized { .. }) => {
            return Err(vec![Rejection::PaymentUnderWay { order: id, payment: held }]);
        }
        Some(stage) => return Err(vec![Rejection::PaymentState { payment: held, state: stage.state() }]),
        None => panic!("an order whose payment ended is cancelled or on hold"),
    };
    if let Some(payment) = market.payments.asked_anew(held) {
        return Err(vec![Rejection::PaymentUnderWay { order: id, payment }]);
    }
    let amount = order.missing();
    let mut reasons = Vec::new();
    payment::check_request(market, order.buyer, method.provider, amount, &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let expires_at = now.plus_ms(payment::REQUEST_MS).min(until);
    let asked = request(order.buyer, amount, card.capture, expires_at, vec![id], payment, method);
    Ok(vec![Requested { replaces: Some(held), ..asked }.into()])
}

/// Has an order charged that waits for it: the provider is asked for what it is to pay. Where nothing is left to be charged,
/// since what was cancelled had cost all of that, the order is paid and the payment given up.
pub(crate) fn charge(market: &Market, payment: PaymentId, now: Timestamp) -> Vec<Event> {
    let orders = awaiting(market, payment);
    let due = |id: &OrderId| waiting(market, *id).missing();
    let [id] = orders.as_slice() else { panic!("one order waits for what is charged later, not {orders:?}") };
    let due = due(id);
    if due.is_positive() {
        return payment::take(market, payment, due);
    }
    let given_up = payment::give_up(market, payment, VoidReason::Cancelled);
    [paid(market, *id, Some(payment), now)].into_iter().chain(given_up).collect()
}

/// Says that an order is paid; by no payment: out of the wallet. Whose seller has accepted it has his time to ship anew.
pub(super) fn paid(market: &Market, id: OrderId, payment: Option<PaymentId>, now: Timestamp) -> Event {
    let order = waiting(market, id);
    let (accept_by, ship_by) = match order.stage {
        Stage::Authorized { accept_by: Some(accept_by) } => (Some(accept_by), order.ship_by),
        Stage::Authorized { accept_by: None } => (None, now.plus_ms(market.deadlines().ship_by_ms())),
        _ => market.dues(now),
    };
    Paid { accept_by, order: id, payment, ship_by }.into()
}

/// Cancels the orders whose seller was to make them ready, since the provider does not hold their money any more. One that
/// is on hold is cancelled when the hold is lifted.
pub(crate) fn give_up_authorized(market: &Market, payment: PaymentId, because: VoidReason) -> Vec<Event> {
    let by = match because {
        VoidReason::AuthorizationExpired => CancelledBy::AuthorizationExpired,
        VoidReason::Cancelled | VoidReason::RequestExpired | VoidReason::Replaced => {
            CancelledBy::PaymentFailed
        }
    };
    let ids = awaiting(market, payment).into_iter();
    let orders = ids.map(|id| (id, waiting(market, id)));
    let ended = orders.filter(|(_, order)| order.is_authorized() && order.hold.is_none());
    ended.flat_map(|(id, order)| cancel(market, id, order, order.left(), by, None)).collect()
}

/// Cancels an order whose hold is lifted, if its payment ended meanwhile.
pub(super) fn ended_on_hold(market: &Market, id: OrderId, order: &Order) -> Vec<Event> {
    if !order.is_authorized() || market.is_held_for(order) {
        return Vec::new();
    }
    cancel(market, id, order, order.left(), CancelledBy::AuthorizationExpired, None)
}

/// Has an order charged whose goods are about to leave.
pub(crate) fn decide_ready(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ReadyOrder,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = match sold(market, facts, account, id)? {
        Found::Open(open) => open,
        Found::Closed(closed) if closed.state == OrderState::Completed => return Ok(vec![]),
        Found::Closed(closed) => return Err(wrong_state(id, closed.state)),
    };
    order.check_accepted(id)?;
    order.check_free(id)?;
    let card = order.card.as_deref().filter(|_| order.is_unpaid());
    let Some(card) = card else { return Ok(vec![]) };
    if order.awaits_payment() {
        return Err(wrong_state(id, order.state()));
    }
    match market.payments.get(card.payment).map(|payment| &payment.stage) {
        Some(payment::Stage::Authorized { taking: Taking::Asked { .. }, .. }) => Ok(vec![]),
        Some(payment::Stage::Authorized { .. }) => Ok(charge(market, card.payment, now)),
        // It is being given up: the order is cancelled when the provider has said so.
        Some(stage) => Err(vec![Rejection::PaymentState { payment: card.payment, state: stage.state() }]),
        None => panic!("an order whose payment ended is cancelled or on hold"),
    }
}
