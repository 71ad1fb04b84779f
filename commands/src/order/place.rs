//! Buying: one order for each seller, its stock reserved and its money held in the same commit.

use events::cart::Migrated;
use events::escrow::rule::ReleaseTerms;
use events::ids::{AccountId, CartId, CommandId, OrderGroupId, OrderId};
use events::order::{EscrowHeld, Placed};
use events::{Event, Rejection, Timestamp};

use super::subsidy::{Subsidy, subsidize};
use super::tender::{Card, Tender};
use super::{Escrow, Extras, Line, Order, Release, Stage};
use crate::command::{LINES_MAX, MigrateCart, PlaceOrder, SEALED_ADDRESSES_MAX, VerifiedQuote};
use crate::market::Market;
use crate::price::Part;
use crate::privacy::sealed;
use crate::reservation::{self, OPEN_RESERVATIONS_MAX};
use crate::validate::{self, AskedLine, Purchase};

// An order and its escrow, with what the platform pays of it, for each line at most, what was set aside, the payment, the
// cart's migration, what was made of its risk, and the addresses.
const _: () = assert!(
    3 * LINES_MAX + OPEN_RESERVATIONS_MAX + 4 + SEALED_ADDRESSES_MAX
        <= events::metadata::EVENTS_PER_COMMIT_MAX
);

impl Market {
    pub(crate) fn order_placed(&mut self, event: &Placed) {
        let lines = event.lines.iter().map(|line| Line {
            listing: line.listing,
            ordered: line.quantity.get(),
            cancelled: 0,
            shipped: 0,
            delivered: 0,
            total_minor: line.total.minor,
            tax_minor: line.tax.as_ref().map_or(0, |tax| tax.amount.minor),
        });
        let Placed { buyer, seller, ship_by, total, order: id, .. } = *event;
        let order = Order {
            buyer,
            seller,
            lines: lines.collect(),
            shipments: Box::default(),
            ship_by,
            stage: match &event.payment {
                Some(due) => Stage::AwaitingPayment { expires_at: due.expires_at },
                None => Stage::paid(event.accept_by),
            },
            hold: None,
            total,
            fee_minor: event.fee.amount.minor,
            extras: extras(event),
            escrow: Escrow::default(),
            card: event.payment.as_ref().map(|due| {
                let (payment, amount_minor, pay_by) = (due.payment, due.amount.minor, due.expires_at);
                Box::new(Card { payment, amount_minor, capture: due.capture, pay_by, uncharged_minor: 0 })
            }),
            release: event.release.as_ref().map(|terms| self.releasing(terms)),
        };
        for (place, line) in (0u8..).zip(&event.lines) {
            // A replacement takes over what was reserved for it.
            if event.replaces.is_none() {
                let own = self.reservations.units_of(buyer, line.listing);
                self.listings.reserve(line.listing, u64::from(line.quantity.get()), own, &line.locations);
            }
            self.orders.allocations_mut().add(id, place, &line.locations);
        }
        for promotion in event.promotions() {
            self.promotions.use_up(promotion, buyer);
        }
        match &event.replaces {
            None => self.count_spent(buyer, event.payable()),
            // What is exchanged was bought before.
            Some(replaces) => self.replaced(replaces, event.total),
        }
        if let Some(card) = &order.card {
            self.payments.take_up(card.payment, id);
        }
        self.waiting.insert(order.deadline(id));
        self.orders.open(id, order);
        if let Some(number) = event.number {
            self.orders.number(number);
        }
    }

    pub(crate) fn escrow_held(&mut self, event: &EscrowHeld) {
        self.ledger.post(&event.transfer);
        let release = event.release.as_ref().map(|terms| self.releasing(terms));
        let order = self.orders.known(event.order);
        order.escrow.funded += event.transfer.amount.minor;
        if release.is_some() {
            order.release = release;
        }
    }

    fn releasing(&self, terms: &ReleaseTerms) -> Box<Release> {
        Box::new(Release { terms: terms.clone(), held_since: self.time })
    }
}

fn extras(event: &Placed) -> Option<Box<Extras>> {
    let shipping = event.shipping.as_ref();
    let extras = Extras {
        shipping_minor: shipping.map_or(0, |shipping| shipping.total.minor),
        shipping_tax_minor: shipping
            .and_then(|shipping| shipping.tax.as_ref())
            .map_or(0, |tax| tax.amount.minor),
        promotions: event.promotions().into_iter().collect(),
        changes: None,
        final_lines: final_lines(&event.lines),
        is_risk_cleared: false,
        is_to_review: false,
        subsidy: Subsidy::of(event),
    };
    (shipping.is_some() || !extras.promotions.is_empty() || extras.final_lines != 0).then(|| Box::new(extras))
}

fn final_lines(lines: &[events::order::Line]) -> u128 {
    let places = (0..).zip(lines).filter(|(_, line)| line.final_sale);
    places.fold(0, |bits, (place, _): (u32, _)| bits | 1 << place)
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
        .map(|(line, quote)| AskedLine {
            listing: line.listing,
            quantity: line.quantity,
            before: 0,
            quote,
            kept: None,
        })
        .collect();
    let purchase = Purchase {
        buyer,
        coupon: command.coupon.as_ref(),
        delivery: command.delivery.as_ref(),
        lines,
        method: &command.payment_method,
        signed_total: command.total,
    };
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
    let last = owner.and_then(|owner| owner.last_migrated.as_deref());
    if last.is_some_and(|last| last.id == command.cart) {
        return Ok(vec![]);
    }
    let cart = owner.and_then(|owner| owner.cart.as_deref()).filter(|cart| cart.id == command.cart);
    let Some(cart) = cart else {
        return Err(vec![Rejection::CartUnknown { cart: command.cart }]);
    };
    if cart.lines.is_empty() {
        return Err(vec![Rejection::CartEmpty]);
    }
    let of_cart = cart.purchase(buyer, &command.payment_method, command.total);
    let coupon = command.coupon.as_ref().or(of_cart.coupon);
    let purchase = Purchase { coupon, delivery: command.delivery.as_ref(), ..of_cart };
    let mut events = place(market, command_id, Some(cart.id), &purchase, now)?;
    let orders = events.iter().filter_map(|event| match event {
        Event::OrderPlaced(placed) => Some(placed.order),
        _ => None,
    });
    let orders = orders.collect();
    events.push(Migrated { account: buyer, cart: cart.id, orders, version: cart.version + 1 }.into());
    Ok(events)
}

/// Makes one order and one escrow for each seller among the lines, and asks for one payment for all of them.
fn place(
    market: &Market,
    command_id: CommandId,
    cart: Option<CartId>,
    purchase: &Purchase<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (parts, required) = validate::purchase(market, purchase, now)?;
    let buyer = purchase.buyer;
    let group = Some(OrderGroupId::derive(buyer, command_id));
    let mut tender = Tender::new(market, buyer, command_id, purchase.method, required, now);
    let (accept_by, ship_by) = market.dues(now);
    let mut events = Vec::with_capacity(2 * parts.len() + 2);
    for ((part, n), number) in parts.into_iter().zip(0u32..).zip(market.orders.next_numbers()) {
        let payable = part.payable();
        let Part { seller, lines, shipping, total, subsidy, fee, release } = part;
        let (order, number) = (OrderId::derive(buyer, command_id, n), Some(number));
        let (held, payment) = tender.next(order, payable, release.as_ref());
        let taken_up = reservation::take_up(market, buyer, order, &lines);
        let placed = Placed {
            accept_by: accept_by.filter(|_| payment.is_none()),
            buyer,
            cart,
            fee,
            group,
            lines,
            number,
            order,
            payment,
            replaces: None,
            seller,
            ship_by,
            shipping,
            total,
            release,
        };
        events.push(placed.into());
        events.extend(subsidize(order, subsidy));
        events.extend(held);
        events.extend(taken_up);
    }
    events.extend(sealed(purchase.delivery, &events));
    events.extend(tender.request());
    Ok(events)
}
