//! Facts of comparing what a provider says it moved with what the ledger says moved through it. What differs is a *break*: an
//! item that waits for an operator. Nothing here moves money; what is corrected is corrected by other facts.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commit::Position;
use crate::hash::Hash;
use crate::ids::AccountId;
use crate::money::Money;
use crate::time::Timestamp;

/// What money that moved at a provider was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementKind {
    /// It came in: a payment was captured, or a wallet funded.
    Payment,
    /// It went back to who had paid.
    Refund,
    /// What had gone back came in again.
    RefundReturned,
    /// It was paid to a seller.
    Payout,
    /// What was paid to a seller came back.
    PayoutReturned,
    /// It came in, in exchange for money of another currency.
    ExchangeIn,
    /// It went out, in exchange for money of another currency.
    ExchangeOut,
    /// The bank of who had paid took it back.
    Chargeback,
    /// What a bank had taken back came in again.
    ChargebackReversed,
    /// Anything else.
    Other,
}

impl MovementKind {
    /// Every kind, in the order of this list.
    pub const ALL: [MovementKind; 10] = [
        MovementKind::Payment,
        MovementKind::Refund,
        MovementKind::RefundReturned,
        MovementKind::Payout,
        MovementKind::PayoutReturned,
        MovementKind::ExchangeIn,
        MovementKind::ExchangeOut,
        MovementKind::Chargeback,
        MovementKind::ChargebackReversed,
        MovementKind::Other,
    ];

    /// Gives the word that stands for it in files and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            MovementKind::Payment => "payment",
            MovementKind::Refund => "refund",
            MovementKind::RefundReturned => "refund_returned",
            MovementKind::Payout => "payout",
            MovementKind::PayoutReturned => "payout_returned",
            MovementKind::ExchangeIn => "exchange_in",
            MovementKind::ExchangeOut => "exchange_out",
            MovementKind::Chargeback => "chargeback",
            MovementKind::ChargebackReversed => "chargeback_reversed",
            MovementKind::Other => "other",
        }
    }
}

impl fmt::Display for MovementKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a provider's word and the ledger's differ. An amount is above zero where the provider holds more for the market by it,
/// and below where it holds less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Difference {
    /// The provider moved money that the ledger knows nothing of.
    MissingInLedger {
        /// What the provider says.
        theirs: Money,
    },
    /// The ledger has money moved that the provider knows nothing of.
    MissingAtProvider {
        /// What the ledger says.
        ours: Money,
    },
    /// Both know of it, with different amounts.
    AmountDiffers {
        /// What the ledger says.
        ours: Money,
        /// What the provider says.
        theirs: Money,
    },
    /// Both know of it, in different currencies.
    CurrencyDiffers {
        /// What the ledger says.
        ours: Money,
        /// What the provider says.
        theirs: Money,
    },
    /// The provider moved it more than once.
    DuplicateAtProvider {
        /// What it moved again.
        theirs: Money,
    },
}

/// The sort of a difference, without its amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceClass {
    /// See [`Difference::MissingInLedger`].
    MissingInLedger,
    /// See [`Difference::MissingAtProvider`].
    MissingAtProvider,
    /// See [`Difference::AmountDiffers`].
    AmountDiffers,
    /// See [`Difference::CurrencyDiffers`].
    CurrencyDiffers,
    /// See [`Difference::DuplicateAtProvider`].
    DuplicateAtProvider,
}

impl DifferenceClass {
    /// Gives the word that stands for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            DifferenceClass::MissingInLedger => "missing_in_ledger",
            DifferenceClass::MissingAtProvider => "missing_at_provider",
            DifferenceClass::AmountDiffers => "amount_differs",
            DifferenceClass::CurrencyDiffers => "currency_differs",
            DifferenceClass::DuplicateAtProvider => "duplicate_at_provider",
        }
    }
}

impl Difference {
    /// Gives its sort.
    pub const fn class(&self) -> DifferenceClass {
        match self {
            Difference::MissingInLedger { .. } => DifferenceClass::MissingInLedger,
            Difference::MissingAtProvider { .. } => DifferenceClass::MissingAtProvider,
            Difference::AmountDiffers { .. } => DifferenceClass::AmountDiffers,
            Difference::CurrencyDiffers { .. } => DifferenceClass::CurrencyDiffers,
            Difference::DuplicateAtProvider { .. } => DifferenceClass::DuplicateAtProvider,
        }
    }

    /// Tells whether the two amounts differ as its sort says.
    pub fn holds(&self) -> bool {
        match self {
            Difference::AmountDiffers { ours, theirs } => {
                ours.currency == theirs.currency && ours.minor != theirs.minor
            }
            Difference::CurrencyDiffers { ours, theirs } => ours.currency != theirs.currency,
            _ => true,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::MissingInLedger { theirs } => {
                write!(f, "the provider moved {theirs}, the ledger nothing")
            }
            Difference::MissingAtProvider { ours } => {
                write!(f, "the ledger moved {ours}, the provider nothing")
            }
            Difference::AmountDiffers { ours, theirs } | Difference::CurrencyDiffers { ours, theirs } => {
                write!(f, "the ledger moved {ours}, the provider {theirs}")
            }
            Difference::DuplicateAtProvider { theirs } => write!(f, "the provider moved {theirs} once more"),
        }
    }
}

/// One thing about which a provider and the ledger differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Break {
    /// When it moved: by the provider where it knows of it, otherwise by the ledger.
    pub at: Timestamp,
    /// How they differ.
    pub difference: Difference,
    /// What the money was for.
    pub kind: MovementKind,
    /// Where the ledger's part of it stands in the log; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The provider's reference.
    pub reference: String,
}

/// A break that waits for an operator from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedBreak {
    /// What differs.
    pub found: Break,
    /// The break's number: breaks of a market are counted from 1.
    pub number: u64,
}

/// What moved at a provider in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Total {
    /// What the provider kept as its fees, by its file.
    pub fees: Money,
    /// What moved by the ledger.
    pub ours: Money,
    /// What moved by the provider's file, before its fees.
    pub theirs: Money,
}

/// A provider's file was compared with the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reported {
    /// How many of the breaks that it names were open already, from an earlier file.
    pub already_open: u32,
    /// Who compared.
    pub by: AccountId,
    /// Up to which position of the log the ledger was looked at.
    pub compared_to: Position,
    /// The SHA-256 of the file.
    pub file: Hash,
    /// Since when, inclusive.
    pub from: Timestamp,
    /// How many movements are at the edge of the period, or not settled, and are judged by a later file.
    pub in_flight: u32,
    /// How many movements are the same at both.
    pub matched: u32,
    /// The breaks that are open from here on.
    pub opened: Vec<OpenedBreak>,
    /// The provider's account.
    pub provider: AccountId,
    /// What moved, by currency.
    pub totals: Vec<Total>,
    /// How many breaks there are beyond those that are named here; they are named when shorter periods of the file are reported.
    pub unlisted: u32,
    /// Until when, exclusive.
    pub until: Timestamp,
}

/// An operator has dealt with a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolved {
    /// Who.
    pub by: AccountId,
    /// The break.
    pub number: u64,
    /// The provider's account.
    pub provider: AccountId,
    /// What it was and what was done, in words.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_word_in_json_too() {
        for kind in MovementKind::ALL {
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.word().into()));
        }
    }

    #[test]
    fn a_difference_says_what_differs() {
        let money = |minor, code: &str| Money::new(minor, code.parse().expect("it is a currency"));
        let (ours, theirs) = (money(100, "USD"), money(90, "USD"));
        assert!(Difference::AmountDiffers { ours, theirs }.holds());
        assert!(!Difference::AmountDiffers { ours, theirs: ours }.holds());
        assert!(!Difference::AmountDiffers { ours, theirs: money(90, "EUR") }.holds());
        assert!(Difference::CurrencyDiffers { ours, theirs: money(100, "EUR") }.holds());
        assert!(!Difference::CurrencyDiffers { ours, theirs }.holds());
    }
}
