//! Carts that became orders. The last one of each account is remembered with its lines, so that it can be had again.

use events::cart::{Migrated, Restored, RestoredLine};
use events::ids::{AccountId, CartId, CommandId};
use events::{Currency, Event, Rejection};
use serde::{Deserialize, Serialize};

use super::active;
use crate::command::RestoreCart;
use crate::market::Market;

/// A cart that became orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigratedCart {
    /// The cart.
    pub id: CartId,
    /// The currency of its lines.
    pub currency: Option<Currency>,
    /// Its lines.
    pub lines: Box<[RestoredLine]>,
}

impl Market {
    pub(crate) fn cart_migrated(&mut self, event: &Migrated) {
        self.change_cart(event.account, |owner| {
            let cart = owner.cart.take().expect("only an active cart becomes orders");
            let lines = cart
                .lines
                .iter()
                .map(|(listing, quantity)| RestoredLine { listing: *listing, quantity: *quantity });
            let migrated = MigratedCart { id: event.cart, currency: cart.currency, lines: lines.collect() };
            owner.last_migrated = Some(Box::new(migrated));
        });
    }

    pub(crate) fn cart_restored(&mut self, event: &Restored) {
        self.change_cart(event.account, |owner| {
            let currency = owner.last_migrated.as_ref().and_then(|migrated| migrated.currency);
            let cart = owner.cart_at(event.cart, event.version);
            cart.lines = event.lines.iter().map(|line| (line.listing, line.quantity)).collect();
            cart.currency = currency;
        });
    }
}

pub(crate) fn decide_restore(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &RestoreCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let from = command.cart;
    let last = market.accounts.get(account).and_then(|owner| owner.last_migrated.as_deref());
    let Some(migrated) = last.filter(|migrated| migrated.id == from) else {
        return Err(vec![Rejection::CartForgotten { cart: from }]);
    };
    // An empty cart is as good as none: it takes the lines and stays the same cart.
    let empty = match active(market, account) {
        Some(cart) if !cart.lines.is_empty() => return Err(vec![Rejection::CartNotEmpty { cart: cart.id }]),
        cart => cart,
    };
    let restored = Restored {
        account,
        cart: empty.map_or_else(|| CartId::derive(account, command_id), |cart| cart.id),
        from,
        lines: migrated.lines.to_vec(),
        version: empty.map_or(0, |cart| cart.version) + 1,
    };
    Ok(vec![restored.into()])
}
