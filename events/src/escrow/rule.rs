//! What sets money in escrow free, as data: a tree of conditions, and one pure function that tells from when it holds.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::milestone::{Milestone, Milestones};
use crate::market::{Deadlines, TermsError};
use crate::order::ReleaseCondition;
use crate::time::Timestamp;

/// When the money of a shipment that has arrived is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReleaseTerms {
    /// How long it is still kept once its rule holds, in milliseconds, from 0.
    hold_ms: i64,
    /// What must be so.
    rule: ReleaseRule,
}

impl ReleaseTerms {
    /// Takes terms that are in range.
    pub fn new(hold_ms: i64, rule: ReleaseRule) -> Result<ReleaseTerms, TermsError> {
        match (0..=Deadlines::MS_MAX).contains(&hold_ms) {
            true => Ok(ReleaseTerms { hold_ms, rule }),
            false => Err(TermsError::Release { wrong: RuleError::Time { ms: hold_ms } }),
        }
    }

    /// Gives how long money is still kept once its rule holds.
    pub const fn hold_ms(&self) -> i64 {
        self.hold_ms
    }

    /// Gives what must be so.
    pub const fn rule(&self) -> &ReleaseRule {
        &self.rule
    }
}

impl Default for ReleaseTerms {
    /// At once, when the buyer has confirmed or the time to inspect is over. Escrows that recorded none rely on it: it is
    /// never changed.
    fn default() -> Self {
        let usual = vec![Condition::BuyerConfirmed, Condition::InspectionElapsed];
        ReleaseTerms { hold_ms: 0, rule: ReleaseRule(Condition::AnyOf(usual)) }
    }
}

impl<'de> Deserialize<'de> for ReleaseTerms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            hold_ms: i64,
            rule: ReleaseRule,
        }
        let Parts { hold_ms, rule } = Parts::deserialize(deserializer)?;
        ReleaseTerms::new(hold_ms, rule).map_err(de::Error::custom)
    }
}

/// A tree of conditions that has its bounds and comes true at some time, whatever people do or leave undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ReleaseRule(Condition);

/// A condition, or several of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// All of these hold.
    AllOf(Vec<Condition>),
    /// One of these holds.
    AnyOf(Vec<Condition>),
    /// The buyer has confirmed the delivery.
    BuyerConfirmed,
    /// The carrier has reported the delivery, and some time has passed since then.
    CarrierDelivered {
        /// How long, in milliseconds.
        after_ms: i64,
    },
    /// The time to inspect is over.
    InspectionElapsed,
    /// All of the order's money has been held for some time.
    MinAge {
        /// How long, in milliseconds.
        ms: i64,
    },
    /// An operator has released the money.
    OperatorRelease,
    /// The buyer has signed a milestone of the shipment.
    MilestoneSigned {
        /// Which one.
        milestone: Milestone,
    },
    /// An operator has cleared the order of risk.
    RiskClear,
}

/// What is known of a shipment that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFacts {
    /// Whether the buyer has confirmed the delivery.
    pub buyer_confirmed: bool,
    /// When the carrier reported the delivery, if he did.
    pub carrier_delivered: Option<Timestamp>,
    /// When the time to inspect is over.
    pub inspection_ends: Timestamp,
    /// Whether an operator has released the money.
    pub operator_released: bool,
    /// Whether an operator has cleared the order of risk.
    pub risk_cleared: bool,
    /// The milestones that the buyer has signed.
    pub signed: Milestones,
    /// Since when all of the order's money is held: since it was placed or, where a provider pays some of it, paid.
    pub held_since: Timestamp,
}

/// Why a tree of conditions is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It is larger than it may be.
    #[error("it may have {} conditions in all, {} deep", ReleaseRule::NODES_MAX, ReleaseRule::DEPTH_MAX)]
    Size,
    /// It has a list without conditions.
    #[error("`all_of` and `any_of` need a condition at least")]
    Empty,
    /// A time is out of range.
    #[error("a time must be 0 to {} ms (ten years), not {ms}", Deadlines::MS_MAX)]
    Time {
        /// What it was to be.
        ms: i64,
    },
    /// It could wait for ever.
    #[error(
        "it would wait for ever for people: let it hold without a word of buyer, carrier or operator some time, such as \
         with any_of and inspection_elapsed"
    )]
    Endless,
}

impl ReleaseRule {
    /// Most conditions of a rule, those that hold others among them.
    pub const NODES_MAX: usize = 16;
    /// How deep conditions may stand in others.
    pub const DEPTH_MAX: usize = 4;

    /// Takes a tree of conditions that has its bounds and comes true at some time without anybody's word.
    pub fn new(condition: Condition) -> Result<ReleaseRule, RuleError> {
        let nodes = condition.check(ReleaseRule::DEPTH_MAX)?;
        if nodes > ReleaseRule::NODES_MAX {
            return Err(RuleError::Size);
        }
        let silent = ReleaseFacts {
            buyer_confirmed: false,
            carrier_delivered: None,
            inspection_ends: Timestamp::from_ms(0),
            operator_released: false,
            risk_cleared: false,
            signed: Milestones::default(),
            held_since: Timestamp::from_ms(0),
        };
        let rule = ReleaseRule(condition);
        if rule.holds_from(&silent).is_some() { Ok(rule) } else { Err(RuleError::Endless) }
    }

    /// Tells from when the rule holds, as far as is known now; none: not without somebody's word. A word that was given
    /// holds since ever.
    pub fn holds_from(&self, facts: &ReleaseFacts) -> Option<Timestamp> {
        self.0.holds_from(facts)
    }

    /// Names what makes the rule hold at some time: of alternatives the first that does. None of them if it does not hold.
    pub fn met(&self, facts: &ReleaseFacts, now: Timestamp) -> Vec<ReleaseCondition> {
        let mut met = Vec::new();
        self.0.gather(facts, now, &mut met);
        met
    }

    /// Makes the rule that asks for all that this one and the others ask for: each comes true at some time, so all of them do.
    /// What is asked for twice stands once. None where that is larger than a rule may be.
    pub fn and<'a>(&'a self, others: impl IntoIterator<Item = &'a ReleaseRule>) -> Option<ReleaseRule> {
        let mut parts = Vec::new();
        for rule in std::iter::once(self).chain(others) {
            let asked = match &rule.0 {
                Condition::AllOf(asked) => asked.as_slice(),
                other => std::slice::from_ref(other),
            };
            for part in asked {
                if !parts.contains(part) {
                    parts.push(part.clone());
                }
            }
        }
        match <[Condition; 1]>::try_from(parts) {
            Ok([only]) => ReleaseRule::new(only).ok(),
            Err(parts) => ReleaseRule::new(Condition::AllOf(parts)).ok(),
        }
    }

    /// Tells whether something, such as an operator's word, is one of the conditions.
    pub fn asks(&self, what: ReleaseCondition) -> bool {
        self.0.asks(what)
    }
}

impl<'de> Deserialize<'de> for ReleaseRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReleaseRule::new(Condition::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Condition {
    /// Counts the conditions, if all are in their bounds.
    fn check(&self, depth_left: usize) -> Result<usize, RuleError> {
        match self {
            Condition::AllOf(parts) | Condition::AnyOf(parts) => {
                if parts.is_empty() {
                    return Err(RuleError::Empty);
                }
                let depth_left = depth_left.checked_sub(1).ok_or(RuleError::Size)?;
                parts.iter().try_fold(1, |nodes, part| Ok(nodes + part.check(depth_left)?))
            }
            Condition::CarrierDelivered { after_ms: ms } | Condition::MinAge { ms } => {
                if (0..=Deadlines::MS_MAX).contains(ms) { Ok(1) } else { Err(RuleError::Time { ms: *ms }) }
            }
            Condition::BuyerConfirmed
            | Condition::InspectionElapsed
            | Condition::MilestoneSigned { .. }
            | Condition::OperatorRelease
            | Condition::RiskClear => Ok(1),
        }
    }

    fn holds_from(&self, facts: &ReleaseFacts) -> Option<Timestamp> {
        let ever = Timestamp::from_ms(0);
        match self {
            // The last of all, the first of any; one that never holds keeps all of them from it.
            Condition::AllOf(parts) => {
                parts.iter().try_fold(ever, |latest, part| Some(latest.max(part.holds_from(facts)?)))
            }
            Condition::AnyOf(parts) => parts.iter().filter_map(|part| part.holds_from(facts)).min(),
            Condition::BuyerConfirmed => facts.buyer_confirmed.then_some(ever),
            Condition::CarrierDelivered { after_ms } => {
                facts.carrier_delivered.map(|at| at.plus_ms(*after_ms))
            }
            Condition::InspectionElapsed => Some(facts.inspection_ends),
            Condition::MinAge { ms } => Some(facts.held_since.plus_ms(*ms)),
            Condition::MilestoneSigned { milestone } => facts.signed.contains(*milestone).then_some(ever),
            Condition::OperatorRelease => facts.operator_released.then_some(ever),
            Condition::RiskClear => facts.risk_cleared.then_some(ever),
        }
    }

    fn gather(&self, facts: &ReleaseFacts, now: Timestamp, met: &mut Vec<ReleaseCondition>) {
        let holds = |part: &Condition| part.holds_from(facts).is_some_and(|from| from <= now);
        if !holds(self) {
            return;
        }
        match self {
            Condition::AllOf(parts) => parts.iter().for_each(|part| part.gather(facts, now, met)),
            Condition::AnyOf(parts) => {
                if let Some(part) = parts.iter().find(|part| holds(part)) {
                    part.gather(facts, now, met);
                }
            }
            one => met.extend(one.named()),
        }
    }

    fn asks(&self, what: ReleaseCondition) -> bool {
        match self {
            Condition::AllOf(parts) | Condition::AnyOf(parts) => parts.iter().any(|part| part.asks(what)),
            one => one.named() == Some(what),
        }
    }

    /// Names the condition as events do; none: it is made of others.
    const fn named(&self) -> Option<ReleaseCondition> {
        Some(match self {
            Condition::AllOf(_) | Condition::AnyOf(_) => return None,
            Condition::BuyerConfirmed => ReleaseCondition::BuyerConfirmed,
            Condition::CarrierDelivered { .. } => ReleaseCondition::CarrierDelivered,
            Condition::InspectionElapsed => ReleaseCondition::InspectionElapsed,
            Condition::MinAge { .. } => ReleaseCondition::MinAge,
            Condition::MilestoneSigned { milestone } => {
                ReleaseCondition::MilestoneSigned { milestone: *milestone }
            }
            Condition::OperatorRelease => ReleaseCondition::OperatorRelease,
            Condition::RiskClear => ReleaseCondition::RiskClear,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Condition::{AllOf, AnyOf, BuyerConfirmed, InspectionElapsed, OperatorRelease, RiskClear};
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_ms(hours * HOUR_MS)
    }

    /// Placed at hour 10, delivered at hour 20, to be inspected until hour 50.
    fn silent() -> ReleaseFacts {
        ReleaseFacts {
            buyer_confirmed: false,
            carrier_delivered: None,
            inspection_ends: at(50),
            operator_released: false,
            risk_cleared: false,
            signed: Milestones::default(),
            held_since: at(10),
        }
    }

    fn rule(condition: serde_json::Value) -> ReleaseRule {
        serde_json::from_value(condition).unwrap()
    }

    #[test]
    fn a_rule_holds_from_the_first_moment_its_facts_allow() {
        use ReleaseCondition as Met;
        let confirmed = ReleaseFacts { buyer_confirmed: true, ..silent() };
        let carried = ReleaseFacts { carrier_delivered: Some(at(20)), ..silent() };
        let released = ReleaseFacts { operator_released: true, ..silent() };
        let usual = rule(json!({"any_of": ["buyer_confirmed", "inspection_elapsed"]}));
        assert_eq!(usual, *ReleaseTerms::default().rule());
        let swift =
            rule(json!({"any_of": [{"carrier_delivered": {"after_ms": 4 * HOUR_MS}}, "inspection_elapsed"]}));
        let late = rule(
            json!({"all_of": [{"any_of": ["buyer_confirmed", "operator_release", "inspection_elapsed"]},
            {"min_age": {"ms": 30 * HOUR_MS}}]}),
        );
        let step = |number| Milestone::new(number).unwrap();
        let both = rule(json!({"any_of": [
            {"all_of": [{"milestone_signed": {"milestone": 1}}, {"milestone_signed": {"milestone": 16}}, "risk_clear"]},
            {"all_of": ["inspection_elapsed", {"min_age": {"ms": 80 * HOUR_MS}}]},
        ]}));
        let first = ReleaseFacts { signed: Milestones::default().with(step(1)), ..silent() };
        let signed = ReleaseFacts { signed: first.signed.with(step(16)), ..silent() };
        let cleared = ReleaseFacts { risk_cleared: true, ..signed };
        let said = [1, 16]
            .map(|number| Met::MilestoneSigned { milestone: step(number) })
            .into_iter()
            .chain([Met::RiskClear]);
        for (rule, facts, from, met) in [
            (&both, first, 90, vec![Met::InspectionElapsed, Met::MinAge]),
            (&both, signed, 90, vec![Met::InspectionElapsed, Met::MinAge]),
            (&both, cleared, 0, said.collect()),
            (&usual, silent(), 50, vec![Met::InspectionElapsed]),
            (&usual, confirmed, 0, vec![Met::BuyerConfirmed]),
            (&swift, silent(), 50, vec![Met::InspectionElapsed]),
            (&swift, carried, 24, vec![Met::CarrierDelivered]),
            (&late, silent(), 50, vec![Met::InspectionElapsed, Met::MinAge]),
            (&late, confirmed, 40, vec![Met::BuyerConfirmed, Met::MinAge]),
            (&late, released, 40, vec![Met::OperatorRelease, Met::MinAge]),
        ] {
            assert_eq!(rule.holds_from(&facts), Some(at(from)), "{rule:?}");
            assert_eq!(rule.met(&facts, at(from)), met, "{rule:?}");
            // What was said holds since ever; there is nothing before.
            let before = at(from).plus_ms(-1);
            assert_eq!(rule.met(&facts, before), [], "{rule:?}");
        }
        assert!(late.asks(Met::OperatorRelease) && !usual.asks(Met::OperatorRelease));
        assert!(both.asks(Met::RiskClear) && !late.asks(Met::RiskClear));
        assert!(both.asks(Met::MilestoneSigned { milestone: step(16) }));
        assert!(!both.asks(Met::MilestoneSigned { milestone: step(2) }));
    }

    #[test]
    fn a_tree_that_is_no_rule_is_refused_and_can_not_be_read_either() {
        let nested = |depth: usize| (0..depth).fold(InspectionElapsed, |inner, _| AnyOf(vec![inner]));
        let wide = |parts: usize| AnyOf(vec![InspectionElapsed; parts]);
        let age = |ms| Condition::MinAge { ms };
        let signed = |number| Condition::MilestoneSigned { milestone: Milestone::new(number).unwrap() };
        for (condition, error) in [
            (nested(4), None),
            (nested(5), Some(RuleError::Size)),
            (wide(15), None),
            (wide(16), Some(RuleError::Size)),
            (AllOf(vec![]), Some(RuleError::Empty)),
            (age(0), None),
            (age(-1), Some(RuleError::Time { ms: -1 })),
            (
                Condition::CarrierDelivered { after_ms: Deadlines::MS_MAX + 1 },
                Some(RuleError::Time { ms: Deadlines::MS_MAX + 1 }),
            ),
            (BuyerConfirmed, Some(RuleError::Endless)),
            (
                AnyOf(vec![OperatorRelease, Condition::CarrierDelivered { after_ms: 0 }]),
                Some(RuleError::Endless),
            ),
            (AllOf(vec![InspectionElapsed, OperatorRelease]), Some(RuleError::Endless)),
            (AllOf(vec![InspectionElapsed, RiskClear]), Some(RuleError::Endless)),
            (AnyOf(vec![RiskClear, signed(1), signed(16)]), Some(RuleError::Endless)),
            (AnyOf(vec![InspectionElapsed, signed(2)]), None),
        ] {
            let written = serde_json::to_value(&condition).unwrap();
            let read = serde_json::from_value::<ReleaseRule>(written.clone());
            match (ReleaseRule::new(condition), error) {
                (Ok(rule), None) => {
                    assert_eq!(serde_json::to_value(&rule).unwrap(), written);
                    assert_eq!(read.unwrap(), rule);
                }
                (made, error) => {
                    let error = error.unwrap();
                    assert_eq!(read.unwrap_err().to_string(), error.to_string());
                    assert_eq!(made, Err(error));
                }
            }
        }
        for unknown in [json!("full_moon"), json!({"milestone_signed": {"milestone": 17}})] {
            let rule = json!({"any_of": ["inspection_elapsed", unknown]});
            assert!(serde_json::from_value::<ReleaseRule>(rule).is_err());
        }
        let terms = ReleaseTerms::new(-1, ReleaseTerms::default().rule().clone());
        assert_eq!(terms, Err(TermsError::Release { wrong: RuleError::Time { ms: -1 } }));
    }
}
