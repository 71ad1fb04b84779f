//! A breaker: who failed too often is left alone for a while. Time is an argument.

use std::time::{Duration, Instant};

/// After so many failures in a row nobody asks for a while.
pub const FAILURES_MAX: u32 = 5;
/// For how long. Then one may try, and the others wait for what he finds.
pub const PAUSE: Duration = Duration::from_secs(30);

/// Counts failures.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    paused_until: Option<Instant>,
}

impl Breaker {
    /// Tells whether it may be asked now; whoever is told so after a pause is the one who tries.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        match self.paused_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.paused_until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    /// Takes in how it went.
    pub(super) fn heard(&mut self, is_well: bool, now: Instant) {
        if is_well {
            *self = Breaker::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.paused_until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_is_left_alone_and_then_tried_once() {
        let (mut breaker, begin) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(breaker.may_ask(begin));
            breaker.heard(false, begin);
        }
        assert!(!breaker.may_ask(begin + PAUSE / 2));
        assert!(breaker.may_ask(begin + PAUSE));
        assert!(!breaker.may_ask(begin + PAUSE), "the others wait for the first");
        breaker.heard(false, begin + PAUSE);
        assert!(!breaker.may_ask(begin + PAUSE + PAUSE / 2));
        assert!(breaker.may_ask(begin + PAUSE * 2));
        breaker.heard(true, begin + PAUSE * 2);
        assert!(breaker.may_ask(begin + PAUSE * 2), "one success ends it");
    }
}
