//! Risk: random rules, and what operators make of what these review.

use std::collections::BTreeSet;

use commands::command::{ClaimReview, DecideReview, LabelOrder, SetRiskRules};
use events::ids::OrderId;
use events::risk::Label;
use events::risk::rules::{Outcome, RuleSet, Verdict};
use events::{Commit, Event};
use proptest::prelude::*;
use serde_json::json;

use super::Run;
use super::steps::OPERATORS;
use crate::support::*;

/// What somebody does about risk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RiskStep {
    /// An operator proposes rules, and mostly the other one agrees.
    SetRules(usize, u8, bool),
    Claim(usize, usize),
    Decide(usize, usize, bool),
    Label(usize, usize, bool),
}

pub(crate) fn risking() -> impl Strategy<Value = RiskStep> {
    let (nth, operator) = (any::<usize>(), 0..2usize);
    prop_oneof![
        1 => (operator.clone(), 0u8..4, prop::bool::weighted(0.8))
            .prop_map(|(o, kind, agrees)| RiskStep::SetRules(o, kind, agrees)),
        1 => (nth, operator.clone()).prop_map(|(n, o)| RiskStep::Claim(n, o)),
        3 => (nth, operator.clone(), prop::bool::weighted(0.8)).prop_map(|(n, o, y)| RiskStep::Decide(n, o, y)),
        1 => (nth, operator, any::<bool>()).prop_map(|(n, o, y)| RiskStep::Label(n, o, y)),
    ]
}

/// Rules that allow most of what is bought.
fn rules(kind: u8) -> RuleSet {
    let rule = |then: &str, feature: &str, above: i64| json!({"name": "rule", "reason": "OTHER", "then": then, "when": [{"above": above, "feature": feature}]});
    let rules = match kind {
        0 => vec![],
        1 => vec![rule("review", "account.purchases.10m", 0)],
        2 => vec![rule("block", "account.purchases.1h", 3)],
        _ => vec![rule("challenge", "seller.first", 0)],
    };
    let then = if kind == 1 { "decline" } else { "approve" };
    let rules = json!({
        "elevated": "review", "highest": "block", "payments": kind != 3, "rules": rules,
        "review": {"decide_within_ms": 2 * DAY_MS, "sla_ms": DAY_MS, "then": then},
    });
    serde_json::from_value(rules).unwrap()
}

impl Run {
    pub(crate) fn risk(&mut self, step: RiskStep) {
        match step {
            RiskStep::SetRules(operator, kind, agrees) => {
                let set = SetRiskRules { rules: rules(kind) };
                self.ask(OPERATORS[operator], set.clone().into());
                if agrees {
                    self.ask(OPERATORS[1 - operator], set.into());
                }
            }
            RiskStep::Claim(nth, operator) => {
                let order = self.reviewed(nth);
                self.ask(OPERATORS[operator], ClaimReview { order }.into());
            }
            RiskStep::Decide(nth, operator, approves) => {
                let verdict = if approves { Verdict::Approve } else { Verdict::Decline };
                let order = self.reviewed(nth);
                self.ask(OPERATORS[operator], DecideReview { order, verdict }.into());
            }
            RiskStep::Label(nth, operator, is_fraud) => {
                let label = if is_fraud { Label::Fraud } else { Label::Good };
                let order = self.order(nth).0;
                self.ask(OPERATORS[operator], LabelOrder { label, note: None, order }.into());
            }
        }
    }

    /// Gives one of the orders in review, if there is any, or any order.
    fn reviewed(&self, nth: usize) -> OrderId {
        let open = self.world.market.orders.iter().filter(|(_, order)| order.review().is_some());
        let open: Vec<OrderId> = open.map(|(id, _)| *id).collect();
        if open.is_empty() { self.order(nth).0 } else { open[nth % open.len()] }
    }

    /// Follows what is said about risk.
    pub(crate) fn risked(&mut self, event: &Event, commit: &Commit) {
        match event {
            Event::RiskAssessed(assessed) => {
                let placed = commit.events().iter().filter_map(|recorded| match &recorded.event {
                    Event::OrderPlaced(placed) => Some(placed.order),
                    _ => None,
                });
                let placed: BTreeSet<OrderId> = placed.collect();
                let orders: BTreeSet<OrderId> = assessed.orders.iter().copied().collect();
                let is_blocked = assessed.outcome == Outcome::Block;
                let is_placed = !is_blocked && assessed.payment.is_none();
                assert_eq!(
                    placed,
                    if is_placed { orders } else { BTreeSet::new() },
                    "what is blocked is not placed"
                );
                let requested = commit.events().iter().find_map(|recorded| match &recorded.event {
                    Event::PaymentRequested(requested) => Some(requested.payment),
                    _ => None,
                });
                if let Some(payment) = assessed.payment {
                    assert_eq!(
                        requested,
                        (!is_blocked).then_some(payment),
                        "what is blocked is not asked for"
                    );
                }
            }
            Event::ReviewOpened(opened) => {
                for order in &opened.orders {
                    self.paid.get_mut(order).unwrap().is_held = true;
                }
            }
            Event::ReviewDecided(decided) => self.paid.get_mut(&decided.order).unwrap().is_held = false,
            _ => {}
        }
    }
}
