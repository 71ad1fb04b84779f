//! Facts of webhooks: addresses that somebody has told over HTTP what happens. The secrets that messages are signed with are not among
//! them; they are named by a hash.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Position;
use crate::code::code;
use crate::hash::Hash;
use crate::ids::{AccountId, WebhookId};
use crate::time::Timestamp;

code! {
    /// Events that are told of: of one type in whatever version, such as `order.placed`; of all types that begin so, such as `order.*`; or
    /// all, `*`.
    EventFilter: "WebhookFilter", "filter of events",
    must be "the type of an event without its version such as order.placed, the beginning of some such as order.*, or *",
    pattern "^(\\*|[a-z_]{1,40}\\.(\\*|[a-z_]{1,40}))$",
    description "The type of an event without its version, such as order.placed; all that begin so, such as order.*; or *",
    fits |text| {
        let is_word = |word: &str| {
            (1..=40).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let mut parts = text.split('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("*"), None, _) => true,
            (Some(aggregate), Some(event), None) => is_word(aggregate) && (event == "*" || is_word(event)),
            _ => false,
        }
    }
}

code! {
    /// Where messages are sent to. It stands in the log for ever, so nothing that is secret belongs into it.
    WebhookUrl: "WebhookUrl", "address",
    must be "https://… (or http://…) of at most 500 visible ASCII characters, without a name, a password or a part behind #",
    pattern "^https?://[^@#\\\\\\s]{1,492}$",
    description "https://… (or http://…), 500 visible ASCII characters at most, without a name, a password or a part behind #",
    fits |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"@#\\".contains(&byte);
        text.len() <= 500
            && rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '['))
            && text.bytes().all(is_plain)
    }
}

impl EventFilter {
    /// Tells whether events of a type, such as `order.placed.v1`, are told of.
    pub fn holds(&self, type_name: &str) -> bool {
        let name = type_name.rsplit_once(".v").map_or(type_name, |(name, _)| name);
        match self.as_str().strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.as_str(),
        }
    }
}

/// An address is told from here on of what its owner may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// Whose it is.
    pub account: AccountId,
    /// The hash of the secret that messages are signed with.
    pub secret: Hash,
    /// What it is told of.
    pub types: BTreeSet<EventFilter>,
    /// Where to.
    pub url: WebhookUrl,
    /// The webhook.
    pub webhook: WebhookId,
}

/// A webhook is from here on as it is said here, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Updated {
    /// Whose it is.
    pub account: AccountId,
    /// Whether it is told of anything. One that was switched off goes on where it stood, and so does one that had failed for too long.
    pub on: bool,
    /// What it is told of.
    pub types: BTreeSet<EventFilter>,
    /// Where to.
    pub url: WebhookUrl,
    /// The webhook.
    pub webhook: WebhookId,
}

/// Messages are signed with another secret, and for a while with the one before it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRotated {
    /// Whose the webhook is.
    pub account: AccountId,
    /// The secrets that are used no more, by their hashes.
    pub dropped: BTreeSet<Hash>,
    /// The secret before; absent: it is used no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
    /// The hash of the secret.
    pub secret: Hash,
    /// The webhook.
    pub webhook: WebhookId,
}

/// A secret that messages are signed with for a while yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookReplacedSecret")]
pub struct Replaced {
    /// Its hash.
    pub secret: Hash,
    /// Until when, that moment left out.
    pub until: Timestamp,
}

/// An address is told of nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// Whose it was.
    pub account: AccountId,
    /// The secrets it had, by their hashes.
    pub secrets: BTreeSet<Hash>,
    /// The webhook.
    pub webhook: WebhookId,
}

/// How far an address has been told. It is noted now and then, so that another process that sends goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reached {
    /// Whose it is.
    pub account: AccountId,
    /// The last event that it needs to be told of no more.
    pub position: Position,
    /// The webhook.
    pub webhook: WebhookId,
}

/// An address is told of nothing until its owner switches it on again, since it did not take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disabled {
    /// Whose it is.
    pub account: AccountId,
    /// Why.
    pub because: DisabledBecause,
    /// The last event that it was told of.
    pub position: Position,
    /// The webhook.
    pub webhook: WebhookId,
}

/// What an address is told of an event is something else from here on, whenever it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetterReplaced {
    /// Whose the webhook is.
    pub account: AccountId,
    /// What is sent as the event's `data`: a JSON object, as text.
    pub data: String,
    /// Where the event stands.
    pub position: Position,
    /// The webhook.
    pub webhook: WebhookId,
}

/// An address is told nothing of an event from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetterDropped {
    /// Whose the webhook is.
    pub account: AccountId,
    /// Where the event stands.
    pub position: Position,
    /// The webhook.
    pub webhook: WebhookId,
}

/// Why an address is told of nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WebhookDisabledBecause")]
pub enum DisabledBecause {
    /// Nothing was taken for days.
    Failing,
    /// It answered 410: nobody is there any more.
    Gone,
    /// It refused as many messages as can be kept.
    TooManyLetters,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_for_a_type_its_beginning_or_all_in_any_version() {
        let holds = |filter: &str, name: &str| filter.parse::<EventFilter>().unwrap().holds(name);
        for (filter, name, expected) in [
            ("*", "order.placed.v1", true),
            ("order.*", "order.placed.v1", true),
            ("order.*", "orders.placed.v1", false),
            ("order.placed", "order.placed.v2", true),
            ("order.placed", "order.placed_late.v1", false),
            ("cart.*", "order.placed.v1", false),
        ] {
            assert_eq!(holds(filter, name), expected, "{filter} {name}");
        }
        for bad in ["", "order", "order.placed.v1", "Order.placed", "order.pl*", "*.placed", "order."] {
            assert!(bad.parse::<EventFilter>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_plain() {
        for good in ["https://shop.example/hooks?shop=1", "http://[::1]:8080/", "https://1.2.3.4"] {
            assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
        }
        let long = format!("https://{}", "a".repeat(493));
        for bad in
            ["", "https://", "ftp://a.example", "https:///x", "https://me@a.example", "https://a.example/#x"]
                .into_iter()
                .chain(["https://a.example/ x", "https://a.example/\u{e9}", "https:\\\\a", long.as_str()])
        {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }
}
