//! What sellers earn and owe. Whatever is released to a seller repays what he owes first; of the rest the market may keep a
//! part for some time, in case that buyers get money back; what is left he may be paid out. What he has to give back is taken
//! in the other order: from what is kept, from what he has, and what is short he owes from then on.

use std::collections::BTreeMap;

use events::earnings::ReserveReleased;
use events::ids::AccountId;
use events::ledger::{LedgerAccount, Transfer};
use events::market::ReserveTerms;
use events::metadata::{DeadlineStamp, Waiting};
use events::money::Bps;
use events::{Currency, Event, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::fees;
use crate::market::Market;

const DAY_MS: i64 = 86_400_000;

/// What is kept of what sellers earned, by when it is theirs. All that is kept on one day of UTC is given on one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reserves {
    /// Minor units by seller, none of them zero.
    kept: BTreeMap<AccountId, BTreeMap<(Timestamp, Currency), i64>>,
}

impl Reserves {
    /// Gives what is kept of a seller's earnings: until when, and how much.
    pub fn of(&self, seller: AccountId) -> impl Iterator<Item = (Timestamp, Money)> {
        let kept = self.kept.get(&seller).into_iter().flatten();
        kept.map(|((until, currency), minor)| (*until, Money::new(*minor, *currency)))
    }

    /// Gives everything that is kept: whose it is, until when, and how much.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, Timestamp, Money)> {
        self.kept.keys().flat_map(|seller| self.of(*seller).map(|(until, kept)| (*seller, until, kept)))
    }

    fn keep(&mut self, seller: AccountId, until: Timestamp, amount: Money) {
        *self.kept.entry(seller).or_default().entry((until, amount.currency)).or_insert(0) += amount.minor;
    }

    /// Takes up to an amount of what would be given first, and tells when that would have been, and how much it was.
    fn take_first(&mut self, seller: AccountId, most: Money) -> (Timestamp, i64) {
        let of_seller = self.kept.get_mut(&seller).expect("the ledger keeps as much as is noted here");
        let mut of_currency = of_seller.iter_mut().filter(|((_, currency), _)| *currency == most.currency);
        let ((until, _), kept) = of_currency.next().expect("the ledger keeps as much as is noted here");
        let (until, taken) = (*until, most.minor.min(*kept));
        *kept -= taken;
        if *kept == 0 {
            of_seller.remove(&(until, most.currency));
        }
        if of_seller.is_empty() {
            self.kept.remove(&seller);
        }
        (until, taken)
    }

    fn is_waiting(&self, seller: AccountId, until: Timestamp) -> bool {
        self.of(seller).any(|(other, _)| other == until)
    }
}

impl Market {
    /// Posts a transfer that may be to or from what a seller earned. `kept_until`: when what is kept by it is given.
    pub(crate) fn post_earned(&mut self, transfer: &Transfer, kept_until: Option<Timestamp>) {
        self.ledger.post(transfer);
        if let LedgerAccount::SellerReserve(seller) = transfer.to {
            let until = kept_until.expect("what is kept is kept until some time");
            self.reserves.keep(seller, until, transfer.amount);
            self.waiting.insert(due(seller, until));
        }
        if let LedgerAccount::SellerReserve(seller) = transfer.from {
            self.take_from_reserve(seller, transfer.amount);
        }
    }

    fn take_from_reserve(&mut self, seller: AccountId, amount: Money) {
        let mut left = amount.minor;
        while left > 0 {
            let (until, taken) = self.reserves.take_first(seller, Money::new(left, amount.currency));
            left -= taken;
            if !self.reserves.is_waiting(seller, until) {
                self.waiting.remove(&due(seller, until));
            }
        }
    }

    pub(crate) fn reserve_released(&mut self, event: &ReserveReleased) {
        event.transfers.iter().for_each(|transfer| self.post_earned(transfer, None));
    }
}

const fn due(seller: AccountId, until: Timestamp) -> DeadlineStamp {
    DeadlineStamp { due: until, waiting: Waiting::ReserveDue { account: seller } }
}

/// Gives a seller what was kept of his earnings until now.
pub(crate) fn decide_kept(market: &Market, seller: AccountId, until: Timestamp) -> Vec<Event> {
    let kept = market.reserves.of(seller).filter(|(other, _)| *other == until);
    let (from, to) = (LedgerAccount::SellerReserve(seller), LedgerAccount::SellerAvailable(seller));
    let transfers = kept.map(|(_, amount)| Transfer { amount, from, to }).collect();
    vec![ReserveReleased { seller, transfers }.into()]
}

/// What a seller owes of one currency while a decision pays him: each payment sees what those before it repaid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earner {
    seller: AccountId,
    owed_minor: i64,
    keep: Bps,
}

impl Earner {
    pub(crate) fn of(market: &Market, seller: AccountId, currency: Currency) -> Earner {
        Earner {
            seller,
            owed_minor: -market.ledger.balance(LedgerAccount::SellerReceivable(seller), currency).minor,
            keep: market.reserve_terms().map_or(Bps::ZERO, ReserveTerms::share),
        }
    }

    /// Splits what is released to the seller. A part may be nothing.
    pub(crate) fn pay(&mut self, minor: i64) -> [(LedgerAccount, i64); 3] {
        let repaid = minor.min(self.owed_minor);
        let earned = minor - repaid;
        let kept = fees::part(earned, i64::from(self.keep.get()), i64::from(Bps::WHOLE));
        self.owed_minor -= repaid;
        [
            (LedgerAccount::SellerReceivable(self.seller), repaid),
            (LedgerAccount::SellerReserve(self.seller), kept),
            (LedgerAccount::SellerAvailable(self.seller), earned - kept),
        ]
    }
}

/// Splits what a seller has to give back over what it is taken from. A part may be nothing.
pub(crate) fn take_back(market: &Market, seller: AccountId, amount: Money) -> [(LedgerAccount, i64); 3] {
    let has = |account| market.ledger.balance(account, amount.currency).minor;
    let (reserve, available) = (LedgerAccount::SellerReserve(seller), LedgerAccount::SellerAvailable(seller));
    let of_kept = amount.minor.min(has(reserve));
    let of_available = (amount.minor - of_kept).min(has(available));
    let owed = amount.minor - of_kept - of_available;
    [(reserve, of_kept), (available, of_available), (LedgerAccount::SellerReceivable(seller), owed)]
}

/// Tells until when is kept what a market keeps of earnings now: of one day all to one time, that of its end.
pub(crate) fn kept_until(market: &Market, now: Timestamp) -> Option<Timestamp> {
    let terms = market.reserve_terms()?;
    let day_ends = now.plus_ms(DAY_MS - now.ms().rem_euclid(DAY_MS));
    Some(day_ends.plus_ms(terms.hold_ms()))
}
