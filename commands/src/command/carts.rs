//! What a buyer asks of the carts.

use events::cart::MergePolicy;
use events::ids::{AccountId, CartId, ListingId};
use events::{Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Puts units of a listing into the buyer's cart, opening one if there is none, or into one that is shared with him.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddToCart {
    /// The listing.
    pub listing: ListingId,
    /// Whose cart it is; absent: the giver's own. Another's only while he shares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountId>,
    /// How many more.
    pub quantity: Quantity,
}

/// Sets how many units of a listing the cart holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCartQuantity {
    /// The listing.
    pub listing: ListingId,
    /// Whose cart it is; absent: the giver's own. Another's only while he shares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountId>,
    /// How many.
    pub quantity: Quantity,
}

/// Takes a listing out of the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFromCart {
    /// The listing.
    pub listing: ListingId,
    /// Whose cart it is; absent: the giver's own. Another's only while he shares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountId>,
}

/// Takes everything out of the cart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearCart {
    /// Whose cart it is; absent: the giver's own. Another's only while he shares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountId>,
}

/// Puts a line of the cart aside, where it is in no total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveForLater {
    /// The listing.
    pub listing: ListingId,
}

/// Puts a saved line back into the cart, opening one if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveBack {
    /// The listing.
    pub listing: ListingId,
}

/// Merges another account's cart, such as a guest's, into the buyer's, opening one if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeCart {
    /// The word of the other cart's owner that the buyer may have it: a compact JWS of a claim.
    pub claim: String,
    /// How quantities become one; `max` if absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: MergePolicy,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Keeps the cart as it is and the prices of its lines, for a while. Reserves no stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeCart {
    /// Until when: at most 24 hours ahead.
    pub until: Timestamp,
}

/// Ends the freeze of the cart before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnfreezeCart {}

/// Puts the lines of the last cart that became orders into a new cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreCart {
    /// The cart that became orders.
    pub cart: CartId,
}
