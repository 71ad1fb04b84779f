//! A second set of books, kept from the events alone: it knows transfers and what they are for, and nothing of how a market
//! decides. What the two agree on is not one mistake made twice.

use std::collections::{BTreeMap, BTreeSet};

use events::exchange::Exchanged;
use events::ids::{AccountId, OrderId, PaymentId, PayoutId, PromotionId};
use events::ledger::{LedgerAccount, Transfer};
use events::market::FeePolicy;
use events::order::{Cancelled, LineUnits, Placed, ShipmentNumber};
use events::rejection::OrderState;
use events::{Commit, Currency, Event, Money, Position};
use serde::Serialize;

use self::change::Changes;
use self::chargebacks::{Chargebacks, is_bank};
use self::checkout::Checkout;
use self::earnings::Earnings;
use self::exchange::Exchanges;
use self::fees::{fee_by_terms, rounded};
pub(crate) use self::promise::Invariant;
use self::returns::Returns;
use self::stock::Reserved;
use self::subsidy::Subsidy;

mod change;
mod chargebacks;
mod checkout;
mod earnings;
mod exchange;
mod fees;
mod promise;
mod returns;
mod stock;
mod subsidy;

/// How often a promise was looked at, and the first time it did not hold.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Finding {
    /// How often.
    pub(crate) checked: u64,
    /// Where it first did not hold, and what stood there.
    pub(crate) broken: Option<Break>,
}

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Break {
    /// The event behind which it does not.
    pub(crate) position: Position,
    /// What stands there.
    pub(crate) what: String,
}

/// What the books know of an order.
#[derive(Debug)]
struct OrderBook {
    buyer: AccountId,
    seller: AccountId,
    total: Money,
    tax_minor: i64,
    promotions: BTreeSet<PromotionId>,
    /// What of that a provider is to bring, and what of that it never does, since units were cancelled before.
    by_provider: i64,
    uncharged: i64,
    /// What goes back of units that were cancelled before a provider had paid.
    going_back: Option<i64>,
    is_paid: bool,
    fee_minor: i64,
    funded: i64,
    released: i64,
    fees: i64,
    /// What the fee is on what was released so far, and how much that was.
    fee_due: i128,
    went: i128,
    taxes: i64,
    /// What the buyer has back.
    refunded: i64,
    /// What banks took of its escrow.
    charged: i64,
    /// What the platform pays of it.
    subsidy: Subsidy,
    changes: Changes,
    /// Whether it waits for its seller to accept it.
    awaits_seller: bool,
    /// What is frozen of each shipment.
    frozen: BTreeMap<ShipmentNumber, i64>,
    is_held: bool,
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Books {
    balances: BTreeMap<(LedgerAccount, Currency), i64>,
    orders: BTreeMap<OrderId, OrderBook>,
    references: BTreeSet<(LedgerAccount, String)>,
    /// Offers to exchange that were taken, by their providers and references.
    offers: BTreeSet<(AccountId, String)>,
    /// What came in of each payment, what of that has gone back or is on its way, and what banks dispute or gave back.
    payments: BTreeMap<PaymentId, (i64, i64, i64)>,
    /// What was paid out and has not come back.
    paid_out: BTreeMap<PayoutId, Money>,
    /// Transfers that wait for a payment, and the payments whose transfer waited and ended.
    pending: BTreeMap<PaymentId, Transfer>,
    ended: BTreeSet<PaymentId>,
    policy: Option<FeePolicy>,
    checkout: Checkout,
    earnings: Earnings,
    returns: Returns,
    chargebacks: Chargebacks,
    exchanges: Exchanges,
    reserved: Reserved,
    findings: BTreeMap<Invariant, Finding>,
}

impl Books {
    /// Enters a commit.
    pub(crate) fn commit(&mut self, commit: &Commit) {
        // What orders cost, what was held for them, and what providers are asked for or brought.
        let (mut placed, mut held) = (BTreeMap::<Currency, i64>::new(), BTreeMap::<Currency, i64>::new());
        let (mut groups, mut wallet_pays, mut changed) = (BTreeSet::new(), false, None);
        let (mut asked, mut brought) = (BTreeMap::<Currency, i64>::new(), BTreeMap::<Currency, i64>::new());
        for recorded in commit.events() {
            self.returns.at(recorded.metadata.time);
            let owed = self.owed_to_be_repaid(&recorded.event);
            self.event(recorded.position, &recorded.event);
            self.earned(recorded.position, recorded.metadata.time, &recorded.event, owed);
            match &recorded.event {
                Event::OrderPlaced(event) => {
                    *placed.entry(event.total.currency).or_default() += event.payable().minor;
                    groups.insert(event.group);
                }
                Event::OrderChanged(event) => {
                    *placed.entry(event.total.currency).or_default() += event.added_minor();
                    changed = Some(event);
                }
                Event::EscrowHeld(event) => {
                    let Money { currency, minor } = event.transfer.amount;
                    *held.entry(currency).or_default() += minor;
                }
                Event::PaymentRequested(event) if !event.orders.is_empty() => {
                    *asked.entry(event.amount.currency).or_default() += event.amount.minor;
                }
                Event::OrderPaid(event) => wallet_pays |= event.payment.is_none(),
                Event::PaymentCaptured(event) => {
                    let Money { currency, minor } = event.transfer.amount;
                    *brought.entry(currency).or_default() += minor;
                }
                _ => {}
            }
        }
        if let Some(changed) = changed {
            self.check_done(commit.head().position, changed);
        }
        if let Some(order) = self.exchanges.not_placed() {
            self.check(Invariant::I23, commit.head().position, false, || {
                format!("what replaces units of order {order} is not placed")
            });
        }
        let currencies: BTreeSet<Currency> = placed.keys().chain(held.keys()).copied().collect();
        for currency in currencies {
            let of = |sums: &BTreeMap<Currency, i64>| sums.get(&currency).copied().unwrap_or(0);
            let (placed, held, asked, brought) = (of(&placed), of(&held), of(&asked), of(&brought));
            let holds = if placed > 0 { placed == held + asked } else { held <= brought || wallet_pays };
            self.check(Invariant::I12, commit.head().position, holds, || {
                format!(
                    "in {currency}: orders of {placed} minor units were placed, {held} held for them, {asked} asked of and \
                     {brought} brought by a provider"
                )
            });
            self.check(Invariant::I12, commit.head().position, groups.len() <= 1, || {
                format!("orders of one purchase are in groups {groups:?}")
            });
        }
    }

    /// Enters an event.
    pub(crate) fn event(&mut self, position: Position, event: &Event) {
        self.change(position, event);
        self.disputed(position, event);
        match event {
            Event::MarketOpened(opened) => {
                self.policy = Some(opened.fee);
                self.earnings = Earnings::on(opened);
                self.returns.opened(opened.escrow.as_ref().and_then(|terms| terms.returns()));
            }
            Event::OrderPlaced(placed) => self.placed(position, placed),
            Event::OrderAccepted(accepted) => {
                if let Some(order) = self.orders.get_mut(&accepted.order) {
                    order.awaits_seller = false;
                }
            }
            Event::OrderAuthorized(held) => {
                if let Some(order) = self.orders.get_mut(&held.order) {
                    order.awaits_seller = held.accept_by.is_some();
                }
            }
            Event::OrderCancelled(cancelled) => self.uncharged(position, cancelled),
            Event::TaxSet(set) => self.checkout.tax_set(set),
            Event::ShippingRateSet(set) => self.checkout.rate_set(set),
            Event::PromotionCreated(created) => self.checkout.created(created),
            Event::WalletExchanged(exchanged) => self.exchanged(position, exchanged),
            Event::WalletFunded(funded) => self.came_in(position, &funded.transfer, &funded.reference),
            Event::PaymentAuthorized(authorized) => {
                let (payment, transfer) = (authorized.payment, authorized.pending);
                let is_first = !self.pending.contains_key(&payment) && !self.ended.contains(&payment);
                self.check(Invariant::I5, position, is_first || transfer.is_none(), || {
                    format!("a second transfer waits for payment {payment}")
                });
                self.pending.extend(transfer.map(|transfer| (payment, transfer)));
            }
            Event::PaymentFailed(failed) => drop(self.pending_ends(failed.payment)),
            Event::PaymentVoided(voided) => drop(self.pending_ends(voided.payment)),
            Event::PaymentCaptured(captured) => {
                self.came_in(position, &captured.transfer, &captured.reference);
                if let Some(pending) = self.pending_ends(captured.payment) {
                    let transfer = captured.transfer;
                    let is_part = (pending.from, pending.to) == (transfer.from, transfer.to)
                        && pending.amount.currency == transfer.amount.currency
                        && pending.amount.minor >= transfer.amount.minor;
                    self.check(Invariant::I6, position, is_part, || {
                        let (from, to) = (transfer.from, transfer.to);
                        format!("{} came from {from} to {to} where {pending:?} waited", transfer.amount)
                    });
                }
                self.payments.entry(captured.payment).or_default().0 += captured.transfer.amount.minor;
            }
            Event::PayoutPaid(paid) => {
                self.paid_out.insert(paid.payout, paid.transfer.amount);
            }
            Event::PayoutReturned(returned) => {
                let (paid, back) = (self.paid_out.remove(&returned.payout), returned.transfer.amount);
                self.check(Invariant::I6, position, paid == Some(back), || {
                    format!("{back} of payout {} came back, of which {paid:?} was paid", returned.payout)
                });
            }
            Event::RefundRequested(refund) => {
                self.goes_back(position, refund.payment, refund.transfer.amount.minor);
            }
            Event::RefundFailed(refund) => {
                self.goes_back(position, refund.payment, -refund.transfer.amount.minor);
            }
            _ => {}
        }
        for transfer in event.transfers() {
            self.transfer(position, transfer);
        }
        self.reserved.enter(event);
        self.subsidized(position, event);
        self.stops(position, event);
        self.fee_falls_due(event);
        if let Some((id, wrong)) = self.returns.enter(event) {
            self.check(Invariant::I21, position, wrong.is_none(), || {
                format!("order {id}: {}", wrong.unwrap_or_default())
            });
        }
        if let Some((id, wrong)) = self.exchanges.enter(event) {
            self.check(Invariant::I23, position, wrong.is_none(), || {
                format!("order {id}: {}", wrong.unwrap_or_default())
            });
        }
        if let Event::EscrowHeld(held) = event {
            if let Some(order) = self.orders.get_mut(&held.order) {
                order.changes.adding = 0;
            }
            self.check_funded(position, held.order, true);
        }
        if let Event::OrderPaid(paid) = event {
            self.check_funded(position, paid.order, false);
            if let Some(order) = self.orders.get_mut(&paid.order) {
                (order.awaits_seller, order.is_paid) = (paid.accept_by.is_some(), true);
            }
        }
        if let Some(end) = event.order_end() {
            self.closed(position, end.order, end.state);
        }
    }

    /// Checks that an escrow holds what the order costs or, where a provider is still to pay, all but that.
    fn check_funded(&mut self, position: Position, id: OrderId, may_wait: bool) {
        let known = self.orders.get(&id).map(|order| {
            (order.total.minor - order.uncharged, order.by_provider - order.uncharged, order.funded)
        });
        let holds = known.is_some_and(|(charged, by_provider, funded)| {
            funded == charged || (may_wait && funded == charged - by_provider)
        });
        self.check(Invariant::I11, position, holds, || {
            format!("order {id} is charged, gets from a provider and has in escrow {known:?} minor units")
        });
    }

    /// Notes what of cancelled units is never charged, as a provider had not taken it yet: its share of what they cost, of all that
    /// was cancelled so far, which may be nothing. The rest goes back to the wallet. An order that is cancelled as a whole gives
    /// up its payment instead.
    fn uncharged(&mut self, position: Position, cancelled: &Cancelled) {
        let Some(order) = self.orders.get_mut(&cancelled.order) else { return };
        let of_buyer = |line: &LineUnits| line.amount.minor - line.subsidy.map_or(0, |subsidy| subsidy.minor);
        let cost: i64 = cancelled.lines.iter().map(of_buyer).sum();
        let payable = order.total.minor - order.subsidy.total;
        let (card, total) = (i128::from(order.by_provider), i128::from(payable));
        let share = |cost: i64| (2 * card * i128::from(cost) + total).checked_div(2 * total).unwrap_or(0);
        let before = order.refunded + order.uncharged;
        let due = share(before + cost) - share(before);
        let uncharged = match cancelled.uncharged {
            None if order.is_paid || due != 0 => return,
            None => 0,
            Some(uncharged) => uncharged.minor,
        };
        order.uncharged += uncharged;
        order.going_back = Some(cost - uncharged);
        let is_right = !order.is_paid && i128::from(uncharged) == due;
        self.check(Invariant::I11, position, is_right, || {
            format!(
                "{uncharged} and not {due} of {cost} minor units of order {} are not charged",
                cancelled.order
            )
        });
    }

    /// Ends the transfer that waits for a payment, if one does, and gives it.
    fn pending_ends(&mut self, payment: PaymentId) -> Option<Transfer> {
        let ended = self.pending.remove(&payment)?;
        self.ended.insert(payment);
        Some(ended)
    }

    /// Checks what an event says of the platform's part of an order.
    fn subsidized(&mut self, position: Position, event: &Event) {
        let id = match event {
            Event::EscrowSubsidized(event) => event.order,
            Event::OrderShipped(event) => event.order,
            Event::OrderCancelled(event) => event.order,
            Event::OrderRefunded(event) => event.order,
            Event::OrderChargedBack(event) => event.order,
            Event::EscrowFrozen(event) => event.order,
            Event::EscrowUnfrozen(event) => event.order,
            Event::EscrowSettled(event) => event.order,
            Event::EscrowRefunded(event) => event.order,
            _ => return,
        };
        let Some(order) = self.orders.get_mut(&id) else { return };
        if order.subsidy.total == 0 && order.subsidy.paid_in == 0 {
            return;
        }
        let wrong = order.subsidy.enter(event);
        let paid = order.funded - order.subsidy.paid_in;
        let wrong = wrong.or_else(|| {
            let back = order.refunded + order.charged;
            (back > paid).then(|| format!("its buyer paid {paid}, and has {back} back"))
        });
        self.check(Invariant::I19, position, wrong.is_none(), || {
            format!("order {id}: {}", wrong.unwrap_or_default())
        });
    }

    /// Notes what stops an order or a part of its money, and that what was frozen goes as a whole.
    fn stops(&mut self, position: Position, event: &Event) {
        let sum =
            |transfers: &[Transfer]| transfers.iter().map(|transfer| transfer.amount.minor).sum::<i64>();
        let (id, shipment, went) = match event {
            Event::OrderHeld(held) => return self.set_held(held.order, true),
            Event::ReviewOpened(opened) => {
                return opened.orders.iter().for_each(|order| self.set_held(*order, true));
            }
            Event::ReviewDecided(decided) => return self.set_held(decided.order, false),
            Event::OrderUnheld(unheld) => {
                self.set_held(unheld.order, false);
                let are_two = unheld.agreed_by != unheld.requested_by;
                return self.check(Invariant::I7, position, are_two, || {
                    format!("the hold of order {} was lifted by one operator", unheld.order)
                });
            }
            Event::EscrowFrozen(frozen) => {
                if let Some(order) = self.orders.get_mut(&frozen.order) {
                    *order.frozen.entry(frozen.shipment).or_default() += frozen.transfer.amount.minor;
                }
                return;
            }
            Event::EscrowUnfrozen(event) => (event.order, event.shipment, event.transfer.amount.minor),
            Event::EscrowSettled(event) => (event.order, event.shipment, sum(&event.transfers)),
            _ => return,
        };
        // An order that this closes is forgotten only behind it.
        let frozen = self.orders.get_mut(&id).and_then(|order| order.frozen.remove(&shipment)).unwrap_or(0);
        self.check(Invariant::I7, position, frozen == went, || {
            format!("{frozen} minor units of shipment {shipment} of order {id} were frozen, and {went} went")
        });
    }

    fn set_held(&mut self, id: OrderId, is_held: bool) {
        if let Some(order) = self.orders.get_mut(&id) {
            order.is_held = is_held;
        }
    }

    fn came_in(&mut self, position: Position, transfer: &Transfer, reference: &str) {
        let is_new = self.references.insert((transfer.from, reference.to_owned()));
        self.check(Invariant::I9, position, is_new, || format!("reference `{reference}` was used before"));
    }

    fn exchanged(&mut self, position: Position, exchanged: &Exchanged) {
        let Exchanged { account, provider, rate, reference, transfers: [taken, given] } = exchanged;
        let is_new = self.offers.insert((*provider, reference.clone()));
        self.check(Invariant::I9, position, is_new, || format!("offer `{reference}` was taken before"));
        let (wallet, clearing) =
            (LedgerAccount::Wallet(*account), LedgerAccount::ProviderClearing(*provider));
        let goes_through =
            (taken.from, taken.to, given.from, given.to) == (wallet, clearing, clearing, wallet);
        let crosses = taken.amount.currency != given.amount.currency;
        let is_rate = rate.for_minor > 0 && rate.gives_minor > 0;
        let is_at_rate = is_rate
            && rounded(
                i128::from(taken.amount.minor) * i128::from(rate.gives_minor),
                i128::from(rate.for_minor),
            ) == i128::from(given.amount.minor);
        self.check(Invariant::I10, position, goes_through && crosses && is_at_rate, || {
            let (taken, given) = (taken.amount, given.amount);
            format!("by {rate:?} {account} got {given} for {taken}, or not through {provider}")
        });
    }

    fn goes_back(&mut self, position: Position, payment: PaymentId, minor: i64) {
        let (came_in, goes_back, charged) = self.payments.entry(payment).or_default();
        *goes_back += minor;
        let (came_in, goes_back, charged) = (*came_in, *goes_back, *charged);
        let fits = goes_back >= 0 && goes_back + charged <= came_in;
        self.check(Invariant::I6, position, fits, || {
            format!("of payment {payment} {came_in} came in, {goes_back} go back and {charged} are disputed")
        });
    }

    fn placed(&mut self, position: Position, placed: &Placed) {
        let wrong = self.checkout.wrong_price(placed);
        self.check(Invariant::I11, position, wrong.is_none(), || {
            format!("order {}: {}", placed.order, wrong.unwrap_or_default())
        });
        let promotions = placed.promotions();
        for promotion in &promotions {
            let wrong = self.checkout.use_up(*promotion, placed.buyer);
            self.check(Invariant::I18, position, wrong.is_none(), || wrong.unwrap_or_default());
        }
        let one_currency = placed.lines.iter().all(|line| line.total.currency == placed.total.currency)
            && placed.shipping.iter().all(|shipping| shipping.total.currency == placed.total.currency)
            && placed.fee.amount.currency == placed.total.currency;
        self.check(Invariant::I10, position, one_currency, || {
            format!("order {} has lines or a fee in another currency than {}", placed.order, placed.total)
        });
        let tax_minor = placed.tax_minor();
        let untaxed = Money::new(placed.total.minor.saturating_sub(tax_minor), placed.total.currency);
        let by_terms = self.policy.map(|policy| fee_by_terms(&policy, untaxed));
        let fee = placed.fee.amount.minor;
        self.check(Invariant::I13, position, by_terms == Some(i128::from(fee)), || {
            format!("the fee of order {} is {fee} minor units, by the terms {by_terms:?}", placed.order)
        });
        let (total, fee_minor) = (placed.total, placed.fee.amount.minor);
        let (buyer, funded, released, fees, taxes, refunded) = (placed.buyer, 0, 0, 0, 0, 0);
        let book = OrderBook {
            buyer,
            seller: placed.seller,
            total,
            tax_minor,
            promotions,
            by_provider: placed.payment.as_ref().map_or(0, |due| due.amount.minor),
            uncharged: 0,
            going_back: None,
            is_paid: placed.payment.is_none(),
            fee_minor,
            funded,
            released,
            fees,
            fee_due: 0,
            went: 0,
            taxes,
            refunded,
            charged: 0,
            subsidy: Subsidy::of(placed),
            changes: Changes::default(),
            frozen: BTreeMap::new(),
            awaits_seller: placed.accept_by.is_some(),
            is_held: false,
        };
        self.orders.insert(placed.order, book);
    }

    fn transfer(&mut self, position: Position, transfer: &Transfer) {
        let Transfer { amount, from, to } = *transfer;
        self.check(Invariant::I1, position, amount.is_positive() && from != to, || {
            format!("{amount} from {from} to {to}")
        });
        for (account, by) in [(from, -amount.minor), (to, amount.minor)] {
            let balance = self.balances.entry((account, amount.currency)).or_default();
            *balance = balance.saturating_add(by);
            let after = *balance;
            let may_be = match account {
                LedgerAccount::SellerReceivable(_) | LedgerAccount::BuyerReceivable(_) => after <= 0,
                LedgerAccount::ProviderClearing(_)
                | LedgerAccount::PlatformPromotions
                | LedgerAccount::PlatformExpense => true,
                _ => after >= 0,
            };
            self.check(Invariant::I3, position, may_be, || {
                format!("{account} has {}", Money::new(after, amount.currency))
            });
        }
        match (from, to) {
            (LedgerAccount::Escrow(id) | LedgerAccount::Dispute(id), to) => {
                self.escrow_gives(position, id, to, amount);
            }
            (from, LedgerAccount::Escrow(id) | LedgerAccount::Dispute(id)) => {
                self.escrow_gets(position, id, from, amount);
            }
            _ => {}
        }
    }

    fn escrow_gets(&mut self, position: Position, id: OrderId, from: LedgerAccount, amount: Money) {
        let expected = self.orders.get_mut(&id).map(|order| {
            if is_bank(from) {
                // What was taken of it comes back.
                order.charged -= amount.minor;
                return order.total.currency;
            }
            order.funded += amount.minor;
            if from == LedgerAccount::PlatformPromotions {
                order.subsidy.paid_in += amount.minor;
            }
            order.total.currency
        });
        self.check(Invariant::I10, position, expected == Some(amount.currency), || {
            format!("{amount} for order {id}, whose currency is {expected:?}")
        });
    }

    fn escrow_gives(&mut self, position: Position, id: OrderId, to: LedgerAccount, amount: Money) {
        let held = |account| self.balances.get(&(account, amount.currency)).copied().unwrap_or(0);
        let (in_escrow, in_dispute) = (held(LedgerAccount::Escrow(id)), held(LedgerAccount::Dispute(id)));
        let is_stopped = self.chargebacks.stops(id);
        let Some(order) = self.orders.get_mut(&id) else {
            return self.check(Invariant::I7, position, false, || format!("there is no order {id}"));
        };
        match to {
            // It is the order's before and after.
            LedgerAccount::Escrow(to) | LedgerAccount::Dispute(to) if to == id => {}
            LedgerAccount::Wallet(_) => order.refunded += amount.minor,
            LedgerAccount::PlatformPromotions => order.subsidy.returned += amount.minor,
            LedgerAccount::PlatformFees => order.fees += amount.minor,
            LedgerAccount::PlatformTax => order.taxes += amount.minor,
            to if is_bank(to) => order.charged += amount.minor,
            _ => order.released += amount.minor,
        }
        let OrderBook { total, by_provider, uncharged, funded, released, fees, taxes, refunded, .. } = *order;
        let OrderBook { awaits_seller, is_held, charged, .. } = *order;
        let (returned, adding) = (order.subsidy.returned, order.changes.adding);
        // That the platform has back its part, and no more, is looked at by itself.
        let is_share =
            to == LedgerAccount::PlatformPromotions || order.going_back.take() == Some(amount.minor);
        // A bank asks nobody.
        let (is_bank, is_refund) = (is_bank(to), is_refund(to) || is_bank(to));
        self.check(Invariant::I22, position, is_bank || !is_stopped, || {
            format!("{amount} moved of order {id}, whose payment is disputed")
        });
        self.check(Invariant::I7, position, is_refund || !awaits_seller, || {
            format!("{amount} left the escrow of order {id}, which its seller did not accept")
        });
        // What the wallet and the platform paid goes back before the provider has paid: all of it, or the share of cancelled units.
        let is_all = refunded + returned == funded;
        let goes_back = is_refund && funded == total.minor - by_provider && (is_all || is_share);
        // What a change adds comes in behind what goes back for it.
        let is_full = funded == total.minor - uncharged - adding;
        self.check(Invariant::I7, position, is_full || goes_back, || {
            format!("{amount} left the escrow of order {id}, which costs {total}, when it had got {funded}")
        });
        self.check(Invariant::I7, position, is_bank || !is_held, || {
            format!("{amount} moved of order {id}, which is on hold")
        });
        let accounted = released + fees + taxes + refunded + returned + charged + in_escrow + in_dispute;
        self.check(Invariant::I4, position, funded == accounted, || {
            format!(
                "order {id}: {funded} in; {released} released, {fees} fees, {taxes} taxes, {refunded} refunded, \
                 {returned} back to the platform, {charged} charged back, {in_dispute} frozen, {in_escrow} still there"
            )
        });
    }

    fn closed(&mut self, position: Position, id: OrderId, state: OrderState) {
        self.chargebacks.forget(id);
        let Some(order) = self.orders.remove(&id) else {
            return self.check(Invariant::I15, position, false, || format!("there is no open order {id}"));
        };
        let of_order = [LedgerAccount::Escrow(id), LedgerAccount::Dispute(id)];
        let left =
            of_order.map(|account| self.balances.remove(&(account, order.total.currency)).unwrap_or(0));
        let left = left.into_iter().sum::<i64>();
        self.check(Invariant::I15, position, left == 0, || format!("order {id} is closed and holds {left}"));
        if state == OrderState::Cancelled {
            order.promotions.iter().for_each(|promotion| self.checkout.give_back(*promotion, order.buyer));
        }
        self.check_fee(position, id, &order);
    }

    /// Closes the books at `position`: compares them with what the market holds.
    pub(crate) fn close(&mut self, position: Position, market: &commands::Market) {
        let mut sums = BTreeMap::<Currency, i128>::new();
        for ((_, currency), minor) in &self.balances {
            *sums.entry(*currency).or_default() += i128::from(*minor);
        }
        let pending: BTreeMap<_, _> =
            market.ledger.pending().map(|(payment, transfer)| (*payment, *transfer)).collect();
        let (ours, theirs) = (self.pending.len(), pending.len());
        let agree = pending == self.pending;
        self.check(Invariant::I5, position, agree, || {
            format!("{ours} transfers wait by the events, {theirs} in the market, or others")
        });
        for (currency, sum) in sums {
            self.check(Invariant::I2, position, sum == 0, || format!("{sum} minor units of {currency}"));
        }
        self.check_reserved(position, market);
        let theirs = market.ledger.balances().map(|(account, held)| (account, held.currency));
        let keys: BTreeSet<_> = self.balances.keys().copied().chain(theirs).collect();
        for (account, currency) in keys {
            let ours = self.balances.get(&(account, currency)).copied().unwrap_or(0);
            let theirs = market.ledger.balance(account, currency).minor;
            self.check(Invariant::I16, position, ours == theirs, || {
                format!(
                    "{account} has {ours} minor units of {currency} by its transfers, {theirs} in the market"
                )
            });
        }
    }

    fn check_reserved(&mut self, position: Position, market: &commands::Market) {
        for (listing, known) in market.listings.iter() {
            let (ours, theirs) = (self.reserved.of(*listing), known.stock.reserved);
            self.check(Invariant::I17, position, i64::try_from(theirs) == Ok(ours), || {
                format!(
                    "{ours} units of listing {listing} are reserved by the events, {theirs} in the market"
                )
            });
        }
    }

    /// Notes whether a promise holds that was looked at elsewhere.
    pub(crate) fn check(
        &mut self,
        invariant: Invariant,
        position: Position,
        holds: bool,
        what: impl FnOnce() -> String,
    ) {
        let finding = self.findings.entry(invariant).or_default();
        finding.checked += 1;
        if !holds && finding.broken.is_none() {
            finding.broken = Some(Break { position, what: what() });
        }
    }

    /// Gives what was found of every promise.
    pub(crate) fn findings(&self) -> impl Iterator<Item = (Invariant, Finding)> + '_ {
        Invariant::ALL.into_iter().map(|one| (one, self.findings.get(&one).cloned().unwrap_or_default()))
    }
}

/// Tells whether money that leaves an order for an account goes back to who paid it.
fn is_refund(to: LedgerAccount) -> bool {
    matches!(to, LedgerAccount::Wallet(_) | LedgerAccount::PlatformPromotions)
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
