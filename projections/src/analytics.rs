//! Numbers over time: sales by hour, day, seller and listing, the way from cart to delivery, how long orders take,
//! and why commands are refused. Hours and days are those of UTC. All integers; money in minor units per currency.

mod apart;
mod fold;
mod queries;

use events::ids::{AccountId, ListingId, OrderId};
use events::order::ShipmentNumber;
use events::{Currency, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::table::{Key, Layout};
use crate::view::ViewError;

pub use apart::{NumbersOf, NumbersOfLog, StepNumbers};
pub(crate) use fold::AnalyticsFold;
pub use queries::Analytics;

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 5;

/// Most points of one series.
pub const SERIES_POINTS_MAX: i64 = 2_400;
/// Most entries of a ranking.
pub const TOP_MAX: usize = 100;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Upper bounds of the latency buckets, in milliseconds, inclusive: 1, 5 and 15 minutes, 1, 4 and 12 hours, and 1, 2,
/// 3, 5, 7, 14 and 30 days. What takes longer is counted in one bucket more.
pub const LATENCY_BOUNDS_MS: [i64; 13] = [
    60_000,
    300_000,
    900_000,
    HOUR_MS,
    4 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    3 * DAY_MS,
    5 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
    30 * DAY_MS,
];

/// Why a question about numbers has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The view can't answer.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The range has too many points, or ends before it begins. Ask for a shorter range or a longer step.
    #[error("a range must have 0 to {max} points, not {points}")]
    Range {
        /// Points it would have.
        points: i64,
        /// Most points.
        max: i64,
    },
}

/// A time from `from` to before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeRange {
    /// Its begin.
    pub from: Timestamp,
    /// Its end, which is not in it.
    pub to: Timestamp,
}

/// How long each point of a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
}

impl Step {
    const fn ms(self) -> i64 {
        match self {
            Step::Hour => HOUR_MS,
            Step::Day => DAY_MS,
        }
    }

    /// Gives the number of the step that holds a moment, counted from 1970.
    const fn number(self, time: Timestamp) -> i64 {
        time.ms().div_euclid(self.ms())
    }

    /// Gives the moment a step begins.
    const fn start(self, number: i64) -> Timestamp {
        Timestamp::from_ms(number.saturating_mul(self.ms()))
    }
}

/// Sales of one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SalesMoney {
    /// The currency.
    pub currency: Currency,
    /// Gross merchandise value: totals of the orders placed.
    pub gmv: i64,
    /// Fees of the platform, counted when the escrow is released: only then they are earned. Less what was given back of them
    /// when units were returned.
    pub fees: i64,
    /// Paid to sellers, less what was taken back when units were returned.
    pub released: i64,
    /// Paid back to buyers.
    pub refunded: i64,
    /// What banks took back of payments that they dispute, less what they gave back when a chargeback was won.
    pub charged_back: i64,
}

/// Orders and what became of them, each counted when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Sales {
    /// Orders placed.
    pub orders: u64,
    /// Units ordered.
    pub units: u64,
    /// Of these, units cancelled.
    pub cancelled_units: u64,
    /// Orders of which something was shipped, counted at their first shipment.
    pub shipped: u64,
    /// Orders of which something was delivered, counted at the first shipment that arrived.
    pub delivered: u64,
    /// Orders closed with something of them bought.
    pub completed: u64,
    /// Orders closed with all units cancelled.
    pub cancelled: u64,
    /// Orders paid back, whole or in part, counted when the first part was.
    pub refunded: u64,
    /// Chargebacks of what was paid for orders, counted for each order they are about when the money was taken.
    pub chargebacks: u64,
    /// Of these, won, counted likewise when the bank had decided.
    pub chargebacks_won: u64,
    /// Of these, lost.
    pub chargebacks_lost: u64,
    /// Money by currency.
    pub money: Vec<SalesMoney>,
}

/// What happened in a market in some time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// Orders.
    pub sales: Sales,
    /// Carts opened.
    pub carts_opened: u64,
    /// Carts that became orders.
    pub carts_migrated: u64,
    /// Commands refused.
    pub rejected: u64,
}

/// One point of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Point<T> {
    /// When it begins.
    pub start: Timestamp,
    /// What happened in it.
    #[serde(flatten)]
    pub numbers: T,
}

/// A listing's sales of one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListingMoney {
    /// The currency.
    pub currency: Currency,
    /// Totals of the lines ordered.
    pub gmv: i64,
    /// Fees of the platform, counted when a shipment's money is released. A line's part of the fee is as its part of the
    /// shipment's amount, rounded so that the parts of all lines sum to the fee.
    pub fees: i64,
    /// What cancelled units cost.
    pub cancelled: i64,
}

/// How a listing sells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListingSales {
    /// Orders it is in.
    pub orders: u64,
    /// Units ordered.
    pub units: u64,
    /// Of these, units cancelled.
    pub cancelled_units: u64,
    /// Money by currency.
    pub money: Vec<ListingMoney>,
}

/// One of the best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rank<I, T> {
    /// Which.
    pub id: I,
    /// Its numbers since the market opened.
    #[serde(flatten)]
    pub numbers: T,
}

/// The way from a cart to the end of an order, since the market opened. Orders may be placed without a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Funnel {
    /// Distinct carts opened.
    pub carts_opened: u64,
    /// Distinct carts that became orders.
    pub carts_migrated: u64,
    /// Orders placed.
    pub orders_placed: u64,
    /// Of these, orders that came from a cart.
    pub orders_from_carts: u64,
    /// Orders of which something was shipped.
    pub shipped: u64,
    /// Orders of which something was delivered.
    pub delivered: u64,
    /// Orders closed with something of them bought.
    pub completed: u64,
    /// Orders closed with all units cancelled.
    pub cancelled: u64,
}

/// What an order is timed to, from when it was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// Its first shipment is handed to a carrier.
    Shipped,
    /// Its first shipment arrives.
    Delivered,
    /// It is completed: the last of its escrow is released or paid back.
    Released,
}

impl Milestone {
    /// Every milestone.
    pub const ALL: [Milestone; 3] = [Milestone::Shipped, Milestone::Delivered, Milestone::Released];

    const fn key(self) -> u8 {
        match self {
            Milestone::Shipped => b's',
            Milestone::Delivered => b'd',
            Milestone::Released => b'r',
        }
    }
}

/// How long orders took from being placed to a milestone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Latency {
    /// The milestone.
    pub milestone: Milestone,
    /// Orders that reached it.
    pub count: u64,
    /// Sum of their times, in milliseconds; divided by `count` it is the mean.
    pub sum_ms: i64,
    /// Orders per bucket, shortest first; each order is in one bucket.
    pub buckets: Vec<LatencyBucket>,
}

/// Orders that took longer than the bucket before and no longer than this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LatencyBucket {
    /// Longest time in it, in milliseconds; none for the last.
    pub up_to_ms: Option<i64>,
    /// How many.
    pub count: u64,
}

/// How often commands were refused for one reason on one day. A command refused for two reasons is counted in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RejectionCount {
    /// When the day begins.
    pub day: Timestamp,
    /// The reason's code.
    pub code: String,
    /// How often.
    pub count: u64,
}

#[derive(Serialize, Deserialize, Default, Clone)]
struct Histogram {
    sum_ms: i64,
    counts: [u64; LATENCY_BOUNDS_MS.len() + 1],
}

/// What must be remembered of an order until it is closed.
#[derive(Serialize, Deserialize)]
struct OpenOrder {
    seller: AccountId,
    placed_at: Timestamp,
    currency: Currency,
    /// What was bought. An event of the first version, which names no units, is about all of it.
    lines: Vec<OpenLine>,
    /// Shipments whose money is not yet released.
    shipments: Vec<(ShipmentNumber, Vec<OpenLine>)>,
    is_delivered: bool,
    is_refunded: bool,
}

/// Units of a line with what they cost.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct OpenLine {
    listing: ListingId,
    quantity: Quantity,
    minor: i64,
}

/// A rejection's code: last in its key, so that no length is needed.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Code(String);

impl Key for Code {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

const HOURS: Layout<i64, Activity> = Layout::new(b'h', VERSION);
const DAYS: Layout<i64, Activity> = Layout::new(b'd', VERSION);
const SELLERS: Layout<AccountId, Sales> = Layout::new(b's', VERSION);
const SELLER_DAYS: Layout<(AccountId, i64), Sales> = Layout::new(b'S', VERSION);
const LISTINGS: Layout<ListingId, ListingSales> = Layout::new(b'l', VERSION);
const LISTING_DAYS: Layout<(ListingId, i64), ListingSales> = Layout::new(b'L', VERSION);
const FUNNEL: Layout<(), Funnel> = Layout::new(b'f', VERSION);
const LATENCY: Layout<u8, Histogram> = Layout::new(b't', VERSION);
const REJECTIONS: Layout<(i64, Code), u64> = Layout::new(b'r', VERSION);
const OPEN: Layout<OrderId, OpenOrder> = Layout::new(b'o', VERSION);
