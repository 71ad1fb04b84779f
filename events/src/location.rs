//! Where stock is: named locations of a seller, and what of a listing is at each.
//!
//! What nobody has named a location for is at the nameless one. It is never counted by itself: it is what the named ones
//! leave of the listing's whole stock, so that both always add up.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::code;
use crate::money::Quantity;

code! {
    /// The name of a place where a seller has goods, such as `berlin-2`: 1 to 32 of `a-z 0-9 -`.
    Location: "Location", "location", must be "1 to 32 of a-z, 0-9 and -", pattern "^[a-z0-9-]{1,32}$",
    description "1 to 32 of a-z, 0-9 and -",
    fits |text| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }
}

/// Units at a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Located {
    /// The location.
    pub location: Location,
    /// How many units.
    pub quantity: Quantity,
}

/// What of a listing is at one location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StockAtLocation")]
pub struct AtLocation {
    /// Units that can be sold and shipped from there, the reserved ones among them.
    pub on_hand: u64,
    /// Units of open orders that are to be shipped from there.
    pub reserved: u64,
    /// Units kept back from sale there.
    pub safety: u64,
    /// Units there that can't be sold; they are not among those on hand.
    pub damaged: u64,
}

impl AtLocation {
    /// Gives how many units there no open order waits for.
    pub const fn unreserved(&self) -> u64 {
        self.on_hand.saturating_sub(self.reserved)
    }

    /// Gives how many units there can be promised to buyers.
    pub const fn free(&self) -> u64 {
        self.unreserved().saturating_sub(self.safety)
    }
}

/// What of a listing is at locations that have a name. One where nothing is left is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Locations(BTreeMap<Location, AtLocation>);

impl Locations {
    /// Gives what is at each, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Location, &AtLocation)> {
        self.0.iter()
    }

    /// Gives what is at one, if anything is.
    pub fn get(&self, location: &Location) -> Option<&AtLocation> {
        self.0.get(location)
    }

    /// Tells how many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Changes what is at one. None if the change says so: it does not fit what is there.
    pub(crate) fn change(
        &mut self,
        location: &Location,
        change: impl FnOnce(&mut AtLocation) -> Option<()>,
    ) -> Option<()> {
        let mut there = self.get(location).copied().unwrap_or_default();
        change(&mut there)?;
        if there == AtLocation::default() {
            self.0.remove(location);
        } else {
            self.0.insert(location.clone(), there);
        }
        Some(())
    }

    /// Takes units from locations, as far as `free` tells that they have them: all from the first that has them all, else
    /// from one after another. Both in the order of their names.
    fn take(&self, units: u32, free: fn(&AtLocation) -> u64) -> Vec<Located> {
        let has_all = self.iter().find(|(_, there)| free(there) >= u64::from(units));
        let one_by_one = self.iter().map(|(location, there)| (location, free(there)));
        let from = match has_all {
            Some((location, _)) => vec![(location, u64::from(units))],
            None => one_by_one.collect(),
        };
        let mut left = units;
        let taken = from.into_iter().filter_map(|(location, free)| {
            let quantity = left.min(u32::try_from(free).unwrap_or(u32::MAX));
            left -= quantity;
            Some(Located { location: location.clone(), quantity: Quantity::new(quantity).ok()? })
        });
        taken.collect()
    }
}

impl crate::stock::Stock {
    /// Gives what is at a location; without a name, what the named ones leave of the whole. What buyers have set aside is
    /// at none.
    pub fn at(&self, location: Option<&Location>) -> AtLocation {
        let named = self.locations.as_deref();
        if let Some(location) = location {
            return named.and_then(|named| named.get(location)).copied().unwrap_or_default();
        }
        let sum = |of: fn(&AtLocation) -> u64| -> u64 {
            named.map_or(0, |named| named.iter().map(|(_, there)| of(there)).sum())
        };
        AtLocation {
            on_hand: self.on_hand.saturating_sub(sum(|there| there.on_hand)),
            reserved: self.reserved.saturating_sub(self.set_aside + sum(|there| there.reserved)),
            safety: self.safety.saturating_sub(sum(|there| there.safety)),
            damaged: self.damaged.saturating_sub(sum(|there| there.damaged)),
        }
    }

    /// Says at which named locations units of a new order are reserved: at the first that can give them all, in the order
    /// of their names and the nameless one behind them, else at one after another. Units that are not told are reserved
    /// at none: they are to be shipped from the nameless one, or are not there yet.
    pub fn allocate(&self, quantity: Quantity) -> Vec<Located> {
        let Some(named) = self.locations.as_deref() else { return Vec::new() };
        let units = u64::from(quantity.get());
        let has_all = named.iter().any(|(_, there)| there.free() >= units);
        if !has_all && self.at(None).free() >= units {
            return Vec::new();
        }
        named.take(quantity.get(), AtLocation::free)
    }

    /// Says from which named locations units can be shipped that are reserved at none of them: as many as no other order
    /// waits for there, from the first that has them all or else from one after another.
    pub fn elsewhere(&self, units: u32) -> Vec<Located> {
        let named = self.locations.as_deref();
        named.map_or_else(Vec::new, |named| named.take(units, AtLocation::unreserved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stock::Stock;

    fn at(name: &str) -> Location {
        name.parse().expect("a location")
    }

    /// A stock that has (name, on hand, reserved, safety), and more of each at no named location.
    fn stock(named: &[(&str, u64, u64, u64)], rest: [u64; 3]) -> Stock {
        let mut stock = Stock::default();
        let [on_hand, reserved, safety] = rest;
        (stock.on_hand, stock.reserved, stock.safety) = (on_hand, reserved, safety);
        let mut locations = Locations::default();
        for (name, on_hand, reserved, safety) in named.iter().copied() {
            stock.on_hand += on_hand;
            stock.reserved += reserved;
            stock.safety += safety;
            let change = |there: &mut AtLocation| {
                *there = AtLocation { on_hand, reserved, safety, damaged: 0 };
                Some(())
            };
            locations.change(&at(name), change).expect("it fits");
        }
        stock.locations = (locations.count() > 0).then(|| Box::new(locations));
        stock
    }

    fn told(located: Vec<Located>) -> Vec<(String, u32)> {
        located.into_iter().map(|at| (at.location.to_string(), at.quantity.get())).collect()
    }

    #[test]
    fn locations_are_short_plain_names() {
        for good in ["berlin", "b-2", "0", &"x".repeat(32)] {
            assert!(good.parse::<Location>().is_ok(), "{good}");
        }
        for bad in ["", "Berlin", "a_b", "a b", "ü", &"x".repeat(33)] {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
    }

    #[test]
    fn units_are_reserved_at_the_first_location_that_has_them_all_and_else_at_one_after_another() {
        let allocated = |stock: &Stock, units| told(stock.allocate(Quantity::new(units).expect("units")));
        let there = |pairs: &[(&str, u32)]| -> Vec<(String, u32)> {
            pairs.iter().map(|(name, units)| ((*name).to_owned(), *units)).collect()
        };
        let two = stock(&[("berlin", 3, 0, 0), ("cologne", 5, 0, 0)], [0, 0, 0]);
        assert_eq!(allocated(&two, 3), there(&[("berlin", 3)]));
        assert_eq!(allocated(&two, 4), there(&[("cologne", 4)]), "the first that has them all");
        assert_eq!(allocated(&two, 7), there(&[("berlin", 3), ("cologne", 4)]));
        assert_eq!(allocated(&two, 9), there(&[("berlin", 3), ("cologne", 5)]), "one is not there yet");
        let promised = stock(&[("berlin", 9, 4, 3), ("cologne", 2, 5, 0)], [4, 0, 0]);
        assert_eq!(allocated(&promised, 2), there(&[("berlin", 2)]));
        assert_eq!(allocated(&promised, 3), there(&[]), "the nameless one has them all");
        assert_eq!(allocated(&promised, 5), there(&[("berlin", 2)]), "and what the named ones lack");
        assert_eq!(allocated(&stock(&[], [9, 0, 0]), 5), there(&[]));
    }

    #[test]
    fn what_no_name_is_known_for_is_what_the_named_locations_leave() {
        let mut stock = stock(&[("berlin", 9, 4, 3), ("cologne", 2, 1, 0)], [5, 3, 1]);
        stock.set_aside = 2;
        stock.reserved += 2;
        let nameless = AtLocation { on_hand: 5, reserved: 3, safety: 1, damaged: 0 };
        assert_eq!(stock.at(None), nameless);
        assert_eq!(nameless.free(), 1);
        assert_eq!(stock.at(Some(&at("berlin"))).unreserved(), 5);
        assert_eq!(stock.at(Some(&at("bonn"))), AtLocation::default());
    }
}
