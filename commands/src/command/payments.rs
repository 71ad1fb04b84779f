//! Money that arrives, and what is asked of payment providers and what they say of it.

use events::ids::{AccountId, PaymentId, PayoutId, RefundId};
use events::ledger::LedgerAccount;
use events::payment::ActionKind;
use events::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REFERENCE_LENGTH_MAX, Text, URL_LENGTH_MAX};
use crate::funding::CreditId;

/// Says that money arrived for a wallet. Given by a payment provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FundWallet {
    /// Whose wallet.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// The provider's reference of the payment; each can be used once.
    pub reference: Text<REFERENCE_LENGTH_MAX>,
}

/// What a provider knows a buyer's means of payment by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderMethod {
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's token of the card, or of whatever is paid with.
    pub token: Text<REFERENCE_LENGTH_MAX>,
}

/// Asks a provider for money, into the buyer's own wallet. The payment's id is derived from the account and the
/// command's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestPayment {
    /// How much.
    pub amount: Money,
    /// With what it is paid.
    pub method: ProviderMethod,
}

/// Gives a payment up that was not captured. Given by the buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelPayment {
    /// The payment.
    pub payment: PaymentId,
}

/// Gives a part of a captured payment back, out of the wallet and the way it came. Given by its buyer or an operator.
/// The refund's id is derived from the account and the command's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundPayment {
    /// How much.
    pub amount: Money,
    /// The payment.
    pub payment: PaymentId,
}

/// Says what a provider did about a payment. Given by the provider's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportPayment {
    /// What it did.
    pub outcome: ReportedOutcome,
    /// The payment.
    pub payment: PaymentId,
}

/// What a provider did about a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ReportedOutcome {
    /// It waits for the buyer.
    ActionRequired {
        /// What the buyer has to do.
        kind: ActionKind,
        /// The provider's reference of the payment.
        reference: Text<REFERENCE_LENGTH_MAX>,
        /// Where he does it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<Text<URL_LENGTH_MAX>>,
    },
    /// It holds the money.
    Authorized {
        /// How much.
        amount: Money,
        /// Until when.
        capture_before: Timestamp,
        /// The provider's reference of the payment.
        reference: Text<REFERENCE_LENGTH_MAX>,
    },
    /// It took the money.
    Captured {
        /// How much.
        amount: Money,
        /// The provider's reference of the payment.
        reference: Text<REFERENCE_LENGTH_MAX>,
    },
    /// It refused.
    Failed {
        /// Why, in its words for programs.
        code: Text<REFERENCE_LENGTH_MAX>,
        /// Whether another try may go well.
        retryable: bool,
    },
    /// It let go of what it held, or never held anything.
    Voided,
    /// It let go of what it held, since that was not captured in time.
    AuthorizationExpired,
    /// It gave money back.
    Refunded {
        /// The provider's reference of the refund.
        reference: Text<REFERENCE_LENGTH_MAX>,
        /// The refund.
        refund: RefundId,
    },
    /// It could not give money back.
    RefundFailed {
        /// Why, in its words for programs.
        code: Text<REFERENCE_LENGTH_MAX>,
        /// The refund.
        refund: RefundId,
    },
}

/// Asks a provider to pay out what the seller has earned, or a part of it. Given by the seller. The payout's id is derived
/// from the account and the command's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestPayout {
    /// How much.
    pub amount: Money,
    /// Where it goes: a provider, and its token of the seller's bank account.
    pub to: ProviderMethod,
}

/// Says what a provider did about a payout. Given by the provider's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportPayout {
    /// What it did.
    pub outcome: PayoutOutcome,
    /// The payout.
    pub payout: PayoutId,
}

/// What a provider did about a payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PayoutOutcome {
    /// It paid.
    Paid {
        /// The provider's reference of the payout.
        reference: Text<REFERENCE_LENGTH_MAX>,
    },
    /// It could not pay, or the bank returned it; that may come after it had paid.
    Failed {
        /// Why, in its words for programs.
        code: Text<REFERENCE_LENGTH_MAX>,
    },
}

impl ReportPayment {
    /// Names what is to be credited, if money was taken.
    pub(crate) fn credit(&self, provider: AccountId) -> Option<CreditId> {
        match &self.outcome {
            ReportedOutcome::Captured { reference, .. } => {
                Some(CreditId::new(LedgerAccount::ProviderClearing(provider), reference.as_str()))
            }
            _ => None,
        }
    }
}
