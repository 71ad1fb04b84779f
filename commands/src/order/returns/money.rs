//! What was paid for units that come back, and where it goes.

use events::account::Role;
use events::escrow::{FreezeReason, Frozen, SettledBy, Unfrozen};
use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::order::{LineUnits, ShipmentNumber};
use events::returns::replacement::NoReplacement;
use events::returns::{DecidedBy, Refunded};
use events::{Event, Money, Quantity, Timestamp};

use super::{Opened, Return, Sold, replace};
use crate::earnings;
use crate::fees;
use crate::market::Market;
use crate::order::escrow::Settlement;
use crate::order::hold::restarted;
use crate::order::state::{Order, Shipment};
use crate::order::tender::return_to_card;

/// What is left of a shipment to be paid back, while it is taken apart.
struct Rest {
    /// What its units cost that were not returned before, and its delivery.
    cost_minor: i64,
    /// What of that was not given back.
    held_minor: i64,
}

impl Rest {
    /// Takes the part of what is held that belongs to a part of the cost, at least `least` and at most `most`. What is left of
    /// what is held is never more than what is left of the cost.
    fn take(&mut self, cost_minor: i64, least: i64, most: i64) -> i64 {
        let part = fees::part(self.held_minor, cost_minor, self.cost_minor).clamp(least, most);
        self.cost_minor -= cost_minor;
        self.held_minor -= part;
        part
    }
}

/// Tells what was paid for units of a shipment: what they cost, less their part of what was given back of it; likewise the tax
/// in that and what of it the platform paid. `asked`: places of the shipment's lines, and units of each.
pub(super) fn paid_for(
    order: &Order,
    shipment: ShipmentNumber,
    sold: &Sold,
    asked: &[(usize, Quantity)],
) -> Vec<LineUnits> {
    let Shipment { amount_minor, tax_minor, .. } = order.shipments[shipment.index()];
    let cost = |of: fn(&super::SoldLine) -> i64| -> i64 {
        sold.lines.iter().map(|line| line.share_of_next(of(line), line.left())).sum()
    };
    let mut all =
        Rest { cost_minor: cost(|line| line.amount_minor) + sold.shipping_minor, held_minor: amount_minor };
    let mut taxes =
        Rest { cost_minor: cost(|line| line.tax_minor) + sold.shipping_tax_minor, held_minor: tax_minor };
    let share = order.share_of(shipment).held_minor;
    let mut subsidies = Rest { cost_minor: cost(|line| line.subsidy_minor), held_minor: share };
    let money = |minor| Money::new(minor, order.total.currency);
    let some = |minor| Some(money(minor)).filter(Money::is_positive);
    let units = asked.iter().map(|(place, quantity)| {
        let line = &sold.lines[*place];
        let next = |minor| line.share_of_next(minor, quantity.get());
        let amount = all.take(next(line.amount_minor), 0, all.held_minor);
        // What is in an amount is no more than it, and what is left of it no more than what is left of that.
        let within = |rest: &mut Rest, minor| {
            let least = (rest.held_minor - all.held_minor).max(0);
            let most = amount.min(rest.held_minor);
            rest.take(next(minor), least, most)
        };
        let tax = within(&mut taxes, line.tax_minor);
        let subsidy = within(&mut subsidies, line.subsidy_minor);
        LineUnits {
            amount: money(amount),
            listing: line.listing,
            locations: Vec::new(),
            quantity: *quantity,
            subsidy: some(subsidy),
            tax: some(tax),
        }
    });
    units.collect()
}

/// Sets apart what is in escrow of units that are to be returned.
pub(super) fn freeze(
    id: OrderId,
    order: &Order,
    shipment: ShipmentNumber,
    units: &[LineUnits],
    due: Timestamp,
) -> Event {
    let money = |minor| Money::new(minor, order.total.currency);
    let some = |minor| Some(money(minor)).filter(Money::is_positive);
    let sum = |of: fn(&LineUnits) -> i64| units.iter().map(of).sum::<i64>();
    let minor = sum(|units| units.amount.minor);
    Frozen {
        by: Role::Buyer,
        due,
        note: None,
        order: id,
        reason: FreezeReason::Return,
        remaining: some(order.escrow.remaining() - minor),
        shipment,
        subsidy: some(sum(|units| units.subsidy.map_or(0, |subsidy| subsidy.minor))),
        tax: some(sum(|units| units.tax.map_or(0, |tax| tax.minor))),
        transfer: Transfer {
            amount: money(minor),
            from: LedgerAccount::Escrow(id),
            to: LedgerAccount::Dispute(id),
        },
    }
    .into()
}

/// Gives what was frozen for a return back to the escrow, where its shipment goes on.
pub(super) fn unfreeze(found: &Opened<'_>, now: Timestamp) -> Option<Event> {
    let Opened { id, order, shipment, .. } = *found;
    let disputed = &order.shipments[shipment.index()];
    let frozen = disputed.frozen().filter(|_| found.open.is_frozen)?;
    let deadline = disputed.deadline(id, shipment).expect("a shipment with frozen money is not accepted");
    let unfrozen = Unfrozen {
        by: Role::Buyer,
        deadline: restarted(deadline, frozen.stopped_at, now),
        order: id,
        shipment,
        transfer: Transfer {
            amount: Money::new(frozen.amount_minor, order.total.currency),
            from: LedgerAccount::Dispute(id),
            to: LedgerAccount::Escrow(id),
        },
    };
    Some(unfrozen.into())
}

/// Ends a return: what was paid for its units goes back the way it came, but for what is deducted.
pub(super) fn refund(
    market: &Market,
    found: &Opened<'_>,
    by: DecidedBy,
    deduction_minor: i64,
    note: Option<String>,
    now: Timestamp,
) -> Vec<Event> {
    let Opened { id, order, shipment, open, .. } = *found;
    let planned = open.replacement.as_deref().filter(|_| deduction_minor == 0);
    let placed = planned.map(|planned| &planned.of);
    let minor = open.amount_minor - deduction_minor;
    // As what is settled is split.
    let tax_minor = open.tax_minor - fees::part(open.tax_minor, deduction_minor, open.amount_minor);
    let subsidy_minor = fees::part(open.subsidy_minor, minor, open.amount_minor);
    let transfers = match open.is_frozen {
        true => Vec::new(),
        false => take_back(market, found, minor, tax_minor, subsidy_minor),
    };
    let money = |minor| Money::new(minor, order.total.currency);
    let some = |minor| Some(money(minor)).filter(Money::is_positive);
    let refunded = Refunded {
        amount: money(minor),
        by,
        deduction: some(deduction_minor),
        note,
        number: open.number,
        order: id,
        replaced_by: placed.map(|of| of.order),
        shipment,
        subsidy: some(subsidy_minor),
        tax: some(tax_minor),
        transfers,
    };
    // What something is kept of does not pay what was to replace it.
    let given_up = if placed.is_none() { replace::given_up(found, NoReplacement::MoneyKept) } else { None };
    let mut events: Vec<Event> = given_up.into_iter().chain([refunded.into()]).collect();
    if open.is_frozen {
        let mut settlement = Settlement::of(market, id, order);
        events.push(settlement.settle(shipment, deduction_minor, SettledBy::Return, None, now));
    }
    let moved = events.last().expect("there is one");
    let wallet = LedgerAccount::Wallet(order.buyer);
    let to_wallet = moved.transfers().iter().filter(|transfer| transfer.to == wallet);
    let to_wallet: i64 = to_wallet.map(|transfer| transfer.amount.minor).sum();
    let replaced_minor = placed.map_or(0, |of| of.total.minor);
    events.extend(return_to_card(market, id, order, to_wallet - replaced_minor));
    if let Some(of) = placed {
        events.extend(replace::place(market, found, of, now));
    }
    events
}

/// Takes back what was paid to the seller and to the platform, and gives it to the buyer and, what it had paid of the purchase,
/// to the platform.
fn take_back(
    market: &Market,
    found: &Opened<'_>,
    minor: i64,
    tax_minor: i64,
    subsidy_minor: i64,
) -> Vec<Transfer> {
    let Opened { order, sold, .. } = *found;
    let net_minor = minor - tax_minor;
    let gives_fee_back = market.return_terms().is_some_and(|terms| terms.gives_fee_back);
    let fee_minor = if gives_fee_back { fee_back(sold, net_minor) } else { 0 };
    let currency = order.total.currency;
    let [kept, available, owed] =
        earnings::take_back(market, order.seller, Money::new(net_minor - fee_minor, currency));
    let from = [
        kept,
        available,
        owed,
        (LedgerAccount::PlatformFees, fee_minor),
        (LedgerAccount::PlatformTax, tax_minor),
    ];
    let to = [
        (LedgerAccount::PlatformPromotions, subsidy_minor),
        (LedgerAccount::Wallet(order.buyer), minor - subsidy_minor),
    ];
    spread(from, to)
        .map(|(from, to, minor)| Transfer { amount: Money::new(minor, currency), from, to })
        .collect()
}

/// Gives what of the fee goes back with an amount: of all that went back so far its part, less what did before.
fn fee_back(sold: &Sold, net_minor: i64) -> i64 {
    let paid = &sold.paid;
    fees::part(paid.fee_minor, paid.net_back_minor + net_minor, paid.net_minor) - paid.fee_back_minor
}

/// Pairs what is taken with what is given, both in their order and together the same.
fn spread(
    from: impl IntoIterator<Item = (LedgerAccount, i64)>,
    to: impl IntoIterator<Item = (LedgerAccount, i64)>,
) -> impl Iterator<Item = (LedgerAccount, LedgerAccount, i64)> {
    let mut to = to.into_iter();
    let mut sink = to.next();
    let mut pairs = Vec::new();
    for (account, mut minor) in from {
        while minor > 0 {
            let (payee, wanted) = sink.expect("no more is taken than is given");
            let some = minor.min(wanted);
            if some > 0 {
                pairs.push((account, payee, some));
            }
            minor -= some;
            sink = if some == wanted { to.next() } else { Some((payee, wanted - some)) };
        }
    }
    pairs.into_iter()
}

/// Gives the most that can be kept: what was paid for units that did not come back intact.
pub(super) fn deductible(open: &Return, intact: impl Fn(usize) -> u32) -> i64 {
    let lines = open.lines.iter().enumerate();
    let kept = lines.map(|(place, line)| {
        line.amount_minor - crate::order::state::share_of_first(line.amount_minor, line.units, intact(place))
    });
    kept.sum()
}
