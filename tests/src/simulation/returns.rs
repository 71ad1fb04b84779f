//! What people of a simulated market do about what comes back.

use commands::command::{
    AppealReturn, ApproveReturn, CancelReturn, DecideReturn, Exchange, LineQuantity, ReceiveReturn,
    RejectReturn, RequestReturn, ReturnDecision, SendReturn,
};
use commands::order::{Return, ReturnStage};
use commands::{Command, Market};
use events::Quantity;
use events::ids::OrderId;
use events::market::ReturnTerms;
use events::order::ShipmentNumber;
use events::returns::{ReceivedUnits, ReturnNumber, ReturnReason};
use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::people::{BUYERS, OPERATORS, Person, SELLERS, Sight, text, usd};

/// Terms that are short, so that all of them are due within a run.
pub(super) fn terms() -> ReturnTerms {
    ReturnTerms {
        appeal_ms: 10_000,
        answer_ms: 8_000,
        decide_ms: 12_000,
        gives_fee_back: true,
        inspect_ms: 5_000,
        send_ms: 15_000,
        window_ms: 90_000,
    }
}

/// Finds an open return.
fn some_return(rng: &mut StdRng, market: &Market) -> Option<(OrderId, Return)> {
    let returns =
        || market.orders.returns().iter().flat_map(|(id, known)| known.open().map(|open| (*id, open.1)));
    let count = returns().count();
    let (id, open) = returns().nth(rng.random_range(0..count.max(1)))?;
    Some((id, open.clone()))
}

/// Somebody asks to return something, or goes on with what is to be returned.
pub(super) fn send_back(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    match some_return(rng, sight.market).filter(|_| rng.random_ratio(3, 4)) {
        Some((id, open)) => go_on(rng, sight.market, id, &open),
        None => ask_back(rng, sight.market),
    }
}

fn ask_back(rng: &mut StdRng, market: &Market) -> (Person, Command) {
    let arrived = || {
        market.orders.returns().iter().flat_map(|(id, known)| {
            let shipments = known.shipments.iter().enumerate();
            shipments.filter(|(_, sold)| sold.return_by.is_some()).map(|(n, sold)| (*id, n, sold))
        })
    };
    let count = arrived().count();
    let found = arrived().nth(rng.random_range(0..count.max(1)));
    let (order, shipment, listing) = match found {
        Some((id, n, sold)) => (id, ShipmentNumber::after(n), sold.lines.first().map(|line| line.listing)),
        None => (OrderId::from_uuid(Uuid::from_u128(404)), ShipmentNumber::FIRST, None),
    };
    let quantity = Quantity::new(rng.random_range(1..3)).expect("it is more than none");
    let one = listing.map(|listing| vec![LineQuantity { listing, quantity }]);
    let lines = one.filter(|_| rng.random_ratio(2, 3));
    let buyer = market.orders.get(order).map_or(BUYERS[0], |known| Person::of(known.buyer));
    let reason = ReturnReason::NotAsDescribed;
    let exchange = rng.random_ratio(1, 3).then(|| Exchange { instead: vec![], region: None });
    (buyer, RequestReturn { exchange, lines, note: None, order, reason, shipment }.into())
}

fn go_on(rng: &mut StdRng, market: &Market, order: OrderId, open: &Return) -> (Person, Command) {
    let known = market.orders.get(order);
    let buyer = known.map_or(BUYERS[0], |known| Person::of(known.buyer));
    let seller = known.map_or(SELLERS[0], |known| Person::of(known.seller));
    let operator = OPERATORS[rng.random_range(0..OPERATORS.len())];
    let number: ReturnNumber = open.number;
    match open.stage {
        ReturnStage::Requested { .. } => match rng.random_range(0..5) {
            0 => (buyer, CancelReturn { number, order }.into()),
            1 | 2 => (seller, RejectReturn { number, order, reason: text("it was used") }.into()),
            _ => (seller, ApproveReturn { number, order, refund_only: rng.random_ratio(1, 5) }.into()),
        },
        ReturnStage::Rejected { .. } | ReturnStage::Deducted { .. } => {
            (buyer, AppealReturn { note: text("it was not"), number, order }.into())
        }
        ReturnStage::Appealed { .. } => {
            let decision = match rng.random_range(0..4) {
                0 => ReturnDecision::Deny,
                1 => ReturnDecision::Deduct(usd(1)),
                _ => ReturnDecision::Approve,
            };
            (operator, DecideReturn { decision, note: text("looked at it"), number, order }.into())
        }
        ReturnStage::Approved { .. } => {
            (buyer, SendReturn { carrier: None, number, order, tracking: None }.into())
        }
        ReturnStage::Sent { .. } => {
            let damages = rng.random_ratio(1, 2);
            let lines = open.lines.iter().map(|line| {
                let damaged = if damages { line.units } else { 0 };
                let intact = line.units - damaged;
                ReceivedUnits { damaged, intact, listing: line.listing, missing: 0, wrong: 0 }
            });
            let deduction = (damages && rng.random_ratio(2, 3)).then(|| usd(rng.random_range(1..60)));
            let command = ReceiveReturn {
                deduction,
                lines: Some(lines.collect()),
                location: None,
                note: Some(text("so it came")),
                number,
                order,
            };
            (seller, command.into())
        }
    }
}
