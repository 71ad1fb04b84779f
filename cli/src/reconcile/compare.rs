//! Compares what a provider says with what the ledger says, movement by movement.
//!
//! The same movement is known by its kind and by the provider's reference, whenever it was: a payment that the provider booked
//! just before midnight and the ledger just after it is the same one. When things happened only decides what is judged at all.

use std::collections::BTreeMap;

use events::reconciliation::{Break, Difference, MovementKind};
use events::{Currency, Money, Timestamp};

use super::file::{Period, ProviderFile, Row};
use super::ledger::{Counted, Moved, Ours};

/// What is compared.
pub(super) struct Question<'a> {
    pub(super) file: &'a ProviderFile,
    pub(super) ours: &'a Ours,
    pub(super) period: Period,
    /// How far the two may be apart in time, in milliseconds.
    pub(super) grace_ms: i64,
    /// The time of the last event of the log.
    pub(super) log_ends: Timestamp,
}

/// What moved in a currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) ours: i128,
    pub(super) theirs: i128,
    pub(super) fees: i128,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Comparison {
    /// Movements that are the same at both.
    pub(super) matched: u32,
    /// Movements at the edge of the period, or not settled, which a later file judges.
    pub(super) in_flight: u32,
    /// Movements of the ledger in the period of kinds that such a file has not.
    pub(super) not_covered: u32,
    /// What differs, oldest first.
    pub(super) breaks: Vec<Break>,
    /// What moved of what was judged. The provider's less ours is what the breaks differ by.
    pub(super) totals: BTreeMap<Currency, Sums>,
}

/// Movements of one kind and reference at both, until each has found its other.
#[derive(Default)]
struct Group<'a> {
    theirs: Vec<&'a Row>,
    ours: Vec<&'a Moved>,
}

/// Compares.
pub(super) fn compare(question: &Question<'_>) -> Comparison {
    let Question { file, ours, period, .. } = question;
    let mut groups: BTreeMap<(&str, MovementKind), Group<'_>> = BTreeMap::new();
    for row in &file.rows {
        groups.entry((&row.reference, row.kind)).or_default().theirs.push(row);
    }
    for moved in &ours.moved {
        groups.entry((&moved.reference, moved.kind)).or_default().ours.push(moved);
    }
    let mut found = Comparison::default();
    for (_, fee) in file.fees.iter().filter(|(at, _)| period.contains(*at)) {
        found.totals.entry(fee.currency).or_default().fees += i128::from(fee.minor);
    }
    let (mut asked, mut failed) = (ours.asked(), ours.failed());
    // What went out and came back at the provider alone: the ledger knows that as something that failed.
    let mut alone: BTreeMap<(&str, MovementKind), &Row> = BTreeMap::new();
    for ((reference, kind), group) in groups {
        judge(question, group, &mut found, |row, found| {
            if found.is_returned(&mut alone, reference, kind, row) {
                return;
            }
            alone.insert((reference, kind), row);
        });
    }
    for ((_, kind), row) in alone {
        let what = (kind, row.amount.currency, row.amount.minor);
        if take(&mut asked, what) {
            found.in_flight += 1;
        } else if take(&mut failed, what) {
            // It had gone out before the period, and is back: the ledger never counted it as gone.
            found.matched += 1;
            found.sum(Some(row.amount), Some(row.amount));
        } else if row.at.plus_ms(question.grace_ms) > question.log_ends.max(period.until) {
            // The ledger may learn of it yet.
            found.in_flight += 1;
        } else {
            found.differ(row.at, Difference::MissingInLedger { theirs: row.amount }, row, None);
        }
    }
    found.breaks.sort_by_key(|one| (one.at, one.kind, one.reference.clone()));
    found
}

/// Takes one of what is counted, if there is one.
fn take(counted: &mut Counted, what: (MovementKind, Currency, i64)) -> bool {
    match counted.get_mut(&what).filter(|count| **count > 0) {
        Some(count) => {
            *count -= 1;
            true
        }
        None => false,
    }
}

/// Pairs the movements of one kind and reference off. What the provider alone knows of is handed on.
fn judge<'a>(
    question: &Question<'_>,
    mut group: Group<'a>,
    found: &mut Comparison,
    mut alone: impl FnMut(&'a Row, &mut Comparison),
) {
    let Question { file, period, grace_ms, .. } = question;
    let is_known = !group.ours.is_empty();
    let mut left = Vec::new();
    for row in group.theirs {
        match group.ours.iter().position(|moved| moved.amount == row.amount) {
            Some(same) => {
                group.ours.remove(same);
                if period.contains(row.at) {
                    found.matched += 1;
                    found.sum(Some(row.amount), Some(row.amount));
                }
            }
            None => left.push(row),
        }
    }
    let mut is_first = true;
    for row in left {
        let other = if group.ours.is_empty() { None } else { Some(group.ours.remove(0)) };
        let is_again = is_known || !std::mem::take(&mut is_first);
        if !period.contains(row.at) {
            continue;
        }
        match other {
            Some(moved) => {
                let (ours, theirs) = (moved.amount, row.amount);
                let difference = if ours.currency == theirs.currency {
                    Difference::AmountDiffers { ours, theirs }
                } else {
                    Difference::CurrencyDiffers { ours, theirs }
                };
                found.differ(row.at, difference, row, Some(moved));
            }
            None if is_again => {
                found.differ(row.at, Difference::DuplicateAtProvider { theirs: row.amount }, row, None);
            }
            None => alone(row, found),
        }
    }
    for moved in group.ours.into_iter().filter(|moved| period.contains(moved.at)) {
        let is_inside =
            period.contains(moved.at.plus_ms(-grace_ms)) && moved.at.plus_ms(*grace_ms) <= period.until;
        if !file.format.covers(moved.kind) {
            found.not_covered += 1;
        } else if is_inside {
            let Moved { kind, ref reference, at, amount: ours, position } = *moved;
            let difference = Difference::MissingAtProvider { ours };
            found.sum(Some(ours), None);
            let reference = reference.clone();
            found.breaks.push(Break { at, difference, kind, position: Some(position), reference });
        } else {
            found.in_flight += 1;
        }
    }
}

impl Comparison {
    fn sum(&mut self, ours: Option<Money>, theirs: Option<Money>) {
        if let Some(ours) = ours {
            self.totals.entry(ours.currency).or_default().ours += i128::from(ours.minor);
        }
        if let Some(theirs) = theirs {
            self.totals.entry(theirs.currency).or_default().theirs += i128::from(theirs.minor);
        }
    }

    fn differ(&mut self, at: Timestamp, difference: Difference, row: &Row, moved: Option<&Moved>) {
        self.sum(moved.map(|moved| moved.amount), Some(row.amount));
        let (kind, reference) = (row.kind, row.reference.clone());
        self.breaks.push(Break {
            at,
            difference,
            kind,
            position: moved.map(|moved| moved.position),
            reference,
        });
    }

    /// Tells whether a movement that the provider alone knows of is one that came back there, or the return of one that went out:
    /// then both are nothing together, as they are in the ledger, and so are the same at both.
    fn is_returned<'a>(
        &mut self,
        alone: &mut BTreeMap<(&'a str, MovementKind), &'a Row>,
        reference: &'a str,
        kind: MovementKind,
        row: &Row,
    ) -> bool {
        let other = match kind {
            MovementKind::Refund => MovementKind::RefundReturned,
            MovementKind::RefundReturned => MovementKind::Refund,
            MovementKind::Payout => MovementKind::PayoutReturned,
            MovementKind::PayoutReturned => MovementKind::Payout,
            _ => return false,
        };
        let is_opposite = |found: &&Row| {
            found.amount.currency == row.amount.currency && found.amount.minor == -row.amount.minor
        };
        if alone.get(&(reference, other)).is_none_or(|found| !is_opposite(found)) {
            return false;
        }
        alone.remove(&(reference, other));
        self.matched += 2;
        true
    }
}

#[cfg(test)]
mod tests;
