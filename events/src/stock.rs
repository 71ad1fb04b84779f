//! Facts of stock, and the numbers that they lead to. Stock is counted for each listing as a whole, and beside that at each
//! [location](crate::location) that its seller has named.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::ListingId;
use crate::listing::StockReceived;
use crate::location::{AtLocation, Located, Location, Locations};
use crate::money::Quantity;
use crate::order::Reallocation;
use crate::returns::ReceivedUnits;
use crate::time::Timestamp;

/// The stock was found to be another than was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Adjusted {
    /// Damaged units afterwards at all locations.
    pub damaged: u64,
    /// Units that came to those on hand, below zero: that left them. What is written off left the damaged ones instead.
    pub delta: i64,
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Units on hand afterwards at all locations, reserved ones among them.
    pub on_hand: u64,
    /// Why.
    pub reason: AdjustmentReason,
}

/// Why stock was adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentReason {
    /// Somebody counted.
    Counted,
    /// Units on hand became damaged ones; above zero: damaged ones were mended.
    Damaged,
    /// Units are gone.
    Lost,
    /// Units are there that nobody knew of.
    Found,
    /// A buyer sent units back, which can be sold again.
    Returned,
    /// What was written down before was wrong.
    Correction,
    /// Damaged units are gone for good.
    WrittenOff,
}

impl std::fmt::Display for AdjustmentReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AdjustmentReason::Counted => "counted",
            AdjustmentReason::Damaged => "damaged",
            AdjustmentReason::Lost => "lost",
            AdjustmentReason::Found => "found",
            AdjustmentReason::Returned => "returned",
            AdjustmentReason::Correction => "correction",
            AdjustmentReason::WrittenOff => "written_off",
        })
    }
}

/// A seller said how many units are kept back from sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SafetySet {
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// How many units there from now on.
    pub units: u64,
}

/// A seller moved units from one location to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// From where; absent: from no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Location>,
    /// The listing.
    pub listing: ListingId,
    /// How many units.
    pub quantity: Quantity,
    /// Where to; absent: to no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Location>,
}

/// A seller said how many units may be sold that are not there yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackorderLimitSet {
    /// The listing.
    pub listing: ListingId,
    /// How many units from now on.
    pub units: u64,
}

/// A seller said how many units will arrive at a time. What arrives is taken off what was expected there first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// When they will arrive.
    pub due: Timestamp,
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// How many units are expected at that time from now on; 0: none any more.
    pub units: u64,
}

/// More units were promised than there are, more of them than before: in the same commit as what led to it. Open orders
/// stay, and can be shipped when stock has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShortfallDetected {
    /// The listing.
    pub listing: ListingId,
    /// Reserved units that neither those on hand nor the backorder limit cover.
    pub missing: u64,
    /// Units on hand.
    pub on_hand: u64,
    /// Units of open orders that are not shipped, and units that buyers have set aside.
    pub reserved: u64,
}

/// Units that will arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incoming {
    /// When.
    pub due: Timestamp,
    /// Where; null: at no named location.
    pub location: Option<Location>,
    /// How many.
    pub units: u64,
}

/// What a listing has in stock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stock {
    /// Units that can be sold and shipped, the reserved ones among them.
    pub on_hand: u64,
    /// Units of open orders that are not shipped, and units that buyers have set aside.
    pub reserved: u64,
    /// Of the reserved ones, units that buyers have set aside before they order them.
    pub set_aside: u64,
    /// Units kept back from sale.
    pub safety: u64,
    /// Units that can't be sold; they are not among those on hand.
    pub damaged: u64,
    /// Units that may be sold before they are there.
    pub backorder_limit: u64,
    /// Units that will arrive, the next first.
    pub incoming: Vec<Incoming>,
    /// What of that is at each named location; null: at none. The rest is at no named one.
    pub locations: Option<Box<Locations>>,
}

impl Stock {
    /// Gives how many units can be sold: those on hand and the backorder limit, less reserved ones and the safety stock.
    pub fn available(&self) -> u64 {
        self.covered().saturating_sub(self.reserved.saturating_add(self.safety))
    }

    /// Gives how many units a buyer who has set some aside can buy: his own first, as far as open orders leave them, and
    /// what everybody can.
    pub fn available_to(&self, own: u64) -> u64 {
        let of_orders = self.reserved.saturating_sub(self.set_aside);
        self.available().saturating_add(own.min(self.covered().saturating_sub(of_orders)))
    }

    /// Gives how many reserved units neither those on hand nor the backorder limit cover.
    pub fn shortfall(&self) -> u64 {
        self.reserved.saturating_sub(self.covered())
    }

    /// Gives how many units may be promised to buyers, the safety stock among them.
    fn covered(&self) -> u64 {
        self.on_hand.saturating_add(self.backorder_limit)
    }

    /// Takes in that units arrived. This and what follows is none where an event does not fit the stock before it.
    pub fn received(&mut self, event: &StockReceived) -> Option<()> {
        self.on_hand = event.on_hand;
        let mut arrived = u64::from(event.quantity.get());
        self.change(event.location.as_ref(), |there| add(&mut there.on_hand, arrived))?;
        for incoming in self.incoming.iter_mut().filter(|incoming| incoming.location == event.location) {
            let taken = incoming.units.min(arrived);
            incoming.units -= taken;
            arrived -= taken;
        }
        self.incoming.retain(|incoming| incoming.units > 0);
        Some(())
    }

    /// Takes in that the stock was adjusted.
    pub fn adjusted(&mut self, event: &Adjusted) -> Option<()> {
        let (on_hand, damaged) = (self.on_hand, self.damaged);
        (self.on_hand, self.damaged) = (event.on_hand, event.damaged);
        self.change(event.location.as_ref(), |there| {
            there.on_hand = there.on_hand.checked_add(event.on_hand)?.checked_sub(on_hand)?;
            there.damaged = there.damaged.checked_add(event.damaged)?.checked_sub(damaged)?;
            Some(())
        })
    }

    /// Takes in that units came back which a buyer had returned.
    pub fn take_back(&mut self, units: &ReceivedUnits, location: Option<&Location>) -> Option<()> {
        let (intact, damaged) = (u64::from(units.intact), u64::from(units.damaged));
        add(&mut self.on_hand, intact)?;
        add(&mut self.damaged, damaged)?;
        if units.came() == 0 {
            return Some(());
        }
        self.change(location, |there| {
            add(&mut there.on_hand, intact)?;
            add(&mut there.damaged, damaged)
        })
    }

    /// Takes in how many units are kept back.
    pub fn safety_set(&mut self, event: &SafetySet) -> Option<()> {
        let location = event.location.as_ref();
        let before = self.at(location).safety;
        take(&mut self.safety, before)?;
        add(&mut self.safety, event.units)?;
        self.change(location, |there| {
            there.safety = event.units;
            Some(())
        })
    }

    /// Takes in that units were moved.
    pub fn moved(&mut self, event: &Moved) -> Option<()> {
        let units = u64::from(event.quantity.get());
        self.change(event.from.as_ref(), |there| take(&mut there.on_hand, units))?;
        self.change(event.to.as_ref(), |there| add(&mut there.on_hand, units))
    }

    /// Takes in what is expected.
    pub fn expected(&mut self, event: &Expected) {
        let Expected { due, listing: _, ref location, units } = *event;
        let is_named = |incoming: &Incoming| incoming.due == due && incoming.location == *location;
        self.incoming.retain(|incoming| !is_named(incoming));
        if units > 0 {
            let key = (due, location);
            let at = self.incoming.partition_point(|incoming| (incoming.due, &incoming.location) < key);
            self.incoming.insert(at, Incoming { due, location: location.clone(), units });
        }
    }

    /// Takes in that units are kept for an order, some of them at named locations.
    pub fn reserve(&mut self, units: u64, locations: &[Located]) -> Option<()> {
        add(&mut self.reserved, units)?;
        self.change_each(locations, |there, units| add(&mut there.reserved, units))
    }

    /// Takes in that units of an order are free again, some of them at named locations.
    pub fn unreserve(&mut self, units: u64, locations: &[Located]) -> Option<()> {
        take(&mut self.reserved, units)?;
        self.change_each(locations, |there, units| take(&mut there.reserved, units))
    }

    /// Takes in that units of an order left, some of them from named locations.
    pub fn ship(&mut self, units: u64, locations: &[Located]) -> Option<()> {
        self.unreserve(units, locations)?;
        take(&mut self.on_hand, units)?;
        self.change_each(locations, |there, units| take(&mut there.on_hand, units))
    }

    /// Takes in that units of an order are reserved at another location.
    pub fn reallocate(&mut self, units: &Reallocation) -> Option<()> {
        let count = u64::from(units.quantity.get());
        self.change(units.from.as_ref(), |there| take(&mut there.reserved, count))?;
        self.change(Some(&units.to), |there| add(&mut there.reserved, count))
    }

    fn change_each(
        &mut self,
        locations: &[Located],
        change: fn(&mut AtLocation, u64) -> Option<()>,
    ) -> Option<()> {
        locations.iter().try_for_each(|Located { location, quantity }| {
            self.change(Some(location), |there| change(there, u64::from(quantity.get())))
        })
    }

    /// Changes what is at a named location; without a name there is nothing to change beside the whole.
    fn change(
        &mut self,
        location: Option<&Location>,
        change: impl FnOnce(&mut AtLocation) -> Option<()>,
    ) -> Option<()> {
        let Some(location) = location else { return Some(()) };
        let locations = self.locations.get_or_insert_default();
        locations.change(location, change)?;
        if locations.count() == 0 {
            self.locations = None;
        }
        Some(())
    }
}

fn add(count: &mut u64, units: u64) -> Option<()> {
    *count = count.checked_add(units)?;
    Some(())
}

fn take(count: &mut u64, units: u64) -> Option<()> {
    *count = count.checked_sub(units)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;

    #[test]
    fn available_is_what_is_left_of_stock_and_backorders_and_never_below_zero() {
        let of = |on_hand, reserved, safety, backorder_limit| {
            let stock = Stock { on_hand, reserved, safety, backorder_limit, ..Stock::default() };
            (stock.available(), stock.shortfall())
        };
        assert_eq!(of(10, 3, 0, 0), (7, 0));
        assert_eq!(of(10, 3, 2, 0), (5, 0));
        assert_eq!(of(10, 9, 2, 0), (0, 0), "safety stock keeps open orders covered");
        assert_eq!(of(0, 3, 0, 5), (2, 0));
        assert_eq!(of(0, 3, 4, 5), (0, 0));
        assert_eq!(of(1, 9, 0, 5), (0, 3));
    }

    #[test]
    fn who_has_set_units_aside_can_buy_them_before_others_but_not_what_open_orders_wait_for() {
        let of = |on_hand, reserved, set_aside, safety, own| {
            let stock = Stock { on_hand, reserved, set_aside, safety, ..Stock::default() };
            (stock.available(), stock.available_to(own))
        };
        assert_eq!(of(10, 5, 5, 0, 5), (5, 10));
        assert_eq!(of(10, 5, 5, 0, 0), (5, 5));
        assert_eq!(of(10, 5, 5, 9, 5), (0, 5), "safety stock covers what is reserved");
        assert_eq!(
            of(5, 10, 10, 0, 5),
            (0, 5),
            "of two for whom there is too little, the first to order has it"
        );
        assert_eq!(of(5, 10, 5, 0, 5), (0, 0), "and the second has not");
        assert_eq!(of(3, 7, 5, 0, 5), (0, 1));
    }

    #[test]
    fn what_arrives_is_taken_off_what_was_expected_first() {
        let listing = ListingId::from_uuid(uuid::Uuid::from_u128(1));
        let due = Timestamp::from_ms;
        let mut stock = Stock::default();
        for (at, units) in [(30, 3), (10, 2), (20, 9), (20, 5), (40, 1), (40, 0)] {
            stock.expected(&Expected { due: due(at), listing, location: None, units });
        }
        let left = |stock: &Stock| stock.incoming.iter().map(|i| (i.due.ms(), i.units)).collect::<Vec<_>>();
        assert_eq!(left(&stock), [(10, 2), (20, 5), (30, 3)]);
        let quantity = Quantity::new(4).expect("four is a quantity");
        stock.received(&StockReceived { listing, location: None, on_hand: 4, quantity }).expect("it fits");
        assert_eq!((left(&stock), stock.on_hand), (vec![(20, 3), (30, 3)], 4));
        let quantity = Quantity::new(100).expect("a hundred is a quantity");
        stock.received(&StockReceived { listing, location: None, on_hand: 104, quantity }).expect("it fits");
        assert_eq!(stock.incoming, []);
    }
    #[test]
    fn what_happens_at_a_location_happens_to_the_whole_and_an_empty_one_is_forgotten() {
        let listing = ListingId::from_uuid(uuid::Uuid::from_u128(1));
        let at = |name: &str| -> Option<Location> { Some(name.parse().expect("a location")) };
        let quantity = |units| Quantity::new(units).expect("units");
        let mut stock = Stock::default();
        let received =
            |location, on_hand, n| StockReceived { listing, location, on_hand, quantity: quantity(n) };
        stock.received(&received(at("berlin"), 6, 6)).expect("it fits");
        stock.received(&received(None, 8, 2)).expect("it fits");
        let moved = |from, to, n| Moved { from, listing, quantity: quantity(n), to };
        stock.moved(&moved(at("berlin"), at("bonn"), 2)).expect("it fits");
        stock.moved(&moved(None, at("bonn"), 1)).expect("it fits");
        let broken = Adjusted {
            damaged: 3,
            delta: -3,
            listing,
            location: at("bonn"),
            on_hand: 5,
            reason: AdjustmentReason::Damaged,
        };
        stock.adjusted(&broken).expect("it fits");
        let there = |stock: &Stock, location: Option<Location>| {
            let AtLocation { on_hand, reserved, safety, damaged } = stock.at(location.as_ref());
            [on_hand, reserved, safety, damaged]
        };
        let all = |stock: &Stock| [there(stock, at("berlin")), there(stock, at("bonn"))];
        assert_eq!(all(&stock), [[4, 0, 0, 0], [0, 0, 0, 3]]);
        assert_eq!((there(&stock, None), stock.on_hand, stock.damaged), ([1, 0, 0, 0], 5, 3));

        let safety = |location, units| SafetySet { listing, location, units };
        stock.safety_set(&safety(at("berlin"), 2)).expect("it fits");
        stock.safety_set(&safety(None, 1)).expect("it fits");
        assert_eq!(stock.safety, 3, "what is kept back anywhere is kept back");
        stock.safety_set(&safety(at("berlin"), 0)).expect("it fits");
        assert_eq!((stock.safety, there(&stock, None)), (1, [1, 0, 1, 0]));

        let located = [Located { location: at("berlin").expect("a name"), quantity: quantity(3) }];
        stock.reserve(4, &located).expect("it fits");
        assert_eq!((there(&stock, at("berlin")), there(&stock, None)), ([4, 3, 0, 0], [1, 1, 1, 0]));
        let elsewhere = Reallocation {
            from: at("berlin"),
            listing,
            quantity: quantity(3),
            to: at("bonn").expect("a name"),
        };
        let mut other = stock.clone();
        other.reallocate(&elsewhere).expect("it fits");
        assert_eq!(all(&other), [[4, 0, 0, 0], [0, 3, 0, 3]]);
        stock.ship(4, &located).expect("it fits");
        assert_eq!((all(&stock)[0], stock.on_hand, stock.reserved), ([1, 0, 0, 0], 1, 0));
        assert_eq!(stock.clone().ship(1, &located), None, "more than is reserved there");

        let gone =
            Adjusted { damaged: 0, delta: -3, reason: AdjustmentReason::WrittenOff, on_hand: 1, ..broken };
        stock.adjusted(&gone).expect("it fits");
        stock.moved(&moved(at("berlin"), None, 1)).expect("it fits");
        assert_eq!(stock.locations, None, "where nothing is left there is no location");
    }
}
