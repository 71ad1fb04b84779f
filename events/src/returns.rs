//! Facts of units that buyers send back after they were delivered, in markets that offer returns.

pub mod replacement;

use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::replacement::Replacement;
use crate::ids::{AccountId, ListingId, OrderId};
use crate::ledger::Transfer;
use crate::location::Location;
use crate::money::Money;
use crate::order::{LineUnits, ShipmentNumber};
use crate::time::Timestamp;

/// The number of a return within its order, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ReturnNumber(NonZeroU32);

impl ReturnNumber {
    /// The number of an order's first return.
    pub const FIRST: ReturnNumber = ReturnNumber(NonZeroU32::MIN);

    /// Gives the number of the return behind the first `count`.
    ///
    /// # Panics
    /// If there are 2^32 - 1 returns before it: an order may have far fewer.
    pub fn after(count: u32) -> ReturnNumber {
        ReturnNumber(NonZeroU32::MIN.checked_add(count).expect("an order has few returns"))
    }

    /// Gives the number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for ReturnNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a buyer sends units back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReturnReason {
    /// He does not want them any more.
    ChangedMind,
    /// They are not what was bought.
    NotAsDescribed,
    /// They arrived damaged.
    Damaged,
    /// Something else arrived.
    WrongItem,
    /// They arrived too late.
    ArrivedLate,
    /// For what the note says.
    Other,
}

impl fmt::Display for ReturnReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReturnReason::ChangedMind => "changed mind",
            ReturnReason::NotAsDescribed => "not as described",
            ReturnReason::Damaged => "damaged",
            ReturnReason::WrongItem => "wrong item",
            ReturnReason::ArrivedLate => "arrived late",
            ReturnReason::Other => "other",
        })
    }
}

/// A buyer wants to send delivered units back. If their money is still in escrow, it is frozen in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requested {
    /// When it counts as approved unless the seller has answered.
    pub answer_by: Timestamp,
    /// Who bought.
    pub buyer: AccountId,
    /// Which units, with what was paid for them: what they cost, less what was given back of their shipment before.
    pub lines: Vec<LineUnits>,
    /// More, in words; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Which of the order's returns it is.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// Why.
    pub reason: ReturnReason,
    /// What the buyer wants in their place; absent: their money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<Replacement>,
    /// Who sold.
    pub seller: AccountId,
    /// The shipment that they came in.
    pub shipment: ShipmentNumber,
}

/// A return was approved: the buyer is to send the units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approved {
    /// Who approved it.
    pub by: DecidedBy,
    /// Why, in words; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// When it ends unless the units were sent.
    pub send_by: Timestamp,
}

/// Who decided something of a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// The order's seller.
    Seller,
    /// An operator.
    Operator,
    /// Nobody, in the time there was.
    Deadline,
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecidedBy::Seller => "the seller",
            DecidedBy::Operator => "an operator",
            DecidedBy::Deadline => "nobody in time",
        })
    }
}

/// A seller does not want units back. The buyer may have an operator look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// When the return ends unless the buyer has asked an operator.
    pub appeal_by: Timestamp,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// Why, in words; 1 to 200 characters.
    pub reason: String,
}

/// A buyer does not agree with his seller, who has rejected a return or wants to keep a part of its money: an operator is to
/// decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Appealed {
    /// When it is decided as the buyer wants it, unless an operator has decided.
    pub decide_by: Timestamp,
    /// Why, in words; 1 to 200 characters.
    pub note: String,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
}

/// What an operator makes of a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReturnDecision {
    /// As the buyer wants it: the units are sent back, or all of their money is paid back.
    Approve,
    /// As the seller said.
    Deny,
    /// The seller keeps so much, and no more than he said.
    Deduct(Money),
}

/// An operator decided about a return of more than the market's limit, and another one has to agree. A second proposal stands in the
/// place of the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionProposed {
    /// Who decided.
    pub by: AccountId,
    /// How.
    pub decision: ReturnDecision,
    /// Why, in words; 1 to 200 characters.
    pub note: String,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
}

/// A buyer handed the units of a return to a carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// Who carries them, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// When they count as received intact, unless the seller has said how they arrived: the carrier's time is over then, and
    /// the seller's to look at them.
    pub inspect_by: Timestamp,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// The carrier's number, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
}

/// The units of a return came back, as the seller says or, where he said nothing in time, all of them and intact. Intact ones are
/// in his stock from here on, and damaged ones among the damaged. Unless he wants to keep a part of their money, it goes back in
/// the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Received {
    /// Who says so.
    pub by: DecidedBy,
    /// What the seller wants to keep of their money, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduction: Option<Deduction>,
    /// How the units of each line came back, in the order of the request.
    pub lines: Vec<ReceivedUnits>,
    /// Where they came to; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
}

/// How units of one line of a return came back: all that were to come are in one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceivedUnits {
    /// Units that can't be sold any more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub damaged: u32,
    /// Units that can be sold again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub intact: u32,
    /// What was bought.
    pub listing: ListingId,
    /// Units that did not come.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u32,
    /// Units in whose place something else came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wrong: u32,
}

impl ReceivedUnits {
    /// Counts all units.
    pub fn units(&self) -> u64 {
        [self.damaged, self.intact, self.missing, self.wrong].into_iter().map(u64::from).sum()
    }

    /// Counts the units that came back.
    pub const fn came(&self) -> u32 {
        self.damaged + self.intact
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(units: &u32) -> bool {
    *units == 0
}

/// What a seller wants to keep of a return's money, since units did not come back as they were sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deduction {
    /// How much.
    pub amount: Money,
    /// When it stands, unless the buyer has asked an operator.
    pub appeal_by: Timestamp,
    /// Why, in words; 1 to 200 characters.
    pub note: String,
}

/// A return ended without a refund. If its money was frozen, it is given back to the escrow in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// Why, in words; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// How.
    pub outcome: ReturnEnd,
}

/// How a return ends without a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReturnEnd {
    /// The buyer gave it up.
    Cancelled,
    /// An operator decided as the seller had.
    Denied,
    /// The buyer did not send the units in time.
    Expired,
    /// The seller rejected it, and the buyer did not ask an operator in time.
    Rejected,
}

impl fmt::Display for ReturnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReturnEnd::Cancelled => "cancelled",
            ReturnEnd::Denied => "denied",
            ReturnEnd::Expired => "expired",
            ReturnEnd::Rejected => "rejected",
        })
    }
}

/// A return ended: what was paid for its units goes back, but for a deduction. If the money was frozen, `escrow.settled` stands
/// behind it in the same commit and moves it; else it is taken from who had been paid it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refunded {
    /// What goes back, what the platform had paid among it; zero where the deduction is all.
    pub amount: Money,
    /// Who decided.
    pub by: DecidedBy,
    /// What of the units' money does not go back; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduction: Option<Money>,
    /// Why, in words; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Which of the order's returns.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// The order that is placed behind it in the same commit in the place of the units, which their money pays; absent: none, the
    /// money is the buyer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<OrderId>,
    /// The shipment that the units had come in.
    pub shipment: ShipmentNumber,
    /// What of the amount the platform had paid of the purchase, and gets; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsidy: Option<Money>,
    /// The tax in the amount, in proportion; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Money>,
    /// From what the seller has earned, or owes from now on, and from the platform's fees and taxes, to the buyer's wallet and,
    /// what the platform had paid, to the platform; none where the money was frozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<Transfer>,
}
