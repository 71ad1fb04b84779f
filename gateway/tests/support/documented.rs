//! Holds every answer that a test gets against the interface's own description.

#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(gateway::openapi::document);

/// Finds the operation that a request is for.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        // The name of a tile has slashes of its own.
        let takes_rest = template.ends_with("/{tile}") && wanted.len() <= parts.len();
        (takes_rest || wanted.len() == parts.len())
            && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
    };
    let exact = paths.get(path);
    let described =
        exact.or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, value)| value))?;
    described.get(method.to_lowercase())
}

/// Checks a value against a schema of the document.
pub(crate) fn check_schema(schema: &Value, value: &Value, what: &str) {
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::draft202012::new(&whole).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what} is not as described: {errors:#?} in {value:#}");
}

/// Checks a value against a named schema of the document.
pub(crate) fn check_named(name: &str, value: &Value) {
    check_schema(&json!({"$ref": format!("#/components/schemas/{name}")}), value, name);
}

/// Checks an answer.
pub(crate) fn check(method: &str, path: &str, status: u16, content_type: &str, body: &[u8]) {
    let what = format!("{method} {path}: {status} {content_type}");
    let Some(operation) = operation(method, path) else {
        // What is not described is not there.
        assert!(matches!(status, 404 | 405 | 431), "{what}");
        return check_named("Problem", &serde_json::from_slice(body).unwrap());
    };
    let mut response = &operation["responses"][status.to_string()];
    if let Some(Value::String(reference)) = response.get("$ref") {
        response = DOCUMENT.pointer(reference.strip_prefix('#').unwrap()).unwrap();
    }
    assert!(response.is_object(), "{what} is not described: {}", String::from_utf8_lossy(body));
    let media_type = content_type.split(';').next().unwrap_or_default();
    let content = &response["content"][media_type];
    assert!(content.is_object(), "{what}: the media type is not described");
    if media_type.ends_with("json") {
        check_schema(&content["schema"], &serde_json::from_slice(body).unwrap(), &what);
    }
}
