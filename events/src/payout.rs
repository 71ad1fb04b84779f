//! Facts of what sellers are paid out through an outside provider. Each holds its own posting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, PayoutId};
use crate::ledger::Transfer;
use crate::time::Timestamp;

/// A seller asked for what he has earned: from here on the provider is asked until it has said what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requested {
    /// Who is paid.
    pub account: AccountId,
    /// When it is told as overdue unless the provider has said what came of it.
    pub due: Timestamp,
    /// The payout.
    pub payout: PayoutId,
    /// The provider's account.
    pub provider: AccountId,
    /// What the provider knows the seller's bank account by; never a number of it.
    pub token: String,
    /// From what the seller has earned to what is on its way to him.
    pub transfer: Transfer,
}

/// The provider paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paid {
    /// Who was paid.
    pub account: AccountId,
    /// The payout.
    pub payout: PayoutId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the payout.
    pub reference: String,
    /// From what was on its way to the provider's clearing account.
    pub transfer: Transfer,
}

/// The provider could not pay: the seller has it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    /// Who was to be paid.
    pub account: AccountId,
    /// Why, in the provider's words for programs.
    pub code: String,
    /// The payout.
    pub payout: PayoutId,
    /// The provider's account.
    pub provider: AccountId,
    /// From what was on its way back to what the seller has earned.
    pub transfer: Transfer,
}

/// The bank returned what the provider had paid: the seller has it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Returned {
    /// Who was to be paid.
    pub account: AccountId,
    /// Why, in the provider's words for programs.
    pub code: String,
    /// The payout.
    pub payout: PayoutId,
    /// The provider's account.
    pub provider: AccountId,
    /// From the provider's clearing account to what the seller has earned.
    pub transfer: Transfer,
}

/// Nobody has said in time what came of a payout. It goes on to be asked for, since the money may be gone: an operator looks
/// at the provider's own pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overdue {
    /// Who is to be paid.
    pub account: AccountId,
    /// The payout.
    pub payout: PayoutId,
    /// The provider's account.
    pub provider: AccountId,
}
