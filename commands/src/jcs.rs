//! Writes JSON in the canonical form of RFC 8785 (JCS).
//!
//! It knows the numbers of this crate's profile only: whole ones, which are written exactly however large, and
//! decimals of at most 15 digits from 0.000001 on, whose canonical form is their plain spelling. For that it takes a
//! tenth of the time of a general canonicalizer, which passes every number through the rules of JavaScript; a test
//! compares the two.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value;

/// Writes a value in canonical form.
pub(crate) fn to_string(value: &Value) -> String {
    let mut out = Vec::with_capacity(1024);
    write(value, &mut out);
    String::from_utf8(out).expect("JSON is written as UTF-8")
}

/// Writes anything that JSON can say in canonical form.
pub(crate) fn of(value: &impl Serialize) -> String {
    to_string(&serde_json::to_value(value).expect("what is signed holds nothing that JSON can't say"))
}

/// Adds a value in canonical form.
pub(crate) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(element, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            let mut members: Vec<(&String, &Value)> = object.iter().collect();
            // Members come in the order of their bytes already, which for nearly all names is the canonical order.
            if !members.is_sorted_by(|(a, _), (b, _)| canonical_order(a, b).is_le()) {
                members.sort_by(|(a, _), (b, _)| canonical_order(a, b));
            }
            out.push(b'{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_plain(name, out);
                out.push(b':');
                write(member, out);
            }
            out.push(b'}');
        }
        Value::Number(number) => match number.as_f64() {
            // A double that is not whole was one of the profile's decimals; `Display` never writes an exponent.
            Some(decimal) if number.is_f64() => out.extend(decimal.to_string().bytes()),
            _ => write_plain(number, out),
        },
        Value::Null | Value::Bool(_) | Value::String(_) => write_plain(value, out),
    }
}

/// Adds what serde_json writes in canonical form already: texts, whole numbers, true, false and null.
pub(crate) fn write_plain(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing to memory does not fail");
}

/// Members stand in the order of their names' UTF-16 code units.
fn canonical_order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
            any::<String>().prop_map(Value::String),
            "[\\x00-\\x7f\u{e000}-\u{ffff}\u{10000}-\u{10010}]{0,6}".prop_map(Value::String),
        ];
        let name = prop_oneof![any::<String>(), "[a-c\u{e000}-\u{e002}\u{10000}-\u{10002}]{0,2}"];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::btree_map(name.clone(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn names_beyond_the_basic_plane_stand_before_the_private_ones() {
        let object = json!({"\u{e000}": 1, "\u{10000}": 2, "a": 3});
        assert_eq!(to_string(&object), "{\"a\":3,\"\u{10000}\":2,\"\u{e000}\":1}");
    }

    #[test]
    fn whole_numbers_are_exact_however_large() {
        assert_eq!(
            to_string(&json!([u64::MAX, i64::MIN, 0])),
            "[18446744073709551615,-9223372036854775808,0]"
        );
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_general_canonicalizer(value in any_value()) {
            prop_assert_eq!(to_string(&value), serde_json_canonicalizer::to_string(&value).unwrap());
        }

        #[test]
        fn it_agrees_on_decimals_too(digits in 1u64..1_000_000_000_000_000, places in 1u32..7) {
            let (whole, fraction) = (digits / 10u64.pow(places), digits % 10u64.pow(places));
            let text = format!("{whole}.{fraction:0places$}", places = places as usize);
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(to_string(&value), serde_json_canonicalizer::to_string(&value).unwrap());
        }
    }
}
