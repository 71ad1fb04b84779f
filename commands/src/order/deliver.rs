//! Shipments that arrive and are accepted.

use events::account::Role;
use events::ids::{AccountId, OrderId};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{Delivered, DeliveryProof, ReleaseCondition, ShipmentNumber};
use events::rejection::OrderState;
use events::{Event, Rejection, Timestamp};

use super::escrow::Settlement;
use super::state::ShipmentState;
use super::{Found, Pending, find, sent, waiting, wrong_state};
use crate::command::ConfirmDelivery;
use crate::decide::Facts;
use crate::market::Market;

impl Market {
    pub(crate) fn order_delivered(&mut self, event: &Delivered) {
        let Delivered { order: id, shipment, inspection_ends, .. } = *event;
        self.returnable_delivered(event);
        let order = self.orders.known(id);
        let carried = event.confirmed_by == DeliveryProof::Carrier;
        let pending = order.arrived(shipment, inspection_ends, carried, self.time).zip(event.release_due);
        let arrived = order.shipment(shipment);
        let ShipmentState::InTransit { delivery_due, .. } = arrived.state else {
            panic!("only a shipment that is on its way arrives: {:?}", arrived.state);
        };
        arrived.state = ShipmentState::Inspection { inspection_ends };
        arrived.pending = pending.map(|(pending, due)| Box::new(Pending { due, ..pending }));
        for (place, units) in &order.shipments[shipment.index()].units {
            order.lines[usize::from(*place)].delivered += units;
        }
        let arrived = order.shipment(shipment);
        if arrived.frozen().is_some() {
            // It is the time to inspect that stands still from now on.
            arrived.frozen_mut().stopped_at = self.time;
            return;
        }
        self.waiting.remove(&DeadlineStamp {
            due: delivery_due,
            waiting: Waiting::DeliveryDue { order: id, shipment },
        });
        self.waiting.extend(order.shipment(shipment).deadline(id, shipment));
    }
}

pub(super) fn delivered(
    market: &Market,
    id: OrderId,
    shipment: ShipmentNumber,
    confirmed_by: DeliveryProof,
    inspection_ends: Timestamp,
    now: Timestamp,
) -> Event {
    let order = waiting(market, id);
    let carried = confirmed_by == DeliveryProof::Carrier;
    let release_due = order.arrived(shipment, inspection_ends, carried, now).map(|pending| pending.due);
    let return_by = market.return_terms().map(|terms| now.plus_ms(terms.window_ms));
    Delivered { confirmed_by, inspection_ends, order: id, release_due, return_by, shipment }.into()
}

pub(crate) fn decide_confirm(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ConfirmDelivery,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let is_carrier = market.accounts.has_role(account, Role::Provider);
    let not_yours = || vec![Rejection::NotYourOrder { order: id }];
    let order = match find(market, facts, id)? {
        Found::Open(open) => open,
        Found::Closed(closed) if closed.buyer != account && !is_carrier => return Err(not_yours()),
        Found::Closed(closed) if closed.state == OrderState::Completed => return Ok(vec![]),
        Found::Closed(closed) => return Err(wrong_state(id, closed.state)),
    };
    let is_buyer = order.buyer == account;
    if !is_buyer && !is_carrier {
        return Err(not_yours());
    }
    order.check_free(id)?;
    if order.shipments.is_empty() {
        return Err(wrong_state(id, order.state()));
    }
    let count = order.shipments.len();
    let confirmed = match command.shipment {
        None => 0..count,
        Some(shipment) => {
            sent(id, order, shipment)?;
            shipment.index()..shipment.index() + 1
        }
    };
    let (mut events, mut frozen) = (Vec::with_capacity(2 * confirmed.len()), Vec::new());
    let mut settlement = Settlement::of(market, id, order);
    for index in confirmed {
        let shipment = ShipmentNumber::after(index);
        if is_buyer && order.shipments[index].frozen().is_some() {
            frozen.push(Rejection::ShipmentFrozen { order: id, shipment });
            continue;
        }
        match (order.shipments[index].state, is_buyer) {
            (ShipmentState::InTransit { .. }, true) => {
                events.push(delivered(market, id, shipment, DeliveryProof::Buyer, now, now));
                events.extend(settlement.hear(shipment, ReleaseCondition::BuyerConfirmed, now));
            }
            (ShipmentState::Inspection { .. }, true) => {
                events.extend(settlement.hear(shipment, ReleaseCondition::BuyerConfirmed, now));
            }
            (ShipmentState::InTransit { .. }, false) => {
                let inspection_ends = now.plus_ms(market.deadlines().inspection_ms());
                events.push(delivered(market, id, shipment, DeliveryProof::Carrier, inspection_ends, now));
            }
            (ShipmentState::Inspection { .. }, false) | (ShipmentState::Accepted, _) => {}
        }
    }
    // Where something else is confirmed, what is frozen waits on.
    if events.is_empty() && !frozen.is_empty() { Err(frozen) } else { Ok(events) }
}
