//! Facts of orders that their buyer and their seller agree to change.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FeeQuote, Line, LineUnits};
use crate::account::Role;
use crate::ids::{ChangeId, OrderId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// The buyer or the seller of an order proposed to change what of it is not shipped yet. All that it would cost stands here
/// and is what applies if the other side accepts it; until then nothing of the order is changed, and no stock is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeProposed {
    /// Units that the order would have besides its own, priced as on a purchase of today: each listing once. Without
    /// locations, which are known when they are reserved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Line>,
    /// As what the account that proposed it acted: the order's buyer or its seller.
    pub by: Role,
    /// The change.
    pub change: ChangeId,
    /// What the buyer would pay, or get back.
    pub due: DifferenceDue,
    /// When it lapses unless the other side has answered.
    pub expires_at: Timestamp,
    /// What the platform would take of the whole order.
    pub fee: FeeQuote,
    /// The most that the buyer pays more, as he signed it with his proposal; absent where he has yet to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_difference: Option<Money>,
    /// The order.
    pub order: OrderId,
    /// Why, in the words of who proposed it; up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Units that would be cancelled, with what goes back of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<LineUnits>,
    /// What all units that were ever ordered would cost with those that are added, and with the delivery, which costs what
    /// it did.
    pub total: Money,
}

/// What a change of an order makes its buyer pay, or get back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceDue {
    /// It makes the order dearer: what the buyer pays out of his wallet.
    Collect(Money),
    /// It makes the order cheaper: what the buyer gets back.
    Refund(Money),
    /// What is added costs what goes back.
    Nothing,
}

impl DifferenceDue {
    /// Compares what is added with what goes back to the buyer, both in minor units.
    pub fn between(added_minor: i64, back_minor: i64, currency: Currency) -> DifferenceDue {
        let money = |minor| Money::new(minor, currency);
        match added_minor - back_minor {
            0 => DifferenceDue::Nothing,
            more if more > 0 => DifferenceDue::Collect(money(more)),
            less => DifferenceDue::Refund(money(-less)),
        }
    }

    /// Gives what the buyer pays more, in minor units.
    pub const fn collected_minor(self) -> i64 {
        match self {
            DifferenceDue::Collect(more) => more.minor,
            DifferenceDue::Refund(_) | DifferenceDue::Nothing => 0,
        }
    }

    /// Gives what the buyer gets back, in minor units.
    pub const fn refunded_minor(self) -> i64 {
        match self {
            DifferenceDue::Refund(less) => less.minor,
            DifferenceDue::Collect(_) | DifferenceDue::Nothing => 0,
        }
    }
}

impl fmt::Display for DifferenceDue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DifferenceDue::Collect(more) => write!(f, "{more} more"),
            DifferenceDue::Refund(less) => write!(f, "{less} less"),
            DifferenceDue::Nothing => f.write_str("no difference"),
        }
    }
}

/// A change was accepted, and applies: the order is what the change makes of it. What is added is reserved from here on. Behind
/// it in the same commit stand the units that are cancelled for it (`order.cancelled` by `change`) with what goes back of them,
/// and what is put into the escrow for those that are added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// Units that were added, as they were proposed, with the locations where they are reserved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Line>,
    /// As what the account that accepted it acted: the order's buyer or its seller.
    pub by: Role,
    /// The change.
    pub change: ChangeId,
    /// What the buyer pays, or gets back.
    pub due: DifferenceDue,
    /// What the platform takes of the whole order from here on.
    pub fee: FeeQuote,
    /// The order.
    pub order: OrderId,
    /// When what of it is not shipped is cancelled and paid back: the time to ship begins anew where units were added.
    pub ship_by: Timestamp,
    /// What all units that were ever ordered cost, with the delivery.
    pub total: Money,
    /// Counts what the order was: 1 as it was placed, 2 from its first change on.
    pub version: u32,
}

impl Changed {
    /// Gives what was added to the order's total, in minor units.
    pub fn added_minor(&self) -> i64 {
        self.added.iter().map(|line| line.total.minor).sum()
    }
}

/// The other side declined a change: the order is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeDeclined {
    /// As what the account that declined it acted: the order's buyer or its seller.
    pub by: Role,
    /// The change.
    pub change: ChangeId,
    /// The order.
    pub order: OrderId,
    /// Why, in the words of who declined it; up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who had proposed a change withdrew it: the order is what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeWithdrawn {
    /// As what the account that withdrew it acted: the order's buyer or its seller.
    pub by: Role,
    /// The change.
    pub change: ChangeId,
    /// The order.
    pub order: OrderId,
}

/// A change ended without anybody's answer: the order is what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeLapsed {
    /// The change.
    pub change: ChangeId,
    /// The order.
    pub order: OrderId,
    /// Why.
    pub why: LapseReason,
}

/// Why a change lapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LapseReason {
    /// The other side has not answered in time.
    Deadline,
    /// Units that it is about were shipped or cancelled, or all that was left: by the events behind it in the same commit.
    Overtaken,
}

impl fmt::Display for LapseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LapseReason::Deadline => "nobody answered in time",
            LapseReason::Overtaken => "the units it is about went",
        })
    }
}

/// Why a line of an order can't be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineChangeProblem {
    /// Units can't be added to it, since some of it were shipped or cancelled.
    UnitsWent,
    /// Another seller sells it.
    OtherSeller,
    /// It asks for more before its money is released than the order does.
    ReleaseRule,
    /// A quote is for units that are added, and none are.
    QuoteForNothing,
}

impl fmt::Display for LineChangeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineChangeProblem::UnitsWent => {
                "units of it were shipped or cancelled, and what the rest cost is settled: order more of it by itself"
            }
            LineChangeProblem::OtherSeller => "another seller sells it: order it of him",
            LineChangeProblem::ReleaseRule => {
                "its money waits for something that this order's does not: order it by itself"
            }
            LineChangeProblem::QuoteForNothing => "it has a quote, and no units of it are added: leave the quote out",
        })
    }
}

/// Why a change is not proposed or not applied as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ChangeProblem {
    /// One is open already.
    #[error("change {change} is open until {expires_at}: it must be accepted, declined or withdrawn first")]
    Open {
        /// The change.
        change: ChangeId,
        /// Until when.
        expires_at: Timestamp,
    },
    /// There is no such open change.
    #[error(
        "change {change} is not open: it was answered, has lapsed, or never was. The order's timeline tells"
    )]
    Unknown {
        /// The change.
        change: ChangeId,
    },
    /// As many were proposed as may be.
    #[error(
        "{max} changes of it were proposed, and no more may be: cancel what is not shipped and order anew"
    )]
    TooMany {
        /// The limit.
        max: u32,
    },
    /// It takes the other side.
    #[error(
        "the {by} proposed it, who may withdraw it (`order.withdraw_change`); the other side accepts or declines it"
    )]
    ProposedBy {
        /// Who proposed it.
        by: Role,
    },
    /// Nothing of the order would be left.
    #[error("nothing of it would be left: cancel it instead (`order.cancel`)")]
    LeavesNothing,
    /// Nothing of the order waits for its seller any more.
    #[error(
        "all of it is shipped or cancelled: order anew what is to be added, and claim or return what arrived"
    )]
    NothingLeft,
    /// The buyer can't pay the difference now.
    #[error(
        "its buyer can't pay {difference} more at the moment: he must fund his wallet, or be allowed to buy more, before the \
         change is accepted"
    )]
    NotCovered {
        /// The difference.
        difference: Money,
    },
    /// The buyer has not signed so much.
    #[error("it makes the order {difference} dearer, and its buyer signs at least that as `max_difference`")]
    Unsigned {
        /// The difference.
        difference: Money,
    },
    /// The wallet does not hold the difference.
    #[error(
        "{required} must be in the wallet for it, and {available} is: fund the wallet first (`payment.request`), also \
         where a card paid the order"
    )]
    WalletShort {
        /// What the wallet holds.
        available: Money,
        /// What is needed of it.
        required: Money,
    },
}
