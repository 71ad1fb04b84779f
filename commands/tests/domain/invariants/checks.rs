//! What must be true of a market after every commit, computed from its state in another way than the market does.

use std::collections::{BTreeMap, BTreeSet};

use commands::Market;
use commands::cart::{MEMBERS_MAX, SAVED_MAX};
use commands::command::{LINES_MAX, RESERVATION_MS_MAX, RESERVATION_MS_MIN};
use commands::order::{Order, Shipment, ShipmentState, Stage};
use commands::payment::{self, Effect, EffectId};
use commands::payout;
use commands::reservation::OPEN_RESERVATIONS_MAX;
use commands::stock::LOCATIONS_MAX;
use events::commit::Stored;
use events::ids::{AccountId, CartId, ListingId, OrderId, PaymentId, PayoutId, PromotionId, ReservationId};
use events::ledger::LedgerAccount;
use events::location::{AtLocation, Location};
use events::metadata::{Cause, DeadlineStamp, Waiting};
use events::order::{Line, LinePrice, Placed, ShipmentNumber};
use events::promotion::PaidBy;
use events::reservation::TakenUp;
use events::stock::Incoming;
use events::tax::Tax;
use events::{Commit, Event, Head, Money};
use serde_json::Value;

use super::Run;
use super::changes::check_change;
use super::paid::{Paid, cost_of, subsidy_of};
use super::sending_back::waits_of;
use super::steps::{MOST, SHOPPERS};

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
            LedgerAccount::ProviderClearing(_)
            | LedgerAccount::PlatformPromotions
            | LedgerAccount::PlatformExpense => {}
            LedgerAccount::SellerReceivable(_) | LedgerAccount::BuyerReceivable(_) => {
                assert!(balance.minor < 0, "{account} holds {balance}");
            }
            LedgerAccount::SellerReserve(seller) => {
                let kept = market.reserves.of(seller).filter(|(_, kept)| kept.currency == balance.currency);
                assert_eq!(kept.map(|(_, kept)| kept.minor).sum::<i64>(), balance.minor);
            }
            LedgerAccount::Payout(payout) => {
                let open = market.payouts.get(payout).expect("only a payout under way holds money");
                assert_eq!(balance, open.amount);
            }
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

/// Checks that the platform has paid what it paid of all orders and did not get back.
pub(crate) fn check_platform<'a>(market: &Market, orders: impl Iterator<Item = &'a Paid>) {
    let mut paid = BTreeMap::new();
    for order in orders {
        *paid.entry(order.total.currency).or_insert(0) +=
            order.subsidized - order.returned - order.back_to_platform;
    }
    for (currency, minor) in paid {
        let balance = market.ledger.balance(LedgerAccount::PlatformPromotions, currency);
        assert_eq!(balance.minor, -minor);
    }
}

/// Checks that what the platform pays of an open order is in its shipments, is left, or went back.
pub(crate) fn check_shares(order: &Order, paid: &Paid) {
    paid.check_subsidy();
    assert_eq!(order.payable_minor(), order.total.minor - paid.subsidy);
    let (mut shares, mut was_settled) = (0, false);
    if let Some(subsidy) = order.subsidy() {
        assert_eq!((subsidy.returned_minor, paid.subsidized), (paid.returned, paid.subsidy));
        assert_eq!(subsidy.shipments.len(), order.shipments.len());
        for (share, shipment) in subsidy.shipments.iter().zip(&order.shipments) {
            let frozen_minor = shipment.frozen().map_or(0, |frozen| frozen.amount_minor);
            assert!((0..=shipment.amount_minor).contains(&share.held_minor));
            assert!((0..=frozen_minor).contains(&share.frozen_minor));
            shares += share.held_minor + share.frozen_minor;
            was_settled |= shipment.freeze.is_some();
        }
    }
    let all = shares + subsidy_of(&order.left()) + paid.returned;
    assert!(
        all == paid.subsidy || ((was_settled || paid.is_returned) && all <= paid.subsidy),
        "nothing of it is lost"
    );
}

/// Checks each open order against what the events said of it.
pub(crate) fn check_orders(market: &Market, paid: &BTreeMap<OrderId, Paid>) {
    for (id, order) in market.orders.iter() {
        let (paid, escrow) = (paid[id], order.escrow);
        let shipping = order.extras.as_ref().map_or(0, |extras| extras.shipping_minor);
        let cost: i64 = order.lines.iter().map(|line| line.total_minor).sum::<i64>() + shipping;
        let missing = match (order.stage, &order.card) {
            (Stage::AwaitingPayment { .. } | Stage::Authorized { .. }, Some(card)) => {
                card.amount_minor - card.uncharged_minor
            }
            (Stage::AwaitingPayment { .. } | Stage::Authorized { .. }, None) => {
                panic!("order {id} waits for nobody's money")
            }
            (Stage::AwaitingSeller { .. } | Stage::Confirmed, _) => 0,
        };
        assert_eq!(order.card.as_ref().map_or(0, |card| card.uncharged_minor), paid.uncharged);
        assert_eq!(cost, order.total.minor);
        assert_eq!(escrow.funded + missing + paid.uncharged, order.total.minor);
        assert_eq!(order.tax_minor(), paid.tax);
        let sums = [escrow.released, escrow.fees, escrow.taxes, escrow.refunded, escrow.frozen];
        let back = paid.refunded + paid.charged;
        assert_eq!(sums, [paid.released, paid.fees, paid.taxes, back, paid.frozen]);
        assert_eq!(escrow.remaining(), paid.remaining());
        check_shares(order, &paid);
        let frozen = order.shipments.iter().filter_map(Shipment::frozen);
        let frozen: i64 = frozen.map(|frozen| frozen.amount_minor).sum();
        assert_eq!(frozen, escrow.frozen + paid.pending[1]);
        let hold = order.hold.as_ref();
        let is_held = hold.is_some_and(|hold| hold.by_operators.is_some() || hold.review.is_some());
        assert_eq!(is_held, paid.is_held);
        let left = cost_of(&order.left(), order.shipping_left());
        let open = order.shipments.iter().filter(|shipment| shipment.state != ShipmentState::Accepted);
        let waits: i64 = open.map(|shipment| shipment.amount_minor).sum();
        assert_eq!(market.charged_of(*id), paid.pending);
        let there = escrow.remaining() + missing + paid.pending[0] - paid.pending[1];
        assert_eq!(waits + left, there, "what is in escrow waits for something");
        assert_eq!(left + paid.shipped + paid.cancelled, order.total.minor);
        for (place, line) in (0u8..).zip(&order.lines) {
            assert!(line.cancelled + line.shipped <= line.ordered && line.delivered <= line.shipped);
            let units = |counts: fn(&&Shipment) -> bool| -> u32 {
                let units = order.shipments.iter().filter(counts).flat_map(|shipment| &shipment.units);
                units.filter(|(of, _)| *of == place).map(|(_, units)| units).sum()
            };
            assert_eq!(line.shipped, units(|_| true));
            // What was settled need not have arrived.
            let arrived = units(|shipment| match shipment.state {
                ShipmentState::InTransit { .. } => false,
                ShipmentState::Inspection { .. } => true,
                ShipmentState::Accepted => shipment.freeze.is_none(),
            });
            let gone = units(|shipment| !matches!(shipment.state, ShipmentState::InTransit { .. }));
            assert!((arrived..=gone).contains(&line.delivered));
        }
    }
}

/// Gives what is reserved for exchanges.
fn exchanged(market: &Market) -> impl Iterator<Item = &Line> {
    let open = market.orders.returns().iter().flat_map(|(_, known)| known.open());
    open.flat_map(|(_, open)| open.reserved())
}

/// Checks that what is reserved is what open orders and exchanges have and buyers have set aside, and that no more was promised than there
/// is unless that is on record.
pub(crate) fn check_stock(market: &Market, shortfalls: &BTreeMap<ListingId, u64>) {
    let mut reserved = BTreeMap::<ListingId, u64>::new();
    for line in market.orders.iter().flat_map(|(_, order)| &order.lines) {
        *reserved.entry(line.listing).or_default() += u64::from(line.ordered - line.cancelled - line.shipped);
    }
    for line in exchanged(market) {
        *reserved.entry(line.listing).or_default() += u64::from(line.quantity.get());
    }
    let mut set_aside = BTreeMap::<ListingId, u64>::new();
    for (_, reservation) in market.reservations.iter() {
        for counted in [&mut reserved, &mut set_aside] {
            *counted.entry(reservation.listing).or_default() += u64::from(reservation.quantity.get());
        }
    }
    for (id, listing) in market.listings.iter() {
        let stock = &listing.stock;
        assert_eq!(stock.set_aside, set_aside.get(id).copied().unwrap_or(0));
        assert_eq!(stock.reserved, reserved.get(id).copied().unwrap_or(0));
        let promised =
            i128::from(stock.on_hand) + i128::from(stock.backorder_limit) - i128::from(stock.reserved);
        let on_record = shortfalls.get(id).copied().unwrap_or(0);
        assert!(promised >= -i128::from(on_record), "{promised} are left of {id}, on record are {on_record}");
        let available = (promised - i128::from(stock.safety)).max(0);
        assert_eq!(i128::from(stock.available()), available);
        let key = |incoming: &Incoming| (incoming.due, incoming.location.clone());
        assert!(stock.incoming.is_sorted_by(|one, next| key(one) < key(next)));
        assert!(stock.incoming.iter().all(|incoming| incoming.units > 0));
    }
}

/// Checks that what is reserved at each location is what lines of open orders have there, that named and nameless locations
/// together are the whole, and that none holds less than nothing.
pub(crate) fn check_locations(market: &Market) {
    let mut reserved = BTreeMap::<(ListingId, Option<Location>), u64>::new();
    for (id, order) in market.orders.iter() {
        let parts = market.orders.allocations().of(*id);
        assert!(parts.is_sorted_by_key(|part| (part.line, part.location.clone())));
        for (place, line) in (0u8..).zip(&order.lines) {
            let mut nameless = line.ordered - line.cancelled - line.shipped;
            for part in parts.iter().filter(|part| part.line == place) {
                assert!(part.units > 0 && part.units <= nameless, "no more is reserved than is left");
                nameless -= part.units;
                let there = (line.listing, Some(part.location.clone()));
                *reserved.entry(there).or_default() += u64::from(part.units);
            }
            *reserved.entry((line.listing, None)).or_default() += u64::from(nameless);
        }
    }
    for line in exchanged(market) {
        let mut nameless = line.quantity.get();
        for part in &line.locations {
            nameless -= part.quantity.get();
            let there = (line.listing, Some(part.location.clone()));
            *reserved.entry(there).or_default() += u64::from(part.quantity.get());
        }
        *reserved.entry((line.listing, None)).or_default() += u64::from(nameless);
    }
    assert!(market.orders.allocations().iter().all(|(order, _)| market.orders.get(*order).is_some()));
    for (id, listing) in market.listings.iter() {
        let stock = &listing.stock;
        let named = stock.locations.iter().flat_map(|named| named.iter());
        let mut sum = [0; 4];
        for (location, there) in named {
            assert_ne!(*there, AtLocation::default(), "an empty location is forgotten");
            let wanted = reserved.remove(&(*id, Some(location.clone()))).unwrap_or(0);
            assert_eq!(there.reserved, wanted, "at {location} of {id}");
            let counts = [there.on_hand, there.reserved, there.safety, there.damaged];
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        assert!(stock.locations.as_ref().is_none_or(|named| (1..=LOCATIONS_MAX).contains(&named.count())));
        let nameless = stock.at(None);
        assert_eq!(nameless.reserved, reserved.remove(&(*id, None)).unwrap_or(0), "at no location of {id}");
        let rest = [nameless.on_hand, nameless.reserved, nameless.safety, nameless.damaged];
        let all = [stock.on_hand, stock.reserved - stock.set_aside, stock.safety, stock.damaged];
        for ((named, rest), all) in sum.into_iter().zip(rest).zip(all) {
            assert_eq!(named + rest, all, "the locations of {id} are its whole stock");
        }
    }
    assert!(reserved.values().all(|units| *units == 0), "nothing is reserved where nothing is: {reserved:?}");
}

/// Checks that the open reservations are those that events made, with what they left of them, and that each is found by its
/// buyer and listing.
pub(crate) fn check_reservations(market: &Market, left: &BTreeMap<ReservationId, u32>) {
    let open: BTreeMap<_, _> =
        market.reservations.iter().map(|(id, known)| (*id, known.quantity.get())).collect();
    assert_eq!(&open, left);
    for (id, known) in market.reservations.iter() {
        let found = market.reservations.of(known.account, known.listing);
        assert_eq!(found, Some((*id, known)), "a buyer has one of a listing");
        assert!(market.reservations.count_of(known.account) <= OPEN_RESERVATIONS_MAX);
        let lasts = known.expires_at.ms_since(known.since);
        assert!((RESERVATION_MS_MIN..=RESERVATION_MS_MAX).contains(&lasts), "{lasts}");
    }
}

/// Checks that an order costs what its prices, discounts, taxes and delivery make.
pub(crate) fn check_price(placed: &Placed) {
    let on_top = |tax: Option<&Tax>| tax.filter(|tax| !tax.inclusive).map_or(0, |tax| tax.amount.minor);
    let mut sum = 0;
    for line in &placed.lines {
        let off = |paid_by: PaidBy| -> i64 {
            let discounts = line.discounts.iter().filter(|discount| discount.paid_by == paid_by);
            discounts.map(|discount| discount.amount.minor).sum()
        };
        assert!(line.discounts.iter().all(|discount| discount.amount.is_positive()));
        let full = match line.price {
            LinePrice::Unit(price) => price.minor * i64::from(line.quantity.get()),
            LinePrice::Exchange => line.total.minor - on_top(line.tax.as_ref()),
            LinePrice::Quote => panic!("nobody gives quotes here"),
        };
        let left = full - off(PaidBy::Seller);
        assert!(left - off(PaidBy::Platform) >= 1, "goods are never free");
        assert_eq!(left + on_top(line.tax.as_ref()), line.total.minor);
        sum += line.total.minor;
    }
    if let Some(shipping) = &placed.shipping {
        assert_eq!(shipping.price.minor + on_top(shipping.tax.as_ref()), shipping.total.minor);
        sum += shipping.total.minor;
    }
    assert_eq!(sum, placed.total.minor);
    assert!((0..=sum).contains(&placed.tax_minor()));
    assert!(placed.fee.amount.minor <= sum - placed.tax_minor());
}

/// Checks that every promotion was used as often as orders have it, and no more often than it may be.
pub(crate) fn check_promotions(market: &Market, discounted: &BTreeMap<OrderId, BTreeSet<PromotionId>>) {
    for (id, known) in market.promotions.iter() {
        let used = discounted.values().filter(|promotions| promotions.contains(id)).count() as u64;
        assert_eq!(known.used, used);
        assert!(known.uses.is_none_or(|most| used <= u64::from(most)));
        if let Some(most) = known.uses_per_account {
            assert_eq!(known.used_by.values().map(|used| u64::from(*used)).sum::<u64>(), used);
            assert!(known.used_by.values().all(|used| (1..=most).contains(used)));
        }
    }
}

pub(crate) fn check_deadlines(market: &Market) {
    let deadlines = |(id, order): (&OrderId, &Order)| {
        let id = *id;
        let mut waits = Vec::new();
        if order.units_left() > 0 {
            let (due, waiting) = match order.stage {
                Stage::AwaitingPayment { expires_at } => (expires_at, Waiting::PaymentDue { order: id }),
                Stage::AwaitingSeller { accept_by } | Stage::Authorized { accept_by: Some(accept_by) } => {
                    (accept_by, Waiting::AcceptBy { order: id })
                }
                Stage::Confirmed | Stage::Authorized { accept_by: None } => {
                    (order.ship_by, Waiting::ShipBy { order: id })
                }
            };
            let is_shipped = !order.shipments.is_empty();
            assert!(!is_shipped || order.stage == Stage::Confirmed, "nothing is shipped before its time");
            waits.push(DeadlineStamp { due, waiting });
        }
        for (n, shipped) in order.shipments.iter().enumerate() {
            let shipment = ShipmentNumber::after(n);
            if let Some(frozen) = shipped.frozen() {
                if frozen.is_of_return {
                    continue;
                }
                let waiting = Waiting::FreezeExpires { order: id, shipment };
                waits.push(DeadlineStamp { due: frozen.due, waiting });
                continue;
            }
            waits.extend(match shipped.state {
                ShipmentState::InTransit { delivery_due: due, .. } => {
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
        waits.extend(check_change(market, id));
        assert_eq!(order.deadlines(id), waits);
        waits.extend(waits_of(market, id));
        assert!(!waits.is_empty(), "an open order waits for something");
        assert_eq!(market.orders.deadlines(id), waits);
        match order.hold.as_deref() {
            None => waits,
            // A bank decides before somebody looks at its risk.
            Some(hold) if hold.chargebacks > 0 => Vec::new(),
            Some(hold) => hold.review.iter().map(|review| review.deadline(id)).collect(),
        }
    };
    let of_payment = |(payment, open): (&PaymentId, &payment::Payment)| {
        let payment = *payment;
        let (due, waiting) = match open.stage {
            payment::Stage::Requested { expires_at, .. }
            | payment::Stage::ActionRequired { expires_at, .. } => {
                (expires_at, Waiting::PaymentExpires { payment })
            }
            payment::Stage::Authorized { taking: payment::Taking::Waits { until, expiring_at }, .. } => {
                assert!(expiring_at <= until, "what is about to end is told before");
                match expiring_at == until {
                    true => (until, Waiting::AuthorizationExpires { payment }),
                    false => (expiring_at, Waiting::AuthorizationExpiring { payment }),
                }
            }
            payment::Stage::Authorized { capture_before, .. } => {
                (capture_before, Waiting::AuthorizationExpires { payment })
            }
            payment::Stage::Voiding { .. } => return None,
        };
        Some(DeadlineStamp { due, waiting })
    };
    let of_payout = |(payout, open): (&PayoutId, &payout::Payout)| {
        let waiting = Waiting::PayoutDue { payout: *payout };
        open.due.map(|due| DeadlineStamp { due, waiting })
    };
    let payments = market.payments.open().filter_map(of_payment);
    let carts = SHOPPERS.into_iter().filter_map(|actor| {
        let owner = market.accounts.get(actor.account())?;
        Some(owner.cart.as_ref()?.deadline(actor.account()))
    });
    let reservations = market.reservations.iter().map(|(id, known)| DeadlineStamp {
        due: known.expires_at,
        waiting: Waiting::ReservationExpires { reservation: *id },
    });
    let kept = market
        .reserves
        .iter()
        .map(|(account, due, _)| DeadlineStamp { due, waiting: Waiting::ReserveDue { account } });
    let payments =
        payments.chain(market.payouts.open().filter_map(of_payout)).chain(reservations).chain(kept);
    let disputes = market.payments.chargebacks().open().filter_map(|(id, open)| open.deadline(*id));
    let payments = payments.chain(disputes);
    let all = market.orders.iter().flat_map(deadlines).chain(payments).chain(carts);
    assert_eq!(market.next_deadline(), all.min());
}

pub(crate) fn check_carts(market: &Market) {
    for shopper in SHOPPERS {
        let owner = market.accounts.get(shopper.account()).unwrap();
        assert!(owner.saved.len() <= SAVED_MAX);
        let Some(cart) = &owner.cart else { continue };
        assert!(cart.lines.len() <= LINES_MAX);
        if let Some(team) = &cart.team {
            assert!(team.name.is_some() || !team.members.is_empty(), "a cart with neither keeps nothing");
            assert!(team.members.len() <= MEMBERS_MAX && !team.members.contains(&shopper.account()));
        }
        assert_eq!(cart.currency.is_none(), cart.lines.is_empty());
        for listing in cart.lines.keys() {
            let price = market.listings.get(*listing).unwrap().price;
            assert_eq!(Some(price.currency), cart.currency, "a cart has one currency");
        }
        if let Some(frozen) = &cart.frozen {
            assert!(frozen.prices.keys().eq(cart.lines.keys()), "a frozen cart keeps the price of each line");
        }
    }
}

/// Checks that each payment knows its open orders, and that what the ledger waits for is what providers hold.
pub(crate) fn check_payments(market: &Market) {
    let mut orders = BTreeMap::<PaymentId, Vec<OrderId>>::new();
    for (id, order) in market.orders.iter() {
        let Some(card) = &order.card else { continue };
        orders.entry(card.payment).or_default().push(*id);
        let is_known = market.payments.get(card.payment).is_some()
            || market.payments.recently_closed(card.payment).is_some();
        assert!(is_known, "the payment of an open order is not forgotten");
    }
    for (payment, orders) in orders {
        assert_eq!(market.payments.orders_of(payment).iter().copied().collect::<Vec<_>>(), orders);
    }
    let pending: BTreeMap<_, _> = market.ledger.pending().collect();
    for (id, open) in market.payments.open() {
        match &open.stage {
            payment::Stage::Authorized { amount, .. } => assert_eq!(pending[id].amount, *amount),
            payment::Stage::Voiding { .. } => {}
            _ => assert!(!pending.contains_key(id), "nothing waits before the provider holds it"),
        }
    }
    assert!(pending.keys().all(|id| market.payments.get(**id).is_some()), "it ends with its payment");
    for (id, open) in market.payments.open() {
        let Some(held) = market.payments.held_before(*id) else { continue };
        assert_eq!(market.payments.asked_anew(held), Some(*id));
        let is_asked =
            matches!(open.stage, payment::Stage::Requested { .. } | payment::Stage::ActionRequired { .. });
        let before = market.payments.get(held).expect("what is to be replaced is held");
        let waits =
            matches!(before.stage, payment::Stage::Authorized { taking: payment::Taking::Waits { .. }, .. });
        assert!(is_asked && waits, "what is held waits as long as another is asked for in its place");
        assert!(market.payments.orders_of(*id).is_empty() && !market.payments.orders_of(held).is_empty());
    }
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

impl Run {
    /// Checks that nothing moves of an order on hold; what a provider gives comes in all the same.
    pub(crate) fn check_free(&self, event: &Event) {
        let order = event.transfers().iter().flat_map(|transfer| [transfer.from, transfer.to]);
        if let Event::EscrowHeld(_) | Event::ChargebackOpened(_) | Event::ChargebackWon(_) = event {
            return;
        }
        let mut orders = order.filter_map(|account| match account {
            LedgerAccount::Escrow(order) | LedgerAccount::Dispute(order) => Some(order),
            _ => None,
        });
        assert!(orders.all(|order| self.paid.get(&order).is_none_or(|paid| !paid.is_held)), "{event:?}");
    }

    /// Checks that a cart is filled by its owner, or by one with whom it is shared, as the event says.
    pub(crate) fn check_filler(
        &self,
        cart: CartId,
        owner: AccountId,
        by: Option<AccountId>,
        commit: &Commit,
    ) {
        let Cause::Command(stamp) = &commit.start().cause else { panic!("nobody fills a cart unasked") };
        assert_eq!(by.unwrap_or(owner), stamp.account);
        assert!(
            by.is_none_or(|by| by != owner && self.members.contains(&(cart, by))),
            "it is shared with him"
        );
    }

    /// Checks that an order of the same commit has the units that it takes out of a reservation: as many as there are.
    pub(crate) fn taken_up(&mut self, commit: &Commit, event: &TakenUp) {
        let lines = commit.events().iter().find_map(|recorded| match &recorded.event {
            Event::OrderPlaced(placed) if placed.order == event.order => Some(&placed.lines),
            Event::OrderChanged(changed) if changed.order == event.order => Some(&changed.added),
            _ => None,
        });
        let (_, (buyer, _)) = self.orders.iter().find(|(order, _)| *order == event.order).unwrap();
        assert_eq!(buyer.account(), event.account);
        let line = lines.unwrap().iter().find(|line| line.listing == event.listing).unwrap();
        let had = self.reservations.remove(&event.reservation).unwrap();
        assert_eq!(event.quantity.get(), had.min(line.quantity.get()));
        assert_eq!(event.left, had - event.quantity.get());
        if event.left > 0 {
            self.reservations.insert(event.reservation, event.left);
        }
    }
}
