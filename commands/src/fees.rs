//! What the platform takes.

use events::Money;
use events::market::FeePolicy;
use events::order::{FeeQuote, Rounding};

const BPS_WHOLE: i128 = 10_000;

/// Computes the fee on `amount`, which is not below zero: `clamp(round(amount · bps / 10 000) + fixed, min, max)`, never
/// more than the amount.
pub fn quote(policy: &FeePolicy, amount: Money) -> FeeQuote {
    // 64 bits times 10 000 fits 128 bits by far; half of the divisor added rounds halves away from zero.
    let share = (i128::from(amount.minor) * i128::from(policy.bps()) + BPS_WHOLE / 2) / BPS_WHOLE;
    let fee = share + i128::from(policy.fixed_minor());
    let fee = fee.max(i128::from(policy.min_minor()));
    let fee = policy.max_minor().map_or(fee, |max| fee.min(i128::from(max)));
    let fee = fee.clamp(0, i128::from(amount.minor));
    let minor = i64::try_from(fee).expect("the fee is no more than the amount, which fits");
    FeeQuote {
        amount: Money::new(minor, amount.currency),
        bps: policy.bps(),
        fixed_minor: policy.fixed_minor(),
        max_minor: policy.max_minor(),
        min_minor: Some(policy.min_minor()).filter(|minor| *minor > 0),
        rounding: Rounding::HalfAwayFromZero,
    }
}

/// Computes what of a fee is due when `released` of `total` has been released: rounded, halves away from zero. What is
/// due more than before is never more than what was released more, and at the end it is the whole fee.
pub(crate) fn part(fee_minor: i64, released: i64, total: i64) -> i64 {
    if total == 0 {
        // All that is paid is tax.
        return 0;
    }
    let (fee, released, total) = (i128::from(fee_minor), i128::from(released), i128::from(total));
    // Amounts have 53 bits: their product fits 128 by far.
    let due = (2 * fee * released + total) / (2 * total);
    i64::try_from(due).expect("a part of the fee is no more than the fee, which fits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(bps: u32, fixed_minor: i64, min_minor: i64, max_minor: Option<i64>) -> FeePolicy {
        FeePolicy::new(bps, fixed_minor, min_minor, max_minor).unwrap()
    }

    #[test]
    fn fees_are_what_one_computes_by_hand() {
        for (policy, amount, fee) in [
            (policy(250, 0, 0, None), 10_000, 250),
            (policy(250, 30, 0, None), 1_177, 59), // 29.425 -> 29, and 30
            (policy(1, 0, 0, None), 5_000, 1),     // 0.5 goes away from zero
            (policy(1, 0, 0, None), 4_999, 0),
            (policy(250, 0, 50, None), 100, 50),
            (policy(250, 0, 0, Some(500)), 1_000_000, 500),
            (policy(10_000, 100, 0, None), 99, 99), // never more than the amount
            (policy(10_000, 0, 0, None), Money::MINOR_MAX, Money::MINOR_MAX),
            (policy(10_000, Money::MINOR_MAX, 0, None), Money::MINOR_MAX, Money::MINOR_MAX),
        ] {
            let usd = "USD".parse().unwrap();
            assert_eq!(quote(&policy, Money::new(amount, usd)).amount.minor, fee, "{policy:?} of {amount}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_of_a_fee_sum_to_it_and_none_is_more_than_what_is_released(
            fee in 0..=10_000i64, over in 0..=Money::MINOR_MAX - 10_000, steps in prop::collection::vec(0..=100u32, 0..12),
        ) {
            let total = fee + over.max(1);
            let (mut released, mut taken) = (0, 0);
            for step in steps.into_iter().chain([100]) {
                let more = ((i128::from(total - released) * i128::from(step)) / 100) as i64;
                released += more;
                let due = part(fee, released, total) - taken;
                prop_assert!((0..=more).contains(&due), "{due} of {more}");
                taken += due;
            }
            prop_assert_eq!((released, taken), (total, fee));
        }

        #[test]
        fn a_fee_is_never_negative_nor_more_than_the_amount(
            bps in 0u32..=10_000, fixed in 0..=Money::MINOR_MAX, min in 0..=Money::MINOR_MAX,
            above in proptest::option::of(0..=Money::MINOR_MAX), amount in 1..=Money::MINOR_MAX,
        ) {
            let max = above.map(|above| min.saturating_add(above).min(Money::MINOR_MAX));
            let fee = quote(&policy(bps, fixed, min, max), Money::new(amount, "USD".parse().unwrap())).amount.minor;
            prop_assert!((0..=amount).contains(&fee));
        }
    }
}
