//! Where the time comes from. Inside the engine it is an argument; only its driver asks a clock.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use events::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Gives the time now.
    fn now(&self) -> Timestamp;

    /// Gives the time since some moment by a clock that nobody can set, to judge [`Clock::now`] by. Nothing, if this
    /// clock is meant to be moved, as that of an import is: then it is never doubted.
    fn elapsed(&self) -> Option<Duration>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Option<Duration> {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Some(BEGIN.elapsed())
    }
}

/// A clock that stands until it is moved: for imports of old orders and for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Makes a clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        ManualClock(AtomicI64::new(now.ms()))
    }

    /// Moves the clock; it never goes back.
    pub fn advance_to(&self, now: Timestamp) {
        self.0.fetch_max(now.ms(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Option<Duration> {
        None
    }
}

/// How far a clock may jump ahead between two looks at it, in ms. A wrong clock would release escrows and cancel orders,
/// which nobody can take back; so what is further needs an operator.
pub const CLOCK_JUMP_MS_MAX: i64 = 3_600_000;

/// What a clock showed, and [`Clock::elapsed`] at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    time: Timestamp,
    elapsed: Duration,
}

/// Judges a clock. From one look to the next it must not jump ahead by more than [`CLOCK_JUMP_MS_MAX`] against the clock
/// that nobody can set; once it has, it is doubted until it is back where it should be. That it goes back is no matter:
/// the market's time does not.
///
/// A machine that sleeps looks as if its clock jumped. What the clock shows at the first look is believed.
#[derive(Debug, Default)]
pub struct ClockGuard {
    trusted: Option<Look>,
}

/// A look at a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The time to go by: what the clock shows or, if it is doubted, what it should show.
    pub now: Timestamp,
    /// How far ahead of that it stands, in ms, if it is doubted.
    pub ahead_ms: Option<i64>,
}

impl ClockGuard {
    /// Looks at a clock.
    pub fn look(&mut self, clock: &dyn Clock) -> Judged {
        self.judge(clock.now(), clock.elapsed())
    }

    /// Judges what a clock shows.
    pub fn judge(&mut self, time: Timestamp, elapsed: Option<Duration>) -> Judged {
        let Some(elapsed) = elapsed else { return Judged { now: time, ahead_ms: None } };
        let look = Look { time, elapsed };
        let trusted = *self.trusted.get_or_insert(look);
        let passed = elapsed.saturating_sub(trusted.elapsed);
        let due = trusted.time.plus_ms(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
        let ahead_ms = time.ms_since(due);
        if ahead_ms > CLOCK_JUMP_MS_MAX {
            return Judged { now: due, ahead_ms: Some(ahead_ms) };
        }
        self.trusted = Some(look);
        Judged { now: time, ahead_ms: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_ms(1_753_783_200_000 + hours * HOUR_MS)
    }

    fn hours(hours: u64) -> Option<Duration> {
        Some(Duration::from_secs(3_600 * hours))
    }

    #[test]
    fn a_clock_that_runs_is_believed_however_long_nobody_looked() {
        let mut guard = ClockGuard::default();
        for day in [0, 1, 9, 400] {
            let judged = guard.judge(at(24 * day), hours(24 * day as u64));
            assert_eq!(judged, Judged { now: at(24 * day), ahead_ms: None });
        }
    }

    #[test]
    fn a_jump_ahead_is_doubted_until_the_clock_is_back() {
        let mut guard = ClockGuard::default();
        guard.judge(at(0), hours(0));
        // An hour is put up with.
        assert_eq!(guard.judge(at(1), hours(0)), Judged { now: at(1), ahead_ms: None });
        assert_eq!(guard.judge(at(4), hours(1)), Judged { now: at(2), ahead_ms: Some(2 * HOUR_MS) });
        // Time goes on meanwhile, and looking again makes it no better.
        assert_eq!(guard.judge(at(6), hours(2)), Judged { now: at(3), ahead_ms: Some(3 * HOUR_MS) });
        assert_eq!(guard.judge(at(3), hours(2)), Judged { now: at(3), ahead_ms: None });
    }

    #[test]
    fn a_clock_that_goes_back_is_believed() {
        let mut guard = ClockGuard::default();
        guard.judge(at(10), hours(0));
        assert_eq!(guard.judge(at(2), hours(0)), Judged { now: at(2), ahead_ms: None });
        assert_eq!(guard.judge(at(10), hours(0)).ahead_ms, Some(8 * HOUR_MS));
    }

    #[test]
    fn a_clock_that_is_moved_on_purpose_is_never_doubted() {
        let mut guard = ClockGuard::default();
        for day in [0, 30, 300] {
            assert_eq!(guard.judge(at(24 * day), None), Judged { now: at(24 * day), ahead_ms: None });
        }
    }
}
