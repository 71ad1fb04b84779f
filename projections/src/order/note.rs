//! What the timeline of an order tells beside each step.

use events::Money;
use events::escrow::{Frozen, SettledBy};
use events::order::{CancelledBy, DeliveryProof, Placed};
use events::returns::replacement::Replaces;

/// Says what promotions and taxes made of the price.
pub(super) fn placed(placed: &Placed) -> Option<String> {
    let discounts = placed.lines.iter().flat_map(|line| &line.discounts);
    let off: i64 = discounts.map(|discount| discount.amount.minor).sum();
    let by_platform = placed.subsidy_minor();
    let money = |minor| Money::new(minor, placed.total.currency);
    let parts = [
        placed.replaces.map(|Replaces { number, order }| format!("for return {number} of order {order}")),
        (off > 0).then(|| format!("{} off", money(off))),
        (by_platform > 0).then(|| format!("{} of that paid by the platform", money(by_platform))),
        placed.shipping.as_ref().map(|quote| format!("{} for delivery ({})", quote.total, quote.method)),
        (placed.tax_minor() > 0).then(|| format!("{} taxes in it", money(placed.tax_minor()))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

pub(super) fn shipped(carrier: Option<&str>, tracking: Option<&str>) -> Option<String> {
    match (carrier, tracking) {
        (Some(carrier), Some(tracking)) => Some(format!("{carrier} {tracking}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

pub(super) fn delivered(proof: DeliveryProof) -> &'static str {
    match proof {
        DeliveryProof::Buyer => "confirmed by the buyer",
        DeliveryProof::Carrier => "confirmed by the carrier",
        DeliveryProof::TransitElapsed => "counts as delivered: nobody said anything in time",
    }
}

pub(super) fn frozen(event: &Frozen) -> String {
    format!("{} by the {}, {}", event.transfer.amount, event.by, event.reason)
}

pub(super) fn settled(by: SettledBy) -> &'static str {
    match by {
        SettledBy::Operator => "decided by an operator",
        SettledBy::TwoOperators { .. } => "decided by two operators",
        SettledBy::Deadline => "nobody decided in time",
        SettledBy::Return => "its units were returned",
    }
}

pub(super) fn cancelled(by: CancelledBy) -> String {
    match by {
        CancelledBy::Account(role) => format!("by the {role}"),
        CancelledBy::ShipDeadline => "not shipped in time".to_owned(),
        CancelledBy::AcceptDeadline => "not accepted in time".to_owned(),
        CancelledBy::PaymentDeadline => "not paid in time".to_owned(),
        CancelledBy::PaymentFailed => "the payment failed".to_owned(),
        CancelledBy::Change => "by a change".to_owned(),
        CancelledBy::Review => "by the market".to_owned(),
        CancelledBy::Chargeback => "the buyer's bank gave the money back".to_owned(),
        CancelledBy::AuthorizationExpired => "not charged while the provider held the money".to_owned(),
    }
}
