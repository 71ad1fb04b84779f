//! Facts of what sellers take for delivery.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::code::code;
use crate::ids::AccountId;
use crate::money::{Currency, Money};
use crate::tax::{Region, Tax};

/// A seller said what a delivery costs from now on. Orders that were placed keep what they were placed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateSet {
    /// How it is delivered.
    pub method: Method,
    /// What it costs.
    pub rate: Rate,
    /// Where to; absent: everywhere that has no rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Who delivers.
    pub seller: AccountId,
    /// Counts the changes of the seller's rates from 1.
    pub version: u32,
}

/// A seller does not deliver like this any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateRemoved {
    /// The currency of the rate.
    pub currency: Currency,
    /// How it was delivered.
    pub method: Method,
    /// Where to; absent: everywhere that had no rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Who delivered.
    pub seller: AccountId,
    /// Counts the changes of the seller's rates from 1.
    pub version: u32,
}

/// What a delivery of one order costs: `flat`, and `per_unit` for each unit, unless the goods cost `free_from` or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rate {
    /// For the whole delivery, from zero.
    flat: Money,
    /// It costs nothing if the goods cost so much, discounts taken off and tax on top left out; absent: it always costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_from: Option<Money>,
    /// For each unit, above zero; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_unit: Option<Money>,
}

/// Why a rate is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is in two currencies.
    #[error("`flat`, `free_from` and `per_unit` must be in one currency")]
    Currencies,
    /// A part of it is out of range.
    #[error(
        "`flat` must be 0 or more, `free_from` and `per_unit` more than 0, none more than {}",
        Money::MINOR_MAX
    )]
    Range,
}

impl Rate {
    /// Takes a rate whose parts are in range and in one currency.
    pub fn new(flat: Money, free_from: Option<Money>, per_unit: Option<Money>) -> Result<Rate, RateError> {
        let more = [free_from, per_unit].into_iter().flatten();
        if more.clone().any(|part| part.currency != flat.currency) {
            return Err(RateError::Currencies);
        }
        let in_range = |minor: i64, least: i64| (least..=Money::MINOR_MAX).contains(&minor);
        if !in_range(flat.minor, 0) || !more.clone().all(|part| in_range(part.minor, 1)) {
            return Err(RateError::Range);
        }
        Ok(Rate { flat, free_from, per_unit })
    }

    /// Gives what the whole delivery costs, each unit aside.
    pub const fn flat(&self) -> Money {
        self.flat
    }

    /// Gives from which price of the goods on it costs nothing.
    pub const fn free_from(&self) -> Option<Money> {
        self.free_from
    }

    /// Gives what each unit costs on top.
    pub const fn per_unit(&self) -> Option<Money> {
        self.per_unit
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            flat: Money,
            #[serde(default)]
            free_from: Option<Money>,
            #[serde(default)]
            per_unit: Option<Money>,
        }
        let Parts { flat, free_from, per_unit } = Parts::deserialize(deserializer)?;
        Rate::new(flat, free_from, per_unit).map_err(de::Error::custom)
    }
}

/// The delivery of an order as it was priced when the order was placed; never computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quote {
    /// How it is delivered.
    pub method: Method,
    /// What the rate gave, tax on top left out.
    pub price: Money,
    /// The rate it was computed with.
    pub rate: Rate,
    /// Its tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Tax>,
    /// What it costs.
    pub total: Money,
    /// The version of the rate: the `version` of the `shipping.rate_set` that made it.
    pub version: u32,
}

code! {
    /// The name of a way to deliver, such as `standard`: 1 to 32 of `a-z 0-9 _`.
    Method: "DeliveryMethod", "delivery method", must be "1 to 32 of a-z, 0-9 and _", pattern "^[a-z0-9_]{1,32}$",
    description "1 to 32 of a-z, 0-9 and _",
    fits |text| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_in_one_currency_and_never_below_zero() {
        let usd = |minor| Money::new(minor, "USD".parse().unwrap());
        let eur = Money::new(1, "EUR".parse().unwrap());
        assert!(Rate::new(usd(0), None, None).is_ok());
        assert!(Rate::new(usd(500), Some(usd(5000)), Some(usd(1))).is_ok());
        assert_eq!(Rate::new(usd(500), Some(eur), None), Err(RateError::Currencies));
        assert_eq!(Rate::new(usd(500), None, Some(eur)), Err(RateError::Currencies));
        for (flat, free_from, per_unit) in
            [(-1, None, None), (1, Some(0), None), (1, None, Some(0)), (Money::MINOR_MAX + 1, None, None)]
        {
            let rate = Rate::new(usd(flat), free_from.map(usd), per_unit.map(usd));
            assert_eq!(rate, Err(RateError::Range), "{flat} {free_from:?} {per_unit:?}");
        }
    }

    #[test]
    fn methods_are_short_plain_words() {
        for good in ["standard", "next_day", "24h"] {
            assert!(good.parse::<Method>().is_ok(), "{good}");
        }
        for bad in ["", "Standard", "next day", &"x".repeat(33)] {
            assert!(bad.parse::<Method>().is_err(), "{bad}");
        }
    }
}
