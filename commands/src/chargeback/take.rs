//! From where the money of a chargeback is taken, and to where it goes back.
//!
//! It is split over the orders of the payment, and over what no order took, by what each has of the payment now. An order's part is
//! taken from its escrow; what of that was frozen, from there; and what was released, from its seller: what is kept of his earnings,
//! what he has, and what is short he owes. The rest is taken from the buyer's wallet, or owed by him. What has gone back already is
//! taken from nobody twice: the platform advances it.

use std::collections::BTreeMap;

use events::chargeback::{ChargedOrder, Recovered};
use events::ids::{AccountId, OrderId, PaymentId};
use events::ledger::{LedgerAccount, Transfer};
use events::{Currency, Money, Timestamp};

use super::Taken;
use crate::earnings;
use crate::market::Market;
use crate::payment::PaidOrder;

/// What of a payment is left where.
pub(super) struct Left {
    /// What its orders have, closed ones too, by their ids; none has nothing.
    pub(super) orders: Vec<PaidOrder>,
    /// What nobody disputes and has not gone back, of the whole payment, in minor units.
    pub(super) minor: i64,
}

impl Left {
    /// Finds out what is left of a payment: `closed` are its orders that are over, `charged` tells what banks dispute of an order.
    pub(super) fn of(
        market: &Market,
        payment: PaymentId,
        closed: &[PaidOrder],
        charged: impl Fn(OrderId) -> i64,
        minor: i64,
    ) -> Left {
        let mut orders = BTreeMap::<OrderId, PaidOrder>::new();
        for id in market.payments.orders_of(payment) {
            let order = market.orders.get(*id).expect("a payment knows its open orders");
            if let (false, Some(card)) = (order.is_unpaid(), &order.card) {
                let minor = card.amount_minor - card.uncharged_minor - market.payments.back_of(*id);
                orders.insert(*id, PaidOrder { order: *id, seller: order.seller, minor });
            }
        }
        orders.extend(closed.iter().map(|paid| (paid.order, *paid)));
        let orders = orders.into_values().filter_map(|paid| {
            let left = paid.minor - charged(paid.order);
            (left > 0).then_some(PaidOrder { minor: left, ..paid })
        });
        Left { orders: orders.collect(), minor: minor.max(0) }
    }
}

/// What a chargeback takes.
pub(super) struct Plan {
    pub(super) orders: Vec<ChargedOrder>,
    pub(super) taken: Vec<Taken>,
    pub(super) advanced_minor: i64,
}

/// Splits an amount by weights, in their order: the first ones together get their part of it, rounded down, so that the parts sum to
/// it and none is more than its weight as long as the amount is not more than all of them.
pub(crate) fn split(minor: i64, weights: &[i64]) -> Vec<i64> {
    let all: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    let (mut weighed, mut given) = (0i128, 0i64);
    let parts = weights.iter().map(|weight| {
        weighed += i128::from(*weight);
        let due = (i128::from(minor) * weighed).checked_div(all).unwrap_or(0);
        let due = i64::try_from(due).expect("a part of an amount fits");
        let part = due - given;
        given = due;
        part
    });
    parts.collect()
}

/// Says from where an amount is taken.
pub(super) fn plan(market: &Market, account: AccountId, left: &Left, amount: Money) -> Plan {
    let currency = amount.currency;
    let charged = amount.minor.min(left.minor);
    let mut weights: Vec<i64> = left.orders.iter().map(|paid| paid.minor).collect();
    weights.push((left.minor - weights.iter().sum::<i64>()).max(0));
    let parts = split(charged, &weights);
    let mut takings = Takings { currency, taken: Vec::new() };
    let mut from_sellers = BTreeMap::<AccountId, i64>::new();
    let mut orders = Vec::new();
    for (paid, part) in left.orders.iter().zip(&parts) {
        let [escrow, dispute] = unreleased(market, paid.order);
        let of_escrow = escrow.min(*part);
        let of_dispute = dispute.min(part - of_escrow);
        takings.take(LedgerAccount::Escrow(paid.order), of_escrow, None);
        takings.take(LedgerAccount::Dispute(paid.order), of_dispute, None);
        *from_sellers.entry(paid.seller).or_default() += part - of_escrow - of_dispute;
        let (amount, whole) = (Money::new(*part, currency), Money::new(paid.minor, currency));
        orders.push(ChargedOrder { amount, order: paid.order, paid: whole, seller: paid.seller });
    }
    for (seller, minor) in from_sellers {
        takings.take_back(market, seller, minor);
    }
    let of_wallet = parts.last().copied().unwrap_or(0);
    let wallet = LedgerAccount::Wallet(account);
    let had = of_wallet.min(market.ledger.balance(wallet, currency).minor);
    takings.take(wallet, had, None);
    takings.take(LedgerAccount::BuyerReceivable(account), of_wallet - had, None);
    let advanced_minor = amount.minor - charged;
    takings.take(LedgerAccount::PlatformExpense, advanced_minor, None);
    Plan { orders, taken: takings.taken, advanced_minor }
}

struct Takings {
    currency: Currency,
    taken: Vec<Taken>,
}

impl Takings {
    fn take(&mut self, from: LedgerAccount, minor: i64, kept_until: Option<Timestamp>) {
        if minor > 0 {
            self.taken.push(Taken { from, amount: Money::new(minor, self.currency), kept_until });
        }
    }

    /// Takes from a seller what he was paid; of what is kept, what he would have had first.
    fn take_back(&mut self, market: &Market, seller: AccountId, minor: i64) {
        let [(reserve, mut of_kept), available, owed] =
            earnings::take_back(market, seller, Money::new(minor, self.currency));
        let currency = self.currency;
        for (until, kept) in market.reserves.of(seller).filter(|(_, kept)| kept.currency == currency) {
            let part = of_kept.min(kept.minor);
            self.take(reserve, part, Some(until));
            of_kept -= part;
        }
        for (from, minor) in [available, owed] {
            self.take(from, minor, None);
        }
    }
}

/// Gives what the buyer paid of an order and is in its escrow, and what of it is frozen, in minor units; nothing of a closed one. What
/// the platform paid of it is none of the bank's.
fn unreleased(market: &Market, id: OrderId) -> [i64; 2] {
    let Some(order) = market.orders.get(id) else { return [0; 2] };
    let (held, frozen) = order.subsidy_unreleased();
    [(order.escrow.remaining() - held).max(0), (order.escrow.frozen - frozen).max(0)]
}

/// What goes back when a chargeback is won.
#[derive(Default)]
pub(super) struct Reversal {
    pub(super) transfers: Vec<Transfer>,
    pub(super) kept_until: Vec<Timestamp>,
    pub(super) written_off: Vec<Recovered>,
}

/// Says where what a chargeback took goes back to: to where it was; of a debt that was repaid since, or written off, to whom that
/// cost something; and of what would be his by now anyway, to the seller. `is_new`: it is taken by the same decision, so that nothing
/// can have happened since.
pub(super) fn reversal(
    market: &Market,
    provider: AccountId,
    taken: &[Taken],
    is_new: bool,
    now: Timestamp,
) -> Reversal {
    let from = LedgerAccount::ProviderChargebacks(provider);
    let mut back = Reversal::default();
    let mut owed = BTreeMap::<LedgerAccount, (i64, i64)>::new();
    for Taken { from: to, amount, kept_until } in taken.iter().copied() {
        let mut give = |to: LedgerAccount, minor: i64| {
            let amount = Money::new(minor, amount.currency);
            back.transfers.extend((minor > 0).then_some(Transfer { amount, from, to }));
        };
        match (to, kept_until) {
            (LedgerAccount::SellerReserve(_), Some(until)) if until > now => {
                give(to, amount.minor);
                back.kept_until.push(until);
            }
            (LedgerAccount::SellerReserve(seller), _) => {
                give(LedgerAccount::SellerAvailable(seller), amount.minor);
            }
            (LedgerAccount::SellerReceivable(_) | LedgerAccount::BuyerReceivable(_), _) if !is_new => {
                let (owed, written_off) = owed.entry(to).or_insert_with(|| {
                    let written_off = market.debts.written_off(to, amount.currency).minor;
                    (market.owed(to, amount.currency).minor, written_off)
                });
                let repays = amount.minor.min(*owed);
                let recovered = (amount.minor - repays).min(*written_off);
                (*owed, *written_off) = (*owed - repays, *written_off - recovered);
                give(to, repays);
                give(LedgerAccount::PlatformExpense, recovered);
                give(behind(to), amount.minor - repays - recovered);
                let amount = Money::new(recovered, amount.currency);
                back.written_off.extend((recovered > 0).then_some(Recovered { amount, debt: to }));
            }
            (to, _) => give(to, amount.minor),
        }
    }
    back
}

/// Gives to whom goes what of a debt was repaid.
const fn behind(debt: LedgerAccount) -> LedgerAccount {
    match debt {
        LedgerAccount::SellerReceivable(seller) => LedgerAccount::SellerAvailable(seller),
        LedgerAccount::BuyerReceivable(buyer) => LedgerAccount::Wallet(buyer),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::split;

    #[test]
    fn what_is_split_goes_by_what_each_has() {
        for (minor, weights, parts) in [
            (100, vec![50, 50], vec![50, 50]),
            (1, vec![1, 1, 1], vec![0, 0, 1]),
            (100, vec![0, 300], vec![0, 100]),
            (7, vec![3, 0, 4], vec![3, 0, 4]),
            (0, vec![], vec![]),
        ] {
            assert_eq!(split(minor, &weights), parts);
        }
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_and_none_is_more_than_its_weight(
            weights in prop::collection::vec(0i64..1_000_000_000_000, 1..20),
            percent in 0i64..=100,
        ) {
            let minor = weights.iter().sum::<i64>() / 100 * percent;
            let parts = split(minor, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), minor);
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!((0..=*weight).contains(part), "{} of {}", part, weight);
            }
        }
    }
}
