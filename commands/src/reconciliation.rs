//! What differs between a provider's own file and the ledger, and waits for operators.
//!
//! Comparing is done outside, by whoever has the file; what it found is reported once for each file and period, for ever. A
//! break is open until an operator has resolved it, and one that another file shows again meanwhile is not opened twice. Nothing
//! here moves money: what is wrong is corrected by other commands, and never by changing what was written.

use std::collections::BTreeMap;

use events::account::Role;
use events::ids::AccountId;
use events::reconciliation::{Break, DifferenceClass, MovementKind, OpenedBreak, Reported, Resolved};
use events::rejection::ReconciliationProblem;
use events::{Event, Position, Rejection};
use serde::{Deserialize, Serialize};

use crate::account::in_role;
use crate::command::{FoundBreak, ReportReconciliation, ResolveBreak};
use crate::decide::Facts;
use crate::funding::CreditId;
use crate::market::Market;

/// Most breaks that are open at a time: a file that shows more is reported when some are resolved.
pub const OPEN_BREAKS_MAX: usize = 4096;

/// What a break is about: one that another file shows again is the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct About {
    provider: AccountId,
    kind: MovementKind,
    class: DifferenceClass,
    reference: Box<str>,
}

/// The breaks that are open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaks {
    open: BTreeMap<u64, About>,
    number_of: BTreeMap<About, u64>,
    /// The number of the last break that was opened, 0 before the first.
    last: u64,
}

impl Breaks {
    /// Counts those that are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Gives the numbers of those that are open.
    pub fn open(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.keys().copied()
    }

    /// Tells whose movements an open break is about.
    fn provider_of(&self, number: u64) -> Option<AccountId> {
        self.open.get(&number).map(|about| about.provider)
    }
}

impl Market {
    pub(crate) fn reconciliation_reported(&mut self, event: &Reported, position: Position) {
        self.credit(CreditId::reconciled(event), position);
        for opened in &event.opened {
            let found = &opened.found;
            let about = about(event.provider, found.kind, found.difference.class(), &found.reference);
            self.breaks.number_of.insert(about.clone(), opened.number);
            self.breaks.open.insert(opened.number, about);
            self.breaks.last = opened.number;
        }
    }

    pub(crate) fn break_resolved(&mut self, event: &Resolved) {
        let about = self.breaks.open.remove(&event.number).expect("only an open break is resolved");
        self.breaks.number_of.remove(&about);
    }
}

fn about(provider: AccountId, kind: MovementKind, class: DifferenceClass, reference: &str) -> About {
    About { provider, kind, class, reference: reference.into() }
}

fn rejected<T>(problem: ReconciliationProblem) -> Result<T, Vec<Rejection>> {
    Err(vec![Rejection::Reconciliation { problem }])
}

/// Decides what a provider's file has shown. One that was reported for the same period before changes nothing.
pub(crate) fn decide_report(
    market: &Market,
    facts: &Facts,
    by: AccountId,
    command: &ReportReconciliation,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReportReconciliation {
        compared_to, file, from, in_flight, matched, provider, unlisted, until, ..
    } = *command;
    in_role(market, provider, Role::Provider)?;
    if from >= until {
        return rejected(ReconciliationProblem::PeriodEmpty);
    }
    if compared_to > market.position {
        return rejected(ReconciliationProblem::BeyondLog { head: market.position });
    }
    if market.credits.find(CreditId::reconciling(command)).or(facts.credit).is_some() {
        return Ok(vec![]);
    }
    let mut opened: Vec<OpenedBreak> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for found in command.breaks.as_slice() {
        let FoundBreak { at, difference, kind, position, ref reference } = *found;
        let reference = reference.as_str().to_owned();
        if !difference.holds() {
            return rejected(ReconciliationProblem::NoDifference { reference });
        }
        let about = about(provider, kind, difference.class(), &reference);
        if market.breaks.number_of.contains_key(&about) || !seen.insert(about) {
            continue;
        }
        let number = market.breaks.last + 1 + opened.len() as u64;
        opened.push(OpenedBreak { found: Break { at, difference, kind, position, reference }, number });
    }
    let open = market.breaks.open_count();
    if open + opened.len() > OPEN_BREAKS_MAX {
        let (open, max) = (open as u32, OPEN_BREAKS_MAX as u32);
        return rejected(ReconciliationProblem::TooManyOpen { open, max });
    }
    let already_open = (command.breaks.as_slice().len() - opened.len()) as u32;
    let totals = command.totals.as_slice().to_vec();
    let reported = Reported {
        already_open,
        by,
        compared_to,
        file,
        from,
        in_flight,
        matched,
        opened,
        provider,
        totals,
        unlisted,
        until,
    };
    Ok(vec![reported.into()])
}

/// Decides that a break is dealt with.
pub(crate) fn decide_resolve(
    market: &Market,
    by: AccountId,
    command: &ResolveBreak,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let number = command.number;
    let Some(provider) = market.breaks.provider_of(number) else {
        return rejected(ReconciliationProblem::NotOpen { number });
    };
    let reason = command.reason.as_str().to_owned();
    Ok(vec![Resolved { by, number, provider, reason }.into()])
}
