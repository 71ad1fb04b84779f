//! Why a rule of release is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::escrow::rule::ReleaseRule;
use crate::ids::{AccountId, ListingId};

/// A broken rule of rules of release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ReleaseRejection {
    /// A listing's rule is, with the market's own, larger than a rule may be.
    #[error(
        "the release rule of listing {listing} is too large: with the market's own it may have {} conditions, {} deep",
        ReleaseRule::NODES_MAX,
        ReleaseRule::DEPTH_MAX
    )]
    ReleaseRuleTooLarge {
        /// The listing.
        listing: ListingId,
    },
    /// The rules of these listings are, with the market's own, more than one order may have.
    #[error("these listings of seller {seller} have too many release rules for one order: order them apart")]
    TooManyReleaseRules {
        /// Who sells them.
        seller: AccountId,
    },
}
