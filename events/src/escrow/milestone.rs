//! Milestones of a shipment: things its buyer signs one by one, such as that it is set up and that it runs, before its money
//! is released.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Which milestone of a shipment: 1 to 16. What each of them is, buyer and seller have agreed on elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Milestone(u8);

/// Says that a number is no milestone's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a milestone must be 1 to {max}, not {0}", max = Milestone::MAX)]
pub struct MilestoneError(pub u8);

impl Milestone {
    /// The highest milestone.
    pub const MAX: u8 = 16;

    /// Takes a number in range.
    pub const fn new(number: u8) -> Result<Milestone, MilestoneError> {
        if 1 <= number && number <= Milestone::MAX {
            Ok(Milestone(number))
        } else {
            Err(MilestoneError(number))
        }
    }

    /// Gives the number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Milestone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Milestone::new(u8::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Milestone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Milestone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "minimum": 1,
            "maximum": Milestone::MAX,
            "description": "Which milestone of a shipment: 1 to 16. What each of them is, buyer and seller have agreed on elsewhere.",
        })
    }
}

/// Some milestones, one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Milestones(u16);

// Each milestone has its bit.
const _: () = assert!(Milestone::MAX as u32 == u16::BITS);

impl Milestones {
    /// Tells whether one is among them.
    pub const fn contains(self, milestone: Milestone) -> bool {
        self.0 & Milestones::bit(milestone) != 0
    }

    /// Gives these and one more.
    #[must_use]
    pub const fn with(self, milestone: Milestone) -> Milestones {
        Milestones(self.0 | Milestones::bit(milestone))
    }

    const fn bit(milestone: Milestone) -> u16 {
        1 << (milestone.0 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_milestone_is_in_its_range_and_counted_once() {
        for wrong in [0, Milestone::MAX + 1, u8::MAX] {
            assert_eq!(Milestone::new(wrong), Err(MilestoneError(wrong)));
            assert!(serde_json::from_str::<Milestone>(&wrong.to_string()).is_err());
        }
        let mut some = Milestones::default();
        for number in 1..=Milestone::MAX {
            let milestone: Milestone = serde_json::from_str(&number.to_string()).unwrap();
            assert_eq!(milestone, Milestone::new(number).unwrap());
            assert!(!some.contains(milestone));
            some = some.with(milestone);
            assert!(some.contains(milestone));
            assert_eq!(some.with(milestone), some);
        }
    }
}
