//! What is known of a purchase when it is judged.

use std::collections::BTreeMap;

use events::device::AttestationVerdict;
use events::ids::AccountId;
use events::risk::feature::{Fact, Feature, Measure, Who, Window};
use events::{Money, Timestamp};

use super::asked::Asked;
use super::history::{History, Kind, Subject};
use crate::market::Market;
use crate::step_up;

/// How many earlier purchases tell what a buyer usually spends, at least.
pub(super) const USUAL_MIN: usize = 3;
/// All of something, in hundredths of a percent.
const ALL_BPS: i64 = 10_000;

/// What is known of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    values: BTreeMap<Feature, i64>,
    counted: [bool; Who::ALL.len()],
}

impl Vector {
    /// Gives a feature; none: it is not known. What was counted and is not there is 0.
    pub fn get(&self, feature: Feature) -> Option<i64> {
        let value = self.values.get(&feature).copied();
        match feature {
            Feature::Count(who, ..) => self.counted[who as usize].then(|| value.unwrap_or(0)),
            Feature::Fact(_) => value,
        }
    }

    /// Gives all that is known, of counts those that are not 0.
    pub fn into_values(self) -> BTreeMap<Feature, i64> {
        self.values
    }

    fn know(&mut self, fact: Fact, value: impl Into<Option<i64>>) {
        if let Some(value) = value.into() {
            self.insert(Feature::Fact(fact), value);
        }
    }

    /// Takes a value, which JSON must be able to say: what is more than that is the most.
    fn insert(&mut self, feature: Feature, value: i64) {
        self.values.insert(feature, value.min(Money::MINOR_MAX));
    }
}

/// Gives what is known of a purchase.
pub(super) fn of(market: &Market, history: &History, asked: &Asked, now: Timestamp) -> Vector {
    let mut vector = Vector { values: BTreeMap::new(), counted: [false; Who::ALL.len()] };
    for who in Who::ALL {
        let Some(subject) = Subject::of(who, asked) else { continue };
        vector.counted[who as usize] = true;
        for window in Window::ALL {
            let sums = history.sums(&subject, asked.amount.currency, window.ms(), now);
            for (measure, value) in [
                (Measure::Purchases, i64::from(sums.purchases)),
                (Measure::Amount, sums.minor),
                (Measure::Declines, i64::from(sums.declines)),
            ] {
                if value != 0 {
                    vector.insert(Feature::Count(who, measure, window), value);
                }
            }
        }
    }
    of_account(market, history, asked, now, &mut vector);
    of_purchase(market, history, asked, now, &mut vector);
    vector
}

/// Gives since when an account has the oldest of its devices, in milliseconds.
fn age_ms(market: &Market, account: AccountId, now: Timestamp) -> Option<i64> {
    let devices = market.accounts.get(account)?.devices.iter();
    let registered = devices.filter_map(|device| market.accounts.device(*device));
    Some(now.ms_since(registered.map(|device| device.registered_at).min()?))
}

fn of_account(market: &Market, history: &History, asked: &Asked, now: Timestamp, vector: &mut Vector) {
    let own = Subject::Account(asked.account);
    let of_own = |kind| history.linked(&own, kind, now);
    if let Some(account) = market.accounts.get(asked.account) {
        vector.know(Fact::AccountDevices, account.devices.len() as i64);
        vector.know(Fact::AccountTier, i64::from(account.tier.get()));
    }
    vector.know(Fact::AccountAge, age_ms(market, asked.account, now));
    vector.know(Fact::AccountSecondFactor, i64::from(step_up::has_second_factor(market, asked.account)));
    vector.know(Fact::AccountChargebacks, i64::from(history.chargebacks(&own)));
    vector.know(Fact::AccountFrauds, i64::from(history.frauds(&own)));
    vector.know(Fact::AccountFingerprints, of_own(Kind::Fingerprint));
    vector.know(Fact::AccountInstruments, of_own(Kind::Instrument));
    vector.know(Fact::AccountRegions, of_own(Kind::Region));
    let device = market.accounts.device(asked.device);
    vector.know(Fact::DeviceAge, device.map(|device| now.ms_since(device.registered_at)));
    let trust = market.accounts.trust(asked.device);
    vector.know(
        Fact::DeviceAttestation,
        trust.map(|trust| match trust.verdict {
            AttestationVerdict::Failed => 0,
            AttestationVerdict::Unknown => 1,
            AttestationVerdict::Verified => 2,
        }),
    );
}

fn of_purchase(market: &Market, history: &History, asked: &Asked, now: Timestamp, vector: &mut Vector) {
    let own = Subject::Account(asked.account);
    // With this one, if it is not among them.
    let accounts = |subject: &Subject| {
        let is_new = !history.is_linked(subject, &own, now);
        history.linked(subject, Kind::Account, now) + i64::from(is_new)
    };
    let fingerprint = asked.fingerprint.as_ref().map(Subject::fingerprint);
    let instrument = asked.instrument.as_ref().map(Subject::instrument);
    vector.know(Fact::FingerprintAccounts, fingerprint.as_ref().map(accounts));
    vector.know(Fact::InstrumentAccounts, instrument.as_ref().map(accounts));
    let chargebacks = instrument.as_ref().map(|instrument| i64::from(history.chargebacks(instrument)));
    vector.know(Fact::InstrumentChargebacks, chargebacks);
    vector.know(Fact::Amount, asked.amount.minor);
    vector.know(Fact::Sellers, asked.sellers.len() as i64);
    let usual = history.usual(&own, asked.amount.currency);
    vector.know(Fact::UsualBps, usual.map(|usual| bps(asked.amount.minor, usual)));
    let first =
        asked.sellers.iter().filter(|seller| !history.is_linked(&own, &Subject::Seller(**seller), now));
    vector.know(Fact::FirstFromSellers, first.count() as i64);
    let ages = asked.sellers.iter().filter_map(|seller| age_ms(market, *seller, now));
    vector.know(Fact::SellerAge, ages.min());
    let disputes = asked.sellers.iter().filter_map(|seller| {
        let sums = history.sums(&Subject::Seller(*seller), asked.amount.currency, Window::Month.ms(), now);
        (sums.purchases > 0).then(|| bps(i64::from(sums.declines), i64::from(sums.purchases)))
    });
    vector.know(Fact::SellerDisputeBps, disputes.max());
    let looks_alike = |seller: &AccountId| {
        let Some(shown) = asked.fingerprint else { return false };
        let devices = market.accounts.get(*seller).into_iter().flat_map(|seller| &seller.devices);
        let mut known = devices.filter_map(|device| market.accounts.trust(*device)?.fingerprint);
        known.any(|own| own == shown)
            || history.is_linked(&Subject::fingerprint(&shown), &Subject::Account(*seller), now)
    };
    let is_shared = asked.fingerprint.map(|_| i64::from(asked.sellers.iter().any(looks_alike)));
    vector.know(Fact::SharedFingerprint, is_shared);
    let is_shared = instrument.map(|instrument| {
        let mut sellers = asked.sellers.iter().map(|seller| Subject::Account(*seller));
        i64::from(sellers.any(|seller| history.is_linked(&instrument, &seller, now)))
    });
    vector.know(Fact::SharedInstrument, is_shared);
}

/// Gives a part of a whole above zero in hundredths of a percent, and at most what can be counted.
fn bps(part: i64, whole: i64) -> i64 {
    let bps = i128::from(part) * i128::from(ALL_BPS) / i128::from(whole.max(1));
    i64::try_from(bps).unwrap_or(i64::MAX)
}
