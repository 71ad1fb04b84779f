//! The names of rules.

use super::Rejection;
use crate::location::Location;

impl Rejection {
    /// Gives the rule's name as it stands in events, receipts and problem details.
    pub fn code(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(mut fields)) => match fields.remove("code") {
                Some(serde_json::Value::String(code)) => code,
                _ => unreachable!("a rejection is tagged with its code"),
            },
            _ => unreachable!("a rejection is an object in JSON"),
        }
    }
}

/// Names a location, for people.
pub(super) fn named(location: &Option<Location>) -> &str {
    location.as_ref().map_or("no named location", Location::as_str)
}
