//! Facts of payments through an outside provider.
//!
//! Money moves with [`Captured`], [`RefundRequested`], [`Refunded`] and [`RefundFailed`]; each of them holds its own
//! posting. Whatever closes a payment holds all that must be known of it later, when it is no longer in memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, OrderId, PaymentId, RefundId};
use crate::ledger::{LedgerAccount, Transfer};
use crate::money::Money;
use crate::time::Timestamp;

/// When a payment through a provider is taken, once the provider holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureTime {
    /// As soon as the provider holds it.
    #[default]
    AtOnce,
    /// When the seller is about to ship; if he is not before the provider lets go of it, the order is cancelled.
    OnShip,
    /// When the seller is about to ship, and at the latest before the provider lets go of it.
    OnShipOrExpiry,
}

impl CaptureTime {
    /// Tells whether nothing is waited for: such a payment does not say when it is taken.
    pub fn is_at_once(&self) -> bool {
        *self == CaptureTime::AtOnce
    }
}

/// A buyer asked a provider for money: from here on the provider is asked until it has said what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requested {
    /// Who pays.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// When it is to be taken.
    #[serde(default, skip_serializing_if = "CaptureTime::is_at_once")]
    pub capture: CaptureTime,
    /// When the payment is given up unless the provider has agreed.
    pub expires_at: Timestamp,
    /// The orders that wait for it; none for a payment into the wallet alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderId>,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The payment that a provider holds for the order and that ends when this one is held, whole and for longer; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PaymentId>,
    /// Where the money goes.
    pub to: LedgerAccount,
    /// What the provider knows the buyer's means of payment by; never a card's number.
    pub token: String,
}

/// What a buyer has to do before his bank agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Confirm the payment with his bank (3-D Secure).
    #[serde(rename = "3ds")]
    ThreeDs,
    /// Confirm it with a second factor.
    Mfa,
    /// Go to a page of the provider.
    Redirect,
}

impl std::fmt::Display for ActionKind {
    /// Writes the word that stands for it in JSON.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ActionKind::ThreeDs => "3ds",
            ActionKind::Mfa => "mfa",
            ActionKind::Redirect => "redirect",
        })
    }
}

/// The provider waits for the buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionRequired {
    /// Who pays.
    pub account: AccountId,
    /// When the payment is given up unless the buyer has acted.
    pub expires_at: Timestamp,
    /// What he has to do.
    pub kind: ActionKind,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the payment.
    pub reference: String,
    /// Where he does it, if that is a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The provider holds the money for the market and will give it when it is captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authorized {
    /// Who pays.
    pub account: AccountId,
    /// How much is held.
    pub amount: Money,
    /// When the provider lets go of it.
    pub capture_before: Timestamp,
    /// When it is told that the time it waits for is about to end; absent: it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiring_at: Option<Timestamp>,
    /// The payment.
    pub payment: PaymentId,
    /// What the ledger expects of it, from the provider's clearing account to where the money goes. It ends once: with the
    /// payment's capture, failure or voiding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Transfer>,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the payment.
    pub reference: String,
    /// It is not taken before the seller is about to ship, and until when it waits for that; absent: it is taken at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
}

/// What the provider holds is to be taken, all of it or a part: from here on the provider is asked for it until it has said
/// what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureRequested {
    /// Who pays.
    pub account: AccountId,
    /// How much is to be taken.
    pub amount: Money,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the payment.
    pub reference: String,
}

/// Why a payment is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    /// The buyer cancelled it.
    Cancelled,
    /// Nobody had agreed to it in time.
    RequestExpired,
    /// What was held was not captured in time.
    AuthorizationExpired,
    /// Another payment is held in its place.
    Replaced,
}

impl std::fmt::Display for VoidReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            VoidReason::Cancelled => "it was cancelled",
            VoidReason::RequestExpired => "nobody agreed to it in time",
            VoidReason::AuthorizationExpired => "what was held was not taken in time",
            VoidReason::Replaced => "another payment is held in its place",
        })
    }
}

/// The payment is to be given up: from here on the provider is told so until it has said what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoidRequested {
    /// Who pays.
    pub account: AccountId,
    /// Why.
    pub because: VoidReason,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
}

/// The provider took the money for the market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Captured {
    /// Who paid.
    pub account: AccountId,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the payment; each credits once, for ever.
    pub reference: String,
    /// From the provider's clearing account to where the money goes.
    pub transfer: Transfer,
}

/// The provider refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    /// Who wanted to pay.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// Why, in the provider's words for programs.
    pub code: String,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// Whether another try, with the same or another means of payment, may go well.
    pub retryable: bool,
}

/// The payment was given up, and nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Voided {
    /// Who wanted to pay.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub because: VoidReason,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
}

/// A part of a captured payment is to go back: from here on the provider is asked until it has said what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundRequested {
    /// Who had paid.
    pub account: AccountId,
    /// What was captured.
    pub captured: Money,
    /// The order that pays it back; absent: its buyer or an operator asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the payment.
    pub reference: String,
    /// The refund.
    pub refund: RefundId,
    /// What of the payment has gone back or is on its way, this included.
    pub refunded: Money,
    /// From the wallet to `refunds:payable`.
    pub transfer: Transfer,
}

/// The provider gave the money back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refunded {
    /// Who had paid.
    pub account: AccountId,
    /// The payment.
    pub payment: PaymentId,
    /// The refund.
    pub refund: RefundId,
    /// The provider's reference of the refund.
    pub reference: String,
    /// From `refunds:payable` to the provider's clearing account.
    pub transfer: Transfer,
}

/// The provider could not give the money back: it is in the wallet again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundFailed {
    /// Who had paid.
    pub account: AccountId,
    /// What was captured.
    pub captured: Money,
    /// Why, in the provider's words for programs.
    pub code: String,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the payment.
    pub reference: String,
    /// The refund.
    pub refund: RefundId,
    /// What of the payment has gone back or is on its way, without this one.
    pub refunded: Money,
    /// From `refunds:payable` to the wallet.
    pub transfer: Transfer,
}
