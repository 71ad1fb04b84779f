//! What can be asked is published: the JSON Schema of each command's body.

#[path = "../../events/tests/support/compat.rs"]
mod compat;

use std::collections::BTreeSet;
use std::path::Path;

use commands::Command;
use serde_json::Value;

/// Run with `UPDATE_SCHEMAS=1` to write the schemas anew. It writes none that refuses what the one there takes.
#[test]
fn each_command_has_the_schema_that_is_published() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/commands");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    for (name, schema) in Command::schemas() {
        let path = folder.join(format!("{name}.json"));
        if update {
            if let Ok(text) = std::fs::read_to_string(&path) {
                let old = serde_json::from_str(&text).unwrap();
                let relied = compat::Relied::ByWriters;
                compat::assert_unbroken(name, &old, &Value::from(schema.clone()), relied);
            }
            std::fs::write(&path, serde_json::to_string_pretty(&schema).unwrap() + "\n").unwrap();
        }
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let published: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(published, Value::from(schema), "{name}: run with UPDATE_SCHEMAS=1");
    }
    let published = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".json").to_owned());
    let names: BTreeSet<_> = Command::NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(published.collect::<BTreeSet<_>>(), names);
}

#[test]
fn every_command_and_field_is_described_and_nothing_else_is_allowed() {
    for (name, schema) in Command::schemas() {
        let schema = Value::from(schema);
        assert_eq!(schema["title"], name);
        assert!(schema["description"].is_string(), "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
        for (field, about) in schema["properties"].as_object().into_iter().flatten() {
            assert!(about["description"].is_string(), "{name} {field}: {about}");
        }
    }
}
