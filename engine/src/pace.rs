//! How fast a running writer is: what it did in each of the last seconds, and how long that took. It is kept in memory, by the
//! machine's own time that nobody can set, and begins anew with each process.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many of the last seconds are remembered.
pub const SECONDS_KEPT: usize = 300;
/// The last seconds that [`Reading::recent`] sums up.
pub const SECONDS_RECENT: usize = 60;

/// Parts of each power of two that times are counted in: what is told is at most an eighth above what was measured.
const PARTS: u64 = 8;
/// Times from here on, in microseconds, are counted as this: over a minute.
const MICROS_MAX: u64 = (1 << 26) - 1;
/// One for each time below [`PARTS`], and as many for each power of two above.
const BUCKETS: usize = 8 * (26 - 3 + 1);

/// What became of a command that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It was accepted, or there was nothing to change.
    Accepted,
    /// The market's rules rejected it, which is on record.
    Rejected,
    /// It was not taken.
    Refused,
}

/// What a writer did in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Orders that were placed and are durable.
    pub orders: u64,
    /// Commands accepted.
    pub accepted: u64,
    /// Commands rejected by the market's rules.
    pub rejected: u64,
    /// Commands not taken: unsigned, too old, or too many at once.
    pub refused: u64,
    /// Appends to the log.
    pub appends: u64,
}

/// How long things took, in microseconds, each at most an eighth too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Half took no longer.
    pub p50_us: u64,
    /// 99 of a hundred took no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// What is known of some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// How many seconds it has, at least one.
    pub seconds: u64,
    /// What was done.
    pub counts: Counts,
    /// From a command's arrival until its answer left, of those that were decided; none: there were none.
    pub answers: Option<Times>,
    /// From when an append was sent to the log until it was durable; none: there was none.
    pub appends: Option<Times>,
}

/// What is known of the last seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The full seconds that are remembered, oldest first; the last ended a moment ago.
    pub seconds: Vec<Span>,
    /// The last of them together.
    pub recent: Span,
    /// How long ago the last append was durable; none: this process has appended nothing.
    pub since_append: Option<Duration>,
}

/// Measures a writer.
pub struct Pace {
    begun: Instant,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    /// The number of the first second in it, counted from the begin.
    first: u64,
    seconds: VecDeque<Second>,
    appended: Option<Duration>,
}

#[derive(Default)]
struct Second {
    counts: Counts,
    answers: Histogram,
    appends: Histogram,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { begun: Instant::now(), ring: Mutex::default() }
    }
}

impl Pace {
    /// Counts what became durable together.
    pub(crate) fn durable(&self, orders: u64) {
        self.with(|second| second.counts.orders += orders);
    }

    /// Counts answers with how long each took since its command arrived.
    pub(crate) fn answered(&self, answers: impl Iterator<Item = (Answered, Duration)>) {
        self.with(|second| {
            for (what, took) in answers {
                let counter = match what {
                    Answered::Accepted => &mut second.counts.accepted,
                    Answered::Rejected => &mut second.counts.rejected,
                    Answered::Refused => &mut second.counts.refused,
                };
                *counter += 1;
                // What was not taken was not decided either, and would make the market look fast.
                if what != Answered::Refused {
                    second.answers.add(took);
                }
            }
        });
    }

    /// Counts an append that took so long.
    pub(crate) fn appended(&self, took: Duration) {
        let now = self.begun.elapsed();
        let mut ring = self.lock();
        ring.appended = Some(now);
        let second = ring.second(now);
        second.counts.appends += 1;
        second.appends.add(took);
    }

    /// Reads what is known now.
    pub fn read(&self) -> Reading {
        let now = self.begun.elapsed();
        self.lock().read(now)
    }

    fn with(&self, count: impl FnOnce(&mut Second)) {
        let now = self.begun.elapsed();
        count(self.lock().second(now));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        // Nothing panics between two changes that belong together.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Gives the second of a moment; those before what is remembered count as its first.
    fn second(&mut self, now: Duration) -> &mut Second {
        let number = now.as_secs().max(self.first);
        let kept = SECONDS_KEPT as u64 + 1;
        if number >= self.first + 2 * kept {
            // Nothing was counted for so long that nothing of before is left.
            self.seconds.clear();
            self.first = number + 1 - kept;
        }
        while self.first + (self.seconds.len() as u64) <= number {
            self.seconds.push_back(Second::default());
            if self.seconds.len() as u64 > kept {
                self.seconds.pop_front();
                self.first += 1;
            }
        }
        let at = usize::try_from(number - self.first).unwrap_or(0);
        &mut self.seconds[at]
    }

    fn read(&mut self, now: Duration) -> Reading {
        // The second under way is not full, and would look as if the market slowed down.
        self.second(now);
        let full = self.seconds.len() - 1;
        let seconds: Vec<Span> =
            self.seconds.range(..full).map(|second| span(std::iter::once(second))).collect();
        let recent = span(self.seconds.range(full.saturating_sub(SECONDS_RECENT)..full));
        let since_append = self.appended.map(|appended| now.saturating_sub(appended));
        Reading { seconds, recent, since_append }
    }
}

fn span<'a>(seconds: impl Iterator<Item = &'a Second>) -> Span {
    let (mut span, mut answers, mut appends) = (Span::default(), Histogram::default(), Histogram::default());
    for second in seconds {
        span.seconds += 1;
        span.counts.orders += second.counts.orders;
        span.counts.accepted += second.counts.accepted;
        span.counts.rejected += second.counts.rejected;
        span.counts.refused += second.counts.refused;
        span.counts.appends += second.counts.appends;
        answers.join(&second.answers);
        appends.join(&second.appends);
    }
    Span { seconds: span.seconds.max(1), answers: answers.times(), appends: appends.times(), ..span }
}

/// How often what took how long. A second in which nothing happened has no buckets.
#[derive(Default)]
struct Histogram {
    counts: Vec<u32>,
    max_us: u64,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts.resize(BUCKETS, 0);
        let bucket = &mut self.counts[bucket_of(micros.min(MICROS_MAX))];
        *bucket = bucket.saturating_add(1);
        self.max_us = self.max_us.max(micros);
    }

    fn join(&mut self, other: &Histogram) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.max_us = self.max_us.max(other.max_us);
    }

    fn times(&self) -> Option<Times> {
        let all: u64 = self.counts.iter().copied().map(u64::from).sum();
        let quantile = |percent: u64| {
            let wanted = (all * percent).div_ceil(100).max(1);
            let mut sum = 0;
            let found = self.counts.iter().position(|count| {
                sum += u64::from(*count);
                sum >= wanted
            });
            found.map_or(self.max_us, |bucket| longest_in(bucket).min(self.max_us))
        };
        (all > 0).then(|| Times { p50_us: quantile(50), p99_us: quantile(99), max_us: self.max_us })
    }
}

/// Gives the bucket of a time: its highest bit and the three below it.
fn bucket_of(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let power = u64::from(micros.ilog2()) - 3;
    (PARTS * (power + 1) + ((micros >> power) - PARTS)) as usize
}

/// Gives the longest time that is in a bucket, in microseconds.
fn longest_in(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let (power, part) = (bucket / PARTS - 1, bucket % PARTS);
    ((PARTS + part + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_millis(seconds * 1000 + 500)
    }

    #[test]
    fn a_time_is_told_at_most_an_eighth_too_long() {
        let mut last = None;
        for micros in (0..20_000).chain([1 << 20, (1 << 25) + 12_345, MICROS_MAX]) {
            let bucket = bucket_of(micros);
            assert!(bucket < BUCKETS, "{micros}");
            let told = longest_in(bucket);
            assert!(told >= micros && told - micros <= micros / PARTS, "{micros} is told as {told}");
            assert!(last.is_none_or(|last| last <= bucket), "{micros}");
            last = Some(bucket);
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.times(), None);
        for micros in 1..=100 {
            histogram.add(Duration::from_micros(micros * 1_000));
        }
        let times = histogram.times().unwrap();
        assert!((50_000..=56_250).contains(&times.p50_us), "{times:?}");
        assert!((99_000..=100_000).contains(&times.p99_us), "{times:?}");
        assert_eq!(times.max_us, 100_000);
        histogram.add(Duration::from_secs(3_600));
        assert_eq!(histogram.times().unwrap().max_us, 3_600_000_000, "the longest is told as it was");
    }

    #[test]
    fn each_second_is_counted_for_itself_and_the_one_under_way_is_not_told() {
        let mut ring = Ring::default();
        for (second, orders) in [(0, 3), (2, 5), (3, 7)] {
            ring.second(at(second)).counts.orders += orders;
        }
        let reading = ring.read(at(3));
        let orders: Vec<u64> = reading.seconds.iter().map(|second| second.counts.orders).collect();
        assert_eq!(orders, [3, 0, 5]);
        assert_eq!((reading.recent.counts.orders, reading.recent.seconds), (8, 3));
        assert_eq!(ring.read(at(4)).recent.counts.orders, 15);
    }

    #[test]
    fn what_is_long_ago_is_forgotten_and_the_room_is_bounded() {
        let mut ring = Ring::default();
        let kept = SECONDS_KEPT as u64;
        for second in 0..3 * kept {
            ring.second(at(second)).counts.orders += 1;
            assert!(ring.seconds.len() <= SECONDS_KEPT + 1);
        }
        let reading = ring.read(at(3 * kept));
        assert_eq!(reading.seconds.len(), SECONDS_KEPT);
        assert!(reading.seconds.iter().all(|second| second.counts.orders == 1));
        let quiet = ring.read(at(1_000_000));
        assert_eq!(quiet.seconds.len(), SECONDS_KEPT);
        assert!(quiet.seconds.iter().all(|second| second.counts == Counts::default()));
        assert_eq!(quiet.recent, Span { seconds: 60, ..Span::default() });
    }

    #[test]
    fn what_was_not_taken_does_not_make_the_market_look_fast() {
        let pace = Pace::default();
        let slow = Duration::from_millis(80);
        pace.answered([(Answered::Refused, Duration::ZERO), (Answered::Rejected, slow)].into_iter());
        let mut ring = pace.lock();
        let later = pace.begun.elapsed() + Duration::from_secs(1);
        let recent = ring.read(later).recent;
        assert_eq!((recent.counts.refused, recent.counts.rejected), (1, 1));
        assert_eq!(recent.answers.unwrap().p50_us, 80_000);
    }
}
