//! What can be asked about units that are set aside.

use std::borrow::Cow;

use events::Quantity;
use events::ids::{ListingId, ReservationId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Units;

/// Shortest time that units can be reserved for, in milliseconds.
pub const RESERVATION_MS_MIN: i64 = 60_000;
/// Longest time that units can be reserved for, extensions included, in milliseconds.
pub const RESERVATION_MS_MAX: i64 = 4 * 3_600_000;
/// How long units are reserved for unless the seller says otherwise, in milliseconds.
pub const RESERVATION_MS: i64 = 15 * 60_000;

/// Says how many units of a listing each buyer may reserve before he orders them, and for how long. Reservations that are
/// open stay as they are. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowReservations {
    /// For how long, and for how long again with each extension; absent: 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<ReservationTime>,
    /// The listing.
    pub listing: ListingId,
    /// The most units of one buyer; 0: nobody may reserve any.
    pub units: Units,
}

/// Sets units aside for a while: an order of the same buyer takes them first. Given by a buyer. The reservation's id is
/// derived from the account and the command's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveStock {
    /// The listing.
    pub listing: ListingId,
    /// How many.
    pub quantity: Quantity,
}

/// Keeps reserved units for longer: from now on for as long as the seller lets units be reserved, and four hours in all at
/// most. Given by the buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendReservation {
    /// The reservation.
    pub reservation: ReservationId,
}

/// Gives up what is left of a reservation. Given by its buyer or an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseReservation {
    /// The reservation.
    pub reservation: ReservationId,
}

/// How long units are reserved for: [`RESERVATION_MS_MIN`] to [`RESERVATION_MS_MAX`] milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ReservationTime(i64);

impl ReservationTime {
    /// Gives the milliseconds.
    pub const fn ms(self) -> i64 {
        self.0
    }
}

impl Default for ReservationTime {
    fn default() -> Self {
        ReservationTime(RESERVATION_MS)
    }
}

impl TryFrom<i64> for ReservationTime {
    type Error = String;
    fn try_from(ms: i64) -> Result<Self, String> {
        if !(RESERVATION_MS_MIN..=RESERVATION_MS_MAX).contains(&ms) {
            return Err(format!(
                "units can be reserved for {RESERVATION_MS_MIN} to {RESERVATION_MS_MAX} milliseconds, not {ms}"
            ));
        }
        Ok(ReservationTime(ms))
    }
}

impl<'de> Deserialize<'de> for ReservationTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReservationTime::try_from(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ReservationTime {
    fn schema_name() -> Cow<'static, str> {
        "ReservationTime".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "minimum": RESERVATION_MS_MIN,
            "maximum": RESERVATION_MS_MAX,
            "description": "For how long, in milliseconds",
        })
    }
}
