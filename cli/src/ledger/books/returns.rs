//! What comes back after it was delivered: what was paid for the units, computed anew from what they cost when they were shipped
//! and from what was given back of their shipment since; each unit once.

use std::collections::{BTreeMap, BTreeSet};

use events::escrow::{FreezeReason, SettledBy};
use events::ids::{ListingId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::market::ReturnTerms;
use events::order::{LineUnits, ShipmentNumber, Shipped};
use events::returns::{Received, Refunded, Requested, ReturnNumber};
use events::{Event, Money, Timestamp};

use super::rounded;

/// What may come back in a market that offers returns.
#[derive(Debug, Default)]
pub(super) struct Returns {
    terms: Option<ReturnTerms>,
    now: Timestamp,
    orders: BTreeMap<OrderId, BTreeMap<ShipmentNumber, Parcel>>,
    /// Since when orders are on hold, or stand still for a bank.
    held: BTreeMap<OrderId, Timestamp>,
    /// Orders of which a bank gave back what is not taken off them yet.
    losing: BTreeSet<OrderId>,
    /// What a return is to pay out of the dispute of its order, next.
    to_settle: BTreeMap<OrderId, (i64, i64)>,
}

/// Three amounts that go together: all of it, the tax in it, and what of it the platform paid.
type Parts = [i64; 3];

/// A shipment, with what is known of it.
#[derive(Debug, Default)]
struct Parcel {
    /// Of each line: units, what they cost, and how many are in returns or went through one.
    lines: BTreeMap<ListingId, (i64, Parts, i64)>,
    /// What its units that did not come back cost, and its delivery.
    cost: Parts,
    /// What of that was not given back, what is frozen of it left out.
    held: Parts,
    /// What was frozen of it in a dispute.
    disputed: Parts,
    is_settled: bool,
    return_by: Option<Timestamp>,
    /// What was released without taxes and the fee in it, and what went back of both.
    released: (i64, i64),
    went_back: (i64, i64),
    open: Option<Open>,
}

/// A return that has not ended.
#[derive(Debug)]
struct Open {
    number: ReturnNumber,
    lines: Vec<(ListingId, i64, i64)>,
    amount: Parts,
    cost: Parts,
    is_frozen: bool,
    /// What may be kept of it at most, and what its seller wants to keep.
    most: i64,
    claimed: i64,
}

fn minor(money: Option<Money>) -> i64 {
    money.map_or(0, |money| money.minor)
}

fn parts(units: &LineUnits) -> Parts {
    [units.amount.minor, minor(units.tax), minor(units.subsidy)]
}

fn plus(sum: &mut Parts, parts: Parts) {
    sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
}

fn minus(sum: &mut Parts, parts: Parts) {
    sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum -= part);
}

/// Gives a part of an amount, as much of it as `of` is of `whole`.
fn part(amount: i64, of: i64, whole: i64) -> i64 {
    if whole == 0 {
        return 0;
    }
    i64::try_from(rounded(i128::from(amount) * i128::from(of), whole.into())).unwrap_or(i64::MAX)
}

/// Gives what the units before the `count`-th of a line have: each the same, the first ones a minor unit more.
fn first(minor: i64, units: i64, count: i64) -> i64 {
    (0..count).map(|nth| minor / units + i64::from(nth < minor % units)).sum()
}

fn to(transfers: &[Transfer], is_it: impl Fn(LedgerAccount) -> bool) -> i64 {
    transfers.iter().filter(|transfer| is_it(transfer.to)).map(|transfer| transfer.amount.minor).sum()
}

fn from(transfers: &[Transfer], is_it: impl Fn(LedgerAccount) -> bool) -> i64 {
    transfers.iter().filter(|transfer| is_it(transfer.from)).map(|transfer| transfer.amount.minor).sum()
}

impl Parcel {
    fn of(shipped: &Shipped) -> Parcel {
        let mut parcel = Parcel::default();
        for units in &shipped.lines {
            let line = (i64::from(units.quantity.get()), parts(units), 0);
            parcel.lines.insert(units.listing, line);
            plus(&mut parcel.cost, parts(units));
        }
        if let Some(shipping) = shipped.shipping {
            plus(&mut parcel.cost, [shipping.amount.minor, minor(shipping.tax), 0]);
        }
        parcel.held = parcel.cost;
        parcel
    }

    /// Computes what was paid for units, and notes that they are to come back.
    fn ask(&mut self, asked: &Requested, terms: &ReturnTerms) -> Option<String> {
        let at = asked.answer_by.plus_ms(-terms.answer_ms);
        if self.return_by.is_none_or(|by| at > by) || self.is_settled || self.open.is_some() {
            return Some("it is asked for too early, too late, or beside another".to_owned());
        }
        let (mut held, mut rest, mut lines) = (self.held, self.cost, Vec::new());
        for units in &asked.lines {
            let Some((all, cost, gone)) = self.lines.get_mut(&units.listing) else {
                return Some(format!("listing {} did not come in the shipment", units.listing));
            };
            let (before, count) = (*gone, i64::from(units.quantity.get()));
            *gone += count;
            if *gone > *all {
                return Some(format!("{gone} of {all} units of listing {} come back", units.listing));
            }
            let next = cost.map(|minor| first(minor, *all, *gone) - first(minor, *all, before));
            let mut due = [0; 3];
            due[0] = part(held[0], next[0], rest[0]).clamp(0, held[0]);
            for n in [1, 2] {
                // What is in an amount is never more than it.
                let least = (held[n] - (held[0] - due[0])).max(0);
                due[n] = part(held[n], next[n], rest[n]).clamp(least, due[0].min(held[n]));
            }
            if due != parts(units) {
                let (listing, said) = (units.listing, parts(units));
                return Some(format!(
                    "{due:?} and not {said:?} minor units were paid for {count} of {listing}"
                ));
            }
            minus(&mut held, due);
            minus(&mut rest, next);
            lines.push((units.listing, count, due[0]));
        }
        let taken = |before: Parts, after: Parts| [0, 1, 2].map(|n| before[n] - after[n]);
        let (amount, cost) = (taken(self.held, held), taken(self.cost, rest));
        (self.held, self.cost) = (held, rest);
        let (number, is_frozen, most, claimed) = (asked.number, false, 0, 0);
        self.open = Some(Open { number, lines, amount, cost, is_frozen, most, claimed });
        None
    }

    fn receive(&mut self, received: &Received) -> Option<String> {
        let open = self.open.as_mut()?;
        for ((listing, units, amount), came) in open.lines.iter().zip(&received.lines) {
            let all = [came.intact, came.damaged, came.missing, came.wrong].map(i64::from);
            if *listing != came.listing || all.iter().sum::<i64>() != *units {
                return Some(format!("{all:?} of {units} units of listing {listing} came back"));
            }
            open.most += amount - first(*amount, *units, all[0]);
        }
        open.claimed = received.deduction.as_ref().map_or(0, |deduction| deduction.amount.minor);
        (open.claimed > open.most || open.lines.len() != received.lines.len())
            .then(|| format!("{} is to be kept, and {} at most can be", open.claimed, open.most))
    }

    fn refund(&mut self, refunded: &Refunded, gives_fee_back: bool) -> Option<String> {
        let Some(open) = self.open.take() else { return Some("nothing is to come back".to_owned()) };
        let kept = minor(refunded.deduction);
        let [all, tax, subsidy] = open.amount;
        let back = all - kept;
        let due = [back, tax - part(tax, kept, all), part(subsidy, back, all)];
        let said = [refunded.amount.minor, minor(refunded.tax), minor(refunded.subsidy)];
        if due != said || kept > open.claimed {
            return Some(format!("{said:?} go back of {all} less {kept}, and not {due:?}"));
        }
        let transfers = &refunded.transfers;
        if open.is_frozen {
            return (!transfers.is_empty()).then(|| "what is frozen is taken from elsewhere".to_owned());
        }
        let net = due[0] - due[1];
        let (released, fee) = self.released;
        let fee_due =
            if gives_fee_back { part(fee, self.went_back.0 + net, released) - self.went_back.1 } else { 0 };
        let is_fees = |account| account == LedgerAccount::PlatformFees;
        let is_tax = |account| account == LedgerAccount::PlatformTax;
        let is_platform = |account| account == LedgerAccount::PlatformPromotions;
        let sellers = from(transfers, |account| account.seller().is_some());
        let (fees, taxes) = (from(transfers, is_fees), from(transfers, is_tax));
        self.went_back.0 += net;
        self.went_back.1 += fees;
        let paid = [
            to(transfers, |account| matches!(account, LedgerAccount::Wallet(_))),
            to(transfers, is_platform),
            taxes,
            fees,
            sellers,
        ];
        let due = [due[0] - due[2], due[2], due[1], fee_due, net - fee_due];
        (paid != due)
            .then(|| format!("{paid:?} and not {due:?} came back (buyer, platform; tax, fee, seller)"))
    }

    /// Lets the units of a return that ended without a refund be returned again.
    fn end(&mut self) -> Option<String> {
        let Some(open) = self.open.take() else { return Some("nothing is to come back".to_owned()) };
        for (listing, units, _) in open.lines {
            if let Some((_, _, gone)) = self.lines.get_mut(&listing) {
                *gone -= units;
            }
        }
        plus(&mut self.held, open.amount);
        plus(&mut self.cost, open.cost);
        None
    }
}

impl Returns {
    pub(super) fn opened(&mut self, terms: Option<&ReturnTerms>) {
        self.terms = terms.copied();
    }

    /// Notes when what is entered next was decided.
    pub(super) fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Enters an event; tells nothing if it is none about what comes back, else the order and what it says wrongly, if anything.
    pub(super) fn enter(&mut self, event: &Event) -> Option<(OrderId, Option<String>)> {
        let terms = self.terms?;
        match event {
            Event::OrderShipped(shipped) => {
                let parcels = self.orders.entry(shipped.order).or_default();
                parcels.insert(shipped.shipment, Parcel::of(shipped));
                None
            }
            Event::OrderDelivered(delivered) => {
                self.parcel(delivered.order, delivered.shipment)?.return_by = delivered.return_by;
                None
            }
            Event::OrderHeld(held) => {
                self.held.insert(held.order, self.now);
                None
            }
            Event::ReviewOpened(opened) => {
                for order in &opened.orders {
                    self.held.entry(*order).or_insert(self.now);
                }
                None
            }
            Event::ReviewDecided(decided) if self.losing.contains(&decided.order) => None,
            Event::ReviewDecided(decided) => self.go_on(decided.order),
            Event::OrderUnheld(unheld) if self.losing.contains(&unheld.order) => None,
            Event::OrderUnheld(unheld) => self.go_on(unheld.order),
            Event::OrderResumed(resumed) => self.go_on(resumed.order),
            Event::ChargebackOpened(opened) => {
                for charged in opened.orders.iter().filter(|charged| charged.amount.is_positive()) {
                    if self.orders.contains_key(&charged.order) {
                        self.held.entry(charged.order).or_insert(self.now);
                    }
                }
                None
            }
            Event::ChargebackLost(lost) => {
                self.losing.extend(lost.orders.iter().map(|charged| charged.order));
                None
            }
            Event::OrderChargedBack(charged) => {
                self.losing.remove(&charged.order);
                let mut wrong = None;
                for number in &charged.returns {
                    let ended = self.returning(charged.order, *number).map(Parcel::end);
                    wrong = wrong.or(ended.unwrap_or(Some("nothing is to come back".to_owned())));
                }
                for shipment in &charged.unfrozen_of {
                    if let Some(parcel) = self.parcel(charged.order, *shipment) {
                        let disputed = std::mem::take(&mut parcel.disputed);
                        plus(&mut parcel.held, disputed);
                    }
                }
                for cut in &charged.cuts {
                    if let Some(parcel) = self.parcel(charged.order, cut.shipment) {
                        minus(&mut parcel.held, [cut.amount.minor, minor(cut.tax), 0]);
                    }
                }
                self.go_on(charged.order);
                Some((charged.order, wrong))
            }
            Event::OrderRefunded(refunded) => {
                let parcel = self.parcel(refunded.order, refunded.shipment)?;
                let given = [refunded.amount.minor, minor(refunded.tax), minor(refunded.subsidy)];
                minus(&mut parcel.held, given);
                None
            }
            Event::EscrowFrozen(frozen) => {
                let parcel = self.parcel(frozen.order, frozen.shipment)?;
                let taken = [frozen.transfer.amount.minor, minor(frozen.tax), minor(frozen.subsidy)];
                if frozen.reason != FreezeReason::Return {
                    minus(&mut parcel.held, taken);
                    parcel.disputed = taken;
                    return None;
                }
                let asked = parcel.open.as_mut().map(|open| {
                    open.is_frozen = true;
                    open.amount
                });
                let wrong = (asked != Some(taken)).then(|| format!("{taken:?} is frozen for {asked:?}"));
                Some((frozen.order, wrong))
            }
            Event::EscrowUnfrozen(unfrozen) => {
                let parcel = self.parcel(unfrozen.order, unfrozen.shipment)?;
                let disputed = std::mem::take(&mut parcel.disputed);
                plus(&mut parcel.held, disputed);
                None
            }
            Event::EscrowSettled(settled) if settled.by == SettledBy::Return => {
                let back = to(&settled.transfers, super::is_refund);
                let rest = to(&settled.transfers, |account| !super::is_refund(account));
                let due = self.to_settle.remove(&settled.order);
                let wrong = (due != Some((back, rest)))
                    .then(|| format!("{back} went back and {rest} was released, and not {due:?}"));
                Some((settled.order, wrong))
            }
            Event::EscrowSettled(settled) => {
                let parcel = self.parcel(settled.order, settled.shipment)?;
                (parcel.is_settled, parcel.disputed) = (true, [0; 3]);
                None
            }
            Event::EscrowReleased(released) => {
                let parcel = self.parcel(released.order, released.shipment)?;
                let fee = to(&released.transfers, |account| account == LedgerAccount::PlatformFees);
                let net = to(&released.transfers, |account| account != LedgerAccount::PlatformTax);
                parcel.released = (net, fee);
                None
            }
            Event::ReturnRequested(asked) => {
                let parcel = self.parcel(asked.order, asked.shipment);
                let wrong = match parcel {
                    Some(parcel) => parcel.ask(asked, &terms),
                    None => Some("there is no such shipment".to_owned()),
                };
                Some((asked.order, wrong))
            }
            Event::ReturnReceived(received) => {
                let parcel = self.returning(received.order, received.number);
                Some((received.order, parcel.and_then(|parcel| parcel.receive(received))))
            }
            Event::ReturnRefunded(refunded) => {
                let parcel = self.returning(refunded.order, refunded.number);
                let Some(parcel) = parcel else {
                    return Some((refunded.order, Some("nothing is to come back".to_owned())));
                };
                let is_frozen = parcel.open.as_ref().is_some_and(|open| open.is_frozen);
                let wrong = parcel.refund(refunded, terms.gives_fee_back);
                if is_frozen {
                    let due = (refunded.amount.minor, minor(refunded.deduction));
                    self.to_settle.insert(refunded.order, due);
                }
                Some((refunded.order, wrong))
            }
            Event::ReturnEnded(ended) => {
                let parcel = self.returning(ended.order, ended.number);
                let wrong = match parcel {
                    Some(parcel) => parcel.end(),
                    None => Some("nothing is to come back".to_owned()),
                };
                Some((ended.order, wrong))
            }
            other => {
                let end = other.order_end()?;
                let parcels = self.orders.remove(&end.order)?;
                let open = parcels.values().filter_map(|parcel| parcel.open.as_ref()).next();
                Some((
                    end.order,
                    open.map(|open| format!("return {} is open when it is closed", open.number)),
                ))
            }
        }
    }

    /// Lets the windows of an order be longer by as long as nothing of it could be returned.
    fn go_on(&mut self, order: OrderId) -> Option<(OrderId, Option<String>)> {
        let ms = self.now.ms_since(self.held.remove(&order)?);
        let parcels = self.orders.get_mut(&order)?.values_mut();
        for by in parcels.filter_map(|parcel| parcel.return_by.as_mut()) {
            *by = by.plus_ms(ms);
        }
        None
    }

    fn parcel(&mut self, order: OrderId, shipment: ShipmentNumber) -> Option<&mut Parcel> {
        self.orders.get_mut(&order)?.get_mut(&shipment)
    }

    fn returning(&mut self, order: OrderId, number: ReturnNumber) -> Option<&mut Parcel> {
        let parcels = self.orders.get_mut(&order)?.values_mut();
        parcels.into_iter().find(|parcel| parcel.open.as_ref().is_some_and(|open| open.number == number))
    }
}

#[cfg(test)]
mod tests;
