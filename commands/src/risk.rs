//! How risky a purchase is, and what is done about it. Rules that two operators set judge it by what the log knows of its buyer, his
//! device, what he pays with and from whom he buys.
//!
//! [`history`] is what is remembered, `asked` what a purchase is about, `features` what is known of it, and [`judge`] what rules make
//! of that; [`backtest`] tries rules out on what has happened. It is judged twice by the same function: before a second factor is asked for, which a challenge does, and when the
//! purchase is decided. A market whose operators never proposed rules remembers nothing and judges nothing.

mod asked;
pub mod backtest;
mod features;
pub mod history;
pub mod judge;

use std::collections::BTreeMap;

use events::command::Rejected;
use events::device::{AttestationVerdict, Attested};
use events::ids::{AccountId, DeviceId, OrderId};
use events::payment::Requested;
use events::rejection::RiskRejection;
use events::risk::rules::{Outcome, RuleSet};
use events::risk::{Assessed, Labelled, ReviewOpened, RulesProposed, RulesSet};
use events::{Event, Hash, Rejection, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::asked::{Asked, instrument};
pub use self::features::Vector;
use self::history::History;
use self::judge::Judgement;
use crate::account::Accounts;
use crate::command::{SetRiskRules, Verified};
use crate::market::Market;
use crate::step_up;
use crate::suspension::may_be_agreed_to;

/// What is known of where a device's key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// SHA-256 of what the device looks like.
    pub fingerprint: Option<Hash>,
    /// What came of checking.
    pub verdict: AttestationVerdict,
}

/// What a market knows about risk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Risk {
    /// The rules in force; none: two operators have not agreed on any yet.
    pub rules: Option<InForce>,
    /// The rules that an operator proposed and no other has agreed to.
    pub proposed: Option<Proposed>,
    /// What is remembered.
    pub history: History,
}

/// Rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Counts the rule sets of the market from 1.
    pub version: u32,
    /// The rules.
    pub rules: Stored,
}

/// Rules that wait for a second operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// Who proposed them.
    pub by: AccountId,
    /// The rules.
    pub rules: Stored,
}

/// Rules as they are kept in a snapshot: as JSON, in which what is left out is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored(pub Box<RuleSet>);

impl Serialize for Stored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Stored).map_err(de::Error::custom)
    }
}

impl Accounts {
    /// Gives what is known of where a device's key is kept; none: nobody looked.
    pub fn trust(&self, device: DeviceId) -> Option<Trust> {
        self.trust.get(&device).copied()
    }

    pub(crate) fn device_attested(&mut self, event: &Attested) {
        let before = self.trust(event.device).and_then(|trust| trust.fingerprint);
        let trust = Trust { fingerprint: event.fingerprint.or(before), verdict: event.verdict };
        self.trust.insert(event.device, trust);
    }
}

impl Market {
    /// Gives the rules in force.
    pub fn risk_rules(&self) -> Option<&InForce> {
        self.risk.as_ref()?.rules.as_ref()
    }

    pub(crate) fn risk_rules_proposed(&mut self, event: &RulesProposed) {
        let rules = Stored(Box::new(event.rules.clone()));
        self.risk.get_or_insert_default().proposed = Some(Proposed { by: event.by, rules });
    }

    pub(crate) fn risk_rules_set(&mut self, event: &RulesSet) {
        let rules = Stored(Box::new(event.rules.clone()));
        let risk = self.risk.get_or_insert_default();
        (risk.proposed, risk.rules) = (None, Some(InForce { version: event.version, rules }));
    }

    pub(crate) fn risk_assessed(&mut self, event: &Assessed) {
        if let Some(risk) = &mut self.risk {
            risk.history.purchased(event, self.time);
        }
        if event.outcome == Outcome::Review {
            for id in &event.orders {
                self.review_when_paid(*id);
            }
        }
    }

    pub(crate) fn order_labelled(&mut self, event: &Labelled) {
        if let Some(risk) = &mut self.risk {
            risk.history.labelled(event, self.time);
        }
    }

    /// Has what is remembered of risk follow an event that is about something else, before the event is folded.
    pub(crate) fn remember_risk(&mut self, event: &Event) {
        let Some(mut risk) = self.risk.take() else { return };
        risk.history.follow(self, event, self.time);
        self.risk = Some(risk);
    }
}

/// Judges what a command asks for by these rules; none: it is nothing that they are about.
pub fn assess(
    market: &Market,
    history: &History,
    rules: &RuleSet,
    verified: &Verified,
    now: Timestamp,
) -> Option<(Asked, Vector, Judgement)> {
    let asked = asked::of(market, rules, verified)?;
    let vector = features::of(market, history, &asked, now);
    let can_step_up = step_up::has_second_factor(market, asked.account);
    let is_shown = verified.stamp.step_up.is_some();
    let judgement = judge::judge(rules, &asked, &vector, can_step_up, is_shown, now);
    Some((asked, vector, judgement))
}

/// Tells whether the risk of what a command asks for needs a second factor, shown or not.
pub(crate) fn is_challenged(market: &Market, verified: &Verified, now: Timestamp) -> bool {
    let Some(risk) = market.risk.as_deref() else { return false };
    let Some(InForce { rules, .. }) = &risk.rules else { return false };
    let Some(asked) = asked::of(market, &rules.0, verified) else { return false };
    if !step_up::has_second_factor(market, asked.account) {
        return false;
    }
    let vector = features::of(market, &risk.history, &asked, now);
    judge::judge(&rules.0, &asked, &vector, true, false, now).outcome == Outcome::Challenge
}

/// Judges a purchase, or a payment, that is good otherwise: it goes on, or its orders wait for a review, or it is refused.
pub(crate) fn judged(
    market: &Market,
    verified: &Verified,
    mut events: Vec<Event>,
    now: Timestamp,
) -> Vec<Event> {
    let Some(risk) = market.risk.as_deref() else { return events };
    let Some(InForce { rules, version }) = &risk.rules else { return events };
    let placed = events.iter().filter_map(|event| match event {
        Event::OrderPlaced(placed) => Some((placed.order, placed.payment.is_none())),
        _ => None,
    });
    let placed: BTreeMap<OrderId, bool> = placed.collect();
    // One that is asked for by itself, for orders that wait for it or for the wallet.
    let alone = payment_alone(&events).cloned();
    if placed.is_empty() && alone.is_none() {
        return events;
    }
    let orders =
        alone.as_ref().map_or_else(|| placed.keys().copied().collect(), |alone| alone.orders.clone());
    let Some((asked, vector, judgement)) = assess(market, &risk.history, &rules.0, verified, now) else {
        return events;
    };
    let outcome = judgement.outcome;
    let payment = alone.as_ref().map(|alone| alone.payment);
    let assessed = Assessed { payment, ..assessed(asked, vector, judgement, *version, orders) };
    match outcome {
        Outcome::Block => {
            let command = verified.command.name().to_owned();
            let reasons = vec![RiskRejection::PurchaseDeclined.into()];
            return vec![Rejected { command, reasons }.into(), assessed.into()];
        }
        Outcome::Review => {
            events.push(assessed.into());
            // What a provider pays is looked at when it has; what one holds while another is asked, at once.
            let held =
                alone.and_then(|alone| Some((alone.orders, market.payments.held_until(alone.replaces?)?)));
            let (orders, capture_by) = match held {
                Some((orders, until)) => (orders, Some(until)),
                None => {
                    (placed.into_iter().filter_map(|(id, is_paid)| is_paid.then_some(id)).collect(), None)
                }
            };
            events.extend(review(market, orders, capture_by, now));
        }
        Outcome::Allow | Outcome::Challenge => events.push(assessed.into()),
    }
    events
}

/// Finds the payment among a command's events that is asked for by itself, and not for what is bought with it.
fn payment_alone<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<&'a Requested> {
    let mut found = None;
    for event in events {
        match event {
            Event::OrderPlaced(_) => return None,
            Event::PaymentRequested(requested) => found = Some(requested),
            _ => {}
        }
    }
    found
}

/// Puts together what was known and what was made of it.
pub fn assessed(
    asked: Asked,
    vector: Vector,
    judgement: Judgement,
    version: u32,
    orders: Vec<OrderId>,
) -> Assessed {
    let Asked { account, amount, device, fingerprint, instrument, region, sellers } = asked;
    let Judgement { by_score, contributions, matched, outcome, score, shadow, stepped_up } = judgement;
    Assessed {
        account,
        amount,
        by_score,
        contributions,
        device,
        features: vector.into_values(),
        fingerprint,
        instrument,
        matched,
        orders,
        outcome,
        payment: None,
        region,
        rules: version,
        score,
        sellers,
        shadow,
        stepped_up,
    }
}

/// How long before a provider lets go of money a review ends at the latest, in milliseconds; or half of the time there is, if that is
/// shorter.
pub const REVIEW_MARGIN_MS: i64 = 3_600_000;

/// Lets orders wait for a review. `capture_by`: until when their money can be taken, if it is only held.
pub(crate) fn review(
    market: &Market,
    orders: Vec<OrderId>,
    capture_by: Option<Timestamp>,
    now: Timestamp,
) -> Option<Event> {
    let terms = market.risk_rules()?.rules.0.review;
    let latest = capture_by.map(|until| {
        let left = until.ms_since(now).max(0);
        until.plus_ms(-REVIEW_MARGIN_MS.min(left / 2))
    });
    let due = now.plus_ms(terms.decide_within_ms);
    let due = latest.map_or(due, |latest| due.min(latest));
    let sla_by = now.plus_ms(terms.sla_ms).min(due);
    (!orders.is_empty()).then(|| ReviewOpened { due, orders, sla_by, then: terms.then }.into())
}

pub(crate) fn decide_set_rules(
    market: &Market,
    by: AccountId,
    command: &SetRiskRules,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetRiskRules { rules } = command;
    let in_force = market.risk_rules();
    if in_force.is_some_and(|in_force| *in_force.rules.0 == *rules) {
        return Ok(vec![]);
    }
    let first = market.risk.as_deref().and_then(|risk| risk.proposed.as_ref());
    match first.filter(|first| *first.rules.0 == *rules && may_be_agreed_to(market, first.by)) {
        Some(first) if first.by == by => Err(vec![RiskRejection::RulesFourEyes.into()]),
        Some(first) => {
            let version = in_force.map_or(1, |in_force| in_force.version + 1);
            Ok(vec![RulesSet { by, proposed_by: first.by, rules: rules.clone(), version }.into()])
        }
        // The first, or others, which then stand in the place of the first.
        None => Ok(vec![RulesProposed { by, rules: rules.clone() }.into()]),
    }
}
