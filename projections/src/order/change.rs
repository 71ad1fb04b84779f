//! Changes of an order that its buyer and its seller agree to, and what the order was before them.

use events::account::Role;
use events::ids::{ChangeId, ListingId, OrderId};
use events::location::Located;
use events::order::LinePrice;
use events::order::change::{ChangeProposed, Changed, DifferenceDue};
use events::{Event, Money, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Line, Order, Step, TaxLine, fold};

/// A change of an order that waits for the other side to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OpenOrderChange")]
pub struct OpenChange {
    /// The change.
    pub change: ChangeId,
    /// Who proposed it: the order's buyer or its seller.
    pub by: Role,
    /// When.
    pub proposed_at: Timestamp,
    /// When it lapses unless the other side has answered. While the order is on hold, this time stands still.
    pub expires_at: Timestamp,
    /// Why, in the words of who proposed it.
    pub reason: Option<String>,
    /// What the buyer would pay out of his wallet, or get back.
    pub due: DifferenceDue,
    /// Units that would be added.
    pub added: Vec<AddedLine>,
    /// Units that would be cancelled.
    pub removed: Vec<RemovedUnits>,
    /// What the platform would take if all of the order's escrow was released.
    pub fee: Money,
}

/// Units of a listing that a change adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddedLine {
    /// What is bought.
    pub listing: ListingId,
    /// How many units, and what they cost.
    pub units: AddedUnits,
}

/// Units with a price of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddedUnits {
    /// The version of the listing that was priced.
    pub listing_version: u32,
    /// How many.
    pub quantity: Quantity,
    /// Their tax.
    pub tax: Option<TaxLine>,
    /// What they cost.
    pub total: Money,
    /// Price of one; none where a quote priced them.
    pub unit_price: Option<Money>,
}

/// Units that a change cancels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedUnits {
    /// What was bought.
    pub listing: ListingId,
    /// How many units.
    pub quantity: Quantity,
    /// What goes back of them: to the buyer, and to the platform what it had paid of it.
    pub amount: Money,
}

/// What an order was until it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderVersion")]
pub struct Version {
    /// Which one; 1 as it was placed.
    pub version: u32,
    /// Until when it was so.
    pub until: Timestamp,
    /// The change that made it the next version.
    pub change: ChangeId,
    /// Who accepted that.
    pub accepted_by: Role,
    /// What the buyer paid for that, or got back.
    pub due: DifferenceDue,
    /// Its lines then.
    pub lines: Vec<Line>,
    /// What all units that had been ordered by then cost, with the delivery.
    pub total: Money,
    /// What the platform would have taken.
    pub fee: Money,
}

impl AddedUnits {
    fn of(line: &events::order::Line) -> AddedUnits {
        AddedUnits {
            listing_version: line.listing_version,
            quantity: line.quantity,
            tax: line.tax.as_ref().map(fold::tax_line),
            total: line.total,
            unit_price: match line.price {
                LinePrice::Unit(price) => Some(price),
                LinePrice::Quote | LinePrice::Exchange => None,
            },
        }
    }
}

/// Says what an event about a change is in the timeline, if it is one.
pub(super) fn told(event: &Event) -> Option<(OrderId, Step, Option<String>)> {
    Some(match event {
        Event::ChangeProposed(proposed) => {
            let note = format!("{}, until {}", proposed.due, proposed.expires_at);
            (proposed.order, Step::ChangeProposed, Some(note))
        }
        Event::ChangeDeclined(declined) => (declined.order, Step::ChangeDeclined, None),
        Event::ChangeWithdrawn(withdrawn) => (withdrawn.order, Step::ChangeWithdrawn, None),
        Event::ChangeLapsed(lapsed) => (lapsed.order, Step::ChangeLapsed, Some(lapsed.why.to_string())),
        Event::OrderChanged(changed) => {
            let note = format!("version {}: {}", changed.version, changed.due);
            (changed.order, Step::Changed, Some(note))
        }
        _ => return None,
    })
}

/// Takes in an event about a change. None, here and below, if it does not fit the order.
pub(super) fn apply(order: &mut Order, event: &Event, time: Timestamp) -> Option<()> {
    match event {
        Event::ChangeProposed(proposed) => order.change = Some(open(proposed, time)),
        Event::OrderChanged(changed) => return change(order, changed, time),
        _ => order.change = None,
    }
    Some(())
}

fn open(proposed: &ChangeProposed, proposed_at: Timestamp) -> OpenChange {
    let added = proposed.added.iter();
    let removed = proposed.removed.iter().map(|units| RemovedUnits {
        listing: units.listing,
        quantity: units.quantity,
        amount: units.amount,
    });
    OpenChange {
        change: proposed.change,
        by: proposed.by,
        proposed_at,
        expires_at: proposed.expires_at,
        reason: proposed.reason.clone(),
        due: proposed.due,
        added: added.map(|line| AddedLine { listing: line.listing, units: AddedUnits::of(line) }).collect(),
        removed: removed.collect(),
        fee: proposed.fee.amount,
    }
}

fn change(order: &mut Order, changed: &Changed, time: Timestamp) -> Option<()> {
    order.change = None;
    order.versions.push(Version {
        version: order.version,
        until: time,
        change: changed.change,
        accepted_by: changed.by,
        due: changed.due,
        lines: order.lines.clone(),
        total: order.total,
        fee: order.fee,
    });
    for added in &changed.added {
        match order.lines.iter_mut().find(|line| line.listing == added.listing) {
            Some(line) => grow(line, added)?,
            None => order.lines.push(fold::line(added)),
        }
    }
    (order.version, order.total) = (changed.version, changed.total);
    (order.fee, order.ship_by) = (changed.fee.amount, changed.ship_by);
    Some(())
}

fn grow(line: &mut Line, added: &events::order::Line) -> Option<()> {
    line.quantity = line.quantity.checked_add(added.quantity).ok()?;
    line.total = line.total.checked_add(added.total).ok()?;
    line.added.push(AddedUnits::of(added));
    for Located { location, quantity } in &added.locations {
        match line.locations.binary_search_by(|there| there.location.cmp(location)) {
            Ok(at) => {
                let there = &mut line.locations[at].quantity;
                *there = there.checked_add(*quantity).ok()?;
            }
            Err(at) => {
                line.locations.insert(at, Located { location: location.clone(), quantity: *quantity });
            }
        }
    }
    Some(())
}
