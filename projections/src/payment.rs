//! Payments through providers, with what is left of each and how far it is; payouts; and what differs between providers' files
//! and the ledger.

mod breaks;
mod chargeback;
mod payout;

use std::collections::BTreeMap;

use events::ids::{AccountId, ChargebackId, OrderId, PaymentId, RefundId};
use events::payment::{ActionKind, VoidReason};
use events::{Commit, Event, Money, Position, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::store::Slot;
use crate::table::{Layout, Table};
use crate::view::{Fold, ViewError};

use self::breaks::BreakFold;
pub use self::breaks::{BREAKS_PER_PAGE_MAX, BreakPage, BreakState, ReconciliationBreak, Resolution};
use self::chargeback::ChargebackFold;
pub use self::chargeback::{
    CHARGEBACKS_LOOKED_AT_MAX, CHARGEBACKS_PER_PAGE_MAX, Chargeback, ChargebackFilter, ChargebackPage,
    DisputedOrder, Evidence,
};
use self::payout::PayoutFold;
pub use self::payout::{PAYOUTS_PER_PAGE_MAX, Payout, PayoutPage, PayoutState};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 5;

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// The payment.
    pub payment: PaymentId,
    /// Who pays.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// How much was asked for.
    pub amount: Money,
    /// The orders that it was asked for; none for a payment into the wallet alone.
    pub orders: Vec<OrderId>,
    /// The payment in whose place it was asked for, which stands until this one is held.
    pub replaces: Option<PaymentId>,
    /// How far it is.
    pub state: PaymentStage,
    /// What has come in.
    pub captured: Money,
    /// What of that has gone back.
    pub refunded: Money,
    /// Refunds by their id.
    pub refunds: BTreeMap<RefundId, Refund>,
    /// What banks dispute of it and have not decided about.
    pub disputed: Money,
    /// What banks gave back of it.
    pub charged_back: Money,
    /// What banks dispute or disputed of it, or asked about, oldest first.
    pub chargebacks: Vec<ChargebackId>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When anything last happened to it.
    pub changed_at: Timestamp,
}

/// How far a payment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStage {
    /// The provider is asked.
    Requested {
        /// Until when.
        expires_at: Timestamp,
    },
    /// The provider waits for the buyer.
    ActionRequired {
        /// What he has to do.
        kind: ActionKind,
        /// Where he does it, if that is a page.
        url: Option<String>,
        /// Until when.
        expires_at: Timestamp,
    },
    /// The provider holds the money.
    Authorized {
        /// How much.
        amount: Money,
        /// Until when.
        capture_before: Timestamp,
    },
    /// It is being given up.
    Voiding {
        /// Why.
        because: VoidReason,
    },
    /// The money has come in.
    Captured,
    /// The money has come in and gone back, a part of it or all.
    Refunded,
    /// The provider refused.
    Failed {
        /// Why, in the provider's words for programs.
        code: String,
        /// Whether another try may go well.
        retryable: bool,
    },
    /// It was given up.
    Voided {
        /// Why.
        because: VoidReason,
    },
}

/// A part of a payment that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refund {
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub state: RefundState,
}

/// How far a refund is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    /// The provider is asked.
    Requested,
    /// The money has gone back.
    Refunded,
    /// The money is in the wallet again.
    Failed {
        /// Why, in the provider's words for programs.
        code: String,
    },
}

const PAYMENTS: Layout<PaymentId, Payment> = Layout::new(b'p', VERSION);

/// Answers about payments.
#[derive(Clone, Copy)]
pub struct Payments<'a>(&'a Slot);

impl<'a> Payments<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Payments(slot)
    }

    /// Gives a payment.
    pub fn payment(&self, payment: PaymentId) -> Result<Option<Payment>, ViewError> {
        PAYMENTS.get(&self.0.ask()?.tree, &payment)
    }
}

/// How the view follows the log.
pub(crate) struct PaymentFold {
    payments: Table<PaymentId, Payment>,
    payouts: PayoutFold,
    breaks: BreakFold,
    chargebacks: ChargebackFold,
}

impl PaymentFold {
    pub(crate) fn new() -> Self {
        PaymentFold {
            payments: Table::new(PAYMENTS),
            payouts: PayoutFold::new(),
            breaks: BreakFold::new(),
            chargebacks: ChargebackFold::new(),
        }
    }

    fn payment(&mut self, tree: &Tree, id: PaymentId, position: Position) -> Result<&mut Payment, ViewError> {
        let missing = || ViewError::unknown(format_args!("payment {id}"), position);
        self.payments.entry(tree, &id)?.as_mut().ok_or_else(missing)
    }

    fn change(
        &mut self,
        tree: &Tree,
        event: &Event,
        position: Position,
        at: Timestamp,
    ) -> Result<(), ViewError> {
        let (id, state) = match event {
            Event::PaymentActionRequired(e) => {
                let (kind, url, expires_at) = (e.kind, e.url.clone(), e.expires_at);
                (e.payment, PaymentStage::ActionRequired { kind, url, expires_at })
            }
            Event::PaymentAuthorized(e) => {
                let (amount, capture_before) = (e.amount, e.capture_before);
                (e.payment, PaymentStage::Authorized { amount, capture_before })
            }
            Event::PaymentVoidRequested(e) => (e.payment, PaymentStage::Voiding { because: e.because }),
            Event::PaymentCaptured(e) => {
                self.payment(tree, e.payment, position)?.captured = e.transfer.amount;
                (e.payment, PaymentStage::Captured)
            }
            Event::PaymentFailed(e) => {
                (e.payment, PaymentStage::Failed { code: e.code.clone(), retryable: e.retryable })
            }
            Event::PaymentVoided(e) => (e.payment, PaymentStage::Voided { because: e.because }),
            Event::RefundRequested(e) => {
                let refund = Refund { amount: e.transfer.amount, state: RefundState::Requested };
                self.payment(tree, e.payment, position)?.refunds.insert(e.refund, refund);
                return self.touch(tree, e.payment, position, at);
            }
            Event::PaymentRefunded(e) => {
                let payment = self.payment(tree, e.payment, position)?;
                let overflow = |_| ViewError::overflow("what has gone back", position);
                payment.refunded = payment.refunded.checked_add(e.transfer.amount).map_err(overflow)?;
                if let Some(refund) = payment.refunds.get_mut(&e.refund) {
                    refund.state = RefundState::Refunded;
                }
                (e.payment, PaymentStage::Refunded)
            }
            Event::RefundFailed(e) => {
                if let Some(refund) = self.payment(tree, e.payment, position)?.refunds.get_mut(&e.refund) {
                    refund.state = RefundState::Failed { code: e.code.clone() };
                }
                return self.touch(tree, e.payment, position, at);
            }
            Event::PaymentCaptureRequested(e) => return self.touch(tree, e.payment, position, at),
            Event::ChargebackInquired(e) => {
                self.payment(tree, e.payment, position)?.chargebacks.push(e.chargeback);
                return self.touch(tree, e.payment, position, at);
            }
            Event::ChargebackOpened(e) => {
                let payment = self.payment(tree, e.payment, position)?;
                if !payment.chargebacks.contains(&e.chargeback) {
                    payment.chargebacks.push(e.chargeback);
                }
                payment.disputed.minor += e.amount.minor;
                return self.touch(tree, e.payment, position, at);
            }
            Event::ChargebackWon(e) => {
                let back: i64 = e.transfers.iter().map(|transfer| transfer.amount.minor).sum();
                self.payment(tree, e.payment, position)?.disputed.minor -= back;
                return self.touch(tree, e.payment, position, at);
            }
            Event::ChargebackLost(e) => {
                let payment = self.payment(tree, e.payment, position)?;
                payment.disputed.minor -= e.transfer.amount.minor;
                payment.charged_back.minor += e.transfer.amount.minor;
                return self.touch(tree, e.payment, position, at);
            }
            _ => return Ok(()),
        };
        self.payment(tree, id, position)?.state = state;
        self.touch(tree, id, position, at)
    }

    fn touch(
        &mut self,
        tree: &Tree,
        id: PaymentId,
        position: Position,
        at: Timestamp,
    ) -> Result<(), ViewError> {
        self.payment(tree, id, position)?.changed_at = at;
        Ok(())
    }
}

impl Fold for PaymentFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        let at = commit.time();
        for recorded in commit.events() {
            self.payouts.apply(tree, recorded)?;
            self.breaks.apply(tree, recorded)?;
            self.chargebacks.apply(tree, recorded)?;
            let Event::PaymentRequested(e) = &recorded.event else {
                self.change(tree, &recorded.event, recorded.position, at)?;
                continue;
            };
            let nothing = Money::zero(e.amount.currency);
            let payment = Payment {
                payment: e.payment,
                account: e.account,
                provider: e.provider,
                amount: e.amount,
                orders: e.orders.clone(),
                replaces: e.replaces,
                state: PaymentStage::Requested { expires_at: e.expires_at },
                captured: nothing,
                refunded: nothing,
                refunds: BTreeMap::new(),
                disputed: nothing,
                charged_back: nothing,
                chargebacks: vec![],
                requested_at: at,
                changed_at: at,
            };
            self.payments.set(e.payment, Some(payment));
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.payments.write(tree, batch)?;
        self.payouts.write(tree, batch)?;
        self.breaks.write(tree, batch)?;
        self.chargebacks.write(tree, batch)
    }
}
