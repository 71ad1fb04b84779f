//! The balances of the market's ledger.

use std::collections::BTreeMap;

use events::ids::PaymentId;
use events::ledger::{LedgerAccount, Transfer};
use events::{Currency, Money, Rejection};
use serde::{Deserialize, Serialize};

/// What every ledger account holds. Only transfers change it, so each currency's balances sum to zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Minor units by account; an account that holds nothing has no entry.
    balances: BTreeMap<(LedgerAccount, Currency), i64>,
    /// Transfers that wait: what providers hold for payments and have not given. Each ends once, with its payment.
    pending: BTreeMap<PaymentId, Transfer>,
    /// What the accounts that may be below zero are below it, together: all else is at most that.
    inside: BTreeMap<Currency, i64>,
    /// What may come to be owed without anybody being asked then: what was paid to sellers for units that are on their way back.
    /// Room is kept for it, since a deadline can't be refused.
    pledged: BTreeMap<Currency, i64>,
}

impl Ledger {
    /// Gives what an account holds of a currency.
    pub fn balance(&self, account: LedgerAccount, currency: Currency) -> Money {
        let minor = self.balances.get(&(account, currency)).copied().unwrap_or(0);
        Money::new(minor, currency)
    }

    /// Tells whether an account holds something, or owes something, in any currency.
    pub(crate) fn holds(&self, account: LedgerAccount) -> bool {
        let from = self.balances.range((account, Currency::FIRST)..).next();
        from.is_some_and(|((found, _), _)| *found == account)
    }

    /// Gives every balance that is not zero.
    pub fn balances(&self) -> impl Iterator<Item = (LedgerAccount, Money)> + '_ {
        self.balances.iter().map(|((account, currency), minor)| (*account, Money::new(*minor, *currency)))
    }

    /// Gives every transfer that waits, by the payment it waits for.
    pub fn pending(&self) -> impl Iterator<Item = (&PaymentId, &Transfer)> {
        self.pending.iter()
    }

    /// Notes a transfer that waits for a payment.
    ///
    /// # Panics
    /// If it is not positive, or one waits for the payment already: a payment is authorised once.
    pub(crate) fn expect(&mut self, payment: PaymentId, transfer: Transfer) {
        assert!(transfer.amount.is_positive(), "a transfer moves more than nothing");
        let before = self.pending.insert(payment, transfer);
        assert!(before.is_none(), "a payment is authorised once");
    }

    /// Ends the transfer that waits for a payment, if one does.
    pub(crate) fn end_pending(&mut self, payment: PaymentId) {
        self.pending.remove(&payment);
    }

    /// Sums all balances of each currency; every sum is zero unless this program is wrong.
    pub fn sums(&self) -> BTreeMap<Currency, i128> {
        let mut sums = BTreeMap::new();
        for ((_, currency), minor) in &self.balances {
            *sums.entry(*currency).or_insert(0i128) += i128::from(*minor);
        }
        sums
    }

    /// Checks that so much more money of a currency can come in from outside. What providers hold of it, the platform has paid
    /// and people owe or may come to owe, together, is one amount at most; since nothing but these accounts is ever negative, so is every balance.
    pub(crate) fn check_inflow(&self, amount: Money) -> Result<(), Rejection> {
        let inside = self.inside.get(&amount.currency).copied().unwrap_or(0);
        let pledged = self.pledged.get(&amount.currency).copied().unwrap_or(0);
        let after = i128::from(inside) + i128::from(pledged) + i128::from(amount.minor);
        let fits = after <= i128::from(Money::MINOR_MAX);
        if fits { Ok(()) } else { Err(Rejection::AmountOverflow) }
    }

    /// Keeps room for what somebody may come to owe.
    pub(crate) fn pledge(&mut self, amount: Money) {
        *self.pledged.entry(amount.currency).or_insert(0) += amount.minor;
    }

    /// Gives up room that was kept.
    ///
    /// # Panics
    /// If so much was not.
    pub(crate) fn unpledge(&mut self, amount: Money) {
        let pledged = self.pledged.get_mut(&amount.currency).expect("room was kept before");
        *pledged -= amount.minor;
        assert!(*pledged >= 0, "no more room is given up than was kept");
        if *pledged == 0 {
            self.pledged.remove(&amount.currency);
        }
    }

    /// Gives how much room is kept for what people may come to owe, in each currency where any is.
    pub fn pledged(&self) -> &BTreeMap<Currency, i64> {
        &self.pledged
    }

    /// Posts a transfer.
    ///
    /// # Panics
    /// If it is not positive, or takes from a wallet, an escrow or a seller more than is there: deciders are
    /// written so that it can't be, and a market that lost money must not go on.
    pub(crate) fn post(&mut self, transfer: &Transfer) {
        assert!(transfer.amount.is_positive(), "a transfer moves more than nothing");
        let from = self.change(transfer.from, transfer.amount.currency, -transfer.amount.minor);
        let to = self.change(transfer.to, transfer.amount.currency, transfer.amount.minor);
        assert!(transfer.from.is_source() || from >= 0, "{} was overdrawn", transfer.from);
        assert!(!transfer.to.is_debt() || to <= 0, "{} was repaid more than is owed", transfer.to);
    }

    fn change(&mut self, account: LedgerAccount, currency: Currency, by: i64) -> i64 {
        let balance = self.balances.entry((account, currency)).or_insert(0);
        *balance = balance.checked_add(by).expect(
            "all money of a currency together is one amount at most, which is checked when it comes in",
        );
        let after = *balance;
        if after == 0 {
            self.balances.remove(&(account, currency));
        }
        if account.is_source() {
            // One that got money which another had brought holds more than nothing, and lets nobody hold more.
            let inside = self.inside.entry(currency).or_insert(0);
            *inside += after.saturating_sub(by).min(0) - after.min(0);
            if *inside == 0 {
                self.inside.remove(&currency);
            }
        }
        after
    }
}
