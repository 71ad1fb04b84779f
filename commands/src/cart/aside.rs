//! Lines saved for later. They belong to the account and not to its cart, so they outlast every cart.

use events::cart::{MovedBack, SavedForLater};
use events::ids::{AccountId, CartId, CommandId};
use events::{Currency, Event, Quantity, Rejection};
use serde::{Deserialize, Serialize};

use super::{Cart, active};
use crate::command::{LINES_MAX, MoveBack, SaveForLater};
use crate::market::Market;

/// Most lines that an account can save for later.
pub const SAVED_MAX: usize = 100;

/// A line saved for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedLine {
    /// Units.
    pub quantity: Quantity,
    /// The currency it had in the cart.
    pub currency: Currency,
}

impl Market {
    pub(crate) fn saved_for_later(&mut self, event: &SavedForLater) {
        self.change_cart(event.account, |owner| {
            let cart = owner.cart_at(event.cart, event.version);
            let currency = cart.currency.expect("a cart with a line has a currency");
            cart.take_line(event.listing);
            owner.saved.insert(event.listing, SavedLine { quantity: event.quantity, currency });
        });
    }

    pub(crate) fn moved_back(&mut self, event: &MovedBack) {
        self.change_cart(event.account, |owner| {
            let saved = owner.saved.remove(&event.listing).expect("only a saved line is moved back");
            let cart = owner.cart_at(event.cart, event.version);
            cart.lines.insert(event.listing, event.quantity);
            cart.currency = Some(saved.currency);
        });
    }
}

pub(crate) fn decide_save(
    market: &Market,
    account: AccountId,
    command: &SaveForLater,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SaveForLater { listing } = *command;
    let owner = market.accounts.get(account);
    let saved = owner.and_then(|owner| owner.saved.get(&listing)).map(|line| line.quantity);
    let cart = active(market, account);
    let Some((cart, line)) = cart.and_then(|cart| Some((cart, *cart.lines.get(&listing)?))) else {
        // What shall be saved is: the wish is fact.
        return if saved.is_some() { Ok(vec![]) } else { Err(vec![Rejection::NotInCart { listing }]) };
    };
    let mut reasons = Vec::new();
    reasons.extend(cart.frozen_reason());
    if saved.is_none() && owner.is_some_and(|owner| owner.saved.len() >= SAVED_MAX) {
        reasons.push(Rejection::TooManySaved { max: SAVED_MAX as u32 });
    }
    match saved.map_or(Ok(line), |saved| saved.checked_add(line)) {
        Ok(quantity) if reasons.is_empty() => {
            let (cart, version) = (cart.id, cart.version + 1);
            Ok(vec![SavedForLater { account, cart, listing, quantity, version }.into()])
        }
        Ok(_) => Err(reasons),
        Err(_) => {
            reasons.push(Rejection::QuantityLimit { listing, max: Quantity::MAX, min: None });
            Err(reasons)
        }
    }
}

pub(crate) fn decide_move_back(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &MoveBack,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let MoveBack { listing } = *command;
    let cart = active(market, account);
    let line = cart.and_then(|cart| cart.lines.get(&listing)).copied();
    let owner = market.accounts.get(account);
    let Some(saved) = owner.and_then(|owner| owner.saved.get(&listing)).copied() else {
        return if line.is_some() { Ok(vec![]) } else { Err(vec![Rejection::NotSaved { listing }]) };
    };
    let mut reasons = Vec::new();
    reasons.extend(cart.and_then(Cart::frozen_reason));
    if line.is_none() && cart.is_some_and(|cart| cart.lines.len() >= LINES_MAX) {
        reasons.push(Rejection::TooManyLines { max: LINES_MAX as u32 });
    }
    if let Some(expected) = cart.and_then(|cart| cart.currency)
        && expected != saved.currency
    {
        reasons.push(Rejection::CurrencyMismatch { listing, expected, found: saved.currency });
    }
    match line.map_or(Ok(saved.quantity), |line| line.checked_add(saved.quantity)) {
        Ok(quantity) if reasons.is_empty() => {
            let version = cart.map_or(0, |cart| cart.version) + 1;
            let cart = cart.map_or_else(|| CartId::derive(account, command_id), |cart| cart.id);
            Ok(vec![MovedBack { account, cart, listing, quantity, version }.into()])
        }
        Ok(_) => Err(reasons),
        Err(_) => {
            reasons.push(Rejection::QuantityLimit { listing, max: Quantity::MAX, min: None });
            Err(reasons)
        }
    }
}
