//! What rules make of what is known of a purchase.

use std::cmp::Reverse;

use events::Timestamp;
use events::risk::rules::{
    Condition, List, ListEntry, Listed, Outcome, ReasonCode, RuleName, RuleSet, ScoreRule,
};
use events::risk::{Contribution, Matched, ShadowMatch};

use super::asked::Asked;
use super::features::Vector;

/// What rules make of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What the scorecard alone would do.
    pub by_score: Outcome,
    /// What of the score is whose, highest first.
    pub contributions: Vec<Contribution>,
    /// What decided before the score; none: nothing did.
    pub matched: Option<Matched>,
    /// What is done.
    pub outcome: Outcome,
    /// The score, 0 to 99.
    pub score: u8,
    /// Rules that are only tried out and hold.
    pub shadow: Vec<ShadowMatch>,
    /// Whether a second factor was shown.
    pub stepped_up: bool,
}

/// Judges a purchase. `can_step_up`: its buyer has a second factor; `is_shown`: he showed it, so that nothing challenges him any more.
pub fn judge(
    rules: &RuleSet,
    asked: &Asked,
    vector: &Vector,
    can_step_up: bool,
    is_shown: bool,
    now: Timestamp,
) -> Judgement {
    let (score, contributions) = score(rules, asked, vector);
    let by_score = match score {
        RuleSet::HIGHEST_FROM.. => rules.highest,
        RuleSet::ELEVATED_FROM.. => rules.elevated,
        _ => Outcome::Allow,
    };
    let order = [Outcome::Allow, Outcome::Block, Outcome::Challenge, Outcome::Review].into_iter();
    // A challenge that was met is none.
    let order = order.filter(|outcome| *outcome != Outcome::Challenge || !is_shown);
    let matched = order.into_iter().find_map(|wanted| {
        let listed = match wanted {
            Outcome::Allow => on_list(rules, List::Allow, asked, now).then_some(RuleSet::ALLOW_LIST),
            Outcome::Block => on_list(rules, List::Deny, asked, now).then_some(RuleSet::DENY_LIST),
            Outcome::Challenge | Outcome::Review => None,
        };
        if let Some(list) = listed {
            let rule: RuleName = list.parse().expect("the name of a list is one of a rule");
            return Some(Matched { reason: ReasonCode::Listed, rule, then: wanted });
        }
        let mut of_kind = rules.rules.iter().filter(|rule| rule.then == wanted && !rule.shadow);
        let found = of_kind.find(|rule| hold(&rule.when, asked, vector))?;
        Some(Matched { reason: found.reason, rule: found.name.clone(), then: wanted })
    });
    let outcome = match matched.as_ref().map_or(by_score, |matched| matched.then) {
        Outcome::Challenge if is_shown => Outcome::Allow,
        Outcome::Challenge if !can_step_up => Outcome::Review,
        other => other,
    };
    let shadow = shadow(rules, asked, vector);
    Judgement { by_score, contributions, matched, outcome, score, shadow, stepped_up: is_shown }
}

fn score(rules: &RuleSet, asked: &Asked, vector: &Vector) -> (u8, Vec<Contribution>) {
    let holds = |rule: &&ScoreRule| !rule.shadow && hold(&rule.when, asked, vector);
    let mut contributions: Vec<Contribution> = rules
        .scores
        .iter()
        .filter(holds)
        .map(|rule| Contribution { points: rule.points, reason: rule.reason, rule: rule.name.clone() })
        .collect();
    let sum: i32 = contributions.iter().map(|part| i32::from(part.points)).sum();
    let capped = sum.clamp(0, i32::from(RuleSet::SCORE_MAX));
    contributions.sort_by_key(|part| Reverse(part.points));
    (u8::try_from(capped).expect("a score fits"), contributions)
}

fn shadow(rules: &RuleSet, asked: &Asked, vector: &Vector) -> Vec<ShadowMatch> {
    let hard = rules.rules.iter().filter(|rule| rule.shadow && hold(&rule.when, asked, vector));
    let hard = hard.map(|rule| ShadowMatch { points: None, rule: rule.name.clone(), then: Some(rule.then) });
    let scored = rules.scores.iter().filter(|rule| rule.shadow && hold(&rule.when, asked, vector));
    let scored =
        scored.map(|rule| ShadowMatch { points: Some(rule.points), rule: rule.name.clone(), then: None });
    hard.chain(scored).collect()
}

/// Tells whether all that a rule asks for is so.
fn hold(when: &[Condition], asked: &Asked, vector: &Vector) -> bool {
    when.iter().all(|condition| {
        let value = vector.get(condition.feature);
        condition.currency.is_none_or(|currency| currency == asked.amount.currency)
            && condition.known.is_none_or(|known| known == value.is_some())
            && condition.above.is_none_or(|above| value.is_some_and(|value| value > above))
            && condition.below.is_none_or(|below| value.is_some_and(|value| value < below))
    })
}

fn on_list(rules: &RuleSet, list: List, asked: &Asked, now: Timestamp) -> bool {
    let is_about = |entry: &ListEntry| match &entry.what {
        Listed::Account(account) => *account == asked.account,
        Listed::Device(device) => *device == asked.device,
        Listed::Fingerprint(hash) => Some(*hash) == asked.fingerprint,
        Listed::Instrument(hash) => Some(*hash) == asked.instrument,
        Listed::Region(region) => {
            asked.region.as_ref().is_some_and(|to| to == region || to.country().as_ref() == Some(region))
        }
        Listed::Seller(seller) => asked.sellers.contains(seller),
    };
    let in_force = rules.lists.iter().filter(|entry| entry.list == list);
    in_force.filter(|entry| entry.until.is_none_or(|until| now < until)).any(is_about)
}
