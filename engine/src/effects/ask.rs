//! Asks a provider for one thing, and has what it did reported.

use commands::Command;
use commands::command::{
    PayoutOutcome, ReportChargeback, ReportPayment, ReportPayout, ReportedOutcome, Standing, Text,
};
use commands::payment::{ChargebackEffect, ChargebackWish, Effect, PaymentEffect, PayoutEffect, Wish};
use events::ids::{PayoutId, RefundId};
use events::{Money, Timestamp};
use uuid::Uuid;

use super::Provider;
use super::report::{ReportError, Reporter};
use crate::providers::{
    About, Answer, Authorize, Capture, Dispute, EvidenceCall, Found, NoAnswer, PaymentProvider, PayoutAnswer,
    PayoutCall, RefundAnswer, RefundCall,
};

/// How old a payment must be before "never heard of it" is believed to be the end of it, in milliseconds: what was sent
/// just before a restart may still be on its way.
const SETTLES_MS: i64 = 60_000;

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What the provider did is durable in the market.
    Reported,
    /// The provider waits, for the buyer or for itself.
    Waits,
    /// The market has decided against what the provider says it did.
    Rejected(String),
    /// No answer, or none that could be handed in.
    Trouble(String),
}

/// Asks, and reports what the provider says. `asks_first`: a call may have been sent before, so what became of that is
/// asked before anything is sent.
pub(super) async fn perform(
    provider: &Provider,
    reporter: &Reporter,
    effect: &Effect,
    asks_first: bool,
    now: Timestamp,
) -> Outcome {
    let age_ms = effect.asked_at().map_or(i64::MAX, |made| now.ms_since(made));
    let adapter = provider.adapter.as_ref();
    let answer = match effect {
        Effect::Payment(effect) => {
            let payment = effect.payment;
            let outcome = Call { provider: adapter, effect, asks_first, age_ms }.make().await;
            outcome.map(|outcome| outcome.map(|outcome| ReportPayment { outcome, payment }.into()))
        }
        Effect::Payout(effect) => pay_out(adapter, effect, asks_first, age_ms).await,
        Effect::Chargeback(effect) => dispute(adapter, effect, asks_first).await,
    };
    let about = match effect {
        // As a message about it does, which names the payment.
        Effect::Chargeback(effect) => effect.payment.uuid(),
        other => other.about(),
    };
    report(provider, reporter, about, answer).await
}

/// Asks how what a message is about stands, and reports what the provider says. Nothing is sent, whatever that is.
pub(super) async fn hear(
    provider: &Provider,
    reporter: &Reporter,
    about: About,
    reference: &str,
    now: Timestamp,
) -> Outcome {
    match about {
        About::Payment(payment) => {
            let (account, wish) = (provider.key.account, Wish::Await { reference: reference.into() });
            let effect = Effect::Payment(PaymentEffect { provider: account, payment, wish });
            perform(provider, reporter, &effect, true, now).await
        }
        About::Payout(payout) => {
            let known = provider.adapter.look_up_payout(payout, Some(reference)).await;
            let answer = known.and_then(|answer| paid_out(payout, answer.unwrap_or(PayoutAnswer::Pending)));
            report(provider, reporter, payout.uuid(), answer).await
        }
        About::Dispute => match provider.adapter.look_up_dispute(reference).await {
            // It is about no payment of this market.
            Ok(None) => Outcome::Waits,
            Ok(Some(dispute)) => {
                // That the payment was taken may not be known yet: only what is known to be taken can be disputed.
                let (account, payment) = (provider.key.account, dispute.payment);
                let wish = Wish::Await { reference: dispute.payment_reference.as_str().into() };
                let taken = Effect::Payment(PaymentEffect { provider: account, payment, wish });
                if let Outcome::Trouble(trouble) = perform(provider, reporter, &taken, true, now).await {
                    return Outcome::Trouble(trouble);
                }
                report(provider, reporter, payment.uuid(), disputed(dispute).map(Some)).await
            }
            Err(NoAnswer(trouble)) => Outcome::Trouble(trouble),
        },
    }
}

/// Asks about a dispute, gives evidence or gives it up, and gives the report of how it stands.
async fn dispute(
    provider: &dyn PaymentProvider,
    effect: &ChargebackEffect,
    asks_first: bool,
) -> Result<Option<Command>, NoAnswer> {
    let ChargebackEffect { payment, chargeback, ref reference, ref wish, .. } = *effect;
    let look_up = async || {
        let known = provider.look_up_dispute(reference).await?.filter(|known| known.payment == payment);
        known.ok_or_else(|| NoAnswer("the provider does not know a dispute that it told of".to_owned()))
    };
    let found = match wish {
        ChargebackWish::Watch => look_up().await?,
        ChargebackWish::Submit(evidence) => {
            // What may have been sent was taken if the provider counts it.
            let known = if asks_first { Some(look_up().await?) } else { None };
            let counts = |known: &Dispute| known.round.is_first() && known.submissions > 0;
            match known.filter(|known| counts(known) || !needs_answer(known)) {
                Some(known) => known,
                None => {
                    let (files, statement) = (evidence.files.clone(), evidence.statement.clone());
                    let reference = reference.to_string();
                    let call = EvidenceCall { payment, chargeback, reference, files, statement };
                    provider.submit_evidence(&call).await?
                }
            }
        }
        ChargebackWish::Accept => {
            // Somebody else may have ended it.
            let known = look_up().await?;
            if needs_answer(&known) { provider.accept_dispute(reference).await? } else { known }
        }
    };
    disputed(found).map(Some)
}

fn needs_answer(dispute: &Dispute) -> bool {
    matches!(dispute.standing, Standing::Inquiry | Standing::NeedsResponse)
}

/// Gives what is to be reported of a dispute: all of how it stands.
fn disputed(dispute: Dispute) -> Result<Command, NoAnswer> {
    let Dispute { payment, standing, round, amount, due_by, fee, reason, submissions, .. } = dispute;
    let network_reason = dispute.network_reason.map(text).transpose()?;
    let reference = text(dispute.reference)?;
    let report = ReportChargeback {
        amount,
        due_by,
        fee,
        network_reason,
        payment,
        reason,
        reference,
        round,
        standing,
        submissions,
    };
    Ok(report.into())
}

/// Hands in what a provider did, if it did anything.
async fn report(
    provider: &Provider,
    reporter: &Reporter,
    about: Uuid,
    answer: Result<Option<Command>, NoAnswer>,
) -> Outcome {
    let report = match answer {
        Ok(Some(report)) => report,
        Ok(None) => return Outcome::Waits,
        Err(NoAnswer(trouble)) => return Outcome::Trouble(trouble),
    };
    match reporter.report(&provider.key, about, report).await {
        Ok(()) => Outcome::Reported,
        Err(ReportError::Rejected(reasons)) => Outcome::Rejected(reasons),
        Err(ReportError::NotTaken(trouble)) => Outcome::Trouble(trouble),
    }
}

/// Pays out, and gives the report of it, if anything is to be reported.
async fn pay_out(
    provider: &dyn PaymentProvider,
    effect: &PayoutEffect,
    asks_first: bool,
    age_ms: i64,
) -> Result<Option<Command>, NoAnswer> {
    let PayoutEffect { payout, amount, .. } = *effect;
    let call = PayoutCall { payout, amount, token: effect.token.to_string() };
    let known = if asks_first { provider.look_up_payout(payout, None).await? } else { None };
    let answer = match known {
        Some(answer) => answer,
        None => {
            if asks_first {
                check_age(age_ms, provider)?;
            }
            provider.pay_out(&call).await?
        }
    };
    paid_out(payout, answer)
}

/// Gives what is to be reported of a payout; nothing, if it is on its way.
fn paid_out(payout: PayoutId, answer: PayoutAnswer) -> Result<Option<Command>, NoAnswer> {
    let outcome = match answer {
        PayoutAnswer::Pending => return Ok(None),
        PayoutAnswer::Paid { reference } => PayoutOutcome::Paid { reference: text(reference)? },
        PayoutAnswer::Failed { code } => PayoutOutcome::Failed { code: text(code)? },
    };
    Ok(Some(ReportPayout { outcome, payout }.into()))
}

struct Call<'a> {
    provider: &'a dyn PaymentProvider,
    effect: &'a PaymentEffect,
    asks_first: bool,
    /// How long ago the payment was asked for, in milliseconds.
    age_ms: i64,
}

impl Call<'_> {
    /// Asks, and gives what is to be reported, if anything is.
    async fn make(&self) -> Result<Option<ReportedOutcome>, NoAnswer> {
        let payment = self.effect.payment;
        match &self.effect.wish {
            Wish::Authorize { amount, token } => {
                let (amount, token) = (*amount, token.to_string());
                self.authorize(Authorize { payment, amount, token }).await
            }
            Wish::Await { reference } => match self.provider.look_up(payment, Some(reference)).await? {
                // It still waits for the buyer, which is known.
                Some(Found { answer: Answer::ActionRequired { .. }, .. }) | None => Ok(None),
                Some(found) => reported(found.answer),
            },
            Wish::Watch { reference } => match self.known(reference).await?.answer {
                // It holds it still, which is known.
                Answer::Authorized { .. } => Ok(None),
                answer => reported(answer),
            },
            Wish::Capture { amount, reference } => {
                let (amount, reference) = (*amount, reference.to_string());
                self.capture(Capture { payment, amount, reference }).await
            }
            Wish::Void => self.void().await,
            Wish::Refund { refund, amount, reference } => {
                self.refund(*refund, *amount, reference.to_string()).await
            }
        }
    }

    async fn authorize(&self, call: Authorize) -> Result<Option<ReportedOutcome>, NoAnswer> {
        if self.asks_first {
            if let Some(found) = self.provider.look_up(call.payment, None).await? {
                return reported(found.answer);
            }
            self.check_key_lives()?;
        }
        reported(self.provider.authorize(&call).await?)
    }

    /// Takes what is held. That a payment is captured once is the provider's own rule, so what it says it still holds was
    /// not taken, however long ago it was told to.
    async fn capture(&self, call: Capture) -> Result<Option<ReportedOutcome>, NoAnswer> {
        if self.asks_first {
            match self.known(&call.reference).await?.answer {
                Answer::Authorized { .. } => {}
                answer => return reported(answer),
            }
        }
        reported(self.provider.capture(&call).await?)
    }

    /// Looks at what the provider said it holds.
    async fn known(&self, reference: &str) -> Result<Found, NoAnswer> {
        let found = self.provider.look_up(self.effect.payment, Some(reference)).await?;
        found.ok_or_else(|| NoAnswer("the provider does not know a payment that it held".to_owned()))
    }

    /// Lets go of what is held. What the provider has is looked at first: it may have taken the money, or refused it.
    async fn void(&self) -> Result<Option<ReportedOutcome>, NoAnswer> {
        let payment = self.effect.payment;
        match self.provider.look_up(payment, None).await? {
            None if self.age_ms > SETTLES_MS => Ok(Some(ReportedOutcome::Voided)),
            None => Ok(None),
            Some(Found { reference, answer }) => match answer {
                Answer::Authorized { .. } | Answer::ActionRequired { .. } | Answer::Pending => {
                    reported(self.provider.void(payment, &reference).await?)
                }
                answer => reported(answer),
            },
        }
    }

    async fn refund(
        &self,
        refund: RefundId,
        amount: Money,
        reference: String,
    ) -> Result<Option<ReportedOutcome>, NoAnswer> {
        let call = RefundCall { refund, payment: self.effect.payment, amount, reference };
        let known = if self.asks_first { self.provider.look_up_refund(&call).await? } else { None };
        let answer = match known {
            Some(answer) => answer,
            None => {
                if self.asks_first {
                    // A refund's own time counts: its payment may be older by months.
                    self.check_refund_key_lives(refund)?;
                }
                self.provider.refund(&call).await?
            }
        };
        Ok(match answer {
            RefundAnswer::Pending => None,
            RefundAnswer::Refunded { reference } => {
                Some(ReportedOutcome::Refunded { reference: text(reference)?, refund })
            }
            RefundAnswer::Failed { code } => {
                Some(ReportedOutcome::RefundFailed { code: text(code)?, refund })
            }
        })
    }

    /// Lets a call be sent again only while the provider would know it for a repeat.
    fn check_key_lives(&self) -> Result<(), NoAnswer> {
        check_age(self.age_ms, self.provider)
    }

    fn check_refund_key_lives(&self, refund: RefundId) -> Result<(), NoAnswer> {
        let payment_made = self.effect.payment.time().map_or(0, Timestamp::ms);
        let later_ms = refund.time().map_or(0, |made| made.ms().saturating_sub(payment_made));
        check_age(self.age_ms.saturating_sub(later_ms), self.provider)
    }
}

fn check_age(age_ms: i64, provider: &dyn PaymentProvider) -> Result<(), NoAnswer> {
    if i128::from(age_ms) < provider.key_lifetime().as_millis() as i128 {
        return Ok(());
    }
    let rule = "it may have been sent, the provider does not know of it, and it is too old to be sent again: look at the \
                provider's own pages";
    Err(NoAnswer(rule.to_owned()))
}

/// Gives what is to be reported of an answer; nothing, if it is none yet.
fn reported(answer: Answer) -> Result<Option<ReportedOutcome>, NoAnswer> {
    Ok(Some(match answer {
        Answer::Pending => return Ok(None),
        Answer::ActionRequired { reference, kind, url } => {
            // A page whose address can't be kept is no reason to keep the buyer waiting: his application has its own way.
            let url = url.and_then(|url| Text::try_from(url).ok());
            ReportedOutcome::ActionRequired { kind, reference: text(reference)?, url }
        }
        Answer::Authorized { reference, amount, capture_before } => {
            ReportedOutcome::Authorized { amount, capture_before, reference: text(reference)? }
        }
        Answer::Captured { reference, amount } => {
            ReportedOutcome::Captured { amount, reference: text(reference)? }
        }
        Answer::Declined { code, retryable } => ReportedOutcome::Failed { code: text(code)?, retryable },
        Answer::Voided => ReportedOutcome::Voided,
        Answer::Expired => ReportedOutcome::AuthorizationExpired,
    }))
}

fn text<const MAX: usize>(given: String) -> Result<Text<MAX>, NoAnswer> {
    Text::try_from(given).map_err(|rule| NoAnswer(format!("what the provider says can't be kept: {rule}")))
}
