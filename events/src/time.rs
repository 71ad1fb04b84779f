//! Time as an argument: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// Says that a text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time such as 2025-07-29T10:00:00Z")]
pub struct TimestampError(String);

impl Timestamp {
    /// Takes milliseconds since the epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Timestamp(ms)
    }

    /// Gives milliseconds since the epoch.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Adds milliseconds; ends at the largest moment instead of wrapping.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Gives the milliseconds from `earlier` to this moment.
    pub const fn ms_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Parses RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        let parsed: jiff::Timestamp =
            text.parse().map_err(|_| TimestampError(text.chars().take(64).collect()))?;
        Ok(Timestamp(parsed.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_goes_both_ways_to_the_millisecond() {
        let moment = Timestamp::from_ms(1_753_783_200_123);
        assert_eq!(moment.to_string(), "2025-07-29T10:00:00.123Z");
        assert_eq!(Timestamp::parse_rfc3339(&moment.to_string()).unwrap(), moment);
        assert!(Timestamp::parse_rfc3339("2025-07-29").is_err());
    }
}
