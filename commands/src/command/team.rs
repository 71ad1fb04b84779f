//! What can be asked about a cart's name, and about who fills it together with its owner.

use events::ids::{AccountId, CartId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CART_NAME_LENGTH_MAX, Text};

/// Gives the cart a name, or takes its name away. Given by its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameCart {
    /// What it is called; absent: it has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<CART_NAME_LENGTH_MAX>>,
}

/// Shares the active cart with another buyer, who sees it and changes its lines from then on; nobody but its owner buys it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareCart {
    /// The cart.
    pub cart: CartId,
    /// With whom.
    pub with: AccountId,
}

/// Shares the active cart with somebody no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnshareCart {
    /// The cart.
    pub cart: CartId,
    /// With whom it was shared.
    pub with: AccountId,
}

/// Leaves the active cart that another buyer shares with the giver, who then neither sees nor changes it. Given by whom it is
/// shared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveCart {
    /// Whose cart it is.
    pub owner: AccountId,
}
