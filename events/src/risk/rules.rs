//! Rules by which purchases are judged, as data.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feature::Feature;
use crate::code::code;
use crate::hash::Hash;
use crate::ids::{AccountId, DeviceId};
use crate::money::Currency;
use crate::tax::Region;
use crate::time::Timestamp;

code! {
    /// What a rule is called, such as `many_cards`.
    RuleName: "RiskRuleName", "rule name",
    must be "1 to 40 lower-case letters, digits and underscores such as many_cards",
    pattern "^[a-z0-9_]{1,40}$",
    description "1 to 40 lower-case letters, digits and underscores such as many_cards",
    fits |text| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    }
}

/// What is done with a purchase; the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RiskOutcome")]
pub enum Outcome {
    /// Nothing.
    Allow,
    /// A second factor is asked for; whoever has none is reviewed.
    Challenge,
    /// Its orders stand still until an operator has decided.
    Review,
    /// It is refused.
    Block,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Allow => "allow",
            Outcome::Challenge => "challenge",
            Outcome::Review => "review",
            Outcome::Block => "block",
        })
    }
}

/// What comes of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RiskVerdict")]
pub enum Verdict {
    /// The order goes on.
    Approve,
    /// It is cancelled and paid back.
    Decline,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Approve => "approve",
            Verdict::Decline => "decline",
        })
    }
}

/// Why a rule holds, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(rename = "RiskReason")]
pub enum ReasonCode {
    /// The account buys often, or much.
    AccountVelocity,
    /// The device does.
    DeviceVelocity,
    /// The means of payment is used often, or for much.
    InstrumentVelocity,
    /// Devices that look the same buy often, or much.
    FingerprintVelocity,
    /// Much is delivered to one region.
    ShipToVelocity,
    /// Payments are declined again and again, as when cards are tried out.
    DeclineVelocity,
    /// It is much money.
    HighAmount,
    /// It is more, or other, than its buyer usually spends.
    UnusualAmount,
    /// The account, or its device, has not been there for long.
    ShortIdentityHistory,
    /// It is not known well enough who it is.
    UnverifiedIdentity,
    /// It is not known, or known to be false, where the device's key is kept.
    DeviceAttestation,
    /// Many accounts buy with one means of payment, or one account with many.
    SharedInstrument,
    /// Many accounts buy from one device, or one account from many.
    SharedDevice,
    /// Buyer and seller may be one person.
    BuyerSellerCollusion,
    /// The buyer has not bought from the seller before.
    FirstPurchase,
    /// The seller is new, or much of what he sold is disputed.
    SellerRisk,
    /// Banks took back what was paid before.
    PastChargebacks,
    /// Something before was a fraud.
    PastFraud,
    /// It stands on a list.
    Listed,
    /// Something else.
    Other,
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What must be so of one feature. What is not known of a purchase is neither above nor below anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RiskCondition")]
pub struct Condition {
    /// It is more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<i64>,
    /// It is less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<i64>,
    /// The purchase is in this currency. Amounts need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The feature.
    pub feature: Feature,
    /// Whether it is known at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
}

/// A rule that decides by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RiskRule")]
pub struct HardRule {
    /// What it is called.
    pub name: RuleName,
    /// Why.
    pub reason: ReasonCode,
    /// Whether it is only tried out: that it holds is recorded, and nothing comes of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shadow: bool,
    /// What it wants.
    pub then: Outcome,
    /// When it holds: if all of these do, 1 to 8.
    #[schemars(length(min = 1, max = RuleSet::CONDITIONS_MAX))]
    pub when: Vec<Condition>,
}

/// A rule of the scorecard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RiskScoreRule")]
pub struct ScoreRule {
    /// What it is called.
    pub name: RuleName,
    /// What it adds to the score, -99 to 99 and not 0.
    pub points: i8,
    /// Why.
    pub reason: ReasonCode,
    /// Whether it is only tried out: that it holds is recorded, and nothing comes of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shadow: bool,
    /// When it holds: if all of these do, 1 to 8.
    #[schemars(length(min = 1, max = RuleSet::CONDITIONS_MAX))]
    pub when: Vec<Condition>,
}

/// What stands on a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RiskListed")]
pub enum Listed {
    /// An account that buys.
    Account(AccountId),
    /// A device.
    Device(DeviceId),
    /// A fingerprint of devices.
    Fingerprint(Hash),
    /// A means of payment, by its hash.
    Instrument(Hash),
    /// A region that is delivered to.
    Region(Region),
    /// An account that sells.
    Seller(AccountId),
}

/// On which list it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RiskList")]
pub enum List {
    /// What is always allowed.
    Allow,
    /// What is always blocked.
    Deny,
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RiskListEntry")]
pub struct ListEntry {
    /// The list.
    pub list: List,
    /// Until when it stands there, that moment left out; absent: until other rules are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What stands there.
    pub what: Listed,
}

/// How reviews go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RiskReviewTerms")]
pub struct ReviewTerms {
    /// In how many milliseconds a review is to be decided; less where a provider lets go of the money before.
    pub decide_within_ms: i64,
    /// In how many milliseconds somebody should have looked.
    pub sla_ms: i64,
    /// What is decided if nobody does.
    pub then: Verdict,
}

/// How purchases are judged. In this order, and the first that holds decides: what is on the allow list and rules that allow; what is
/// on the deny list and rules that block; rules that challenge; rules that review; and else the score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RiskRules")]
pub struct RuleSet {
    /// What is done from a score of 65 on.
    pub elevated: Outcome,
    /// What is done from a score of 75 on.
    pub highest: Outcome,
    /// What is always allowed or blocked, at most 256.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = RuleSet::LISTED_MAX))]
    pub lists: BTreeSet<ListEntry>,
    /// Whether payments that are asked for by themselves are judged too, into a wallet or for an order anew.
    #[serde(default, skip_serializing_if = "is_false")]
    pub payments: bool,
    /// How reviews go on.
    pub review: ReviewTerms,
    /// Rules that decide by themselves, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RuleSet::RULES_MAX))]
    pub rules: Vec<HardRule>,
    /// Rules that make the score, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RuleSet::RULES_MAX))]
    pub scores: Vec<ScoreRule>,
}

impl RuleSet {
    /// Most rules of each kind.
    pub const RULES_MAX: usize = 64;
    /// Most conditions of a rule.
    pub const CONDITIONS_MAX: usize = 8;
    /// Most entries of the lists together.
    pub const LISTED_MAX: usize = 256;
    /// The longest time that a review may last: 30 days.
    pub const REVIEW_MS_MAX: i64 = 30 * 86_400_000;
    /// From which score on risk is elevated.
    pub const ELEVATED_FROM: u8 = 65;
    /// From which score on risk is the highest.
    pub const HIGHEST_FROM: u8 = 75;
    /// The highest score.
    pub const SCORE_MAX: u8 = 99;
    /// What an entry of the allow list is told as.
    pub const ALLOW_LIST: &'static str = "allow_list";
    /// What an entry of the deny list is told as.
    pub const DENY_LIST: &'static str = "deny_list";

    /// Checks that all that it says is in range; the error is the rule that is broken.
    pub fn check(&self) -> Result<(), String> {
        let (most, listed) = (Self::RULES_MAX, Self::LISTED_MAX);
        if self.rules.len() > most || self.scores.len() > most || self.lists.len() > listed {
            return Err(format!("there may be {most} rules of each kind and {listed} entries of lists"));
        }
        let ReviewTerms { decide_within_ms, sla_ms, .. } = self.review;
        let times = 1..=Self::REVIEW_MS_MAX;
        if !times.contains(&decide_within_ms) || !times.contains(&sla_ms) {
            return Err(format!("a review may last 1 to {} ms", Self::REVIEW_MS_MAX));
        }
        let mut names = BTreeSet::from([Self::ALLOW_LIST, Self::DENY_LIST]);
        let hard = self.rules.iter().map(|rule| (&rule.name, &rule.when));
        let scored = self.scores.iter().map(|rule| (&rule.name, &rule.when));
        for (name, when) in hard.chain(scored) {
            if !names.insert(name.as_str()) {
                return Err(format!("`{name}` is the name of another rule, or of a list"));
            }
            if !(1..=Self::CONDITIONS_MAX).contains(&when.len()) {
                return Err(format!("`{name}` may have 1 to {} conditions", Self::CONDITIONS_MAX));
            }
            for condition in when {
                let feature = condition.feature;
                if condition.above.is_none() && condition.below.is_none() && condition.known.is_none() {
                    return Err(format!(
                        "`{name}` says nothing about {feature}: give `above`, `below` or `known`"
                    ));
                }
                if feature.is_amount() && condition.currency.is_none() && condition.known.is_none() {
                    return Err(format!("`{name}` needs a `currency` for {feature}"));
                }
            }
        }
        match self.scores.iter().find(|rule| rule.points == 0 || rule.points.unsigned_abs() > Self::SCORE_MAX)
        {
            Some(wrong) => Err(format!("`{}` may have -99 to 99 points, and not 0", wrong.name)),
            None => Ok(()),
        }
    }
}

fn is_false(is: &bool) -> bool {
    !is
}
