//! Why a command is refused for a code, or about codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A broken rule of codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum FactorRejection {
    /// The code that was shown is wrong.
    #[error(
        "the code is wrong, and {left} more may be before codes are locked: sign the command anew, with a new id, and show another"
    )]
    CodeWrong {
        /// How many more may be wrong before the account's codes are locked for a while.
        left: u32,
    },
    /// There are too few or too many recovery codes, or one of them twice.
    #[error("an account has {min} to {max} recovery codes, each another one")]
    RecoveryCodes {
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
}
