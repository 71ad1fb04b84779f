//! Reads JSON the strict way: what two parsers could understand differently is refused.
//!
//! The profile: UTF-8; no member twice; whole numbers only, within ±(2^53 − 1), so that no language rounds them;
//! at most [`DEPTH_MAX`] levels; at most [`COMMAND_BYTES_MAX`] bytes; nothing behind the value.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::command::COMMAND_BYTES_MAX;

/// Most objects and arrays inside one another.
pub const DEPTH_MAX: usize = 16;
/// Largest whole number that every JSON reader keeps exactly: 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

// What can be asked for is an amount.
const _: () = assert!(INTEGER_MAX == events::Money::MINOR_MAX.unsigned_abs());

/// Why bytes are not JSON of the profile. The bytes must be changed; the same ones never pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// There are too many bytes.
    #[error("JSON may have {max} bytes, this has {size}")]
    TooLarge {
        /// Bytes there are.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes are not UTF-8.
    #[error("JSON must be UTF-8, byte {at} is not")]
    NotUtf8 {
        /// The first byte that is wrong, from 0.
        at: usize,
    },
    /// A rule is broken.
    #[error("{rule}")]
    Invalid {
        /// The rule, with line and column.
        rule: String,
    },
}

/// Which numbers may stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Whole numbers only.
    Whole,
    /// Decimals too; the caller has checked their spelling.
    Decimal,
}

/// Reads one value.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_with(bytes, Numbers::Whole)
}

pub(crate) fn parse_with(bytes: &[u8], numbers: Numbers) -> Result<Value, JsonError> {
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(JsonError::TooLarge { size: bytes.len(), max: COMMAND_BYTES_MAX });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 { at: error.valid_up_to() })?;
    let invalid = |error: serde_json::Error| JsonError::Invalid { rule: error.to_string() };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0, numbers }.deserialize(&mut deserializer).map_err(invalid)?;
    deserializer.end().map_err(invalid)?;
    Ok(value)
}

/// Reads one value that stands `depth` levels deep.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
    numbers: Numbers,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Strict, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format_args!("JSON may be {DEPTH_MAX} levels deep")));
        }
        Ok(Strict { depth: self.depth + 1, ..self })
    }
}

fn not_whole<E: de::Error>() -> E {
    E::custom("a number must be whole, written without point and exponent, and within ±9007199254740991")
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        if number > INTEGER_MAX { Err(not_whole()) } else { Ok(number.into()) }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        if number.unsigned_abs() > INTEGER_MAX { Err(not_whole()) } else { Ok(number.into()) }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        match (self.numbers, serde_json::Number::from_f64(number)) {
            (Numbers::Decimal, Some(number)) => Ok(Value::Number(number)),
            _ => Err(not_whole()),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let element = self.deeper()?;
        let mut array = Vec::new();
        while let Some(value) = seq.next_element_seed(element)? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let member = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(64).collect();
                return Err(de::Error::custom(format_args!("member `{name}` stands twice")));
            }
            object.insert(name, members.next_value_seed(member)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn values_of_the_profile_are_read_as_serde_json_reads_them() {
        for text in [
            "null",
            " true ",
            "[]",
            "{}",
            r#"{"a":[1,-2,{"b":"\u00e9\ud83d\ude00\n"}],"":"é"}"#,
            "9007199254740991",
            "-9007199254740991",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn a_member_may_not_stand_twice_at_any_level_or_in_any_spelling() {
        assert_eq!(refused(r#"{"a":1,"a":1}"#), "member `a` stands twice at line 1 column 10");
        assert!(refused(r#"{"x":[{"a":1,"\u0061":2}]}"#).contains("member `a` stands twice"));
    }

    #[test]
    fn numbers_are_whole_and_exact_in_every_language() {
        for text in [
            "1.0",
            "1.5",
            "1e3",
            "1E-3",
            "-0",
            "-0.0",
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551616",
            "1e400",
        ] {
            refused(text);
            refused(&format!(r#"{{"a":[{text}]}}"#));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(refused(&nested(DEPTH_MAX + 1)).starts_with("JSON may be 16 levels deep at line 1"));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(DEPTH_MAX + 1), "}".repeat(DEPTH_MAX + 1));
        assert!(refused(&objects).starts_with("JSON may be 16 levels deep"));
    }

    #[test]
    fn anything_that_is_not_one_json_text_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "{} {}",
            "{}x",
            "01",
            "+1",
            ".5",
            "nul",
            "'a'",
            r#"{"a":1,}"#,
            "[1,]",
            r#"{a:1}"#,
            "\u{feff}{}",
            r#""\ud800""#,
            "\"\u{1}\"",
            "NaN",
            "// c\n1",
        ] {
            refused(text);
        }
        assert_eq!(parse(b"\"a\xff\""), Err(JsonError::NotUtf8 { at: 2 }));
        let large = format!("\"{}\"", "x".repeat(COMMAND_BYTES_MAX));
        assert!(matches!(parse(large.as_bytes()), Err(JsonError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_and_what_it_reads_serde_json_reads_alike(
            bytes in proptest::collection::vec(prop_oneof![
                proptest::sample::select(br#"{}[]":,0123456789eE+-.\u nt"#.to_vec()), any::<u8>()], 0..60)
        ) {
            if let Ok(value) = parse(&bytes) {
                prop_assert_eq!(value, serde_json::from_slice::<Value>(&bytes).unwrap());
            }
        }
    }
}
