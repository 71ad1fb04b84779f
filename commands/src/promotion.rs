//! Promotions: what sellers and the platform take off prices, and how often it was taken.

use std::collections::{BTreeMap, BTreeSet};

use events::account::Role;
use events::ids::{AccountId, CommandId, ListingId, PromotionId};
use events::promotion::{Benefit, CouponCode, Created, Ended, PaidBy};
use events::rejection::CouponProblem;
use events::{Bps, Currency, Event, Money, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::{CreatePromotion, EndPromotion};
use crate::listing;
use crate::market::Market;

/// Most promotions of one seller, and of the platform, that have not ended.
pub const PROMOTIONS_MAX: usize = 64;
/// Most uses of a promotion that counts them by account, each of which has to be remembered.
pub const COUNTED_USES_MAX: u32 = 100_000;

/// A promotion that nobody has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Who sells, and earns less; none: the platform pays.
    pub seller: Option<AccountId>,
    /// Only buyers who name it get it; none: everybody does.
    pub code: Option<CouponCode>,
    /// From when on.
    pub from: Timestamp,
    /// Until when, that moment left out.
    pub until: Option<Timestamp>,
    /// What it gives.
    pub gives: Benefit,
    /// What it is taken off of; empty: everything the seller sells, or everybody does.
    pub listings: BTreeSet<ListingId>,
    /// How much must be spent on it.
    pub min_spend: Option<Money>,
    /// How many orders may have it.
    pub uses: Option<u32>,
    /// How many orders of one account may have it.
    pub uses_per_account: Option<u32>,
    /// How many orders have it.
    pub used: u64,
    /// How many of them each account has; counted only where that is limited.
    pub used_by: BTreeMap<AccountId, u32>,
}

/// A line that something may be taken off of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    /// What is bought.
    pub(crate) listing: ListingId,
    /// Its price, before anything is taken off.
    pub(crate) price_minor: i64,
    /// What is left of that.
    pub(crate) left_minor: i64,
    /// Whether nothing may be taken off: it was priced by a quote.
    pub(crate) is_fixed: bool,
}

impl Promotion {
    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Tells who pays what it gives.
    pub const fn paid_by(&self) -> PaidBy {
        if self.seller.is_some() { PaidBy::Seller } else { PaidBy::Platform }
    }

    /// Tells whether the buyer may use it once more after `before` uses that are not counted yet, or which of the two limits is
    /// reached: `Err(true)` is that of the account.
    pub(crate) fn check_uses(&self, buyer: AccountId, before: u32) -> Result<(), bool> {
        if self.uses.is_some_and(|most| self.used + u64::from(before) >= u64::from(most)) {
            return Err(false);
        }
        let of_account = self.used_by.get(&buyer).copied().unwrap_or(0) + before;
        if self.uses_per_account.is_some_and(|most| of_account >= most) { Err(true) } else { Ok(()) }
    }

    pub(crate) fn check_time(&self, now: Timestamp) -> Result<(), CouponProblem> {
        if now < self.from {
            Err(CouponProblem::TooEarly)
        } else if self.is_over(now) {
            Err(CouponProblem::TooLate)
        } else {
            Ok(())
        }
    }

    /// Computes what is taken off each line, in minor units. A line always costs at least one minor unit.
    pub(crate) fn off(&self, offers: &[Offer], currency: Currency) -> Result<Vec<i64>, CouponProblem> {
        let is_eligible = |offer: &Offer| {
            !offer.is_fixed && (self.listings.is_empty() || self.listings.contains(&offer.listing))
        };
        let spent: i128 =
            offers.iter().filter(|offer| is_eligible(offer)).map(|offer| i128::from(offer.price_minor)).sum();
        if spent == 0 {
            return Err(CouponProblem::NothingEligible);
        }
        if let Some(least) = self.min_spend {
            if least.currency != currency {
                return Err(CouponProblem::Currency);
            }
            if spent < i128::from(least.minor) {
                return Err(CouponProblem::MinSpend);
            }
        }
        let most: Vec<i64> =
            offers.iter().map(|offer| if is_eligible(offer) { offer.left_minor - 1 } else { 0 }).collect();
        let off: Vec<i64> = match self.gives {
            Benefit::Percent(bps) => {
                let off =
                    offers.iter().zip(&most).map(|(offer, most)| share(offer.left_minor, bps).min(*most));
                off.collect()
            }
            Benefit::Amount(amount) if amount.currency != currency => return Err(CouponProblem::Currency),
            Benefit::Amount(amount) => split(amount.minor, &most),
        };
        if off.iter().all(|minor| *minor == 0) { Err(CouponProblem::NothingEligible) } else { Ok(off) }
    }
}

/// Computes a share of an amount that is not below zero: rounded, halves away from zero.
fn share(minor: i64, bps: Bps) -> i64 {
    let whole = i128::from(Bps::WHOLE);
    let share = (2 * i128::from(minor) * i128::from(bps.get()) + whole) / (2 * whole);
    i64::try_from(share).expect("a share is no more than the whole, which fits")
}

/// Splits an amount over lines in proportion to the most that each can bear: each share rounded down, and what is left over
/// one minor unit each from the first line on. Together it is the amount, or all that the lines can bear.
fn split(minor: i64, most: &[i64]) -> Vec<i64> {
    let all: i128 = most.iter().map(|most| i128::from(*most)).sum();
    let amount = i128::from(minor).min(all);
    if amount == 0 {
        return vec![0; most.len()];
    }
    let floor = |most: &i64| i64::try_from(amount * i128::from(*most) / all);
    let mut parts: Vec<i64> = most
        .iter()
        .map(|most| floor(most).expect("a share is no more than what the line can bear"))
        .collect();
    let mut over = amount - parts.iter().map(|part| i128::from(*part)).sum::<i128>();
    for (part, most) in parts.iter_mut().zip(most) {
        if over > 0 && *part < *most {
            *part += 1;
            over -= 1;
        }
    }
    assert!(over == 0, "fewer minor units are left over than there are lines with room for one");
    parts
}

/// All promotions that nobody has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Promotions {
    by_id: BTreeMap<PromotionId, Promotion>,
    /// Those of each seller and, under none, the platform's.
    by_seller: BTreeMap<Option<AccountId>, BTreeSet<PromotionId>>,
    by_code: BTreeMap<CouponCode, PromotionId>,
}

impl Promotions {
    /// Finds a promotion.
    pub fn get(&self, promotion: PromotionId) -> Option<&Promotion> {
        self.by_id.get(&promotion)
    }

    /// Finds the promotion of a code.
    pub fn with_code(&self, code: &CouponCode) -> Option<(PromotionId, &Promotion)> {
        let id = *self.by_code.get(code)?;
        Some((id, self.get(id)?))
    }

    /// Gives a seller's promotions, or the platform's, oldest first.
    pub fn of(&self, seller: Option<AccountId>) -> impl Iterator<Item = (PromotionId, &Promotion)> {
        self.by_seller.get(&seller).into_iter().flatten().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// Gives every promotion.
    pub fn iter(&self) -> impl Iterator<Item = (&PromotionId, &Promotion)> {
        self.by_id.iter()
    }

    /// Gives a bound of the events that tell of one order: that it is placed, and what is put into its escrow, by its buyer and
    /// perhaps by the platform.
    pub(crate) fn events_per_order_max(&self) -> usize {
        if self.of(None).next().is_some() { 3 } else { 2 }
    }

    /// Remembers a new one, and forgets those of its seller whose time was over by then.
    pub(crate) fn created(&mut self, event: &Created, time: Timestamp) {
        let over: Vec<_> =
            self.of(event.seller).filter(|(_, known)| known.is_over(time)).map(|(id, _)| id).collect();
        over.into_iter().for_each(|id| self.forget(id));
        let new = Promotion {
            seller: event.seller,
            code: event.code.clone(),
            from: event.from,
            until: event.until,
            gives: event.gives,
            listings: event.listings.clone(),
            min_spend: event.min_spend,
            uses: event.uses,
            uses_per_account: event.uses_per_account,
            used: 0,
            used_by: BTreeMap::new(),
        };
        self.by_id.insert(event.promotion, new);
        self.by_seller.entry(event.seller).or_default().insert(event.promotion);
        if let Some(code) = &event.code {
            self.by_code.insert(code.clone(), event.promotion);
        }
    }

    pub(crate) fn ended(&mut self, event: &Ended) {
        self.forget(event.promotion);
    }

    fn forget(&mut self, id: PromotionId) {
        let Some(known) = self.by_id.remove(&id) else { return };
        if let Some(of_seller) = self.by_seller.get_mut(&known.seller) {
            of_seller.remove(&id);
        }
        // The code may belong to a later one already.
        if let Some(code) = &known.code
            && self.by_code.get(code) == Some(&id)
        {
            self.by_code.remove(code);
        }
    }

    /// Counts an order that has it.
    pub(crate) fn use_up(&mut self, id: PromotionId, buyer: AccountId) {
        let known = self.by_id.get_mut(&id).expect("an order has only promotions that have not ended");
        assert!(known.check_uses(buyer, 0) == Ok(()), "no promotion is used more often than it may be");
        known.used += 1;
        if known.uses_per_account.is_some() {
            *known.used_by.entry(buyer).or_insert(0) += 1;
        }
    }

    /// Gives the use of an order back of which nothing was shipped. It may have ended since.
    pub(crate) fn give_back(&mut self, id: PromotionId, buyer: AccountId) {
        let Some(known) = self.by_id.get_mut(&id) else { return };
        known.used -= 1;
        if let Some(used) = known.used_by.get_mut(&buyer) {
            *used -= 1;
            if *used == 0 {
                known.used_by.remove(&buyer);
            }
        }
    }
}

pub(crate) fn decide_create(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &CreatePromotion,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    // Nobody gives away another's money: a seller his own, and an operator the platform's.
    let (role, seller) = match command.paid_by {
        PaidBy::Seller => (Role::Seller, Some(account)),
        PaidBy::Platform => (Role::Operator, None),
    };
    if !market.accounts.has_role(account, role) {
        return Err(vec![Rejection::RoleMissing { account, role }]);
    }
    let mut reasons = Vec::new();
    for listing in command.listings.iter().copied() {
        match seller {
            Some(seller) => {
                reasons.extend(listing::owned(market, seller, listing).err().into_iter().flatten())
            }
            None if market.listings.get(listing).is_none() => {
                reasons.push(Rejection::ListingUnknown { listing });
            }
            None => {}
        }
    }
    let is_nothing = match command.gives {
        Benefit::Percent(bps) => bps.get() == 0,
        Benefit::Amount(amount) => !amount.is_positive(),
    };
    if is_nothing || command.min_spend.is_some_and(|least| !least.is_positive()) {
        reasons.push(Rejection::AmountNotPositive);
    }
    let from = command.from.unwrap_or(now);
    if command.until.is_some_and(|until| until <= from || until <= now) {
        reasons.push(Rejection::PromotionPeriod);
    }
    let is_counted = command.uses_per_account.is_none_or(|of_account| {
        let most = COUNTED_USES_MAX;
        of_account > 0 && command.uses.is_some_and(|uses| (of_account..=most).contains(&uses))
    });
    if !is_counted || command.uses == Some(0) {
        reasons.push(Rejection::PromotionUses { max: COUNTED_USES_MAX });
    }
    if let Some(code) = &command.code
        && let Some((promotion, known)) = market.promotions.with_code(code)
        && !known.is_over(now)
    {
        reasons.push(Rejection::CouponTaken { coupon: code.clone(), promotion });
    }
    if market.promotions.of(seller).filter(|(_, known)| !known.is_over(now)).count() >= PROMOTIONS_MAX {
        reasons.push(Rejection::TooManyPromotions { max: PROMOTIONS_MAX as u32 });
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let CreatePromotion { code, gives, listings, min_spend, title, until, uses, uses_per_account, .. } =
        command.clone();
    let promotion = PromotionId::derive(account, command_id);
    let title = title.as_str().to_owned();
    Ok(vec![
        Created {
            code,
            from,
            gives,
            listings,
            min_spend,
            promotion,
            seller,
            title,
            until,
            uses,
            uses_per_account,
        }
        .into(),
    ])
}

pub(crate) fn decide_end(
    market: &Market,
    account: AccountId,
    command: &EndPromotion,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let EndPromotion { promotion } = *command;
    let known =
        market.promotions.get(promotion).ok_or_else(|| vec![Rejection::PromotionUnknown { promotion }])?;
    if known.seller != Some(account) && !market.accounts.has_role(account, Role::Operator) {
        return Err(vec![Rejection::NotYourPromotion { promotion }]);
    }
    Ok(vec![Ended { promotion, seller: known.seller }.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_amount_is_split_in_proportion_and_what_is_left_over_goes_to_the_first() {
        for (minor, most, parts) in [
            (15, vec![4, 2, 3], vec![4, 2, 3]),
            (15, vec![80, 8, 12], vec![13, 1, 1]),
            (10, vec![10, 10, 10], vec![4, 3, 3]),
            (1, vec![0, 5, 5], vec![0, 1, 0]),
            (0, vec![1, 1], vec![0, 0]),
            (5, vec![0, 0], vec![0, 0]),
        ] {
            assert_eq!(split(minor, &most), parts, "{minor} over {most:?}");
        }
    }

    proptest! {
        #[test]
        fn no_part_is_more_than_its_line_can_bear_and_all_are_the_amount(
            minor in 0..=Money::MINOR_MAX, most in prop::collection::vec(0..=Money::MINOR_MAX / 100, 0..100),
        ) {
            let parts = split(minor, &most);
            prop_assert!(parts.iter().zip(&most).all(|(part, most)| (0..=*most).contains(part)));
            let all: i64 = most.iter().sum();
            prop_assert_eq!(parts.iter().sum::<i64>(), minor.min(all));
        }
    }
}
