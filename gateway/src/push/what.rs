//! Whom an event is told to, and as what.

use events::ids::{AccountId, OrderId};
use events::metadata::Cause;
use events::push::Topic;
use events::{Commit, Event};
use projections::{Projections, ViewError};

/// Somebody is to be told of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) account: AccountId,
    pub(super) topic: Topic,
    /// Whether a device that sleeps is woken: somebody waits for him.
    pub(super) is_urgent: bool,
    /// What it is about, and the id of that.
    pub(super) about: (&'static str, String),
}

/// A side of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Buyer,
    Seller,
    Both,
}

/// Whom.
enum To {
    Account(AccountId),
    Of(OrderId, Side),
}

/// Tells whether somebody may be told of an event.
pub(super) fn is_told(event: &Event) -> bool {
    told(event).is_some()
}

/// Says whom an event is told to, as what, whether he is waited for, and what it is about.
fn told(event: &Event) -> Option<(To, Topic, bool, (&'static str, String))> {
    let order = |order: OrderId, side: Side, topic: Topic| {
        Some((To::Of(order, side), topic, false, ("order", order.to_string())))
    };
    let payment = |account, is_urgent, payment: String| {
        Some((To::Account(account), Topic::Payments, is_urgent, ("payment", payment)))
    };
    let payout =
        |account, payout: String| Some((To::Account(account), Topic::Payouts, false, ("payout", payout)));
    match event {
        Event::OrderPlaced(event) => {
            Some((To::Account(event.seller), Topic::Orders, true, ("order", event.order.to_string())))
        }
        Event::OrderAccepted(event) => order(event.order, Side::Buyer, Topic::Orders),
        Event::OrderShipped(event) => order(event.order, Side::Buyer, Topic::Orders),
        Event::OrderDelivered(event) => order(event.order, Side::Both, Topic::Orders),
        Event::OrderCancelled(event) => order(event.order, Side::Both, Topic::Orders),
        Event::EscrowReleased(event) => order(event.order, Side::Seller, Topic::Orders),
        Event::EscrowRefunded(event) => order(event.order, Side::Buyer, Topic::Orders),
        Event::ChangeProposed(event) => order(event.order, Side::Both, Topic::Orders),
        Event::OrderChanged(event) => order(event.order, Side::Both, Topic::Orders),
        Event::ReturnRequested(event) => order(event.order, Side::Seller, Topic::Returns),
        Event::ReturnApproved(event) => order(event.order, Side::Buyer, Topic::Returns),
        Event::ReturnRejected(event) => order(event.order, Side::Buyer, Topic::Returns),
        Event::ReturnRefunded(event) => order(event.order, Side::Buyer, Topic::Returns),
        Event::PaymentActionRequired(event) => payment(event.account, true, event.payment.to_string()),
        Event::PaymentFailed(event) => payment(event.account, true, event.payment.to_string()),
        Event::PayoutPaid(event) => payout(event.account, event.payout.to_string()),
        Event::PayoutFailed(event) => payout(event.account, event.payout.to_string()),
        Event::PayoutReturned(event) => payout(event.account, event.payout.to_string()),
        _ => None,
    }
}

/// Says who is told of an event. Whoever did it himself is not. The views must have read it.
pub(super) fn notices(views: &Projections, commit: &Commit, event: &Event) -> Result<Vec<Notice>, ViewError> {
    let Some((to, topic, is_urgent, about)) = told(event) else { return Ok(Vec::new()) };
    let by = match &commit.start().cause {
        Cause::Command(stamp) => Some(stamp.account),
        _ => None,
    };
    let accounts = match to {
        To::Account(account) => vec![account],
        To::Of(order, side) => {
            let Some(order) = views.orders().order(order)? else { return Ok(Vec::new()) };
            let sides = [(Side::Buyer, order.buyer), (Side::Seller, order.seller)];
            let told = sides.into_iter().filter(|(one, _)| side == Side::Both || side == *one);
            told.map(|(_, account)| account).collect()
        }
    };
    let others = accounts.into_iter().filter(|account| Some(*account) != by);
    Ok(others.map(|account| Notice { account, topic, is_urgent, about: about.clone() }).collect())
}
