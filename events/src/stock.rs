//! Facts of stock, and the numbers that they lead to. Stock is counted for each listing as a whole; a place that holds
//! part of it can be named beside the listing later, without another meaning of what stands here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::ListingId;
use crate::listing::StockReceived;
use crate::time::Timestamp;

/// The stock was found to be another than was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Adjusted {
    /// Damaged units afterwards.
    pub damaged: u64,
    /// Units that came to those on hand, below zero: that left them.
    pub delta: i64,
    /// The listing.
    pub listing: ListingId,
    /// Units on hand afterwards, reserved ones among them.
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
        })
    }
}

/// A seller said how many units are kept back from sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SafetySet {
    /// The listing.
    pub listing: ListingId,
    /// How many units from now on.
    pub units: u64,
}

/// A seller said how many units may be sold that are not there yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackorderLimitSet {
    /// The listing.
    pub listing: ListingId,
    /// How many units from now on.
    pub units: u64,
}

/// A seller said how many units will arrive at a time. What arrives is taken off what was expected first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// When they will arrive.
    pub due: Timestamp,
    /// The listing.
    pub listing: ListingId,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incoming {
    /// When.
    pub due: Timestamp,
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

    /// Takes in that units arrived.
    pub fn received(&mut self, event: &StockReceived) {
        self.on_hand = event.on_hand;
        let mut arrived = u64::from(event.quantity.get());
        for incoming in &mut self.incoming {
            let taken = incoming.units.min(arrived);
            incoming.units -= taken;
            arrived -= taken;
        }
        self.incoming.retain(|incoming| incoming.units > 0);
    }

    /// Takes in that the stock was adjusted.
    pub fn adjusted(&mut self, event: &Adjusted) {
        self.on_hand = event.on_hand;
        self.damaged = event.damaged;
    }

    /// Takes in what is expected.
    pub fn expected(&mut self, event: &Expected) {
        let Expected { due, units, .. } = *event;
        self.incoming.retain(|incoming| incoming.due != due);
        if units > 0 {
            let at = self.incoming.partition_point(|incoming| incoming.due < due);
            self.incoming.insert(at, Incoming { due, units });
        }
    }
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
            stock.expected(&Expected { due: due(at), listing, units });
        }
        let left = |stock: &Stock| stock.incoming.iter().map(|i| (i.due.ms(), i.units)).collect::<Vec<_>>();
        assert_eq!(left(&stock), [(10, 2), (20, 5), (30, 3)]);
        let quantity = Quantity::new(4).expect("four is a quantity");
        stock.received(&StockReceived { listing, on_hand: 4, quantity });
        assert_eq!((left(&stock), stock.on_hand), (vec![(20, 3), (30, 3)], 4));
        let quantity = Quantity::new(100).expect("a hundred is a quantity");
        stock.received(&StockReceived { listing, on_hand: 104, quantity });
        assert_eq!(stock.incoming, []);
    }
}
