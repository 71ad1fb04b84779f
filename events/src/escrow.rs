//! Facts of money in escrow: words that are said about it, and disputes.

pub mod milestone;
pub mod rule;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::milestone::Milestone;
use crate::account::Role;
use crate::ids::{AccountId, OrderId};
use crate::ledger::Transfer;
use crate::metadata::DeadlineStamp;
use crate::money::Money;
use crate::order::{ReleaseCondition, ShipmentNumber};
use crate::rejection::OrderState;
use crate::time::Timestamp;

/// Somebody gave a word that the rule of an escrow asks for, and the money is free some time later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseScheduled {
    /// Whose word.
    pub condition: ReleaseCondition,
    /// When the shipment's money is released.
    pub due: Timestamp,
    /// The order.
    pub order: OrderId,
    /// The shipment.
    pub shipment: ShipmentNumber,
}

/// The buyer signed a milestone of a shipment, as the rule of its escrow asks for. Of one that has arrived, what comes of that
/// stands behind it in the same commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneSigned {
    /// Which one.
    pub milestone: Milestone,
    /// The order.
    pub order: OrderId,
    /// The shipment.
    pub shipment: ShipmentNumber,
}

/// Money of a shipment was set apart, since somebody says that it is not to be paid as it stands. The shipment's own
/// deadline stands still until the money is unfrozen or settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Frozen {
    /// In which role somebody froze it: buyer or operator.
    pub by: Role,
    /// When it is paid back to the buyer unless somebody decided earlier. Of a return: until when its seller is to answer; from
    /// then on the return itself says what it waits for.
    pub due: Timestamp,
    /// More, in words; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The order.
    pub order: OrderId,
    /// Why.
    pub reason: FreezeReason,
    /// What the escrow itself still holds; none when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Money>,
    /// The shipment whose money it is.
    pub shipment: ShipmentNumber,
    /// What of it the platform paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsidy: Option<Money>,
    /// The tax in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Money>,
    /// From the escrow to the dispute.
    pub transfer: Transfer,
}

/// Why money is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FreezeReason {
    /// The shipment did not arrive.
    NotReceived,
    /// What arrived is not what was bought.
    NotAsDescribed,
    /// An operator wants it, for what the note says.
    Operator,
    /// Its units are to be returned.
    Return,
}

impl fmt::Display for FreezeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FreezeReason::NotReceived => "not received",
            FreezeReason::NotAsDescribed => "not as described",
            FreezeReason::Operator => "operator",
            FreezeReason::Return => "return",
        })
    }
}

/// Frozen money was given back to the escrow, and its shipment goes on where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unfrozen {
    /// In which role somebody gave it free: the buyer who had frozen it, or an operator.
    pub by: Role,
    /// The shipment's deadline from now on: it has the time left that it had when the money was frozen.
    pub deadline: DeadlineStamp,
    /// The order.
    pub order: OrderId,
    /// The shipment whose money it is.
    pub shipment: ShipmentNumber,
    /// From the dispute to the escrow.
    pub transfer: Transfer,
}

/// An operator decided about frozen money that is more than one may decide about; another one has to agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettlementProposed {
    /// Who decided.
    pub by: AccountId,
    /// Why, in words; 1 to 200 characters.
    pub note: String,
    /// The order.
    pub order: OrderId,
    /// The shipment whose money it is.
    pub shipment: ShipmentNumber,
    /// What the buyer is to get back.
    pub to_buyer: Money,
    /// What is to be released: the seller's part with the platform's.
    pub to_seller: Money,
}

/// Frozen money left the dispute, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    /// Who bought.
    pub buyer: AccountId,
    /// Who decided.
    pub by: SettledBy,
    /// How the order ended, if this closes it: nothing of it is then left to be shipped, delivered or paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_as: Option<OrderState>,
    /// The shipment's deadline from now on, if some of its money was not frozen and is still in escrow: it has the time
    /// left that it had when the money was frozen. None: nothing of the shipment is left to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DeadlineStamp>,
    /// When the seller may be paid out what is kept of his part; absent: nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
    /// Why, in words; 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The order.
    pub order: OrderId,
    /// What the escrow itself still holds; none when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Money>,
    /// Who sold.
    pub seller: AccountId,
    /// The shipment whose money it was.
    pub shipment: ShipmentNumber,
    /// From the dispute to the seller, to the platform and to the buyer, where they get something.
    pub transfers: Vec<Transfer>,
}

/// Who decided about frozen money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettledBy {
    /// One operator.
    Operator,
    /// Two operators.
    TwoOperators {
        /// Who decided first; the other one gave the command.
        proposed_by: AccountId,
    },
    /// Nobody, in the time there was: the buyer gets it back.
    Deadline,
    /// The return of its units, which stands before it in the same commit.
    Return,
}
