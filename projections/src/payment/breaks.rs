//! What differs between providers' files and the ledger, with what operators have done about it.

use std::cmp::Reverse;

use events::ids::AccountId;
use events::reconciliation::{Difference, MovementKind};
use events::{Event, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::{Payments, VERSION};
use crate::table::{Layout, Table};
use crate::view::ViewError;

/// Most breaks in one page of a list.
pub const BREAKS_PER_PAGE_MAX: usize = 100;

/// Something about which a provider's file and the ledger differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationBreak {
    /// Its number: breaks of a market are counted from 1.
    pub number: u64,
    /// The provider's account.
    pub provider: AccountId,
    /// What the money was for.
    pub kind: MovementKind,
    /// The provider's reference.
    pub reference: String,
    /// How they differ.
    pub difference: Difference,
    /// When it moved: by the provider where it knows of it, otherwise by the ledger.
    pub time: Timestamp,
    /// Where the ledger's part of it stands in the log; null: there is none.
    pub position: Option<Position>,
    /// When it was found.
    pub opened_at: Timestamp,
    /// What was done about it; null: it is open.
    pub resolution: Option<Resolution>,
}

/// What an operator has done about a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolution {
    /// Who.
    pub by: AccountId,
    /// What it was and what was done, in words.
    pub reason: String,
    /// When.
    pub resolved_at: Timestamp,
}

/// Whether breaks wait for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakState {
    /// They do.
    #[default]
    Open,
    /// Not any more.
    Resolved,
}

impl BreakState {
    const fn key(self) -> u8 {
        match self {
            BreakState::Open => 0,
            BreakState::Resolved => 1,
        }
    }
}

/// Some breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakPage {
    /// Newest first.
    pub breaks: Vec<ReconciliationBreak>,
    /// Pass it as `before` to get the next page; none: this was the last.
    pub next: Option<u64>,
}

const BREAKS: Layout<u64, ReconciliationBreak> = Layout::new(b'b', VERSION);
const BY_STATE: Layout<(u8, Reverse<u64>), ()> = Layout::new(b's', VERSION);

impl Payments<'_> {
    /// Lists breaks, newest first: those with a number before `before`, or all. A page has at most `limit` breaks, and never more
    /// than [`BREAKS_PER_PAGE_MAX`].
    pub fn breaks(
        &self,
        state: BreakState,
        before: Option<u64>,
        limit: usize,
    ) -> Result<BreakPage, ViewError> {
        let limit = limit.clamp(1, BREAKS_PER_PAGE_MAX);
        let live = self.0.ask()?;
        let last = before.map_or(u64::MAX, |before| before.saturating_sub(1));
        let (from, to) = ((state.key(), Reverse(last)), (state.key(), Reverse(0)));
        let mut page = BreakPage { breaks: Vec::with_capacity(limit), next: None };
        for pair in BY_STATE.range(&live.tree, &from, &to, 1) {
            if page.breaks.len() == limit {
                page.next = page.breaks.last().map(|one| one.number);
                break;
            }
            let number = number_of(&pair?.0)?;
            page.breaks.push(BREAKS.get(&live.tree, &number)?.ok_or_else(|| ViewError::Damaged {
                source: format!("break {number} is listed, but is not there").into(),
            })?);
        }
        Ok(page)
    }

    /// Counts the breaks that are open; a market has some thousands at most.
    pub fn open_breaks(&self) -> Result<usize, ViewError> {
        let live = self.0.ask()?;
        let open = BreakState::Open.key();
        BY_STATE.scan(&live.tree, &open).map(|pair| pair.map(|_| 1)).sum()
    }
}

/// Reads a number from a key in which the last ones come first.
fn number_of(key: &[u8]) -> Result<u64, ViewError> {
    let damaged = |_| ViewError::Damaged { source: "a break has no number".into() };
    Ok(!u64::from_be_bytes(key.try_into().map_err(damaged)?))
}

/// How the view follows what is found and done about breaks.
pub(super) struct BreakFold {
    breaks: Table<u64, ReconciliationBreak>,
    by_state: Table<(u8, Reverse<u64>), ()>,
}

impl BreakFold {
    pub(super) fn new() -> Self {
        BreakFold { breaks: Table::new(BREAKS), by_state: Table::new(BY_STATE) }
    }

    pub(super) fn apply(&mut self, tree: &Tree, recorded: &Recorded) -> Result<(), ViewError> {
        let at = recorded.metadata.time;
        match &recorded.event {
            Event::ReconciliationReported(e) => {
                for opened in &e.opened {
                    let (number, found) = (opened.number, &opened.found);
                    let one = ReconciliationBreak {
                        number,
                        provider: e.provider,
                        kind: found.kind,
                        reference: found.reference.clone(),
                        difference: found.difference,
                        time: found.at,
                        position: found.position,
                        opened_at: at,
                        resolution: None,
                    };
                    self.breaks.set(number, Some(one));
                    self.by_state.set((BreakState::Open.key(), Reverse(number)), Some(()));
                }
            }
            Event::BreakResolved(e) => {
                let missing = || ViewError::unknown(format_args!("break {}", e.number), recorded.position);
                let one = self.breaks.entry(tree, &e.number)?.as_mut().ok_or_else(missing)?;
                one.resolution = Some(Resolution { by: e.by, reason: e.reason.clone(), resolved_at: at });
                self.by_state.set((BreakState::Open.key(), Reverse(e.number)), None);
                self.by_state.set((BreakState::Resolved.key(), Reverse(e.number)), Some(()));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.breaks.write(tree, batch)?;
        self.by_state.write(tree, batch)
    }
}
