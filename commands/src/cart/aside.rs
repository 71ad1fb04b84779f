//! Lines saved for later. They belong to the account and not to its cart, so they outlast every cart.

use events::cart::{MovedBack, SavedForLater};
use events::ids::{AccountId, CartId, CommandId};
use events::{Currency, Event, Quantity, Rejection};
use serde::{Deserialize, Serialize};

use super::{Cart, active, put, sum};
use crate::command::{MoveBack, SaveForLater};
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
    let quantity = sum(saved, line, listing, reasons)?;
    let (cart, version) = (cart.id, cart.version + 1);
    Ok(vec![SavedForLater { account, cart, listing, quantity, version }.into()])
}

pub(crate) fn decide_move_back(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &MoveBack,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let MoveBack { listing } = *command;
    let cart = active(market, account);
    let owner = market.accounts.get(account);
    let Some(saved) = owner.and_then(|owner| owner.saved.get(&listing)).copied() else {
        let is_there = cart.is_some_and(|cart| cart.lines.contains_key(&listing));
        return if is_there { Ok(vec![]) } else { Err(vec![Rejection::NotSaved { listing }]) };
    };
    let reasons = cart.and_then(Cart::frozen_reason).into_iter().collect();
    let quantity = put(cart, listing, saved.quantity, saved.currency, reasons)?;
    let version = cart.map_or(0, |cart| cart.version) + 1;
    let cart = cart.map_or_else(|| CartId::derive(account, command_id), |cart| cart.id);
    Ok(vec![MovedBack { account, cart, listing, quantity, version }.into()])
}
