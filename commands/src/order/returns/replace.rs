//! Other units in the place of those that are returned.
//!
//! A replacement is an order of its own, paid with the money of the return in the commit that pays it back. So what is returned is
//! returned as any other, what is sent instead waits, is inspected and may be claimed or returned as any other order, and neither
//! has quantities, escrows or fees that mean something else. It is priced when it is asked for. Its units are reserved when the
//! return is approved, and stay so until the order takes them over or nothing comes of it; if they are not there then, the return
//! goes on as one for its money.

use events::ids::{AccountId, CommandId, ListingId, OrderId};
use events::order::{FeeQuote, Line, LinePrice, LineUnits, Placed};
use events::rejection::ReturnRejection;
use events::returns::replacement::{
    NoReplacement, Replacement, ReplacementGivenUp, ReplacementReserved, ReplacementUnits, Replaces,
};
use events::{Event, Money, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Opened, Return};
use crate::command::{Exchange, PaymentMethod};
use crate::fees;
use crate::listing::check_sale;
use crate::market::Market;
use crate::order::state::Order;
use crate::order::tender::hold;
use crate::price;
use crate::validate::{self, AskedLine, PricedLine, Purchase};

/// What a buyer is to get in the place of the units of an open return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// What it is, and what it costs; with the locations at which its units are reserved, once they are.
    pub of: Replacement,
    /// Whether its units are reserved.
    pub is_reserved: bool,
}

impl Return {
    /// Gives the lines whose units are reserved for what replaces it.
    pub fn reserved(&self) -> &[Line] {
        let planned = self.replacement.as_deref().filter(|planned| planned.is_reserved);
        planned.map_or(&[], |planned| planned.of.lines.as_slice())
    }
}

/// Prices what a buyer wants in the place of units, or finds every reason against it. `returned`: the units, with what was paid for
/// them.
pub(super) fn plan(
    market: &Market,
    order: &Order,
    buyer: AccountId,
    command_id: CommandId,
    asked: &Exchange,
    returned: &[LineUnits],
    now: Timestamp,
) -> Result<Replacement, Vec<Rejection>> {
    let mut reasons = Vec::new();
    for (n, one) in asked.instead.iter().enumerate() {
        if returned.iter().all(|units| units.listing != one.of) {
            reasons.push(ReturnRejection::NotReturned { listing: one.of }.into());
        }
        if asked.instead[..n].iter().any(|before| before.of == one.of) {
            reasons.push(Rejection::DuplicateLine { listing: one.of });
        }
    }
    if asked.region.is_none() && !market.taxes.is_empty() {
        reasons.push(Rejection::AddressRequired);
    }
    let wanted = |listing| {
        let instead = asked.instead.iter().find(|one| one.of == listing);
        instead.map_or(listing, |one| one.with)
    };
    for units in returned {
        let (listing, with) = (units.listing, wanted(units.listing));
        if family(market, with).is_some_and(|of| Some(of) != family(market, listing)) {
            reasons.push(ReturnRejection::NotAVariant { listing, with }.into());
        }
        if units.subsidy.is_some() {
            reasons.push(ReturnRejection::ReplacementSubsidized { listing }.into());
        }
    }
    let lines = returned.iter().map(|units| AskedLine {
        listing: wanted(units.listing),
        quantity: units.quantity,
        before: 0,
        quote: None,
        kept: None,
    });
    let purchase = Purchase {
        buyer,
        coupon: None,
        delivery: None,
        lines: lines.collect(),
        method: &PaymentMethod::Wallet,
        signed_total: order.total,
    };
    let priced = validate::listing(market, &purchase, now, &mut reasons);
    validate::account(market, &purchase, &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let release = price::release(market, order.seller, &priced, &mut reasons);
    let (mut lines, mut total) = (Vec::with_capacity(priced.len()), Money::zero(order.total.currency));
    for (line, units) in priced.into_iter().zip(returned) {
        match swapped(market, asked, line, units) {
            Ok(line) => {
                total.minor += line.total.minor;
                lines.push(line);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(Replacement { lines, order: OrderId::derive(buyer, command_id, 0), release, total })
}

/// Gives the listing that a listing is a variant of, or that has variants itself; none: there is no such listing.
fn family(market: &Market, listing: ListingId) -> Option<ListingId> {
    Some(market.listings.get(listing)?.variant_of.unwrap_or(listing))
}

/// Prices a line that replaces returned units: it costs what it costs everybody, and more of the same thing never more than was
/// paid for it.
fn swapped(
    market: &Market,
    asked: &Exchange,
    line: PricedLine<'_>,
    units: &LineUnits,
) -> Result<Line, Rejection> {
    let (listing, paid, region) = (line.listing, units.amount, asked.region.as_ref());
    let line = PricedLine { locations: Vec::new(), ..line };
    let (_, today) =
        price::with_tax(market, line.full, region, line.tax_class).ok_or(Rejection::AmountOverflow)?;
    let dearer = ReturnRejection::ReplacementDearer { listing, paid, price: today };
    let line = if today.minor <= paid.minor {
        line
    } else {
        let most = price::most_with_tax(market, paid, region, line.tax_class);
        let full = most.filter(|_| listing == units.listing).ok_or(dearer)?;
        PricedLine { full, price: LinePrice::Exchange, ..line }
    };
    line.taxed(market, region).ok_or(Rejection::AmountOverflow)
}

fn units(lines: &[Line]) -> Vec<ReplacementUnits> {
    let units = lines.iter().map(|line| ReplacementUnits {
        listing: line.listing,
        locations: line.locations.clone(),
        quantity: line.quantity,
    });
    units.collect()
}

/// Says what becomes of the replacement of a return that is approved, if one is wanted.
pub(super) fn approved(market: &Market, found: &Opened<'_>, is_refund: bool) -> Option<Event> {
    let planned = found.open.replacement.as_deref()?;
    if is_refund {
        return given_up(found, NoReplacement::SellerRefunds);
    }
    let mut lines = units(&planned.of.lines);
    for line in &mut lines {
        let known = market.listings.get(line.listing).expect("what was priced is listed");
        let mut reasons = Vec::new();
        check_sale(market, line.listing, known, &mut reasons);
        if !reasons.is_empty() || u64::from(line.quantity.get()) > known.available() {
            return given_up(found, NoReplacement::Unavailable);
        }
        line.locations = known.stock.allocate(line.quantity);
    }
    Some(ReplacementReserved { lines, number: found.open.number, order: found.id }.into())
}

/// Gives the replacement of a return up, if one is wanted.
pub(super) fn given_up(found: &Opened<'_>, why: NoReplacement) -> Option<Event> {
    found.open.replacement.as_ref()?;
    Some(freed(found.id, found.open, why))
}

/// Frees what is reserved for the replacement of a return that ends without a refund.
pub(in crate::order) fn ended(id: OrderId, open: &Return) -> Option<Event> {
    (!open.reserved().is_empty()).then(|| freed(id, open, NoReplacement::ReturnEnded))
}

fn freed(order: OrderId, open: &Return, why: NoReplacement) -> Event {
    ReplacementGivenUp { freed: units(open.reserved()), number: open.number, order, why }.into()
}

/// Places the order that replaces the units of a return, out of the money that has just gone back for them.
pub(super) fn place(
    market: &Market,
    found: &Opened<'_>,
    of: &Replacement,
    now: Timestamp,
) -> impl Iterator<Item = Event> + use<> {
    let Opened { id, order, open, .. } = *found;
    let Replacement { lines, order: placed, release, total } = of.clone();
    let tax_minor: i64 = lines.iter().flat_map(|line| &line.tax).map(|tax| tax.amount.minor).sum();
    let fee: FeeQuote = fees::quote(market.fee_policy(), Money::new(total.minor - tax_minor, total.currency));
    let held = hold(market, order.buyer, placed, total, release.as_ref());
    let event = Placed {
        // Its seller has agreed to it.
        accept_by: None,
        buyer: order.buyer,
        cart: None,
        fee,
        group: None,
        lines,
        number: market.orders.next_numbers().next(),
        order: placed,
        payment: None,
        replaces: Some(Replaces { number: open.number, order: id }),
        seller: order.seller,
        ship_by: now.plus_ms(market.deadlines().ship_by_ms()),
        shipping: None,
        total,
        release,
    };
    [event.into()].into_iter().chain(held)
}

impl Market {
    pub(crate) fn replacement_reserved(&mut self, event: &ReplacementReserved) {
        let shipment = self.orders.returns().shipment_of(event.order, event.number);
        for units in &event.lines {
            self.listings.reserve(units.listing, u64::from(units.quantity.get()), 0, &units.locations);
        }
        let open = self.orders.returns_mut().return_mut(event.order, shipment);
        let planned = open.replacement.as_mut().expect("only what was asked for is reserved");
        assert!(!planned.is_reserved, "a replacement is reserved once");
        planned.is_reserved = true;
        for (line, units) in planned.of.lines.iter_mut().zip(&event.lines) {
            line.locations.clone_from(&units.locations);
        }
    }

    pub(crate) fn replacement_given_up(&mut self, event: &ReplacementGivenUp) {
        let shipment = self.orders.returns().shipment_of(event.order, event.number);
        self.orders.returns_mut().return_mut(event.order, shipment).replacement = None;
        for units in &event.freed {
            let count = u64::from(units.quantity.get());
            self.listings.change_stock(units.listing, |stock| stock.unreserve(count, &units.locations));
        }
    }

    /// Notes that the money of a return was put into the order that replaces its units.
    pub(in crate::order) fn replaced(&mut self, replaces: &Replaces, total: Money) {
        self.orders.returns_mut().known(replaces.order).exchanged_minor += total.minor;
    }
}
