//! When a market releases money, and how it treats what is in dispute.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{DAY_MS, Deadlines, TermsError};
use crate::escrow::rule::ReleaseTerms;
use crate::money::Money;

/// When a market releases money, and how it treats what is in dispute. A market that was opened without them has the usual ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EscrowTerms {
    /// Most that one operator may decide about alone, in minor units of whatever currency, from 0: for more, another one
    /// has to agree.
    four_eyes_above_minor: i64,
    /// From the freezing of money to its return to the buyer, unless somebody decided earlier, in milliseconds.
    frozen_ms: i64,
    /// When the money of a shipment that has arrived is released.
    release: ReleaseTerms,
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
        Ok(EscrowTerms { four_eyes_above_minor, frozen_ms, release: ReleaseTerms::default() })
    }

    /// Gives the same terms with others of release.
    pub fn releasing(self, release: ReleaseTerms) -> EscrowTerms {
        EscrowTerms { release, ..self }
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
        }
    }
}

impl<'de> Deserialize<'de> for EscrowTerms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            four_eyes_above_minor: i64,
            frozen_ms: i64,
            release: ReleaseTerms,
        }
        let Parts { four_eyes_above_minor, frozen_ms, release } = Parts::deserialize(deserializer)?;
        let terms = EscrowTerms::new(four_eyes_above_minor, frozen_ms).map_err(de::Error::custom)?;
        Ok(terms.releasing(release))
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
