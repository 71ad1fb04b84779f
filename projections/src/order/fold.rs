//! How the view of orders follows the log.

use std::cmp::Reverse;

use events::escrow::{Settled, SettledBy, Unfrozen};
use events::ids::{AccountId, CommandId, OrderId};
use events::ledger::LedgerAccount;
use events::metadata::{Cause, DeadlineStamp, Waiting};
use events::order::{
    Cancelled, CancelledBy, Delivered, DeliveryProof, EscrowReleased, LinePrice, Placed, ShipmentNumber,
    Shipped,
};
use events::rejection::OrderState;
use events::{Commit, Event, Money, Position, Quantity, Timestamp};
use sled::{Batch, Tree};

use super::status::Stop;
use super::{
    Actor, BOUGHT, Chunk, Escrow, Frozen, Fulfilment, Hold, Line, LineUnits, ListKey, NEWEST, ORDERS,
    ORDERS_PER_CHUNK, Order, OrderStatus, SOLD, Shipment, ShipmentState, Step, TimelineEntry,
};
use crate::table::Table;
use crate::view::{Fold, ViewError};

/// How the view follows the log.
pub(crate) struct OrderFold {
    orders: Table<OrderId, Order>,
    bought: Table<ListKey, Chunk>,
    sold: Table<ListKey, Chunk>,
}

impl OrderFold {
    pub(crate) fn new() -> Self {
        OrderFold { orders: Table::new(ORDERS), bought: Table::new(BOUGHT), sold: Table::new(SOLD) }
    }

    fn place(&mut self, tree: &Tree, placed: &Placed, entry: TimelineEntry) -> Result<(), ViewError> {
        let listed = (entry.position, placed.order);
        list(&mut self.bought, tree, placed.buyer, listed)?;
        list(&mut self.sold, tree, placed.seller, listed)?;
        self.orders.set(placed.order, Some(new_order(placed, entry)));
        Ok(())
    }

    fn change(
        &mut self,
        tree: &Tree,
        order: OrderId,
        entry: TimelineEntry,
        change: impl FnOnce(&mut Order) -> Option<()>,
    ) -> Result<(), ViewError> {
        let position = entry.position;
        let missing = || ViewError::unknown(format_args!("order {order}"), position);
        let found = self.orders.entry(tree, &order)?.as_mut().ok_or_else(missing)?;
        change(found).ok_or(ViewError::overflow("what an order holds", position))?;
        found.fulfilment = Fulfilment::of(&found.lines);
        found.state = OrderStatus::of(Stop::of(found), found.fulfilment, found.closed_as);
        found.timeline.push(entry);
        Ok(())
    }
}

impl Fold for OrderFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        let (actor, command) = actor_of(commit);
        for recorded in commit.events() {
            let (position, time) = (recorded.position, recorded.metadata.time);
            let entry =
                |step, shipment, note| TimelineEntry { position, time, step, actor, command, shipment, note };
            match &recorded.event {
                Event::OrderPlaced(placed) => self.place(tree, placed, entry(Step::Placed, None, None))?,
                Event::EscrowHeld(held) => {
                    let entry = entry(Step::EscrowHeld, None, None);
                    self.change(tree, held.order, entry, |order| {
                        let minor = held.transfer.amount.minor;
                        add(&mut order.escrow.held, minor)?;
                        add(&mut order.escrow.remaining, minor)
                    })?;
                }
                Event::OrderShipped(shipped) => {
                    let note = shipment_note(shipped.carrier.as_deref(), shipped.tracking.as_deref());
                    let entry = entry(Step::Shipped, Some(shipped.shipment), note);
                    self.change(tree, shipped.order, entry, |order| ship(order, shipped, time))?;
                }
                Event::OrderDelivered(delivered) => {
                    let note = Some(delivery_note(delivered.confirmed_by).to_owned());
                    let entry = entry(Step::Delivered, Some(delivered.shipment), note);
                    self.change(tree, delivered.order, entry, |order| deliver(order, delivered))?;
                }
                Event::OrderCancelled(cancelled) => {
                    let note = Some(cancellation_note(cancelled.by, cancelled.reason.as_deref()));
                    let entry = entry(Step::Cancelled, None, note);
                    self.change(tree, cancelled.order, entry, |order| cancel(order, cancelled))?;
                }
                Event::EscrowReleased(released) => {
                    let entry = entry(Step::EscrowReleased, Some(released.shipment), None);
                    self.change(tree, released.order, entry, |order| release(order, released, time))?;
                }
                Event::EscrowRefunded(refunded) => {
                    let entry = entry(Step::EscrowRefunded, None, None);
                    self.change(tree, refunded.order, entry, |order| {
                        close(order, refunded.closed_as, time);
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
                    self.change(tree, unheld.order, entry, |order| {
                        order.hold = None;
                        unheld.deadlines.iter().try_for_each(|stamp| set_due(order, *stamp))
                    })?;
                }
                Event::EscrowFrozen(frozen) => {
                    let note = Some(freeze_note(frozen));
                    let entry = entry(Step::EscrowFrozen, Some(frozen.shipment), note);
                    self.change(tree, frozen.order, entry, |order| freeze(order, frozen))?;
                }
                Event::EscrowUnfrozen(unfrozen) => {
                    let note = Some(format!("by the {}", format!("{:?}", unfrozen.by).to_lowercase()));
                    let entry = entry(Step::EscrowUnfrozen, Some(unfrozen.shipment), note);
                    self.change(tree, unfrozen.order, entry, |order| unfreeze(order, unfrozen))?;
                }
                Event::ReleaseScheduled(scheduled) => {
                    let note = Some(format!("{:?}", scheduled.condition));
                    let entry = entry(Step::ReleaseScheduled, Some(scheduled.shipment), note);
                    self.change(tree, scheduled.order, entry, |order| {
                        shipment_of(order, scheduled.shipment)?.release_due = Some(scheduled.due);
                        Some(())
                    })?;
                }
                Event::SettlementProposed(proposed) => {
                    let entry = entry(Step::SettlementProposed, Some(proposed.shipment), None);
                    self.change(tree, proposed.order, entry, |order| {
                        shipment_of(order, proposed.shipment)?.frozen.as_mut()?.is_proposed = true;
                        Some(())
                    })?;
                }
                Event::EscrowSettled(settled) => {
                    let note = Some(settlement_note(settled));
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
        self.bought.write(tree, batch)?;
        self.sold.write(tree, batch)
    }
}

fn list(
    lists: &mut Table<ListKey, Chunk>,
    tree: &Tree,
    account: AccountId,
    listed: (Position, OrderId),
) -> Result<(), ViewError> {
    let newest = lists.entry(tree, &(account, NEWEST))?.get_or_insert_default();
    if newest.len() < ORDERS_PER_CHUNK {
        newest.push(listed);
        return Ok(());
    }
    let full = std::mem::replace(newest, vec![listed]);
    lists.set((account, Reverse(full[0].0)), Some(full));
    Ok(())
}

fn add(sum: &mut i64, minor: i64) -> Option<()> {
    *sum = sum.checked_add(minor)?;
    Some(())
}

fn actor_of(commit: &Commit) -> (Actor, Option<CommandId>) {
    match &commit.start().cause {
        Cause::Command(stamp) => (Actor::Account(stamp.account), Some(stamp.command)),
        Cause::Deadline(deadline) => (Actor::Deadline(deadline.waiting.kind()), None),
        Cause::Writer(writer) => (Actor::Writer(*writer), None),
    }
}

/// Gives the units that an event is about: those it names or, where it names none, all that are left. Only events of the
/// first version name none.
fn units_of(order: &Order, named: &[events::order::LineUnits]) -> Vec<LineUnits> {
    if named.is_empty() {
        let left = order.lines.iter().filter_map(|line| {
            let quantity = line.quantity.get().checked_sub(line.cancelled)?.checked_sub(line.shipped)?;
            Some(LineUnits { listing: line.listing, quantity: Quantity::new(quantity).ok()? })
        });
        left.collect()
    } else {
        named.iter().map(|units| LineUnits { listing: units.listing, quantity: units.quantity }).collect()
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

fn ship(order: &mut Order, event: &Shipped, shipped_at: Timestamp) -> Option<()> {
    let lines = units_of(order, &event.lines);
    move_units(order, &lines, |line| &mut line.shipped)?;
    // What an event of the first version shipped was the whole order.
    let amount = match event.lines.as_slice() {
        [] => order.total,
        lines => Money::new(lines.iter().map(|line| line.amount.minor).sum(), order.total.currency),
    };
    order.shipments.push(Shipment {
        shipment: event.shipment,
        lines,
        amount,
        state: ShipmentState::InTransit,
        carrier: event.carrier.clone(),
        tracking: event.tracking.clone(),
        shipped_at,
        delivery_due: event.delivery_due,
        inspection_ends: None,
        release_due: None,
        frozen: None,
    });
    Some(())
}

fn deliver(order: &mut Order, event: &Delivered) -> Option<()> {
    let shipment = order.shipments.get_mut(event.shipment.index())?;
    shipment.state = ShipmentState::Inspection;
    shipment.inspection_ends = Some(event.inspection_ends);
    shipment.release_due = event.release_due;
    let lines = shipment.lines.clone();
    move_units(order, &lines, |line| &mut line.delivered)
}

fn cancel(order: &mut Order, event: &Cancelled) -> Option<()> {
    let lines = units_of(order, &event.lines);
    move_units(order, &lines, |line| &mut line.cancelled)
}

fn release(order: &mut Order, event: &EscrowReleased, time: Timestamp) -> Option<()> {
    order.shipments.get_mut(event.shipment.index())?.state = ShipmentState::Accepted;
    close(order, event.closed_as, time);
    event.transfers.iter().try_for_each(|transfer| {
        let minor = transfer.amount.minor;
        if transfer.to == LedgerAccount::PlatformFees {
            add(&mut order.escrow.fees, minor)?;
        }
        add(&mut order.escrow.released, minor)?;
        add(&mut order.escrow.remaining, -minor)
    })
}

fn close(order: &mut Order, closed_as: Option<OrderState>, time: Timestamp) {
    order.closed_as = closed_as;
    order.closed_at = closed_as.map(|_| time);
}

fn shipment_of(order: &mut Order, shipment: ShipmentNumber) -> Option<&mut Shipment> {
    order.shipments.get_mut(shipment.index())
}

/// Changes when a deadline is due; none if the order has no such deadline.
fn set_due(order: &mut Order, stamp: DeadlineStamp) -> Option<()> {
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
        Waiting::FreezeExpires { shipment, .. } => {
            shipment_of(order, shipment)?.frozen.as_mut()?.due = stamp.due;
        }
        Waiting::PaymentExpires { .. } | Waiting::AuthorizationExpires { .. } => return None,
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
    close(order, event.closed_as, time);
    event.transfers.iter().try_for_each(|transfer| {
        let minor = transfer.amount.minor;
        let escrow = &mut order.escrow;
        add(&mut escrow.frozen, -minor)?;
        match transfer.to {
            LedgerAccount::Wallet(_) => add(&mut escrow.refunded, minor),
            LedgerAccount::PlatformFees => {
                add(&mut escrow.fees, minor)?;
                add(&mut escrow.released, minor)
            }
            _ => add(&mut escrow.released, minor),
        }
    })
}

fn new_order(placed: &Placed, entry: TimelineEntry) -> Order {
    let lines = placed.lines.iter().map(|line| Line {
        listing: line.listing,
        listing_version: line.listing_version,
        unit_price: match line.price {
            LinePrice::Unit(price) => Some(price),
            LinePrice::Quote => None,
        },
        quantity: line.quantity,
        cancelled: 0,
        shipped: 0,
        delivered: 0,
        total: line.total,
    });
    Order {
        order: placed.order,
        buyer: placed.buyer,
        seller: placed.seller,
        cart: placed.cart,
        state: OrderStatus::Placed,
        fulfilment: Fulfilment::Unfulfilled,
        closed_at: None,
        closed_as: None,
        hold: None,
        lines: lines.collect(),
        shipments: vec![],
        total: placed.total,
        fee: placed.fee.amount,
        escrow: Escrow {
            currency: placed.total.currency,
            held: 0,
            released: 0,
            fees: 0,
            refunded: 0,
            frozen: 0,
            remaining: 0,
        },
        placed_at: entry.time,
        ship_by: placed.ship_by,
        timeline: vec![entry],
    }
}

fn shipment_note(carrier: Option<&str>, tracking: Option<&str>) -> Option<String> {
    match (carrier, tracking) {
        (Some(carrier), Some(tracking)) => Some(format!("{carrier} {tracking}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn delivery_note(proof: DeliveryProof) -> &'static str {
    match proof {
        DeliveryProof::Buyer => "confirmed by the buyer",
        DeliveryProof::Carrier => "confirmed by the carrier",
        DeliveryProof::TransitElapsed => "counts as delivered: nobody said anything in time",
    }
}

fn freeze_note(event: &events::escrow::Frozen) -> String {
    let by = format!("{:?}", event.by).to_lowercase();
    let said = format!("{} by the {by}, {}", event.transfer.amount, event.reason);
    match &event.note {
        Some(note) => format!("{said}: {note}"),
        None => said,
    }
}

fn settlement_note(event: &Settled) -> String {
    let decided = match event.by {
        SettledBy::Operator | SettledBy::TwoOperators { .. } => "decided",
        SettledBy::Deadline => "nobody decided in time",
    };
    match &event.note {
        Some(note) => format!("{decided}: {note}"),
        None => decided.to_owned(),
    }
}

fn cancellation_note(by: CancelledBy, reason: Option<&str>) -> String {
    let who = match by {
        CancelledBy::Account(role) => format!("by the {}", format!("{role:?}").to_lowercase()),
        CancelledBy::ShipDeadline => "not shipped in time".to_owned(),
    };
    match reason {
        Some(reason) => format!("{who}: {reason}"),
        None => who,
    }
}
