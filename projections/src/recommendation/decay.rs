//! How much something is bought of late: each order counts for half after a week. Whole numbers only, so that a view that is built
//! again is the same to the bit.

use events::Timestamp;
use serde::{Deserialize, Serialize};

use crate::table::Key;

/// After how long an order counts for half, in days.
pub const HALF_LIFE_DAYS: i64 = 7;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What an order of each day of a week weighs: 2^(day / 7), in 2^-32.
const OF_DAY: [u64; HALF_LIFE_DAYS as usize] =
    [4_294_967_296, 4_742_028_353, 5_235_623_778, 5_780_597_311, 6_382_296_874, 7_046_627_052, 7_780_107_034];

/// What orders weigh together: `weight` times 2 to the power of `week`. Later orders weigh more, so what is stored need not be
/// changed as time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct OfLate {
    week: i64,
    weight: u64,
}

/// The order in which what is bought most of late is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rank(std::cmp::Reverse<(i64, u64)>);

fn week_and_day(at: Timestamp) -> (i64, usize) {
    let day = at.ms().div_euclid(DAY_MS);
    (day.div_euclid(HALF_LIFE_DAYS), day.rem_euclid(HALF_LIFE_DAYS) as usize)
}

/// Gives a weight so many weeks later.
fn halved(weight: u64, weeks: i64) -> u64 {
    u32::try_from(weeks).ok().and_then(|weeks| weight.checked_shr(weeks)).unwrap_or(0)
}

impl OfLate {
    /// Counts one order more.
    pub(crate) fn add(&mut self, at: Timestamp) {
        let (week, day) = week_and_day(at);
        let latest = if self.weight == 0 { week } else { week.max(self.week) };
        let new = halved(OF_DAY[day], latest - week);
        self.weight = halved(self.weight, latest - self.week).saturating_add(new);
        self.week = latest;
    }

    /// Gives how many orders of this moment weigh as much, rounded.
    pub(crate) fn orders(self, now: Timestamp) -> u64 {
        let (week, day) = week_and_day(now);
        let weight = halved(self.weight, (week - self.week).max(0));
        weight.saturating_add(OF_DAY[day] / 2) / OF_DAY[day]
    }

    /// Gives where it stands among others.
    pub(crate) fn rank(self) -> Rank {
        let zeros = self.weight.leading_zeros();
        if self.weight == 0 {
            return Rank(std::cmp::Reverse((i64::MIN, 0)));
        }
        // Its highest bit, and the bits from there on.
        Rank(std::cmp::Reverse((self.week + i64::from(64 - zeros), self.weight << zeros)))
    }
}

impl Key for Rank {
    fn write(&self, out: &mut Vec<u8>) {
        let (exponent, bits) = self.0.0;
        // The complement, so that the higher sorts first.
        out.extend_from_slice(&(!(exponent as u64 ^ (1 << 63))).to_be_bytes());
        out.extend_from_slice(&(!bits).to_be_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::float_arithmetic)] // to compare with
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_ms(n * DAY_MS + 5)
    }

    fn of(days: &[i64]) -> OfLate {
        let mut of_late = OfLate::default();
        days.iter().for_each(|n| of_late.add(day(*n)));
        of_late
    }

    #[test]
    fn an_order_counts_for_half_after_a_week() {
        let eight = of(&[20_000; 8]);
        let orders: Vec<u64> = (0..4).map(|weeks| eight.orders(day(20_000 + 7 * weeks))).collect();
        assert_eq!(orders, [8, 4, 2, 1]);
        assert_eq!(eight.orders(day(20_000 + 7 * 80)), 0);
        // Half a week is a factor of the root of two.
        assert_eq!(of(&[20_000; 100]).orders(day(20_003)), 74);
        assert_eq!(of(&[-700; 8]).orders(day(-693)), 4, "before 1970, too");
    }

    #[test]
    fn two_of_a_week_ago_rank_as_one_of_today() {
        assert_eq!(of(&[20_000, 20_000]).rank(), of(&[20_007]).rank());
        assert!(of(&[20_000, 20_000]).rank() < of(&[20_006]).rank());
        assert!(of(&[20_000, 20_000]).rank() > of(&[20_008]).rank());
        assert!(OfLate::default().rank() > of(&[-30_000]).rank());
    }

    proptest! {
        #[test]
        fn keys_sort_as_ranks_do_and_ranks_as_what_they_weigh(
            one in prop::collection::vec(-400..400i64, 0..6),
            other in prop::collection::vec(-400..400i64, 0..6),
        ) {
            let sorted = |mut days: Vec<i64>| { days.sort_unstable(); days };
            let (one, other) = (sorted(one), sorted(other));
            let bytes = |rank: Rank| { let mut out = Vec::new(); rank.write(&mut out); out };
            let (first, second) = (of(&one).rank(), of(&other).rank());
            prop_assert_eq!(first.cmp(&second), bytes(first).cmp(&bytes(second)));
            // As far as an order of nearly a year ago still weighs anything beside one of today.
            let weigh = |days: &[i64]| days.iter().map(|n| 2f64.powf(*n as f64 / 7.0)).sum::<f64>();
            let (one, other) = (weigh(&one), weigh(&other));
            if (one - other).abs() > 1e-6 * one.max(other) {
                prop_assert_eq!(first < second, one > other);
            }
        }
    }
}
