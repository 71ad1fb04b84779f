//! What travels over NATS in AsyncAPI 3, made from the lists of commands and events and from their types: for gateways, which
//! publish commands, and for those who read events.

use std::collections::BTreeMap;

use axum::response::IntoResponse;
use commands::command::COMMAND_BYTES_MAX;
use commands::market_key::Announcement;
use commands::{Command, Refusal};
use engine::nats_commands::{KEYS, RECEIPT_TO, STEP_UP, TRACEPARENT};
use events::Event;
use events::ids::{CommandId, MarketName};
use events::metadata::EVENTS_PER_COMMIT_MAX;
use events::wire;
use schemars::schema_for;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::openapi::add_with_definitions;

/// Stands for the market's name in subjects.
const MARKET: &str = "market";

fn about() -> String {
    format!(
        "One market on NATS JetStream. Commands are signed by their givers' devices and published to `cmd.>`; the one writer of the \
         market decides them and appends what happened to the stream `EVT_<market>`, one message for each event. What a decision \
         wrote is one commit of 1 to {EVENTS_PER_COMMIT_MAX} messages without a gap, of which `skylink-count` tells how many: a \
         reader waits for the whole of it. A reader of events takes a consumer of that stream, whose sequence numbers are the \
         positions of the log; messages come at least once. `nats-roles.conf` says what each role may do. Everything that can be \
         asked over HTTP stands in /openapi.json."
    )
}

/// `GET /asyncapi.json`
pub(crate) async fn serve() -> impl IntoResponse {
    axum::Json(document())
}

/// Makes the document.
pub fn document() -> Value {
    let mut parts = Parts::default();
    Command::NAMES.iter().for_each(|name| parts.add_command(name));
    for (type_name, schema) in Event::schemas() {
        add_with_definitions(&mut parts.schemas, type_name.to_owned(), schema.to_value());
    }
    for (event, type_names) in versions() {
        parts.add_event(event, &type_names);
    }
    parts.add_receipt();
    parts.add_keys();
    for (name, schema) in Command::schemas() {
        add_with_definitions(&mut parts.schemas, format!("command.{name}"), schema.to_value());
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "SkyLink on NATS",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "description": about(),
            "tags": [{"name": "commands"}, {"name": "events"}, {"name": "receipts"}],
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}:{port}",
                "protocol": "nats",
                "description": "NATS 2.14.4 or later with JetStream, TLS outside one machine, an nkey for each role",
                "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}},
            },
        },
        "channels": parts.channels,
        "operations": parts.operations,
        "components": {"messages": parts.messages, "schemas": parts.schemas},
    })
}

/// Lists the events without their versions, each with all that a log may hold, the newest last.
fn versions() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut events: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for type_name in Event::TYPES.iter().chain(Event::OLDER_TYPES) {
        let (event, _) = type_name.rsplit_once(".v").expect("each type has its version");
        events.entry(event).or_default().push(*type_name);
    }
    events.values_mut().for_each(|type_names| type_names.sort_unstable());
    events
}

/// The document's lists, while they grow.
#[derive(Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Parts {
    /// Adds a channel and its messages, with what SkyLink does there.
    fn add(&mut self, channel: Channel) {
        let Channel { name, address, action, tag, summary, messages, reply } = channel;
        let market = json!({"description": "The market's name"});
        let mut parameters = json!({MARKET: market});
        if address.contains("{command}") {
            parameters["command"] = json!({"description": "The command's id (`cid`)"});
        }
        let references: Map<String, Value> = messages
            .iter()
            .map(|(name, _)| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")})))
            .collect();
        self.channels.insert(
            name.clone(),
            json!({
                "address": address,
                "messages": references,
                "parameters": parameters,
                "tags": [{"name": tag}],
            }),
        );
        let mut operation = json!({
            "action": action,
            "channel": {"$ref": format!("#/channels/{name}")},
            "summary": summary,
            "tags": [{"name": tag}],
        });
        if let Some(reply) = reply {
            operation["reply"] = reply;
        }
        self.operations.insert(name, operation);
        self.messages.extend(messages);
    }

    fn add_command(&mut self, name: &str) {
        let message = json!({
            "name": name,
            "title": name,
            "description": format!(
                "At most {COMMAND_BYTES_MAX} bytes, see docs/signing.md; what was signed has as its `body` what schema `command.{name}` \
                 says. Sent again until its receipt comes: its `cid` makes that harmless."
            ),
            "contentType": "application/jose",
            "headers": {"$ref": "#/components/schemas/CommandHeaders"},
            "payload": {"$ref": "#/components/schemas/SignedCommand"},
        });
        self.add(Channel {
            name: format!("command.{name}"),
            address: address(|market| wire::command_subject(market, name)),
            action: "receive",
            tag: "commands",
            summary: format!("Somebody asks for `{name}`"),
            messages: vec![(format!("command.{name}"), message)],
            reply: Some(json!({
                "address": {
                    "location": format!("$message.header#/{RECEIPT_TO}"),
                    "description": "Where the receipt, or the refusal, is wanted",
                },
                "channel": {"$ref": "#/channels/receipt"},
            })),
        });
    }

    fn add_event(&mut self, event: &str, type_names: &[&str]) {
        let message = |type_name: &&str| {
            let message = json!({
                "name": type_name,
                "title": type_name,
                "summary": self.schemas[*type_name]["description"],
                "contentType": "application/json",
                "headers": {"$ref": "#/components/schemas/EventHeaders"},
                "payload": {"$ref": format!("#/components/schemas/{type_name}")},
            });
            ((*type_name).to_owned(), message)
        };
        let messages: Vec<_> = type_names.iter().map(message).collect();
        self.add(Channel {
            name: format!("event.{event}"),
            address: address(|market| wire::event_subject(market, type_names[0])),
            action: "send",
            tag: "events",
            summary: format!("`{event}` stands in the log"),
            messages,
            reply: None,
        });
    }

    fn add_receipt(&mut self) {
        let receipt = schema_for!(commands::receipt::Receipt).to_value();
        add_with_definitions(&mut self.schemas, "Receipt".to_owned(), receipt);
        add_with_definitions(&mut self.schemas, "Refusal".to_owned(), schema_for!(Refusal).to_value());
        self.schemas.insert("Refused".to_owned(), json!({
            "type": "object",
            "description": "The command was refused before it was decided, consumed nothing and is not in the log; sent to the inbox alone",
            "required": ["refusal"],
            "properties": {"refusal": {"$ref": "#/components/schemas/Refusal"}},
        }));
        self.schemas.insert("SignedCommand".to_owned(), json!({
            "description": "A compact JWS, or the flat JSON form with its signature: see docs/signing.md",
            "oneOf": [
                {"type": "string", "pattern": "^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$"},
                {"type": "object", "required": ["signature"], "properties": {"signature": {"type": "string"}}},
            ],
        }));
        self.schemas.insert("CommandHeaders".to_owned(), command_headers());
        self.schemas.insert("EventHeaders".to_owned(), event_headers());
        let message = json!({
            "name": "receipt",
            "title": "receipt",
            "contentType": "application/json",
            "payload": {"oneOf": [{"$ref": "#/components/schemas/Receipt"}, {"$ref": "#/components/schemas/Refused"}]},
        });
        let command = CommandId::from_uuid(Uuid::nil());
        self.add(Channel {
            name: "receipt".to_owned(),
            address: address(|market| wire::receipt_subject(market, command))
                .replace(&command.to_string(), "{command}"),
            action: "send",
            tag: "receipts",
            summary:
                "What came of a command: its receipt, which anyone can check offline, or why it was refused"
                    .to_owned(),
            messages: vec![("receipt".to_owned(), message)],
            reply: None,
        });
    }
}

impl Parts {
    /// Adds the question after the market's keys, and its answer.
    fn add_keys(&mut self) {
        let announcement = schema_for!(Announcement).to_value();
        add_with_definitions(&mut self.schemas, "Announcement".to_owned(), announcement);
        let question = json!({
            "name": "keys",
            "title": "keys",
            "description": "Empty, and not signed. What comes back is believed by nobody: each word in it is signed, see docs/transparency.md.",
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/CommandHeaders"},
            "payload": {"description": "Nothing is read of it"},
        });
        let answer = json!({
            "name": "announcements",
            "title": "announcements",
            "contentType": "application/json",
            "payload": {
                "type": "object",
                "required": ["announcements"],
                "properties": {"announcements": {
                    "type": "array",
                    "description": "The words that lead from each key of the market to the next, oldest first",
                    "items": {"$ref": "#/components/schemas/Announcement"},
                }},
            },
        });
        self.channels.insert(
            "announcements".to_owned(),
            json!({
                "address": null,
                "description": "The inbox that the question names",
                "messages": {"announcements": {"$ref": "#/components/messages/announcements"}},
                "tags": [{"name": "receipts"}],
            }),
        );
        self.messages.insert("announcements".to_owned(), answer);
        self.add(Channel {
            name: "keys".to_owned(),
            address: address(|market| wire::command_subject(market, KEYS)),
            action: "receive",
            tag: "receipts",
            summary:
                "Somebody asks what leads from each of the market's keys to the next, to check receipts with"
                    .to_owned(),
            messages: vec![("keys".to_owned(), question)],
            reply: Some(json!({
                "address": {
                    "location": format!("$message.header#/{RECEIPT_TO}"),
                    "description": "Where the answer is wanted",
                },
                "channel": {"$ref": "#/channels/announcements"},
            })),
        });
    }
}

/// Where messages of a kind travel, and who sends them.
struct Channel {
    name: String,
    address: String,
    action: &'static str,
    tag: &'static str,
    summary: String,
    messages: Vec<(String, Value)>,
    reply: Option<Value>,
}

/// Gives a subject of any market.
fn address(subject: impl Fn(&MarketName) -> String) -> String {
    let any: MarketName = MARKET.parse().expect("it is a name that a market may have");
    subject(&any).replacen(&format!(".{MARKET}."), &format!(".{{{MARKET}}}."), 1)
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn command_headers() -> Value {
    json!({
        "type": "object",
        "description": "What comes beside a command. Nothing of it is signed. `Skylink-Personal` is refused (`personal_over_http`): what is personal goes over HTTP only, see docs/privacy.md.",
        "properties": {
            RECEIPT_TO: text("An inbox of the sender, below `_INBOX.`; absent: the receipt is published on `rcpt.>` alone"),
            STEP_UP: text("The second factor that `mfa_required` asked for, see docs/step-up.md"),
            TRACEPARENT: text("W3C trace context; stands with the commit"),
        },
    })
}

fn event_headers() -> Value {
    let first = "with the first event of a commit";
    let of_command = "with the first event of a commit that a command caused";
    let about = [
        ("ce-specversion", "CloudEvents 1.0".to_owned()),
        ("ce-id", "The commit's id and the event's number in it".to_owned()),
        ("ce-type", "The event's type with its version, such as `order.placed.v1`".to_owned()),
        ("ce-source", "`/markets/<market>`".to_owned()),
        ("ce-subject", "The id of what it is about; absent where that is the market".to_owned()),
        ("ce-time", "When it was decided, RFC 3339".to_owned()),
        ("content-type", "`application/json`".to_owned()),
        ("skylink-count", "How many events the commit has".to_owned()),
        ("skylink-previous", format!("Hash of the commit before; {first}")),
        ("traceparent", format!("W3C trace context of the command; {of_command}, if it had one")),
        ("skylink-command", format!("The command's id (`cid`); {of_command}")),
        ("skylink-command-name", format!("Its name; {of_command}")),
        ("skylink-account", format!("Who gave it; {of_command}")),
        ("skylink-device", format!("With which device; {of_command}")),
        ("skylink-key", format!("With which key, as its RFC 7638 thumbprint; {of_command}")),
        ("skylink-seq", format!("Its number of that key; {of_command}")),
        ("skylink-nonce", format!("Its nonce; {of_command}")),
        ("skylink-fingerprint", format!("SHA-256 of what was wished; {of_command}")),
        ("skylink-signed", format!("The signed bytes; {of_command}; JSON as `~` and base64url")),
        (
            "skylink-step-up",
            format!("The second factor that was shown, as JSON; {of_command}, if one was needed"),
        ),
        (
            "skylink-deadline",
            format!("The deadline that was due, as JSON; {first} of one that a deadline caused"),
        ),
        ("skylink-writer", format!("The writer that began; {first} of a writer's start")),
    ];
    let properties: Map<String, Value> =
        about.into_iter().map(|(name, description)| (name.to_owned(), text(&description))).collect();
    json!({
        "type": "object",
        "description": "CloudEvents 1.0 in binary mode, and what the log needs to be checked",
        "required": [
            "ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "content-type", "skylink-count"
        ],
        "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use events::metadata::Metadata;

    use super::*;
    use crate::openapi::tests::{is_kept, references};

    fn properties(of: &Value) -> BTreeSet<String> {
        of["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_command_and_every_event_has_its_subject() {
        let document = document();
        let shipped = &document["channels"]["event.order.shipped"];
        assert_eq!(shipped["address"], "evt.{market}.order.shipped");
        let in_log: Vec<_> = shipped["messages"].as_object().unwrap().keys().collect();
        assert_eq!(in_log, ["order.shipped.v1", "order.shipped.v2"]);
        assert_eq!(document["channels"]["command.order.place"]["address"], "cmd.{market}.order.place");
        assert_eq!(document["channels"]["receipt"]["address"], "rcpt.{market}.{command}");
        for (kind, action, count) in
            [("command.", "receive", Command::NAMES.len()), ("event.", "send", versions().len())]
        {
            let operations = document["operations"].as_object().unwrap();
            let of_kind = operations.iter().filter(|(name, _)| name.starts_with(kind));
            assert_eq!(of_kind.filter(|(_, operation)| operation["action"] == action).count(), count);
        }
        let messages = document["components"]["messages"].as_object().unwrap();
        let types = Event::TYPES.len() + Event::OLDER_TYPES.len();
        assert_eq!(document["channels"]["keys"]["address"], "cmd.{market}.engine.keys");
        assert_eq!(messages.len(), Command::NAMES.len() + types + 3);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    /// The samples are of every type and of every cause, so each header is met.
    #[test]
    fn an_event_s_headers_are_those_that_are_described() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/samples");
        let described = event_headers();
        let required: BTreeSet<String> = serde_json::from_value(described["required"].clone()).unwrap();
        let mut met = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let sample: Value =
                serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let metadata: Metadata = serde_json::from_value(sample["metadata"].clone()).unwrap();
            let headers: BTreeSet<String> =
                wire::to_headers(&metadata).into_iter().map(|(name, _)| name.to_owned()).collect();
            assert!(required.is_subset(&headers), "{headers:?}");
            met.extend(headers);
        }
        // No sample is of a command that was traced.
        met.insert(TRACEPARENT.to_owned());
        assert_eq!(met, properties(&described));
    }

    #[test]
    fn the_document_in_the_repository_is_this_one() {
        is_kept("asyncapi.json", &document());
    }
}
