//! Why an account is not erased, or nothing is done with one that was.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AccountId;
use crate::privacy::EncryptionKey;

/// What keeps an account from being erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Open {
    /// A bank disputes what it paid or sold.
    Chargebacks,
    /// It owes something.
    Debts,
    /// It has earned something that was not paid out.
    Earnings,
    /// It still sells something.
    Listings,
    /// It buys or sells in an order that is not closed.
    Orders,
    /// A payment of it is under way.
    Payments,
    /// A payout to it is under way.
    Payouts,
    /// Money is on its way back to it.
    Refunds,
    /// It has set stock aside.
    Reservations,
    /// There is money in its wallet.
    Wallet,
}

/// As it stands in JSON.
impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Open::Chargebacks => "chargebacks",
            Open::Debts => "debts",
            Open::Earnings => "earnings",
            Open::Listings => "listings",
            Open::Orders => "orders",
            Open::Payments => "payments",
            Open::Payouts => "payouts",
            Open::Refunds => "refunds",
            Open::Reservations => "reservations",
            Open::Wallet => "wallet",
        })
    }
}

/// A broken rule of erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum PrivacyRejection {
    /// The account was erased.
    #[error("account {account} was erased: it takes part in nothing any more")]
    AccountErased {
        /// Which.
        account: AccountId,
    },
    /// Something of the account is still open.
    #[error(
        "account {account} can't be erased while something of it is open ({}): end that first",
        list(open)
    )]
    AccountInUse {
        /// Which.
        account: AccountId,
        /// What is open; there may be more.
        open: BTreeSet<Open>,
    },
    /// The market's own accounts are not erased.
    #[error("account {account} serves the market, which is no person's: revoke its devices instead")]
    NotErasable {
        /// Which.
        account: AccountId,
    },
    /// An address was encrypted to somebody who sells nothing of the purchase.
    #[error("seller {seller} sells nothing of this purchase: leave his address out")]
    AddressUnneeded {
        /// To whom.
        seller: AccountId,
    },
    /// An address was encrypted to a seller who has not said with which key.
    #[error("seller {seller} has no encryption key: leave his address out, and tell him another way")]
    NoEncryptionKey {
        /// To whom.
        seller: AccountId,
    },
    /// An address was encrypted with a key that is no longer the seller's.
    #[error("seller {seller} has another encryption key now: encrypt the address anew with {key}")]
    OtherEncryptionKey {
        /// To whom.
        seller: AccountId,
        /// His key.
        key: EncryptionKey,
    },
    /// Others are erased by operators.
    #[error("account {account} is not yours: only operators erase accounts of others")]
    NotYourAccount {
        /// Which.
        account: AccountId,
    },
}

fn list(open: &BTreeSet<Open>) -> String {
    open.iter().map(Open::to_string).collect::<Vec<_>>().join(", ")
}
