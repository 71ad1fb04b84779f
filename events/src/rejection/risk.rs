//! Why a purchase, or a command about risk, is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, OrderId};
use crate::time::Timestamp;

/// A broken rule of risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum RiskRejection {
    /// The market's rules of risk block the purchase. Its buyer is not told why.
    #[error("this purchase can't be made here: ask the market's support")]
    PurchaseDeclined,
    /// Rules are set by two operators.
    #[error("you proposed these rules: another operator has to give the same command")]
    RulesFourEyes,
    /// Nobody is to look at the order's risk.
    #[error("order {order} is not in review: see GET /v1/risk/reviews")]
    NotInReview {
        /// The order.
        order: OrderId,
    },
    /// Another operator has taken the review.
    #[error(
        "operator {by} has the review of order {order} until {until}: leave it to him, or come back then"
    )]
    ReviewClaimed {
        /// Who has it.
        by: AccountId,
        /// The order.
        order: OrderId,
        /// Until when.
        until: Timestamp,
    },
}
