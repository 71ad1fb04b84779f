//! Who may give which command: the table holds in every cell, and is the one that is documented.

use std::path::Path;

use crate::support::*;
use commands::command::{CommandKind, VerifiedClaim, VerifiedExchange};
use commands::scope::{allowed_roles, may_give};
use commands::{Command, Decision, Refusal};
use events::account::Role;
use events::ids::CartId;
use serde_json::{Map, Value, json};

/// The parts of its schema that a body's least form is made of.
struct Least<'a> {
    definitions: Option<&'a Map<String, Value>>,
}

impl Least<'_> {
    /// Makes the least value that a schema allows.
    fn of(&self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            return self.of(&self.definitions.unwrap()[name]);
        }
        for value in ["const", "default"] {
            if !schema[value].is_null() {
                return schema[value].clone();
            }
        }
        let first = ["oneOf", "anyOf"].into_iter().find_map(|choice| schema[choice].as_array()?.first());
        if let Some(first) = first {
            return self.of(first);
        }
        if let Some(word) = schema["enum"].as_array().and_then(|words| words.first()) {
            return word.clone();
        }
        match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
            Some("object") => self.object(schema),
            Some("array") => {
                let count = schema["minItems"].as_u64().unwrap_or(1).max(1);
                let item = |n: u64| match self.of(&schema["items"]) {
                    // Words of a set; what has a form of its own may stand there twice.
                    Value::String(word) if word == "a" => format!("{word}{n}").into(),
                    item => item,
                };
                (0..count).map(item).collect()
            }
            Some("integer") => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
            Some("boolean") => true.into(),
            Some("string") => text_of(schema).into(),
            _ => panic!("nothing is known about {schema}"),
        }
    }

    fn object(&self, schema: &Value) -> Value {
        let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        let members = required.map(|name| (name.to_owned(), self.of(&schema["properties"][name])));
        Value::Object(members.collect())
    }
}

/// A text for each pattern that a schema has.
const TEXTS: [(&str, &str); 16] = [
    ("^\\{[\\s\\S]*\\}$", "{}"),
    ("^[A-Za-z0-9_-]{43}$", "AAAAAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ("^[0-9a-f]{64}$", "952293620fefaa6f087525f01165c3a52d3aaec8fdb04c1001d490e3090a1b90"),
    ("^[A-Z0-9_-]{3,32}$", "SPRING10"),
    ("^[A-Z]{2}(-[A-Z0-9]{1,3})?$", "US-CA"),
    ("^[A-Z]{3}$", "USD"),
    ("^[a-z0-9-]{1,32}$", "berlin"),
    ("^[a-z0-9_]{1,32}$", "books"),
    ("^[a-z_]{1,31}\\.([a-z_]{1,31}|\\*)$", "cart.*"),
    ("^[!-~]{1,300}$", "https://market.example"),
    ("^[a-z0-9.-]{1,253}$", "market.example"),
    ("^(\\*|[a-z_]{1,40}\\.(\\*|[a-z_]{1,40}))$", "order.*"),
    ("^https?://[^@#\\\\\\s]{1,492}$", "https://shop.example"),
    ("^([01][0-9]|2[0-3]):[0-5][0-9]$", "22:00"),
    ("^[+-](0[0-9]|1[0-4]):[0-5][0-9]$", "+02:00"),
    ("^[A-Za-z0-9_-]{22,342}$", "bGFtcHMtYW5kLXBlYXJzLTE"),
];

fn text_of(schema: &Value) -> String {
    if schema["format"] == "uuid" {
        return "0190b5a0-7c00-7000-8000-0000000000a1".to_owned();
    }
    let Some(pattern) = schema["pattern"].as_str() else { return "a".to_owned() };
    let found = TEXTS.into_iter().find(|(known, _)| *known == pattern);
    let (_, text) = found.unwrap_or_else(|| panic!("no text here fits {pattern}: add one to TEXTS"));
    text.to_owned()
}

/// Makes one command of each kind.
fn one_of_each() -> Vec<Command> {
    Command::schemas()
        .into_iter()
        .map(|(name, schema)| {
            let schema = Value::from(schema);
            let body = Least { definitions: schema["$defs"].as_object() }.of(&schema);
            Command::parse(name, &body).unwrap_or_else(|error| panic!("{name} {body}: {error}"))
        })
        .collect()
}

/// What is signed inside a command and checked with it; here it is nobody's, and the rules behind refuse it.
fn inside(command: &Command, world: &World) -> (Option<VerifiedClaim>, Option<VerifiedExchange>) {
    match command {
        Command::MergeCart(_) => {
            let cart = CartId::from_uuid(BUYER.account().uuid());
            (Some(claim(GUEST, cart, BUYER, world.now)), None)
        }
        Command::ExchangeMoney(_) => {
            (None, Some(signed_by(PROVIDER, offer(PROVIDER, BUYER, [usd(1), eur(1)], "r"))))
        }
        _ => (None, None),
    }
}

/// An account with one role only.
fn with_only(role: Role) -> Actor {
    match role {
        Role::Buyer => BUYER,
        Role::Seller => SELLER,
        Role::Operator => OPERATOR,
        Role::Registrar => REGISTRAR,
        Role::Provider => PROVIDER,
        Role::Guest => GUEST,
    }
}

#[test]
fn each_role_gives_just_the_commands_of_the_table() {
    let mut world = World::new();
    world.register(GUEST);
    let commands = one_of_each();
    assert_eq!(commands.len(), CommandKind::ALL.len());
    let no_role =
        || Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for command in commands {
        let kind = command.kind();
        assert!(!allowed_roles(kind).is_empty(), "{}: nobody may give it", kind.name());
        for role in Role::ALL {
            let actor = with_only(*role);
            assert_eq!(world.market.accounts.get(actor.account()).unwrap().roles, [*role].into());
            let mut verified = world.sign(actor, command.clone());
            (verified.claim, verified.exchange) = inside(&command, &world);
            let decision = commands::decide(&world.market, &verified, &world.facts, world.now);
            let is_denied = decision == Decision::Refuse(no_role());
            assert_eq!(is_denied, !may_give(*role, kind), "{} by a {role}: {decision:?}", kind.name());
            assert!(
                is_denied || matches!(decision, Decision::Commit(_)),
                "{} by a {role}: {decision:?}",
                kind.name()
            );
        }
    }
}

/// Every command stands in docs/accounts.md with its roles, and nothing else does.
#[test]
fn the_table_is_the_documented_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/accounts.md");
    let page = std::fs::read_to_string(path).unwrap();
    let documented: Vec<_> =
        page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 3).collect();
    let row = |kind: &CommandKind| {
        let roles: Vec<String> = allowed_roles(*kind).iter().map(ToString::to_string).collect();
        format!("| `{}` | {} |", kind.name(), roles.join(", "))
    };
    let table: Vec<String> = CommandKind::ALL.iter().map(row).collect();
    assert_eq!(documented, table, "docs/accounts.md should hold:\n{}", table.join("\n"));
}

#[test]
fn the_least_body_of_a_schema_has_what_is_required() {
    let schema = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"$ref": "#/$defs/Units"}, "b": {"type": "string"}
    }, "$defs": {"Units": {"type": "integer", "minimum": 3}}});
    assert_eq!(Least { definitions: schema["$defs"].as_object() }.of(&schema), json!({"a": 3}));
}
