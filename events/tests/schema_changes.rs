//! A change of a published schema that would break those who rely on it is told from one that would not.

#[path = "support/compat.rs"]
mod compat;

use compat::{Relied, assert_unbroken, breaks};
use serde_json::{Value, json};

/// A type with something of everything.
fn published() -> Value {
    json!({
        "type": "object",
        "properties": {
            "order": {"type": "string", "format": "uuid"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "maxItems": 100},
            "note": {"type": ["string", "null"], "maxLength": 200},
            "end": {"oneOf": [
                {"type": "object", "properties": {"kind": {"const": "paid"}}, "required": ["kind"]},
                {"type": "object", "properties": {"kind": {"const": "lost"}, "by": {"type": "string"}}, "required": ["kind", "by"]},
            ]},
        },
        "required": ["order", "lines"],
        "additionalProperties": false,
        "$defs": {"Line": {
            "type": "object",
            "properties": {"quantity": {"type": "integer", "minimum": 1}, "unit": {"enum": ["piece", "metre"]}, "parts": {"items": {"$ref": "#/$defs/Line"}}},
            "required": ["quantity"],
        }},
    })
}

/// What is found when the published schema is changed at a place.
fn changed(pointer: &str, to: Value, relied: Relied) -> Vec<String> {
    let (old, mut new) = (published(), published());
    *new.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = to;
    breaks(&old, &new, relied)
}

#[test]
fn what_says_more_breaks_nobody() {
    assert_eq!(breaks(&published(), &published(), Relied::ByWritersAndReaders), Vec::<String>::new());
    let mut more = published();
    more["properties"]["colour"] = json!({"type": "string"});
    more["properties"]["lines"]["maxItems"] = json!(200);
    more["$defs"]["Line"]["properties"]["unit"]["enum"] = json!(["piece", "metre", "litre"]);
    more["properties"]["end"]["oneOf"].as_array_mut().unwrap().insert(
        0,
        json!({"type": "object", "properties": {"kind": {"const": "returned"}}, "required": ["kind"]}),
    );
    more["description"] = json!("said better");
    assert_eq!(breaks(&published(), &more, Relied::ByWritersAndReaders), Vec::<String>::new());
}

#[test]
fn what_takes_away_or_asks_for_more_is_named() {
    for (pointer, to, expected) in [
        ("/properties", json!({"order": {"type": "string", "format": "uuid"}}), "$.lines is gone"),
        ("/required", json!(["order", "lines", "note"]), "$.note must be there now"),
        ("/properties/order/format", json!("email"), "$.order: its format changed"),
        ("/properties/note/type", json!("string"), "$.note: its type changed"),
        ("/properties/note/maxLength", json!(100), "$.note: its bounds are narrower (minLength, maxLength)"),
        ("/$defs/Line/properties/unit/enum", json!(["piece"]), "$.lines[].unit: \"metre\" is gone"),
        ("/$defs/Line/required", json!(["quantity", "unit"]), "$.lines[].unit must be there now"),
        (
            "/properties/end/oneOf/1/properties/kind/const",
            json!("gone"),
            "$.end(lost).kind: \"lost\" is gone",
        ),
        ("/properties/lines/items", json!({"type": "string"}), "$.lines[]: its type changed"),
    ] {
        for relied in [Relied::ByWriters, Relied::ByWritersAndReaders] {
            let found = changed(pointer, to.clone(), relied);
            assert!(found.iter().any(|found| found == expected), "{pointer}: {found:?}");
        }
    }
}

#[test]
fn readers_need_what_was_always_there_and_writers_may_be_let_off() {
    let optional = |relied| changed("/required", json!(["order"]), relied);
    assert_eq!(optional(Relied::ByWriters), Vec::<String>::new());
    assert_eq!(optional(Relied::ByWritersAndReaders), ["$.lines may be absent now"]);
}

#[test]
#[should_panic(expected = "order.x.v1 would no longer mean what was published: $.note must be there now")]
fn a_schema_that_breaks_is_refused() {
    let mut new = published();
    new["required"] = json!(["order", "lines", "note"]);
    assert_unbroken("order.x.v1", &published(), &new, Relied::ByWriters);
}
