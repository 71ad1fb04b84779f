//! Carts: what a buyer means to buy. They reserve nothing.

use std::collections::BTreeMap;

use events::cart::{Cleared, ItemAdded, ItemRemoved, Migrated, QuantitySet};
use events::ids::{AccountId, CartId, CommandId, ListingId};
use events::{Currency, Event, Quantity, Rejection};
use serde::{Deserialize, Serialize};

use crate::account::Accounts;
use crate::command::{AddToCart, LINES_MAX, RemoveFromCart, SetCartQuantity};
use crate::listing::check_sale;
use crate::market::Market;

/// A buyer's active cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// The cart.
    pub id: CartId,
    /// Counts its events from 1.
    pub version: u64,
    /// The currency of all its lines; none while it has no lines.
    pub currency: Option<Currency>,
    /// Units by listing; at most [`LINES_MAX`] lines.
    pub lines: BTreeMap<ListingId, Quantity>,
}

impl Accounts {
    fn cart_mut(&mut self, account: AccountId, id: CartId, version: u64) -> &mut Cart {
        let owner = self.by_id.get_mut(&account).expect("a cart's event follows its account's registration");
        let new = || Box::new(Cart { id, version: 0, currency: None, lines: BTreeMap::new() });
        let cart = owner.cart.get_or_insert_with(new);
        cart.version = version;
        cart
    }

    pub(crate) fn item_added(&mut self, event: &ItemAdded) {
        let cart = self.cart_mut(event.account, event.cart, event.version);
        cart.lines.insert(event.listing, event.quantity);
        cart.currency = Some(event.unit_price.currency);
    }

    pub(crate) fn quantity_set(&mut self, event: &QuantitySet) {
        let cart = self.cart_mut(event.account, event.cart, event.version);
        cart.lines.insert(event.listing, event.quantity);
    }

    pub(crate) fn item_removed(&mut self, event: &ItemRemoved) {
        let cart = self.cart_mut(event.account, event.cart, event.version);
        cart.lines.remove(&event.listing);
        if cart.lines.is_empty() {
            cart.currency = None;
        }
    }

    pub(crate) fn cleared(&mut self, event: &Cleared) {
        let cart = self.cart_mut(event.account, event.cart, event.version);
        cart.lines.clear();
        cart.currency = None;
    }

    pub(crate) fn migrated(&mut self, event: &Migrated) {
        if let Some(owner) = self.by_id.get_mut(&event.account) {
            owner.cart = None;
            owner.last_migrated = Some(event.cart);
        }
    }
}

fn active(market: &Market, account: AccountId) -> Option<&Cart> {
    market.accounts.get(account)?.cart.as_deref()
}

/// Gives the version of the account's cart, 0 where there is none.
pub(crate) fn version(market: &Market, account: AccountId) -> u64 {
    active(market, account).map_or(0, |cart| cart.version)
}

pub(crate) fn decide_add(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &AddToCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let AddToCart { listing: id, quantity } = *command;
    let Some(listing) = market.listings.get(id) else {
        return Err(vec![Rejection::ListingUnknown { listing: id }]);
    };
    let cart = active(market, account);
    let line = cart.and_then(|cart| cart.lines.get(&id)).copied();
    let mut reasons = Vec::new();
    check_sale(market, id, listing, &mut reasons);
    if listing.seller == account {
        reasons.push(Rejection::SelfPurchase { listing: id });
    }
    if line.is_none() && cart.is_some_and(|cart| cart.lines.len() >= LINES_MAX) {
        reasons.push(Rejection::TooManyLines { max: LINES_MAX as u32 });
    }
    if let Some(expected) = cart.and_then(|cart| cart.currency)
        && expected != listing.price.currency
    {
        reasons.push(Rejection::CurrencyMismatch { listing: id, expected, found: listing.price.currency });
    }
    let sum = line.map_or(Ok(quantity), |line| line.checked_add(quantity));
    match sum {
        Ok(sum) if reasons.is_empty() => Ok(vec![
            ItemAdded {
                account,
                added: quantity,
                cart: cart.map_or_else(|| CartId::derive(account, command_id), |cart| cart.id),
                listing: id,
                listing_version: listing.version,
                quantity: sum,
                unit_price: listing.price,
                version: cart.map_or(0, |cart| cart.version) + 1,
            }
            .into(),
        ]),
        Ok(_) => Err(reasons),
        Err(_) => {
            reasons.push(Rejection::QuantityLimit { listing: id, max: Quantity::MAX, min: None });
            Err(reasons)
        }
    }
}

pub(crate) fn decide_set(
    market: &Market,
    account: AccountId,
    command: &SetCartQuantity,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetCartQuantity { listing, quantity } = *command;
    let cart = active(market, account).ok_or_else(|| vec![Rejection::CartMissing])?;
    match cart.lines.get(&listing) {
        None => Err(vec![Rejection::NotInCart { listing }]),
        Some(known) if *known == quantity => Ok(vec![]),
        Some(_) => Ok(vec![
            QuantitySet { account, cart: cart.id, listing, quantity, version: cart.version + 1 }.into(),
        ]),
    }
}

pub(crate) fn decide_remove(
    market: &Market,
    account: AccountId,
    command: &RemoveFromCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RemoveFromCart { listing } = *command;
    match active(market, account) {
        Some(cart) if cart.lines.contains_key(&listing) => {
            Ok(vec![ItemRemoved { account, cart: cart.id, listing, version: cart.version + 1 }.into()])
        }
        // What shall be gone is not there: the wish is fact.
        _ => Ok(vec![]),
    }
}

pub(crate) fn decide_clear(market: &Market, account: AccountId) -> Result<Vec<Event>, Vec<Rejection>> {
    match active(market, account) {
        Some(cart) if !cart.lines.is_empty() => {
            Ok(vec![Cleared { account, cart: cart.id, version: cart.version + 1 }.into()])
        }
        _ => Ok(vec![]),
    }
}
