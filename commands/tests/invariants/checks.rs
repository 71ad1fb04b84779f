//! What must be true of a market after every commit, computed from its state in another way than the market does.

use std::collections::BTreeMap;

use commands::Market;
use commands::order::{Order, ShipmentState};
use commands::payment::{self, Effect, EffectId};
use events::commit::Stored;
use events::ids::{ListingId, OrderId, PaymentId};
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::ShipmentNumber;
use events::{Commit, Head, Money};
use serde_json::Value;

use crate::MOST;

/// Checks that every reader of JSON keeps each number exactly.
pub(crate) fn check_numbers(value: &Value) {
    match value {
        Value::Number(number) => {
            assert!(number.as_i64().is_some_and(|number| (-MOST..=MOST).contains(&number)), "{number}");
        }
        Value::Array(elements) => elements.iter().for_each(check_numbers),
        Value::Object(members) => members.values().for_each(check_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

pub(crate) fn check_money(market: &Market) {
    for (currency, sum) in market.ledger.sums() {
        assert_eq!(sum, 0, "{currency}");
    }
    let mut on_their_way = BTreeMap::new();
    for (_, refund) in market.payments.refunds() {
        *on_their_way.entry(refund.amount.currency).or_insert(0) += refund.amount.minor;
    }
    for (currency, minor) in on_their_way {
        assert_eq!(market.ledger.balance(LedgerAccount::RefundsPayable, currency).minor, minor);
    }
    for (account, balance) in market.ledger.balances() {
        assert!((-MOST..=MOST).contains(&balance.minor), "{account} holds {balance}");
        match account {
            LedgerAccount::ProviderClearing(_) => {}
            LedgerAccount::Escrow(order) => {
                let open = market.orders.get(order).expect("only an open order has money in escrow");
                assert_eq!(balance, Money::new(open.escrow.remaining(), open.total.currency));
            }
            LedgerAccount::Dispute(order) => {
                let open = market.orders.get(order).expect("only an open order has frozen money");
                assert_eq!(balance, Money::new(open.escrow.frozen, open.total.currency));
            }
            other => assert!(balance.minor > 0, "{other} holds {balance}"),
        }
    }
}

/// Checks that what is reserved is what open orders have, and that no more was promised than there is unless that is on
/// record.
pub(crate) fn check_stock(market: &Market, shortfalls: &BTreeMap<ListingId, u64>) {
    let mut reserved = BTreeMap::<ListingId, u64>::new();
    for line in market.orders.iter().flat_map(|(_, order)| &order.lines) {
        *reserved.entry(line.listing).or_default() += u64::from(line.ordered - line.cancelled - line.shipped);
    }
    for (id, listing) in market.listings.iter() {
        let stock = &listing.stock;
        assert_eq!(stock.reserved, reserved.get(id).copied().unwrap_or(0));
        let promised =
            i128::from(stock.on_hand) + i128::from(stock.backorder_limit) - i128::from(stock.reserved);
        let on_record = shortfalls.get(id).copied().unwrap_or(0);
        assert!(promised >= -i128::from(on_record), "{promised} are left of {id}, on record are {on_record}");
        let available = (promised - i128::from(stock.safety)).max(0);
        assert_eq!(i128::from(stock.available()), available);
        assert!(stock.incoming.is_sorted_by(|one, next| one.due < next.due));
        assert!(stock.incoming.iter().all(|incoming| incoming.units > 0));
    }
}

pub(crate) fn check_deadlines(market: &Market) {
    let deadlines = |(id, order): (&OrderId, &Order)| {
        let id = *id;
        let mut waits = Vec::new();
        if order.units_left() > 0 {
            waits.push(DeadlineStamp { due: order.ship_by, waiting: Waiting::ShipBy { order: id } });
        }
        for (n, shipped) in order.shipments.iter().enumerate() {
            let shipment = ShipmentNumber::after(n);
            if let Some(frozen) = shipped.frozen() {
                let waiting = Waiting::FreezeExpires { order: id, shipment };
                waits.push(DeadlineStamp { due: frozen.due, waiting });
                continue;
            }
            waits.extend(match shipped.state {
                ShipmentState::InTransit { delivery_due: due } => {
                    Some(DeadlineStamp { due, waiting: Waiting::DeliveryDue { order: id, shipment } })
                }
                ShipmentState::Inspection { inspection_ends: due } => Some(match &shipped.pending {
                    None => DeadlineStamp { due, waiting: Waiting::InspectionEnds { order: id, shipment } },
                    Some(pending) => {
                        let waiting = Waiting::ReleaseDue { order: id, shipment };
                        DeadlineStamp { due: pending.due, waiting }
                    }
                }),
                ShipmentState::Accepted => None,
            });
        }
        assert!(!waits.is_empty(), "an open order waits for something");
        assert_eq!(order.deadlines(id), waits);
        if order.hold.is_some() { Vec::new() } else { waits }
    };
    let of_payment = |(payment, open): (&PaymentId, &payment::Payment)| {
        let payment = *payment;
        let (due, waiting) = match open.stage {
            payment::Stage::Requested { expires_at, .. }
            | payment::Stage::ActionRequired { expires_at, .. } => {
                (expires_at, Waiting::PaymentExpires { payment })
            }
            payment::Stage::Authorized { capture_before, .. } => {
                (capture_before, Waiting::AuthorizationExpires { payment })
            }
            payment::Stage::Voiding { .. } => return None,
        };
        Some(DeadlineStamp { due, waiting })
    };
    let payments = market.payments.open().filter_map(of_payment);
    assert_eq!(market.next_deadline(), market.orders.iter().flat_map(deadlines).chain(payments).min());
}

/// Reads the log as it is stored, from zero.
pub(crate) fn fold(log: &[Commit]) -> Market {
    let mut head = Head::EMPTY;
    let mut market = Market::new();
    for commit in log {
        let stored = commit.events().iter().map(|recorded| Stored {
            metadata_json: recorded.metadata_json.clone(),
            payload_json: recorded.payload_json.clone(),
        });
        let read = Commit::from_stored(head.position + 1, stored.collect()).unwrap();
        read.check_follows(head).unwrap();
        market.evolve_commit(&read);
        head = read.head();
    }
    market
}

/// What a provider is still to be asked for, gathered event by event.
pub(crate) fn asked_for(log: &[Commit]) -> BTreeMap<EffectId, Effect> {
    let mut asked = BTreeMap::new();
    for (id, effect) in
        log.iter().flat_map(Commit::events).filter_map(|recorded| Effect::behind(&recorded.event))
    {
        match effect {
            Some(effect) => asked.insert(id, effect),
            None => asked.remove(&id),
        };
    }
    asked
}

pub(crate) fn snapshot(market: &Market) -> Vec<u8> {
    bincode::serde::encode_to_vec(market, bincode::config::standard()).unwrap()
}
