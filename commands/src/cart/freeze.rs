//! Frozen carts: nobody edits them, and their prices are kept while their buyer pays. They reserve no stock.

use events::cart::{Frozen, KeptPrice, Unfrozen};
use events::ids::AccountId;
use events::{Event, Rejection, Timestamp};

use super::{FrozenLines, active};
use crate::command::FreezeCart;
use crate::market::Market;

/// Longest time that a cart can be frozen: a seller is bound to a price by it.
pub const FREEZE_MS_MAX: i64 = 86_400_000;

impl Market {
    pub(crate) fn cart_frozen(&mut self, event: &Frozen) {
        self.change_cart(event.account, |owner| {
            let prices = event.prices.iter().map(|kept| (kept.listing, *kept)).collect();
            let frozen = FrozenLines { until: event.until, prices };
            owner.cart_at(event.cart, event.version).frozen = Some(Box::new(frozen));
        });
    }

    pub(crate) fn cart_unfrozen(&mut self, event: &Unfrozen) {
        self.change_cart(event.account, |owner| owner.cart_at(event.cart, event.version).frozen = None);
    }
}

pub(crate) fn decide_freeze(
    market: &Market,
    account: AccountId,
    command: &FreezeCart,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let FreezeCart { until } = *command;
    let cart = active(market, account).ok_or_else(|| vec![Rejection::CartMissing])?;
    if let Some(frozen) = &cart.frozen {
        // Frozen on, it would keep its old prices for longer than a cart may: it has to be unfrozen in between.
        return if frozen.until == until {
            Ok(vec![])
        } else {
            Err(vec![Rejection::CartFrozen { until: frozen.until }])
        };
    }
    let mut reasons = Vec::new();
    if cart.lines.is_empty() {
        reasons.push(Rejection::CartEmpty);
    }
    let latest = now.plus_ms(FREEZE_MS_MAX);
    if until <= now || until > latest {
        reasons.push(Rejection::FreezeTime { latest });
    }
    let mut prices = Vec::with_capacity(cart.lines.len());
    for listing in cart.lines.keys().copied() {
        match market.listings.get(listing) {
            Some(known) => {
                let (listing_version, unit_price) = (known.version, known.price);
                prices.push(KeptPrice { listing, listing_version, unit_price });
            }
            None => reasons.push(Rejection::ListingUnknown { listing }),
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(vec![Frozen { account, cart: cart.id, prices, until, version: cart.version + 1 }.into()])
}

pub(crate) fn decide_unfreeze(market: &Market, account: AccountId) -> Result<Vec<Event>, Vec<Rejection>> {
    match active(market, account) {
        Some(cart) if cart.frozen.is_some() => {
            Ok(vec![Unfrozen { account, cart: cart.id, version: cart.version + 1 }.into()])
        }
        _ => Ok(vec![]),
    }
}
