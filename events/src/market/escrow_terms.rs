//! When a market releases money, and how it treats what is in dispute.

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{DAY_MS, Deadlines, ReturnTerms, TermsError};
use crate::escrow::rule::ReleaseTerms;
use crate::money::{Bps, Money};

/// When a market releases money, and how it treats what is in dispute. A market that was opened without them has the usual ones.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
pub struct EscrowTerms {
    /// Most that one operator may decide about alone, in minor units of whatever currency, from 0: for more, another one
    /// has to agree.
    four_eyes_above_minor: i64,
    /// From the freezing of money to its return to the buyer, unless somebody decided earlier, in milliseconds.
    frozen_ms: i64,
    /// When the money of a shipment that has arrived is released.
    release: ReleaseTerms,
    /// What of sellers' earnings is kept for some time; absent: nothing.
    #[schemars(default)]
    reserve: Option<ReserveTerms>,
    /// What is taken back after it was delivered; absent: nothing.
    #[schemars(default)]
    returns: Option<ReturnTerms>,
}

/// What of that which is released to sellers is kept for some time, in case that buyers get money back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReserveTerms {
    /// From the end of the day of UTC on which it was released until the seller may be paid it out, in milliseconds.
    hold_ms: i64,
    /// How much is kept.
    share: Bps,
}

impl ReserveTerms {
    /// Takes terms that are in range.
    pub fn new(share: Bps, hold_ms: i64) -> Result<ReserveTerms, TermsError> {
        if !(1..=Deadlines::MS_MAX).contains(&hold_ms) {
            return Err(TermsError::Deadline { name: "hold_ms", ms: hold_ms });
        }
        Ok(ReserveTerms { hold_ms, share })
    }

    /// Gives how much is kept.
    pub const fn share(&self) -> Bps {
        self.share
    }

    /// Gives how long it is kept behind the end of its day.
    pub const fn hold_ms(&self) -> i64 {
        self.hold_ms
    }
}

impl<'de> Deserialize<'de> for ReserveTerms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            hold_ms: i64,
            share: Bps,
        }
        let Parts { hold_ms, share } = Parts::deserialize(deserializer)?;
        ReserveTerms::new(share, hold_ms).map_err(de::Error::custom)
    }
}

impl EscrowTerms {
    /// Takes terms that are in range, with the usual ones of release.
    pub fn new(four_eyes_above_minor: i64, frozen_ms: i64) -> Result<EscrowTerms, TermsError> {
        if !(0..=Money::MINOR_MAX).contains(&four_eyes_above_minor) {
            return Err(TermsError::FourEyes { minor: four_eyes_above_minor });
        }
        if !(1..=Deadlines::MS_MAX).contains(&frozen_ms) {
            return Err(TermsError::Deadline { name: "frozen_ms", ms: frozen_ms });
        }
        Ok(EscrowTerms { four_eyes_above_minor, frozen_ms, ..EscrowTerms::default() })
    }

    /// Gives the same terms with others of release.
    pub fn releasing(self, release: ReleaseTerms) -> EscrowTerms {
        EscrowTerms { release, ..self }
    }

    /// Gives the same terms with a part of sellers' earnings kept, or with none.
    pub fn keeping(self, reserve: Option<ReserveTerms>) -> EscrowTerms {
        EscrowTerms { reserve, ..self }
    }

    /// Gives what of sellers' earnings is kept; none: nothing.
    pub const fn reserve(&self) -> Option<&ReserveTerms> {
        self.reserve.as_ref()
    }

    /// Gives the same terms with returns, or without.
    pub fn returning(self, returns: Option<ReturnTerms>) -> EscrowTerms {
        EscrowTerms { returns, ..self }
    }

    /// Gives by what terms something is taken back; none: nothing is.
    pub const fn returns(&self) -> Option<&ReturnTerms> {
        self.returns.as_ref()
    }

    /// Gives when the money of a shipment that has arrived is released.
    pub const fn release(&self) -> &ReleaseTerms {
        &self.release
    }

    /// Gives the most that one operator may decide about alone, in minor units.
    pub const fn four_eyes_above_minor(&self) -> i64 {
        self.four_eyes_above_minor
    }

    /// Gives the time from the freezing of money to its return to the buyer.
    pub const fn frozen_ms(&self) -> i64 {
        self.frozen_ms
    }
}

impl Default for EscrowTerms {
    /// Two operators above 100,000 minor units, and 60 days to decide. Markets that recorded none rely on it: it is never
    /// changed.
    fn default() -> Self {
        EscrowTerms {
            four_eyes_above_minor: 100_000,
            frozen_ms: 60 * DAY_MS,
            release: ReleaseTerms::default(),
            reserve: None,
            returns: None,
        }
    }
}

// What is absent is left out where people read it; a snapshot, which has no names, has every field.
impl Serialize for EscrowTerms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_all = !serializer.is_human_readable();
        let (has_reserve, has_returns) =
            (has_all || self.reserve.is_some(), has_all || self.returns.is_some());
        let count = 3 + usize::from(has_reserve) + usize::from(has_returns);
        let mut fields = serializer.serialize_struct("EscrowTerms", count)?;
        fields.serialize_field("four_eyes_above_minor", &self.four_eyes_above_minor)?;
        fields.serialize_field("frozen_ms", &self.frozen_ms)?;
        fields.serialize_field("release", &self.release)?;
        if has_reserve {
            fields.serialize_field("reserve", &self.reserve)?;
        }
        if has_returns {
            fields.serialize_field("returns", &self.returns)?;
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for EscrowTerms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            four_eyes_above_minor: i64,
            frozen_ms: i64,
            release: ReleaseTerms,
            #[serde(default)]
            reserve: Option<ReserveTerms>,
            #[serde(default)]
            returns: Option<ReturnTerms>,
        }
        let Parts { four_eyes_above_minor, frozen_ms, release, reserve, returns } =
            Parts::deserialize(deserializer)?;
        let terms = EscrowTerms::new(four_eyes_above_minor, frozen_ms).map_err(de::Error::custom)?;
        Ok(terms.releasing(release).keeping(reserve).returning(returns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_outside_their_range_are_refused_by_name_and_can_not_be_read_either() {
        let wrong_time = |ms| Some(TermsError::Deadline { name: "frozen_ms", ms });
        let wrong_limit = |minor| Some(TermsError::FourEyes { minor });
        for (limit, ms, error) in [
            (0, 1, None),
            (Money::MINOR_MAX, Deadlines::MS_MAX, None),
            (-1, 1, wrong_limit(-1)),
            (Money::MINOR_MAX + 1, 1, wrong_limit(Money::MINOR_MAX + 1)),
            (0, 0, wrong_time(0)),
            (0, Deadlines::MS_MAX + 1, wrong_time(Deadlines::MS_MAX + 1)),
        ] {
            let release = ReleaseTerms::default();
            let written = json!({"four_eyes_above_minor": limit, "frozen_ms": ms, "release": release});
            let read = serde_json::from_value::<EscrowTerms>(written.clone());
            match (EscrowTerms::new(limit, ms), error) {
                (Ok(terms), None) => {
                    assert_eq!(serde_json::to_value(&terms).unwrap(), written);
                    assert_eq!(read.unwrap(), terms);
                }
                (made, error) => {
                    let error = error.unwrap();
                    assert_eq!(read.unwrap_err().to_string(), error.to_string());
                    assert_eq!(made, Err(error));
                }
            }
        }
    }
}
