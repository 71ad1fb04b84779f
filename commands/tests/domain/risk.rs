//! Purchases are judged by rules that two operators set, and what comes of it.

mod backtest;
mod features;
mod review;
mod rules;

use crate::support::*;
use commands::command::SetRiskRules;
use commands::{Command, Market};
use events::Event;
use events::risk::Assessed;
use events::risk::rules::RuleSet;
use serde_json::{Value, json};

/// Rules that allow everything, with these changes.
fn ruleset(changes: &Value) -> RuleSet {
    let mut rules = json!({
        "elevated": "review", "highest": "block",
        "review": {"decide_within_ms": 4 * DAY_MS, "sla_ms": DAY_MS, "then": "decline"},
    });
    for (name, value) in changes.as_object().unwrap() {
        rules[name] = value.clone();
    }
    let rules: RuleSet = serde_json::from_value(rules).unwrap();
    rules.check().unwrap();
    rules
}

fn set_rules(changes: &Value) -> Command {
    SetRiskRules { rules: ruleset(changes) }.into()
}

/// A rule that holds where a feature is above something.
fn above(name: &str, then: &str, feature: &str, above: i64) -> Value {
    let mut condition = json!({"above": above, "feature": feature});
    if feature.contains("amount") {
        condition["currency"] = "USD".into();
    }
    json!({"name": name, "reason": "OTHER", "then": then, "when": [condition]})
}

/// Tea for 5 dollars and cups of another seller for 3, a buyer with 1000 dollars in his wallet, and no rules.
fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 1_000)
        .given_listing(OTHER_SELLER, CUP, usd(300), 1_000)
        .given(PROVIDER, fund(BUYER, usd(100_000)));
    world
}

/// The same, with rules in force.
fn judging(changes: &Value) -> World {
    let mut world = shop();
    in_force(&mut world, changes);
    world
}

fn in_force(world: &mut World, changes: &Value) {
    world.given(OPERATOR, set_rules(changes)).given(OTHER_OPERATOR, set_rules(changes));
}

/// What was made of the last purchase.
#[track_caller]
fn assessed(world: &World) -> Assessed {
    let found = world.events().iter().find_map(|event| match event {
        Event::RiskAssessed(assessed) => Some(assessed.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing was judged: {:?}", world.events()))
}

/// What was known of the last purchase; none: it was not, or is 0.
#[track_caller]
fn known(world: &World, feature: &str) -> Option<i64> {
    assessed(world).features.get(&feature.parse().unwrap()).copied()
}

/// Folds the log anew, and takes the state through a snapshot on the way.
fn then_folds_the_same(world: &World) {
    let mut market = Market::new();
    for (n, commit) in world.log.iter().enumerate() {
        market.evolve_commit(commit);
        if n == world.log.len() / 2 {
            let bytes = bincode::serde::encode_to_vec(&market, bincode::config::standard()).unwrap();
            market = bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0;
        }
    }
    assert!(market == world.market, "folding the log gives another state");
}
