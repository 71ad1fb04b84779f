//! How the view of orders follows the log.

use std::cmp::Reverse;

use events::ids::{AccountId, CommandId, OrderId};
use events::ledger::LedgerAccount;
use events::metadata::Cause;
use events::order::{
    Cancelled, CancelledBy, Delivered, DeliveryProof, EscrowReleased, LinePrice, Placed, Shipped,
};
use events::{Commit, Event, Money, Position, Quantity, Timestamp};
use sled::{Batch, Tree};

use super::{
    Actor, BOUGHT, Chunk, Escrow, Fulfilment, Line, LineUnits, ListKey, NEWEST, ORDERS, ORDERS_PER_CHUNK,
    Order, OrderPayment, OrderStatus, SOLD, Shipment, ShipmentState, Step, TimelineEntry,
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
        found.state = match OrderStatus::of(found.fulfilment, found.closed_at.is_some()) {
            OrderStatus::Placed if found.payment.is_some_and(|payment| !payment.is_paid) => {
                OrderStatus::AwaitingPayment
            }
            state => state,
        };
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
                Event::PaymentRequested(requested) => {
                    for order in &requested.orders {
                        // It was placed with its first payment; this may be another.
                        let found = self.orders.entry(tree, order)?.as_mut();
                        if let Some(payment) = found.and_then(|order| order.payment.as_mut()) {
                            payment.payment = requested.payment;
                        }
                    }
                }
                Event::OrderPaid(paid) => {
                    let entry = entry(Step::Paid, None, Some(format!("with payment {}", paid.payment)));
                    self.change(tree, paid.order, entry, |order| {
                        order.ship_by = paid.ship_by;
                        order.payment.as_mut()?.is_paid = true;
                        Some(())
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
                        order.closed_at = refunded.closed_as.map(|_| time);
                        let minor = refunded.transfer.map_or(0, |transfer| transfer.amount.minor);
                        add(&mut order.escrow.refunded, minor)?;
                        add(&mut order.escrow.remaining, -minor)
                    })?;
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
    });
    Some(())
}

fn deliver(order: &mut Order, event: &Delivered) -> Option<()> {
    let shipment = order.shipments.get_mut(event.shipment.index())?;
    shipment.state = ShipmentState::Inspection;
    shipment.inspection_ends = Some(event.inspection_ends);
    let lines = shipment.lines.clone();
    move_units(order, &lines, |line| &mut line.delivered)
}

fn cancel(order: &mut Order, event: &Cancelled) -> Option<()> {
    let lines = units_of(order, &event.lines);
    move_units(order, &lines, |line| &mut line.cancelled)
}

fn release(order: &mut Order, event: &EscrowReleased, time: Timestamp) -> Option<()> {
    order.shipments.get_mut(event.shipment.index())?.state = ShipmentState::Accepted;
    order.closed_at = event.closed_as.map(|_| time);
    event.transfers.iter().try_for_each(|transfer| {
        let minor = transfer.amount.minor;
        if transfer.to == LedgerAccount::PlatformFees {
            add(&mut order.escrow.fees, minor)?;
        }
        add(&mut order.escrow.released, minor)?;
        add(&mut order.escrow.remaining, -minor)
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
        state: match placed.payment {
            Some(_) => OrderStatus::AwaitingPayment,
            None => OrderStatus::Placed,
        },
        fulfilment: Fulfilment::Unfulfilled,
        closed_at: None,
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
            remaining: 0,
        },
        payment: placed.payment.as_ref().map(|due| OrderPayment {
            payment: due.payment,
            amount: due.amount,
            expires_at: due.expires_at,
            is_paid: false,
        }),
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

fn cancellation_note(by: CancelledBy, reason: Option<&str>) -> String {
    let who = match by {
        CancelledBy::Account(role) => format!("by the {}", format!("{role:?}").to_lowercase()),
        CancelledBy::ShipDeadline => "not shipped in time".to_owned(),
        CancelledBy::PaymentDeadline => "not paid in time".to_owned(),
        CancelledBy::PaymentFailed => "the payment failed".to_owned(),
    };
    match reason {
        Some(reason) => format!("{who}: {reason}"),
        None => who,
    }
}
