use events::account::Role;
use events::escrow::FreezeReason;
use events::ids::ListingId;
use events::order::ShipmentNumber;
use events::{Currency, Quantity};
use uuid::Uuid;

use super::super::Frozen;
use super::*;

fn usd() -> Currency {
    "USD".parse().unwrap()
}

fn money(minor: i64) -> Money {
    Money::new(minor, usd())
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// A line of three units.
fn line(cancelled: u32, shipped: u32, delivered: u32) -> Line {
    Line {
        added: vec![],
        listing: ListingId::from_uuid(Uuid::nil()),
        listing_version: 1,
        unit_price: None,
        final_sale: false,
        discounts: vec![],
        tax: None,
        quantity: Quantity::new(3).unwrap(),
        cancelled,
        shipped,
        delivered,
        return_requested: 0,
        returned: 0,
        refunded: 0,
        locations: vec![],
        total: money(3),
    }
}

fn shipment(state: ShipmentState, delivery_due: i64, inspection_ends: Option<i64>) -> Shipment {
    Shipment {
        shipment: ShipmentNumber::FIRST,
        lines: vec![],
        amount: money(1),
        refunded: 0,
        charged_back: 0,
        state,
        carrier: None,
        tracking: None,
        shipped_at: at(0),
        delivery_due: at(delivery_due),
        inspection_ends: inspection_ends.map(at),
        release_due: None,
        milestones_signed: vec![],
        return_by: None,
        frozen: None,
    }
}

fn escrow(held: i64, released: i64, refunded: i64) -> Escrow {
    let remaining = held - released - refunded;
    Escrow { held, released, refunded, remaining, ..Escrow::empty(usd()) }
}

fn known(lines: &[Line]) -> Known<'_> {
    Known {
        lines: lines.iter().collect(),
        shipments: vec![],
        escrow: escrow(3, 0, 0),
        pay_by: None,
        capture_by: None,
        accept_by: None,
        ship_by: at(14),
        cancelled_by: None,
        closed_at: None,
        closed_as: None,
        returnable_until: None,
        hold: None,
        charged: (0, 0),
    }
}

#[test]
fn one_word_is_made_of_the_axes() {
    let by = CancelledBy::Account(Role::Seller);
    let (completed, cancelled) =
        (OrderAxis::Completed { closed_at: at(9) }, OrderAxis::Cancelled { by, closed_at: at(9) });
    let confirmed = OrderAxis::Confirmed { ship_by: at(14) };
    let some = |shipped, of| Fulfilment::PartiallyShipped { shipped, of };
    let arrived = |delivered, of| Fulfilment::PartiallyDelivered { delivered, of };
    for (lines, closed_at, order, fulfilment, word) in [
        (vec![line(0, 0, 0)], None, confirmed, Fulfilment::Unfulfilled, OrderStatus::Placed),
        (vec![line(1, 0, 0), line(3, 0, 0)], None, confirmed, Fulfilment::Unfulfilled, OrderStatus::Placed),
        (vec![line(0, 1, 0)], None, OrderAxis::Processing, some(1, 3), OrderStatus::PartiallyShipped),
        (
            vec![line(0, 3, 0), line(0, 0, 0)],
            None,
            OrderAxis::Processing,
            some(3, 6),
            OrderStatus::PartiallyShipped,
        ),
        (vec![line(0, 3, 0)], None, OrderAxis::Processing, Fulfilment::Shipped, OrderStatus::Shipped),
        (
            vec![line(1, 2, 0), line(3, 0, 0)],
            None,
            OrderAxis::Processing,
            Fulfilment::Shipped,
            OrderStatus::Shipped,
        ),
        (vec![line(0, 1, 1)], None, OrderAxis::Processing, arrived(1, 3), OrderStatus::PartiallyDelivered),
        (vec![line(0, 3, 2)], None, OrderAxis::Processing, arrived(2, 3), OrderStatus::PartiallyDelivered),
        (vec![line(0, 3, 3)], None, OrderAxis::Fulfilled, Fulfilment::Delivered, OrderStatus::Delivered),
        (vec![line(2, 1, 1)], None, OrderAxis::Fulfilled, Fulfilment::Delivered, OrderStatus::Delivered),
        (vec![line(0, 3, 3)], Some(at(9)), completed, Fulfilment::Delivered, OrderStatus::Completed),
        (vec![line(2, 1, 1)], Some(at(9)), completed, Fulfilment::Delivered, OrderStatus::Completed),
        (vec![line(3, 0, 0)], Some(at(9)), cancelled, Fulfilment::Cancelled, OrderStatus::Cancelled),
    ] {
        let known = Known { closed_at, cancelled_by: Some(by), ..known(&lines) };
        let axes = known.axes();
        assert_eq!((axes.order, axes.fulfilment, axes.display()), (order, fulfilment, word), "{lines:?}");
        // What waits for its seller or its payment is not shipped; where orders stand together, another one may be.
        let known = Known { accept_by: Some(at(2)), ..known };
        let waits = known.axes();
        let (order, word) = match fulfilment {
            Fulfilment::Unfulfilled => {
                (OrderAxis::AwaitingSeller { accept_by: at(2) }, OrderStatus::AwaitingSeller)
            }
            _ => (order, word),
        };
        assert_eq!((waits.order, waits.display()), (order, word), "{lines:?}");
        let known = Known { pay_by: Some(at(1)), ..known };
        let unpaid = known.axes();
        let (order, word) = match fulfilment {
            Fulfilment::Unfulfilled => {
                (OrderAxis::AwaitingPayment { expires_at: at(1) }, OrderStatus::AwaitingPayment)
            }
            _ => (order, word),
        };
        assert_eq!((unpaid.order, unpaid.display()), (order, word), "{lines:?}");
        // A provider that holds the money has agreed to pay; what waits for its seller's word waits for that first.
        let held = Known { capture_by: Some(at(5)), ..known };
        let unaccepted = held.axes();
        let theirs = Known { accept_by: None, ..held }.axes();
        if fulfilment == Fulfilment::Unfulfilled {
            let awaits = (OrderAxis::AwaitingSeller { accept_by: at(2) }, OrderStatus::AwaitingSeller);
            assert_eq!((unaccepted.order, unaccepted.display()), awaits);
            let authorized = (OrderAxis::Authorized { capture_by: at(5) }, OrderStatus::Authorized);
            assert_eq!((theirs.order, theirs.display()), authorized);
            assert_eq!((theirs.payment, theirs.escrow), (PaymentAxis::Pending, EscrowAxis::Created));
        }
    }
}

#[test]
fn what_waits_for_a_payment_is_not_paid_by_the_part_from_the_wallet() {
    let lines = [line(0, 0, 0)];
    let axes = Known { pay_by: Some(at(1)), escrow: escrow(1, 0, 0), ..known(&lines) }.axes();
    assert_eq!((axes.payment, axes.escrow), (PaymentAxis::Pending, EscrowAxis::Created));
}

#[test]
fn the_axes_of_money_say_what_was_paid_and_what_is_waited_for() {
    let moving = shipment(ShipmentState::InTransit, 20, None);
    let later = shipment(ShipmentState::InTransit, 25, None);
    let inspected = shipment(ShipmentState::Inspection, 10, Some(13));
    let accepted = shipment(ShipmentState::Accepted, 5, Some(6));
    let captured = PaymentAxis::Captured { amount: money(3) };
    let partly = PaymentAxis::PartiallyRefunded { captured: money(3), refunded: money(1) };
    let funded = |minor| EscrowAxis::Funded { remaining: money(minor) };
    let in_delivery = |minor| EscrowAxis::InDelivery { delivery_due: at(20), remaining: money(minor) };
    let inspection = |minor| EscrowAxis::Inspection { inspection_ends: at(13), remaining: money(minor) };
    for (shipments, money_moved, payment, waits) in [
        (vec![], escrow(0, 0, 0), PaymentAxis::Pending, EscrowAxis::Created),
        (vec![], escrow(3, 0, 0), captured, funded(3)),
        (vec![], escrow(3, 0, 1), partly, funded(2)),
        (vec![&inspected, &later, &moving], escrow(3, 0, 0), captured, in_delivery(3)),
        (vec![&accepted, &inspected], escrow(3, 1, 0), captured, inspection(2)),
        (vec![&accepted], escrow(3, 1, 1), partly, funded(1)),
        (vec![&accepted], escrow(3, 3, 0), captured, EscrowAxis::Released { amount: money(3) }),
        (
            vec![&accepted],
            escrow(3, 2, 1),
            partly,
            EscrowAxis::Split { released: money(2), refunded: money(1) },
        ),
        (
            vec![],
            escrow(3, 0, 3),
            PaymentAxis::Refunded { amount: money(3) },
            EscrowAxis::Refunded { amount: money(3) },
        ),
    ] {
        let lines = [line(0, 0, 0)];
        let axes = Known { shipments, escrow: money_moved, ..known(&lines) }.axes();
        assert_eq!((axes.payment, axes.escrow), (payment, waits), "{money_moved:?}");
    }
}

#[test]
fn what_stops_an_order_goes_before_where_it_stands() {
    let (reason, since) = (HoldReason::Compliance, at(4));
    let frozen = |minor, due| Frozen {
        amount: money(minor),
        by: Role::Buyer,
        reason: FreezeReason::NotReceived,
        note: None,
        due: at(due),
        is_proposed: false,
    };
    let late = Shipment { frozen: Some(frozen(1, 40)), ..shipment(ShipmentState::InTransit, 20, None) };
    let bad = Shipment { frozen: Some(frozen(1, 30)), ..shipment(ShipmentState::Inspection, 10, Some(13)) };
    let lines = [line(0, 3, 1)];
    let money_of = Escrow { frozen: 2, remaining: 1, ..escrow(3, 0, 0) };
    let disputed = || Known { shipments: vec![&late, &bad], escrow: money_of, ..known(&lines) };
    let axes = disputed().axes();
    let waits = EscrowAxis::Disputed { due: at(30), frozen: money(2), remaining: money(1) };
    assert_eq!(
        (axes.order, axes.escrow, axes.display()),
        (OrderAxis::Processing, waits, OrderStatus::Disputed)
    );
    let hold = Some(Hold { reason, since, is_lift_requested: false });
    let axes = Known { hold, ..disputed() }.axes();
    assert_eq!((axes.order, axes.display()), (OrderAxis::OnHold { reason, since }, OrderStatus::OnHold));
}

#[test]
fn what_was_shipped_and_paid_back_is_refunded() {
    let lines = [line(0, 3, 0)];
    let closed_as = Some(OrderState::Refunded);
    let axes = Known { closed_at: Some(at(9)), closed_as, escrow: escrow(3, 0, 3), ..known(&lines) }.axes();
    let refunded = OrderAxis::Refunded { closed_at: at(9) };
    assert_eq!((axes.order, axes.display()), (refunded, OrderStatus::Refunded));
    assert_eq!(axes.escrow, EscrowAxis::Refunded { amount: money(3) });
}

#[test]
fn what_the_platform_pays_is_none_of_the_buyers_payment() {
    let lines = [line(0, 0, 0)];
    let payment = |subsidy_returned, money: Escrow| {
        let escrow = Escrow { subsidy: 1, subsidy_returned, ..money };
        Known { escrow, ..known(&lines) }.axes().payment
    };
    assert_eq!(payment(0, escrow(1, 0, 0)), PaymentAxis::Pending);
    assert_eq!(payment(0, escrow(3, 0, 0)), PaymentAxis::Captured { amount: money(2) });
    assert_eq!(payment(1, escrow(3, 0, 3)), PaymentAxis::Refunded { amount: money(2) });
}
