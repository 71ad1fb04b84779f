//! Buying: one order for each seller, its stock reserved and its money held in the same commit.

use std::collections::BTreeMap;

use events::cart::Migrated;
use events::escrow::rule::ReleaseTerms;
use events::ids::{AccountId, CartId, CommandId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{EscrowHeld, Placed};
use events::{Event, Money, Rejection, Timestamp};

use super::{Escrow, Line, Order, Release};
use crate::command::{LINES_MAX, MigrateCart, PaymentMethod, PlaceOrder, VerifiedQuote};
use crate::fees;
use crate::market::Market;
use crate::validate::{self, AskedLine, Purchase};

// An order and its escrow for each line at most, and the cart's migration.
const _: () = assert!(2 * LINES_MAX < events::metadata::EVENTS_PER_COMMIT_MAX);

impl Market {
    pub(crate) fn order_placed(&mut self, event: &Placed) {
        let lines = event.lines.iter().map(|line| Line {
            listing: line.listing,
            ordered: line.quantity.get(),
            cancelled: 0,
            shipped: 0,
            delivered: 0,
            total_minor: line.total.minor,
        });
        let Placed { buyer, seller, ship_by, total, order: id, .. } = *event;
        let order = Order {
            buyer,
            seller,
            lines: lines.collect(),
            shipments: Box::default(),
            ship_by,
            hold: None,
            total,
            fee_minor: event.fee.amount.minor,
            escrow: Escrow::default(),
            release: None,
        };
        for line in &order.lines {
            self.listings.reserve(line.listing, u64::from(line.ordered));
        }
        self.waiting.insert(DeadlineStamp { due: ship_by, waiting: Waiting::ShipBy { order: id } });
        self.orders.open(id, order);
    }

    pub(crate) fn escrow_held(&mut self, event: &EscrowHeld) {
        self.ledger.post(&event.transfer);
        let order = self.orders.known(event.order);
        order.escrow.funded += event.transfer.amount.minor;
        if let Some(terms) = &event.release {
            order.release = Some(Box::new(Release { terms: terms.clone(), placed_at: self.time }));
        }
    }
}

pub(crate) fn decide_place(
    market: &Market,
    buyer: AccountId,
    command_id: CommandId,
    command: &PlaceOrder,
    quotes: &[Option<VerifiedQuote>],
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let quotes = quotes.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let asked = command.lines.iter().zip(quotes);
    let lines = asked
        .map(|(line, quote)| AskedLine { listing: line.listing, quantity: line.quantity, quote })
        .collect();
    let purchase = Purchase { buyer, lines, method: command.payment_method, signed_total: command.total };
    place(market, command_id, None, &purchase, now)
}

pub(crate) fn decide_migrate(
    market: &Market,
    buyer: AccountId,
    command_id: CommandId,
    command: &MigrateCart,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let owner = market.accounts.get(buyer);
    if owner.is_some_and(|owner| owner.last_migrated == Some(command.cart)) {
        return Ok(vec![]);
    }
    let cart = owner.and_then(|owner| owner.cart.as_deref()).filter(|cart| cart.id == command.cart);
    let Some(cart) = cart else {
        return Err(vec![Rejection::CartUnknown { cart: command.cart }]);
    };
    if cart.lines.is_empty() {
        return Err(vec![Rejection::CartEmpty]);
    }
    let lines = cart.lines.iter().map(|(listing, quantity)| AskedLine {
        listing: *listing,
        quantity: *quantity,
        quote: None,
    });
    let method: PaymentMethod = command.payment_method;
    let purchase = Purchase { buyer, lines: lines.collect(), method, signed_total: command.total };
    let mut events = place(market, command_id, Some(cart.id), &purchase, now)?;
    let orders = events.iter().filter_map(|event| match event {
        Event::OrderPlaced(placed) => Some(placed.order),
        _ => None,
    });
    let orders = orders.collect();
    events.push(Migrated { account: buyer, cart: cart.id, orders, version: cart.version + 1 }.into());
    Ok(events)
}

/// Makes one order and one escrow for each seller among the lines.
fn place(
    market: &Market,
    command_id: CommandId,
    cart: Option<CartId>,
    purchase: &Purchase<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let priced = validate::purchase(market, purchase, now)?;
    let mut by_seller = BTreeMap::<AccountId, Vec<_>>::new();
    for priced in priced {
        by_seller.entry(priced.seller).or_default().push(priced.line);
    }
    let buyer = purchase.buyer;
    let currency = purchase.signed_total.currency;
    let mut events = Vec::with_capacity(2 * by_seller.len() + 1);
    for ((seller, lines), n) in by_seller.into_iter().zip(0u32..) {
        let order = OrderId::derive(buyer, command_id, n);
        let minor = lines.iter().map(|line| line.total.minor).sum();
        let total = Money::new(minor, currency);
        let fee = fees::quote(market.fee_policy(), total);
        let ship_by = now.plus_ms(market.deadlines().ship_by_ms());
        events.push(Placed { buyer, cart, fee, lines, order, seller, ship_by, total }.into());
        let transfer =
            Transfer { amount: total, from: LedgerAccount::Wallet(buyer), to: LedgerAccount::Escrow(order) };
        let release = Some(market.escrow_terms().release().clone());
        let release = release.filter(|terms| *terms != ReleaseTerms::default());
        events.push(EscrowHeld { order, release, transfer }.into());
    }
    Ok(events)
}
