//! What people owe, since a bank or a return took back what they had spent. A seller repays it from what he earns next
//! ([`crate::earnings`]); whoever has a wallet, out of that; and what nobody expects any more an operator writes off.

use std::collections::BTreeMap;

use events::account::Role;
use events::debt::{Repaid, WriteOffProposed, WrittenOff};
use events::ids::AccountId;
use events::ledger::{LedgerAccount, Transfer};
use events::rejection::ChargebackRejection;
use events::{Currency, Event, Money, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::in_role;
use crate::command::{RepayDebt, WriteOffDebt};
use crate::market::Market;
use crate::suspension::may_be_agreed_to;

/// How long a proposal to write off waits for another operator, in milliseconds: 7 days.
pub const PROPOSAL_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1000;

/// What was written off and has not come back: what a chargeback brings back that is won after all is the platform's first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Debts {
    /// Minor units by the account of the debt, none of them zero.
    written_off: BTreeMap<(LedgerAccount, Currency), i64>,
    /// What an operator proposed to write off and no other has agreed to; at most one for each debt.
    proposed: BTreeMap<(LedgerAccount, Currency), Proposal>,
}

/// What an operator proposed to write off of a debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// How much.
    pub minor: i64,
    /// By whom.
    pub by: AccountId,
    /// Until when another may agree, in milliseconds since 1970.
    pub until: Timestamp,
}

impl Debts {
    /// Gives what was written off of a debt and has not come back.
    pub fn written_off(&self, debt: LedgerAccount, currency: Currency) -> Money {
        Money::new(self.written_off.get(&(debt, currency)).copied().unwrap_or(0), currency)
    }

    /// Gives what an operator proposed to write off of a debt, which waits for another.
    pub fn proposed(&self, debt: LedgerAccount, currency: Currency) -> Option<Proposal> {
        self.proposed.get(&(debt, currency)).copied()
    }

    /// Notes that some of what was written off came back.
    pub(crate) fn recover(&mut self, debt: LedgerAccount, amount: Money) {
        let key = (debt, amount.currency);
        let left = self.written_off.get_mut(&key).expect("what comes back was written off");
        *left -= amount.minor;
        assert!(*left >= 0, "no more comes back than was written off");
        if *left == 0 {
            self.written_off.remove(&key);
        }
    }
}

impl Market {
    pub(crate) fn debt_written_off(&mut self, event: &WrittenOff) {
        self.ledger.post(&event.transfer);
        let Money { minor, currency } = event.transfer.amount;
        self.debts.proposed.remove(&(event.transfer.to, currency));
        *self.debts.written_off.entry((event.transfer.to, currency)).or_default() += minor;
    }

    pub(crate) fn write_off_proposed(&mut self, event: &WriteOffProposed) {
        let WriteOffProposed { account, amount, by, role, .. } = *event;
        let debt = debt_of(account, role).expect("it is only proposed of a debt");
        let until = self.time.plus_ms(PROPOSAL_MS_MAX);
        self.debts.proposed.insert((debt, amount.currency), Proposal { minor: amount.minor, by, until });
    }

    /// Gives what an account owes, above zero.
    pub(crate) fn owed(&self, debt: LedgerAccount, currency: Currency) -> Money {
        Money::new(-self.ledger.balance(debt, currency).minor, currency)
    }
}

pub(crate) fn decide_repay(
    market: &Market,
    account: AccountId,
    command: &RepayDebt,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RepayDebt { amount } = *command;
    if !amount.is_positive() {
        return Err(vec![Rejection::AmountNotPositive]);
    }
    let debts = [LedgerAccount::BuyerReceivable(account), LedgerAccount::SellerReceivable(account)];
    let owed = debts.map(|debt| market.owed(debt, amount.currency).minor);
    let all = Money::new(owed.iter().sum(), amount.currency);
    if amount.minor > all.minor {
        return Err(vec![ChargebackRejection::DebtAmount { owed: all, role: Role::Buyer }.into()]);
    }
    let wallet = LedgerAccount::Wallet(account);
    let available = market.ledger.balance(wallet, amount.currency);
    if available.minor < amount.minor {
        return Err(vec![Rejection::InsufficientFunds { available, required: amount }]);
    }
    let first = amount.minor.min(owed[0]);
    let parts = debts.into_iter().zip([first, amount.minor - first]);
    let transfers = parts.filter(|(_, minor)| *minor > 0).map(|(to, minor)| Transfer {
        amount: Money::new(minor, amount.currency),
        from: wallet,
        to,
    });
    Ok(vec![Repaid { account, transfers: transfers.collect() }.into()])
}

pub(crate) fn decide_write_off(
    market: &Market,
    by: AccountId,
    command: &WriteOffDebt,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let WriteOffDebt { account, amount, ref reason, role } = *command;
    let debt = debt_of(account, role).ok_or_else(|| vec![ChargebackRejection::DebtRole.into()])?;
    in_role(market, account, role)?;
    if !amount.is_positive() {
        return Err(vec![Rejection::AmountNotPositive]);
    }
    let owed = market.owed(debt, amount.currency);
    if amount.minor > owed.minor {
        return Err(vec![ChargebackRejection::DebtAmount { owed, role }.into()]);
    }
    let reason = reason.as_str().to_owned();
    // What was written off of the debt before counts too, so that nobody writes much of it off in small parts.
    let together = market.debts.written_off(debt, amount.currency).minor.saturating_add(amount.minor);
    let proposed_by = if together <= market.escrow_terms().four_eyes_above_minor() {
        None
    } else {
        let first = market.debts.proposed(debt, amount.currency);
        match first.filter(|first| now < first.until && may_be_agreed_to(market, first.by)) {
            Some(first) if first.minor == amount.minor && first.by == by => {
                return Err(vec![ChargebackRejection::DebtFourEyes { account }.into()]);
            }
            Some(first) if first.minor == amount.minor => Some(first.by),
            // The first, or another amount, which then stands in the place of the first.
            Some(_) | None => return Ok(vec![WriteOffProposed { account, amount, by, reason, role }.into()]),
        }
    };
    let transfer = Transfer { amount, from: LedgerAccount::PlatformExpense, to: debt };
    Ok(vec![WrittenOff { account, by, proposed_by, reason, transfer }.into()])
}

/// Names the debt that somebody has in a role; `None` for a role that can't owe.
fn debt_of(account: AccountId, role: Role) -> Option<LedgerAccount> {
    match role {
        Role::Buyer => Some(LedgerAccount::BuyerReceivable(account)),
        Role::Seller => Some(LedgerAccount::SellerReceivable(account)),
        _ => None,
    }
}
