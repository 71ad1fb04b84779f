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
    /// What of a seller's earnings is kept for some time, in case that buyers get money back.
    SellerReserve(AccountId),
    /// What a seller owes: negative by that. What he earns next repays it first.
    SellerReceivable(AccountId),
    /// What a buyer owes, whose bank took back money that he had spent: negative by that.
    BuyerReceivable(AccountId),
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
    /// What the platform has lost, and what providers cost it: negative by that.
    PlatformExpense,
    /// What a provider took for its work.
    ProviderFees(AccountId),
    /// What a provider took back, since banks dispute it, and has not decided about.
    ProviderChargebacks(AccountId),
    /// The outside world behind a payment provider: negative by what came in through it.
    ProviderClearing(AccountId),
}

impl LedgerAccount {
    /// Tells whether it may be below zero: money comes in through it that somebody outside gives, a provider or the platform's
    /// owner, or that somebody owes.
    pub const fn is_source(self) -> bool {
        matches!(
            self,
            LedgerAccount::PlatformPromotions
                | LedgerAccount::PlatformExpense
                | LedgerAccount::ProviderClearing(_)
        ) || self.is_debt()
    }

    /// Tells whether it is what somebody owes: never above zero.
    pub const fn is_debt(self) -> bool {
        matches!(self, LedgerAccount::SellerReceivable(_) | LedgerAccount::BuyerReceivable(_))
    }

    /// Gives whose earnings it is about, if it is about a seller's: what is paid to it is paid to him.
    pub const fn seller(self) -> Option<AccountId> {
        match self {
            LedgerAccount::SellerAvailable(seller)
            | LedgerAccount::SellerReserve(seller)
            | LedgerAccount::SellerReceivable(seller) => Some(seller),
            _ => None,
        }
    }
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerAccount::Wallet(account) => write!(f, "wallet:{account}"),
            LedgerAccount::Escrow(order) => write!(f, "escrow:{order}"),
            LedgerAccount::Dispute(order) => write!(f, "dispute:{order}"),
            LedgerAccount::SellerAvailable(account) => write!(f, "seller:{account}:available"),
            LedgerAccount::SellerReserve(account) => write!(f, "seller:{account}:reserve"),
            LedgerAccount::SellerReceivable(account) => write!(f, "seller:{account}:receivable"),
            LedgerAccount::BuyerReceivable(account) => write!(f, "buyer:{account}:receivable"),
            LedgerAccount::PlatformFees => f.write_str("platform:fees"),
            LedgerAccount::PlatformTax => f.write_str("platform:tax"),
            LedgerAccount::PlatformPromotions => f.write_str("platform:promotions"),
            LedgerAccount::PlatformExpense => f.write_str("platform:expense"),
            LedgerAccount::RefundsPayable => f.write_str("refunds:payable"),
            LedgerAccount::Payout(payout) => write!(f, "payout:{payout}"),
            LedgerAccount::ProviderFees(account) => write!(f, "psp:{account}:fees"),
            LedgerAccount::ProviderChargebacks(account) => write!(f, "psp:{account}:chargebacks"),
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
        let account = |id: &str| id.parse::<AccountId>().map_err(|_| error());
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        let account = match parts[..] {
            ["wallet", id] => LedgerAccount::Wallet(account(id)?),
            ["escrow", id] => LedgerAccount::Escrow(id.parse().map_err(|_| error())?),
            ["dispute", id] => LedgerAccount::Dispute(id.parse().map_err(|_| error())?),
            ["seller", id, "available"] => LedgerAccount::SellerAvailable(account(id)?),
            ["seller", id, "reserve"] => LedgerAccount::SellerReserve(account(id)?),
            ["seller", id, "receivable"] => LedgerAccount::SellerReceivable(account(id)?),
            ["buyer", id, "receivable"] => LedgerAccount::BuyerReceivable(account(id)?),
            ["platform", "fees"] => LedgerAccount::PlatformFees,
            ["platform", "tax"] => LedgerAccount::PlatformTax,
            ["platform", "promotions"] => LedgerAccount::PlatformPromotions,
            ["platform", "expense"] => LedgerAccount::PlatformExpense,
            ["refunds", "payable"] => LedgerAccount::RefundsPayable,
            ["payout", id] => LedgerAccount::Payout(id.parse().map_err(|_| error())?),
            ["psp", id, "clearing"] => LedgerAccount::ProviderClearing(account(id)?),
            ["psp", id, "chargebacks"] => LedgerAccount::ProviderChargebacks(account(id)?),
            ["psp", id, "fees"] => LedgerAccount::ProviderFees(account(id)?),
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
            "description": "wallet:<account>, escrow:<order>, dispute:<order>, seller:<account>:available, seller:<account>:reserve, seller:<account>:receivable, buyer:<account>:receivable, platform:fees, platform:tax, platform:promotions, platform:expense, refunds:payable, payout:<payout>, psp:<account>:clearing, psp:<account>:chargebacks or psp:<account>:fees",
            "pattern": "^(wallet|escrow|dispute|seller|buyer|platform|refunds|payout|psp):"
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
            LedgerAccount::SellerReserve(account),
            LedgerAccount::SellerReceivable(account),
            LedgerAccount::BuyerReceivable(account),
            LedgerAccount::PlatformExpense,
            LedgerAccount::ProviderFees(account),
            LedgerAccount::ProviderChargebacks(account),
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
