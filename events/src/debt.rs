//! Facts of what people owe, since a bank or a return took back what they had spent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::ids::AccountId;
use crate::ledger::Transfer;
use crate::money::Money;

/// Somebody repaid what he owes, or a part, out of his wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repaid {
    /// Whose debt.
    pub account: AccountId,
    /// From the wallet to what he owes: as a buyer first, then as a seller.
    pub transfers: Vec<Transfer>,
}

/// An operator does not expect any more that somebody repays what he owes, or a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenOff {
    /// Whose debt.
    pub account: AccountId,
    /// Who wrote it off.
    pub by: AccountId,
    /// The other operator, who had proposed it; none where one alone may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<AccountId>,
    /// Why; 1 to 200 characters.
    pub reason: String,
    /// From `platform:expense` to what he owes.
    pub transfer: Transfer,
}

/// An operator proposed to write off more of a debt than one alone may: it waits for another to agree. It stands in the
/// place of what was proposed for the debt before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteOffProposed {
    /// Whose debt.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// Who proposed it.
    pub by: AccountId,
    /// Why; 1 to 200 characters.
    pub reason: String,
    /// What it is owed as: `buyer` or `seller`.
    pub role: Role,
}
