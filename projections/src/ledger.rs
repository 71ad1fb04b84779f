//! Balances of the ledger, folded from every transfer in the log, and statements of the accounts that last.

mod statement;

use std::collections::BTreeMap;

use events::ids::{AccountId, PaymentId};
use events::ledger::{LedgerAccount, Transfer};
use events::{Commit, Currency, Event, Money, Position};
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use self::statement::{Moved, StatementFold, Tail};
pub use self::statement::{POSTINGS_PER_PAGE_MAX, Posting, StatementPage, has_statement};
use crate::store::Slot;
use crate::table::{Key, Layout, Table};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 4;

impl Key for LedgerAccount {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, id) = match self {
            LedgerAccount::Wallet(account) => (b'w', account.uuid()),
            LedgerAccount::Escrow(order) => (b'e', order.uuid()),
            LedgerAccount::Dispute(order) => (b'd', order.uuid()),
            LedgerAccount::SellerAvailable(account) => (b's', account.uuid()),
            LedgerAccount::SellerReserve(account) => (b'v', account.uuid()),
            LedgerAccount::SellerReceivable(account) => (b'c', account.uuid()),
            LedgerAccount::BuyerReceivable(account) => (b'b', account.uuid()),
            LedgerAccount::PlatformExpense => (b'x', uuid::Uuid::nil()),
            LedgerAccount::ProviderFees(account) => (b'g', account.uuid()),
            LedgerAccount::ProviderChargebacks(account) => (b'k', account.uuid()),
            LedgerAccount::PlatformFees => (b'f', uuid::Uuid::nil()),
            LedgerAccount::PlatformTax => (b't', uuid::Uuid::nil()),
            LedgerAccount::PlatformPromotions => (b'm', uuid::Uuid::nil()),
            LedgerAccount::RefundsPayable => (b'r', uuid::Uuid::nil()),
            LedgerAccount::Payout(payout) => (b'o', payout.uuid()),
            LedgerAccount::ProviderClearing(account) => (b'p', account.uuid()),
        };
        out.push(kind);
        out.extend_from_slice(id.as_bytes());
    }
}

impl Key for Currency {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code().as_bytes());
    }
}

/// What an account holds in one currency, and where its statement ends. The money has its currency too: a key's bytes need not be
/// parsed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Balance {
    money: Money,
    statement: Tail,
}

/// What is zero and has no statement is not kept.
const BALANCES: Layout<(LedgerAccount, Currency), Balance> = Layout::new(b'l', VERSION);

/// What is pending for an account: the sum of transfers to it that wait for a provider. What is zero is not kept.
const PENDING: Layout<(LedgerAccount, Currency), Money> = Layout::new(b'n', VERSION);
/// The transfer that waits for a payment.
const WAITING: Layout<PaymentId, Transfer> = Layout::new(b'w', VERSION);

/// The proof that no money appeared or vanished in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurrencySum {
    /// The currency.
    pub currency: Currency,
    /// Sum of all balances in minor units; anything but zero is a defect. It is computed in 128 bits and saturated
    /// to 64, which keeps zero and not-zero apart.
    pub sum: i64,
    /// Sum of the balances that are above zero, saturated to 64 bits: how much money there is.
    pub positive: i64,
    /// How many accounts have a balance other than zero.
    pub accounts: u64,
}

/// What an account holds as a buyer and as a seller; one entry per currency that is not zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountBalances {
    /// What it has to spend.
    pub wallet: Vec<Money>,
    /// What providers hold for the wallet and have not given.
    pub wallet_pending: Vec<Money>,
    /// What it has earned and may be paid out.
    pub seller_available: Vec<Money>,
    /// What of its earnings is kept for some time.
    pub seller_reserve: Vec<Money>,
    /// What it owes as a seller: below zero by that.
    pub seller_receivable: Vec<Money>,
    /// What it owes as a buyer: below zero by that.
    pub buyer_receivable: Vec<Money>,
}

/// Answers about balances.
#[derive(Clone, Copy)]
pub struct Ledger<'a>(&'a Slot);

impl<'a> Ledger<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Ledger(slot)
    }

    /// Gives the balance of a ledger account in one currency; zero for one never used.
    pub fn balance(&self, account: LedgerAccount, currency: Currency) -> Result<Money, ViewError> {
        let found = BALANCES.get(&self.0.ask()?.tree, &(account, currency))?;
        Ok(found.map_or(Money::zero(currency), |balance| balance.money))
    }

    /// Gives a ledger account's balances that are not zero, by currency.
    pub fn balances(&self, account: LedgerAccount) -> Result<Vec<Money>, ViewError> {
        balances(&self.0.ask()?.tree, account)
    }

    /// Gives what an account holds as a buyer and as a seller.
    pub fn account(&self, account: AccountId) -> Result<AccountBalances, ViewError> {
        let live = self.0.ask()?;
        Ok(AccountBalances {
            wallet: balances(&live.tree, LedgerAccount::Wallet(account))?,
            wallet_pending: PENDING
                .scan(&live.tree, &LedgerAccount::Wallet(account))
                .map(|pair| Ok(pair?.1))
                .collect::<Result<_, ViewError>>()?,
            seller_available: balances(&live.tree, LedgerAccount::SellerAvailable(account))?,
            seller_reserve: balances(&live.tree, LedgerAccount::SellerReserve(account))?,
            seller_receivable: balances(&live.tree, LedgerAccount::SellerReceivable(account))?,
            buyer_receivable: balances(&live.tree, LedgerAccount::BuyerReceivable(account))?,
        })
    }

    /// Gives the newest postings of an account in one currency that stand before position `before`, or the newest of all. A page
    /// has at most [`POSTINGS_PER_PAGE_MAX`]. An account that does not last has none: see [`has_statement`].
    pub fn statement(
        &self,
        account: LedgerAccount,
        currency: Currency,
        before: Option<Position>,
        limit: usize,
    ) -> Result<StatementPage, ViewError> {
        statement::page(&self.0.ask()?.tree, (account, currency), before, limit)
    }

    /// Sums all balances per currency; each sum must be zero. Reads the whole view.
    pub fn trial_balance(&self) -> Result<Vec<CurrencySum>, ViewError> {
        let live = self.0.ask()?;
        let mut sums: BTreeMap<Currency, (i128, i128, u64)> = BTreeMap::new();
        for pair in BALANCES.scan(&live.tree, &()) {
            let Balance { money: Money { currency, minor }, .. } = pair?.1;
            let (sum, positive, accounts) = sums.entry(currency).or_default();
            // 2^64 balances of 64 bits would be needed to overflow 128 bits.
            *sum += i128::from(minor);
            *positive += i128::from(minor.max(0));
            *accounts += u64::from(minor != 0);
        }
        let saturate = |wide: i128| i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX });
        let sums = sums.into_iter().map(|(currency, (sum, positive, accounts))| CurrencySum {
            currency,
            sum: saturate(sum),
            positive: saturate(positive),
            accounts,
        });
        Ok(sums.collect())
    }
}

fn balances(tree: &Tree, account: LedgerAccount) -> Result<Vec<Money>, ViewError> {
    let held = BALANCES.scan(tree, &account).map(|pair| pair.map(|(_, balance)| balance.money));
    held.filter(|money| !matches!(money, Ok(Money { minor: 0, .. }))).collect()
}

/// How the view follows the log.
pub(crate) struct LedgerFold {
    balances: Table<(LedgerAccount, Currency), Balance>,
    pending: Table<(LedgerAccount, Currency), Money>,
    waiting: Table<PaymentId, Transfer>,
    statements: StatementFold,
}

impl LedgerFold {
    pub(crate) fn new() -> Self {
        LedgerFold {
            balances: Table::new(BALANCES),
            pending: Table::new(PENDING),
            waiting: Table::new(WAITING),
            statements: StatementFold::new(),
        }
    }

    fn post(
        &mut self,
        tree: &Tree,
        transfer: &Transfer,
        position: Position,
        moved: &mut Vec<Moved>,
    ) -> Result<(), ViewError> {
        let Money { currency, minor } = transfer.amount;
        let taken = minor.checked_neg().ok_or(ViewError::overflow("a ledger balance", position))?;
        for (account, minor) in [(transfer.from, taken), (transfer.to, minor)] {
            let account = (account, currency);
            let found = self.balances.entry(tree, &account)?;
            let Balance { mut money, statement } =
                found.unwrap_or(Balance { money: Money::zero(currency), statement: Tail::default() });
            let balance_minor = add_to(&mut money, minor, position)?;
            let is_kept = balance_minor != 0 || has_statement(account.0);
            *found = is_kept.then_some(Balance { money, statement });
            match moved.iter_mut().find(|before| before.account == account) {
                Some(before) => {
                    before.minor += minor;
                    before.balance_minor = balance_minor;
                }
                None if has_statement(account.0) => moved.push(Moved { account, minor, balance_minor }),
                None => {}
            }
        }
        Ok(())
    }

    /// Notes what begins to wait for a payment, or no longer does.
    fn wait(&mut self, tree: &Tree, event: &Event, position: Position) -> Result<(), ViewError> {
        let (payment, begins) = match event {
            Event::PaymentAuthorized(authorized) => (authorized.payment, authorized.pending),
            Event::PaymentCaptured(captured) => (captured.payment, None),
            Event::PaymentFailed(failed) => (failed.payment, None),
            Event::PaymentVoided(voided) => (voided.payment, None),
            _ => return Ok(()),
        };
        let waiting = self.waiting.entry(tree, &payment)?;
        let ended = std::mem::replace(waiting, begins);
        for (transfer, sign) in ended.map(|ended| (ended, -1)).into_iter().chain(begins.map(|new| (new, 1))) {
            let Transfer { amount: Money { currency, minor }, to, .. } = transfer;
            let found = self.pending.entry(tree, &(to, currency))?;
            let mut pending = found.unwrap_or(Money::zero(currency));
            *found = (add_to(&mut pending, sign * minor, position)? != 0).then_some(pending);
        }
        Ok(())
    }
}

/// Adds to an amount and gives what it is then.
fn add_to(amount: &mut Money, minor: i64, position: Position) -> Result<i64, ViewError> {
    let after = amount.minor.checked_add(minor);
    amount.minor = after.ok_or(ViewError::overflow("a ledger balance", position))?;
    Ok(amount.minor)
}

impl Fold for LedgerFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        for recorded in commit.events() {
            let position = recorded.position;
            if let Event::OrderPlaced(placed) = &recorded.event {
                // A new order's escrow was never used: no need to look.
                let escrow = LedgerAccount::Escrow(placed.order);
                self.balances.set((escrow, placed.total.currency), None);
            }
            self.wait(tree, &recorded.event, position)?;
            let mut moved = Vec::new();
            for transfer in recorded.event.transfers() {
                self.post(tree, transfer, position, &mut moved)?;
            }
            for moved in moved {
                if let Some(balance) = self.balances.entry(tree, &moved.account)? {
                    self.statements.note(recorded, &moved, &mut balance.statement);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.balances.write(tree, batch)?;
        self.pending.write(tree, batch)?;
        self.waiting.write(tree, batch)?;
        self.statements.write(tree, batch)
    }
}
