//! Orders that stand still, since operators or a review of their risk stopped them.

use events::Timestamp;
use events::metadata::DeadlineStamp;
use events::order::hold::HoldReason;

use super::fold::set_due;
use super::{Hold, Order};

impl Order {
    /// Stops it until somebody has looked at its risk.
    pub(super) fn review(&mut self, time: Timestamp) -> Option<()> {
        let hold = Hold { reason: HoldReason::RiskReview, since: time, is_lift_requested: false };
        self.hold.get_or_insert(hold);
        Some(())
    }

    /// Lifts its hold.
    pub(super) fn unhold(&mut self, deadlines: &[DeadlineStamp], time: Timestamp) -> Option<()> {
        let hold = self.hold.take()?;
        // What banks gave back meanwhile is taken off it first, and then it goes on.
        if !self.is_losing() {
            self.go_on(hold.since, time);
        }
        deadlines.iter().try_for_each(|stamp| set_due(self, *stamp))
    }
}
