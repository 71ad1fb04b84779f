//! What is asked for when money is changed from one currency into another.

use events::exchange::Rate;
use events::ids::{AccountId, KeyId, MarketName};
use events::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REFERENCE_LENGTH_MAX, Text};

/// Changes money of the buyer's wallet into another currency, as a provider has offered to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeMoney {
    /// What the buyer wants for it, at least.
    pub at_least: Money,
    /// What is taken out of the wallet.
    pub from: Money,
    /// The provider's offer: a compact JWS of an exchange quote.
    pub quote: String,
}

/// A provider's offer to change money whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedExchange {
    /// The key that signed it.
    pub key: KeyId,
    /// What was signed.
    pub quote: ExchangeQuote,
}

/// A provider's offer to change an amount of an account's wallet, once. Signed as a compact JWS with `typ`
/// `skylink-exchange+jws`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeQuote {
    /// The account it is good for.
    pub account: AccountId,
    /// The market it is good in.
    pub aud: MarketName,
    /// Until when it is good.
    pub exp: Timestamp,
    /// What the provider takes.
    pub from: Money,
    /// Who offers it.
    pub provider: AccountId,
    /// The rate; `to` is what `from` is worth by it.
    pub rate: Rate,
    /// The provider's reference of the offer; each is good once.
    pub reference: Text<REFERENCE_LENGTH_MAX>,
    /// What the provider gives.
    pub to: Money,
    /// Form of the quote: 1.
    pub v: u8,
}
