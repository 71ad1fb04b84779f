//! The interface in OpenAPI 3.1, made from the list of routes and from the types of what they answer.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use commands::{Command, Refusal};
use events::Rejection;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::problem::{KINDS, PROBLEM_JSON, ProblemDetails, REJECTED, refusals};
use crate::query::TIME_MEMBERS;
use crate::routes::{Content, NeedOfToken, Parameter, Route, Takes, routes};
use crate::stream::CloudEvent;
use crate::submit::{COMMAND_TYPES, JWS_TYPES};

const ABOUT: &str = "Signed commands in, receipts out. Every answer says in `Skylink-Position` how far the log was \
    read; pass it as `min_position` to read what you wrote. What goes wrong is told as problem details (RFC 9457), \
    whose `code` is stable: a path that is not here is `not_found`, a method that is not here `method_not_allowed`. \
    Only what can't be read as HTTP, or is a head of more than 128 KiB, is answered without a body.";

/// `GET /openapi.json`
pub(crate) async fn serve() -> impl IntoResponse {
    axum::Json(document())
}

/// Makes the document.
pub fn document() -> Value {
    let mut parts = Parts::new();
    let mut paths: BTreeMap<String, Value> = BTreeMap::new();
    let mut areas = BTreeSet::new();
    for route in routes() {
        areas.insert(area(route.path));
        let path = paths.entry(described(route.path)).or_insert_with(|| json!({}));
        path[route.method] = parts.operation(&route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "SkyLink",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": ABOUT,
        },
        "servers": [{"url": "/"}],
        "tags": areas.into_iter().map(|name| json!({"name": name})).collect::<Value>(),
        "paths": paths,
        "components": {
            "responses": parts.responses,
            "schemas": parts.schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "from POST /v1/tokens"},
            },
        },
    })
}

/// Writes a path as the document has it: a part that takes the rest of a path is a part like any other.
fn described(path: &str) -> String {
    path.replace("{*", "{")
}

/// Names what a path is about: by its own name below `/v1`, `api` for what the seed of this product names, `log` for proofs.
fn area(path: &'static str) -> &'static str {
    let mut parts = path.split('/').skip(1);
    match parts.next() {
        Some("v1") => parts.next().unwrap_or_default(),
        Some(area @ ("api" | "log")) => area,
        _ => "operation",
    }
}

/// What several operations share.
struct Parts {
    /// Schemas of what is answered as it is.
    as_is: SchemaGenerator,
    /// Schemas of what the views answer, to which moments in RFC 3339 are added.
    of_views: SchemaGenerator,
    /// Problems by name.
    responses: BTreeMap<String, Value>,
}

impl Parts {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Parts {
            as_is: settings.clone().into_generator(),
            of_views: settings.into_generator(),
            responses: BTreeMap::new(),
        }
    }

    fn operation(&mut self, route: &Route) -> Value {
        let id = format!("{} {}", route.method, route.path);
        let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut operation = json!({"operationId": id, "summary": route.summary, "tags": [area(route.path)]});
        let mut answers: BTreeMap<String, Value> = BTreeMap::new();
        for (status, codes) in problems_of(route) {
            answers.insert(status.as_str().to_owned(), self.problem(status, &codes));
        }
        for (status, content) in &route.answers {
            let answer = self.answer(route, *status, *content);
            match answers.get_mut(status.as_str()).and_then(|known| known["content"].as_object_mut()) {
                // One path has what is of several media types.
                Some(known) => known.extend(answer["content"].as_object().cloned().unwrap_or_default()),
                None => drop(answers.insert(status.as_str().to_owned(), answer)),
            }
        }
        operation["responses"] = json!(answers);
        if let Some(takes) = route.takes {
            let plain = match takes {
                Takes::Json(schema, _) => schema(&mut self.as_is).to_value(),
                _ => Value::Null,
            };
            add_body(&mut operation, takes, &json!({"schema": plain}));
        }
        match route.token {
            NeedOfToken::None => {}
            NeedOfToken::Optional => operation["security"] = json!([{}, {"token": []}]),
            NeedOfToken::Always => operation["security"] = json!([{"token": []}]),
        }
        if !route.parameters.is_empty() {
            operation["parameters"] = route.parameters.iter().map(parameter).collect();
        }
        operation
    }

    fn answer(&mut self, route: &Route, status: StatusCode, content: Content) -> Value {
        let description = status.canonical_reason().unwrap_or_default();
        let (media_type, schema) = match content {
            Content::Json(schema) => ("application/json", schema(&mut self.as_is).to_value()),
            Content::View(schema) => ("application/json", schema(&mut self.of_views).to_value()),
            Content::Text("text/event-stream") => {
                let about = "the `data` of each event is a `CloudEvent`, its id the position; a comment that begins \
                             with `closed:` says why the stream ends";
                ("text/event-stream", json!({"type": "string", "description": about}))
            }
            Content::Text(media_type) => (media_type, json!({"type": "string"})),
            Content::Bytes => ("application/octet-stream", json!({})),
            Content::Elsewhere => {
                let location =
                    json!({"description": "the page", "required": true, "schema": {"type": "string"}});
                let headers = json!({"Skylink-Position": position_header(), "Location": location});
                return json!({"description": description, "headers": headers});
            }
        };
        let mut headers = json!({"Skylink-Position": position_header()});
        if let Some(Takes::Command(_)) = route.takes {
            let about = "`true`: the command had been decided before, and this is that receipt again";
            headers["Idempotent-Replayed"] = json!({"description": about, "schema": {"type": "string"}});
        }
        json!({"description": description, "headers": headers, "content": {media_type: {"schema": schema}}})
    }

    /// Gives a reference to the answer of a status with one of some codes.
    fn problem(&mut self, status: StatusCode, codes: &BTreeSet<String>) -> Value {
        let title = status.canonical_reason().unwrap_or_default();
        let mut headers = json!({"Skylink-Position": position_header()});
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers["Retry-After"] = json!({"description": "seconds", "schema": {"type": "integer"}});
        }
        if status == StatusCode::UNAUTHORIZED {
            headers["WWW-Authenticate"] = json!({"schema": {"type": "string"}});
        }
        let schema = json!({
            "allOf": [{"$ref": "#/components/schemas/Problem"}],
            "properties": {"status": {"const": status.as_u16()}, "code": {"enum": codes}},
        });
        let response = json!({
            "description": title,
            "headers": headers,
            "content": {PROBLEM_JSON: {"schema": schema}},
        });
        let names = (1..).map(|n| format!("problem.{}.{n}", status.as_u16()));
        let is_free = |name: &String| self.responses.get(name).is_none_or(|known| *known == response);
        let name = names.into_iter().find(is_free).unwrap_or_default();
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        self.responses.insert(name, response);
        reference
    }

    /// Gives the schemas that were referred to, and those of commands.
    fn schemas(mut self) -> Map<String, Value> {
        let (details, refusal) =
            (self.as_is.subschema_for::<ProblemDetails>(), self.as_is.subschema_for::<Refusal>());
        self.as_is.subschema_for::<CloudEvent>();
        let refused: Vec<&str> = refusals().into_iter().map(|(code, _)| code).collect();
        let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.code).collect();
        let all: BTreeSet<String> =
            refused.iter().chain(&kinds).map(|code| (*code).to_owned()).chain(rejection_codes()).collect();
        // `scope_denied` is told by both.
        let refused: Vec<&str> = refused.into_iter().filter(|code| !kinds.contains(code)).collect();
        let problem = json!({
            "description": "RFC 9457 problem details. `code` is stable; `detail` says what to do.",
            "allOf": [details],
            "properties": {"code": {"enum": all}},
            "if": {"properties": {"code": {"enum": refused}}},
            "then": refusal,
        });
        let mut schemas = Map::new();
        add(&mut schemas, "Problem".to_owned(), problem);
        for (name, schema) in self.as_is.take_definitions(true) {
            add(&mut schemas, name, schema);
        }
        for (name, mut schema) in self.of_views.take_definitions(true) {
            describe_times(&mut schema);
            add(&mut schemas, name, schema);
        }
        for (name, schema) in Command::schemas() {
            add_with_definitions(&mut schemas, format!("command.{name}"), schema.to_value());
        }
        schemas
    }
}

/// Adds a schema that stands alone, and its definitions beside it.
pub(crate) fn add_with_definitions(schemas: &mut Map<String, Value>, name: String, mut schema: Value) {
    relink(&mut schema);
    if let Some(Value::Object(inner)) = schema.as_object_mut().and_then(|schema| schema.remove("$defs")) {
        inner.into_iter().for_each(|(name, schema)| add(schemas, name, schema));
    }
    add(schemas, name, schema);
}

/// Adds a schema. Two of one name must be one: a reference could not tell them apart.
fn add(schemas: &mut Map<String, Value>, name: String, schema: Value) {
    if let Some(known) = schemas.get(&name) {
        assert!(*known == schema, "two schemas are named `{name}`: rename one, {known} or {schema}");
    }
    schemas.insert(name, schema);
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

/// Adds to a schema what [`crate::query::show_times`] adds to what it describes.
fn describe_times(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(describe_times),
        Value::Object(members) => {
            members.values_mut().for_each(describe_times);
            for name in TIME_MEMBERS {
                let Some(of) = members.get("properties").and_then(|properties| properties.get(name)) else {
                    continue;
                };
                if !of.to_string().contains("/schemas/Timestamp\"") {
                    continue;
                }
                let is_always = of.get("anyOf").is_none();
                let shown = format!("{name}_rfc3339");
                if is_always && let Some(Value::Array(required)) = members.get_mut("required") {
                    required.push(shown.clone().into());
                }
                members["properties"][&shown] = json!({"type": "string", "format": "date-time"});
            }
        }
        _ => {}
    }
}

/// Gives the codes of all rules of the market, from their schema.
fn rejection_codes() -> BTreeSet<String> {
    codes_in(&schemars::schema_for!(Rejection).to_value())
}

/// Gives the tags of an enum that is tagged with `code`, those among them that stand in a definition of their own.
fn codes_in(schema: &Value) -> BTreeSet<String> {
    let variants = |one: &'_ Value| {
        let listed = one["oneOf"].as_array().or(one["anyOf"].as_array());
        listed.cloned().unwrap_or_default()
    };
    let kinds = variants(schema).into_iter().flat_map(|variant| match variant["$ref"].as_str() {
        Some(kind) => variants(&schema["$defs"][kind.trim_start_matches("#/$defs/")]),
        None => vec![variant],
    });
    kinds.filter_map(|variant| variant["properties"]["code"]["const"].as_str().map(str::to_owned)).collect()
}

/// Gives the codes that a route may answer with, by status.
fn problems_of(route: &Route) -> BTreeMap<StatusCode, BTreeSet<String>> {
    let mut problems: BTreeMap<StatusCode, BTreeSet<String>> = BTreeMap::new();
    for kind in &route.problems {
        problems.entry(kind.status).or_default().insert(kind.code.to_owned());
    }
    if route.takes.is_some() {
        for (code, status) in refusals() {
            problems.entry(status).or_default().insert(code.to_owned());
        }
    }
    if let Some(Takes::Command(_)) = route.takes {
        problems.insert(REJECTED, rejection_codes());
    }
    problems
}

fn position_header() -> Value {
    json!({"description": "how far the log was read", "schema": {"type": "integer"}})
}

fn parameter(parameter: &Parameter) -> Value {
    let mut described = json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": parameter.schema,
    });
    if parameter.place == "query" && parameter.schema["type"] == "object" {
        described["style"] = "deepObject".into();
    }
    described
}

fn add_body(operation: &mut Value, takes: Takes, plain: &Value) {
    let jws = json!({"schema": {"type": "string", "description": "compact JWS, see docs/signing.md"}});
    let flat = json!({"schema": {
        "type": "object",
        "description": "the flat form, see docs/signing.md",
        "required": ["signature"],
        "properties": {"signature": {"type": "string"}},
    }});
    let of_provider = json!({"schema": {
        "type": "object",
        "description": "what the provider sends, signed in its own way",
    }});
    let types = match takes {
        Takes::Command(_) => COMMAND_TYPES.as_slice(),
        Takes::TokenRequest => JWS_TYPES.as_slice(),
        Takes::ProviderMessage | Takes::Json(..) => &["application/json"],
    };
    let content: BTreeMap<&str, &Value> = types
        .iter()
        .map(|media_type| match (*media_type, takes) {
            (media_type, Takes::ProviderMessage) => (media_type, &of_provider),
            (media_type, Takes::Json(..)) => (media_type, plain),
            ("application/json", _) => ("application/json", &flat),
            (media_type, _) => (media_type, &jws),
        })
        .collect();
    operation["requestBody"] = json!({"required": true, "content": content});
    operation["description"] = match takes {
        Takes::Command(Some(name)) => format!("Takes `{name}`; its body is schema `command.{name}`.").into(),
        Takes::Command(None) => "The body of a command `x.y` is schema `command.x.y`.".into(),
        Takes::TokenRequest => "Takes `token.issue` with the body `{\"ttl_s\": 1 to 3600}`.".into(),
        Takes::Json(_, description) => description.into(),
        Takes::ProviderMessage => {
            "A message says only that something happened: what, is asked of the provider. Answered when all that it is \
             about is durable; else it is to be sent again."
                .into()
        }
    };
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Where every reference of the document points.
    pub(crate) fn references(value: &Value, found: &mut Vec<String>) {
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
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let in_document: BTreeSet<(String, &str)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|m| (path.clone(), m.as_str()))
            })
            .collect();
        let routes = routes();
        let routed: BTreeSet<(String, &str)> =
            routes.iter().map(|route| (described(route.path), route.method)).collect();
        assert_eq!(in_document, routed);
        for route in routes {
            let path = described(route.path);
            let operation = &document["paths"][&path][route.method];
            let answers = &operation["responses"];
            let is_sent_on = &answers["303"];
            let is_answered = ["200", "202"].iter().any(|s| answers[s]["content"].is_object());
            assert!(is_answered || is_sent_on.is_object(), "{} {}", route.method, route.path);
            // Where a browser is sent to stands in a header, and nothing beside it.
            let has_location = is_sent_on["headers"]["Location"].is_object();
            assert_eq!(has_location, is_sent_on.is_object(), "{} {}", route.method, route.path);
            assert!(is_sent_on["content"].is_null(), "{} {}", route.method, route.path);
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
            let in_path: BTreeSet<&str> =
                in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            let names = path.split('{').skip(1).filter_map(|part| part.split('}').next());
            assert_eq!(in_path, names.collect(), "{}", route.path);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_code_stands_in_the_document() {
        let refused: BTreeSet<String> = refusals().into_iter().map(|(code, _)| code.to_owned()).collect();
        assert_eq!(refused, codes_in(&schemars::schema_for!(Refusal).to_value()));
        let rejected = rejection_codes();
        assert!(rejected.contains("order_state") && rejected.contains("return_open"), "{rejected:?}");
        let document = document();
        let listed =
            document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
        for code in refused.iter().map(String::as_str).chain(KINDS.iter().map(|kind| kind.code)) {
            assert!(listed.iter().any(|listed| listed == code), "{code}");
        }
    }

    #[test]
    fn no_two_operations_share_an_id() {
        let document = document();
        let ids: BTreeSet<_> = routes()
            .iter()
            .map(|route| document["paths"][described(route.path)][route.method]["operationId"].to_string())
            .collect();
        assert_eq!(ids.len(), routes().len());
    }

    #[test]
    fn the_document_in_the_repository_is_this_one() {
        is_kept("openapi.json", &document());
    }

    /// Asserts that a document stands in `schemas/` as it is now.
    pub(crate) fn is_kept(name: &str, document: &Value) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(name);
        let now = serde_json::to_string_pretty(document).unwrap() + "\n";
        if std::env::var_os("SKYLINK_BLESS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(
            kept == now,
            "schemas/{name} is old: run this test with SKYLINK_BLESS=1 and look at the difference"
        );
    }
}
