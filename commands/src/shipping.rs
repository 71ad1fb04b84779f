//! What sellers take for delivery.

use std::collections::BTreeMap;

use events::ids::AccountId;
use events::shipping::{Method, Rate, RateRemoved, RateSet};
use events::tax::Region;
use events::{Currency, Event, Money, Rejection};
use serde::{Deserialize, Serialize};

use crate::command::{RemoveShippingRate, SetShippingRate};
use crate::market::Market;

/// Most rates of one seller.
pub const RATES_MAX: usize = 64;

/// What a rate is for: its currency, its method and where it delivers to; no region: everywhere that has no rate of its own.
type RateKey = (Currency, Method, Option<Region>);

/// A rate as it is remembered, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct StoredRate {
    flat: i64,
    free_from: Option<i64>,
    per_unit: Option<i64>,
    version: u32,
}

impl StoredRate {
    fn of(rate: &Rate, version: u32) -> StoredRate {
        let minor = |money: Option<Money>| money.map(|money| money.minor);
        StoredRate {
            flat: rate.flat().minor,
            free_from: minor(rate.free_from()),
            per_unit: minor(rate.per_unit()),
            version,
        }
    }

    fn rate(self, currency: Currency) -> Rate {
        let money = |minor: i64| Money::new(minor, currency);
        Rate::new(money(self.flat), self.free_from.map(money), self.per_unit.map(money))
            .expect("a rate was checked before it could be set")
    }
}

/// The rates of one seller. He who has none delivers for nothing, everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SellerRates {
    version: u32,
    rates: BTreeMap<RateKey, StoredRate>,
}

impl SellerRates {
    /// Gives the rate of each method that delivers to a region: the region's own before that of its country, and that before
    /// the one for everywhere.
    pub fn to(&self, region: &Region, currency: Currency) -> BTreeMap<&Method, (Rate, u32)> {
        let mut found = BTreeMap::new();
        for place in [None, region.country(), Some(region.clone())] {
            // Later ones take the place of those before.
            let of_place = self
                .rates
                .iter()
                .filter(|((in_currency, _, to), _)| *in_currency == currency && *to == place);
            found
                .extend(of_place.map(|((_, method, _), rate)| (method, (rate.rate(currency), rate.version))));
        }
        found
    }
}

/// The rates of all sellers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rates {
    by_seller: BTreeMap<AccountId, SellerRates>,
}

impl Rates {
    /// Finds the rates of a seller who has any.
    pub fn of(&self, seller: AccountId) -> Option<&SellerRates> {
        self.by_seller.get(&seller).filter(|known| !known.rates.is_empty())
    }

    pub(crate) fn set(&mut self, event: &RateSet) {
        let known = self.by_seller.entry(event.seller).or_default();
        known.version = event.version;
        let key = (event.rate.flat().currency, event.method.clone(), event.region.clone());
        known.rates.insert(key, StoredRate::of(&event.rate, event.version));
    }

    pub(crate) fn removed(&mut self, event: &RateRemoved) {
        let known = self.by_seller.entry(event.seller).or_default();
        known.version = event.version;
        known.rates.remove(&(event.currency, event.method.clone(), event.region.clone()));
    }
}

pub(crate) fn decide_set(
    market: &Market,
    seller: AccountId,
    command: &SetShippingRate,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetShippingRate { method, rate, region } = command;
    let known = market.rates.by_seller.get(&seller);
    let key = (rate.flat().currency, method.clone(), region.clone());
    match known.and_then(|known| known.rates.get(&key)) {
        Some(same) if *same == StoredRate::of(rate, same.version) => return Ok(vec![]),
        None if known.is_some_and(|known| known.rates.len() >= RATES_MAX) => {
            return Err(vec![Rejection::TooManyRates { max: RATES_MAX as u32 }]);
        }
        Some(_) | None => {}
    }
    let version = known.map_or(0, |known| known.version) + 1;
    let (_, method, region) = key;
    Ok(vec![RateSet { method, rate: *rate, region, seller, version }.into()])
}

pub(crate) fn decide_remove(
    market: &Market,
    seller: AccountId,
    command: &RemoveShippingRate,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RemoveShippingRate { currency, method, region } = command.clone();
    let known = market.rates.by_seller.get(&seller);
    let key = (currency, method, region);
    // What shall be gone is not there: the wish is fact.
    let Some(known) = known.filter(|known| known.rates.contains_key(&key)) else { return Ok(vec![]) };
    let (currency, method, region) = key;
    Ok(vec![RateRemoved { currency, method, region, seller, version: known.version + 1 }.into()])
}
