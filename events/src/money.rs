//! Money in whole minor units, and quantities. No float comes near either.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A currency of ISO 4217 that has a minor unit (or is counted in whole units, as JPY is).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Why a text or a sum is not money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The code is none of ISO 4217, or has no minor unit (as gold, XAU).
    #[error("`{0}` is not a currency of ISO 4217 that can be paid with")]
    UnknownCurrency(String),
    /// The text is not a plain decimal such as 12.50.
    #[error("`{0}` is not a decimal amount such as 12.50")]
    NotDecimal(String),
    /// More digits behind the point than the currency has.
    #[error("`{text}` has more than the {exponent} decimal places of {currency}")]
    TooPrecise {
        /// The text as it came.
        text: String,
        /// The currency.
        currency: Currency,
        /// Its decimal places.
        exponent: u32,
    },
    /// The result is beyond [`Money::MINOR_MAX`].
    #[error("the amount is larger than {} minor units, the most that can be kept", Money::MINOR_MAX)]
    Overflow,
    /// Two currencies met in one sum.
    #[error("{0} and {1} can't be added: convert one first")]
    CurrencyMismatch(Currency, Currency),
}

impl Currency {
    /// Comes before every currency, and is none: where a range over currencies begins.
    pub const FIRST: Currency = Currency(*b"AAA");

    /// Gives the three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is made from ASCII letters only")
    }

    /// Gives the decimal places of the minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        iso_currency::Currency::from_code(self.code())
            .and_then(|known| known.exponent())
            .expect("a currency without an exponent is refused when it is parsed")
            .into()
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::UnknownCurrency(text.chars().take(16).collect());
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| unknown())?;
        let known = bytes.iter().all(u8::is_ascii_uppercase)
            && iso_currency::Currency::from_code(text).is_some_and(|known| known.exponent().is_some());
        if known { Ok(Currency(bytes)) } else { Err(unknown()) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.code())
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            // Only this program's own disposable files are in binary form; they were checked when written.
            <[u8; 3]>::deserialize(deserializer).map(Currency)
        }
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217 code"})
    }
}

/// An amount of one currency in minor units (cents of USD, yen of JPY), within ±(2^53 − 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The currency.
    pub currency: Currency,
    /// Minor units.
    pub minor: i64,
}

impl Money {
    /// The largest amount, in minor units: 2^53 − 1, the largest whole number that every reader of JSON keeps exactly.
    /// Commands hold no larger ones, nothing computed here is larger, and all money of a currency in a market
    /// together is not: so no amount and no balance that anybody is shown is.
    pub const MINOR_MAX: i64 = (1 << 53) - 1;

    /// Makes an amount.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Money { currency, minor }
    }

    /// Makes nothing of a currency.
    pub const fn zero(currency: Currency) -> Self {
        Money { currency, minor: 0 }
    }

    /// Tells whether there is more than nothing.
    pub const fn is_positive(&self) -> bool {
        self.minor > 0
    }

    /// Adds, refusing overflow and a second currency.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        Money::within(self.minor.checked_add(other.minor), self.currency)
    }

    /// Subtracts, refusing overflow and a second currency.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        Money::within(self.minor.checked_sub(other.minor), self.currency)
    }

    /// Multiplies by a quantity, refusing overflow.
    pub fn checked_mul(self, quantity: Quantity) -> Result<Money, MoneyError> {
        Money::within(self.minor.checked_mul(i64::from(quantity.get())), self.currency)
    }

    /// Takes what was computed if it is an amount.
    fn within(minor: Option<i64>, currency: Currency) -> Result<Money, MoneyError> {
        let minor = minor.filter(|minor| (-Money::MINOR_MAX..=Money::MINOR_MAX).contains(minor));
        minor.map(|minor| Money { currency, minor }).ok_or(MoneyError::Overflow)
    }

    fn same_currency(self, other: Money) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch(self.currency, other.currency))
        }
    }

    /// Parses decimal text exactly: `12.5` and `12.50` are 1250 minor units of USD, `12.505` is refused.
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Money, MoneyError> {
        let not_decimal = || MoneyError::NotDecimal(text.chars().take(64).collect());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let has_empty_fraction = digits.ends_with('.');
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || has_empty_fraction || !all_digits(whole) || !all_digits(fraction) {
            return Err(not_decimal());
        }
        let exponent = currency.exponent();
        if fraction.len() > exponent as usize {
            let text = text.chars().take(64).collect();
            return Err(MoneyError::TooPrecise { text, currency, exponent });
        }
        let mut minor: i64 = 0;
        let padding = std::iter::repeat_n(b'0', exponent as usize - fraction.len());
        for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
            minor = minor
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(i64::from(digit - b'0')))
                .ok_or(MoneyError::Overflow)?;
        }
        Money::within(Some(if negative { -minor } else { minor }), currency)
    }
}

impl fmt::Display for Money {
    /// Writes `12.50 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent() as usize;
        let sign = if self.minor < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", self.minor.unsigned_abs(), width = exponent + 1);
        let (whole, fraction) = digits.split_at(digits.len() - exponent);
        let point = if exponent == 0 { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction} {}", self.currency)
    }
}

/// How many of something: 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Quantity(NonZeroU32);

/// Says that a number is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a quantity must be 1 to 1,000,000, not {0}")]
pub struct QuantityError(pub u64);

impl Quantity {
    /// The largest quantity of one line or one delivery of stock.
    pub const MAX: u32 = 1_000_000;

    /// Takes a number in range.
    pub const fn new(units: u32) -> Result<Self, QuantityError> {
        match NonZeroU32::new(units) {
            Some(units) if units.get() <= Self::MAX => Ok(Quantity(units)),
            _ => Err(QuantityError(units as u64)),
        }
    }

    /// Gives the number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Adds, refusing what is out of range.
    pub fn checked_add(self, other: Quantity) -> Result<Self, QuantityError> {
        // Two quantities are at most 2,000,000 together: no overflow.
        Quantity::new(self.get() + other.get())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Quantity::new(u32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": Quantity::MAX, "description": "How many units"})
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A share in hundredths of a percent: 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Bps(u32);

/// Says that a number is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a share must be 0 to {whole} bps (hundredths of a percent), not {0}", whole = Bps::WHOLE)]
pub struct BpsError(pub u64);

impl Bps {
    /// The whole.
    pub const WHOLE: u32 = 10_000;
    /// Nothing.
    pub const ZERO: Bps = Bps(0);

    /// Takes a number in range.
    pub const fn new(bps: u32) -> Result<Self, BpsError> {
        if bps <= Self::WHOLE { Ok(Bps(bps)) } else { Err(BpsError(bps as u64)) }
    }

    /// Gives the number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Bps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bps::new(u32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Bps {
    fn schema_name() -> Cow<'static, str> {
        "Bps".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer", "minimum": 0, "maximum": Bps::WHOLE,
            "description": "A share in hundredths of a percent"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn decimal_text_is_parsed_exactly() {
        for (text, code, minor) in [
            ("99.99", "USD", 9999),
            ("0.1", "USD", 10),
            ("5", "USD", 500),
            ("0", "USD", 0),
            ("-1.05", "USD", -105),
            ("120", "JPY", 120),
            ("1.234", "KWD", 1234),
            ("90071992547409.91", "USD", Money::MINOR_MAX),
            ("-90071992547409.91", "USD", -Money::MINOR_MAX),
        ] {
            assert_eq!(Money::parse_decimal(text, currency(code)).unwrap().minor, minor, "{text} {code}");
        }
    }

    #[test]
    fn what_is_not_exact_decimal_money_is_refused() {
        for (text, code) in [
            ("", "USD"),
            (".", "USD"),
            ("1.", "USD"),
            (".5", "USD"),
            ("1e3", "USD"),
            ("+1", "USD"),
            ("1,00", "USD"),
            ("NaN", "USD"),
            ("1.005", "USD"),
            ("1.5", "JPY"),
            ("90071992547409.92", "USD"),
            ("-90071992547409.92", "USD"),
            ("92233720368547758.08", "USD"),
            ("٣", "USD"),
        ] {
            assert!(Money::parse_decimal(text, currency(code)).is_err(), "{text} {code}");
        }
    }

    #[test]
    fn only_payable_currencies_are_known() {
        for code in ["USD", "EUR", "JPY", "BHD"] {
            assert!(code.parse::<Currency>().is_ok(), "{code}");
        }
        for code in ["usd", "XAU", "XXX", "US", "USDT", "ZZZ", ""] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }

    #[test]
    fn sums_refuse_overflow_and_mixed_currencies() {
        let usd = |minor| Money::new(minor, currency("USD"));
        let most = Money::MINOR_MAX;
        for (minor, other) in [(most, 1), (i64::MAX, 1), (1, most), (i64::MAX, i64::MAX)] {
            assert_eq!(usd(minor).checked_add(usd(other)), Err(MoneyError::Overflow));
            assert_eq!(usd(-minor).checked_sub(usd(other)), Err(MoneyError::Overflow));
        }
        assert_eq!(usd(most - 1).checked_add(usd(1)), Ok(usd(most)));
        assert_eq!(usd(1 - most).checked_sub(usd(1)), Ok(usd(-most)));
        let two = Quantity::new(2).unwrap();
        assert_eq!(usd(most / 2).checked_mul(two), Ok(usd(most - 1)));
        for minor in [most / 2 + 1, -most, i64::MAX] {
            assert_eq!(usd(minor).checked_mul(two), Err(MoneyError::Overflow));
        }
        assert!(usd(1).checked_add(Money::new(1, currency("EUR"))).is_err());
    }

    proptest! {
        #[test]
        fn printing_and_parsing_money_agree(minor in -Money::MINOR_MAX..=Money::MINOR_MAX, code in "(USD|JPY|KWD|CLF)") {
            let money = Money::new(minor, currency(&code));
            let printed = money.to_string();
            let (amount, printed_code) = printed.split_once(' ').unwrap();
            prop_assert_eq!(printed_code, &code);
            prop_assert_eq!(Money::parse_decimal(amount, money.currency).unwrap(), money);
        }
    }
}
