//! Statements: every posting of an account that lasts, with what the account held from then on. The accounts of one order or one
//! payout have none: what happened to them is told by the order and the payout.
//!
//! Postings stand in the log's order, each with the position of the account's one before, and every so many of an account one
//! is marked. Listed by account, each would be a write in another place of the tree, as dear as an order's own row.

use events::ledger::LedgerAccount;
use events::{Currency, Money, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use uuid::Uuid;

use super::{BALANCES, VERSION};
use crate::table::{Additions, Layout};
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
    /// Where the account's posting before it stands; 0: it is the first.
    before: Position,
}

/// Where the statement of an account ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Where its last posting stands; 0: there is none.
    last: Position,
    /// How many there are.
    postings: u64,
}

/// What one event changed of an account that lasts.
pub(super) struct Moved {
    pub(super) account: Account,
    pub(super) minor: i64,
    pub(super) balance_minor: i64,
}

/// Of how many postings of an account one is marked: a page is found with so many reads at most.
const POSTINGS_PER_MARK: u64 = 64;

type Account = (LedgerAccount, Currency);

const POSTINGS: Layout<(Position, Account), Row> = Layout::new(b'p', VERSION);
const MARKS: Layout<(Account, Position), ()> = Layout::new(b'm', VERSION);

/// Tells whether an account lasts, and so has a statement.
pub const fn has_statement(account: LedgerAccount) -> bool {
    match account {
        LedgerAccount::Escrow(_) | LedgerAccount::Dispute(_) | LedgerAccount::Payout(_) => false,
        LedgerAccount::Wallet(_)
        | LedgerAccount::SellerAvailable(_)
        | LedgerAccount::SellerReserve(_)
        | LedgerAccount::SellerReceivable(_)
        | LedgerAccount::BuyerReceivable(_)
        | LedgerAccount::PlatformExpense
        | LedgerAccount::ProviderFees(_)
        | LedgerAccount::ProviderChargebacks(_)
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
    account: Account,
    before: Option<Position>,
    limit: usize,
) -> Result<StatementPage, ViewError> {
    let limit = limit.clamp(1, POSTINGS_PER_PAGE_MAX);
    let before = before.unwrap_or(Position::MAX);
    let mut page = StatementPage { postings: Vec::with_capacity(limit), next: None };
    let mut position = behind(tree, account, before)?;
    while position > 0 {
        let row = POSTINGS.get(tree, &(position, account))?;
        let missing = || ViewError::Damaged { source: "a posting is named, but is not there".into() };
        let Row { time, what, about, minor, balance_minor, before: earlier } = row.ok_or_else(missing)?;
        if position < before {
            if page.postings.len() == limit {
                page.next = page.postings.last().map(|last| last.position);
                break;
            }
            let (amount, balance) = (Money::new(minor, account.1), Money::new(balance_minor, account.1));
            page.postings.push(Posting { position, time, what, about, amount, balance });
        }
        position = earlier;
    }
    Ok(page)
}

/// Gives a posting of an account from which the newest one before a position is not far: the first mark from there on, or the
/// last posting of all; 0 if there is none.
fn behind(tree: &Tree, account: Account, position: Position) -> Result<Position, ViewError> {
    if let Some(mark) = MARKS.scan_from(tree, &account, &(account, position)).next() {
        let (key, ()) = mark?;
        let damaged = |_| ViewError::Damaged { source: "a mark has no position".into() };
        return Ok(Position::from_be_bytes(key.as_ref().try_into().map_err(damaged)?));
    }
    Ok(BALANCES.get(tree, &account)?.map_or(0, |balance| balance.statement.last))
}

/// How statements follow the log.
pub(super) struct StatementFold {
    postings: Additions<(Position, Account), Row>,
    marks: Additions<(Account, Position), ()>,
}

impl StatementFold {
    pub(super) fn new() -> Self {
        StatementFold { postings: Additions::new(POSTINGS), marks: Additions::new(MARKS) }
    }

    /// Notes what an event changed of an account, with what it holds from then on, behind what its statement has.
    pub(super) fn note(&mut self, recorded: &Recorded, moved: &Moved, tail: &mut Tail) {
        let Moved { account, minor, balance_minor } = *moved;
        let (what, _) = recorded.metadata.type_name.rsplit_once(".v").unwrap_or_default();
        let about = recorded.metadata.subject.as_deref().and_then(|subject| subject.parse().ok());
        let (position, time, before) = (recorded.position, recorded.metadata.time, tail.last);
        let row = Row { time, what: what.to_owned(), about, minor, balance_minor, before };
        self.postings.add(&(position, account), &row);
        *tail = Tail { last: position, postings: tail.postings + 1 };
        if tail.postings.is_multiple_of(POSTINGS_PER_MARK) {
            self.marks.add(&(account, position), &());
        }
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.postings.write(tree, batch)?;
        self.marks.write(tree, batch)
    }
}
