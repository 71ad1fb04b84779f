//! Payouts to sellers, with how far each is.

use std::cmp::Reverse;

use events::ids::{AccountId, PayoutId};
use events::{Event, Money, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::{Payments, VERSION};
use crate::table::{Layout, Table};
use crate::view::ViewError;

/// Most payouts in one page of a list.
pub const PAYOUTS_PER_PAGE_MAX: usize = 100;

/// A payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Payout {
    /// The payout.
    pub payout: PayoutId,
    /// Who is paid.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub state: PayoutState,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When anything last happened to it.
    pub changed_at: Timestamp,
    /// Where it was asked for, which is what lists are sorted by.
    pub position: Position,
}

/// How far a payout is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutState {
    /// The provider is asked.
    InTransit {
        /// Until when it should have said what came of it.
        due: Timestamp,
    },
    /// The provider should have said what came of it; it is asked on.
    Overdue,
    /// It has arrived.
    Paid {
        /// The provider's reference.
        reference: String,
    },
    /// The seller has the money again.
    Failed {
        /// Why, in the provider's words for programs.
        code: String,
    },
    /// It had arrived, the bank returned it, and the seller has the money again.
    Returned {
        /// Why, in the provider's words for programs.
        code: String,
    },
}

/// Some payouts of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayoutPage {
    /// Newest first.
    pub payouts: Vec<Payout>,
    /// Pass it as `before` to get the next page; none: this was the last.
    pub next: Option<Position>,
}

const PAYOUTS: Layout<PayoutId, Payout> = Layout::new(b'o', VERSION);
const BY_ACCOUNT: Layout<(AccountId, Reverse<Position>), PayoutId> = Layout::new(b'a', VERSION);

impl Payments<'_> {
    /// Gives a payout.
    pub fn payout(&self, payout: PayoutId) -> Result<Option<Payout>, ViewError> {
        PAYOUTS.get(&self.0.ask()?.tree, &payout)
    }

    /// Lists an account's payouts, newest first: those asked for before position `before`, or all. A page has at most
    /// `limit` payouts, and never more than [`PAYOUTS_PER_PAGE_MAX`].
    pub fn payouts(
        &self,
        account: AccountId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<PayoutPage, ViewError> {
        let limit = limit.clamp(1, PAYOUTS_PER_PAGE_MAX);
        let live = self.0.ask()?;
        let last = before.map_or(Position::MAX, |before| before.saturating_sub(1));
        let (from, to) = ((account, Reverse(last)), (account, Reverse(0)));
        let mut page = PayoutPage { payouts: Vec::with_capacity(limit), next: None };
        for pair in BY_ACCOUNT.range(&live.tree, &from, &to, 16) {
            if page.payouts.len() == limit {
                page.next = page.payouts.last().map(|payout| payout.position);
                break;
            }
            let (_, id) = pair?;
            page.payouts.push(PAYOUTS.get(&live.tree, &id)?.ok_or_else(|| ViewError::Damaged {
                source: format!("payout {id} is listed, but is not there").into(),
            })?);
        }
        Ok(page)
    }
}

/// How the view follows what happens to payouts.
pub(super) struct PayoutFold {
    payouts: Table<PayoutId, Payout>,
    by_account: Table<(AccountId, Reverse<Position>), PayoutId>,
}

impl PayoutFold {
    pub(super) fn new() -> Self {
        PayoutFold { payouts: Table::new(PAYOUTS), by_account: Table::new(BY_ACCOUNT) }
    }

    pub(super) fn apply(&mut self, tree: &Tree, recorded: &Recorded) -> Result<(), ViewError> {
        let (position, at) = (recorded.position, recorded.metadata.time);
        let (id, state) = match &recorded.event {
            Event::PayoutRequested(e) => {
                let payout = Payout {
                    payout: e.payout,
                    account: e.account,
                    provider: e.provider,
                    amount: e.transfer.amount,
                    state: PayoutState::InTransit { due: e.due },
                    requested_at: at,
                    changed_at: at,
                    position,
                };
                self.payouts.set(e.payout, Some(payout));
                self.by_account.set((e.account, Reverse(position)), Some(e.payout));
                return Ok(());
            }
            Event::PayoutOverdue(e) => (e.payout, PayoutState::Overdue),
            Event::PayoutPaid(e) => (e.payout, PayoutState::Paid { reference: e.reference.clone() }),
            Event::PayoutFailed(e) => (e.payout, PayoutState::Failed { code: e.code.clone() }),
            Event::PayoutReturned(e) => (e.payout, PayoutState::Returned { code: e.code.clone() }),
            _ => return Ok(()),
        };
        let missing = || ViewError::unknown(format_args!("payout {id}"), position);
        let payout = self.payouts.entry(tree, &id)?.as_mut().ok_or_else(missing)?;
        (payout.state, payout.changed_at) = (state, at);
        Ok(())
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.payouts.write(tree, batch)?;
        self.by_account.write(tree, batch)
    }
}
