//! Disputes at Stripe. A dispute names the intent that it is of, and that our payment; so the intent is asked for with it.
//!
//! Stripe tells of no second round of its own: a dispute that was won and is lost after all is taken for one.

use commands::command::Standing;
use events::chargeback::{ChargebackReason, EvidenceKind, Round};
use events::{Money, Timestamp};
use reqwest::Method;
use serde_json::Value;

use super::{Stripe, currency, trouble};
use crate::providers::{Dispute, EvidenceCall, NoAnswer};

/// Asks for the intent of a dispute with it.
pub(super) fn expanded() -> [(&'static str, String); 1] {
    [("expand[]", "payment_intent".to_owned())]
}

impl Stripe {
    /// Changes a dispute, and gives how it stands then.
    pub(super) async fn change_dispute(
        &self,
        path: &str,
        fields: &[(&str, String)],
        key: Option<String>,
    ) -> Result<Dispute, NoAnswer> {
        let (status, body) = self.call(Method::POST, path, fields, key).await?;
        if !status.is_success() {
            return Err(trouble(status, &body));
        }
        read(&body)?.ok_or_else(|| NoAnswer("Stripe's dispute is of no payment of ours".to_owned()))
    }
}

/// Reads how a dispute stands; nothing, if it is of no payment of ours.
pub(super) fn read(dispute: &Value) -> Result<Option<Dispute>, NoAnswer> {
    let unread =
        |what: &str| NoAnswer(format!("Stripe's answer has no {what} of the dispute that can be read"));
    let intent = &dispute["payment_intent"];
    let Some(payment) = intent["metadata"]["payment"].as_str().and_then(|id| id.parse().ok()) else {
        return Ok(None);
    };
    let money = |counted: &Value, code: &Value| -> Option<Money> {
        let currency = code.as_str()?.to_ascii_uppercase().parse().ok()?;
        currency::from_stripe(counted.as_i64()?, currency)
    };
    let evidence = &dispute["evidence_details"];
    let reason = dispute["reason"].as_str().unwrap_or_default();
    let network = dispute["payment_method_details"]["card"]["network_reason_code"].as_str();
    let network = network.or(dispute["network_reason_code"].as_str());
    let standing = match dispute["status"].as_str().ok_or_else(|| unread("status"))? {
        "warning_needs_response" => Standing::Inquiry,
        "warning_under_review" => Standing::InquiryUnderReview,
        "warning_closed" => Standing::InquiryClosed,
        "needs_response" => Standing::NeedsResponse,
        "under_review" => Standing::UnderReview,
        "won" => Standing::Won,
        "lost" => Standing::Lost,
        // Such as one that was prevented: no money moved, and none will.
        other => return Err(NoAnswer(format!("Stripe's dispute is `{}`: look at it there", short(other)))),
    };
    let fees = dispute["balance_transactions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fees: Option<Vec<Money>> =
        fees.iter().map(|moved| money(&moved["fee"], &moved["currency"])).collect();
    let fees = fees.ok_or_else(|| unread("fee"))?;
    let fee = fees.first().map(|first| {
        let same = fees.iter().filter(|fee| fee.currency == first.currency);
        Money::new(same.map(|fee| fee.minor).sum(), first.currency)
    });
    Ok(Some(Dispute {
        payment,
        payment_reference: intent["id"].as_str().ok_or_else(|| unread("payment"))?.to_owned(),
        reference: dispute["id"].as_str().ok_or_else(|| unread("id"))?.to_owned(),
        standing,
        round: Round::First,
        amount: money(&dispute["amount"], &dispute["currency"]).ok_or_else(|| unread("amount"))?,
        due_by: evidence["due_by"].as_i64().map(|at| Timestamp::from_ms(at.saturating_mul(1000))),
        // What Stripe gave back of it stands there below zero.
        fee: fee.filter(|fee| fee.minor >= 0),
        reason: reason_of(reason, network),
        network_reason: network.map(short),
        submissions: evidence["submission_count"]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
    }))
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Gives what a reason comes down to: what the network says, where Stripe's own word is wider.
fn reason_of(reason: &str, network: Option<&str>) -> ChargebackReason {
    match (network, reason) {
        (Some("13.4"), _) => ChargebackReason::Counterfeit,
        (Some("12.1" | "4842"), _) => ChargebackReason::Late,
        (_, "product_not_received") => ChargebackReason::ItemNotReceived,
        (_, "product_unacceptable") => ChargebackReason::NotAsDescribed,
        (_, "fraudulent" | "unrecognized" | "debit_not_authorized") => ChargebackReason::Unauthorized,
        (_, "duplicate") => ChargebackReason::Duplicate,
        (_, "credit_not_processed" | "subscription_canceled") => ChargebackReason::CancelledNotRefunded,
        _ => ChargebackReason::Other,
    }
}

/// Gives the field of Stripe's evidence that a file stands in.
const fn field_of(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Tracking => "evidence[shipping_documentation]",
        EvidenceKind::ProofOfDelivery => "evidence[customer_signature]",
        EvidenceKind::ListingSnapshot => "evidence[service_documentation]",
        EvidenceKind::Messages => "evidence[customer_communication]",
        EvidenceKind::PolicyDisclosure => "evidence[refund_policy]",
        EvidenceKind::Receipt => "evidence[receipt]",
        EvidenceKind::Photos
        | EvidenceKind::Authentication
        | EvidenceKind::DeviceHistory
        | EvidenceKind::RefundProof => "evidence[uncategorized_file]",
    }
}

/// Writes evidence as Stripe takes it: each field once.
pub(super) fn fields(call: &EvidenceCall) -> Result<Vec<(&'static str, String)>, NoAnswer> {
    let mut fields = Vec::from(expanded());
    for file in &call.files {
        let field = field_of(file.kind);
        if fields.iter().any(|(before, _)| *before == field) {
            let rule = "Stripe takes one file of photos, authentication, device history and refund proof: give it there by hand, as \
                        one, and it is known here when it is next asked";
            return Err(NoAnswer(rule.to_owned()));
        }
        fields.push((field, file.token.clone()));
    }
    fields.extend(call.statement.clone().map(|statement| ("evidence[uncategorized_text]", statement)));
    fields.push(("metadata[chargeback]", call.chargeback.to_string()));
    fields.push(("submit", "true".to_owned()));
    Ok(fields)
}
