//! What a seller gives back of a shipment before he is paid for it, while the buyer keeps the units.

use events::account::Role;
use events::ids::AccountId;
use events::order::Refunded;
use events::{Event, Money, Rejection};

use super::escrow::Settlement;
use super::state::ShipmentState;
use super::tender::give_back;
use super::{find, sent};
use crate::command::RefundOrder;
use crate::decide::Facts;
use crate::fees;
use crate::market::Market;

impl Market {
    pub(crate) fn order_refunded(&mut self, event: &Refunded) {
        let shipment = self.orders.known(event.order).shipment(event.shipment);
        assert!(
            shipment.state != ShipmentState::Accepted,
            "what was paid to the seller is not given back here"
        );
        shipment.amount_minor -= event.amount.minor;
        shipment.tax_minor -= event.tax.map_or(0, |tax| tax.minor);
        let held = 0..=shipment.amount_minor;
        assert!(held.contains(&shipment.tax_minor), "no more is given back than the shipment holds");
        let subsidy_minor = event.subsidy.map_or(0, |subsidy| subsidy.minor);
        self.orders.known(event.order).move_share(event.shipment, -subsidy_minor, 0);
    }
}

/// Gives back a part of a shipment's payment, or all of it. The shipment goes its way: at its end its seller gets the rest.
pub(crate) fn decide_refund(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &RefundOrder,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RefundOrder { amount, order: id, shipment, .. } = *command;
    let found = find(market, facts, id)?;
    let by = if account == found.seller() {
        Role::Seller
    } else if market.accounts.has_role(account, Role::Operator) {
        Role::Operator
    } else {
        return Err(vec![Rejection::NotYourOrder { order: id }]);
    };
    let order = found.open(id)?;
    order.check_free(id)?;
    let sent = sent(id, order, shipment)?;
    let held = if sent.state == ShipmentState::Accepted { 0 } else { sent.amount_minor };
    let most = Money::new(held, order.total.currency);
    if !amount.is_positive() {
        return Err(vec![Rejection::AmountNotPositive]);
    }
    if amount.currency != most.currency || amount.minor > most.minor {
        return Err(vec![Rejection::RefundAmount { amount, most, order: id, shipment }]);
    }
    // A lower price has less tax in it, and less that the platform paid.
    let part = |minor| Money::new(fees::part(minor, amount.minor, held), amount.currency);
    let (tax, subsidy) = (part(sent.tax_minor), part(order.share_of(shipment).held_minor));
    let reason = command.reason.as_str().to_owned();
    let (to_platform, refunded) =
        Settlement::of(market, id, order).pay_back(amount.minor - subsidy.minor, subsidy.minor);
    let returned = give_back(market, id, order, &refunded);
    let some = |money| Some(money).filter(Money::is_positive);
    let (tax, subsidy) = (some(tax), some(subsidy));
    let given = Refunded { amount, by, order: id, reason, shipment, subsidy, tax }.into();
    Ok([given].into_iter().chain(to_platform).chain([refunded]).chain(returned).collect())
}
