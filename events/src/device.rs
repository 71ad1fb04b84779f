//! Facts of devices after their registration: what their keys may do, and how they end.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::PublicKey;
use crate::code::code;
use crate::hash::Hash;
use crate::ids::{AccountId, DeviceId, KeyId};
use crate::money::{Currency, Money};

/// Longest name of a group of commands, in bytes.
const COMMANDS_LENGTH_MAX: usize = 64;

code! {
    /// One command, such as `order.place`, or all of one kind, such as `cart.*`.
    Commands: "Commands", "group of commands",
    must be "the name of a command such as order.place, or of a kind of commands such as cart.*",
    pattern "^[a-z_]{1,31}\\.([a-z_]{1,31}|\\*)$",
    description "A command such as order.place, or all of one kind such as cart.*",
    fits |text| {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        text.len() < COMMANDS_LENGTH_MAX
            && text.split_once('.').is_some_and(|(kind, rest)| {
                kind.len() < 32 && rest.len() < 32 && is_word(kind) && (rest == "*" || is_word(rest))
            })
    }
}

impl Commands {
    /// Tells whether a command is among them.
    pub fn has(&self, name: &str) -> bool {
        match self.as_str().strip_suffix('*') {
            Some(kind) => name.starts_with(kind),
            None => self.as_str() == name,
        }
    }

    /// Tells whether all of them are among these.
    pub fn is_within(&self, other: &Commands) -> bool {
        self == other || other.has(self.as_str())
    }
}

/// What a key may do of what its account may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyScope {
    /// The commands that it may give; none named: all that the account may.
    pub commands: BTreeSet<Commands>,
    /// The most that one command may name, in minor units of each currency; a currency that is not named: nothing. No currency
    /// named: as much as the account may.
    pub max_minor: BTreeMap<Currency, i64>,
}

impl KeyScope {
    /// Most groups of commands that a scope may name.
    pub const COMMANDS_MAX: usize = 32;
    /// Most currencies that a scope may name.
    pub const CURRENCIES_MAX: usize = 32;

    /// Tells whether it says anything, and no more than may be said.
    pub fn is_valid(&self) -> bool {
        let says_something = !self.commands.is_empty() || !self.max_minor.is_empty();
        says_something
            && self.commands.len() <= Self::COMMANDS_MAX
            && self.max_minor.len() <= Self::CURRENCIES_MAX
            && self.max_minor.values().all(|minor| (0..=Money::MINOR_MAX).contains(minor))
    }

    /// Tells whether a command may be given.
    pub fn allows(&self, name: &str) -> bool {
        self.commands.is_empty() || self.commands.iter().any(|commands| commands.has(name))
    }

    /// Gives the most of a currency that one command may name; none: as much as the account may.
    pub fn most(&self, currency: Currency) -> Option<i64> {
        let most = || self.max_minor.get(&currency).copied().unwrap_or_default();
        (!self.max_minor.is_empty()).then(most)
    }

    /// Tells whether it allows nothing that another does not.
    pub fn is_within(&self, other: &KeyScope) -> bool {
        let commands = other.commands.is_empty()
            || !self.commands.is_empty()
                && self
                    .commands
                    .iter()
                    .all(|own| other.commands.iter().any(|allowed| own.is_within(allowed)));
        let limits = other.max_minor.is_empty()
            || !self.max_minor.is_empty()
                && self
                    .max_minor
                    .iter()
                    .all(|(currency, minor)| other.max_minor.get(currency).is_some_and(|most| minor <= most));
        commands && limits
    }
}

/// A device was given a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renamed {
    /// Whose device it is.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// Its name, 1 to 64 characters.
    pub name: String,
}

/// A device took another key, at the word of the one before, which signs nothing from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rotated {
    /// Whose device it is.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// Its key from here on. It may do what the one before could.
    pub key: PublicKey,
    /// The key before.
    pub replaced: KeyId,
}

/// A device was revoked: its key signs nothing from here on. What it signed before stays good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// Whose device it was.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// Its last key.
    pub key: KeyId,
    /// Why.
    pub reason: RevokeReason,
}

/// Why a device is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokeReason {
    /// It is not used any more.
    Retired,
    /// Its owner does not have it any more.
    Lost,
    /// Somebody else may have its key.
    Compromised,
    /// The market's rules.
    Policy,
}

/// What somebody found out about a device, and where its key is kept. Only rules of risk go by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attested {
    /// Whose device it is.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of the statement, which is kept elsewhere.
    pub evidence: Hash,
    /// SHA-256 of what the device looks like; two that look the same have the same. Absent: nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Hash>,
    /// Of what form the statement is, such as `android-key`, 1 to 64 characters.
    pub format: String,
    /// The key it is about.
    pub key: KeyId,
    /// What came of checking it.
    pub verdict: AttestationVerdict,
}

/// What came of checking a statement about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttestationVerdict {
    /// The key is where the statement says.
    Verified,
    /// It is not, or the statement is false.
    Failed,
    /// It could not be found out.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(text: &str) -> Commands {
        text.parse().unwrap()
    }

    fn scope(names: &[&str], limits: &[(&str, i64)]) -> KeyScope {
        KeyScope {
            commands: names.iter().map(|name| commands(name)).collect(),
            max_minor: limits.iter().map(|(code, minor)| (code.parse().unwrap(), *minor)).collect(),
        }
    }

    #[test]
    fn a_kind_has_all_its_commands_and_no_others() {
        assert!(commands("cart.*").has("cart.add"));
        assert!(!commands("cart.*").has("cartel.add"));
        assert!(commands("order.place").has("order.place"));
        assert!(!commands("order.place").has("order.place_all"));
        for bad in ["cart", "*", "cart.**", "*.add", "Cart.add", "cart.", ".add", "cart.add.now", "cart.a*"] {
            assert!(bad.parse::<Commands>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_is_within_another_if_it_allows_nothing_more() {
        let all = scope(&[], &[]);
        for (narrow, wide, is_within) in [
            (scope(&["cart.add"], &[]), scope(&["cart.*"], &[]), true),
            (scope(&["cart.*"], &[]), scope(&["cart.*", "order.place"], &[]), true),
            (scope(&["cart.*"], &[]), scope(&["cart.add"], &[]), false),
            (scope(&["order.place"], &[]), scope(&["cart.*"], &[]), false),
            (all.clone(), scope(&["cart.*"], &[]), false),
            (scope(&["cart.*"], &[]), all.clone(), true),
            (scope(&[], &[("USD", 5)]), scope(&[], &[("USD", 5)]), true),
            (scope(&[], &[("USD", 6)]), scope(&[], &[("USD", 5)]), false),
            (scope(&[], &[("EUR", 1)]), scope(&[], &[("USD", 5)]), false),
            (all.clone(), scope(&[], &[("USD", 5)]), false),
            (scope(&["cart.*"], &[("USD", 5)]), scope(&["cart.*"], &[("USD", 5), ("EUR", 1)]), true),
        ] {
            assert_eq!(narrow.is_within(&wide), is_within, "{narrow:?} within {wide:?}");
        }
        assert!(!all.is_valid(), "a scope that says nothing is left out");
    }
}
