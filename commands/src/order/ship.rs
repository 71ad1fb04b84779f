//! Units that are handed to a carrier.

use events::escrow::milestone::Milestones;
use events::ids::AccountId;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{LineUnits, Reallocated, ShipmentNumber, Shipped, ShippingCharge};
use events::rejection::OrderState;
use events::{Event, Rejection, Timestamp};

use super::change::overtaken;
use super::location::{leaving, left_at};
use super::state::{SHIPMENTS_MAX, Shipment, ShipmentState};
use super::{Found, meant, named, sold, wrong_state};
use crate::command::ShipOrder;
use crate::decide::Facts;
use crate::market::Market;

impl Market {
    pub(crate) fn order_shipped(&mut self, event: &Shipped) {
        let Shipped { order: id, shipment, delivery_due, .. } = *event;
        let order = self.orders.known(id);
        let lines = meant(order, &event.lines);
        let mut units = Vec::with_capacity(lines.len());
        for moved in lines.iter() {
            let (place, line) = order.line(moved.listing);
            let quantity = moved.quantity.get();
            assert!(quantity <= line.left(), "no more units are shipped than were left");
            line.shipped += quantity;
            units.push((place, quantity));
            let units = u64::from(quantity);
            self.listings.change_stock(moved.listing, |stock| stock.ship(units, &moved.locations));
        }
        assert!(shipment.index() == order.shipments.len(), "shipments are numbered in their order");
        let (amount_minor, tax_minor) = sums(&lines, event.shipping.as_ref());
        let state = ShipmentState::InTransit { delivery_due, signed: Milestones::default() };
        let mut shipments = std::mem::take(&mut order.shipments).into_vec();
        shipments.reserve_exact(1);
        let (freeze, pending) = (None, None);
        shipments.push(Shipment { units: units.into(), amount_minor, tax_minor, state, freeze, pending });
        order.shipments = shipments.into();
        order.share_shipped(&lines);
        let lines = lines.into_owned();
        self.orders.deallocate(id, &lines);
        self.returnable_shipped(event, &lines);
        self.waiting.insert(DeadlineStamp {
            due: delivery_due,
            waiting: Waiting::DeliveryDue { order: id, shipment },
        });
        self.units_went(id);
    }

    /// Ends what the whole order waits for when nothing of it is left.
    pub(super) fn units_went(&mut self, id: events::ids::OrderId) {
        let order = self.orders.known(id);
        if order.units_left() == 0 {
            let deadline = order.deadline(id);
            self.waiting.remove(&deadline);
        }
    }
}

/// Sums what units and, with them, the delivery cost, and the taxes in that.
pub(super) fn sums(lines: &[LineUnits], shipping: Option<&ShippingCharge>) -> (i64, i64) {
    let lines = lines.iter().map(|units| (units.amount, units.tax));
    let all = lines.chain(shipping.map(|shipping| (shipping.amount, shipping.tax)));
    all.fold((0, 0), |(amount_minor, tax_minor), (amount, tax)| {
        (amount_minor + amount.minor, tax_minor + tax.map_or(0, |tax| tax.minor))
    })
}

pub(crate) fn decide_ship(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ShipOrder,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let order = match sold(market, facts, account, id)? {
        Found::Open(open) => open,
        Found::Closed(closed) if closed.state == OrderState::Completed && command.lines.is_none() => {
            return Ok(vec![]);
        }
        Found::Closed(closed) => return Err(wrong_state(id, closed.state)),
    };
    order.check_accepted(id)?;
    if order.awaits_payment() {
        return Err(wrong_state(id, order.state()));
    }
    if order.is_authorized() {
        return Err(vec![Rejection::NotCharged { order: id }]);
    }
    order.check_free(id)?;
    let lines = match (&command.lines, &command.from) {
        (Some(asked), _) => named(id, order, asked)?,
        (None, Some(from)) if order.units_left() > 0 => left_at(market, id, order, from)?,
        (None, _) => order.left(),
    };
    if lines.is_empty() {
        // All that was left is shipped already.
        return Ok(vec![]);
    }
    let shipped: u64 = lines.iter().map(|line| u64::from(line.quantity.get())).sum();
    if order.shipments.len() + 1 == SHIPMENTS_MAX && shipped < order.units_left() {
        return Err(vec![Rejection::TooManyShipments { max: SHIPMENTS_MAX as u32 }]);
    }
    let lapsed = overtaken(id, order, &lines);
    let (lines, units) = leaving(market, id, order, lines, command.from.as_ref())?;
    let text = |text: &crate::command::Text<64>| text.as_str().to_owned();
    let (carrier, tracking) = (command.carrier.as_ref().map(text), command.tracking.as_ref().map(text));
    let delivery_due = now.plus_ms(market.deadlines().transit_ms());
    let shipment = ShipmentNumber::after(order.shipments.len());
    let shipping = order.shipping_left();
    let reallocated = (!units.is_empty()).then(|| Reallocated { order: id, units }.into());
    let shipped = Shipped { carrier, delivery_due, lines, order: id, shipment, shipping, tracking }.into();
    Ok(lapsed.into_iter().chain(reallocated).chain([shipped]).collect())
}
