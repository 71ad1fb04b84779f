//! What is known of a purchase when it is judged. Each feature is one whole number, and has a name such as `account.purchases.24h`.
//!
//! All of them come from the log. What a market can't know (addresses on the network, e-mail, where somebody is) is none of them:
//! it would be a [`Fact`] more, from an attribute that a gateway or the registrar signs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::IdError;

/// How far back something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// `1m`
    Minute,
    /// `10m`
    TenMinutes,
    /// `1h`
    Hour,
    /// `24h`
    Day,
    /// `7d`
    Week,
    /// `30d`
    Month,
}

impl Window {
    /// Every one, the shortest first.
    pub const ALL: [Window; 6] =
        [Window::Minute, Window::TenMinutes, Window::Hour, Window::Day, Window::Week, Window::Month];

    /// Gives its length in milliseconds.
    pub const fn ms(self) -> i64 {
        match self {
            Window::Minute => 60_000,
            Window::TenMinutes => 600_000,
            Window::Hour => 3_600_000,
            Window::Day => 86_400_000,
            Window::Week => 7 * 86_400_000,
            Window::Month => 30 * 86_400_000,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Window::Minute => "1m",
            Window::TenMinutes => "10m",
            Window::Hour => "1h",
            Window::Day => "24h",
            Window::Week => "7d",
            Window::Month => "30d",
        }
    }
}

/// Of whom something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The buyer's account.
    Account,
    /// The device that signed.
    Device,
    /// The means of payment.
    Instrument,
    /// The fingerprint of the device.
    Fingerprint,
    /// The region that is delivered to.
    Region,
}

impl Who {
    /// Every one.
    pub const ALL: [Who; 5] = [Who::Account, Who::Device, Who::Instrument, Who::Fingerprint, Who::Region];

    const fn name(self) -> &'static str {
        match self {
            Who::Account => "account",
            Who::Device => "device",
            Who::Instrument => "instrument",
            Who::Fingerprint => "fingerprint",
            Who::Region => "region",
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Purchases and payments that were judged, those that were blocked too, without this one.
    Purchases,
    /// What they were signed for, in minor units of this purchase's currency.
    Amount,
    /// Payments that a provider declined. Only of accounts and means of payment.
    Declines,
}

impl Measure {
    /// Every one.
    pub const ALL: [Measure; 3] = [Measure::Purchases, Measure::Amount, Measure::Declines];

    const fn name(self) -> &'static str {
        match self {
            Measure::Purchases => "purchases",
            Measure::Amount => "amount",
            Measure::Declines => "declines",
        }
    }
}

macro_rules! facts {
    ($($(#[$doc:meta])* $name:literal => $variant:ident),* $(,)?) => {
        /// What is known once.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fact {$($(#[$doc])* $variant,)*}

        impl Fact {
            /// Every one.
            pub const ALL: &'static [Fact] = &[$(Fact::$variant),*];

            const fn name(self) -> &'static str {
                match self {$(Fact::$variant => $name,)*}
            }
        }
    };
}

facts! {
    /// Since when the account has the oldest of its devices, in milliseconds.
    "account.age_ms" => AccountAge,
    /// Chargebacks of its payments.
    "account.chargebacks" => AccountChargebacks,
    /// The devices that may sign for it.
    "account.devices" => AccountDevices,
    /// Fingerprints of devices it bought with.
    "account.fingerprints" => AccountFingerprints,
    /// Its orders that were labelled a fraud.
    "account.frauds" => AccountFrauds,
    /// Means of payment it bought with.
    "account.instruments" => AccountInstruments,
    /// Regions it had things delivered to.
    "account.regions" => AccountRegions,
    /// 1: it has a second factor, else 0.
    "account.second_factor" => AccountSecondFactor,
    /// How well it is known who it is: 0 to 3.
    "account.tier" => AccountTier,
    /// Since when the device is registered, in milliseconds.
    "device.age_ms" => DeviceAge,
    /// What came of checking where its key is kept: 0 failed, 1 unknown, 2 verified. Unknown to rules if nobody looked.
    "device.attestation" => DeviceAttestation,
    /// Accounts that bought with the fingerprint, with this one.
    "fingerprint.accounts" => FingerprintAccounts,
    /// Accounts that bought with the means of payment, with this one.
    "instrument.accounts" => InstrumentAccounts,
    /// Chargebacks of payments with it.
    "instrument.chargebacks" => InstrumentChargebacks,
    /// What is signed for, in minor units.
    "purchase.amount" => Amount,
    /// The sellers of it.
    "purchase.sellers" => Sellers,
    /// The amount in hundredths of a percent of what the buyer usually spends: the median of his last purchases in the currency, of
    /// which there are three at least.
    "purchase.usual_bps" => UsualBps,
    /// Since when the youngest of the sellers has the oldest of his devices, in milliseconds.
    "seller.age_ms" => SellerAge,
    /// Of the purchases of the last 30 days from the seller with the most, those that were disputed, in hundredths of a percent.
    "seller.dispute_bps" => SellerDisputeBps,
    /// Sellers that the buyer has not bought from before.
    "seller.first" => FirstFromSellers,
    /// 1: a seller has a device of the same fingerprint, or bought with one; else 0.
    "shared.fingerprint" => SharedFingerprint,
    /// 1: a seller bought with the same means of payment; else 0.
    "shared.instrument" => SharedInstrument,
}

/// What is known of a purchase: one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// What was counted.
    Count(Who, Measure, Window),
    /// What is known once.
    Fact(Fact),
}

impl Feature {
    /// Gives every one there is.
    pub fn all() -> impl Iterator<Item = Feature> {
        let counts = Who::ALL.into_iter().flat_map(|who| {
            let measures = Measure::ALL.into_iter().filter(move |measure| is_counted(who, *measure));
            measures.flat_map(move |measure| {
                Window::ALL.into_iter().map(move |window| Feature::Count(who, measure, window))
            })
        });
        counts.chain(Fact::ALL.iter().copied().map(Feature::Fact))
    }

    /// Tells whether it is an amount of money, in minor units of the purchase's currency.
    pub const fn is_amount(self) -> bool {
        matches!(self, Feature::Count(_, Measure::Amount, _) | Feature::Fact(Fact::Amount))
    }
}

/// Tells whether something is counted of somebody.
const fn is_counted(who: Who, measure: Measure) -> bool {
    !matches!(measure, Measure::Declines) || matches!(who, Who::Account | Who::Instrument)
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Feature::Count(who, measure, window) => {
                write!(f, "{}.{}.{}", who.name(), measure.name(), window.name())
            }
            Feature::Fact(fact) => f.write_str(fact.name()),
        }
    }
}

impl FromStr for Feature {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let rule = "it must be one of docs/risk.md, such as account.purchases.24h";
        let parts: Vec<&str> = text.split('.').collect();
        let found = match parts.as_slice() {
            [who, measure, window] => {
                let who = Who::ALL.into_iter().find(|one| one.name() == *who);
                let measure = Measure::ALL.into_iter().find(|one| one.name() == *measure);
                let window = Window::ALL.into_iter().find(|one| one.name() == *window);
                let counted = who.zip(measure).zip(window);
                counted
                    .filter(|((who, measure), _)| is_counted(*who, *measure))
                    .map(|((who, measure), window)| Feature::Count(who, measure, window))
            }
            _ => Fact::ALL.iter().find(|fact| fact.name() == text).map(|fact| Feature::Fact(*fact)),
        };
        found.ok_or_else(|| IdError::new("feature", text, rule))
    }
}

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Feature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Feature {
    fn schema_name() -> Cow<'static, str> {
        "RiskFeature".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z_]{1,16}\\.[a-z_]{1,16}(\\.[0-9]{1,2}[mhd])?$",
            "description": "The name of a feature, such as account.purchases.24h or device.age_ms"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_one_name_and_is_read_by_it() {
        let names: Vec<String> = Feature::all().map(|feature| feature.to_string()).collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len());
        for (feature, name) in Feature::all().zip(names) {
            assert_eq!(name.parse::<Feature>().unwrap(), feature);
        }
        for bad in [
            "",
            "account",
            "account.purchases",
            "account.purchases.2h",
            "region.declines.1m",
            "ip.purchases.1m",
        ] {
            assert!(bad.parse::<Feature>().is_err(), "{bad}");
        }
    }
}
