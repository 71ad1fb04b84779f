//! Facts of the market itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::PublicKey;
use crate::ids::{AccountId, DeviceId, MarketName, WriterId};

/// The market was opened: the first event of its log. It fixes who may register others and how money is charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// How long each waiting state lasts before its default outcome.
    pub deadlines: Deadlines,
    /// What the platform takes of each released escrow.
    pub fee: FeePolicy,
    /// The market's name; every signed command names it as `aud`.
    pub market: MarketName,
    /// Who registers accounts and devices.
    pub registrar: Registrar,
    /// The public key that receipts are signed with.
    pub receipt_key: PublicKey,
}

/// The identity service's account, device and key, given to the engine when the market is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registrar {
    /// Its account.
    pub account: AccountId,
    /// Its device.
    pub device: DeviceId,
    /// Its public key.
    pub key: PublicKey,
}

/// What the platform takes: `round(amount · bps / 10 000) + fixed_minor`, at least `min_minor`, at most `max_minor`
/// where there is one, and never more than the amount. The rounding is half away from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeePolicy {
    /// Share in hundredths of a percent, 0 to 10,000.
    pub bps: u32,
    /// Fixed part in minor units, from 0.
    pub fixed_minor: i64,
    /// Most that is taken, in minor units; none: no limit.
    pub max_minor: Option<i64>,
    /// Least that is taken, in minor units, from 0.
    pub min_minor: i64,
}

/// How long each waiting state lasts, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deadlines {
    /// From delivery to the release of the escrow, unless the buyer confirmed earlier.
    pub inspection_ms: i64,
    /// From the order to its shipment; afterwards it is cancelled and the buyer gets the money back.
    pub ship_by_ms: i64,
    /// From shipment to delivery; afterwards it counts as delivered and the inspection begins.
    pub transit_ms: i64,
}

impl Default for Deadlines {
    /// 14 days to ship, 14 days to arrive, 3 days to inspect.
    fn default() -> Self {
        const DAY_MS: i64 = 86_400_000;
        Deadlines { inspection_ms: 3 * DAY_MS, ship_by_ms: 14 * DAY_MS, transit_ms: 14 * DAY_MS }
    }
}

/// A process became the writer of the market. Whoever wrote before and meets this event steps down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriterStarted {
    /// Counts the writers of this market from 1.
    pub epoch: u64,
    /// The version of the program.
    pub version: String,
    /// The run of the process.
    pub writer: WriterId,
}
