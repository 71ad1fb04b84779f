//! Numbers as people read them: grouped, with their unit, and never with more digits than mean something.

use events::Money;

/// Groups the digits of a whole number by thousands.
pub(super) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes `12,345.60 USD`.
pub(super) fn money(money: Money) -> String {
    let text = money.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("−", rest));
    let whole = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    format!("{sign}{}{}", grouped(&text[..whole]), &text[whole..])
}

/// Writes how many of something there are.
pub(super) fn many(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { several })
}

/// Writes how often something happened in a second, with one digit behind the point where that is not yet many.
pub(super) fn rate(events: u64, seconds: u64) -> String {
    let seconds = seconds.max(1);
    let tenths = (events.saturating_mul(10) + seconds / 2) / seconds;
    if tenths >= 1_000 { count(tenths / 10) } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

/// Writes a time that was measured, given in microseconds: `850 µs`, `2.1 ms`, `1.3 s`.
pub(super) fn took(micros: u64) -> String {
    let with_tenth = |tenths: u64, unit: &str| {
        if tenths >= 100 {
            format!("{} {unit}", count(tenths / 10))
        } else {
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    };
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => with_tenth(micros / 100, "ms"),
        _ => with_tenth(micros / 100_000, "s"),
    }
}

/// Writes how long ago something was, given in milliseconds: `12 s`, `4 min`, `3 h`, `5 d`.
pub(super) fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", grouped(&(seconds / 86_400).to_string())),
    }
}

/// Writes a part of a whole in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match u128::from(part) * 1_000 / u128::from(whole.max(1)) {
        tenths if tenths >= 100 => format!("{} %", tenths / 10),
        tenths => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        let usd = |minor| money(Money::new(minor, "USD".parse().unwrap()));
        assert_eq!(usd(123_456_789), "1,234,567.89 USD");
        assert_eq!(usd(-100_005), "−1,000.05 USD");
        assert_eq!(usd(5), "0.05 USD");
        assert_eq!(money(Money::new(1_234_567, "JPY".parse().unwrap())), "1,234,567 JPY");
        assert_eq!(many(1, "order", "orders"), "1 order");
        assert_eq!(many(0, "order", "orders"), "0 orders");
    }

    #[test]
    fn times_have_a_unit_and_two_digits_that_mean_something() {
        for (micros, text) in [
            (0, "0 µs"),
            (850, "850 µs"),
            (2_149, "2.1 ms"),
            (41_900, "41 ms"),
            (1_300_000, "1.3 s"),
            (75_000_000, "75 s"),
        ] {
            assert_eq!(took(micros), text);
        }
        for (ms, text) in [
            (-5, "0 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
            (100_000_000_000, "1,157 d"),
        ] {
            assert_eq!(age(ms), text);
        }
    }

    #[test]
    fn rates_and_parts_are_rounded() {
        assert_eq!(rate(0, 60), "0.0");
        assert_eq!(rate(125, 60), "2.1");
        assert_eq!(rate(72_000, 60), "1,200");
        assert_eq!(rate(5, 0), "5.0");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(1, 30), "3.3 %");
        assert_eq!(percent(0, 0), "0.0 %");
    }
}
