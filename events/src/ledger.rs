//! Double-entry postings. Money never appears or vanishes: each [`Transfer`] takes from one account exactly what
//! it gives to another, so all accounts of a currency always sum to zero.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::{AccountId, OrderId, PayoutId};
use crate::money::Money;

/// An account of the market's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LedgerAccount {
    /// What a buyer has to spend.
    Wallet(AccountId),
    /// What is held for an order until it is delivered.
    Escrow(OrderId),
    /// What of an order's money is frozen until somebody decides about it.
    Dispute(OrderId),
    /// What a seller has earned and may be paid out.
    SellerAvailable(AccountId),
    /// What the platform has earned.
    PlatformFees,
    /// Taxes that the platform has collected, and owes to those who levy them.
    PlatformTax,
    /// What is on its way back to those who had paid it.
    RefundsPayable,
    /// What is on its way to a seller.
    Payout(PayoutId),
    /// What the platform has paid of purchases: negative by that.
    PlatformPromotions,
    /// The outside world behind a payment provider: negative by what came in through it.
    ProviderClearing(AccountId),
}

impl LedgerAccount {
    /// Tells whether it may be below zero: money comes in through it that somebody outside gives, a provider or the platform's
    /// owner.
    pub const fn is_source(self) -> bool {
        matches!(self, LedgerAccount::PlatformPromotions | LedgerAccount::ProviderClearing(_))
    }
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerAccount::Wallet(account) => write!(f, "wallet:{account}"),
            LedgerAccount::Escrow(order) => write!(f, "escrow:{order}"),
            LedgerAccount::Dispute(order) => write!(f, "dispute:{order}"),
            LedgerAccount::SellerAvailable(account) => write!(f, "seller:{account}:available"),
            LedgerAccount::PlatformFees => f.write_str("platform:fees"),
            LedgerAccount::PlatformTax => f.write_str("platform:tax"),
            LedgerAccount::PlatformPromotions => f.write_str("platform:promotions"),
            LedgerAccount::RefundsPayable => f.write_str("refunds:payable"),
            LedgerAccount::Payout(payout) => write!(f, "payout:{payout}"),
            LedgerAccount::ProviderClearing(account) => write!(f, "psp:{account}:clearing"),
        }
    }
}

/// Says that a text names no ledger account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no ledger account")]
pub struct LedgerAccountError(String);

impl FromStr for LedgerAccount {
    type Err = LedgerAccountError;
    fn from_str(text: &str) -> Result<Self, LedgerAccountError> {
        let error = || LedgerAccountError(text.chars().take(64).collect());
        let mut parts = text.split(':');
        let account = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("wallet"), Some(id), None, None) => LedgerAccount::Wallet(id.parse().map_err(|_| error())?),
            (Some("escrow"), Some(id), None, None) => LedgerAccount::Escrow(id.parse().map_err(|_| error())?),
            (Some("dispute"), Some(id), None, None) => {
                LedgerAccount::Dispute(id.parse().map_err(|_| error())?)
            }
            (Some("seller"), Some(id), Some("available"), None) => {
                LedgerAccount::SellerAvailable(id.parse().map_err(|_| error())?)
            }
            (Some("platform"), Some("fees"), None, None) => LedgerAccount::PlatformFees,
            (Some("platform"), Some("tax"), None, None) => LedgerAccount::PlatformTax,
            (Some("platform"), Some("promotions"), None, None) => LedgerAccount::PlatformPromotions,
            (Some("refunds"), Some("payable"), None, None) => LedgerAccount::RefundsPayable,
            (Some("payout"), Some(id), None, None) => LedgerAccount::Payout(id.parse().map_err(|_| error())?),
            (Some("psp"), Some(id), Some("clearing"), None) => {
                LedgerAccount::ProviderClearing(id.parse().map_err(|_| error())?)
            }
            _ => return Err(error()),
        };
        Ok(account)
    }
}

impl Serialize for LedgerAccount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LedgerAccount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for LedgerAccount {
    fn schema_name() -> Cow<'static, str> {
        "LedgerAccount".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "wallet:<account>, escrow:<order>, dispute:<order>, seller:<account>:available, platform:fees, platform:tax, platform:promotions, refunds:payable, payout:<payout> or psp:<account>:clearing",
            "pattern": "^(wallet|escrow|dispute|seller|platform|refunds|payout|psp):"
        })
    }
}

/// One posting: takes `amount`, which is positive, from one ledger account and gives it to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// How much; always positive.
    pub amount: Money,
    /// Where it comes from.
    pub from: LedgerAccount,
    /// Where it goes.
    pub to: LedgerAccount,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn ledger_account_names_go_both_ways() {
        let account = AccountId::from_uuid(Uuid::from_u128(7));
        for ledger_account in [
            LedgerAccount::Wallet(account),
            LedgerAccount::Escrow(OrderId::from_uuid(Uuid::from_u128(9))),
            LedgerAccount::Dispute(OrderId::from_uuid(Uuid::from_u128(9))),
            LedgerAccount::SellerAvailable(account),
            LedgerAccount::PlatformFees,
            LedgerAccount::PlatformTax,
            LedgerAccount::PlatformPromotions,
            LedgerAccount::RefundsPayable,
            LedgerAccount::Payout(PayoutId::from_uuid(Uuid::from_u128(8))),
            LedgerAccount::ProviderClearing(account),
        ] {
            assert_eq!(ledger_account.to_string().parse(), Ok(ledger_account));
        }
        for bad in ["", "wallet", "wallet:x", "platform:fees:x", "seller:x:held"] {
            assert!(bad.parse::<LedgerAccount>().is_err(), "{bad}");
        }
    }
}
