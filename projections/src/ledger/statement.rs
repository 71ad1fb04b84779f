//! Statements: every posting of an account that lasts, with what the account held from then on. The accounts of one order or one
//! payout have none: what happened to them is told by the order and the payout.

use std::cmp::Reverse;

use events::ledger::LedgerAccount;
use events::{Currency, Money, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use uuid::Uuid;

use super::VERSION;
use crate::table::{Layout, Table};
use crate::view::ViewError;

/// Most postings of one page.
pub const POSTINGS_PER_PAGE_MAX: usize = 100;

/// Something that changed what an account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Posting {
    /// The event's position in the log.
    pub position: Position,
    /// When it was decided.
    pub time: Timestamp,
    /// What happened: the type of the event without its version, such as `escrow.held`.
    #[serde(rename = "type")]
    pub what: String,
    /// The order, payment, payout or account that it happened to.
    pub about: Option<Uuid>,
    /// What came to the account; below zero: what left it.
    pub amount: Money,
    /// What the account held from then on.
    pub balance: Money,
}

/// Some postings of an account in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementPage {
    /// Newest first.
    pub postings: Vec<Posting>,
    /// Pass it as `before` to get the next page; none: this was the last.
    pub next: Option<Position>,
}

/// A posting as it is kept; its key has the rest.
#[derive(Serialize, Deserialize)]
struct Row {
    time: Timestamp,
    what: String,
    about: Option<Uuid>,
    minor: i64,
    balance_minor: i64,
}

/// What one event changed of an account that lasts.
pub(super) struct Moved {
    pub(super) account: (LedgerAccount, Currency),
    pub(super) minor: i64,
    pub(super) balance_minor: i64,
}

type RowKey = ((LedgerAccount, Currency), Reverse<Position>);

const POSTINGS: Layout<RowKey, Row> = Layout::new(b'p', VERSION);

/// Tells whether an account lasts, and so has a statement.
pub const fn has_statement(account: LedgerAccount) -> bool {
    match account {
        LedgerAccount::Escrow(_) | LedgerAccount::Dispute(_) | LedgerAccount::Payout(_) => false,
        LedgerAccount::Wallet(_)
        | LedgerAccount::SellerAvailable(_)
        | LedgerAccount::PlatformFees
        | LedgerAccount::PlatformTax
        | LedgerAccount::PlatformPromotions
        | LedgerAccount::RefundsPayable
        | LedgerAccount::ProviderClearing(_) => true,
    }
}

/// Reads the newest postings before a position, or the newest of all.
pub(super) fn page(
    tree: &Tree,
    (account, currency): (LedgerAccount, Currency),
    before: Option<Position>,
    limit: usize,
) -> Result<StatementPage, ViewError> {
    let limit = limit.clamp(1, POSTINGS_PER_PAGE_MAX);
    let start = (account, currency);
    let from = (start, Reverse(before.map_or(Position::MAX, |before| before.saturating_sub(1))));
    let mut postings = Vec::with_capacity(limit);
    for pair in POSTINGS.scan_from(tree, &start, &from) {
        let (key, row) = pair?;
        let position = key.get(..8).and_then(|bytes| Some(!Position::from_be_bytes(bytes.try_into().ok()?)));
        let missing = || ViewError::Damaged { source: "a posting has no position".into() };
        let (position, Row { time, what, about, minor, balance_minor }) =
            (position.ok_or_else(missing)?, row);
        let (amount, balance) = (Money::new(minor, currency), Money::new(balance_minor, currency));
        if postings.len() == limit {
            let next = postings.last().map(|last: &Posting| last.position);
            return Ok(StatementPage { postings, next });
        }
        postings.push(Posting { position, time, what, about, amount, balance });
    }
    Ok(StatementPage { postings, next: None })
}

/// How statements follow the log.
pub(super) struct StatementFold(Table<RowKey, Row>);

impl StatementFold {
    pub(super) fn new() -> Self {
        StatementFold(Table::new(POSTINGS))
    }

    /// Notes what an event changed: of each account once, with what it holds from then on.
    pub(super) fn note(&mut self, recorded: &Recorded, moved: &[Moved]) {
        for Moved { account, minor, balance_minor } in moved {
            let (what, _) = recorded.metadata.type_name.rsplit_once(".v").unwrap_or_default();
            let about = recorded.metadata.subject.as_deref().and_then(|subject| subject.parse().ok());
            let (minor, balance_minor) = (*minor, *balance_minor);
            let row =
                Row { time: recorded.metadata.time, what: what.to_owned(), about, minor, balance_minor };
            self.0.set((*account, Reverse(recorded.position)), Some(row));
        }
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.0.write(tree, batch)
    }
}
