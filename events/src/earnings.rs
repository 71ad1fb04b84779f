//! Facts of what sellers have earned.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AccountId;
use crate::ledger::Transfer;

/// What was kept of a seller's earnings until this time is his to be paid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReserveReleased {
    /// Whose it is.
    pub seller: AccountId,
    /// From what is kept to what he may be paid out, one for each currency.
    pub transfers: Vec<Transfer>,
}
