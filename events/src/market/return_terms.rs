//! What a market takes back after it was delivered.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{DAY_MS, Deadlines, TermsError};

/// How long buyers may return what was delivered, how long each state of a return waits before its default outcome, in
/// milliseconds, and who bears the fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReturnTerms {
    /// From the seller's word against the buyer to the buyer's wish that an operator decides; afterwards the seller's stands.
    pub appeal_ms: i64,
    /// From the request to the seller's answer; afterwards it counts as approved.
    pub answer_ms: i64,
    /// From the buyer's wish that an operator decides to that; afterwards it is as the buyer wants it.
    pub decide_ms: i64,
    /// Whether the platform gives its fee back for what goes back after the seller was paid; else the seller bears it.
    pub gives_fee_back: bool,
    /// From the end of the carrier's time to the seller's word how the units arrived; afterwards they count as intact.
    pub inspect_ms: i64,
    /// From the approval to the sending of the units; afterwards the return ends.
    pub send_ms: i64,
    /// From the delivery of a shipment to the last request to return units of it.
    pub window_ms: i64,
}

impl ReturnTerms {
    /// Gives the usual terms with a window: two days to answer, a week to send and to decide, three days to inspect and to appeal.
    pub const fn usual(window_ms: i64) -> ReturnTerms {
        ReturnTerms {
            appeal_ms: 3 * DAY_MS,
            answer_ms: 2 * DAY_MS,
            decide_ms: 7 * DAY_MS,
            gives_fee_back: false,
            inspect_ms: 3 * DAY_MS,
            send_ms: 7 * DAY_MS,
            window_ms,
        }
    }

    /// Gives the terms if each time is in range.
    pub fn checked(self) -> Result<ReturnTerms, TermsError> {
        let ReturnTerms {
            appeal_ms,
            answer_ms,
            decide_ms,
            gives_fee_back: _,
            inspect_ms,
            send_ms,
            window_ms,
        } = self;
        for (name, ms) in [
            ("appeal_ms", appeal_ms),
            ("answer_ms", answer_ms),
            ("decide_ms", decide_ms),
            ("inspect_ms", inspect_ms),
            ("send_ms", send_ms),
            ("window_ms", window_ms),
        ] {
            if !(1..=Deadlines::MS_MAX).contains(&ms) {
                return Err(TermsError::Deadline { name, ms });
            }
        }
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for ReturnTerms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            appeal_ms: i64,
            answer_ms: i64,
            decide_ms: i64,
            gives_fee_back: bool,
            inspect_ms: i64,
            send_ms: i64,
            window_ms: i64,
        }
        let Parts { appeal_ms, answer_ms, decide_ms, gives_fee_back, inspect_ms, send_ms, window_ms } =
            Parts::deserialize(deserializer)?;
        let terms =
            ReturnTerms { appeal_ms, answer_ms, decide_ms, gives_fee_back, inspect_ms, send_ms, window_ms };
        terms.checked().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_with_a_time_out_of_range_can_be_neither_made_nor_read() {
        let usual = ReturnTerms::usual(30 * DAY_MS);
        let written = serde_json::to_value(usual).unwrap();
        assert_eq!(serde_json::from_value::<ReturnTerms>(written.clone()).unwrap(), usual);
        for name in ["appeal_ms", "answer_ms", "decide_ms", "inspect_ms", "send_ms", "window_ms"] {
            for ms in [0, Deadlines::MS_MAX + 1] {
                let mut wrong = written.clone();
                wrong[name] = ms.into();
                let error = serde_json::from_value::<ReturnTerms>(wrong).unwrap_err();
                assert_eq!(error.to_string(), TermsError::Deadline { name, ms }.to_string());
            }
        }
    }
}
