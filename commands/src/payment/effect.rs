//! What a provider still has to be asked for. Known from the state at a start, and from each event after it.

use events::Timestamp;
use events::ids::{AccountId, ChargebackId, PaymentId, PayoutId, RefundId};
use events::{Event, Money};
use uuid::Uuid;

use super::{Payment, Payments, Refund, Stage, Taking};
use crate::chargeback::Evidence;

/// Names an effect: a payment, a refund or a payout wants one thing of its provider at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectId {
    /// What a payment wants.
    Payment(PaymentId),
    /// What a refund wants.
    Refund(RefundId),
    /// What a payout wants.
    Payout(PayoutId),
    /// What a dispute wants.
    Chargeback(ChargebackId),
}

/// What a provider is to be asked for, until it has said what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// About a payment or its refund.
    Payment(PaymentEffect),
    /// About a payout.
    Payout(PayoutEffect),
    /// About a dispute.
    Chargeback(ChargebackEffect),
}

/// What a provider is to be asked for about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentEffect {
    /// The provider's account.
    pub provider: AccountId,
    /// The payment.
    pub payment: PaymentId,
    /// What is wanted.
    pub wish: Wish,
}

/// What a provider is to pay out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutEffect {
    /// The provider's account.
    pub provider: AccountId,
    /// The payout.
    pub payout: PayoutId,
    /// How much.
    pub amount: Money,
    /// What the provider knows the seller's bank account by.
    pub token: Box<str>,
}

/// What a provider is to be asked for about a dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargebackEffect {
    /// The provider's account.
    pub provider: AccountId,
    /// The payment.
    pub payment: PaymentId,
    /// The dispute.
    pub chargeback: ChargebackId,
    /// The provider's reference of the dispute.
    pub reference: Box<str>,
    /// What is wanted.
    pub wish: ChargebackWish,
}

/// What is wanted of a provider about a dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargebackWish {
    /// Say how it stands: a message about it may be lost.
    Watch,
    /// Give this to the bank.
    Submit(Box<Evidence>),
    /// Do not fight it.
    Accept,
}

/// What is wanted of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Hold this much of what the token names.
    Authorize {
        /// How much.
        amount: Money,
        /// The means of payment.
        token: Box<str>,
    },
    /// Say whether the buyer has acted.
    Await {
        /// The provider's reference.
        reference: Box<str>,
    },
    /// Say whether it still holds what it is to take when the seller is about to ship.
    Watch {
        /// The provider's reference.
        reference: Box<str>,
    },
    /// Take what is held.
    Capture {
        /// How much.
        amount: Money,
        /// The provider's reference.
        reference: Box<str>,
    },
    /// Let go of what is held, if anything is.
    Void,
    /// Give back a part of what was taken.
    Refund {
        /// The refund.
        refund: RefundId,
        /// How much.
        amount: Money,
        /// The provider's reference of the payment.
        reference: Box<str>,
    },
}

impl Effect {
    /// Gives the provider's account.
    pub const fn provider(&self) -> AccountId {
        match self {
            Effect::Payment(effect) => effect.provider,
            Effect::Payout(effect) => effect.provider,
            Effect::Chargeback(effect) => effect.provider,
        }
    }

    /// Gives the id of the payment or payout.
    pub const fn about(&self) -> Uuid {
        match self {
            Effect::Payment(effect) => effect.payment.uuid(),
            Effect::Payout(effect) => effect.payout.uuid(),
            Effect::Chargeback(effect) => effect.chargeback.uuid(),
        }
    }

    /// Gives when the payment or payout was asked for; none, if its id does not tell.
    pub fn asked_at(&self) -> Option<Timestamp> {
        match self {
            Effect::Payment(effect) => effect.payment.time(),
            Effect::Payout(effect) => effect.payout.time(),
            Effect::Chargeback(effect) => effect.chargeback.time(),
        }
    }

    /// Tells whether a provider is only asked now and then whether anything has changed.
    pub const fn is_watch(&self) -> bool {
        matches!(
            self,
            Effect::Payment(PaymentEffect { wish: Wish::Watch { .. }, .. })
                | Effect::Chargeback(ChargebackEffect { wish: ChargebackWish::Watch, .. })
        )
    }

    /// Gives what is wanted behind an event: of whom, and what, if anything. `None`: the event is about no payment.
    pub fn behind(event: &Event) -> Option<(EffectId, Option<Effect>)> {
        let wanted = |payment, provider, wish| {
            let effect = Effect::Payment(PaymentEffect { provider, payment, wish });
            Some((EffectId::Payment(payment), Some(effect)))
        };
        let done = |payment| Some((EffectId::Payment(payment), None));
        let about = |chargeback, payment, provider, reference: &str, wish| {
            let reference = reference.into();
            let effect = ChargebackEffect { provider, payment, chargeback, reference, wish };
            Some((EffectId::Chargeback(chargeback), Some(Effect::Chargeback(effect))))
        };
        let watch = ChargebackWish::Watch;
        match event {
            Event::PaymentRequested(e) => {
                let token = e.token.as_str().into();
                wanted(e.payment, e.provider, Wish::Authorize { amount: e.amount, token })
            }
            Event::PaymentActionRequired(e) => {
                wanted(e.payment, e.provider, Wish::Await { reference: e.reference.as_str().into() })
            }
            Event::PaymentAuthorized(e) => {
                let reference = e.reference.as_str().into();
                let wish = match e.waits_until {
                    Some(_) => Wish::Watch { reference },
                    None => Wish::Capture { amount: e.amount, reference },
                };
                wanted(e.payment, e.provider, wish)
            }
            Event::PaymentCaptureRequested(e) => {
                let reference = e.reference.as_str().into();
                wanted(e.payment, e.provider, Wish::Capture { amount: e.amount, reference })
            }
            Event::PaymentVoidRequested(e) => wanted(e.payment, e.provider, Wish::Void),
            Event::PaymentCaptured(e) => done(e.payment),
            Event::PaymentFailed(e) => done(e.payment),
            Event::PaymentVoided(e) => done(e.payment),
            Event::RefundRequested(e) => {
                let (refund, amount) = (e.refund, e.transfer.amount);
                let wish = Wish::Refund { refund, amount, reference: e.reference.as_str().into() };
                let effect = PaymentEffect { provider: e.provider, payment: e.payment, wish };
                Some((EffectId::Refund(refund), Some(Effect::Payment(effect))))
            }
            Event::PaymentRefunded(e) => Some((EffectId::Refund(e.refund), None)),
            Event::RefundFailed(e) => Some((EffectId::Refund(e.refund), None)),
            Event::ChargebackInquired(e) => about(e.chargeback, e.payment, e.provider, &e.reference, watch),
            Event::ChargebackOpened(e) => about(e.chargeback, e.payment, e.provider, &e.reference, watch),
            Event::ChargebackPastDue(e) => about(e.chargeback, e.payment, e.provider, &e.reference, watch),
            Event::ChargebackUpdated(e) if e.answered => {
                about(e.chargeback, e.payment, e.provider, &e.reference, watch)
            }
            Event::EvidenceSubmitted(e) => {
                let evidence = Evidence { files: e.files.clone(), statement: e.statement.clone() };
                let wish = ChargebackWish::Submit(Box::new(evidence));
                about(e.chargeback, e.payment, e.provider, &e.reference, wish)
            }
            Event::ChargebackAccepted(e) => {
                about(e.chargeback, e.payment, e.provider, &e.reference, ChargebackWish::Accept)
            }
            Event::InquiryClosed(e) => Some((EffectId::Chargeback(e.chargeback), None)),
            Event::ChargebackWon(e) => Some((EffectId::Chargeback(e.chargeback), None)),
            Event::ChargebackLost(e) => Some((EffectId::Chargeback(e.chargeback), None)),
            Event::PayoutRequested(e) => {
                let (provider, payout, amount) = (e.provider, e.payout, e.transfer.amount);
                let effect = PayoutEffect { provider, payout, amount, token: e.token.as_str().into() };
                Some((EffectId::Payout(payout), Some(Effect::Payout(effect))))
            }
            Event::PayoutPaid(e) => Some((EffectId::Payout(e.payout), None)),
            Event::PayoutFailed(e) => Some((EffectId::Payout(e.payout), None)),
            Event::PayoutReturned(e) => Some((EffectId::Payout(e.payout), None)),
            _ => None,
        }
    }
}

impl Payments {
    /// Gives all that providers have been asked for and have not answered.
    pub fn effects(&self) -> Vec<(EffectId, Effect)> {
        let payments = self.open.iter().map(|(id, payment)| {
            let Payment { provider, .. } = *payment;
            let effect = PaymentEffect { provider, payment: *id, wish: wish(payment) };
            (EffectId::Payment(*id), Effect::Payment(effect))
        });
        let refunds = self.refunds.iter().map(|(id, refund)| {
            let Refund { payment, provider, amount, .. } = *refund;
            let wish = Wish::Refund { refund: *id, amount, reference: refund.reference.clone() };
            (EffectId::Refund(*id), Effect::Payment(PaymentEffect { provider, payment, wish }))
        });
        payments.chain(refunds).chain(self.chargebacks.effects()).collect()
    }
}

/// Gives what a payment wants of its provider.
fn wish(payment: &Payment) -> Wish {
    match &payment.stage {
        Stage::Requested { token, .. } => Wish::Authorize { amount: payment.amount, token: token.clone() },
        Stage::ActionRequired { reference, .. } => Wish::Await { reference: reference.clone() },
        Stage::Authorized { reference, taking: Taking::Asked { amount }, .. } => {
            Wish::Capture { amount: *amount, reference: reference.clone() }
        }
        Stage::Authorized { reference, taking: Taking::Waits { .. }, .. } => {
            Wish::Watch { reference: reference.clone() }
        }
        Stage::Voiding { .. } => Wish::Void,
    }
}
