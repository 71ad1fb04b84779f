//! Rules of risk in some simulated markets: what two operators set at the beginning, and what time makes of it.

use commands::Command;
use commands::command::SetRiskRules;
use serde_json::json;

/// Every so many seeds a market has rules; the others are what they would be without.
const SEEDS: u64 = 12;

/// Tells whether the market of a seed has rules.
pub(super) const fn has_rules(seed: u64) -> bool {
    seed % SEEDS == 5
}

/// Reviews whoever buys a second time within ten minutes, and lets him go on when nobody has looked for a while; refuses who goes on
/// buying.
pub(super) fn rules() -> Command {
    let rule = |name: &str, then: &str, above: i64| {
        let when = json!([{"feature": "account.purchases.10m", "above": above}]);
        json!({"name": name, "reason": "ACCOUNT_VELOCITY", "then": then, "when": when})
    };
    let rules = json!({
        "elevated": "review", "highest": "block",
        "review": {"decide_within_ms": 120_000, "sla_ms": 60_000, "then": "approve"},
        "rules": [rule("again", "review", 0), rule("and_again", "block", 3)],
    });
    let rules = serde_json::from_value(rules).expect("these are rules");
    SetRiskRules { rules }.into()
}
