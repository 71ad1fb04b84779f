//! Orders that buyer and seller agree to change: what a change costs is computed anew when it is proposed, and what applies is
//! what was proposed.

use events::account::Role;
use events::order::change::{ChangeProposed, Changed, DifferenceDue};
use events::order::{Cancelled, CancelledBy, LineUnits};
use events::{Event, Money, Position};

use super::fees::fee_by_terms;
use super::{Books, Invariant, OrderBook};

/// What the books know of an order's changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    open: Option<ChangeProposed>,
    /// How many apply.
    count: u32,
    /// What is yet to come into the escrow for what was added, and of what is to be cancelled by the same commit.
    pub(super) adding: i64,
    removing: Vec<LineUnits>,
}

fn minor(money: Option<Money>) -> i64 {
    money.map_or(0, |money| money.minor)
}

/// Gives what goes back to the buyer of units, and what of them is of which size, whatever locations they are at.
fn back(units: &[LineUnits]) -> i64 {
    units.iter().map(|units| units.amount.minor - minor(units.subsidy)).sum()
}

fn without_locations(units: &[LineUnits]) -> Vec<LineUnits> {
    units.iter().map(|units| LineUnits { locations: vec![], ..units.clone() }).collect()
}

impl Books {
    /// Enters an event about a change.
    pub(super) fn change(&mut self, position: Position, event: &Event) {
        match event {
            Event::ChangeProposed(proposed) => self.proposed(position, proposed),
            Event::OrderChanged(changed) => self.changed(position, changed),
            Event::ChangeDeclined(declined) => self.ended(declined.order),
            Event::ChangeWithdrawn(withdrawn) => self.ended(withdrawn.order),
            Event::ChangeLapsed(lapsed) => self.ended(lapsed.order),
            Event::OrderChargedBack(charged) if charged.lapsed.is_some() => self.ended(charged.order),
            Event::OrderCancelled(cancelled) => self.cancelled_by_change(position, cancelled),
            _ => {}
        }
    }

    fn ended(&mut self, id: events::ids::OrderId) {
        if let Some(order) = self.orders.get_mut(&id) {
            order.changes.open = None;
        }
    }

    fn proposed(&mut self, position: Position, proposed: &ChangeProposed) {
        let Some(order) = self.orders.get_mut(&proposed.order) else {
            return self.check(Invariant::I11, position, false, || {
                format!("there is no order {} to be changed", proposed.order)
            });
        };
        order.changes.open = Some(proposed.clone());
        let OrderBook { total, tax_minor, seller, .. } = *order;
        let added: i128 = proposed.added.iter().map(|line| i128::from(line.total.minor)).sum();
        let wrong = proposed.added.iter().find_map(|line| {
            let wrong = self.checkout.wrong_line(seller, line);
            let wrong = wrong.or_else(|| {
                (!line.discounts.is_empty()).then(|| "what is added has no discounts".to_owned())
            });
            wrong.map(|wrong| format!("listing {}: {wrong}", line.listing))
        });
        let wrong = wrong.or_else(|| {
            let sum = i128::from(total.minor) + added;
            (sum != i128::from(proposed.total.minor))
                .then(|| format!("with what is added it costs {sum} minor units, not {}", proposed.total))
        });
        let difference = added - i128::from(back(&proposed.removed));
        let due = match proposed.due {
            DifferenceDue::Collect(more) => i128::from(more.minor),
            DifferenceDue::Refund(less) => -i128::from(less.minor),
            DifferenceDue::Nothing => 0,
        };
        let wrong = wrong.or_else(|| {
            (due != difference).then(|| format!("the difference is {difference} minor units, not {due}"))
        });
        // What the buyer has not signed yet he signs when he accepts.
        let signed = proposed.max_difference.map_or(0, |max| i128::from(max.minor));
        let wrong = wrong.or_else(|| {
            (proposed.by == Role::Buyer && signed < difference)
                .then(|| format!("its buyer signed {signed} minor units more, and it is {difference}"))
        });
        self.check(Invariant::I11, position, wrong.is_none(), || {
            format!("change {} of order {}: {}", proposed.change, proposed.order, wrong.unwrap_or_default())
        });
        let one_currency = proposed.added.iter().all(|line| line.total.currency == total.currency)
            && proposed.removed.iter().all(|units| units.amount.currency == total.currency)
            && [proposed.total, proposed.fee.amount].iter().all(|money| money.currency == total.currency);
        self.check(Invariant::I10, position, one_currency, || {
            format!("change {} of order {} has another currency", proposed.change, proposed.order)
        });
        let taxes: i64 = proposed.added.iter().flat_map(|line| &line.tax).map(|tax| tax.amount.minor).sum();
        let untaxed = proposed.total.minor.saturating_sub(tax_minor).saturating_sub(taxes);
        let untaxed = Money::new(untaxed, total.currency);
        let by_terms = self.policy.map(|policy| fee_by_terms(&policy, untaxed));
        let fee = proposed.fee.amount.minor;
        self.check(Invariant::I13, position, by_terms == Some(i128::from(fee)), || {
            format!(
                "the fee of order {} is to be {fee} minor units, by the terms {by_terms:?}",
                proposed.order
            )
        });
    }

    fn changed(&mut self, position: Position, changed: &Changed) {
        let Some(order) = self.orders.get_mut(&changed.order) else {
            return self.check(Invariant::I11, position, false, || {
                format!("there is no order {} to be changed", changed.order)
            });
        };
        let open = order.changes.open.take();
        let agrees = open.as_ref().is_some_and(|open| {
            let added =
                changed.added.iter().cloned().map(|line| events::order::Line { locations: vec![], ..line });
            (open.change, open.due, open.fee, open.total)
                == (changed.change, changed.due, changed.fee, changed.total)
                && added.eq(open.added.iter().cloned())
                && open.by != changed.by
        });
        order.changes.count += 1;
        let is_next = changed.version == order.changes.count + 1;
        for line in &changed.added {
            order.subsidy.grow(line.listing, line.quantity);
            order.tax_minor += line.tax.as_ref().map_or(0, |tax| tax.amount.minor);
        }
        (order.total, order.fee_minor) = (changed.total, changed.fee.amount.minor);
        order.changes.adding = changed.added_minor();
        order.changes.removing = open.map_or_else(Vec::new, |open| open.removed);
        self.check(Invariant::I11, position, agrees && is_next, || {
            format!(
                "order {} is changed to something else than was proposed by the other side",
                changed.order
            )
        });
    }

    fn cancelled_by_change(&mut self, position: Position, cancelled: &Cancelled) {
        if cancelled.by != CancelledBy::Change {
            return;
        }
        let removing =
            self.orders.get_mut(&cancelled.order).map(|order| std::mem::take(&mut order.changes.removing));
        let agrees = removing.is_some_and(|removing| removing == without_locations(&cancelled.lines));
        self.check(Invariant::I11, position, agrees, || {
            format!("other units of order {} are cancelled by its change than were proposed", cancelled.order)
        });
    }

    /// Checks, at the end of a commit that changed an order, that all of the change was done.
    pub(super) fn check_done(&mut self, position: Position, changed: &Changed) {
        // An order that is closed holds nothing, which is looked at by itself.
        let Some(order) = self.orders.get(&changed.order) else { return };
        let (adding, removing) = (order.changes.adding, order.changes.removing.len());
        self.check(Invariant::I11, position, adding == 0 && removing == 0, || {
            format!(
                "order {} was changed, but {adding} minor units did not come in, and {removing} lines did not go",
                changed.order
            )
        });
    }
}

#[cfg(test)]
mod tests;
