//! Payment providers: what is asked of one, and what it can answer. The market decides, an effect asks (see
//! [`crate::effects`]), a provider does. Every call is safe to repeat: see each one's rule.

pub mod sandbox;
mod secret;
pub mod statement;
pub mod stripe;

use std::time::Duration;

use async_trait::async_trait;
use commands::command::Standing;
use events::chargeback::{ChargebackReason, EvidenceFile, Round};
use events::ids::{ChargebackId, PaymentId, PayoutId, RefundId};
use events::payment::ActionKind;
use events::{Money, Timestamp};

pub use self::secret::Secret;

/// What a provider says of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has not decided yet: ask again.
    Pending,
    /// It waits for the buyer.
    ActionRequired {
        /// Its reference of the payment.
        reference: String,
        /// What the buyer has to do.
        kind: ActionKind,
        /// Where he does it.
        url: Option<String>,
    },
    /// It holds the money.
    Authorized {
        /// Its reference of the payment.
        reference: String,
        /// How much it holds.
        amount: Money,
        /// Until when.
        capture_before: Timestamp,
    },
    /// It took the money.
    Captured {
        /// Its reference of the payment.
        reference: String,
        /// How much it took.
        amount: Money,
    },
    /// It refused.
    Declined {
        /// Why, in its words for programs.
        code: String,
        /// Whether another try may go well.
        retryable: bool,
    },
    /// It let go of what it held, since it was told to.
    Voided,
    /// It let go of what it held, since that was not captured in time.
    Expired,
}

/// What a provider says of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundAnswer {
    /// It has not decided yet: ask again.
    Pending,
    /// It gave the money back.
    Refunded {
        /// Its reference of the refund.
        reference: String,
    },
    /// It could not.
    Failed {
        /// Why, in its words for programs.
        code: String,
    },
}

/// What a provider says of a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayoutAnswer {
    /// It is on its way: ask again.
    Pending,
    /// It has arrived.
    Paid {
        /// Its reference of the payout.
        reference: String,
    },
    /// It could not be paid, or was returned.
    Failed {
        /// Why, in its words for programs.
        code: String,
    },
}

/// Says that no answer came that tells what became of a call: it may have been done. The text is for operators, and
/// holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// To hold money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorize {
    /// The payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
    /// What the provider knows the means of payment by.
    pub token: String,
}

/// To take a part of what is held, or all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The payment.
    pub payment: PaymentId,
    /// How much; the rest is let go.
    pub amount: Money,
    /// The provider's reference of the payment.
    pub reference: String,
}

/// To give a part of what was taken back, or all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundCall {
    /// The refund.
    pub refund: RefundId,
    /// The payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
    /// The provider's reference of the payment.
    pub reference: String,
}

/// To pay a seller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutCall {
    /// The payout.
    pub payout: PayoutId,
    /// How much.
    pub amount: Money,
    /// What the provider knows the seller's bank account by.
    pub token: String,
}

/// A dispute as a provider has it: the whole of how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The payment.
    pub payment: PaymentId,
    /// Its reference of the payment.
    pub payment_reference: String,
    /// Its reference of the dispute.
    pub reference: String,
    /// How it stands.
    pub standing: Standing,
    /// Which time the bank disputes it.
    pub round: Round,
    /// How much is disputed.
    pub amount: Money,
    /// Until when it takes evidence, if it says.
    pub due_by: Option<Timestamp>,
    /// What it took for it in all, so far, if it says.
    pub fee: Option<Money>,
    /// Why.
    pub reason: ChargebackReason,
    /// The network's own code of that.
    pub network_reason: Option<String>,
    /// How often it has taken evidence.
    pub submissions: u32,
}

/// To give evidence to the bank, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceCall {
    /// The payment.
    pub payment: PaymentId,
    /// The dispute.
    pub chargeback: ChargebackId,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// Files that the provider has, by its tokens.
    pub files: Vec<EvidenceFile>,
    /// What is to be said.
    pub statement: Option<String>,
}

/// What arrived at a webhook: that something happened to a payment or a payout. What, is asked, since such messages come late,
/// twice and in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The provider's id of the message.
    pub id: String,
    /// What it is about, if it is one of ours, with the provider's reference.
    pub about: Option<(About, String)>,
}

/// What a message of a provider is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A payment.
    Payment(PaymentId),
    /// A payout.
    Payout(PayoutId),
    /// A dispute; which payment it is of, the provider tells when it is asked.
    Dispute,
}

/// Why a message at a webhook is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The provider sends none, or no secret is known.
    #[error("this provider sends no messages here, or its webhook secret is not set")]
    NotExpected,
    /// It is not signed as the provider signs.
    #[error("the signature is missing or wrong: see that the webhook secret is that of this address")]
    Signature,
    /// It was signed too long ago, or in the future.
    #[error("the message was not signed within {0} s of now: see that the clock is right, and send it again")]
    Time(i64),
    /// It is signed, and can't be read.
    #[error("the message is none that this provider sends")]
    Malformed,
}

/// A payment provider.
#[async_trait]
pub trait PaymentProvider: std::fmt::Debug + Send + Sync + 'static {
    /// Gives its name: the end of its webhook's address, and of its key's name.
    fn name(&self) -> &'static str;

    /// Tells how long a call that is repeated under the same name is known to be a repeat. After that it is never sent
    /// again: it is asked for.
    fn key_lifetime(&self) -> Duration;

    /// Holds money. Repeated for the same payment within [`PaymentProvider::key_lifetime`], it gives the first answer.
    async fn authorize(&self, call: &Authorize) -> Result<Answer, NoAnswer>;

    /// Takes what is held. A payment is captured once, however often that is asked.
    async fn capture(&self, call: &Capture) -> Result<Answer, NoAnswer>;

    /// Lets go of what is held. Harmless to repeat.
    async fn void(&self, payment: PaymentId, reference: &str) -> Result<Answer, NoAnswer>;

    /// Gives money back. Repeated for the same refund within [`PaymentProvider::key_lifetime`], it gives the first
    /// answer.
    async fn refund(&self, call: &RefundCall) -> Result<RefundAnswer, NoAnswer>;

    /// Looks at a payment, by the provider's reference where it is known. Nothing: the provider has never heard of it.
    async fn look_up(&self, payment: PaymentId, reference: Option<&str>) -> Result<Option<Found>, NoAnswer>;

    /// Looks at a refund. Nothing: the provider has never heard of it.
    async fn look_up_refund(&self, call: &RefundCall) -> Result<Option<RefundAnswer>, NoAnswer>;

    /// Pays a seller. Repeated for the same payout within [`PaymentProvider::key_lifetime`], it gives the first answer.
    async fn pay_out(&self, call: &PayoutCall) -> Result<PayoutAnswer, NoAnswer>;

    /// Looks at a payout, by the provider's reference where it is known. Nothing: the provider has never heard of it.
    async fn look_up_payout(
        &self,
        payout: PayoutId,
        reference: Option<&str>,
    ) -> Result<Option<PayoutAnswer>, NoAnswer>;

    /// Looks at a dispute by the provider's reference. Nothing: the provider has never heard of it, or it is of no payment of ours.
    async fn look_up_dispute(&self, reference: &str) -> Result<Option<Dispute>, NoAnswer>;

    /// Gives evidence to the bank, and tells how the dispute stands then. Evidence is taken once, however often that is asked.
    async fn submit_evidence(&self, call: &EvidenceCall) -> Result<Dispute, NoAnswer>;

    /// Gives a dispute up, and tells how it stands then. Harmless to repeat.
    async fn accept_dispute(&self, reference: &str) -> Result<Dispute, NoAnswer>;

    /// Checks a message that arrived at the webhook, given its headers, its bytes and the time.
    fn read_webhook(
        &self,
        header: &dyn Fn(&str) -> Option<String>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, WebhookError>;
}

/// A payment as a provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its reference.
    pub reference: String,
    /// How it stands.
    pub answer: Answer,
}
