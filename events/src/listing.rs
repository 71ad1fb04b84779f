//! Facts of listings, their stock, and the wallets that pay for them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, ListingId};
use crate::ledger::Transfer;
use crate::money::{Money, Quantity};

/// A seller offered something for sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// The listing.
    pub listing: ListingId,
    /// Price of one unit.
    pub price: Money,
    /// Who sells.
    pub seller: AccountId,
    /// What it is, 1 to 200 characters.
    pub title: String,
    /// Counts the changes of the listing from 1.
    pub version: u32,
}

/// Units arrived in stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockReceived {
    /// The listing.
    pub listing: ListingId,
    /// Units on hand afterwards, reserved ones among them.
    pub on_hand: u64,
    /// How many arrived.
    pub quantity: Quantity,
}

/// Money arrived in a wallet from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WalletFunded {
    /// Whose wallet.
    pub account: AccountId,
    /// The provider's reference, 1 to 64 characters.
    pub reference: String,
    /// From the provider's clearing account to the wallet.
    pub transfer: Transfer,
}
