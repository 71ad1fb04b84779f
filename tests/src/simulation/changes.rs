//! Buyers and sellers of a simulated market who change orders after they were placed, agree about it, or don't.

use commands::Command;
use commands::command::{AcceptChange, ChangedLine, DeclineChange, ProposeChange, UnitCount, WithdrawChange};
use commands::order::Order;
use events::account::Role;
use events::ids::{ChangeId, ListingId, OrderId};
use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::money::{party, some_order};
use super::people::{BUYERS, LISTINGS, Person, SELLERS, Sight, listing, text, usd};

/// Somebody proposes a change, or answers one that is open.
pub(super) fn wish(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let is_open = |order: &Order| order.open_change().is_some();
    if sight.market.orders.iter().any(|(_, order)| is_open(order)) && rng.random_ratio(2, 3) {
        let (id, order) = some_order(rng, sight, is_open);
        return answer(rng, id, order);
    }
    let (id, order) = some_order(rng, sight, |order| !order.is_unpaid() && order.units_left() > 0);
    propose(rng, id, order)
}

fn max_difference(rng: &mut StdRng) -> Option<events::Money> {
    (!rng.random_ratio(1, 8)).then(|| usd(rng.random_range(1..3_000)))
}

fn propose(rng: &mut StdRng, id: OrderId, order: Option<&Order>) -> (Person, Command) {
    let seller = party(order, |order| order.seller, SELLERS[0]);
    let own: Vec<ListingId> =
        order.into_iter().flat_map(|order| &order.lines).map(|line| line.listing).collect();
    let lines = (0..rng.random_range(1..3)).map(|_| {
        let known = own.get(rng.random_range(0..2 * own.len() + 1)).copied();
        // Mostly something of the same seller, who has every third listing.
        let of_seller = SELLERS.iter().position(|one| *one == seller).unwrap_or(0) as u64;
        let other = (of_seller + 3 * rng.random_range(0..LISTINGS)) % LISTINGS;
        let quantity = UnitCount::try_from(rng.random_range(0..5)).expect("a line may have a few units");
        ChangedLine { listing: known.unwrap_or_else(|| listing(other)), quantity, quote: None }
    });
    let lines = lines.collect();
    let by = match rng.random_ratio(1, 2) {
        true => party(order, |order| order.buyer, BUYERS[0]),
        false => seller,
    };
    let reason = rng.random_ratio(1, 2).then(|| text("a party"));
    (by, ProposeChange { lines, max_difference: max_difference(rng), order: id, reason, region: None }.into())
}

fn answer(rng: &mut StdRng, id: OrderId, order: Option<&Order>) -> (Person, Command) {
    let open = order.and_then(Order::open_change);
    let change = open.map_or(ChangeId::from_uuid(Uuid::from_u128(404)), |open| open.change);
    let buyer = party(order, |order| order.buyer, BUYERS[0]);
    let seller = party(order, |order| order.seller, SELLERS[0]);
    let (own, other) = match open.is_some_and(|open| open.by == Role::Buyer) {
        true => (buyer, seller),
        false => (seller, buyer),
    };
    match rng.random_range(0..10) {
        0 | 1 => (own, WithdrawChange { change, order: id }.into()),
        2 | 3 => (other, DeclineChange { change, order: id, reason: None }.into()),
        4 => (own, AcceptChange { change, max_difference: None, order: id }.into()),
        _ => (other, AcceptChange { change, max_difference: max_difference(rng), order: id }.into()),
    }
}
