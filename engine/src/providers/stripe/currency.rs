//! How Stripe counts money, where that is not how ISO 4217 does.

use events::{Currency, Money};

/// Currencies that Stripe counts in whole units though ISO 4217 gives them hundredths.
const WHOLE_HERE: [&str; 1] = ["MGA"];
/// Currencies that Stripe counts in hundredths though ISO 4217 gives them none: the hundredths must be zero.
const HUNDREDTHS_HERE: [&str; 2] = ["ISK", "UGX"];

/// Why an amount can't be paid through Stripe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Stripe can't take {amount} exactly: {rule}")]
pub(super) struct CurrencyError {
    amount: Money,
    rule: &'static str,
}

/// Writes an amount as Stripe counts it. It is exact, or an error: what can't be written exactly is never rounded, since
/// two sides would then speak of different amounts.
pub(super) fn to_stripe(amount: Money) -> Result<i64, CurrencyError> {
    let error = |rule| CurrencyError { amount, rule };
    let code = amount.currency.code();
    if WHOLE_HERE.contains(&code) {
        return if amount.minor % 100 == 0 {
            Ok(amount.minor / 100)
        } else {
            Err(error("it must be in whole units"))
        };
    }
    if HUNDREDTHS_HERE.contains(&code) {
        return amount.minor.checked_mul(100).ok_or_else(|| error("it is too large"));
    }
    match amount.currency.exponent() {
        0 | 2 => Ok(amount.minor),
        // Three decimals are written, and the last must be zero.
        3 if amount.minor % 10 == 0 => Ok(amount.minor),
        3 => Err(error("the last of its three decimals must be 0")),
        _ => Err(error("Stripe has no such currency")),
    }
}

/// Gives how many decimal places Stripe writes of an amount, in its reports.
fn decimals(currency: Currency) -> usize {
    let code = currency.code();
    if WHOLE_HERE.contains(&code) {
        0
    } else if HUNDREDTHS_HERE.contains(&code) {
        2
    } else {
        currency.exponent() as usize
    }
}

/// Reads an amount as Stripe writes it in its reports, in units of the currency: `-12.5` and `-12.50` are both so many dollars.
/// None, if it is no amount of the currency here.
pub fn from_report(text: &str, currency: Currency) -> Option<Money> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    // More places than Stripe counts say nothing if they are zeros.
    let (kept, rest) = fraction.split_at(decimals(currency).min(fraction.len()));
    if rest.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let counted: i64 = format!("{whole}{kept:0<places$}", places = decimals(currency)).parse().ok()?;
    let money = from_stripe(counted, currency)?;
    Some(Money::new(sign * money.minor, currency))
}

/// Reads an amount as Stripe counts it; none, if it is no amount of the currency here.
pub(super) fn from_stripe(counted: i64, currency: Currency) -> Option<Money> {
    let code = currency.code();
    let minor = if WHOLE_HERE.contains(&code) {
        counted.checked_mul(100)?
    } else if HUNDREDTHS_HERE.contains(&code) {
        if counted % 100 != 0 {
            return None;
        }
        counted / 100
    } else {
        counted
    };
    (0..=Money::MINOR_MAX).contains(&minor).then(|| Money::new(minor, currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, code.parse().unwrap())
    }

    #[test]
    fn every_kind_of_currency_goes_both_ways_exactly() {
        for (minor, code, counted) in [
            (1_999, "USD", 1_999),
            (1_999, "EUR", 1_999),
            (500, "JPY", 500),
            (500, "KRW", 500),
            (7, "VND", 7),
            (1_200, "MGA", 12),
            (50, "ISK", 5_000),
            (50, "UGX", 5_000),
            (5_120, "KWD", 5_120),
            (10, "BHD", 10),
        ] {
            assert_eq!(to_stripe(money(minor, code)), Ok(counted), "{code}");
            assert_eq!(from_stripe(counted, code.parse().unwrap()), Some(money(minor, code)), "{code}");
        }
    }

    #[test]
    fn reports_are_read_as_text_with_the_decimals_that_stripe_counts() {
        for (text, code, minor) in [
            ("12.50", "USD", Some(1_250)),
            ("-12.5", "USD", Some(-1_250)),
            ("12", "USD", Some(1_200)),
            ("0.07", "EUR", Some(7)),
            ("500", "JPY", Some(500)),
            ("500.00", "JPY", Some(500)),
            ("12", "MGA", Some(1_200)),
            ("50.00", "ISK", Some(50)),
            ("5.120", "KWD", Some(5_120)),
            ("12.505", "USD", None),
            ("500.5", "JPY", None),
            ("50.01", "UGX", None),
            ("12,50", "USD", None),
            ("1e3", "USD", None),
            ("+1.00", "USD", None),
            ("1.", "USD", None),
            (".5", "USD", None),
            ("--1", "USD", None),
            ("", "USD", None),
            ("99999999999999999999", "USD", None),
        ] {
            assert_eq!(
                from_report(text, code.parse().unwrap()).map(|money| money.minor),
                minor,
                "{text} {code}"
            );
        }
    }

    #[test]
    fn what_stripe_can_not_write_exactly_is_refused_and_never_rounded() {
        for (minor, code) in [(1_250, "MGA"), (5_124, "KWD"), (1, "JOD"), (Money::MINOR_MAX * 512, "ISK")] {
            assert!(to_stripe(money(minor, code)).is_err(), "{minor} {code}");
        }
        assert_eq!(from_stripe(5_001, "ISK".parse().unwrap()), None);
        assert_eq!(from_stripe(-1, "USD".parse().unwrap()), None);
        assert_eq!(from_stripe(i64::MAX, "MGA".parse().unwrap()), None);
    }
}
