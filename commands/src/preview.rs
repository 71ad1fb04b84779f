//! What a purchase of a cart would be, decided as the purchase itself is, and without any effect.

use events::ids::{AccountId, CartId};
use events::order::{FeeQuote, Line};
use events::shipping::Quote;
use events::{Money, Rejection, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::PaymentMethod;
use crate::market::Market;
use crate::price::Part;
use crate::validate::{self, Judged};

/// What the active cart of an account would become now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// The cart.
    pub cart: CartId,
    /// Its version; a purchase names it in `if`.
    pub version: u64,
    /// Until when it keeps its prices, if it is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_until: Option<Timestamp>,
    /// One order for each seller, of the lines that have a price.
    pub orders: Vec<PreviewedOrder>,
    /// What all of it costs; none when something of it has no price, or there is nothing.
    pub total: Option<Money>,
    /// Every reason against the purchase, as the receipt would give them. None: signed for `total`, it would be accepted.
    pub problems: Vec<Rejection>,
}

/// What one seller would sell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewedOrder {
    /// Who sells.
    pub seller: AccountId,
    /// The lines, priced.
    pub lines: Vec<Line>,
    /// What the delivery would cost; absent: nothing, the seller has no rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Quote>,
    /// Sum of the lines and the delivery.
    pub total: Money,
    /// What the platform would take of it.
    pub fee: FeeQuote,
}

/// Judges the active cart of an account as a purchase by its owner, who pays from his wallet whatever it costs. `None`: it
/// has no cart.
pub fn preview(market: &Market, account: AccountId, now: Timestamp) -> Option<Preview> {
    let cart = market.accounts.get(account)?.cart.as_deref()?;
    let frozen_until = cart.frozen.as_ref().map(|frozen| frozen.until);
    let (id, version) = (cart.id, cart.version);
    let Some(currency) = cart.currency else {
        let problems = vec![Rejection::CartEmpty];
        return Some(Preview { cart: id, version, frozen_until, orders: Vec::new(), total: None, problems });
    };
    let whatever = Money::new(Money::MINOR_MAX, currency);
    let purchase = cart.purchase(account, PaymentMethod::Wallet, whatever);
    let Judged { parts, total, reasons: problems } = validate::judge(market, &purchase, now);
    let orders = parts.into_iter().map(|Part { seller, lines, shipping, total, fee }| PreviewedOrder {
        seller,
        lines,
        shipping,
        total,
        fee,
    });
    Some(Preview { cart: id, version, frozen_until, orders: orders.collect(), total, problems })
}
