//! The plain form of what a provider says it has moved, which `skylink reconcile` compares with the ledger. Any provider may be
//! asked for it; the sandbox writes it from its own books.
//!
//! It is CSV with these columns. The first line of data begins the file and the last one ends it and counts the others, so that
//! one which is cut off is noticed:
//!
//! ```csv
//! kind,reference,time,currency,amount,fee
//! begin,,2025-07-29T00:00:00.000Z,,,
//! payment,sbx_1,2025-07-29T10:00:00.000Z,USD,12.50,0.12
//! refund,sbr_1,2025-07-29T11:00:00.000Z,USD,-2.50,0.00
//! end,2,2025-07-30T00:00:00.000Z,,,
//! ```

use std::io::{self, Write};

use events::reconciliation::MovementKind;
use events::{Money, Timestamp};
use serde::{Deserialize, Serialize};

/// The columns, in their order.
pub const COLUMNS: [&str; 6] = ["kind", "reference", "time", "currency", "amount", "fee"];
/// The kind of the first line of data: its time is the beginning of the period.
pub const BEGIN: &str = "begin";
/// The kind of the last line: its time is the end of the period, its reference the number of movements.
pub const END: &str = "end";

/// Money that a provider moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// What it was for.
    pub kind: MovementKind,
    /// The provider's reference.
    pub reference: String,
    /// When.
    pub at: Timestamp,
    /// How much: above zero, it holds so much more for the market; below, less.
    pub amount: Money,
    /// What it kept of it, in minor units.
    pub fee_minor: i64,
}

/// Writes what moved since `from` and before `until`, in the order given.
pub fn write<'a>(
    out: &mut dyn Write,
    movements: impl Iterator<Item = &'a Movement>,
    from: Timestamp,
    until: Timestamp,
) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))?;
    writeln!(out, "{BEGIN},,{from},,,")?;
    let mut count = 0u64;
    for movement in movements.filter(|movement| (from..until).contains(&movement.at)) {
        let Movement { kind, reference, at, amount, fee_minor } = movement;
        let fee = Money::new(*fee_minor, amount.currency);
        let (currency, amount, fee) = (amount.currency, decimal(*amount), decimal(fee));
        writeln!(out, "{kind},{reference},{at},{currency},{amount},{fee}")?;
        count += 1;
    }
    writeln!(out, "{END},{count},{until},,,")
}

/// Writes an amount without its currency.
fn decimal(amount: Money) -> String {
    let text = amount.to_string();
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_moved_in_the_period_is_written_and_counted() {
        let movement = |ms, minor, code: &str| Movement {
            kind: MovementKind::Payment,
            reference: format!("r{ms}"),
            at: Timestamp::from_ms(ms),
            amount: Money::new(minor, code.parse().expect("it is a currency")),
            fee_minor: 1,
        };
        let movements = [
            movement(9, 1, "USD"),
            movement(10, 1250, "USD"),
            movement(11, -5, "JPY"),
            movement(12, 1, "USD"),
        ];
        let mut out = Vec::new();
        write(&mut out, movements.iter(), Timestamp::from_ms(10), Timestamp::from_ms(12))
            .expect("memory has room");
        let day = "1970-01-01T00:00:00";
        assert_eq!(
            String::from_utf8(out).expect("it is text"),
            format!(
                "kind,reference,time,currency,amount,fee\nbegin,,{day}.010Z,,,\npayment,r10,{day}.010Z,USD,12.50,0.01\n\
                 payment,r11,{day}.011Z,JPY,-5,1\nend,2,{day}.012Z,,,\n"
            )
        );
    }
}
