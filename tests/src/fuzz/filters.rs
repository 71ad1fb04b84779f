//! Patterns that choose events and commands, and addresses that messages are sent to.

use commands::Command;
use events::Event;
use events::device::Commands;
use events::webhook::{EventFilter, WebhookUrl};

/// A text is a pattern of the one grammar or it is none, and chooses what the grammar says. What is an address leads to a host, and
/// nothing in it is a name or a password.
pub(super) fn filters(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let filter = text.parse::<EventFilter>();
    assert_eq!(filter.is_ok(), text == "*" || is_pattern(text, 40), "{text:?}");
    if let Ok(filter) = filter {
        assert_eq!(filter.to_string(), text);
        for type_name in Event::TYPES {
            let (name, version) = type_name.rsplit_once('.').expect("a type has a version");
            assert!(version.starts_with('v'));
            assert_eq!(filter.holds(type_name), chooses(text, name), "{text:?} and {type_name}");
        }
    }
    let commands = text.parse::<Commands>();
    assert_eq!(commands.is_ok(), is_pattern(text, 31) && text.len() < 64, "{text:?}");
    if let Ok(commands) = commands {
        for name in Command::NAMES {
            assert_eq!(commands.has(name), chooses(text, name), "{text:?} and {name}");
        }
    }
    if let Ok(url) = text.parse::<WebhookUrl>() {
        assert_eq!(url.as_str(), text);
        // Another parser may find no URL in it, which is told where it is asked.
        let Ok(url) = reqwest::Url::parse(text) else { return };
        assert!(matches!(url.scheme(), "http" | "https") && url.host().is_some(), "{url}");
        assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    }
}

fn is_pattern(text: &str, longest: usize) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_word = |word: &str| {
        !word.is_empty()
            && word.len() <= longest
            && word.chars().all(|letter| matches!(letter, 'a'..='z' | '_'))
    };
    matches!(parts.as_slice(), [kind, name] if is_word(kind) && (*name == "*" || is_word(name)))
}

fn chooses(pattern: &str, name: &str) -> bool {
    let kind = |text: &str| text.split('.').next().map(str::to_owned);
    pattern == "*" || pattern == name || (pattern.ends_with(".*") && kind(pattern) == kind(name))
}

/// Patterns and addresses, good and not.
pub(super) fn filter_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "*",
        "order.*",
        "order.placed",
        "step_up.code_refused",
        "order.placed.v1",
        "order.",
        "*.placed",
        "https://shop.example/hooks?a=b",
        "http://127.0.0.1:8080",
        "https://[::1]/x",
        "https://name@shop.example",
        "https://shop.example/#x",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
