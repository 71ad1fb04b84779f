//! How much buyers may buy, by how well it is known who they are.

use std::collections::BTreeMap;

use events::account::{Role, Tier, Verified};
use events::ids::AccountId;
use events::market::PurchaseLimit;
use events::{Currency, Event, Money, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::{Account, in_role};
use crate::command::VerifyAccount;
use crate::market::Market;

const DAY_MS: i64 = 86_400_000;

/// What an account has bought in one day of UTC, in the currencies that are limited. What came before is not remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The day, counted from 1970-01-01.
    day: i64,
    /// Minor units by currency.
    minor: BTreeMap<Currency, i64>,
}

impl Account {
    /// Gives what it has bought on the day of `now`, in minor units.
    fn spent_minor(&self, currency: Currency, now: Timestamp) -> i64 {
        let today = self.spent.as_ref().filter(|spent| spent.day == day(now));
        today.and_then(|spent| spent.minor.get(&currency).copied()).unwrap_or(0)
    }
}

const fn day(time: Timestamp) -> i64 {
    time.ms().div_euclid(DAY_MS)
}

impl Market {
    /// Counts an order towards its buyer's limits, where there are any in its currency.
    pub(crate) fn count_spent(&mut self, buyer: AccountId, total: Money) {
        let now = self.time;
        if !self.purchase_limits().iter().any(|limit| limit.currency == total.currency) {
            return;
        }
        let account = self.accounts.known(buyer);
        let spent = account.spent_minor(total.currency, now);
        let today = account.spent.take().filter(|spent| spent.day == day(now));
        let mut today = today.unwrap_or_else(|| Box::new(Spent { day: day(now), minor: BTreeMap::new() }));
        // Above the largest amount every limit is reached.
        today.minor.insert(total.currency, (spent + total.minor).min(Money::MINOR_MAX));
        account.spent = Some(today);
    }
}

/// Checks a purchase against the limits of its buyer's tier.
pub(crate) fn check(
    market: &Market,
    buyer: AccountId,
    total: Money,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) {
    check_more(market, buyer, total, total, now, reasons);
}

/// Checks what an account buys against the limits of its tier: `total` of one order, and of that `more` today.
pub(crate) fn check_more(
    market: &Market,
    buyer: AccountId,
    total: Money,
    more: Money,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) {
    let limits = market.purchase_limits();
    let Some(account) = market.accounts.get(buyer) else { return };
    let of = |tier: Tier| limits.iter().find(|limit| (limit.tier, limit.currency) == (tier, total.currency));
    let Some(mine) = of(account.tier) else { return };
    let with_today = account.spent_minor(total.currency, now).saturating_add(more.minor);
    let money = |minor: i64| Money::new(minor.min(Money::MINOR_MAX), total.currency);
    for per_day in [false, true] {
        let most = |limit: &PurchaseLimit| if per_day { limit.per_day_minor } else { limit.per_order_minor };
        let wanted = if per_day { with_today } else { total.minor };
        if wanted <= most(mine) {
            continue;
        }
        let higher = (account.tier.get() + 1..=Tier::MAX).filter_map(|tier| Tier::new(tier).ok());
        let would_do = higher.into_iter().any(|tier| of(tier).is_none_or(|limit| wanted <= most(limit)));
        let (limit, total) = (money(most(mine)), money(wanted));
        reasons.push(if would_do {
            Rejection::KycRequired { limit, tier: account.tier, total }
        } else {
            Rejection::PurchaseLimit { limit, per_day, total }
        });
    }
}

pub(crate) fn decide_verify(market: &Market, command: &VerifyAccount) -> Result<Vec<Event>, Vec<Rejection>> {
    let VerifyAccount { account, tier } = *command;
    let is_done = in_role(market, account, Role::Buyer)?.tier == tier;
    Ok(if is_done { vec![] } else { vec![Verified { account, tier }.into()] })
}
