//! Facts of notifications: where somebody's devices are told, and what he wants to be told of. How a device is reached is a secret, and
//! named by a hash.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Position;
use crate::code::code;
use crate::hash::Hash;
use crate::ids::{AccountId, PushSubscriptionId};
use crate::time::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1_440 * MINUTE_MS;

code! {
    /// A time of the day.
    TimeOfDay: "TimeOfDay", "time of day",
    must be "of 24 hours such as 22:00",
    pattern "^([01][0-9]|2[0-3]):[0-5][0-9]$",
    description "A time of the day, of 24 hours such as 22:00",
    fits |text| minutes_of(text).is_some_and(|(hours, minutes)| hours < 24 && minutes < 60)
}

code! {
    /// How far the clocks of a place are from UTC.
    UtcOffset: "UtcOffset", "distance from UTC",
    must be "hours and minutes with a sign such as +02:00, 14 hours at most",
    pattern "^[+-](0[0-9]|1[0-4]):[0-5][0-9]$",
    description "Hours and minutes from UTC with a sign, such as +02:00",
    fits |text| {
        let rest = text.strip_prefix('+').or_else(|| text.strip_prefix('-'));
        rest.and_then(minutes_of).is_some_and(|(hours, minutes)| hours < 15 && minutes < 60)
    }
}

/// Reads two digits, a colon and two digits.
fn minutes_of(text: &str) -> Option<(i64, i64)> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |part: &str| {
        let is_plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| part.parse().ok()).flatten()
    };
    Some((number(hours)?, number(minutes)?))
}

fn ms_of(text: &str) -> i64 {
    let (hours, minutes) = minutes_of(text).expect("it was checked when it was read");
    (hours * 60 + minutes) * MINUTE_MS
}

impl TimeOfDay {
    /// Gives the milliseconds since midnight.
    pub fn ms(&self) -> i64 {
        ms_of(self.as_str())
    }
}

impl UtcOffset {
    /// Gives by how many milliseconds clocks there are ahead of UTC; behind, it is negative.
    pub fn ms(&self) -> i64 {
        let (sign, rest) = self.as_str().split_at(1);
        if sign == "-" { -ms_of(rest) } else { ms_of(rest) }
    }
}

/// When somebody wants to be left alone, each day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// When they begin.
    pub from: TimeOfDay,
    /// When they end, on that day or the next.
    pub to: TimeOfDay,
    /// By which clocks.
    pub utc_offset: UtcOffset,
}

impl QuietHours {
    /// Gives how long it is quiet yet, in milliseconds; 0: it is not.
    pub fn left_ms(&self, now: Timestamp) -> i64 {
        let (from, to) = (self.from.ms(), self.to.ms());
        let of_day = now.ms().saturating_add(self.utc_offset.ms()).rem_euclid(DAY_MS);
        let (passed, length) = ((of_day - from).rem_euclid(DAY_MS), (to - from).rem_euclid(DAY_MS));
        (length - passed).max(0)
    }
}

/// By which service a device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PushChannel")]
pub enum Channel {
    /// A browser, by Web Push (RFC 8030, 8291 and 8292).
    Web,
    /// An app, by Firebase Cloud Messaging.
    Fcm,
    /// An app for Apple's devices, by the Apple Push Notification service.
    Apns,
}

/// What somebody may want to be told of, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PushTopic")]
pub enum Topic {
    /// How orders go on.
    Orders,
    /// What is to be done for a payment, and what became of it.
    Payments,
    /// How payouts went.
    Payouts,
    /// How returns go on.
    Returns,
}

/// A device of somebody's is told from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribed {
    /// Whose it is.
    pub account: AccountId,
    /// By which service it is reached.
    pub channel: Channel,
    /// The subscription.
    pub subscription: PushSubscriptionId,
    /// The hash of how it is reached.
    pub target: Hash,
}

/// A device is told of nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unsubscribed {
    /// Whose it was.
    pub account: AccountId,
    /// Why.
    pub because: UnsubscribedBecause,
    /// The subscription.
    pub subscription: PushSubscriptionId,
    /// The hash of how it was reached.
    pub target: Hash,
}

/// Why a device is told of nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PushUnsubscribedBecause")]
pub enum UnsubscribedBecause {
    /// Its owner wants it so.
    Owner,
    /// The service says that there is no such device any more.
    Gone,
}

/// What somebody wants to be told of, and when not: all of it anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreferencesSet {
    /// Who.
    pub account: AccountId,
    /// Of what he does not want to be told.
    pub muted: BTreeSet<Topic>,
    /// When he wants to be left alone; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
}

/// Up to where notifications were made of what happened. It is noted now and then, so that another process goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reached {
    /// The last event that was looked at.
    pub position: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn quiet(from: &str, to: &str, utc_offset: &str) -> QuietHours {
        QuietHours {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            utc_offset: utc_offset.parse().unwrap(),
        }
    }

    #[test]
    fn it_is_quiet_from_one_time_to_the_other_by_the_clocks_of_the_place() {
        let night = quiet("22:00", "07:30", "+02:00");
        for (time, left_min) in [
            ("2026-07-01T19:59:59Z", 0),
            ("2026-07-01T20:00:00Z", 570),
            ("2026-07-01T22:00:00Z", 450),
            ("2026-07-02T05:29:00Z", 1),
            ("2026-07-02T05:30:00Z", 0),
            ("2026-07-02T12:00:00Z", 0),
        ] {
            assert_eq!(night.left_ms(at(time)), left_min * MINUTE_MS, "{time}");
        }
        let noon = quiet("12:00", "13:00", "-03:30");
        assert_eq!(noon.left_ms(at("2026-07-01T15:45:00Z")), 45 * MINUTE_MS);
        assert_eq!(noon.left_ms(at("2026-07-01T12:30:00Z")), 0);
        assert_eq!(quiet("08:00", "08:00", "+00:00").left_ms(at("2026-07-01T08:00:00Z")), 0, "never");
    }

    #[test]
    fn times_and_places_have_one_form() {
        for bad in ["24:00", "7:00", "07:60", "0700", "07:0", "+7:00", "07:00:00", ""] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
        for bad in ["02:00", "+15:00", "+2:00", "+02:60", "Z", "++2:00", ""] {
            assert!(bad.parse::<UtcOffset>().is_err(), "{bad}");
        }
    }
}
