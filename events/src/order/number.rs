//! What people call an order: a number that counts the orders of a market, with a check digit where people type it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number of an order within its market, which people type instead of its id.
///
/// Stored it is the number alone. Shown it has a check digit behind a hyphen (`1002-4`), which is Damm's: whoever
/// mistypes one digit, or swaps two that stand together, names no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OrderNumber(NonZeroU64);

/// Why a text is no order's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// It is not written as one.
    #[error("an order's number is digits, a hyphen and one more digit, such as 1002-4")]
    Form,
    /// Its last digit does not fit the others.
    #[error("the last digit does not fit the others: look at the number again")]
    CheckDigit,
}

/// The quasigroup of Damm (2004): the digit so far picks a row, the next digit a place in it.
const DAMM: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

fn check_digit(digits: &str) -> u8 {
    digits.bytes().fold(0, |digit, next| DAMM[usize::from(digit)][usize::from(next - b'0')])
}

impl OrderNumber {
    /// The first number of every market: four digits look like a number to people.
    pub const FIRST: OrderNumber = OrderNumber(NonZeroU64::new(1001).expect("it is not zero"));

    /// Gives the number behind this one.
    ///
    /// # Panics
    /// If there is none in 64 bits: no market places so many orders.
    #[must_use]
    pub fn next(self) -> OrderNumber {
        OrderNumber(self.0.checked_add(1).expect("a market places fewer than 2^64 orders"))
    }

    /// Gives the number without its check digit.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        write!(f, "{digits}-{}", check_digit(&digits))
    }
}

impl FromStr for OrderNumber {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Self, NumberError> {
        let (digits, check) = text.split_once('-').ok_or(NumberError::Form)?;
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if check.len() != 1 || !are_digits(check) || !are_digits(digits) || digits.starts_with('0') {
            return Err(NumberError::Form);
        }
        let number = digits.parse().map_err(|_| NumberError::Form)?;
        // The last digit brings the fold back to zero, and only the right one does.
        let is_right = check_digit(text.replace('-', "").as_str()) == 0;
        if is_right { Ok(OrderNumber(number)) } else { Err(NumberError::CheckDigit) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_shown_with_its_check_digit_and_read_back_only_so() {
        // 572 and 4 is the example of Damm's thesis.
        for (number, shown) in [(572, "572-4"), (1001, "1001-9"), (1002, "1002-4")] {
            let number = OrderNumber(NonZeroU64::new(number).unwrap());
            assert_eq!(number.to_string(), shown);
            assert_eq!(shown.parse(), Ok(number));
        }
        for wrong in [
            "",
            "1001",
            "1001-",
            "-7",
            "1001-99",
            "01001-9",
            "+1001-9",
            "1001 7",
            "1001-x",
            "1001-9-9",
            "99999999999999999999-1",
        ] {
            assert_eq!(wrong.parse::<OrderNumber>(), Err(NumberError::Form), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_digit_and_two_that_are_swapped_are_noticed(number in 1u64.., place in any::<prop::sample::Index>(), by in 1u8..10) {
            let shown = OrderNumber(NonZeroU64::new(number).unwrap()).to_string();
            prop_assert_eq!(shown.parse::<OrderNumber>().unwrap().get(), number);
            let digits: Vec<u8> = shown.bytes().filter(u8::is_ascii_digit).collect();
            let read = |digits: &[u8]| {
                let (check, digits) = digits.split_last().unwrap();
                let text = format!("{}-{}", std::str::from_utf8(digits).unwrap(), char::from(*check));
                text.parse::<OrderNumber>()
            };
            let at = place.index(digits.len());
            let mut wrong = digits.clone();
            wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
            prop_assert!(read(&wrong).is_err());
            let at = place.index(digits.len() - 1);
            let mut swapped = digits.clone();
            swapped.swap(at, at + 1);
            prop_assert!(swapped == digits || read(&swapped).is_err());
        }
    }
}
