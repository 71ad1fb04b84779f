//! Why a provider's file, or a break between it and the ledger, is not dealt with as it was asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commit::Position;

/// What is wrong with a report of a provider's file, or with what is to be done about a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ReconciliationProblem {
    /// The period is none.
    #[error("the period ends before it begins: give `from` before `until`")]
    PeriodEmpty,
    /// The log is shorter than what was looked at: it may be another market's.
    #[error(
        "the ledger was looked at beyond position {head}, where this market's log ends: compare with this market's log"
    )]
    BeyondLog {
        /// Where the log ends.
        head: Position,
    },
    /// The amounts of a break do not differ as it says.
    #[error("what is said to differ about `{reference}` does not: compare the file again")]
    NoDifference {
        /// The provider's reference.
        reference: String,
    },
    /// Operators are to deal with what is open first.
    #[error(
        "{open} breaks are open, and {max} may be: resolve some (`reconciliation.resolve`), then report the file again"
    )]
    TooManyOpen {
        /// How many are open.
        open: u32,
        /// How many may be.
        max: u32,
    },
    /// There is no open break of this number.
    #[error(
        "break {number} is not open: it was resolved, or never was; see GET /v1/reconciliation/breaks?state=resolved"
    )]
    NotOpen {
        /// The number.
        number: u64,
    },
}
