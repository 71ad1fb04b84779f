//! Facts of taxes: what the operator says is taxed where, and how much.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::code;
use crate::listing::TaxClass;
use crate::money::{Bps, Money};
use crate::order::Rounding;

/// An operator said how something is taxed from now on. Orders that were placed keep the tax they were placed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Set {
    /// The rate, in hundredths of a percent.
    pub bps: Bps,
    /// Whether prices hold the tax already; else it comes on top.
    pub inclusive: bool,
    /// Where what is taxed is delivered.
    pub region: Region,
    /// What is taxed; absent: everything that has no rule of its own there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
    /// Counts the changes of the market's tax rules from 1.
    pub version: u64,
}

/// A tax as it was computed when an order was placed; never computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tax {
    /// The tax. It is part of what is paid, whether prices held it or not.
    pub amount: Money,
    /// The rate it was computed with.
    pub bps: Bps,
    /// Whether the price held it already; else it came on top.
    pub inclusive: bool,
    /// The region of the rule that it was computed by.
    pub region: Region,
    /// How it was rounded.
    pub rounding: Rounding,
    /// The class of the rule, if it is one for a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
    /// The version of the rule: the `version` of the `tax.set` that made it.
    pub version: u64,
}

code! {
    /// Where something is delivered: a country of ISO 3166-1 (`DE`) or a part of one of ISO 3166-2 (`US-CA`).
    Region: "Region", "region", must be "a code such as DE or US-CA", pattern "^[A-Z]{2}(-[A-Z0-9]{1,3})?$",
    description "A country of ISO 3166-1, or a part of one of ISO 3166-2: DE, US-CA",
    fits |text| {
        let (country, part) = text.split_once('-').map_or((text, None), |(country, part)| (country, Some(part)));
        let is_part = |part: &str| {
            (1..=3).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()) && part.is_none_or(is_part)
    }
}

impl Region {
    /// Gives the country, if this is a part of one.
    pub fn country(&self) -> Option<Region> {
        self.0.split_once('-').map(|(country, _)| Region(country.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_codes_of_countries_and_their_parts() {
        for (good, country) in
            [("DE", None), ("US-CA", Some("US")), ("GB-ENG", Some("GB")), ("FR-2A", Some("FR"))]
        {
            let region: Region = good.parse().unwrap();
            assert_eq!(region.to_string(), good);
            assert_eq!(region.country().as_ref().map(Region::as_str), country, "{good}");
        }
        for bad in ["", "D", "de", "DEU", "US-", "US-ca", "US-CALI", "US-C-A", "U1"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }
}
