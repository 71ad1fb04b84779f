//! Payments that are asked for in place of one that a provider holds: an order's buyer authorises it anew.
//!
//! Such a payment is only asked for as long as the one that is held waits for the seller. What is held stands until another is
//! held, whole and for longer; what ends it before ends the other, too.

use std::collections::BTreeMap;

use events::ids::PaymentId;
use serde::{Deserialize, Serialize};

/// Which payments are asked for in place of which.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Anew {
    /// By the one that is held.
    asked: BTreeMap<PaymentId, PaymentId>,
    /// By the one that is asked for.
    held: BTreeMap<PaymentId, PaymentId>,
}

impl Anew {
    /// Gives the payment that is asked for in place of one that is held.
    pub(super) fn asked_for(&self, held: PaymentId) -> Option<PaymentId> {
        self.asked.get(&held).copied()
    }

    /// Gives the payment that is held and in whose place another is asked for.
    pub(super) fn held_before(&self, asked: PaymentId) -> Option<PaymentId> {
        self.held.get(&asked).copied()
    }

    /// Notes that a payment is asked for in place of one that is held.
    pub(super) fn begin(&mut self, held: PaymentId, asked: PaymentId) {
        let before = self.asked.insert(held, asked);
        assert!(before.is_none(), "one payment at a time is asked for in place of another");
        self.held.insert(asked, held);
    }

    /// Notes that a payment is no longer asked for, if it was in place of another.
    pub(super) fn end(&mut self, asked: PaymentId) {
        if let Some(held) = self.held.remove(&asked) {
            self.asked.remove(&held);
        }
    }
}
