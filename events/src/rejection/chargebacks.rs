//! Why a command about a chargeback or a debt is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::ids::{AccountId, ChargebackId, OrderId, PaymentId};
use crate::money::Money;

/// A broken rule of chargebacks and debts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ChargebackRejection {
    /// There is no such chargeback of the payment.
    #[error("payment {payment} has no chargeback {chargeback}: see GET /v1/chargebacks")]
    ChargebackUnknown {
        /// The chargeback named.
        chargeback: ChargebackId,
        /// The payment named.
        payment: PaymentId,
    },
    /// The chargeback is in a state in which this can't happen.
    #[error("chargeback {chargeback} is {state:?}")]
    ChargebackState {
        /// The chargeback.
        chargeback: ChargebackId,
        /// Its state.
        state: ChargebackState,
    },
    /// It is about other sellers' orders, too, or about none of the asker's.
    #[error("chargeback {chargeback} is not about your orders alone: give what you have to an operator")]
    NotYourChargeback {
        /// The chargeback.
        chargeback: ChargebackId,
    },
    /// The provider takes evidence once.
    #[error("evidence of chargeback {chargeback} was given already: a provider takes it once")]
    EvidenceGiven {
        /// The chargeback.
        chargeback: ChargebackId,
    },
    /// The time to give evidence is over.
    #[error("the provider takes no evidence of chargeback {chargeback} any more: its time is over")]
    EvidenceLate {
        /// The chargeback.
        chargeback: ChargebackId,
    },
    /// Evidence needs something to be given.
    #[error(
        "give a statement or at least one file, each kind of file once, together at most {bytes_max} bytes"
    )]
    EvidenceForm {
        /// Most bytes of all files together.
        bytes_max: u32,
    },
    /// More is disputed than came in, or nothing, or in another currency.
    #[error(
        "{amount} of payment {payment} can't be disputed: at most {most} came in that is not disputed already. See what the provider \
         says of it, and what `skylink reconcile` finds"
    )]
    ChargebackAmount {
        /// What the provider says.
        amount: Money,
        /// The most.
        most: Money,
        /// The payment.
        payment: PaymentId,
    },
    /// The order stands still until a bank has decided.
    #[error(
        "the buyer's bank disputes the payment of order {order}: nothing of it moves until that is decided"
    )]
    PaymentDisputed {
        /// The order.
        order: OrderId,
    },
    /// Less is owed.
    #[error("as {role} {owed} is owed: name at most that")]
    DebtAmount {
        /// What is owed.
        owed: Money,
        /// In which role.
        role: Role,
    },
    /// The same operator can't propose and agree.
    #[error(
        "you proposed this yourself: so much is only written off when another operator writes off the same of this debt"
    )]
    DebtFourEyes {
        /// Whose debt.
        account: AccountId,
    },
    /// Who owes is a buyer or a seller.
    #[error("only what somebody owes as a buyer or as a seller is written off")]
    DebtRole,
}

/// Where a chargeback stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChargebackState {
    /// The bank asks, and waits for an answer.
    Inquiry,
    /// The bank asks, and looks at the answer.
    InquiryUnderReview,
    /// The bank asked, and disputes nothing.
    InquiryClosed,
    /// The bank disputes it, and waits for evidence.
    NeedsResponse,
    /// The bank looks at the evidence.
    UnderReview,
    /// It was accepted: it is being lost.
    Accepted,
    /// The bank decided for the market.
    Won,
    /// The bank decided for the buyer.
    Lost,
}
