//! How the view of orders follows the log.

use events::account::Role;
use events::escrow::{Settled, Unfrozen};
use events::ids::{AccountId, OrderGroupId, OrderId};
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{
    Accepted, Cancelled, Delivered, EscrowReleased, LinePrice, OrderNumber, Placed, ShipmentNumber, Shipped,
};
use events::rejection::OrderState;
use events::tax::Tax;
use events::{Commit, Event, Money, Quantity, Timestamp};
use sled::{Batch, Tree};

use super::change;
use super::desk::{DeskFold, Dues};
use super::escrows::HeldFold;
use super::group::GROUPS;
use super::history::ListFold;
use super::location::{deallocate, reallocate};
use super::note;
use super::returns::{APPEALED, RETURNING};
use super::status::Known;
use super::word::Word;
use super::{
    Actor, Axes, Discount, Escrow, EscrowAxis, Frozen, Fulfilment, Hold, Line, LineUnits, NUMBERS, ORDERS,
    Order, OrderAxis, OrderPayment, PaymentAxis, Shipment, ShipmentState, Shipping, Step, TaxLine,
    TimelineEntry,
};
use crate::table::{Additions, Table};
use crate::view::{Fold, ViewError};

/// How the view follows the log.
pub(crate) struct OrderFold {
    pub(super) orders: Table<OrderId, Order>,
    lists: ListFold,
    groups: Table<OrderGroupId, Vec<OrderId>>,
    numbers: Additions<OrderNumber, OrderId>,
    pub(super) returning: Table<AccountId, Vec<OrderId>>,
    pub(super) appealed: Table<(), Vec<OrderId>>,
    held: HeldFold,
    desks: DeskFold,
}

impl OrderFold {
    pub(crate) fn new() -> Self {
        OrderFold {
            orders: Table::new(ORDERS),
            lists: ListFold::new(),
            groups: Table::new(GROUPS),
            numbers: Additions::new(NUMBERS),
            returning: Table::new(RETURNING),
            appealed: Table::new(APPEALED),
            held: HeldFold::new(),
            desks: DeskFold::new(),
        }
    }

    fn place(&mut self, tree: &Tree, placed: &Placed, entry: TimelineEntry) -> Result<(), ViewError> {
        self.lists.add(tree, placed, entry.position)?;
        if let Some(group) = placed.group {
            self.groups.entry(tree, &group)?.get_or_insert_default().push(placed.order);
        }
        if let Some(number) = placed.number {
            self.numbers.add(&number, &placed.order);
        }
        let order = new_order(placed, entry);
        self.desks.replace(&order, Dues::NONE, order.dues());
        self.orders.set(placed.order, Some(order));
        Ok(())
    }

    pub(super) fn change(
        &mut self,
        tree: &Tree,
        order: OrderId,
        entry: TimelineEntry,
        change: impl FnOnce(&mut Order) -> Option<()>,
    ) -> Result<(), ViewError> {
        let position = entry.position;
        let missing = || ViewError::unknown(format_args!("order {order}"), position);
        let found = self.orders.entry(tree, &order)?.as_mut().ok_or_else(missing)?;
        let (held, dues) = (found.holding(), found.dues());
        change(found).ok_or(ViewError::overflow("what an order holds", position))?;
        found.note(entry);
        self.desks.replace(found, dues, found.dues());
        self.held.replace(tree, held, found.holding(), position)
    }
}

impl Order {
    /// Closes it, if an event does: it waits for nobody then.
    pub(super) fn close(&mut self, closed_as: Option<OrderState>, time: Timestamp) {
        self.closed_as = closed_as;
        self.closed_at = closed_as.map(|_| time);
        if closed_as.is_some() {
            self.accept_by = None;
        }
    }

    /// Adds what happened to the timeline, and says anew where the order stands.
    fn note(&mut self, entry: TimelineEntry) {
        let party = match entry.actor {
            Actor::Account(account) if account == self.buyer => Some(Role::Buyer),
            Actor::Account(account) if account == self.seller => Some(Role::Seller),
            _ => None,
        };
        self.timeline.push(TimelineEntry { role: party.or(entry.role), ..entry });
        self.axes = Known::of(self).axes();
        self.state = self.axes.display();
    }
}

impl Fold for OrderFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        let word = Word::of(commit);
        for recorded in commit.events() {
            let (position, time) = (recorded.position, recorded.metadata.time);
            let entry = |step, shipment, note| word.entry(position, time, step, shipment, note);
            match &recorded.event {
                Event::OrderPlaced(placed) => {
                    self.place(tree, placed, entry(Step::Placed, None, note::placed(placed)))?;
                }
                Event::EscrowHeld(held) => {
                    let entry = entry(Step::EscrowHeld, None, None);
                    self.change(tree, held.order, entry, |order| {
                        order.release.clone_from(&held.release);
                        let minor = held.transfer.amount.minor;
                        add(&mut order.escrow.held, minor)?;
                        add(&mut order.escrow.remaining, minor)
                    })?;
                }
                Event::EscrowSubsidized(subsidized) => {
                    let amount = subsidized.transfer.amount;
                    let entry = entry(Step::EscrowSubsidized, None, Some(amount.to_string()));
                    self.change(tree, subsidized.order, entry, |order| {
                        add(&mut order.escrow.held, amount.minor)?;
                        add(&mut order.escrow.subsidy, amount.minor)?;
                        add(&mut order.escrow.remaining, amount.minor)
                    })?;
                }
                Event::SubsidyReturned(returned) => {
                    let amount = returned.transfer.amount;
                    let entry = entry(Step::SubsidyReturned, None, Some(amount.to_string()));
                    self.change(tree, returned.order, entry, |order| {
                        return_subsidy(&mut order.escrow, amount.minor)?;
                        add(&mut order.escrow.remaining, -amount.minor)
                    })?;
                }
                Event::OrderAccepted(accepted) => {
                    let entry = entry(Step::Accepted, None, None);
                    self.change(tree, accepted.order, entry, |order| accept(order, accepted))?;
                }
                Event::PaymentRequested(requested) if requested.replaces.is_none() => {
                    for order in &requested.orders {
                        // It was placed with its first payment; this may be another.
                        let found = self.orders.entry(tree, order)?.as_mut();
                        if let Some(payment) = found.and_then(|order| order.payment.as_mut()) {
                            payment.payment = requested.payment;
                        }
                    }
                }
                Event::OrderAuthorized(held) => {
                    let entry = entry(Step::Authorized, None, Some(format!("with payment {}", held.payment)));
                    self.change(tree, held.order, entry, |order| {
                        (order.accept_by, order.ship_by) = (held.accept_by, held.ship_by);
                        let payment = order.payment.as_mut()?;
                        (payment.payment, payment.capture_by) = (held.payment, Some(held.capture_by));
                        Some(())
                    })?;
                }
                Event::AuthorizationExpiring(expiring) => {
                    let note = Some(format!("to be charged by {}", expiring.capture_by));
                    let entry = entry(Step::AuthorizationExpiring, None, note);
                    self.change(tree, expiring.order, entry, |_| Some(()))?;
                }
                Event::OrderPaid(paid) => {
                    let note = match paid.payment {
                        Some(payment) => format!("with payment {payment}"),
                        None => "out of the wallet".to_owned(),
                    };
                    let entry = entry(Step::Paid, None, Some(note));
                    self.change(tree, paid.order, entry, |order| {
                        (order.accept_by, order.ship_by) = (paid.accept_by, paid.ship_by);
                        match paid.payment {
                            Some(_) => {
                                let payment = order.payment.as_mut()?;
                                (payment.is_paid, payment.capture_by) = (true, None);
                            }
                            None => order.payment = None,
                        }
                        Some(())
                    })?;
                }
                Event::OrderReallocated(event) => {
                    let entry = entry(Step::Reallocated, None, None);
                    self.change(tree, event.order, entry, |order| reallocate(order, event))?;
                }
                Event::OrderShipped(shipped) => {
                    let note = note::shipped(shipped.carrier.as_deref(), shipped.tracking.as_deref());
                    let entry = entry(Step::Shipped, Some(shipped.shipment), note);
                    self.change(tree, shipped.order, entry, |order| ship(order, shipped, time))?;
                }
                Event::OrderDelivered(delivered) => {
                    let note = Some(note::delivered(delivered.confirmed_by).to_owned());
                    let entry = entry(Step::Delivered, Some(delivered.shipment), note);
                    self.change(tree, delivered.order, entry, |order| deliver(order, delivered))?;
                }
                Event::OrderCancelled(cancelled) => {
                    let entry = entry(Step::Cancelled, None, Some(note::cancelled(cancelled.by)));
                    self.change(tree, cancelled.order, entry, |order| cancel(order, cancelled))?;
                }
                Event::OrderRefunded(refunded) => {
                    let entry =
                        entry(Step::Refunded, Some(refunded.shipment), Some(refunded.amount.to_string()));
                    self.change(tree, refunded.order, entry, |order| {
                        let shipment = order.shipments.get_mut(refunded.shipment.index())?;
                        add(&mut shipment.refunded, refunded.amount.minor)
                    })?;
                }
                Event::EscrowReleased(released) => {
                    let note = Some(released.condition.to_string());
                    let entry = entry(Step::EscrowReleased, Some(released.shipment), note);
                    self.change(tree, released.order, entry, |order| release(order, released, time))?;
                }
                Event::EscrowRefunded(refunded) => {
                    let entry = entry(Step::EscrowRefunded, None, None);
                    self.change(tree, refunded.order, entry, |order| {
                        order.close(refunded.closed_as, time);
                        let minor = refunded.transfer.map_or(0, |transfer| transfer.amount.minor);
                        add(&mut order.escrow.refunded, minor)?;
                        add(&mut order.escrow.remaining, -minor)
                    })?;
                }
                // The note is for operators, who find it in the log.
                Event::OrderHeld(held) => {
                    let entry = entry(Step::Held, None, Some(held.reason.to_string()));
                    let hold = Hold { reason: held.reason, since: time, is_lift_requested: false };
                    self.change(tree, held.order, entry, |order| {
                        order.hold = Some(hold);
                        Some(())
                    })?;
                }
                Event::UnholdRequested(requested) => {
                    let entry = entry(Step::UnholdRequested, None, None);
                    self.change(tree, requested.order, entry, |order| {
                        order.hold.as_mut()?.is_lift_requested = true;
                        Some(())
                    })?;
                }
                Event::OrderUnheld(unheld) => {
                    let entry = entry(Step::Unheld, None, None);
                    self.change(tree, unheld.order, entry, |order| order.unhold(&unheld.deadlines, time))?;
                }
                Event::ReviewOpened(opened) => {
                    for order in &opened.orders {
                        let entry = entry(Step::ReviewOpened, None, None);
                        self.change(tree, *order, entry, |order| order.review(time))?;
                    }
                }
                Event::ReviewDecided(decided) => {
                    let entry = entry(Step::ReviewDecided, None, Some(decided.verdict.to_string()));
                    self.change(tree, decided.order, entry, |order| order.unhold(&decided.deadlines, time))?;
                }
                Event::EscrowFrozen(frozen) => {
                    let note = Some(note::frozen(frozen));
                    let entry = entry(Step::EscrowFrozen, Some(frozen.shipment), note);
                    self.change(tree, frozen.order, entry, |order| freeze(order, frozen))?;
                }
                Event::EscrowUnfrozen(unfrozen) => {
                    let note = Some(format!("by the {}", unfrozen.by));
                    let entry = entry(Step::EscrowUnfrozen, Some(unfrozen.shipment), note);
                    self.change(tree, unfrozen.order, entry, |order| unfreeze(order, unfrozen))?;
                }
                Event::ReleaseScheduled(scheduled) => {
                    let note = Some(scheduled.condition.to_string());
                    let entry = entry(Step::ReleaseScheduled, Some(scheduled.shipment), note);
                    self.change(tree, scheduled.order, entry, |order| {
                        shipment_of(order, scheduled.shipment)?.release_due = Some(scheduled.due);
                        Some(())
                    })?;
                }
                Event::MilestoneSigned(signed) => {
                    let note = Some(format!("milestone {}", signed.milestone));
                    let entry = entry(Step::MilestoneSigned, Some(signed.shipment), note);
                    self.change(tree, signed.order, entry, |order| {
                        shipment_of(order, signed.shipment)?.milestones_signed.push(signed.milestone);
                        Some(())
                    })?;
                }
                // As of a hold, the note is for operators.
                Event::RiskCleared(cleared) => {
                    let entry = entry(Step::RiskCleared, None, None);
                    self.change(tree, cleared.order, entry, |order| {
                        order.is_risk_cleared = true;
                        Some(())
                    })?;
                }
                Event::ChangeProposed(_)
                | Event::ChangeDeclined(_)
                | Event::ChangeWithdrawn(_)
                | Event::ChangeLapsed(_)
                | Event::OrderChanged(_) => {
                    if let Some((order, step, note)) = change::told(&recorded.event) {
                        let entry = entry(step, None, note);
                        self.change(tree, order, entry, |order| change::apply(order, &recorded.event, time))?;
                    }
                }
                Event::SettlementProposed(proposed) => {
                    let entry = entry(Step::SettlementProposed, Some(proposed.shipment), None);
                    self.change(tree, proposed.order, entry, |order| {
                        shipment_of(order, proposed.shipment)?.frozen.as_mut()?.is_proposed = true;
                        Some(())
                    })?;
                }
                other if self.apply_return(tree, other, time, &entry)? => {}
                other if self.apply_charge(tree, other, time, &entry)? => {}
                Event::EscrowSettled(settled) => {
                    let note = Some(note::settled(settled.by).to_owned());
                    let entry = entry(Step::EscrowSettled, Some(settled.shipment), note);
                    self.change(tree, settled.order, entry, |order| settle(order, settled, time))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.orders.write(tree, batch)?;
        self.lists.write(tree, batch)?;
        self.groups.write(tree, batch)?;
        self.returning.write(tree, batch)?;
        self.appealed.write(tree, batch)?;
        self.held.write(tree, batch)?;
        self.desks.write(tree, batch)?;
        self.numbers.write(tree, batch)
    }
}

pub(super) fn add(sum: &mut i64, minor: i64) -> Option<()> {
    *sum = sum.checked_add(minor)?;
    Some(())
}

pub(super) fn return_subsidy(escrow: &mut Escrow, minor: i64) -> Option<()> {
    add(&mut escrow.refunded, minor)?;
    add(&mut escrow.subsidy_returned, minor)
}

/// Gives the units that an event is about: those it names or, where it names none, all that are left. Only events of the
/// first version name none.
fn units_of(order: &Order, named: &[events::order::LineUnits]) -> Vec<LineUnits> {
    if named.is_empty() {
        let left = order.lines.iter().filter_map(|line| {
            let quantity = line.quantity.get().checked_sub(line.cancelled)?.checked_sub(line.shipped)?;
            let (listing, locations) = (line.listing, line.locations.clone());
            Some(LineUnits { listing, locations, quantity: Quantity::new(quantity).ok()? })
        });
        left.collect()
    } else {
        let named = named.iter().map(|units| LineUnits {
            listing: units.listing,
            locations: units.locations.clone(),
            quantity: units.quantity,
        });
        named.collect()
    }
}

/// Moves units of an order's lines; none if it has no such lines or not so many units.
fn move_units(order: &mut Order, units: &[LineUnits], counter: fn(&mut Line) -> &mut u32) -> Option<()> {
    units.iter().try_for_each(|units| {
        let line = order.lines.iter_mut().find(|line| line.listing == units.listing)?;
        let counter = counter(line);
        *counter = counter.checked_add(units.quantity.get())?;
        let moved = line.cancelled.checked_add(line.shipped)?;
        (moved <= line.quantity.get() && line.delivered <= line.shipped).then_some(())
    })
}

fn accept(order: &mut Order, event: &Accepted) -> Option<()> {
    (order.accept_by, order.ship_by) = (None, event.ship_by);
    Some(())
}

fn ship(order: &mut Order, event: &Shipped, shipped_at: Timestamp) -> Option<()> {
    let lines = units_of(order, &event.lines);
    move_units(order, &lines, |line| &mut line.shipped)?;
    deallocate(order, &lines)?;
    // What an event of the first version shipped was the whole order.
    let amount = match event.lines.as_slice() {
        [] => order.total,
        lines => {
            let goods: i64 = lines.iter().map(|line| line.amount.minor).sum();
            let shipping = event.shipping.map_or(0, |shipping| shipping.amount.minor);
            Money::new(goods.checked_add(shipping)?, order.total.currency)
        }
    };
    order.shipments.push(Shipment {
        shipment: event.shipment,
        lines,
        amount,
        refunded: 0,
        charged_back: 0,
        state: ShipmentState::InTransit,
        carrier: event.carrier.clone(),
        tracking: event.tracking.clone(),
        shipped_at,
        delivery_due: event.delivery_due,
        inspection_ends: None,
        release_due: None,
        milestones_signed: vec![],
        return_by: None,
        frozen: None,
    });
    Some(())
}

fn deliver(order: &mut Order, event: &Delivered) -> Option<()> {
    let shipment = order.shipments.get_mut(event.shipment.index())?;
    shipment.state = ShipmentState::Inspection;
    shipment.inspection_ends = Some(event.inspection_ends);
    shipment.release_due = event.release_due;
    shipment.return_by = event.return_by;
    let lines = shipment.lines.clone();
    move_units(order, &lines, |line| &mut line.delivered)
}

fn cancel(order: &mut Order, event: &Cancelled) -> Option<()> {
    let lines = units_of(order, &event.lines);
    order.cancelled_by = Some(event.by);
    if let Some(uncharged) = event.uncharged {
        add(&mut order.payment.as_mut()?.uncharged.minor, uncharged.minor)?;
    }
    deallocate(order, &lines)?;
    move_units(order, &lines, |line| &mut line.cancelled)
}

fn release(order: &mut Order, event: &EscrowReleased, time: Timestamp) -> Option<()> {
    order.shipments.get_mut(event.shipment.index())?.state = ShipmentState::Accepted;
    order.close(event.closed_as, time);
    event.transfers.iter().try_for_each(|transfer| {
        let minor = transfer.amount.minor;
        match transfer.to {
            LedgerAccount::PlatformFees => add(&mut order.escrow.fees, minor)?,
            LedgerAccount::PlatformTax => add(&mut order.escrow.taxes, minor)?,
            _ => {}
        }
        add(&mut order.escrow.released, minor)?;
        add(&mut order.escrow.remaining, -minor)
    })
}

fn shipment_of(order: &mut Order, shipment: ShipmentNumber) -> Option<&mut Shipment> {
    order.shipments.get_mut(shipment.index())
}

/// Changes when a deadline is due; none if the order has no such deadline.
pub(super) fn set_due(order: &mut Order, stamp: DeadlineStamp) -> Option<()> {
    match stamp.waiting {
        Waiting::ShipBy { .. } => order.ship_by = stamp.due,
        Waiting::DeliveryDue { shipment, .. } => shipment_of(order, shipment)?.delivery_due = stamp.due,
        Waiting::InspectionEnds { shipment, .. } => {
            shipment_of(order, shipment)?.inspection_ends = Some(stamp.due);
        }
        Waiting::ReleaseDue { shipment, .. } => {
            let shipment = shipment_of(order, shipment)?;
            // The time to inspect stood still too.
            let later_ms = stamp.due.ms_since(shipment.release_due?);
            shipment.inspection_ends = Some(shipment.inspection_ends?.plus_ms(later_ms));
            shipment.release_due = Some(stamp.due);
        }
        Waiting::ChangeExpires { .. } => order.change.as_mut()?.expires_at = stamp.due,
        Waiting::FreezeExpires { shipment, .. } => {
            shipment_of(order, shipment)?.frozen.as_mut()?.due = stamp.due;
        }
        Waiting::ReturnDue { shipment, .. } => {
            let mut open = order.returns.iter_mut().filter(|one| one.is_open());
            open.find(|one| one.shipment == shipment)?.due = Some(stamp.due);
        }
        // The windows of its shipments, which say the same, are longer by as much.
        Waiting::ReturnsEnd { .. } => {}
        Waiting::AcceptBy { .. } => {
            // The time to ship begins behind it.
            order.ship_by = order.ship_by.plus_ms(stamp.due.ms_since(order.accept_by?));
            order.accept_by = Some(stamp.due);
        }
        _ => return None,
    }
    Some(())
}

fn freeze(order: &mut Order, event: &events::escrow::Frozen) -> Option<()> {
    let events::escrow::Frozen { by, due, note, reason, shipment, transfer, .. } = event;
    let amount = transfer.amount;
    let frozen =
        Frozen { amount, by: *by, reason: *reason, note: note.clone(), due: *due, is_proposed: false };
    shipment_of(order, *shipment)?.frozen = Some(frozen);
    add(&mut order.escrow.frozen, amount.minor)?;
    add(&mut order.escrow.remaining, -amount.minor)
}

fn unfreeze(order: &mut Order, event: &Unfrozen) -> Option<()> {
    shipment_of(order, event.shipment)?.frozen = None;
    set_due(order, event.deadline)?;
    add(&mut order.escrow.frozen, -event.transfer.amount.minor)?;
    add(&mut order.escrow.remaining, event.transfer.amount.minor)
}

fn settle(order: &mut Order, event: &Settled, time: Timestamp) -> Option<()> {
    let shipment = shipment_of(order, event.shipment)?;
    shipment.frozen = None;
    match event.deadline {
        Some(stamp) => set_due(order, stamp)?,
        None => shipment.state = ShipmentState::Settled,
    }
    order.close(event.closed_as, time);
    event.transfers.iter().try_for_each(|transfer| {
        let minor = transfer.amount.minor;
        let escrow = &mut order.escrow;
        add(&mut escrow.frozen, -minor)?;
        match transfer.to {
            LedgerAccount::Wallet(_) => add(&mut escrow.refunded, minor),
            LedgerAccount::PlatformPromotions => return_subsidy(escrow, minor),
            LedgerAccount::PlatformFees => {
                add(&mut escrow.fees, minor)?;
                add(&mut escrow.released, minor)
            }
            LedgerAccount::PlatformTax => {
                add(&mut escrow.taxes, minor)?;
                add(&mut escrow.released, minor)
            }
            _ => add(&mut escrow.released, minor),
        }
    })
}

fn new_order(placed: &Placed, entry: TimelineEntry) -> Order {
    let (accept_by, ship_by, currency) = (placed.accept_by, placed.ship_by, placed.total.currency);
    let escrow = Escrow::empty(currency);
    let axes = Axes {
        order: OrderAxis::Confirmed { ship_by },
        fulfilment: Fulfilment::Unfulfilled,
        payment: PaymentAxis::Pending,
        escrow: EscrowAxis::Created,
    };
    let mut order = Order {
        order: placed.order,
        number: placed.number.map(|number| number.to_string()),
        group: placed.group,
        buyer: placed.buyer,
        seller: placed.seller,
        cart: placed.cart,
        replaces: placed.replaces,
        state: axes.display(),
        axes,
        accept_by,
        cancelled_by: None,
        closed_at: None,
        closed_as: None,
        hold: None,
        chargebacks: vec![],
        stopped_since: None,
        change: None,
        version: 1,
        versions: vec![],
        lines: placed.lines.iter().map(line).collect(),
        shipments: vec![],
        returns: vec![],
        shipping: placed.shipping.as_ref().map(|quote| Shipping {
            method: quote.method.clone(),
            price: quote.price,
            tax: quote.tax.as_ref().map(tax_line),
            total: quote.total,
        }),
        total: placed.total,
        fee: placed.fee.amount,
        escrow,
        release: None,
        is_risk_cleared: false,
        payment: placed.payment.as_ref().map(|due| OrderPayment {
            payment: due.payment,
            amount: due.amount,
            expires_at: due.expires_at,
            is_paid: false,
            capture_by: None,
            capture: due.capture,
            uncharged: Money::zero(due.amount.currency),
        }),
        placed_at: entry.time,
        ship_by,
        timeline: vec![],
    };
    order.note(entry);
    order
}

pub(super) fn line(line: &events::order::Line) -> Line {
    Line {
        listing: line.listing,
        listing_version: line.listing_version,
        unit_price: match line.price {
            LinePrice::Unit(price) => Some(price),
            LinePrice::Quote | LinePrice::Exchange => None,
        },
        final_sale: line.final_sale,
        discounts: line.discounts.iter().map(discount).collect(),
        tax: line.tax.as_ref().map(tax_line),
        added: vec![],
        quantity: line.quantity,
        cancelled: 0,
        shipped: 0,
        delivered: 0,
        return_requested: 0,
        returned: 0,
        refunded: 0,
        locations: line.locations.clone(),
        total: line.total,
    }
}

fn discount(given: &events::promotion::Discount) -> Discount {
    let events::promotion::Discount { amount, paid_by, promotion } = *given;
    Discount { amount, paid_by, promotion }
}

pub(super) fn tax_line(tax: &Tax) -> TaxLine {
    let Tax { amount, bps, inclusive, region, rounding: _, tax_class, version } = tax.clone();
    TaxLine { amount, bps, inclusive, region, tax_class, version }
}
