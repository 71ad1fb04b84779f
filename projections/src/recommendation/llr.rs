//! Whether two things are bought together more often than by chance: the log-likelihood ratio of Dunning, "Accurate Methods for the
//! Statistics of Surprise and Coincidence" (1993), which holds for rare things, too.

// What is computed here orders what is shown, and is stored nowhere.
#![allow(clippy::float_arithmetic)]

/// From where on a coincidence counts: by chance alone it is as strong in one of a thousand cases (chi-squared, one degree of
/// freedom).
pub const SIGNIFICANT: f64 = 10.83;

/// How often two things were bought together, and without each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Together {
    /// Baskets with both.
    pub both: u64,
    /// Baskets with the one.
    pub one: u64,
    /// Baskets with the other.
    pub other: u64,
    /// All baskets.
    pub baskets: u64,
}

impl Together {
    /// Gives the log-likelihood ratio, -2 log λ: 0 where they are together as often as by chance. It does not tell whether they are
    /// together more often or less.
    pub fn log_likelihood_ratio(self) -> f64 {
        let Together { both, one, other, baskets } = self;
        let (only_one, only_other) = (one.saturating_sub(both), other.saturating_sub(both));
        let neither = baskets.saturating_sub(both + only_one + only_other);
        let cells = [both, only_one, only_other, neither].map(x_log_x).iter().sum::<f64>();
        let rows = x_log_x(both + only_one) + x_log_x(only_other + neither);
        let columns = x_log_x(both + only_other) + x_log_x(only_one + neither);
        let all = x_log_x(both + only_one + only_other + neither);
        // Below zero by rounding only.
        (2.0 * (cells - rows - columns + all)).max(0.0)
    }

    /// Tells whether they are together more often than by chance.
    pub fn is_attraction(self) -> bool {
        u128::from(self.both) * u128::from(self.baskets) > u128::from(self.one) * u128::from(self.other)
    }

    /// Gives how strongly they belong together, in standard deviations; none: no more than may be chance.
    pub fn strength(self) -> Option<f64> {
        let ratio = self.log_likelihood_ratio();
        (self.is_attraction() && ratio >= SIGNIFICANT).then(|| ratio.sqrt())
    }
}

fn x_log_x(x: u64) -> f64 {
    if x == 0 { 0.0 } else { x as f64 * (x as f64).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_cells(both: u64, only_one: u64, only_other: u64, neither: u64) -> Together {
        Together {
            both,
            one: both + only_one,
            other: both + only_other,
            baskets: both + only_one + only_other + neither,
        }
    }

    #[test]
    fn the_ratio_is_that_of_the_literature() {
        for (cells, expected) in [
            // Dunning 1993, table 1: bigrams of 31,777 words.
            ((110, 2442, 111, 29_114), 270.72),
            ((29, 13, 123, 31_612), 263.90),
            ((31, 23, 139, 31_584), 256.84),
            ((10, 0, 3, 31_764), 167.23),
            ((76, 104, 2476, 29_121), 157.21),
            ((3, 0, 0, 31_774), 61.61),
            ((4, 61, 0, 31_712), 49.79),
        ] {
            let (both, only_one, only_other, neither) = cells;
            let ratio = of_cells(both, only_one, only_other, neither).log_likelihood_ratio();
            assert!((ratio - expected).abs() < 0.01, "{cells:?}: {ratio}, expected {expected}");
        }
    }

    #[test]
    fn the_ratio_is_that_worked_out_by_hand() {
        // Both are in one basket of two, or in none: 2 · 2 ln 2; ten times as many: ten times that.
        assert!((of_cells(1, 0, 0, 1).log_likelihood_ratio() - 4.0 * 2f64.ln()).abs() < 1e-9);
        assert!((of_cells(10, 0, 0, 10).log_likelihood_ratio() - 40.0 * 2f64.ln()).abs() < 1e-9);
        // As often as by chance.
        assert_eq!(of_cells(25, 25, 25, 25).log_likelihood_ratio(), 0.0);
        assert_eq!(of_cells(0, 0, 0, 0).log_likelihood_ratio(), 0.0);
    }

    #[test]
    fn only_what_belongs_together_has_a_strength() {
        let apart = of_cells(0, 500, 500, 0);
        assert!(apart.log_likelihood_ratio() > SIGNIFICANT);
        assert_eq!(apart.strength(), None);
        assert_eq!(of_cells(25, 25, 25, 25).strength(), None);
        assert_eq!(of_cells(1, 5, 5, 100).strength(), None, "it may be chance");
        let strength = of_cells(10, 0, 0, 10).strength().expect("it is none");
        assert!((strength * strength - 40.0 * 2f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn a_bound_that_counts_less_than_there_is_overflows_nothing() {
        let odd = Together { both: 3, one: 1, other: 2, baskets: 2 };
        assert!(odd.log_likelihood_ratio().is_finite());
        let large =
            Together { both: u64::MAX / 8, one: u64::MAX / 4, other: u64::MAX / 4, baskets: u64::MAX / 2 };
        assert!(large.log_likelihood_ratio().is_finite());
    }
}
