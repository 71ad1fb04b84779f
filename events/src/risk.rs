//! Facts of how risky a purchase is: the rules that two operators set, what they made of a purchase, and what people made of that.

pub mod feature;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::feature::Feature;
use self::rules::{Outcome, ReasonCode, RuleName, RuleSet, Verdict};
use crate::hash::Hash;
use crate::ids::{AccountId, DeviceId, OrderId, PaymentId};
use crate::metadata::DeadlineStamp;
use crate::money::Money;
use crate::tax::Region;
use crate::time::Timestamp;

/// An operator proposed how purchases are judged; another one has to propose the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesProposed {
    /// By whom.
    pub by: AccountId,
    /// All of it.
    pub rules: RuleSet,
}

/// A second operator agreed: purchases are judged like this from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesSet {
    /// Who agreed.
    pub by: AccountId,
    /// Who had proposed it.
    pub proposed_by: AccountId,
    /// All of it; it takes the place of what was said before.
    pub rules: RuleSet,
    /// Counts the rule sets of the market from 1.
    pub version: u32,
}

/// A purchase, or a payment that is asked for by itself, was judged by the market's rules. It is for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assessed {
    /// Who buys.
    pub account: AccountId,
    /// The most that he signed for.
    pub amount: Money,
    /// What the scorecard alone would have done.
    pub by_score: Outcome,
    /// What of the score is whose, highest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// The device that signed.
    pub device: DeviceId,
    /// What was known, of which nothing else went into the decision. What counts is left out where it is 0.
    pub features: BTreeMap<Feature, i64>,
    /// The fingerprint that the device was attested with; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Hash>,
    /// The means of payment: a hash of the provider's account and its token; absent: the wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<Hash>,
    /// The rule, or list, that decided before the score; absent: none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<Matched>,
    /// The orders; if it was blocked, those that it would have become. Of a payment those that it is for, if any.
    pub orders: Vec<OrderId>,
    /// What was done.
    pub outcome: Outcome,
    /// The payment, if it was asked for by itself; if it was blocked, the one that it would have been. Absent: it is a purchase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentId>,
    /// Where to it is delivered; absent: it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The version of the rules.
    pub rules: u32,
    /// The score, 0 to 99.
    pub score: u8,
    /// Who sells.
    pub sellers: BTreeSet<AccountId>,
    /// Rules that are only tried out and held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<ShadowMatch>,
    /// Whether a second factor was shown.
    pub stepped_up: bool,
}

/// What one rule adds to a score.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RiskContribution")]
pub struct Contribution {
    /// How much, below 0: it takes that off.
    pub points: i8,
    /// Why.
    pub reason: ReasonCode,
    /// The rule.
    pub rule: RuleName,
}

/// A rule, or list, that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RiskMatched")]
pub struct Matched {
    /// Why.
    pub reason: ReasonCode,
    /// The rule, or `allow_list` or `deny_list`.
    pub rule: RuleName,
    /// What it wants.
    pub then: Outcome,
}

/// A rule that is only tried out and held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RiskShadowMatch")]
pub struct ShadowMatch {
    /// What it would add to the score; absent: it is no rule of the scorecard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<i8>,
    /// The rule.
    pub rule: RuleName,
    /// What it would want; absent: it is a rule of the scorecard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Outcome>,
}

/// Orders that are paid, or whose money is held, wait for somebody to look at their risk: until then they stand still, as on an
/// operator's hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewOpened {
    /// Until when it has to be decided; in any case before a provider lets go of their money.
    pub due: Timestamp,
    /// The orders.
    pub orders: Vec<OrderId>,
    /// Until when somebody should have looked.
    pub sla_by: Timestamp,
    /// What is decided if nobody does.
    pub then: Verdict,
}

/// An operator took a review: for some time nobody else decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewClaimed {
    /// Who took it.
    pub by: AccountId,
    /// The order.
    pub order: OrderId,
    /// Until when it is his.
    pub until: Timestamp,
}

/// A review was decided: the order goes on where it stood, or is cancelled behind this in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewDecided {
    /// Who decided; absent: nobody did in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AccountId>,
    /// The order's deadlines as they are from now on: each has the time left that it had when the review began.
    pub deadlines: Vec<DeadlineStamp>,
    /// The order.
    pub order: OrderId,
    /// What was decided.
    pub verdict: Verdict,
}

/// An operator said what an order turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Labelled {
    /// Who bought.
    pub buyer: AccountId,
    /// Who says so.
    pub by: AccountId,
    /// What it was.
    pub label: Label,
    /// Why, in words for other operators; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The order.
    pub order: OrderId,
}

/// What an order turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RiskLabel")]
pub enum Label {
    /// A fraud.
    Fraud,
    /// None.
    Good,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Label::Fraud => "fraud",
            Label::Good => "good",
        })
    }
}
