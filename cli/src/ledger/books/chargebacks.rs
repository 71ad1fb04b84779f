//! What banks dispute: how much of it is whose is computed anew, and it is followed to its end.

use std::collections::{BTreeMap, BTreeSet};

use events::chargeback::{ChargedOrder, Lost, Opened, OrderChargedBack, Won};
use events::ids::{AccountId, ChargebackId, OrderId, PaymentId};
use events::ledger::{LedgerAccount, Transfer};
use events::{Event, Position, Timestamp};

use super::{Books, Invariant};

/// What the books know of disputes.
#[derive(Debug, Default)]
pub(super) struct Chargebacks {
    /// What each payment's orders have of it.
    shares: BTreeMap<PaymentId, BTreeMap<OrderId, i64>>,
    open: BTreeMap<ChargebackId, Taken>,
    lost: BTreeSet<ChargebackId>,
    /// How many disputes stop an order, and what of it is lost and not taken off it.
    stopped: BTreeMap<OrderId, (u32, i64)>,
    /// What was written off of a debt and has not come back.
    written_off: BTreeMap<(AccountId, LedgerAccount), i64>,
}

/// What an open dispute took.
#[derive(Debug)]
struct Taken {
    payment: PaymentId,
    transfers: Vec<Transfer>,
    orders: Vec<ChargedOrder>,
}

fn sum(transfers: &[Transfer]) -> i64 {
    transfers.iter().map(|transfer| transfer.amount.minor).sum()
}

fn from(transfers: &[Transfer], account: LedgerAccount) -> i64 {
    transfers.iter().filter(|transfer| transfer.from == account).map(|transfer| transfer.amount.minor).sum()
}

fn to(transfers: &[Transfer], account: LedgerAccount) -> i64 {
    transfers.iter().filter(|transfer| transfer.to == account).map(|transfer| transfer.amount.minor).sum()
}

/// Tells what is somebody's debt, or what he has once that is repaid.
fn behind(debt: LedgerAccount) -> Option<LedgerAccount> {
    match debt {
        LedgerAccount::SellerReceivable(seller) => Some(LedgerAccount::SellerAvailable(seller)),
        LedgerAccount::BuyerReceivable(buyer) => Some(LedgerAccount::Wallet(buyer)),
        LedgerAccount::SellerReserve(seller) => Some(LedgerAccount::SellerAvailable(seller)),
        _ => None,
    }
}

impl Chargebacks {
    /// Tells whether a dispute stops an order.
    pub(super) fn stops(&self, order: OrderId) -> bool {
        self.stopped.get(&order).is_some_and(|(disputes, _)| *disputes > 0)
    }

    pub(super) fn forget(&mut self, order: OrderId) {
        self.stopped.remove(&order);
    }
}

impl Books {
    /// Enters an event about a dispute, before its transfers.
    pub(super) fn disputed(&mut self, position: Position, event: &Event) {
        match event {
            Event::OrderPaid(paid) => {
                let order = self.orders.get(&paid.order);
                if let (Some(payment), Some(order)) = (paid.payment, order) {
                    let share = order.by_provider - order.uncharged;
                    self.chargebacks.shares.entry(payment).or_default().insert(paid.order, share);
                }
            }
            Event::RefundRequested(refund) => {
                let share = refund
                    .order
                    .and_then(|order| self.chargebacks.shares.get_mut(&refund.payment)?.get_mut(&order));
                if let Some(share) = share {
                    *share -= refund.transfer.amount.minor;
                }
            }
            Event::ChargebackOpened(opened) => self.opened(position, opened),
            Event::ChargebackWon(won) => self.won(position, won),
            Event::ChargebackLost(lost) => self.lost(position, lost),
            Event::OrderChargedBack(charged) => self.charged_back(position, charged),
            Event::ChargebackCovered(covered) => {
                let taken = self.chargebacks.open.get_mut(&covered.chargeback);
                let advanced =
                    taken.as_ref().map_or(0, |taken| from(&taken.transfers, LedgerAccount::PlatformExpense));
                let minor = covered.transfer.amount.minor;
                if let Some(taken) = taken {
                    let advance = taken.transfers.iter_mut();
                    for transfer in advance.filter(|one| one.from == LedgerAccount::PlatformExpense) {
                        transfer.amount.minor -= minor;
                    }
                    let (from, to) = (covered.transfer.from, taken.transfers.first().map(|one| one.to));
                    taken.transfers.extend(to.map(|to| Transfer { from, to, ..covered.transfer }));
                    taken.transfers.retain(|transfer| transfer.amount.is_positive());
                    self.check(Invariant::I22, position, minor <= advanced, || {
                        format!("{minor} of an advance of {advanced} minor units is repaid")
                    });
                }
                if let Some((_, _, charged)) = self.payments.get_mut(&covered.payment) {
                    *charged += minor;
                }
            }
            Event::DebtWrittenOff(off) => {
                let key = (off.account, off.transfer.to);
                *self.chargebacks.written_off.entry(key).or_default() += off.transfer.amount.minor;
            }
            Event::OrderResumed(resumed) => {
                let stopped = self.chargebacks.stopped.remove(&resumed.order);
                self.check(Invariant::I22, position, stopped == Some((0, 0)), || {
                    format!("order {} goes on, which {stopped:?} stop or took", resumed.order)
                });
            }
            _ => {}
        }
    }

    fn opened(&mut self, position: Position, opened: &Opened) {
        let (came_in, goes_back, charged) = self.payments.get(&opened.payment).copied().unwrap_or_default();
        let left = (came_in - goes_back - charged).max(0);
        let due = opened.amount.minor.min(left);
        let shares = self.chargebacks.shares.entry(opened.payment).or_default();
        let have: Vec<(OrderId, i64)> =
            shares.iter().map(|(order, share)| (*order, *share)).filter(|(_, share)| *share > 0).collect();
        // Of the first orders together, rounded down.
        let rest = (left - have.iter().map(|(_, share)| share).sum::<i64>()).max(0);
        let all = i128::from(have.iter().map(|(_, share)| share).sum::<i64>() + rest);
        let (mut weighed, mut given) = (0i128, 0i128);
        let mut wrong = None;
        let said = opened.orders.iter().map(|charged| (charged.order, charged.paid.minor));
        if !said.eq(have.iter().copied()) {
            wrong = Some(format!("orders have {have:?} of it"));
        }
        for (charged, (_, share)) in opened.orders.iter().zip(&have) {
            weighed += i128::from(*share);
            let so_far = (i128::from(due) * weighed).checked_div(all).unwrap_or(0);
            if i128::from(charged.amount.minor) != so_far - given {
                wrong = Some(format!(
                    "{} is order {}'s part, and not {}",
                    so_far - given,
                    charged.order,
                    charged.amount
                ));
            }
            given = so_far;
            *shares.entry(charged.order).or_default() -= charged.amount.minor;
        }
        let mut of_sellers = BTreeMap::<AccountId, i64>::new();
        for charged in opened.orders.iter().filter(|charged| charged.amount.is_positive()) {
            let of_order = [LedgerAccount::Escrow(charged.order), LedgerAccount::Dispute(charged.order)];
            let taken: i64 = of_order.iter().map(|account| from(&opened.transfers, *account)).sum();
            *of_sellers.entry(charged.seller).or_default() += charged.amount.minor - taken;
            let Some(order) = self.orders.get(&charged.order) else { continue };
            let held: i64 = of_order
                .iter()
                .map(|account| self.balances.get(&(*account, charged.amount.currency)).copied().unwrap_or(0))
                .sum();
            // What the platform paid of it is none of the bank's.
            let least = held - taken - (order.subsidy.total - order.subsidy.returned);
            if taken > charged.amount.minor || (taken < charged.amount.minor && least > 0) {
                wrong = Some(format!(
                    "{taken} of order {}'s {} is taken from escrow",
                    charged.order, charged.amount
                ));
            }
            let stopped = self.chargebacks.stopped.entry(charged.order).or_default();
            stopped.0 += 1;
        }
        for (seller, due) in of_sellers {
            let accounts = [
                LedgerAccount::SellerReserve(seller),
                LedgerAccount::SellerAvailable(seller),
                LedgerAccount::SellerReceivable(seller),
            ];
            let taken = accounts.map(|account| from(&opened.transfers, account));
            let has = accounts
                .map(|account| self.balances.get(&(account, opened.amount.currency)).copied().unwrap_or(0));
            // In this order, each as far as it goes.
            let of_kept = due.min(has[0]);
            let of_available = (due - of_kept).min(has[1]);
            if taken != [of_kept, of_available, due - of_kept - of_available] {
                wrong = Some(format!("{taken:?} is taken from seller {seller}, of whom {due} is due"));
            }
        }
        let advanced = opened.advanced.map_or(0, |advanced| advanced.minor);
        let is_whole = sum(&opened.transfers) == opened.amount.minor
            && advanced == opened.amount.minor - due
            && advanced == from(&opened.transfers, LedgerAccount::PlatformExpense);
        if !is_whole {
            wrong = Some(format!(
                "{} and not {} is taken, and {advanced} advanced",
                sum(&opened.transfers),
                opened.amount
            ));
        }
        let is_new = !self.chargebacks.open.contains_key(&opened.chargeback)
            && !self.chargebacks.lost.contains(&opened.chargeback);
        if !is_new {
            wrong = Some("it took its money before".to_owned());
        }
        self.check(Invariant::I22, position, wrong.is_none(), || {
            format!("chargeback {}: {}", opened.chargeback, wrong.unwrap_or_default())
        });
        let (came_in, goes_back, charged) = self.payments.entry(opened.payment).or_default();
        *charged += due;
        let (came_in, goes_back, charged) = (*came_in, *goes_back, *charged);
        self.check(Invariant::I6, position, goes_back + charged <= came_in, || {
            format!(
                "of payment {} {came_in} came in, {goes_back} goes back and {charged} is disputed",
                opened.payment
            )
        });
        let charged = opened.orders.iter().filter(|charged| charged.amount.is_positive()).copied();
        let (payment, transfers) = (opened.payment, opened.transfers.clone());
        let taken = Taken { payment, transfers, orders: charged.collect() };
        self.chargebacks.open.insert(opened.chargeback, taken);
    }

    fn won(&mut self, position: Position, won: &Won) {
        let Some(taken) = self.chargebacks.open.remove(&won.chargeback) else {
            return self.check(Invariant::I22, position, false, || {
                format!("chargeback {} is won, and took nothing", won.chargeback)
            });
        };
        let mut wrong = (sum(&taken.transfers) != sum(&won.transfers))
            .then(|| format!("{} was taken, and {} goes back", sum(&taken.transfers), sum(&won.transfers)));
        let accounts: BTreeSet<LedgerAccount> =
            taken.transfers.iter().map(|transfer| transfer.from).collect();
        for account in accounts {
            let (took, gave) = (from(&taken.transfers, account), to(&won.transfers, account));
            let fits = match behind(account) {
                // What was repaid or written off since is another's, and what was kept is his.
                Some(_) => gave <= took,
                None => gave >= took,
            };
            if !fits {
                wrong = Some(format!("{took} was taken from {account}, and {gave} goes back there"));
            }
        }
        for back in &won.written_off {
            let owner = match back.debt {
                LedgerAccount::SellerReceivable(owner) | LedgerAccount::BuyerReceivable(owner) => Some(owner),
                _ => None,
            };
            let left = owner.and_then(|owner| self.chargebacks.written_off.get_mut(&(owner, back.debt)));
            match left {
                Some(left) if *left >= back.amount.minor => *left -= back.amount.minor,
                _ => {
                    wrong = Some(format!(
                        "{} comes back of {}, which was not written off",
                        back.amount, back.debt
                    ))
                }
            }
        }
        self.check(Invariant::I22, position, wrong.is_none(), || {
            format!("chargeback {}: {}", won.chargeback, wrong.unwrap_or_default())
        });
        let own = sum(&taken.transfers) - from(&taken.transfers, LedgerAccount::PlatformExpense);
        if let Some((_, _, charged)) = self.payments.get_mut(&taken.payment) {
            *charged -= own;
        }
        for charged in &taken.orders {
            let shares = self.chargebacks.shares.entry(taken.payment).or_default();
            *shares.entry(charged.order).or_default() += charged.amount.minor;
            if let Some((disputes, _)) = self.chargebacks.stopped.get_mut(&charged.order) {
                *disputes -= 1;
            }
        }
    }

    fn lost(&mut self, position: Position, lost: &Lost) {
        let Some(taken) = self.chargebacks.open.remove(&lost.chargeback) else {
            return self.check(Invariant::I22, position, false, || {
                format!("chargeback {} is lost, and took nothing", lost.chargeback)
            });
        };
        let (took, gone) = (sum(&taken.transfers), lost.transfer.amount.minor);
        self.check(Invariant::I22, position, took == gone, || {
            format!("of chargeback {} {took} was taken, and {gone} is lost", lost.chargeback)
        });
        self.chargebacks.lost.insert(lost.chargeback);
        for charged in &taken.orders {
            if let Some((disputes, gone)) = self.chargebacks.stopped.get_mut(&charged.order) {
                *disputes -= 1;
                *gone += charged.amount.minor;
            }
        }
    }

    fn charged_back(&mut self, position: Position, charged: &OrderChargedBack) {
        let stopped = self.chargebacks.stopped.remove(&charged.order);
        let cuts: i64 = charged.cuts.iter().map(|cut| cut.amount.minor).sum();
        let fits = stopped == Some((0, charged.amount.minor)) && cuts <= charged.amount.minor;
        self.check(Invariant::I22, position, fits, || {
            format!(
                "order {} goes on without {}, {cuts} of it off its shipments, and {stopped:?} stops or took it",
                charged.order, charged.amount
            )
        });
        // What was frozen goes back to the escrow, but for what banks took of it.
        if let Some(order) = self.orders.get_mut(&charged.order) {
            let frozen: i64 = charged.unfrozen_of.iter().filter_map(|of| order.frozen.remove(of)).sum();
            let back = to(&charged.transfers, LedgerAccount::Escrow(charged.order));
            self.check(Invariant::I7, position, back <= frozen, || {
                format!("{frozen} minor units of order {} were frozen, and {back} go back", charged.order)
            });
        }
    }

    /// Notes what goes back to what is kept of sellers' earnings when a chargeback is won: it is his when it would have been.
    pub(super) fn kept_again(&mut self, position: Position, time: Timestamp, won: &Won) {
        let mut until = won.kept_until.iter();
        for transfer in &won.transfers {
            let LedgerAccount::SellerReserve(seller) = transfer.to else { continue };
            let until = until.next().copied();
            self.check(Invariant::I20, position, until.is_some_and(|until| until > time), || {
                format!(
                    "{} goes back to what is kept of seller {seller}'s earnings until {until:?}",
                    transfer.amount
                )
            });
            if let Some(until) = until {
                self.earnings.keep(seller, until, transfer.amount);
            }
        }
    }
}

/// Tells whether money that an escrow gives or gets is a bank's to take and give back.
pub(super) const fn is_bank(account: LedgerAccount) -> bool {
    matches!(account, LedgerAccount::ProviderChargebacks(_))
}

#[cfg(test)]
mod tests;
