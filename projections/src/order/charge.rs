//! What banks dispute of an order's payment, as the order shows it.

use events::chargeback::{ChargebackReason, OrderChargedBack, OrderResumed};
use events::ids::{ChargebackId, OrderId, PaymentId};
use events::ledger::{LedgerAccount, Transfer};
use events::{Event, Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::Tree;

use super::fold::{OrderFold, add, return_subsidy, set_due};
use super::{Order, Step, TimelineEntry, returns};
use crate::view::ViewError;

/// What of an order a bank disputes, or disputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderChargeback")]
pub struct Charge {
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// The payment.
    pub payment: PaymentId,
    /// How much of the order.
    pub amount: Money,
    /// Why.
    pub reason: ChargebackReason,
    /// How far it is.
    pub state: ChargeState,
    /// When the money was taken.
    pub opened_at: Timestamp,
    /// When the bank decided.
    pub decided_at: Option<Timestamp>,
}

/// How far what a bank disputes of an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChargeState {
    /// The bank has not decided, and the order stands still.
    Disputed,
    /// The bank decided for the market.
    Won,
    /// The bank decided for the buyer; the order, if it is open, stands still for something else.
    Lost,
    /// The bank decided for the buyer, and the order goes on without the money.
    ChargedBack,
}

impl Order {
    /// Sums what of it banks dispute and what they gave back, in minor units.
    pub(super) fn charged(&self) -> (i64, i64) {
        let sum = |is_it: fn(ChargeState) -> bool| {
            let charges = self.chargebacks.iter().filter(|charge| is_it(charge.state));
            charges.map(|charge| charge.amount.minor).sum()
        };
        let is_lost = |state| matches!(state, ChargeState::Lost | ChargeState::ChargedBack);
        (sum(|state| state == ChargeState::Disputed), sum(is_lost))
    }

    fn charge_mut(&mut self, chargeback: ChargebackId) -> Option<&mut Charge> {
        self.chargebacks.iter_mut().rfind(|charge| charge.chargeback == chargeback)
    }

    /// Lets it go on that nothing stops any more.
    pub(super) fn go_on(&mut self, since: Timestamp, time: Timestamp) {
        self.stopped_since = None;
        returns::extend(self, time.ms_since(since));
    }

    /// Tells whether a bank gave something back that is not taken off it yet.
    pub(super) fn is_losing(&self) -> bool {
        self.closed_at.is_none() && self.chargebacks.iter().any(|charge| charge.state == ChargeState::Lost)
    }
}

/// Takes what a chargeback takes of an order's escrow out of it, or with a sign of -1 gives it back.
fn take(order: &mut Order, id: OrderId, transfers: &[Transfer], sign: i64) -> Option<()> {
    let sum = |account: LedgerAccount| -> i64 {
        let own = transfers.iter().filter(|transfer| transfer.from == account || transfer.to == account);
        sign * own.map(|transfer| transfer.amount.minor).sum::<i64>()
    };
    let (escrow, dispute) = (sum(LedgerAccount::Escrow(id)), sum(LedgerAccount::Dispute(id)));
    add(&mut order.escrow.refunded, escrow + dispute)?;
    add(&mut order.escrow.charged_back, escrow + dispute)?;
    add(&mut order.escrow.remaining, -escrow)?;
    add(&mut order.escrow.frozen, -dispute)
}

fn resume(order: &mut Order, event: &OrderResumed, time: Timestamp) -> Option<()> {
    let since = order.stopped_since?;
    order.go_on(since, time);
    event.deadlines.iter().try_for_each(|stamp| set_due(order, *stamp))
}

fn charge_back(order: &mut Order, event: &OrderChargedBack, time: Timestamp) -> Option<()> {
    for transfer in &event.transfers {
        let minor = transfer.amount.minor;
        match transfer.to {
            LedgerAccount::PlatformPromotions => {
                return_subsidy(&mut order.escrow, minor)?;
                add(&mut order.escrow.remaining, -minor)?;
            }
            _ => {
                add(&mut order.escrow.frozen, -minor)?;
                add(&mut order.escrow.remaining, minor)?;
            }
        }
    }
    for shipment in &event.unfrozen_of {
        order.shipments.get_mut(shipment.index())?.frozen = None;
    }
    for cut in &event.cuts {
        add(&mut order.shipments.get_mut(cut.shipment.index())?.charged_back, cut.amount.minor)?;
    }
    for number in &event.returns {
        returns::overtake(order, *number, time)?;
    }
    if event.lapsed.is_some() {
        order.change = None;
    }
    for chargeback in &event.chargebacks {
        order.charge_mut(*chargeback)?.state = ChargeState::ChargedBack;
    }
    let since = order.stopped_since?;
    order.go_on(since, time);
    event.deadlines.iter().try_for_each(|stamp| set_due(order, *stamp))
}

impl OrderFold {
    /// Follows an event about what banks dispute, and tells whether it is one.
    pub(super) fn apply_charge(
        &mut self,
        tree: &Tree,
        event: &Event,
        time: Timestamp,
        entry: &returns::Entry<'_>,
    ) -> Result<bool, ViewError> {
        let told = |step, amount: Money| -> TimelineEntry { entry(step, None, Some(amount.to_string())) };
        match event {
            Event::ChargebackOpened(opened) => {
                for charged in opened.orders.iter().filter(|charged| charged.amount.is_positive()) {
                    let charge = Charge {
                        chargeback: opened.chargeback,
                        payment: opened.payment,
                        amount: charged.amount,
                        reason: opened.reason,
                        state: ChargeState::Disputed,
                        opened_at: time,
                        decided_at: None,
                    };
                    let note = Some(format!("{}: {}", charged.amount, opened.reason));
                    let entry = entry(Step::ChargebackOpened, None, note);
                    self.change(tree, charged.order, entry, |order| {
                        order.chargebacks.push(charge);
                        if order.closed_at.is_none() {
                            let since = order.hold.map_or(time, |hold| hold.since);
                            order.stopped_since.get_or_insert(since);
                        }
                        take(order, charged.order, &opened.transfers, 1)
                    })?;
                }
            }
            Event::ChargebackWon(won) => {
                for charged in won.orders.iter().filter(|charged| charged.amount.is_positive()) {
                    let entry = told(Step::ChargebackWon, charged.amount);
                    self.change(tree, charged.order, entry, |order| {
                        let charge = order.charge_mut(won.chargeback)?;
                        (charge.state, charge.decided_at) = (ChargeState::Won, Some(time));
                        take(order, charged.order, &won.transfers, -1)
                    })?;
                }
            }
            Event::ChargebackLost(lost) => {
                for charged in lost.orders.iter().filter(|charged| charged.amount.is_positive()) {
                    let entry = told(Step::ChargebackLost, charged.amount);
                    self.change(tree, charged.order, entry, |order| {
                        let charge = order.charge_mut(lost.chargeback)?;
                        (charge.state, charge.decided_at) = (ChargeState::Lost, Some(time));
                        Some(())
                    })?;
                }
            }
            Event::OrderResumed(resumed) => {
                let entry = entry(Step::Resumed, None, None);
                self.change(tree, resumed.order, entry, |order| resume(order, resumed, time))?;
            }
            Event::OrderChargedBack(charged) => {
                let entry = told(Step::ChargedBack, charged.amount);
                self.change(tree, charged.order, entry, |order| charge_back(order, charged, time))?;
                self.list_returning(tree, charged.order)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
