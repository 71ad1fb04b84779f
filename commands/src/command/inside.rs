//! What somebody else signs inside a command: the claim of a cart's owner, and a seller's quote.

use events::ids::{AccountId, CartId, ListingId, MarketName};
use events::{Money, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A claim to a cart whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClaim {
    /// The key that signed it.
    pub key: events::ids::KeyId,
    /// What was signed.
    pub claim: CartClaim,
}

/// The word of a cart's owner that another account may merge it into its own. Signed as a compact JWS with `typ`
/// `skylink-cart-claim+jws`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CartClaim {
    /// The market it is good in.
    pub aud: MarketName,
    /// The cart.
    pub cart: CartId,
    /// Until when it is good.
    pub exp: Timestamp,
    /// The account that may merge it.
    pub to: AccountId,
    /// Form of the claim: 1.
    pub v: u8,
}

/// A seller's quote whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedQuote {
    /// The key that signed it.
    pub key: events::ids::KeyId,
    /// What was signed.
    pub quote: Quote,
}

/// A seller's offer of a price for a whole line. Signed as a compact JWS with `typ` `skylink-quote+jws`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// The market it is good in.
    pub aud: MarketName,
    /// The buyer it is good for.
    pub buyer: AccountId,
    /// Until when it is good.
    pub exp: Timestamp,
    /// The listing.
    pub listing: ListingId,
    /// The quantity it is good for.
    pub quantity: Quantity,
    /// What the line costs.
    pub total: Money,
    /// Form of the quote: 1.
    pub v: u8,
}
