//! What can be asked about payments that a buyer's bank disputes, and about what people owe.

use events::account::Role;
use events::chargeback::{ChargebackReason, EvidenceFile, EvidenceKind, MediaType, Progress, Round};
use events::ids::{AccountId, ChargebackId, PaymentId};
use events::{Hash, Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REASON_LENGTH_MAX, REFERENCE_LENGTH_MAX, Text, UpTo};

/// Most files of evidence.
pub const EVIDENCE_FILES_MAX: usize = 10;
/// Most bytes of all files of evidence together: what providers take.
pub const EVIDENCE_BYTES_MAX: u32 = 4_500_000;
/// Longest statement, in characters.
pub const STATEMENT_LENGTH_MAX: usize = 4_000;

/// Says how a dispute of a payment stands at its provider. Given by the provider's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportChargeback {
    /// How much is disputed.
    pub amount: Money,
    /// Until when the provider takes an answer; absent: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
    /// What the provider took for it in all, so far; absent: nothing that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Money>,
    /// The network's own code of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_reason: Option<Text<REFERENCE_LENGTH_MAX>>,
    /// The payment.
    pub payment: PaymentId,
    /// Why.
    pub reason: ChargebackReason,
    /// The provider's reference of the dispute.
    pub reference: Text<REFERENCE_LENGTH_MAX>,
    /// Which time it is disputed.
    #[serde(default, skip_serializing_if = "Round::is_first")]
    pub round: Round,
    /// How it stands.
    pub standing: Standing,
    /// How often the provider has taken evidence.
    pub submissions: u32,
}

/// How a dispute stands at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The bank asks, and waits for an answer; no money moved.
    Inquiry,
    /// The bank asks, and looks at the answer.
    InquiryUnderReview,
    /// The bank asked, and disputes nothing.
    InquiryClosed,
    /// The bank disputes it, and waits for evidence; the money is gone.
    NeedsResponse,
    /// The bank looks at the evidence.
    UnderReview,
    /// The bank decided for the market; the money is back.
    Won,
    /// The bank decided for the buyer.
    Lost,
}

impl Standing {
    /// Gives how far the bank is, while it has not decided.
    pub(crate) const fn progress(self) -> Option<Progress> {
        match self {
            Standing::Inquiry | Standing::NeedsResponse => Some(Progress::NeedsResponse),
            Standing::InquiryUnderReview | Standing::UnderReview => Some(Progress::UnderReview),
            Standing::InquiryClosed | Standing::Won | Standing::Lost => None,
        }
    }
}

/// Gives evidence against a chargeback, or an answer to an inquiry, to the provider; it is taken once. Given by an operator, or by
/// the seller if it is about his orders alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitEvidence {
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// Files that were given to the provider before, each kind once.
    pub files: UpTo<AskedFile, EVIDENCE_FILES_MAX>,
    /// The payment.
    pub payment: PaymentId,
    /// What is to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Text<STATEMENT_LENGTH_MAX>>,
}

/// A file that was given to the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedFile {
    /// How large it is, in bytes.
    #[schemars(range(min = 1, max = EVIDENCE_BYTES_MAX))]
    pub bytes: u32,
    /// The SHA-256 of it.
    pub hash: Hash,
    /// What it shows.
    pub kind: EvidenceKind,
    /// Of what sort it is.
    pub media_type: MediaType,
    /// What the provider knows it by.
    pub token: Text<REFERENCE_LENGTH_MAX>,
}

impl AskedFile {
    pub(crate) fn file(&self) -> EvidenceFile {
        EvidenceFile {
            bytes: self.bytes,
            hash: self.hash,
            kind: self.kind,
            media_type: self.media_type,
            token: self.token.as_str().to_owned(),
        }
    }
}

/// Does not fight a chargeback: it is lost for good. Given by an operator, or by the seller if it is about his orders alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptChargeback {
    /// The chargeback.
    pub chargeback: ChargebackId,
    /// The payment.
    pub payment: PaymentId,
}

/// Repays what the giver owes, out of his wallet: as a buyer first, then as a seller. Given by a buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepayDebt {
    /// How much.
    pub amount: Money,
}

/// Says that what somebody owes is not expected any more: the platform bears it. Given by an operator; of more than the
/// market lets one decide alone, only when a second gives the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteOffDebt {
    /// Whose debt.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: Text<REASON_LENGTH_MAX>,
    /// What he owes it as: `buyer` or `seller`.
    pub role: Role,
}
