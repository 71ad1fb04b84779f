//! How the numbers follow the log. Every sum is checked: a view that can't count stops.

use events::chargeback::ChargedOrder;
use events::escrow::Settled;
use events::ids::{AccountId, ListingId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::order::change::Changed;
use events::order::{Cancelled, EscrowRefunded, EscrowReleased, LineUnits, Placed, ShipmentNumber, Shipped};
use events::rejection::OrderState;
use events::{Commit, Currency, Event, Money, Position, Recorded, Timestamp};
use sled::{Batch, Tree};

use super::{
    Activity, Code, DAYS, FUNNEL, Funnel, HOURS, Histogram, LATENCY, LATENCY_BOUNDS_MS, LISTING_DAYS,
    LISTINGS, ListingMoney, ListingSales, Milestone, OPEN, OpenLine, OpenOrder, REJECTIONS, SELLER_DAYS,
    SELLERS, Sales, SalesMoney, Step,
};
use crate::table::Table;
use crate::view::{Fold, ViewError};

/// What is checked and named when a counter is full.
const COUNTER: &str = "a counter";

/// How the view follows the log.
pub(crate) struct AnalyticsFold {
    hours: Table<i64, Activity>,
    days: Table<i64, Activity>,
    sellers: Table<AccountId, Sales>,
    seller_days: Table<(AccountId, i64), Sales>,
    listings: Table<ListingId, ListingSales>,
    listing_days: Table<(ListingId, i64), ListingSales>,
    funnel: Table<(), Funnel>,
    latency: Table<u8, Histogram>,
    rejections: Table<(i64, Code), u64>,
    open: Table<OrderId, OpenOrder>,
}

/// Where and when an event stands.
#[derive(Clone, Copy)]
struct At<'a> {
    tree: &'a Tree,
    position: Position,
    time: Timestamp,
}

impl At<'_> {
    fn counted(&self, counted: Option<()>) -> Result<(), ViewError> {
        counted.ok_or(ViewError::overflow(COUNTER, self.position))
    }

    fn unknown(&self, order: OrderId) -> ViewError {
        ViewError::unknown(format_args!("order {order}"), self.position)
    }
}

impl AnalyticsFold {
    pub(crate) fn new() -> Self {
        AnalyticsFold {
            hours: Table::new(HOURS),
            days: Table::new(DAYS),
            sellers: Table::new(SELLERS),
            seller_days: Table::new(SELLER_DAYS),
            listings: Table::new(LISTINGS),
            listing_days: Table::new(LISTING_DAYS),
            funnel: Table::new(FUNNEL),
            latency: Table::new(LATENCY),
            rejections: Table::new(REJECTIONS),
            open: Table::new(OPEN),
        }
    }

    /// Counts something of the whole market.
    fn count_activity(
        &mut self,
        at: At<'_>,
        count: impl Fn(&mut Activity) -> Option<()>,
    ) -> Result<(), ViewError> {
        let hour = self.hours.entry(at.tree, &Step::Hour.number(at.time))?;
        at.counted(count(hour.get_or_insert_default()))?;
        let day = self.days.entry(at.tree, &Step::Day.number(at.time))?;
        at.counted(count(day.get_or_insert_default()))
    }

    /// Counts something of a seller, and so of the whole market.
    fn count_sales(
        &mut self,
        at: At<'_>,
        seller: AccountId,
        count: impl Fn(&mut Sales) -> Option<()>,
    ) -> Result<(), ViewError> {
        self.count_activity(at, |activity| count(&mut activity.sales))?;
        let total = self.sellers.entry(at.tree, &seller)?;
        at.counted(count(total.get_or_insert_default()))?;
        let day = self.seller_days.entry(at.tree, &(seller, Step::Day.number(at.time)))?;
        at.counted(count(day.get_or_insert_default()))
    }

    fn count_listing(
        &mut self,
        at: At<'_>,
        listing: ListingId,
        count: impl Fn(&mut ListingSales) -> Option<()>,
    ) -> Result<(), ViewError> {
        let total = self.listings.entry(at.tree, &listing)?;
        at.counted(count(total.get_or_insert_default()))?;
        let day = self.listing_days.entry(at.tree, &(listing, Step::Day.number(at.time)))?;
        at.counted(count(day.get_or_insert_default()))
    }

    fn count_funnel(&mut self, at: At<'_>, stage: fn(&mut Funnel) -> &mut u64) -> Result<(), ViewError> {
        let funnel = self.funnel.entry(at.tree, &())?.get_or_insert_default();
        at.counted(up(stage(funnel), 1))
    }

    fn open(&mut self, at: At<'_>, order: OrderId) -> Result<&mut OpenOrder, ViewError> {
        self.open.entry(at.tree, &order)?.as_mut().ok_or_else(|| at.unknown(order))
    }

    /// Times an order, and gives its seller.
    fn reach(&mut self, at: At<'_>, order: OrderId, milestone: Milestone) -> Result<AccountId, ViewError> {
        let open = self.open(at, order)?;
        // A log's time never runs backwards; should it, the order took no time.
        let (seller, took_ms) = (open.seller, at.time.ms_since(open.placed_at).max(0));
        let histogram = self.latency.entry(at.tree, &milestone.key())?.get_or_insert_default();
        let bucket = LATENCY_BOUNDS_MS.partition_point(|bound_ms| *bound_ms < took_ms);
        at.counted(up(&mut histogram.counts[bucket], 1))?;
        at.counted(plus(&mut histogram.sum_ms, took_ms))?;
        Ok(seller)
    }

    fn place(&mut self, at: At<'_>, placed: &Placed) -> Result<(), ViewError> {
        let units = placed.lines.iter().map(|line| u64::from(line.quantity.get())).sum();
        self.count_sales(at, placed.seller, |sales| {
            up(&mut sales.orders, 1)?;
            up(&mut sales.units, units)?;
            plus(&mut sales.money_mut(placed.total.currency).gmv, placed.total.minor)
        })?;
        let mut lines = Vec::with_capacity(placed.lines.len());
        for line in &placed.lines {
            let Money { currency, minor } = line.total;
            self.count_listing(at, line.listing, |sales| {
                up(&mut sales.orders, 1)?;
                up(&mut sales.units, u64::from(line.quantity.get()))?;
                plus(&mut sales.money_mut(currency).gmv, minor)
            })?;
            lines.push(OpenLine { listing: line.listing, quantity: line.quantity, minor });
        }
        self.count_funnel(at, |funnel| &mut funnel.orders_placed)?;
        if placed.cart.is_some() {
            self.count_funnel(at, |funnel| &mut funnel.orders_from_carts)?;
        }
        let open = OpenOrder {
            seller: placed.seller,
            placed_at: at.time,
            currency: placed.total.currency,
            lines,
            shipments: vec![],
            is_delivered: false,
            is_refunded: false,
        };
        self.open.set(placed.order, Some(open));
        Ok(())
    }

    /// Counts what a change added to an order as sold now; what it cancelled is told by itself.
    fn grow(&mut self, at: At<'_>, changed: &Changed) -> Result<(), ViewError> {
        let open = self.open(at, changed.order)?;
        let (seller, currency) = (open.seller, open.currency);
        let mut added = Vec::with_capacity(changed.added.len());
        for line in &changed.added {
            let is_new = open.lines.iter().all(|known| known.listing != line.listing);
            let more = OpenLine { listing: line.listing, quantity: line.quantity, minor: line.total.minor };
            if is_new {
                open.lines.push(more);
            }
            added.push((more, u64::from(is_new)));
        }
        let units = added.iter().map(|(line, _)| u64::from(line.quantity.get())).sum();
        self.count_sales(at, seller, |sales| {
            up(&mut sales.units, units)?;
            plus(&mut sales.money_mut(currency).gmv, changed.added_minor())
        })?;
        added.iter().try_for_each(|(line, orders)| {
            self.count_listing(at, line.listing, |sales| {
                up(&mut sales.orders, *orders)?;
                up(&mut sales.units, u64::from(line.quantity.get()))?;
                plus(&mut sales.money_mut(currency).gmv, line.minor)
            })
        })
    }

    fn ship(&mut self, at: At<'_>, shipped: &Shipped) -> Result<(), ViewError> {
        let open = self.open(at, shipped.order)?;
        let is_first = shipped.shipment == ShipmentNumber::FIRST;
        let lines = open.units(&shipped.lines);
        open.shipments.push((shipped.shipment, lines));
        if !is_first {
            return Ok(());
        }
        let seller = self.reach(at, shipped.order, Milestone::Shipped)?;
        self.count_sales(at, seller, |sales| up(&mut sales.shipped, 1))?;
        self.count_funnel(at, |funnel| &mut funnel.shipped)
    }

    fn deliver(&mut self, at: At<'_>, order: OrderId) -> Result<(), ViewError> {
        if std::mem::replace(&mut self.open(at, order)?.is_delivered, true) {
            return Ok(());
        }
        let seller = self.reach(at, order, Milestone::Delivered)?;
        self.count_sales(at, seller, |sales| up(&mut sales.delivered, 1))?;
        self.count_funnel(at, |funnel| &mut funnel.delivered)
    }

    fn cancel(&mut self, at: At<'_>, cancelled: &Cancelled) -> Result<(), ViewError> {
        let open = self.open(at, cancelled.order)?;
        let (seller, currency, lines) = (open.seller, open.currency, open.units(&cancelled.lines));
        let units = lines.iter().map(|line| u64::from(line.quantity.get())).sum();
        self.count_sales(at, seller, |sales| up(&mut sales.cancelled_units, units))?;
        lines.iter().try_for_each(|line| {
            self.count_listing(at, line.listing, |sales| {
                up(&mut sales.cancelled_units, u64::from(line.quantity.get()))?;
                plus(&mut sales.money_mut(currency).cancelled, line.minor)
            })
        })
    }

    fn refund(&mut self, at: At<'_>, refunded: &EscrowRefunded) -> Result<(), ViewError> {
        if let Some(transfer) = &refunded.transfer {
            let open = self.open(at, refunded.order)?;
            let is_first = !std::mem::replace(&mut open.is_refunded, true);
            self.count_sales(at, refunded.seller, |sales| {
                up(&mut sales.refunded, u64::from(is_first))?;
                plus(&mut sales.money_mut(transfer.amount.currency).refunded, transfer.amount.minor)
            })?;
        }
        self.close(at, refunded.order, refunded.closed_as)
    }

    fn release(&mut self, at: At<'_>, released: &EscrowReleased) -> Result<(), ViewError> {
        self.count_sales(at, released.seller, |sales| {
            released.transfers.iter().try_for_each(|transfer| count_money(sales, transfer))
        })?;
        let open = self.open(at, released.order)?;
        let place = open.shipments.iter().position(|(shipment, _)| *shipment == released.shipment);
        let (_, lines) = open.shipments.remove(place.ok_or_else(|| at.unknown(released.order))?);
        let currency = open.currency;
        self.count_fees(at, &released.transfers, currency, &lines)?;
        self.close(at, released.order, released.closed_as)
    }

    /// Counts what frozen money became: a release, a refund, or a part of each.
    fn settle(&mut self, at: At<'_>, settled: &Settled) -> Result<(), ViewError> {
        let open = self.open(at, settled.order)?;
        let is_refund = |transfer: &Transfer| matches!(transfer.to, LedgerAccount::Wallet(_));
        let refunds = settled.transfers.iter().any(is_refund);
        let is_first = refunds && !open.is_refunded;
        open.is_refunded |= refunds;
        let place = open.shipments.iter().position(|(shipment, _)| *shipment == settled.shipment);
        let place = place.ok_or_else(|| at.unknown(settled.order))?;
        // Where money of the shipment is left, its release is still to come.
        let lines = match settled.deadline {
            Some(_) => open.shipments[place].1.clone(),
            None => open.shipments.remove(place).1,
        };
        let currency = open.currency;
        self.count_sales(at, settled.seller, |sales| {
            up(&mut sales.refunded, u64::from(is_first))?;
            settled.transfers.iter().try_for_each(|transfer| count_money(sales, transfer))
        })?;
        self.count_fees(at, &settled.transfers, currency, &lines)?;
        self.close(at, settled.order, settled.closed_as)
    }

    /// Counts what of a release came back since units were returned; what was still in escrow is counted when it is settled.
    fn take_back(&mut self, at: At<'_>, refunded: &events::returns::Refunded) -> Result<(), ViewError> {
        if refunded.transfers.is_empty() {
            return Ok(());
        }
        let open = self.open(at, refunded.order)?;
        let (seller, is_first) = (open.seller, !std::mem::replace(&mut open.is_refunded, true));
        self.count_sales(at, seller, |sales| {
            up(&mut sales.refunded, u64::from(is_first))?;
            refunded.transfers.iter().try_for_each(|transfer| {
                let (minor, currency) = (transfer.amount.minor, transfer.amount.currency);
                let money = sales.money_mut(currency);
                match transfer.from {
                    LedgerAccount::PlatformFees => plus(&mut money.fees, -minor)?,
                    LedgerAccount::PlatformTax => {}
                    _ => plus(&mut money.released, -minor)?,
                }
                match transfer.to {
                    LedgerAccount::Wallet(_) => plus(&mut money.refunded, minor),
                    _ => Some(()),
                }
            })
        })
    }

    /// Counts what a bank takes back of orders, closed ones too, or gives back to them.
    fn charge_back(
        &mut self,
        at: At<'_>,
        orders: &[ChargedOrder],
        counter: fn(&mut Sales) -> &mut u64,
        sign: i64,
    ) -> Result<(), ViewError> {
        orders.iter().try_for_each(|charged| {
            self.count_sales(at, charged.seller, |sales| {
                up(counter(sales), 1)?;
                plus(&mut sales.money_mut(charged.amount.currency).charged_back, sign * charged.amount.minor)
            })
        })
    }

    /// Shares the platform's part of what was paid for units among their listings.
    fn count_fees(
        &mut self,
        at: At<'_>,
        transfers: &[Transfer],
        currency: Currency,
        lines: &[OpenLine],
    ) -> Result<(), ViewError> {
        let fees = transfers.iter().filter(|transfer| transfer.to == LedgerAccount::PlatformFees);
        let fee = fees.map(|transfer| transfer.amount.minor).sum();
        let amounts = Vec::from_iter(lines.iter().map(|line| line.minor));
        for (line, part) in lines.iter().zip(parts_of(fee, &amounts)) {
            self.count_listing(at, line.listing, |sales| plus(&mut sales.money_mut(currency).fees, part))?;
        }
        Ok(())
    }

    /// Counts an order's end, if this is one, and forgets the order.
    fn close(&mut self, at: At<'_>, order: OrderId, closed_as: Option<OrderState>) -> Result<(), ViewError> {
        let Some(state) = closed_as else { return Ok(()) };
        if state == OrderState::Completed {
            let seller = self.reach(at, order, Milestone::Released)?;
            self.count_sales(at, seller, |sales| up(&mut sales.completed, 1))?;
            self.count_funnel(at, |funnel| &mut funnel.completed)?;
        } else {
            let seller = self.open(at, order)?.seller;
            self.count_sales(at, seller, |sales| up(&mut sales.cancelled, 1))?;
            self.count_funnel(at, |funnel| &mut funnel.cancelled)?;
        }
        self.open.set(order, None);
        Ok(())
    }

    fn reject(&mut self, at: At<'_>, rejected: &events::command::Rejected) -> Result<(), ViewError> {
        self.count_activity(at, |activity| up(&mut activity.rejected, 1))?;
        let day = Step::Day.number(at.time);
        // Each code once, however many lines it was found in.
        let codes: std::collections::BTreeSet<String> =
            rejected.reasons.iter().map(events::Rejection::code).collect();
        for code in codes {
            let count = self.rejections.entry(at.tree, &(day, Code(code)))?;
            at.counted(up(count.get_or_insert_default(), 1))?;
        }
        Ok(())
    }

    fn apply_event(&mut self, tree: &Tree, recorded: &Recorded) -> Result<(), ViewError> {
        let at = At { tree, position: recorded.position, time: recorded.metadata.time };
        match &recorded.event {
            Event::CommandRejected(rejected) => self.reject(at, rejected),
            Event::CartItemAdded(events::cart::ItemAdded { version: 1, .. })
            | Event::CartMovedBack(events::cart::MovedBack { version: 1, .. })
            | Event::CartMerged(events::cart::Merged { version: 1, .. })
            | Event::CartRestored(events::cart::Restored { version: 1, .. }) => {
                self.count_activity(at, |activity| up(&mut activity.carts_opened, 1))?;
                self.count_funnel(at, |funnel| &mut funnel.carts_opened)
            }
            Event::CartMigrated(_) => {
                self.count_activity(at, |activity| up(&mut activity.carts_migrated, 1))?;
                self.count_funnel(at, |funnel| &mut funnel.carts_migrated)
            }
            Event::OrderPlaced(placed) => self.place(at, placed),
            Event::OrderChanged(changed) => self.grow(at, changed),
            Event::OrderShipped(shipped) => self.ship(at, shipped),
            Event::OrderDelivered(delivered) => self.deliver(at, delivered.order),
            Event::OrderCancelled(cancelled) => self.cancel(at, cancelled),
            Event::EscrowReleased(released) => self.release(at, released),
            Event::EscrowRefunded(refunded) => self.refund(at, refunded),
            Event::EscrowSettled(settled) => self.settle(at, settled),
            Event::ReturnRefunded(refunded) => self.take_back(at, refunded),
            Event::ChargebackOpened(opened) => {
                self.charge_back(at, &opened.orders, |sales| &mut sales.chargebacks, 1)
            }
            Event::ChargebackWon(won) => {
                self.charge_back(at, &won.orders, |sales| &mut sales.chargebacks_won, -1)
            }
            Event::ChargebackLost(lost) => {
                self.charge_back(at, &lost.orders, |sales| &mut sales.chargebacks_lost, 0)
            }
            Event::OrderClosed(closed) => self.close(at, closed.order, Some(closed.state)),
            _ => Ok(()),
        }
    }
}

impl Fold for AnalyticsFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        commit.events().iter().try_for_each(|recorded| self.apply_event(tree, recorded))
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.hours.write(tree, batch)?;
        self.days.write(tree, batch)?;
        self.sellers.write(tree, batch)?;
        self.seller_days.write(tree, batch)?;
        self.listings.write(tree, batch)?;
        self.listing_days.write(tree, batch)?;
        self.funnel.write(tree, batch)?;
        self.latency.write(tree, batch)?;
        self.rejections.write(tree, batch)?;
        self.open.write(tree, batch)
    }
}

impl OpenOrder {
    /// Gives the units that an event is about: those it names or, where it names none, all.
    fn units(&self, named: &[LineUnits]) -> Vec<OpenLine> {
        if named.is_empty() {
            return self.lines.clone();
        }
        let named = named.iter();
        named
            .map(|LineUnits { amount, listing, quantity, .. }| OpenLine {
                listing: *listing,
                quantity: *quantity,
                minor: amount.minor,
            })
            .collect()
    }
}

impl Sales {
    /// Gives the sums of a currency, kept in order of the code.
    fn money_mut(&mut self, currency: Currency) -> &mut SalesMoney {
        let at = self.money.partition_point(|money| money.currency < currency);
        if self.money.get(at).is_none_or(|money| money.currency != currency) {
            self.money.insert(
                at,
                SalesMoney { currency, gmv: 0, fees: 0, released: 0, refunded: 0, charged_back: 0 },
            );
        }
        &mut self.money[at]
    }

    /// Adds another's numbers; `None` if one does not fit.
    fn add(&mut self, other: &Sales) -> Option<()> {
        up(&mut self.orders, other.orders)?;
        up(&mut self.units, other.units)?;
        up(&mut self.cancelled_units, other.cancelled_units)?;
        up(&mut self.shipped, other.shipped)?;
        up(&mut self.delivered, other.delivered)?;
        up(&mut self.completed, other.completed)?;
        up(&mut self.cancelled, other.cancelled)?;
        up(&mut self.refunded, other.refunded)?;
        up(&mut self.chargebacks, other.chargebacks)?;
        up(&mut self.chargebacks_won, other.chargebacks_won)?;
        up(&mut self.chargebacks_lost, other.chargebacks_lost)?;
        other.money.iter().try_for_each(|more| {
            let money = self.money_mut(more.currency);
            plus(&mut money.gmv, more.gmv)?;
            plus(&mut money.fees, more.fees)?;
            plus(&mut money.released, more.released)?;
            plus(&mut money.refunded, more.refunded)?;
            plus(&mut money.charged_back, more.charged_back)
        })
    }
}

impl Activity {
    /// Adds another's numbers; `None` if one does not fit.
    pub(super) fn add(&mut self, other: &Activity) -> Option<()> {
        self.sales.add(&other.sales)?;
        up(&mut self.carts_opened, other.carts_opened)?;
        up(&mut self.carts_migrated, other.carts_migrated)?;
        up(&mut self.rejected, other.rejected)
    }
}

impl ListingSales {
    fn money_mut(&mut self, currency: Currency) -> &mut ListingMoney {
        let at = self.money.partition_point(|money| money.currency < currency);
        if self.money.get(at).is_none_or(|money| money.currency != currency) {
            self.money.insert(at, ListingMoney { currency, gmv: 0, fees: 0, cancelled: 0 });
        }
        &mut self.money[at]
    }
}

/// Splits a fee over the lines of its order as their totals are: what is due up to a line, rounded down, less what was
/// due up to the one before. So the parts sum to the fee, and none is off by more than one minor unit.
fn parts_of(fee: i64, totals: &[i64]) -> Vec<i64> {
    let all: i128 = totals.iter().copied().map(i128::from).sum();
    let (mut sum, mut due_before) = (0i128, 0i64);
    let mut parts = Vec::with_capacity(totals.len());
    for total in totals {
        sum += i128::from(*total);
        // An order for nothing has no fee. Otherwise what is due is at most the fee.
        let due = i64::try_from((i128::from(fee) * sum).checked_div(all).unwrap_or(0)).unwrap_or(fee);
        parts.push(due - due_before);
        due_before = due;
    }
    parts
}

/// Counts where money went that left an order.
fn count_money(sales: &mut Sales, transfer: &Transfer) -> Option<()> {
    let money = sales.money_mut(transfer.amount.currency);
    match transfer.to {
        LedgerAccount::PlatformFees => plus(&mut money.fees, transfer.amount.minor),
        // What is owed to those who levy taxes is nobody's income.
        LedgerAccount::PlatformTax => Some(()),
        LedgerAccount::Wallet(_) => plus(&mut money.refunded, transfer.amount.minor),
        // The platform has its own part back: that is neither sold nor given back to a buyer.
        LedgerAccount::PlatformPromotions => Some(()),
        _ => plus(&mut money.released, transfer.amount.minor),
    }
}

fn up(counter: &mut u64, by: u64) -> Option<()> {
    *counter = counter.checked_add(by)?;
    Some(())
}

fn plus(sum: &mut i64, minor: i64) -> Option<()> {
    *sum = sum.checked_add(minor)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use events::Head;
    use events::commit::Seal;
    use events::ids::{CommitId, WriterId};
    use events::metadata::Cause;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_parts_of_a_fee_sum_to_it_and_follow_the_totals() {
        assert_eq!(parts_of(100, &[300, 100]), [75, 25]);
        assert_eq!(parts_of(10, &[1, 1, 1]), [3, 3, 4]);
        assert_eq!(parts_of(1, &[500, 500]), [0, 1]);
        assert_eq!(parts_of(0, &[0, 0]), [0, 0]);
        assert_eq!(parts_of(i64::MAX, &[i64::MAX]), [i64::MAX]);
        assert_eq!(parts_of(7, &[]), [0; 0]);
    }

    /// Reads the event of a published sample.
    fn sample(type_name: &str, sample: &str) -> Event {
        let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
        Event::decode(type_name, sample["payload"].to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_chargeback_is_counted_for_the_seller_of_each_order_it_is_about() {
        let opened = sample(
            "chargeback.opened.v1",
            include_str!("../../../schemas/samples/chargeback.opened.v1.json"),
        );
        let won =
            sample("chargeback.won.v1", include_str!("../../../schemas/samples/chargeback.won.v1.json"));
        let lost =
            sample("chargeback.lost.v1", include_str!("../../../schemas/samples/chargeback.lost.v1.json"));
        let Event::ChargebackOpened(one) = &opened else { unreachable!() };
        let [charged] = one.orders.as_slice() else { unreachable!() };
        let (seller, minor) = (charged.seller, charged.amount.minor);

        for (events, expected) in [
            (vec![opened.clone()], (1, 0, 0, minor)),
            (vec![opened.clone(), won], (1, 1, 0, 0)),
            (vec![opened.clone(), lost], (1, 0, 1, minor)),
        ] {
            let writer = WriterId::from_uuid(Uuid::from_u128(1));
            let time = Timestamp::from_ms(1_754_042_400_000);
            let seal = Seal {
                id: CommitId::derive(writer, 1, time),
                market: "main".parse().unwrap(),
                time,
                cause: Cause::Writer(writer),
                traceparent: None,
            };
            let commit = Commit::seal(Head::EMPTY, seal, events);
            let db = sled::Config::new().temporary(true).open().unwrap();
            let (mut fold, mut batch) = (AnalyticsFold::new(), Batch::default());
            fold.apply(&db, &commit).unwrap();
            fold.write(&db, &mut batch).unwrap();
            db.apply_batch(batch).unwrap();

            let sales = SELLERS.get(&db, &seller).unwrap().unwrap();
            let counts = (sales.chargebacks, sales.chargebacks_won, sales.chargebacks_lost);
            let money = sales.money[0].charged_back;
            assert_eq!((counts.0, counts.1, counts.2, money), expected);
            let hour = HOURS.get(&db, &Step::Hour.number(time)).unwrap().unwrap();
            assert_eq!(hour.sales, sales, "and for the whole market");
        }
    }
}
