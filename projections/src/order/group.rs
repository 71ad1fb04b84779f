//! The orders of one checkout together.

use events::ids::{AccountId, CartId, OrderGroupId, OrderId};
use events::{Money, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::status::Known;
use super::{Axes, Escrow, ORDERS, Order, OrderStatus, Orders, VERSION};
use crate::table::Layout;
use crate::view::ViewError;

pub(super) const GROUPS: Layout<OrderGroupId, Vec<OrderId>> = Layout::new(b'g', VERSION);

/// The orders of one checkout, one for each seller, as they stand together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OrderGroup {
    /// The group.
    pub group: OrderGroupId,
    /// Who buys.
    pub buyer: AccountId,
    /// The cart they came from, if any.
    pub cart: Option<CartId>,
    /// Where they stand together, in one word: as a single order with all their lines would.
    pub state: OrderStatus,
    /// Where they stand together, one axis for each question; a time is the first that any of them waits for.
    pub axes: Axes,
    /// What all of them cost. The buyer pays it, but for what of the discounts is paid by the platform.
    pub total: Money,
    /// Where the buyer's money is, of all of them.
    pub escrow: Escrow,
    /// When they were placed.
    pub placed_at: Timestamp,
    /// The orders, in the order they were placed.
    pub orders: Vec<Order>,
}

impl Orders<'_> {
    /// Gives the orders of a checkout.
    pub fn group(&self, group: OrderGroupId) -> Result<Option<OrderGroup>, ViewError> {
        let live = self.0.ask()?;
        let Some(ids) = GROUPS.get(&live.tree, &group)? else { return Ok(None) };
        let damaged = |what: String| ViewError::Damaged { source: what.into() };
        let orders = ids.into_iter().map(|id| {
            let missing = || damaged(format!("order {id} is in group {group}, but is not there"));
            ORDERS.get(&live.tree, &id)?.ok_or_else(missing)
        });
        let orders = orders.collect::<Result<Vec<Order>, ViewError>>()?;
        let too_much = || damaged(format!("group {group} costs more than can be counted"));
        let escrow = orders.iter().map(|order| order.escrow).reduce(Escrow::and);
        let total = orders.iter().try_fold(0i64, |sum, order| sum.checked_add(order.total.minor));
        let (Some(first), Some(escrow)) = (orders.first(), escrow) else { return Ok(None) };
        let total = Money::new(total.ok_or_else(too_much)?, first.total.currency);
        let Some(axes) = Known::of_all(&orders, escrow).map(|known| known.axes()) else { return Ok(None) };
        let Order { buyer, cart, placed_at, .. } = *first;
        let state = axes.display();
        Ok(Some(OrderGroup { group, buyer, cart, state, axes, total, escrow, placed_at, orders }))
    }
}

impl Escrow {
    /// Adds the money of another order of the same checkout, which has the same currency and came out of one wallet.
    fn and(self, other: Escrow) -> Escrow {
        Escrow {
            currency: self.currency,
            held: self.held + other.held,
            released: self.released + other.released,
            fees: self.fees + other.fees,
            taxes: self.taxes + other.taxes,
            refunded: self.refunded + other.refunded,
            charged_back: self.charged_back + other.charged_back,
            subsidy: self.subsidy + other.subsidy,
            subsidy_returned: self.subsidy_returned + other.subsidy_returned,
            returned: self.returned + other.returned,
            subsidy_back: self.subsidy_back + other.subsidy_back,
            frozen: self.frozen + other.frozen,
            remaining: self.remaining + other.remaining,
        }
    }
}
