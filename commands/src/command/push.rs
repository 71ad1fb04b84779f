//! Bodies of commands about notifications.

use std::collections::BTreeSet;

use events::ids::{AccountId, PushSubscriptionId};
use events::push::{Channel, QuietHours, Topic};
use events::{Hash, Position};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Has a device told what happens to its owner. How it is reached comes beside the command, in the header `Skylink-Personal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribePush {
    /// By which service it is reached.
    pub channel: Channel,
    /// A new UUIDv7.
    pub subscription: PushSubscriptionId,
    /// SHA-256 of the salt and the value beside the command: what the browser's `PushSubscription.toJSON()` gives, or the token that
    /// FCM or APNs gave the app.
    pub target: Hash,
}

/// Has a device told of nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribePush {
    /// The subscription.
    pub subscription: PushSubscriptionId,
}

/// Says what the giver wants to be told of, and when not, on all his devices: all of it anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPushPreferences {
    /// Of what he does not want to be told.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub muted: BTreeSet<Topic>,
    /// When he wants to be left alone; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
}

/// Tells up to where notifications were made. Given by the market's own process that sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportPush {
    /// The last event that was looked at.
    pub position: Position,
}

/// Tells that a service knows a device no more. Given by the market's own process that sends notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropPush {
    /// Whose device it was.
    pub account: AccountId,
    /// The subscription.
    pub subscription: PushSubscriptionId,
}
