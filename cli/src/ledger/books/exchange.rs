//! What replaces units that come back: it costs no more than was paid for them, its units are reserved from the approval on, and it
//! is placed once, in the commit in which their money goes back, or given up.

use std::collections::BTreeMap;

use events::Event;
use events::ids::OrderId;
use events::order::{LinePrice, Placed};
use events::returns::replacement::{Replacement, ReplacementUnits};
use events::returns::{Refunded, Requested, ReturnNumber};

/// Replacements that are wanted and neither placed nor given up.
#[derive(Debug, Default)]
pub(super) struct Exchanges(BTreeMap<(OrderId, ReturnNumber), Wanted>);

#[derive(Debug)]
struct Wanted {
    of: Replacement,
    /// Its units, once they are reserved.
    reserved: Option<Vec<ReplacementUnits>>,
    /// Whether its money has gone back, so that it is to be placed in the same commit.
    is_due: bool,
}

impl Exchanges {
    /// Enters an event; tells nothing if it is none about a replacement, else the order that is returned and what it says wrongly, if
    /// anything.
    pub(super) fn enter(&mut self, event: &Event) -> Option<(OrderId, Option<String>)> {
        match event {
            Event::ReturnRequested(asked) => {
                let of = asked.replacement.clone()?;
                let wrong = wrong_price(asked, &of);
                self.0.insert((asked.order, asked.number), Wanted { of, reserved: None, is_due: false });
                Some((asked.order, wrong))
            }
            Event::ReplacementReserved(event) => {
                let wrong = match self.0.get_mut(&(event.order, event.number)) {
                    Some(Wanted { of, reserved: reserved @ None, .. }) => {
                        let wants = of.lines.iter().map(|line| (line.listing, line.quantity));
                        let has = event.lines.iter().map(|units| (units.listing, units.quantity));
                        let is_all = wants.eq(has);
                        *reserved = Some(event.lines.clone());
                        (!is_all).then(|| format!("{:?} are reserved for {:?}", event.lines, of.lines))
                    }
                    _ => Some("nothing is wanted, or it is reserved already".to_owned()),
                };
                Some((event.order, wrong))
            }
            Event::ReplacementGivenUp(event) => {
                let wrong = match self.0.remove(&(event.order, event.number)) {
                    Some(Wanted { reserved, is_due: false, .. }) => {
                        let reserved = reserved.unwrap_or_default();
                        (reserved != event.freed)
                            .then(|| format!("{:?} are free of {reserved:?}", event.freed))
                    }
                    _ => Some("nothing is wanted in its place, or it is to be placed".to_owned()),
                };
                Some((event.order, wrong))
            }
            Event::ReturnRefunded(refunded) => self.refunded(refunded),
            Event::ReturnEnded(ended) => {
                let gone = self.0.remove(&(ended.order, ended.number))?;
                let left = gone.reserved.map(|units| format!("{units:?} stay reserved for nothing"));
                Some((ended.order, left))
            }
            Event::OrderPlaced(placed) => {
                let replaces = placed.replaces?;
                let wrong = match self.0.remove(&(replaces.order, replaces.number)) {
                    Some(wanted) if wanted.is_due => wrong_order(placed, &wanted),
                    _ => Some("nothing is to be placed in its place now".to_owned()),
                };
                Some((replaces.order, wrong))
            }
            _ => None,
        }
    }

    fn refunded(&mut self, refunded: &Refunded) -> Option<(OrderId, Option<String>)> {
        let wanted = self.0.get_mut(&(refunded.order, refunded.number));
        let due = wanted.as_ref().map(|wanted| wanted.of.order);
        if due.is_none() && refunded.replaced_by.is_none() {
            return None;
        }
        let is_right = due == refunded.replaced_by && refunded.deduction.is_none();
        if let Some(wanted) = wanted {
            wanted.is_due = true;
        }
        let by = refunded.replaced_by;
        Some((refunded.order, (!is_right).then(|| format!("it is replaced by {by:?}, and not {due:?}"))))
    }

    /// Gives an order whose money has gone back for a replacement that was not placed in the same commit.
    pub(super) fn not_placed(&self) -> Option<OrderId> {
        self.0.iter().find(|(_, wanted)| wanted.is_due).map(|((order, _), _)| *order)
    }
}

/// Says what is wrong with what is wanted in the place of units, if anything is.
fn wrong_price(asked: &Requested, of: &Replacement) -> Option<String> {
    let sum: i64 = of.lines.iter().map(|line| line.total.minor).sum();
    if of.lines.len() != asked.lines.len() || sum != of.total.minor {
        return Some(format!(
            "{} lines for {}, which cost {sum} and not {}",
            of.lines.len(),
            asked.lines.len(),
            of.total
        ));
    }
    of.lines.iter().zip(&asked.lines).find_map(|(line, units)| {
        let (cost, paid) = (line.total.minor, units.amount.minor);
        let is_right = match line.price {
            LinePrice::Unit(_) => cost <= paid,
            // The highest price that costs no more: with a tax on top of at most all of it, a unit less.
            LinePrice::Exchange => line.listing == units.listing && (paid - 1..=paid).contains(&cost),
            LinePrice::Quote => false,
        };
        let is_right = is_right && cost > 0 && line.quantity == units.quantity && line.discounts.is_empty();
        (!is_right).then(|| format!("{cost} for {} in the place of {paid}", line.listing))
    })
}

/// Says what is wrong with an order that replaces units, if anything is.
fn wrong_order(placed: &Placed, wanted: &Wanted) -> Option<String> {
    let Wanted { of, reserved, .. } = wanted;
    let lines = placed.lines.iter().map(|line| (line.listing, &line.price, line.quantity, line.total));
    let is_it = lines.eq(of.lines.iter().map(|line| (line.listing, &line.price, line.quantity, line.total)))
        && (placed.order, placed.total) == (of.order, of.total)
        && placed.payment.is_none();
    if !is_it {
        return Some(format!("{} for {} is placed, and {of:?} was wanted", placed.order, placed.total));
    }
    let taken = placed.lines.iter().map(|line| (line.listing, &line.locations, line.quantity));
    let reserved = reserved.as_deref().unwrap_or_default();
    let is_reserved =
        taken.eq(reserved.iter().map(|units| (units.listing, &units.locations, units.quantity)));
    (!is_reserved).then(|| format!("it takes over {:?}, and {reserved:?} were reserved", placed.lines))
}

#[cfg(test)]
mod tests;
