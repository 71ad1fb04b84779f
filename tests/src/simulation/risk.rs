//! Rules of risk in some simulated markets: what two operators set, what they make of reviews, and what time makes of them.

use commands::Command;
use commands::command::{DecideReview, SetRiskRules};
use events::risk::rules::Verdict;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use super::people::{OPERATORS, Person, Sight};

/// Every so many seeds a market has rules; the others are what they would be without.
const SEEDS: u64 = 12;

/// Tells whether the market of a seed has rules.
pub(super) const fn has_rules(seed: u64) -> bool {
    seed % SEEDS == 5
}

/// What an operator wants now, if anything: that there are rules, or that a review is decided.
pub(super) fn wish(rng: &mut StdRng, sight: &Sight<'_>) -> Option<(Person, Command)> {
    let operator = OPERATORS[rng.random_range(0..OPERATORS.len())];
    if sight.market.risk_rules().is_none() {
        return rng.random_ratio(1, 3).then(|| (operator, rules()));
    }
    let reviewed = sight.market.orders.iter().find(|(_, order)| order.review().is_some())?;
    let verdict = if rng.random_ratio(1, 2) { Verdict::Approve } else { Verdict::Decline };
    rng.random_ratio(1, 6).then(|| (operator, DecideReview { order: *reviewed.0, verdict }.into()))
}

/// Reviews whoever buys a second time within ten minutes, and lets him go on when nobody has looked for a while; refuses who goes on
/// buying.
fn rules() -> Command {
    let rule = |name: &str, then: &str, above: i64| {
        let when = json!([{"feature": "account.purchases.10m", "above": above}]);
        json!({"name": name, "reason": "ACCOUNT_VELOCITY", "then": then, "when": when})
    };
    let rules = json!({
        "elevated": "review", "highest": "block", "payments": true,
        "review": {"decide_within_ms": 120_000, "sla_ms": 60_000, "then": "approve"},
        "rules": [rule("again", "review", 0), rule("and_again", "block", 3)],
    });
    let rules = serde_json::from_value(rules).expect("these are rules");
    SetRiskRules { rules }.into()
}
