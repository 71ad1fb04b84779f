//! How rules are set, and in which order they decide.

use events::command::Rejected;
use events::ledger::LedgerAccount;
use events::rejection::RiskRejection;
use events::risk::rules::{Outcome, ReasonCode};
use events::{Event, Rejection};
use serde_json::{Value, json};

use super::*;
use crate::support::suspended::ByTwo;
use crate::support::*;

fn one_tea() -> Command {
    place(&[(TEA, 1)], usd(500))
}

#[test]
fn rules_are_set_by_two_operators_who_give_the_same() {
    let mut world = shop();
    let (first, other) = (json!({}), json!({"elevated": "challenge"}));
    world.when(OPERATOR, set_rules(&first)).then_types(["risk.rules_proposed.v1"]);
    let alone: Rejection = RiskRejection::RulesFourEyes.into();
    world.when(OPERATOR, set_rules(&first)).then_rejected([alone.clone()]);
    // Another proposal stands in the place of the first, which then waits for nobody.
    world.when(OTHER_OPERATOR, set_rules(&other)).then_types(["risk.rules_proposed.v1"]);
    world.when(OTHER_OPERATOR, set_rules(&other)).then_rejected([alone]);
    // Nothing is judged yet.
    world.when(BUYER, one_tea()).then_types(["order.placed.v1", "escrow.held.v1"]);
    world.when(OPERATOR, set_rules(&other));
    let [Event::RiskRulesSet(set)] = world.events() else { panic!("{:?}", world.events()) };
    assert_eq!((set.version, set.by, set.proposed_by), (1, OPERATOR.account(), OTHER_OPERATOR.account()));
    world.when(OTHER_OPERATOR, set_rules(&other)).then_unchanged();
    in_force(&mut world, &first);
    assert_eq!(world.market.risk_rules().unwrap().version, 2);
    then_folds_the_same(&world);
}

#[test]
fn a_suspended_operator_is_none_of_the_two_who_set_rules() {
    let alone = RiskRejection::RulesFourEyes.into();
    let (proposed, done) = ("risk.rules_proposed.v1", "risk.rules_set.v1");
    let set = ByTwo { command: set_rules(&json!({})), proposed, alone, done };
    set.needs_two_who_are_not_suspended(&mut shop());
    set.counts_again_after_a_reinstatement(&mut shop());
}

#[test]
fn rules_that_say_nothing_or_too_much_are_none() {
    let hard = |when: Value| json!({"name": "a", "reason": "OTHER", "then": "block", "when": when});
    let score = |name: &str, points: i8| json!({"name": name, "points": points, "reason": "OTHER", "when": [{"above": 1, "feature": "device.age_ms"}]});
    let good = json!({"above": 1, "feature": "device.age_ms"});
    let many = (0..65).map(|n| score(&format!("r{n}"), 1)).collect::<Vec<_>>();
    for (changes, said) in [
        (json!({"rules": [hard(json!([]))]}), "1 to 8 conditions"),
        (json!({"rules": [hard(json!(vec![good.clone(); 9]))]}), "1 to 8 conditions"),
        (json!({"rules": [hard(json!([{"feature": "device.age_ms"}]))]}), "says nothing"),
        (json!({"rules": [hard(json!([{"above": 1, "feature": "purchase.amount"}]))]}), "needs a `currency`"),
        (json!({"rules": [hard(json!([good.clone()])), hard(json!([good]))]}), "another rule"),
        (json!({"scores": [score("allow_list", 1)]}), "or of a list"),
        (json!({"scores": [score("a", 0)]}), "points"),
        (json!({"scores": [score("a", 100)]}), "points"),
        (json!({"scores": many}), "64 rules"),
        (json!({"review": {"decide_within_ms": 0, "sla_ms": 1, "then": "approve"}}), "may last"),
    ] {
        let mut rules = serde_json::to_value(ruleset(&json!({}))).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            rules[name] = value.clone();
        }
        let rules: RuleSet = serde_json::from_value(rules).unwrap();
        let error = rules.check().unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_is_allowed_is_recorded_with_all_that_was_known() {
    let mut world = judging(&json!({}));
    world.when(BUYER, one_tea());
    world.then_types(["order.placed.v1", "escrow.held.v1", "order.risk_assessed.v1"]);
    let order = world.order(0);
    let made = assessed(&world);
    assert_eq!((made.account, made.device, made.amount), (BUYER.account(), BUYER.device(), usd(500)));
    assert_eq!((made.orders.as_slice(), made.outcome, made.score), ([order].as_slice(), Outcome::Allow, 0));
    assert_eq!((made.rules, made.matched, made.instrument), (1, None, None));
    assert_eq!(made.sellers, [SELLER.account()].into());
    assert_eq!(known(&world, "seller.first"), Some(1));
    world.given(SELLER, ship(order));
    then_folds_the_same(&world);
}

#[test]
fn what_is_blocked_is_refused_without_a_reason_and_moves_nothing() {
    let mut world = judging(&json!({"rules": [above("too_much", "block", "purchase.amount", 900)]}));
    world.when(BUYER, one_tea()).then_types(["order.placed.v1", "escrow.held.v1", "order.risk_assessed.v1"]);
    let before = world.market.ledger.balance(LedgerAccount::Wallet(BUYER.account()), usd(0).currency);
    world.when(BUYER, place(&[(TEA, 2)], usd(1000)));
    let order = world.order(0);
    let [Event::CommandRejected(Rejected { reasons, .. }), Event::RiskAssessed(made)] = world.events() else {
        panic!("{:?}", world.events())
    };
    assert_eq!(*reasons, [RiskRejection::PurchaseDeclined.into()]);
    let matched = made.matched.as_ref().unwrap();
    assert_eq!(
        (matched.rule.as_str(), matched.then, made.outcome),
        ("too_much", Outcome::Block, Outcome::Block)
    );
    assert_eq!(made.orders, [order], "what it would have become");
    assert!(world.market.orders.get(order).is_none());
    let after = world.market.ledger.balance(LedgerAccount::Wallet(BUYER.account()), usd(0).currency);
    assert_eq!(after, before);
    // What can't be bought anyway is refused for that, and not judged.
    world
        .when(BUYER, place(&[(99, 2)], usd(1000)))
        .then_rejected([Rejection::ListingUnknown { listing: listing(99) }]);
    then_folds_the_same(&world);
}

#[test]
fn a_cart_is_judged_as_an_order_is() {
    let mut world = judging(&json!({"rules": [above("two_sellers", "block", "purchase.sellers", 1)]}));
    world.given(BUYER, add(TEA, 1)).given(BUYER, add(CUP, 1));
    let cart = world.cart(BUYER);
    let expected = commands::command::Expected { cart: Some(2), listing: None };
    world.when_if(expected, BUYER, migrate(cart, usd(800)));
    world.then_types(["command.rejected.v1", "order.risk_assessed.v1"]);
    assert_eq!(world.cart(BUYER), cart, "the cart is still there");
    world.given(BUYER, remove(CUP));
    let expected = commands::command::Expected { cart: Some(3), listing: None };
    world.when_if(expected, BUYER, migrate(cart, usd(500)));
    world.then_types(["order.placed.v1", "escrow.held.v1", "cart.migrated.v1", "order.risk_assessed.v1"]);
}

#[test]
fn allowing_comes_before_blocking_and_blocking_before_review() {
    let all = [
        above("r", "review", "purchase.amount", 0),
        above("b", "block", "purchase.amount", 100),
        above("a", "allow", "purchase.amount", 200),
    ];
    for (count, outcome, rule) in
        [(3, Outcome::Allow, "a"), (2, Outcome::Block, "b"), (1, Outcome::Review, "r")]
    {
        let mut world = judging(&json!({"rules": all[..count]}));
        world.when(BUYER, one_tea());
        let made = assessed(&world);
        assert_eq!((made.outcome, made.matched.unwrap().rule.as_str()), (outcome, rule));
    }
}

#[test]
fn of_rules_of_one_kind_the_first_that_holds_decides() {
    let rules = [
        above("no", "block", "purchase.amount", 500),
        above("first", "block", "purchase.amount", 400),
        above("second", "block", "purchase.amount", 100),
    ];
    let mut world = judging(&json!({"rules": rules}));
    world.when(BUYER, one_tea());
    assert_eq!(assessed(&world).matched.unwrap().rule.as_str(), "first");
}

#[test]
fn lists_allow_and_deny_until_their_entries_end() {
    let mut world = shop();
    let until = world.now.plus_ms(DAY_MS);
    let entry = |list: &str, what: Value, until: Option<i64>| match until {
        Some(until) => json!({"list": list, "until": until, "what": what}),
        None => json!({"list": list, "what": what}),
    };
    let lists = json!([
        entry("allow", json!({"account": BUYER.account()}), Some(until.ms())),
        entry("deny", json!({"seller": SELLER.account()}), None),
    ]);
    in_force(&mut world, &json!({"lists": lists}));
    world.when(BUYER, one_tea());
    let matched = assessed(&world).matched.unwrap();
    assert_eq!((matched.rule.as_str(), matched.reason), ("allow_list", ReasonCode::Listed));
    // Nobody else may buy from him, and after a day the buyer neither.
    world.given(PROVIDER, fund_as("two", OTHER_BUYER, usd(1000)));
    world.when(OTHER_BUYER, one_tea()).then_types(["command.rejected.v1", "order.risk_assessed.v1"]);
    world.after(DAY_MS).when(BUYER, one_tea());
    assert_eq!(assessed(&world).matched.unwrap().rule.as_str(), "deny_list");
    world.when(BUYER, place(&[(CUP, 1)], usd(300)));
    assert_eq!(assessed(&world).outcome, Outcome::Allow);
}

#[test]
fn the_scorecard_adds_up_and_ends_at_99() {
    let part = |name: &str, points: i8, above: i64| {
        json!({"name": name, "points": points, "reason": "HIGH_AMOUNT",
               "when": [{"above": above, "currency": "USD", "feature": "purchase.amount"}]})
    };
    let scores = [part("a", 64, 400), part("b", 10, 900), part("c", 60, 1400), part("d", -20, 1900)];
    let rules = json!({"elevated": "review", "highest": "block", "scores": scores});
    for (units, score, outcome, parts) in [
        (1, 64, Outcome::Allow, vec!["a"]),
        (2, 74, Outcome::Review, vec!["a", "b"]),
        (3, 99, Outcome::Block, vec!["a", "c", "b"]),
        (4, 99, Outcome::Block, vec!["a", "c", "b", "d"]),
    ] {
        let mut world = judging(&rules);
        world.when(BUYER, place(&[(TEA, units)], usd(500 * i64::from(units))));
        let made = assessed(&world);
        assert_eq!((made.score, made.outcome, made.by_score), (score, outcome, outcome), "{units}");
        let names: Vec<&str> = made.contributions.iter().map(|part| part.rule.as_str()).collect();
        assert_eq!(names, parts);
    }
    // What takes points off never makes less than nothing.
    let mut world = judging(&json!({"scores": [part("d", -20, 0)]}));
    world.when(BUYER, one_tea());
    assert_eq!(assessed(&world).score, 0);
}

#[test]
fn a_rule_may_decide_against_the_score_and_both_are_told() {
    let scores = json!([{"name": "s", "points": 90, "reason": "OTHER",
                         "when": [{"above": 0, "currency": "USD", "feature": "purchase.amount"}]}]);
    let rules = json!({"rules": [above("known", "allow", "purchase.amount", 0)], "scores": scores});
    let mut world = judging(&rules);
    world.when(BUYER, one_tea());
    let made = assessed(&world);
    assert_eq!((made.outcome, made.by_score, made.score), (Outcome::Allow, Outcome::Block, 90));
}

#[test]
fn what_is_only_tried_out_is_recorded_and_does_nothing() {
    let mut hard = above("try", "block", "purchase.amount", 0);
    hard["shadow"] = true.into();
    let scores = json!([{"name": "try_too", "points": 90, "reason": "OTHER", "shadow": true,
                         "when": [{"known": false, "feature": "device.attestation"}]}]);
    let mut world = judging(&json!({"rules": [hard], "scores": scores}));
    world.when(BUYER, one_tea());
    let made = assessed(&world);
    assert_eq!((made.outcome, made.score), (Outcome::Allow, 0));
    let shadow: Vec<_> = made.shadow.iter().map(|one| (one.rule.as_str(), one.then, one.points)).collect();
    assert_eq!(shadow, [("try", Some(Outcome::Block), None), ("try_too", None, Some(90))]);
}

#[test]
fn what_is_not_known_is_neither_above_nor_below() {
    let below = json!({"name": "b", "reason": "OTHER", "then": "block",
                       "when": [{"below": 2, "feature": "device.attestation"}]});
    let mut world = judging(&json!({"rules": [below]}));
    world.when(BUYER, one_tea());
    assert_eq!(assessed(&world).outcome, Outcome::Allow, "nobody has looked at the device");
}

#[test]
fn only_operators_set_rules() {
    let mut world = shop();
    for actor in [BUYER, SELLER, PROVIDER, REGISTRAR] {
        world.when(actor, set_rules(&json!({})));
        assert!(matches!(world.outcome(), commands::Decision::Refuse(commands::Refusal::ScopeDenied { .. })));
    }
}

/// What can be asked for in rules stands in the documentation.
#[test]
fn every_feature_and_reason_is_documented() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/risk.md");
    let docs = std::fs::read_to_string(path).unwrap();
    for fact in events::risk::feature::Fact::ALL {
        let name = events::risk::feature::Feature::Fact(*fact).to_string();
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
    let schema = serde_json::to_value(schemars::schema_for!(ReasonCode)).unwrap();
    let reasons: Vec<_> =
        schema["oneOf"].as_array().unwrap().iter().map(|one| one["const"].clone()).collect();
    assert!(reasons.len() > 10);
    for reason in reasons {
        assert!(docs.contains(&format!("`{}`", reason.as_str().unwrap())), "{reason}");
    }
}
