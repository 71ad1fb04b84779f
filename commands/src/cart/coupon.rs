//! The coupon in a cart. It is redeemed by the purchase alone; until then others may use it up.

use events::cart::{CouponApplied, CouponRemoved};
use events::ids::AccountId;
use events::rejection::CouponProblem;
use events::{Event, Rejection, Timestamp};

use super::active;
use crate::command::ApplyCoupon;
use crate::market::Market;

impl Market {
    pub(crate) fn coupon_applied(&mut self, event: &CouponApplied) {
        self.change_cart(event.account, |owner| {
            owner.cart_at(event.cart, event.version).coupon = Some(event.coupon.clone());
        });
    }

    pub(crate) fn coupon_removed(&mut self, event: &CouponRemoved) {
        self.change_cart(event.account, |owner| owner.cart_at(event.cart, event.version).coupon = None);
    }
}

/// A coupon that can never be used in this cart is refused; what else stands against it the preview tells.
pub(crate) fn decide_apply_coupon(
    market: &Market,
    account: AccountId,
    command: &ApplyCoupon,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let coupon = &command.coupon;
    let cart = active(market, account).ok_or_else(|| vec![Rejection::CartMissing])?;
    if cart.coupon.as_ref() == Some(coupon) {
        return Ok(vec![]);
    }
    cart.check_editable()?;
    let problem = match market.promotions.with_code(coupon) {
        None => Some(CouponProblem::Unknown),
        Some((_, known)) => known.check_time(now).err().filter(|problem| *problem == CouponProblem::TooLate),
    };
    if let Some(problem) = problem {
        return Err(vec![Rejection::CouponInvalid { coupon: coupon.clone(), problem }]);
    }
    let (cart, version) = (cart.id, cart.version + 1);
    Ok(vec![CouponApplied { account, cart, coupon: coupon.clone(), version }.into()])
}

pub(crate) fn decide_remove_coupon(
    market: &Market,
    account: AccountId,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let cart = active(market, account);
    let Some((cart, coupon)) = cart.and_then(|cart| Some((cart, cart.coupon.clone()?))) else {
        // What shall be gone is not there: the wish is fact.
        return Ok(vec![]);
    };
    cart.check_editable()?;
    Ok(vec![CouponRemoved { account, cart: cart.id, coupon, version: cart.version + 1 }.into()])
}
