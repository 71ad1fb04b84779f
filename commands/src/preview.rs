//! What a purchase of a cart would be, decided as the purchase itself is, and without any effect.

use events::ids::{AccountId, CartId};
use events::order::{FeeQuote, Line};
use events::promotion::CouponCode;
use events::shipping::Quote;
use events::tax::Region;
use events::{Money, Rejection, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::{Delivery, PaymentMethod};
use crate::market::Market;
use crate::price::Part;
use crate::validate::{self, Judged, Purchase};

/// What the active cart of an account would become now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// The cart.
    pub cart: CartId,
    /// Its version; a purchase names it in `if`.
    pub version: u64,
    /// The coupon that it is priced with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<CouponCode>,
    /// Until when it keeps its prices, if it is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_until: Option<Timestamp>,
    /// One order for each seller, of the lines that have a price.
    pub orders: Vec<PreviewedOrder>,
    /// What its buyer pays for all of it; none when something of it has no price, or there is nothing.
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
    /// What of that the platform would pay; the buyer pays the rest. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsidy: Option<Money>,
    /// What the platform would take of it.
    pub fee: FeeQuote,
}

/// What a purchase of the cart would name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// A coupon, instead of the one in the cart.
    pub coupon: Option<CouponCode>,
    /// Where it is delivered, by the cheapest methods.
    pub region: Option<Region>,
}

/// Judges the active cart of an account as a purchase by its owner, who pays from his wallet whatever it costs. `None`: it
/// has no cart.
pub fn preview(market: &Market, account: AccountId, asked: &Asked, now: Timestamp) -> Option<Preview> {
    let cart = market.accounts.get(account)?.cart.as_deref()?;
    let frozen_until = cart.frozen.as_ref().map(|frozen| frozen.until);
    let (id, version) = (cart.id, cart.version);
    let coupon = asked.coupon.as_ref().or(cart.coupon.as_ref());
    let Some(currency) = cart.currency else {
        let problems = vec![Rejection::CartEmpty];
        let (orders, coupon) = (Vec::new(), coupon.cloned());
        return Some(Preview { cart: id, version, coupon, frozen_until, orders, total: None, problems });
    };
    let whatever = Money::new(Money::MINOR_MAX, currency);
    let region = asked.region.clone();
    let delivery = region.map(Delivery::to);
    let of_cart = cart.purchase(account, &PaymentMethod::Wallet, whatever);
    let purchase = Purchase { coupon, delivery: delivery.as_ref(), ..of_cart };
    let Judged { parts, total, reasons: problems } = validate::judge(market, &purchase, now);
    let orders =
        parts.into_iter().map(|Part { seller, lines, shipping, total, subsidy, fee, .. }| PreviewedOrder {
            seller,
            lines,
            shipping,
            total,
            subsidy: Some(subsidy).filter(Money::is_positive),
            fee,
        });
    let (orders, coupon) = (orders.collect(), coupon.cloned());
    Some(Preview { cart: id, version, coupon, frozen_until, orders, total, problems })
}
