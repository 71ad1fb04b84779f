//! Money of a wallet that a provider changed into another currency.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AccountId;
use crate::ledger::{LedgerAccount, Transfer};
use crate::money::Money;

/// What minor units of one currency are worth in another: a fraction, so that nothing of it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExchangeRate")]
pub struct Rate {
    /// For so many minor units of the first currency; more than zero.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub for_minor: i64,
    /// So many of the second one are given; more than zero.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub gives_minor: i64,
}

impl Rate {
    /// Computes what minor units, not below zero, are worth: rounded, halves away from zero. None where the rate is no fraction
    /// of numbers above zero.
    pub fn of(self, minor: i64) -> Option<i128> {
        if self.for_minor <= 0 || self.gives_minor <= 0 {
            return None;
        }
        let (dividend, divisor) =
            (i128::from(minor) * i128::from(self.gives_minor), i128::from(self.for_minor));
        let (whole, rest) = (dividend / divisor, dividend % divisor);
        Some(if 2 * rest >= divisor { whole + 1 } else { whole })
    }
}

/// A provider took money of a wallet in one currency, and gave what it is worth in another. No transfer crosses currencies:
/// these are two, which are one event and so happen together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exchanged {
    /// Whose wallet.
    pub account: AccountId,
    /// Who changed it.
    pub provider: AccountId,
    /// At which rate.
    pub rate: Rate,
    /// The provider's reference of its quote, 1 to 64 characters; each is good once.
    pub reference: String,
    /// From the wallet to the provider's clearing account in the one currency, and back in the other.
    pub transfers: [Transfer; 2],
}

impl Exchanged {
    /// Says that a provider took `from` out of a wallet and gave `to`.
    pub fn new(
        account: AccountId,
        provider: AccountId,
        rate: Rate,
        reference: String,
        [from, to]: [Money; 2],
    ) -> Self {
        let (wallet, clearing) = (LedgerAccount::Wallet(account), LedgerAccount::ProviderClearing(provider));
        let taken = Transfer { amount: from, from: wallet, to: clearing };
        let given = Transfer { amount: to, from: clearing, to: wallet };
        Exchanged { account, provider, rate, reference, transfers: [taken, given] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_applied_exactly_and_rounded_once() {
        let rate = |for_minor, gives_minor| Rate { for_minor, gives_minor };
        for (rate, minor, worth) in [
            (rate(10_000, 10_850), 5_000, Some(5_425)),
            (rate(2, 1), 1, Some(1)),
            (rate(2, 1), 3, Some(2)),
            (rate(3, 1), 1, Some(0)),
            (rate(1, Money::MINOR_MAX), 2, Some(2 * i128::from(Money::MINOR_MAX))),
            (rate(Money::MINOR_MAX, Money::MINOR_MAX), Money::MINOR_MAX, Some(Money::MINOR_MAX.into())),
            (rate(0, 1), 1, None),
            (rate(1, 0), 1, None),
            (rate(-1, -1), 1, None),
        ] {
            assert_eq!(rate.of(minor), worth, "{rate:?} of {minor}");
        }
    }
}
