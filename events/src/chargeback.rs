//! Facts of payments that the buyer's bank disputes. An inquiry asks, and moves nothing. A chargeback takes money back at the
//! provider: from here on it is no longer where it was, until the bank has decided. What was decided before another bank may be
//! decided again, once.
//!
//! Money moves with [`Opened`], [`FeeCharged`], [`Won`], [`Lost`], [`Covered`] and [`OrderChargedBack`]; each holds its own
//! postings. What ends a chargeback holds all that must be known of it later, when it is no longer in memory.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::hash::Hash;
use crate::ids::{AccountId, ChangeId, ChargebackId, OrderId, PaymentId};
use crate::ledger::{LedgerAccount, Transfer};
use crate::metadata::DeadlineStamp;
use crate::money::Money;
use crate::order::ShipmentNumber;
use crate::returns::ReturnNumber;
use crate::time::Timestamp;

/// Why a buyer's bank disputes a payment: what the networks' own codes come down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChargebackReason {
    /// The goods did not arrive.
    ItemNotReceived,
    /// They are not what was bought.
    NotAsDescribed,
    /// They are damaged.
    Damaged,
    /// They are something else.
    WrongItem,
    /// They are forged.
    Counterfeit,
    /// The card's owner did not pay.
    Unauthorized,
    /// It was paid twice.
    Duplicate,
    /// It was cancelled, and the money was not given back.
    CancelledNotRefunded,
    /// The goods, or the payment itself, came too late.
    Late,
    /// Anything else, or the provider does not say.
    Other,
}

impl fmt::Display for ChargebackReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChargebackReason::ItemNotReceived => "item not received",
            ChargebackReason::NotAsDescribed => "not as described",
            ChargebackReason::Damaged => "damaged",
            ChargebackReason::WrongItem => "wrong item",
            ChargebackReason::Counterfeit => "counterfeit",
            ChargebackReason::Unauthorized => "unauthorized",
            ChargebackReason::Duplicate => "duplicate",
            ChargebackReason::CancelledNotRefunded => "cancelled, not refunded",
            ChargebackReason::Late => "late",
            ChargebackReason::Other => "other",
        })
    }
}

/// Which time a bank disputes a payment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// The first time.
    #[default]
    First,
    /// After the first chargeback was won: what is decided now stands.
    Second,
}

impl Round {
    /// Tells whether it is the first time, of which nothing is said.
    pub fn is_first(&self) -> bool {
        *self == Round::First
    }
}

/// What a bank asks or disputes, as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inquired {
    /// Who had paid.
    pub account: AccountId,
    /// How much the bank asks about.
    pub amount: Money,
    /// What was captured of the payment.
    pub captured: Money,
    /// The chargeback that this may become.
    pub chargeback: ChargebackId,
    /// Until when the provider takes an answer, as it says; absent: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
    /// The network's own code of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_reason: Option<String>,
    /// The orders that were paid with the payment, closed ones too.
    pub orders: Vec<PaidPart>,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's reference of the payment.
    pub payment_reference: String,
    /// The provider's account.
    pub provider: AccountId,
    /// Why.
    pub reason: ChargebackReason,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// What of the payment has gone back or is on its way.
    pub refunded: Money,
}

/// The bank asked, and disputes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InquiryClosed {
    /// Who had paid.
    pub account: AccountId,
    /// The chargeback that it did not become.
    pub chargeback: ChargebackId,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
}

/// What of a payment is in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaidPart {
    /// The order.
    pub order: OrderId,
    /// How much of the payment it got and has not given back the way it came.
    pub paid: Money,
    /// Who sold it.
    pub seller: AccountId,
}

/// What of a chargeback is about one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChargedOrder {
    /// How much; what of it was in its escrow and not paid to its seller, the transfers tell.
    pub amount: Money,
    /// The order.
    pub order: OrderId,
    /// How much of the payment it got and has not given back the way it came.
    pub paid: Money,
    /// Who sold it.
    pub seller: AccountId,
}

/// The provider took money back, since the buyer's bank disputes the payment. What was in escrow is taken from there, what was
/// released from what its seller has kept, has, and what is short he owes; what no order took from the buyer's wallet.
/// The orders stand still until the bank has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// Who had paid.
    pub account: AccountId,
    /// What of it the platform advances, since as much of the payment is on its way back or has gone back already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Money>,
    /// How much is disputed.
    pub amount: Money,
    /// What was captured of the payment.
    pub captured: Money,
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// Until when the provider takes evidence, as it says; absent: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
    /// Until when was kept what is taken from sellers' reserves: for each transfer from one, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_until: Vec<Timestamp>,
    /// The network's own code of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_reason: Option<String>,
    /// What of it is about which order, closed ones too.
    pub orders: Vec<ChargedOrder>,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's reference of the payment.
    pub payment_reference: String,
    /// The provider's account.
    pub provider: AccountId,
    /// Why.
    pub reason: ChargebackReason,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// What of the payment has gone back or is on its way.
    pub refunded: Money,
    /// Whether it is the first time.
    #[serde(default, skip_serializing_if = "Round::is_first")]
    pub round: Round,
    /// How often the provider has taken evidence.
    pub submissions: u32,
    /// From where it was to `psp:<provider>:chargebacks`.
    pub transfers: Vec<Transfer>,
}

/// How far the bank is, while it has not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It waits for an answer.
    NeedsResponse,
    /// It has an answer, or needs none.
    UnderReview,
}

/// The provider says something new of an inquiry or a chargeback on which the bank has not decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Updated {
    /// Whether the provider has an answer, or wants none any more.
    pub answered: bool,
    /// The chargeback, or the inquiry that may become one.
    pub chargeback: ChargebackId,
    /// Until when the provider takes an answer, as it says; absent: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
    /// The payment.
    pub payment: PaymentId,
    /// How far the bank is.
    pub progress: Progress,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// Whether it is the first time.
    #[serde(default, skip_serializing_if = "Round::is_first")]
    pub round: Round,
    /// How often the provider has taken evidence.
    pub submissions: u32,
}

/// What a file of evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// The carrier's scans.
    Tracking,
    /// That it was delivered: a signature, a photo.
    ProofOfDelivery,
    /// What was offered.
    ListingSnapshot,
    /// What was sent.
    Photos,
    /// What buyer and seller wrote.
    Messages,
    /// What the buyer was told of refunds and cancellations.
    PolicyDisclosure,
    /// How the buyer was authenticated: address and code checks, 3-D Secure.
    Authentication,
    /// From which devices and addresses the buyer has bought before.
    DeviceHistory,
    /// That the money was given back.
    RefundProof,
    /// The receipt.
    Receipt,
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EvidenceKind::Tracking => "tracking",
            EvidenceKind::ProofOfDelivery => "proof of delivery",
            EvidenceKind::ListingSnapshot => "listing snapshot",
            EvidenceKind::Photos => "photos",
            EvidenceKind::Messages => "messages",
            EvidenceKind::PolicyDisclosure => "policy disclosure",
            EvidenceKind::Authentication => "authentication",
            EvidenceKind::DeviceHistory => "device history",
            EvidenceKind::RefundProof => "refund proof",
            EvidenceKind::Receipt => "receipt",
        })
    }
}

/// Of what sort a file of evidence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MediaType {
    /// A document.
    #[serde(rename = "application/pdf")]
    Pdf,
    /// A photo.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// A picture.
    #[serde(rename = "image/png")]
    Png,
}

/// A file that was given to the provider, which the market knows by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceFile {
    /// How large it is, in bytes.
    pub bytes: u32,
    /// The SHA-256 of it.
    pub hash: Hash,
    /// What it shows.
    pub kind: EvidenceKind,
    /// Of what sort it is.
    pub media_type: MediaType,
    /// What the provider knows it by.
    pub token: String,
}

/// Evidence is to be given to the provider, once: from here on it is told so until it has taken it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceSubmitted {
    /// In which role somebody gives it: seller or operator.
    pub by: Role,
    /// The chargeback, or the inquiry that may become one.
    pub chargeback: ChargebackId,
    /// The files.
    pub files: Vec<EvidenceFile>,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// What is to be said; absent: nothing beside the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// Nobody is to fight a chargeback: the provider is told so until it says that it is lost. Nobody can take that back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// In which role somebody accepted it: seller or operator.
    pub by: Role,
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
}

/// Nobody gave evidence in time. Only the provider knows what comes of that: it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PastDue {
    /// The chargeback, or the inquiry that may become one.
    pub chargeback: ChargebackId,
    /// Until when there was time.
    pub due_by: Timestamp,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
}

/// The provider took a fee for a chargeback, or gave some of it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeeCharged {
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// What it costs in all, so far.
    pub fee: Money,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// From `platform:expense` to `psp:<provider>:fees`, or back.
    pub transfer: Transfer,
}

/// The bank decided for the market: the money is back where it was taken. What somebody owed for it and has repaid since is his,
/// and what was written off the platform's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Won {
    /// Who had paid.
    pub account: AccountId,
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// Until when is kept what goes back to sellers' reserves: for each transfer to one, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_until: Vec<Timestamp>,
    /// What of it was about which order.
    pub orders: Vec<ChargedOrder>,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// Whether it was the first time.
    #[serde(default, skip_serializing_if = "Round::is_first")]
    pub round: Round,
    /// From `psp:<provider>:chargebacks` to where it was.
    pub transfers: Vec<Transfer>,
    /// What of it goes to `platform:expense`, since that debt was written off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written_off: Vec<Recovered>,
}

/// What comes back of a debt that was written off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recovered {
    /// How much.
    pub amount: Money,
    /// The account of the debt.
    pub debt: LedgerAccount,
}

/// The bank decided for the buyer: the money is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Whether somebody had accepted it.
    pub accepted: bool,
    /// Who had paid.
    pub account: AccountId,
    /// What of it the platform has advanced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Money>,
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// What of it was about which order.
    pub orders: Vec<ChargedOrder>,
    /// The payment.
    pub payment: PaymentId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// Whether it was the first time.
    #[serde(default, skip_serializing_if = "Round::is_first")]
    pub round: Round,
    /// From `psp:<provider>:chargebacks` to `psp:<provider>:clearing`.
    pub transfer: Transfer,
}

/// A refund could not be given, and what the platform had advanced of a chargeback for it is repaid out of the wallet that the money
/// is back in: nobody is paid twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Covered {
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// The payment.
    pub payment: PaymentId,
    /// From the buyer's wallet to `platform:expense`.
    pub transfer: Transfer,
}

/// Nothing stops an order any more, and it goes on where it stood: its chargeback was won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderResumed {
    /// Its deadlines as they are from now on: each has the time left that it had.
    pub deadlines: Vec<DeadlineStamp>,
    /// The order.
    pub order: OrderId,
}

/// What of a shipment's price a bank gave back to the buyer: it is neither released nor returned any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentCut {
    /// How much of what its units cost.
    pub amount: Money,
    /// The shipment.
    pub shipment: ShipmentNumber,
    /// The tax in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Money>,
}

/// Chargebacks of an order were lost, and nothing else stops it: it goes on with what is left of its money. Its returns and disputes
/// have ended, since a bank has decided; units that were not shipped are cancelled behind it in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderChargedBack {
    /// How much of the order went back by them.
    pub amount: Money,
    /// Which chargebacks.
    pub chargebacks: Vec<ChargebackId>,
    /// What went of which shipment.
    pub cuts: Vec<ShipmentCut>,
    /// Its deadlines as they are from now on: each has the time left that it had.
    pub deadlines: Vec<DeadlineStamp>,
    /// The change that was proposed and is not answered any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<ChangeId>,
    /// The order.
    pub order: OrderId,
    /// Its returns that have ended without a refund.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returns: Vec<ReturnNumber>,
    /// What was frozen, back to the escrow; and what the platform had paid of units that are left, back to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<Transfer>,
    /// Shipments of which money was frozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfrozen_of: Vec<ShipmentNumber>,
}
