//! What the log holds is promised: the JSON Schema of each event, and samples that are read for ever.

#[path = "support/compat.rs"]
mod compat;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use events::metadata::Metadata;
use events::{Event, wire};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(name)
}

/// Names of the JSON files in a folder, without `.json`.
fn stems(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("the schemas are part of the repository");
    let names = entries.map(|entry| entry.expect("the folder can be read").file_name());
    names
        .map(|name| {
            let name = name.into_string().expect("names are ASCII");
            name.strip_suffix(".json").expect("only JSON files stand here").to_owned()
        })
        .collect()
}

/// Names of all types that may stand in a log.
fn stored_types() -> BTreeSet<String> {
    Event::TYPES.iter().chain(Event::OLDER_TYPES).map(|name| (*name).to_owned()).collect()
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Run with `UPDATE_SCHEMAS=1` to write the schemas anew. It writes none that breaks what the one there promised.
#[test]
fn each_event_has_the_schema_that_is_published() {
    let folder = folder("events");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    for (type_name, schema) in Event::schemas() {
        let path = folder.join(format!("{type_name}.json"));
        if update {
            if path.exists() {
                let relied = compat::Relied::ByWritersAndReaders;
                compat::assert_unbroken(type_name, &read(&path), &Value::from(schema.clone()), relied);
            }
            let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            std::fs::write(&path, text).unwrap();
        }
        assert_eq!(read(&path), Value::from(schema), "{type_name}: run with UPDATE_SCHEMAS=1");
    }
    assert_eq!(stems(&folder), stored_types());
}

#[test]
fn each_event_type_has_a_sample() {
    let samples = stems(&folder("samples"));
    let types = stored_types();
    let missing: Vec<_> = types.difference(&samples).collect();
    assert!(missing.is_empty(), "no sample of {missing:?} in schemas/samples");
}

/// Samples are never rewritten: what was once stored must be read as long as there are logs.
#[test]
fn every_sample_is_read_and_says_the_same_when_written_again() {
    for type_name in stems(&folder("samples")) {
        let sample = read(&folder("samples").join(format!("{type_name}.json")));
        let payload = serde_json::to_vec(&sample["payload"]).unwrap();
        let event = Event::decode(&type_name, &payload).unwrap_or_else(|error| panic!("{error:?}"));
        let metadata: Metadata = serde_json::from_value(sample["metadata"].clone()).unwrap();
        assert_eq!(metadata.type_name, type_name);
        assert_eq!(serde_json::to_value(&metadata).unwrap(), sample["metadata"], "{type_name}");
        assert_eq!(metadata.subject, event.subject(), "{type_name}");
        // An old type is lifted into a newer one; that is read again as itself.
        let again = Event::decode(event.type_name(), &event.encode()).unwrap();
        assert_eq!(again, event);
        if event.type_name() == type_name {
            let written: Value = serde_json::from_slice(&event.encode()).unwrap();
            assert_eq!(written, sample["payload"], "{type_name}");
        }
        let headers = wire::to_headers(&metadata);
        let get = |wanted| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(wire::from_headers(get).unwrap(), metadata, "{type_name}");
    }
}

#[test]
fn every_field_of_every_schema_is_described() {
    for (type_name, schema) in Event::schemas() {
        let schema = Value::from(schema);
        assert!(schema["description"].is_string(), "{type_name}");
        for (field, about) in schema["properties"].as_object().into_iter().flatten() {
            assert!(about["description"].is_string(), "{type_name} {field}: {about}");
        }
    }
}

/// The names of rules are stored too: the sample of a rejection holds each of them.
#[test]
fn the_sample_of_a_rejection_holds_every_reason_there_is() {
    let sample = read(&folder("samples").join("command.rejected.v1.json"));
    let in_sample: BTreeSet<_> = sample["payload"]["reasons"]
        .as_array()
        .expect("reasons are a list")
        .iter()
        .map(|reason| reason["code"].clone().to_string())
        .collect();
    let schema = Value::from(schemars::schema_for!(events::Rejection));
    let own = schema["anyOf"].as_array().expect("a rejection is one of many");
    // Reasons of one kind stand together, in a definition of their own.
    let kinds = own.iter().filter_map(|variant| variant["$ref"].as_str()).flat_map(|kind| {
        let definition = &schema["$defs"][kind.trim_start_matches("#/$defs/")];
        definition["oneOf"].as_array().expect("it is one of some")
    });
    let variants = own.iter().filter(|variant| variant["$ref"].is_null()).chain(kinds);
    let all: BTreeSet<_> =
        variants.map(|variant| variant["properties"]["code"]["const"].to_string()).collect();
    assert_eq!(in_sample, all);
}
