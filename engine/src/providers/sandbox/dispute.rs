//! What the sandbox's banks dispute, by the token that was paid with.

use commands::command::Standing;
use events::chargeback::{ChargebackReason, Round};
use events::ids::PaymentId;
use events::reconciliation::MovementKind;
use events::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::providers::Dispute;

/// How long evidence is taken, in milliseconds.
pub(super) const ANSWERS_MS: i64 = 7 * 86_400_000;
/// What a chargeback costs, in minor units of its currency.
pub(super) const FEE_MINOR: i64 = 1_500;
/// How its references of disputes begin.
const PREFIX: &str = "sbd_";

/// What becomes of a payment that is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Won,
    Lost,
    /// It is won, and lost when it is disputed once more.
    Again,
    /// The bank asks, and disputes nothing.
    Asked,
    /// The bank asks, disputes it whatever it hears, and decides for the buyer.
    AskedFirst,
}

fn script(token: &str) -> Option<Script> {
    match token {
        "tok_disputed_won" => Some(Script::Won),
        "tok_disputed_lost" => Some(Script::Lost),
        "tok_disputed_again" => Some(Script::Again),
        "tok_inquired_closed" => Some(Script::Asked),
        "tok_inquired_disputed" => Some(Script::AskedFirst),
        _ => None,
    }
}

/// Tells whether payments with a token are agreed to and disputed.
pub(super) fn is_disputed(token: &str) -> bool {
    script(token).is_some()
}

/// A dispute in the sandbox's books.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    amount: Money,
    standing: Standing,
    round: Round,
    submissions: u32,
    due_by: Timestamp,
    fee_minor: i64,
}

/// Money that moves by a dispute.
pub(super) type Moved = Option<(MovementKind, i64)>;

impl Entry {
    /// Lets the bank of a payment that was captured dispute it, if its token wants that.
    pub(super) fn begin(token: &str, amount: Money, now: Timestamp) -> Option<(Entry, Moved)> {
        let standing = match script(token)? {
            Script::Asked | Script::AskedFirst => Standing::Inquiry,
            Script::Won | Script::Lost | Script::Again => Standing::NeedsResponse,
        };
        let due_by = now.plus_ms(ANSWERS_MS);
        let entry = Entry {
            amount,
            standing: Standing::Inquiry,
            round: Round::First,
            submissions: 0,
            due_by,
            fee_minor: 0,
        };
        let mut entry = entry;
        let moved = entry.enter(standing);
        Some((entry, moved))
    }

    fn enter(&mut self, standing: Standing) -> Moved {
        let was_gone =
            matches!(self.standing, Standing::NeedsResponse | Standing::UnderReview | Standing::Lost);
        self.standing = standing;
        match standing {
            Standing::NeedsResponse | Standing::UnderReview | Standing::Lost if !was_gone => {
                self.fee_minor += FEE_MINOR;
                Some((MovementKind::Chargeback, -self.amount.minor))
            }
            Standing::Won => Some((MovementKind::ChargebackReversed, self.amount.minor)),
            _ => None,
        }
    }

    /// Takes evidence, once.
    pub(super) fn answer(&mut self) -> Moved {
        let next = match self.standing {
            Standing::Inquiry => Standing::InquiryUnderReview,
            Standing::NeedsResponse => Standing::UnderReview,
            _ => return None,
        };
        self.submissions += 1;
        self.enter(next)
    }

    /// Gives it up.
    pub(super) fn accept(&mut self) -> Moved {
        match self.standing {
            Standing::NeedsResponse | Standing::UnderReview => self.enter(Standing::Lost),
            Standing::Inquiry | Standing::InquiryUnderReview => self.enter(Standing::InquiryClosed),
            _ => None,
        }
    }

    /// Lets the bank decide, of what it was answered to or of what nobody has answered to in time; tells whether it did.
    pub(super) fn decide(&mut self, token: &str, now: Timestamp) -> (bool, Moved) {
        let Some(script) = script(token) else { return (false, None) };
        let is_late = now >= self.due_by;
        let next = match (self.standing, script) {
            (Standing::InquiryUnderReview, Script::AskedFirst) => Standing::NeedsResponse,
            (Standing::InquiryUnderReview, _) => Standing::InquiryClosed,
            (Standing::UnderReview, Script::Won) => Standing::Won,
            (Standing::UnderReview, Script::Again) if self.round == Round::First => Standing::Won,
            (Standing::UnderReview, _) => Standing::Lost,
            (Standing::Won, Script::Again) if self.round == Round::First => {
                (self.round, self.due_by) = (Round::Second, now.plus_ms(ANSWERS_MS));
                Standing::NeedsResponse
            }
            (Standing::NeedsResponse, _) if is_late => Standing::Lost,
            (Standing::Inquiry, _) if is_late => Standing::InquiryClosed,
            _ => return (false, None),
        };
        if next == Standing::NeedsResponse {
            self.due_by = now.plus_ms(ANSWERS_MS);
        }
        (true, self.enter(next))
    }

    /// Tells whether the money is the bank's: then nothing is given back beside it.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.standing, Standing::NeedsResponse | Standing::UnderReview | Standing::Lost)
    }

    /// Tells whether money moved: then its fee was taken with it.
    pub(super) fn fee_of(moved: (MovementKind, i64)) -> i64 {
        if moved.0 == MovementKind::Chargeback { FEE_MINOR } else { 0 }
    }

    pub(super) fn shown(&self, payment: PaymentId, payment_reference: String) -> Dispute {
        let is_charged = self.fee_minor > 0;
        Dispute {
            payment,
            payment_reference,
            reference: reference(payment),
            standing: self.standing,
            round: self.round,
            amount: self.amount,
            due_by: Some(self.due_by),
            fee: is_charged.then(|| Money::new(self.fee_minor, self.amount.currency)),
            reason: ChargebackReason::ItemNotReceived,
            network_reason: Some("13.1".to_owned()),
            submissions: self.submissions,
        }
    }
}

/// Names the dispute of a payment.
pub(super) fn reference(payment: PaymentId) -> String {
    format!("{PREFIX}{payment}")
}

/// Gives the payment of a dispute.
pub(super) fn payment_of(reference: &str) -> Option<PaymentId> {
    reference.strip_prefix(PREFIX)?.parse().ok()
}
