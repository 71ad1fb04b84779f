//! The interface in OpenAPI 3.1, made from the routes themselves and from the schemas of commands and receipts.

use axum::response::IntoResponse;
use commands::Command;
use commands::receipt::Receipt;
use serde_json::{Map, Value, json};

use crate::http::{COMMAND_PATHS, Route, routes};

/// `GET /openapi.json`
pub(crate) async fn serve() -> impl IntoResponse {
    axum::Json(document())
}

/// Makes the document.
pub fn document() -> Value {
    let mut schemas = Map::new();
    for (name, schema) in Command::schemas() {
        add_schema(&mut schemas, &format!("command.{name}"), schema);
    }
    add_schema(&mut schemas, "Receipt", schemars::schema_for!(Receipt));
    schemas.insert("Problem".to_owned(), problem_schema());
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(&route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "SkyLink",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Signed commands in, receipts out. Every answer says in `Skylink-Position` how far the log was read; pass it as `min_position` to read what you wrote.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "from POST /v1/tokens"}},
        },
    })
}

/// Adds a schema, its inner definitions beside it.
fn add_schema(schemas: &mut Map<String, Value>, name: &str, schema: schemars::Schema) {
    let mut value = schema.to_value();
    if let Some(Value::Object(inner)) = value.as_object_mut().and_then(|members| members.remove("$defs")) {
        for (name, mut schema) in inner {
            relink(&mut schema);
            schemas.insert(name, schema);
        }
    }
    relink(&mut value);
    schemas.insert(name.to_owned(), value);
}

/// Points references at where the definitions stand in this document.
fn relink(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(relink),
        Value::Object(members) => {
            members.remove("$schema");
            members.values_mut().for_each(relink);
            if let Some(Value::String(target)) = members.get_mut("$ref") {
                *target = target.replace("#/$defs/", "#/components/schemas/");
            }
        }
        _ => {}
    }
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457 problem details; `code` is stable.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
            "detail": {"type": "string"}, "code": {"type": "string"},
            "receipt_url": {"type": "string"}, "reasons": {"type": "array"},
            "receipt": {"$ref": "#/components/schemas/Receipt"},
        },
    })
}

fn operation(route: &Route) -> Value {
    let id = format!("{} {}", route.method, route.path);
    let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let problem = json!({
        "description": "It was not done as asked",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    let mut operation = json!({
        "operationId": id,
        "summary": route.summary,
        "responses": {"200": {"description": "Done"}, "default": problem},
    });
    let names = route.path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let mut parameters: Vec<Value> = names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if route.method == "post" {
        add_command(&mut operation, route.path);
    } else {
        let is_protected = route.path.starts_with("/v1/") || route.path == "/api/cart";
        if is_protected {
            operation["security"] = json!([{"token": []}]);
            for name in query_parameters(route.path) {
                parameters.push(json!({"name": name, "in": "query", "schema": {"type": "string"}}));
            }
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation
}

fn query_parameters(path: &str) -> Vec<&'static str> {
    let own: &[&str] = match path {
        "/v1/orders" => &["role", "cursor", "limit", "account"],
        "/v1/analytics/summary" => &["from", "to", "seller"],
        "/v1/analytics/series" => &["from", "to", "seller", "step"],
        "/v1/analytics/top" => &["of", "currency", "limit"],
        "/v1/analytics/rejections" => &["from", "to"],
        "/v1/stream" => &["from"],
        _ => &[],
    };
    own.iter().copied().chain(["min_position"]).collect()
}

fn add_command(operation: &mut Value, path: &str) {
    let text = json!({"schema": {"type": "string", "description": "compact JWS"}});
    let mut content = json!({"application/jose": text, "text/plain": text});
    if path != "/v1/tokens" {
        content["application/json"] = json!({"schema": {"type": "object", "description": "the flat form, with `signature`", "required": ["signature"]}});
        operation["responses"]["200"]["content"] =
            json!({"application/json": {"schema": {"$ref": "#/components/schemas/Receipt"}}});
    }
    operation["requestBody"] = json!({"required": true, "content": content});
    if let Some((_, name)) = COMMAND_PATHS.iter().find(|(known, _)| *known == path) {
        operation["description"] = format!("Takes `{name}`; its body is schema `command.{name}`.").into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where every reference of the document points.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        for route in routes() {
            let operation = &document["paths"][route.path][route.method];
            assert!(operation["responses"]["200"].is_object(), "{} {}", route.method, route.path);
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, route.path.matches('{').count(), "{}", route.path);
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn no_two_operations_share_an_id() {
        let ids: std::collections::BTreeSet<_> = routes()
            .iter()
            .map(|route| document()["paths"][route.path][route.method]["operationId"].to_string())
            .collect();
        assert_eq!(ids.len(), routes().len());
    }

    #[test]
    fn the_document_in_the_repository_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/openapi.json");
        let now = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("SKYLINK_BLESS").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas")).unwrap();
            std::fs::write(path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == now,
            "schemas/openapi.json is old: run this test with SKYLINK_BLESS=1 and look at the difference"
        );
    }
}
